// What is given up is gone, for threads and children too; what was left still works. Each attempt is made in a child
// without a sandbox as well, so that one that would fail anyhow is seen.
#include "base/sandbox.hpp"

#include <cerrno>
#include <fcntl.h>
#include <functional>
#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

#include "tests/files.hpp"

namespace moescope::base {
namespace {

using test::TemporaryFolder;

/// Whether `attempt` gives true in a process of its own, which enters the sandbox before when there is one.
bool works(const std::function<bool()>& attempt, const SandboxRules* rules) {
    const pid_t child = ::fork();
    if (child == 0) {
        if (rules != nullptr) {
            (void)enter_sandbox(*rules);
        }
        ::_exit(attempt() ? 0 : 1);
    }
    int status = 0;
    EXPECT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFEXITED(status)) << "a refused call is an error, not the end";
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

bool can_open(const std::string& path, int flags = O_RDONLY) {
    const int file = ::open(path.c_str(), flags | O_CLOEXEC, 0600);
    if (file >= 0) {
        ::close(file);
    }
    return file >= 0;
}

bool can_make_socket(int family) {
    return ::socket(family, SOCK_STREAM, 0) >= 0;
}

class SandboxTest : public testing::Test {
 protected:
    SandboxTest() {
        test::write_text(folder_ / "model/config.json", "{}");
        test::write_text(folder_ / "neighbour", "x");
        test::write_text(folder_ / "out/old", "x");
        rules_.read = {folder_ / "model", folder_ / "not there"};
        rules_.write = {folder_ / "out"};
        rules_.devices = {"/dev/null"};
    }
    void expect_refused(const char* what, const std::function<bool()>& attempt) {
        EXPECT_TRUE(works(attempt, nullptr)) << what << ": without a sandbox it has to work, or nothing is shown here";
        EXPECT_FALSE(works(attempt, &rules_)) << what;
    }
    void expect_allowed(const char* what, const std::function<bool()>& attempt) {
        EXPECT_TRUE(works(attempt, &rules_)) << what;
    }

