// What a model file is, found out by a process of its own (worker_sandbox.hpp): the file may come from anywhere.
#pragma once

#include <atomic>
#include <filesystem>

#include "engine/files/inspect.hpp"
#include "nodes/service/workers/worker_pool.hpp"

namespace moescope::node {

/// As engine::inspect_file, also when that process dies or `cancel` turns true: then the file is not safe and the
/// problem says why.
engine::FileReport inspect_apart(WorkerPool& workers, const std::filesystem::path& path,
                                 const std::atomic<bool>& cancel);

/// The two ends of the wire between those processes.
nlohmann::json report_to_json(const engine::FileReport& report);
engine::FileReport report_from_json(const nlohmann::json& answer);

}  // namespace moescope::node
