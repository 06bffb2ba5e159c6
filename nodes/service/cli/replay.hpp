// Options of training and replay, which share a subcommand.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "nodes/service/library/paths.hpp"

namespace moescope::node {

struct TrainOptions {
    std::string preset, config, data = "manpages", out;
    std::string node;            ///< address of another machine's node that does it; empty: here
    std::optional<double> wait;  ///< see RemoteNode
    std::string init;    ///< weights to start from: library name, checkpoint, session, Hugging Face folder or GGUF file
    std::string replay;  ///< session of which a training run is run again and compared
    std::uint32_t replay_run = 0;  ///< which; 0: the latest
    std::string replay_data;       ///< where its data lie here; empty: where they were
    std::optional<int> steps, threads;
    std::optional<std::uint64_t> seed;
    int expert_parallel = 1;  ///< ranks of mpirun that share the experts
    bool all_to_all = false;  ///< each of them with sequences of its own
    std::optional<std::string> device;
    std::optional<std::string> exchange;        ///< as train.exchange has it
    std::optional<std::uint64_t> disk_reserve;  ///< see DiskGuard
    bool resume = false, json = false;
};

/// Runs a training run of a session again and compares every step; before, says on standard error what is other here.
/// 0 when all are equal, 3 when not. Throws to fail.
int replay_command(const Paths& paths, const TrainOptions& options);
/// Says what is other here, the data included, and runs nothing: 0 when that is nothing, else 3. Throws to fail.
int check_replay_command(const Paths& paths, const TrainOptions& options);

}  // namespace moescope::node
