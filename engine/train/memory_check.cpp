#include "engine/train/memory_check.hpp"

#include <array>
#include <optional>
#include <string>

#include "base/text.hpp"
#include "engine/error.hpp"
#include "engine/model/machine_memory.hpp"
#include "engine/model/rank_work.hpp"
#include "engine/train/plan.hpp"
#include "kernels/cpu/cpu_ops.hpp"

namespace moescope::engine {
namespace {

/// Which bytes of a run are looked at.
using Part = std::uint64_t RunPlan::*;

/// Bytes of the run, or nothing when the configuration is not valid.
std::optional<std::uint64_t> planned(const RunConfig& config, kernels::Ops& ops, Part part) {
    try {
        return plan_run(config, ops).*part;
    } catch (const Error&) {
        return std::nullopt;
    }
}

struct Field {
    const char* name;
    int& (*of)(RunConfig&);
    int least_share;  ///< a suggestion below this part of the value would be another model
    int unit;         ///< only its multiples are possible
};

/// The largest value below the current one with which the run fits; 0 when there is none.
int largest_that_fits(const RunConfig& config, const Field& field, kernels::Ops& ops, Part part,
                      std::uint64_t available) {
    RunConfig changed = config;
    const int now = field.of(changed) / field.unit;
    const auto fits = [&](int units) {
        field.of(changed) = units * field.unit;
        const auto bytes = planned(changed, ops, part);
        return bytes && *bytes <= available;
    };
    int low = 0, high = now;  // low fits or is 0, high does not fit
    while (high - low > 1) {
        const int middle = low + (high - low) / 2;
        fits(middle) ? low = middle : high = middle;
    }
    return low * field.least_share >= now ? low * field.unit : 0;
}

/// "it would fit with one of train.batch 4, model.context 64"
Sentence what_fits(const RunConfig& config, kernels::Ops& ops, Part part, std::uint64_t available) {
    constexpr int kMuch = 16;
    const std::array<Field, 4> fields = {
        {{"train.batch", [](RunConfig& c) -> int& { return c.train.batch; }, config.train.batch, 1},
         {"model.context", [](RunConfig& c) -> int& { return c.model.context; }, kMuch, 1},
         {"model.experts", [](RunConfig& c) -> int& { return c.model.experts; }, kMuch, config.model.router_groups},
         {"model.layers", [](RunConfig& c) -> int& { return c.model.layers; }, kMuch, 1}}};
    std::string fitting;
    for (const Field& field : fields) {
        if (const int value = largest_that_fits(config, field, ops, part, available); value > 0) {
            base::append_to_list(fitting, fmt::format("{} {}", field.name, value));
        }
    }
    return fitting.empty() ? say("several sizes of the model must become smaller")
                           : say("it would fit with one of {}", fitting);
}

}  // namespace

void check_memory(const RunConfig& config, std::uint64_t available) {
    check_memory(config, *kernels::cpu_ops(threads_of(config)), available);
}

void check_memory(const RunConfig& config, kernels::Ops& ops, std::uint64_t available) {
    const RunPlan plan = plan_run(config, ops);
    const std::uint64_t of_device = ops.available_memory();
    if (!ops.host_memory() && plan.memory_bytes > of_device) {
        throw Error(say("the run needs {} of memory on {}, and {} can be had there: {}", memory_text(plan.memory_bytes),
                        ops.device(), memory_text(of_device),
                        what_fits(config, ops, &RunPlan::memory_bytes, of_device)));
    }
    if (plan.host_bytes > available) {
        throw Error(say("the run needs {} of memory, and {} can be had here: {}", memory_text(plan.host_bytes),
                        memory_text(available), what_fits(config, ops, &RunPlan::host_bytes, available)));
    }
}

namespace {

void check_share(std::uint64_t bytes, int neighbours, std::uint64_t available) {
    const std::uint64_t share = available / static_cast<std::uint64_t>(neighbours);
    if (bytes > share) {
        throw Error(
            say("each rank needs {} of memory, and {} can be had here for each of {}: choose a smaller model, batch or "
                "context, or spread the ranks over more machines",
                memory_text(bytes), memory_text(share), neighbours));
    }
}

}  // namespace

void check_rank_memory(const RunConfig& config, const TrainingRanks& ranks, std::uint64_t available) {
    const auto ops = kernels::cpu_ops(ranks.threads > 0 ? ranks.threads : threads_of(config));
    check_share(plan_run(config, *ops, shape_of(ranks, config)).memory_bytes, ranks.world->neighbours(), available);
}

void check_rank_memory(const RunConfig& config, const RankShape& ranks, kernels::Ops& ops) {
    const std::uint64_t bytes = plan_run(config, ops, ranks).memory_bytes, there = ops.available_memory();
    if (!ops.host_memory() && bytes > there) {
        throw Error(
            say("it needs {} of memory on {}, and {} can be had there: choose a smaller model, batch or context, "
                "or more processes",
                memory_text(bytes), ops.device(), memory_text(there)));
    }
}

void check_rank_memory(const RunConfig& config, std::uint64_t available) {
    validate(config, title_of(config));
    const auto ops = kernels::cpu_ops(threads_of(config));
    check_share(plan_run(config, *ops, shape_of(config.train)).memory_bytes, config.train.processes, available);
}

}  // namespace moescope::engine
