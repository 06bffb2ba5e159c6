// How much memory this process can still take, and whether a run fits into it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "engine/model/config.hpp"

namespace moescope::engine {

/// Bytes that can be taken without swapping: what the system has left, or less where a control group (a container, a
/// unit of systemd) limits this process. The largest number there is when the system does not say. `root` is where
/// /proc and /sys are looked for.
std::uint64_t available_memory(const std::filesystem::path& root = "/");

/// "1.5 GiB", "12.0 MiB".
std::string memory_text(std::uint64_t bytes);

/// Throws Error when the run needs more than `available` bytes, before anything is allocated: how much it needs, how
/// much there is, and which smaller batch, context, number of experts or of layers would fit. Also throws what
/// validate() and planning throw.
void check_memory(const RunConfig& config, std::uint64_t available);

}  // namespace moescope::engine
