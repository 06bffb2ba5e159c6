// Reading command parameters: outside data, so every value is checked for type and range, and errors name the key and
// the value. A parameter is optional by being left out; null is a value of another type like any other.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "sessions/outputs.hpp"

namespace moescope::node {

class Parameters {
 public:
    /// `value` must outlive this. Throws CommandError when it is not an object, or has a key that is not in `known`.
    Parameters(const nlohmann::json& value, std::initializer_list<const char*> known);
    Parameters(const nlohmann::json& value, const std::vector<std::string>& known);

    bool has(const char* key) const;
    const nlohmann::json& at(const char* key) const;
    std::string text(const char* key) const;                                ///< required
    std::string text(const char* key, const std::string& otherwise) const;  ///< optional
    /// A path, or a name that may be one: neither empty nor longer than the system takes, and without a zero byte. A
    /// relative path begins in the folder that the node was started in.
    std::string path(const char* key) const;
    std::string path(const char* key, const std::string& otherwise) const;
    std::int64_t integer(const char* key, std::int64_t least, std::int64_t most) const;
    std::int64_t integer(const char* key, std::int64_t otherwise, std::int64_t least, std::int64_t most) const;
    double number(const char* key, double otherwise, double least, double most) const;
    bool flag(const char* key, bool otherwise) const;
    const nlohmann::json& list(const char* key) const;      ///< required, of anything
    std::vector<std::string> texts(const char* key) const;  ///< a list of strings; empty when the key is missing
    std::vector<std::string> paths(const char* key) const;  ///< the same, each one as path() has it
    std::uint32_t run() const {
        return static_cast<std::uint32_t>(integer("run", 1, std::numeric_limits<std::uint32_t>::max()));
    }
    std::uint64_t seed(std::uint64_t otherwise) const;

 private:
    const nlohmann::json& value_;
};

/// The parameter "replace" of a command that writes a file.
sessions::Existing existing_as(const Parameters& parameters);

}  // namespace moescope::node
