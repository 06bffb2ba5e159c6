// Where in a model's text the answer is and where its reasoning. Pure, and the one place that knows the wrappers; used
// by the label rules, the window and the report.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace moescope::probes {

/// F5: what is there of a reasoning trace. `empty`: a block with nothing in it, which is how some models skip it.
enum class Trace { absent, empty, present };
const char* trace_name(Trace trace);

struct AnswerPart {
    enum class Kind {
        answer,     ///< what is said to the reader
        reasoning,  ///< inside a wrapper
        mark,       ///< the wrapper itself, and headers of messages
    };
    Kind kind = Kind::answer;
    std::size_t begin = 0, end = 0;  ///< bytes of the text
};

struct Separated {
    std::vector<AnswerPart> parts;  ///< in order, without gaps, over the whole text; empty ones are left out
    std::string answer;             ///< the answer's parts, without blanks and template tokens around them
    std::string reasoning;          ///< the blocks, blanks around each cut off, an empty line between two
    Trace trace = Trace::absent;
    bool open = false;  ///< the last block was begun and not ended: a cut, or still being written
};

/// Takes apart any text, also one that is no valid UTF-8; time grows with its length. `begins_inside`: the prompt
/// ended with an opening mark, as many templates do, so the text begins within the reasoning. (Without it, a closing
/// mark alone still says so.) `unfinished`: more is to come, so what may become a mark at the end belongs to none yet.
Separated separate_reasoning(std::string_view text, bool begins_inside = false, bool unfinished = false);

/// Does a rendered prompt end within a block of reasoning, so that the answer begins there?
bool ends_inside_reasoning(std::string_view prompt);

}  // namespace moescope::probes
