// Text files as people have them: plain UTF-8, JSON Lines, and either compressed with zstd.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace moescope::engine {

struct LabelledText {
    std::string text;   ///< valid UTF-8; form feeds separate documents
    int language = -1;  ///< 0 English, 1 Chinese, -1: told from each document's text
};

/// The ending decides: .txt (or any other) is one text, .jsonl one document per line: an object with "text", and
/// perhaps "language": "en" or "zh". With .zst after it the file is decompressed first. At most `limit` bytes of text.
/// Throws Error naming the file, the line and what to do.
std::vector<LabelledText> read_text_file(const std::filesystem::path& path, std::uintmax_t limit);

/// True for the endings that a folder of texts is searched for.
bool is_text_file(const std::filesystem::path& path);

/// The bytes of a file of at most `limit`. Throws Error.
std::string read_whole_file(const std::filesystem::path& path, std::uintmax_t limit);

}  // namespace moescope::engine
