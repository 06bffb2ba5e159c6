// What libmoescope-nccl.so offers to the program that opens it: exchanges between GPUs by NCCL, as a table in C. The
// version stands first and never moves.
#pragma once

#include <cstdint>

namespace moescope::engine::comm {

inline constexpr std::uint32_t kNcclPluginVersion = 2;
inline constexpr const char* kNcclPluginFile = "libmoescope-nccl.so";
inline constexpr const char* kNcclPluginEntry = "moescope_nccl_plugin";
inline constexpr std::int32_t kNcclId = 128;  ///< bytes of an id

/// One rank's part in a group of ranks.
struct NcclRank;

struct NcclTransfer {
    std::int32_t rank;
    void* data;  ///< in the memory of this rank's GPU
    std::uint64_t bytes;
};

/// Different ranks may be used by different threads at the same time, one rank by one thread at a time. Nothing throws,
/// and nothing waits for other ranks but poll(). What goes wrong is written into `error` (`size` bytes with the zero
/// byte).
struct NcclPlugin {
    std::uint32_t version;
    std::int32_t nccl;  ///< of the library: 23203 for 2.32.3
    /// 0 when NCCL can use this GPU, else -1 with `error`.
    std::int32_t (*check)(std::int32_t device, char* error, std::int32_t size);
    /// Makes the id by which the ranks of a group find each other, kNcclId bytes. 0, or -1 with `error`.
    std::int32_t (*make_id)(void* id, char* error, std::int32_t size);
    /// Begins to join. Every rank calls it with the same id. Null with `error`.
    NcclRank* (*join)(const void* id, std::int32_t device, std::int32_t rank, std::int32_t ranks, char* error,
                      std::int32_t size);
    /// Begins an exchange with other ranks, when what was begun before is done. Its data must be ready: it does not
    /// wait for other streams, and until it is done nobody else may write them, or touch those that arrive. No empty
    /// parts. What goes to one rank arrives in the order of the list, part by part with the same sizes. 0, or -1 with
    /// `error`.
    std::int32_t (*begin)(NcclRank* rank, const NcclTransfer* out, std::int32_t out_count, const NcclTransfer* in,
                          std::int32_t in_count, char* error, std::int32_t size);
    /// 1: what was begun is done, 0: not yet, -1 with `error`.
    std::int32_t (*poll)(NcclRank* rank, char* error, std::int32_t size);
    /// Begins to leave, when what was begun before is done; it is done when no rank needs this one any more. 0, or -1
    /// with `error`.
    std::int32_t (*leave)(NcclRank* rank, char* error, std::int32_t size);
    /// Once, then the rank is gone. What is still going on is ended, on this GPU too.
    void (*release)(NcclRank* rank);
};
using NcclPluginEntry = const NcclPlugin* (*)();

}  // namespace moescope::engine::comm
