#include "engine/model/config.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <fmt/format.h>
#include <fstream>
#include <map>
#include <set>

#include "base/settings.hpp"
#include "engine/model/arena.hpp"
#include "engine/model/machine_memory.hpp"
#include "engine/train/memory_check.hpp"
#include "engine/train/plan.hpp"
#include "tests/engine/train/fixtures.hpp"
#include "tests/paths.hpp"

namespace moescope::engine::test {
namespace {

using nlohmann::json;

TEST(Config, RoundTripAndDefaults) {
    const RunConfig config = tiny_config();
    EXPECT_EQ(to_json(parse_run_config(to_json(config), "x")), to_json(config));
    EXPECT_EQ(to_json(parse_run_config(json::object(), "x")), to_json(RunConfig{}));
    RunConfig seeded;
    seeded.train.seed = 18446744073709551615ull;
    EXPECT_EQ(parse_run_config(to_json(seeded), "x").train.seed, seeded.train.seed);
}

TEST(Config, OldNamesAreReadAndNeverWritten) {
    const json old = {{"model", {{"head_norm", "full"}}}, {"train", {{"bias_speed", 0.5}}}};
    const RunConfig config = parse_run_config(old, "x");
    EXPECT_EQ(config.model.qk_norm, QkNorm::full);
    EXPECT_EQ(config.train.bias_update_rate, 0.5);
    const json written = to_json(config);
    EXPECT_EQ(written["model"]["qk_norm"], "full");
    EXPECT_FALSE(written["model"].contains("head_norm") || written["train"].contains("bias_speed"));
    EXPECT_EQ(error_of([&] {
                  parse_run_config(json{{"model", {{"head_norm", "full"}, {"qk_norm", "full"}}}}, "x");
              }),
              "x: model has qk_norm twice, also under an older name: remove one");
    json renamed = old;
    base::rename_settings(renamed);
    EXPECT_EQ(renamed, json::parse(R"({"model":{"qk_norm":"full"},"train":{"bias_update_rate":0.5}})"));
}

TEST(Config, EveryRowIsWhole) {
    const json standard = to_json(RunConfig{});
    std::set<std::string> keys;
    for (const ConfigField& field : config_fields()) {
        SCOPED_TRACE(field.key);
        EXPECT_TRUE(keys.insert(field.key).second) << "a key is in one section only";
        EXPECT_TRUE(standard.at(field.section).contains(field.key));
        EXPECT_EQ(field.type == "choice", !field.choices.empty());
        EXPECT_EQ(field.type == "integer" || field.type == "number", field.type != "flag" && field.high > field.low);
        EXPECT_TRUE(field.live == Live::no || field.type == "integer" || field.type == "number");
        for (const std::string& clause : base::clauses(base::both(field.when, field.live_when))) {
            const std::string key = clause.substr(0, clause.find(' '));
            EXPECT_NE(base::setting(standard, key), nullptr) << clause;
        }
    }
    EXPECT_EQ(keys.size(), standard["model"].size() + standard["train"].size());
}

TEST(Config, TheManualNamesEveryKnobWithItsRange) {
    const auto docs = std::filesystem::path(moescope::test::source_assets()).parent_path() / "docs";
    const std::pair<const char*, std::array<const char*, 2>> manuals[] = {
        {"manual-en.md", {"| {} | {:g} to {:g} |", "| {} | {:g} to the configured number |"}},
        {"manual-zh.md", {"| {} | {:g} 到 {:g} |", "| {} | {:g} 到配置值 |"}}};
    for (const auto& [file, patterns] : manuals) {
        const std::string manual = file_bytes(docs / file);
        std::size_t knobs = 0;
        for (const ConfigField& field : config_fields()) {
            if (field.live != Live::no) {
                const char* pattern = patterns[field.live == Live::up_to_configured ? 1 : 0];
                const std::string row = fmt::format(fmt::runtime(pattern), field.key, field.low, field.high);
                EXPECT_NE(manual.find(row), std::string::npos) << file << " lacks " << row;
                ++knobs;
            }
        }
        EXPECT_GE(knobs, 7u);
    }
}

TEST(Config, ADeviceIsAName) {
    EXPECT_EQ(parse_run_config(json{{"train", {{"steps", 3}}}}, "x").train.device, "cpu") << "as before there were any";
    EXPECT_EQ(parse_run_config(json{{"train", {{"device", "cuda:3"}}}}, "x").train.device, "cuda:3");
    for (const json& wrong : {json("gpu"), json("cuda"), json(""), json(0), json(true), json()}) {
        EXPECT_EQ(error_of([&] {
                      parse_run_config(json{{"train", {{"device", wrong}}}}, "x");
                  }),
                  "x: train.device is " + wrong.dump() + ", but must be cpu, or cuda:0 and so on for a GPU");
    }
    RunConfig config;
    config.train.device = "elsewhere";
    EXPECT_NE(error_of([&] { plan_run(config); }).find("train.device is \"elsewhere\""), std::string::npos);
    EXPECT_EQ(to_json(RunConfig{})["train"]["device"], "cpu");
}

TEST(Config, EveryPresetIsValid) {
    int presets = 0;
    for (const auto& entry :
         std::filesystem::directory_iterator(std::filesystem::path(moescope::test::source_assets()) / "presets")) {
        const RunConfig config = parse_run_config(json::parse(file_bytes(entry.path())), entry.path().string());
        EXPECT_EQ(config.name, entry.path().stem().string());
        EXPECT_GT(plan_run(config).memory_bytes, 0u);
        ++presets;
    }
    EXPECT_GE(presets, 1);
}

TEST(Config, EveryMistakeIsOneSentenceWithKeyAndValue) {
    struct Case {
        json value;
        std::vector<std::string> words;
    };
    const auto model = [](const char* key, json value) { return json{{"model", {{key, std::move(value)}}}}; };
    const auto train = [](const char* key, json value) { return json{{"train", {{key, std::move(value)}}}}; };
    const Case cases[] = {
        {json::array(), {"preset.json", "JSON object"}},
        {json{{"modle", json::object()}}, {"modle", "unknown key"}},
        {json{{"model", 3}}, {"model", "3", "JSON object"}},
        {json{{"name", 3}}, {"name", "text"}},
        {model("widht", 192), {"widht", "unknown key"}},
        {model("width", "192"), {"model.width", "\"192\"", "whole number"}},
        {model("width", 192.5), {"model.width", "192.5", "whole number"}},
        {model("width", 0), {"model.width", "0", "from 1 to 16384"}},
        {model("width", -5), {"model.width", "-5"}},
        {model("width", 18446744073709551615ull), {"model.width", "18446744073709551615"}},
        {model("vocabulary", 2000000), {"model.vocabulary", "2000000", "1048576"}},
        {model("tied_head", 1), {"model.tied_head", "true or false"}},
        {model("rope_theta", std::nan("")), {"model.rope_theta", "nan"}},
        {model("kv_heads", 4), {"model.heads (6)", "model.kv_heads (4)"}},
        {model("head_width", 33), {"model.head_width (33)", "even"}},
        {model("experts", 1), {"model.experts_per_token (2)", "model.experts (1)"}},
        {train("learning_rate", std::nan("")), {"train.learning_rate", "nan", "from 0 to 1"}},
        {train("learning_rate", HUGE_VAL), {"train.learning_rate", "inf"}},
        {train("learning_rate", -1e-3), {"train.learning_rate", "-0.001"}},
        {train("learning_rate", nullptr), {"train.learning_rate", "null"}},
        {train("beta2", 1.0), {"train.beta2", "1"}},
        {train("seed", -1), {"train.seed", "-1"}},
        {train("steps", 0), {"train.steps", "0"}},
        {json{{"model", {{"context", 32768}}}, {"train", {{"batch", 65536}}}}, {"batch", "4294967296", "2147483647"}},
    };
    for (const Case& c : cases) {
        const std::string message = error_of([&] { parse_run_config(c.value, "preset.json"); });
        for (const std::string& word : c.words) {
            EXPECT_NE(message.find(word), std::string::npos) << "\"" << word << "\" is not in: " << message;
        }
        EXPECT_NE(message.find("preset.json"), std::string::npos) << message;
        EXPECT_FALSE(message.ends_with(".")) << message;
    }
}

TEST(Plan, SizesBeyondAnyMachineAreRefused) {
    RunConfig config = tiny_config();
    config.model.width = 16384;
    config.model.layers = 256;
    config.model.experts = 1024;
    config.model.expert_width = 65536;
    EXPECT_NE(error_of([&] { plan_run(config); }).find("memory"), std::string::npos);
    config.model.width = -1;
    EXPECT_NE(error_of([&] { plan_run(config); }).find("model.width"), std::string::npos);
    EXPECT_NE(error_of([] {
                  checked_product(std::uint64_t{1} << 40, std::uint64_t{1} << 40, base::marked("a test"));
              }).find("a test overflows"),
              std::string::npos);
    EXPECT_NE(error_of([] { checked_sum(~std::uint64_t{0}, 1, base::marked("a test")); }).find("a test overflows"),
              std::string::npos);
}

TEST(Plan, CountsAsTheFormulaSays) {
    const RunConfig config;  // the defaults
    const ModelConfig& m = config.model;
    const RunPlan plan = plan_run(config);
    const auto u = [](int value) { return static_cast<std::uint64_t>(value); };
    const std::uint64_t attention = u(m.width) * u((m.heads * 2 + m.kv_heads * 2) * m.head_width) + 2 * u(m.head_width);
    const std::uint64_t expert = 3 * u(m.width) * u(m.expert_width);
    const std::uint64_t layer = attention + 2 * u(m.width) + u(m.experts) * (u(m.width) + expert);
    EXPECT_EQ(plan.parameters_total, u(m.layers) * layer + u(m.vocabulary) * u(m.width) + u(m.width));
    EXPECT_EQ(plan.parameters_total - plan.parameters_active,
              u(m.layers) * u(m.experts - m.experts_per_token) * expert);
    EXPECT_GT(plan.flops_per_token, 6.0 * static_cast<double>(plan.parameters_active));
    EXPECT_GT(plan.memory_bytes, 16 * plan.parameters_total);
}

// What is said to fit does fit, and the next larger value does not.
TEST(Memory, ARunThatDoesNotFitIsToldWhatWould) {
    RunConfig config = tiny_config();
    config.model.experts = 12;
    config.model.router_groups = 3;
    config.model.router_groups_kept = 2;
    config.train.batch = 37;
    const std::uint64_t needed = plan_run(config).memory_bytes;
    EXPECT_NO_THROW(check_memory(config, needed));
    const std::map<std::string, int& (*)(RunConfig&)> fields = {
        {"train.batch", [](RunConfig& c) -> int& { return c.train.batch; }},
        {"model.context", [](RunConfig& c) -> int& { return c.model.context; }},
        {"model.experts", [](RunConfig& c) -> int& { return c.model.experts; }},
        {"model.layers", [](RunConfig& c) -> int& { return c.model.layers; }}};
    std::set<std::string> suggested;
    for (const double share : {0.999, 0.9, 0.6, 0.3, 0.15}) {
        const auto available = static_cast<std::uint64_t>(static_cast<double>(needed) * share);
        const std::string error = error_of([&] { check_memory(config, available); });
        EXPECT_NE(error.find(memory_text(needed)), std::string::npos) << error;
        EXPECT_NE(error.find(memory_text(available)), std::string::npos) << error;
        for (const auto& [name, of] : fields) {
            const std::size_t at = error.find(name + " ");
            if (at == std::string::npos) {
                continue;
            }
            suggested.insert(name);
            RunConfig changed = config;
            of(changed) = std::stoi(error.substr(at + name.size() + 1));
            EXPECT_LT(of(changed), of(config));
            EXPECT_NO_THROW(check_memory(changed, available)) << error;
            const int unit = name == "model.experts" ? config.model.router_groups : 1;
            if (of(changed) + unit < of(config)) {
                of(changed) += unit;
                EXPECT_GT(plan_run(changed).memory_bytes, available) << error;
            }
        }
    }
    EXPECT_EQ(suggested.size(), fields.size());
    EXPECT_NE(error_of([&] { check_memory(config, 1000); }).find("several sizes"), std::string::npos);
}

TEST(Memory, TheTightestOfSystemAndControlGroupsCounts) {
    const TemporaryFolder folder;
    const auto write = [&](const std::string& name, const std::string& text) {
        std::filesystem::create_directories((folder.path() / name).parent_path());
        std::ofstream(folder.path() / name) << text;
    };
    EXPECT_EQ(available_memory(folder.path()), ~std::uint64_t{0});
    write("proc/meminfo", "MemTotal:  999 kB\nMemAvailable:     500 kB\n");
    EXPECT_EQ(available_memory(folder.path()), 500u * 1024);
    write("proc/self/cgroup", "1:name=old:/x\n0::/outer/inner\n");
    EXPECT_EQ(available_memory(folder.path()), 500u * 1024);
    write("sys/fs/cgroup/outer/inner/memory.max", "max\n");
    write("sys/fs/cgroup/outer/inner/memory.current", "5000\n");
    EXPECT_EQ(available_memory(folder.path()), 500u * 1024);
    write("sys/fs/cgroup/outer/memory.max", "100000\n");
    write("sys/fs/cgroup/outer/memory.current", "90000\n");
    write("sys/fs/cgroup/outer/memory.stat", "anon 60000\ninactive_file 30000\n");
    EXPECT_EQ(available_memory(folder.path()), 40000u);
    write("sys/fs/cgroup/outer/memory.current", "190000\n");
    EXPECT_EQ(available_memory(folder.path()), 0u) << "over its limit";
    EXPECT_LT(available_memory(), ~std::uint64_t{0}) << "of this machine";
    EXPECT_GT(available_memory(), 1u << 20);
    EXPECT_NE(error_of([] { const Block block(std::uint64_t{1} << 50); }).find("1125899.9 GB are needed"),
              std::string::npos);
}

TEST(Memory, IsTakenInPiecesBetweenWhichThatCanBeEnded) {
    constexpr std::uint64_t kBytes = std::uint64_t{100} << 20;
    int calls = 0;
    const Block whole(kBytes, [&] { ++calls; });
    EXPECT_GE(calls, 7);
    EXPECT_EQ(std::count(whole.data(), whole.data() + kBytes, std::byte{0}), static_cast<std::ptrdiff_t>(kBytes));
    calls = 0;
    EXPECT_EQ(error_of([&] {
                  Block(kBytes, [&] {
                      if (++calls == 3) {
                          throw Error(say("enough"));
                      }
                  });
              }),
              "enough");
    EXPECT_EQ(calls, 3);
}

}  // namespace
}  // namespace moescope::engine::test
