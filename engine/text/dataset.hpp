// Tokens to train on, with the language of every document. Immutable once built; shared by trainers.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/sentence.hpp"
#include "engine/text/tokenizer.hpp"

namespace moescope::engine {

/// Index of a text language in every per-language array: 0 English, 1 Chinese.
inline constexpr int kLanguages = 2;

struct Document {
    std::uint64_t first = 0;  ///< index of its first token
    std::uint64_t count = 0;
    std::uint8_t language = 0;
};

struct Dataset {
    std::shared_ptr<const Tokenizer> tokenizer;
    std::vector<std::int32_t> train_tokens;     ///< documents back to back, each ended by the end-of-text token
    std::vector<std::uint8_t> train_languages;  ///< per token
    std::array<std::vector<std::int32_t>, kLanguages> held_out;  ///< tokens of held-out documents
    std::array<double, kLanguages> bytes_per_token{};            ///< of the held-out text
    bool in_order = false;              ///< sequences are taken one after the other instead of shuffled
    std::string sha256;                 ///< of the corpus files, for the manifest
    std::string name;                   ///< "manpages", or the path
    std::vector<base::Sentence> notes;  ///< about files that were left out
};

/// Called several times a second while there is work; false cancels it, within a second.
using Progress = std::function<bool(double fraction, const base::Sentence& what)>;

/// "manpages" is the built-in bilingual corpus in `cache`/corpus; a .npy file holds tokens that are taken as they stand
/// and in their order; otherwise a text file or a folder of them and its subfolders (see text_file.hpp) whose language
/// is told from the text where it is not given. Text is cut by `tokenizer`, of at most `vocabulary` pieces; without one
/// a SentencePiece tokenizer (byte fallback) of `vocabulary` pieces is trained on a sample, or taken from the cache
/// when corpus and size are the same. Throws Error; a cancelled load throws Error("cancelled"). Takes time and memory
/// in proportion to the text, of which there may be 1 GiB (kMaxTextBytes), or to the tokens, 2^28 of them. Several
/// loads may go on at once.
std::shared_ptr<const Dataset> load_dataset(const std::string& data, int vocabulary, const std::filesystem::path& cache,
                                            const Progress& progress,
                                            std::shared_ptr<const Tokenizer> tokenizer = nullptr);
/// True while a tokenizer is being trained, perhaps for a load that was cancelled. A program that ends meanwhile must
/// not take down what the training uses, so it ends with _exit.
bool trains_tokenizer();
/// True when `data` names tokens that are taken as they stand.
bool holds_tokens(const std::string& data);

}  // namespace moescope::engine
