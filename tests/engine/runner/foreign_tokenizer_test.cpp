// Tokenizers of tokenizer.json files through libllama, against Hugging Face's own ids. Golden files:
// tests/oracle/tokenizers.
#include "engine/runner/foreign_tokenizer.hpp"

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "engine/exchange/gguf_export.hpp"
#include "engine/exchange/hugging_face_export.hpp"
#include "engine/exchange/hugging_face_import.hpp"
#include "engine/exchange/hugging_face_text.hpp"
#include "engine/exchange/hugging_face_vocabulary.hpp"
#include "engine/runner/language_model.hpp"
#include "engine/text/composed.hpp"
#include "tests/engine/error_of.hpp"
#include "tests/engine/exchange/exchange_models.hpp"
#include "tests/engine/text/temporary_folder.hpp"
#include "tests/paths.hpp"

namespace moescope::engine::test {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;
using Place = ForeignTokenizer::Place;
using Tokens = std::vector<std::int32_t>;

constexpr int kEnough = 2000;  // tokens of a model

fs::path folder_of(const std::string& family) {
    return fs::path(moescope::test::test_data()) / "oracle/data/tokenizers" / family;
}
Json read_json(const fs::path& path) {
    std::ifstream file(path);
    return Json::parse(file);
}
const Json& golden() {
    static const Json file = read_json(folder_of("golden.json"));
    return file;
}
std::vector<std::string> texts() {
    return golden().at("texts").get<std::vector<std::string>>();
}

std::string bytes_of(const Vocabulary& vocabulary, const Tokens& tokens) {
    std::string text;
    for (const std::int32_t token : tokens) {
        text += vocabulary.bytes_of(token);
    }
    return text;
}

TEST(ForeignTokenizer, GivesTheIdsOfTokenizersAndTheTextBack) {
    int families = 0;
    for (const auto& [family, of_family] : golden().at("families").items()) {
        SCOPED_TRACE(family);
        const auto vocabulary = read_hugging_face_vocabulary(folder_of(family), kEnough);
        EXPECT_EQ(vocabulary->pieces.size(), of_family.at("size"));
        const auto tokenizer = open_foreign_tokenizer(*vocabulary);
        const auto all = texts();
        std::size_t count = 0;
        for (std::size_t i = 0; i < all.size(); ++i) {
            const Tokens tokens = tokenizer->encode(all[i], Place::start);
            EXPECT_EQ(tokens, of_family.at("ids").at(i).get<Tokens>()) << all[i];
            const bool spaced = !all[i].empty() && (vocabulary->space == Vocabulary::Space::each ||
                                                    (vocabulary->space == Vocabulary::Space::first &&
                                                     !all[i].starts_with(' ') && !all[i].starts_with("▁")));
            std::string back = vocabulary->composes ? composed(all[i]) : all[i];
            if (vocabulary->letters == Vocabulary::Letters::text) {  // U+2581 stands for a space there
                for (std::size_t at = back.find("▁"); at != std::string::npos; at = back.find("▁")) {
                    back.replace(at, 3, " ");
                }
            }
            EXPECT_EQ(bytes_of(*vocabulary, tokens), (spaced ? " " : "") + back);
            count += tokens.size();
        }
        EXPECT_GT(count, 500u);
        ++families;
    }
    EXPECT_EQ(families, 10);
}

TEST(ForeignTokenizer, MergesAsPairsAndAsTextsAreTheSame) {
    for (const char* family : {"qwen3_moe", "mixtral"}) {
        Json file = read_json(folder_of(family) / "tokenizer.json");
        const Vocabulary as_read = parse_tokenizer_json(file, kEnough);
        bool texts_before = false;
        for (Json& merge : file["model"]["merges"]) {
            texts_before = merge.is_string();
            if (merge.is_string()) {
                const auto both = merge.get<std::string>();
                merge = Json::array({both.substr(0, both.find(' ')), both.substr(both.find(' ') + 1)});
            } else {
                merge = merge[0].get<std::string>() + " " + merge[1].get<std::string>();
            }
        }
        EXPECT_EQ(texts_before, std::string(family) == "mixtral");
        const Vocabulary other = parse_tokenizer_json(file, kEnough);
        EXPECT_EQ(as_read.merges, other.merges);
        EXPECT_GT(other.merges.size(), 500u);
    }
}

TEST(ForeignTokenizer, SpecialTokensThatATextSpellsAreText) {
    const auto vocabulary = read_hugging_face_vocabulary(folder_of("qwen3_moe"), kEnough);
    const auto tokenizer = open_foreign_tokenizer(*vocabulary);
    const std::int32_t end = *vocabulary->find("<|im_end|>"), think = *vocabulary->find("<think>");
    const Tokens spelled = tokenizer->encode("a<|im_end|>b", Place::start);
    EXPECT_EQ(std::count(spelled.begin(), spelled.end(), end), 0);
    EXPECT_EQ(bytes_of(*vocabulary, spelled), "a<|im_end|>b");
    // Those that are merely added are tokens, as in tokenizers; what stands beside them is cut by itself.
    Tokens parts = tokenizer->encode("a ", Place::start);
    parts.push_back(think);
    const Tokens rest = tokenizer->encode(" b", Place::inside);
    parts.insert(parts.end(), rest.begin(), rest.end());
    EXPECT_EQ(tokenizer->encode("a <think> b", Place::start), parts);
    EXPECT_NE(error_of([&] { tokenizer->encode("\xff", Place::start); }).find("UTF-8"), std::string::npos);
}

TEST(ForeignTokenizer, ASpaceIsPutOnlyWhereTheFileSaysSo) {
    const auto first_bytes = [](const char* family, const char* text, Place place) {
        const auto vocabulary = read_hugging_face_vocabulary(folder_of(family), kEnough);
        return bytes_of(*vocabulary, open_foreign_tokenizer(*vocabulary)->encode(text, place));
    };
    EXPECT_EQ(first_bytes("mixtral", "x", Place::start), " x");
    EXPECT_EQ(first_bytes("mixtral", " x", Place::start), "  x");
    EXPECT_EQ(first_bytes("mixtral", "x", Place::after_token), " x");
    EXPECT_EQ(first_bytes("mixtral", "x", Place::inside), "x");
    EXPECT_EQ(first_bytes("mixtral-first", "x", Place::start), " x");
    EXPECT_EQ(first_bytes("mixtral-first", " x", Place::start), " x");
    EXPECT_EQ(first_bytes("mixtral-first", "x", Place::after_token), "x");
    EXPECT_EQ(first_bytes("qwen3_moe", "x", Place::start), "x");
}

/// libllama's regular expressions call themselves for every character of a word.
TEST(ForeignTokenizer, ALongWordDoesNotEndTheProcess) {
    for (const char* family : {"deepseek_v3", "gpt_oss"}) {
        const auto vocabulary = read_hugging_face_vocabulary(folder_of(family), kEnough);
        const auto tokenizer = open_foreign_tokenizer(*vocabulary);
        for (const char* letter : {"a", " ", "-"}) {
            std::string text;
            for (int i = 0; i < 100'000; ++i) {
                text += letter;
            }
            EXPECT_EQ(bytes_of(*vocabulary, tokenizer->encode(text, Place::start)), text) << family << letter;
        }
        EXPECT_NE(error_of([&] { tokenizer->encode(std::string(4U << 20, 'a'), Place::start); }).find("too long"),
                  std::string::npos);
    }
}

/// A small model of the family with its tokenizer.json and no tokenizer.model.
struct SmallFolder {
    TemporaryFolder space;
    fs::path path;
    SmallModel small;
    Filled filled;

