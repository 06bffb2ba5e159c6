#include "nodes/service/cli/asked_model.hpp"

#include <chrono>
#include <thread>

#include "nodes/service/cli/console.hpp"
#include "nodes/service/library/machine.hpp"
#include "nodes/service/library/model_library.hpp"
#include "nodes/service/workers/worker_pool.hpp"

namespace moescope::node {

nlohmann::json ask_model(const Paths& paths, const std::string& model, const nlohmann::json& request,
                         const base::Sentence& doing, const std::function<void(std::span<const std::byte>)>& on_lines) {
    constexpr std::chrono::milliseconds kPatience{700};
    HeldSignals signals;
    const ModelLibrary models(paths);
    const std::filesystem::path path = models.resolve(model);
    WorkerPool workers(paths.program);
    std::atomic<bool> cancel{false}, finished{false};
    std::exception_ptr failure;
    nlohmann::json answer;
    std::thread asking([&] {
        try {
            auto lease = workers.acquire(model, path, cancel);
            lease.open(cores(), cancel);
            answer = lease->ask(request, doing, on_lines, cancel, kPatience);
        } catch (...) {
            failure = std::current_exception();
        }
        finished = true;
    });
    while (!finished) {
        if (signals.taken(10)) {
            cancel = true;
        }
    }
    asking.join();
    if (cancel) {
        throw base::Error(base::say("stopped by a signal"));
    }
    if (failure) {
        std::rethrow_exception(failure);
    }
    return answer;
}

}  // namespace moescope::node
