#include "nodes/service/jobs/disk_guard.hpp"

#include <algorithm>
#include <limits>

#include "engine/model/machine_memory.hpp"
#include "sessions/journal.hpp"

namespace moescope::node {

using base::say;
using base::Sentence;

namespace {

constexpr std::uint64_t kCheckpoints = 2;
constexpr std::uint64_t kPartForTheJournal = 20;  // of a disk that is small beside a segment

std::uint64_t sum(std::uint64_t a, std::uint64_t b) {
    return a > std::numeric_limits<std::uint64_t>::max() - b ? std::numeric_limits<std::uint64_t>::max() : a + b;
}

}  // namespace

DiskGuard::DiskGuard(std::filesystem::path session, std::optional<std::uint64_t> reserve)
    : session_(std::move(session)), reserve_(reserve) {}

void DiskGuard::set_reserve(std::optional<std::uint64_t> bytes) {
    const std::lock_guard lock(mutex_);
    reserve_ = bytes;
}

std::optional<std::uint64_t> DiskGuard::reserve() const {
    const std::lock_guard lock(mutex_);
    return reserve_;
}

std::optional<DiskGuard::Disk> DiskGuard::look() const {
    std::error_code error;
    const auto space = std::filesystem::space(session_, error);
    return error ? std::nullopt : std::optional(Disk{space.available, space.capacity});
}

std::uint64_t DiskGuard::reserve_of(const Disk& disk, std::uint64_t checkpoint_bytes) {
    const std::uint64_t segment = std::min(sessions::JournalOptions{}.segment_bytes, disk.size / kPartForTheJournal);
    const std::uint64_t most = std::numeric_limits<std::uint64_t>::max() / kCheckpoints;
    return sum(kCheckpoints * std::min(checkpoint_bytes, most), segment);
}

std::uint64_t DiskGuard::reserve_for(std::uint64_t checkpoint_bytes) const {
    if (const auto set = reserve()) {
        return *set;
    }
    const auto disk = look();
    return disk ? reserve_of(*disk, checkpoint_bytes) : 0;
}

std::optional<std::uint64_t> DiskGuard::free() const {
    const auto disk = look();
    return disk ? std::optional(disk->free) : std::nullopt;
}

Sentence DiskGuard::shortage(std::uint64_t checkpoint_bytes) const {
    const auto set = reserve();
    const auto disk = look();
    if (!disk || set == 0u) {
        return {};
    }
    const std::uint64_t needed = set ? *set : reserve_of(*disk, checkpoint_bytes);
    if (disk->free >= needed) {
        return {};
    }
    return say(
        "the disk of {} is almost full: {} ({} bytes) are free, and {} ({} bytes) are kept for checkpoints and "
        "the journal; make room on the disk, or keep less",
        session_, engine::memory_text(disk->free), disk->free, engine::memory_text(needed), needed);
}

Sentence DiskGuard::no_room_for(std::uint64_t checkpoint_bytes) const {
    const auto disk = look();
    if (!disk || reserve() == 0u || disk->free >= checkpoint_bytes) {
        return {};
    }
    return say("the disk of {} has {} ({} bytes) free, and a checkpoint needs {} ({} bytes)", session_,
               engine::memory_text(disk->free), disk->free, engine::memory_text(checkpoint_bytes), checkpoint_bytes);
}

}  // namespace moescope::node
