#include "panels/node/library.hpp"

namespace moescope::panels {

using nlohmann::json;

std::string localized(const json& object, const char* key, const std::string& language) {
    const json& value = base::member(object, key);
    return value.is_string() ? value.get<std::string>() : base::text_of(value, language.c_str());
}

const client::ModelEntry* find_model(const client::Snapshot& snapshot, const std::string& name) {
    for (const client::ModelEntry& model : snapshot.models) {
        if (model.name == name) {
            return &model;
        }
    }
    return nullptr;
}

std::string model_title(const client::Snapshot& snapshot, const std::string& name) {
    const client::ModelEntry* model = find_model(snapshot, name);
    return model && !model->title.empty() ? model->title : name;
}

bool model_combo(const ui::Context& ctx, const char* id, std::string& chosen, const char* shown) {
    if (!ImGui::BeginCombo(id, shown, ImGuiComboFlags_HeightLarge)) {
        return false;
    }
    bool changed = false;
    for (const client::ModelEntry& model : ctx.snapshot.models) {
        const std::string title = model_title(ctx.snapshot, model.name);
        const std::string label =
            (model.trained_here ? ctx.text.format("compare.trained_here", {{"name", title}}) : title) + "###" +
            model.name;
        if (ImGui::Selectable(label.c_str(), model.name == chosen,
                              model.available ? 0 : ImGuiSelectableFlags_Disabled)) {
            changed = chosen != model.name;
            chosen = model.name;
        }
    }
    ImGui::EndCombo();
    return changed;
}

}  // namespace moescope::panels
