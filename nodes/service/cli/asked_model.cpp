#include "nodes/service/cli/asked_model.hpp"

#include <chrono>

#include "nodes/service/cli/printed_library.hpp"
#include "nodes/service/library/machine.hpp"
#include "nodes/service/workers/worker_pool.hpp"

namespace moescope::node {

nlohmann::json ask_model(const Paths& paths, const std::string& model, const nlohmann::json& request,
                         const base::Sentence& doing, const OnPart& on_part) {
    constexpr std::chrono::milliseconds kPatience{700};
    HeldSignals signals;
    const std::filesystem::path path = PrintedLibrary(paths).resolve(model);
    WorkerPool workers(paths.program);
    nlohmann::json answer;
    run_until_signal(signals, [&](const std::atomic<bool>& stop) {
        auto lease = workers.acquire(model, path, stop);
        lease.open(cores(), stop);
        answer = lease->ask(request, doing, on_part, stop, kPatience);
    });
    if (!answer.value("complete", true)) {  // the model obeyed: what it gives is a part
        signals.stop_if_taken();
    }
    return answer;
}

}  // namespace moescope::node
