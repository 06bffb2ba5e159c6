// Numbers with their units, as texts. Pure.
#pragma once

#include <cstdint>
#include <string>

#include "panels/ui/language.hpp"

namespace moescope::ui {

std::string bytes_text(const Language& text, std::uint64_t bytes);  ///< "1.2 GB" (powers of 1000)
std::string duration_text(const Language& text, double seconds);    ///< "2 min 5 s"; a dash below 0
std::string percent_text(const Language& text, double fraction);    ///< "34 %", in Chinese "34%"
/// The same of a number of percent that is written already.
std::string with_percent(const Language& text, const std::string& number);
std::string clock_text(std::uint64_t time_ns);   ///< wall clock, "14:03:21"
std::string moment_text(std::uint64_t time_ns);  ///< wall clock, "2026-11-29 14:03:21"

/// " (text)" as the language writes it; nothing for an empty text.
std::string in_brackets(const Language& text, const std::string& inner);

}  // namespace moescope::ui
