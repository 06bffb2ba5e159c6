#include "engine/model/machine_memory.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <limits>
#include <optional>
#include <sstream>

#include "base/input_file.hpp"

namespace moescope::engine {
namespace {

namespace fs = std::filesystem;
constexpr std::uint64_t kUnknown = std::numeric_limits<std::uint64_t>::max();

/// The number after `name` in a file of lines "name number"; nothing when there is no such line or no number.
std::optional<std::uint64_t> number_after(const fs::path& path, const std::string& name) {
    std::istringstream file = base::system_file(path);
    std::string line;
    while (std::getline(file, line)) {
        std::istringstream fields(line);
        std::string first;
        std::uint64_t value = 0;
        if (fields >> first >> value && first == name) {
            return value;
        }
    }
    return std::nullopt;
}

/// The number that a file consists of; nothing when it says "max".
std::optional<std::uint64_t> number_in(const fs::path& path) {
    std::istringstream file = base::system_file(path);
    std::uint64_t value = 0;
    return file >> value ? std::optional(value) : std::nullopt;
}

/// What is left under the limit of one control group. Cached files count as used there, but give way.
std::uint64_t left_in_group(const fs::path& group) {
    const auto limit = number_in(group / "memory.max"), used = number_in(group / "memory.current");
    if (!limit || !used) {
        return kUnknown;
    }
    const std::uint64_t cached = number_after(group / "memory.stat", "inactive_file").value_or(0);
    const std::uint64_t taken = *used - std::min(*used, cached);
    return *limit - std::min(*limit, taken);
}

/// Of this process's group and all groups around it (version 2 of control groups).
std::uint64_t left_in_groups(const fs::path& root) {
    std::istringstream file = base::system_file(root / "proc/self/cgroup");
    std::string line;
    std::uint64_t left = kUnknown;
    while (std::getline(file, line)) {
        if (!line.starts_with("0::/")) {
            continue;
        }
        for (fs::path group = fs::path(line.substr(4)).lexically_normal();; group = group.parent_path()) {
            left = std::min(left, left_in_group(root / "sys/fs/cgroup" / group));
            if (group.empty()) {
                break;
            }
        }
    }
    return left;
}

}  // namespace

std::uint64_t available_memory(const fs::path& root) {
    const auto kib = number_after(root / "proc/meminfo", "MemAvailable:");
    return std::min(kib ? *kib * 1024 : kUnknown, left_in_groups(root));
}

std::string memory_text(std::uint64_t bytes) {
    const bool large = bytes >= 1'000'000'000;
    std::array<char, 32> text{};
    std::snprintf(text.data(), text.size(), "%.1f %s", static_cast<double>(bytes) / (large ? 1e9 : 1e6),
                  large ? "GB" : "MB");
    return text.data();
}

}  // namespace moescope::engine
