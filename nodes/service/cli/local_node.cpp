#include "nodes/service/cli/local_node.hpp"

namespace moescope::node {

void wait_for(Job& job, HeldSignals& signals) {
    while (!job.finished())
        if (signals.taken(20))
            job.request_stop();
    job.wait();
}

std::optional<history::KnownRun> latest_run(const sessions::Journal& journal, const std::string& kind) {
    std::optional<history::KnownRun> latest;
    for (const auto& [number, run] : history::read_runs(journal))
        if (run.kind == kind)
            latest = run;
    return latest;
}

}  // namespace moescope::node
