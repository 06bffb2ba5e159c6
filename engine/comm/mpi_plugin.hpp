// What libmoescope-mpi.so offers to the program that opens it: the few functions of MPI that an exchange needs, as a
// table in C, so that the program starts without MPI and the plugin knows nothing of the program. The version stands
// first and never moves.
#pragma once

#include <cstdint>

namespace moescope::engine::comm {

inline constexpr std::uint32_t kMpiPluginVersion = 1;
inline constexpr const char* kMpiPluginFile = "libmoescope-mpi.so";
inline constexpr const char* kMpiPluginEntry = "moescope_mpi_plugin";

struct MpiTransfer {
    std::int32_t rank;
    void* data;
    std::uint64_t bytes;
};

/// Called by one thread at a time, throw nothing. What goes wrong is written into `error` (`size` bytes with the zero
/// byte).
struct MpiPlugin {
    std::uint32_t version;
    /// Once. 0, or -1 with `error`.
    std::int32_t (*start)(std::int32_t* rank, std::int32_t* ranks, char* error, std::int32_t size);
    /// Begins an exchange, when the one before is done; memory must stay until then. 0, or -1 with `error`.
    std::int32_t (*begin)(const MpiTransfer* out, std::int32_t out_count, const MpiTransfer* in, std::int32_t in_count,
                          char* error, std::int32_t size);
    /// 1: the exchange is done, 0: not yet, -1 with `error`.
    std::int32_t (*poll)(char* error, std::int32_t size);
    /// Waits for all ranks to do the same.
    void (*finish)();
    /// Ends every rank, this one too.
    void (*abort)(std::int32_t status);
};
using MpiPluginEntry = const MpiPlugin* (*)();

}  // namespace moescope::engine::comm
