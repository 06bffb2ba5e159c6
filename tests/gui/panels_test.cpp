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
    // From the click on there is no second Run: the button has become Cancel, and Ctrl+Enter does nothing.
    IM_CHECK(ctx->ItemExists("//###panel.compare/**/###compare.cancel"));
    IM_CHECK(!ctx->ItemExists("//###panel.compare/**/###compare.run"));
    ctx->KeyPress(ImGuiMod_Ctrl | ImGuiKey_Enter);
    h.workbench().command("compare.run");
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
    IM_CHECK_EQ(h.snapshot().generations.size(), before + 2);  // one comparison, whatever was pressed
}

/// The answer that the panel shows is the only one that a person has labelled; null when there is none.
const client::ProbeDraw* labelled(Harness& h) {
    for (const auto& draw : h.snapshot().probes.rbegin()->second->draws)
        if (draw->labelled_by_person)
            return draw.get();
    return nullptr;
}

/// A few real answers to label. The run is cancelled as soon as they are there.
bool probe_a_little(Harness& h, ImGuiTestContext* ctx) {
    if (!h.snapshot().training.empty() && h.training().state == RunState::running)
        h.workbench().command("run.pause");
    ctx->KeyPress(ImGuiMod_Ctrl | ImGuiKey_3);
    ctx->Yield(5);
    h.workbench().command("probes.max_tokens=8");
    ctx->ItemClick("//###panel.probe/**/###probe.start");
    const auto run = [&h]() -> const client::ProbeRun* {
        return h.snapshot().probes.empty() ? nullptr : h.snapshot().probes.rbegin()->second.get();
    };
    if (!h.wait(ctx, 180, [&] { return run() != nullptr && run()->draws.size() >= 3; }))
        return false;
    h.workbench().command("probes.cancel");
    return h.wait(ctx, 60, [&] { return run()->state != RunState::running && run()->state != RunState::planned; });
}

void label_with_keys(Harness& h, ImGuiTestContext* ctx) {
    h.settle(ctx);
    if (!h.has_models()) {
        ctx->LogWarning("skipped: the two models are not in the library");
        return;
    }
    IM_CHECK(probe_a_little(h, ctx));
    const auto press = [&](ImGuiKey key) {
        ctx->WindowFocus("//###panel.probe");
        ctx->KeyPress(key);
    };
    const auto has = [&](const char* delivery, int engagement) {
        return h.wait(ctx, 20, [&] {
            const client::ProbeDraw* draw = labelled(h);
            return draw != nullptr && (delivery == nullptr || draw->delivery == delivery) &&
                   (engagement < 0 || draw->engagement == engagement);
        });
    };
    IM_CHECK(labelled(h) == nullptr);
    const char* deliveries[] = {"answered", "refused", "blocked", "empty"};
    for (int key = 0; key < 4; ++key) {
        press(static_cast<ImGuiKey>(ImGuiKey_1 + key));
        IM_CHECK(has(deliveries[key], -1));
    }
    press(ImGuiKey_1);  // an empty answer has no engagement
    IM_CHECK(has("answered", -1));
    for (int key = 4; key < 9; ++key) {
        press(static_cast<ImGuiKey>(ImGuiKey_1 + key));
        IM_CHECK(has(nullptr, key - 4));
    }
    // With Ctrl a digit chooses a layout and labels nothing.
    const std::string before = labelled(h)->delivery;
    ctx->KeyPress(ImGuiMod_Ctrl | ImGuiKey_2);
    ctx->Yield(4);
    IM_CHECK_EQ(h.workbench().settings().layout, std::string("compare"));
    ctx->KeyPress(ImGuiMod_Ctrl | ImGuiKey_3);
    ctx->Yield(10);
    IM_CHECK_EQ(labelled(h)->delivery, before);
    // Taken back: the rule's label is there again; by the key, then by the button.
    press(ImGuiKey_0);
    IM_CHECK(h.wait(ctx, 20, [&] { return labelled(h) == nullptr; }));
    press(ImGuiKey_2);
    IM_CHECK(has("refused", -1));
    ctx->ItemClick("//###panel.probe/**/###probe.undo");
    IM_CHECK(h.wait(ctx, 20, [&] { return labelled(h) == nullptr; }));
}

/// Whoever types initials labels under them, and the digits typed there label nothing.
void change_the_coder(Harness& h, ImGuiTestContext* ctx) {
    h.settle(ctx);
    if (!h.has_models() || h.snapshot().probes.empty()) {
        ctx->LogWarning("skipped: there is no probe run");
        return;
    }
    ctx->KeyPress(ImGuiMod_Ctrl | ImGuiKey_3);
    ctx->Yield(5);
    ctx->ItemInput("//###panel.probe/**/###probe.coder");
    ctx->KeyCharsReplaceEnter("B7");
    ctx->Yield(20);
    IM_CHECK(labelled(h) == nullptr);
    ctx->ItemClick("//###panel.probe/**/###f1.refused");
    IM_CHECK(h.wait(ctx, 20, [&] { return labelled(h) != nullptr && labelled(h)->delivery == "refused"; }));
    h.workbench().command("probes.label.undo");
    IM_CHECK(h.wait(ctx, 20, [&] { return labelled(h) == nullptr; }));
}

/// Layers and experts from the keyboard.
void walk_over_experts(Harness& h, ImGuiTestContext* ctx) {
    h.ensure_training(ctx);
    h.workbench().command("view.clear_selection");
    constexpr ImGuiKeyChord turn = ImGuiMod_Ctrl | ImGuiMod_Shift;
    ctx->KeyPress(turn | ImGuiKey_DownArrow);
    IM_CHECK_EQ(h.workbench().selection().layer, 1);
    ctx->KeyPress(turn | ImGuiKey_RightArrow);
    ctx->KeyPress(turn | ImGuiKey_RightArrow);
    IM_CHECK_EQ(h.workbench().selection().expert, 1);
    ctx->KeyPress(turn | ImGuiKey_UpArrow);
    ctx->KeyPress(turn | ImGuiKey_UpArrow);
    IM_CHECK_EQ(h.workbench().selection().layer, 0);  // the first layer has none before it
    ctx->KeyPress(ImGuiKey_Escape);
    IM_CHECK_EQ(h.workbench().selection().expert, -1);
}

}  // namespace

void register_panels(Harness& harness) {
    const auto add = [&](const char* name, void (*body)(Harness&, ImGuiTestContext*)) {
        harness.add("panels", name, [&harness, body](ImGuiTestContext* ctx) { body(harness, ctx); });
    };
    add("pause, single step, go on", pause_and_step);
    add("a typed knob reaches the trainer", turn_a_knob);
    add("layers and experts by keys", walk_over_experts);
    add("compare with typed Chinese, then cancel", compare_chinese);
    add("probe answers are labelled with keys and taken back", label_with_keys);
    add("the coder's initials can be changed", change_the_coder);
}

}  // namespace moescope::gui_test
