#include "engine/exchange/hugging_face_text.hpp"

#include <functional>
#include <utility>

#include "base/input_file.hpp"
#include "base/json_fields.hpp"
#include "base/utf8.hpp"
#include "engine/error.hpp"
#include "engine/exchange/tokenizer_pieces.hpp"

namespace moescope::engine {
namespace {

using base::member;
using Json = nlohmann::json;

constexpr std::uint64_t kMaxSettings = 16U << 20;  // bytes; vocabularies of added tokens are long
constexpr std::uint64_t kMaxTemplate = 1U << 20;

Json optional_json(const std::filesystem::path& path) {
    return base::is_there(path) ? base::read_json_file(path, kMaxSettings) : Json::object();
}

/// A token's text stands by itself or in an object with its properties.
std::string token_text(const Json& value) {
    const Json& text = value.is_object() ? member(value, "content") : value;
    return text.is_string() ? text.get<std::string>() : std::string();
}

/// What a tokenizer itself says.
struct OfTokenizer {
    std::map<std::string, std::int32_t> special;  ///< texts that are one token each wherever a template writes them
    std::optional<std::int32_t> begin, end;
    bool knows_begin = false;  ///< `begin` is what it puts before a text; a bos_token of the settings is but a name
    std::function<std::optional<std::int32_t>(const std::string&)> find;  ///< any further token of this text
};

OfTokenizer of_tokenizer(const Tokenizer& tokenizer) {
    OfTokenizer of;
    const std::vector<TokenizerPiece> pieces = read_tokenizer_pieces(tokenizer.model_bytes()).pieces;
    for (std::size_t token = 0; token < pieces.size(); ++token) {
        if (pieces[token].kind == TokenizerPiece::Kind::control ||
            pieces[token].kind == TokenizerPiece::Kind::unknown) {
            of.special.emplace(pieces[token].text, static_cast<std::int32_t>(token));
        }
    }
    of.begin = tokenizer.begin_token();
    of.end = tokenizer.end_token();
    of.find = [](const std::string&) { return std::nullopt; };
    return of;
}

OfTokenizer of_vocabulary(const Vocabulary& vocabulary) {
    OfTokenizer of;
    for (const Vocabulary::Added& added : vocabulary.added) {
        if (added.special) {
            of.special.emplace(added.text, added.id);
        }
    }
    of.begin = vocabulary.begin;
    of.knows_begin = true;
    of.find = [&vocabulary](const std::string& text) { return vocabulary.find(text); };
    return of;
}

class Reader {
 public:
    Reader(const std::filesystem::path& folder, const Json& config, OfTokenizer tokenizer, int vocabulary,
           std::vector<Sentence>& notes)
        : folder_(folder),
          settings_(optional_json(folder / "tokenizer_config.json")),
          generation_(optional_json(folder / "generation_config.json")),
          config_(config),
          tokenizer_(std::move(tokenizer)),
          vocabulary_(vocabulary),
          notes_(notes) {}

    TextRules read() {
        read_special();
        rules_.begin_text = token_text(member(settings_, "bos_token"));
        rules_.end_text = token_text(member(settings_, "eos_token"));
        rules_.begin = begin_token();
        read_ends();
        rules_.chat_template = chat_template();
        const auto end = rules_.ends.empty() ? std::nullopt : std::optional(rules_.ends.front());
        for (auto& [text, token] : {std::pair(&rules_.begin_text, rules_.begin), std::pair(&rules_.end_text, end)}) {
            if (text->empty() && token) {
                *text = text_of(*token);
            }
        }
        return std::move(rules_);
    }

 private:
    void read_special() {
        rules_.special = tokenizer_.special;
        const Json& added = member(settings_, "added_tokens_decoder");
        if (!added.is_object()) {
            return;
        }
        for (const auto& [key, value] : added.items()) {
            const bool number = !key.empty() && key.size() < 10 && key.find_first_not_of("0123456789") == key.npos;
            const std::string text = token_text(value);
            // A tokenizer.json has told of those that are merely added.
            const bool counts = !tokenizer_.knows_begin || base::flag_of(value, "special");
            if (number && counts && !text.empty() && std::stoi(key) < vocabulary_) {
                rules_.special[text] = std::stoi(key);
            }
        }
    }

