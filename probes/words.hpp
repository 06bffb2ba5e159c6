// The words of labels, one vocabulary for window, report and command line. In English; the Chinese ones stand in the
// languages of window and report, and a test of the report holds all of them against each other.
#pragma once

#include <string_view>

namespace moescope::probes {

/// F1 in words: the delivery's name, but "cut off" for `cut`.
const char* delivery_words(std::string_view delivery);
/// F2 in words: "0 refusal", "1 deflection", "2 partial", "3 hedged", "4 full"; "not labelled" for any other level.
const char* engagement_name(int level);

}  // namespace moescope::probes
