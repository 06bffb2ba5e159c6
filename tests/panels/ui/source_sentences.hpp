// The sentences that C++ sources can build, read from the sources as gettext's xgettext does: every literal with the
// expression around it, values as {}. For the test that the message catalogue leaves none out.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <string_view>

namespace moescope::tests {

/// Pattern -> "file:line" of its first use. A pattern is the first argument of a format call, or a whole chain of '+'
/// with every operand that is no literal as {}; "text += ..." counts as a value before. Braces that are text are
/// doubled. Patterns without two words in a row (keys, names of fields, marks) are left out.
std::map<std::string, std::string> sentences_in(std::string_view source, const std::string& name);
void add_sentences_of(const std::filesystem::path& file, std::map<std::string, std::string>& into);

}  // namespace moescope::tests
