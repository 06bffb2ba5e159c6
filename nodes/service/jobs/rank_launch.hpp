// Training that mpirun or srun started as several processes: rank 0 has the session and decides, the others do their
// share of each step.
#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "engine/comm/comm.hpp"
#include "engine/comm/mpi_comm.hpp"
#include "engine/comm/nccl_comm.hpp"
#include "engine/train/trainer.hpp"
#include "kernels/devices.hpp"
#include "nodes/service/jobs/run_trainer.hpp"
#include "nodes/service/library/paths.hpp"

namespace moescope::node {

/// One thread at a time.
class RankLaunch {
 public:
    /// Every rank calls it; waits for all. Throws base::Error.
    RankLaunch(const Paths& paths, std::shared_ptr<engine::comm::Comm> world, const engine::TrainingRanks& sharing,
               std::optional<int> threads);
    /// Rank 0: the others go when they were given nothing to do.
    ~RankLaunch();
    RankLaunch(const RankLaunch&) = delete;
    RankLaunch& operator=(const RankLaunch&) = delete;

    bool leads() const { return ranks_.world->rank() == 0; }
    const engine::TrainingRanks& ranks() const { return ranks_; }

    /// How they share the run, as its configuration says; `threads` of this rank, 0: as they are.
    void share(const engine::TrainConfig& train, int threads);
    /// Every rank, once all know the configuration, which is then in ranks(): what computes this rank's share, null for
    /// the processor. On GPUs each rank of a machine has its own, the first the one that the configuration names, and
    /// all agree on the way of their data, which is then in ranks() and exchange(). Throws base::Error on all when one
    /// has none, or no room there, or can't go the way that the configuration asks for.
    std::unique_ptr<kernels::Ops> open_device(const engine::RunConfig& config);
    const RankExchange& exchange() const { return exchange_; }
    /// Every rank: whether all have the same program, and the same command as `settings` says it. Rank 0 throws when
    /// not; the others leave the sentence to it.
    bool agree(const std::string& settings);
    /// Rank 0: what the others train with it, once; not 0: with so many threads each.
    void begin(nlohmann::json order, int threads = 0);
    /// The others; nothing when there is nothing to do.
    std::optional<nlohmann::json> wait();

 private:
    /// Every rank: by NCCL on the GPU of that number, or through the host's memory.
    void choose_exchange(engine::Exchange wanted, int gpu);

    const std::filesystem::path program_;
    const engine::comm::NcclSettings nccl_;  ///< but for the GPU
    kernels::Devices devices_;
    engine::TrainingRanks ranks_;
    RankExchange exchange_;
    bool begun_ = false;
};

/// The plugin beside this program, and MOESCOPE_RANK_PATIENCE: seconds that a rank waits in a step for one that hangs.
/// Throws CommandError.
engine::comm::MpiSettings mpi_settings();

/// Null when this process is alone. Throws base::Error.
std::shared_ptr<RankLaunch> join_ranks(const Paths& paths, const engine::TrainingRanks& sharing,
                                       std::optional<int> threads);

/// What the ranks but the first do from here on: load the data, build the trainer and follow. How they share the run
/// stands in its configuration. Throws base::Error.
void follow_training(const Paths& paths, RankLaunch& launch);

}  // namespace moescope::node
