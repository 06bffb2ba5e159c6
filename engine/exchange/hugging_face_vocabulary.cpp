#include "engine/exchange/hugging_face_vocabulary.hpp"

#include <algorithm>
#include <cctype>
#include <initializer_list>
#include <limits>
#include <optional>
#include <set>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "base/foreign_text.hpp"
#include "base/input_file.hpp"
#include "base/json_fields.hpp"
#include "base/json_guard.hpp"
#include "base/text.hpp"
#include "base/utf8.hpp"
#include "engine/error.hpp"
#include "engine/exchange/hugging_face_keys.hpp"
#include "engine/exchange/pre_tokenizers.hpp"

namespace moescope::engine {
namespace {

using base::member;
using Json = nlohmann::json;
using Letters = Vocabulary::Letters;
using Space = Vocabulary::Space;

constexpr std::uint64_t kMaxFile = 64U << 20;  // bytes; the largest that we know of has 33 MB
constexpr std::uint64_t kMaxBeside = 16U << 20;
constexpr std::size_t kMaxValues = 6'000'000;  // gpt-oss: 1.6 million
constexpr std::size_t kMaxPieceBytes = 4096;
constexpr std::uint64_t kMostComparisons = 50'000'000;  // gpt-oss: some 10 million
constexpr const char* kBlank = "\xe2\x96\x81";

std::string shown(const std::string& text) {
    return base::shown_name(text);
}

/// A setting that must be a truth value; missing or null: `otherwise`.
bool flag(const Json& object, const char* key, bool otherwise = false) {
    const Json& value = member(object, key);
    if (!value.is_null() && !value.is_boolean()) {
        throw Error(say("has {} under \"{}\", which is neither true nor false", shown_json(value), key));
    }
    return value.is_null() ? otherwise : value.get<bool>();
}

/// A setting that must be a text; missing or null: empty.
std::string text(const Json& object, const char* key) {
    const Json& value = member(object, key);
    if (!value.is_null() && !value.is_string()) {
        throw Error(say("has {} under \"{}\", which is no text", shown_json(value), key));
    }
    return value.is_null() ? std::string() : value.get<std::string>();
}

std::string type_of(const Json& part, const char* what) {
    if (!part.is_object() || !member(part, "type").is_string()) {
        throw Error(say("has a {} without a type", what));
    }
    return part["type"].get<std::string>();
}

void refuse_further(const Json& object, std::initializer_list<std::string_view> known, base::Marked where) {
    for (const auto& [key, value] : object.items()) {
        if (!value.is_null() && std::find(known.begin(), known.end(), key) == known.end()) {
            throw Error(say("has the setting \"{}\" {}, which is not known here", shown(key), where));
        }
    }
}

/// The parts of a normalizer, pre-tokenizer, ... : one, none, or a sequence that may hold sequences.
void flatten(const Json& part, const char* what, const char* list, std::vector<const Json*>& parts) {
    if (part.is_null()) {
        return;
    }
    if (type_of(part, what) != "Sequence") {
        parts.push_back(&part);
        return;
    }
    const Json& inner = member(part, list);
    if (!inner.is_array()) {
        throw Error(say("has a {} that is a sequence of nothing", what));
    }
    for (const Json& one : inner) {
        flatten(one, what, list, parts);
    }
}

[[noreturn]] void refuse_part(const char* what, const Json& part) {
    throw Error(say("has the {} {}, which cannot be followed here", what, shown_json(part)));
}

/// A pattern that is a plain text; empty when it is another.
std::string plain_pattern(const Json& part) {
    return base::text_of(member(part, "pattern"), "String");
}

class Reader {
 public:
    Reader(const Json& file, int vocabulary) : file_(file), vocabulary_(vocabulary) {}

    Vocabulary read() {
        if (!file_.is_object()) {
            throw Error(say("is no JSON object"));
        }
        refuse_further(file_,
                       {"version", "truncation", "padding", "added_tokens", "normalizer", "pre_tokenizer",
                        "post_processor", "decoder", "model"},
                       marked("among its parts"));
        read_model();
        read_added();
        check_numbers();
        read_merges();
        read_normalizer();
        read_words();
        read_decoder();
        read_post_processor();
        check_bytes();
        check_merges();
        choose_words();
        return std::move(out_);
    }

