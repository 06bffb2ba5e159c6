#include "engine/files/npy.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <fstream>
#include <limits>
#include <optional>
#include <string_view>
#include <utility>

#include "base/input_file.hpp"
#include "engine/error.hpp"

namespace moescope::engine {
namespace {

constexpr std::string_view kMagic = "\x93NUMPY";
constexpr std::uint64_t kMaxHeader = 65536;
constexpr std::size_t kPieceBytes = std::size_t{1} << 20;  // a multiple of every width

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

/// Appends values of the type Stored, in the machine's byte order or the other one.
template <class Stored>
void append_tokens(std::span<const char> bytes, bool swapped, const std::string& source,
                   std::vector<std::int32_t>& tokens) {
    for (std::size_t at = 0; at < bytes.size(); at += sizeof(Stored)) {
        char item[sizeof(Stored)];
        std::copy_n(bytes.data() + at, sizeof item, item);
        if (swapped) {
            std::reverse(std::begin(item), std::end(item));
        }
        Stored value;
        std::memcpy(&value, item, sizeof value);
        if (!std::in_range<std::int32_t>(value)) {
            throw Error(say("{}: value {} at position {} is no token", source, value, tokens.size()));
        }
        tokens.push_back(static_cast<std::int32_t>(value));
    }
}

using Append = void (*)(std::span<const char>, bool, const std::string&, std::vector<std::int32_t>&);

/// How values of a type are taken; null for what is no whole number.
Append append_of(const std::string& dtype) {
    constexpr std::pair<std::string_view, Append> kTypes[] = {
        {"i1", append_tokens<std::int8_t>},   {"u1", append_tokens<std::uint8_t>}, {"i2", append_tokens<std::int16_t>},
        {"u2", append_tokens<std::uint16_t>}, {"i4", append_tokens<std::int32_t>}, {"u4", append_tokens<std::uint32_t>},
        {"i8", append_tokens<std::int64_t>},  {"u8", append_tokens<std::uint64_t>}};
    for (const auto& [name, append] : kTypes) {
        if (std::string_view(dtype).substr(1) == name) {
            return append;
        }
    }
    return nullptr;
}

void check_tokens(const NpyHeader& header, const std::filesystem::path& path) {
    if (append_of(header.dtype) == nullptr) {
        throw Error(say("{} holds values of the type {}, but tokens are whole numbers; save them with .astype('int32')",
                        path, header.dtype));
    }
    if (header.shape.size() != 1) {
        throw Error(say("{} has {} dimensions, but tokens are a one-dimensional list; save them with .reshape(-1)",
                        path, header.shape.size()));
    }
    if (header.count > kMostNpyTokens) {
        throw Error(say("{} has {} tokens, more than the {} that can be used at once, so take a part of it", path,
                        header.count, kMostNpyTokens));
    }
}

void write_bytes(const std::filesystem::path& path, const char* dtype, const void* data, std::uint64_t count,
                 std::uint64_t item_bytes, const std::vector<std::uint64_t>& shape) {
    std::uint64_t product = 1;
    std::string sizes;
    for (const std::uint64_t size : shape) {
        product *= size;
        sizes += std::to_string(size) + (shape.size() == 1 ? "," : ", ");
    }
    if (shape.size() > 1) {
        sizes.resize(sizes.size() - 2);
    }
    if (product != count) {
        throw Error(say("{}: {} values do not fill the shape ({})", path, count, sizes));
    }
    std::string text = std::string("{'descr': '") + dtype + "', 'fortran_order': False, 'shape': (" + sizes + "), }";
    const std::size_t before = kMagic.size() + 4;
    text.resize((before + text.size() + 1 + 63) / 64 * 64 - before - 1, ' ');
    text += '\n';
    std::ofstream file(path, std::ios::binary | std::ios::trunc);
    const auto length = static_cast<std::uint16_t>(text.size());
    file.write(kMagic.data(), static_cast<std::streamsize>(kMagic.size()));
    file.write("\x01\x00", 2);
    file.write(reinterpret_cast<const char*>(&length), 2);
    file.write(text.data(), static_cast<std::streamsize>(text.size()));
    file.write(static_cast<const char*>(data), static_cast<std::streamsize>(count * item_bytes));
    file.close();
    if (!file) {
        throw Error(say("{}: writing failed; check that the folder exists and the disk has room", path));
    }
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
    if (length > kMaxHeader || before + length > text.size()) {
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

std::vector<std::int32_t> read_npy_tokens(const std::filesystem::path& path, const std::function<void()>& check) {
    const base::InputFile file(path);
    std::vector<char> piece(std::min<std::uint64_t>(file.size(), kMaxHeader + 12));
    file.read(0, std::span(piece));
    const NpyHeader header = parse_npy(std::as_bytes(std::span(piece)), file.size(), path.string());
    check_tokens(header, path);
    const Append append = append_of(header.dtype);
    const bool swapped = header.dtype[0] == (std::endian::native == std::endian::little ? '>' : '<');
    std::vector<std::int32_t> tokens;
    tokens.reserve(header.count);
    piece.resize(kPieceBytes);
    const std::uint64_t bytes = header.count * header.item_bytes;
    for (std::uint64_t at = 0; at < bytes; at += piece.size()) {
        if (check) {
            check();
        }
        const std::span<char> now = std::span(piece).first(std::min<std::uint64_t>(piece.size(), bytes - at));
        file.read(header.data_begin + at, now);
        append(now, swapped, path.string(), tokens);
    }
    return tokens;
}

void write_npy(const std::filesystem::path& path, std::span<const float> values,
               const std::vector<std::uint64_t>& shape) {
    write_bytes(path, "<f4", values.data(), values.size(), sizeof(float), shape);
}

void write_npy(const std::filesystem::path& path, std::span<const std::int32_t> values,
               const std::vector<std::uint64_t>& shape) {
    write_bytes(path, "<i4", values.data(), values.size(), sizeof(std::int32_t), shape);
}

}  // namespace moescope::engine
