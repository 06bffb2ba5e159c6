// The presets that the program ships, read from the sources.
#pragma once

#include <filesystem>
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

}  // namespace moescope::engine::test
