// Shows a person where a file lies: in the file manager of the desktop, where there is one.
#pragma once

#include <filesystem>

namespace moescope::app {

/// Opens the folder of `file` with xdg-open and does not wait for it. False when there is no such program or it can't
/// be started. Touches the disk: a background thread's.
bool show_in_folder(const std::filesystem::path& file);

}  // namespace moescope::app
