// Folders that AtomicFolder wrote, read again: their file DONE lists the others with sizes and hashes.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "base/sentence.hpp"

namespace moescope::base {

struct SavedFile {
    std::string name;  ///< relative to the folder, inside it
    std::uint64_t bytes = 0;
    std::string sha256;
};

/// What DONE lists. Throws Error without the name of the folder: DONE is missing, damaged, or of a newer version.
std::vector<SavedFile> read_saved_list(const std::filesystem::path& folder);

/// Empty when the file, or what a link in its place leads to, is as it was saved: its size and, when asked, its
/// content, which is read whole (about a second for each GB; `check` as of sha256_of_file). Throws Error when it can't
/// be read.
Sentence changed_since_saved(const std::filesystem::path& folder, const SavedFile& file, bool content,
                             const std::function<void()>& check = {});

}  // namespace moescope::base
