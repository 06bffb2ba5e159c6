// A run is done once more from its menu: what is other here stands there first, and afterwards that nothing came out
// otherwise.
#include <nlohmann/json.hpp>
#include <string>

#include "panels/runs/reproduce_form.hpp"
#include "tests/gui/harness.hpp"
#include "tests/gui/trained_model.hpp"

namespace moescope::gui_test {
namespace {

using history::RunState;
using nlohmann::json;

std::string form_text(Harness& h, ImGuiTestContext* ctx) {
    std::string text;
    for (const ScreenLine& line : h.screen(ctx)) {
        text += line.window == "reproduce" ? squeezed(line.text) : "";
    }
    return text;
}

void run_again(Harness& h, ImGuiTestContext* ctx) {
    h.settle(ctx);
    json config = preset_config(h, "workshop");
    config["model"].update({{"layers", 1}, {"width", 32}, {"experts", 4}, {"context", 16}, {"vocabulary", 1024}});
    config["train"].update({{"steps", 6}, {"batch", 1}});
    const std::size_t before = h.snapshot().training.size();
    h.workbench().client().send("train.start", {{"config", config}, {"name", "once"}});
    IM_CHECK(h.wait(ctx, 120, [&] {
        return h.snapshot().training.size() > before && h.snapshot().training.rbegin()->second->state == RunState::done;
    }));
    const std::uint32_t first = h.snapshot().training.rbegin()->first;
    h.workbench().selection().training_run = first;
    ctx->Yield(2);
    IM_CHECK(h.workbench().command("run.reproduce"));
    const ui::Language& text = h.workbench().text();
    // A program with changes in its sources is told, or that nothing is other.
    IM_CHECK(h.wait(ctx, 60, [&] {
        const std::string said = form_text(h, ctx);
        return said.find(squeezed(text("reproduce.same"))) != std::string::npos ||
               said.find(squeezed(text("reproduce.may_differ"))) != std::string::npos;
    }));
    IM_CHECK_EQ(h.snapshot().training.size(), before + 1);  // nothing has begun
    ctx->ItemClick("//###reproduce/###reproduce.start");
    IM_CHECK(h.wait(ctx, 120, [&] {
        const auto& newest = *h.snapshot().training.rbegin()->second;
        return newest.id != first && newest.state == RunState::done && newest.replay.is_object();
    }));
    const history::TrainingRun& again = *h.snapshot().training.rbegin()->second;
    IM_CHECK_EQ(again.replay["equal"], true);
    IM_CHECK_EQ(again.parameters_sha256, h.snapshot().training.at(first)->parameters_sha256);
    IM_CHECK_EQ(h.workbench().selection().training_run, again.id);
    const std::string equal =
        squeezed(text.format("reproduce.equal", {{"run", "once"}, {"steps", "6"}, {"recorded", "6"}}));
    IM_CHECK(h.wait(ctx, 10, [&] { return form_text(h, ctx).find(equal) != std::string::npos; }));
    ctx->ItemClick("//###reproduce/###models.export.close");
}

}  // namespace

void register_reproduce(Harness& harness) {
    harness.add("panels", "a run is done again, compared, and found the same",
                [&harness](ImGuiTestContext* ctx) { run_again(harness, ctx); });
}

}  // namespace moescope::gui_test
