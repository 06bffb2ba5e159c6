// Counts what a chat template does: the copy of llama.cpp's engine that is fuzzed makes one of these for each step
// (CMakeLists.txt), as a child of the program would be ended after seconds.
#pragma once

namespace moescope::fuzz {

/// Lives as long as the step. Throws when there were too many, too deep in each other, or with too much memory in use.
struct JinjaStep {
    JinjaStep();
    ~JinjaStep();
    JinjaStep(const JinjaStep&) = delete;
    JinjaStep& operator=(const JinjaStep&) = delete;
};

}  // namespace moescope::fuzz
