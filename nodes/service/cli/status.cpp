// moescope-node status: what a node is and does.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <fmt/format.h>
#include <memory>

#include "base/foreign_text.hpp"
#include "engine/model/machine_memory.hpp"
#include "nodes/service/cli/console.hpp"
#include "nodes/service/cli/remote_node.hpp"
#include "nodes/service/cli/subcommands.hpp"
#include "nodes/transport/node_address.hpp"

namespace moescope::node {

namespace {

using nlohmann::json;

constexpr const char* kUp = "up";  // as the node calls it when nothing is wrong

struct StatusCommand {
    std::string node;
    Wait wait;
    bool json = false;
};

template <class Runs>
void add_jobs(json& jobs, const Runs& runs, const char* kind) {
    for (const auto& [id, run] : runs) {
        if (!protocol::ended(run->state)) {
            jobs.push_back(
                {{"run", id}, {"kind", kind}, {"name", run->name}, {"state", protocol::run_state_name(run->state)}});
        }
    }
}

json jobs_of(const client::Snapshot& now) {
    json jobs = json::array();
    add_jobs(jobs, now.training, "train");
    for (json& job : jobs) {
        const history::TrainingRun& run = *now.training.at(job["run"].get<std::uint32_t>());
        job["step"] = run.step.empty() ? 0 : static_cast<std::uint64_t>(run.step.back());
        job["steps"] = run.planned_steps;
    }
    add_jobs(jobs, now.generations, "generate");
    add_jobs(jobs, now.probes, "probe");
    add_jobs(jobs, now.routes, "route");
    // Also those whose records can't be read: the journal is gone, or on its way.
    for (const client::Task& task : now.tasks) {
        const bool told =
            std::any_of(jobs.begin(), jobs.end(), [&](const json& job) { return job["run"] == task.run; });
        if (task.run != 0 && !told) {
            jobs.push_back({{"run", task.run}, {"kind", "task"}, {"name", task.title}, {"state", "running"}});
        }
    }
    return jobs;
}

json status_of(const client::Snapshot& now, const std::string& address) {
    json devices = json::array();
    for (const protocol::DeviceEntry& device : now.node.devices) {
        devices.push_back(protocol::to_json(device));
    }
    return {{"address", address},
            {"name", now.node.name},
            {"version", now.node.version},
            {"protocol", fmt::format("{}.{}", protocol::kMajor, protocol::kMinor)},
            {"session", now.node.session},
            {"state", now.node.state.english()},
            {"cpu", now.node.cpu},
            {"cores", now.node.cores},
            {"memory_total", now.node.memory_total},
            {"memory_used", now.node.memory_used},
            {"journal_bytes", now.node.journal_bytes},
            {"round_trip_ms", now.link.round_trip_ms},
            {"devices", devices},
            {"jobs", jobs_of(now)},
            {"models", now.models.size()}};
}

void print_status(const json& status) {
    fmt::print("{}: moescope-node {}, {}, {} cores, {} of memory, {:.1f} ms away\n",
               base::one_line(status["name"].get<std::string>()), base::one_line(status["version"].get<std::string>()),
               base::one_line(status["cpu"].get<std::string>()), status["cores"].get<int>(),
               engine::memory_text(status["memory_total"].get<std::uint64_t>()), status["round_trip_ms"].get<double>());
    fmt::print("session {}\n", base::one_line(status["session"].get<std::string>()));
    for (const json& job : status["jobs"]) {
        fmt::print("run {} ({}): {}, {}", job["run"].get<std::uint32_t>(), job["kind"].get<std::string>(),
                   base::one_line(job["name"].get<std::string>()), job["state"].get<std::string>());
        if (job.contains("step")) {
            fmt::print(", step {} of {}", job["step"].get<std::uint64_t>(), job["steps"].get<std::uint64_t>());
        }
        fmt::print("\n");
    }
    const std::string state = status["state"].get<std::string>();
    if (state != kUp && !state.empty()) {
        fmt::print("{}\n", base::one_line(state));
    } else if (status["jobs"].empty()) {
        fmt::print("nothing is running\n");
    }
}

int status_command(const Paths& paths, const StatusCommand& options) {
    HeldSignals signals;
    RemoteNode node(paths, options.node, options.wait);
    const auto now = node.greeted(signals);
    const json status = status_of(*now, transport::to_text(transport::parse_node_address(options.node)));
    if (options.json) {
        print_json(status);
    } else {
        print_status(status);
    }
    return 0;
}

}  // namespace

void add_status(CLI::App& app, Chosen& chosen) {
    const auto options = std::make_shared<StatusCommand>();
    auto* status = app.add_subcommand("status", "What a node is and does: jobs, devices, versions");
    add_node_option(*status, options->node, options->wait, "The node")->required();
    status->add_flag("--json", options->json, "JSON on standard output");
    status->callback([&chosen, options] {
        chosen.command = [options](const Paths& paths) { return status_command(paths, *options); };
    });
}

}  // namespace moescope::node
