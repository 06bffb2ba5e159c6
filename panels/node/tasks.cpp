#include "panels/node/tasks.hpp"

#include <nlohmann/json.hpp>

#include "panels/node/library.hpp"

namespace moescope::panels {

std::string task_title(const ui::Context& ctx, const client::Task& task) {
    return model_title(ctx, task.title);
}

void cancel_task(const ui::Context& ctx, const client::Task& task) {
    nlohmann::json parameters;
    if (task.run != 0) {
        parameters["run"] = task.run;
    } else {
        parameters["id"] = task.id;
    }
    ctx.client.send(task.cancel_command, std::move(parameters));
}

}  // namespace moescope::panels
