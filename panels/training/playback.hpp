// A run of training as a recording: which steps there are and when each was done, the clock that plays them, and what
// happened on the way. Pure: no window and no clock of its own; GUI thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <span>
#include <vector>

#include "nodes/history/notes.hpp"
#include "nodes/history/runs.hpp"

namespace moescope::panels {

/// Steps that are missing, both ends included.
struct StepHole {
    std::uint64_t first = 0, last = 0;
};

/// The steps of a run as rows of its columns, holes left out, and the time of training until the end of each: the sum
/// of the wall times of the steps (`step_ms`), so without pauses, evaluations and checkpoints.
class StepClock {
 public:
    /// Once a frame. Takes in what was appended since, and begins anew for another run and after a rewind.
    void update(const history::TrainingRun& run);

    bool empty() const { return rows_.empty(); }
    std::size_t size() const { return rows_.size(); }
    std::uint64_t step(std::size_t i) const { return rows_[i].step; }
    std::uint64_t first() const { return rows_.front().step; }
    std::uint64_t last() const { return rows_.back().step; }
    /// Seconds of training until the end of that step; 0 where no times are known.
    double seconds(std::size_t i) const { return rows_[i].seconds; }
    bool has_time() const { return !rows_.empty() && rows_.back().seconds > 0; }
    /// The last step that is not after `step`; the first one when all are. There must be steps.
    std::size_t at(std::uint64_t step) const;
    /// The last step that was done by then, the first one when none was.
    std::size_t at_seconds(double seconds) const;
    const std::vector<StepHole>& holes() const { return holes_; }
    /// The hole that `step` lies in.
    std::optional<StepHole> hole_at(std::uint64_t step) const;
    /// Rises when the run is another one, has gone back, or has another hole.
    std::uint64_t version() const { return version_; }

 private:
    struct Row {
        std::uint64_t step = 0;
        double seconds = 0;
    };
    std::uint32_t run_ = 0;
    std::size_t taken_ = 0;  ///< rows of the columns
    double last_step_ = 0, last_ms_ = 0;
    std::vector<Row> rows_;
    std::vector<StepHole> holes_;
    std::uint64_t version_ = 0;
};

/// How fast a run is played: so many times as fast as it was, or so many steps in a second.
struct PlaySpeed {
    double value = 1;
    bool steps = false;
};
inline constexpr std::array<PlaySpeed, 17> kPlaySpeeds = {{{0.25},
                                                           {0.5},
                                                           {1},
                                                           {2},
                                                           {5},
                                                           {10},
                                                           {25},
                                                           {50},
                                                           {100},
                                                           {250},
                                                           {500},
                                                           {1000},
                                                           {1, true},
                                                           {5, true},
                                                           {25, true},
                                                           {100, true},
                                                           {1000, true}}};
inline constexpr std::size_t kUsualSpeed = 5;  ///< ten times as fast as it was

/// The step that is looked at: of Selection::pinned_step. Nothing: the newest one.
using StepPosition = std::optional<std::uint64_t>;

/// Plays a run from a position on. The position itself belongs to who calls: this only moves it.
class Playback {
 public:
    std::size_t speed = kUsualSpeed;  ///< index into kPlaySpeeds

    bool playing() const { return playing_; }
    /// Begins at `position`; from the first step where that is the newest one. Gives where it stands. Nothing to play:
    /// it does not begin.
    StepPosition play(const StepClock& clock, StepPosition position);
    void pause() { playing_ = false; }
    /// Where the position is `seconds` later. At the newest step it stops, and the position is the newest. When
    /// somebody has set the position to the newest meanwhile, it stops too; set to another step, it goes on from there.
    /// In a run without times a speed is one of steps in a second.
    StepPosition advance(double seconds, const StepClock& clock, StepPosition position);

 private:
    bool playing_ = false;
    StepPosition stands_;  ///< as of the last call
    double rest_ = 0;      ///< of a step, or seconds, that was played beyond it
};

/// The step after `position`, and the one before: nothing is the newest. From the newest there is none after, and the
/// first one has none before it: it stays. There must be steps.
StepPosition step_after(const StepClock& clock, StepPosition position);
StepPosition step_before(const StepClock& clock, StepPosition position);
/// The step nearest to a place on an axis of steps; nothing at the newest one and beyond it.
StepPosition step_near(const StepClock& clock, double place);

/// What happened at a step.
struct TimelineMark {
    static constexpr std::size_t kNone = std::numeric_limits<std::size_t>::max();
    std::uint64_t step = 0;     ///< of a hole the first one that is missing
    std::size_t event = kNone;  ///< index into the run's events
    std::size_t hole = kNone;   ///< index into the clock's holes
    std::uint32_t note = 0;     ///< number of a note on the step; 0: none
};
/// Everything that happened and was noted, in the order of the steps. `notes`: of the session.
std::vector<TimelineMark> timeline_marks(const history::TrainingRun& run, const StepClock& clock,
                                         const std::map<std::uint32_t, history::Note>& notes);
/// The marks at the next step behind `position` that has any, and those at the one before it; `marks` as above. Empty
/// where there is none.
std::span<const TimelineMark> marks_after(const std::vector<TimelineMark>& marks, std::uint64_t position);
std::span<const TimelineMark> marks_before(const std::vector<TimelineMark>& marks, std::uint64_t position);

}  // namespace moescope::panels
