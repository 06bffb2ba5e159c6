// The panels through their real widgets: buttons, knobs, typed Chinese.
#include <algorithm>
#include <cmath>
#include <fstream>
#include <imgui_internal.h>
#include <nlohmann/json.hpp>
#include <optional>

#include "panels/runs/run_fields.hpp"
#include "panels/runs/run_tools.hpp"
#include "tests/gui/harness.hpp"
#include "tests/gui/trained_model.hpp"

namespace moescope::gui_test {
namespace {

using history::RunState;

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
    IM_CHECK(h.wait(ctx, 180, [&] {
        return std::fabs(h.training()[&base::StepValues::balance_coefficient].back() - 0.037) < 1e-9;
    }));
    IM_CHECK_GT(h.training().events.size(), events);
    IM_CHECK_EQ(h.training().events.back().kind, std::string("knob"));
    IM_CHECK_EQ(h.training().events.back().name, std::string("balance_coefficient"));
    // Something that is no number stays out.
    ctx->ItemInput("//###panel.knobs/**/###knobs.balance_coefficient");
    ctx->KeyCharsReplaceEnter("1e9");
    ctx->Yield(10);
    IM_CHECK(std::fabs(h.training()[&base::StepValues::balance_coefficient].back() - 0.037) < 1e-9);
}

/// A preset in which every knob has a meaning, small enough to train at once; paused after its first steps.
void start_small_run(Harness& h, ImGuiTestContext* ctx) {
    h.settle(ctx);
    if (!h.snapshot().training.empty() && h.training().state == RunState::running) {
        h.workbench().command("run.stop");
    }
    nlohmann::json config = preset_config(h, "deepseek-v3-mini");
    config["model"].update({{"layers", 2}, {"width", 64}, {"experts", 8}, {"context", 32}, {"vocabulary", 1024}});
    config["train"].update({{"steps", 100000}, {"batch", 2}});
    const std::size_t before = h.snapshot().training.size();
    h.workbench().client().send("train.start", {{"config", config}, {"name", "small"}});
    IM_CHECK(h.wait(ctx, 60, [&] { return h.snapshot().training.size() > before && h.training().step.size() > 2; }));
    h.workbench().show_panel("runs");
    ctx->ItemClick(("//###panel.runs/**/###run" + std::to_string(h.training().id)).c_str());
}

void turn_router_knobs(Harness& h, ImGuiTestContext* ctx) {
    start_small_run(h, ctx);
    h.workbench().show_panel("knobs");
    ctx->Yield(3);
    const auto turned = [&](const char* name, double value) {
        return h.wait(ctx, 60, [&] {
            const history::RunEvent* last = nullptr;
            for (const history::RunEvent& event : h.training().events) {
                last = event.kind == "knob" && event.name == name ? &event : last;
            }
            return last != nullptr && last->new_value.is_number() && last->new_value.get<double>() == value;
        });
    };
    const auto type = [&](const char* name, const char* value) {
        ctx->ItemInput((std::string("//###panel.knobs/**/###knobs.") + name).c_str());
        ctx->KeyCharsReplaceEnter(value);
    };
    type("bias_update_rate", "0.5");
    IM_CHECK(turned("bias_update_rate", 0.5));
    type("capacity_factor", "1.5");
    IM_CHECK(turned("capacity_factor", 1.5));
    type("experts_per_token", "1");
    IM_CHECK(turned("experts_per_token", 1));
    // Half an expert, or more of them than the run was planned for, stay out.
    type("experts_per_token", "1.5");
    type("experts_per_token", "1000");
    ctx->Yield(10);
    IM_CHECK(turned("experts_per_token", 1));
}

void compare_chinese(Harness& h, ImGuiTestContext* ctx) {
    h.settle(ctx);
    if (!h.has_models()) {
        ctx->LogWarning("skipped: the two models are not in the library");
        return;
    }
    if (!h.snapshot().training.empty() && h.training().state == RunState::running) {
        h.workbench().command("run.pause");
    }
    ctx->KeyPress(ImGuiMod_Ctrl | ImGuiKey_2);
    ctx->Yield(5);
    const std::string prompt = "\u53f0\u6e7e\u662f\u4e00\u4e2a\u56fd\u5bb6\u5417\uff1f";
    ctx->ItemClick("//###panel.compare/**/###compare.prompt");
    ctx->KeyCharsReplace(prompt.c_str());
    ctx->Yield(2);
    const std::size_t before = h.snapshot().generations.size();
    ctx->ItemDoubleClick("//###panel.compare/**/###compare.run");
    // From the click on there is no second Run: the button has become Cancel, which the second click of a double click
    // does not press, and Ctrl+Enter does nothing.
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
        for (const auto& [id, answer] : h.snapshot().generations) {
            if (answer->state == RunState::running || answer->state == RunState::planned) {
                return false;
            }
        }
        return true;
    }));
    IM_CHECK_EQ(h.snapshot().generations.size(), before + 2);  // one comparison, whatever was pressed
}

/// The answer that the panel shows is the only one that a person has labelled; null when there is none.
const history::ProbeDraw* labelled(Harness& h) {
    for (const auto& draw : h.snapshot().probes.rbegin()->second->draws) {
        if (draw->labelled_by_person) {
            return draw.get();
        }
    }
    return nullptr;
}

