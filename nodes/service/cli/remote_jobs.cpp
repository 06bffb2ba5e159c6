#include "nodes/service/cli/remote_jobs.hpp"

#include <algorithm>
#include <cstdio>
#include <fmt/format.h>

#include "base/error.hpp"
#include "base/json_fields.hpp"
#include "base/text.hpp"
#include "engine/model/config.hpp"
#include "nodes/protocol/run_state.hpp"
#include "nodes/service/cli/console.hpp"
#include "nodes/service/cli/remote_node.hpp"
#include "nodes/service/cli/training_output.hpp"
#include "nodes/service/commands/service.hpp"
#include "nodes/service/library/command_error.hpp"
#include "nodes/transport/node_address.hpp"

namespace moescope::node {

using base::say;
using nlohmann::json;
using protocol::RunState;

namespace {

/// Of the file, or of the node's preset, with the options in it.
json config_of(const TrainOptions& options, const client::Snapshot& now) {
    json config;
    if (!options.config.empty()) {
        config = engine::to_json(read_run_config(options.config));
    } else {
        for (const json& preset : base::member(*now.catalogue, "presets")) {
            if (base::text_of(preset, "name") == options.preset) {
                config = base::member(preset, "config");
            }
        }
        if (config.is_null()) {
            throw base::Error(say("the node has no preset '{}'", options.preset));
        }
    }
    json& train = config["train"];
    if (options.steps) {
        train["steps"] = *options.steps;
    }
    if (options.seed) {
        train["seed"] = *options.seed;
    }
    if (options.threads) {
        train["threads"] = *options.threads;
    }
    if (options.device) {
        train["device"] = *options.device;
    }
    return config;
}

/// The values of one step as its record had them.
protocol::StepRecord step_at(const history::TrainingRun& run, std::size_t i) {
    protocol::StepRecord step;
    step.run = run.id;
    step.step = static_cast<std::uint64_t>(run.step[i]);
    step.tokens_total = run.tokens_total;
    for (std::size_t row = 0; row < base::kStepValueCount; ++row) {
        value_of(step, base::kStepValues[row]) = run.values[row][i];
    }
    return step;
}

std::uint64_t steps_of(const history::TrainingRun& run) {
    return run.step.empty() ? 0 : static_cast<std::uint64_t>(run.step.back());
}

json final_line(const history::TrainingRun& run) {
    const auto last = [&](double base::StepValues::*member) {
        return run.step.empty() ? json() : number_or_null(run[member].back());
    };
    return {{"done", run.state == RunState::done},
            {"state", protocol::run_state_name(run.state)},
            {"run", run.id},
            {"steps", steps_of(run)},
            {"loss", last(&base::StepValues::loss)},
            {"cross_entropy", last(&base::StepValues::cross_entropy)},
            {"parameters_sha256", run.parameters_sha256.empty() ? json() : json(run.parameters_sha256)}};
}

/// Follows work that is of use to nobody but this command; a signal ends it there, and its last records are waited for.
std::shared_ptr<const client::Snapshot> follow(RemoteNode& node, HeldSignals& signals,
                                               const std::function<bool(const client::Snapshot&)>& look,
                                               const char* stop, std::uint32_t run) {
    constexpr double kPatience = 10;  // seconds
    try {
        return node.wait(signals, look);
    } catch (const Stopped&) {
        node.client().send(stop, {{"run", run}});
        bool ended = false;
        auto now = node.wait_for(kPatience, [&](const client::Snapshot& snapshot) {
            ended = look(snapshot);
            return ended;
        });
        if (!ended) {
            throw;
        }
        return now;
    }
}

/// Where a person sees the session of that node.
base::Sentence window_of(const RemoteNode& node, const client::Snapshot& now) {
    if (transport::parse_node_address(node.address()).kind == transport::NodeAddress::Kind::socket) {
        return say("a window (`moescope {}`, once that node has ended)", now.node.session);
    }
    return say("a window (`moescope --node {}`)", node.address());
}

base::Sentence how_to_go_on(const RemoteNode& node, const client::Snapshot& now, const history::TrainingRun& run) {
    if (run.last_checkpoint == 0) {
        return say("it has no checkpoint; give the command again to start it anew");
    }
    return say("its checkpoint at step {} is kept; go on from it in {}, menu Run", run.last_checkpoint,
               window_of(node, now));
}

/// Throws what a run that is not done has to say: whoever waits for it must not take it for a finished one.
void require_done(const RemoteNode& node, const client::Snapshot& now, const history::TrainingRun& run, int planned) {
    switch (run.state) {
        case RunState::failed:
            throw base::Error(run.message);
        case RunState::interrupted:
            throw base::Error(
                say("the node at {} was started anew, and its run {} was interrupted after {} of {} "
                    "steps; {}",
                    node.address(), run.id, steps_of(run), planned, how_to_go_on(node, now, run)));
        case RunState::stopped:
            throw base::Error(
                say("run {} at {} was stopped there after {} of {} steps, by another workbench or the "
                    "end of its node; {}",
                    run.id, node.address(), steps_of(run), planned, how_to_go_on(node, now, run)));
        case RunState::paused:
            throw base::Error(say("run {} waits at {} after {} of {} steps: {}; when that is mended, {} resumes it",
                                  run.id, node.address(), steps_of(run), planned, run.message, window_of(node, now)));
        default:
            return;
    }
}

/// The same of an answer or a probe, of which `what` is kept.
void require_done(const RemoteNode& node, const history::RunHeader& run, const base::Sentence& what) {
    if (run.state == RunState::failed) {
        throw base::Error(run.message);
    }
    if (run.state == RunState::interrupted || run.state == RunState::stopped) {
        throw base::Error(say("run {} at {} was ended there, by another workbench or the end of its node; {}", run.id,
                              node.address(), what));
    }
}

}  // namespace

int train_on_node(const Paths& paths, const TrainOptions& options) {
    HeldSignals signals;
    RemoteNode node(paths, options.node, options.wait);
    const auto greeted = node.greeted(signals);
    json order = {{"config", config_of(options, *greeted)}, {"data", options.data}};
    const int planned = base::integer_of(order["config"]["train"], "steps", 0);
    const auto id = base::run_of(node.ask(signals, "train.start", order));
    std::size_t printed = 0;
    const auto look = [&](const client::Snapshot& now) {
        const auto found = now.training.find(id);
        if (found == now.training.end()) {
            return false;
        }
        const history::TrainingRun& run = *found->second;
        for (; printed < run.step.size(); ++printed) {
            const auto step = step_at(run, printed);
            if (options.json) {
                print_json(step_json(step));
            } else {
                print_step(step, planned);
            }
        }
        // The node itself pauses a run for a reason only, of which a person has to know; a person gives none.
        return protocol::ended(run.state) || (run.state == RunState::paused && !run.message.empty());
    };
    std::shared_ptr<const client::Snapshot> end;
    try {
        end = node.wait(signals, look);
    } catch (const Stopped&) {
        // The run is the node's, which may be a machine for a week of work: who leaves it does not end it.
        const auto now = node.client().snapshot();
        const auto left = now->training.find(id);
        throw Stopped(signals.first(),
                      say("after {} of {} steps; run {} goes on at {}: `moescope-node status` tells how far it is, and "
                          "{} shows and stops it",
                          left == now->training.end() ? 0 : steps_of(*left->second), planned, id, node.address(),
                          window_of(node, *now)));
    }
    const history::TrainingRun& run = *end->training.at(id);
    if (options.json) {
        print_json(final_line(run));
    } else {
        fmt::print("run {} is {} after {} steps; SHA-256 of the parameters: {}\n", id,
                   protocol::run_state_name(run.state), steps_of(run),
                   run.parameters_sha256.empty() ? "not known" : run.parameters_sha256);
    }
    std::fflush(stdout);
    require_done(node, *end, run, planned);
    return 0;
}

int generate_on_node(const Paths& paths, const std::string& address, Wait wait, const json& parameters, bool as_json) {
    HeldSignals signals;
    RemoteNode node(paths, address, wait);
    node.greeted(signals);
    const auto id = base::run_of(node.ask(signals, "generate.start", parameters));
    const auto look = [&](const client::Snapshot& now) {
        const auto found = now.generations.find(id);
        return found != now.generations.end() && protocol::ended(found->second->state);
    };
    const auto end = follow(node, signals, look, "generate.cancel", id);
    const history::Generation& answer = *end->generations.at(id);
    if (answer.state == RunState::failed) {
        throw base::Error(answer.message);  // and nothing is printed
    }
    if (as_json) {
        print_json({{"text", answer.text},
                    {"tokens", answer.token_count},
                    {"tokens_per_second", answer.tokens_per_second},
                    {"stop", answer.stop},
                    {"prompt_tokens", answer.prompt_tokens},
                    {"prompt_ms", answer.prompt_ms},
                    {"shown", answer.shown},
                    {"model", answer.model},
                    {"seed", base::count_of(answer.manifest, "seed")},
                    {"temperature", base::number_of(answer.manifest, "temperature")}});
    } else {
        fmt::print("{}\n", answer.text);
    }
    std::fflush(stdout);
    if (signals.first() != 0 && answer.state == RunState::stopped) {
        throw Stopped(signals.first(), say("before the model had ended"));
    }
    require_done(node, answer, say("the text that it had written is not the whole answer"));
    return 0;
}

int probe_on_node(const Paths& paths, const std::string& address, Wait wait, const json& parameters,
                  const std::function<void(const json& draw)>& print,
                  const std::function<void(const history::ProbeRun&)>& print_end) {
    HeldSignals signals;
    RemoteNode node(paths, address, wait);
    node.greeted(signals);
    const auto id = base::run_of(node.ask(signals, "probe.start", parameters));
    std::size_t printed = 0;
    const auto look = [&](const client::Snapshot& now) {
        const auto found = now.probes.find(id);
        if (found == now.probes.end()) {
            return false;
        }
        const history::ProbeRun& run = *found->second;
        for (; printed < run.draws.size(); ++printed) {
            const history::ProbeDraw& draw = *run.draws[printed];
            print({{"run", id},
                   {"item", draw.item},
                   {"model", draw.model},
                   {"language", draw.language},
                   {"draw", draw.draw},
                   {"prompt", draw.prompt},
                   {"answer", draw.answer},
                   {"stop", draw.stop},
                   {"delivery", draw.delivery},
                   {"engagement", draw.engagement},
                   {"rule", draw.rule.english()},
                   {"planned", run.planned},
                   {"seconds_left", run.seconds_left}});
        }
        // The figures come with the node's gauges, behind the last answer.
        return protocol::ended(run.state) && (!run.statistics.is_null() || run.draws.empty());
    };
    const auto end = follow(node, signals, look, "probe.cancel", id);
    const history::ProbeRun& run = *end->probes.at(id);
    if (run.state == RunState::failed) {
        throw base::Error(run.message);
    }
    print_end(run);
    if (signals.first() != 0 && run.state == RunState::stopped) {
        throw Stopped(signals.first(), say("after {} answers, which are kept there", run.draws.size()));
    }
    require_done(node, run, say("{} answers are kept there", run.draws.size()));
    if (const base::Sentence failure = failure_of_all(run); !failure.empty()) {
        throw base::Error(say("no model could answer: {}", failure));
    }
    return 0;
}

base::Sentence failure_of_all(const history::ProbeRun& run) {
    const bool all =
        std::all_of(run.draws.begin(), run.draws.end(), [](const auto& draw) { return draw->stop == "error"; });
    return all && !run.draws.empty() ? run.draws.back()->rule : base::Sentence();
}

}  // namespace moescope::node
