// Models that GUI tests train for a moment.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "tests/gui/harness.hpp"

namespace moescope::gui_test {

/// The configuration of a preset of the catalogue; null when there is none of that name.
nlohmann::json preset_config(const Harness& h, const std::string& preset);
/// The model of a finished training run called `name`, which is trained by `config` when the session has none: other
/// tests leave models of other sizes. "checkpoint:RUN:STEP"; empty when none came to be.
std::string trained_model(Harness& h, ImGuiTestContext* ctx, const std::string& name, const nlohmann::json& config);

}  // namespace moescope::gui_test
