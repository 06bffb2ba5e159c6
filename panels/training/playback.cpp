#include "panels/training/playback.hpp"

#include <algorithm>
#include <cmath>

namespace moescope::panels {

using history::TrainingRun;

void StepClock::update(const TrainingRun& run) {
    const history::Column& steps = run.step;
    const history::Column& times = run[&base::StepValues::step_ms];
    const history::Column& losses = run[&base::StepValues::loss];
    const auto ms_at = [&](std::size_t i) { return i < times.size() ? times[i] : base::kAbsent; };
    const auto same = [](double a, double b) { return a == b || (std::isnan(a) && std::isnan(b)); };
    const bool goes_on = run.id == run_ && steps.size() >= taken_ &&
                         (taken_ == 0 || (same(steps[taken_ - 1], last_step_) && same(ms_at(taken_ - 1), last_ms_)));
    if (!goes_on) {
        rows_.clear();
        holes_.clear();
        taken_ = 0;
        ++version_;
    } else if (steps.size() == taken_) {
        return;
    }
    run_ = run.id;
    for (std::size_t i = taken_; i < steps.size(); ++i) {
        const auto step = static_cast<std::uint64_t>(std::max(0.0, steps[i]));
        const double ms = ms_at(i);
        // Missing steps are one row without any value, between two that have some.
        if (i > 0 && i + 1 < steps.size() && i < losses.size() && std::isnan(losses[i]) && std::isnan(ms)) {
            ++version_;
            holes_.push_back({step, std::max(step, static_cast<std::uint64_t>(steps[i + 1]) - 1)});
            continue;
        }
        const double before = rows_.empty() ? 0 : rows_.back().seconds;
        rows_.push_back({step, before + (ms > 0 ? ms / 1000 : 0)});
    }
    taken_ = steps.size();
    last_step_ = taken_ == 0 ? 0 : steps[taken_ - 1];
    last_ms_ = taken_ == 0 ? 0 : ms_at(taken_ - 1);
}

std::size_t StepClock::at(std::uint64_t step) const {
    const auto after = std::upper_bound(rows_.begin(), rows_.end(), step,
                                        [](std::uint64_t s, const Row& row) { return s < row.step; });
    return after == rows_.begin() ? 0 : static_cast<std::size_t>(after - rows_.begin()) - 1;
}

std::size_t StepClock::at_seconds(double seconds) const {
    const auto after =
        std::upper_bound(rows_.begin(), rows_.end(), seconds, [](double s, const Row& row) { return s < row.seconds; });
    return after == rows_.begin() ? 0 : static_cast<std::size_t>(after - rows_.begin()) - 1;
}

std::optional<StepHole> StepClock::hole_at(std::uint64_t step) const {
    const auto after = std::upper_bound(holes_.begin(), holes_.end(), step,
                                        [](std::uint64_t s, const StepHole& hole) { return s < hole.first; });
    return after != holes_.begin() && std::prev(after)->last >= step ? std::optional(*std::prev(after)) : std::nullopt;
}

StepPosition Playback::play(const StepClock& clock, StepPosition position) {
    if (clock.size() < 2) {
        return position;
    }
    playing_ = true;
    rest_ = 0;
    stands_ = position && *position < clock.last() ? clock.step(clock.at(*position)) : clock.first();
    return stands_;
}

StepPosition Playback::advance(double seconds, const StepClock& clock, StepPosition position) {
    if (!playing_) {
        return position;
    }
    if (!position || clock.empty()) {
        playing_ = false;
        return position;
    }
    if (position != stands_) {
        rest_ = 0;
    }
    const PlaySpeed& now = kPlaySpeeds[std::min(speed, kPlaySpeeds.size() - 1)];
    std::size_t row = clock.at(*position);
    if (now.steps || !clock.has_time()) {
        rest_ += std::max(0.0, seconds) * now.value;
        const double whole = std::floor(rest_);
        rest_ -= whole;
        row = static_cast<double>(clock.size() - 1 - row) <= whole ? clock.size() - 1
                                                                   : row + static_cast<std::size_t>(whole);
    } else {
        const double until = clock.seconds(row) + rest_ + std::max(0.0, seconds) * now.value;
        row = std::max(row, clock.at_seconds(until));
        rest_ = until - clock.seconds(row);
    }
    if (row + 1 >= clock.size()) {
        playing_ = false;
        return {};
    }
    stands_ = clock.step(row);
    return stands_;
}

StepPosition step_after(const StepClock& clock, StepPosition position) {
    if (!position) {
        return {};
    }
    const std::size_t row = clock.at(*position) + (*position < clock.first() ? 0 : 1);
    return row + 1 >= clock.size() ? StepPosition() : StepPosition(clock.step(row));
}

StepPosition step_before(const StepClock& clock, StepPosition position) {
    const std::size_t row = clock.at(position.value_or(clock.last()));
    // In a hole, or beyond the last step, the one before is the last that is there.
    const bool between = position && *position > clock.step(row);
    return clock.step(between || row == 0 ? row : row - 1);
}

StepPosition step_near(const StepClock& clock, double place) {
    if (!(place < static_cast<double>(clock.last()))) {
        return {};
    }
    const std::size_t row = clock.at(static_cast<std::uint64_t>(std::max(0.0, place)));
    const double here = std::abs(place - static_cast<double>(clock.step(row)));
    const std::size_t near =
        row + 1 < clock.size() && static_cast<double>(clock.step(row + 1)) - place < here ? row + 1 : row;
    return near + 1 >= clock.size() ? StepPosition() : StepPosition(clock.step(near));
}

std::vector<TimelineMark> timeline_marks(const TrainingRun& run, const StepClock& clock,
                                         const std::map<std::uint32_t, history::Note>& notes) {
    std::vector<TimelineMark> marks;
    marks.reserve(run.events.size() + clock.holes().size());
    for (std::size_t i = 0; i < run.events.size(); ++i) {
        marks.push_back({.step = run.events[i].step, .event = i});
    }
    for (std::size_t i = 0; i < clock.holes().size(); ++i) {
        marks.push_back({.step = clock.holes()[i].first, .hole = i});
    }
    for (const auto& [number, note] : notes) {
        if (note.on.kind == history::NotePlace::Kind::step && note.on.run == run.id) {
            marks.push_back({.step = note.on.step, .note = number});
        }
    }
    std::stable_sort(marks.begin(), marks.end(),
                     [](const TimelineMark& a, const TimelineMark& b) { return a.step < b.step; });
    return marks;
}

namespace {

/// Those of the same step as `first`, of marks from there on.
std::span<const TimelineMark> group(const std::vector<TimelineMark>& marks,
                                    std::vector<TimelineMark>::const_iterator first) {
    const auto last =
        std::find_if(first, marks.end(), [&](const TimelineMark& mark) { return mark.step != first->step; });
    return {first, last};
}

}  // namespace

std::span<const TimelineMark> marks_after(const std::vector<TimelineMark>& marks, std::uint64_t position) {
    const auto first = std::upper_bound(marks.begin(), marks.end(), position,
                                        [](std::uint64_t step, const TimelineMark& mark) { return step < mark.step; });
    return first == marks.end() ? std::span<const TimelineMark>() : group(marks, first);
}

std::span<const TimelineMark> marks_before(const std::vector<TimelineMark>& marks, std::uint64_t position) {
    const auto behind = std::lower_bound(marks.begin(), marks.end(), position,
                                         [](const TimelineMark& mark, std::uint64_t step) { return mark.step < step; });
    if (behind == marks.begin()) {
        return {};
    }
    const std::uint64_t step = std::prev(behind)->step;
    return group(marks, std::lower_bound(marks.begin(), behind, step,
                                         [](const TimelineMark& mark, std::uint64_t s) { return mark.step < s; }));
}

}  // namespace moescope::panels
