#include "panels/routing/change_editor.hpp"

#include <algorithm>
#include <cmath>
#include <imgui_internal.h>
#include <imgui_stdlib.h>

#include "base/error.hpp"
#include "panels/node/library.hpp"
#include "panels/routing/change_undo.hpp"
#include "panels/routing/shown_routing.hpp"
#include "panels/ui/field_label.hpp"
#include "panels/ui/text_layout.hpp"
#include "panels/ui/undo.hpp"
#include "panels/ui/widgets.hpp"
#include "routing/intervention_plan.hpp"
#include "routing/replay.hpp"

namespace moescope::panels {
namespace {

using Kind = Change::Kind;

constexpr float kLargestBias = routing::kLargestBias;
constexpr int kMostExperts = 1024;

std::string kind_label(const ui::Context& ctx, Kind kind) {
    return ctx.text(std::string("change.kind.") + change_kind_name(kind));
}

/// A field for a few signs, with its name before it.
void short_field(ui::Context& ctx, const char* key, std::string& text, float width) {
    ui::flow(width + ui::field_label_width(ctx, key));
    ui::field_label(ctx, key);
    ui::next_field(width);
    ImGui::InputText((std::string("###") + key).c_str(), &text);
    ui::tooltip(ctx.text(std::string(key) + ".help"));
}

}  // namespace

std::string ChangeEditor::saved_name(const ui::Context& ctx, const EditedChanges& edited) {
    const auto saved = ctx.snapshot.intervention_sets->find(edited.name);
    return saved != ctx.snapshot.intervention_sets->end() && saved->second == items_of(edited.list.changes())
               ? edited.name
               : "";
}

void ChangeEditor::save(ui::Context& ctx) {
    auto& edited = ctx.shared.get<EditedChanges>();
    if (!edited.list.empty() && set_name_problem(edited.name) == nullptr && ctx.connected()) {
        save_set(ctx, edited.name, edited.list.changes());
    }
}

void ChangeEditor::draw_sets(ui::Context& ctx, EditedChanges& edited) {
    const ui::Language& text = ctx.text;
    const auto& sets = *ctx.snapshot.intervention_sets;
    ui::field_label(ctx, "change.name");
    ui::next_field(11 * ctx.em);
    ImGui::InputText("###change.name", &edited.name);
    ui::tooltip(text("change.name.help"));
    const char* problem = edited.list.empty() ? "change.empty" : set_name_problem(edited.name);
    const bool same = !saved_name(ctx, edited).empty();
    const char* why_not = !ctx.connected()     ? "runs.offline"
                          : problem != nullptr ? problem
                          : same               ? "change.saved"
                                               : nullptr;
    const auto next = [&](const char* key, bool enabled, const char* reason) {
        ui::flow(ui::button_width(text.label(key)));
        return ui::button(text.label(key), enabled, reason != nullptr ? text(reason) : "");
    };
    if (next("change.save", why_not == nullptr, why_not)) {
        save(ctx);
    }
    ui::tooltip(why_not == nullptr ? text("change.save.help") : "");
    ui::flow(9 * ctx.em);
    ui::next_field(9 * ctx.em);
    if (ui::begin_combo("###change.sets", text("change.sets"))) {
        if (sets.empty()) {
            ui::text_dim(ctx, text("change.sets.none"));
        }
        for (const auto& [name, items] : sets) {
            const std::vector<Change> changes = changes_or_none(items);
            if (ImGui::Selectable((name + "###set " + name).c_str(), name == edited.name && same)) {
                edited.list.set(changes);
                edited.name = name;
            }
            if (ui::tooltip_due()) {
                ui::tooltip(changes_text(text, changes));
            }
        }
        ImGui::EndCombo();
    }
    ui::tooltip(text("change.sets.help"));
    const bool is_saved = sets.contains(edited.name);
    if (next("change.remove", is_saved && ctx.connected(), !ctx.connected() ? "runs.offline" : "change.remove.none")) {
        remove_set(ctx, edited.name);
    }
    // The one history of the session: its latest step may be of another panel, so the tooltip names it.
    const auto& history = ctx.shared.get<ui::UndoHistory>();
    const auto step = [&](const char* key, const char* command, const ui::Edit* edit) {
        if (next(key, ctx.available(command), nullptr)) {
            ctx.run(command);
        }
        const std::string what = std::string("command.") + command;
        ui::command_tooltip(
            ctx, edit == nullptr ? text(what) : text.format(what + ".what", {{"what", edit->name(text)}}), command);
    };
    step("change.undo", "edit.undo", history.next_undo());
    step("change.redo", "edit.redo", history.next_redo());
    if (next("change.clear", !edited.list.empty(), nullptr)) {
        edited.list.clear();
    }
}

/// The number of a change, where it has one, as a field. True when a person has entered another one.
bool ChangeEditor::draw_value(const ui::Context& ctx, const Change& change, Change& other) {
    other = change;
    // Taken when the field is left: each of its letters would be a step of its own to undo.
    if (change.kind == Kind::bias) {
        ui::next_field(5 * ctx.em);
        float value = change.bias;
        ImGui::InputFloat("###value", &value, 0, 0, "%.4g");
        if (ImGui::IsItemDeactivatedAfterEdit() && std::isfinite(value)) {
            other.bias = std::clamp(value, -kLargestBias, kLargestBias);
        }
    } else if (change.kind == Kind::limit) {
        ui::next_field(5 * ctx.em);
        int value = change.experts;
        ImGui::InputInt("###value", &value, 0);
        if (ImGui::IsItemDeactivatedAfterEdit()) {
            other.experts = std::clamp(value, 1, kMostExperts);
        }
    }
    return !(other == change);
}

void ChangeEditor::draw_list(ui::Context& ctx, EditedChanges& edited) {
    if (edited.list.empty()) {
        ui::text_wrapped(ctx.text("change.empty.help"), ctx.theme.text_dim);
        return;
    }
    const auto count = static_cast<int>(edited.list.changes().size());
    constexpr int kMostRows = 6;
    const float row = ImGui::GetFrameHeightWithSpacing();
    // A long list scrolls by itself.
    const float height = row * static_cast<float>(std::min(count, kMostRows)) + 0.4f * ctx.em;
    std::optional<std::size_t> remove, replaced;
    Change replacement;
    if (ui::begin_frame(ctx, "###change.list", {0, height + ctx.em})) {
        ImGuiListClipper clipper;
        clipper.Begin(count, row);
        const float button = ImGui::GetFrameHeight();
        while (clipper.Step()) {
            for (int i = clipper.DisplayStart; i < clipper.DisplayEnd; ++i) {
                const auto at = static_cast<std::size_t>(i);
                const Change& change = edited.list.changes()[at];
                ImGui::PushID(i);
                if (ImGui::Button((std::string(ui::icon::cross) + "###remove").c_str(), {button, button})) {
                    remove = at;
                }
                ui::tooltip(ctx.text("change.take_out"));
                ImGui::SameLine();
                if (change.kind == Kind::bias || change.kind == Kind::limit) {
                    Change other;
                    if (draw_value(ctx, change, other)) {
                        replaced = at;
                        replacement = other;
                    }
                    ImGui::SameLine();
                }
                ImGui::AlignTextToFramePadding();
                ui::text_elided(change_text(ctx.text, change), ImGui::GetContentRegionAvail().x);
                ImGui::PopID();
            }
        }
    }
    ui::end_frame();
    if (remove) {
        edited.list.remove(*remove);
    } else if (replaced) {
        edited.list.replace(*replaced, replacement);
    }
}

void ChangeEditor::draw_replays(ui::Context& ctx) {
    const float width = 12 * ctx.em;
    ui::flow(width);
    ui::next_field(width);
    const auto chosen = ctx.snapshot.routing.find(replayed_);
    const std::string shown = chosen == ctx.snapshot.routing.end() ? std::string(ctx.text("change.replay.choose"))
                                                                   : routing_name(ctx, *chosen->second);
    if (ui::begin_combo("###change.replay", shown.c_str(), ImGuiComboFlags_HeightLarge)) {
        for (auto entry = ctx.snapshot.routing.rbegin(); entry != ctx.snapshot.routing.rend(); ++entry) {
            if (entry->second->tokens == 0) {
                continue;
            }
            const std::string label = routing_name(ctx, *entry->second) + "###replay " + std::to_string(entry->first);
            if (ImGui::Selectable(label.c_str(), entry->first == replayed_)) {
                replayed_ = entry->first;
            }
        }
        ImGui::EndCombo();
    }
    ui::tooltip(ctx.text("change.replay.help"));
}

void ChangeEditor::draw_form(ui::Context& ctx, EditedChanges& edited) {
    const ui::Language& text = ctx.text;
    ui::next_field(10 * ctx.em);
    if (ui::begin_combo("###change.kind", kind_label(ctx, kind_).c_str())) {
        for (int i = 0; i < kChangeKinds; ++i) {
            const auto kind = static_cast<Kind>(i);
            const std::string label = kind_label(ctx, kind) + "###kind." + change_kind_name(kind);
            if (ImGui::Selectable(label.c_str(), kind == kind_)) {
                kind_ = kind;
            }
            ui::tooltip(text(std::string("change.kind.") + change_kind_name(kind) + ".help"));
        }
        ImGui::EndCombo();
    }
    ui::tooltip(text(std::string("change.kind.") + change_kind_name(kind_) + ".help"));
    if (kind_ == Kind::replay) {
        draw_replays(ctx);
    } else {
        short_field(ctx, "change.layers", layers_, 5 * ctx.em);
        if (kind_ != Kind::limit) {
            short_field(ctx, "change.experts", experts_, 5 * ctx.em);
        }
    }
    if (kind_ == Kind::bias) {
        ui::flow(5 * ctx.em + ui::field_label_width(ctx, "change.bias"));
        ui::field_label(ctx, "change.bias");
        ui::next_field(5 * ctx.em);
        ImGui::InputFloat("###change.bias", &bias_, 0, 0, "%.4g");
        bias_ = std::isfinite(bias_) ? std::clamp(bias_, -kLargestBias, kLargestBias) : 0;
        ui::tooltip(text("change.bias.help"));
    } else if (kind_ == Kind::limit) {
        ui::flow(5 * ctx.em + ui::field_label_width(ctx, "change.limit"));
        ui::field_label(ctx, "change.limit");
        ui::next_field(5 * ctx.em);
        ImGui::InputInt("###change.limit", &limit_, 0);
        limit_ = std::clamp(limit_, 1, kMostExperts);
        ui::tooltip(text("change.limit.help"));
    }
    const char* add = text.label("change.add");
    ui::flow(ui::button_width(add));
    const bool ready = kind_ != Kind::replay || replayed_ != 0;
    if (ui::button(add, ready, text("change.replay.choose"))) {
        form_problem_ = {};
        try {
            if (kind_ == Kind::replay) {
                edited.list.add({.kind = kind_, .source = replay_source(replayed_)});
            } else {
                edited.list.add(changes_at(kind_, layers_, experts_, bias_, limit_));
            }
        } catch (const base::Error& error) {
            form_problem_ = error.sentence();
            problem_of_ = {kind_, layers_, experts_, edited.list.version()};
        }
    }
    // It is about what was tried: with another field, kind or list it is over.
    if (!form_problem_.empty() && !(problem_of_ == Tried{kind_, layers_, experts_, edited.list.version()})) {
        form_problem_ = {};
    }
    if (!form_problem_.empty()) {
        ui::text_wrapped(std::string(ui::icon::error) + " " + text.message(form_problem_), ctx.theme.error);
    }
}

/// Against the router of the model, where a trace of it has told what that is like; else the node says it.
void ChangeEditor::check(const ui::Context& ctx, const EditedChanges& edited, const std::string& model) {
    const auto trace = model.empty() ? nullptr : trace_of_model(ctx.snapshot, model);
    // A replay's ids are with the node; whose they are is known here as long as the session has that run.
    std::shared_ptr<const routing::PackedTrace> replayed;
    for (const Change& change : edited.list.changes()) {
        const auto run = ctx.snapshot.routing.find(replayed_run(change.source));
        if (change.kind == Kind::replay && run != ctx.snapshot.routing.end()) {
            replayed = run->second->trace;
        }
    }
    Checked now{edited.list.version(), model, ctx.text.code(), trace.get(), replayed.get()};
    if (now == checked_) {
        return;
    }
    checked_ = std::move(now);
    problem_.clear();
    if (!trace || edited.list.empty()) {
        return;
    }
    try {
        routing::Interventions changes = routing::interventions_from_json(items_of(edited.list.changes()));
        changes.replay = {};
        if (replayed && trace->spec().source != routing::Source::imported) {  // that may know less than there is
            changes.replay.router = routing::replayed_router(replayed->spec());
        }
        routing::RouterSpec spec = trace->spec();
        spec.model = model_title(ctx, model);
        const routing::InterventionPlan plan(changes, spec);
    } catch (const base::Error& error) {
        problem_ = ctx.text.message(error.sentence());
    }
}

/// A set that is loaded brings its name along: that is one step, the list's (ChangeUndo).
void ChangeEditor::watch(ui::Context& ctx, EditedChanges& edited) {
    nlohmann::json state = {{"name", edited.name}, {"kind", change_kind_name(kind_)},
                            {"layers", layers_},   {"experts", experts_},
                            {"bias", bias_},       {"limit", limit_},
                            {"replay", replayed_}};
    if (std::exchange(with_version_, edited.list.version()) != edited.list.version()) {
        watch_.absorb(state);
    }
    watch_.follow(ctx, std::move(state), ui::form_field, [this](ui::Context& there, const nlohmann::json& now) {
        there.shared.get<EditedChanges>().name = now.at("name");
        for (int i = 0; i < kChangeKinds; ++i) {
            const auto kind = static_cast<Kind>(i);
            kind_ = now.at("kind") == change_kind_name(kind) ? kind : kind_;
        }
        layers_ = now.at("layers");
        experts_ = now.at("experts");
        bias_ = now.at("bias");
        limit_ = now.at("limit");
        replayed_ = now.at("replay");
    });
}

void ChangeEditor::draw(ui::Context& ctx, const std::string& model) {
    auto& edited = ctx.shared.get<EditedChanges>();
    ImGui::PushID("editor");
    draw_sets(ctx, edited);
    draw_list(ctx, edited);
    draw_form(ctx, edited);
    watch(ctx, edited);
    check(ctx, edited, model);
    if (!problem_.empty()) {
        ui::banner(ctx, ui::Tone::warning, problem_);
    }
    ImGui::PopID();
}

}  // namespace moescope::panels
