// Router: ids of a hash layer. Part of the model: changing one line here changes what a trained hash layer computes.
#include <algorithm>

#include "kernels/cpu/router.hpp"

namespace moescope::kernels {
namespace {

/// One step of splitmix64 (Steele, Lea, Flood 2014).
std::uint64_t splitmix64(std::uint64_t& state) {
    state += 0x9e3779b97f4a7c15u;
    std::uint64_t x = state;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

}  // namespace

void hash_choice(std::int32_t* ids_TK, const std::int32_t* tokens_T, std::int64_t T, std::int64_t E, std::int64_t K,
                 std::uint64_t seed) {
    for (std::int64_t t = 0; t < T; ++t) {
        std::uint64_t state = seed;
        state = splitmix64(state) ^ static_cast<std::uint32_t>(tokens_T[t]);
        std::int32_t* ids = ids_TK + t * K;
        std::int32_t taken[kMaxChosen];  // in rising order
        for (std::int64_t k = 0; k < K; ++k) {
            // A number below E - k names one of the experts that are left.
            const std::uint64_t left = static_cast<std::uint64_t>(E - k);
            auto id = static_cast<std::int32_t>(((splitmix64(state) >> 32) * left) >> 32);
            std::int64_t place = 0;
            for (; place < k && taken[place] <= id; ++place) {
                ++id;
            }
            std::copy_backward(taken + place, taken + k, taken + k + 1);
            taken[place] = id;
            ids[k] = id;
        }
    }
}

}  // namespace moescope::kernels
