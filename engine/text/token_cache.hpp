// Files in the cache that spare a second start the work of the first: trained tokenizers and encoded tokens. A damaged
// or outdated file is simply not used; it is written again.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "engine/text/dataset.hpp"
#include "engine/text/text_file.hpp"

namespace moescope::engine {

/// The whole file, or nothing when it is not there or cannot be read.
std::optional<std::string> read_cached(const std::filesystem::path& path);
/// Replaces the file, so that a reader sees all or nothing. A cache that cannot be written costs time, not correctness:
/// failures are ignored.
void write_cached(const std::filesystem::path& path, const std::string& bytes);

/// Fills the token arrays of `dataset`; false when the file is missing or damaged or a token is outside the vocabulary.
/// `check` is called every few milliseconds, here and below.
bool read_cached_tokens(const std::filesystem::path& path, int vocabulary, Dataset& dataset, const StopCheck& check);
/// Writes the tokens of a dataset, ended by their SHA-256, as write_cached does.
void write_cached_tokens(const std::filesystem::path& path, const Dataset& dataset, const StopCheck& check);

}  // namespace moescope::engine
