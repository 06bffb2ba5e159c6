#include "nodes/transport/attempts.hpp"

#include <algorithm>
#include <cmath>

namespace moescope::transport {

bool Attempts::may_try(const std::string& address, double now) const {
    const auto found = known_.find(address);
    return found == known_.end() || now >= found->second.until;
}

void Attempts::failed(const std::string& address, double now) {
    std::erase_if(known_, [&](const auto& one) { return now - one.second.last > kWindow && now >= one.second.until; });
    if (known_.size() >= kMost && !known_.contains(address)) {
        known_.erase(std::min_element(known_.begin(), known_.end(),
                                      [](const auto& a, const auto& b) { return a.second.last < b.second.last; }));
    }
    Failures& failures = known_[address];
    ++failures.count;
    failures.last = now;
    if (failures.count >= kFree) {
        failures.until = now + std::min(kLongest, std::exp2(static_cast<double>(failures.count - kFree)));
    }
}

}  // namespace moescope::transport
