// CRC-32C (Castagnoli polynomial, reflected 0x82F63B78), the checksum of journal records and of wire frames. With the
// SSE4.2 instruction where the processor has it, otherwise with a table. Header only, so that the protocol can use it
// without linking this folder.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

namespace moescope::base {

namespace crc32c_detail {

constexpr std::array<std::uint32_t, 256> make_table() {
    std::array<std::uint32_t, 256> table{};
    for (std::uint32_t i = 0; i < 256; ++i) {
        std::uint32_t c = i;
        for (int bit = 0; bit < 8; ++bit) {
            c = (c >> 1) ^ ((c & 1) ? 0x82F63B78u : 0u);
        }
        table[i] = c;
    }
    return table;
}
inline constexpr std::array<std::uint32_t, 256> kTable = make_table();

/// On the inverted state, as the instruction works.
inline std::uint32_t update_table(std::uint32_t state, std::span<const std::byte> data) {
    for (std::byte b : data) {
        state = (state >> 8) ^ kTable[(state ^ static_cast<std::uint32_t>(b)) & 0xFF];
    }
    return state;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) inline std::uint32_t update_sse42(std::uint32_t state,
                                                                    std::span<const std::byte> data) {
    std::uint64_t wide = state;
    std::size_t i = 0;
    for (; i + 8 <= data.size(); i += 8) {
        std::uint64_t word;
        std::memcpy(&word, data.data() + i, 8);
        wide = _mm_crc32_u64(wide, word);
    }
    auto narrow = static_cast<std::uint32_t>(wide);
    for (; i < data.size(); ++i) {
        narrow = _mm_crc32_u8(narrow, static_cast<std::uint8_t>(data[i]));
    }
    return narrow;
}
#endif

}  // namespace crc32c_detail

/// Checksum of `data`; give the result of an earlier part as `previous` to go on from it.
inline std::uint32_t crc32c(std::span<const std::byte> data, std::uint32_t previous = 0) {
    const std::uint32_t state = ~previous;
#if defined(__x86_64__)
    static const bool fast = __builtin_cpu_supports("sse4.2");
    if (fast) {
        return ~crc32c_detail::update_sse42(state, data);
    }
#endif
    return ~crc32c_detail::update_table(state, data);
}

}  // namespace moescope::base
