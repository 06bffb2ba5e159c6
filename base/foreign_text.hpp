// Names and texts of somebody else's making (files, archives, sessions, nodes, command lines) made fit to be shown: on
// one line of a terminal, of the window or of a report, where they can neither move the cursor, turn the writing
// direction, break the line nor fill the screen.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "base/sentence.hpp"

namespace moescope::base {

inline constexpr std::size_t kNameBytes = 200;      ///< of a name or a title
inline constexpr std::size_t kValueBytes = 300;     ///< of a value within a sentence
inline constexpr std::size_t kSentencePart = 1000;  ///< of a whole sentence of another program

/// Valid UTF-8 of about `most` bytes at most. Line breaks and tabs become spaces; control characters, marks that turn
/// the direction, tags and what is no UTF-8 become U+FFFD; of what is too long the middle is left out ("...").
std::string one_line(std::string_view text, std::size_t most = kSentencePart);
/// The same for a name or a title.
inline std::string shown_name(std::string_view text) {
    return one_line(text, kNameBytes);
}

/// Throws Error naming `what` when a text that a person gave is not valid UTF-8.
void require_utf8(std::string_view text, Marked what);

/// The sentence with every value in it as one_line has it, of kValueBytes at most; the pattern itself is ours.
Sentence fit_to_show(const Sentence& sentence);

}  // namespace moescope::base
