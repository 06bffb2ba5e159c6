#include "panels/experts/old_steps.hpp"

#include <algorithm>
#include <cmath>

#include "panels/experts/load_model.hpp"

namespace moescope::panels {
namespace {

using history::StepStore;
using history::TrainingRun;

/// Behind the position, so that who goes on from there finds them.
constexpr std::uint64_t kAhead = 8;

/// A row that stands for steps that are missing.
bool is_hole(const TrainingRun& run, std::size_t row) {
    const history::Column &loss = run[&base::StepValues::loss], &time = run[&base::StepValues::step_ms];
    return row < loss.size() && std::isnan(loss[row]) && std::isnan(time[row]);
}

std::uint64_t distance(std::uint64_t a, std::uint64_t b) {
    return a > b ? a - b : b - a;
}

}  // namespace

std::optional<std::size_t> row_up_to(const TrainingRun& run, std::uint64_t step) {
    std::size_t first = 0, last = run.step.size();
    while (first < last) {
        const std::size_t middle = first + (last - first) / 2;
        if (run.step[middle] <= static_cast<double>(step)) {
            first = middle + 1;
        } else {
            last = middle;
        }
    }
    return first == 0 ? std::nullopt : std::optional(first - 1);
}

void OldSteps::take(ui::Context& ctx) {
    const client::CommandResult* answer = ui::take_answer(ctx, sent_);
    if (answer != nullptr) {
        if (answer->state == client::CommandResult::State::done && sent_run_ == run_) {
            if (of_range_) {
                range_store_.add(answer->value, run_, first_, last_, first_);
                ++answers_;
            } else {
                store_.add(answer->value, run_, first_, last_, near_);
            }
        } else {
            refused_ = refused_ || answer->state == client::CommandResult::State::failed;
        }
    } else if (sent_ != 0 && !ui::pending(ctx.snapshot, sent_)) {
        sent_ = 0;  // its answer was dropped
    }
}

void OldSteps::ask(ui::Context& ctx, std::uint32_t run, std::uint64_t first, std::uint64_t last, bool of_range) {
    of_range_ = of_range;
    last = std::min(last, first + StepStore::kMostAsked - 1);
    sent_ = ctx.client.send("train.steps", {{"run", run}, {"first", first}, {"last", last}});
    sent_run_ = run;
    first_ = first;
    last_ = last;
}

ShownSteps OldSteps::up_to(ui::Context& ctx, const TrainingRun& run, std::optional<std::uint64_t> position,
                           std::size_t steps) {
    if (run_ != run.id || session_ != ctx.snapshot.session) {
        store_.clear();
        range_store_.clear();
        range_key_.reset();
        run_ = run.id;
        session_ = ctx.snapshot.session;
        refused_ = false;
    }
    take(ctx);
    const std::uint64_t oldest = run.counts.front()->step;
    ShownSteps shown;
    std::optional<std::size_t> row = position && *position < oldest ? row_up_to(run, *position) : std::nullopt;
    if (!row) {
        // What is held, as far as it reaches.
        const std::size_t last = shown_index(run, position), first = last + 1 - std::min(steps, last + 1);
        shown.counts.assign(run.counts.begin() + static_cast<std::ptrdiff_t>(first),
                            run.counts.begin() + static_cast<std::ptrdiff_t>(last) + 1);
        shown.state =
            position && run.counts[last]->step > *position ? ShownSteps::State::nearest : ShownSteps::State::exact;
        return shown;
    }
    near_ = *position;
    std::optional<std::uint64_t> missing_first, missing_last;
    for (std::size_t taken = 0; taken < steps; --*row) {
        const auto step = static_cast<std::uint64_t>(std::max(0.0, run.step[*row]));
        if (is_hole(run, *row)) {
            // nothing to ask for
        } else if (StepStore::Counts counts = store_.counts(step)) {
            shown.counts.push_back(std::move(counts));
            ++taken;
        } else if (!store_.knows(step)) {
            missing_first = step;
            missing_last = missing_last.value_or(step);
            ++taken;
        }
        if (*row == 0) {
            break;
        }
    }
    std::reverse(shown.counts.begin(), shown.counts.end());
    const bool can_come = missing_first && !refused_ && ctx.connected();
    if (can_come && sent_ == 0) {
        ask(ctx, run.id, *missing_first, std::min(*missing_last + (steps == 1 ? kAhead : 0), oldest - 1));
    }
    // All or nothing: a sum of some of the steps would pass for that of all.
    if (missing_first || shown.counts.empty()) {
        StepStore::Counts near = store_.nearest(*position);
        if (!near || distance(near->step, *position) > oldest - *position) {
            near = run.counts.front();
        }
        shown.counts = {std::move(near)};
        shown.state = can_come ? ShownSteps::State::coming : ShownSteps::State::nearest;
    }
    if (sent_ != 0) {
        ctx.draw_within(0.1);
    }
    return shown;
}

/// From the columns, which have a row for every step.
void OldSteps::find_range(const TrainingRun& run, double from, double to) {
    range_.counts.clear();
    range_.missing.clear();
    ++range_.version;
    const std::size_t bytes = std::max<std::size_t>(1, run.counts.front()->counts.size()) * sizeof(std::uint32_t);
    range_.most = std::clamp<std::uint64_t>(StepStore::kMostBytes / 2 / bytes, 1, StepStore::kMostAsked);
    range_.state = OldRange::State::whole;
    const std::uint64_t oldest = run.counts.front()->step, first = static_cast<std::uint64_t>(from),
                        after = std::min(oldest, static_cast<std::uint64_t>(std::max(from, to)));
    const auto rows_before = [&](std::uint64_t step) {
        const auto row = step == 0 ? std::nullopt : row_up_to(run, step - 1);
        return row ? *row + 1 : 0;
    };
    const std::size_t begin = rows_before(first), end = std::max(begin, rows_before(after));
    if (end - begin > range_.most) {
        range_.state = OldRange::State::wide;
        return;
    }
    for (std::size_t at = begin; at < end; ++at) {
        const auto step = static_cast<std::uint64_t>(std::max(0.0, run.step[at]));
        if (is_hole(run, at)) {
            continue;
        }
        if (StepStore::Counts counts = range_store_.counts(step)) {
            range_.counts.push_back(std::move(counts));
        } else if (!range_store_.knows(step)) {
            range_.missing.push_back(step);
        }
    }
}

const OldRange& OldSteps::in(ui::Context& ctx, const TrainingRun& run, double from, double to) {
    constexpr std::size_t kPiece = std::size_t{2} << 20;  // bytes of counts
    const RangeKey key{std::max(0.0, std::floor(from)), std::ceil(to), run.counts.front()->step, answers_};
    if (range_key_ != key) {
        range_key_ = key;
        find_range(run, key.from, key.to);
    }
    if (range_.missing.empty()) {
        return range_;
    }
    const bool can_come = !refused_ && ctx.connected();
    range_.state = can_come ? OldRange::State::coming : OldRange::State::lost;
    if (can_come && sent_ == 0) {
        const std::size_t bytes = std::max<std::size_t>(1, run.counts.front()->counts.size()) * sizeof(std::uint32_t);
        const std::uint64_t first = range_.missing.front(), most = std::max<std::size_t>(1, kPiece / bytes);
        ask(ctx, run.id, first, std::min({range_.missing.back(), first + most - 1, key.oldest - 1}), true);
    }
    if (can_come) {
        ctx.draw_within(0.1);
    }
    return range_;
}

StepStore::Entropies OldSteps::router_entropy_at(ui::Context& ctx, const TrainingRun& run, std::uint64_t step) {
    if (run.id != run_) {
        return nullptr;
    }
    for (const StepStore* store : {&store_, &range_store_}) {
        if (StepStore::Entropies found = store->router_entropy(step)) {
            return found;
        }
    }
    if (sent_ == 0 && !refused_ && ctx.connected() && !store_.knows(step)) {
        near_ = step;
        ask(ctx, run.id, step, step);
    }
    if (sent_ != 0) {
        ctx.draw_within(0.1);
    }
    return nullptr;
}

StepStore::Ranks OldSteps::ranks_at(const TrainingRun& run, std::uint64_t step) const {
    return run.id == run_ ? store_.ranks(step) : nullptr;
}

}  // namespace moescope::panels
