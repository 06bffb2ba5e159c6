#include "base/json_guard.hpp"

#include <algorithm>
#include <utility>
#include <vector>

#include "base/text.hpp"
#include "base/utf8.hpp"

namespace moescope::base {

namespace {

using Json = nlohmann::json;

constexpr std::size_t kShownBytes = 60;

std::string shown(std::string_view text) {
    return shortened(std::string(text), kShownBytes);
}

/// The word that JSON does not know at `text`, or nothing.
std::string_view foreign_word(std::string_view text) {
    for (const std::string_view word :
         {"NaN", "nan", "Infinity", "-Infinity", "-NaN", "inf", "-inf", "None", "True", "False", "undefined"}) {
        if (text.starts_with(word)) {
            return word;
        }
    }
    return {};
}

bool utf16(std::string_view text) {
    return text.starts_with("\xff\xfe") || text.starts_with("\xfe\xff");
}

/// Builds the value while it is parsed, so that a level too many ends the parse before it costs anything.
class Builder final : public JsonWalker {
 public:
    explicit Builder(const JsonRules& rules) : JsonWalker(rules) {}
    Json take() { return std::move(root_); }

 private:
    Json* place(Json value) {
        if (open_.empty()) {
            root_ = std::move(value);
            return &root_;
        }
        Json& parent = *open_.back();
        if (parent.is_array()) {
            parent.push_back(std::move(value));
            return &parent.back();
        }
        *member_ = std::move(value);
        return member_;
    }
    bool on_scalar(Json value) override {
        place(std::move(value));
        return true;
    }
    bool on_key(std::string& key) override {
        const auto [place, is_new] = open_.back()->get_ref<Json::object_t&>().try_emplace(std::move(key));
        member_ = &place->second;
        return is_new || refuse_twice(place->first);
    }
    bool on_open(bool object) override {
        open_.push_back(place(object ? Json::object() : Json::array()));
        return true;
    }
    bool on_close() override {
        open_.pop_back();
        return true;
    }

    Json root_;
    std::vector<Json*> open_;  // stays valid: only the last element of an array is ever open, and maps move nothing
    Json* member_ = nullptr;   // of the newest key: where its value comes
};

}  // namespace

bool JsonWalker::walk(std::string_view text) {
    text_ = text;
    // The parser would take a zero byte for the end of the text.
    if (const std::size_t zero = text.find('\0'); zero != std::string_view::npos && !utf16(text)) {
        return refuse(say("has a zero byte at byte {}", zero));
    }
    return Json::sax_parse(text.begin(), text.end(), static_cast<nlohmann::json_sax<Json>*>(this));
}

bool JsonWalker::refuse(Sentence problem) {
    problem_ = std::move(problem);
    return false;
}

bool JsonWalker::refuse_twice(std::string_view key) {
    return refuse(say("has the key \"{}\" twice in one object", shown(key)));
}

bool JsonWalker::counted() {
    return ++values_ <= rules_.values || refuse(say("has more than {} values", rules_.values));
}

bool JsonWalker::open(bool object) {
    if (++depth_ > rules_.depth) {
        return refuse(say("is nested deeper than {} levels", rules_.depth));
    }
    return counted() && on_open(object);
}

bool JsonWalker::close() {
    --depth_;
    return on_close();
}

// The library's own words name rules of its grammar; what a person can act on is the place and what stands there.
bool JsonWalker::parse_error(std::size_t position, const std::string& last_token,
                             const nlohmann::detail::exception& error) {
    constexpr int kOutOfRange = 406;
    const std::string_view what = error.what();
    if (error.id == kOutOfRange) {
        return refuse(say("has the number {}, which is too large", shown(last_token)));
    }
    const std::size_t last = std::min(position == 0 ? 0 : position - 1, text_.size());
    if (utf16(text_)) {
        return refuse(say("is UTF-16; save it as UTF-8"));
    }
    if (what.find("ill-formed UTF-8") != std::string_view::npos) {
        return refuse(say("is not UTF-8 at byte {}", first_invalid_utf8(text_)));
    }
    if (what.find("surrogate") != std::string_view::npos) {
        return refuse(say("has half of a surrogate pair before byte {}, which is no character", last));
    }
    if (last >= text_.size()) {
        return refuse(text_.find_first_not_of(" \t\r\n") == std::string_view::npos ? say("is empty")
                                                                                   : say("ends before its JSON does"));
    }
    // Where the word begins: the library stops inside it.
    for (std::size_t back = std::min<std::size_t>(last, 8) + 1; back-- > 0;) {
        if (const auto word = foreign_word(text_.substr(last - back)); word.size() > back) {
            return refuse(say("has {} at byte {}, which JSON does not know", word, last - back));
        }
    }
    return refuse(say("is no JSON from byte {} on", last));
}

ParsedJson read_json(std::string_view text, std::size_t limit, const JsonRules& rules) {
    if (text.size() > limit) {
        return {std::nullopt, say("has {} bytes, more than the {} that are read", text.size(), limit)};
    }
    Builder builder(rules);
    if (!builder.walk(text)) {
        return {std::nullopt, builder.problem()};
    }
    return {builder.take(), {}};
}

std::optional<Json> parse_json(std::span<const std::byte> text, std::size_t limit) {
    return read_json({reinterpret_cast<const char*>(text.data()), text.size()}, limit).value;
}

std::optional<nlohmann::json> parse_object(std::span<const std::byte> text, std::size_t limit) {
    auto value = parse_json(text, limit);
    if (!value || !value->is_object()) {
        return std::nullopt;
    }
    return value;
}

std::string dump_json(const Json& value) {
    return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace moescope::base
