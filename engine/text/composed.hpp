// Unicode's composed form.
#pragma once

#include <string>
#include <string_view>

namespace moescope::engine {

/// The text in the form NFC: a letter and its accents are one character where Unicode has one. Text that is no valid
/// UTF-8 comes back as it is. Throws std::bad_alloc.
std::string composed(std::string_view text);

}  // namespace moescope::engine
