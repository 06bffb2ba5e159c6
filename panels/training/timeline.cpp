// The timeline: a strip below all panels that plays the selected run again. It moves the one position of a session
// (Selection::pinned_step), which every panel that shows "now" reads; nothing is sent to the node by that. What it
// knows of the steps and of time is in playback.hpp.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <imgui_internal.h>
#include <string>

#include "base/axis.hpp"
#include "base/foreign_text.hpp"
#include "panels/panels.hpp"
#include "panels/runs/run_tools.hpp"
#include "panels/training/playback.hpp"
#include "panels/ui/panel.hpp"
#include "panels/ui/plot_marks.hpp"
#include "panels/ui/text_layout.hpp"
#include "panels/ui/units.hpp"
#include "panels/ui/widgets.hpp"

namespace moescope::panels {
namespace {

using history::TrainingRun;
using ui::Context;
namespace icon = ui::icon;

// Of the icon font; nobody else needs them.
constexpr const char *kToFirst = "\uf049", *kToPrevious = "\uf048", *kToNext = "\uf051", *kOneBack = "\uf104",
                     *kOneOn = "\uf105";

constexpr float kWide = 64;             ///< em, from which everything stands in one row
constexpr float kTrack = 2.5f;          ///< em, the height of the axis with its marks
constexpr std::size_t kLeastSteps = 2;  ///< below that there is nothing to play
constexpr double kLongestFrame = 0.25;  ///< seconds: after a longer rest the clock goes on from where it stood
constexpr double kFrame = 1.0 / 60;     ///< seconds
constexpr int kMostHints = 8;           ///< events in one tooltip

/// A key of the strip, and what it does there.
struct Key {
    ImGuiKey key;
    const char* action;
};
constexpr std::array<Key, 7> kKeys = {{{ImGuiKey_Space, "timeline.play"},
                                       {ImGuiKey_LeftArrow, "timeline.step_back"},
                                       {ImGuiKey_RightArrow, "timeline.step_on"},
                                       {ImGuiKey_PageUp, "timeline.event_back"},
                                       {ImGuiKey_PageDown, "timeline.event_on"},
                                       {ImGuiKey_Home, "timeline.first"},
                                       {ImGuiKey_End, "load.live"}}};

struct Button {
    const char* action;
    const char* sign;
};
constexpr std::array<Button, 6> kButtons = {{{"timeline.first", kToFirst},
                                             {"timeline.event_back", kToPrevious},
                                             {"timeline.step_back", kOneBack},
                                             {"timeline.play", icon::play},
                                             {"timeline.step_on", kOneOn},
                                             {"timeline.event_on", kToNext}}};

class TimelinePanel final : public ui::Panel {
 public:
    void take_over(ui::Panel& before) override {
        playback_.speed = dynamic_cast<const TimelinePanel&>(before).playback_.speed;
    }
    float strip_height(const Context& ctx) const override;
    void draw(Context& ctx) override;
    /// Lets the clock go on.
    void draw_above(Context& ctx) override;
    /// timeline.play (plays or pauses), .step_back, .step_on, .event_back, .event_on, .first, .slower, .faster;
    /// timeline.position=STEP.
    bool act(const std::string& action, Context& ctx) override;

 private:
    /// False where there is nothing to play.
    bool prepare(const Context& ctx);
    void take_keys(Context& ctx) const;
    void draw_buttons(Context& ctx) const;
    void draw_speed(Context& ctx);
    void draw_live(Context& ctx, const TrainingRun& run) const;
    void draw_track(Context& ctx, const TrainingRun& run, ImVec2 size);
    void draw_marks(const Context& ctx, const TrainingRun& run, ImVec2 low, ImVec2 high) const;
    void draw_ticks(const Context& ctx, ImVec2 low, ImVec2 high) const;
    void hover(Context& ctx, const TrainingRun& run, double step, double reach) const;
    std::string mark_text(const Context& ctx, const TrainingRun& run, const TimelineMark& mark) const;
    std::string place_text(const Context& ctx, std::size_t row) const;
    std::string speed_text(const Context& ctx, std::size_t speed) const;
    double place_of(double step) const;
    static bool is_wide(const Context& ctx);
    void keep_in_sight(ui::Selection& selection) const;

