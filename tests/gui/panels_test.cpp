// The panels through their real widgets: buttons, knobs, typed Chinese.
#include <cmath>

#include "tests/gui/harness.hpp"

namespace moescope::gui_test {
namespace {

using client::RunState;

void pause_and_step(Harness& h, ImGuiTestContext* ctx) {
    h.ensure_training(ctx);
    ctx->ItemClick("//###panel.training/**/###training.run.pause");
    IM_CHECK(h.wait(ctx, 180, [&] { return h.training().state == RunState::paused; }));
    const double before = h.training().step.back();
    ctx->ItemClick("//###panel.training/**/###training.run.step");
    IM_CHECK(h.wait(ctx, 180, [&] { return h.training().step.back() > before; }));
    IM_CHECK_EQ(h.training().step.back(), before + 1);
    IM_CHECK(h.training().state == RunState::paused);
    ctx->ItemClick("//###panel.training/**/###training.run.resume");
    IM_CHECK(h.wait(ctx, 60,
                    [&] { return h.training().state == RunState::running && h.training().step.back() > before + 1; }));
}

void turn_a_knob(Harness& h, ImGuiTestContext* ctx) {
    h.ensure_training(ctx);
    h.workbench().show_panel("knobs");
    ctx->Yield(3);
    const std::size_t events = h.training().events.size();
    ctx->ItemInput("//###panel.knobs/**/###knobs.balance_coefficient");
    ctx->KeyCharsReplaceEnter("0.037");
    IM_CHECK(h.wait(ctx, 180, [&] { return std::fabs(h.training().balance_coefficient.back() - 0.037) < 1e-9; }));
    IM_CHECK_GT(h.training().events.size(), events);
    IM_CHECK_EQ(h.training().events.back().kind, std::string("knob"));
    IM_CHECK_EQ(h.training().events.back().name, std::string("balance_coefficient"));
    // Something that is no number stays out.
    ctx->ItemInput("//###panel.knobs/**/###knobs.balance_coefficient");
    ctx->KeyCharsReplaceEnter("1e9");
    ctx->Yield(10);
    IM_CHECK(std::fabs(h.training().balance_coefficient.back() - 0.037) < 1e-9);
}

void compare_chinese(Harness& h, ImGuiTestContext* ctx) {
    h.settle(ctx);
    if (!h.has_models()) {
        ctx->LogWarning("skipped: the two models are not in the library");
        return;
    }
    if (!h.snapshot().training.empty() && h.training().state == RunState::running)
        h.workbench().command("run.pause");
    ctx->KeyPress(ImGuiMod_Ctrl | ImGuiKey_2);
    ctx->Yield(5);
    const std::string prompt = "\u53f0\u6e7e\u662f\u4e00\u4e2a\u56fd\u5bb6\u5417\uff1f";
    ctx->ItemClick("//###panel.compare/**/###compare.prompt");
    ctx->KeyCharsReplace(prompt.c_str());
    ctx->Yield(2);
    const std::size_t before = h.snapshot().generations.size();
    ctx->ItemClick("//###panel.compare/**/###compare.run");
    IM_CHECK(h.wait(ctx, 180, [&] {
        const auto& all = h.snapshot().generations;
        return all.size() >= before + 2 &&
               all.rbegin()->second->tokens.size() + std::next(all.rbegin())->second->tokens.size() > 2;
    }));
    IM_CHECK_EQ(h.snapshot().generations.rbegin()->second->manifest.value("prompt", ""), prompt);
    h.workbench().command("compare.cancel");
    IM_CHECK(h.wait(ctx, 180, [&] {
        for (const auto& [id, answer] : h.snapshot().generations)
            if (answer->state == RunState::running || answer->state == RunState::planned)
                return false;
        return true;
    }));
}

}  // namespace

void register_panels(Harness& harness) {
    const auto add = [&](const char* name, void (*body)(Harness&, ImGuiTestContext*)) {
        harness.add("panels", name, [&harness, body](ImGuiTestContext* ctx) { body(harness, ctx); });
    };
    add("pause, single step, go on", pause_and_step);
    add("a typed knob reaches the trainer", turn_a_knob);
    add("compare with typed Chinese, then cancel", compare_chinese);
}

}  // namespace moescope::gui_test
