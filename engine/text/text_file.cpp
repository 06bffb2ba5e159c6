#include "engine/text/text_file.hpp"

#include <algorithm>
#include <memory>

#include "base/utf8.hpp"
#include "engine/error.hpp"
#include "engine/text/byte_source.hpp"
#include "engine/text/json_documents.hpp"

namespace moescope::engine {
namespace {

namespace fs = std::filesystem;

/// What stands beside the texts in JSON is unpacked and skipped; this much of it, for each byte of text that is
/// allowed.
constexpr std::uintmax_t kBesideText = 16;

enum class Kind { plain, lines, values };

/// Names the encodings that are met besides UTF-8; `start` is the beginning of the file.
void refuse_other_encodings(std::string_view start, const fs::path& path) {
    constexpr std::string_view kZeros("\0\0", 2);
    const auto zero = [&](std::size_t i) { return i < start.size() && start[i] == '\0'; };
    const bool marked32 = (start.starts_with("\xff\xfe") && start.substr(2).starts_with(kZeros)) ||
                          (start.starts_with(kZeros) && start.substr(2).starts_with("\xfe\xff"));
    const bool marked16 = start.starts_with("\xff\xfe") || start.starts_with("\xfe\xff");
    // Without a mark, Latin letters give it away: every second byte is zero.
    const bool letters16 = start.size() >= 4 && (zero(0) == zero(2)) && (zero(1) == zero(3)) && (zero(0) != zero(1));
    if (marked32 || marked16 || letters16) {
        const char* name = marked32 ? "UTF-32" : "UTF-16";
        throw Error(
            say("{} is {}; convert it to UTF-8 first, for example with iconv -f {} -t UTF-8", path, name, name));
    }
}

/// The pieces of a file as valid UTF-8, without a byte order mark.
class TextPieces {
 public:
    TextPieces(const fs::path& path, const StopCheck& check)
        : path_(path), source_(ByteSource::open(path)), check_(check) {
        read_piece();
        refuse_other_encodings(text_, path_);
        if (text_.starts_with(kByteOrderMark)) {
            text_.erase(0, kByteOrderMark.size());
            before_ = kByteOrderMark.size();
        }
    }

    /// The beginning of the text, before the first next().
    std::string_view beginning() const { return text_; }
    std::uint64_t expected_bytes() const { return source_->expected_bytes(); }
    /// Empty at the end.
    std::string_view next() {
        if (!taken_) {
            taken_ = true;
        } else {
            before_ += whole_;
            text_.erase(0, whole_);
            read_piece();
        }
        whole_ = ended_ ? text_.size() : base::complete_utf8_prefix(text_);
        const std::string_view piece = std::string_view(text_).substr(0, whole_);
        if (const std::size_t bad = base::first_invalid_utf8(piece); bad != piece.size()) {
            throw Error(say("{} is not UTF-8 at byte {}; convert it first, for example with iconv -t UTF-8", path_,
                            before_ + bad));
        }
        return piece;
    }

 private:
    static constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";

    /// Adds to text_ until something whole is in it.
    void read_piece() {
        do {
            check_stop(check_);
            const std::string_view piece = source_->next();
            ended_ = piece.empty();
            text_ += piece;
        } while (!ended_ && text_.size() < kByteOrderMark.size() + 1);
    }

    const fs::path& path_;
    std::unique_ptr<ByteSource> source_;
    const StopCheck& check_;
    std::string text_;
    std::size_t whole_ = 0;      ///< bytes of text_ that were given out
    std::uintmax_t before_ = 0;  ///< bytes of the file before text_
    bool taken_ = false, ended_ = false;
};

Kind kind_of(const fs::path& path, std::string_view beginning) {
    const std::string extension = lower_extension(unpacked_name(path));
    if (extension == ".jsonl" || extension == ".ndjson") {
        return Kind::lines;
    }
    if (extension == ".json" || (extension != ".txt" && looks_like_documents(beginning, false))) {
        return Kind::values;
    }
    return Kind::plain;
}

std::vector<LabelledText> read_plain(TextPieces& pieces, const fs::path& path, std::uintmax_t limit) {
    std::vector<LabelledText> texts(1);
    std::string& text = texts.front().text;
    for (std::string_view piece = pieces.next(); !piece.empty(); piece = pieces.next()) {
        if (piece.size() > limit - text.size()) {
            refuse_size(path, limit);
        }
        append_text(text, piece, limit);
    }
    return texts;
}

}  // namespace

std::vector<LabelledText> read_text_file(const fs::path& path, std::uintmax_t limit, const StopCheck& check) {
    TextPieces pieces(path, check);
    const Kind kind = kind_of(path, pieces.beginning());
    if (pieces.expected_bytes() / (kind == Kind::plain ? 1 : kBesideText) > limit) {
        refuse_size(path, limit);
    }
    if (kind == Kind::plain) {
        return read_plain(pieces, path, limit);
    }
    DocumentCollector documents(path, limit);
    std::unique_ptr<DocumentSplitter> splitter;
    if (kind == Kind::lines) {
        splitter = std::make_unique<LineSplitter>(path, documents);
    } else {
        splitter = std::make_unique<ValueSplitter>(path, documents);
    }
    std::uintmax_t bytes = 0;
    for (std::string_view piece = pieces.next(); !piece.empty(); piece = pieces.next()) {
        bytes += piece.size();
        if (bytes / kBesideText > limit) {
            refuse_size(path, limit);
        }
        splitter->piece(piece);
    }
    splitter->end();
    return documents.take();
}

bool is_text_file(const fs::path& path) {
    const std::string extension = lower_extension(unpacked_name(path));
    return extension == ".txt" || extension == ".jsonl" || extension == ".ndjson" || extension == ".json";
}

bool is_other_json(const fs::path& path) {
    if (lower_extension(unpacked_name(path)) != ".json") {
        return false;
    }
    const StopCheck never;
    return !looks_like_documents(TextPieces(path, never).beginning(), true);
}

}  // namespace moescope::engine
