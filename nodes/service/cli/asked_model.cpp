#include "nodes/service/cli/asked_model.hpp"

#include <chrono>

#include "nodes/service/cli/printed_library.hpp"
#include "nodes/service/library/command_error.hpp"
#include "nodes/service/library/machine.hpp"
#include "nodes/service/workers/worker_pool.hpp"

namespace moescope::node {

void add_device_option(CLI::App& command, std::string& device) {
    command
        .add_option(
            "--device", device,
            "What computes the model: cpu, or cuda:0 and so on (moescope-node devices); left out: what a model of "
            "our own was trained on, and the processor where that is not there and for a GGUF file")
        ->check(filled());
}

ModelSource on_device(ModelSource model, const std::string& device) {
    if (!device.empty() && model.is_server()) {
        throw CommandError(
            say("{} is computed by the program that serves it; leave out --device {}", model.string(), device));
    }
    model.device = device;
    return model;
}

void print_why_processor(const nlohmann::json& opened) {
    if (const base::Sentence why = why_processor(opened); !why.empty()) {
        print_warnings({why});
    }
}

nlohmann::json ask_model(const Paths& paths, const std::string& model, const std::string& device,
                         const nlohmann::json& request, const base::Sentence& doing, const OnPart& on_part) {
    constexpr std::chrono::milliseconds kPatience{700};
    HeldSignals signals;
    const ModelSource source = on_device(PrintedLibrary(paths).resolve(model), device);
    WorkerPool workers(paths.program);
    nlohmann::json answer;
    run_until_signal(signals, [&](const std::atomic<bool>& stop) {
        auto lease = workers.acquire(model, source, stop);
        print_why_processor(lease.open(cores(), stop));
        answer = lease->ask(request, doing, on_part, stop, kPatience);
    });
    if (!answer.value("complete", true)) {  // the model obeyed: what it gives is a part
        signals.stop_if_taken();
    }
    return answer;
}

}  // namespace moescope::node
