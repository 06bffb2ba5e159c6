// Reading JSON that came from outside (a node, a viewer, a file): a value of another kind than the one expected counts
// as absent, never as an error. Where an error is to be told instead, see nodes/service/parameters.hpp. All functions
// take any value, not only objects.
#pragma once

#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

namespace moescope::base {

/// The member of an object; null where there is none. The reference lives as long as `value`.
const nlohmann::json& member(const nlohmann::json& value, const char* key);

std::optional<double> as_number(const nlohmann::json& value);
/// A whole number, however it is written (5 and 5.0), that fits.
std::optional<std::int64_t> as_integer(const nlohmann::json& value);
std::optional<std::uint64_t> as_count(const nlohmann::json& value);  ///< not below 0
/// The strings of an array; its other elements are left out. Empty for anything else.
std::vector<std::string> as_texts(const nlohmann::json& value);

// The same for a member of an object, with a default where it is missing or of another kind.
std::string text_of(const nlohmann::json& value, const char* key);
double number_of(const nlohmann::json& value, const char* key,
                 double otherwise = std::numeric_limits<double>::quiet_NaN());
int integer_of(const nlohmann::json& value, const char* key, int otherwise = 0);
std::uint64_t count_of(const nlohmann::json& value, const char* key, std::uint64_t otherwise = 0);
bool flag_of(const nlohmann::json& value, const char* key);
std::vector<std::string> texts_of(const nlohmann::json& value, const char* key);
/// The run that a record or a command belongs to; 0, which is no run, when it names none.
std::uint32_t run_of(const nlohmann::json& value);

}  // namespace moescope::base
