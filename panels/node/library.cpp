#include "panels/node/library.hpp"

#include <algorithm>
#include <string_view>
#include <tuple>

#include "panels/ui/text_layout.hpp"
#include "panels/ui/units.hpp"
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

namespace {

std::string file_of(const std::string& path) {
    return path.substr(path.find_last_of('/') + 1);
}

/// "http://127.0.0.1:8000/v1#NAME" -> "127.0.0.1:8000".
std::string authority_of(const std::string& address) {
    const std::size_t scheme = address.find("://"), begin = scheme == std::string::npos ? 0 : scheme + 3;
    return address.substr(begin, address.find_first_of("/#", begin) - begin);
}

/// Two runs read two files that have one name in the library.
bool are_of_two_files(const json& a, const json& b) {
    for (const char* key : {"model_sha256", "model_file"}) {
        const std::string one = base::text_of(a, key), other = base::text_of(b, key);
        if (!one.empty() && !other.empty()) {
            return one != other;
        }
    }
    return false;
}

/// Another run of the session has the same name of its model, and another file.
template <class Runs>
bool has_namesake(const Runs& runs, const json& manifest, const std::string& model) {
    const std::string title = base::text_of(manifest, "model_title");
    return std::any_of(runs.begin(), runs.end(), [&](const auto& entry) {
        const auto& run = *entry.second;
        return (run.model == model || run.model.starts_with(model + "|")) &&
               base::text_of(run.manifest, "model_title") == title && are_of_two_files(run.manifest, manifest);
    });
}

/// The title that a manifest has is that of the entry, or of another model. The node puts the file or the server behind
/// one that several have.
bool is_title_of(const std::string& said, const client::ModelEntry& entry) {
    return said.empty() || said == entry.title || said.starts_with(entry.title + " \u00b7 ");
}

}  // namespace

bool is_of_another_file(const client::Snapshot& snapshot, const history::RunHeader& run, const std::string& model) {
    const client::ModelEntry* entry = find_model(snapshot, model);
    if (entry == nullptr || entry->server || entry->trained_here) {
        return false;
    }
    const std::string sha256 = base::text_of(run.manifest, "model_sha256");
    return (!sha256.empty() && !entry->sha256.empty() && sha256 != entry->sha256) ||
           !is_title_of(base::text_of(run.manifest, "model_title"), *entry);
}

std::string model_title_of(const ui::Context& ctx, const history::RunHeader& run, const std::string& model) {
    if (const history::ModelWithSet parts = model_with_set(ctx.snapshot, model); !parts.set.empty()) {
        return ctx.text.format("models.with_set",
                               {{"model", model_title_of(ctx, run, parts.model)}, {"set", parts.set}});
    }
    const std::string path = base::text_of(run.manifest, "model_path");
    if (path.empty() || history::is_checkpoint_name(model)) {
        return model_title(ctx, model);
    }
    const client::ModelEntry* entry = entry_named(ctx.snapshot, model);
    const std::string said = base::text_of(run.manifest, "model_title");
    std::string title = model_title(ctx, model);
    if (!said.empty() && (entry == nullptr || !is_title_of(said, *entry))) {
        const std::string file = base::member(run.manifest, "server").is_object() ? authority_of(path) : file_of(path);
        title = said.find(file) == std::string::npos ? said + " \u00b7 " + file : said;
    }
    constexpr std::size_t kOfHash = 8;
    const std::string sha256 = base::text_of(run.manifest, "model_sha256");
    if (is_of_another_file(ctx.snapshot, run, model) || has_namesake(ctx.snapshot.routes, run.manifest, model) ||
        has_namesake(ctx.snapshot.generations, run.manifest, model)) {
        title += " \u00b7 " + (sha256.empty() ? ui::moment_text(run.started_ns) : sha256.substr(0, kOfHash));
    }
    return title;
}

std::string entry_title(const client::Snapshot& snapshot, const client::ModelEntry& model) {
    const std::string& title = model.title.empty() ? model.name : model.title;
    if (model.trained_here || model.path.empty()) {
        return title;
    }
    const auto any_other = [&](const auto& same) {
        return std::any_of(snapshot.models.begin(), snapshot.models.end(), [&](const client::ModelEntry& other) {
            return other.name != model.name && other.title == model.title && same(other);
        });
    };
    const bool twice = any_other([](const client::ModelEntry&) { return true; });
    if (model.server) {
        const auto address_of = [](const client::ModelEntry& one) { return one.path.substr(0, one.path.find('#')); };
        const bool one_host = any_other([&](const client::ModelEntry& other) {
            return other.server && authority_of(other.path) == authority_of(model.path);
        });
        const bool one_address = any_other(
            [&](const client::ModelEntry& other) { return other.server && address_of(other) == address_of(model); });
        return !twice ? title
                      : title + " \u00b7 " +
                            (one_address ? model.name
                             : one_host  ? address_of(model)
                                         : authority_of(model.path));
    }
    const std::string file = file_of(model.path);
    if (any_other([&](const client::ModelEntry& other) { return !other.server && file_of(other.path) == file; })) {
        return title + " \u00b7 " + model.name;
    }
    const bool added = model.maker.empty();
    return (twice || added) && title.find(file) == std::string::npos ? title + " \u00b7 " + file : title;
}

std::optional<AddedModel> take_added(const ui::Context& ctx, client::CommandId& adding) {
    using State = client::CommandResult::State;
    const client::CommandResult* answer = ui::take_answer(ctx, adding);
    if (answer == nullptr) {
        return std::nullopt;
    }
    switch (answer->state) {
        case State::done:
            return AddedModel{base::text_of(answer->value, "name"), {}};
        case State::failed:
            return AddedModel{{}, answer->error};
        default:
            return AddedModel{{}, base::Sentence::verbatim(ctx.text("models.add_unknown"))};
    }
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
    if (!ui::begin_combo(id, preview.c_str(), ImGuiComboFlags_HeightLarge)) {
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
