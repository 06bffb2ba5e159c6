// Experiments: runs that differ in one setting, with equal data and everything else equal, one after the other. What
// one is asked with, and which run is to begin next. The queue stands in the session's records and survives the node.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "engine/model/config.hpp"
#include "nodes/history/session.hpp"
#include "nodes/service/jobs/training_job.hpp"
#include "nodes/service/library/status_board.hpp"

namespace moescope::node {

inline constexpr std::size_t kFewestValues = 2, kMostValues = 16;  ///< of an experiment

/// What an experiment is asked with.
struct ExperimentWish {
    std::string name;       ///< empty: made of the names of configuration and key
    std::string key;        ///< of a setting; may be empty when each value is an object
    nlohmann::json values;  ///< a list: values of the key, or objects of settings by key; see below
    std::string data;
    engine::RunConfig config;  ///< of all runs, with their steps, seed and threads
};
/// The experiment with its runs, which have no numbers yet. A value of `balance` is the name of a published balancing
/// (engine/model/balancings.hpp) with all that it sets. `earlier`: names of the experiments before it. Throws
/// CommandError or engine::Error naming the value: too few or too many of them, unknown settings, a configuration that
/// cannot be, two values that make the same run.
history::Experiment planned_experiment(const ExperimentWish& wish, const std::vector<std::string>& earlier);

/// Thread safe.
class ExperimentQueue {
 public:
    /// Nothing for a run that is not known.
    using StateOf = std::function<std::optional<protocol::RunState>(std::uint32_t run)>;
    /// A run that is to begin.
    struct Next {
        std::shared_ptr<const history::Experiment> experiment;
        history::Experiment::Run run;
        bool continues = false;  ///< its node ended in the middle of it
        bool paused = false;     ///< and it was waiting then
    };
    /// How far an experiment is that has not ended.
    struct Progress {
        std::shared_ptr<const history::Experiment> experiment;
        std::size_t ended = 0;      ///< with those that were given up
        std::uint32_t running = 0;  ///< 0: none at the moment
        std::size_t place = 0;      ///< of the running one among its runs, from 1
        bool stopping = false;      ///< it was cancelled: with the running one it ends
    };

    /// What the records of a session say: runs that wait, and those in the middle of which a node ended.
    void take(const history::Session& history);
    void add(std::shared_ptr<const history::Experiment> experiment);
    /// Null when there is none of that number.
    std::shared_ptr<const history::Experiment> find(std::uint32_t number) const;
    std::uint32_t number_of(std::uint32_t run) const;  ///< of the experiment that the run belongs to; 0: of none
    std::uint32_t next_number() const;
    std::vector<std::string> names() const;

    /// The first that waits, while none goes on; it waits until begun().
    std::optional<Next> next(const StateOf& state) const;
    /// True, once, for a run that waited: whoever is told so begins it, or says why not.
    bool begun(std::uint32_t run);
    /// Gives the runs that waited: they will not begin.
    std::vector<std::uint32_t> cancel(std::uint32_t number);
    std::vector<Progress> progress(const StateOf& state) const;

 private:
    struct Waiting {
        bool continues = false, paused = false;
    };
    struct All {
        std::map<std::uint32_t, std::shared_ptr<const history::Experiment>> experiments;  ///< by number
        std::map<std::uint32_t, Waiting> waiting;                                         ///< by run
        std::set<std::uint32_t> cancelled;
    };
    All all() const;

    mutable std::mutex mutex_;
    std::map<std::uint32_t, std::shared_ptr<const history::Experiment>> experiments_;
    std::map<std::uint32_t, Waiting> waiting_;
    std::set<std::uint32_t> cancelled_;  ///< experiments of which a run may not have stopped yet
};

/// The order of a run that is to begin; `known`: what the session says of it. Nobody is there to resume it: what goes
/// wrong in it ends it, and the next one begins. Throws CommandError or engine::Error.
TrainingRequest experiment_order(sessions::Session& session, const ExperimentQueue::Next& next,
                                 const history::RunHeader& known);
/// The records of an experiment, and of the run that the node's end stops.
nlohmann::json experiment_record(const history::Experiment& experiment);
nlohmann::json unfinished_record(std::uint32_t experiment, std::uint32_t run, bool paused);
/// How a run that waits stands on the board.
RunStatus planned_status(const history::Experiment::Run& run);
/// Of a run that does not begin: `state` stopped or failed.
nlohmann::json not_begun_record(std::uint32_t run, protocol::RunState state, const Sentence& why);
/// The task that stands for the whole experiment, with the progress of the run that goes on.
protocol::Task experiment_task(const ExperimentQueue::Progress& progress, const StatusBoard& board);

}  // namespace moescope::node
