// In which order a trace has its tokens. A position that came twice would be two decisions of one place: which of them
// is meant (in a replay, say) nobody could tell.
#pragma once

#include <cstdint>

#include "routing/error.hpp"

namespace moescope::routing {

/// Texts follow each other by number, and within a text positions rise.
class TokenOrder {
 public:
    /// The next token of the trace. Throws Error, a sentence without a subject.
    void add(std::uint32_t document, std::int32_t position) {
        if (position < 0) {
            throw Error(say("has the position {}, and they begin with 0", position));
        }
        if (any_ && document == document_ && position == position_) {
            throw Error(say("has position {} of text {} a second time", position, shown(document)));
        }
        if (any_ && (document < document_ || (document == document_ && position < position_))) {
            throw Error(
                say("has position {} of text {} behind position {} of text {}; texts follow each other by number, and "
                    "positions rise within a text",
                    position, shown(document), position_, shown(document_)));
        }
        any_ = true;
        document_ = document;
        position_ = position;
    }

 private:
    /// People count texts from 1.
    static std::uint64_t shown(std::uint32_t document) { return std::uint64_t{document} + 1; }

    bool any_ = false;
    std::uint32_t document_ = 0;
    std::int32_t position_ = 0;
};

}  // namespace moescope::routing
