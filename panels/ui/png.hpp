// The PNG writer.
#pragma once

#include <string>

namespace moescope::ui {

/// PNG file of RGBA pixels (8 bits, rows top first). Pure, any thread.
std::string encode_png(const unsigned char* rgba, int width, int height);

}  // namespace moescope::ui
