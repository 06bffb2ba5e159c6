// Outside data that is wrong: exit status 1, exactly one line on standard error that names the file or the value,
// nothing crashed.
#include <algorithm>
#include <fstream>
#include <gtest/gtest.h>

#include "tests/nodes/service/program.hpp"
#include "tests/paths.hpp"

namespace moescope::test {
namespace {

using nlohmann::json;

void expect_one_sentence(const Arguments& arguments, const std::string& names, int status = 1) {
    const Output output = run_node(arguments);
    SCOPED_TRACE(arguments[0] + ": " + output.error);
    EXPECT_EQ(output.status, status);
    EXPECT_EQ(std::count(output.error.begin(), output.error.end(), '\n'), 1);
    EXPECT_NE(output.error.find(names), std::string::npos) << "does not name " << names;
}

class BadInput : public testing::Test {
 protected:
    Arguments train(const std::filesystem::path& config, const std::filesystem::path& data) const {
        return {"train", "--config", config.string(), "--data", data.string(), "--out", (folder / "out").string()};
    }
    std::filesystem::path file(const std::string& name, const std::string& content) const {
        const auto path = folder / name;
        write_text(path, content);
        return path;
    }
    std::filesystem::path changed_config(const std::string& name, const json& patch) const {
        json config = tiny_config(10, 5);
        config.merge_patch(patch);
        return file(name, config.dump());
    }
    TemporaryFolder folder;
};

TEST_F(BadInput, Models) {
    const auto missing = folder / "missing.gguf";
    // What torch.save writes: protocol 2, a global, a call.
    using namespace std::string_literals;
    const auto pickle = file("weights.bin",
                             "\x80\x02"
                             "cos\nsystem\nq\x00X\x02\x00\x00\x00lsq\x01\x85q\x02Rq\x03."s);
    const auto empty = file("empty.gguf", "");
    const auto cut = file("cut.gguf", std::string("GGUF\x03\0\0\0\x05\0\0\0", 12));
    const auto text = file("notes.txt", "this is no model\n");
    for (const auto& path : {missing, pickle, empty, cut, text}) {
        expect_one_sentence({"inspect", path.string()}, path.filename().string());
        expect_one_sentence({"generate", "--model", path.string(), "--prompt", "hello"}, path.filename().string());
        expect_one_sentence({"models", "add", path.string()}, path.filename().string());
    }
    const Output reason = run_node({"inspect", pickle.string()});
    EXPECT_NE(reason.error.find("pickle"), std::string::npos) << reason.error;
    expect_one_sentence({"generate", "--model", "no-such-model", "--prompt", "hello"}, "no-such-model");
}

TEST_F(BadInput, Configurations) {
    const auto corpus = write_corpus(folder);
    expect_one_sentence(train(folder / "missing.json", corpus), "missing.json");
    expect_one_sentence(train(file("broken.json", "{\"name\": "), corpus), "broken.json");
    expect_one_sentence(train(changed_config("key.json", {{"train", {{"learning_rates", 1}}}}), corpus),
                        "learning_rates");
    expect_one_sentence(train(changed_config("text.json", {{"model", {{"experts", "four"}}}}), corpus), "experts");
    expect_one_sentence(train(changed_config("range.json", {{"model", {{"experts_per_token", 9}}}}), corpus),
                        "range.json");
    expect_one_sentence(
        train(changed_config("large.json", {{"model", {{"width", 4096}, {"experts", 512}, {"expert_width", 8192}}}}),
              corpus),
        "GB can be had here");
    std::string nan = tiny_config(10, 5).dump();
    nan.insert(nan.find("\"batch\""), "\"learning_rate\":NaN,");
    expect_one_sentence(train(file("nan.json", nan), corpus), "nan.json");
    std::string twice = tiny_config(10, 5).dump();
    twice.insert(twice.find("\"batch\""), "\"batch\":3,");
    expect_one_sentence(train(file("twice.json", twice), corpus), "twice.json has the key \"batch\" twice");
    for (const char* place : {"name", "model", "train"}) {
        json null = tiny_config(10, 5);
        null[place] = nullptr;
        expect_one_sentence(train(file("null.json", null.dump()), corpus), "null");
    }
    const json whole = tiny_config(10, 5);
    for (const auto& [key, value] : whole["train"].items()) {
        json null = tiny_config(10, 5);
        null["train"][key] = nullptr;
        expect_one_sentence(train(file("null.json", null.dump()), corpus), "train." + key + " is null");
    }
    EXPECT_FALSE(std::filesystem::exists(folder / "out")) << "a refused configuration leaves no session behind";
}

TEST_F(BadInput, Texts) {
    const auto config = write_config(folder, tiny_config(10, 5));
    expect_one_sentence(train(config, folder / "missing.txt"), "missing.txt");
    expect_one_sentence(train(config, file("empty.txt", "")), "empty.txt");
    expect_one_sentence(train(config, file("latin1.txt", "caf\xe9 is not UTF-8\n")), "latin1.txt");
}

TEST_F(BadInput, Prompts) {
    const auto corpus = write_corpus(folder);
    const auto config = write_config(folder, tiny_config(5, 5));
    ASSERT_EQ(run_node(train(config, corpus)).status, 0);
    const std::string model = (folder / "out").string();
    std::string long_prompt;
    for (int i = 0; i < 200; ++i) {
        long_prompt += "The router reads a line. ";
    }
    expect_one_sentence({"generate", "--model", model, "--prompt", long_prompt, "--max-tokens", "8"}, "32");
    expect_one_sentence({"generate", "--model", model, "--prompt", "\xff\xfe"}, "UTF-8");
    expect_one_sentence({"generate", "--model", model, "--prompt", ""}, "prompt");
    expect_one_sentence({"generate", "--model", model, "--prompt", "hello", "--temperature", "nan"}, "temperature", 2);
}

TEST_F(BadInput, ProbeSets) {
    const auto set =
        json::parse(read_text(std::filesystem::path(moescope::test::source_assets()) / "probe_sets" / "starter.json"));
    const auto probe = [&](const std::filesystem::path& path) {
        return Arguments{"probe",
                         "--set",
                         path.string(),
                         "--models",
                         "smollm2-135m,qwen2.5-coder-0.5b",
                         "--out",
                         (folder / "probe").string()};
    };
    json untranslated = set;
    untranslated["items"][0]["prompt"].erase("zh");
    expect_one_sentence(probe(file("untranslated.json", untranslated.dump())), "untranslated.json");
    json unknown = set;
    unknown["items"][0]["colour"] = "red";
    expect_one_sentence(probe(file("unknown.json", unknown.dump())), "unknown.json");
    expect_one_sentence(probe(folder / "missing.json"), "missing.json");
    EXPECT_FALSE(std::filesystem::exists(folder / "probe"));
}

TEST_F(BadInput, Sessions) {
    const auto corpus = write_corpus(folder);
    const auto config = write_config(folder, tiny_config(5, 5));
    const auto plain = file("plain", "not a folder");
    Arguments arguments = train(config, corpus);
    arguments.back() = plain.string();
    expect_one_sentence(arguments, plain.string());
    expect_one_sentence({"report", plain.string(), "--out", (folder / "r.html").string()}, plain.string());
    expect_one_sentence({"report", (folder / "nothing").string(), "--out", (folder / "r.html").string()}, "nothing");
    expect_one_sentence({"serve", "--socket", (folder / "s").string(), "--session", plain.string()}, plain.string());
}

TEST_F(BadInput, ASessionOfANewerVersionIsNoModel) {
    file("s/manifest.json", R"({"program":"moescope","format":99})");
    file("s/segments/seg", "");
    expect_one_sentence({"generate", "--model", (folder / "s").string(), "--prompt", "x"}, "newer Moescope");
    expect_one_sentence(
        {"export", "--model", (folder / "s").string(), "--format", "gguf", "--out", (folder / "x.gguf").string()},
        "newer Moescope");
}

TEST_F(BadInput, LinksInACircleAreCalledSo) {
    std::filesystem::create_symlink("circle", folder / "circle");
    const std::string circle = (folder / "circle").string();
    for (const Arguments& arguments :
         {Arguments{"generate", "--model", circle, "--prompt", "x"}, Arguments{"inspect", circle},
          Arguments{"models", "add", circle}, Arguments{"label", circle}, Arguments{"report", circle, "--out", "x"},
          train(changed_config("c.json", json::object()), circle)}) {
        expect_one_sentence(arguments, "Too many levels of symbolic links");
    }
}

TEST_F(BadInput, Tokens) {
    const auto corpus = write_corpus(folder);
    ASSERT_EQ(run_node(train(write_config(folder, tiny_config(5, 5)), corpus)).status, 0);
    const auto logits = [&](const std::filesystem::path& tokens) {
        return Arguments{"logits",        "--model", (folder / "out").string(),       "--tokens",
                         tokens.string(), "--out",   (folder / "logits.npy").string()};
    };
    expect_one_sentence(logits(folder / "missing.npy"), "missing.npy");
    expect_one_sentence(logits(file("text.npy", "hello")), "text.npy");
    EXPECT_FALSE(std::filesystem::exists(folder / "logits.npy"));
}

TEST_F(BadInput, NumbersOfOptionsAreCheckedWithTheirRange) {
    const auto train_with = [](const char* option, const char* value) {
        return Arguments{"train", "--preset", "workshop", "--out", "/no/such/folder/s", option, value};
    };
    expect_one_sentence(train_with("--steps", ""), "'' is not a whole number from 1 to", 2);
    expect_one_sentence(train_with("--steps", "0"), "'0' is not a whole number from 1 to", 2);
    expect_one_sentence(train_with("--steps", "1e3"), "'1e3' is not a whole number", 2);
    expect_one_sentence(train_with("--steps", "99999999999999999999"), "whole number from 1 to", 2);
    expect_one_sentence(train_with("--seed", ""), "from 0 to 18446744073709551615", 2);
    expect_one_sentence(train_with("--seed", "-1"), "'-1' is not a whole number from 0", 2);
    expect_one_sentence(train_with("--seed", "18446744073709551616"), "from 0 to 18446744073709551615", 2);
    expect_one_sentence(train_with("--threads", "5000"), "from 0 to 1024", 2);
    expect_one_sentence(train_with("--data", ""), "--data", 2);
    const auto generate_with = [](const char* option, const char* value) {
        return Arguments{"generate", "--model", "x", "--prompt", "y", option, value};
    };
    expect_one_sentence(generate_with("--max-tokens", ""), "'' is not a whole number from 1", 2);
    expect_one_sentence(generate_with("--count", "1001"), "from 1 to 1000", 2);
    expect_one_sentence(generate_with("--top-p", "1.5"), "'1.5' is not a number from 0 to 1", 2);
    expect_one_sentence(generate_with("--temperature", "1e999"), "'1e999' is not a number from 0 to 100", 2);
    expect_one_sentence(generate_with("--top-k", "-1"), "from 0 to", 2);
    expect_one_sentence({"probe", "--set", "starter", "--models", "a,b", "--out", "o", "--limit", "-3"}, "from 1", 2);
    expect_one_sentence({"generate", "--model", "", "--prompt", "y"}, "--model", 2);
}

TEST_F(BadInput, ErrorsAreShortAndFitForATerminal) {
    const std::string lengthy(100'000, 'x'), hostile = "no\x1b[31msuch\u202emodel\a";
    for (const Arguments& arguments :
         {Arguments{"generate", "--model", lengthy, "--prompt", "y"}, Arguments{"inspect", lengthy},
          Arguments{"train", "--preset", lengthy, "--out", (folder / "s").string()}, Arguments{lengthy},
          Arguments{"generate", "--model", "m", "--prompt", "y", "--seed", lengthy},
          Arguments{"models", "add", lengthy}, Arguments{"generate", "--model", hostile, "--prompt", "y"}}) {
        const Output output = run_node(arguments);
        EXPECT_NE(output.status, 0);
        EXPECT_LT(output.error.size(), 600u) << output.error.substr(0, 500);
        EXPECT_EQ(std::count(output.error.begin(), output.error.end(), '\n'), 1);
        EXPECT_EQ(output.error.find_first_of("\x1b\a"), std::string::npos) << output.error;
        EXPECT_EQ(output.error.find("\u202e"), std::string::npos) << output.error;
    }
}

TEST_F(BadInput, WrongUsageIsTwo) {
    expect_one_sentence({"train", "--preset", "workshop"}, "--out", 2);
    expect_one_sentence({"deport"}, "deport", 2);
    expect_one_sentence({"export", "--model", "x", "--out", "y", "--format", "bin"}, "bin", 2);
    expect_one_sentence({"train", "--preset", "workshop", "--replay", "x"}, "--replay", 2);
    expect_one_sentence({"generate", "--model", "x", "--prompt", "y", "--max-tokens", "many"}, "many", 2);
    expect_one_sentence({"serve", "--session", "x"}, "--socket", 2);
}

}  // namespace
}  // namespace moescope::test