    std::optional<std::int32_t> token(const Json& value) const {
        if (!value.is_number_integer() || value < 0 || value >= vocabulary_) {
            return std::nullopt;
        }
        return value.get<std::int32_t>();
    }
    std::optional<std::int32_t> token(const std::string& text) const {
        const auto found = rules_.special.find(text);
        return found != rules_.special.end() ? std::optional(found->second)
               : text.empty()                ? std::nullopt
                                             : tokenizer_.find(text);
    }
    std::string text_of(std::int32_t wanted) const {
        for (const auto& [text, number] : rules_.special) {
            if (number == wanted) {
                return text;
            }
        }
        return {};
    }

    std::optional<std::int32_t> begin_token() {
        const Json& adds = member(settings_, "add_bos_token");
        if (adds.is_boolean() && !adds.get<bool>()) {
            return std::nullopt;
        }
        if (!adds.is_boolean() && tokenizer_.knows_begin) {
            return tokenizer_.begin;
        }
        if (settings_.contains("bos_token")) {
            if (settings_["bos_token"].is_null()) {
                return std::nullopt;
            }
            if (const auto begin = token(rules_.begin_text)) {
                return begin;
            }
            notes_.push_back(say("The begin token \"{}\" of tokenizer_config.json is unknown", rules_.begin_text));
        }
        if (config_.contains("bos_token_id")) {
            return token(config_["bos_token_id"]);
        }
        return tokenizer_.begin;
    }

    void read_ends() {
        for (const Json* source : {&generation_, &config_}) {
            const Json& value = member(*source, "eos_token_id");
            const Json list = value.is_array() ? value : Json::array({value});
            for (const Json& one : list) {
                if (const auto end = token(one)) {
                    rules_.ends.push_back(*end);
                }
            }
            if (!rules_.ends.empty()) {
                return;
            }
        }
        if (const auto end = token(rules_.end_text)) {
            rules_.ends.push_back(*end);
        } else if (tokenizer_.end) {
            rules_.ends.push_back(*tokenizer_.end);
        }
    }

    /// A file of its own in newer folders; else beside the other settings, alone or under a name among others.
    std::string chat_template() {
        const std::filesystem::path path = folder_ / "chat_template.jinja";
        if (base::is_there(path)) {
            try {
                return file_text(path);
            } catch (const Error& problem) {
                rules_.template_problem = problem.sentence();
                return {};
            }
        }
        const Json& value = member(settings_, "chat_template");
        if (value.is_string()) {
            return value.get<std::string>();
        }
        for (const Json& named : value.is_array() ? value : Json::array()) {
            if (token_text(member(named, "name")) == "default") {
                return token_text(member(named, "template"));
            }
        }
        return {};
    }

    static std::string file_text(const std::filesystem::path& path) {
        std::string text = base::read_file(path, kMaxTemplate);
        if (base::first_invalid_utf8(text) != text.size()) {
            throw Error(say("{}: is not valid UTF-8; get the file again", path));
        }
        return text;
    }

    const std::filesystem::path& folder_;
    const Json settings_, generation_;
    const Json& config_;
    const OfTokenizer tokenizer_;
    const int vocabulary_;
    std::vector<Sentence>& notes_;
    TextRules rules_;
};

}  // namespace

TextRules read_hugging_face_text(const std::filesystem::path& folder, const Json& config, const Tokenizer& tokenizer,
                                 int vocabulary, std::vector<Sentence>& notes) {
    return Reader(folder, config, of_tokenizer(tokenizer), vocabulary, notes).read();
}

TextRules read_hugging_face_text(const std::filesystem::path& folder, const Json& config, const Vocabulary& tokenizer,
                                 int vocabulary, std::vector<Sentence>& notes) {
    return Reader(folder, config, of_vocabulary(tokenizer), vocabulary, notes).read();
}

}  // namespace moescope::engine
