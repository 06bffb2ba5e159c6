// tokenizer.json: what is recognised, and what is refused by name. The ids that come of it: foreign_tokenizer_test.cpp.
#include "engine/exchange/hugging_face_vocabulary.hpp"

#include <fstream>
#include <functional>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "engine/error.hpp"
#include "engine/exchange/gguf_vocabulary.hpp"
#include "engine/exchange/hugging_face_text.hpp"
#include "engine/exchange/pre_tokenizers.hpp"
#include "engine/text/composed.hpp"
#include "tests/engine/error_of.hpp"
#include "tests/engine/text/temporary_folder.hpp"
#include "tests/paths.hpp"

namespace moescope::engine::test {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

constexpr int kEnough = 2000;

fs::path folder_of(const std::string& family) {
    return fs::path(moescope::test::test_data()) / "oracle/data/tokenizers" / family;
}
Json file_of(const std::string& family) {
    std::ifstream file(folder_of(family) / "tokenizer.json");
    return Json::parse(file);
}

/// What is said about the file of a family after a change.
std::string said(const std::string& family, const std::function<void(Json&)>& change, int vocabulary = kEnough) {
    Json file = file_of(family);
    change(file);
    return error_of([&] { parse_tokenizer_json(file, vocabulary); });
}

TEST(HuggingFaceVocabulary, FamiliesAreRecognisedByWhatTheirFilesDo) {
    const std::pair<const char*, const char*> kWords[] = {
        {"qwen3_moe", "qwen2"},         {"olmoe", "gpt-2"},
        {"deepseek_v3", "deepseek-v3"}, {"gpt_oss", "granite-embed-multi-97m"},
        {"llama3", "llama-bpe"},        {"cl100k", "dbrx"},
        {"smollm", "smollm"},           {"deepseek_coder", "deepseek-coder"}};
    for (const auto& [family, words] : kWords) {
        const Vocabulary vocabulary = parse_tokenizer_json(file_of(family), kEnough);
        EXPECT_EQ(vocabulary.words, words) << family;
        EXPECT_EQ(vocabulary.letters, Vocabulary::Letters::bytes);
        EXPECT_EQ(vocabulary.composes, std::string(family) == "qwen3_moe" || std::string(family) == "olmoe");
        // libllama's usual name for gpt-oss knows no combining marks; in files it is the one that programs read.
        const bool marks = std::string(family) == "gpt_oss";
        EXPECT_EQ(vocabulary.words_in_gguf, marks ? "gpt-4o" : words);
        EXPECT_TRUE(vocabulary.notes.empty());
        EXPECT_EQ(vocabulary.gguf_notes.size(), marks ? 1u : 0u);
    }
    const Vocabulary mixtral = parse_tokenizer_json(file_of("mixtral"), kEnough);
    EXPECT_EQ(mixtral.letters, Vocabulary::Letters::text);
    EXPECT_EQ(mixtral.space, Vocabulary::Space::each);
    EXPECT_EQ(mixtral.begin, 1);
    EXPECT_EQ(mixtral.unknown, 0);
    EXPECT_EQ(parse_tokenizer_json(file_of("mixtral-first"), kEnough).space, Vocabulary::Space::first);
}

TEST(HuggingFaceVocabulary, HostileFilesAreRefusedWithASentence) {
    struct Case {
        const char* expected;
        std::function<void(Json&)> change;
    };
    const Case cases[] = {
        {"no error", [](Json&) {}},
        {"is no JSON object", [](Json& f) { f = Json::array(); }},
        {"has no model", [](Json& f) { f.erase("model"); }},
        {"has no model", [](Json& f) { f["model"] = "BPE"; }},
        {"is of the kind Unigram", [](Json& f) { f["model"]["type"] = "Unigram"; }},
        {"under \"type\", which is no text", [](Json& f) { f["model"]["type"] = 7; }},
        {"the setting \"trick\" among its parts", [](Json& f) { f["trick"] = true; }},
        {"the setting \"trick\" in its model", [](Json& f) { f["model"]["trick"] = true; }},
        {"by chance (dropout 0.1)", [](Json& f) { f["model"]["dropout"] = 0.1; }},
        {"within words", [](Json& f) { f["model"]["end_of_word_suffix"] = "</w>"; }},
        {"neither true nor false", [](Json& f) { f["model"]["byte_fallback"] = "yes"; }},
        {"no \"vocab\"",
         [](Json& f) {
             f["model"]["vocab"] = Json::array({"a", "b"});
         }},
        {"the number \"x\"", [](Json& f) { f["model"]["vocab"]["new"] = "x"; }},
        {"the number -1", [](Json& f) { f["model"]["vocab"]["new"] = -1; }},
        {"the number 4000000000, but the model has 2000", [](Json& f) { f["model"]["vocab"]["new"] = 4000000000U; }},
        {"the number 1.5", [](Json& f) { f["model"]["vocab"]["new"] = 1.5; }},
        {"to two tokens", [](Json& f) { f["model"]["vocab"]["new"] = 5; }},
        {"but none with the number 1005", [](Json& f) { f["model"]["vocab"]["new"] = 1006; }},
        {"a token of 0 bytes", [](Json& f) { f["model"]["vocab"][""] = 1005; }},
        {"a token of 5000 bytes", [](Json& f) { f["model"]["vocab"][std::string(5000, 'x')] = 1005; }},
        {"holds a zero byte", [](Json& f) { f["model"]["vocab"][std::string("a\0b", 3)] = 1005; }},
        {"no list of merges", [](Json& f) { f["model"]["merges"] = "none"; }},
        {"no pair of tokens", [](Json& f) { f["model"]["merges"].push_back("ab"); }},
        {"no pair of tokens", [](Json& f) { f["model"]["merges"].push_back("a b c"); }},
        {"no pair of tokens",
         [](Json& f) {
             f["model"]["merges"].push_back(Json::array({"a", "b", "c"}));
         }},
        {"no pair of tokens",
         [](Json& f) {
             f["model"]["merges"].push_back(Json::array({"a", 7}));
         }},
        {"no pair of tokens",
         [](Json& f) {
             f["model"]["merges"].push_back(Json::array({"", "b"}));
         }},
        {"but no token 'none'",
         [](Json& f) {
             f["model"]["merges"].push_back(Json::array({"none", "b"}));
         }},
        {"but no token '~~'", [](Json& f) { f["model"]["merges"].push_back("~ ~"); }},
        {"twice", [](Json& f) { f["model"]["merges"].push_back(f["model"]["merges"][3]); }},
        {"that are no list", [](Json& f) { f["added_tokens"] = 5; }},
        {"adds the token '<think>' twice", [](Json& f) { f["added_tokens"].push_back(f["added_tokens"][3]); }},
        {"gives the number 3 to two tokens", [](Json& f) { f["added_tokens"][0]["id"] = 3; }},
        {"twice, as number", [](Json& f) { f["added_tokens"][0]["content"] = "a"; }},
        {"(\"lstrip\")", [](Json& f) { f["added_tokens"][3]["lstrip"] = true; }},
        {"(\"single_word\")", [](Json& f) { f["added_tokens"][3]["single_word"] = true; }},
        {"the normalizer {\"type\":\"Lowercase\"}",
         [](Json& f) {
             f["normalizer"] = {{"type", "Lowercase"}};
         }},
        {"a normalizer without a type", [](Json& f) { f["normalizer"] = "NFC"; }},
        {"a sequence of nothing",
         [](Json& f) {
             f["normalizer"] = {{"type", "Sequence"}};
         }},
        {"neither the pre-tokenizer ByteLevel", [](Json& f) { f["pre_tokenizer"] = nullptr; }},
        {"no pre-tokenizer of libllama does",
         [](Json& f) { f["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = R"(\p{L}+|\s+)"; }},
        {"cuts text into words by nothing at all", [](Json& f) { f["pre_tokenizer"]["pretokenizers"].erase(0); }},
        {"the pre_tokenizer", [](Json& f) { f["pre_tokenizer"]["pretokenizers"][0]["behavior"] = "MergedWithNext"; }},
        {"add_prefix_space", [](Json& f) { f["pre_tokenizer"]["pretokenizers"][1]["add_prefix_space"] = true; }},
        {"the decoder",
         [](Json& f) {
             f["decoder"] = {{"type", "WordPiece"}};
         }},
        {"the post_processor",
         [](Json& f) {
             f["post_processor"] = {{"type", "BertProcessing"}};
         }},
        {"no token for the byte 0",
         [](Json& f) {
             const Json number = f["model"]["vocab"]["\u0100"];
             f["model"]["vocab"].erase("\u0100");
             f["model"]["vocab"]["other"] = number;
         }},
    };
    for (const Case& one : cases) {
        const std::string message = said("qwen3_moe", one.change);
        EXPECT_NE(message.find(one.expected), std::string::npos) << message << "\nfor " << one.expected;
        EXPECT_LT(message.size(), 600u) << message;
    }
    EXPECT_NE(said(
                  "qwen3_moe", [](Json&) {}, 500)
                  .find("but the model has 500 tokens"),
              std::string::npos);
    // Of vocabularies of text.
    const auto blanks = [](const std::function<void(Json&)>& change) { return said("mixtral-first", change); };
    EXPECT_NE(blanks([](Json& f) { f["pre_tokenizer"]["split"] = true; }).find("the pre_tokenizer"), std::string::npos);
    EXPECT_NE(blanks([](Json& f) { f["pre_tokenizer"] = nullptr; }).find("what stands for a space"), std::string::npos);
    EXPECT_NE(blanks([](Json& f) { f["normalizer"] = {{"type", "NFC"}}; }).find("the normalizer"), std::string::npos);
    EXPECT_NE(blanks([](Json& f) {
                  f["post_processor"]["special_tokens"]["<s>"]["ids"] = {1, 2};
              }).find("the post_processor"),
              std::string::npos);
}

/// libllama's way for that pattern takes words that are pieces whole or not, as it is; the file may say the opposite
/// only where it makes no difference.
TEST(HuggingFaceVocabulary, IgnoredMergesAreFollowedOrMakeNoDifference) {
    const auto words = [](const char* family, bool ignore) {
        Json file = file_of(family);
        file["model"]["ignore_merges"] = ignore;
        return parse_tokenizer_json(file, kEnough).words;
    };
    EXPECT_EQ(words("llama3", true), "llama-bpe");
    EXPECT_EQ(words("llama3", false), "dbrx");
    EXPECT_EQ(words("qwen3_moe", true), "qwen2") << "trained by merges: each piece comes of them";
    EXPECT_EQ(words("gpt_oss", true), "granite-embed-multi-97m");
    Json torn = file_of("gpt_oss");
    torn["model"]["merges"].erase(torn["model"]["merges"].size() - 1);
    const Vocabulary rough = parse_tokenizer_json(torn, kEnough);
    EXPECT_EQ(rough.words, "gpt-4o") << "the exact one would take the piece without merges whole";
    EXPECT_EQ(rough.notes.size(), 1u);
    torn["model"]["ignore_merges"] = true;
    EXPECT_EQ(parse_tokenizer_json(torn, kEnough).words_in_gguf, "granite-embed-multi-97m");
    const std::string message = said("qwen3_moe", [](Json& file) {
        file["model"]["ignore_merges"] = true;
        file["model"]["merges"].erase(file["model"]["merges"].size() - 1);
    });
    EXPECT_NE(message.find("which its merges do not make"), std::string::npos) << message;
}

TEST(HuggingFaceVocabulary, SpellingsOfAPatternThatMatchTheSameAreOne) {
    const auto name = [](const std::string& pattern, bool only_matches = false) {
        return find_word_cut({{WordStep::Kind::pattern, pattern, only_matches}}, false).name;
    };
    const std::string rest = R"(|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
    for (const char* start : {R"((?i:'s|'t|'re|'ve|'m|'ll|'d))", R"('(?i:[sdmt]|ll|ve|re))",
                              R"((?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD]))"}) {
        EXPECT_EQ(name(start + std::string(R"(|[^\r\n\p{L}\p{N}]?\p{L}+)") + rest), "qwen2");
        EXPECT_EQ(name(start + std::string("|[^\r\n\\p{L}\\p{N}]?+\\p{L}+") + rest, true), "qwen2");
    }
    EXPECT_EQ(name(kGpt2Pattern), "gpt-2");
    const auto refused = [&](const std::vector<WordStep>& steps) {
        return error_of([&] { find_word_cut(steps, false); });
    };
    // A possessive quantifier where it matters, and matches that are not the whole text.
    EXPECT_NE(refused({{WordStep::Kind::pattern, R"(\s++(?!\S))", false}}).find(R"(\s++(?!\S))"), std::string::npos);
    EXPECT_NE(refused({{WordStep::Kind::pattern, R"(\p{N}{1,3})", true}}).find("no pre-tokenizer"), std::string::npos);
}

TEST(HuggingFaceVocabulary, TheFilesBesideItSayHowTextsBeginAndEnd) {
    const TemporaryFolder folder;
    std::vector<Sentence> notes;
    const auto rules = [&](const char* family, const Json& settings, const Json& config = Json::object()) {
        folder.write("tokenizer_config.json", settings.dump());
        const Vocabulary vocabulary = parse_tokenizer_json(file_of(family), kEnough);
        return read_hugging_face_text(folder.path(), config, vocabulary, kEnough, notes);
    };
    const Vocabulary llama = parse_tokenizer_json(file_of("llama3"), kEnough);
    const std::int32_t begin = *llama.find("<|begin_of_text|>"), end = *llama.find("<|end_of_text|>");
    EXPECT_EQ(rules("llama3", {{"bos_token", "<|begin_of_text|>"}}).begin, begin) << "its post-processor";
    EXPECT_EQ(rules("llama3", {{"bos_token", "<|begin_of_text|>"}, {"add_bos_token", false}}).begin, std::nullopt);
    // gpt-oss names one that nothing puts before a text.
    EXPECT_EQ(rules("gpt_oss", {{"bos_token", "<|startoftext|>"}}).begin, std::nullopt);
    const Vocabulary deepseek = parse_tokenizer_json(file_of("deepseek_v3"), kEnough);
    EXPECT_EQ(
        rules("deepseek_v3", {{"bos_token", {{"content", "<｜begin▁of▁sentence｜>"}}}, {"add_bos_token", true}}).begin,
        deepseek.find("<｜begin▁of▁sentence｜>"));
    EXPECT_EQ(rules("llama3", {{"eos_token", "<|end_of_text|>"}}).ends, std::vector<std::int32_t>{end});
    EXPECT_EQ(rules("llama3", Json::object(), {{"eos_token_id", {5, end}}}).ends, (std::vector<std::int32_t>{5, end}));
    EXPECT_TRUE(rules("llama3", Json::object()).ends.empty());
    const TextRules qwen = rules("qwen3_moe", {{"chat_template", "{{ messages }}"}});
    EXPECT_TRUE(qwen.special.contains("<|im_end|>"));
    EXPECT_FALSE(qwen.special.contains("<think>")) << "merely added: anybody may write it";
    EXPECT_EQ(qwen.chat_template, "{{ messages }}");
    EXPECT_TRUE(notes.empty());
}

TEST(HuggingFaceVocabulary, InGgufItIsWhatLlamaCppCallsIt) {
    const auto value = [](const GgufValues& values, const std::string& key) -> const GgufValue* {
        const auto found =
            std::find_if(values.begin(), values.end(), [&](const auto& one) { return one.first == key; });
        return found == values.end() ? nullptr : &found->second;
    };
    TextRules rules;
    rules.ends = {7};
    rules.chat_template = "{{ messages }}";
    const Vocabulary qwen = parse_tokenizer_json(file_of("qwen3_moe"), kEnough);
    const auto bytes = gguf_vocabulary_values(qwen, rules, kEnough);
    ASSERT_TRUE(bytes);
    EXPECT_EQ(std::get<std::string>(*value(*bytes, "tokenizer.ggml.pre")), "qwen2");
    EXPECT_EQ(std::get<std::vector<std::string>>(*value(*bytes, "tokenizer.ggml.tokens")).size(), 2000u);
    const auto& kinds = std::get<std::vector<std::int32_t>>(*value(*bytes, "tokenizer.ggml.token_type"));
    EXPECT_EQ(kinds[static_cast<std::size_t>(*qwen.find("<|im_end|>"))], 3);  // control
    EXPECT_EQ(kinds[static_cast<std::size_t>(*qwen.find("<think>"))], 4);     // user-defined
    EXPECT_EQ(kinds.back(), 5);                                               // unused
    EXPECT_EQ(std::get<std::string>(*value(*bytes, "tokenizer.chat_template")), "{{ messages }}");
    EXPECT_EQ(std::get<std::uint32_t>(*value(*bytes, "tokenizer.ggml.eos_token_id")), 7u);
    EXPECT_EQ(std::get<bool>(*value(*bytes, "tokenizer.ggml.add_bos_token")), false);
    Vocabulary mixtral = parse_tokenizer_json(file_of("mixtral"), kEnough);
    const auto text = gguf_vocabulary_values(mixtral, rules, kEnough);
    ASSERT_TRUE(text);
    EXPECT_EQ(std::get<std::string>(*value(*text, "tokenizer.ggml.model")), "llama");
    EXPECT_NE(value(*text, "tokenizer.ggml.scores"), nullptr);
    mixtral.merges.pop_back();
    EXPECT_FALSE(gguf_vocabulary_values(mixtral, rules, kEnough));
    mixtral.space = Vocabulary::Space::never;
    const auto merges = gguf_vocabulary_values(mixtral, rules, kEnough);
    ASSERT_TRUE(merges);
    EXPECT_EQ(std::get<std::string>(*value(*merges, "tokenizer.ggml.pre")), kTextWords);
}

TEST(Composed, LettersAndTheirAccentsBecomeOne) {
    EXPECT_EQ(composed("plain"), "plain");
    EXPECT_EQ(composed("cafe\u0301 A\u030a"), "caf\u00e9 \u00c5");
    EXPECT_EQ(composed("\u1112\u1161\u11ab"), "\ud55c");
    EXPECT_EQ(composed("\u212b\xff"), "\u212b\xff") << "no UTF-8: as it is";
    EXPECT_EQ(composed(std::string("e\u0301\0x", 5)), std::string("\u00e9\0x", 4));
}

}  // namespace
}  // namespace moescope::engine::test
