// The ranks panel on a written session: a run of one process says how to start one of several; of one of four it names
// the slowest rank, shows who sends how much to whom, by layer and in bytes, and a row per rank.
#include <imgui_internal.h>

#include "tests/gui/harness.hpp"
#include "tests/gui/screen_text.hpp"
#include "tests/gui/written_session.hpp"

namespace moescope::gui_test {
namespace {

std::string item(const std::string& id) {
    return "//###panel.ranks/**/" + id;
}

bool says(Harness& h, ImGuiTestContext* ctx, const std::string& words) {
    std::string all;
    for (const ScreenLine& line : h.screen(ctx)) {
        all += line.window == "panel.ranks" ? squeezed(line.text) : "";
    }
    return all.find(squeezed(words)) != std::string::npos;
}

bool comes_to_say(Harness& h, ImGuiTestContext* ctx, const std::string& words) {
    const bool found = h.wait(ctx, 20, [&] { return says(h, ctx, words); });
    if (!found) {
        ctx->LogError("it does not say \"%s\"", words.c_str());
    }
    return found;
}

void read_ranks_of_a_run(Harness& h, ImGuiTestContext* ctx) {
    h.settle(ctx);
    const std::filesystem::path before = h.workbench().session(), folder = h.folder() / "ranks";
    WrittenSession(folder, "Remo", 5).write("TN");
    IM_CHECK(h.open_session(ctx, folder,
                            [&] { return h.snapshot().training.size() == 2 && h.training().ranks.size() == 40; }));
    h.workbench().show_panel("ranks");

    // The first run has one process.
    h.workbench().selection().training_run = h.snapshot().training.begin()->first;
    IM_CHECK(comes_to_say(h, ctx, "This run has one process."));
    IM_CHECK(says(h, ctx, "mpirun -n 2 moescope-node train"));
    ctx->ItemClick(item("###ranks.start").c_str());
    IM_CHECK(h.wait(ctx, 10, [&] { return ctx->ItemExists("//###runs.form/###runs.search"); }));
    ctx->ItemInput("//###runs.form/###runs.search");
    ctx->KeyCharsReplaceEnter("processes");
    ctx->Yield(2);
    IM_CHECK(ctx->ItemExists("//###runs.form/**/###runs.field.processes"));
    ctx->ItemClick("//###runs.form/###runs.cancel");

    h.workbench().selection().training_run = h.training().id;
    h.workbench().command("view.clear_selection");
    IM_CHECK(comes_to_say(h, ctx,
                          "Slowest: rank 1, 80 ms of work in a step. The fastest, rank 0, works 60 ms and waits "
                          "30 ms."));
    // Both layers: 6 pairs without rank 1 and 6 with it, 500 and 1,500 rows, and 100 more in the second layer.
    IM_CHECK(says(h, ctx, "In all layers, 25,200 rows of tokens go to experts of other ranks or come back"));
    IM_CHECK(says(h, ctx, "Tokens sent, all layers"));
    ctx->KeyPress(ImGuiMod_Ctrl | ImGuiMod_Shift | ImGuiKey_DownArrow);
    IM_CHECK(comes_to_say(h, ctx, "In layer 1, 13,200 rows of tokens go to"));
    IM_CHECK(says(h, ctx, "Load, layer 1"));
    ctx->ItemClick(item("###ranks.view.bytes").c_str());
    IM_CHECK(comes_to_say(h, ctx, "MB per step"));
    h.workbench().command("ranks.all_layers");
    IM_CHECK(comes_to_say(h, ctx, "In all layers, 25,200 rows of tokens"));
    IM_CHECK_EQ(h.workbench().selection().layer, -1);
    ctx->ItemClick(item("###ranks.view.everything").c_str());
    IM_CHECK(comes_to_say(h, ctx, "Everything sent"));
    ctx->ItemClick(item("###ranks.view.numbers").c_str());
    IM_CHECK(comes_to_say(h, ctx, "2\u20133"));  // the experts of rank 1

    h.workbench().set_language("zh");
    IM_CHECK(comes_to_say(h, ctx, "最慢的是进程 1"));
    h.workbench().set_language("en");
    ctx->ItemClick(item("###ranks.view.tokens").c_str());
    IM_CHECK(h.open_session(ctx, before));
    h.workbench().show_panel("ranks", false);
    ctx->Yield(3);
}

}  // namespace

void register_ranks(Harness& harness) {
    harness.add("ranks", "what the processes of a run did",
                [&harness](ImGuiTestContext* ctx) { read_ranks_of_a_run(harness, ctx); });
}

}  // namespace moescope::gui_test
