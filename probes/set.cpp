// Reading a probe set: strict, because a set that is silently half translated gives numbers that compare two different
// questions.
#include <algorithm>
#include <set>

#include "base/input_file.hpp"
#include "base/json_guard.hpp"
#include "base/sha256.hpp"
#include "base/utf8.hpp"
#include "probes/probes.hpp"
#include "probes/text.hpp"

namespace moescope::probes {
namespace {

using nlohmann::json;

constexpr std::uintmax_t kMostBytes = 16u << 20;
constexpr std::size_t kMostItems = 10000;
constexpr std::size_t kLongestId = 80;

/// Where in which file we are; every error begins with it.
struct Place {
    Sentence text;
    [[noreturn]] void fail(const Sentence& what) const { throw Error(say("{}: {}", text, what)); }
    Place in(const Sentence& part) const { return {say("{}, {}", text, part)}; }
};

void only_keys(const json& object, const std::set<std::string>& known, const Place& place) {
    if (!object.is_object()) {
        place.fail(say("must be an object"));
    }
    for (const auto& [key, value] : object.items()) {
        if (known.count(key) == 0) {
            place.fail(say("unknown key \"{}\"; remove it or correct its spelling", key));
        }
    }
}

std::string text_at(const json& object, const std::string& key, const Place& place) {
    const auto found = object.find(key);
    if (found == object.end() || !found->is_string()) {
        place.fail(say("\"{}\" is missing or not a text", key));
    }
    auto value = found->get<std::string>();
    const auto decoded = base::decode_utf8(value);
    if (!decoded || std::all_of(decoded->begin(), decoded->end(), text::is_space)) {
        place.fail(say("\"{}\" is empty", key));
    }
    return value;
}

std::map<std::string, std::string> both_languages(const json& object, const std::string& key, const Place& place) {
    const auto found = object.find(key);
    if (found == object.end()) {
        place.fail(say("\"{}\" is missing", key));
    }
    const Place inside = place.in(say("\"{}\"", key));
    only_keys(*found, {"en", "zh"}, inside);
    std::map<std::string, std::string> out;
    for (const char* language : {"en", "zh"}) {
        if (!found->contains(language)) {
            inside.fail(say("the translation \"{}\" is missing; every text needs \"en\" and \"zh\"", language));
        }
        out[language] = text_at(*found, language, inside);
    }
    return out;
}

Item read_item(const json& value, const Set& set, const Place& place) {
    only_keys(value, {"id", "topic", "group", "mirrors", "title", "prompt"}, place);
    Item item;
    item.id = text_at(value, "id", place);
    // Ids are parts of keys (ITEM/MODEL/LANGUAGE/DRAW) and stand in tables.
    const bool odd =
        std::any_of(item.id.begin(), item.id.end(), [](unsigned char c) { return c <= ' ' || c == '/' || c == 0x7F; });
    if (odd || item.id.size() > kLongestId) {
        place.fail(say("\"id\" must be at most {} bytes, without spaces and slashes", kLongestId));
    }
    const Place named = place.in(say("\"{}\"", item.id));
    item.topic = text_at(value, "topic", named);
    if (set.topics.count(item.topic) == 0) {
        named.fail(say("topic \"{}\" is not in \"topics\"", item.topic));
    }
    item.group = text_at(value, "group", named);
    if (item.group != "state" && item.group != "mirror") {
        named.fail(say("group must be \"state\" or \"mirror\", not \"{}\"", item.group));
    }
    if (value.contains("mirrors")) {
        item.mirrors = text_at(value, "mirrors", named);
    }
    item.title = both_languages(value, "title", named);
    item.prompt = both_languages(value, "prompt", named);
    return item;
}

void read_items(const json& values, Set& set, const Place& place) {
    if (!values.is_array() || values.empty() || values.size() > kMostItems) {
        place.fail(say("\"items\" must be a list of 1 to {} items", kMostItems));
    }
    std::set<std::string> ids, state_ids;
    for (std::size_t i = 0; i < values.size(); ++i) {
        Item item = read_item(values[i], set, place.in(say("item {}", i + 1)));
        if (!ids.insert(item.id).second) {
            place.fail(say("the id \"{}\" stands twice", item.id));
        }
        if (item.group == "state") {
            state_ids.insert(item.id);
        }
        set.items.push_back(std::move(item));
    }
    for (const Item& item : set.items) {
        if (!item.mirrors.empty() && (item.group != "mirror" || state_ids.count(item.mirrors) == 0)) {
            place.fail(
                say("item \"{}\" mirrors \"{}\"; only a mirror item may name an item, and it must be a state item",
                    item.id, item.mirrors));
        }
    }
}

}  // namespace

Set parse_set(const std::string& text, const base::Sentence& source) {
    const Place place{say("probe set {}", source)};
    if (!base::decode_utf8(text)) {
        place.fail(say("is not valid UTF-8; save it as UTF-8"));
    }
    base::ParsedJson parsed = base::read_json(text, kMostBytes);
    if (!parsed.value) {
        throw Error(say("{} {}", place.text, parsed.problem));
    }
    const json& root = *parsed.value;
    only_keys(root, {"name", "version", "licence", "canary", "title", "topics", "items"}, place);
    Set set;
    set.name = text_at(root, "name", place);
    set.version = text_at(root, "version", place);
    set.licence = text_at(root, "licence", place);
    set.title = both_languages(root, "title", place);
    if (!root.contains("topics") || !root["topics"].is_object()) {
        place.fail(say("\"topics\" is missing: it names every topic in both languages"));
    }
    for (const auto& [key, value] : root["topics"].items()) {
        set.topics[key] = both_languages(root["topics"], key, place.in(Sentence::verbatim("topics")));
    }
    read_items(root.value("items", json()), set, place);
    set.sha256 = base::sha256(text);
    return set;
}

Set load_set(const std::filesystem::path& path) {
    return parse_set(base::read_file(path, kMostBytes), path.string());
}

}  // namespace moescope::probes
