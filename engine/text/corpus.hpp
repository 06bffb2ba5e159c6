// The text behind a dataset, before tokens: documents, each with its language, and the hash of the files they came
// from.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/sentence.hpp"
#include "engine/text/text_file.hpp"

namespace moescope::engine {

struct TextDocument {
    std::string_view text;      ///< into Corpus::files
    std::uint8_t language = 0;  ///< 0 English, 1 Chinese
    bool held_out = false;      ///< about one in twenty of each language, chosen by the hash of the text
    std::uint32_t file = 0;     ///< place in Corpus::files
};

struct Corpus {
    std::vector<std::string> files;  ///< contents; the documents point into them, so it never changes after reading
    /// Of each file what its texts are called together: the folder that it lies in below the one that was named, else
    /// its own name without endings; "manpages" for the built-in corpus.
    std::vector<std::string> groups;
    std::vector<TextDocument> documents;
    std::string sha256;                 ///< of names and contents
    std::string name;                   ///< "manpages" or the path
    std::vector<base::Sentence> notes;  ///< about files that were left out

    Corpus() = default;
    Corpus(Corpus&&) = default;
    Corpus& operator=(Corpus&&) = default;
};

/// `data` as in load_dataset. The documents come in the order in which they are trained on: each language shuffled by
/// hash, and both languages spread evenly from the first document to the last; a long document comes in parts. Linear
/// in the text; `check` is called every few milliseconds. Throws Error: missing, empty, or what read_text_file says.
Corpus read_corpus(const std::string& data, const std::filesystem::path& cache, const StopCheck& check = {});

}  // namespace moescope::engine
