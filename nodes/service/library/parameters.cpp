#include "nodes/service/library/parameters.hpp"

#include <algorithm>
#include <climits>
#include <fmt/format.h>

#include "base/json_fields.hpp"
#include "base/json_guard.hpp"
#include "base/text.hpp"
#include "nodes/service/library/command_error.hpp"

namespace moescope::node {
using nlohmann::json;

namespace {

/// A value as people may read it in an error, not longer than a line.
std::string shown(const json& value) {
    constexpr std::size_t kMost = 60;
    return base::shortened(base::dump_json(value), kMost);
}

std::string checked_path(const char* key, std::string path) {
    if (path.empty()) {
        throw CommandError(say("'{}' is empty; give a name or a path", key));
    }
    if (path.find('\0') != std::string::npos) {
        throw CommandError(say("'{}' has a zero byte in it, which no name and no path has", key));
    }
    if (path.size() >= PATH_MAX) {
        throw CommandError(say("'{}' has {} bytes; a path has at most {}", key, path.size(), PATH_MAX - 1));
    }
    return path;
}

}  // namespace

Parameters::Parameters(const json& value, std::initializer_list<const char*> known)
    : Parameters(value, std::vector<std::string>(known.begin(), known.end())) {}

Parameters::Parameters(const json& value, const std::vector<std::string>& known) : value_(value) {
    if (!value.is_object()) {
        throw CommandError(say("the parameters of a command must be an object"));
    }
    for (const auto& [key, unused] : value.items()) {
        if (std::find(known.begin(), known.end(), key) == known.end()) {
            throw CommandError(say("there is no parameter '{}' here; known are: {}", key, base::joined(known)));
        }
    }
}

bool Parameters::has(const char* key) const {
    return value_.contains(key);
}

const json& Parameters::at(const char* key) const {
    if (!has(key)) {
        throw CommandError(say("the parameter '{}' is missing", key));
    }
    return base::member(value_, key);
}

std::string Parameters::text(const char* key) const {
    const json& value = at(key);
    if (!value.is_string()) {
        throw CommandError(say("'{}' must be a text, not {}", key, shown(value)));
    }
    return value.get<std::string>();
}

std::string Parameters::text(const char* key, const std::string& otherwise) const {
    return has(key) ? text(key) : otherwise;
}

std::string Parameters::path(const char* key) const {
    return checked_path(key, text(key));
}

std::string Parameters::path(const char* key, const std::string& otherwise) const {
    return has(key) ? path(key) : otherwise;
}

std::int64_t Parameters::integer(const char* key, std::int64_t least, std::int64_t most) const {
    const json& value = at(key);
    const auto whole = base::as_integer(value);
    if (!whole || *whole < least || *whole > most) {
        throw CommandError(say("'{}' must be a whole number from {} to {}, not {}", key, least, most, shown(value)));
    }
    return *whole;
}

std::int64_t Parameters::integer(const char* key, std::int64_t otherwise, std::int64_t least, std::int64_t most) const {
    return has(key) ? integer(key, least, most) : otherwise;
}

double Parameters::number(const char* key, double otherwise, double least, double most) const {
    if (!has(key)) {
        return otherwise;
    }
    const json& value = at(key);
    const auto real = base::as_number(value);
    if (!real || !(*real >= least && *real <= most)) {
        throw CommandError(say("'{}' must be a number from {:g} to {:g}, not {}", key, least, most, shown(value)));
    }
    return *real;
}

bool Parameters::flag(const char* key, bool otherwise) const {
    if (!has(key)) {
        return otherwise;
    }
    if (!at(key).is_boolean()) {
        throw CommandError(say("'{}' must be true or false, not {}", key, shown(at(key))));
    }
    return at(key).get<bool>();
}

const json& Parameters::list(const char* key) const {
    const json& value = at(key);
    if (!value.is_array()) {
        throw CommandError(say("'{}' must be a list, not {}", key, shown(value)));
    }
    return value;
}

std::vector<std::string> Parameters::texts(const char* key) const {
    if (!has(key)) {
        return {};
    }
    const json& value = at(key);
    const bool good = value.is_array() && value.size() <= 64 &&
                      std::all_of(value.begin(), value.end(), [](const json& entry) { return entry.is_string(); });
    if (!good) {
        throw CommandError(say("'{}' must be a list of at most 64 texts, not {}", key, shown(value)));
    }
    return value.get<std::vector<std::string>>();
}

std::vector<std::string> Parameters::paths(const char* key) const {
    std::vector<std::string> list = texts(key);
    for (const std::string& path : list) {
        (void)checked_path(key, path);
    }
    return list;
}

std::uint64_t Parameters::seed(std::uint64_t otherwise) const {
    if (!has("seed")) {
        return otherwise;
    }
    const json& value = at("seed");
    const auto whole = base::as_count(value);
    if (!whole) {
        throw CommandError(say("'seed' must be a whole number of 0 or more, not {}", shown(value)));
    }
    return *whole;
}

sessions::Existing existing_as(const Parameters& parameters) {
    // Who does not know the parameter has no way to say it.
    return sessions::existing_files(parameters.flag("replace", false),
                                    parameters.has("replace") ? sessions::kReplaceParameter : std::string_view());
}

}  // namespace moescope::node
