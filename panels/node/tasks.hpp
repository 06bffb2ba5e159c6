// The node's tasks, as the status line and the nodes panel offer them.
#pragma once

#include <string>

#include "panels/ui/context.hpp"

namespace moescope::panels {

/// What a task works on, as a person calls it: a checkpoint by its run and step.
std::string task_title(const ui::Context& ctx, const client::Task& task);
/// 0 to 1, below 0 when it is not known. Of an answer: its tokens so far of those that it may have at most.
double task_fraction(const ui::Context& ctx, const client::Task& task);
/// The run that the task belongs to waits for a person: nobody knows when it will be done.
bool task_paused(const ui::Context& ctx, const client::Task& task);
/// "3 %, 20 min left" or "3 %, paused": what of it is known.
std::string task_progress(const ui::Context& ctx, const client::Task& task);
/// The task that works on the run `run`; null when there is none (any more). Valid as long as the snapshot.
const client::Task* task_of(const client::Snapshot& snapshot, std::uint32_t run);
/// Asks the node to end a task: by its run, or by its own id where it belongs to none.
void cancel_task(const ui::Context& ctx, const client::Task& task);

}  // namespace moescope::panels
