#include "tests/fuzz/mutation.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <string_view>

namespace moescope::fuzz {

namespace {

/// SplitMix64: two lines, and as good from neighbouring starts as from distant ones.
class Random {
 public:
    Random(std::uint64_t number, std::uint64_t index) : state_(number * 0x9e3779b97f4a7c15u + index) {
        (void)next();
        state_ ^= index * 0xd1342543de82ef95u;
    }
    std::uint64_t next() {
        std::uint64_t z = (state_ += 0x9e3779b97f4a7c15u);
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
        return z ^ (z >> 31);
    }
    std::size_t below(std::size_t bound) { return bound == 0 ? 0 : static_cast<std::size_t>(next() % bound); }

 private:
    std::uint64_t state_;
};

constexpr std::array<std::uint64_t, 24> kNumbers = {
    0,          1,          2,           16,         31,         32,         33,         127,
    128,        255,        256,         4096,       32767,      65535,      65536,      0x7fffffff,
    0x80000000, 0xffffffff, 0x100000000, 1ull << 53, 1ull << 62, ~0ull >> 1, 1ull << 63, ~0ull};
constexpr std::array<std::string_view, 20> kTexts = {"-1",
                                                     "0",
                                                     "1e308",
                                                     "-1e309",
                                                     "18446744073709551615",
                                                     "18446744073709551616",
                                                     "9223372036854775807",
                                                     "-0.0",
                                                     "null",
                                                     "[]",
                                                     "{}",
                                                     "\"\"",
                                                     "\\u0000",
                                                     "\\ud800",
                                                     "\xef\xbb\xbf",
                                                     "../",
                                                     "[[[[[[[[[[[[[[[[[[",
                                                     "\xff",
                                                     "e999999999",
                                                     "true"};

std::string number_bytes(Random& random) {
    std::uint64_t value = kNumbers[random.below(kNumbers.size())];
    const std::size_t width = std::size_t{1} << random.below(4);
    if (random.below(4) == 0) {
        value -= random.below(3);
    }
    std::string bytes(width, '\0');
    std::memcpy(bytes.data(), &value, width);
    if (random.below(4) == 0) {
        std::reverse(bytes.begin(), bytes.end());
    }
    return bytes;
}

void damage(std::string& bytes, const std::vector<std::string>& seeds, Random& random) {
    const std::size_t at = random.below(bytes.size());
    const auto range = [&](std::size_t most) { return std::min(1 + random.below(most), bytes.size() - at); };
    switch (random.below(12)) {
        case 0:
        case 1:
            bytes[at] = static_cast<char>(bytes[at] ^ (1 << random.below(8)));
            return;
        case 2:
            bytes[at] = static_cast<char>(random.next());
            return;
        case 3:
            bytes[at] = static_cast<char>(bytes[at] + static_cast<int>(random.below(9)) - 4);
            return;
        case 4: {
            const std::string number = number_bytes(random);
            bytes.replace(at, std::min(number.size(), bytes.size() - at), number);
            return;
        }
        case 5:
            bytes.insert(at, number_bytes(random));
            return;
        case 6:
            bytes.erase(at, range(random.below(4) == 0 ? bytes.size() : 8));
            return;
        case 7:
            bytes.resize(at);
            return;
        case 8: {
            const std::string again = bytes.substr(at, range(64));
            for (std::size_t i = 1 + random.below(random.below(8) == 0 ? 64 : 3); i > 0; --i) {
                bytes.insert(at, again);
            }
            return;
        }
        case 9: {
            const std::string& other = seeds[random.below(seeds.size())];
            const std::size_t from = random.below(other.size());
            bytes.replace(at, random.below(2) == 0 ? std::string::npos : range(64), other, from,
                          1 + random.below(random.below(2) == 0 ? 64 : other.size()));
            return;
        }
        case 10: {
            // A number of a text becomes another one.
            const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
            const auto begin = std::find_if(bytes.begin() + static_cast<std::ptrdiff_t>(at), bytes.end(), is_digit);
            const auto end = std::find_if_not(begin, bytes.end(), is_digit);
            const std::string_view text = kTexts[random.below(kTexts.size())];
            bytes.replace(begin, end, text.begin(), text.end());
            return;
        }
        default:
            bytes.insert(at, kTexts[random.below(kTexts.size())]);
    }
}

}  // namespace

std::string mutated(const std::vector<std::string>& seeds, std::uint64_t number, std::uint64_t index) {
    Random random(number, index);
    std::string bytes = seeds[random.below(seeds.size())];
    for (std::size_t edits = 1 + random.below(6); edits > 0; --edits) {
        if (bytes.empty()) {
            bytes = number_bytes(random);
        }
        damage(bytes, seeds, random);
    }
    bytes.resize(std::min(bytes.size(), kLongestInput));
    return bytes;
}

}  // namespace moescope::fuzz
