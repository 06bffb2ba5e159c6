// The report's words in both languages, and how it prints texts and numbers.
#include <algorithm>
#include <array>

#include "base/text.hpp"
#include "base/utf8.hpp"
#include "report/report_html.hpp"

namespace moescope::report::html {
namespace {

struct Word {
    std::string_view key, en, zh;
};

/// Of assets/languages, put into the program when it is built (report/words.cmake): a node needs no file for them.
constexpr auto kWords = std::to_array<Word>({
#include "report_words.inc"
});

const Word* find(std::string_view key) {
    const auto found = std::find_if(kWords.begin(), kWords.end(), [&](const Word& word) { return word.key == key; });
    return found == kWords.end() ? nullptr : &*found;
}

}  // namespace

std::string number(const nlohmann::json& value, int decimals, double scale) {
    return value.is_number() ? number(value.get<double>() * scale, decimals) : base::kNoNumber;
}

std::string p_value(const nlohmann::json& value) {
    if (!value.is_number()) {
        return "–";
    }
    return value.get<double>() < 0.0001 ? "&lt;0.0001" : number(value, 4);
}

std::string Words::operator()(std::string_view key) const {
    const Word* word = find(key);
    return escape(word == nullptr ? key : chinese_ ? word->zh : word->en);
}

bool Words::has(std::string_view key) {
    return find(key) != nullptr;
}

std::string Words::in_brackets(const std::string& escaped) const {
    return chinese_ ? "（" + escaped + "）" : " (" + escaped + ")";
}

std::string Words::step(const std::string& number) const {
    return chinese_ ? "第 " + number + " 步" : (*this)("step") + " " + number;
}

std::string Words::unit(std::string_view name) const {
    const Words& words = *this;
    return name == "nats/token" ? words("unit_nats")
           : name == "tokens/s" ? words("unit_tokens_per_second")
           : name == "ms"       ? words("unit_ms")
           : name == "choices"  ? words("unit_choices")
                                : escape(name);
}

std::string Words::of(const std::map<std::string, std::string>& texts) const {
    const auto found = texts.find(chinese_ ? "zh" : "en");
    return found == texts.end() ? std::string() : escape(found->second);
}

std::string answer_text(std::string_view text, std::string_view shown, const Words& words) {
    const probes::Separated separated = probes::separate_reasoning(text, probes::ends_inside_reasoning(shown));
    const bool blank = !separated.answer.empty() && base::trimmed(separated.answer).empty();
    const std::string answer =
        blank ? "<p class=\"quiet\">" + words("blank_only") + "</p>"
              : "<p class=\"text\" dir=\"auto\">" + escape(base::with_byte_chips(separated.answer)) + "</p>";
    switch (separated.trace) {
        case probes::Trace::absent:
            return answer;
        case probes::Trace::empty:
            return "<p class=\"quiet\">" + words("reasoning_empty") + "</p>" + answer;
        case probes::Trace::present:
            break;
    }
    return "<details><summary class=\"quiet\">" + words("reasoning") +
           "</summary><p class=\"text quiet\" dir=\"auto\">" + escape(base::with_byte_chips(separated.reasoning)) +
           "</p></details>" +
           (separated.answer.empty() ? "<p class=\"quiet\">" + words("reasoning_only") + "</p>" : answer);
}

std::string shown_text(std::string_view shown, const Words& words) {
    if (shown.empty()) {
        return {};
    }
    return "<details><summary class=\"quiet\">" + words("shown") + "</summary><pre class=\"quiet\" dir=\"auto\">" +
           escape(shown) + "</pre></details>";
}

std::string source_line(const Run& run, const Words& words) {
    const std::string hash =
        run.records_sha256.empty() ? words("not_known") : "<code>" + escape(run.records_sha256) + "</code>";
    return "<span class=\"source\">" + escape(run.name) + " · " + words("records_sha256") + words.colon() + hash +
           "</span>";
}

}  // namespace moescope::report::html
