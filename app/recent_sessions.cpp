#include "app/recent_sessions.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <system_error>

#include "base/foreign_text.hpp"
#include "nodes/history/main_loss.hpp"
#include "panels/ui/floating.hpp"
#include "panels/ui/text_layout.hpp"
#include "panels/ui/units.hpp"
#include "panels/ui/widgets.hpp"

namespace moescope::app {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMostFiles = 20'000;     ///< of a folder whose size is asked
constexpr float kRow = 2.9f, kPicture = 5.5f;  ///< em

/// The main loss of a run in a few points, each the mean of a part of its steps.
std::vector<float> small_curve(const history::TrainingRun& run) {
    const history::Column& loss = history::main_loss(run);
    std::vector<float> points;
    const std::size_t count = std::min(loss.size(), KnownSession::kCurve);
    for (std::size_t i = 0; i < count; ++i) {
        double sum = 0, known = 0;
        for (std::size_t at = i * loss.size() / count; at < (i + 1) * loss.size() / count; ++at) {
            if (std::isfinite(loss[at])) {
                sum += loss[at];
                known += 1;
            }
        }
        if (known > 0) {
            points.push_back(static_cast<float>(sum / known));
        }
    }
    return points;
}

std::int64_t now_on_the_wall() {
    return std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch())
        .count();
}

void draw_picture(const ui::Context& ctx, const std::vector<float>& curve, ImVec2 low, ImVec2 high) {
    ImDrawList& draw = *ImGui::GetWindowDrawList();
    draw.AddRectFilled(low, high, ImGui::GetColorU32(ImGuiCol_FrameBg), ImGui::GetStyle().FrameRounding);
    if (curve.size() < 2) {
        const ImVec2 size = ImGui::CalcTextSize(ui::icon::file);
        draw.AddText({(low.x + high.x - size.x) / 2, (low.y + high.y - size.y) / 2},
                     ImGui::GetColorU32(ctx.theme.text_dim), ui::icon::file);
        return;
    }
    const auto [least, most] = std::minmax_element(curve.begin(), curve.end());
    const float edge = 0.25f * ctx.em, span = std::max(*most - *least, 1e-6f);
    std::vector<ImVec2> points;
    for (std::size_t i = 0; i < curve.size(); ++i) {
        const float x = static_cast<float>(i) / static_cast<float>(curve.size() - 1), y = (curve[i] - *least) / span;
        points.push_back(
            {low.x + edge + x * (high.x - low.x - 2 * edge), high.y - edge - y * (high.y - low.y - 2 * edge)});
    }
    draw.AddPolyline(points.data(), static_cast<int>(points.size()), ImGui::GetColorU32(ctx.theme.accent), 1.5f);
}

bool is_open(const ui::Context& ctx, const KnownSession& session) {
    return std::any_of(ctx.sessions.open.begin(), ctx.sessions.open.end(),
                       [&](const ui::OpenedSession& open) { return open.place == session.folder; });
}

}  // namespace

bool RecentSessions::any(const ui::Context& ctx, const std::vector<KnownSession>& list) {
    return std::any_of(list.begin(), list.end(), [&](const KnownSession& one) { return !is_open(ctx, one); });
}

KnownSession known_session(const fs::path& folder, const client::Snapshot& snapshot, const KnownSession& before) {
    KnownSession session = before;
    session.folder = folder.string();
    session.seen = now_on_the_wall();
    const std::size_t runs =
        snapshot.training.size() + snapshot.generations.size() + snapshot.probes.size() + snapshot.routes.size();
    session.runs = std::max<std::uint64_t>(session.runs, runs);
    for (auto run = snapshot.training.rbegin(); run != snapshot.training.rend(); ++run) {
        if (std::vector<float> curve = small_curve(*run->second); curve.size() > 1) {
            session.curve = std::move(curve);
            break;
        }
    }
    return session;
}

void remember_session(std::vector<KnownSession>& list, KnownSession session) {
    std::erase_if(list, [&](const KnownSession& one) { return one.folder == session.folder; });
    list.insert(list.begin(), std::move(session));
    list.resize(std::min(list.size(), Settings::kSessions));
}

std::map<std::string, RecentSessions::Found> RecentSessions::look_at(const std::vector<std::string>& folders) {
    std::map<std::string, Found> all;
    for (const std::string& folder : folders) {
        Found& found = all[folder];
        found.there = holds_session(folder);
        std::error_code error;
        std::size_t files = 0;
        for (fs::recursive_directory_iterator it(folder, error), end; !error && it != end && files < kMostFiles;
             it.increment(error), ++files) {
            std::error_code ignored;
            if (it->is_regular_file(ignored) && !it->is_symlink(ignored)) {
                const std::uintmax_t bytes = it->file_size(ignored);
                found.bytes += ignored ? 0 : bytes;
            }
        }
    }
    return all;
}

