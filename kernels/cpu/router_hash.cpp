// Router: ids of hash layers.
#include "kernels/cpu/router_parts.hpp"

namespace moescope::kernels {

void hash_choice(std::int32_t* ids_TK, const std::int32_t* tokens_T, std::int64_t T, std::int64_t E, std::int64_t K,
                 std::uint64_t seed) {
    for (std::int64_t t = 0; t < T; ++t) {
        router::hash_token(ids_TK + t * K, tokens_T[t], E, K, seed);
    }
}

}  // namespace moescope::kernels
