#include "base/numbers.hpp"

#include <array>
#include <charconv>
#include <cmath>

namespace moescope::base {

std::string fixed_text(double value, int decimals) {
    if (!std::isfinite(value) || std::fabs(value) > 1e15) {
        return kNoNumber;
    }
    const double smallest = 0.5 * std::pow(10.0, -decimals);  // below it nothing but zeros would be left
    std::array<char, 64> text{};
    const auto end = std::to_chars(text.begin(), text.end(), std::fabs(value) < smallest ? 0.0 : std::fabs(value),
                                   std::chars_format::fixed, decimals)
                         .ptr;
    return (value < 0 && -value >= smallest ? "\u2212" : "") + std::string(text.begin(), end);
}

std::string general_text(double value, int digits) {
    if (!std::isfinite(value)) {
        return kNoNumber;
    }
    std::array<char, 64> text{};
    const auto end =
        std::to_chars(text.begin(), text.end(), value == 0 ? 0.0 : value, std::chars_format::general, digits).ptr;
    return std::string(text.begin(), end);
}

}  // namespace moescope::base
