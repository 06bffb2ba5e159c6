#include "panels/node/library.hpp"

#include <algorithm>
#include <string_view>
#include <tuple>

#include "panels/ui/text_layout.hpp"
#include "panels/ui/widgets.hpp"

namespace moescope::panels {

using nlohmann::json;

std::string localized(const json& object, const char* key, const std::string& language) {
    const json& value = base::member(object, key);
    return value.is_string() ? value.get<std::string>() : base::text_of(value, language.c_str());
}

namespace {

const client::ModelEntry* entry_named(const client::Snapshot& snapshot, std::string_view name) {
    const auto& models = snapshot.models;
    const auto found =
        std::find_if(models.begin(), models.end(), [&](const client::ModelEntry& model) { return model.name == name; });
    return found == models.end() ? nullptr : &*found;
}

}  // namespace

history::ModelWithSet model_with_set(const client::Snapshot& snapshot, const std::string& name) {
    const auto parts = entry_named(snapshot, name) == nullptr ? history::model_with_set(name) : std::nullopt;
    return parts.value_or(history::ModelWithSet{name, ""});
}

const client::ModelEntry* find_model(const client::Snapshot& snapshot, const std::string& name) {
    return entry_named(snapshot, model_with_set(snapshot, name).model);
}

bool is_routed(const client::ModelEntry& model) {
    return model.is_moe || model.trained_here;
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
    if (const history::ModelWithSet parts = model_with_set(ctx.snapshot, name); !parts.set.empty()) {
        return ctx.text.format("models.with_set", {{"model", model_title(ctx, parts.model)}, {"set", parts.set}});
    }
    if (const auto checkpoint = history::checkpoint_named(name)) {
        return checkpoint_title(ctx, *checkpoint);
    }
    const client::ModelEntry* model = entry_named(ctx.snapshot, name);
    return model != nullptr ? entry_title(ctx.snapshot, *model) : name;
}

std::string entry_title(const client::Snapshot& snapshot, const client::ModelEntry& model) {
    const std::string& title = model.title.empty() ? model.name : model.title;
    if (model.trained_here || model.server || model.path.empty()) {
        return title;
    }
    const bool twice = std::any_of(
        snapshot.models.begin(), snapshot.models.end(),
        [&](const client::ModelEntry& other) { return other.name != model.name && other.title == model.title; });
    const std::string file = model.path.substr(model.path.find_last_of('/') + 1);
    const bool added = model.maker.empty();
    return (twice || added) && title.find(file) == std::string::npos ? title + " \u00b7 " + file : title;
}

std::string model_of_session(const client::Snapshot& snapshot, std::uint32_t run) {
    const client::ModelEntry* best = nullptr;
    std::tuple<bool, std::uint32_t, std::uint64_t> best_rank;
    for (const client::ModelEntry& model : snapshot.models) {
        const auto checkpoint = history::checkpoint_named(model.name);
        if (!checkpoint || !model.available) {
            continue;
        }
        const bool latest = checkpoint->which != history::CheckpointName::Which::step;
        const std::tuple rank(checkpoint->run == run, checkpoint->run, latest ? ~std::uint64_t{0} : checkpoint->step);
        if (best == nullptr || rank > best_rank) {
            best = &model;
            best_rank = rank;
        }
    }
    return best == nullptr ? std::string() : best->name;
}

bool model_combo(const ui::Context& ctx, const char* id, std::string& chosen, const char* shown, Offer offer) {
    // A model and the same with changes differ at their ends only.
    const float room = ImGui::CalcItemWidth() - ImGui::GetFrameHeight() - 2 * ImGui::GetStyle().FramePadding.x;
    const std::string preview = ui::elided_middle(shown, room);
    if (!ImGui::BeginCombo(id, preview.c_str(), ImGuiComboFlags_HeightLarge)) {
        if (preview != shown) {
            ui::tooltip(shown);
        }
        return false;
    }
    bool changed = false;
    const auto entry = [&](const std::string& name, bool available) {
        const std::string label = model_title(ctx, name) + "###" + name;
        if (ImGui::Selectable(label.c_str(), name == chosen, available ? 0 : ImGuiSelectableFlags_Disabled)) {
            changed = chosen != name;
            chosen = name;
        }
    };
    for (const client::ModelEntry& model : ctx.snapshot.models) {
        if (offer == Offer::routed && !is_routed(model)) {
            continue;
        }
        entry(model.name, model.available);
        if (offer != Offer::with_sets || !is_routed(model)) {
            continue;
        }
        for (const auto& [set, items] : *ctx.snapshot.intervention_sets) {
            entry(history::to_text(history::ModelWithSet{model.name, set}), model.available);
        }
    }
    ImGui::EndCombo();
    return changed;
}

}  // namespace moescope::panels
