// Room that stays on the disk of a session: a run is paused while its checkpoints still fit, not when the disk is full.
#pragma once

#include <cstdint>
#include <filesystem>
#include <mutex>
#include <optional>

#include "base/sentence.hpp"

namespace moescope::node {

/// Thread safe. Looking costs one system call.
class DiskGuard {
 public:
    /// `reserve`: bytes that shall stay free; nothing: room for two checkpoints of the run and for the journal's
    /// segment, of a small disk a twentieth of it. 0: nobody watches.
    explicit DiskGuard(std::filesystem::path session, std::optional<std::uint64_t> reserve = {});

    void set_reserve(std::optional<std::uint64_t> bytes);
    std::optional<std::uint64_t> reserve() const;
    /// For a run whose checkpoints take so many bytes; 0: without one.
    std::uint64_t reserve_for(std::uint64_t checkpoint_bytes) const;
    /// Bytes that this user may still write there; nothing when it can't be told.
    std::optional<std::uint64_t> free() const;

    /// What is missing, where, and what to do; empty while there is enough.
    base::Sentence shortage(std::uint64_t checkpoint_bytes) const;
    /// The same of one checkpoint that is to be written now: it may use the reserve.
    base::Sentence no_room_for(std::uint64_t checkpoint_bytes) const;

 private:
    struct Disk {
        std::uint64_t free = 0, size = 0;
    };
    std::optional<Disk> look() const;
    static std::uint64_t reserve_of(const Disk& disk, std::uint64_t checkpoint_bytes);

    const std::filesystem::path session_;
    mutable std::mutex mutex_;
    std::optional<std::uint64_t> reserve_;
};

}  // namespace moescope::node
