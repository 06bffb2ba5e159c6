#include <functional>
#include <nlohmann/json.hpp>

#include "base/atomic_files.hpp"
#include "engine/checkpoint/loaded_model.hpp"
#include "tests/engine/train/fixtures.hpp"

namespace moescope::engine::test {
namespace {

namespace fs = std::filesystem;

TEST(Checkpoint, GoesOnBitForBit) {
    const TemporaryFolder folder;
    Trainer whole(tiny_config(), byte_dataset());
    for (int i = 0; i < 7; ++i) {
        whole.step();
    }
    whole.set("balance_coefficient", 0.03);
    whole.save(folder.path());
    const auto resumed = Trainer::load(folder.path(), byte_dataset());
    EXPECT_EQ(resumed->steps_done(), 7u);
    EXPECT_EQ(resumed->parameters_sha256(), whole.parameters_sha256());
    EXPECT_EQ(resumed->config().train.balance_coefficient, 0.03);
    for (int i = 0; i < 5; ++i) {
        const StepStats a = whole.step(), b = resumed->step();
        EXPECT_EQ(a.loss, b.loss);
        EXPECT_EQ(a.step, b.step);
        EXPECT_EQ(a.tokens_total, b.tokens_total);
        EXPECT_EQ(a.gradient_norm, b.gradient_norm);
        EXPECT_EQ(a.learning_rate, b.learning_rate);
        EXPECT_EQ(a.counts, b.counts);
    }
    EXPECT_EQ(resumed->parameters_sha256(), whole.parameters_sha256());
    const TemporaryFolder again, once;
    whole.save(once.path());
    resumed->save(again.path());
    for (const char* name : {"model.safetensors", "optimizer.safetensors", "config.json", "state.json"}) {
        EXPECT_EQ(file_bytes(once.path() / name), file_bytes(again.path() / name)) << name;
    }
}

class DamagedCheckpoint : public testing::Test {
 protected:
    void SetUp() override { Trainer(tiny_config(), byte_dataset()).save(folder.path()); }
    std::string message() {
        return error_of([&] { Trainer::load(folder.path(), byte_dataset()); });
    }
    void change_json(const char* name, const std::function<void(nlohmann::json&)>& change) {
        auto value = nlohmann::json::parse(file_bytes(folder.path() / name));
        change(value);
        write_bytes(folder.path() / name, value.dump());
    }
    TemporaryFolder folder;
};

TEST_F(DamagedCheckpoint, EveryMissingFileIsNamed) {
    for (const char* name : {"model.safetensors", "optimizer.safetensors", "config.json", "state.json"}) {
        const std::string bytes = file_bytes(folder.path() / name);
        fs::remove(folder.path() / name);
        EXPECT_NE(message().find(name), std::string::npos);
        fs::create_directory(folder.path() / name);
        EXPECT_NE(message().find(name), std::string::npos);
        fs::remove(folder.path() / name);
        for (const std::size_t size : {std::size_t{0}, std::size_t{5}, bytes.size() / 2, bytes.size() - 3}) {
            write_bytes(folder.path() / name, bytes.substr(0, size));
            EXPECT_NE(message().find(name), std::string::npos) << size;
        }
        write_bytes(folder.path() / name, bytes);
    }
    EXPECT_NO_THROW(Trainer::load(folder.path(), byte_dataset()));
}

TEST_F(DamagedCheckpoint, FilesThatDoNotBelongTogetherAreRefused) {
    change_json("config.json", [](auto& v) { v["model"]["experts"] = 6; });
    EXPECT_NE(message().find("model.safetensors"), std::string::npos);
    change_json("config.json", [](auto& v) { v["model"]["experts"] = 4; });
    EXPECT_NE(message().find("model.safetensors"), std::string::npos);
    change_json("config.json",
                [](auto& v) { v["model"]["experts"] = 5, v["model"]["width"] = 16384, v["model"]["layers"] = 256; });
    EXPECT_NE(message().find("model.safetensors"), std::string::npos);
}

TEST_F(DamagedCheckpoint, StateIsChecked) {
    change_json("state.json", [](auto& v) { v["updates"] = 9; });
    EXPECT_NE(message().find("state.json"), std::string::npos);
    change_json("state.json", [](auto& v) { v["updates"] = -1; });
    EXPECT_NE(message().find("state.json"), std::string::npos);
    change_json("state.json", [](auto& v) { v["updates"] = 0, v["format"] = 2; });
    EXPECT_NE(message().find("newer"), std::string::npos);
    for (const nlohmann::json& format :
         {nlohmann::json(-1), nlohmann::json(), nlohmann::json("x"), nlohmann::json(0)}) {
        change_json("state.json", [&](auto& v) { v["format"] = format; });
        EXPECT_NE(message().find("\"format\" is missing or no whole number"), std::string::npos) << message();
    }
    change_json("state.json", [](auto& v) { v["format"] = 1, v["data_sha256"] = "else"; });
    EXPECT_NE(message().find("not on these data"), std::string::npos);
}

TEST_F(DamagedCheckpoint, ABrokenTokenizerIsNamed) {
    write_bytes(folder.path() / "tokenizer.model", "not a SentencePiece model");
    EXPECT_NE(error_of([&] { load_model(folder.path()); }).find("tokenizer.model"), std::string::npos);
}

/// Weights that a disk or a person changed afterwards look like any others.
TEST(Checkpoint, WhatChangedAfterItWasSavedIsNotUsed) {
    const TemporaryFolder space;
    const fs::path folder = space.path() / "saved";
    base::AtomicFolder saved(folder);
    Trainer(tiny_config(), byte_dataset()).save(saved.path());
    saved.commit();
    const auto said = [&] { return error_of([&] { load_model(folder); }); };
    ASSERT_EQ(said(), "no error");
    for (const std::string name : {"model.safetensors", "config.json", "state.json"}) {
        const std::string bytes = file_bytes(folder / name);
        std::string other = bytes;
        other[other.size() - 9] ^= 1;
        write_bytes(folder / name, other);
        EXPECT_EQ(said(), folder.string() + ": the content of " + name +
                              " has changed since it was saved; the checkpoint is damaged, use another one");
        write_bytes(folder / name, bytes + " ");
        EXPECT_NE(said().find("the file " + name + " has another size"), std::string::npos) << said();
        write_bytes(folder / name, bytes);
    }
    ASSERT_EQ(said(), "no error");
    const auto done = nlohmann::json::parse(file_bytes(folder / "DONE"));
    const auto with = [&](const std::function<void(nlohmann::json&)>& change) {
        auto value = done;
        change(value);
        write_bytes(folder / "DONE", value.dump());
        return said();
    };
    EXPECT_NE(with([](auto& v) { v["files"].clear(); }).find("DONE does not list config.json"), std::string::npos);
    EXPECT_NE(with([](auto& v) { v["files"][0]["sha256"] = 5; }).find("DONE has an entry"), std::string::npos);
    EXPECT_NE(with([](auto& v) { v["format"] = 2; }).find("newer version"), std::string::npos);
    for (const nlohmann::json& format :
         {nlohmann::json(-1), nlohmann::json(), nlohmann::json("x"), nlohmann::json(0)}) {
        EXPECT_NE(with([&](auto& v) { v["format"] = format; }).find("DONE can't be read"), std::string::npos) << format;
    }
    fs::remove(folder / "DONE");
    fs::create_symlink("DONE", folder / "DONE");
    EXPECT_NE(said().find("Too many levels of symbolic links"), std::string::npos) << said();
}

TEST(Checkpoint, SavingIntoNothingIsOneSentence) {
    const TemporaryFolder folder;
    Trainer trainer(tiny_config(), byte_dataset());
    EXPECT_NE(error_of([&] { trainer.save(folder.path() / "absent"); }).find("model.safetensors"), std::string::npos);
}

}  // namespace
}  // namespace moescope::engine::test