 private:
    void read_model() {
        const Json& model = member(file_, "model");
        if (!model.is_object()) {
            throw Error(say("has no model"));
        }
        const std::string type = text(model, "type");
        if (!type.empty() && type != "BPE") {
            throw Error(say("is of the kind {}; only BPE can be run", shown(type)));
        }
        refuse_further(model,
                       {"type", "dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk",
                        "byte_fallback", "ignore_merges", "vocab", "merges"},
                       marked("in its model"));
        if (const Json& dropout = member(model, "dropout"); !dropout.is_null() && dropout != 0) {
            throw Error(say("leaves out merges by chance (dropout {})", shown_json(dropout)));
        }
        for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
            if (!text(model, key).empty()) {
                throw Error(say("marks pieces within words (\"{}\"), which cannot be followed here", key));
            }
        }
        flag(model, "fuse_unk");
        whole_words_ = flag(model, "ignore_merges");
        out_.letters = flag(model, "byte_fallback") ? Letters::text : Letters::bytes;
        const Json& vocab = member(model, "vocab");
        if (!vocab.is_object() || vocab.empty()) {
            throw Error(say("has no \"vocab\" with tokens and their numbers"));
        }
        for (const auto& [piece, number] : vocab.items()) {
            put(piece, number);
        }
        if (const std::string unknown = text(model, "unk_token"); !unknown.empty()) {
            const auto found = numbers_.find(unknown);
            if (found != numbers_.end()) {
                out_.unknown = found->second;
            }
        }
    }

    /// One more token; the same again is none.
    void put(const std::string& piece, const Json& number) {
        if (!number.is_number_integer() || number < 0 || number >= vocabulary_) {
            throw Error(say("gives the token '{}' the number {}, but the model has {} tokens", shown(piece),
                            shown_json(number), vocabulary_));
        }
        if (piece.empty() || piece.size() > kMaxPieceBytes || piece.find('\0') != std::string::npos) {
            throw Error(say("has a token of {} bytes that is empty, longer than {} bytes or holds a zero byte",
                            piece.size(), kMaxPieceBytes));
        }
        const auto id = number.get<std::int32_t>();
        const auto [known, fresh] = numbers_.emplace(piece, id);
        if (!fresh && known->second != id) {
            throw Error(
                say("has the token '{}' twice, as number {} and as number {}", shown(piece), known->second, id));
        }
        const auto place = static_cast<std::size_t>(id);
        if (out_.pieces.size() <= place) {
            out_.pieces.resize(place + 1);
        }
        if (fresh && !out_.pieces[place].empty()) {
            throw Error(
                say("gives the number {} to two tokens, '{}' and '{}'", id, shown(out_.pieces[place]), shown(piece)));
        }
        out_.pieces[place] = piece;
    }

    void read_added() {
        const Json& list = member(file_, "added_tokens");
        if (!list.is_null() && !list.is_array()) {
            throw Error(say("has \"added_tokens\" that are no list"));
        }
        std::set<std::string> seen;
        for (const Json& one : list) {
            const std::string content = text(one, "content");
            put(content, member(one, "id"));
            if (!seen.insert(content).second) {
                throw Error(say("adds the token '{}' twice", shown(content)));
            }
            for (const char* key : {"single_word", "lstrip", "rstrip"}) {
                if (flag(one, key)) {
                    throw Error(
                        say("takes what stands around the added token '{}' away (\"{}\"), which cannot be "
                            "followed here",
                            shown(content), key));
                }
            }
            const bool special = flag(one, "special");
            const bool normalised = flag(one, "normalized", !special);
            if (out_.letters == Letters::text && normalised && !special) {
                throw Error(
                    say("looks for the added token '{}' in a text whose spaces were replaced (\"normalized\"), "
                        "which cannot be followed here",
                        shown(content)));
            }
            out_.added.push_back({numbers_.at(content), content, special, normalised});
            is_added_.insert(numbers_.at(content));
            if (special) {
                special_.insert(content);
            }
        }
    }

    void check_numbers() const {
        const auto gap = std::find(out_.pieces.begin(), out_.pieces.end(), std::string());
        if (gap != out_.pieces.end()) {
            throw Error(say("has {} tokens but none with the number {}", numbers_.size(), gap - out_.pieces.begin()));
        }
    }

    std::int32_t merged(const std::string& piece, std::size_t rank, const std::string& left,
                        const std::string& right) const {
        const auto found = numbers_.find(piece);
        if (found == numbers_.end()) {
            throw Error(say("has the merge {} of '{}' and '{}', but no token '{}'", rank, shown(left), shown(right),
                            shown(piece)));
        }
        return found->second;
    }

