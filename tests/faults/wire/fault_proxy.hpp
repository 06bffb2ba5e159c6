// Between a viewer and a node: a Unix socket that passes bytes on as a bad network would.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <filesystem>
#include <limits>
#include <thread>
#include <vector>

namespace moescope::faults {

inline constexpr std::size_t kNever = std::numeric_limits<std::size_t>::max();

/// What happens to one connection. Bytes are counted for each direction.
struct Mishap {
    std::size_t cut_to_node = kNever, cut_to_viewer = kNever;  ///< both ends are hung up on after so many bytes
    std::size_t silent_after =
        kNever;                     ///< half-open: after so many bytes to the viewer nothing passes, and nobody is told
    std::size_t stall_at = kNever;  ///< after so many bytes to the viewer nothing passes for `stall`
    std::chrono::milliseconds stall{0};
    std::chrono::milliseconds delay{0},
        jitter{0};  ///< before each piece; the jitter to either side, without reordering
    bool one_byte_per_second = false;
    bool refused = false;  ///< hung up on at once
};

class FaultProxy {
 public:
    /// The n-th connection meets the n-th mishap; later ones meet none. The folder of `listen_at` is there.
    FaultProxy(const std::filesystem::path& listen_at, std::filesystem::path node, std::vector<Mishap> mishaps);
    ~FaultProxy();
    FaultProxy(const FaultProxy&) = delete;
    FaultProxy& operator=(const FaultProxy&) = delete;

    std::size_t connections() const { return connections_; }
    /// Of the connection that ended last, or goes on.
    std::size_t to_node() const { return to_node_; }
    std::size_t to_viewer() const { return to_viewer_; }

 private:
    void run();
    bool pass(int viewer, int node, const Mishap& mishap);
    bool wait(std::chrono::milliseconds time);

    const std::filesystem::path node_;
    const std::vector<Mishap> mishaps_;
    std::atomic<std::size_t> connections_{0}, to_node_{0}, to_viewer_{0};
    int listener_ = -1;
    int stop_[2]{};
    std::thread thread_;
};

}  // namespace moescope::faults
