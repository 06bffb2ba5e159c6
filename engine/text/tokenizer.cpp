#include "engine/text/tokenizer.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <sentencepiece_processor.h>
#include <sentencepiece_trainer.h>
#include <unordered_map>

#include "base/utf8.hpp"
#include "engine/error.hpp"
#include "engine/text/dataset_check.hpp"

namespace moescope::engine {
namespace {

constexpr int kMaxPieces = 65536;  // more than the built-in texts can teach
constexpr int kMinPieces = 320;    // 256 bytes, the special pieces and a few characters
constexpr std::size_t kMaxSentenceBytes = 4000;
constexpr std::string_view kBlankMark = "\xe2\x96\x81";  // U+2581, SentencePiece's way to write a space

// Characters that SentencePiece uses for itself and would not give back: they travel as bytes.
bool needs_bytes(char32_t c) {
    return c == 0x2581 || c == 0xfffd || c == 0;
}

class Sentences final : public sentencepiece::SentenceIterator {
 public:
    explicit Sentences(const std::vector<std::string>& sentences) : sentences_(sentences) {}
    bool done() const override { return next_ >= sentences_.size(); }
    void Next() override { ++next_; }
    const std::string& value() const override { return sentences_[next_]; }
    sentencepiece::util::Status status() const override { return {}; }

 private:
    const std::vector<std::string>& sentences_;
    std::size_t next_ = 0;
};

// Appends the parts of a line that the trainer can take: valid UTF-8, not empty, not longer than its limit, no NUL.
void append_line(std::string_view line, std::vector<std::string>& lines) {
    while (!line.empty()) {
        const std::size_t boundary = base::character_boundary(line, kMaxSentenceBytes);
        const std::string_view part = line.substr(0, boundary == 0 ? kMaxSentenceBytes : boundary);
        const std::size_t valid = base::first_invalid_utf8(part);
        std::string text(part.substr(0, valid));
        std::erase(text, '\0');
        if (!text.empty()) {
            lines.push_back(std::move(text));
        }
        line.remove_prefix(valid < part.size() ? valid + 1 : part.size());
    }
}

// The line breaks are not learnt: a line break is a piece of its own.
std::vector<std::string> training_lines(const std::vector<std::string>& sentences) {
    std::vector<std::string> lines;
    for (const std::string& sentence : sentences) {
        std::string_view text = sentence;
        while (!text.empty()) {
            const std::string_view line = text.substr(0, text.find('\n'));
            text.remove_prefix(std::min(text.size(), line.size() + 1));
            append_line(line, lines);
        }
    }
    return lines;
}

// A Chinese text has thousands of characters; each that is covered takes a place in the vocabulary. The rarest go to
// bytes, so that at least 60 % of the places are left for words. Returns the share of the text to cover.
double character_coverage(const std::vector<std::string>& lines, int vocabulary) {
    std::unordered_map<char32_t, std::uint64_t> counts;
    std::uint64_t total = 0;
    for (const std::string& line : lines) {
        for (std::size_t offset = 0; offset < line.size();) {
            const base::CodePoint c = base::code_point_at(line, offset);
            ++counts[c.value];
            ++total;
            offset += c.length;
        }
    }
    std::vector<std::uint64_t> sorted;
    for (const auto& [character, count] : counts) {
        sorted.push_back(count);
    }
    std::sort(sorted.rbegin(), sorted.rend());
    const std::size_t keep =
        std::min(sorted.size(), static_cast<std::size_t>(std::max(20, (vocabulary - 260) * 2 / 5)));
    std::uint64_t covered = 0;
    for (std::size_t i = 0; i < keep; ++i) {
        covered += sorted[i];
    }
    // The trainer takes no share below 0.98.
    return std::clamp(static_cast<double>(covered) / static_cast<double>(total), 0.98, 0.9999);
}

void append_varint(std::string& out, std::uint64_t value) {
    while (value >= 0x80) {
        out += static_cast<char>(value | 0x80);
        value >>= 7;
    }
    out += static_cast<char>(value);
}

// Small texts give fewer pieces than asked for. Pieces marked unused fill up the rest, so that the vocabulary of a
// model and of its tokenizer are always the same. A model file is a protocol buffer: more pieces may simply be appended
// to it.
void append_unused_pieces(std::string& model, int have, int want) {
    for (int i = have; i < want; ++i) {
        std::string piece;
        const std::string name = "<unused_" + std::to_string(i) + ">";
        piece += '\x0a';  // field 1, the text
        append_varint(piece, name.size());
        piece += name;
        piece += '\x15';  // field 2, the score: 0.0f
        piece.append(4, '\0');
        piece += '\x18';  // field 3, the type: unused
        piece += '\x05';
        model += '\x0a';  // field 1 of the model: a piece
        append_varint(model, piece.size());
        model += piece;
    }
}

/// What the library says, without its place in its sources: "INTERNAL: src/x.cc(662) [condition] words".
std::string words_of(const sentencepiece::util::Status& status) {
    const std::string text = status.ToString();
    const std::size_t place = text.find("] ");
    const std::string words = place == std::string::npos ? text : text.substr(place + 2);
    return words.empty() ? "SentencePiece gave no reason" : words;
}

}  // namespace

struct Tokenizer::Impl {
    sentencepiece::SentencePieceProcessor processor;
    std::string model;
    std::vector<std::string> bytes;               ///< what each token adds to the text
    std::array<std::int32_t, 256> byte_tokens{};  ///< token of each single byte
    std::int32_t begin = -1, end = -1;

