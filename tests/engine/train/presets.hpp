// The presets that the program ships, read from the sources.
#pragma once

#include <algorithm>
#include <array>
#include <filesystem>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <string>

#include "engine/model/config.hpp"
#include "fixtures.hpp"
#include "tests/paths.hpp"

namespace moescope::engine::test {

inline RunConfig read_preset(const std::string& name) {
    const auto path = std::filesystem::path(moescope::test::source_assets()) / "presets" / (name + ".json");
    RunConfig config = parse_run_config(nlohmann::json::parse(file_bytes(path)), name);
    config.train.threads = 2;
    return config;
}

inline constexpr std::array kPresets = {"deepseek-v2-mini", "deepseek-v3-mini", "dense",      "gpt-oss-mini",
                                        "mixtral-mini",     "olmoe-mini",       "qwen3-mini", "workshop"};

/// As people get it but for the depth, the vocabulary, the context and the batch.
inline RunConfig small_preset(const std::string& name) {
    RunConfig config = read_preset(name);
    config.model.layers = std::min(config.model.layers, config.model.dense_layers + 1);
    config.model.vocabulary = 256;
    config.model.context = 8;
    config.train.batch = 1;
    config.train.threads = 1;
    return config;
}

/// What a test of a preset is called.
inline std::string preset_test_name(const testing::TestParamInfo<const char*>& preset) {
    std::string name = preset.param;
    std::replace(name.begin(), name.end(), '-', '_');
    return name;
}

}  // namespace moescope::engine::test
