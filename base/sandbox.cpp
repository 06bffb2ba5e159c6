#include "base/sandbox.hpp"

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/error.hpp"
#include "base/file_io.hpp"

namespace moescope::base {

namespace fs = std::filesystem;

namespace {

// As linux/landlock.h of newer kernels has them; that of the build machine may be older than the kernel.
constexpr std::uint64_t kExecute = 1 << 0, kWriteFile = 1 << 1, kReadFile = 1 << 2, kReadFolder = 1 << 3,
                        kRemoveFolder = 1 << 4, kRemoveFile = 1 << 5, kMakeFolder = 1 << 7, kMakeFile = 1 << 8,
                        kRefer = 1 << 13, kTruncate = 1 << 14;
constexpr std::uint64_t kFirstRights = (1 << 13) - 1;             // interface 1; 2 adds kRefer, 3 kTruncate
constexpr std::uint64_t kAllTcp = 3;                              // interface 4
constexpr std::uint64_t kAbstractSockets = 1, kSignals = 1 << 1;  // interface 6: to processes outside
constexpr int kFirstWithTcp = 4, kFirstWithScopes = 6;

struct RulesetAttributes {
    std::uint64_t files = 0, tcp = 0, scopes = 0;
};

int landlock_interface() {
    return static_cast<int>(::syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION));
}

std::uint64_t rights_of(int interface) {
    return kFirstRights | (interface >= 2 ? kRefer : 0) | (interface >= 3 ? kTruncate : 0);
}

/// False when the kernel refuses a rule, other than for a path that is not there.
bool allow(int ruleset, const fs::path& path, std::uint64_t rights) {
    const Descriptor place(::open(path.c_str(), O_PATH | O_CLOEXEC));
    struct stat status {};
    if (!place || ::fstat(place.get(), &status) != 0) {
        return true;
    }
    if (!S_ISDIR(status.st_mode)) {
        rights &= kExecute | kWriteFile | kReadFile | kTruncate;
    }
    landlock_path_beneath_attr rule{};
    rule.allowed_access = rights;
    rule.parent_fd = place.get();
    return ::syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) == 0;
}

/// 0, or an errno.
int restrict_files(const SandboxRules& rules) {
    const int interface = landlock_interface();
    if (interface < 1) {
        return interface < 0 ? errno : ENOSYS;
    }
    const std::uint64_t all = rights_of(interface);
    const RulesetAttributes attributes{all, interface >= kFirstWithTcp ? kAllTcp : 0,
                                       interface >= kFirstWithScopes ? kAbstractSockets | kSignals : 0};
    const std::size_t size = interface >= kFirstWithScopes ? sizeof attributes
                             : interface >= kFirstWithTcp  ? offsetof(RulesetAttributes, scopes)
                                                           : offsetof(RulesetAttributes, tcp);
    const Descriptor ruleset(static_cast<int>(::syscall(SYS_landlock_create_ruleset, &attributes, size, 0)));
    if (!ruleset) {
        return errno;
    }
    const auto allow_all = [&](const std::vector<fs::path>& paths, std::uint64_t rights) {
        for (const fs::path& path : paths) {
            if (!allow(ruleset.get(), path, rights & all)) {
                return false;
            }
        }
        return true;
    };
    if (!allow_all(rules.read, kReadFile | kReadFolder) ||
        !allow_all(rules.write, kReadFile | kReadFolder | kWriteFile | kTruncate | kMakeFile | kMakeFolder |
                                    kRemoveFile | kRemoveFolder | kRefer) ||
        !allow_all(rules.devices, kReadFile | kReadFolder | kWriteFile)) {
        return errno;
    }
    return ::syscall(SYS_landlock_restrict_self, ruleset.get(), 0) == 0 ? 0 : errno;
}

#if defined(__x86_64__)
constexpr std::uint32_t kMachine = AUDIT_ARCH_X86_64;
constexpr std::uint32_t kOtherNumbers = 0x40000000;  // calls of the x32 interface
#elif defined(__aarch64__)
constexpr std::uint32_t kMachine = AUDIT_ARCH_AARCH64;
constexpr std::uint32_t kOtherNumbers = 0;
#else
constexpr std::uint32_t kMachine = 0;
constexpr std::uint32_t kOtherNumbers = 0;
#endif

