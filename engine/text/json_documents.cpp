#include "engine/text/json_documents.hpp"

#include <algorithm>
#include <array>
#include <limits>

#include "base/json_guard.hpp"
#include "engine/error.hpp"

namespace moescope::engine {
namespace {

constexpr std::size_t kMostBytes = std::size_t{64} << 20;  // of one document with all that stands beside its text
constexpr int kMostLevels = 128;                           // of what stands beside it; it is skipped, not kept
constexpr std::string_view kBlank = " \t\r\n";

bool is_blank(char c) {
    return kBlank.find(c) != std::string_view::npos;
}

/// Finds "text" and "language" of an object; a plain text is its own document. Nothing else is kept.
class DocumentReader final : public base::JsonWalker {
 public:
    DocumentReader() : JsonWalker({.depth = kMostLevels, .values = std::numeric_limits<std::size_t>::max()}) {}

    bool plain = false;     ///< the value is a text
    bool has_text = false;  ///< the value is a text, or an object with "text"
    std::string text;
    nlohmann::json language;  ///< null when there is none; an array stands for whatever is no single value

 private:
    enum class Key { other, text, language };

    bool on_key(std::string& key) override {
        if (depth() == 1) {
            key_ = key == "text" ? Key::text : key == "language" ? Key::language : Key::other;
            bool& came = came_[static_cast<std::size_t>(key_)];
            if (key_ != Key::other && came) {
                return refuse_twice(key);
            }
            came = true;
        }
        return true;
    }
    bool on_scalar(nlohmann::json value) override {
        plain = depth() == 0 && value.is_string();
        if (plain || (depth() == 1 && object_ && key_ == Key::text)) {
            has_text = value.is_string();
            text = has_text ? std::move(value.get_ref<std::string&>()) : std::string();
        } else if (depth() == 1 && object_ && key_ == Key::language) {
            language = std::move(value);
        }
        return true;
    }
    bool on_open(bool object) override {
        if (depth() == 1) {
            object_ = object;
        } else if (depth() == 2 && object_ && key_ == Key::text) {
            has_text = false;
        } else if (depth() == 2 && object_ && key_ == Key::language) {
            language = nlohmann::json::array();
        }
        return true;
    }

