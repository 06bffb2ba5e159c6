// How long the program needs to build a frame (CPU time between begin and end of ImGui's frame), over the latest
// frames.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace moescope::app {

class FrameTimes {
 public:
    static constexpr std::size_t kKept = 600;
    void add(double milliseconds) { values_[count_++ % kKept] = milliseconds; }
    std::uint64_t frames() const { return count_; }
    void reset() { count_ = 0; }

    struct Summary {
        double mean = 0, p95 = 0, max = 0;  ///< milliseconds
        std::size_t frames = 0;             ///< over which
    };
    Summary summary() const {
        std::vector<double> v(values_.begin(),
                              values_.begin() + static_cast<std::ptrdiff_t>(std::min<std::uint64_t>(count_, kKept)));
        Summary s;
        s.frames = v.size();
        if (v.empty()) {
            return s;
        }
        std::sort(v.begin(), v.end());
        for (const double x : v) {
            s.mean += x / static_cast<double>(v.size());
        }
        s.p95 = v[std::min(v.size() - 1, v.size() * 95 / 100)];
        s.max = v.back();
        return s;
    }

 private:
    std::array<double, kKept> values_{};
    std::uint64_t count_ = 0;
};

}  // namespace moescope::app