/// What no model needs: other machines and programs, other processes, the kernel's own settings, and io_uring, which
/// would do all of that without being asked again. Numbers of a later kernel than that of the build machine stand here.
constexpr std::array kRefused = {
    SYS_connect,
    SYS_accept,
    SYS_accept4,
    SYS_bind,
    SYS_listen,  //
    SYS_execve,
    SYS_execveat,  //
    SYS_ptrace,
    SYS_process_vm_readv,
    SYS_process_vm_writev,
    SYS_pidfd_open,
    SYS_pidfd_getfd,
    SYS_pidfd_send_signal,
    SYS_kcmp,
    SYS_process_madvise,  //
    SYS_io_uring_setup,
    SYS_io_uring_enter,
    SYS_io_uring_register,  //
    SYS_unshare,
    SYS_setns,
    SYS_mount,
    SYS_umount2,
    SYS_pivot_root,
    SYS_chroot,
    SYS_fsopen,
    SYS_fsmount,
    SYS_fspick,
    SYS_move_mount,
    SYS_open_tree,
    SYS_mount_setattr,  //
    SYS_open_by_handle_at,
    SYS_name_to_handle_at,
    SYS_fanotify_init,  //
    SYS_bpf,
    SYS_perf_event_open,
    SYS_userfaultfd,
    SYS_keyctl,
    SYS_add_key,
    SYS_request_key,  //
    SYS_init_module,
    SYS_finit_module,
    SYS_delete_module,
    SYS_kexec_load,
    SYS_reboot,
    SYS_swapon,
    SYS_swapoff,
    SYS_acct,
    SYS_quotactl,
    SYS_settimeofday,
    SYS_clock_settime,
    SYS_sethostname,
    SYS_setdomainname,
    SYS_syslog,
    SYS_personality,
    SYS_vhangup,  //
};
constexpr std::uint32_t kNamespaces =
    CLONE_NEWNS | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP;

constexpr sock_filter load(std::size_t offset) {
    return BPF_STMT(BPF_LD | BPF_W | BPF_ABS, static_cast<std::uint32_t>(offset));
}
constexpr sock_filter answer(std::uint32_t what) {
    return BPF_STMT(BPF_RET | BPF_K, what);
}
constexpr std::uint32_t failure(int error) {
    return SECCOMP_RET_ERRNO | static_cast<std::uint32_t>(error);
}
/// The next instruction when the loaded number is `value`, else the one after it.
constexpr sock_filter when(std::uint32_t value) {
    return BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, 1);
}
/// Goes on when the loaded number is `value`, else `past` instructions further.
constexpr sock_filter unless(std::uint32_t value, std::uint8_t past) {
    return BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, past);
}

std::vector<sock_filter> filter_of(bool local_sockets) {
    std::vector<sock_filter> filter{load(offsetof(seccomp_data, arch)),
                                    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, kMachine, 1, 0),
                                    answer(SECCOMP_RET_KILL_PROCESS), load(offsetof(seccomp_data, nr))};
    if (kOtherNumbers != 0) {
        filter.push_back(BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, kOtherNumbers, 0, 1));
        filter.push_back(answer(failure(EPERM)));
    }
    for (const long call : kRefused) {
        if (local_sockets && call == SYS_connect) {
            continue;
        }
        filter.push_back(when(static_cast<std::uint32_t>(call)));
        filter.push_back(answer(failure(EPERM)));
    }
    // Its flags are in memory, where they can't be looked at; the C library then takes clone.
    filter.push_back(when(SYS_clone3));
    filter.push_back(answer(failure(ENOSYS)));
    filter.push_back(unless(SYS_clone, 4));
    filter.push_back(load(offsetof(seccomp_data, args)));
    filter.push_back(BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, kNamespaces, 0, 1));
    filter.push_back(answer(failure(EPERM)));
    filter.push_back(answer(SECCOMP_RET_ALLOW));
    filter.push_back(unless(SYS_socket, 4));
    filter.push_back(load(offsetof(seccomp_data, args)));
    filter.push_back(
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<std::uint32_t>(local_sockets ? AF_UNIX : -1), 0, 1));
    filter.push_back(answer(SECCOMP_RET_ALLOW));
    filter.push_back(answer(failure(EPERM)));
    filter.push_back(answer(SECCOMP_RET_ALLOW));
    return filter;
}

/// 0, or an errno.
int restrict_calls(bool local_sockets) {
    if (kMachine == 0) {
        return ENOSYS;
    }
    std::vector<sock_filter> filter = filter_of(local_sockets);
    const sock_fprog program{static_cast<unsigned short>(filter.size()), filter.data()};
    const long result = ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program);
    return result == 0 ? 0 : result > 0 ? EBUSY : errno;
}

Sandbox told(int files, int calls) {
    Sandbox sandbox{files == 0, calls == 0, {}};
    if (files != 0 && calls != 0) {
        sandbox.why_not =
            say("this system can neither keep the process of a model from other files (landlock: {}) nor "
                "from the network (seccomp: {})",
                system_sentence(files), system_sentence(calls));
    } else if (files != 0) {
        sandbox.why_not = say("this system can't keep the process of a model from other files (landlock: {})",
                              system_sentence(files));
    } else if (calls != 0) {
        sandbox.why_not =
            say("this system can't keep the process of a model from the network (seccomp: {})", system_sentence(calls));
    }
    return sandbox;
}

}  // namespace

Sandbox enter_sandbox(const SandboxRules& rules) {
    if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
        return told(errno, errno);
    }
    const int files = restrict_files(rules);
    return told(files, restrict_calls(rules.local_sockets));
}

Sandbox sandbox_here() {
    const int interface = landlock_interface();
    const int files = interface >= 1 ? 0 : interface < 0 ? errno : ENOSYS;
    const std::uint32_t action = SECCOMP_RET_ERRNO;
    const int calls = kMachine == 0                                                       ? ENOSYS
                      : ::syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) == 0 ? 0
                                                                                          : errno;
    return told(files, calls);
}

}  // namespace moescope::base
