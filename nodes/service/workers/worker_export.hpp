// What a process of its own is asked about files: "export". It reads files of anybody's making, libllama ends the
// process over some of them, and neither reading nor quantising can be told to stop.
#pragma once

#include <nlohmann/json.hpp>

#include "nodes/service/workers/worker_wire.hpp"

namespace moescope::node {

/// {"op":"export", "from", "to", "format" ("huggingface", "gguf")} and of a GGUF file "precision" (a name of
/// engine/exchange/gguf_precisions.hpp), "router_too", "threads", "whole" and "scratch" (files beside `to`, written on
/// the way; who asks removes them, and with `to` and `whole` what they are called with ".part" behind it). Needs no
/// open model. Sends its progress while it quantises. The answer: {"op":"ended", "type", "files", "notes": sentences as
/// base::sentence_to_json has them} and of a GGUF file "router", and where it was quantised "types": {type: tensors}
/// and "fell_back": [{"tensor","wanted","type"}]. Throws Error.
nlohmann::json export_model(const nlohmann::json& request, WorkerWriter& writer);

}  // namespace moescope::node
