#include "engine/runner/guarded_call.hpp"

#include <array>
#include <cerrno>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <span>
#include <stdexcept>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file_io.hpp"
#include "base/process_memory.hpp"
#include "engine/error.hpp"

namespace moescope::engine {
namespace {

using Clock = std::chrono::steady_clock;
using End = CallResult::End;

constexpr int kLookMs = 5;  // how often time, memory and `cancel` are looked at
constexpr int kNoMemory = 2;

[[noreturn]] void be_child(const std::function<std::string()>& work, int out, pid_t parent) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) {
        _exit(1);
    }
    const rlimit no_core{0, 0};
    setrlimit(RLIMIT_CORE, &no_core);
    for (const int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT}) {
        signal(fault, SIG_DFL);  // a fault ends the child and says nothing
    }
    int status = 1;
    try {
        const std::string text = work();
        status = base::write_all(out, std::as_bytes(std::span(text))) == 0 ? 0 : 1;
    } catch (const std::bad_alloc&) {
        status = kNoMemory;
    } catch (const std::length_error&) {
        status = kNoMemory;  // a text longer than any memory
    } catch (...) {
        status = 1;
    }
    _exit(status);
}

/// Reads until the child has closed its end or has to be stopped.
End listen(int from, pid_t child, const CallLimits& limits, const std::atomic<bool>& cancel, std::string& answer) {
    const auto deadline = Clock::now() + limits.time;
    const std::uint64_t most = base::resident_memory(getpid()) + limits.memory;
    for (;;) {
        if (cancel) {
            return End::cancelled;
        }
        if (Clock::now() > deadline) {
            return End::too_slow;
        }
        if (base::resident_memory(child) > most) {
            return End::too_much_memory;
        }
        pollfd waiting{from, POLLIN, 0};
        if (::poll(&waiting, 1, kLookMs) <= 0) {
            continue;
        }
        std::array<char, 65536> part;
        const ssize_t got = ::read(from, part.data(), part.size());
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            return End::done;
        }
        answer.append(part.data(), static_cast<std::size_t>(got));
        if (answer.size() > limits.answer) {
            return End::answer_too_long;
        }
    }
}

}  // namespace

CallResult call_guarded(const std::function<std::string()>& work, const CallLimits& limits,
                        const std::atomic<bool>& cancel) {
    std::array<int, 2> ends{};
    if (pipe2(ends.data(), O_CLOEXEC) != 0) {
        throw Error(say("a helper process cannot be started: {}", base::system_sentence(errno)));
    }
    const base::Descriptor from(ends[0]);
    base::Descriptor to(ends[1]);
    const pid_t parent = getpid();
    const pid_t child = fork();
    if (child < 0) {
        throw Error(say("a helper process cannot be started: {}", base::system_sentence(errno)));
    }
    if (child == 0) {
        be_child(work, to.get(), parent);
    }
    to.close();
    CallResult result;
    result.end = listen(from.get(), child, limits, cancel, result.answer);
    if (result.end != End::done) {
        kill(child, SIGKILL);
    }
    int status = 0;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    if (result.end == End::done && !(WIFEXITED(status) && WEXITSTATUS(status) == 0)) {
        result.end = WIFEXITED(status) && WEXITSTATUS(status) == kNoMemory ? End::too_much_memory : End::died;
        result.signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    }
    if (result.end != End::done) {
        result.answer.clear();
    }
    return result;
}

}  // namespace moescope::engine
