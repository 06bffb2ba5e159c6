#include "panels/ui/units.hpp"

#include <array>
#include <cmath>
#include <ctime>

namespace moescope::ui {

std::string bytes_text(const Language& text, std::uint64_t bytes) {
    constexpr std::array<const char*, 5> units = {"B", "kB", "MB", "GB", "TB"};
    double value = static_cast<double>(bytes);
    std::size_t unit = 0;
    while (value >= 999.5 && unit + 1 < units.size()) {
        value /= 1000;
        ++unit;
    }
    return text.number(value, value < 10 ? 2 : 3) + " " + units[unit];
}

std::string duration_text(const Language& text, double seconds) {
    if (!(seconds >= 0) || seconds > 1e9) {
        return "\u2013";
    }
    const auto whole = static_cast<std::uint64_t>(std::lround(seconds));
    const auto join = [&](const char* key, std::uint64_t big, std::uint64_t small) {
        return text.format(key, {{"a", text.number(big)}, {"b", text.number(small)}});
    };
    if (seconds < 10) {
        return text.format("unit.seconds", {{"a", text.number(seconds, 2)}});
    }
    if (whole < 60) {
        return text.format("unit.seconds", {{"a", text.number(whole)}});
    }
    if (whole < 3600) {
        return join("unit.minutes_seconds", whole / 60, whole % 60);
    }
    return join("unit.hours_minutes", whole / 3600, whole % 3600 / 60);
}

std::string percent_text(const Language& text, double fraction) {
    return with_percent(text, text.number(fraction * 100, 3));
}

std::string with_percent(const Language& text, const std::string& number) {
    return text.format("unit.percent", {{"n", number}});
}

std::string in_brackets(const Language& text, const std::string& inner) {
    return inner.empty() ? inner : text.format("common.in_brackets", {{"text", inner}});
}

namespace {

std::string local_time(std::uint64_t time_ns, const char* format) {
    const std::time_t seconds = static_cast<std::time_t>(time_ns / 1'000'000'000);
    std::tm parts{};
    if (localtime_r(&seconds, &parts) == nullptr) {
        return "";
    }
    char buffer[32];
    return {buffer, std::strftime(buffer, sizeof buffer, format, &parts)};
}

}  // namespace

std::string clock_text(std::uint64_t time_ns) {
    return local_time(time_ns, "%H:%M:%S");
}

std::string moment_text(std::uint64_t time_ns) {
    return local_time(time_ns, "%Y-%m-%d %H:%M:%S");
}

}  // namespace moescope::ui
