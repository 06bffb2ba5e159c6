// In which order a trace has its tokens. A position that came twice would be two decisions of one place: which of them
// is meant (in a replay, say) nobody could tell.
#pragma once

#include <cstddef>
#include <cstdint>

#include "routing/error.hpp"

namespace moescope::routing {

/// Tokens that are missing between two positions of a text.
inline std::uint64_t missing_between(std::int32_t before, std::int32_t after) {
    const std::int64_t steps = std::int64_t{after} - before;
    return steps > 1 ? static_cast<std::uint64_t>(steps - 1) : 0;
}

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
        const std::uint64_t missing = any_ && document == document_ ? missing_between(position_, position) : 0;
        missing_ += missing;
        gaps_ += missing > 0 ? 1 : 0;
        any_ = true;
        document_ = document;
        position_ = position;
    }

    /// Tokens so far that a text does not have between two that it has, and places where they are missing.
    std::uint64_t missing() const { return missing_; }
    std::size_t gaps() const { return gaps_; }

 private:
    /// People count texts from 1.
    static std::uint64_t shown(std::uint32_t document) { return std::uint64_t{document} + 1; }

    bool any_ = false;
    std::uint32_t document_ = 0;
    std::int32_t position_ = 0;
    std::uint64_t missing_ = 0;
    std::size_t gaps_ = 0;
};

}  // namespace moescope::routing
