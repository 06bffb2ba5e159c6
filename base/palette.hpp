// Colours with a meaning that the window and the report share, as 0xrrggbb: on a light ground and on a dark one.
#pragma once

#include <cstdint>

namespace moescope::base {

struct Ink {
    std::uint32_t light, dark;
};

inline constexpr Ink kAccent{0x5a43c4, 0xab9df6};   ///< the main curve, what a person chose
inline constexpr Ink kEnglish{0x085f92, 0x62bdf0};  ///< a text's language, in plots and tables
inline constexpr Ink kChinese{0x944c00, 0xf0a838};

}  // namespace moescope::base
