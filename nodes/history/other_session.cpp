#include "nodes/history/other_session.hpp"

#include <algorithm>
#include <exception>
#include <limits>
#include <system_error>

#include "base/foreign_text.hpp"
#include "nodes/history/journal_reader.hpp"
#include "sessions/session.hpp"

namespace moescope::history {

namespace fs = std::filesystem;
using base::say;

namespace {

constexpr std::size_t kMostBeside = 200;

/// Steps whose counts may be kept of each run while the journal is read: the shapes stand in the runs, which have been
/// read without counts.
std::size_t counts_within(const Session& history, std::size_t most_bytes) {
    std::size_t each = 0;  // bytes of one step of every run
    for (const auto& [id, run] : history.trainings()) {
        each += sizeof(std::uint32_t) * protocol::kTextLanguages * run.value.layers * run.value.experts;
    }
    return each == 0 ? 0 : std::clamp<std::size_t>(most_bytes / each, 1, kCountHistory);
}

void read_runs_of(OtherSession& result, const sessions::Session& session, const Session& history) {
    for (const auto& [id, training] : history.trainings()) {
        if (training.value.step.empty()) {
            continue;
        }
        auto run = std::make_shared<TrainingRun>(training.value);
        LoadSeriesReader loads;
        (void)loads.update(*run, std::numeric_limits<std::size_t>::max() / 2);
        run->counts = thinned(run->counts, kOtherCounts);
        run->state = present_state(session, run->state);
        result.runs.push_back({std::move(run), std::make_shared<const LoadSeries>(loads.series())});
    }
}

}  // namespace

OtherSession read_other_session(const fs::path& folder, std::size_t most_bytes) {
    OtherSession result;
    result.folder = folder;
    const fs::path last = folder.filename().empty() ? folder.parent_path().filename() : folder.filename();
    result.name = base::shown_name(last.string());
    try {
        const auto session = sessions::Session::open(folder, sessions::Journal::Mode::read_only);
        ReadOptions options{.channels = {protocol::Channel::events, protocol::Channel::metrics}};
        options.keep.counts = 0;
        const std::size_t counts = counts_within(read_session(session->journal(), options), most_bytes);
        options.keep.counts = counts;
        read_runs_of(result, *session, read_session(session->journal(), options));
        if (const auto problems = session->problems(); !problems.empty()) {
            result.problem = problems.front();
        } else if (result.runs.empty()) {
            result.problem = say("the session {} has no training run with a step", folder);
        }
    } catch (const std::bad_alloc&) {
        result.runs.clear();
        result.problem = say("there is not enough memory for this");
    } catch (const std::exception& error) {
        result.runs.clear();
        result.problem = base::sentence_of(error);
    }
    return result;
}

std::vector<fs::path> sessions_beside(const fs::path& session) {
    std::vector<fs::path> found;
    std::error_code error;
    const fs::path self = fs::weakly_canonical(session, error);
    for (fs::directory_iterator entry(self.parent_path(), error), end; !error && entry != end; entry.increment(error)) {
        std::error_code ignored;
        const fs::path& path = entry->path();
        if (path != self && fs::is_directory(path / "segments", ignored) &&
            fs::exists(path / "manifest.json", ignored)) {
            found.push_back(path);
        }
    }
    std::sort(found.begin(), found.end());
    if (found.size() > kMostBeside) {  // the newest are the last: names begin with the date
        found.erase(found.begin(), found.end() - static_cast<std::ptrdiff_t>(kMostBeside));
    }
    return found;
}

SharedList<std::shared_ptr<const StepCounts>> thinned(const SharedList<std::shared_ptr<const StepCounts>>& counts,
                                                      std::size_t count) {
    if (counts.size() <= count) {
        return counts;
    }
    SharedList<std::shared_ptr<const StepCounts>> kept;
    for (std::size_t i = 1; i <= count; ++i) {
        kept.push_back(counts[counts.size() * i / count - 1]);
    }
    return kept;
}

}  // namespace moescope::history
