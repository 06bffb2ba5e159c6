#include "panels/routing/sweep_view.hpp"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>
#include <imgui_internal.h>
#include <imgui_stdlib.h>
#include <utility>

#include "base/json_fields.hpp"
#include "base/text.hpp"
#include "panels/node/library.hpp"
#include "panels/node/tasks.hpp"
#include "panels/routing/bar_view.hpp"
#include "panels/routing/read_form.hpp"
#include "panels/routing/show_expert.hpp"
#include "panels/routing/shown_routing.hpp"
#include "panels/ui/field_label.hpp"
#include "panels/ui/text_layout.hpp"
#include "panels/ui/units.hpp"
#include "panels/ui/view_parts.hpp"
#include "panels/ui/widgets.hpp"

namespace moescope::panels {
namespace {

using history::RouteRun;
using nlohmann::json;

constexpr int kMostLayer = 65534;
constexpr std::size_t kMostTexts = 64;  ///< that the node takes at once

std::vector<const RouteRun*> sweeps_of(const client::Snapshot& snapshot) {
    std::vector<const RouteRun*> sweeps;
    for (auto entry = snapshot.routes.rbegin(); entry != snapshot.routes.rend(); ++entry) {
        if (entry->second->what == RouteRun::What::sweep) {
            sweeps.push_back(entry->second.get());
        }
    }
    return sweeps;
}

std::string name_of(const ui::Context& ctx, const RouteRun& run) {
    return ctx.text.format("sweep.name", {{"run", std::to_string(run.id)},
                                          {"model", model_title_of(ctx, run, run.model)},
                                          {"layer", std::to_string(base::integer_of(run.manifest, "layer"))}});
}

/// "0.012 [0.010, 0.014]"
std::string short_estimate(const ui::Language& text, const Estimate& estimate) {
    const std::string mean = text.number(estimate.value, 3);
    return estimate.has_interval()
               ? text.format(
                     "effect.interval",
                     {{"mean", mean}, {"low", text.number(estimate.low, 2)}, {"high", text.number(estimate.high, 2)}})
               : mean;
}

}  // namespace

/// The lines of the field, or the prompts that the node offers, in both languages.
std::vector<std::string> SweepView::wanted_texts(const ui::Context& ctx) const {
    std::vector<std::string> texts;
    const auto add = [&](std::string_view text) {
        text = base::trimmed(text);
        if (!text.empty() && texts.size() < kMostTexts) {
            texts.emplace_back(text);
        }
    };
    if (built_in_ == 0) {
        for (std::size_t begin = 0; begin <= texts_.size();) {
            const std::size_t end = std::min(texts_.find('\n', begin), texts_.size());
            add(std::string_view(texts_).substr(begin, end - begin));
            begin = end + 1;
        }
        return texts;
    }
    const json& prompts = base::member(*ctx.snapshot.catalogue, "prompts");
    if (prompts.is_array()) {
        for (const json& item : prompts) {
            add(localized(item, "text", "en"));
            add(localized(item, "text", "zh"));
        }
    }
    return texts;
}

const RouteRun* SweepView::shown(const ui::Context& ctx) const {
    const auto chosen = ctx.snapshot.routes.find(run_);
    if (chosen != ctx.snapshot.routes.end() && chosen->second->what == RouteRun::What::sweep) {
        return chosen->second.get();
    }
    const std::vector<const RouteRun*> sweeps = sweeps_of(ctx.snapshot);
    return sweeps.empty() ? nullptr : sweeps.front();
}

void SweepView::start(ui::Context& ctx) {
    const std::vector<std::string> texts = wanted_texts(ctx);
    if (model_.empty() || texts.empty()) {
        ctx.notify(ctx.text(model_.empty() ? "routing.read.no_model" : "sweep.no_texts"), true);
        return;
    }
    if (ui::pending(ctx.snapshot, starting_)) {
        return;
    }
    starting_ = ctx.client.send("route.sweep", {{"model", model_}, {"layer", layer_}, {"texts", texts}});
}

/// The layers with a router where a trace of the model has told them, else any number.
void SweepView::draw_layer(ui::Context& ctx) {
    const float field = 5 * ctx.em;
    ui::flow(field + ui::field_label_width(ctx, "sweep.layer"));
    ui::field_label(ctx, "sweep.layer");
    ui::next_field(field);
    const auto trace = model_.empty() ? nullptr : trace_of_model(ctx.snapshot, model_);
    if (!trace || trace->spec().routed_layers.empty()) {
        ImGui::InputInt("###sweep.layer", &layer_, 0);
        layer_ = std::clamp(layer_, 0, kMostLayer);
        ui::tooltip(ctx.text("sweep.layer.help"));
        return;
    }
    const std::vector<int>& layers = trace->spec().routed_layers;
    if (std::find(layers.begin(), layers.end(), layer_) == layers.end()) {
        layer_ = layers.front();
    }
    if (ui::begin_combo("###sweep.layer", std::to_string(layer_).c_str())) {
        for (const int layer : layers) {
            if (ImGui::Selectable(std::to_string(layer).c_str(), layer == layer_)) {
                layer_ = layer;
            }
        }
        ImGui::EndCombo();
    }
    ui::tooltip(ctx.text("sweep.layer.help"));
}

void SweepView::draw_question(ui::Context& ctx) {
    const ui::Language& text = ctx.text;
    if (model_.empty()) {
        model_ = first_routed_model(ctx.snapshot, ctx.selection.training_run);
    }
    ui::field_label(ctx, "routing.read.model");
    ui::next_field(16 * ctx.em);
    model_combo(ctx, "###sweep.model", model_,
                model_.empty() ? text("routing.read.no_model") : model_title(ctx, model_).c_str(), Offer::routed);
    draw_layer(ctx);
    ui::segmented(ctx, "sweep.texts", {text.label("sweep.own"), text.label("sweep.built_in")}, built_in_);
    if (built_in_ == 0) {
        const float height = ImGui::GetTextLineHeight() * 4 + ImGui::GetStyle().FramePadding.y * 2;
        ImGui::InputTextMultiline("###sweep.texts", &texts_, {ImGui::GetContentRegionAvail().x, height},
                                  ImGuiInputTextFlags_WordWrap);
        ui::tooltip(text("sweep.own.help"));
    }
    const std::size_t count = wanted_texts(ctx).size();
    const char* why_not = !ctx.connected() ? "runs.offline"
                          : model_.empty() ? "routing.read.no_model"
                          : count == 0     ? "sweep.no_texts"
                                           : nullptr;
    if (ui::button(text.label("sweep.start"), why_not == nullptr && !ui::pending(ctx.snapshot, starting_),
                   why_not != nullptr ? text(why_not) : "")) {
        start(ctx);
    }
    ui::command_tooltip(ctx, why_not == nullptr ? text("sweep.start.help") : "", "change.sweep");
    ui::flow(8 * ctx.em);
    ImGui::AlignTextToFramePadding();
    ui::text_dim(ctx, text.format("sweep.count", {{"n", text.number(std::uint64_t{count})}}));
    watch(ctx);
}

void SweepView::watch(ui::Context& ctx) {
    json state = {{"model", model_}, {"layer", layer_}, {"built_in", built_in_ != 0}, {"texts", texts_}};
    watch_.follow(ctx, std::move(state), ui::form_field, [this](ui::Context&, const json& now) {
        model_ = now.at("model");
        layer_ = now.at("layer");
        built_in_ = now.at("built_in").get<bool>() ? 1 : 0;
        texts_ = now.at("texts");
    });
}

void SweepView::draw_choice(ui::Context& ctx) {
    const RouteRun* now = shown(ctx);
    ui::field_label(ctx, "sweep.results");
    ui::next_field(24 * ctx.em);
    if (ui::begin_combo("###sweep.results", now != nullptr ? name_of(ctx, *now).c_str() : "",
                        ImGuiComboFlags_HeightLarge)) {
        for (const RouteRun* run : sweeps_of(ctx.snapshot)) {
            const std::string label = name_of(ctx, *run) + "###sweep " + std::to_string(run->id);
            if (ImGui::Selectable(label.c_str(), run == now)) {
                run_ = run->id;
            }
        }
        ImGui::EndCombo();
    }
    if (now != nullptr) {
        ui::flow(ui::state_badge_width(ctx, now->state));
        ImGui::BeginGroup();
        ImGui::SetCursorPosY(ImGui::GetCursorPosY() + (ImGui::GetFrameHeight() - ImGui::GetTextLineHeight()) / 2);
        ui::state_badge(ctx, now->state);
        ImGui::EndGroup();
    }
}

void SweepView::draw_progress(ui::Context& ctx, const RouteRun& run) {
    if (!run.message.empty()) {
        ui::banner(ctx, run.state == history::RunState::failed ? ui::Tone::error : ui::Tone::warning,
                   ctx.text.message(run.message));
    }
    if (protocol::ended(run.state)) {
        return;
    }
    const client::Task* task = task_of(ctx.snapshot, run.id);
    std::string line = ctx.text("sweep.running");
    double fraction = 0;
    if (task != nullptr) {
        fraction = task->fraction;
        if (task->fraction >= 0) {
            line += " " + ui::percent_text(ctx.text, std::floor(task->fraction * 100) / 100);
        }
        if (task->seconds_left >= 0) {
            line +=
                " \u00b7 " + ctx.text.format("task.left", {{"time", ui::duration_text(ctx.text, task->seconds_left)}});
        }
    }
    const char* cancel = ctx.text.label("sweep.cancel");
    ui::meter(ctx, fraction, line,
              std::max(10 * ctx.em, ImGui::GetContentRegionAvail().x - ui::button_width(cancel) - ctx.em));
    ui::flow(ui::button_width(cancel));
    if (ui::button(cancel, ctx.connected(), ctx.text("runs.offline"))) {
        ctx.client.send("route.cancel", {{"run", run.id}});
    }
}

void SweepView::refresh(const ui::Context& ctx, const RouteRun& run) {
    const std::string now = fmt::format("{} {}", run.id, run.result.size());
    if (result_of_ == now && language_ == ctx.text.code() && drawn_figure_ == figure_ && dark_ == ctx.theme.dark) {
        return;
    }
    result_of_ = now;
    language_ = ctx.text.code();
    drawn_figure_ = figure_;
    dark_ = ctx.theme.dark;
    result_ = read_sweep(run.result);
    picture_ = {};
    order_.clear();
    if (!result_) {
        return;
    }
    order_ = sorted_sweep(*result_, sorted_by_, descending_);
    const bool loss = figure_ == 1;
    picture_.title =
        ctx.text.format(loss ? "sweep.picture.loss" : "sweep.picture.kl", {{"layer", std::to_string(result_->layer)}});
    picture_.x_name = ctx.text("decision.expert");
    BarPicture::Series effect{ctx.text("sweep.effect"), ui::packed(ctx.theme.series_color(1)), {}, {}, {}},
        control{ctx.text("sweep.control"), ui::packed(ctx.theme.series_color(0)), {}, {}, {}, true};
    for (const SweepResult::Expert& one : result_->experts) {
        const Estimate &own = loss ? one.loss : one.kl, &other = loss ? one.control_loss : one.control_kl;
        picture_.labels.push_back(one.expert);
        effect.values.push_back(own.value);
        effect.low.push_back(own.low);
        effect.high.push_back(own.high);
        control.values.push_back(other.value);
    }
    picture_.series = {std::move(effect), std::move(control)};
}

void SweepView::draw_table(ui::Context& ctx) {
    const auto id = [](SweepColumn column) { return static_cast<ImGuiID>(column) + 1; };
    if (!ui::begin_table(
            ctx, "sweep.experts",
            {{"decision.expert", 4.5f, true, id(SweepColumn::expert)},
             {"sweep.tokens", 5, true, id(SweepColumn::tokens)},
             {"sweep.kl", 11.5f, true, id(SweepColumn::kl)},
             {"sweep.loss", 11.5f, true, id(SweepColumn::loss)},
             {"sweep.control_kl", 11.5f, true, id(SweepColumn::control)},
             {"sweep.above", 11.5f, true, id(SweepColumn::above)}},
            ImGuiTableFlags_ScrollY | ImGuiTableFlags_ScrollX | ImGuiTableFlags_Sortable | ImGuiTableFlags_SortTristate,
            {0, 14 * ctx.em})) {
        return;
    }
    if (ImGuiTableSortSpecs* specs = ImGui::TableGetSortSpecs(); specs != nullptr && specs->SpecsDirty) {
        const bool sorted = specs->SpecsCount > 0;
        sorted_by_ = sorted ? static_cast<SweepColumn>(specs->Specs[0].ColumnUserID - 1) : SweepColumn::kl;
        descending_ = !sorted || specs->Specs[0].SortDirection == ImGuiSortDirection_Descending;
        order_ = sorted_sweep(*result_, sorted_by_, descending_);
        specs->SpecsDirty = false;
    }
    ImGuiListClipper clipper;
    clipper.Begin(static_cast<int>(order_.size()));
    while (clipper.Step()) {
        for (int i = clipper.DisplayStart; i < clipper.DisplayEnd; ++i) {
            const SweepResult::Expert& one = result_->experts[order_[static_cast<std::size_t>(i)]];
            ImGui::PushID(one.expert);
            ImGui::TableNextRow();
            ImGui::TableNextColumn();
            const bool selected = ctx.selection.layer == result_->layer && ctx.selection.expert == one.expert;
            if (ImGui::Selectable((std::to_string(one.expert) + "###expert").c_str(), selected,
                                  ImGuiSelectableFlags_SpanAllColumns | ImGuiSelectableFlags_AllowOverlap)) {
                toggle_expert(ctx.selection, result_->layer, one.expert);
            }
            if (ImGui::IsItemHovered() && ImGui::IsMouseReleased(ImGuiMouseButton_Right)) {
                menu_expert_ = one.expert;
                open_menu_ = true;
            }
            ImGui::TableNextColumn();
            ImGui::TextUnformatted(ctx.text.number(one.tokens).c_str());
            for (const Estimate* estimate : {&one.kl, &one.loss, &one.control_kl, &one.above_kl}) {
                ImGui::TableNextColumn();
                ImGui::TextUnformatted(short_estimate(ctx.text, *estimate).c_str());
            }
            ImGui::PopID();
        }
    }
    ImGui::EndTable();
}

void SweepView::draw_menu(ui::Context& ctx, const RouteRun& run) {
    if (std::exchange(open_menu_, false)) {
        ImGui::OpenPopup("###sweep.menu");
    }
    if (!ImGui::BeginPopup("###sweep.menu")) {
        return;
    }
    if (menu_expert_ >= 0) {
        draw_expert_items(ctx, result_->layer, menu_expert_, run.model);
    }
    draw_export_items(ctx, {.name = fmt::format("sweep-{}-layer-{}", run.id, result_->layer),
                            .csv = [&] { return [result = *result_] { return sweep_csv(result); }; },
                            .svg = [&] { return [picture = picture_] { return to_svg(picture); }; },
                            .min = picture_min_,
                            .max = picture_max_});
    ImGui::EndPopup();
}

void SweepView::draw_result(ui::Context& ctx, const RouteRun& run) {
    refresh(ctx, run);
    if (!result_) {
        return;
    }
    const ui::Language& text = ctx.text;
    ui::text_wrapped(text.format("sweep.summary", {{"texts", text.number(result_->texts)},
                                                   {"tokens", text.number(result_->tokens)},
                                                   {"loss", estimate_text(text, result_->loss)}}),
                     ctx.theme.text_dim);
    ui::segmented(ctx, "sweep.figure", {text.label("sweep.figure.kl"), text.label("sweep.figure.loss")}, figure_);
    const char* menu = text.label("sweep.menu");
    ui::flow(ui::button_width(menu));
    if (ImGui::Button(menu)) {
        menu_expert_ = -1;
        open_menu_ = true;
    }
    const ImVec2 at = ImGui::GetCursorScreenPos();
    const float height = 12 * ctx.em;
    picture_min_ = at;
    picture_max_ = {at.x + ImGui::GetContentRegionAvail().x, at.y + height};
    const auto selected = std::find_if(result_->experts.begin(), result_->experts.end(), [&](const auto& one) {
        return ctx.selection.layer == result_->layer && one.expert == ctx.selection.expert;
    });
    bool wanted = false;
    const BarHit hit = draw_bars(
        ctx, "###sweep.picture", {0, height}, picture_,
        selected == result_->experts.end() ? -1 : static_cast<int>(selected - result_->experts.begin()), &wanted);
    if (wanted) {
        menu_expert_ = -1;
        open_menu_ = true;
    }
    if (hit.hovered) {
        const SweepResult::Expert& one = result_->experts[*hit.hovered];
        if (hit.clicked) {
            toggle_expert(ctx.selection, result_->layer, one.expert);
        }
        if (hit.menu) {
            menu_expert_ = one.expert;
            open_menu_ = true;
        }
        if (!ImGui::IsMouseDown(ImGuiMouseButton_Right) && ui::begin_tooltip()) {
            ImGui::TextUnformatted(text.format("load.cell", {{"layer", std::to_string(result_->layer)},
                                                             {"expert", std::to_string(one.expert)}})
                                       .c_str());
            if (ui::begin_properties("values")) {
                ui::property(ctx, text("sweep.tokens"), text.number(one.tokens));
                ui::property(ctx, text("sweep.kl"), estimate_text(text, one.kl));
                ui::property(ctx, text("sweep.control_kl"), estimate_text(text, one.control_kl));
                ui::property(ctx, text("sweep.above"), estimate_text(text, one.above_kl));
                ui::property(ctx, text("sweep.loss"), estimate_text(text, one.loss));
                ui::end_properties();
            }
            ImGui::EndTooltip();
        }
    }
    ui::text_wrapped(text("sweep.reading"), ctx.theme.text_dim);
    draw_table(ctx);
    draw_menu(ctx, run);
}

void SweepView::draw(ui::Context& ctx) {
    if (const client::CommandResult* answer = ui::take_answer(ctx, starting_);
        answer != nullptr && answer->state == client::CommandResult::State::done) {
        run_ = base::run_of(answer->value);
    }
    draw_question(ctx);
    const RouteRun* run = shown(ctx);
    if (run == nullptr) {
        ui::text_wrapped(ctx.text("sweep.empty"), ctx.theme.text_dim);
        return;
    }
    ImGui::Separator();
    draw_choice(ctx);
    draw_progress(ctx, *run);
    draw_result(ctx, *run);
}

}  // namespace moescope::panels
