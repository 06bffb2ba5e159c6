// The parts of an exchange that stay on a rank.
#pragma once

#include <cstring>
#include <span>

#include "engine/comm/comm.hpp"

namespace moescope::engine::comm {

/// Copies what `rank` sends itself; both lists have these parts in the same order.
inline void copy_own_parts(int rank, std::span<const Outgoing> out, std::span<const Incoming> in) {
    std::size_t from = 0;
    for (const Incoming& part : in) {
        if (part.rank != rank) {
            continue;
        }
        while (out[from].rank != rank) {
            ++from;
        }
        if (part.bytes > 0 && part.data != out[from].data) {
            std::memmove(part.data, out[from].data, part.bytes);
        }
        ++from;
    }
}

}  // namespace moescope::engine::comm
