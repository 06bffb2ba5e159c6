// One question to one model, which a signal stops.
#pragma once

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>
#include <string>

#include "base/sentence.hpp"
#include "nodes/service/library/model_source.hpp"
#include "nodes/service/library/paths.hpp"
#include "nodes/service/workers/worker_process.hpp"

namespace moescope::node {

/// --device.
void add_device_option(CLI::App& command, std::string& device);
/// The same model on that device; empty: where it was trained, as far as that can be had, else on the processor. Throws
/// CommandError for one that another program computes.
ModelSource on_device(ModelSource model, const std::string& device);
/// A warning where a model is not computed on the device that it was trained on. `opened`: of
/// WorkerPool::Lease::open().
void print_why_processor(const nlohmann::json& opened);

/// Opens the model, sends `request` and gives the answer; what comes before it goes to `on_part`, on another thread
/// than the caller's. `device` as of on_device(). At SIGINT or SIGTERM the model stops, or is stopped, within a second,
/// and Stopped is thrown (console.hpp). Throws Error as the model does.
nlohmann::json ask_model(const Paths& paths, const std::string& model, const std::string& device,
                         const nlohmann::json& request, const base::Sentence& doing, const OnPart& on_part);

}  // namespace moescope::node
