// The timeline on written sessions: it plays, is scrubbed and driven by keys, all panels show the step that it stands
// at, each session keeps its own place, and counts that the window holds no more come from the node.
#include <fmt/format.h>
#include <imgui_internal.h>

#include "nodes/protocol/records.hpp"
#include "tests/gui/harness.hpp"
#include "tests/gui/screen_text.hpp"
#include "tests/gui/written_session.hpp"

namespace moescope::gui_test {
namespace {

namespace fs = std::filesystem;
using Position = std::optional<std::uint64_t>;

constexpr const char* kStrip = "//###panel.timeline";

std::string item(const std::string& id) {
    return std::string(kStrip) + "/" + id;
}

std::string words(Harness& h, ImGuiTestContext* ctx, const char* window) {
    std::string all;
    for (const ScreenLine& line : h.screen(ctx)) {
        all += line.window == window ? squeezed(line.text) : "";
    }
    return all;
}

bool comes_to_say(Harness& h, ImGuiTestContext* ctx, const char* window, const std::string& text) {
    const bool found = h.wait(ctx, 20, [&] { return words(h, ctx, window).find(squeezed(text)) != std::string::npos; });
    if (!found) {
        ctx->LogError("%s does not say \"%s\"", window, text.c_str());
    }
    return found;
}

bool says(Harness& h, ImGuiTestContext* ctx, const char* window, const std::string& text) {
    return words(h, ctx, window).find(squeezed(text)) != std::string::npos;
}

Position& position(Harness& h) {
    return h.workbench().selection().pinned_step;
}

bool is_there(ImGuiTestContext* ctx) {
    const ImGuiWindow* window = ctx->GetWindowByRef(kStrip);
    return window != nullptr && window->Active;
}

void choose_speed(ImGuiTestContext* ctx, int speed) {
    ctx->ItemClick(item("###timeline.speed").c_str());
    ctx->ItemClick(fmt::format("//$FOCUSED/###timeline.speed.{}", speed).c_str());
    ctx->Yield(2);
}

constexpr int kRealTime = 2;  ///< index into kPlaySpeeds

/// `fraction` of the axis.
ImVec2 on_track(ImGuiTestContext* ctx, float fraction) {
    const ImRect rect = ctx->ItemInfo(item("###timeline.track").c_str()).RectFull;
    const float inset = 0.5f * ImGui::GetFontSize();
    return {rect.Min.x + inset + fraction * (rect.GetWidth() - 2 * inset), (rect.Min.y + rect.Max.y) / 2};
}

void play(Harness& h, ImGuiTestContext* ctx) {
    h.settle(ctx);
    const fs::path before = h.workbench().session(), folder = h.folder() / "replay";
    WrittenSession(folder, "Kavo", 11).write("T");
    IM_CHECK(h.open_session(ctx, folder, [&] { return h.snapshot().training.size() == 1; }));
    IM_CHECK(h.wait(ctx, 10, [&] { return h.training().step.size() == 40 && is_there(ctx); }));
    IM_CHECK(!position(h));
    IM_CHECK(comes_to_say(h, ctx, "panel.timeline", "step 40 / 40"));

    choose_speed(ctx, kRealTime);  // 40 steps of about 0.1 s
    ctx->ItemClick(item("###timeline.play").c_str());
    IM_CHECK(h.wait(ctx, 20, [&] { return position(h) && *position(h) >= 4; }));
    IM_CHECK(h.workbench().snapshot().training.size() == 1);
    ctx->KeyPress(ImGuiKey_Space);
    ctx->Yield(2);
    const Position stands = position(h);
    IM_CHECK(stands.has_value());
    const double paused = client::now_seconds();
    IM_CHECK(h.wait(ctx, 5, [&] { return client::now_seconds() > paused + 0.4; }));
    IM_CHECK(position(h) == stands);

    // Everything that shows "now" shows that step.
    const std::string step = fmt::format("step {}", *stands);
    IM_CHECK(comes_to_say(h, ctx, "panel.timeline", step + " / 40"));
    IM_CHECK(comes_to_say(h, ctx, "panel.training", step + " / 40"));
    IM_CHECK(comes_to_say(h, ctx, "panel.expert_load", step));

    // It plays to the newest step, and stops there.
    ctx->KeyPress(ImGuiKey_Space);
    IM_CHECK(h.wait(ctx, 20, [&] { return !position(h); }));
    IM_CHECK(comes_to_say(h, ctx, "panel.training", "step 40 / 40"));
    ctx->Yield(3);
    IM_CHECK(!position(h));
    IM_CHECK(h.open_session(ctx, before));
}

void scrub_and_keys(Harness& h, ImGuiTestContext* ctx) {
    h.settle(ctx);
    const fs::path before = h.workbench().session(), folder = h.folder() / "scrubbed";
    WrittenSession(folder, "Nelu", 12).write("T");
    IM_CHECK(h.open_session(ctx, folder, [&] { return h.snapshot().training.size() == 1; }));
    IM_CHECK(h.wait(ctx, 10, [&] { return h.training().step.size() == 40 && is_there(ctx); }));

    // Dragged along the axis, to the end and back before it is let go.
    ctx->MouseMoveToPos(on_track(ctx, 0.25f));
    ctx->MouseDown(0);
    ctx->Yield();
    IM_CHECK(position(h) == Position(11));  // 1 + 0.25 * 39 = 10.75
    ctx->MouseMoveToPos(on_track(ctx, 1));
    ctx->Yield();
    IM_CHECK(!position(h));
    ctx->MouseMoveToPos(on_track(ctx, 0.36f));
    ctx->Yield();
    ctx->MouseUp(0);
    IM_CHECK(position(h) == Position(15));
    IM_CHECK(comes_to_say(h, ctx, "panel.training", "step 15 / 40"));
    // The one sample until then; the others are of later steps.
    IM_CHECK(comes_to_say(h, ctx, "panel.knobs", h.training().samples[0].text));
    IM_CHECK(!says(h, ctx, "panel.knobs", h.training().samples[1].text));

    ctx->MouseMoveToPos(on_track(ctx, 0.7f));
    ctx->KeyPress(ImGuiKey_RightArrow);
    IM_CHECK(position(h) == Position(16));
    ctx->KeyPress(ImGuiKey_LeftArrow, 3);
    IM_CHECK(position(h) == Position(13));
    ctx->KeyPress(ImGuiKey_PageDown);  // the knob that was turned
    IM_CHECK(position(h) == Position(20));
    IM_CHECK(comes_to_say(h, ctx, "panel.knobs", h.training().samples[1].text));
    ctx->KeyPress(ImGuiKey_RightArrow);
    ctx->KeyPress(ImGuiKey_PageUp);
    IM_CHECK(position(h) == Position(20));
    ctx->KeyPress(ImGuiKey_PageUp);  // nothing before it
    IM_CHECK(position(h) == Position(20));
    ctx->KeyPress(ImGuiKey_Home);
    IM_CHECK(position(h) == Position(1));
    ctx->KeyPress(ImGuiKey_LeftArrow);
    IM_CHECK(position(h) == Position(1));
    IM_CHECK(comes_to_say(h, ctx, "panel.knobs", "had not written anything yet"));
    ctx->KeyPress(ImGuiKey_End);
    IM_CHECK(!position(h));
    // From anywhere.
    ctx->WindowFocus("//###panel.training");
    ctx->KeyPress(ImGuiKey_F7);
    IM_CHECK(position(h) == Position(39));
    ctx->KeyPress(ImGuiKey_F7);
    ctx->KeyPress(ImGuiKey_F9);
    IM_CHECK(position(h) == Position(39));
    ctx->KeyPress(ImGuiMod_Ctrl | ImGuiKey_F7);
    IM_CHECK(position(h) == Position(20));
    ctx->KeyPress(ImGuiKey_Escape);
    IM_CHECK(!position(h));
    ctx->ItemClick(item("###timeline.first").c_str());
    IM_CHECK(position(h) == Position(1));
    ctx->ItemClick(item("###timeline.live").c_str());
    IM_CHECK(!position(h));

    // In Chinese it says the same.
    h.workbench().command("timeline.first");
    h.workbench().set_language("zh");
    IM_CHECK(comes_to_say(h, ctx, "panel.timeline", "第 1 / 40 步"));
    h.workbench().set_language("en");
    // Closed, it is not there, and its commands work.
    h.workbench().show_panel("timeline", false);
    ctx->Yield(3);
    IM_CHECK(!is_there(ctx));
    h.workbench().command("timeline.step_on");
    IM_CHECK(position(h) == Position(2));
    h.workbench().show_panel("timeline");
    IM_CHECK(h.wait(ctx, 5, [&] { return is_there(ctx); }));
    IM_CHECK(h.open_session(ctx, before));
}

void sessions(Harness& h, ImGuiTestContext* ctx) {
    h.settle(ctx);
    const fs::path before = h.workbench().session(), first = h.folder() / "replay-a", second = h.folder() / "replay-b";
    WrittenSession(first, "Tovi", 13).write("T");
    WrittenSession(second, "Zeru", 14).write("T");
    const auto ready = [&] { return h.snapshot().training.size() == 1 && h.training().step.size() == 40; };
    IM_CHECK(h.open_session(ctx, first, ready));
    position(h) = 12;
    const std::uint64_t a = h.workbench().sessions().back()->id;
    h.workbench().open_session(second);
    IM_CHECK(h.wait(ctx, 60, [&] { return h.workbench().session() == second && ready(); }));
    const std::uint64_t b = h.workbench().sessions().back()->id;
    IM_CHECK(a != b);
    IM_CHECK(!position(h));
    // It plays here; while the other one is in front no time passes.
    IM_CHECK(h.wait(ctx, 10, [&] { return is_there(ctx); }));
    choose_speed(ctx, kRealTime);
    ctx->ItemClick(item("###timeline.play").c_str());
    IM_CHECK(h.wait(ctx, 20, [&] { return position(h) && *position(h) >= 2; }));
    ctx->ItemClick(fmt::format("//###panel.runs/session{}/###tab", a).c_str());
    IM_CHECK(h.wait(ctx, 10, [&] { return h.workbench().session() == first; }));
    IM_CHECK(position(h) == Position(12));
    IM_CHECK(comes_to_say(h, ctx, "panel.training", "step 12 / 40"));
    const double left = client::now_seconds();
    IM_CHECK(h.wait(ctx, 10, [&] { return client::now_seconds() > left + 5; }));  // longer than the run
    IM_CHECK(position(h) == Position(12));
    ctx->ItemClick(fmt::format("//###panel.runs/session{}/###tab", b).c_str());
    IM_CHECK(h.wait(ctx, 10, [&] { return h.workbench().session() == second; }));
    IM_CHECK(position(h).has_value());
    h.workbench().command("timeline.play");
    IM_CHECK(position(h).has_value());
    h.workbench().command("load.live");
    IM_CHECK(h.open_session(ctx, before));
}

/// A click on another run in the panel of runs, which is drawn before the timeline: of what happened there it knows
/// nothing yet in that frame.
void another_run(Harness& h, ImGuiTestContext* ctx) {
    h.settle(ctx);
    const fs::path before = h.workbench().session(), folder = h.folder() / "two-runs";
    const auto write = [&](const char* name, std::uint64_t steps, int events) {
        const auto session = sessions::Session::open(folder, sessions::Journal::Mode::read_write);
        const std::uint32_t run = session->new_run("train", name);
        const auto put = [&](protocol::RecordType type, const std::vector<std::byte>& body) {
            session->journal().append(static_cast<std::uint16_t>(type),
                                      static_cast<std::uint8_t>(protocol::channel_of(type)), 1, body);
        };
        put(protocol::RecordType::run_started,
            protocol::encode_json(
                {{"run", run}, {"kind", "train"}, {"name", name}, {"manifest", {{"steps", steps}, {"seed", 1}}}}));
        for (std::uint64_t n = 1; n <= steps; ++n) {
            protocol::StepRecord step;
            step.run = run;
            step.step = n;
            step.loss = step.cross_entropy = 3;
            step.step_ms = 10;
            put(protocol::RecordType::step, protocol::encode_step(step));
        }
        for (int i = 0; i < events; ++i) {
            put(protocol::RecordType::event,
                protocol::encode_json({{"run", run}, {"step", i}, {"kind", "checkpoint"}, {"text", "saved"}}));
        }
        put(protocol::RecordType::run_ended,
            protocol::encode_json({{"run", run}, {"state", "done"}, {"message", ""}, {"step", steps}}));
    };
    write("empty", 20, 0);
    write("eventful", 3000, 3000);
    IM_CHECK(h.open_session(ctx, folder, [&] { return h.snapshot().training.size() == 2; }));
    IM_CHECK(h.wait(ctx, 10, [&] { return h.training().events.size() == 3000; }));
    const std::uint32_t first = h.snapshot().training.begin()->first, second = h.training().id;
    for (const std::uint32_t run : {first, second, first}) {
        ctx->ItemClick(fmt::format("//###panel.runs/**/###run{}", run).c_str());
        IM_CHECK(h.wait(ctx, 5, [&] { return h.workbench().selection().training_run == run; }));
        IM_CHECK(comes_to_say(h, ctx, "panel.timeline", run == first ? "step 20 / 20" : "step 3,000 / 3,000"));
    }
    IM_CHECK(h.open_session(ctx, before));
}

/// The line of the position in a plot is taken with the mouse and moved; all panels follow while it is held.
void drag_in_a_plot(Harness& h, ImGuiTestContext* ctx) {
    h.settle(ctx);
    const fs::path before = h.workbench().session(), folder = h.folder() / "dragged";
    WrittenSession(folder, "Miro", 15).write("T");
    IM_CHECK(h.open_session(ctx, folder, [&] { return h.snapshot().training.size() == 1; }));
    IM_CHECK(h.wait(ctx, 10, [&] { return h.training().step.size() == 40 && is_there(ctx); }));
    ui::Selection& selection = h.workbench().selection();
    position(h) = 10;
    ctx->Yield(4);
    // Where a step is: under the mouse, as the plots themselves say it.
    const ImRect title = ctx->ItemInfo("//###panel.training/**/training.loss/###title").RectFull;
    const float letter = ImGui::GetFontSize(), y = title.Max.y + 4 * letter;
    const auto step_at = [&](float x) {
        ctx->MouseMoveToPos({x, y});
        ctx->Yield(2);
        return selection.hovered_step;
    };
    const float left = title.Min.x + 8 * letter, right = left + 6 * letter;
    const auto low = step_at(left), high = step_at(right);
    IM_CHECK(low && high && *high > *low);
    const auto x_of = [&](double step) {
        return left + static_cast<float>((step - *low) / (*high - *low)) * (right - left);
    };
    const double min = selection.step_min, max = selection.step_max;
    ctx->MouseMoveToPos({x_of(10), y});
    ctx->Yield(2);
    ctx->MouseDown(0);
    ctx->Yield(2);
    ctx->MouseMoveToPos({x_of(16), y});
    ctx->Yield(2);
    IM_CHECK(position(h) == Position(16));
    IM_CHECK(comes_to_say(h, ctx, "panel.timeline", "step 16 / 40"));
    ctx->MouseMoveToPos({x_of(5), y});
    ctx->Yield(2);
    ctx->MouseUp(0);
    ctx->Yield(2);
    IM_CHECK(position(h) == Position(5));
    IM_CHECK(comes_to_say(h, ctx, "panel.expert_load", "step 5"));
    // The plot itself has not moved, and beside the line the mouse moves the plot and not the position.
    IM_CHECK_EQ(selection.step_min, min);
    IM_CHECK_EQ(selection.step_max, max);
    ctx->MouseMoveToPos({x_of(14), y});
    ctx->MouseDown(0);
    ctx->Yield(2);
    ctx->MouseMoveToPos({x_of(18), y});
    ctx->Yield(2);
    ctx->MouseUp(0);
    ctx->Yield(2);
    IM_CHECK(position(h) == Position(5));
    IM_CHECK(h.open_session(ctx, before));
}

constexpr std::uint64_t kLong = 4400;  ///< steps: more than the window keeps counts of (history::kCountHistory)

/// In step n the first expert of layer 0 gets n tokens more than each of the others.
void write_long_run(const fs::path& folder) {
    const auto session = sessions::Session::open(folder, sessions::Journal::Mode::read_write);
    const std::uint32_t run = session->new_run("train", "long");
    const auto put = [&](protocol::RecordType type, const std::vector<std::byte>& body) {
        session->journal().append(static_cast<std::uint16_t>(type),
                                  static_cast<std::uint8_t>(protocol::channel_of(type)), 1, body);
    };
    put(protocol::RecordType::run_started,
        protocol::encode_json(
            {{"run", run}, {"kind", "train"}, {"name", "long"}, {"manifest", {{"steps", kLong}, {"seed", 1}}}}));
    for (std::uint64_t n = 1; n <= kLong; ++n) {
        protocol::StepRecord step;
        step.run = run;
        step.step = n;
        step.loss = step.cross_entropy = 3;
        step.step_ms = 10;
        step.layers = 1;
        step.experts = 4;
        step.top_k = 1;
        step.router_entropy = {n == 52 ? 0.777f : 0.5f};
        step.counts = {static_cast<std::uint32_t>(1000 + n), 1000, 1000, 1000, 0, 0, 0, 0};
        put(protocol::RecordType::step, protocol::encode_step(step));
    }
    put(protocol::RecordType::run_ended,
        protocol::encode_json({{"run", run}, {"state", "done"}, {"message", ""}, {"step", kLong}}));
}

/// Zoomed in to steps that are not kept, the history reads them; a note on one of them stands there, too.
void old_history(Harness& h, ImGuiTestContext* ctx) {
    ui::Selection& selection = h.workbench().selection();
    const double min = selection.step_min, max = selection.step_max;
    selection.follow = false;
    selection.step_min = 40;
    selection.step_max = 60;
    h.workbench().client().send(
        "notes.add",
        {{"on", {{"kind", "step"}, {"run", h.training().id}, {"step", 56}}}, {"text", "an old step"}, {"author", ""}});
    IM_CHECK(h.wait(ctx, 10, [&] { return h.snapshot().notes->size() == 1; }));
    const auto hover = [&](double step) {
        const ImRect rows = ctx->ItemInfo("//###panel.expert_load/**/###load.rows").RectFull;
        ctx->MouseMoveToPos({rows.Min.x + 0.1f * rows.GetWidth(),
                             rows.Min.y + static_cast<float>((step + 0.5 - 40) / 20) * rows.GetHeight()});
        ctx->Yield(3);
    };
    const auto tip = [&] {
        std::string all;
        for (const ScreenLine& line : h.screen(ctx)) {
            all += line.window.find("panel.") == std::string::npos ? squeezed(line.text) : "";
        }
        return all;
    };
    hover(45);
    IM_CHECK(h.wait(ctx, 20, [&] { return tip().find("1,045") != std::string::npos; }));
    IM_CHECK(tip().find("anoldstep") == std::string::npos);
    hover(56);
    IM_CHECK(h.wait(ctx, 10, [&] { return tip().find("1,056") != std::string::npos; }));
    IM_CHECK(tip().find("anoldstep") != std::string::npos);
    ctx->MouseMoveToPos({2, 2});
    selection.step_min = min;
    selection.step_max = max;
    selection.follow = true;
}

void old_counts(Harness& h, ImGuiTestContext* ctx) {
    h.settle(ctx);
    const fs::path before = h.workbench().session(), folder = h.folder() / "long";
    write_long_run(folder);
    IM_CHECK(h.open_session(ctx, folder,
                            [&] { return h.snapshot().training.size() == 1 && h.training().step.size() == kLong; }));
    IM_CHECK(h.training().counts.size() < kLong);
    IM_CHECK(h.training().counts.front()->step > 100);
    position(h) = 52;
    IM_CHECK(comes_to_say(h, ctx, "panel.expert_load", "step 52"));
    // Not the nearest that is held, but its own counts: the bar of the first expert is (1000 + 52) / 4052 of all.
    IM_CHECK(h.wait(ctx, 20, [&] { return !says(h, ctx, "panel.expert_load", "until"); }));
    IM_CHECK(!says(h, ctx, "panel.expert_load", "nearest"));
    h.workbench().selection().layer = 0;
    IM_CHECK(comes_to_say(h, ctx, "panel.expert_load", "0.0385"));  // 4 * 1052 / 4052 - 1: its MaxVio
    IM_CHECK(comes_to_say(h, ctx, "panel.expert_load", "0.777"));   // its router's entropy
    old_history(h, ctx);
    ctx->KeyPress(ImGuiKey_F9);
    IM_CHECK(comes_to_say(h, ctx, "panel.expert_load", "step 53"));
    position(h) = 4390;
    IM_CHECK(comes_to_say(h, ctx, "panel.expert_load", "step 4,390"));
    h.workbench().command("load.live");
    IM_CHECK(comes_to_say(h, ctx, "panel.expert_load", "step 4,400"));
    IM_CHECK(h.open_session(ctx, before));
}

}  // namespace

void register_timeline(Harness& harness) {
    harness.add("timeline", "a run plays again", [&harness](ImGuiTestContext* ctx) { play(harness, ctx); });
    harness.add("timeline", "scrubbed and driven by keys",
                [&harness](ImGuiTestContext* ctx) { scrub_and_keys(harness, ctx); });
    harness.add("timeline", "each session keeps its place",
                [&harness](ImGuiTestContext* ctx) { sessions(harness, ctx); });
    harness.add("timeline", "another run is chosen", [&harness](ImGuiTestContext* ctx) { another_run(harness, ctx); });
    harness.add("timeline", "the position is dragged in a plot",
                [&harness](ImGuiTestContext* ctx) { drag_in_a_plot(harness, ctx); });
    harness.add("timeline", "old counts come from the node",
                [&harness](ImGuiTestContext* ctx) { old_counts(harness, ctx); });
}

}  // namespace moescope::gui_test
