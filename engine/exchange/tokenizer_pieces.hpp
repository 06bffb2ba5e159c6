// The pieces of a SentencePiece model with everything that another program needs to cut text in the same way. The
// library does not show all of it, so the model file, a protocol buffer, is read here.
#pragma once

#include <string>
#include <vector>

#include "engine/error.hpp"

namespace moescope::engine {

/// What readers and writers of models say of one without a tokenizer.
inline constexpr base::Marked kNoTokenizer = marked("The model has no tokenizer; it takes and gives token ids");

struct TokenizerPiece {
    enum class Kind { normal = 1, unknown = 2, control = 3, user_defined = 4, unused = 5, byte = 6 };
    std::string text;  ///< U+2581 stands for a space
    float score = 0;
    Kind kind = Kind::normal;

    /// The text with its spaces.
    std::string plain_text() const;
};

struct TokenizerPieces {
    std::vector<TokenizerPiece> pieces;
    bool unigram = false;
    bool takes_text_as_it_is = false;  ///< no normalisation, no space put before, none removed
    bool valid_utf8 = true;            ///< every piece is
};

/// `model` has been opened by SentencePiece before. Throws Error when it is damaged all the same.
TokenizerPieces read_tokenizer_pieces(const std::string& model);

}  // namespace moescope::engine
