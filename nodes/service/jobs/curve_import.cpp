#include "nodes/service/jobs/curve_import.hpp"

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <utility>

#include "base/error.hpp"
#include "base/foreign_text.hpp"
#include "nodes/history/run_title.hpp"
#include "nodes/service/library/command_error.hpp"

namespace moescope::node {

using nlohmann::json;
using protocol::RecordType;
using protocol::RunState;

namespace {

constexpr std::size_t kMostNotes = 50, kMostFiles = 100;  // in a manifest, which is one record

/// "NAME" of a single run; of several "NAME/train", with what their own names have behind the folder they share.
std::string name_of(const curves::ReadRun& run, const std::string& name, bool alone) {
    if (name.empty()) {
        return run.name;
    }
    const auto slash = run.name.find('/');
    return base::shown_name(alone ? name
                                  : name + "/" + (slash == std::string::npos ? run.name : run.name.substr(slash + 1)));
}

json manifest_of(const curves::ReadRun& run) {
    json files = json::array();
    for (std::size_t i = 0; i < std::min(run.files.size(), kMostFiles); ++i) {
        files.push_back(base::one_line(run.files[i].filename().string()));
    }
    const auto notes = run.notes.begin();
    return {
        {"source", base::one_line(std::filesystem::absolute(run.source).lexically_normal().string())},
        {"format", run.format},
        {"files", std::move(files)},
        {"curves", run.curves.size()},
        {"points", run.points()},
        {"notes", sentences_json({notes, notes + static_cast<std::ptrdiff_t>(std::min(run.notes.size(), kMostNotes))})},
        {"program_version", MOESCOPE_VERSION}};
}

/// False when it was stopped.
bool write_curve(RecordSink& sink, std::uint32_t run, std::uint16_t number, const curves::Series& series,
                 const std::function<bool()>& stop) {
    const std::atomic<bool> never{false};
    const bool with_times = series.has_times();
    for (std::size_t first = 0; first < series.steps.size(); first += protocol::kCurvePiecePoints) {
        if (stop()) {
            return false;
        }
        const auto begin = static_cast<std::ptrdiff_t>(first);
        const auto end =
            static_cast<std::ptrdiff_t>(std::min(first + protocol::kCurvePiecePoints, series.steps.size()));
        protocol::CurveRecord piece{run, number, series.name, series.key, series.unit, {}, {}, {}};
        piece.steps.assign(series.steps.begin() + begin, series.steps.begin() + end);
        piece.values.assign(series.values.begin() + begin, series.values.begin() + end);
        if (with_times) {
            piece.wall_times.assign(series.wall_times.begin() + begin, series.wall_times.begin() + end);
        }
        sink.write_waiting(RecordType::curve, protocol::encode_curve(piece), never);
        if (const Sentence problem = sink.problem(); !problem.empty()) {
            throw base::Error(problem);
        }
    }
    return true;
}

}  // namespace

std::vector<AddedRun> add_imported_runs(sessions::Session& session, RecordSink& sink,
                                        const std::vector<curves::ReadRun>& runs, const std::string& name,
                                        const std::function<bool()>& stop) {
    const char* kind = protocol::run_kind_name(protocol::RunKind::imported);
    std::vector<AddedRun> added;
    for (const curves::ReadRun& run : runs) {
        AddedRun one;
        one.name = name_of(run, name, runs.size() == 1);
        one.run = session.new_run(kind, one.name);
        sink.write_json(RecordType::run_started,
                        {{"run", one.run}, {"kind", kind}, {"name", one.name}, {"manifest", manifest_of(run)}});
        for (const curves::Series& series : run.curves) {
            if (!write_curve(sink, one.run, static_cast<std::uint16_t>(one.curves), series, stop)) {
                one.stopped = true;
                break;
            }
            ++one.curves;
            one.points += series.steps.size();
        }
        const RunState state = one.stopped ? RunState::stopped : RunState::done;
        sink.write_json(RecordType::run_ended,
                        {{"run", one.run}, {"state", protocol::run_state_name(state)}, {"step", 0}});
        sink.log_end(
            "curves", state,
            {say("{}: {} curves with {} values were imported", history::quoted(one.name), one.curves, one.points),
             say("the import of {} was stopped", history::quoted(one.name)),
             {}});
        added.push_back(std::move(one));
        if (added.back().stopped) {
            break;
        }
    }
    return added;
}

json to_json(const std::vector<AddedRun>& runs) {
    json list = json::array();
    for (const AddedRun& run : runs) {
        list.push_back({{"run", run.run}, {"name", run.name}, {"curves", run.curves}, {"points", run.points}});
    }
    return {{"runs", std::move(list)}};
}

}  // namespace moescope::node
