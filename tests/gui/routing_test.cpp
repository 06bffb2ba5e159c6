// The token view and interventions: on a session that is written without a model, and on a tiny model that the real
// node trains, reads with, changes, measures and sweeps.
#include <algorithm>
#include <filesystem>
#include <imgui_internal.h>
#include <nlohmann/json.hpp>

#include "panels/routing/change_list.hpp"
#include "panels/routing/effect_result.hpp"
#include "panels/routing/routing_link.hpp"
#include "tests/files.hpp"
#include "tests/gui/harness.hpp"
#include "tests/gui/trained_model.hpp"
#include "tests/gui/written_session.hpp"

namespace moescope::gui_test {
namespace {

namespace fs = std::filesystem;
using history::RunState;

std::string item(const char* panel, const char* id) {
    return std::string("//###panel.") + panel + "/**/###" + id;
}

/// Opens a session and waits until so many of its runs have routing.
bool open(Harness& h, ImGuiTestContext* ctx, const fs::path& folder, std::size_t routed) {
    return h.open_session(ctx, folder, [&] { return h.snapshot().routing.size() >= routed; });
}

void go_back(Harness& h, ImGuiTestContext* ctx) {
    IM_CHECK(open(h, ctx, h.folder() / "session", 0));
}

void show(Harness& h, ImGuiTestContext* ctx, const char* panel) {
    h.workbench().set_layout("routing");
    ctx->Yield(5);
    h.workbench().show_panel(panel);
    ctx->Yield(5);
}

std::string words(Harness& h, ImGuiTestContext* ctx, const std::string& window, const std::string& part = "") {
    std::string text;
    for (const ScreenLine& line : h.screen(ctx)) {
        if (line.window == window && line.part.find(part) != std::string::npos) {
            text += squeezed(line.text);
        }
    }
    return text;
}

bool says(Harness& h, ImGuiTestContext* ctx, const char* window, const std::string& text) {
    const std::string all = words(h, ctx, window);
    const bool found = all.find(squeezed(text)) != std::string::npos;
    if (!found) {
        ctx->LogWarning("%s does not say \"%s\" but %s", window, text.c_str(), all.c_str());
    }
    return found;
}

/// Lines of the token view's text, from top to bottom.
std::vector<ScreenLine> text_lines(Harness& h, ImGuiTestContext* ctx) {
    std::vector<ScreenLine> lines;
    for (const ScreenLine& line : h.screen(ctx)) {
        if (line.window == "panel.routing" && line.part.find("routing.text") != std::string::npos) {
            lines.push_back(line);
        }
    }
    std::sort(lines.begin(), lines.end(), [](const auto& a, const auto& b) { return a.min.y < b.min.y; });
    return lines;
}

std::string piece_of(const history::RunRouting& routing, std::int64_t token) {
    const std::size_t number = routing.trace->chunk_holding(static_cast<std::uint64_t>(token));
    const auto chunk = routing.trace->chunk(number, routing::kTokens);
    return chunk ? std::string(chunk->piece_of(static_cast<std::size_t>(token) - chunk->first)) : std::string();
}

bool told(Harness& h, const std::string& part) {
    const auto& notices = h.workbench().notices().list();
    return std::any_of(notices.begin(), notices.end(), [&](const app::Notice& notice) {
        return notice.text.english().find(part) != std::string::npos;
    });
}

fs::path written(Harness& h, const char* name) {
    const fs::path folder = h.folder() / name;
    if (!fs::exists(folder)) {
        WrittenSession(folder, "Zuva", 3).write("RA");
    }
    return folder;
}

/// A click on the text selects the token there, arrow keys walk tokens and layers, and the decision follows.
void walk_tokens_and_layers(Harness& h, ImGuiTestContext* ctx) {
    IM_CHECK(open(h, ctx, written(h, "routing-walk"), 1));
    show(h, ctx, "routing");
    const auto routing = h.snapshot().routing.begin()->second;
    IM_CHECK(h.wait(ctx, 20, [&] { return text_lines(h, ctx).size() > 2; }));
    const ScreenLine second = text_lines(h, ctx)[1];
    ctx->MouseMoveToPos({second.min.x + 4, second.middle().y});
    ctx->MouseClick();
    ctx->Yield(6);
    ui::Selection& selection = h.workbench().selection();
    const std::int64_t clicked = selection.routing_token;
    IM_CHECK_GT(clicked, 0);
    IM_CHECK_EQ(squeezed(second.text).rfind(squeezed(piece_of(*routing, clicked)), 0), std::size_t{0});
    IM_CHECK(says(h, ctx, "panel.routing", "token " + std::to_string(clicked) + " (of 60"));
    ctx->KeyPress(ImGuiKey_RightArrow);
    ctx->KeyPress(ImGuiKey_RightArrow);
    ctx->KeyPress(ImGuiKey_LeftArrow);
    ctx->Yield(2);
    IM_CHECK_EQ(selection.routing_token, clicked + 1);
    IM_CHECK_EQ(selection.layer, -1);  // nobody has chosen one: the first with a router is on show
    ctx->KeyPress(ImGuiKey_DownArrow);
    ctx->Yield(2);
    IM_CHECK_EQ(selection.layer, 2);
    ctx->KeyPress(ImGuiKey_DownArrow);
    ctx->KeyPress(ImGuiKey_UpArrow);
    ctx->Yield(2);
    IM_CHECK_EQ(selection.layer, 2);
    ctx->KeyPress(ImGuiKey_End);
    ctx->Yield(2);
    IM_CHECK_EQ(selection.routing_token, 59);
    ctx->KeyPress(ImGuiKey_RightArrow);  // there is none behind it
    ctx->Yield(2);
    IM_CHECK_EQ(selection.routing_token, 59);
    ctx->KeyPress(ImGuiKey_PageUp);
    ctx->Yield(2);
    IM_CHECK_LT(selection.routing_token, 59);
    ctx->KeyPress(ImGuiKey_Home);
    ctx->Yield(4);
    IM_CHECK_EQ(selection.routing_token, 0);
    // The whole decision: DeepSeek's two scores, its groups, what is always on.
    IM_CHECK(says(h, ctx, "panel.routing", "Layer 2: scores of all experts"));
    IM_CHECK(says(h, ctx, "panel.routing", "Selection score"));
    IM_CHECK(says(h, ctx, "panel.routing", "shared experts, always on: 1"));
    IM_CHECK(h.wait(ctx, 20, [&] { return says(h, ctx, "panel.routing", "agreement 100 %"); }));
    IM_CHECK(says(h, ctx, "panel.routing", "doubts: 1"));
    ctx->KeyPress(ImGuiKey_Escape);
    ctx->Yield(2);
    IM_CHECK_EQ(selection.routing_token, -1);
    go_back(h, ctx);
}

/// A view as a text, and back; what is no link changes nothing and says why.
void link_of_a_view(Harness& h, ImGuiTestContext* ctx) {
    IM_CHECK(open(h, ctx, written(h, "routing-walk"), 1));
    show(h, ctx, "routing");
    ui::Selection& selection = h.workbench().selection();
    const std::uint32_t run = h.snapshot().routing.begin()->first;
    selection.routing_token = 17;
    selection.layer = 3;
    selection.expert = 5;
    IM_CHECK(h.workbench().command("routing.colour=entropy"));
    ctx->Yield(2);
    ctx->KeyPress(ImGuiMod_Ctrl | ImGuiMod_Shift | ImGuiKey_L);
    ctx->Yield(2);
    const std::string link = ImGui::GetClipboardText();
    IM_CHECK_EQ(link, "moescope:routing?run=" + std::to_string(run) + "&token=17&layer=3&expert=5&colour=entropy");
    h.workbench().command("view.clear_selection");
    h.workbench().command("routing.colour=expert");
    h.workbench().show_panel("routing", false);
    ctx->Yield(3);
    ctx->KeyPress(ImGuiMod_Ctrl | ImGuiMod_Shift | ImGuiKey_O);
    ctx->Yield(4);
    IM_CHECK_EQ(selection.routing_token, 17);
    IM_CHECK_EQ(selection.layer, 3);
    IM_CHECK_EQ(selection.expert, 5);
    IM_CHECK(h.workbench().panel_visible("routing"));
    IM_CHECK(says(h, ctx, "panel.routing", "by entropy"));
    for (const auto& [wrong, why] :
         {std::pair{"moescope:routing?run=999", "no routing of run 999"}, std::pair{"hello", "is no link"},
          std::pair{"moescope:routing?token=60", "no token 60"},
          std::pair{"moescope:routing?layer=0", "no router in layer 0"},
          std::pair{"moescope:routing?expert=16", "no expert 16"}}) {
        h.workbench().command(std::string("routing.open_link=") + wrong);
        ctx->Yield(2);
        IM_CHECK(told(h, why));
        IM_CHECK_EQ(selection.routing_token, 17);
    }
    go_back(h, ctx);
}

/// A set of changes grows by commands and menus, and every step can be taken back.
void put_changes_together(Harness& h, ImGuiTestContext* ctx) {
    IM_CHECK(open(h, ctx, written(h, "routing-walk"), 1));
    show(h, ctx, "change");
    ui::Selection& selection = h.workbench().selection();
    selection.layer = 2;
    selection.expert = 7;
    ctx->KeyPress(ImGuiMod_Ctrl | ImGuiKey_K);
    ctx->Yield(3);
    IM_CHECK(says(h, ctx, "panel.change", "layer 2, expert 7: knocked out"));
    ctx->ItemInput(item("change", "change.layers").c_str());
    ctx->KeyCharsReplace("1,3");
    ctx->ItemInput(item("change", "change.experts").c_str());
    ctx->KeyCharsReplace("0-1");
    ctx->ItemClick(item("change", "change.add").c_str());
    ctx->Yield(3);
    IM_CHECK(says(h, ctx, "panel.change", "layer 3, expert 1: knocked out"));
    ctx->ItemClick(item("change", "change.undo").c_str());
    ctx->Yield(2);
    IM_CHECK(!says(h, ctx, "panel.change", "layer 3, expert 1: knocked out"));
    IM_CHECK(says(h, ctx, "panel.change", "layer 2, expert 7: knocked out"));
    ctx->ItemClick(item("change", "change.redo").c_str());
    ctx->ItemInput(item("change", "change.layers").c_str());
    ctx->KeyCharsReplace("a");
    ctx->ItemClick(item("change", "change.add").c_str());
    ctx->Yield(2);
    const char* problem = "'a' in the field of layers is none";
    IM_CHECK(says(h, ctx, "panel.change", problem));
    ctx->ItemClick(item("change", "change.undo").c_str());
    ctx->Yield(2);
    IM_CHECK(!says(h, ctx, "panel.change", problem));
    ctx->ItemClick(item("change", "change.redo").c_str());
    ctx->Yield(2);
    // The menu of a bar does the same.
    show(h, ctx, "routing");
    selection.routing_token = 5;
    ctx->Yield(8);
    const ImRect bars = ctx->ItemInfo("//###panel.routing/**/###bars").RectFull;
    ctx->MouseMoveToPos({bars.Min.x + bars.GetWidth() * 9.5f / 16, bars.GetCenter().y});
    ctx->MouseClick(ImGuiMouseButton_Right);
    ctx->Yield(2);
    ctx->ItemClick("//$FOCUSED/changes/###change.menu.force");
    ctx->Yield(2);
    show(h, ctx, "change");
    IM_CHECK(says(h, ctx, "panel.change", "layer 2, expert 9: forced"));
    go_back(h, ctx);
}

/// A model that learns for a few steps and leaves a checkpoint; its name, empty when that failed.
std::string tiny_model(Harness& h, ImGuiTestContext* ctx) {
    h.settle(ctx);
    nlohmann::json config = preset_config(h, "deepseek-v3-mini");
    config["model"].update({{"layers", 3}, {"width", 64}, {"experts", 8}, {"context", 256}, {"vocabulary", 1024}});
    config["train"].update({{"steps", 12}, {"batch", 2}, {"checkpoint_every", 4}});
    return trained_model(h, ctx, "tiny", config);
}

/// The form reads a text with the model, and its routing is on the screen with all scores.
void read_a_text(Harness& h, ImGuiTestContext* ctx) {
    const std::string model = tiny_model(h, ctx);
    IM_CHECK(!model.empty());
    show(h, ctx, "routing");
    h.workbench().command("routing.read");
    h.workbench().command("routing.read.model=" + model);  // another test's run is the newest model
    ctx->Yield(3);
    const std::size_t before = h.snapshot().routing.size();
    ctx->ItemClick(item("routing", "routing.read.text").c_str());
    ctx->KeyCharsReplace("The router sends each token to a few experts.");
    ctx->ItemClick(item("routing", "routing.read.start").c_str());
    IM_CHECK(h.wait(ctx, 120, [&] {
        return h.snapshot().routing.size() > before && h.snapshot().routing.rbegin()->second->tokens > 5 &&
               h.snapshot().routing.rbegin()->second->trace->has_scores();
    }));
    const auto routing = h.snapshot().routing.rbegin()->second;
    IM_CHECK(h.wait(ctx, 20, [&] { return h.workbench().selection().routing_run == routing->run; }));
    IM_CHECK(h.wait(ctx, 20, [&] { return says(h, ctx, "panel.routing", "executed"); }));
    h.workbench().selection().routing_token = 3;
    ctx->Yield(8);
    IM_CHECK(h.wait(ctx, 20, [&] { return says(h, ctx, "panel.routing", "scores of all experts"); }));
    IM_CHECK(h.wait(ctx, 20, [&] { return says(h, ctx, "panel.routing", "agreement 100 %"); }));
    // The trace as a file, which the node writes.
    const fs::path file = h.folder() / "trace.csv";
    h.workbench().command("routing.export=csv");
    IM_CHECK(h.wait(ctx, 20, [&] { return h.workbench().answer_path(file.string()); }));
    IM_CHECK(h.wait(ctx, 60, [&] { return fs::exists(file) && fs::file_size(file) > 100; }));
}

/// Whoever double clicks the button asks once, also where the form stays as it is after the first click.
void read_once_by_a_double_click(Harness& h, ImGuiTestContext* ctx) {
    const fs::path folder = h.folder() / "double-click";
    WrittenSession(folder, "Kemo", 1).write("");
    IM_CHECK(open(h, ctx, folder, 0));
    const std::string model = tiny_model(h, ctx);
    IM_CHECK(!model.empty());
    show(h, ctx, "routing");
    h.workbench().command("routing.read.model=" + model);
    ctx->Yield(3);
    ctx->ItemClick(item("routing", "routing.read.text").c_str());
    ctx->KeyCharsReplace("Read once.");
    ctx->ItemDoubleClick(item("routing", "routing.read.start").c_str());
    IM_CHECK(h.wait(ctx, 120, [&] {
        return !h.snapshot().routes.empty() && h.snapshot().routes.begin()->second->state == RunState::done;
    }));
    ctx->Yield(10);
    IM_CHECK_EQ(h.snapshot().routes.size(), std::size_t{1});
    go_back(h, ctx);
}

/// A reading without scores says so where they are needed, and is read again as the very same tokens.
void read_again_with_scores(Harness& h, ImGuiTestContext* ctx) {
    const std::string model = tiny_model(h, ctx);
    IM_CHECK(!model.empty());
    constexpr std::uint64_t kTokens = 200;
    const std::size_t before = h.snapshot().routing.size();
    h.workbench().client().send("route.start", {{"model", model}, {"data", "manpages"}, {"tokens", kTokens}});
    const auto newest = [&] { return h.snapshot().routing.rbegin()->second; };
    const auto is_read = [&] {
        const auto run = h.snapshot().routes.find(newest()->run);
        return newest()->tokens == kTokens && run != h.snapshot().routes.end() && run->second->state == RunState::done;
    };
    IM_CHECK(h.wait(ctx, 120, [&] { return h.snapshot().routing.size() > before && is_read(); }));
    const auto coarse = newest();
    IM_CHECK(!coarse->trace->has_scores());
    show(h, ctx, "routing");
    ui::Selection& selection = h.workbench().selection();
    selection.routing_run = coarse->run;
    selection.routing_token = 40;
    h.workbench().command("routing.colour=margin");
    IM_CHECK(h.wait(ctx, 20, [&] { return says(h, ctx, "panel.routing", "This trace has no margins"); }));
    ctx->ItemClick(item("routing", "routing.again.all").c_str());
    IM_CHECK(
        h.wait(ctx, 120, [&] { return newest()->run != coarse->run && is_read() && newest()->trace->has_scores(); }));
    const auto exact = newest();
    IM_CHECK(h.wait(ctx, 20, [&] { return selection.routing_run == exact->run; }));
    IM_CHECK_EQ(selection.routing_token, 40);
    for (std::int64_t token = 0; token < static_cast<std::int64_t>(kTokens); ++token) {
        IM_CHECK_EQ(piece_of(*exact, token), piece_of(*coarse, token));
    }
    IM_CHECK(h.wait(ctx, 20, [&] { return !says(h, ctx, "panel.routing", "This trace has no margins"); }));
    h.workbench().command("routing.colour=expert");
}

/// A text that is longer than the context: the panel says why there is nothing, and the text can be made shorter.
void read_too_long_a_text(Harness& h, ImGuiTestContext* ctx) {
    const std::string model = tiny_model(h, ctx);
    IM_CHECK(!model.empty());
    show(h, ctx, "routing");
    std::string text;
    while (text.size() < 4000) {
        text += "The router sends each token to a few experts. ";
    }
    h.workbench().command("routing.read.model=" + model);
    const std::size_t before = h.snapshot().routes.size();
    h.workbench().command("routing.read=" + text);
    IM_CHECK(h.wait(ctx, 120, [&] {
        return h.snapshot().routes.size() > before && h.snapshot().routes.rbegin()->second->state == RunState::failed &&
               h.workbench().selection().routing_run == h.snapshot().routes.rbegin()->first;
    }));
    ctx->Yield(5);
    IM_CHECK(says(h, ctx, "panel.routing", "the context of this model holds"));
    IM_CHECK(!says(h, ctx, "panel.routing", "executed"));
    IM_CHECK(ctx->ItemExists(item("routing", "routing.read.start").c_str()));
    h.workbench().selection().routing_run = 0;
}

/// Knocked out experts beside the untouched model: two answers, and the effect with its random controls.
void try_a_change(Harness& h, ImGuiTestContext* ctx) {
    const std::string model = tiny_model(h, ctx);
    IM_CHECK(!model.empty());
    show(h, ctx, "change");
    h.workbench().command("change.model=" + model);
    h.workbench().command("change.prompt=The file system");
    constexpr int kLayer = 2;  // the last of the tiny model
    for (const int expert : {1, 2}) {
        h.workbench().selection().layer = kLayer;
        h.workbench().selection().expert = expert;
        IM_CHECK(h.workbench().command("change.knock_out"));
    }
    ctx->Yield(3);
    ctx->ItemInputValue(item("change", "compare.max_tokens").c_str(), 24);
    ctx->ItemInputValue(item("change", "change.controls").c_str(), 3);
    ctx->ItemClick(item("change", "change.try").c_str());
    const auto newest = [&]() -> panels::Trial {
        const std::vector<panels::Trial> trials = panels::trials_of(h.snapshot());
        return trials.empty() ? panels::Trial() : trials.front();
    };
    IM_CHECK(h.wait(ctx, 240, [&] {
        const panels::Trial trial = newest();
        return trial.effect && !trial.effect->result.is_null();
    }));
    const panels::Trial trial = newest();
    IM_CHECK(trial.untouched && trial.changed);
    IM_CHECK_EQ(trial.changes.size(), std::size_t{2});
    IM_CHECK_EQ(trial.untouched->manifest.value("seed", 0), trial.changed->manifest.value("seed", 1));
    const auto effect = panels::read_effect(trial.effect->result);
    IM_CHECK(effect.has_value());
    IM_CHECK_GT(effect->mean_kl.value, 0.0);
    IM_CHECK_EQ(effect->controls.size(), std::size_t{3});
    // No layer before the changed one chooses otherwise.
    for (const panels::EffectResult::Shift& shift : effect->shift) {
        IM_CHECK(shift.layer >= kLayer || shift.changed == 0);
    }
    // Neither answer chose what was knocked out.
    const auto changed = h.snapshot().routing.find(trial.changed->id);
    IM_CHECK(changed != h.snapshot().routing.end());
    const auto chunk = changed->second->trace->chunk(0, routing::kIds);
    IM_CHECK(chunk != nullptr);
    const auto place = static_cast<std::size_t>(routing::routed_place(changed->second->trace->spec(), kLayer));
    for (std::size_t at = 0; at < chunk->tokens; ++at) {
        const auto ids = chunk->ids_of(place, at);
        IM_CHECK(std::find(ids.begin(), ids.end(), 1) == ids.end() &&
                 std::find(ids.begin(), ids.end(), 2) == ids.end());
    }
    IM_CHECK(h.wait(ctx, 20, [&] { return says(h, ctx, "panel.change", "untouched"); }));
    for (const char* mode : {"compare.difference", "change.mode.log", "change.mode.kl", "compare.plain"}) {
        ctx->ItemClick(item("change", mode).c_str());
        ctx->Yield(10);
    }
    // Saved, it is a model of its own in Compare.
    h.workbench().command("change.name=no 1 and 2");
    IM_CHECK(h.workbench().command("change.save"));
    IM_CHECK(h.wait(ctx, 30, [&] { return h.snapshot().intervention_sets->contains("no 1 and 2"); }));
    h.workbench().set_layout("compare");
    h.workbench().show_panel("compare");
    ctx->Yield(8);
    ctx->ItemClick("//###panel.compare/$$0/###compare.model");
    ctx->Yield(2);
    IM_CHECK(ctx->ItemExists(("//$FOCUSED/###" + model + "|no 1 and 2").c_str()));
    ctx->KeyPress(ImGuiKey_Escape);
    h.workbench().client().send("interventions.remove", {{"name", "no 1 and 2"}});
    IM_CHECK(h.wait(ctx, 30, [&] { return !h.snapshot().intervention_sets->contains("no 1 and 2"); }));
}

/// Each expert of a layer, with its control; the answer's way to its routing.
void sweep_a_layer(Harness& h, ImGuiTestContext* ctx) {
    const std::string model = tiny_model(h, ctx);
    IM_CHECK(!model.empty());
    show(h, ctx, "change");
    h.workbench().command("change.model=" + model);
    h.workbench().command("change.texts=The file is opened for reading.\nA signal ends the process.\nSet the mode.");
    const auto sweep = [&]() -> const history::RouteRun* {
        const history::RouteRun* found = nullptr;
        for (const auto& [id, run] : h.snapshot().routes) {
            found = run->what == history::RouteRun::What::sweep ? run.get() : found;
        }
        return found;
    };
    ctx->ItemClick(item("change", "change.part.sweep").c_str());
    ctx->Yield(4);
    ctx->ItemClick(item("change", "sweep.start").c_str());
    IM_CHECK(h.wait(ctx, 240, [&] { return sweep() != nullptr && !sweep()->result.is_null(); }));
    const auto result = panels::read_sweep(sweep()->result);
    IM_CHECK(result.has_value());
    IM_CHECK_EQ(result->experts.size(), std::size_t{8});
    IM_CHECK_EQ(result->texts, std::uint64_t{3});
    IM_CHECK(h.wait(ctx, 20, [&] { return says(h, ctx, "panel.change", "3 texts"); }));
    // The numbers as a file.
    ctx->ItemClick(item("change", "sweep.menu").c_str());
    ctx->Yield(2);
    ctx->ItemClick("//$FOCUSED/###training.menu.csv");
    const fs::path file = h.folder() / "sweep.csv";
    IM_CHECK(h.wait(ctx, 20, [&] { return h.workbench().answer_path(file.string()); }));
    IM_CHECK(h.wait(ctx, 20, [&] { return fs::exists(file); }));
    const std::string csv = test::read_text(file);
    IM_CHECK_EQ(std::count(csv.begin(), csv.end(), '\n'), 9);
    ctx->ItemClick(item("change", "change.part.try").c_str());
}

/// From an answer in Compare to its routing.
void from_compare(Harness& h, ImGuiTestContext* ctx) {
    const std::string model = tiny_model(h, ctx);
    IM_CHECK(!model.empty());
    const std::size_t before = h.snapshot().generations.size();
    h.workbench().client().send("generate.start", {{"model", model},
                                                   {"prompt", "The file"},
                                                   {"group", "from-compare"},
                                                   {"max_tokens", 12},
                                                   {"routing", "weights"}});
    IM_CHECK(h.wait(ctx, 120, [&] {
        const auto& answers = h.snapshot().generations;
        return answers.size() > before && protocol::ended(answers.rbegin()->second->state) &&
               h.snapshot().routing.contains(answers.rbegin()->first);
    }));
    const std::uint32_t run = h.snapshot().generations.rbegin()->first;
    // An open form is no obstacle.
    show(h, ctx, "routing");
    h.workbench().command("routing.read");
    ctx->Yield(3);
    h.workbench().set_layout("compare");
    h.workbench().selection().generation = run;
    h.workbench().show_panel("compare");
    ctx->Yield(8);
    ctx->ItemClick("//###panel.compare/**/###compare.open_routing");
    ctx->Yield(6);
    IM_CHECK_EQ(h.workbench().selection().routing_run, run);
    IM_CHECK(h.workbench().panel_visible("routing"));
    IM_CHECK(h.wait(
        ctx, 20, [&] { return says(h, ctx, "panel.routing", "Prompt") && says(h, ctx, "panel.routing", "Answer"); }));
}

}  // namespace

void register_routing(Harness& harness) {
    const auto add = [&harness](const char* name, void (*body)(Harness&, ImGuiTestContext*)) {
        harness.add("routing", name, [&harness, body](ImGuiTestContext* ctx) { body(harness, ctx); });
    };
    add("a click selects a token, arrow keys walk tokens and layers", walk_tokens_and_layers);
    add("a view as a link, and wrong links", link_of_a_view);
    add("changes are put together and taken back", put_changes_together);
    add("a text is read with its routing and saved", read_a_text);
    add("a double click reads a text once", read_once_by_a_double_click);
    add("a reading without scores is read again with them", read_again_with_scores);
    add("a text that is too long says so in the panel", read_too_long_a_text);
    add("a change is tried beside the untouched model", try_a_change);
    add("every expert of a layer is swept", sweep_a_layer);
    add("from an answer to its routing", from_compare);
}

}  // namespace moescope::gui_test
