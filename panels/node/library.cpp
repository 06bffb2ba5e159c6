#include "panels/node/library.hpp"

#include <cstring>

namespace moescope::panels {

using nlohmann::json;

std::string localized(const json& object, const char* key, const std::string& language) {
    const json& value = base::member(object, key);
    return value.is_string() ? value.get<std::string>() : base::text_of(value, language.c_str());
}

const client::ModelEntry* find_model(const client::Snapshot& snapshot, const std::string& name) {
    for (const client::ModelEntry& model : snapshot.models)
        if (model.name == name)
            return &model;
    return nullptr;
}

std::string model_title(const client::Snapshot& snapshot, const std::string& name) {
    const client::ModelEntry* model = find_model(snapshot, name);
    return model && !model->title.empty() ? model->title : name;
}

bool model_combo(const ui::Context& ctx, const char* id, std::string& chosen, const char* shown) {
    if (!ImGui::BeginCombo(id, shown, ImGuiComboFlags_HeightLarge))
        return false;
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

void cancel_task(const ui::Context& ctx, const client::Task& task) {
    if (task.run != 0)
        ctx.client.send(task.cancel_command, {{"run", task.run}});
    else
        ctx.client.send(task.cancel_command, {{"id", task.id}});
}

const char* action_value(const std::string& action, const char* name) {
    const std::size_t length = std::strlen(name);
    return action.size() > length && action[length] == '=' && action.compare(0, length, name) == 0
               ? action.c_str() + length + 1
               : nullptr;
}

}  // namespace moescope::panels
