#include "app/open_session.hpp"

#include <algorithm>
#include <cfloat>
#include <imgui_internal.h>
#include <implot.h>
#include <string_view>
#include <utility>

#include "base/foreign_text.hpp"

namespace moescope::app {
namespace {

std::string last_part(const std::filesystem::path& folder) {
    return (folder.filename().empty() ? folder.parent_path() : folder).filename().string();
}

struct End {
    history::RunState state;
    base::Sentence message;
};

template <class Runs>
std::optional<End> end_in(const Runs& runs, std::uint32_t number) {
    const auto run = runs.find(number);
    if (run == runs.end() || !protocol::ended(run->second->state)) {
        return std::nullopt;
    }
    return End{run->second->state, run->second->message};
}

std::optional<End> end_of(const client::Snapshot& snapshot, std::uint32_t run) {
    std::optional<End> end = end_in(snapshot.training, run);
    if (!end) {
        end = end_in(snapshot.probes, run);
    }
    if (!end) {
        end = end_in(snapshot.routes, run);
    }
    return end ? end : end_in(snapshot.generations, run);
}

/// What shows something of a session; the manual is the same for all.
bool scrolls_with_session(const ImGuiWindow& window) {
    const std::string_view name = window.RootWindow->Name;
    return name.find("###panel.") != std::string_view::npos && name.find("###panel.manual") == std::string_view::npos;
}

}  // namespace

void ScrollMemory::keep() {
    places_.clear();
    for (const ImGuiWindow* window : ImGui::GetCurrentContext()->Windows) {
        const ImVec2 at = window->Scroll;
        if (scrolls_with_session(*window) && (at.x > 0 || at.y > 0)) {
            places_[window->ID] = {at.x, at.y > 0 && at.y >= window->ScrollMax.y ? FLT_MAX : at.y};
        }
    }
}

void ScrollMemory::before_frame() {
    if (due_ == 0) {
        return;
    }
    --due_;
    for (ImGuiWindow* window : ImGui::GetCurrentContext()->Windows) {
        // A panel that has just scrolled to something of its own knows better.
        if (!scrolls_with_session(*window) || (due_ == 0 && window->ScrollTarget.y != FLT_MAX)) {
            continue;
        }
        const auto kept = places_.find(window->ID);
        const ImVec2 at = kept == places_.end() ? ImVec2(0, 0) : kept->second;
        ImGui::SetScrollX(window, at.x);
        // FLT_MAX is Dear ImGui's word for "no wish".
        ImGui::SetScrollY(window, at.y == FLT_MAX ? 1e9f : at.y);
    }
}

PlotMemory::PlotMemory() {
    ImPlotContext* const in_use = ImPlot::GetCurrentContext();
    context_ = ImPlot::CreateContext();
    ImPlot::SetCurrentContext(in_use);
}

PlotMemory::~PlotMemory() {
    ImPlot::DestroyContext(context_);
}

void PlotMemory::use() const {
    if (ImPlot::GetCurrentContext() == context_) {
        return;
    }
    const ImPlotStyle style = ImPlot::GetStyle();
    ImPlot::SetCurrentContext(context_);
    ImPlot::GetStyle() = style;
}

std::string OpenSession::name() const {
    if (own()) {
        return base::shown_name(last_part(folder));
    }
    const std::string& there = snapshot->node.session;
    return there.empty() ? node : base::shown_name(last_part(there));
}

std::vector<ui::OpenedSession> opened_sessions(const OpenSessions& sessions, const OpenSession* front) {
    std::vector<ui::OpenedSession> told;
    for (const auto& session : sessions) {
        told.push_back({.id = session->id,
                        .name = session->name(),
                        .machine = session->own()                         ? std::string()
                                   : session->snapshot->node.name.empty() ? session->node
                                                                          : session->snapshot->node.name,
                        .place = session->place(),
                        .front = session.get() == front,
                        .snapshot = session->snapshot});
    }
    std::map<std::string, int> count;
    for (const ui::OpenedSession& one : told) {
        ++count[one.name];
    }
    for (std::size_t i = 0; i < told.size(); ++i) {
        if (count[told[i].name] < 2) {
            continue;
        }
        const std::string above =
            sessions[i]->own() ? base::shown_name(last_part(sessions[i]->folder.parent_path())) : told[i].machine;
        told[i].name = above + "/" + told[i].name;
    }
    return told;
}

std::vector<EndedRun> take_ended(KeptOfSession& kept, const client::Snapshot& snapshot) {
    for (const client::Task& task : snapshot.tasks) {
        if (task.run != 0) {
            kept.at_work[task.run] = task.title;
        }
    }
    std::vector<EndedRun> ended;
    for (auto it = kept.at_work.begin(); it != kept.at_work.end();) {
        const bool works = std::any_of(snapshot.tasks.begin(), snapshot.tasks.end(),
                                       [&](const client::Task& task) { return task.run == it->first; });
        const std::optional<End> end = works ? std::nullopt : end_of(snapshot, it->first);
        if (!end) {
            ++it;
            continue;
        }
        ended.push_back({it->second, end->state, end->message});
        it = kept.at_work.erase(it);
    }
    return ended;
}

}  // namespace moescope::app
