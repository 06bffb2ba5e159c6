// One function per format behind inspect_file. Each fills a report; what is wrong with the content is thrown as Error;
// where that does not begin with the file's name, inspect_file adds it.
#pragma once

#include <filesystem>
#include <string>

#include "engine/files/inspect.hpp"

namespace moescope::engine {

void inspect_gguf(const std::filesystem::path& path, FileReport& report);
void inspect_safetensors(const std::filesystem::path& path, FileReport& report);
void inspect_npy(const std::filesystem::path& path, FileReport& report);
void inspect_folder(const std::filesystem::path& path, FileReport& report);

/// Told from the first bytes of a file (and from the list of names in a zip archive): is this Python's pickle?
bool looks_like_pickle(const std::filesystem::path& path, const std::string& start);

}  // namespace moescope::engine
