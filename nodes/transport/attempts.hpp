// How often somebody at one address has failed to be let in: who fails again and again waits longer and longer.
#pragma once

#include <cstddef>
#include <map>
#include <string>

namespace moescope::transport {

/// Pure; `now` is seconds of a clock that never goes back.
class Attempts {
 public:
    static constexpr std::size_t kFree = 5;       ///< failures within kWindow that cost nothing
    static constexpr double kWindow = 60;         ///< seconds
    static constexpr double kLongest = 60;        ///< seconds of waiting: 1, 2, 4, ... up to this
    static constexpr std::size_t kMost = 10'000;  ///< addresses that are remembered; then the oldest is forgotten

    bool may_try(const std::string& address, double now) const;
    void failed(const std::string& address, double now);
    void succeeded(const std::string& address) { known_.erase(address); }
    std::size_t size() const { return known_.size(); }

 private:
    struct Failures {
        std::size_t count = 0;
        double last = 0, until = 0;
    };
    std::map<std::string, Failures> known_;
};

}  // namespace moescope::transport
