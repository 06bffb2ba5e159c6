// Which comparison an answer belongs to, as people count them.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "nodes/history/runs.hpp"

namespace moescope::history {

/// Numbers the comparisons of a session from 1, in the order in which they were asked. Answers of one group share a
/// number; an answer without one is a comparison by itself.
class ComparisonNumbers {
 public:
    /// Call once for each answer, by rising run number.
    std::uint32_t next(const Generation& answer) {
        if (answer.group.empty()) {
            return ++last_;
        }
        const auto [known, is_new] = groups_.try_emplace(answer.group, last_ + 1);
        last_ += is_new ? 1 : 0;
        return known->second;
    }

 private:
    std::map<std::string, std::uint32_t> groups_;
    std::uint32_t last_ = 0;
};

}  // namespace moescope::history
