#include "engine/files/inspect.hpp"

#include <gtest/gtest.h>
#include <random>

#include "tests/engine/files/gguf_bytes.hpp"
#include "tests/engine/text/temporary_folder.hpp"

namespace moescope::engine {
namespace {

using nlohmann::json;

std::string safetensors(const std::string& header, std::size_t data) {
    return GgufBytes::raw<std::uint64_t>(header.size()) + header + std::string(data, '\0');
}

const std::string kGoodHeader =
    R"({"a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},"b":{"dtype":"BF16","shape":[],"data_offsets":[24,26]}})";

struct Case {
    std::string name, bytes, format, part;  ///< part of the problem; "" when the file is good
};

TEST(Inspect, KnowsEachKindOfFile) {
    const std::string npy_header = "{'descr': '<i4', 'fortran_order': False, 'shape': (3, 2), }";
    const std::string npy =
        "\x93NUMPY\x01" + std::string(1, '\0') + GgufBytes::raw<std::uint16_t>(npy_header.size()) + npy_header;
    const std::string objects = "{'descr': '|O', 'fortran_order': False, 'shape': (3,), }";
    const std::string zip = std::string("PK\x03\x04") + std::string(26, '\0');
    const std::vector<Case> cases = {
        {"empty.gguf", "", "unknown", "is empty"},
        {"short.gguf", "GG", "unknown", "does not start with the GGUF mark"},
        {"page.gguf", "<!doctype html>", "unknown", "download may have failed"},
        {"text.txt", "hello", "unknown", "no model file"},
        {"m.bin", "\x80\x02}q\x00.", "pickle", "can run any code"},
        {"m.pt", "\x80\x02\x8a\x0al\xfc\x9c\x46\xf9 j\xa8P\x19.", "pickle", "safetensors or GGUF"},
        {"m.dat", "\x80\x05\x95....", "pickle", "can run any code"},
        {"zip.pth", zip + "archive/data.pkl" + std::string(600000, 'x'), "pickle", "can run any code"},
        {"late.pth", zip + std::string(600000, 'x') + "archive/data.pkl", "pickle", "can run any code"},
        {"zip.zip", zip + "a.txt", "unknown", "no model file"},
        {"old.pkl", "(dp0\nS'a'\nI1\ns.", "pickle", "can run any code"},
        {"old2.bin", "cos\nsystem\n(S'x'\ntR.", "pickle", "can run any code"},
        {"unknown.pt", "whatever", "unknown", "usually Python pickles"},
        {"UPPER.PTH", "whatever", "unknown", "usually Python pickles"},
        {"good.safetensors", safetensors(kGoodHeader, 26), "safetensors", ""},
        {"noname", safetensors(kGoodHeader, 26), "safetensors", ""},
        {"pad.safetensors", safetensors(kGoodHeader + std::string(0x280 - kGoodHeader.size(), ' '), 26), "safetensors",
         ""},
        {"text.safetensors", "not at all", "safetensors", "header"},
        {"short.safetensors", safetensors(kGoodHeader, 25), "safetensors", "do not fit its shape and the file"},
        {"long.safetensors", safetensors(kGoodHeader, 27), "safetensors", "end at byte 26 of 27"},
        {"array.npy", npy + std::string(24, '\0'), "npy", ""},
        {"cut.npy", npy + std::string(23, '\0'), "npy", "its shape needs 24"},
        {"object.npy", "\x93NUMPY\x01" + std::string(1, '\0') + GgufBytes::raw<std::uint16_t>(objects.size()) + objects,
         "npy", "Python objects"},
        {"v9.npy", "\x93NUMPY\x09" + std::string(10, '\0'), "npy", "version 9 is not 1, 2 or 3"},
    };
    const TemporaryFolder folder;
    for (const Case& c : cases) {
        const FileReport report = inspect_file(folder.write(c.name, c.bytes));
        EXPECT_EQ(report.format(), c.format) << c.name;
        EXPECT_EQ(report.safe, c.part.empty()) << c.name << ": " << report.problem;
        EXPECT_NE(report.problem.english().find(c.part), std::string::npos) << c.name << ": " << report.problem;
        if (!report.safe) {
            EXPECT_NE(report.problem.english().find(c.name), std::string::npos) << report.problem;
        }
    }
}

TEST(Inspect, RandomDamageToSafetensorsAndNumpyNeverCrashes) {
    const TemporaryFolder folder;
    const std::string npy_header = "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 2), }";
    const std::string files[] = {safetensors(kGoodHeader, 26), "\x93NUMPY\x01" + std::string(1, '\0') +
                                                                   GgufBytes::raw<std::uint16_t>(npy_header.size()) +
                                                                   npy_header + std::string(24, '\0')};
    std::mt19937 random(5);
    for (int round = 0; round < 6000; ++round) {
        std::string bytes = files[round % 2];
        for (auto n = 1 + random() % 3; n > 0; --n) {
            bytes[random() % bytes.size()] = static_cast<char>(random());
        }
        bytes.resize(bytes.size() - random() % 3);
        const FileReport report = inspect_file(folder.write("f", bytes));
        ASSERT_EQ(report.safe, report.problem.empty());
        ASSERT_FALSE(report.details.dump().empty());
    }
}

