#include "panels/runs/imported_runs.hpp"

#include <algorithm>
#include <imgui.h>
#include <set>

#include "base/json_fields.hpp"
#include "panels/ui/widgets.hpp"

namespace moescope::panels {

using history::ImportedRun;
using ui::Context;

namespace {

struct Hidden {
    std::set<std::uint32_t> runs;
};

/// A name that a file can have.
std::string file_name(const history::RunHeader& run) {
    std::string name = run.name.empty() ? "run-" + std::to_string(run.id) : run.name;
    std::replace_if(
        name.begin(), name.end(), [](char c) { return c == '/' || c == '\\' || c == ':'; }, '-');
    return name.starts_with('.') ? "run-" + std::to_string(run.id) : name;
}

}  // namespace

bool is_import_shown(Context& ctx, std::uint32_t run) {
    const auto shown = shown_imports(ctx);
    return std::any_of(shown.begin(), shown.end(), [&](const auto& one) { return one->id == run; });
}

void toggle_import(Context& ctx, std::uint32_t run) {
    std::set<std::uint32_t>& hidden = ctx.shared.get<Hidden>().runs;
    if (hidden.erase(run) == 0) {
        hidden.insert(run);
    }
}

std::vector<std::shared_ptr<const ImportedRun>> shown_imports(Context& ctx) {
    const std::set<std::uint32_t>& hidden = ctx.shared.get<Hidden>().runs;
    std::vector<std::shared_ptr<const ImportedRun>> shown;
    const auto& all = ctx.snapshot.imports;
    for (auto entry = all.rbegin(); entry != all.rend() && shown.size() < kMostBeside; ++entry) {
        if (hidden.count(entry->first) == 0) {
            shown.push_back(entry->second);
        }
    }
    std::reverse(shown.begin(), shown.end());
    return shown;
}

void import_curves(Context& ctx, const std::string& path) {
    ctx.client.send("curves.import", {{"path", path}});
    ctx.show_panel("training");
}

void export_curves(Context& ctx, const history::RunHeader& run, const std::string& format) {
    const auto send = [&client = ctx.client, id = run.id, format](const std::string& path, bool replace) {
        client.send("curves.export", {{"run", id}, {"path", path}, {"format", format}, {"replace", replace}});
    };
    const std::string name = file_name(run);
    if (format == "csv") {
        if (ctx.choose_target) {
            ctx.choose_target(name + ".csv", [send](const std::string& path) { send(path, true); });
        }
    } else if (ctx.choose_folder) {
        ctx.choose_folder(ctx.text.format("curves.export.choose_folder", {{"name", name}}), "export",
                          [send, name](const std::string& folder) { send(folder + "/" + name, false); });
    }
}

void draw_export_curves(Context& ctx, const history::RunHeader& run) {
    for (const char* format : {"csv", "tensorboard"}) {
        const std::string key = std::string("curves.export.") + format;
        if (ImGui::MenuItem(ctx.text.label(key), nullptr, false, ctx.connected())) {
            export_curves(ctx, run, format);
        }
        ui::tooltip(ctx.text(key + ".help"));
    }
}

std::string import_details(const Context& ctx, const ImportedRun& run) {
    std::string details =
        ctx.text.format("runs.imported.details",
                        {{"source", run.source},
                         {"format", ctx.text(run.format == "csv" ? "runs.imported.csv" : "runs.imported.tensorboard")},
                         {"curves", ctx.text.number(std::uint64_t{run.curves.size()})}});
    for (const nlohmann::json& note : base::member(run.manifest, "notes")) {
        details += "\n" + ctx.text.message(base::sentence_in(note, "text"));
    }
    return details;
}

}  // namespace moescope::panels