    void append_bytes(std::string_view text, std::vector<std::int32_t>& tokens) const {
        for (const char c : text) {
            tokens.push_back(byte_tokens[static_cast<std::uint8_t>(c)]);
        }
    }
    void read_pieces();
};

void Tokenizer::Impl::read_pieces() {
    const int size = processor.GetPieceSize();
    if (size < 260 || size > kMaxPieces) {
        throw Error(say("this tokenizer has {} pieces; between 260 and {} are possible", size, kMaxPieces));
    }
    byte_tokens.fill(-1);
    bytes.resize(static_cast<std::size_t>(size));
    for (int id = 0; id < size; ++id) {
        const std::string& piece = processor.IdToPiece(id);
        std::string& out = bytes[static_cast<std::size_t>(id)];
        if (processor.IsByte(id)) {
            unsigned value = 256;
            if (std::sscanf(piece.c_str(), "<0x%2X>", &value) == 1 && value < 256) {
                byte_tokens[value] = id;
                out.assign(1, static_cast<char>(value));
            }
        } else if (!processor.IsControl(id) && !processor.IsUnused(id) && !processor.IsUnknown(id)) {
            for (std::size_t i = 0; i < piece.size();) {
                const bool blank = piece.compare(i, kBlankMark.size(), kBlankMark) == 0;
                out += blank ? ' ' : piece[i];
                i += blank ? kBlankMark.size() : 1;
            }
        }
    }
    begin = processor.bos_id();
    end = processor.eos_id();
    if (std::find(byte_tokens.begin(), byte_tokens.end(), -1) != byte_tokens.end() || begin < 0 || end < 0) {
        throw Error(
            say("this tokenizer has no byte fallback or no begin and end tokens; use one that Moescope trained"));
    }
}

Tokenizer::Tokenizer() : impl_(std::make_unique<Impl>()) {}
Tokenizer::~Tokenizer() = default;

std::shared_ptr<const Tokenizer> Tokenizer::from_bytes(std::string bytes) {
    if (bytes.empty() || bytes.size() > kMaxTokenizerBytes) {
        throw Error(say("a tokenizer of {} bytes cannot be right; it is empty or damaged", bytes.size()));
    }
    std::shared_ptr<Tokenizer> result(new Tokenizer());  // the constructor is private
    const auto status = result->impl_->processor.LoadFromSerializedProto(bytes);
    if (!status.ok()) {
        throw Error(say("the tokenizer is damaged or no SentencePiece model"));
    }
    result->impl_->model = std::move(bytes);
    result->impl_->read_pieces();
    return result;
}

void check_vocabulary(int vocabulary) {
    if (vocabulary < kMinPieces || vocabulary > kMaxPieces) {
        throw Error(say("a vocabulary of {} pieces is not possible; use {} to {}", vocabulary, kMinPieces, kMaxPieces));
    }
}

std::shared_ptr<const Tokenizer> Tokenizer::train(const std::vector<std::string>& sentences, int vocabulary) {
    check_vocabulary(vocabulary);
    const std::vector<std::string> lines = training_lines(sentences);
    if (lines.empty()) {
        throw Error(say("there is no text to train the tokenizer on"));
    }
    const std::unordered_map<std::string, std::string> settings = {
        {"model_type", "unigram"},
        {"vocab_size", std::to_string(vocabulary)},
        {"hard_vocab_limit", "false"},
        {"byte_fallback", "true"},
        {"character_coverage", std::to_string(character_coverage(lines, vocabulary))},
        {"normalization_rule_name", "identity"},  // every byte of the text must come back
        {"add_dummy_prefix", "false"},
        {"remove_extra_whitespaces", "false"},
        {"user_defined_symbols", "\n"},
        {"split_digits", "true"},
        {"max_sentence_length", std::to_string(kMaxSentenceBytes)},
        {"num_threads",
         "2"},  // fixed, not the machine's number: sums are split by thread, and the result depends on the split
        {"seed_sentencepiece_size", "200000"},
        {"minloglevel", "3"},
    };
    Sentences iterator(lines);
    std::string model;
    const auto status = sentencepiece::SentencePieceTrainer::Train(settings, &iterator, &model);
    if (!status.ok()) {
        throw Error(say("the tokenizer could not be trained on this text: {}", words_of(status)));
    }
    sentencepiece::SentencePieceProcessor processor;
    if (!processor.LoadFromSerializedProto(model).ok() || processor.GetPieceSize() > vocabulary) {
        throw Error(say("the text has too many different characters for a vocabulary of {}", vocabulary));
    }
    append_unused_pieces(model, processor.GetPieceSize(), vocabulary);
    return from_bytes(std::move(model));
}

std::vector<std::int32_t> Tokenizer::encode(std::string_view text) const {
    std::vector<std::int32_t> tokens;
    std::vector<int> ids;
    std::size_t start = 0, offset = 0;
    const auto flush = [&] {
        if (offset == start) {
            return;
        }
        const auto status = impl_->processor.Encode(absl::string_view(text.data() + start, offset - start), &ids);
        if (!status.ok()) {
            throw Error(say("the text could not be split into tokens: {}", words_of(status)));
        }
        tokens.insert(tokens.end(), ids.begin(), ids.end());
    };
    while (offset < text.size()) {
        const base::CodePoint c = base::code_point_at(text, offset);
        if (c.length != 0 && !needs_bytes(c.value)) {
            offset += c.length;
            continue;
        }
        flush();
        const std::size_t length = std::max<std::size_t>(c.length, 1);
        impl_->append_bytes(text.substr(offset, length), tokens);
        offset += length;
        start = offset;
    }
    flush();
    return tokens;
}

std::string Tokenizer::decode(std::span<const std::int32_t> tokens) const {
    std::string text;
    for (const std::int32_t token : tokens) {
        if (token >= 0 && token < size()) {
            text += impl_->bytes[static_cast<std::size_t>(token)];
        }
    }
    return text;
}

std::string Tokenizer::piece_bytes(std::int32_t token) const {
    return decode(std::span(&token, 1));
}

int Tokenizer::size() const {
    return static_cast<int>(impl_->bytes.size());
}
std::int32_t Tokenizer::begin_token() const {
    return impl_->begin;
}
std::int32_t Tokenizer::end_token() const {
    return impl_->end;
}
const std::string& Tokenizer::model_bytes() const {
    return impl_->model;
}

}  // namespace moescope::engine