/// A few real answers to label. The run is cancelled as soon as they are there.
bool probe_a_little(Harness& h, ImGuiTestContext* ctx) {
    if (!h.snapshot().training.empty() && h.training().state == RunState::running) {
        h.workbench().command("run.pause");
    }
    ctx->KeyPress(ImGuiMod_Ctrl | ImGuiKey_3);
    ctx->Yield(5);
    h.workbench().command("probes.max_tokens=8");
    ctx->ItemClick("//###panel.probe/**/###probe.start");
    const auto run = [&h]() -> const history::ProbeRun* {
        return h.snapshot().probes.empty() ? nullptr : h.snapshot().probes.rbegin()->second.get();
    };
    if (!h.wait(ctx, 180, [&] { return run() != nullptr && run()->draws.size() >= 3; })) {
        return false;
    }
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
    h.workbench().command("probes.coder=A");
    const auto press = [&](ImGuiKey key) {
        ctx->WindowFocus("//###panel.probe");
        ctx->KeyPress(key);
    };
    // A refusal is engagement 0, and what is no answer has none; else the rule's stays until a person says another one,
    // if the rule too found an answer.
    const auto has = [&](const std::string& delivery, std::optional<int> engagement) {
        return h.wait(ctx, 20, [&] {
            const history::ProbeDraw* draw = labelled(h);
            if (draw == nullptr || draw->delivery != delivery) {
                return false;
            }
            const int other = delivery == "refused" ? 0 : -1;
            const bool as_the_rule = delivery == "answered" && draw->rule_delivery == "answered";
            return draw->engagement == engagement.value_or(as_the_rule ? draw->rule_engagement : other);
        });
    };
    IM_CHECK(labelled(h) == nullptr);
    for (const auto& [key, delivery] : {std::pair{ImGuiKey_E, "empty"}, std::pair{ImGuiKey_R, "refused"},
                                        std::pair{ImGuiKey_I, "incoherent"}, std::pair{ImGuiKey_A, "answered"}}) {
        press(key);
        IM_CHECK(has(delivery, {}));
    }
    for (int level = 0; level < 5; ++level) {
        press(static_cast<ImGuiKey>(ImGuiKey_0 + level));
        IM_CHECK(has("answered", level));
    }
    // A level says that there is an answer: it is not thrown away behind a refusal.
    press(ImGuiKey_R);
    IM_CHECK(has("refused", {}));
    press(ImGuiKey_3);
    IM_CHECK(has("answered", 3));
    // With Ctrl a digit chooses a layout and labels nothing.
    const std::string before = labelled(h)->delivery;
    ctx->KeyPress(ImGuiMod_Ctrl | ImGuiKey_2);
    ctx->Yield(4);
    IM_CHECK_EQ(h.workbench().settings().layout, std::string("compare"));
    ctx->KeyPress(ImGuiMod_Ctrl | ImGuiKey_3);
    ctx->Yield(10);
    IM_CHECK_EQ(labelled(h)->delivery, before);
    // Taken back: the rule's label is there again; by the key, then by the button.
    press(ImGuiKey_U);
    IM_CHECK(h.wait(ctx, 20, [&] { return labelled(h) == nullptr; }));
    press(ImGuiKey_R);
    IM_CHECK(has("refused", {}));
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
    IM_CHECK_STR_EQ(labelled(h)->coder.c_str(), "B7");
    IM_CHECK_STR_EQ(h.workbench().sessions().front()->coder.c_str(), "B7");
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

/// The menu of a cell of the expert map, and what the map and the menu then say of the expert.
void change_an_expert(Harness& h, ImGuiTestContext* ctx) {
    start_small_run(h, ctx);
    h.workbench().show_panel("expert_load");
    ctx->Yield(5);
    constexpr int kLayer = 1, kExpert = 4;
    const auto open_menu = [&] {
        const ImRect map = ctx->ItemInfo("//###panel.expert_load/**/###load.cells").RectFull;
        ctx->MouseMoveToPos(ImLerp(map.Min, map.Max, ImVec2((kExpert + 0.5f) / 8, (kLayer + 0.5f) / 2)));
        ctx->MouseClick(ImGuiMouseButton_Right);
        ctx->Yield(2);
    };
    const auto offered = [&](const char* action) {
        return ctx->ItemExists((std::string("//$FOCUSED/###load.expert.") + action).c_str());
    };
    const auto choose_action = [&](const char* action) {
        open_menu();
        ctx->ItemClick((std::string("//$FOCUSED/###load.expert.") + action).c_str());
    };
    const auto happened = [&](const char* action) {
        return h.wait(ctx, 60, [&] {
            const history::RunEvent* last = nullptr;
            for (const history::RunEvent& event : h.training().events) {
                last = event.kind == "expert" ? &event : last;
            }
            return last != nullptr && last->name == action && last->layer == kLayer && last->expert == kExpert;
        });
    };
    const auto is = [&](bool disabled, bool frozen) {
        ctx->Yield(2);
        const auto states = panels::expert_states(h.snapshot(), h.training());
        for (std::size_t i = 0; i < states.size(); ++i) {
            const bool here = i == kLayer * 8 + kExpert;
            if (states[i] != (here ? panels::ExpertState{disabled, frozen} : panels::ExpertState())) {
                return false;
            }
        }
        const auto legend = [&](const char* mark) {
            return ctx->ItemExists((std::string("//###panel.expert_load/**/###load.marks.") + mark).c_str());
        };
        return states.size() == 16 && legend("disabled") == disabled && legend("frozen") == frozen;
    };
    IM_CHECK(is(false, false));
    choose_action("freeze");
    IM_CHECK(happened("freeze"));
    IM_CHECK(is(false, true));
    choose_action("disable");
    IM_CHECK(happened("disable"));
    IM_CHECK(is(true, true));
    open_menu();
    IM_CHECK(offered("enable") && offered("thaw") && offered("reset"));
    IM_CHECK(!offered("disable") && !offered("freeze"));
    ctx->KeyPress(ImGuiKey_Escape);
    // The steps from now on give it no token.
    const auto tokens = [&] {
        const history::StepCounts& step = *h.training().counts.back();
        return step.counts[kLayer * 8 + kExpert] + step.counts[16 + kLayer * 8 + kExpert];
    };
    const double then = h.training().step.back();
    IM_CHECK(h.wait(ctx, 60, [&] { return h.training().step.back() > then + 1; }));
    IM_CHECK_EQ(tokens(), 0u);
    for (const char* action : {"thaw", "enable", "reset"}) {
        choose_action(action);
        IM_CHECK(happened(action));
    }
    IM_CHECK(is(false, false));
    IM_CHECK(h.wait(ctx, 60, [&] { return tokens() > 0; }));
    // Each token needs some experts: the refusal comes as the node's sentence.
    const int needed = h.training().manifest.at("config").at("model").at("experts_per_token");
    for (int expert = 0, left = 8; left > needed; ++expert) {
        if (expert != kExpert) {
            --left;
            h.workbench().client().send(
                "train.expert",
                {{"run", h.training().id}, {"layer", kLayer}, {"expert", expert}, {"action", "disable"}});
        }
    }
    IM_CHECK(h.wait(ctx, 60, [&] {
        const auto states = panels::expert_states(h.snapshot(), h.training());
        return std::count(states.begin(), states.end(), panels::ExpertState{true, false}) == 8 - needed;
    }));
    const std::uint64_t before = h.workbench().notices().count();
    choose_action("disable");
    IM_CHECK(h.wait(ctx, 60, [&] { return h.workbench().notices().count() > before; }));
    IM_CHECK(h.workbench().notices().list().back().error);
    h.workbench().command("run.stop");
}

/// The plan that the node answered last, as the form shows it; null when there is none.
nlohmann::json latest_plan(Harness& h) {
    const auto& results = h.snapshot().results;
    for (auto entry = results.rbegin(); entry != results.rend(); ++entry) {
        if (entry->second.value.is_object() && entry->second.value.contains("parameters_total")) {
            return entry->second.value;
        }
    }
    return {};
}

/// The search brings a field into view, whatever the size of the window.
std::string find_field(ImGuiTestContext* ctx, const std::string& key) {
    ctx->ItemInput("//###runs.form/###runs.search");
    ctx->KeyCharsReplaceEnter(key.c_str());
    ctx->Yield(2);
    return "//###runs.form/**/###runs.field." + key;
}

void type_value(ImGuiTestContext* ctx, const std::string& key, const char* value) {
    ctx->ItemInput(find_field(ctx, key).c_str());
    ctx->KeyCharsReplaceEnter(value);
    ctx->Yield(2);
}

bool can_start(ImGuiTestContext* ctx) {
    return (ctx->ItemInfo("//###runs.form/###runs.start").ItemFlags & ImGuiItemFlags_Disabled) == 0;
}

nlohmann::json clipboard() {
    const char* text = ImGui::GetClipboardText();
    return nlohmann::json::parse(text == nullptr ? "" : text, nullptr, false);
}

/// A combo box tells its label to no search: `combo` is its id.
void choose(ImGuiTestContext* ctx, ImGuiTestRef combo, const std::string& item) {
    ctx->ItemClick(combo);
    const ImGuiWindow* list = ctx->GetWindowByRef("//$FOCUSED");
    IM_CHECK(list != nullptr && std::string(list->Name).rfind("##Combo", 0) == 0);
    ctx->ItemClick(("//" + std::string(list->Name) + "/**/" + item).c_str());
    ctx->Yield(2);
}

void open_form(Harness& h, ImGuiTestContext* ctx) {
    h.settle(ctx);
    if (!h.snapshot().training.empty() && h.training().state == RunState::running) {
        h.workbench().command("run.pause");
    }
    h.workbench().command("runs.new");
    ctx->Yield(3);
    choose(ctx, "//###runs.form/head/###runs.preset", "deepseek-v3-mini");
}

void start_with_changes(Harness& h, ImGuiTestContext* ctx) {
    open_form(h, ctx);
    IM_CHECK(can_start(ctx));
    type_value(ctx, "width", "64");
    IM_CHECK(h.wait(ctx, 20, [&] { return latest_plan(h).is_object() && can_start(ctx); }));
    const double wide = latest_plan(h)["parameters_total"];
    type_value(ctx, "experts", "8");
    IM_CHECK(h.wait(ctx, 20, [&] { return latest_plan(h)["parameters_total"] < wide; }));
    IM_CHECK(can_start(ctx));
    // Out of range: refused in place, nothing is planned with it, and the undo brings back the preset's value.
    type_value(ctx, "layers", "4000");
    IM_CHECK(!can_start(ctx));
    ctx->ItemClick("//###runs.form/**/###runs.field.layers.undo");
    ctx->Yield(2);
    IM_CHECK(can_start(ctx));
    // In range, but impossible with the others: the node's sentence.
    type_value(ctx, "router_groups", "3");
    IM_CHECK(h.wait(ctx, 20, [&] { return !can_start(ctx); }));
    ctx->ItemClick("//###runs.form/**/###runs.field.router_groups.undo");
    IM_CHECK(h.wait(ctx, 20, [&] { return can_start(ctx); }));
    find_field(ctx, "schedule");
    const ImGuiID fields = ctx->WindowInfo("//###runs.form/fields").ID;
    choose(ctx, ctx->GetID("runs.group.schedule/###runs.field.schedule", fields), "###warmup_stable_decay");
    ctx->ItemClick(find_field(ctx, "selection_bias").c_str());
    type_value(ctx, "layers", "2");
    type_value(ctx, "context", "32");
    type_value(ctx, "vocabulary", "1024");
    type_value(ctx, "seed", "18446744073709551615");
    const std::size_t before = h.snapshot().training.size();
    // Out of an unfinished edit straight to Start: the edit counts.
    ctx->ItemInput(find_field(ctx, "steps").c_str());
    ctx->KeyCharsReplace("3");
    ctx->ItemClick("//###runs.form/###runs.start");
    IM_CHECK(h.wait(ctx, 60, [&] { return h.snapshot().training.size() > before; }));
    const nlohmann::json config = h.training().manifest.at("config");
    IM_CHECK_EQ(config.at("model").at("experts"), 8);
    IM_CHECK_EQ(config.at("model").at("width"), 64);
    IM_CHECK_EQ(config.at("model").at("layers"), 2);
    IM_CHECK_EQ(config.at("model").at("router_groups"), 4);
    IM_CHECK_EQ(config.at("model").at("selection_bias"), false);
    IM_CHECK_EQ(config.at("train").at("schedule"), "warmup_stable_decay");
    IM_CHECK_EQ(config.at("train").at("steps"), 3);
    IM_CHECK_EQ(config.at("train").at("seed"), 18446744073709551615u);
    IM_CHECK(h.wait(ctx, 20, [&] { return !ctx->GetWindowByRef("//###runs.form")->Active; }));
    IM_CHECK(h.wait(ctx, 180, [&] { return h.training().state == RunState::done; }));
}

void fork_a_run(Harness& h, ImGuiTestContext* ctx) {
    start_small_run(h, ctx);
    const std::uint32_t id = h.training().id;
    const auto parent = [&]() -> const history::TrainingRun& { return *h.snapshot().training.at(id); };
    h.workbench().command("run.pause");
    IM_CHECK(h.wait(ctx, 60, [&] { return parent().state == RunState::paused; }));
    if (parent().last_checkpoint == 0) {
        IM_CHECK(!h.workbench().command("run.fork"));  // nothing to start from yet
    }
    h.workbench().command("run.checkpoint");
    IM_CHECK(h.wait(ctx, 60, [&] { return parent().last_checkpoint > 0; }));
    const std::uint64_t first = parent().last_checkpoint;
    const auto save_later = [&] {
        const std::uint64_t next = parent().last_checkpoint + 2;
        h.workbench().client().send("train.step", {{"run", id}, {"count", 2}});
        const bool stepped = h.wait(ctx, 60, [&] { return parent().step.back() == static_cast<double>(next); });
        h.workbench().client().send("train.checkpoint", {{"run", id}});
        return stepped && h.wait(ctx, 60, [&] { return parent().last_checkpoint == next; });
    };
    IM_CHECK(h.workbench().command("run.fork"));
    ctx->Yield(3);
    IM_CHECK(ctx->ItemInfo(find_field(ctx, "width").c_str()).ItemFlags & ImGuiItemFlags_Disabled);
    // A knob that is turned, and an expert that is disabled, before the next checkpoint: the fork starts with them.
    h.workbench().client().send("train.set", {{"run", id}, {"balance_coefficient", 0.0625}});
    h.workbench().client().send("train.expert", {{"run", id}, {"layer", 1}, {"expert", 3}, {"action", "disable"}});
    // A newer checkpoint takes the place of the one that the form began with.
    IM_CHECK(save_later());
    const std::uint64_t from = parent().last_checkpoint;
    const auto copied = [&] {
        ctx->ItemClick("//###runs.form/###runs.copy_json");
        return clipboard();
    };
    IM_CHECK(h.wait(ctx, 20, [&] { return copied()["train"]["balance_coefficient"] == 0.0625; }));
    const auto carried = panels::carried_over(h.workbench().text(), h.snapshot(), parent(), from);
    IM_CHECK_EQ(carried.size(), std::size_t{2});
    // What was searched for is forgotten when the form opens again.
    find_field(ctx, "no such field");
    ctx->ItemClick("//###runs.form/###runs.cancel");
    IM_CHECK(h.workbench().command("run.fork"));
    ctx->Yield(3);
    ctx->ItemInput("//###runs.form/###runs.search");
    ctx->KeyCharsAppend("x");
    ctx->KeyPress(ImGuiMod_Ctrl | ImGuiKey_A);
    ctx->KeyPress(ImGuiMod_Ctrl | ImGuiKey_C);
    IM_CHECK_EQ(std::string(ImGui::GetClipboardText()), "x");
    ctx->KeyCharsReplaceEnter("");
    // No step is left for the fork: Start waits for more.
    type_value(ctx, "steps", std::to_string(from).c_str());
    IM_CHECK(h.wait(ctx, 20, [&] { return !can_start(ctx); }));
    const std::string reason =
        squeezed(h.workbench().text().format("runs.fork.steps", {{"first", h.workbench().text().number(from + 1)}}));
    std::string said;
    for (const ScreenLine& line : h.screen(ctx)) {
        said += line.window == "runs.form" ? squeezed(line.text) : "";
    }
    IM_CHECK_NE(said.find(reason), std::string::npos);  // above the plan, not in a tooltip alone
    type_value(ctx, "steps", std::to_string(from + 3).c_str());
    type_value(ctx, "capacity_factor", "1.25");
    type_value(ctx, "learning_rate", "0.002");
    IM_CHECK(h.wait(ctx, 20, [&] { return can_start(ctx); }));
    ctx->ItemClick("//###runs.form/###runs.start");
    IM_CHECK(h.wait(ctx, 60, [&] { return h.training().id != id && h.training().state == RunState::done; }));
    const history::TrainingRun& fork = h.training();
    IM_CHECK_EQ(fork.manifest.at("fork"), (nlohmann::json{{"run", id}, {"step", from}}));
    IM_CHECK_EQ(fork.step[0], static_cast<double>(from + 1));
    IM_CHECK_EQ(fork.step.size(), std::size_t{3});
    IM_CHECK_EQ(fork.manifest.at("config").at("model").at("capacity_factor"), 1.25);
    IM_CHECK_EQ(fork.manifest.at("config").at("train").at("learning_rate"), 0.002);
    IM_CHECK_EQ(fork.manifest.at("config").at("train").at("balance_coefficient"), 0.0625);
    IM_CHECK_EQ(fork.manifest.at("disabled_experts"), nlohmann::json::array({nlohmann::json::array({1, 3})}));
    // It has ended: a new run or a fork may be begun, there is nothing to start or to go on with, and nothing is live.
    ctx->Yield(3);
    IM_CHECK(ctx->ItemExists("//###panel.training/**/###runs.new"));
    IM_CHECK(ctx->ItemExists("//###panel.training/**/###training.run.fork"));
    for (const char* button : {"start", "continue", "pause"}) {
        IM_CHECK(!ctx->ItemExists((std::string("//###panel.training/**/###training.run.") + button).c_str()));
    }
    // The loss plot's legend names the parent, whose loss it shows up to the fork.
    ctx->Yield(3);
    IM_CHECK(
        ctx->ItemExists(("//###panel.training/**/training.curve.run" + std::to_string(id) + "/###legend").c_str()));
    // Once a person has chosen a checkpoint, it stays, whatever comes after it.
    ctx->ItemClick(("//###panel.runs/**/###run" + std::to_string(id)).c_str());
    IM_CHECK(h.workbench().command("run.fork"));
    ctx->Yield(3);
    choose(ctx, "//###runs.form/head/###runs.fork.step", "###" + std::to_string(first));
    IM_CHECK(save_later());
    type_value(ctx, "steps", std::to_string(first + 1).c_str());
    IM_CHECK(h.wait(ctx, 20, [&] { return can_start(ctx); }));
    const std::uint32_t last = h.training().id;
    ctx->ItemClick("//###runs.form/###runs.start");
    IM_CHECK(h.wait(ctx, 60, [&] { return h.training().id != last && h.training().state == RunState::done; }));
    IM_CHECK_EQ(h.training().manifest.at("fork"), (nlohmann::json{{"run", id}, {"step", first}}));
    h.workbench().client().send("train.stop", {{"run", id}});
    // The form of a new run is about a preset again.
    h.workbench().command("runs.new");
    ctx->Yield(2);
    IM_CHECK((ctx->ItemInfo(find_field(ctx, "width").c_str()).ItemFlags & ImGuiItemFlags_Disabled) == 0);
    ctx->ItemClick("//###runs.form/###runs.cancel");
}

void copy_and_paste_a_preset(Harness& h, ImGuiTestContext* ctx) {
    open_form(h, ctx);
    ctx->ItemClick("//###runs.form/###runs.copy_json");
    nlohmann::json copied = clipboard();
    IM_CHECK_EQ(copied.at("name"), "deepseek-v3-mini");
    IM_CHECK_EQ(copied.at("model").at("experts"), 16);
    copied["model"]["shared_experts"] = 2;
    h.workbench().set_language("zh");
    ctx->Yield(3);
    ImGui::SetClipboardText(copied.dump().c_str());
    ctx->ItemClick("//###runs.form/###runs.paste_json");
    find_field(ctx, "shared_experts");
    IM_CHECK(ctx->ItemExists("//###runs.form/**/###runs.field.shared_experts.undo"));  // differs from the preset
    // What is no configuration changes nothing.
    for (const char* text : {"{", "{\"model\":{\"expert\":4}}", "{\"model\":{\"experts\":0}}", "[]"}) {
        ImGui::SetClipboardText(text);
        ctx->ItemClick("//###runs.form/###runs.paste_json");
        ctx->Yield(2);
        ctx->ItemClick("//###runs.form/###runs.copy_json");
        IM_CHECK_EQ(clipboard(), copied);
    }
    h.workbench().set_language("en");
    ctx->Yield(2);
    // A text that is not there is refused in the form, with the node's sentence, and makes no run.
    const auto type_head = [&](const char* field, const std::string& value) {
        ctx->ItemInput((std::string("//###runs.form/head/###runs.") + field).c_str());
        ctx->KeyCharsReplaceEnter(value.c_str());
    };
    type_head("name", "pasted");
    type_head("data", "/nowhere/text.jsonl.zst");
    const std::size_t before = h.snapshot().training.size();
    ctx->ItemClick("//###runs.form/###runs.start");
    IM_CHECK(h.wait(ctx, 60, [&] {
        const auto& results = h.snapshot().results;
        return std::any_of(results.begin(), results.end(), [](const auto& entry) {
            return entry.second.error.english().find("/nowhere/text.jsonl.zst does not exist") != std::string::npos;
        });
    }));
    IM_CHECK_EQ(h.snapshot().training.size(), before);
    // Name and data go along; a text that is too short ends the run with the node's sentence.
    const std::string text = (h.folder() / "short.txt").string();
    std::ofstream(text) << "Few words.\n";
    type_head("data", text);
    ctx->ItemClick("//###runs.form/###runs.start");
    IM_CHECK(h.wait(ctx, 60,
                    [&] { return h.snapshot().training.size() > before && h.training().state == RunState::failed; }));
    IM_CHECK_EQ(h.training().name, std::string("pasted"));
    IM_CHECK_EQ(h.training().manifest.value("data", ""), text);
    IM_CHECK_EQ(h.training().manifest.at("config").at("model").at("shared_experts"), 2);
    h.workbench().command("runs.new");
    ctx->Yield(2);
    for (const char* field : {"name", "data"}) {  // as the next test expects them
        ctx->ItemInput((std::string("//###runs.form/head/###runs.") + field).c_str());
        ctx->KeyCharsReplaceEnter("");
    }
    ctx->ItemClick("//###runs.form/###runs.cancel");
}

/// What the engine can be told, the form knows: a place, a label and a sentence in both languages.
/// What stands on the screen in windows whose name begins so, without white space.
std::string on_screen(Harness& h, ImGuiTestContext* ctx, const std::string& window) {
    std::string text;
    for (const ScreenLine& line : h.screen(ctx)) {
        if (line.window.rfind(window, 0) == 0 || line.owner.rfind(window, 0) == 0) {
            text += squeezed(line.text);
        }
    }
    return text;
}

void choose_a_device(Harness& h, ImGuiTestContext* ctx) {
    open_form(h, ctx);
    IM_CHECK(h.wait(ctx, 20, [&] { return h.snapshot().node.devices.size() == 3; }));
    IM_CHECK(h.wait(ctx, 20, [&] { return can_start(ctx); }));
    find_field(ctx, "device");
    const ImGuiID fields = ctx->WindowInfo("//###runs.form/fields").ID;
    const ImGuiID combo = ctx->GetID("runs.group.schedule/###runs.field.device", fields);
    ctx->ItemClick(combo);
    const ImGuiWindow* list = ctx->GetWindowByRef("//$FOCUSED");
    IM_CHECK(list != nullptr && std::string(list->Name).rfind("##Combo", 0) == 0);
    const std::string items = "//" + std::string(list->Name) + "/**/###device.";
    IM_CHECK((ctx->ItemInfo((items + "cuda:1").c_str()).ItemFlags & ImGuiItemFlags_Disabled) != 0);
    IM_CHECK((ctx->ItemInfo((items + "cuda:0").c_str()).ItemFlags & ImGuiItemFlags_Disabled) == 0);
    const std::string offered = on_screen(h, ctx, "##Combo");
    IM_CHECK(offered.find(squeezed("cuda:1 \u2013 Emulated GPU 1")) != std::string::npos);
    IM_CHECK(offered.find(squeezed("compute capability 3.5 is too old")) != std::string::npos);
    ctx->ItemClick((items + "cuda:0").c_str());
    ctx->Yield(2);
    IM_CHECK(h.wait(ctx, 20,
                    [&] { return can_start(ctx) && latest_plan(h)["host_bytes"] < latest_plan(h)["memory_bytes"]; }));
    IM_CHECK(on_screen(h, ctx, "runs.form").find(squeezed("planned GPU memory")) != std::string::npos);
    ctx->ItemClick("//###runs.form/**/###runs.field.device.undo");
    IM_CHECK(h.wait(ctx, 20,
                    [&] { return can_start(ctx) && latest_plan(h)["host_bytes"] == latest_plan(h)["memory_bytes"]; }));
    ctx->ItemClick("//###runs.form/###runs.cancel");
}

void list_the_devices(Harness& h, ImGuiTestContext* ctx) {
    h.settle(ctx);
    h.workbench().show_panel("nodes");
    IM_CHECK(h.wait(ctx, 20, [&] { return h.snapshot().node.devices.size() == 3; }));
    ctx->Yield(4);
    ctx->ScrollToBottom("//###panel.nodes");
    std::string seen = on_screen(h, ctx, "panel.nodes");
    constexpr float kPiece = 150;
    for (float y = 0; y < 10 * kPiece; y += kPiece) {
        ctx->ScrollTo("//###panel.nodes", ImGuiAxis_Y, y);
        seen += on_screen(h, ctx, "panel.nodes");
    }
    ctx->ScrollToTop("//###panel.nodes");
    for (const char* part : {"Emulated GPU 0", "driver", "up to CUDA 13.0; built with CUDA 13.5",
                             "cannot be used: compute capability 3.5 is too old"}) {
        IM_CHECK_SILENT(seen.find(squeezed(part)) != std::string::npos);
    }
}

void choose_the_device_of_models(Harness& h, ImGuiTestContext* ctx) {
    h.settle(ctx);
    h.workbench().show_panel("nodes");
    IM_CHECK(h.wait(ctx, 20, [&] { return h.snapshot().node.devices.size() == 3; }));
    IM_CHECK(h.snapshot().node.models_device == "");
    // In two columns where there is room for them.
    const bool halves = ctx->ItemExists("//###panel.nodes/###nodes.halves/###nodes.models_device");
    const char* const combo =
        halves ? "//###panel.nodes/###nodes.halves/###nodes.models_device" : "//###panel.nodes/###nodes.models_device";
    choose(ctx, combo, "###device.cuda:0");
    IM_CHECK(h.wait(ctx, 20, [&] { return h.snapshot().node.models_device == "cuda:0"; }));
    choose(ctx, combo, "###device.");
    IM_CHECK(h.wait(ctx, 20, [&] { return h.snapshot().node.models_device == ""; }));
}

void continue_on_a_device(Harness& h, ImGuiTestContext* ctx) {
    start_small_run(h, ctx);
    const std::uint32_t id = h.training().id;
    const auto run = [&]() -> const history::TrainingRun& { return *h.snapshot().training.at(id); };
    h.workbench().command("run.pause");
    IM_CHECK(h.wait(ctx, 60, [&] { return run().state == RunState::paused; }));
    IM_CHECK(!h.workbench().command("run.continue_on"));  // it has not ended
    h.workbench().command("run.checkpoint");
    IM_CHECK(h.wait(ctx, 60, [&] { return run().last_checkpoint > 0; }));
    h.workbench().command("run.stop");
    IM_CHECK(h.wait(ctx, 60, [&] { return run().state == RunState::stopped; }));
    IM_CHECK(h.wait(ctx, 20, [&] { return h.snapshot().node.devices.size() == 3; }));
    ctx->Yield(3);
    ctx->ItemClick("//###panel.training/**/###training.run.continue_on");
    ctx->Yield(3);
    const char* const combo = "//###training.continue_on/###continue.device";
    ctx->ItemClick(combo);
    const ImGuiWindow* list = ctx->GetWindowByRef("//$FOCUSED");
    IM_CHECK(list != nullptr && std::string(list->Name).rfind("##Combo", 0) == 0);
    const std::string items = "//" + std::string(list->Name) + "/**/###device.";
    IM_CHECK((ctx->ItemInfo((items + "cuda:1").c_str()).ItemFlags & ImGuiItemFlags_Disabled) != 0);
    ctx->ItemClick((items + "cuda:0").c_str());
    ctx->Yield(3);
    IM_CHECK(on_screen(h, ctx, "training.continue_on").find(squeezed("no longer bit-equal")) != std::string::npos);
    choose(ctx, combo, "###device.cpu");
    ctx->Yield(3);
    IM_CHECK(on_screen(h, ctx, "training.continue_on").find(squeezed("byte for byte")) != std::string::npos);
    ctx->ItemClick("//###training.continue_on/###training.run.continue");
    IM_CHECK(h.wait(ctx, 60, [&] {
        return std::any_of(run().events.begin(), run().events.end(),
                           [](const history::RunEvent& event) { return event.kind == "rewind"; });
    }));
    h.workbench().client().send("train.stop", {{"run", id}});
    IM_CHECK(h.wait(ctx, 60, [&] { return protocol::ended(run().state); }));
}

void every_key_is_explained(Harness& h, ImGuiTestContext* ctx) {
    h.settle(ctx);
    const auto groups = panels::field_groups(*h.snapshot().catalogue);
    const nlohmann::json preset = h.snapshot().catalogue->at("presets").at(0).at("config");
    std::size_t keys = 0, wrong = 0;
    const auto complain_if = [&](bool bad, const std::string& sentence) {
        wrong += bad ? 1 : 0;
        if (bad) {
            ctx->LogError("%s", sentence.c_str());
        }
    };
    for (const panels::FieldGroup& group : groups) {
        for (const panels::ConfigField& field : group.fields) {
            ++keys;
            complain_if(group.name == "runs.group.other", field.key + " has no group that this program knows");
            complain_if(!preset.at(field.section).contains(field.key) || !panels::fits(field, field.standard),
                        field.key + " is not as the presets have it");
            std::vector<std::string> needed = {field.label_key, field.help_key};
            for (const std::string& choice : field.choices) {
                needed.push_back("runs.choice." + field.key + "." + choice);
            }
            for (const char* code : {"en", "zh"}) {
                h.workbench().set_language(code);
                for (const std::string& key : needed) {
                    complain_if(!h.workbench().text().has(key), key + " is missing in " + code);
                }
            }
        }
    }
    h.workbench().set_language("en");
    IM_CHECK_EQ(wrong, std::size_t{0});
    IM_CHECK_EQ(keys, preset.at("model").size() + preset.at("train").size());
}

/// A chosen system text goes with the prompt, and what the model read is kept with its answer.
void compare_with_a_system_text(Harness& h, ImGuiTestContext* ctx) {
    h.settle(ctx);
    if (!h.has_models()) {
        ctx->LogWarning("skipped: the two models are not in the library");
        return;
    }
    ctx->KeyPress(ImGuiMod_Ctrl | ImGuiKey_2);
    ctx->Yield(5);
    ctx->ItemClick("//###panel.compare/**/###compare.prompt");
    ctx->KeyCharsReplace("Hello");
    ctx->ItemClick("//###panel.compare/**/###question.system");
    ctx->Yield(2);
    ctx->SetRef("//$FOCUSED");
    ctx->KeyChars("Say one word.");  // the field has the keyboard at once
    ctx->Yield(2);
    ctx->KeyPress(ImGuiKey_Escape);
    ctx->Yield(2);
    ctx->PopupCloseAll();
    const std::size_t before = h.snapshot().generations.size();
    h.workbench().command("compare.max_tokens=1");
    h.workbench().command("compare.run");
    IM_CHECK(h.wait(ctx, 180, [&] {
        const auto& all = h.snapshot().generations;
        return all.size() == before + 2 && protocol::ended(all.rbegin()->second->state) &&
               protocol::ended(std::next(all.rbegin())->second->state);
    }));
    for (auto answer = h.snapshot().generations.rbegin(); answer != std::next(h.snapshot().generations.rbegin(), 2);
         ++answer) {
        IM_CHECK_EQ(answer->second->manifest.value("system", ""), std::string("Say one word."));
        IM_CHECK_NE(answer->second->shown.find("Say one word."), std::string::npos);
    }
    // Without a text none is sent.
    ctx->ItemClick("//###panel.compare/**/###question.system");
    ctx->Yield(2);
    ctx->SetRef("//$FOCUSED");
    ctx->ItemClick("###question.text");
    ctx->KeyPress(ImGuiMod_Ctrl | ImGuiKey_A);
    ctx->KeyPress(ImGuiKey_Delete);
    ctx->PopupCloseAll();
    h.workbench().command("compare.run");
    IM_CHECK(h.wait(ctx, 180, [&] {
        const auto& all = h.snapshot().generations;
        return all.size() == before + 4 && protocol::ended(all.rbegin()->second->state) &&
               protocol::ended(std::next(all.rbegin())->second->state);
    }));
    IM_CHECK(!h.snapshot().generations.rbegin()->second->manifest.contains("system"));
    h.workbench().command("compare.max_tokens=200");
}

}  // namespace

