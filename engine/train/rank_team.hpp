// What the ranks of a training run tell each other outside of a pass: what rank 0 has the others do, gradients, and the
// whole model for who writes it down.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/model/parameters.hpp"
#include "engine/model/rank_work.hpp"
#include "engine/train/optimizer_share.hpp"
#include "engine/train/trainer.hpp"
#include "kernels/ops.hpp"

namespace moescope::engine {

/// What rank 0 has the others do with it.
enum class RankTask : std::int64_t { end, step, evaluate, whole, set, disable, freeze, reset };
/// One of the flat buffers.
enum class FlatBuffer : std::int64_t { parameters, gradients, first_moment, second_moment };

struct RankOrder {
    RankTask task = RankTask::end;
    FlatBuffer buffer = FlatBuffer::parameters;  ///< of whole
    std::int64_t layer = 0, expert = 0, on = 0;  ///< of disable, freeze and reset
    std::string settings;                        ///< of set: JSON
};

class RankTeam {
 public:
    /// Every rank calls it. `ops` outlives it. Throws Error, also when the ranks don't start from the same things.
    RankTeam(const TrainingRanks& ranks, const RunConfig& config, const std::string& start_from, kernels::Ops& ops);
    /// Rank 0 lets the others go, unless they are lost.
    ~RankTeam();
    RankTeam(const RankTeam&) = delete;
    RankTeam& operator=(const RankTeam&) = delete;

    RankWork& work() { return work_; }
    const RankWork& work() const { return work_; }
    bool leads() const { return world_->rank() == 0; }

    /// Rank 0: has the others do the same, then does it. What it throws loses the team.
    template <class Do>
    auto lead(const RankOrder& order, const Do& work) {
        send(order);
        return guarded(work);
    }
    /// The others: the next order.
    RankOrder wait();
    template <class Do>
    auto guarded(const Do& work) {
        require_whole();
        const Unfinished unfinished(*this);
        return work();
    }

    /// Sums of the ranks' gradients, each where it is kept; memory of the operations, as with share_parameters().
    void add_gradients(float* gradients, const ParameterLayout& layout);
    /// Of each tensor; those of shared experts become sums over the ranks that share them.
    void add_square_sums(std::vector<double>& sums, const ParameterLayout& layout);
    void add(std::vector<double>& values) { work_.batch().all_reduce(std::span(values)); }
    /// The parameters that each rank has moved, to all that have them.
    void share_parameters(float* parameters, const ParameterLayout& layout);
    /// Before and after what all ranks do in a step; rank 0 gets what each of them did.
    void begin_step();
    void end_step(RankStep& into);
    /// On rank 0 a flat buffer of the whole model, until the next call; null on the others. `mine` is the host's.
    const float* whole(const float* mine, const ParameterLayout& layout);
    /// The same of a moment, of which each rank keeps a share.
    const float* whole_moment(const float* mine);

 private:
    /// The team is lost when this goes by an exception.
    class Unfinished {
     public:
        explicit Unfinished(RankTeam& team) : team_(team), exceptions_(std::uncaught_exceptions()) {}
        ~Unfinished() { team_.lost_ = team_.lost_ || std::uncaught_exceptions() > exceptions_; }
        Unfinished(const Unfinished&) = delete;
        Unfinished& operator=(const Unfinished&) = delete;

     private:
        RankTeam& team_;
        int exceptions_;
    };
    void require_whole() const;
    void abort() noexcept;
    /// What this rank has exchanged so far, both ways together.
    void count(comm::CommCounters& into) const;
    void send(const RankOrder& order);

    std::shared_ptr<comm::Comm> world_;
    const ModelConfig model_;
    /// The same ranks with the memory of the operations. `direct_`: their data do not go through world_.
    std::unique_ptr<comm::Comm> device_;
    bool direct_ = false;
    RankWork work_;
    std::vector<OptimizerShare> shares_;  ///< of each rank
    std::vector<float> whole_;
    std::chrono::steady_clock::time_point begin_;  ///< of the step
    comm::CommCounters before_, now_;              ///< at that time, and at the step's end
    std::vector<double> figures_;                  ///< of each rank, in a row
    std::vector<comm::Outgoing> out_;
    std::vector<comm::Incoming> in_;
    bool lost_ = false;
};

}  // namespace moescope::engine
