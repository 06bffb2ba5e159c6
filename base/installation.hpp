// Where this program lies and what belongs to it, in a build folder, in an installed tree and in a bundle.
#pragma once

#include <filesystem>
#include <string_view>

namespace moescope::base {

/// What starts this program again: its own file; in a bundle, where a loader runs that file, its starter. Absolute,
/// links resolved. Empty where /proc can't be read.
std::filesystem::path own_program();

/// Lets the system call a program of a bundle by its own name, not by that of its loader: call first in main().
void take_own_name();

/// The folder with languages, presets and the like: `assets` beside the program or PREFIX/share/moescope. When it is
/// neither, where it would be beside the program.
std::filesystem::path own_assets();

/// A part that is opened at run time: beside the program or in PREFIX/lib/moescope. When it is in neither, where it
/// would be beside the program.
std::filesystem::path own_part(std::string_view file);

namespace detail {
/// What own_program() makes of the two names that the kernel and the loader give.
std::filesystem::path started_program(const std::filesystem::path& executable, const std::filesystem::path& run);
}  // namespace detail

}  // namespace moescope::base
