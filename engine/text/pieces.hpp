// Long work in pieces, between which it can be ended.
#pragma once

#include <algorithm>
#include <cstddef>
#include <functional>
#include <span>

namespace moescope::engine {

/// Called between two pieces of work of a few milliseconds each; throws to end the work.
using StopCheck = std::function<void()>;

inline void check_stop(const StopCheck& check) {
    if (check) {
        check();
    }
}

/// Calls `take` with `values` in pieces of 4 MiB, and `check` before each.
template <class Value, class Take>
void in_pieces(std::span<Value> values, const StopCheck& check, const Take& take) {
    constexpr std::size_t kPiece = (std::size_t{4} << 20) / sizeof(Value);
    while (!values.empty()) {
        check_stop(check);
        const std::span<Value> piece = values.first(std::min(kPiece, values.size()));
        take(piece);
        values = values.subspan(piece.size());
    }
}

}  // namespace moescope::engine
