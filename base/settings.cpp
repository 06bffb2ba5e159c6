#include "base/settings.hpp"

#include <charconv>
#include <fmt/format.h>
#include <optional>

namespace moescope::base {
namespace {

using nlohmann::json;

struct Renamed {
    std::string_view before, now;
};
constexpr Renamed kRenamed[] = {
    {"head_norm", "qk_norm"},
    {"bias_speed", "bias_update_rate"},
};

constexpr const char* kSections[] = {"model", "train"};
constexpr std::string_view kAnd = " and ";

/// The number that a clause compares with: written out, or the value of another key.
std::optional<double> other_side(std::string_view text, const json& config) {
    if (const json* other = setting(config, text)) {
        return other->is_number() ? std::optional<double>(other->get<double>()) : std::nullopt;
    }
    double number = 0;
    const auto read = std::from_chars(text.data(), text.data() + text.size(), number);
    return read.ec == std::errc() ? std::optional<double>(number) : std::nullopt;
}

bool clause_holds(std::string_view clause, const json& config) {
    const std::size_t first = clause.find(' '), second = clause.find(' ', first + 1);
    if (first == std::string_view::npos || second == std::string_view::npos) {
        return true;
    }
    const json* value = setting(config, clause.substr(0, first));
    if (value == nullptr) {
        return true;
    }
    const std::string_view relation = clause.substr(first + 1, second - first - 1), text = clause.substr(second + 1);
    if (relation == "=" || relation == "!=") {
        return (setting_text(*value) == text) == (relation == "=");
    }
    const std::optional<double> other = other_side(text, config);
    if (!other || !value->is_number()) {
        return true;
    }
    return relation == ">" ? value->get<double>() > *other : value->get<double>() < *other;
}

}  // namespace

std::string current_setting(const std::string& key) {
    for (const Renamed& renamed : kRenamed) {
        if (renamed.before == key) {
            return std::string(renamed.now);
        }
    }
    return key;
}

std::vector<std::string> old_settings(std::string_view key) {
    std::vector<std::string> names;
    for (const Renamed& renamed : kRenamed) {
        if (renamed.now == key) {
            names.emplace_back(renamed.before);
        }
    }
    return names;
}

void rename_settings(json& config) {
    for (const char* name : kSections) {
        if (!config.is_object() || !config.contains(name) || !config[name].is_object()) {
            continue;
        }
        json& section = config[name];
        for (const Renamed& renamed : kRenamed) {
            const std::string before(renamed.before), now(renamed.now);
            if (section.contains(before) && !section.contains(now)) {
                section[now] = std::move(section[before]);
                section.erase(before);
            }
        }
    }
}

Sentence setting_name(const std::string& key) {
    const bool plain = key.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_") == std::string::npos;
    return plain ? Sentence("setting " + key, {}) : Sentence::verbatim(key);
}

Sentence setting_path(const std::string& section, const std::string& key) {
    return setting_name(key).is_verbatim() ? Sentence::verbatim(section + "." + key)
                                           : Sentence(section + "." + key, {});
}

const json* setting(const json& config, std::string_view key) {
    if (!config.is_object()) {
        return nullptr;
    }
    for (const char* name : kSections) {
        const auto section = config.find(name);
        if (section == config.end() || !section->is_object()) {
            continue;
        }
        if (const auto value = section->find(key); value != section->end()) {
            return &*value;
        }
    }
    return nullptr;
}

std::string setting_text(const json& value) {
    if (value.is_string()) {
        return value.get<std::string>();
    }
    if (value.is_number_float()) {
        return fmt::format("{}", value.get<double>());  // the shortest text that reads back as the same
    }
    return value.is_null() ? std::string() : value.dump();
}

std::vector<std::string> clauses(std::string_view condition) {
    std::vector<std::string> list;
    while (!condition.empty()) {
        const std::size_t end = condition.find(kAnd);
        list.emplace_back(condition.substr(0, end));
        condition = end == std::string_view::npos ? std::string_view() : condition.substr(end + kAnd.size());
    }
    return list;
}

bool holds(std::string_view condition, const json& config) {
    for (const std::string& clause : clauses(condition)) {
        if (!clause_holds(clause, config)) {
            return false;
        }
    }
    return true;
}

std::string both(std::string_view one, std::string_view other) {
    return one.empty() || other.empty() ? fmt::format("{}{}", one, other) : fmt::format("{}{}{}", one, kAnd, other);
}

}  // namespace moescope::base
