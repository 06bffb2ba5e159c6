#include "base/npy.hpp"

#include <cstring>
#include <optional>
#include <string_view>

#include "base/error.hpp"

namespace moescope::base {
namespace {

constexpr std::string_view kMagic = "\x93NUMPY";

[[noreturn]] void damaged(const std::string& source, const Sentence& what) {
    throw Error(say("{}: not a sound .npy file, {}; write it again with numpy.save", source, what));
}

/// Reads the header's dictionary literal, the exact subset that NumPy writes.
class DictReader {
 public:
    explicit DictReader(std::string_view text) : text_(text) {}

    bool read(NpyHeader& header) {
        bool have[3] = {};
        if (!take('{')) {
            return false;
        }
        while (!take('}')) {
            const auto key = quoted();
            if (!key || !take(':')) {
                return false;
            }
            const int which = *key == "descr" ? 0 : *key == "fortran_order" ? 1 : *key == "shape" ? 2 : -1;
            if (which < 0 || have[which] || !value(which, header)) {
                return false;
            }
            have[which] = true;
            if (!take(',')) {
                if (!take('}')) {
                    return false;
                }
                break;
            }
        }
        skip();
        return at_ == text_.size() && have[0] && have[1] && have[2];
    }

 private:
    void skip() {
        while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n')) {
            ++at_;
        }
    }
    bool take(char wanted) {
        skip();
        if (at_ < text_.size() && text_[at_] == wanted) {
            ++at_;
            return true;
        }
        return false;
    }
    std::optional<std::string> quoted() {
        if (!take('\'')) {
            return std::nullopt;
        }
        const std::size_t end = text_.find('\'', at_);
        if (end == std::string_view::npos) {
            return std::nullopt;
        }
        std::string word(text_.substr(at_, end - at_));
        at_ = end + 1;
        return word;
    }
    bool value(int which, NpyHeader& header) {
        if (which == 0) {
            const auto dtype = quoted();
            header.dtype = dtype.value_or("");
            return dtype.has_value();
        }
        if (which == 1) {
            skip();
            for (const std::string_view word : {"False", "True"}) {
                if (text_.substr(at_).starts_with(word)) {
                    header.columns_first = word == "True";
                    at_ += word.size();
                    return true;
                }
            }
            return false;
        }
        return shape(header.shape);
    }
    bool shape(std::vector<std::uint64_t>& sizes) {
        if (!take('(')) {
            return false;
        }
        while (!take(')')) {
            skip();
            std::uint64_t size = 0;
            const std::size_t first = at_;
            for (; at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9'; ++at_) {
                if (__builtin_mul_overflow(size, 10u, &size) ||
                    __builtin_add_overflow(size, static_cast<unsigned>(text_[at_] - '0'), &size)) {
                    return false;
                }
            }
            if (at_ == first || sizes.size() == 32) {
                return false;
            }
            sizes.push_back(size);
            if (!take(',')) {
                return take(')');
            }
        }
        return true;
    }

    std::string_view text_;
    std::size_t at_ = 0;
};

/// Bytes of one value; 0 when the type holds anything but numbers.
std::uint64_t item_bytes_of(const std::string& dtype) {
    constexpr std::string_view kTypes[] = {"b1", "i1", "u1", "i2", "u2", "f2",  "i4", "u4",
                                           "f4", "i8", "u8", "f8", "c8", "c16", "f16"};
    if (dtype.size() < 3 || std::string_view("<>|").find(dtype[0]) == std::string_view::npos) {
        return 0;
    }
    for (const std::string_view name : kTypes) {
        if (std::string_view(dtype).substr(1) == name) {
            return static_cast<std::uint64_t>(std::stoul(std::string(name.substr(1))));
        }
    }
    return 0;
}

}  // namespace

NpyHeader parse_npy(std::span<const std::byte> prefix, std::uint64_t file_bytes, const std::string& source) {
    const std::string_view text(reinterpret_cast<const char*>(prefix.data()), prefix.size());
    if (text.size() < 12 || text.substr(0, kMagic.size()) != kMagic) {
        damaged(source, say("it does not begin with NumPy's mark"));
    }
    const int version = static_cast<unsigned char>(text[6]);
    if (version < 1 || version > 3 || text[7] != 0) {
        damaged(source, say("its version {} is not 1, 2 or 3", version));
    }
    std::uint32_t length = 0;
    std::memcpy(&length, text.data() + 8, version == 1 ? 2 : 4);
    const std::uint64_t before = version == 1 ? 10 : 12;
    if (length > kMostNpyHeader || before + length > text.size()) {
        damaged(source, say("its header of {} bytes is cut or too long", length));
    }
    NpyHeader header;
    if (!DictReader(text.substr(before, length)).read(header)) {
        damaged(source, say("its header is not what NumPy writes for a plain array of numbers"));
    }
    header.data_begin = before + length;
    header.item_bytes = item_bytes_of(header.dtype);
    if (header.item_bytes == 0) {
        throw Error(say("{} holds values of the type {}, which are no numbers", source, header.dtype));
    }
    header.count = 1;
    std::uint64_t bytes = header.item_bytes;
    for (const std::uint64_t size : header.shape) {
        if (__builtin_mul_overflow(header.count, size, &header.count) || __builtin_mul_overflow(bytes, size, &bytes)) {
            damaged(source, say("its shape overflows"));
        }
    }
    if (bytes != file_bytes - header.data_begin) {
        damaged(source, say("it has {} bytes of data, but its shape needs {}", file_bytes - header.data_begin, bytes));
    }
    return header;
}

}  // namespace moescope::base
