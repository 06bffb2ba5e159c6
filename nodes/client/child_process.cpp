#include "nodes/client/child_process.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <linux/close_range.h>
#include <span>
#include <stdexcept>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <system_error>
#include <unistd.h>

#include "base/error.hpp"
#include "base/input_file.hpp"

namespace moescope::client {

using base::Error;
using base::say;
using base::Sentence;

namespace {

/// Runs in the child between fork and exec: system calls only.
[[noreturn]] void become(const char* program, char* const* arguments, int in, int out, int log, pid_t parent) {
    ::prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (::getppid() != parent) {
        ::_exit(127);  // the parent died before the line above
    }
    sigset_t none;
    sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    ::dup2(in, STDIN_FILENO);
    ::dup2(out, STDOUT_FILENO);
    ::dup2(log, STDERR_FILENO);
    ::syscall(SYS_close_range, 3u, ~0u, CLOSE_RANGE_CLOEXEC);
    ::execv(program, arguments);
    // Not strerror: it may take a lock that another thread held at the fork.
    if (const char* reason = ::strerrordesc_np(errno); reason != nullptr) {
        (void)!::write(STDERR_FILENO, reason, std::strlen(reason));
    }
    ::_exit(127);
}

}  // namespace

ChildProcess::~ChildProcess() {
    if (process_ <= 0) {
        return;
    }
    ::kill(process_, SIGKILL);
    ::waitpid(process_, nullptr, 0);
}

void ChildProcess::start(const std::filesystem::path& program, const std::vector<std::string>& arguments,
                         const std::filesystem::path& log, Pipes* pipes) {
    if (::access(program.c_str(), X_OK) != 0) {
        throw Error(say("the node program {} can't be started: {}", program, base::system_sentence(errno)));
    }
    // Everything that allocates happens before the fork: other threads may hold the allocator's locks.
    std::string name = program.string();
    std::vector<std::string> copies = arguments;
    std::vector<char*> pointers{name.data()};
    for (std::string& argument : copies) {
        pointers.push_back(argument.data());
    }
    pointers.push_back(nullptr);
    const base::Descriptor log_file(
        ::open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600));
    base::Descriptor in, out;  // of the child
    bool ready = static_cast<bool>(log_file);
    if (pipes != nullptr) {
        int there[2]{-1, -1}, back[2]{-1, -1};
        ready = ready && ::pipe2(there, O_CLOEXEC) == 0 && ::pipe2(back, O_CLOEXEC) == 0;
        in = base::Descriptor(there[0]);
        pipes->to = base::Descriptor(there[1]);
        pipes->from = base::Descriptor(back[0]);
        out = base::Descriptor(back[1]);
    } else {
        in = base::Descriptor(::open("/dev/null", O_RDONLY | O_CLOEXEC));
        ready = ready && static_cast<bool>(in);
    }
    const pid_t parent = ::getpid();
    const pid_t child = ready ? ::fork() : -1;
    if (child == 0) {
        become(name.c_str(), pointers.data(), in.get(), out ? out.get() : log_file.get(), log_file.get(), parent);
    }
    const int error = errno;
    if (child < 0) {
        throw Error(say("the node can't be started (its messages go to {}): {}", log, base::system_sentence(error)));
    }
    process_ = child;
}

int ChildProcess::open_watch() const {
    return process_ > 0 ? static_cast<int>(::syscall(SYS_pidfd_open, process_, 0)) : -1;
}

std::optional<Sentence> ChildProcess::poll_end() {
    if (process_ <= 0) {
        return std::nullopt;
    }
    int status = 0;
    const pid_t result = ::waitpid(process_, &status, WNOHANG);
    if (result == 0 || (result < 0 && errno == EINTR)) {
        return std::nullopt;
    }
    process_ = 0;
    last_status_ = result > 0 && WIFEXITED(status) ? WEXITSTATUS(status) : 0;
    if (result < 0) {
        return say("the node's process is gone");
    }
    if (WIFSIGNALED(status)) {
        return say("the node ended by signal {} ({})", WTERMSIG(status), Sentence(::strsignal(WTERMSIG(status)), {}));
    }
    if (WEXITSTATUS(status) == 0) {
        return say("the node ended as it was told to");
    }
    return say("the node ended with exit status {}", WEXITSTATUS(status));
}

void ChildProcess::send_signal(int signal) const {
    if (process_ > 0) {
        ::kill(process_, signal);
    }
}

std::string last_line(const std::filesystem::path& file, std::uint64_t from) {
    std::array<char, 4096> tail{};
    std::string text;
    try {
        const base::InputFile in(file);
        const std::uint64_t begin = in.size() - std::min<std::uint64_t>(in.size(), tail.size());
        text.assign(tail.data(), in.read_some(std::max(from, begin), std::span(tail)));
    } catch (const base::Error&) {
        return {};
    }
    while (!text.empty() && (text.back() == '\n' || text.back() == '\r' || text.back() == ' ')) {
        text.pop_back();
    }
    text = text.substr(text.find_last_of('\n') + 1);
    return text.substr(0, 300);
}

}  // namespace moescope::client
