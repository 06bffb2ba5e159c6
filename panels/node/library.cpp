#include "panels/node/library.hpp"

#include "nodes/history/checkpoint_name.hpp"

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

namespace {

std::string checkpoint_title(const ui::Context& ctx, const history::CheckpointName& checkpoint) {
    const auto run = ctx.snapshot.training.find(checkpoint.run);
    const std::string name = run != ctx.snapshot.training.end()
                                 ? run->second->name
                                 : ctx.text.format("models.checkpoint.run", {{"run", std::to_string(checkpoint.run)}});
    switch (checkpoint.which) {
        case history::CheckpointName::Which::now:
            return ctx.text.format("models.checkpoint.now", {{"name", name}});
        case history::CheckpointName::Which::step:
            return ctx.text.format("models.checkpoint.step",
                                   {{"name", name}, {"step", ctx.text.number(checkpoint.step)}});
        case history::CheckpointName::Which::latest:
            return ctx.text.format("models.checkpoint.latest", {{"name", name}});
    }
    return name;
}

}  // namespace

std::string model_title(const ui::Context& ctx, const std::string& name) {
    if (const auto checkpoint = history::checkpoint_named(name)) {
        return checkpoint_title(ctx, *checkpoint);
    }
    const client::ModelEntry* model = find_model(ctx.snapshot, name);
    return model && !model->title.empty() ? model->title : name;
}

bool model_combo(const ui::Context& ctx, const char* id, std::string& chosen, const char* shown) {
    if (!ImGui::BeginCombo(id, shown, ImGuiComboFlags_HeightLarge)) {
        return false;
    }
    bool changed = false;
    for (const client::ModelEntry& model : ctx.snapshot.models) {
        const std::string label = model_title(ctx, model.name) + "###" + model.name;
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
