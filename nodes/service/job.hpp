// What all jobs have in common: parts of the node that they use, and how they are asked and ended.
#pragma once

#include <cmath>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>

#include "engine/text/dataset.hpp"
#include "nodes/service/board.hpp"
#include "nodes/service/model_library.hpp"
#include "nodes/service/places.hpp"
#include "nodes/service/record_sink.hpp"
#include "nodes/service/turns.hpp"
#include "nodes/service/worker_pool.hpp"
#include "sessions/session.hpp"

namespace moescope::node {

/// A command that cannot be carried out: one sentence for a person.
class CommandError : public std::runtime_error {
 public:
    using std::runtime_error::runtime_error;
};

/// JSON has no NaN and no infinity: null stands for them.
inline nlohmann::json number_or_null(double value) {
    return std::isfinite(value) ? nlohmann::json(value) : nlohmann::json();
}

/// The outcome of a command: an empty error means done.
struct Outcome {
    nlohmann::json value = nlohmann::json::object();
    std::string error;
};
/// Called exactly once, from any thread.
using Reply = std::function<void(Outcome)>;

/// Loads each data set once and shares it between runs. Thread safe; a second load waits for the first.
class DatasetStore {
 public:
    explicit DatasetStore(std::filesystem::path cache) : cache_(std::move(cache)) {}
    /// See engine::load_dataset. `tokenizer` may be null.
    std::shared_ptr<const engine::Dataset> load(const std::string& data, int vocabulary,
                                                std::shared_ptr<const engine::Tokenizer> tokenizer,
                                                const engine::Progress& progress);

 private:
    const std::filesystem::path cache_;
    std::mutex mutex_;
    std::string key_;
    std::shared_ptr<const engine::Dataset> last_;
};

/// The parts of a node that jobs work with; all outlive every job. Thread safe each.
struct NodeParts {
    const Places& places;
    sessions::Session& session;
    RecordSink& sink;
    Board& board;
    DatasetStore& datasets;
    ModelLibrary& models;
    WorkerPool& workers;
    ThreadShare& threads;
    Turns& turns;  ///< of generations
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
