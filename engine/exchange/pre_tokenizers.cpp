#include "engine/exchange/pre_tokenizers.hpp"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include "base/text.hpp"
#include "engine/error.hpp"

namespace moescope::engine {

const char* const kGpt2Pattern = R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

namespace {

constexpr const char* kDigits = "each digit";

// The published patterns of the families, in the spelling that same_pattern() gives.
constexpr const char* kQwen2 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr const char* kQwen35 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr const char* kLlama3 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr const char* kTekken = R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|)"
                                R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|)"
                                R"(\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr const char* kO200k =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|)"
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|)"
    R"(\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr const char* kThreeDigits = R"(\p{N}{1,3})";
constexpr const char* kDeepSeek3Han = "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+";
constexpr const char* kDeepSeek3 =
    R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+|)"
    R"( ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr const char* kLineBreak = R"([\r\n])";
constexpr const char* kDeepSeekLetters =
    "\\s?[A-Za-z\u00b5\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u01ba\u01bc-\u01bf\u01c4-\u0293\u0295-\u02af\u0370-\u0373"
    "\u0376\u0377\u037b-\u037d\u037f\u0386\u0388-\u038a\u038c\u038e-\u03a1\u03a3-\u03f5\u03f7-\u0481\u048a-\u052f"
    "\u0531-\u0556\u10a0-\u10c5\u13a0-\u13f5\u13f8-\u13fd\u1c90-\u1cba\u1cbd-\u1cbf\u1d00-\u1d2b\u1d6b-\u1d77"
    "\u1d79-\u1d9a\u1e00-\u1f15\u1f18-\u1f1d\u1f20-\u1f45\u1f48-\u1f4d\u1f50-\u1f57\u1f59\u1f5b\u1f5d\u1f5f-"
    "\u1f7d\u1f80-\u1fb4\u1fb6-\u1fbc\u1fbe\u1fc2-\u1fc4\u1fc6-\u1fcc\u1fd0-\u1fd3\u1fd6-\u1fdb\u1fe0-\u1fec"
    "\u1ff2-\u1ff4\u1ff6-\u1ffc\u2102\u2107\u210a-\u2113\u2115\u2119-\u211d\u2124\u2126\u2128\u212a-\u212d\u212f-"
    "\u2134\u2139\u213c-\u213f\u2145-\u2149\u214e\u2183\u2184\u2c00-\u2c7b\u2c7e-\u2ce4\u2ceb-\u2cee\u2cf2\u2cf3"
    "\ua640-\ua66d\ua680-\ua69b\ua722-\ua76f\ua771-\ua787\ua78b-\ua78e\uab70-\uabbf\ufb00-\ufb06\ufb13-\ufb17"
    "\uff21-\uff3a\uff41-\uff5a\U00010400-\U0001044f\U000104b0-\U000104d3\U000104d8-\U000104fb\U00010c80-"
    "\U00010cb2\U00010cc0-\U00010cf2\U000118a0-\U000118df\U0001e900-\U0001e943]+";
constexpr const char* kDeepSeekMarks = "\\s?[!-/:-~\uff01-\uff0f\uff1a-\uff5e\u2018-\u201f\u3000-\u3002]+";
constexpr const char* kEndBlanks = R"(\s+$)";
constexpr const char* kDeepSeekHan = "[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+";
constexpr const char* kAnyLetters = R"(\s?\p{L}+)";
constexpr const char* kAnyMarks = R"(\s?\p{P}+)";

constexpr base::Marked kAccents = marked(
    "libllama takes letters and their combining marks apart (Thai, Hindi, accents that are characters of their own), "
    "where the tokenizer's file keeps them together: the ids of such texts may differ");
constexpr base::Marked kWideBlanks = marked(
    "libllama takes a wide space (U+3000) before a mark for a blank, where the tokenizer's file takes it for a mark: "
    "the ids of such texts may differ");

struct Known {
    std::vector<std::string> steps;
    const char* by_merges = "";    ///< libllama's name where merges alone make pieces of a word
    const char* whole_words = "";  ///< the same where a word that is a piece is taken whole
    base::Marked note{};
    bool digits_apart = false;
    const char* exact = "";  ///< WordCut::exact
};

