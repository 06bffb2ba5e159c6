// A long work among the tasks of a node for as long as it goes on.
#pragma once

#include <string>
#include <utility>

#include "nodes/service/library/status_board.hpp"

namespace moescope::node {

class ShownTask {
 public:
    /// A task that "task.cancel" ends. `board` outlives this.
    ShownTask(StatusBoard& board, std::string id, protocol::TaskKind kind, std::string title) : board_(board) {
        task_.id = std::move(id);
        task_.kind = kind;
        task_.title = std::move(title);
        task_.cancel_command = "task.cancel";
        board_.set_task(task_);
    }
    ~ShownTask() { board_.remove_task(task_.id); }
    ShownTask(const ShownTask&) = delete;
    ShownTask& operator=(const ShownTask&) = delete;

    /// What is done of it; below 0: not known. One thread at a time.
    void progress(double fraction) {
        task_.fraction = fraction;
        board_.set_task(task_);
    }
    /// Whether somebody wants it to end. Any thread.
    bool cancelled() const { return board_.task_cancelled(task_.id); }

 private:
    StatusBoard& board_;
    protocol::Task task_;
};

}  // namespace moescope::node