    // Of the person:
    Playback playback_;  ///< its speed
    // Of the run on show:
    StepClock clock_;
    std::vector<TimelineMark> marks_;
    std::array<std::uint64_t, 3> marks_of_{};                              ///< run, version of the clock, events
    std::shared_ptr<const std::map<std::uint32_t, history::Note>> notes_;  ///< that the marks are of
    int last_frame_ = -1;
    double last_time_ = 0;
    bool held_ = false;  ///< somebody drags it
    std::uint32_t run_ = 0;
};

}  // namespace

bool TimelinePanel::prepare(const Context& ctx) {
    const TrainingRun* run = selected_run(ctx);
    if (run == nullptr) {
        clock_ = StepClock();
        marks_of_ = {};
        marks_.clear();
        playback_.pause();
        run_ = 0;
        return false;
    }
    if (run_ != run->id) {
        playback_.pause();
        run_ = run->id;
    }
    clock_.update(*run);
    const std::array<std::uint64_t, 3> of{run->id, clock_.version(), run->events.size()};
    if (of != marks_of_ || notes_ != ctx.snapshot.notes) {
        marks_of_ = of;
        notes_ = ctx.snapshot.notes;
        marks_ = timeline_marks(*run, clock_, *notes_);
    }
    return clock_.size() >= kLeastSteps;
}

void TimelinePanel::draw_above(Context& ctx) {
    const bool goes_on = prepare(ctx) && playback_.playing();
    // While another session was in front, or nothing was drawn, no time has passed here.
    const int frame = ImGui::GetFrameCount();
    const double passed = frame == last_frame_ + 1 ? std::min(ctx.now - last_time_, kLongestFrame) : 0;
    last_frame_ = frame;
    last_time_ = ctx.now;
    if (!goes_on) {
        return;
    }
    ctx.selection.pinned_step = playback_.advance(held_ ? 0 : passed, clock_, ctx.selection.pinned_step);
    held_ = false;  // it is drawn after this, if at all
    keep_in_sight(ctx.selection);
    if (playback_.playing()) {
        ctx.draw_within(kFrame);
    }
}

/// Plots that show a part of the run follow the position as they follow the newest step.
void TimelinePanel::keep_in_sight(ui::Selection& selection) const {
    if (!selection.pinned_step) {
        return;
    }
    const auto at = static_cast<double>(*selection.pinned_step);
    const double width = selection.step_max - selection.step_min;
    if ((at >= selection.step_min && at <= selection.step_max) || !(width > 0)) {
        return;
    }
    selection.follow = false;
    selection.step_min = std::max(0.0, at - 0.1 * width);
    selection.step_max = selection.step_min + width;
}

/// Everything has room in one row.
bool TimelinePanel::is_wide(const Context& ctx) {
    return ImGui::GetMainViewport()->WorkSize.x >= kWide * ctx.em;
}

float TimelinePanel::strip_height(const Context& ctx) const {
    if (clock_.size() < kLeastSteps) {
        return 0;
    }
    const float track = kTrack * ctx.em;
    return is_wide(ctx) ? std::max(track, ImGui::GetFrameHeight()) : track + ImGui::GetFrameHeightWithSpacing();
}

/// The keys of the strip while it has the keyboard. They are taken a frame ahead, or Dear ImGui would go to the next
/// button with them, and press it with Space.
void TimelinePanel::take_keys(Context& ctx) const {
    if (!ImGui::IsWindowFocused(ImGuiFocusedFlags_RootAndChildWindows | ImGuiFocusedFlags_NoPopupHierarchy) ||
        ImGui::GetIO().KeyMods != ImGuiMod_None || ImGui::GetIO().WantTextInput) {
        return;
    }
    const ImGuiID id = ImGui::GetID("keys");
    for (const Key& key : kKeys) {
        const ImGuiInputFlags repeat =
            key.key == ImGuiKey_LeftArrow || key.key == ImGuiKey_RightArrow ? ImGuiInputFlags_Repeat : 0;
        if (ImGui::IsKeyPressed(key.key, repeat, id)) {
            ctx.run(key.action);
        }
        ImGui::SetKeyOwner(key.key, id);
    }
}

void TimelinePanel::draw_buttons(Context& ctx) const {
    for (std::size_t i = 0; i < kButtons.size(); ++i) {
        const Button& button = kButtons[i];
        const bool play = button.sign == icon::play;
        const std::string label =
            std::string(play && playback_.playing() ? icon::pause : button.sign) + "###" + button.action;
        if (i > 0) {
            ImGui::SameLine(0, 0.2f * ctx.em);
        }
        ImGui::BeginDisabled(!ctx.available(button.action));
        if (ImGui::Button(label.c_str(), {2 * ctx.em, 0})) {
            ctx.run(button.action);
        }
        ImGui::EndDisabled();
        const std::string help = std::string(play && playback_.playing() ? "timeline.pause" : button.action) + ".help";
        ui::command_tooltip(ctx, ctx.text(help), button.action);
    }
}

std::string TimelinePanel::speed_text(const Context& ctx, std::size_t speed) const {
    const PlaySpeed& one = kPlaySpeeds[speed];
    return ctx.text.format(one.steps || !clock_.has_time() ? "timeline.speed.steps" : "timeline.speed.times",
                           {{"n", ctx.text.number(one.value)}});
}

void TimelinePanel::draw_speed(Context& ctx) {
    ImGui::SetNextItemWidth(9.5f * ctx.em);
    if (ui::begin_combo("###timeline.speed", speed_text(ctx, playback_.speed), ImGuiComboFlags_HeightLarge)) {
        for (std::size_t i = 0; i < kPlaySpeeds.size(); ++i) {
            const std::string label = speed_text(ctx, i) + "###timeline.speed." + std::to_string(i);
            if (ImGui::Selectable(label.c_str(), i == playback_.speed)) {
                playback_.speed = i;
            }
        }
        ImGui::EndCombo();
    }
    ui::tooltip(ctx.text(clock_.has_time() ? "timeline.speed.help" : "timeline.speed.timeless"));
}

/// "step 120 / 3,000", and the time of training until then where it is known.
std::string TimelinePanel::place_text(const Context& ctx, std::size_t row) const {
    std::string text = ctx.text.format(
        "timeline.place", {{"step", ctx.text.number(clock_.step(row))}, {"last", ctx.text.number(clock_.last())}});
    if (clock_.has_time()) {
        text += " \u00b7 " + ui::duration_text(ctx.text, clock_.seconds(row));
    }
    return text;
}

void TimelinePanel::draw_live(Context& ctx, const TrainingRun& run) const {
    const std::string key = alive(run) ? "load.live" : "load.last";
    ImGui::BeginDisabled(!ctx.selection.pinned_step);
    const std::string label = std::string(ctx.text(key)) + "###timeline.live";
    if (ImGui::Button(label.c_str())) {
        ctx.run("load.live");
    }
    ImGui::EndDisabled();
    ui::command_tooltip(ctx, ctx.text(key + ".help"), "load.live");
}

void TimelinePanel::draw(Context& ctx) {
    if (!prepare(ctx)) {  // once more: a panel that was drawn before may have chosen another run
        return;
    }
    const TrainingRun* run = selected_run(ctx);
    take_keys(ctx);
    const ImVec2 corner = ImGui::GetCursorPos(), room = ImGui::GetContentRegionAvail();
    const float frame = ImGui::GetFrameHeight(), track = kTrack * ctx.em, gap = 0.8f * ctx.em;
    const bool one_row = is_wide(ctx);
    const float row = corner.y + (one_row ? std::max(0.0f, (std::max(track, frame) - frame) / 2) : 0);
    ImGui::SetCursorPos({corner.x, row});
    draw_buttons(ctx);
    ImGui::SameLine(0, gap);
    draw_speed(ctx);
    ImGui::SameLine(0, gap);
    const float left = ImGui::GetCursorPosX();
    const std::size_t at = clock_.at(ctx.selection.pinned_step.value_or(clock_.last()));
    const std::string place = place_text(ctx, at);
    const float widest = std::max(ImGui::CalcTextSize(place_text(ctx, clock_.size() - 1).c_str()).x,
                                  ImGui::CalcTextSize(place.c_str()).x);
    const char* live = ctx.text(alive(*run) ? "load.live" : "load.last");
    const float live_width = ui::button_width(live), right = corner.x + room.x - live_width;
    // What there is no room for is said by the tooltip of the axis.
    const float text_at = right - gap - widest;
    if (text_at > left || one_row) {
        ImGui::SetCursorPos({text_at, row});  // the row's text offset still counts
        ui::text_colored(ctx.selection.pinned_step ? ctx.theme.accent : ctx.theme.text_dim, place);
        ui::tooltip(ctx.text(clock_.has_time() ? "timeline.place.help" : "timeline.place.timeless"));
    }
    ImGui::SetCursorPos({std::max(right, left), row});
    draw_live(ctx, *run);
    if (one_row) {
        ImGui::SetCursorPos({left, corner.y});
        draw_track(ctx, *run, {text_at - gap - left, track});
    } else {
        ImGui::SetCursorPos({corner.x, corner.y + ImGui::GetFrameHeightWithSpacing()});
        draw_track(ctx, *run, {room.x, track});
    }
}

/// 0 to 1 along the axis.
double TimelinePanel::place_of(double step) const {
    const auto first = static_cast<double>(clock_.first()), last = static_cast<double>(clock_.last());
    return std::clamp((step - first) / std::max(1.0, last - first), 0.0, 1.0);
}

void TimelinePanel::draw_track(Context& ctx, const TrainingRun& run, ImVec2 size) {
    const float inset = 0.5f * ctx.em;
    const ImVec2 corner = ImGui::GetCursorScreenPos();
    if (size.x < 4 * inset) {
        ImGui::Dummy({1, 1});  // where the cursor was moved to
        return;
    }
    ImGui::InvisibleButton("###timeline.track", size, ImGuiButtonFlags_EnableNav);
    held_ = ImGui::IsItemActive() && ImGui::IsMouseDown(ImGuiMouseButton_Left);
    const bool hovered = ImGui::IsItemHovered();
    const ImVec2 low{corner.x + inset, corner.y + 0.95f * ctx.em},
        high{corner.x + size.x - inset, corner.y + 1.35f * ctx.em};
    const double steps = static_cast<double>(clock_.last() - clock_.first());
    const double under =
        static_cast<double>(clock_.first()) + (ImGui::GetMousePos().x - low.x) / (high.x - low.x) * steps;
    if (held_) {
        ctx.selection.pinned_step = step_near(clock_, under);
    }
    ImDrawList& draw = *ImGui::GetWindowDrawList();
    const auto x_of = [&](double step) { return low.x + static_cast<float>(place_of(step)) * (high.x - low.x); };
    const bool live = !ctx.selection.pinned_step;
    const float here = live ? high.x : x_of(static_cast<double>(*ctx.selection.pinned_step));
    draw.AddRectFilled(low, high, ImGui::GetColorU32(ImGuiCol_FrameBg), 2);
    draw.AddRectFilled(low, {here, high.y}, ui::packed(ctx.theme.accent, live ? 0.25f : 0.45f), 2);
    for (const StepHole& hole : clock_.holes()) {
        const float from = x_of(static_cast<double>(hole.first)), to = x_of(static_cast<double>(hole.last) + 1);
        draw.AddRectFilled({from, low.y - 1}, {std::max(to, from + 1), high.y + 1},
                           ImGui::GetColorU32(ImGuiCol_WindowBg));
        draw.AddRect({from, low.y}, {std::max(to, from + 1), high.y}, ui::packed(ctx.theme.warning, 0.8f));
    }
    draw_marks(ctx, run, low, high);
    draw_ticks(ctx, low, high);
    const ImU32 ink = ui::packed(live ? ctx.theme.text_dim : ctx.theme.accent);
    const float half = 0.32f * ctx.em;
    draw.AddLine({here, low.y - 0.1f * ctx.em}, {here, high.y + 0.1f * ctx.em}, ink, std::max(1.5f, 0.14f * ctx.em));
    draw.AddCircleFilled({here, (low.y + high.y) / 2}, half, ink);
    if (ImGui::IsItemFocused() && ImGui::GetIO().NavVisible) {
        draw.AddRect(corner, {corner.x + size.x, corner.y + size.y}, ImGui::GetColorU32(ImGuiCol_NavCursor), 2);
    }
    if (hovered || held_) {
        hover(ctx, run, std::clamp(under, static_cast<double>(clock_.first()), static_cast<double>(clock_.last())),
              0.4 * static_cast<double>(ctx.em) / static_cast<double>(high.x - low.x) * steps);
    }
}

void TimelinePanel::draw_marks(const Context& ctx, const TrainingRun& run, ImVec2 low, ImVec2 high) const {
    ImDrawList& draw = *ImGui::GetWindowDrawList();
    float line_x = -1e30f, free_x = -1e30f;  // long runs have thousands of checkpoints: what would touch is left out
    for (const TimelineMark& mark : marks_) {
        if (mark.hole != TimelineMark::kNone) {
            continue;  // it is drawn as one
        }
        const bool noted = mark.note != 0, change = noted || ui::is_change(run.events[mark.event]);
        const float x = low.x + static_cast<float>(place_of(static_cast<double>(mark.step))) * (high.x - low.x);
        if (x < line_x + (change ? 0.5f : 2)) {
            continue;
        }
        line_x = x;
        const ImU32 ink = ui::packed(change ? ctx.theme.accent : ctx.theme.text_dim, 0.9f);
        draw.AddLine({x, low.y - 0.12f * ctx.em}, {x, high.y}, ink);
        const char* sign = noted ? icon::note : ui::event_icon(run.events[mark.event].kind);
        const float half = 0.35f * ImGui::CalcTextSize(sign).x;
        if (x - half > free_x) {
            draw.AddText(ImGui::GetFont(), 0.7f * ctx.em, {x - half, low.y - 0.9f * ctx.em}, ink, sign);
            free_x = x + half;
        }
    }
}

void TimelinePanel::draw_ticks(const Context& ctx, ImVec2 low, ImVec2 high) const {
    ImDrawList& draw = *ImGui::GetWindowDrawList();
    const auto first = static_cast<double>(clock_.first()), last = static_cast<double>(clock_.last());
    const float width = high.x - low.x, size = 0.8f * ctx.em, each = (clock_.has_time() ? 11 : 6) * ctx.em;
    const ImU32 ink = ImGui::GetColorU32(ctx.theme.text_dim);
    float free_x = low.x - ctx.em;
    for (const double step : base::ticks(first, last, std::max(2, static_cast<int>(width / each)))) {
        if (step < first || step > last || step != std::round(step)) {
            continue;
        }
        const float x = low.x + static_cast<float>(place_of(step)) * width;
        const auto whole = static_cast<std::uint64_t>(step);
        std::string label = ctx.text.number(whole);
        if (clock_.has_time()) {
            label += " \u00b7 " + ui::duration_text(ctx.text, clock_.seconds(clock_.at(whole)));
        }
        const float text = ImGui::GetFont()->CalcTextSizeA(size, 1e9f, 0, label.c_str()).x;
        const float at = std::clamp(x - text / 2, low.x - 0.4f * ctx.em, high.x + 0.4f * ctx.em - text);
        draw.AddLine({x, high.y}, {x, high.y + 0.2f * ctx.em}, ink);
        if (at > free_x) {
            draw.AddText(ImGui::GetFont(), size, {at, high.y + 0.22f * ctx.em}, ink, label.c_str());
            free_x = at + text + 0.6f * ctx.em;
        }
    }
}

std::string TimelinePanel::mark_text(const Context& ctx, const TrainingRun& run, const TimelineMark& mark) const {
    if (mark.event != TimelineMark::kNone) {
        const history::RunEvent& event = run.events[mark.event];
        // Why it paused, or what went wrong.
        const bool says_more = !event.text.empty() && !ui::is_change(event) && event.kind != "checkpoint";
        return ui::event_text(ctx, event) +
               ui::in_brackets(ctx.text, says_more ? ctx.text.message(event.text) : std::string());
    }
    if (mark.note != 0) {
        return ui::elided(base::one_line(notes_->at(mark.note).text), 30 * ctx.em);
    }
    const StepHole& hole = clock_.holes()[mark.hole];
    return ctx.text.format("timeline.hole",
                           {{"first", ctx.text.number(hole.first)}, {"last", ctx.text.number(hole.last)}});
}

void TimelinePanel::hover(Context& ctx, const TrainingRun& run, double step, double reach) const {
    ctx.selection.hovered_step = step;
    ctx.selection.hovered_frame = ImGui::GetFrameCount();
    if (!ui::begin_tooltip()) {
        return;
    }
    const auto at = static_cast<std::uint64_t>(std::round(std::max(0.0, step)));
    if (const std::optional<StepHole> hole = clock_.hole_at(at)) {
        ui::text_colored(ctx.theme.warning, ctx.text.format("timeline.hole", {{"first", ctx.text.number(hole->first)},
                                                                              {"last", ctx.text.number(hole->last)}}));
    } else {
        ImGui::TextUnformatted(place_text(ctx, clock_.at(at)).c_str());
    }
    int hints = 0;
    const auto begin =
        std::lower_bound(marks_.begin(), marks_.end(), step - reach,
                         [](const TimelineMark& mark, double from) { return static_cast<double>(mark.step) < from; });
    for (auto mark = begin; mark != marks_.end() && static_cast<double>(mark->step) <= step + reach; ++mark) {
        if (mark->hole != TimelineMark::kNone) {
            continue;
        }
        if (++hints > kMostHints) {
            ui::text_dim(ctx, "\u2026");
            break;
        }
        ui::text_dim(ctx, mark_text(ctx, run, *mark));
    }
    ImGui::EndTooltip();
}

bool TimelinePanel::act(const std::string& action, Context& ctx) {
    if (action.rfind("timeline.", 0) != 0) {
        return false;
    }
    if (!prepare(ctx)) {
        return true;
    }
    std::optional<std::uint64_t>& position = ctx.selection.pinned_step;
    const std::uint64_t now = position.value_or(clock_.last());
    const auto jump = [&](std::span<const TimelineMark> marks) {
        if (marks.empty()) {
            return;
        }
        const TrainingRun* run = selected_run(ctx);
        const std::uint64_t step = std::max(marks.front().step, clock_.first());
        position = step >= clock_.last() ? std::nullopt : std::optional(step);
        std::string what;
        for (const TimelineMark& mark : marks) {
            what += (what.empty() ? std::string() : ctx.text("common.semicolon")) + mark_text(ctx, *run, mark);
        }
        ctx.notify(what, false);
    };
    if (action == "timeline.play") {
        if (playback_.playing()) {
            playback_.pause();
        } else {
            position = playback_.play(clock_, position);
        }
    } else if (action == "timeline.step_back" || action == "timeline.step_on") {
        playback_.pause();
        position = action == "timeline.step_on" ? step_after(clock_, position) : step_before(clock_, position);
    } else if (action == "timeline.event_back") {
        jump(marks_before(marks_, now));
    } else if (action == "timeline.event_on") {
        jump(marks_after(marks_, now));
    } else if (action == "timeline.first") {
        position = clock_.first();
    } else if (action == "timeline.faster") {
        playback_.speed = std::min(playback_.speed + 1, kPlaySpeeds.size() - 1);
    } else if (action == "timeline.slower") {
        playback_.speed -= playback_.speed > 0 ? 1 : 0;
    } else if (const char* step = ui::action_value(action, "timeline.position")) {
        position = step_near(clock_, std::strtod(step, nullptr));
    } else {
        return false;
    }
    keep_in_sight(ctx.selection);
    return true;
}

namespace {

bool has_steps(const Context& ctx) {
    const TrainingRun* run = selected_run(ctx);
    return run != nullptr && run->step.size() >= kLeastSteps;
}

bool is_behind(const Context& ctx) {
    return has_steps(ctx) && ctx.selection.pinned_step.has_value();
}

bool is_not_first(const Context& ctx) {
    return has_steps(ctx) &&
           (!ctx.selection.pinned_step || static_cast<double>(*ctx.selection.pinned_step) > selected_run(ctx)->step[0]);
}

ui::PanelCommand command(const char* key, int group, ImGuiKeyChord shortcut, bool (*available)(const Context&)) {
    return {.key = key, .menu = {"menu.timeline", group}, .shortcut = shortcut, .available = available};
}

}  // namespace

ui::PanelDescription describe_timeline() {
    using ui::Place;
    return {.key = "timeline",
            .make = ui::make_panel<TimelinePanel>,
            .stands = {{"training", Place::lower, 100, ui::Stand::Show::open}},
            .commands = {command("timeline.play", 0, ImGuiKey_F8, has_steps),
                         command("timeline.slower", 0, 0, has_steps), command("timeline.faster", 0, 0, has_steps),
                         command("timeline.step_back", 1, ImGuiKey_F7, is_not_first),
                         command("timeline.step_on", 1, ImGuiKey_F9, is_behind),
                         command("timeline.event_back", 1, ImGuiMod_Ctrl | ImGuiKey_F7, is_not_first),
                         command("timeline.event_on", 1, ImGuiMod_Ctrl | ImGuiKey_F9, is_behind),
                         command("timeline.first", 1, 0, is_not_first)},
            .strip = true};
}

}  // namespace moescope::panels
