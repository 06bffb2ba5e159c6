// What is on a disk after the power was cut in the middle of recorded changes. Only what was synced is certain: the
// content of a file by an fsync of the file, its name by an fsync of its folder. Of everything else, any part may have
// reached the disk.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "tests/faults/disk/recorder.hpp"

namespace moescope::faults {

enum class Loss {
    nothing,         ///< as after kill -9
    everything,      ///< that was not synced
    contents,        ///< names are there, what is in the files is not
    names,           ///< files are written, what was made, renamed or removed is not
    zeroed,          ///< files have their size, and zeros where nothing was synced
    torn_at_sector,  ///< of the last write to each file only the first sectors of 512 bytes
    torn_at_byte,    ///< the same, at any byte
    some,            ///< any sectors of any writes, any names: across files in any order
};
inline constexpr Loss kAlways[] = {Loss::nothing, Loss::everything,     Loss::contents,    Loss::names,
                                   Loss::zeroed,  Loss::torn_at_sector, Loss::torn_at_byte};
const char* name_of(Loss loss);

/// Paths below the watched folder; without content: a folder.
using DiskState = std::map<std::string, std::optional<std::string>>;

/// After the first `count` changes. `random` is asked by torn_* and some only.
DiskState after_power_cut(const std::vector<Change>& changes, std::size_t count, Loss loss, std::mt19937_64& random);

/// What Loss::nothing leaves, as the numbers in the changes.
Numbers numbers_after(const std::vector<Change>& changes, std::size_t count);

/// Into a folder that does not exist yet.
void write_state(const DiskState& state, const std::filesystem::path& folder);

}  // namespace moescope::faults
