#include "engine/model/machine_memory.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <fstream>
#include <limits>
#include <optional>
#include <sstream>

#include "engine/error.hpp"
#include "engine/model/plan.hpp"
#include "engine/model/validate.hpp"

namespace moescope::engine {
namespace {

namespace fs = std::filesystem;
constexpr std::uint64_t kUnknown = std::numeric_limits<std::uint64_t>::max();

/// The number after `name` in a file of lines "name number"; nothing when there is no such line or no number.
std::optional<std::uint64_t> number_after(const fs::path& path, const std::string& name) {
    std::ifstream file(path);
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
    std::ifstream file(path);
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
    std::ifstream file(root / "proc/self/cgroup");
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

/// Bytes of the run, or nothing when the configuration is not valid.
std::optional<std::uint64_t> planned(const RunConfig& config) {
    try {
        return plan_run(config).memory_bytes;
    } catch (const Error&) {
        return std::nullopt;
    }
}

struct Field {
    const char* name;
    int& (*of)(RunConfig&);
    int least_share;  ///< a suggestion below this part of the value would be another model
    int unit;         ///< only its multiples are possible
};

/// The largest value below the current one with which the run fits; 0 when there is none.
int largest_that_fits(const RunConfig& config, const Field& field, std::uint64_t available) {
    RunConfig changed = config;
    const int now = field.of(changed) / field.unit;
    const auto fits = [&](int units) {
        field.of(changed) = units * field.unit;
        const auto bytes = planned(changed);
        return bytes && *bytes <= available;
    };
    int low = 0, high = now;  // low fits or is 0, high does not fit
    while (high - low > 1) {
        const int middle = low + (high - low) / 2;
        fits(middle) ? low = middle : high = middle;
    }
    return low * field.least_share >= now ? low * field.unit : 0;
}

}  // namespace

std::uint64_t available_memory(const fs::path& root) {
    const auto kib = number_after(root / "proc/meminfo", "MemAvailable:");
    return std::min(kib ? *kib * 1024 : kUnknown, left_in_groups(root));
}

std::string memory_text(std::uint64_t bytes) {
    const bool large = bytes >= std::uint64_t{1} << 30;
    std::array<char, 32> text{};
    std::snprintf(text.data(), text.size(), "%.1f %s", static_cast<double>(bytes) / (large ? 1 << 30 : 1 << 20),
                  large ? "GiB" : "MiB");
    return text.data();
}

void check_memory(const RunConfig& config, std::uint64_t available) {
    const std::uint64_t bytes = plan_run(config).memory_bytes;
    if (bytes <= available) {
        return;
    }
    constexpr int kMuch = 16;
    const std::array<Field, 4> fields = {
        {{"train.batch", [](RunConfig& c) -> int& { return c.train.batch; }, config.train.batch, 1},
         {"model.context", [](RunConfig& c) -> int& { return c.model.context; }, kMuch, 1},
         {"model.experts", [](RunConfig& c) -> int& { return c.model.experts; }, kMuch, config.model.router_groups},
         {"model.layers", [](RunConfig& c) -> int& { return c.model.layers; }, kMuch, 1}}};
    std::string fitting;
    for (const Field& field : fields) {
        if (const int value = largest_that_fits(config, field, available); value > 0) {
            fitting += (fitting.empty() ? "" : ", ") + std::string(field.name) + " " + std::to_string(value);
        }
    }
    const std::string what =
        "The run needs " + memory_text(bytes) + " of memory, and " + memory_text(available) + " can be had here: ";
    throw Error(what + (fitting.empty() ? "several sizes of the model must become smaller."
                                        : "it would fit with one of " + fitting + "."));
}

}  // namespace moescope::engine
