// What all jobs have in common: parts of the node that they use, and how they are asked and ended.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "kernels/devices.hpp"
#include "nodes/service/jobs/checkpoint_holds.hpp"
#include "nodes/service/jobs/dataset_store.hpp"
#include "nodes/service/jobs/disk_guard.hpp"
#include "nodes/service/jobs/generation_queue.hpp"
#include "nodes/service/jobs/record_sink.hpp"
#include "nodes/service/library/command_error.hpp"
#include "nodes/service/library/model_library.hpp"
#include "nodes/service/library/paths.hpp"
#include "nodes/service/library/status_board.hpp"
#include "nodes/service/workers/worker_pool.hpp"
#include "sessions/session.hpp"

namespace moescope::node {

/// The outcome of a command: an empty error means done.
struct Outcome {
    nlohmann::json value = nlohmann::json::object();
    Sentence error;
};
/// Called exactly once, from any thread.
using Reply = std::function<void(Outcome)>;

/// The parts of a node that jobs work with; all outlive every job. Thread safe each.
struct NodeParts {
    const Paths& paths;
    sessions::Session& session;
    RecordSink& sink;
    StatusBoard& board;
    DatasetStore& datasets;
    ModelLibrary& models;
    WorkerPool& workers;
    ThreadShare& threads;
    GenerationQueue& turns;  ///< of generations
    CheckpointHolds& holds;
    DiskGuard& disk;
    kernels::Devices& devices;
};

/// Long work on a thread of its own. Destruction asks it to stop and waits.
class Job {
 public:
    virtual ~Job() = default;
    virtual std::uint32_t run() const = 0;
    /// Asks the job to end soon, saving what it has; returns at once.
    virtual void request_stop() = 0;
    virtual bool finished() const = 0;
    virtual void wait() = 0;
};

}  // namespace moescope::node
