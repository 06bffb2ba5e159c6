#include "panels/answers/probe_merge.hpp"

#include <algorithm>
#include <imgui.h>
#include <utility>

#include "base/foreign_text.hpp"
#include "base/json_fields.hpp"
#include "panels/node/library.hpp"
#include "panels/ui/text_layout.hpp"
#include "panels/ui/units.hpp"
#include "panels/ui/widgets.hpp"

namespace moescope::panels {

using base::count_of;
using base::member;
using base::text_of;
using nlohmann::json;

namespace {

/// "F1 refused" or "F2 4 full", in words.
std::string value_text(const ui::Context& ctx, const json& conflict, const char* side) {
    const std::string value = text_of(member(conflict, side), "value");
    return text_of(conflict, "field") == "delivery" ? "F1 " + std::string(ctx.text("probe.delivery." + value))
                                                    : "F2 " + std::string(ctx.text("probe.engagement." + value));
}

/// The question's title in the set that was asked; its id where the node's catalogue does not have it.
std::string item_title(const ui::Context& ctx, const json& conflict) {
    const std::string id = text_of(conflict, "item");
    const auto run = ctx.snapshot.probes.find(static_cast<std::uint32_t>(count_of(conflict, "run")));
    for (const json& set : member(*ctx.snapshot.catalogue, "probe_sets")) {
        if (run == ctx.snapshot.probes.end() || text_of(set, "name") != run->second->set) {
            continue;
        }
        for (const json& item : member(set, "items")) {
            if (item.is_object() && text_of(item, "id") == id) {
                const std::string title = localized(item, "title", ctx.text.code());
                return title.empty() ? base::shown_name(id) : title;
            }
        }
    }
    return base::shown_name(id);
}

/// A choice with the time of that coding below it: in one line both would not fit.
bool choice(const ui::Context& ctx, const json& conflict, const char* side, bool chosen) {
    const bool clicked = ImGui::RadioButton((value_text(ctx, conflict, side) + "###" + side).c_str(), chosen);
    if (const std::uint64_t time = count_of(member(conflict, side), "time_ns"); time != 0) {
        ui::text_elided(ui::moment_text(time), ImGui::GetContentRegionAvail().x);
    }
    return clicked;
}

}  // namespace

void MergeForm::draw_button(ui::Context& ctx) {
    const char* label = ctx.text.label("probe.merge");
    ui::flow(ui::button_width(label));
    if (ui::button(label, ctx.connected() && sending_ == 0,
                   ctx.text(!ctx.connected() ? "runs.offline" : "probe.merge.working"))) {
        ImGui::OpenPopup("###probe.merge_menu");
    }
    ui::tooltip(ctx.text("probe.merge.help"));
    if (ImGui::BeginPopup("###probe.merge_menu")) {
        if (ImGui::MenuItem(ctx.text.label("probe.merge.archive"))) {
            choose(ctx, false);
        }
        if (ImGui::MenuItem(ctx.text.label("probe.merge.folder"))) {
            choose(ctx, true);
        }
        ImGui::EndPopup();
    }
}

void MergeForm::choose(ui::Context& ctx, bool folder) {
    const auto take = [chosen = chosen_](const std::string& path) { chosen->path = path; };
    const auto& dialog = folder ? ctx.choose_folder : ctx.choose_file;
    if (dialog) {
        dialog(ctx.text("probe.merge.choose"), "merge", take);
    }
}

void MergeForm::merge(ui::Context& ctx, const std::string& path) {
    if (sending_ != 0) {
        return;
    }
    path_ = path;
    theirs_.clear();
    found_ = nullptr;
    problem_ = {};
    send(ctx, "ask");
}

void MergeForm::send(ui::Context& ctx, const char* conflicts) {
    json take = json::object();
    for (const auto& [id, theirs] : theirs_) {
        take[id] = theirs ? "theirs" : "mine";
    }
    sending_ = ctx.client.send("probe.merge", {{"path", path_}, {"conflicts", conflicts}, {"take", take}});
    open_ = true;
}

void MergeForm::take_answer(const ui::Context& ctx) {
    const client::CommandResult* answer = ui::take_answer(ctx, sending_);
    if (answer == nullptr) {
        return;
    }
    if (answer->state != client::CommandResult::State::done) {
        problem_ = answer->error.empty() ? base::Sentence::verbatim(ctx.text("probe.merge.unknown")) : answer->error;
        return;
    }
    problem_ = {};
    found_ = answer->value;
    theirs_.clear();
    if (const json& conflicts = member(found_, "conflicts"); conflicts.is_array()) {
        for (const json& conflict : conflicts) {
            const bool newer =
                count_of(member(conflict, "theirs"), "time_ns") > count_of(member(conflict, "mine"), "time_ns");
            theirs_[text_of(conflict, "id")] = newer;
        }
    }
}

void MergeForm::draw(ui::Context& ctx) {
    if (!chosen_->path.empty()) {
        merge(ctx, std::exchange(chosen_->path, ""));
    }
    take_answer(ctx);
    if (!open_) {
        watch_.reset(ctx);
        return;
    }
    const bool conflicts = found_.is_object() && !base::flag_of(found_, "merged");
    if (ui::begin_floating(ctx, ctx.text.label("probe.merge.title"), open_,
                           {.size = {conflicts ? 52.0f : 34.0f, conflicts ? 26.0f : 0.0f}, .least = {20, 8}})) {
        if (sending_ != 0) {
            draw_waiting(ctx);
        } else if (!problem_.empty()) {
            ui::text_wrapped(std::string(ui::icon::error) + " " + ctx.text.message(problem_), ctx.theme.error);
        } else if (found_.is_object()) {
            draw_result(ctx);
            if (conflicts) {
                draw_conflicts(ctx);
            }
        }
        if (!conflicts && sending_ == 0) {
            if (ui::button(ctx.text.label("probe.merge.close"))) {
                open_ = false;
            }
        }
    }
    ImGui::End();
}

/// The codings are read; before, the copy is sent to a node on another machine.
void MergeForm::draw_waiting(ui::Context& ctx) {
    const auto sent = std::find_if(ctx.snapshot.transfers.begin(), ctx.snapshot.transfers.end(),
                                   [this](const client::Transfer& one) { return one.command == sending_; });
    if (sent == ctx.snapshot.transfers.end()) {
        ui::text_wrapped(std::string(ui::icon::hourglass) + " " + ctx.text("probe.merge.working"));
        return;
    }
    ui::text_wrapped(std::string(ui::icon::hourglass) + " " + ctx.text("probe.merge.sending"));
    if (sent->bytes > 0) {
        ImGui::ProgressBar(static_cast<float>(static_cast<double>(sent->done) / static_cast<double>(sent->bytes)));
    }
    if (ui::button(ctx.text.label("probe.merge.cancel"))) {
        ctx.client.send("transfer.cancel", {{"id", sent->task}});
    }
}

void MergeForm::draw_result(ui::Context& ctx) {
    const auto number = [&](const char* key) { return ctx.text.number(count_of(found_, key)); };
    const bool merged = base::flag_of(found_, "merged");
    ui::text_wrapped(ctx.text.format(merged ? "probe.merge.done" : "probe.merge.found",
                                     {{"name", base::shown_name(text_of(found_, "name"))},
                                      {"added", number("added")},
                                      {"answers", number("answers")},
                                      {"same", number("same")},
                                      {"conflicts", number("conflicts_in_all")}}));
    if (count_of(found_, "missing") > 0) {
        ui::text_wrapped(ctx.text.format("probe.merge.missing", {{"n", number("missing")}}), ctx.theme.text_dim);
    }
    if (merged && count_of(found_, "conflicts_in_all") > 0) {
        ui::text_wrapped(
            ctx.text.format("probe.merge.settled", {{"mine", number("declined")}, {"theirs", number("replaced")}}),
            ctx.theme.text_dim);
    }
    if (const json& problems = member(found_, "problems"); problems.is_array()) {
        for (const json& problem : problems) {
            ui::text_wrapped(
                std::string(ui::icon::warning) + " " + ctx.text.message(base::sentence_in(problem, "text")),
                ctx.theme.warning);
        }
    }
}

void MergeForm::draw_conflicts(ui::Context& ctx) {
    const json& conflicts = member(found_, "conflicts");
    if (!conflicts.is_array()) {
        return;
    }
    ui::text_wrapped(ctx.text("probe.merge.conflicts"), ctx.theme.text_dim);
    const auto all = [&](const char* key, bool theirs) {
        if (ui::button(ctx.text.label(key))) {
            for (auto& [id, taken] : theirs_) {
                taken = theirs;
            }
        }
    };
    all("probe.merge.all_mine", false);
    ui::flow(ui::button_width(ctx.text.label("probe.merge.all_theirs")));
    all("probe.merge.all_theirs", true);
    ui::flow(ui::button_width(ctx.text.label("probe.merge.newest")));
    if (ui::button(ctx.text.label("probe.merge.newest"))) {
        for (const json& conflict : conflicts) {
            theirs_[text_of(conflict, "id")] =
                count_of(member(conflict, "theirs"), "time_ns") > count_of(member(conflict, "mine"), "time_ns");
        }
    }
    const float rest = ImGui::GetFrameHeightWithSpacing() * 1.5f;
    if (ui::begin_table(
            ctx, "###merge.conflicts",
            {{"probe.merge.answer", 3}, {"probe.merge.coder", 1}, {"probe.merge.mine", 2}, {"probe.merge.theirs", 2}},
            ImGuiTableFlags_ScrollY, {0, std::max(6 * ctx.em, ImGui::GetContentRegionAvail().y - rest)})) {
        for (const json& conflict : conflicts) {
            const std::string id = text_of(conflict, "id");
            ImGui::PushID(id.c_str());
            ImGui::TableNextRow();
            ImGui::TableNextColumn();
            const std::string side = model_title(ctx, text_of(conflict, "model")) + " · " +
                                     ctx.text("probe.language." + text_of(conflict, "language")) + " #" +
                                     std::to_string(count_of(conflict, "draw") + 1);
            ui::text_elided(item_title(ctx, conflict), ImGui::GetContentRegionAvail().x);
            ui::text_elided(side, ImGui::GetContentRegionAvail().x);
            ImGui::TableNextColumn();
            const std::string coder = base::shown_name(text_of(conflict, "coder"));
            ui::text_elided(base::flag_of(conflict, "consensus") ? std::string(ctx.text("probe.consensus"))
                            : coder.empty()                      ? std::string(ctx.text("probe.no_name"))
                                                                 : coder,
                            ImGui::GetContentRegionAvail().x);
            ImGui::TableNextColumn();
            if (choice(ctx, conflict, "mine", !theirs_[id])) {
                theirs_[id] = false;
            }
            ImGui::TableNextColumn();
            if (choice(ctx, conflict, "theirs", theirs_[id])) {
                theirs_[id] = true;
            }
            ImGui::PopID();
        }
        ImGui::EndTable();
    }
    watch_.follow(
        ctx, {{"theirs", theirs_}},
        [](const ui::Language& text, const std::string&) { return std::string(text("undo.form.theirs")); },
        [this](ui::Context&, const json& now) { theirs_ = now.at("theirs").get<std::map<std::string, bool>>(); });
    if (const std::uint64_t more = count_of(found_, "conflicts_in_all"); more > conflicts.size()) {
        ui::text_dim(ctx, ctx.text.format("probe.merge.more", {{"n", ctx.text.number(more - conflicts.size())}}));
    }
    if (ui::button(ctx.text.label("probe.merge.go"), ctx.connected() && sending_ == 0, ctx.text("runs.offline"))) {
        send(ctx, "newest");  // of those that are not listed
    }
    const char* close = ctx.text.label("probe.merge.not");
    ui::flow(ui::button_width(close));
    if (ui::button(close)) {
        open_ = false;
    }
}

}  // namespace moescope::panels
