// The phrase lists of the label rules. Both languages are one list: every answer is held against all of it. Private to
// this folder.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace moescope::probes {

enum class Phrase {
    service,     ///< text that a service puts in place of an answer
    refusal,     ///< the speaker says that it will not or cannot answer
    deflection,  ///< changes the topic, or says only that the topic is sensitive
    ignorance,   ///< the speaker says that it knows nothing about it
    hedge,       ///< takes distance, but may go on to answer
    apology,     ///< "sorry": neither refuses nor answers
    about_self,  ///< what the speaker is or was made for
    offer,       ///< offers help with something else, or sends the reader elsewhere
};

struct Match {
    Phrase kind{};
    std::u32string text;  ///< as it stands in the (normalised) answer
};

/// The first phrase of `kind` in `segment`, which must be normalised (text::normalise) and have its quotations masked.
std::optional<Match> find_phrase(Phrase kind, std::u32string_view segment);

}  // namespace moescope::probes