    /// Pairs, as they are written since tokenizers 0.20, or both in one text with a space between them.
    void read_merges() {
        const Json& merges = member(member(file_, "model"), "merges");
        if (!merges.is_array()) {
            throw Error(say("has no list of merges"));
        }
        out_.merges.reserve(merges.size());
        for (const Json& one : merges) {
            const std::size_t rank = out_.merges.size();
            std::string left, right;
            if (one.is_array() && one.size() == 2 && one[0].is_string() && one[1].is_string()) {
                left = one[0].get<std::string>();
                right = one[1].get<std::string>();
            } else if (one.is_string()) {
                const auto& both = one.get_ref<const std::string&>();
                left = both.substr(0, both.find(' '));
                right = left.size() < both.size() ? both.substr(left.size() + 1) : std::string();
            }
            if (left.empty() || right.empty() || left.find(' ') != std::string::npos ||
                right.find(' ') != std::string::npos) {
                throw Error(
                    say("has {} as the merge {}, which is no pair of tokens without spaces", shown_json(one), rank));
            }
            const std::int32_t a = merged(left, rank, left, right), b = merged(right, rank, left, right);
            const std::int32_t c = merged(left + right, rank, left, right);
            if (!results_.emplace(key_of(a, b), Merge{rank, c}).second) {
                throw Error(say("has the merge of '{}' and '{}' twice", shown(left), shown(right)));
            }
            out_.merges.emplace_back(a, b);
        }
    }

    void read_normalizer() {
        std::vector<const Json*> parts;
        flatten(member(file_, "normalizer"), "normalizer", "normalizers", parts);
        for (const Json* part : parts) {
            const std::string type = type_of(*part, "normalizer");
            const bool text_letters = out_.letters == Letters::text;
            if (type == "NFC" && !text_letters) {
                out_.composes = true;
            } else if (type == "Prepend" && text_letters && text(*part, "prepend") == kBlank) {
                out_.space = Space::each;
            } else if (type == "Replace" && text_letters && plain_pattern(*part) == " " &&
                       text(*part, "content") == kBlank) {
                marks_blanks_ = true;
            } else {
                refuse_part("normalizer", *part);
            }
        }
    }

    void read_words() {
        std::vector<const Json*> parts;
        flatten(member(file_, "pre_tokenizer"), "pre_tokenizer", "pretokenizers", parts);
        if (out_.letters == Letters::text) {
            return read_blanks(parts);
        }
        if (parts.empty() || type_of(*parts.back(), "pre_tokenizer") != "ByteLevel") {
            throw Error(
                say("does not write text in bytes: it has neither the pre-tokenizer ByteLevel nor byte_fallback"));
        }
        if (flag(*parts.back(), "add_prefix_space", true)) {
            throw Error(say("puts a space before every text (add_prefix_space), which cannot be followed here"));
        }
        const bool by_gpt2 = flag(*parts.back(), "use_regex", true);
        parts.pop_back();
        std::vector<WordStep> steps;
        for (const Json* part : parts) {
            steps.push_back(word_step(*part));
        }
        if (by_gpt2) {
            steps.push_back({WordStep::Kind::pattern, kGpt2Pattern, false});
        }
        cut_ = find_word_cut(steps, whole_words_);
    }

    /// Which of libllama's names is used, here and in files.
    void choose_words() {
        if (out_.letters == Letters::text) {
            return;
        }
        const bool by_merges = !cut_.exact.empty() && merges_make_every_piece();
        out_.words = whole_words_ || by_merges ? cut_.exact : std::string();
        out_.words_in_gguf = whole_words_ && !by_merges ? cut_.exact : cut_.name;
        if (cut_.exact.empty() || out_.words.empty()) {
            out_.words = out_.words_in_gguf = cut_.name;
            if (cut_.if_merges_make_every_piece) {
                require_pieces_of_merges();
            }
        }
        for (const auto& [name, notes] :
             {std::pair(&out_.words, &out_.notes), std::pair(&out_.words_in_gguf, &out_.gguf_notes)}) {
            if (*name == cut_.name && !cut_.note.empty()) {
                notes->push_back(cut_.note);
            }
        }
    }

    static WordStep word_step(const Json& part) {
        const std::string type = type_of(part, "pre_tokenizer");
        if (type == "Digits" && flag(part, "individual_digits")) {
            return {WordStep::Kind::digits, {}, false};
        }
        const std::string pattern = base::text_of(member(part, "pattern"), "Regex");
        const bool invert = flag(part, "invert");
        const bool matches = text(part, "behavior") == "Removed" && invert;
        const bool isolated = text(part, "behavior") == "Isolated" && !invert;
        if (type != "Split" || pattern.empty() || (!matches && !isolated)) {
            refuse_part("pre_tokenizer", part);
        }
        return {WordStep::Kind::pattern, pattern, matches};
    }

