// Who wrote each byte of a text that a chat template makes. llama.cpp's Jinja engine has a mark for parts of a string
// (string_part::is_input) but loses it wherever strings are split, joined, replaced or turned into something else. Here
// the mark stands on what the template itself wrote, so that whatever loses it counts as somebody's words.
#pragma once

#include <jinja/runtime.h>
#include <string>

namespace moescope::engine {

/// Bytes and, for each of them, '\1' when the template wrote it and else '\0'; both have the same length.
struct MarkedText {
    std::string bytes, own;
};
MarkedText marked_text(const jinja::string& text);
jinja::string jinja_string(const MarkedText& text);

/// All texts that stand in the program itself get the mark when they are used.
void mark_literals(jinja::program& program);

/// Puts functions that follow each byte in the place of those of the engine that would lose marks (join, split, slices)
/// or leave them on bytes of others (replace, indent). What they give is the same. For the whole process and for good:
/// call it in a child.
void follow_marks();

}  // namespace moescope::engine
