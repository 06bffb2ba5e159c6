// Ranks that mpirun or srun started.
#pragma once

#include <chrono>
#include <filesystem>
#include <memory>

#include "engine/comm/comm.hpp"

namespace moescope::engine::comm {

/// Ranks that the program was started with: 1 unless a launcher's variables say otherwise. Nothing is opened.
int launched_ranks();
/// Which of them this process is, from 0, before they are joined.
int launched_rank();

struct MpiSettings {
    std::filesystem::path plugin;  ///< libmoescope-mpi.so
    /// For the others in an operation of a step; ranks that hang are told by it.
    std::chrono::milliseconds patience = std::chrono::minutes(10);
};

/// All ranks of the launch. Once in a process. The thread that uses it may change, but there is one at a time. When it
/// goes it waits for the other ranks to end theirs, unless an operation failed; then the launcher ends them when this
/// process ends. Throws Error.
std::unique_ptr<Comm> open_mpi(const MpiSettings& settings);

/// The plugin of this program.
std::filesystem::path mpi_plugin_here();

}  // namespace moescope::engine::comm
