// A tokenizer of other programs' making that cuts text: one for each vocabulary that is not SentencePiece's.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "engine/text/vocabulary.hpp"

namespace moescope::engine {

class ForeignTokenizer {
 public:
    /// Where a text stands; some vocabularies put a space before it.
    enum class Place {
        start,        ///< nothing was there before
        after_token,  ///< behind a token that is no text
        inside        ///< it goes on from a text
    };

    virtual ~ForeignTokenizer() = default;
    /// The tokens of a text, without those that begin or end it; special tokens that it spells are text, those that are
    /// merely added are tokens. Throws Error: a text that is not UTF-8 or too long.
    virtual std::vector<std::int32_t> encode(std::string_view text, Place place) const = 0;
};

/// In builds with libllama. `vocabulary` must outlive it. Throws Error: libllama does not take it.
std::unique_ptr<const ForeignTokenizer> open_foreign_tokenizer(const Vocabulary& vocabulary);

}  // namespace moescope::engine
