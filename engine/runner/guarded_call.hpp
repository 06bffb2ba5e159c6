// Runs a function on data that nobody has vouched for in a child process: it may loop, recurse without end or ask for
// all memory, and nothing but the child comes to harm.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <string>

namespace moescope::engine {

struct CallLimits {
    std::chrono::milliseconds time{0};
    std::uint64_t memory = 0;  ///< bytes that the child may take beyond what this process has
    std::uint64_t answer = 0;  ///< bytes
};

struct CallResult {
    enum class End { done, cancelled, too_slow, too_much_memory, answer_too_long, died };
    End end = End::died;
    std::string answer;  ///< of a call that is done
    int signal = 0;      ///< that ended a child which died; 0 when it left by itself
};

/// Calls `work` in a fork of this process and gives what it returns. `work` must not count on other threads (the fork
/// has none) and what it changes is lost. The child is killed when it goes beyond a limit or when `cancel` turns true,
/// and dies with the calling thread. Throws Error when no child can be made.
CallResult call_guarded(const std::function<std::string()>& work, const CallLimits& limits,
                        const std::atomic<bool>& cancel);

}  // namespace moescope::engine
