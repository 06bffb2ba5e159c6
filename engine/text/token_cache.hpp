// Files in the cache that spare a second start the work of the first: trained tokenizers and encoded tokens. A damaged
// or outdated file is simply not used; it is written again.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "engine/text/dataset.hpp"

namespace moescope::engine {

/// The whole file, or nothing when it is not there or cannot be read.
std::optional<std::string> read_cached(const std::filesystem::path& path);
/// Writes to a temporary file beside `path` and renames it, so that a reader sees all or nothing. A cache that cannot
/// be written costs time, not correctness: failures are ignored.
void write_cached(const std::filesystem::path& path, const std::string& bytes);

/// The tokens of a dataset as bytes, ended by their SHA-256.
std::string tokens_to_bytes(const Dataset& dataset);
/// Fills the token arrays of `dataset`; false when the bytes are damaged or a token is outside the vocabulary.
bool tokens_from_bytes(const std::string& bytes, int vocabulary, Dataset& dataset);

}  // namespace moescope::engine