    /// Of a vocabulary whose pieces hold spaces: the whole text is one word.
    void read_blanks(const std::vector<const Json*>& parts) {
        if (whole_words_) {
            throw Error(say("takes whole texts for tokens (ignore_merges), which cannot be followed here"));
        }
        for (const Json* part : parts) {
            const bool blanks = type_of(*part, "pre_tokenizer") == "Metaspace" && text(*part, "replacement") == kBlank;
            const std::string scheme = text(*part, "prepend_scheme");
            const bool puts = flag(*part, "add_prefix_space", true);
            const bool known = scheme == "first" || scheme == "always" || scheme == "never";
            if (!blanks || flag(*part, "split", true) || (!scheme.empty() && !known) || marks_blanks_) {
                refuse_part("pre_tokenizer", *part);
            }
            out_.space = scheme == "never" || !puts ? Space::never : scheme == "first" ? Space::first : Space::always;
            marks_blanks_ = true;
        }
        if (!marks_blanks_) {
            throw Error(say("does not say what stands for a space"));
        }
    }

    /// Pieces are turned back into text by what they are made of; another way would be another model.
    void read_decoder() const {
        std::vector<const Json*> parts;
        flatten(member(file_, "decoder"), "decoder", "decoders", parts);
        for (const Json* part : parts) {
            const std::string type = type_of(*part, "decoder");
            const bool usual = out_.letters == Letters::bytes
                                   ? type == "ByteLevel"
                                   : type == "Replace" || type == "ByteFallback" || type == "Fuse" || type == "Strip" ||
                                         type == "Metaspace";
            if (!usual) {
                refuse_part("decoder", *part);
            }
        }
    }

    void read_post_processor() {
        std::vector<const Json*> parts;
        flatten(member(file_, "post_processor"), "post_processor", "processors", parts);
        for (const Json* part : parts) {
            const std::string type = type_of(*part, "post_processor");
            if (type == "TemplateProcessing") {
                read_template(*part);
            } else if (type != "ByteLevel") {
                refuse_part("post_processor", *part);
            }
        }
    }

    void read_template(const Json& part) {
        const Json& single = member(part, "single");
        for (const Json& one : single.is_array() ? single : Json::array()) {
            if (member(one, "Sequence").is_object()) {
                return;  // an end token behind the text has no place before an answer
            }
            const std::string name = base::text_of(member(one, "SpecialToken"), "id");
            const Json& ids = member(member(member(part, "special_tokens"), name.c_str()), "ids");
            if (out_.begin || !ids.is_array() || ids.size() != 1 || !ids[0].is_number_integer() || ids[0] < 0 ||
                ids[0] >= out_.pieces.size()) {
                refuse_part("post_processor", part);
            }
            out_.begin = ids[0].get<std::int32_t>();
        }
        throw Error(say("has a post-processor without a place for the text"));
    }

    /// Without them a text could not come back as it was.
    void check_bytes() const {
        constexpr const char* kHex = "0123456789ABCDEF";
        for (unsigned byte = 0; byte < 256; ++byte) {
            std::string piece;
            if (out_.letters == Letters::bytes) {
                base::append_utf8(piece, byte_letters()[byte]);
            } else {
                piece = std::string("<0x") + kHex[byte >> 4U] + kHex[byte & 15U] + ">";
            }
            if (!numbers_.contains(piece) || special_.contains(piece)) {
                throw Error(say("has no token for the byte {} that a text may hold", byte));
            }
        }
    }

    void check_merges() const {
        for (std::size_t rank = 0; rank < out_.merges.size(); ++rank) {
            const std::string& left = piece(out_.merges[rank].first);
            const std::string& right = piece(out_.merges[rank].second);
            const std::string both = left + right;
            // libllama keeps line breaks and everything else apart, where the file has one word.
            if (out_.letters == Letters::text && both.find('\n') != std::string::npos &&
                both.find_first_not_of('\n') != std::string::npos) {
                throw Error(say("joins a line break with other characters (merge {})", rank));
            }
            if (cut_.if_digits_stay_apart && std::isdigit(static_cast<unsigned char>(left.back())) != 0 &&
                std::isdigit(static_cast<unsigned char>(right.front())) != 0) {
                throw Error(say("joins digits (merge {}), which libllama would do where the file does not", rank));
            }
        }
    }

