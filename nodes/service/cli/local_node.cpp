#include "nodes/service/cli/local_node.hpp"

namespace moescope::node {

void require_session(const std::filesystem::path& folder) {
    std::error_code error;
    if (!std::filesystem::exists(folder / "manifest.json", error) &&
        !std::filesystem::exists(folder / "segments", error)) {
        throw sessions::OpenError(sessions::OpenError::Why::no_session, base::say("there is no session at {}", folder));
    }
}

void require_session_to_resume(const std::filesystem::path& folder) {
    try {
        require_session(folder);
    } catch (const sessions::OpenError& error) {
        throw base::Error(
            base::say("{}, so nothing can be resumed; leave --resume out to begin one", error.sentence()));
    }
}

std::unique_ptr<sessions::Session> open_session(const std::filesystem::path& folder) {
    sessions::refuse_standard_output(folder);
    return sessions::Session::open(folder, sessions::Journal::Mode::read_write);
}

void wait_for(Job& job, HeldSignals& signals) {
    signals.watch_output();
    while (!job.finished()) {
        if (signals.taken_once(20)) {
            job.request_stop();
        }
    }
    job.wait();
}

std::optional<history::RunHeader> latest_run(const sessions::Journal& journal, protocol::RunKind kind) {
    std::optional<history::RunHeader> latest;
    const history::Session history = history::read_runs(journal);
    for (const auto& [number, run] : history.runs()) {
        if (run->kind == kind) {
            latest = *run;
        }
    }
    return latest;
}

std::vector<std::string> LocalNode::names(protocol::RunKind kind) const {
    std::vector<std::string> list;
    const history::Session history = history::read_runs(session->journal());
    for (const auto& [number, run] : history.runs()) {
        if (run->kind == kind) {
            list.push_back(run->name);
        }
    }
    return list;
}

}  // namespace moescope::node
