// Typed access to the keys of a JSON object of somebody else's making, with errors that name the key and the value.
#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "engine/error.hpp"

namespace moescope::engine {

class JsonKeys {
 public:
    /// `value` must be an object and outlive this. Throws Error.
    JsonKeys(const nlohmann::json& value, std::string source);

    /// `other` is another name of `key`, which is then read under the name that the file has. Refuses two values.
    void also_named(const std::string& key, const std::string& other);
    /// Present and not null.
    bool has(const std::string& key) const;
    /// Present, be it null.
    bool contains(const std::string& key) const;
    int integer(const std::string& key);
    int integer(const std::string& key, int otherwise);
    double real(const std::string& key);
    double real(const std::string& key, double otherwise);
    bool flag(const std::string& key, bool otherwise);
    std::string text(const std::string& key, const std::string& otherwise);
    const nlohmann::json& value(const std::string& key);  ///< null when missing
    /// Refuses any other value than `wanted`; a missing key passes.
    void must_be(const std::string& key, const nlohmann::json& wanted, const Sentence& why);
    /// Refuses anything but a missing key, null, false and 0.
    void must_be_off(const std::string& key, const Sentence& why);
    /// Keys that mean nothing to what the model computes.
    void ignore(std::initializer_list<const char*> keys);
    /// Keys that nobody asked for.
    std::vector<std::string> unused() const;

    /// `why` goes on after "KEY is VALUE, ".
    [[noreturn]] void refuse(const std::string& key, const Sentence& why) const;

 private:
    nlohmann::json::const_iterator find(const std::string& key) const;

    const nlohmann::json& value_;
    std::string source_;
    std::map<std::string, std::string> names_;  ///< key -> its name in the file, where that is another one
    std::set<std::string> used_;
};

/// The value as JSON, cut when long.
std::string shown_json(const nlohmann::json& value);

}  // namespace moescope::engine
