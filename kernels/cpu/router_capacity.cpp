// Router: how many tokens an expert takes, and who loses the place when more want it.
#include <algorithm>
#include <cmath>
#include <functional>
#include <new>

#include "kernels/cpu/parallel.hpp"
#include "kernels/cpu/router_parts.hpp"

namespace moescope::kernels {

std::int64_t expert_capacity(const RouterShape& shape) {
    if (!(shape.capacity_factor > 0.0)) {
        return shape.T;
    }
    const double fair = static_cast<double>(shape.T) * static_cast<double>(shape.K) / static_cast<double>(shape.E);
    const double exact = fair * shape.capacity_factor;
    // A product like 100 x 1.1 may come out a rounding above 110 and must not count as 111.
    const double places = std::clamp(std::ceil(exact - 1e-12 * exact), 1.0, static_cast<double>(shape.T));
    return static_cast<std::int64_t>(places);
}

namespace router {
namespace {

void lose(const RouterOutput& out, std::int64_t slot) {
    out.kept_TJ[slot] = 0;
    out.w_TJ[slot] = 0.0f;
}

void drop_latest(const RouterOutput& out, std::int64_t slots, std::int64_t E, std::uint32_t capacity) {
    std::fill(out.counts_E, out.counts_E + E, 0u);
    for (std::int64_t slot = 0; slot < slots; ++slot) {
        const std::int32_t e = out.ids_TJ[slot];
        if (e < 0) {
            continue;
        }
        if (out.counts_E[e] < capacity) {
            ++out.counts_E[e];
        } else {
            lose(out, slot);
        }
    }
}

/// Lists the slots of each expert side by side, then each full expert keeps its largest weights; the earlier slot wins
/// a tie.
void drop_least(const RouterOutput& out, double* scratch, std::int64_t slots, std::int64_t E, std::uint32_t capacity) {
    Key* keys = ::new (static_cast<void*>(scratch)) Key[static_cast<std::size_t>(slots)];
    std::int64_t next_E[kMaxExperts], first = 0;
    for (std::int64_t e = 0; e < E; ++e) {
        next_E[e] = first;
        first += out.choices_E[e];
    }
    for (std::int64_t slot = 0; slot < slots; ++slot) {
        if (out.ids_TJ[slot] >= 0) {
            keys[next_E[out.ids_TJ[slot]]++] = key_of(out.w_TJ[slot], slot);
        }
    }
    parallel_for(E, [&](std::int64_t e, int) {
        out.counts_E[e] = std::min(out.choices_E[e], capacity);
        if (out.choices_E[e] <= capacity) {
            return;
        }
        Key *end = keys + next_E[e], *begin = end - out.choices_E[e];
        std::nth_element(begin, begin + capacity, end, std::greater<>());
        for (Key* key = begin + capacity; key < end; ++key) {
            lose(out, index_of(*key));
        }
    });
}

}  // namespace

std::uint64_t drop_overflow(const RouterOutput& out, double* scratch, const RouterShape& shape) {
    const std::int64_t E = shape.E, slots = shape.T * shape.slots();
    const auto capacity = static_cast<std::uint32_t>(expert_capacity(shape));
    if (shape.choice == Choice::expert || !(shape.capacity_factor > 0.0)) {
        std::copy(out.choices_E, out.choices_E + E, out.counts_E);
        return 0;
    }
    switch (shape.drop) {
        case Drop::position:
            drop_latest(out, slots, E, capacity);
            break;
        case Drop::probability:
            drop_least(out, scratch, slots, E, capacity);
            break;
    }
    std::uint64_t dropped = 0;
    for (std::int64_t e = 0; e < E; ++e) {
        dropped += out.choices_E[e] - out.counts_E[e];
    }
    return dropped;
}

}  // namespace router
}  // namespace moescope::kernels
