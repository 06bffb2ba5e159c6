// What a run of the session has read, as the tokens that it read: so that the very same can be read again. A text is
// not enough for that: written out, a begin token is letters, and another tokenizer cuts at other places. What a trace
// says is untrusted.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "routing/packed_trace.hpp"

namespace moescope::node {

/// Tokens of a trace of the session.
struct NamedTokens {
    std::uint32_t run = 0;
    std::uint64_t first = 0;  ///< number in the trace; a text begins there
    std::uint64_t count = 0;  ///< at most; 0: all from there on
};

struct RecordedText {
    std::vector<std::int32_t> ids;
    std::int32_t next = -1;     ///< what followed the last one; -1: nothing did, or it is not known
    std::string pieces_sha256;  ///< of what the tokens stand for (add_piece of worker_routing.hpp)
    std::string language, group;
};

/// Each text of the named tokens, in order; the last one may end before its end. Throws base::Error with a sentence:
/// there are no such tokens, pieces are damaged or lost, a token's id is not known, `first` stands within a text.
void for_each_recorded_text(const routing::PackedTrace& trace, const NamedTokens& wanted,
                            const std::function<void(RecordedText)>& visit);

}  // namespace moescope::node
