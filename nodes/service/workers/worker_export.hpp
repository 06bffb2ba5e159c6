// What a process of its own is asked about files: "quantise". libllama ends the process over some of them.
#pragma once

#include <nlohmann/json.hpp>

#include "nodes/service/workers/worker_wire.hpp"

namespace moescope::node {

/// {"op":"quantise", "from", "to", "scratch", "precision": a name of engine/exchange/gguf_precisions.hpp, "router_too",
/// "threads"}, as engine/runner/quantise.hpp says. Needs no open model. Sends its progress. The answer:
/// {"op":"ended", "architecture", "types": {type: tensors}, "fell_back": [{"tensor","wanted","type"}], "router",
/// "source"}. Throws Error.
nlohmann::json quantise_file(const nlohmann::json& request, WorkerWriter& writer);

}  // namespace moescope::node
