// Commands with --node: the work is done there, and what it prints is what the command prints here.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "nodes/history/runs.hpp"
#include "nodes/service/cli/remote_node.hpp"
#include "nodes/service/cli/replay.hpp"

namespace moescope::node {

/// train --node: one run there, followed to its end. It goes on when a signal ends this command. Throws base::Error
/// also when it ended there before it was done.
int train_on_node(const Paths& paths, const TrainOptions& options);

/// generate --node. `parameters`: those of generate.start.
int generate_on_node(const Paths& paths, const std::string& node, std::optional<double> wait,
                     const nlohmann::json& parameters, bool as_json);

/// probe --node. `parameters`: those of probe.start. `print` gets each answer as it comes, as the record of a draw has
/// it, `print_end` the run when it has ended, also one that was stopped.
int probe_on_node(const Paths& paths, const std::string& node, std::optional<double> wait,
                  const nlohmann::json& parameters, const std::function<void(const nlohmann::json& draw)>& print,
                  const std::function<void(const history::ProbeRun&)>& print_end);

/// Why there is no answer, when every question of the run failed; empty when one was answered or none was asked.
base::Sentence failure_of_all(const history::ProbeRun& run);

/// Sends a command with which files move and follows it, with a line of progress. `kept`: where what has come stays
/// when a signal ends it. Throws base::Error with the node's sentence when it failed.
nlohmann::json carry_out(RemoteNode& node, HeldSignals& signals, const std::string& command,
                         const nlohmann::json& parameters, const std::string& kept);

}  // namespace moescope::node
