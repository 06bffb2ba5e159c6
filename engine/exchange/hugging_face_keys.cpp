#include "engine/exchange/hugging_face_keys.hpp"

#include <cmath>
#include <limits>

#include "base/text.hpp"

namespace moescope::engine {

std::string shown_json(const nlohmann::json& value) {
    constexpr std::size_t kMost = 80;
    return base::shortened(value.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace), kMost);
}

JsonKeys::JsonKeys(const nlohmann::json& value, std::string source) : value_(value), source_(std::move(source)) {
    if (!value.is_object()) {
        throw Error(say("{}: is {}, but must be a JSON object", source_, shown_json(value)));
    }
}

nlohmann::json::const_iterator JsonKeys::find(const std::string& key) const {
    const auto name = names_.find(key);
    return value_.find(name == names_.end() ? key : name->second);
}

void JsonKeys::also_named(const std::string& key, const std::string& other) {
    used_.insert(other);
    const auto one = value_.find(key), two = value_.find(other);
    const bool has_one = one != value_.end() && !one->is_null(), has_two = two != value_.end() && !two->is_null();
    if (has_one && has_two && *one != *two) {
        throw Error(say("{}: {} is {}, but {}, another name of the same setting, is {}; remove the wrong one", source_,
                        key, shown_json(*one), other, shown_json(*two)));
    }
    if (!has_one && two != value_.end() && (has_two || one == value_.end())) {
        names_[key] = other;
    }
}

bool JsonKeys::has(const std::string& key) const {
    const auto found = find(key);
    return found != value_.end() && !found->is_null();
}

bool JsonKeys::contains(const std::string& key) const {
    return find(key) != value_.end();
}

void JsonKeys::refuse(const std::string& key, const Sentence& why) const {
    const auto found = find(key);
    if (found == value_.end()) {
        throw Error(say("{}: {} is missing, {}", source_, key, why));
    }
    throw Error(say("{}: {} is {}, {}", source_, found.key(), shown_json(*found), why));
}

const nlohmann::json& JsonKeys::value(const std::string& key) {
    static const nlohmann::json kNull;
    used_.insert(key);
    const auto found = find(key);
    return found == value_.end() ? kNull : *found;
}

int JsonKeys::integer(const std::string& key) {
    const nlohmann::json& found = value(key);
    if (!found.is_number_integer()) {
        refuse(key, say("but must be a whole number"));
    }
    constexpr std::int64_t kMost = std::numeric_limits<std::int32_t>::max();
    if ((found.is_number_unsigned() && found.get<std::uint64_t>() > static_cast<std::uint64_t>(kMost)) ||
        found.get<std::int64_t>() < -kMost) {
        refuse(key, say("but must be a number of at most 2147483647"));
    }
    return found.get<int>();
}

int JsonKeys::integer(const std::string& key, int otherwise) {
    used_.insert(key);
    return has(key) ? integer(key) : otherwise;
}

double JsonKeys::real(const std::string& key) {
    const nlohmann::json& found = value(key);
    if (!found.is_number() || !std::isfinite(found.get<double>())) {
        refuse(key, say("but must be a number"));
    }
    return found.get<double>();
}

double JsonKeys::real(const std::string& key, double otherwise) {
    used_.insert(key);
    return has(key) ? real(key) : otherwise;
}

bool JsonKeys::flag(const std::string& key, bool otherwise) {
    const nlohmann::json& found = value(key);
    if (found.is_null()) {
        return otherwise;
    }
    if (!found.is_boolean()) {
        refuse(key, say("but must be true or false"));
    }
    return found.get<bool>();
}

std::string JsonKeys::text(const std::string& key, const std::string& otherwise) {
    const nlohmann::json& found = value(key);
    if (found.is_null()) {
        return otherwise;
    }
    if (!found.is_string()) {
        refuse(key, say("but must be a text"));
    }
    return found.get<std::string>();
}

void JsonKeys::must_be(const std::string& key, const nlohmann::json& wanted, const Sentence& why) {
    const nlohmann::json& found = value(key);
    if (contains(key) && found != wanted) {
        refuse(key, say("but only {} can be opened: {}", wanted.dump(), why));
    }
}

void JsonKeys::must_be_off(const std::string& key, const Sentence& why) {
    const nlohmann::json& found = value(key);
    const bool off = found.is_null() || found == false || (found.is_number() && found.get<double>() == 0.0) ||
                     (found.is_structured() && found.empty());
    if (!off) {
        refuse(key, say("which cannot be opened: {}", why));
    }
}

void JsonKeys::ignore(std::initializer_list<const char*> keys) {
    for (const char* key : keys) {
        used_.insert(key);
    }
}

std::vector<std::string> JsonKeys::unused() const {
    std::vector<std::string> keys;
    for (const auto& [key, value] : value_.items()) {
        if (!used_.contains(key)) {
            keys.push_back(key);
        }
    }
    return keys;
}

}  // namespace moescope::engine
