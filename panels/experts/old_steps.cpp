#include "panels/experts/old_steps.hpp"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <span>

#include "base/base64.hpp"
#include "base/json_fields.hpp"
#include "nodes/protocol/records.hpp"
#include "panels/experts/load_model.hpp"

namespace moescope::panels {
namespace {

using history::StepCounts;
using history::TrainingRun;
using protocol::RecordType;

/// Behind the position, so that who goes on from there finds them.
constexpr std::uint64_t kAhead = 8;
constexpr std::uint64_t kMostAsked = 4096;  ///< steps in one question, holes included

/// A row that stands for steps that are missing.
bool is_hole(const TrainingRun& run, std::size_t row) {
    const history::Column &loss = run[&base::StepValues::loss], &time = run[&base::StepValues::step_ms];
    return row < loss.size() && std::isnan(loss[row]) && std::isnan(time[row]);
}

std::uint64_t distance(std::uint64_t a, std::uint64_t b) {
    return a > b ? a - b : b - a;
}

}  // namespace

void StepStore::clear() {
    *this = StepStore();
}

void StepStore::add(const nlohmann::json& answer, std::uint32_t run, std::uint64_t first, std::uint64_t last,
                    std::uint64_t near) {
    const nlohmann::json& records = base::member(answer, "records");
    const std::optional<std::uint64_t> next = base::as_count(base::member(answer, "next"));
    if (!records.is_array() || last < first || last - first >= kMostAsked) {
        return;
    }
    for (const nlohmann::json& entry : records) {
        const nlohmann::json& body = base::member(entry, "body");
        const auto bytes = body.is_string() ? base::decode_base64(body.get_ref<const std::string&>()) : std::nullopt;
        if (!bytes) {
            continue;
        }
        const auto type = base::as_count(base::member(entry, "type")).value_or(0);
        const auto view = std::as_bytes(std::span(*bytes));
        if (type == static_cast<std::uint64_t>(RecordType::step)) {
            auto record = protocol::decode_step(view);
            if (record && record->run == run && record->step >= first && record->step <= last) {
                Step& step = steps_[record->step];
                bytes_ -= step.bytes;
                step.bytes = record->counts.size() * sizeof(std::uint32_t) + bytes->size() / 8;
                bytes_ += step.bytes;
                step.counts = std::make_shared<const StepCounts>(StepCounts{record->step, std::move(record->counts)});
            }
        } else if (type == static_cast<std::uint64_t>(RecordType::ranks)) {
            auto record = protocol::decode_ranks(view);
            if (record && record->run == run && record->step >= first && record->step <= last) {
                Step& step = steps_[record->step];
                step.bytes += bytes->size();
                bytes_ += bytes->size();
                step.ranks = std::make_shared<const protocol::RankRecord>(std::move(*record));
            }
        }
    }
    for (std::uint64_t step = first; step <= last && step < next.value_or(last + 1); ++step) {
        if (!steps_.contains(step)) {
            absent_.insert(step);
        }
    }
    constexpr std::size_t kMostAbsent = 100'000;
    if (absent_.size() > kMostAbsent) {
        absent_.clear();
    }
    while (bytes_ > kMostBytes && steps_.size() > 1) {
        const auto newest = std::prev(steps_.end());
        const auto gone =
            distance(steps_.begin()->first, near) > distance(newest->first, near) ? steps_.begin() : newest;
        bytes_ -= gone->second.bytes;
        steps_.erase(gone);
    }
}

StepStore::Counts StepStore::counts(std::uint64_t step) const {
    const auto found = steps_.find(step);
    return found == steps_.end() ? nullptr : found->second.counts;
}

StepStore::Ranks StepStore::ranks(std::uint64_t step) const {
    const auto found = steps_.find(step);
    return found == steps_.end() ? nullptr : found->second.ranks;
}

StepStore::Counts StepStore::nearest(std::uint64_t step) const {
    const auto after = steps_.lower_bound(step);
    if (steps_.empty()) {
        return nullptr;
    }
    if (after == steps_.begin()) {
        return after->second.counts;
    }
    const auto before = std::prev(after);
    const bool later = after != steps_.end() && after->first - step < step - before->first;
    return later ? after->second.counts : before->second.counts;
}

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
            store_.add(answer->value, run_, first_, last_, near_);
        } else {
            refused_ = refused_ || answer->state == client::CommandResult::State::failed;
        }
    } else if (sent_ != 0 && !ui::pending(ctx.snapshot, sent_)) {
        sent_ = 0;  // its answer was dropped
    }
}

void OldSteps::ask(ui::Context& ctx, std::uint32_t run, std::uint64_t first, std::uint64_t last) {
    last = std::min(last, first + kMostAsked - 1);
    sent_ = ctx.client.send("train.steps", {{"run", run}, {"first", first}, {"last", last}});
    sent_run_ = run;
    first_ = first;
    last_ = last;
}

ShownSteps OldSteps::up_to(ui::Context& ctx, const TrainingRun& run, std::optional<std::uint64_t> position,
                           std::size_t steps) {
    if (run_ != run.id || session_ != ctx.snapshot.session) {
        store_.clear();
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

StepStore::Ranks OldSteps::ranks_at(const TrainingRun& run, std::uint64_t step) const {
    return run.id == run_ ? store_.ranks(step) : nullptr;
}

}  // namespace moescope::panels
