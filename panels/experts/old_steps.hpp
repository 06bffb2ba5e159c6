// Counts and ranks of steps that the window holds no more: of a long run it keeps those of the latest steps, and asks
// the node for earlier ones when the position is there. One per session (Context::shared), for all panels. GUI thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "nodes/history/load_sums.hpp"
#include "nodes/history/step_store.hpp"
#include "panels/ui/context.hpp"

namespace moescope::panels {

/// Of the steps up to the position: which of them are on show.
struct ShownSteps {
    std::vector<history::LoadSums::Step> counts;  ///< oldest first, not empty; the last one is the step on show
    enum class State {
        exact,    ///< of the position
        nearest,  ///< its own are not kept, or the run has none there
        coming,   ///< so, until the node has sent them
    };
    State state = State::exact;
};

class OldSteps {
 public:
    /// The `steps` latest steps up to `position` (nothing: the newest), fewer where no more are known. What is not held
    /// is asked for, one question at a time: a position that is left before its turn is never asked for. The run must
    /// have counts.
    ShownSteps up_to(ui::Context& ctx, const history::TrainingRun& run, std::optional<std::uint64_t> position,
                     std::size_t steps);
    /// The record of the ranks at a step that the run holds no more; null while there is none. Asks for nothing.
    history::StepStore::Ranks ranks_at(const history::TrainingRun& run, std::uint64_t step) const;

 private:
    void take(ui::Context& ctx);
    void ask(ui::Context& ctx, std::uint32_t run, std::uint64_t first, std::uint64_t last);

    history::StepStore store_;
    std::uint32_t run_ = 0;
    std::uint64_t session_ = 0;  ///< Snapshot::session
    client::CommandId sent_ = 0;
    std::uint32_t sent_run_ = 0;
    std::uint64_t first_ = 0, last_ = 0;  ///< that were asked for
    std::uint64_t near_ = 0;
    bool refused_ = false;  ///< the node does not know the question, or can't answer it
};

/// Index of the last row of the run's columns that is not after `step`; nothing when all are, or there is none.
std::optional<std::size_t> row_up_to(const history::TrainingRun& run, std::uint64_t step);

}  // namespace moescope::panels
