// What the processor and the GPUs of this machine do now, as far as the system tells: /proc, /sys, and the library of
// NVIDIA's driver where there is one. Whatever does not tell is left out; nothing is computed in its place.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "nodes/protocol/gauges.hpp"

namespace moescope::node {

/// Shares and watts are those since the look before, so the first one has none of the processor. One thread at a time.
class DeviceUses {
 public:
    /// `root`: where /proc and /sys are; `driver`: name or path of the library of NVIDIA's driver.
    explicit DeviceUses(std::filesystem::path root = "/", std::string driver = "libnvidia-ml.so.1");
    ~DeviceUses();
    DeviceUses(const DeviceUses&) = delete;
    DeviceUses& operator=(const DeviceUses&) = delete;

    /// The processor first. `seconds`: of any clock that never goes back. Some milliseconds, more for many GPUs. What
    /// has hardly changed since then is as it was: noise wakes no window.
    std::vector<protocol::DeviceUse> look(double seconds);

 private:
    class Driver;
    struct Ticks {
        std::uint64_t busy = 0, all = 0;
    };

    protocol::DeviceUse processor(double seconds);
    std::optional<double> share_in_use();
    std::optional<double> temperature() const;
    std::optional<double> power(double seconds);

    const std::filesystem::path root_;
    std::unique_ptr<Driver> driver_;  ///< null: there is none
    std::optional<Ticks> ticks_;
    std::map<std::string, std::uint64_t> joules_;  ///< by package, in millionths, as they were counted last
    double counted_at_ = 0;
    std::vector<protocol::DeviceUse> told_;
};

}  // namespace moescope::node
