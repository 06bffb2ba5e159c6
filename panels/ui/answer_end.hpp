// How an answer ended, and what there is to say of one without a word: the same wherever answers stand. Pure.
#pragma once

#include <string>
#include <string_view>

#include "panels/ui/language.hpp"

namespace moescope::ui {

/// Why it ended; `stop` as the node names it (docs/protocol.md, record `run_ended`).
const char* stop_text(const Language& text, const std::string& stop);

/// Of an answer that has ended: that the model wrote nothing, or blanks and line breaks only, and which. Empty when
/// there is a word in it.
std::string wordless_text(const Language& text, std::string_view answer);

}  // namespace moescope::ui
