// The gauges of a node: long work and the state of every run. Only the latest values count; the service sends what
// changed.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/sentence.hpp"
#include "nodes/protocol/gauges.hpp"
#include "nodes/protocol/run_state.hpp"

namespace moescope::node {

/// One run, for STATE `runs`.
struct RunStatus {
    std::uint32_t run = 0;
    protocol::RunKind kind = protocol::RunKind::train;
    std::string name;
    protocol::RunState state = protocol::RunState::planned;
    base::Sentence message;
    std::uint64_t last_checkpoint = 0;       ///< step
    std::vector<std::uint64_t> checkpoints;  ///< steps of those that are kept, oldest first
    std::uint64_t planned_steps = 0;
    nlohmann::json statistics;  ///< of a probe run, null otherwise
};

/// Thread safe. Names and titles are kept as base::shown_name has them: STATE stays short whatever a session holds.
class StatusBoard {
 public:
    void set_task(const protocol::Task& task);
    void remove_task(const std::string& id);
    /// Remembers the wish until the task is removed; false when there is no such task.
    bool cancel_task(const std::string& id);
    bool task_cancelled(const std::string& id) const;
    void set_run(const RunStatus& run);
    /// Changes one run under the lock; nothing happens when the run is unknown.
    void change_run(std::uint32_t run, const std::function<void(RunStatus&)>& change);
    void remove_run(std::uint32_t run);

    nlohmann::json tasks() const;
    std::optional<protocol::Task> task(const std::string& id) const;  ///< nothing when there is none
    nlohmann::json runs() const;
    std::vector<RunStatus> run_list() const;                               ///< by number
    std::optional<protocol::RunState> run_state(std::uint32_t run) const;  ///< nothing when unknown
    std::uint64_t version() const;                                         ///< rises with every change
    /// Rises only with what makes models of training runs: which runs there are, their names, states and checkpoints.
    std::uint64_t models_version() const;

 private:
    mutable std::mutex mutex_;
    std::map<std::string, protocol::Task> tasks_;
    std::set<std::string> cancelled_;  ///< tasks
    std::map<std::uint32_t, RunStatus> runs_;
    std::uint64_t version_ = 1, models_version_ = 1;
};

/// Long work that belongs to no run: a task that task.cancel cancels, on the board as long as this lives.
class BoardTask {
 public:
    /// `board` outlives it; `id` is no other task's.
    BoardTask(StatusBoard& board, const std::string& id, protocol::TaskKind kind, const std::string& title);
    ~BoardTask();
    BoardTask(const BoardTask&) = delete;
    BoardTask& operator=(const BoardTask&) = delete;
    void show(double fraction);  ///< 0 to 1, below 0 when unknown. One thread
    bool cancelled() const;      ///< somebody wants it to end. Any thread

 private:
    StatusBoard& board_;
    protocol::Task task_;
};

}  // namespace moescope::node
