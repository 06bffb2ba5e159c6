// One question to one model, which a signal stops.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "base/sentence.hpp"
#include "nodes/service/library/paths.hpp"
#include "nodes/service/workers/worker_process.hpp"

namespace moescope::node {

/// Opens the model, sends `request` and gives the answer; what comes before it goes to `on_part`, on another thread
/// than the caller's. At SIGINT or SIGTERM the model stops, or is stopped, within a second, and Stopped is thrown
/// (console.hpp). Throws Error as the model does.
nlohmann::json ask_model(const Paths& paths, const std::string& model, const nlohmann::json& request,
                         const base::Sentence& doing, const OnPart& on_part);

}  // namespace moescope::node