const std::vector<Known>& known_cuts() {
    static const std::vector<Known> cuts = {
        {{kGpt2Pattern}, "gpt-2"},
        {{kQwen2}, "qwen2"},
        {{kQwen35}, "qwen35"},
        {{kLlama3}, "dbrx", "llama-bpe"},
        {{kO200k}, "gpt-4o", "", kAccents, false, "granite-embed-multi-97m"},
        {{kTekken}, "", "tekken", kAccents},
        {{kDigits, kGpt2Pattern}, "smollm"},
        {{kThreeDigits, kDeepSeek3Han, kDeepSeek3}, "deepseek-v3"},
        {{kLineBreak, kDeepSeekLetters, kDeepSeekMarks, kEndBlanks, kDeepSeekHan, kDigits},
         "deepseek-llm",
         "",
         kWideBlanks,
         true},
        {{kLineBreak, kAnyLetters, kAnyMarks, kDeepSeekHan, kDigits}, "deepseek-coder"},
    };
    return cuts;
}

void replace_all(std::string& text, std::string_view from, std::string_view to) {
    for (std::size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size())) {
        text.replace(at, from.size(), to);
    }
}

/// One spelling for patterns that match the same.
std::string same_pattern(std::string pattern) {
    static constexpr std::pair<std::string_view, std::string_view> kSame[] = {
        {"\r", R"(\r)"},
        {"\n", R"(\n)"},
        {R"(\p{N}{1}|)", R"(\p{N}|)"},
        {R"('(?i:[sdmt]|ll|ve|re))", R"((?i:'s|'t|'re|'ve|'m|'ll|'d))"},
        {R"((?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD]))", R"((?i:'s|'t|'re|'ve|'m|'ll|'d))"},
        // What follows cannot match what was taken, so that giving it back would not help.
        {R"([^\r\n\p{L}\p{N}]?+\p{L}+)", R"([^\r\n\p{L}\p{N}]?\p{L}+)"},
        {R"([^\s\p{L}\p{N}]++[\r\n]*)", R"([^\s\p{L}\p{N}]+[\r\n]*)"},
        // Both end at the last line break of the blanks.
        {R"(|\s*[\r\n]|)", R"(|\s*[\r\n]+|)"},
    };
    for (const auto& [from, to] : kSame) {
        replace_all(pattern, from, to);
    }
    return pattern;
}

/// Of such a pattern the matches are the whole text.
bool covers_text(const std::string& pattern) {
    static const std::array kWhole = {std::string(kGpt2Pattern), std::string(kQwen2), std::string(kQwen35),
                                      std::string(kLlama3),      std::string(kO200k), std::string(kTekken)};
    return std::find(kWhole.begin(), kWhole.end(), pattern) != kWhole.end();
}

}  // namespace

WordCut find_word_cut(const std::vector<WordStep>& steps, bool whole_words) {
    constexpr std::size_t kShown = 200;
    std::vector<std::string> found;
    std::string shown;
    bool sound = true;
    for (const WordStep& step : steps) {
        found.push_back(step.kind == WordStep::Kind::digits ? kDigits : same_pattern(step.pattern));
        base::append_to_list(shown, found.back(), ", ");
        sound = sound && (!step.only_matches || covers_text(found.back()));
    }
    const auto known = std::find_if(known_cuts().begin(), known_cuts().end(),
                                    [&](const Known& cut) { return sound && cut.steps == found; });
    if (known == known_cuts().end()) {
        throw Error(say("cuts text into words by {}, which no pre-tokenizer of libllama does",
                        shown.empty() ? say("nothing at all") : Sentence::verbatim(base::shortened(shown, kShown))));
    }
    const std::string wanted = whole_words ? known->whole_words : known->by_merges;
    const std::string other = whole_words ? known->by_merges : known->whole_words;
    WordCut cut;
    cut.name = wanted.empty() ? other : wanted;
    cut.whole_words = cut.name == known->whole_words;
    cut.if_merges_make_every_piece = wanted.empty();
    cut.if_digits_stay_apart = known->digits_apart;
    cut.note = known->note;
    cut.exact = known->exact;
    return cut;
}

}  // namespace moescope::engine