std::size_t RecentSessions::draw_rows(const ui::Context& ctx, const std::vector<KnownSession>& list,
                                      const Actions& actions, float width, std::size_t most) {
    if (!asked_) {
        asked_ = true;
        std::vector<std::string> folders;
        for (const KnownSession& session : list) {
            folders.push_back(session.folder);
        }
        actions.look(std::move(folders));
    }
    std::string chosen, forgotten;
    std::size_t count = 0;
    const float left = ImGui::GetCursorPosX();
    for (const KnownSession& session : list) {
        if (is_open(ctx, session) || count++ >= most) {
            continue;
        }
        const auto found = found_.find(session.folder);
        const bool gone = found != found_.end() && !found->second.there;
        const char* forget = ctx.text.label("recent.forget");
        ImGui::PushID(session.folder.c_str());
        ImGui::SetCursorPosX(left);
        const ImVec2 at = ImGui::GetCursorScreenPos(), pos = ImGui::GetCursorPos();
        const std::string id = "###recent." + std::to_string(count - 1);
        ImGui::BeginDisabled(gone);
        if (ImGui::Selectable(id.c_str(), false, ImGuiSelectableFlags_AllowOverlap, {width, kRow * ctx.em})) {
            chosen = session.folder;
        }
        ImGui::EndDisabled();
        ui::tooltip(session.folder);
        const ImVec2 after = ImGui::GetCursorPos();
        const float edge = 0.3f * ctx.em;
        draw_picture(ctx, session.curve, {at.x + edge, at.y + edge},
                     {at.x + kPicture * ctx.em, at.y + kRow * ctx.em - edge});
        const float x = at.x + (kPicture + 0.7f) * ctx.em,
                    room = width - (kPicture + 1.2f) * ctx.em - (gone ? ui::button_width(forget) : 0);
        std::string line = ui::moment_text(static_cast<std::uint64_t>(session.seen) * 1'000'000'000);
        if (gone) {
            line = ctx.text("recent.gone");
        } else {
            if (found != found_.end()) {
                line += " \u00b7 " + ui::bytes_text(ctx.text, found->second.bytes);
            }
            line += " \u00b7 " + ctx.text.format("recent.runs", {{"n", ctx.text.number(session.runs)}});
        }
        const std::string name = base::shown_name(fs::path(session.folder).filename().string());
        ImDrawList& draw = *ImGui::GetWindowDrawList();
        const float y = at.y + (kRow * ctx.em - 2 * ImGui::GetTextLineHeight() - 0.15f * ctx.em) / 2;
        draw.AddText({x, y}, ImGui::GetColorU32(gone ? ctx.theme.text_dim : ctx.theme.text),
                     ui::elided_middle(name, room).c_str());
        draw.AddText({x, y + ImGui::GetTextLineHeight() + 0.15f * ctx.em}, ImGui::GetColorU32(ctx.theme.text_dim),
                     ui::elided(line, room).c_str());
        if (gone) {
            ImGui::SetCursorPos(
                {pos.x + width - ui::button_width(forget), pos.y + (kRow * ctx.em - ImGui::GetFrameHeight()) / 2});
            if (ImGui::Button(forget)) {
                forgotten = session.folder;
            }
            ImGui::SetCursorPos(after);
            ImGui::Dummy({0, 0});
            ImGui::SetCursorPos(after);
        }
        ImGui::PopID();
    }
    if (!chosen.empty()) {
        actions.open(chosen);
    }
    if (!forgotten.empty()) {
        actions.forget(forgotten);
    }
    return count;
}

void RecentSessions::draw(const ui::Context& ctx, const std::vector<KnownSession>& list, const Actions& actions) {
    if (!open_) {
        return;
    }
    Actions closing = actions;
    closing.open = [&](const std::string& folder) {
        open_ = false;
        actions.open(folder);
    };
    if (ui::begin_floating(ctx, ctx.text.label("recent.list"), open_, {.size = {34, 24}, .least = {18, 8}})) {
        if (draw_rows(ctx, list, closing, ImGui::GetContentRegionAvail().x, Settings::kSessions) == 0) {
            ui::text_wrapped(ctx.text("recent.none"), ctx.theme.text_dim);
        }
    }
    ImGui::End();
    if (!open_) {
        forget_found();
    }
}

}  // namespace moescope::app
