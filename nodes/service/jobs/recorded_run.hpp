// A training run that is done once more: what was recorded of it, and how far the new one agrees with that.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "nodes/history/runs.hpp"
#include "nodes/protocol/records.hpp"
#include "nodes/service/jobs/reproduction.hpp"
#include "nodes/service/jobs/training_job.hpp"
#include "sessions/session.hpp"

namespace moescope::node {

/// Used by one thread at a time: whoever reads it hands it to the job.
class RecordedRun {
 public:
    /// Reads the run with the counts of every step. 0: the latest training. `place`: how sentences call the session.
    /// Throws CommandError: it is no training run, has no steps, or goes on.
    static std::shared_ptr<RecordedRun> read(sessions::Session& session, std::uint32_t run, const std::string& place);

    const history::TrainingRun& run() const { return run_; }
    /// The same data lie elsewhere here; that they are the same, their hash says.
    void move_data(const std::string& data) { run_.manifest["data"] = data; }

    /// Called for every new step, in order. All values that are the same in every run of the same settings are
    /// compared, and the counts; what only one of them knows (a session of an older program has fewer) says nothing.
    /// True for the first step that is another.
    bool compare(const protocol::StepRecord& step);
    /// The same of the steps up to `last` that the new run has already.
    void compare(const history::TrainingRun& again, std::uint64_t last);
    /// What is other here than where it was recorded; what is known already is left out.
    void add(std::vector<Difference> differences);
    /// It is the run that `origin` (see origin()) told of, as far as it had come then, and what was other then stays
    /// said. Throws CommandError: it is another one.
    void require(const nlohmann::json& origin);
    const std::vector<Difference>& differences() const { return differences_; }

    std::uint64_t compared() const { return compared_; }
    const std::optional<protocol::StepRecord>& difference() const { return difference_; }
    double recorded_loss() const { return recorded_loss_; }  ///< of that step
    /// Whether the parameters at the end are the recorded ones; nothing where one of them is not known or the new run
    /// ended before.
    std::optional<bool> same_parameters(const std::string& sha256, std::uint64_t steps) const;

    /// Of the new run's manifest: {"run","name","session" (empty: the same),"steps","parameters_sha256",
    /// "differences" (see to_json)}.
    nlohmann::json origin() const;
    /// Of its end: {"equal","steps" (compared),"recorded_steps","parameters_equal" (null: not known),
    /// "recorded_parameters_sha256"} and, when a step is another, {"first_difference","recorded_loss","loss"}.
    nlohmann::json outcome(const std::string& sha256, std::uint64_t steps) const;

    std::string session;  ///< folder of the session that it was read from; empty: that of the new run

 private:
    history::TrainingRun run_;
    std::vector<Difference> differences_;
    nlohmann::json earlier_ = nlohmann::json::array();  ///< what was other before the new run was interrupted
    std::size_t row_ = 0, counted_ = 0;                 ///< how far the recorded columns and counts have been compared
    std::uint64_t compared_ = 0;
    std::optional<protocol::StepRecord> difference_;
    double recorded_loss_ = 0;
};

/// The order of the new run, without its number and name: configuration (here on `threads` and `device`, where these
/// are given), data, everything that was turned and when, and the weights that it began with. It ends where the
/// recorded one did. Throws CommandError: it can't be done again.
TrainingRequest order_to_reproduce(sessions::Session& session, std::shared_ptr<RecordedRun> recorded,
                                   std::optional<int> threads, const std::optional<std::string>& device);
/// A run that repeats another one goes on as such: compared with it from its first step, with what was changed while
/// that one ran, and to the same end. `order`: as order_to_continue() has it. Nothing changes for a run that repeats
/// none. Throws CommandError: what it repeats can't be read.
void go_on_repeating(sessions::Session& session, const history::RunHeader& run, TrainingRequest& order);
/// What the run is computed with here.
engine::RunConfig config_to_reproduce(const history::TrainingRun& run, std::optional<int> threads,
                                      const std::optional<std::string>& device);
/// All that can be said without running it: differences_here(), sources that are not sure, and the data, read whole.
/// `check` is called now and then and may throw.
std::vector<Difference> all_differences(const history::TrainingRun& run, const engine::RunConfig& config,
                                        kernels::Devices& devices, const std::filesystem::path& cache,
                                        const std::function<void()>& check);

}  // namespace moescope::node
