// The node's library and catalogue as several panels read them: models with their titles, texts in two languages.
#pragma once

#include <array>
#include <string>

#include "base/json_fields.hpp"
#include "panels/ui/context.hpp"

namespace moescope::panels {

/// Where a comparison or a probe of a Chinese and a Western model starts when both are in the library.
inline constexpr std::array<const char*, 2> kDefaultModels = {"qwen2.5-coder-0.5b", "smollm2-135m"};

/// {"title": {"en": ..., "zh": ...}} or {"title": ...}: the text in `language`.
std::string localized(const nlohmann::json& object, const char* key, const std::string& language);

/// The entry of a name, null when the library has none. Valid as long as the snapshot.
const client::ModelEntry* find_model(const client::Snapshot& snapshot, const std::string& name);
/// What a person calls a model: its title, else its name; a checkpoint by its run and the step that wrote it.
std::string model_title(const ui::Context& ctx, const std::string& name);
/// A combo box with all models of the library; those without a file can't be chosen. True when `chosen` has changed.
bool model_combo(const ui::Context& ctx, const char* id, std::string& chosen, const char* shown);

}  // namespace moescope::panels
