#include "engine/exchange/tokenizer_pieces.hpp"

#include <cstdint>
#include <cstring>
#include <string_view>

#include "base/utf8.hpp"
#include "engine/error.hpp"

namespace moescope::engine {
namespace {

constexpr std::string_view kBlankMark = "\xe2\x96\x81";

/// Walks the fields of one protocol buffer message.
class Fields {
 public:
    explicit Fields(std::string_view bytes) : bytes_(bytes) {}

    /// False at the end.
    bool next() {
        if (bytes_.empty()) {
            return false;
        }
        const std::uint64_t tag = varint();
        number_ = tag >> 3;
        form_ = tag & 7;
        switch (form_) {
            case kNumber:
                value_ = varint();
                return true;
            case kEightBytes:
                body_ = take(8);
                return true;
            case kText:
                body_ = take(varint());
                return true;
            case kFourBytes:
                body_ = take(4);
                return true;
            default:
                damaged();
        }
    }
    std::uint64_t number() const { return number_; }
    // Of a field in another form there is none: what is left of the field before is never taken for it.
    std::uint64_t value() const {
        require(kNumber);
        return value_;
    }
    std::string_view body() const {
        require(kText);
        return body_;
    }
    float real() const {
        require(kFourBytes);
        float value = 0;
        std::memcpy(&value, body_.data(), sizeof value);
        return value;
    }

 private:
    static constexpr std::uint64_t kNumber = 0, kEightBytes = 1, kText = 2, kFourBytes = 5;

    void require(std::uint64_t form) const {
        if (form_ != form) {
            damaged();
        }
    }
    [[noreturn]] static void damaged() {
        throw Error(say("the tokenizer's model file is damaged; train or fetch it again"));
    }

    std::uint64_t varint() {
        std::uint64_t value = 0;
        for (unsigned shift = 0; shift < 64; shift += 7) {
            const auto byte = static_cast<std::uint8_t>(take(1).front());
            value |= static_cast<std::uint64_t>(byte & 0x7fU) << shift;
            if (byte < 0x80) {
                return value;
            }
        }
        damaged();
    }
    std::string_view take(std::uint64_t count) {
        if (count > bytes_.size()) {
            damaged();
        }
        const std::string_view part = bytes_.substr(0, count);
        bytes_.remove_prefix(count);
        return part;
    }

    std::string_view bytes_, body_;
    std::uint64_t number_ = 0, form_ = 0, value_ = 0;
};

TokenizerPiece read_piece(std::string_view bytes) {
    TokenizerPiece piece;
    for (Fields fields(bytes); fields.next();) {
        if (fields.number() == 1) {
            piece.text = fields.body();
        } else if (fields.number() == 2) {
            piece.score = fields.real();
        } else if (fields.number() == 3) {
            if (fields.value() < 1 || fields.value() > 6) {
                throw Error(say("the tokenizer has a piece of the unknown kind {}", fields.value()));
            }
            piece.kind = static_cast<TokenizerPiece::Kind>(fields.value());
        }
    }
    return piece;
}

bool is_unigram(std::string_view trainer) {
    std::uint64_t type = 1;  // what the format says when the field is missing
    for (Fields fields(trainer); fields.next();) {
        type = fields.number() == 3 ? fields.value() : type;
    }
    return type == 1;
}

bool leaves_text_alone(std::string_view normaliser) {
    bool rules = false, puts_space = true, removes_spaces = true, marks_spaces = true;
    for (Fields fields(normaliser); fields.next();) {
        switch (fields.number()) {
            case 2:
                rules = !fields.body().empty();
                break;
            case 3:
                puts_space = fields.value() != 0;
                break;
            case 4:
                removes_spaces = fields.value() != 0;
                break;
            case 5:
                marks_spaces = fields.value() != 0;
                break;
            default:
                break;
        }
    }
    return !rules && !puts_space && !removes_spaces && marks_spaces;
}

}  // namespace

std::string TokenizerPiece::plain_text() const {
    std::string plain;
    for (std::size_t i = 0; i < text.size();) {
        const bool blank = text.compare(i, kBlankMark.size(), kBlankMark) == 0;
        plain += blank ? ' ' : text[i];
        i += blank ? kBlankMark.size() : 1;
    }
    return plain;
}

TokenizerPieces read_tokenizer_pieces(const std::string& model) {
    TokenizerPieces result;
    for (Fields fields(model); fields.next();) {
        if (fields.number() == 1) {
            result.pieces.push_back(read_piece(fields.body()));
            const std::string& text = result.pieces.back().text;
            result.valid_utf8 = result.valid_utf8 && base::first_invalid_utf8(text) == text.size();
        } else if (fields.number() == 2) {
            result.unigram = is_unigram(fields.body());
        } else if (fields.number() == 3) {
            result.takes_text_as_it_is = leaves_text_alone(fields.body());
        }
    }
    return result;
}

}  // namespace moescope::engine
