#include "engine/model/config.hpp"

#include <cmath>
#include <fstream>

#include "engine/model/arena.hpp"
#include "fixtures.hpp"

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

TEST(Config, EveryPresetIsValid) {
    int presets = 0;
    for (const auto& entry :
         std::filesystem::directory_iterator(std::filesystem::path(MOESCOPE_ASSETS_SOURCE) / "presets")) {
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
        EXPECT_TRUE(message.ends_with(".")) << message;
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
                  checked_product(std::uint64_t{1} << 40, std::uint64_t{1} << 40, "a test");
              }).find("a test overflows"),
              std::string::npos);
    EXPECT_NE(error_of([] { checked_sum(~std::uint64_t{0}, 1, "a test"); }).find("a test overflows"),
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

}  // namespace
}  // namespace moescope::engine::test