    const TemporaryFolder folder_;
    SandboxRules rules_;
};

TEST_F(SandboxTest, OnlyTheFilesThatWereNamedAreThere) {
    if (const Sandbox here = sandbox_here(); !here.files) {
        GTEST_SKIP() << here.why_not.english();
    }
    const std::string neighbour = folder_ / "neighbour", model = folder_ / "model/config.json", out = folder_ / "out";
    expect_refused("/etc/passwd", [] { return can_open("/etc/passwd"); });
    expect_refused("a neighbour", [&] { return can_open(neighbour); });
    expect_refused("a folder", [&] { return can_open(folder_.path(), O_RDONLY | O_DIRECTORY); });
    expect_refused("a new file beside", [&] { return can_open(folder_ / "new", O_WRONLY | O_CREAT); });
    expect_refused("to write what may be read", [&] { return can_open(model, O_WRONLY); });
    expect_refused("to remove what may be read", [&] {
        return ::rename(model.c_str(), (model + "1").c_str()) == 0 &&
               ::rename((model + "1").c_str(), model.c_str()) == 0;
    });
    expect_refused("a thread", [&] {
        bool opened = false;
        std::thread([&] { opened = can_open(neighbour); }).join();
        return opened;
    });
    expect_allowed("the model", [&] { return can_open(model); });
    expect_allowed("its folder", [&] { return can_open(folder_ / "model", O_RDONLY | O_DIRECTORY); });
    expect_allowed("a device", [] { return can_open("/dev/null", O_RDWR); });
    expect_allowed("to write, rename and remove where it may", [&] {
        return can_open(out + "/a", O_WRONLY | O_CREAT) && ::rename((out + "/a").c_str(), (out + "/b").c_str()) == 0 &&
               can_open(out + "/b") && can_open(out + "/old", O_WRONLY | O_TRUNC) &&
               ::unlink((out + "/b").c_str()) == 0;
    });
}

TEST_F(SandboxTest, NobodyIsSpokenToAndNothingIsStarted) {
    if (const Sandbox here = sandbox_here(); !here.calls) {
        GTEST_SKIP() << here.why_not.english();
    }
    expect_refused("a socket", [] { return can_make_socket(AF_INET); });
    expect_refused("a socket of this machine", [] { return can_make_socket(AF_UNIX); });
    expect_refused("another program", [] {
        const char* arguments[] = {"/bin/sh", "-c", "exit 0", nullptr};
        ::execv("/bin/sh", const_cast<char* const*>(arguments));
        return false;
    });
    expect_refused("to trace", [] {
        const pid_t child = ::fork();
        if (child == 0) {
            ::pause();
            ::_exit(0);
        }
        const bool traced = ::ptrace(PTRACE_SEIZE, child, nullptr, nullptr) == 0;
        ::kill(child, SIGKILL);
        ::waitpid(child, nullptr, 0);
        return traced;
    });
    expect_allowed("threads and children", [] {
        bool ran = false;
        std::thread([&] { ran = true; }).join();
        const pid_t child = ::fork();
        if (child == 0) {
            ::_exit(7);
        }
        int status = 0;
        return ran && ::waitpid(child, &status, 0) == child && WEXITSTATUS(status) == 7;
    });
    const int socket = ::socket(AF_UNIX, SOCK_STREAM, 0);
    expect_refused("a socket from before", [&] {
        sockaddr_un nowhere{};
        nowhere.sun_family = AF_UNIX;
        const bool refused = ::connect(socket, reinterpret_cast<const sockaddr*>(&nowhere), sizeof nowhere) != 0;
        return refused && errno != EPERM;
    });
    ::close(socket);
    // Each call is so wrong that it does nothing; what counts is that the kernel does not come to see that.
    for (const auto& [what, call] :
         std::initializer_list<std::pair<const char*, long>>{{"accept", SYS_accept4},
                                                             {"bind", SYS_bind},
                                                             {"listen", SYS_listen},
                                                             {"execve", SYS_execve},
                                                             {"execveat", SYS_execveat},
                                                             {"process_vm_readv", SYS_process_vm_readv},
                                                             {"process_vm_writev", SYS_process_vm_writev},
                                                             {"pidfd_open", SYS_pidfd_open},
                                                             {"pidfd_getfd", SYS_pidfd_getfd},
                                                             {"io_uring_setup", SYS_io_uring_setup},
                                                             {"io_uring_enter", SYS_io_uring_enter},
                                                             {"unshare", SYS_unshare},
                                                             {"setns", SYS_setns},
                                                             {"clone3", SYS_clone3},
                                                             {"bpf", SYS_bpf}}) {
        const auto number_of = [call = call] {
            errno = 0;
            return ::syscall(call, -1L, -1L, -1L, -1L, -1L, -1L) < 0 ? errno : 0;
        };
        const int refusal = call == SYS_clone3 ? ENOSYS : EPERM;
        if (!works([&] { return number_of() != refusal; }, nullptr)) {
            continue;  // this system refuses it to everybody
        }
        EXPECT_FALSE(works([&] { return number_of() != refusal; }, &rules_)) << what;
    }
    expect_refused("a child in another namespace", [] {
        const long child = ::syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0);
        if (child == 0) {
            ::_exit(0);
        }
        return child < 0 ? errno != EPERM : ::waitpid(static_cast<pid_t>(child), nullptr, 0) == child;
    });
    SandboxRules of_a_gpu = rules_;
    of_a_gpu.local_sockets = true;
    EXPECT_TRUE(works([] { return can_make_socket(AF_UNIX); }, &of_a_gpu));
    EXPECT_FALSE(works([] { return can_make_socket(AF_INET); }, &of_a_gpu));
}

TEST_F(SandboxTest, SaysWhatItCouldDo) {
    const Sandbox here = sandbox_here();
    EXPECT_EQ(here.why_not.empty(), here.files && here.calls) << here.why_not.english();
    const pid_t child = ::fork();
    if (child == 0) {
        const Sandbox entered = enter_sandbox(rules_);
        ::_exit((entered.files ? 1 : 0) + (entered.calls ? 2 : 0));
    }
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_EQ(WEXITSTATUS(status), (here.files ? 1 : 0) + (here.calls ? 2 : 0));
}

}  // namespace
}  // namespace moescope::base
