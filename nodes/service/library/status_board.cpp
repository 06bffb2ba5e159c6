#include "nodes/service/library/status_board.hpp"

#include "base/foreign_text.hpp"

namespace moescope::node {

namespace {

nlohmann::json to_json(const RunStatus& run) {
    nlohmann::json value = {{"run", run.run},
                            {"kind", protocol::run_kind_name(run.kind)},
                            {"name", run.name},
                            {"state", protocol::run_state_name(run.state)},
                            {"last_checkpoint", run.last_checkpoint},
                            {"checkpoints", run.checkpoints},
                            {"planned_steps", run.planned_steps}};
    base::put_sentence(value, "message", run.message);
    if (!run.statistics.is_null()) {
        value["statistics"] = run.statistics;
    }
    return value;
}

}  // namespace

void StatusBoard::set_task(const protocol::Task& task) {
    const std::lock_guard lock(mutex_);
    tasks_[task.id] = task;
    tasks_[task.id].title = base::shown_name(task.title);
    ++version_;
}

void StatusBoard::remove_task(const std::string& id) {
    const std::lock_guard lock(mutex_);
    cancelled_.erase(id);
    if (tasks_.erase(id) > 0) {
        ++version_;
    }
}

bool StatusBoard::cancel_task(const std::string& id) {
    const std::lock_guard lock(mutex_);
    if (!tasks_.contains(id)) {
        return false;
    }
    cancelled_.insert(id);
    return true;
}

bool StatusBoard::task_cancelled(const std::string& id) const {
    const std::lock_guard lock(mutex_);
    return cancelled_.contains(id);
}

void StatusBoard::set_run(const RunStatus& run) {
    const std::lock_guard lock(mutex_);
    runs_[run.run] = run;
    runs_[run.run].name = base::shown_name(run.name);
    ++version_;
    models_version_ += run.kind == protocol::RunKind::train ? 1 : 0;
}

void StatusBoard::change_run(std::uint32_t run, const std::function<void(RunStatus&)>& change) {
    const std::lock_guard lock(mutex_);
    if (const auto found = runs_.find(run); found != runs_.end()) {
        RunStatus& status = found->second;
        const auto state = status.state;
        const auto checkpoints = status.checkpoints;
        const std::string name = status.name;
        change(status);
        ++version_;
        const bool same = state == status.state && checkpoints == status.checkpoints && name == status.name;
        models_version_ += status.kind == protocol::RunKind::train && !same ? 1 : 0;
    }
}

void StatusBoard::remove_run(std::uint32_t run) {
    const std::lock_guard lock(mutex_);
    if (runs_.erase(run) > 0) {
        ++version_;
        ++models_version_;
    }
}

nlohmann::json StatusBoard::tasks() const {
    const std::lock_guard lock(mutex_);
    auto list = nlohmann::json::array();
    for (const auto& [id, task] : tasks_) {
        list.push_back(to_json(task));
    }
    return list;
}

std::optional<protocol::Task> StatusBoard::task(const std::string& id) const {
    const std::lock_guard lock(mutex_);
    const auto found = tasks_.find(id);
    return found == tasks_.end() ? std::nullopt : std::optional(found->second);
}

nlohmann::json StatusBoard::runs() const {
    const std::lock_guard lock(mutex_);
    auto list = nlohmann::json::array();
    for (const auto& [id, run] : runs_) {
        list.push_back(to_json(run));
    }
    return list;
}

std::vector<RunStatus> StatusBoard::run_list() const {
    const std::lock_guard lock(mutex_);
    std::vector<RunStatus> list;
    for (const auto& [id, run] : runs_) {
        list.push_back(run);
    }
    return list;
}

std::optional<protocol::RunState> StatusBoard::run_state(std::uint32_t run) const {
    const std::lock_guard lock(mutex_);
    const auto found = runs_.find(run);
    return found == runs_.end() ? std::nullopt : std::optional(found->second.state);
}

std::uint64_t StatusBoard::models_version() const {
    const std::lock_guard lock(mutex_);
    return models_version_;
}

std::uint64_t StatusBoard::version() const {
    const std::lock_guard lock(mutex_);
    return version_;
}

BoardTask::BoardTask(StatusBoard& board, const std::string& id, protocol::TaskKind kind, const std::string& title)
    : board_(board) {
    task_.id = id;
    task_.kind = kind;
    task_.title = title;
    task_.cancel_command = "task.cancel";
    board_.set_task(task_);
}

BoardTask::~BoardTask() {
    board_.remove_task(task_.id);
}

void BoardTask::show(double fraction) {
    task_.fraction = fraction;
    board_.set_task(task_);
}

bool BoardTask::cancelled() const {
    return board_.task_cancelled(task_.id);
}

}  // namespace moescope::node
