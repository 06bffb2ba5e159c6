#include "base/json_fields.hpp"

#include <cmath>

namespace moescope::base {

using nlohmann::json;

const json& member(const json& value, const char* key) {
    static const json kNothing;
    if (!value.is_object()) {
        return kNothing;
    }
    const auto found = value.find(key);
    return found != value.end() ? *found : kNothing;
}

std::optional<double> as_number(const json& value) {
    return value.is_number() ? std::optional(value.get<double>()) : std::nullopt;
}

std::optional<std::int64_t> as_integer(const json& value) {
    if (value.is_number_unsigned() &&
        value.get<std::uint64_t>() > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
        return std::nullopt;
    }
    if (value.is_number_integer()) {
        return value.get<std::int64_t>();
    }
    // 2^63 itself is the first double that no longer fits.
    const auto real = as_number(value);
    if (!real || !(std::abs(*real) < 0x1p63) || std::trunc(*real) != *real) {
        return std::nullopt;
    }
    return static_cast<std::int64_t>(*real);
}

std::optional<std::uint64_t> as_count(const json& value) {
    if (value.is_number_unsigned()) {
        return value.get<std::uint64_t>();
    }
    const auto whole = as_integer(value);
    return whole && *whole >= 0 ? std::optional(static_cast<std::uint64_t>(*whole)) : std::nullopt;
}

std::vector<std::string> as_texts(const json& value) {
    std::vector<std::string> result;
    if (value.is_array()) {
        for (const json& entry : value) {
            if (entry.is_string()) {
                result.push_back(entry.get<std::string>());
            }
        }
    }
    return result;
}

std::string text_of(const json& value, const char* key) {
    const json& found = member(value, key);
    return found.is_string() ? found.get<std::string>() : std::string();
}

double number_of(const json& value, const char* key, double otherwise) {
    return as_number(member(value, key)).value_or(otherwise);
}

int integer_of(const json& value, const char* key, int otherwise) {
    const auto whole = as_integer(member(value, key));
    const bool fits = whole && *whole >= std::numeric_limits<int>::min() && *whole <= std::numeric_limits<int>::max();
    return fits ? static_cast<int>(*whole) : otherwise;
}

std::uint64_t count_of(const json& value, const char* key, std::uint64_t otherwise) {
    return as_count(member(value, key)).value_or(otherwise);
}

bool flag_of(const json& value, const char* key) {
    const json& found = member(value, key);
    return found.is_boolean() && found.get<bool>();
}

std::vector<std::string> texts_of(const json& value, const char* key) {
    return as_texts(member(value, key));
}

std::uint32_t run_of(const json& value) {
    const std::uint64_t run = count_of(value, "run");
    return run <= std::numeric_limits<std::uint32_t>::max() ? static_cast<std::uint32_t>(run) : 0;
}

}  // namespace moescope::base
