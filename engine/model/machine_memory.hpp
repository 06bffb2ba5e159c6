// How much memory this process can still take.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace moescope::engine {

/// Bytes that can be taken without swapping: what the system has left, or less where a control group (a container, a
/// unit of systemd) limits this process. The largest number there is when the system does not say. `root` is where
/// /proc and /sys are looked for.
std::uint64_t available_memory(const std::filesystem::path& root = "/");

/// "1.5 GB", "12.0 MB": of 1000, as the window counts.
std::string memory_text(std::uint64_t bytes);

}  // namespace moescope::engine
