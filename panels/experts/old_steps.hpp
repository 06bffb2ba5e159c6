// Counts and ranks of steps that the window holds no more: of a long run it keeps those of the latest steps, and asks
// the node for earlier ones when the position is there. One per session (Context::shared), for all panels. GUI thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "nodes/history/load_sums.hpp"
#include "nodes/history/step_store.hpp"
#include "panels/experts/load_model.hpp"
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
    /// What was the run's before its counts begin, of the steps from `from` to `to`. Behind up_to() in the same frame,
    /// whose question goes first; what is missing is asked for in pieces of a few megabytes, for the range of this
    /// frame alone. What is kept is bounded. Valid until the next call.
    const OldRange& in(ui::Context& ctx, const history::TrainingRun& run, double from, double to);
    /// The routers' entropies at any step, [layers], nats; null while the node has not sent them. Behind up_to().
    history::StepStore::Entropies router_entropy_at(ui::Context& ctx, const history::TrainingRun& run,
                                                    std::uint64_t step);

 private:
    void take(ui::Context& ctx);
    void ask(ui::Context& ctx, std::uint32_t run, std::uint64_t first, std::uint64_t last, bool of_range = false);
    void find_range(const history::TrainingRun& run, double from, double to);

    history::StepStore store_;
    history::StepStore range_store_;  ///< of its own: neither sends away what the other one shows
    OldRange range_;
    struct RangeKey {
        double from = 0, to = 0;
        std::uint64_t oldest = 0, answers = 0;
        bool operator==(const RangeKey&) const = default;
    };
    std::optional<RangeKey> range_key_;
    std::uint64_t answers_ = 0;  ///< taken for ranges
    std::uint32_t run_ = 0;
    std::uint64_t session_ = 0;  ///< Snapshot::session
    client::CommandId sent_ = 0;
    std::uint32_t sent_run_ = 0;
    std::uint64_t first_ = 0, last_ = 0;  ///< that were asked for
    std::uint64_t near_ = 0;
    bool of_range_ = false;  ///< the question is about a range
    bool refused_ = false;   ///< the node does not know the question, or can't answer it
};

/// Index of the last row of the run's columns that is not after `step`; nothing when all are, or there is none.
std::optional<std::size_t> row_up_to(const history::TrainingRun& run, std::uint64_t step);

}  // namespace moescope::panels
