// A data set of bytes as tokens, built by hand from two small files, and tiny configurations.
#pragma once

#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <iterator>
#include <memory>
#include <string>

#include "engine/error.hpp"
#include "engine/train/trainer.hpp"
#include "tests/files.hpp"
#include "tests/paths.hpp"

namespace moescope::engine::test {

using moescope::test::TemporaryFolder;

inline std::string file_bytes(const std::filesystem::path& path) {
    std::ifstream file(path, std::ios::binary);
    EXPECT_TRUE(file) << path;
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

inline void write_bytes(const std::filesystem::path& path, const std::string& bytes) {
    std::ofstream(path, std::ios::binary | std::ios::trunc)
        .write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

/// No tokenizer: token = byte. The last tenth of each text is held out.
inline std::shared_ptr<Dataset> byte_dataset() {
    auto data = std::make_shared<Dataset>();
    const char* files[kLanguages] = {"english.txt", "chinese.txt"};
    for (std::size_t language = 0; language < kLanguages; ++language) {
        const std::string text =
            file_bytes(std::filesystem::path(moescope::test::test_data()) / "engine/train/data" / files[language]);
        const std::size_t trained = text.size() / 10 * 9;
        for (std::size_t i = 0; i < text.size(); ++i) {
            const auto token = static_cast<std::int32_t>(static_cast<unsigned char>(text[i]));
            if (i < trained) {
                data->train_tokens.push_back(token);
                data->train_languages.push_back(static_cast<std::uint8_t>(language));
            } else {
                data->held_out[language].push_back(token);
            }
        }
    }
    data->name = "two small files";
    data->sha256 = "0123";
    return data;
}

/// The same with a tokenizer, of `vocabulary` tokens, that has nothing to do with the tokens: for samples.
inline std::shared_ptr<Dataset> dataset_with_tokenizer(int vocabulary) {
    auto data = byte_dataset();
    data->tokenizer =
        Tokenizer::train({"the router sends each token to a few experts\n", "a token returns\n"}, vocabulary);
    return data;
}

inline RunConfig tiny_config() {
    RunConfig config;
    config.name = "tiny";
    ModelConfig& m = config.model;
    m.vocabulary = 256;
    m.width = 24;
    m.layers = 2;
    m.heads = 4;
    m.kv_heads = 2;
    m.head_width = 6;
    m.experts = 5;
    m.experts_per_token = 2;
    m.expert_width = 20;
    m.context = 19;
    config.train.batch = 3;
    config.train.steps = 40;
    config.train.warmup_steps = 4;
    config.train.threads = 2;
    config.train.seed = 11;
    return config;
}

/// The message of the Error that `action` throws; fails when it throws none or another kind.
template <class Action>
std::string error_of(const Action& action) {
    try {
        action();
    } catch (const Error& error) {
        return error.what();
    } catch (const std::exception& other) {
        ADD_FAILURE() << "another kind of exception: " << other.what();
        return {};
    }
    ADD_FAILURE() << "no error";
    return {};
}

}  // namespace moescope::engine::test
