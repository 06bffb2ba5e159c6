// The node's tasks, as the status line and the nodes panel offer them.
#pragma once

#include "panels/ui/context.hpp"

namespace moescope::panels {

/// What a task works on, as a person calls it: a checkpoint by its run and step.
std::string task_title(const ui::Context& ctx, const client::Task& task);
/// Asks the node to end a task: by its run, or by its own id where it belongs to none.
void cancel_task(const ui::Context& ctx, const client::Task& task);

}  // namespace moescope::panels