TEST(Inspect, CheckpointFolders) {
    const TemporaryFolder folder;
    const auto report = [&] { return inspect_file(folder.path()); };
    EXPECT_NE(report().problem.english().find("without config.json"), std::string::npos);
    folder.write("config.json", R"({"name":"workshop","model":{}})");
    EXPECT_NE(report().problem.english().find("without model.safetensors"), std::string::npos);
    folder.write("model.safetensors", safetensors(kGoodHeader, 26));
    EXPECT_NE(report().problem.english().find("not finished"), std::string::npos);
    EXPECT_EQ(report().format(), "checkpoint");
    folder.write("DONE", "");
    EXPECT_NE(report().problem.english().find("is a damaged checkpoint"), std::string::npos) << report().problem;
    folder.write("DONE", R"({"files":[{"name":"config.json","bytes":5,"sha256":""}]})");
    EXPECT_NE(report().problem.english().find("config.json has another size"), std::string::npos) << report().problem;
    folder.write("DONE", R"({"files":[]})");
    EXPECT_TRUE(report().safe) << report().problem;
    EXPECT_EQ(report().details["parameters"], 7);
    EXPECT_EQ(report().details["config"]["name"], "workshop");
    folder.write("config.json", "{{");
    EXPECT_NE(report().problem.english().find("config.json"), std::string::npos) << report().problem;
    folder.write("model.safetensors", safetensors(kGoodHeader, 20));
    EXPECT_NE(report().problem.english().find("model.safetensors: not a sound"), std::string::npos) << report().problem;
}

/// Two sound shards with their list.
void write_shards(const TemporaryFolder& folder) {
    folder.write("config.json", R"({"model_type":"mixtral","num_local_experts":8})");
    folder.write("model-00001-of-00002.safetensors",
                 safetensors(R"({"a":{"dtype":"BF16","shape":[2,3],"data_offsets":[0,12]}})", 12));
    folder.write("model-00002-of-00002.safetensors",
                 safetensors(R"({"b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", 4));
    folder.write("model.safetensors.index.json", R"({"weight_map":{"a":"model-00001-of-00002.safetensors",
        "b":"model-00002-of-00002.safetensors"}})");
}

TEST(Inspect, OnlyTheFilesOfTheModelCount) {
    const TemporaryFolder folder;
    write_shards(folder);
    folder.write("._model-00001-of-00002.safetensors", std::string("\0\5\x16\7\0\2\0\0 Mac", 12));
    folder.write("model-00001-of-00002 (1).safetensors", "half a download");
    folder.write("adapter_model.safetensors",
                 safetensors(R"({"lora":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", 4));
    folder.write("pytorch_model.bin", "\x80\x02}q.");
    const FileReport report = inspect_file(folder.path());
    ASSERT_TRUE(report.safe) << report.problem;
    EXPECT_EQ(report.format(), "Hugging Face folder");
    EXPECT_EQ(report.details["files"], json({"model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"}));
    EXPECT_EQ(report.details["not_read"], json({"._model-00001-of-00002.safetensors", "adapter_model.safetensors",
                                                "model-00001-of-00002 (1).safetensors", "pytorch_model.bin"}));
    EXPECT_EQ(report.details["parameters"], 7);
    EXPECT_EQ(report.details["architecture"], "mixtral");
    EXPECT_EQ(report.details["precision"], "BF16") << "the type of most bytes";
    EXPECT_EQ(report.details["experts"], 8);
    // What the list names has to be sound.
    folder.write("model-00002-of-00002.safetensors", "half a download");
    EXPECT_NE(inspect_file(folder.path()).problem.english().find("model-00002-of-00002.safetensors"),
              std::string::npos);
}

TEST(Inspect, AFolderWithoutItsListOrItsWeights) {
    const TemporaryFolder folder;
    write_shards(folder);
    std::filesystem::remove(folder.path() / "model.safetensors.index.json");
    folder.write("model-00001-of-00002 (1).safetensors", "half a download");
    const FileReport report = inspect_file(folder.path());
    ASSERT_TRUE(report.safe) << report.problem;
    EXPECT_EQ(report.details["files"], json({"model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"}));
    EXPECT_EQ(report.details["parameters"], 7);
    std::filesystem::remove(folder.path() / "model-00001-of-00002.safetensors");
    EXPECT_NE(inspect_file(folder.path()).problem.english().find("shard model-00001-of-00002.safetensors is missing"),
              std::string::npos);
    std::filesystem::rename(folder.path() / "model-00002-of-00002.safetensors", folder.path() / "model.2.safetensors");
    EXPECT_NE(inspect_file(folder.path()).problem.english().find("neither model.safetensors nor"), std::string::npos);
    std::filesystem::remove(folder.path() / "model.2.safetensors");
    std::filesystem::remove(folder.path() / "model-00001-of-00002 (1).safetensors");
    folder.write("pytorch_model.bin", "\x80\x02}q.");
    EXPECT_NE(inspect_file(folder.path()).problem.english().find("without safetensors weights"), std::string::npos);
}

TEST(Inspect, WhatIsWrongWithAFolderIsSaidTruly) {
    const TemporaryFolder folder;
    const auto said = [&] { return inspect_file(folder.path()).problem.english(); };
    folder.write("model.safetensors", safetensors(kGoodHeader, 26));
    folder.write("config.json", R"({"architectures":["MixtralForCausalLM"]})");
    EXPECT_TRUE(said().starts_with(folder.path().string() + " has a config.json without \"model_type\"")) << said();
    folder.write("config.json", "null");
    EXPECT_EQ(said(), folder.path().string() + " has a config.json that is no JSON object");
    std::filesystem::remove(folder.path() / "config.json");
    std::filesystem::create_symlink("config.json", folder.path() / "config.json");
    EXPECT_NE(said().find("Too many levels of symbolic links"), std::string::npos) << said();
}

TEST(Inspect, ThingsThatAreNoFiles) {
    EXPECT_NE(inspect_file("/no/such/file.gguf").problem.english().find("/no/such/file.gguf does not exist"),
              std::string::npos);
    EXPECT_NE(inspect_file("/dev/null").problem.english().find("is a device, not a file"), std::string::npos);
    EXPECT_FALSE(inspect_file("").safe);
}

}  // namespace
}  // namespace moescope::engine
