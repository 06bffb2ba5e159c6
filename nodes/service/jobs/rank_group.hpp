// A training run in several processes ("ranks") of this machine, which mpirun starts for the node. Rank 0 joins the
// node over a socket of its own and does what it is asked: a step, a checkpoint, a knob; the others follow it. So the
// node keeps session, commands and checkpoints as of a run that it trains itself.
//
//     node -- a socket -- rank 0 -- MPI -- rank 1, 2, ...
//
// Messages are those of worker_wire.hpp: a request is JSON {"op",...}, its answer JSON {"op":"ended","steps",...} or
// {"op":"failed","message"}; a step's answer follows its records.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <sys/types.h>

#include "base/sentence.hpp"
#include "engine/model/config.hpp"
#include "engine/text/pieces.hpp"
#include "nodes/service/jobs/run_trainer.hpp"
#include "nodes/service/library/paths.hpp"

namespace moescope::node {

struct TrainingRequest;

/// Why no run of several processes can be started here; empty when it can. Looks for mpirun (MOESCOPE_MPIRUN names
/// another program, for tests) and for the part of the program that speaks MPI.
base::Sentence why_no_processes();
/// Throws CommandError: the run has several processes, and cannot be started so.
void require_processes(const engine::RunConfig& config);

/// Of each process of a run that leaves the number of threads open: they share the cores.
int threads_of_run(const engine::TrainConfig& train);
/// Bytes of a launcher and of the processes that it has started (base::process_memory); 0 of one below 0.
std::uint64_t memory_of_ranks(pid_t launcher);

struct StartedRanks {
    std::unique_ptr<RunTrainer> trainer;
    pid_t launcher = -1;
};
/// Starts the processes that the order's configuration wants and waits until they can train; the data should be in the
/// cache by then. The calling thread must live as long as the trainer, which ends the processes when it goes. A rank
/// that ends makes whatever is asked then throw base::Error, and everything after it. Throws base::Error, and what
/// `check` throws, which is called between looks.
StartedRanks start_ranks(const Paths& paths, const TrainingRequest& order, const engine::StopCheck& check);

/// What each of those processes does; gives its exit status. `socket`: where rank 0 joins the node.
int rank_main(const Paths& paths, const std::string& socket);

}  // namespace moescope::node
