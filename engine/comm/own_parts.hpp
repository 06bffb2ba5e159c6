// The parts of an exchange that stay on a rank.
#pragma once

#include <span>
#include <vector>

#include "engine/comm/comm.hpp"

namespace moescope::engine::comm {

/// Copies what `rank` sends itself; both lists have these parts in the same order.
inline void copy_own_parts(Memory& memory, int rank, std::span<const Outgoing> out, std::span<const Incoming> in) {
    std::size_t from = 0;
    for (const Incoming& part : in) {
        if (part.rank != rank) {
            continue;
        }
        while (out[from].rank != rank) {
            ++from;
        }
        memory.copy(part.data, out[from].data, part.bytes);
        ++from;
    }
}

/// The parts that go to or come from other ranks and are not empty, as a plugin has them.
template <class Transfer, class Part>
void list_others(std::vector<Transfer>& list, int rank, std::span<const Part> parts) {
    list.clear();
    for (const Part& part : parts) {
        if (part.rank != rank && part.bytes > 0) {
            list.push_back({part.rank, const_cast<void*>(static_cast<const void*>(part.data)), part.bytes});
        }
    }
}

}  // namespace moescope::engine::comm
