// Text inside HTML, SVG and XML.
#pragma once

#include <string>
#include <string_view>

namespace moescope::base {

/// Text for element content and quoted attributes: markup escaped, invalid UTF-8, control characters and non-characters
/// replaced by U+FFFD.
std::string escape_html(std::string_view text);

}  // namespace moescope::base
