// Undoes the PNG files that this program writes: 8 bits, RGB, every row filtered with the pixel on its left.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <map>
#include <optional>
#include <string>
#include <zlib.h>

namespace moescope::gui_test {

struct Picture {
    int width = 0, height = 0;
    std::string rgb;  ///< 3 bytes a pixel, top row first

    /// How many pixels have each colour (0xrrggbb).
    std::map<std::uint32_t, int> colors() const {
        std::map<std::uint32_t, int> found;
        for (std::size_t i = 0; i + 2 < rgb.size(); i += 3) {
            const auto part = [&](std::size_t at) { return std::uint32_t{static_cast<unsigned char>(rgb[at])}; };
            ++found[part(i) << 16 | part(i + 1) << 8 | part(i + 2)];
        }
        return found;
    }
    /// Pixels whose colour differs from `color` by at most `most` in each of its three parts.
    int like(std::uint32_t color, int most) const {
        int count = 0;
        for (const auto& [other, pixels] : colors()) {
            bool near = true;
            for (int shift = 0; shift <= 16; shift += 8) {
                near = near && std::abs(static_cast<int>(other >> shift & 255) -
                                        static_cast<int>(color >> shift & 255)) <= most;
            }
            count += near ? pixels : 0;
        }
        return count;
    }
};

/// Nothing when a checksum, the size or the filter is not as it must be.
inline std::optional<Picture> read_png(const std::string& png) {
    const auto u32 = [&](std::size_t at) {
        std::uint32_t v = 0;
        for (std::size_t i = 0; i < 4 && at + i < png.size(); ++i) {
            v = v << 8 | static_cast<unsigned char>(png[at + i]);
        }
        return v;
    };
    Picture picture;
    std::string data;
    for (std::size_t at = 8; at + 12 <= png.size();) {
        const std::uint32_t size = u32(at);
        if (size > png.size() - at - 12 ||
            u32(at + 8 + size) != crc32(0, reinterpret_cast<const Bytef*>(png.data() + at + 4), size + 4)) {
            return {};
        }
        if (png.compare(at + 4, 4, "IHDR") == 0) {
            picture.width = static_cast<int>(u32(at + 8));
            picture.height = static_cast<int>(u32(at + 12));
        } else if (png.compare(at + 4, 4, "IDAT") == 0) {
            data += png.substr(at + 8, size);
        }
        at += 12 + size;
    }
    if (picture.width < 1 || picture.height < 1 || picture.width > 16384 || picture.height > 16384) {
        return {};
    }
    const std::size_t row = static_cast<std::size_t>(picture.width) * 3;
    std::string raw((row + 1) * static_cast<std::size_t>(picture.height), '\0');
    uLongf length = raw.size();
    if (uncompress(reinterpret_cast<Bytef*>(raw.data()), &length, reinterpret_cast<const Bytef*>(data.data()),
                   data.size()) != Z_OK ||
        length != raw.size()) {
        return {};
    }
    for (std::size_t at = 0; at < raw.size(); at += row + 1) {
        if (raw[at] != 1) {
            return {};
        }
        for (std::size_t i = 0; i < row; ++i) {
            const char left = i < 3 ? '\0' : picture.rgb[picture.rgb.size() - 3];
            picture.rgb += static_cast<char>(raw[at + 1 + i] + left);
        }
    }
    return picture;
}

}  // namespace moescope::gui_test
