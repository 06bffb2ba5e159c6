// From the text of a chat template to what llama.cpp's Jinja engine runs, with what that engine does not look at
// itself: numbers that it has no value for, and depths that its recursion has no stack for. Whoever made the model's
// file wrote the text.
#pragma once

#include <jinja/runtime.h>
#include <string>

namespace moescope::engine {

/// Brackets, blocks, and signs before a value that stand in each other: templates that people write have a dozen.
inline constexpr std::size_t kTemplateDepth = 200;
/// Parts of one expression or statement: a chain of them becomes a tree of that height.
inline constexpr std::size_t kTemplateParts = 5000;

/// What read_template() throws beside the engine's own std::exception. No such one, which the engine would wrap.
struct NumberTooLarge {
    std::string number;
};
struct TemplateTooDeep {};

/// All texts that stand in it have their mark, see template_marks.hpp. Throws as above.
jinja::program read_template(const std::string& source);

}  // namespace moescope::engine
