// Numbers as texts for files, reports and messages: a point, no grouping, whatever the locale. What the window shows is
// grouped by language: panels/ui/language.hpp.
#pragma once

#include <string>

namespace moescope::base {

/// What stands for a number that is not finite.
inline constexpr const char* kNoNumber = "\u2013";

/// `decimals` places and a true minus sign; kNoNumber when not finite or beyond 1e15.
std::string fixed_text(double value, int decimals);
/// `digits` significant digits, exponent where it is shorter; kNoNumber when not finite.
std::string general_text(double value, int digits = 4);

}  // namespace moescope::base
