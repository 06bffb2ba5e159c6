// The PNG writer: zlib does the work, this file only frames it (PNG 1.2, sections 3 and 4.1).
#include "panels/ui/png.hpp"

#include <cstdint>
#include <zlib.h>

namespace moescope::ui {
namespace {

void append_u32(std::string& out, std::uint32_t value) {
    for (int shift = 24; shift >= 0; shift -= 8) {
        out += static_cast<char>((value >> shift) & 255);
    }
}

void append_chunk(std::string& out, const char* type, const std::string& data) {
    append_u32(out, static_cast<std::uint32_t>(data.size()));
    const std::size_t start = out.size();
    out += type;
    out += data;
    const auto* bytes = reinterpret_cast<const Bytef*>(out.data() + start);
    append_u32(out, static_cast<std::uint32_t>(crc32(0, bytes, static_cast<uInt>(out.size() - start))));
}

}  // namespace

std::string encode_png(const unsigned char* rgba, int width, int height) {
    if (rgba == nullptr || width <= 0 || height <= 0) {
        return {};
    }
    const std::size_t row = static_cast<std::size_t>(width) * 3;
    std::string raw;  // each row: filter 1 (difference to the pixel on the left), then RGB
    raw.reserve((row + 1) * static_cast<std::size_t>(height));
    for (int y = 0; y < height; ++y) {
        raw += '\1';
        const unsigned char* pixel = rgba + static_cast<std::size_t>(y) * static_cast<std::size_t>(width) * 4;
        for (int x = 0; x < width; ++x, pixel += 4) {
            for (int c = 0; c < 3; ++c) {
                raw += static_cast<char>(x == 0 ? pixel[c] : static_cast<unsigned char>(pixel[c] - pixel[c - 4]));
            }
        }
    }
    uLongf packed_size = compressBound(static_cast<uLong>(raw.size()));
    std::string packed(packed_size, '\0');
    if (compress2(reinterpret_cast<Bytef*>(packed.data()), &packed_size, reinterpret_cast<const Bytef*>(raw.data()),
                  static_cast<uLong>(raw.size()), 6) != Z_OK) {
        return {};
    }
    packed.resize(packed_size);
    std::string header;
    append_u32(header, static_cast<std::uint32_t>(width));
    append_u32(header, static_cast<std::uint32_t>(height));
    header += std::string("\x08\x02\x00\x00\x00", 5);  // 8 bits, RGB
    std::string out = "\x89PNG\r\n\x1a\n";
    append_chunk(out, "IHDR", header);
    append_chunk(out, "IDAT", packed);
    append_chunk(out, "IEND", "");
    return out;
}

}  // namespace moescope::ui
