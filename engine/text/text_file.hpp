// Text files as people have them: plain UTF-8, JSON Lines and lists of JSON, each as it is or packed with gzip or zstd.
// Read in pieces, in linear time; only the text itself is kept.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "engine/text/pieces.hpp"

namespace moescope::engine {

struct LabelledText {
    std::string text;   ///< valid UTF-8; form feeds separate documents
    int language = -1;  ///< 0 English, 1 Chinese, -1: told from each document's text
};

/// The ending decides, whatever the case of its letters. Packed files (.zst, .gz) are unpacked first. Then:
/// - .jsonl and .ndjson hold one document a line, an object with "text" and perhaps "language": "en" or "zh";
/// - .json holds such objects too, in a list, one after another or a single one; a list may also hold plain texts;
/// - any other file is one text; one that does not end with .txt and begins with a document of JSON is read as .json.
/// A byte order mark is left out. At most `limit` bytes of text. Throws Error naming the file, the line and the cause.
std::vector<LabelledText> read_text_file(const std::filesystem::path& path, std::uintmax_t limit,
                                         const StopCheck& check = {});

/// True for the endings that a folder of texts is searched for: .txt, .jsonl, .ndjson and .json, packed or not.
bool is_text_file(const std::filesystem::path& path);
/// Is this a file of JSON that begins with anything but a document? Folders of texts often hold descriptions too.
bool is_other_json(const std::filesystem::path& path);

}  // namespace moescope::engine
