// Commands with --node: the work is done there, and what it prints is what the command prints here.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "nodes/service/cli/replay.hpp"

namespace moescope::node {

/// train --node: one run there, followed to its end. It goes on when a signal ends this command. Throws base::Error
/// also when it ended there before it was done.
int train_on_node(const Paths& paths, const TrainOptions& options);

/// generate --node. `parameters`: those of generate.start.
int generate_on_node(const Paths& paths, const std::string& node, std::optional<double> wait,
                     const nlohmann::json& parameters, bool as_json);

/// probe --node. `parameters`: those of probe.start. Gives the run's statistics in `statistics`, null when there are
/// none; `print` gets each answer as it comes, as the record of a draw has it.
int probe_on_node(const Paths& paths, const std::string& node, std::optional<double> wait,
                  const nlohmann::json& parameters, const std::function<void(const nlohmann::json& draw)>& print,
                  nlohmann::json& statistics);

}  // namespace moescope::node
