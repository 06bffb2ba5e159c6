// How a tokenizer.json cuts a text into the words within which pieces are merged, and what libllama calls it.
#pragma once

#include <string>
#include <vector>

#include "engine/error.hpp"

namespace moescope::engine {

/// One step of a pre-tokenizer; each cuts what the one before left.
struct WordStep {
    enum class Kind {
        pattern,  ///< a word for each match of `pattern`, and one for what lies between two
        digits    ///< every digit by itself
    };
    Kind kind = Kind::pattern;
    std::string pattern;        ///< a regular expression as it stands in the file
    bool only_matches = false;  ///< what lies between two matches is dropped
};

/// What GPT-2 cuts by, which ByteLevel with use_regex stands for.
extern const char* const kGpt2Pattern;

struct WordCut {
    std::string name;  ///< value of tokenizer.ggml.pre
    /// Under that name libllama takes a word that is a piece for that piece, whatever the merges say.
    bool whole_words = false;
    /// The file and libllama do not agree on `whole_words`, which is the same only where merges make every piece.
    bool if_merges_make_every_piece = false;
    /// Merges must not join two digits: libllama leaves them in one word.
    bool if_digits_stay_apart = false;
    Sentence note;  ///< where libllama cuts otherwise; empty: nowhere that we know of
    std::string
        exact;  ///< another name, without what `note` says, which takes words that are pieces whole; empty: none
};

/// Recognises the steps by what they do: spellings of a pattern that match the same are one. `whole_words`: the file's
/// ignore_merges. Throws Error that shows the steps when libllama has no such way.
WordCut find_word_cut(const std::vector<WordStep>& steps, bool whole_words);

}  // namespace moescope::engine
