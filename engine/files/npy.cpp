#include "engine/files/npy.hpp"

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <string_view>
#include <utility>

#include "base/input_file.hpp"
#include "engine/error.hpp"
#include "engine/files/partial_file.hpp"

namespace moescope::engine {
namespace {

constexpr std::string_view kMagic = "\x93NUMPY";
constexpr std::size_t kPieceBytes = std::size_t{1} << 20;  // a multiple of every width

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
    errno = 0;
    std::ofstream file(path, std::ios::binary | std::ios::trunc);
    const auto length = static_cast<std::uint16_t>(text.size());
    file.write(kMagic.data(), static_cast<std::streamsize>(kMagic.size()));
    file.write("\x01\x00", 2);
    file.write(reinterpret_cast<const char*>(&length), 2);
    file.write(text.data(), static_cast<std::streamsize>(text.size()));
    file.write(static_cast<const char*>(data), static_cast<std::streamsize>(count * item_bytes));
    file.close();
    if (!file) {
        throw writing_failed(path, errno);
    }
}

}  // namespace

std::vector<std::int32_t> read_npy_tokens(const std::filesystem::path& path, const std::function<void()>& check) {
    const base::InputFile file(path);
    std::vector<char> piece(std::min<std::uint64_t>(file.size(), base::kMostNpyHeader + 12));
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
