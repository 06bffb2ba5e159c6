// Experiments and runs over each other, through the real widgets: the form makes one, its runs are drawn together, the
// table sorts and is saved, the maps share a scale, and another session's runs stand beside them.
#include <algorithm>
#include <cmath>
#include <imgui_internal.h>
#include <nlohmann/json.hpp>

#include "tests/files.hpp"
#include "tests/gui/harness.hpp"
#include "tests/gui/trained_model.hpp"
#include "tests/gui/written_session.hpp"

namespace moescope::gui_test {
namespace {

namespace fs = std::filesystem;
using history::RunState;
using nlohmann::json;

std::string item(const std::string& id) {
    return "//###panel.overlay/**/" + id;
}

/// All that stands in the panel, without white space.
std::string words(Harness& h, ImGuiTestContext* ctx) {
    std::string text;
    for (const ScreenLine& line : h.screen(ctx)) {
        text += line.window == "panel.overlay" ? squeezed(line.text) : "";
    }
    return text;
}

bool says(Harness& h, ImGuiTestContext* ctx, const std::string& text) {
    const std::string all = words(h, ctx);
    const bool found = all.find(squeezed(text)) != std::string::npos;
    if (!found) {
        ctx->LogWarning("it does not say \"%s\" but %s", text.c_str(), all.c_str());
    }
    return found;
}

json small_config(Harness& h, int steps) {
    json config = preset_config(h, "workshop");
    config["model"].update({{"layers", 2},
                            {"width", 32},
                            {"heads", 2},
                            {"kv_heads", 1},
                            {"head_width", 16},
                            {"experts", 4},
                            {"expert_width", 32},
                            {"context", 32},
                            {"vocabulary", 1024}});
    config["train"].update({{"steps", steps}, {"batch", 2}, {"evaluate_every", 10}});
    return config;
}

bool all_in(Harness& h, const std::vector<std::uint32_t>& runs, RunState state) {
    return std::all_of(runs.begin(), runs.end(), [&](std::uint32_t run) {
        const auto found = h.snapshot().training.find(run);
        return found != h.snapshot().training.end() && found->second->state == state;
    });
}

/// Nothing trains any more; the numbers of the runs of a new experiment that has ended.
std::vector<std::uint32_t> run_experiment(Harness& h, ImGuiTestContext* ctx, const json& values, int steps) {
    h.settle(ctx);
    for (const auto& [id, run] : h.snapshot().training) {
        if (run->state == RunState::running || run->state == RunState::paused) {
            h.workbench().client().send("train.stop", {{"run", id}});
        }
    }
    const std::size_t before = h.snapshot().experiments.size();
    h.workbench().client().send("experiment.start",
                                {{"config", small_config(h, steps)}, {"key", "balance"}, {"values", values}});
    std::vector<std::uint32_t> runs;
    h.wait(ctx, 60, [&] { return h.snapshot().experiments.size() > before; });
    for (const history::Experiment::Run& run : h.snapshot().experiments.rbegin()->second->runs) {
        runs.push_back(run.run);
    }
    h.wait(ctx, 120, [&] { return all_in(h, runs, RunState::done); });
    h.workbench().selection().experiment = h.snapshot().experiments.rbegin()->first;
    h.workbench().set_layout("compare");
    ctx->Yield(4);
    h.workbench().show_panel("overlay");
    ctx->Yield(6);
    return runs;
}

/// As the tests after this one expect it: the panel is in front nowhere.
void leave(Harness& h, ImGuiTestContext* ctx) {
    h.workbench().selection() = ui::Selection();
    for (const char* layout : {"compare", "training"}) {
        h.workbench().set_layout(layout);
        ctx->Yield(4);
        h.workbench().show_panel("overlay", false);
        h.workbench().show_panel(layout);
        ctx->Yield(4);
    }
}

void view(ImGuiTestContext* ctx, const char* name) {
    ctx->ItemClick(item(std::string("###overlay.view.") + name).c_str());
    ctx->Yield(4);
}

void four_balancings(Harness& h, ImGuiTestContext* ctx) {
    const auto runs = run_experiment(h, ctx, {"none", "switch", "loss_free", "quantile"}, 20);
    IM_CHECK_EQ(runs.size(), std::size_t{4});
    view(ctx, "curves");
    for (const char* name : {"Switch loss", "loss-free bias", "quantiles", "MaxVio", "Held-out English"}) {
        IM_CHECK(says(h, ctx, name));
    }
    // What the legend switches off is not drawn; again and it is back.
    const std::string legend = item("###legend." + std::to_string(runs[1]));
    IM_CHECK(ctx->ItemExists(legend.c_str()));
    ctx->ItemClick(legend.c_str());
    ctx->Yield(3);
    ctx->ItemClick(legend.c_str());
    ctx->Yield(3);
    // The table has the settings in which they differ, and sorts by any column.
    view(ctx, "table");
    for (const char* name : {"balance loss over", "selection bias", "router choice", "Loss (train)", "MaxVio"}) {
        IM_CHECK(says(h, ctx, name));
    }
    IM_CHECK(!says(h, ctx, "weight decay"));
    const auto first_row = [&] {
        std::string first;
        float top = FLT_MAX;
        for (const ScreenLine& line : h.screen(ctx)) {
            for (const char* name : {"none", "Switch loss", "loss-free bias", "quantiles"}) {
                if (line.window == "panel.overlay" && line.text.rfind(name, 0) == 0 && line.min.y < top) {
                    top = line.min.y;
                    first = name;
                }
            }
        }
        return first;
    };
    const std::string header = item("###overlay.table.run");
    ctx->ItemClick(header.c_str());
    ctx->Yield(3);
    IM_CHECK_EQ(first_row(), std::string("Switch loss"));  // upper case stands before lower case
    ctx->ItemClick(header.c_str());
    ctx->Yield(3);
    IM_CHECK_EQ(first_row(), std::string("quantiles"));
    const fs::path file = h.folder() / "runs.csv";
    ctx->ItemClick(item("###overlay.table.csv").c_str());
    ctx->Yield(3);
    IM_CHECK(h.workbench().answer_path(file.string()));
    IM_CHECK(h.wait(ctx, 20, [&] { return fs::exists(file); }));
    const std::string csv = test::read_text(file);
    IM_CHECK_EQ(csv.rfind("run,session,state,steps,", 0), std::size_t{0});
    IM_CHECK_EQ(std::count(csv.begin(), csv.end(), '\n'), 5);
    // The maps, with the same cell marked on each.
    view(ctx, "maps");
    IM_CHECK(says(h, ctx, "step 20"));
    h.workbench().selection().layer = h.workbench().selection().expert = -1;
    ctx->ItemClick(item("###overlay.cells").c_str());
    IM_CHECK(h.workbench().selection().expert >= 0);
    IM_CHECK(std::find(runs.begin(), runs.end(), h.workbench().selection().training_run) != runs.end());
    IM_CHECK(!ctx->ItemExists(item("###overlay.maps.newest").c_str()));
    ctx->ItemClick(item("###overlay.step").c_str());  // its middle
    ctx->Yield(3);
    IM_CHECK(!says(h, ctx, "step 20"));
    ctx->ItemClick(item("###overlay.maps.newest").c_str());
    ctx->Yield(3);
    IM_CHECK(says(h, ctx, "step 20"));
    view(ctx, "curves");
    leave(h, ctx);
}

void choose_runs(Harness& h, ImGuiTestContext* ctx) {
    const auto runs = run_experiment(h, ctx, {"none", "switch"}, 5);
    ctx->ItemClick(item("###overlay.choose").c_str());
    ctx->Yield(3);
    ctx->SetRef("//$FOCUSED");
    const std::string first = "**/###run." + std::to_string(runs[0]);
    ctx->ItemUncheck(first.c_str());
    ctx->Yield(3);
    IM_CHECK(!ctx->ItemExists(item("###legend." + std::to_string(runs[0])).c_str()));
    IM_CHECK(ctx->ItemExists(item("###legend." + std::to_string(runs[1])).c_str()));
    ctx->ItemUncheck(("**/###run." + std::to_string(runs[1])).c_str());
    ctx->PopupCloseAll();
    ctx->Yield(3);
    IM_CHECK(says(h, ctx, "No run is ticked"));
    ctx->ItemClick(item("###overlay.choose.open").c_str());
    ctx->Yield(3);
    ctx->SetRef("//$FOCUSED");
    ctx->ItemCheck(first.c_str());
    ctx->PopupCloseAll();
    ctx->Yield(3);
    IM_CHECK(ctx->ItemExists(item("###legend." + std::to_string(runs[0])).c_str()));
    leave(h, ctx);
}

void another_session(Harness& h, ImGuiTestContext* ctx) {
    const auto runs = run_experiment(h, ctx, {"none", "switch"}, 5);
    const fs::path folder = h.folder() / "beside" / "Zuvala";
    WrittenSession(folder, "Zuva", 3).write("TT");
    h.workbench().command("overlay.add=" + folder.string());
    IM_CHECK(h.wait(ctx, 20, [&] { return words(h, ctx).find("Zuva") != std::string::npos; }));
    IM_CHECK(ctx->ItemExists(item("###legend." + std::to_string(runs[0])).c_str()));
    view(ctx, "table");
    IM_CHECK(says(h, ctx, "Zuva"));
    // A folder that is none says so where it was asked for, and shows nothing.
    fs::create_directories(h.folder() / "beside" / "nothing");
    h.workbench().command("overlay.add=" + (h.folder() / "beside" / "nothing").string());
    ctx->ItemClick(item("###overlay.choose").c_str());
    IM_CHECK(h.wait(ctx, 20, [&] {
        const auto lines = h.screen(ctx);
        return std::any_of(lines.begin(), lines.end(),
                           [](const ScreenLine& line) { return line.text.find("nothing") != std::string::npos; });
    }));
    ctx->PopupCloseAll();
    view(ctx, "curves");
    leave(h, ctx);
}

void form_makes_an_experiment(Harness& h, ImGuiTestContext* ctx) {
    h.settle(ctx);
    const std::size_t before = h.snapshot().experiments.size();
    h.workbench().command("run.experiment");
    ctx->Yield(3);
    IM_CHECK(ctx->ItemExists("//###runs.form/###runs.experiment.value.switch"));
    const auto can_start = [&] {
        return (ctx->ItemInfo("//###runs.form/###runs.start").ItemFlags & ImGuiItemFlags_Disabled) == 0;
    };
    // One value is no experiment.
    for (const char* name : {"switch", "loss_free", "expert_choice", "quantile"}) {
        ctx->ItemUncheck((std::string("//###runs.form/###runs.experiment.value.") + name).c_str());
    }
    ctx->Yield(3);
    IM_CHECK(!can_start());
    ctx->ItemCheck("//###runs.form/###runs.experiment.value.hash");
    ctx->Yield(3);
    IM_CHECK(h.wait(ctx, 20, can_start));
    // Numbers are typed.
    ctx->ItemClick("//###runs.form/###runs.experiment.key");
    ctx->Yield(2);
    ctx->SetRef("//$FOCUSED");
    ctx->ItemClick("###learning_rate");
    ctx->Yield(3);
    ctx->ItemInput("//###runs.form/###runs.experiment.list");
    ctx->KeyCharsReplaceEnter("0.001, 7");
    IM_CHECK(!can_start());
    ctx->ItemInput("//###runs.form/###runs.experiment.list");
    ctx->KeyCharsReplaceEnter("0.001, 0.002");
    ctx->Yield(3);
    IM_CHECK(h.wait(ctx, 20, can_start));
    ctx->ItemClick("//###runs.form/###runs.start");
    IM_CHECK(h.wait(ctx, 60, [&] { return h.snapshot().experiments.size() > before; }));
    const history::Experiment experiment = *h.snapshot().experiments.rbegin()->second;
    IM_CHECK_EQ(experiment.key, std::string("learning_rate"));
    IM_CHECK_EQ(experiment.runs.size(), std::size_t{2});
    // Its panel is in front and says how far it is; Cancel ends it.
    IM_CHECK(h.wait(ctx, 60, [&] { return ctx->ItemExists(item("###overlay.cancel").c_str()); }));
    ctx->ItemClick(item("###overlay.cancel").c_str());
    IM_CHECK(h.wait(ctx, 60, [&] {
        return all_in(h, {experiment.runs[0].run, experiment.runs[1].run}, RunState::stopped);
    }));
    ctx->Yield(3);
    IM_CHECK(!ctx->ItemExists(item("###overlay.cancel").c_str()));
    leave(h, ctx);
}

/// Notes on steps stand in the plots of several runs, and are written there: on the run that a person means.
void notes_on_runs(Harness& h, ImGuiTestContext* ctx) {
    const fs::path folder = h.folder() / "overlay-notes";
    WrittenSession(folder, "Ravo", 21).write("TT");
    IM_CHECK(h.open_session(ctx, folder,
                            [&] { return h.snapshot().training.size() == 2 && h.training().step.size() == 40; }));
    h.workbench().set_layout("compare");
    ctx->Yield(4);
    h.workbench().show_panel("overlay");
    ctx->Yield(8);
    const std::uint32_t run = h.training().id;
    // The letters of the first title; the plot is below.
    const auto in_plot = [&](float right, float below) {
        for (const ScreenLine& line : h.screen(ctx)) {
            if (line.window == "panel.overlay" && line.text.starts_with("Loss")) {
                const float letter = ImGui::GetFontSize();
                ctx->MouseMoveToPos({line.min.x + right * letter, line.max.y + below * letter});
                return true;
            }
        }
        return false;
    };
    IM_CHECK(in_plot(9, 3));
    ctx->MouseClick(ImGuiMouseButton_Right);
    ctx->Yield(2);
    ctx->ItemClick("//$FOCUSED/###overlay.notes");
    ctx->Yield(2);
    ctx->ItemClick(("//###Menu_00/###note.of." + std::to_string(run)).c_str());
    ctx->Yield(2);
    ctx->ItemClick("//###Menu_01/notes/###note.write");
    IM_CHECK(h.wait(ctx, 10, [&] { return ctx->ItemExists("//###notes.form/###note.text"); }));
    ctx->ItemInput("//###notes.form/###note.text");
    ctx->KeyCharsReplace("both turn");
    ctx->ItemClick("//###notes.form/###notes.save");
    IM_CHECK(h.wait(ctx, 20, [&] { return h.snapshot().notes->size() == 1; }));
    const history::NotePlace on = h.snapshot().notes->begin()->second.on;
    IM_CHECK_EQ(on.run, run);
    IM_CHECK(on.step > 0 && on.step <= 40);
    ctx->MouseMoveToPos({2, 2});
    ctx->Yield(3);
    IM_CHECK(says(h, ctx, "\uf249"));
    IM_CHECK(in_plot(9, 3));
    ctx->Yield(3);
    std::string tip;
    for (const ScreenLine& line : h.screen(ctx)) {
        tip += line.window.starts_with("panel.") ? "" : squeezed(line.text);
    }
    IM_CHECK(tip.find("bothturn") != std::string::npos);
    leave(h, ctx);
}

}  // namespace

void register_overlay(Harness& harness) {
    const auto add = [&](const char* name, void (*body)(Harness&, ImGuiTestContext*)) {
        harness.add("overlay", name, [&harness, body](ImGuiTestContext* ctx) { body(harness, ctx); });
    };
    add("four balancings in curves, table and maps", four_balancings);
    add("runs are ticked and unticked", choose_runs);
    add("runs of another session stand beside them", another_session);
    add("the form makes an experiment, which is cancelled", form_makes_an_experiment);
    add("notes stand in the plots of several runs and are written there", notes_on_runs);
}

}  // namespace moescope::gui_test
