// A session as one file: a tar of plain files, packed with zstd, which begins with a list of what follows and the hash
// of each. `tar --zstd -tf` lists it. Opening one is a hostile-input path.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>

#include "base/error.hpp"

namespace moescope::sessions {

/// "FILE.moescope" begins so inside: the list of the other entries.
inline constexpr const char* kArchiveList = "moescope-archive.json";

struct ArchiveSummary {
    std::uint64_t files = 0, bytes = 0;  ///< without the list; unpacked
    bool without_checkpoints = false;    ///< its list says that they were left out
};
/// Called with bytes that are done, which only grow, and of all; may throw to end the work.
using ArchiveProgress = std::function<void(std::uint64_t done, std::uint64_t total)>;

enum class Checkpoints { packed, left_out };

/// Packs a session as it is now, also one that a node writes to: its records up to now, its checkpoints that are
/// complete unless they are left out (no run can be continued from the archive then), its files. `file`: written to its
/// end, and made durable by the caller. Throws base::Error naming what can't be read, or changed meanwhile.
ArchiveSummary write_archive(const std::filesystem::path& session, const std::filesystem::path& file,
                             const ArchiveProgress& progress = {}, Checkpoints checkpoints = Checkpoints::packed);

/// Unpacks an archive into a new folder, which appears when everything in it has the hash that the list says. Refused
/// with one sentence, and nothing is left: what is no such archive, or cut; names that are absolute, have `..`, or
/// stand twice; anything but plain files; contents that differ from the list; a packed file that becomes more than
/// 1,000 times its size and 64 MiB; more than the disk has room for. Throws base::Error.
ArchiveSummary unpack_archive(const std::filesystem::path& file, const std::filesystem::path& folder,
                              const ArchiveProgress& progress = {});

/// By its first bytes: packed with zstd, and the list comes first. False where it can't be read.
bool looks_like_archive(const std::filesystem::path& file);

}  // namespace moescope::sessions
