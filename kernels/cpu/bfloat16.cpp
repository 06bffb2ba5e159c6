#include "kernels/cpu/bfloat16.hpp"

#include <cstring>
#ifdef __AVX512BF16__
#include <immintrin.h>
#endif

namespace moescope::kernels {

void to_bfloat16(std::uint16_t* to, const float* from, std::int64_t count) {
    std::int64_t i = 0;
#ifdef __AVX512BF16__
    for (; i + 32 <= count; i += 32) {
        const __m512bh both = _mm512_cvtne2ps_pbh(_mm512_loadu_ps(from + i + 16), _mm512_loadu_ps(from + i));
        std::memcpy(to + i, &both, sizeof(both));
    }
#endif
    for (; i < count; ++i) {
        to[i] = base::float_to_bf16(from[i]);
    }
}

}  // namespace moescope::kernels