    SmallFolder(const std::string& family, std::size_t model) : path(space.path() / "m") {
        small = small_models()[model];
        small.model.vocabulary = golden().at("families").at(family).at("size").get<int>() + 11;
        filled = fill(small.model, 41);
        export_hugging_face(path, small.model, filled.layout, filled.parameters.data(), nullptr);
        for (const auto& entry : fs::directory_iterator(folder_of(family))) {
            fs::copy_file(entry.path(), path / entry.path().filename(), fs::copy_options::overwrite_existing);
        }
    }
};

Tokens shown(const fs::path& model, const std::string& text, bool chat) {
    GenerateRequest request;
    request.prompt = text;
    request.chat = chat;
    const std::atomic<bool> cancel = false;
    return open_model(model, 1)->show(request, cancel).tokens;
}

/// The GGUF file of the folder, as the command line writes it.
fs::path write_gguf(const SmallFolder& folder, std::vector<Sentence>* notes = nullptr) {
    const ImportedModel model = import_hugging_face(folder.path);
    GgufExportOptions options;
    options.vocabulary = model.vocabulary.get();
    options.rules = model.text;
    const fs::path path = folder.space.path() / "m.gguf";
    const auto report = export_gguf(path, model.model, model.layout, model.parameters, nullptr, options);
    if (notes != nullptr) {
        *notes = report.notes;
    }
    return path;
}

constexpr std::pair<const char*, std::size_t> kFamilies[] = {
    {"qwen3_moe", 0}, {"olmoe", 1}, {"mixtral", 2}, {"deepseek_v3", 3}, {"gpt_oss", 4}};

TEST(ForeignTokenizer, FoldersWithoutATokenizerModelTakeAndGiveText) {
    int conversations = 0;
    for (const auto& [family, model] : kFamilies) {
        SCOPED_TRACE(family);
        const SmallFolder folder(family, model);
        const Json& of_family = golden().at("families").at(family);
        if (const auto chat = of_family.find("chat"); chat != of_family.end()) {
            EXPECT_EQ(shown(folder.path, chat->at("content"), true), chat->at("ids").get<Tokens>());
            ++conversations;
        }
        const auto opened = open_model(folder.path, 1);
        const std::string text = "The router 路由器 sends tokens. 专家 3 号回答。";
        const Tokens ids = opened->tokenize(text, false);
        const auto all = texts();
        const auto number = static_cast<std::size_t>(std::find(all.begin(), all.end(), text) - all.begin());
        EXPECT_EQ(ids, of_family.at("ids").at(number).get<Tokens>());
        GenerateRequest request;
        request.prompt = text;
        request.chat = false;
        request.max_tokens = 8;
        const std::atomic<bool> cancel = false;
        std::string answer;
        const auto result = opened->generate(
            request, [&](const GeneratedToken& token) { answer += token.chosen.bytes; }, cancel);
        EXPECT_TRUE(result.stop == GenerateResult::Stop::end || result.tokens == 8);
    }
    EXPECT_EQ(conversations, 4);
}

TEST(ForeignTokenizer, WhatPeopleWriteNeverBecomesASpecialToken) {
    const SmallFolder folder("qwen3_moe", 0);
    const auto vocabulary = read_hugging_face_vocabulary(folder.path, kEnough);
    const std::int32_t end = *vocabulary->find("<|im_end|>");
    for (const bool chat : {true, false}) {
        const Tokens tokens = shown(folder.path, "x<|im_end|>y", chat);
        EXPECT_EQ(std::count(tokens.begin(), tokens.end(), end), chat ? 1 : 0);  // the template's own
    }
}

TEST(ForeignTokenizer, TheGgufFileHasTheSameTokensAndTemplate) {
    for (const auto& [family, model] : kFamilies) {
        SCOPED_TRACE(family);
        const SmallFolder folder(family, model);
        const fs::path gguf = write_gguf(folder);
        const auto opened = open_model(gguf, 1);
        const Json& of_family = golden().at("families").at(family);
        const auto all = texts();
        int compared = 0;
        for (std::size_t i = 0; i < all.size(); ++i) {
            if (composed(all[i]) != all[i]) {
                continue;  // llama.cpp does not compose accents, which the export says
            }
            EXPECT_EQ(opened->tokenize(all[i], false), of_family.at("ids").at(i).get<Tokens>()) << all[i];
            ++compared;
        }
        EXPECT_GT(compared, 30);
        if (const auto chat = of_family.find("chat"); chat != of_family.end()) {
            EXPECT_EQ(shown(gguf, chat->at("content"), true), chat->at("ids").get<Tokens>());
        }
    }
}

TEST(ForeignTokenizer, WhatTheGgufFileDoesOtherwiseIsSaid) {
    std::vector<Sentence> notes;
    write_gguf(SmallFolder("qwen3_moe", 0), &notes);
    ASSERT_EQ(notes.size(), 1u);
    EXPECT_NE(notes[0].english().find("NFC"), std::string::npos) << notes[0];
    write_gguf(SmallFolder("mixtral-first", 2), &notes);
    ASSERT_EQ(notes.size(), 1u);
    EXPECT_NE(notes[0].english().find("one that begins with a space"), std::string::npos) << notes[0];
    // Merges that are not those of SentencePiece have no form in which a space is put before the text.
    const SmallFolder odd("mixtral", 2);
    Json file = read_json(odd.path / "tokenizer.json");
    file["model"]["merges"].erase(file["model"]["merges"].size() / 2);
    std::ofstream(odd.path / "tokenizer.json") << file.dump();
    write_gguf(odd, &notes);
    ASSERT_EQ(notes.size(), 1u);
    EXPECT_NE(notes[0].english().find("The tokenizer was left out"), std::string::npos) << notes[0];
}

TEST(ForeignTokenizer, TheFolderGoesOnWithItsFiles) {
    const SmallFolder folder("deepseek_v3", 3);
    const ImportedModel model = import_hugging_face(folder.path);
    ASSERT_NE(model.vocabulary, nullptr);
    const fs::path out = folder.space.path() / "again";
    export_hugging_face(out, model.model, model.layout, model.parameters, nullptr, {}, kMaxShardBytes,
                        model.vocabulary.get(), model.text);
    const std::string text = "Hello 你好";
    EXPECT_EQ(shown(out, text, true), shown(folder.path, text, true));
    EXPECT_EQ(read_json(out / "generation_config.json").at("bos_token_id"),
              *model.vocabulary->find("<｜begin▁of▁sentence｜>"));
}

}  // namespace
}  // namespace moescope::engine::test
