// One question to one model, which a signal stops.
#pragma once

#include <atomic>
#include <functional>
#include <nlohmann/json.hpp>
#include <span>
#include <string>

#include "base/sentence.hpp"
#include "nodes/service/library/paths.hpp"

namespace moescope::node {

/// Opens the model, sends `request` and gives the answer; what comes before it goes to `on_lines`, on another thread
/// than the caller's. At SIGINT or SIGTERM the model stops, or is stopped, within a second, and Stopped is thrown
/// (console.hpp). Throws Error as the model does.
nlohmann::json ask_model(const Paths& paths, const std::string& model, const nlohmann::json& request,
                         const base::Sentence& doing, const std::function<void(std::span<const std::byte>)>& on_lines);

}  // namespace moescope::node
