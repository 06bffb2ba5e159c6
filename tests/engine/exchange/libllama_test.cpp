// Our GGUF files in libllama: it opens them, computes what we compute and cuts text as we do.
#include <fstream>
#include <nlohmann/json.hpp>

#include "engine/error.hpp"
#include "engine/exchange/gguf_export.hpp"
#include "engine/exchange/gguf_import.hpp"
#include "engine/exchange/hugging_face_import.hpp"
#include "engine/files/inspect.hpp"
#include "engine/runner/language_model.hpp"
#include "exchange_models.hpp"
#include "golden_files.hpp"
#include "tests/engine/error_of.hpp"
#include "tests/engine/text/temporary_folder.hpp"
#include "tests/paths.hpp"

namespace moescope::engine::test {
namespace {

// libllama keeps keys and values in half precision, which costs about 1e-7.
constexpr double kMostError = 1e-6;

std::vector<std::string> text_lines() {
    std::vector<std::string> lines;
    for (const char* name : {"english.txt", "chinese.txt"}) {
        std::ifstream file(std::filesystem::path(moescope::test::test_data()) / "engine/train/data" / name);
        for (std::string line; std::getline(file, line);) {
            lines.push_back(line);
        }
    }
    return lines;
}

std::vector<std::int32_t> some_tokens(int count, int vocabulary) {
    std::vector<std::int32_t> tokens;
    std::mt19937 random(3);
    for (int i = 0; i < count; ++i) {
        tokens.push_back(static_cast<std::int32_t>(random() % static_cast<unsigned>(vocabulary)));
    }
    return tokens;
}

double libllama_error(const std::filesystem::path& path, std::span<const std::int32_t> tokens,
                      std::span<const float> wanted) {
    return normalised_error(open_model(path, 1)->logits(tokens), wanted);
}

TEST(Libllama, ComputesWhatWeCompute) {
    for (const SmallModel& small : small_models()) {
        SCOPED_TRACE(small.name);
        const TemporaryFolder folder;
        const Filled filled = fill(small.model, 31);
        const auto path = folder.path() / "m.gguf";
        export_gguf(path, small.model, filled.layout, filled.parameters.data(), nullptr);
        const std::vector<std::int32_t> tokens = some_tokens(30, small.model.vocabulary);
        const std::vector<float> ours = forward_logits(loaded(import_gguf(path)), tokens, 1);
        const double error = libllama_error(path, tokens, ours);
        EXPECT_LE(error, kMostError);
        std::printf("%-26s normalised error %.1e\n", small.name.c_str(), error);
    }
}

/// From the files of transformers to GGUF to libllama; nothing of ours computes in between.
TEST(Libllama, ComputesWhatTransformersComputes) {
    int compared = 0;
    for (const auto& golden : golden_folders()) {
        SCOPED_TRACE(golden.filename().string());
        const TemporaryFolder folder;
        const ImportedModel model = import_hugging_face(golden);
        const auto path = folder.path() / "m.gguf";
        try {
            export_gguf(path, model.model, model.layout, model.parameters, nullptr);
        } catch (const Error& error) {
            std::printf("%-26s %s\n", golden.filename().c_str(), error.what());
            continue;
        }
        const double error =
            libllama_error(path, read_npy_tokens(golden / "tokens.npy"), read_npy_floats(golden / "logits.npy"));
        EXPECT_LE(error, kMostError);
        std::printf("%-26s normalised error %.1e\n", golden.filename().c_str(), error);
        ++compared;
    }
    EXPECT_GE(compared, 7);
}

TEST(Libllama, CutsTextAsWeDo) {
    const std::vector<std::string> lines = text_lines();
    const auto tokenizer = Tokenizer::train(lines, 800);
    ModelConfig model = small_config();
    model.vocabulary = tokenizer->size() + 3;
    const Filled filled = fill(model, 32);
    const TemporaryFolder folder;
    const auto path = folder.path() / "m.gguf";
    export_gguf(path, model, filled.layout, filled.parameters.data(), tokenizer.get());
    const auto theirs = open_model(path, 1);
    std::vector<std::string> texts = {"",
                                      " ",
                                      "  ",
                                      "\n",
                                      "\n\n \n",
                                      "Hello, world.",
                                      " leading and trailing ",
                                      "two  spaces   three",
                                      "tab\tthere",
                                      "你好，世界。",
                                      "中文 and English 混在一起。",
                                      "emoji 😀 and 👩‍👩‍👧, ünïcödé ▁ mark",
                                      "line one\nline two\r\n",
                                      "<s> </s> <unk> <0xE4>",
                                      "12345 3.14 x=1;",
                                      std::string("zero\0byte", 9)};
    texts.insert(texts.end(), lines.begin(), lines.end());
    std::size_t tokens = 0;
    for (const std::string& text : texts) {
        const std::vector<std::int32_t> ours = tokenizer->encode(text);
        EXPECT_EQ(theirs->tokenize(text, false), ours) << text;
        tokens += ours.size();
    }
    EXPECT_GT(tokens, 1000u);
    std::printf("%zu texts, %zu tokens\n", texts.size(), tokens);
}

TEST(Libllama, WritesTheBytesOfOurTokens) {
    const auto tokenizer = Tokenizer::train(text_lines(), 600);
    ModelConfig model = small_config();
    model.vocabulary = tokenizer->size();
    const Filled filled = fill(model, 33);
    const TemporaryFolder folder;
    const auto path = folder.path() / "m.gguf";
    export_gguf(path, model, filled.layout, filled.parameters.data(), tokenizer.get());
    const std::atomic<bool> cancel = false;
    GenerateRequest request;
    request.prompt = "The ";
    request.chat = false;
    request.max_tokens = 40;
    request.sampling.temperature = 2.0;
    request.sampling.top_k = 0;
    request.sampling.top_p = 1.0;
    request.sampling.min_p = 0.0;
    int seen = 0;
    open_model(path, 1)->generate(
        request,
        [&](const GeneratedToken& token) {
            // Control pieces and those that only fill up the vocabulary stand for no text.
            if (const std::string bytes = tokenizer->piece_bytes(token.chosen.token); !bytes.empty()) {
                EXPECT_EQ(token.chosen.bytes, bytes) << token.chosen.token;
                ++seen;
            }
        },
        cancel);
    EXPECT_GT(seen, 0);
}

TEST(Libllama, OpensAModelInParts) {
    const SmallModel small = small_models()[0];
    const Filled filled = fill(small.model, 34);
    const TemporaryFolder folder;
    write_in_parts(folder.path(), small, filled, {{"tokenizer.ggml.model", std::string("no_vocab")}});
    const std::vector<std::int32_t> tokens = some_tokens(30, small.model.vocabulary);
    const std::vector<float> ours =
        forward_logits(loaded(import_gguf(folder.path() / "m-00001-of-00002.gguf")), tokens, 1);
    for (const char* part : {"m-00001-of-00002.gguf", "m-00002-of-00002.gguf"}) {
        EXPECT_LE(libllama_error(folder.path() / part, tokens, ours), kMostError) << part;
    }
}

/// What is said to somebody who asks the model in `path`.
std::string answer_of(const std::filesystem::path& path) {
    const std::atomic<bool> cancel = false;
    GenerateRequest request;
    request.prompt = "The ";
    return error_of([&] {
        open_model(path, 1)->generate(
            request, [](const GeneratedToken&) {}, cancel);
    });
}

/// In libllama each of these ends the process.
TEST(Libllama, WithoutATokenizerItGivesLogitsAndAReason) {
    const SmallModel small = small_models()[1];
    const Filled filled = fill(small.model, 35);
    const TemporaryFolder folder;
    const auto path = folder.path() / "m.gguf";
    export_gguf(path, small.model, filled.layout, filled.parameters.data(), nullptr);
    EXPECT_EQ(inspect_file(path).details["tokenizer"], "");
    EXPECT_NE(answer_of(path).find("m.gguf cannot read or write text: it has no tokenizer"), std::string::npos)
        << answer_of(path);
    EXPECT_EQ(open_model(path, 1)->logits(some_tokens(5, small.model.vocabulary)).size(),
              5U * static_cast<unsigned>(small.model.vocabulary));
}

TEST(Libllama, TokenizersThatWouldEndTheProcessAreRefusedWithTheReason) {
    const auto tokenizer = Tokenizer::train(text_lines(), 600);
    SmallModel small = small_models()[0];
    small.model.vocabulary = tokenizer->size();
    const Filled filled = fill(small.model, 36);
    const TemporaryFolder folder;
    const auto path = folder.path() / "m.gguf";
    const auto said = [&](const std::function<void(GgufValues&)>& change) {
        GgufValues values = gguf_model_values(small.type, small.model);
        for (auto& value : gguf_tokenizer_values(*tokenizer, small.model.vocabulary)) {
            values.push_back(value);
        }
        change(values);
        std::vector<GgufOutput> outputs;
        const auto tensors = gguf_tensors(small.type, small.model, filled.layout);
        for (const FileTensor& t : tensors) {
            outputs.push_back(
                {t.name, t.shape, GgufFloat::f32, [&](std::span<float> v) { gather(v, filled.parameters.data(), t); }});
        }
        write_gguf(path, values, outputs);
        return answer_of(path);
    };
    const auto set = [](GgufValues& values, const std::string& key, const GgufValue& value) {
        std::erase_if(values, [&](const auto& one) { return one.first == key; });
        values.emplace_back(key, value);
    };
    EXPECT_EQ(said([](GgufValues&) {}), "no error");
    // Unigram of T5, which has no begin token by itself.
    const std::string begin = said([&](GgufValues& values) {
        set(values, "tokenizer.ggml.model", std::string("t5"));
        std::erase_if(values, [](const auto& one) { return one.first == "tokenizer.ggml.bos_token_id"; });
    });
    EXPECT_NE(begin.find("begins every text with a token that it does not name"), std::string::npos) << begin;
    const std::string twice = said([&](GgufValues& values) {
        for (auto& [key, value] : values) {
            if (key == "tokenizer.ggml.tokens") {
                auto& tokens = std::get<std::vector<std::string>>(value);
                tokens[500] = tokens[400];
            }
        }
    });
    EXPECT_NE(twice.find("twice, as number 400 and as number 500"), std::string::npos) << twice;
    const std::string layers = said([&](GgufValues& values) { set(values, "qwen3moe.block_count", 0x7fff'ffffU); });
    EXPECT_NE(layers.find("qwen3moe.block_count is 2147483647"), std::string::npos) << layers;
    const std::string heads =
        said([&](GgufValues& values) { set(values, "qwen3moe.rope.dimension_count", std::uint32_t{4}); });
    EXPECT_NE(heads.find("rope.dimension_count is 4"), std::string::npos) << heads;
}

}  // namespace
}  // namespace moescope::engine::test