    bool object_ = false;
    Key key_ = Key::other;
    std::array<bool, 3> came_{};  ///< by Key
};

[[noreturn]] void too_long(const std::filesystem::path& path, std::size_t line) {
    throw Error(say("{}, line {} begins a document of more than {} bytes; split it", path, line, kMostBytes));
}

}  // namespace

void append_text(std::string& text, std::string_view more, std::uintmax_t limit) {
    constexpr std::size_t kLong = std::size_t{32} << 20;
    if (text.size() + more.size() > text.capacity() && text.size() >= kLong) {
        text.reserve(static_cast<std::size_t>(std::max<std::uintmax_t>(limit, text.size() + more.size())));
    }
    text += more;
}

void refuse_size(const std::filesystem::path& path, std::uintmax_t limit) {
    throw Error(
        say("{} has more than the {} bytes of text that can be used at once, so take a part of it", path, limit));
}

void DocumentCollector::add(std::string_view json, std::size_t line, bool texts_too) {
    DocumentReader reader;
    if (!reader.walk(json)) {
        throw Error(say("{}, line {} {}", path_, line, reader.problem()));
    }
    const Sentence where = say("{}, line {}", path_, line);
    if (!reader.has_text || (reader.plain && !texts_too)) {
        throw Error(say("{} is no JSON object with \"text\", as every document must be", where));
    }
    const nlohmann::json& language = reader.language;
    if (!language.is_null() && language != "en" && language != "zh") {
        throw Error(say("{}: \"language\" must be en or zh, or be left out", where));
    }
    bytes_ += reader.text.size() + 1;
    if (bytes_ > limit_) {
        refuse_size(path_, limit_);
    }
    std::replace(reader.text.begin(), reader.text.end(), '\f', '\n');
    std::string& target = by_language_[language.is_null() ? 0 : language == "en" ? 1 : 2].text;
    append_text(target, reader.text, limit_);
    append_text(target, "\f", limit_);
}

std::vector<LabelledText> DocumentCollector::take() {
    std::vector<LabelledText> texts;
    for (LabelledText& labelled : by_language_) {
        if (!labelled.text.empty()) {
            texts.push_back(std::move(labelled));
        }
    }
    return texts;
}

void LineSplitter::piece(std::string_view text) {
    for (std::size_t end = text.find('\n'); end != std::string_view::npos; end = text.find('\n')) {
        if (begun_.empty()) {
            line(text.substr(0, end));
        } else {
            begun_ += text.substr(0, end);
            line(begun_);
            begun_.clear();
        }
        text.remove_prefix(end + 1);
    }
    begun_ += text;
    if (begun_.size() > kMostBytes) {
        too_long(path_, number_ + 1);
    }
}

void LineSplitter::end() {
    line(begun_);
    begun_.clear();
}

void LineSplitter::line(std::string_view text) {
    ++number_;
    if (text.find_first_not_of(kBlank) != std::string_view::npos) {
        into_.add(text, number_, false);
    }
}

void ValueSplitter::fail(const Sentence& what) const {
    throw Error(say("{}, line {} {}", path_, line_, what));
}

void ValueSplitter::piece(std::string_view text) {
    while (!text.empty()) {
        if (within_ == Within::text) {
            text.remove_prefix(rest_of_text(text));
            continue;
        }
        line_ += text.front() == '\n' ? 1 : 0;
        take(text.front());
        text.remove_prefix(1);
    }
    if (value_.size() > kMostBytes) {
        too_long(path_, first_line_);
    }
}

/// Takes what of `text` belongs to the text that is open, its closing mark included.
std::size_t ValueSplitter::rest_of_text(std::string_view text) {
    std::size_t at = 0;
    if (escaped_) {
        escaped_ = false;
        ++at;
    }
    for (;;) {
        at = text.find_first_of("\"\\", at);
        if (at == std::string_view::npos || (text[at] == '\\' && at + 1 == text.size())) {
            escaped_ = at != std::string_view::npos;
            value_ += text;
            return text.size();
        }
        if (text[at] == '"') {
            ++at;
            break;
        }
        at += 2;
    }
    value_ += text.substr(0, at);
    within_ = Within::container;
    if (depth_ == 0) {
        finish_value();
    }
    return at;
}

void ValueSplitter::take(char c) {
    if (within_ == Within::word && (is_blank(c) || c == ',' || c == ']')) {
        finish_value();
    }
    if (within_ == Within::nothing) {
        between(c);
        return;
    }
    value_ += c;
    if (within_ == Within::word) {
        return;
    }
    if (c == '"') {
        within_ = Within::text;
    } else if (c == '{' || c == '[') {
        if (++depth_ > kMostLevels) {
            fail(say("is nested deeper than {} levels", kMostLevels));
        }
    } else if ((c == '}' || c == ']') && --depth_ == 0) {
        finish_value();
    }
}

void ValueSplitter::between(char c) {
    if (is_blank(c)) {
        return;
    }
    const bool of_list = place_ == Place::first_of_list || place_ == Place::behind_value;
    if (place_ == Place::start && c == '[') {
        place_ = Place::first_of_list;
    } else if (of_list && c == ']') {
        place_ = Place::behind_list;
    } else if (place_ == Place::behind_value && c == ',') {
        place_ = Place::behind_comma;
    } else if (place_ == Place::behind_value || place_ == Place::behind_list) {
        fail(say("has something that does not belong to its list"));
    } else {
        begin_value(c);
    }
}

void ValueSplitter::begin_value(char c) {
    first_line_ = line_;
    value_ = c;
    depth_ = c == '{' || c == '[' ? 1 : 0;
    within_ = depth_ == 1 ? Within::container : c == '"' ? Within::text : Within::word;
    place_ = place_ == Place::start ? Place::sequence : place_;
}

void ValueSplitter::finish_value() {
    const bool list = place_ != Place::sequence;
    into_.add(value_, first_line_, list);
    value_.clear();
    within_ = Within::nothing;
    place_ = list ? Place::behind_value : place_;
}

void ValueSplitter::end() {
    if (within_ == Within::word) {
        finish_value();
    }
    if (within_ != Within::nothing ||
        (place_ != Place::start && place_ != Place::sequence && place_ != Place::behind_list)) {
        fail(say("ends before its JSON does"));
    }
}

bool looks_like_documents(std::string_view text, bool texts_too) {
    const auto skip = [&](std::size_t from) { return std::min(text.find_first_not_of(kBlank, from), text.size()); };
    const std::size_t first = skip(0);
    if (first == text.size() || (text[first] != '{' && text[first] != '[')) {
        return false;
    }
    if (const std::size_t second = skip(first + 1);
        texts_too && text[first] == '[' && second < text.size() && text[second] == '"') {
        return true;
    }
    constexpr std::string_view kKey = "\"text\"";
    for (std::size_t at = text.find(kKey); at != std::string_view::npos; at = text.find(kKey, at + 1)) {
        if (const std::size_t behind = skip(at + kKey.size()); behind < text.size() && text[behind] == ':') {
            return true;
        }
    }
    return false;
}

}  // namespace moescope::engine