void register_panels(Harness& harness) {
    const auto add = [&](const char* name, void (*body)(Harness&, ImGuiTestContext*)) {
        harness.add("panels", name, [&harness, body](ImGuiTestContext* ctx) { body(harness, ctx); });
    };
    add("pause, single step, go on", pause_and_step);
    add("a typed knob reaches the trainer", turn_a_knob);
    add("the router's knobs reach the trainer", turn_router_knobs);
    add("an expert is disabled, frozen and reset in the map's menu, and marked", change_an_expert);
    add("layers and experts by keys", walk_over_experts);
    add("a new run has every key explained in both languages", every_key_is_explained);
    add("a new run with changed fields", start_with_changes);
    add("a device is chosen, and one that cannot be used says why", choose_a_device);
    add("the node's devices with what is known of them", list_the_devices);
    add("what computes models of our own is chosen", choose_the_device_of_models);
    add("a run that ended early goes on on a device that is chosen", continue_on_a_device);
    add("a fork from a checkpoint with changed fields", fork_a_run);
    add("a new run from copied and pasted JSON", copy_and_paste_a_preset);
    add("compare with typed Chinese, then cancel", compare_chinese);
    add("compare with a system text of one's own", compare_with_a_system_text);
    add("probe answers are labelled with keys and taken back", label_with_keys);
    add("the coder's initials can be changed", change_the_coder);
}

}  // namespace moescope::gui_test
