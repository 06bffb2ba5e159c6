#include "engine/files/npy.hpp"

#include <algorithm>
#include <cstring>
#include <fstream>
#include <limits>
#include <optional>
#include <string_view>
#include <utility>

#include "engine/error.hpp"

namespace moescope::engine {
namespace {

constexpr std::string_view kMagic = "\x93NUMPY";
constexpr std::uint64_t kMaxHeader = 65536;

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
            constexpr std::string_view kFalse = "False";
            const bool plain = text_.substr(at_, kFalse.size()) == kFalse;
            at_ += plain ? kFalse.size() : 0;
            return plain;
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

std::uint64_t item_bytes_of(const std::string& dtype) {
    constexpr std::pair<std::string_view, std::uint64_t> kTypes[] = {{"<i4", 4}, {"<i8", 8}, {"<u2", 2},
                                                                     {"<u4", 4}, {"|u1", 1}, {"<f4", 4}};
    for (const auto& [name, bytes] : kTypes) {
        if (dtype == name) {
            return bytes;
        }
    }
    return 0;
}

template <class Stored>
std::vector<std::int32_t> converted(const std::vector<char>& bytes, const std::string& source) {
    std::vector<std::int32_t> values(bytes.size() / sizeof(Stored));
    for (std::size_t i = 0; i < values.size(); ++i) {
        Stored value;
        std::memcpy(&value, bytes.data() + i * sizeof(Stored), sizeof(Stored));
        if (!std::in_range<std::int32_t>(value)) {
            throw Error(say("{}: value {} at position {} is no token", source, value, i));
        }
        values[i] = static_cast<std::int32_t>(value);
    }
    return values;
}

std::vector<std::int32_t> convert(const std::string& dtype, const std::vector<char>& bytes, const std::string& source) {
    if (dtype == "<i4") {
        return converted<std::int32_t>(bytes, source);
    }
    if (dtype == "<i8") {
        return converted<std::int64_t>(bytes, source);
    }
    if (dtype == "<u2") {
        return converted<std::uint16_t>(bytes, source);
    }
    if (dtype == "<u4") {
        return converted<std::uint32_t>(bytes, source);
    }
    return converted<std::uint8_t>(bytes, source);
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
    if ((version != 1 && version != 2) || text[7] != 0) {
        damaged(source, say("its version {} is not 1 or 2", version));
    }
    std::uint32_t length = 0;
    std::memcpy(&length, text.data() + 8, version == 1 ? 2 : 4);
    const std::uint64_t before = version == 1 ? 10 : 12;
    if (length > kMaxHeader || before + length > text.size()) {
        damaged(source, say("its header of {} bytes is cut or too long", length));
    }
    NpyHeader header;
    if (!DictReader(text.substr(before, length)).read(header)) {
        damaged(source, say("its header is not what NumPy writes for a plain array in C order"));
    }
    header.data_begin = before + length;
    header.item_bytes = item_bytes_of(header.dtype);
    if (header.item_bytes == 0) {
        damaged(source, say("its type \"{}\" is not supported", header.dtype));
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

std::vector<std::int32_t> read_npy_tokens(const std::filesystem::path& path) {
    std::error_code error;
    std::ifstream file(path, std::ios::binary);
    const bool regular = std::filesystem::is_regular_file(path, error);
    const std::uint64_t size = regular ? std::filesystem::file_size(path, error) : 0;
    if (!file || !regular || error) {
        throw Error(say("{}: cannot be read; check that the file exists and that you may read it", path));
    }
    std::vector<std::byte> prefix(std::min<std::uint64_t>(size, kMaxHeader + 12));
    file.read(reinterpret_cast<char*>(prefix.data()), static_cast<std::streamsize>(prefix.size()));
    const NpyHeader header = parse_npy(prefix, size, path.string());
    if (header.shape.size() != 1 || header.dtype == "<f4") {
        throw Error(say("{}: tokens must be a one-dimensional array of whole numbers, for example int32", path));
    }
    std::vector<char> bytes(size - header.data_begin);
    file.seekg(static_cast<std::streamoff>(header.data_begin));
    file.read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    if (!file) {
        throw Error(say("{}: reading failed; check the disk", path));
    }
    return convert(header.dtype, bytes, path.string());
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
