// Models in several GGUF files, and what libllama would end the process over.
#include <functional>
#include <gtest/gtest.h>

#include "engine/error.hpp"
#include "engine/files/gguf_limits.hpp"
#include "engine/files/inspect.hpp"
#include "tests/engine/error_of.hpp"
#include "tests/engine/files/gguf_bytes.hpp"
#include "tests/engine/text/temporary_folder.hpp"

namespace moescope::engine {
namespace {

using nlohmann::json;

/// Part `part` (from 0) of `parts`, with one tensor of 8 floats.
std::string part_bytes(std::uint16_t part, std::uint16_t parts, const std::string& tensor) {
    GgufBytes g;
    if (tensor.empty()) {  // llama-gguf-split --no-tensor-first-split
        g.string("general.architecture", "qwen3moe");
        g.u16("split.no", part);
        g.u16("split.count", parts);
        g.add("split.tensors.count", 5, GgufBytes::raw<std::int32_t>(parts - 1));
        return g.file(0);
    }
    if (part == 0) {
        g.string("general.architecture", "qwen3moe");
        g.string("general.name", "in parts");
        g.u32("qwen3moe.expert_count", 4);
    }
    g.u16("split.no", part);
    g.u16("split.count", parts);
    g.tensor({tensor, {8}, 0, 0});
    return g.file(32);
}

TEST(GgufParts, AnyPartNamesTheModel) {
    const TemporaryFolder folder;
    for (std::uint16_t part = 0; part < 3; ++part) {
        folder.write("m-0000" + std::to_string(part + 1) + "-of-00003.gguf",
                     part_bytes(part, 3, "t" + std::to_string(part)));
    }
    for (const char* name : {"m-00001-of-00003.gguf", "m-00003-of-00003.gguf"}) {
        const FileReport report = inspect_file(folder.path() / name);
        ASSERT_TRUE(report.safe) << report.problem;
        EXPECT_EQ(report.details["parts"],
                  json({"m-00001-of-00003.gguf", "m-00002-of-00003.gguf", "m-00003-of-00003.gguf"}));
        EXPECT_EQ(report.details["name"], "in parts");
        EXPECT_EQ(report.details["experts"], 4);
        EXPECT_EQ(report.details["tensors"], 3);
        EXPECT_EQ(report.details["parameters"], 24);
        std::uint64_t bytes = 0;
        for (const auto& entry : std::filesystem::directory_iterator(folder.path())) {
            bytes += entry.file_size();
        }
        EXPECT_EQ(report.details["bytes"], bytes);
        const GgufModel model = read_gguf_model(folder.path() / name);
        EXPECT_EQ(model.parts.size(), 3u);
        EXPECT_EQ(model.header.tensors.at(2).name, "t2");
        EXPECT_EQ(model.header.tensors.at(2).part, 2u);
    }
}

TEST(GgufParts, WhatIsMissingOrOfAnotherModelIsNamed) {
    const TemporaryFolder folder;
    const auto said = [&](const char* name) { return inspect_file(folder.path() / name).problem.english(); };
    folder.write("m-00001-of-00002.gguf", part_bytes(0, 2, "a"));
    EXPECT_NE(said("m-00001-of-00002.gguf").find("m-00002-of-00002.gguf is missing"), std::string::npos);
    folder.write("m-00002-of-00002.gguf", part_bytes(0, 2, "a"));
    EXPECT_NE(said("m-00001-of-00002.gguf").find("m-00002-of-00002.gguf says that it is part 1 of 2"),
              std::string::npos);
    folder.write("m-00002-of-00002.gguf", part_bytes(1, 2, "a"));
    EXPECT_NE(said("m-00001-of-00002.gguf").find("two of which hold the tensor 'a'"), std::string::npos);
    folder.write("m-00002-of-00002.gguf", part_bytes(1, 2, "b").substr(0, 60));
    EXPECT_NE(said("m-00001-of-00002.gguf").find("of which m-00002-of-00002.gguf ends at byte 60"), std::string::npos);
    folder.write("renamed.gguf", part_bytes(0, 2, "a"));
    EXPECT_NE(said("renamed.gguf").find("does not end with -00001-of-00002.gguf"), std::string::npos);
    GgufBytes many;
    many.u32("split.count", 4'000'000'000U);
    folder.write("m-00001-of-4000000000.gguf", many.file(0));
    EXPECT_NE(said("m-00001-of-4000000000.gguf").find("part 1 of 4000000000"), std::string::npos);
}

TEST(GgufParts, TheFirstPartMayHoldNoTensorAndCountsAll) {
    const TemporaryFolder folder;
    folder.write("m-00001-of-00003.gguf", part_bytes(0, 3, ""));
    folder.write("m-00002-of-00003.gguf", part_bytes(1, 3, "a"));
    folder.write("m-00003-of-00003.gguf", part_bytes(2, 3, "b"));
    const FileReport report = inspect_file(folder.path() / "m-00002-of-00003.gguf");
    ASSERT_TRUE(report.safe) << report.problem;
    EXPECT_EQ(report.details["architecture"], "qwen3moe");
    EXPECT_EQ(report.details["tensors"], 2);
    GgufBytes empty;
    empty.u16("split.no", 2);
    empty.u16("split.count", 3);
    folder.write("m-00003-of-00003.gguf", empty.file(0));
    const std::string problem = inspect_file(folder.path() / "m-00001-of-00003.gguf").problem.english();
    EXPECT_NE(problem.find("is said to have 2 tensors, but they hold 1"), std::string::npos) << problem;
}

TEST(GgufParts, NamesAndFilesThatDisagreeAreSaid) {
    const TemporaryFolder folder;
    const auto said = [&](const char* name, const std::function<void(GgufBytes&)>& change) {
        GgufBytes g;
        g.string("general.architecture", "qwen3moe");
        change(g);
        g.tensor({"a", {8}, 0, 0});
        folder.write(name, g.file(32));
        return inspect_file(folder.path() / name).problem.english();
    };
    EXPECT_EQ(said("m-00001-of-00001.gguf", [](GgufBytes&) {}), "");
    EXPECT_NE(said("m-00001-of-00003.gguf", [](GgufBytes&) {}).find("has the name of part 1 of 3 of a model, but"),
              std::string::npos);
    EXPECT_NE(said("m-00001-of-00003.gguf", [](GgufBytes& g) { g.u16("split.count", 5); })
                  .find("is part 1 of 5 of a model, but its name does not end with -00001-of-00005.gguf"),
              std::string::npos);
    for (const char* key : {"split.count", "split.no"}) {
        EXPECT_NE(said("m.gguf", [&](GgufBytes& g) { g.string(key, "x"); }).find(std::string("its ") + key + " is no"),
                  std::string::npos);
        EXPECT_NE(said("m.gguf", [&](GgufBytes& g) { g.add(key, 5, GgufBytes::raw<std::int32_t>(-1)); })
                      .find(std::string("its ") + key + " is no"),
                  std::string::npos);
    }
    EXPECT_NE(said("m.gguf", [](GgufBytes& g) { g.add("split.count", 10, GgufBytes::raw<std::uint64_t>(~0ULL)); })
                  .find("is part 1 of 18446744073709551615"),
              std::string::npos);
}

/// What check_limits_of_libllama says about small_moe after a change.
std::string limits(const std::function<void(GgufBytes&)>& change) {
    const TemporaryFolder folder;
    GgufBytes g;
    g.string("general.architecture", "qwen3moe");
    change(g);
    g.tensor({"t", {8}, 0, 0});
    const auto path = folder.write("m.gguf", g.file(32));
    return error_of([&] { check_limits_of_libllama(path, read_gguf(path)); });
}

TEST(GgufLimits, WhatWouldEndTheProcessIsASentence) {
    const auto said = [](const std::string& message, const std::string& part) {
        EXPECT_NE(message.find(part), std::string::npos) << message;
    };
    EXPECT_EQ(limits([](GgufBytes& g) {
                  g.u32("qwen3moe.block_count", 512);
                  g.u32("qwen3moe.expert_count", 8);
                  g.u32("qwen3moe.expert_used_count", 2);
                  g.strings("tokenizer.ggml.tokens", {"a", "b", ""});
              }),
              "no error");
    said(limits([](GgufBytes& g) { g.u32("qwen3moe.block_count", 4'000'000'000U); }),
         "qwen3moe.block_count is 4000000000; from 1 to 512");
    said(limits([](GgufBytes& g) { g.u32("qwen3moe.block_count", 0); }), "block_count is 0");
    said(limits([](GgufBytes& g) { g.u32("qwen3moe.expert_count", 2000); }), "expert_count is 2000; from 0 to 1024");
    said(limits([](GgufBytes& g) {
             g.u32("qwen3moe.expert_count", 4);
             g.u32("qwen3moe.expert_used_count", 5);
         }),
         "expert_used_count is 5; from 1 to 4");
    said(limits([](GgufBytes& g) { g.u32("qwen3moe.expert_count", 4); }), "does not say how many");
    said(limits([](GgufBytes& g) {
             g.u32("qwen3moe.expert_count", 6);
             g.u32("qwen3moe.expert_used_count", 2);
             g.u32("qwen3moe.expert_group_count", 4);
         }),
         "6 experts in 4 groups");
    said(limits([](GgufBytes& g) {
             g.u32("qwen3moe.attention.key_length", 16);
             g.u32("qwen3moe.rope.dimension_count", 8);
         }),
         "rope.dimension_count is 8; from 16 to 16");
    said(limits([](GgufBytes& g) {
             g.strings("tokenizer.ggml.tokens", {"a", "b", "c", "b"});
         }),
         "has the token 'b' twice, as number 1 and as number 3");
    said(limits([](GgufBytes& g) { g.strings("tokenizer.ggml.tokens", {"", "[EMPTY_0]"}); }), "[EMPTY_0]");
    EXPECT_EQ(limits([](GgufBytes& g) {
                  g.string("tokenizer.ggml.model", "no_vocab");
                  g.strings("tokenizer.ggml.tokens", {"b", "b"});
              }),
              "no error");
}

}  // namespace
}  // namespace moescope::engine
