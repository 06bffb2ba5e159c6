#include "panels/node/tasks.hpp"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "base/json_fields.hpp"
#include "base/text.hpp"
#include "panels/node/library.hpp"
#include "panels/ui/units.hpp"

namespace moescope::panels {

std::string task_title(const ui::Context& ctx, const client::Task& task) {
    // The node calls a sweep by its layer where nobody gave it a name.
    const bool numbered = !task.title.empty() && task.title.find_first_not_of("0123456789") == std::string::npos;
    return task.kind == protocol::TaskKind::sweep && numbered ? ctx.text.format("task.sweep.layer", {{"n", task.title}})
                                                              : model_title(ctx, task.title);
}

double task_fraction(const ui::Context& ctx, const client::Task& task) {
    const auto answer = ctx.snapshot.generations.find(task.run);
    if (task.fraction >= 0 || task.kind != protocol::TaskKind::generate || answer == ctx.snapshot.generations.end()) {
        return task.fraction;
    }
    const auto most = static_cast<double>(base::count_of(answer->second->manifest, "max_tokens"));
    return most > 0 ? std::min(1.0, static_cast<double>(answer->second->tokens.size()) / most) : -1;
}

bool task_paused(const ui::Context& ctx, const client::Task& task) {
    const auto paused = [&](const auto& runs) {
        const auto run = runs.find(task.run);
        return run != runs.end() && run->second->state == history::RunState::paused;
    };
    return task.run != 0 && (paused(ctx.snapshot.training) || paused(ctx.snapshot.probes));
}

std::string task_progress(const ui::Context& ctx, const client::Task& task) {
    const double fraction = task_fraction(ctx, task);
    std::string words = fraction >= 0 ? ui::percent_text(ctx.text, std::floor(fraction * 100) / 100) : std::string();
    const char* comma = ctx.text("common.comma");
    if (task_paused(ctx, task)) {
        base::append_to_list(words, ctx.text("state.paused"), comma);
    } else if (task.seconds_left >= 0) {
        base::append_to_list(
            words, ctx.text.format("task.left", {{"time", ui::duration_text(ctx.text, task.seconds_left)}}), comma);
    }
    return words;
}

const client::Task* task_of(const client::Snapshot& snapshot, std::uint32_t run) {
    const auto task = std::find_if(snapshot.tasks.begin(), snapshot.tasks.end(),
                                   [&](const client::Task& one) { return one.run == run; });
    return run == 0 || task == snapshot.tasks.end() ? nullptr : &*task;
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