    /// The first token that merges do not make of its letters. Throws Error: too much to compare.
    std::optional<std::int32_t> piece_without_merges() const {
        std::uint64_t left = kMostComparisons;
        for (std::size_t id = 0; id < out_.pieces.size(); ++id) {
            const auto number = static_cast<std::int32_t>(id);
            if (!is_added_.contains(number) && !comes_of_merges(number, left)) {
                return number;
            }
        }
        return std::nullopt;
    }
    bool merges_make_every_piece() const {
        try {
            return !piece_without_merges();
        } catch (const Error&) {
            return false;
        }
    }
    void require_pieces_of_merges() const {
        if (const auto one = piece_without_merges()) {
            throw Error(
                say("has the token '{}', which its merges do not make, and ignore_merges {}; libllama knows that way "
                    "to cut text only the other way round",
                    shown(piece(*one)), whole_words_));
        }
    }

    /// Whether the letters of a piece, merged as in a text, become it. `left`: comparisons that may still be made.
    bool comes_of_merges(std::int32_t id, std::uint64_t& left) const {
        std::vector<std::int32_t> parts;
        const std::string& whole = piece(id);
        for (std::size_t at = 0; at < whole.size();) {
            const std::size_t length = std::max<std::size_t>(1, base::code_point_at(whole, at).length);
            const auto found = numbers_.find(whole.substr(at, length));
            if (found == numbers_.end()) {
                return false;
            }
            parts.push_back(found->second);
            at += length;
        }
        while (parts.size() > 1) {
            if (left < parts.size()) {
                throw Error(say("has tokens that are too long to be compared with its merges"));
            }
            left -= parts.size();
            std::size_t best = parts.size();
            Merge merge{std::numeric_limits<std::size_t>::max(), 0};
            for (std::size_t i = 0; i + 1 < parts.size(); ++i) {
                const auto found = results_.find(key_of(parts[i], parts[i + 1]));
                if (found != results_.end() && found->second.rank < merge.rank) {
                    best = i;
                    merge = found->second;
                }
            }
            if (best == parts.size()) {
                return false;
            }
            parts[best] = merge.result;
            parts.erase(parts.begin() + static_cast<std::ptrdiff_t>(best) + 1);
        }
        return parts.front() == id;
    }

    const std::string& piece(std::int32_t id) const { return out_.pieces[static_cast<std::size_t>(id)]; }
    static std::uint64_t key_of(std::int32_t left, std::int32_t right) {
        return (static_cast<std::uint64_t>(static_cast<std::uint32_t>(left)) << 32U) |
               static_cast<std::uint32_t>(right);
    }

    struct Merge {
        std::size_t rank = 0;
        std::int32_t result = 0;
    };

    const Json& file_;
    const int vocabulary_;
    Vocabulary out_;
    WordCut cut_;
    bool whole_words_ = false, marks_blanks_ = false;
    std::unordered_map<std::string, std::int32_t> numbers_;
    std::unordered_map<std::uint64_t, Merge> results_;  ///< of a pair of tokens
    std::unordered_set<std::int32_t> is_added_;
    std::unordered_set<std::string> special_;
};

}  // namespace

Vocabulary parse_tokenizer_json(const Json& file, int vocabulary) {
    return Reader(file, vocabulary).read();
}

std::shared_ptr<const Vocabulary> read_hugging_face_vocabulary(const std::filesystem::path& folder, int vocabulary) {
    std::string bytes;
    try {
        bytes = base::read_file(folder / "tokenizer.json", kMaxFile);
    } catch (const Error& problem) {
        throw Error(say("its tokenizer cannot be used: {}", problem));
    }
    auto out = std::make_shared<Vocabulary>();
    try {
        const base::ParsedJson parsed = base::read_json(bytes, bytes.size(), {base::kJsonDepth, kMaxValues});
        if (!parsed.value) {
            throw Error(parsed.problem);
        }
        *out = parse_tokenizer_json(*parsed.value, vocabulary);
    } catch (const Error& problem) {
        throw Error(say("its tokenizer.json {}", problem));
    }
    out->files["tokenizer.json"] = std::move(bytes);
    for (const char* name : {"tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja"}) {
        if (auto beside = base::try_read_file(folder / name, kMaxBeside)) {
            out->files[name] = std::move(*beside);
        }
    }
    return out;
}

}  // namespace moescope::engine
