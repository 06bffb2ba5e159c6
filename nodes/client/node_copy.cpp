#include "nodes/client/node_copy.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <fcntl.h>
#include <poll.h>
#include <string>
#include <string_view>
#include <thread>
#include <unistd.h>
#include <vector>

#include "base/bundle_layout.hpp"
#include "base/error.hpp"
#include "base/foreign_text.hpp"
#include "base/input_file.hpp"
#include "base/installation.hpp"
#include "base/scratch_folder.hpp"
#include "base/sha256.hpp"
#include "nodes/client/child_process.hpp"
#include "nodes/client/ssh_command.hpp"
#include "nodes/transport/node_address.hpp"

namespace moescope::client {

namespace fs = std::filesystem;
using base::Error;
using base::say;
using base::Sentence;

namespace {

constexpr int kLook = 100;                ///< milliseconds between two looks at a wish to stop
constexpr std::size_t kPiece = 64 << 10;  ///< bytes
// What the receiving command ends with; above what shells and ssh use.
constexpr int kOtherMachine = 81, kDamaged = 82, kNotUnpacked = 83, kDoesNotStart = 84;

[[noreturn]] void stopped() {
    throw Error(say("the copy was stopped; nothing was changed there"));
}

/// The receiver may end before it has read everything.
class PipeSignalBlocked {
 public:
    PipeSignalBlocked() {
        sigset_t pipe;
        sigemptyset(&pipe);
        sigaddset(&pipe, SIGPIPE);
        ::pthread_sigmask(SIG_BLOCK, &pipe, &before_);
    }
    ~PipeSignalBlocked() {
        const timespec now{};
        sigset_t pipe;
        sigemptyset(&pipe);
        sigaddset(&pipe, SIGPIPE);
        ::sigtimedwait(&pipe, nullptr, &now);  // one that waits would come now
        ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
    }
    PipeSignalBlocked(const PipeSignalBlocked&) = delete;
    PipeSignalBlocked& operator=(const PipeSignalBlocked&) = delete;

 private:
    sigset_t before_{};
};

void check(const CopyProgress& progress) {
    if (progress.stop) {
        stopped();
    }
}

/// Until the child ends.
Sentence wait_for_end(ChildProcess& child, const CopyProgress& progress) {
    while (true) {
        if (auto end = child.poll_end()) {
            return *end;
        }
        check(progress);
        std::this_thread::sleep_for(std::chrono::milliseconds(kLook / 5));
    }
}

/// An archive of a folder, by the system's tar.
fs::path packed(const fs::path& folder, const fs::path& into, const CopyProgress& progress) {
    const fs::path archive = into / "bundle.tar.gz", log = into / "tar.log";
    ChildProcess tar;
    tar.start("/bin/tar",
              {"-czf", archive.string(), "-C", folder.parent_path().string(), "--", folder.filename().string()}, log);
    const Sentence how = wait_for_end(tar, progress);
    if (tar.last_status() != 0 || !base::is_there(archive)) {
        const std::string words = last_line(log, 0);
        throw Error(
            say("{} could not be packed: {}", folder, words.empty() ? how : Sentence::verbatim(base::one_line(words))));
    }
    return archive;
}

Sentence problem_of(int status, const std::string& address, const Sentence& how, const std::string& words) {
    const std::string said = base::one_line(words);
    switch (status) {
        case kOtherMachine:
            return say("{} is another kind of machine ({}); the bundle is for Linux on x86_64: build Moescope there",
                       address, said);
        case kDamaged:
            return say("the bundle did not arrive whole at {}; try again", address);
        case kNotUnpacked:
            return say("the bundle could not be unpacked at {}: {}", address, said);
        case kDoesNotStart:
            return say("the bundle was copied to {} and does not start there: {}", address, said);
        case 127:
            return say("{} lacks a program that unpacking needs: {}", address, said);
        default:
            return ssh_problem(address, status, how, words);
    }
}

/// Writes the bytes to a pipe that does not block; false when the other end is closed.
bool send(int to, std::string_view bytes, CopyProgress& progress, const ChildProcess& child) {
    while (!bytes.empty()) {
        check(progress);
        pollfd pipe{to, POLLOUT, 0};
        if (::poll(&pipe, 1, kLook) <= 0) {
            continue;
        }
        const ssize_t count = ::write(to, bytes.data(), bytes.size());
        if (count < 0 && (errno == EAGAIN || errno == EINTR)) {
            continue;
        }
        if (count <= 0) {
            return false;
        }
        bytes.remove_prefix(static_cast<std::size_t>(count));
    }
    return child.running();
}

void send_file(const fs::path& archive, const std::string& head, int to, CopyProgress& progress,
               const ChildProcess& child) {
    if (!send(to, head, progress, child)) {
        return;
    }
    const base::InputFile file(archive);
    progress.total = file.size();
    std::vector<char> piece(kPiece);
    for (std::uint64_t at = 0; at < file.size();) {
        const std::size_t count = file.read_some(at, std::span(piece));
        if (count == 0 || !send(to, {piece.data(), count}, progress, child)) {
            return;  // the receiver tells why, or that something is missing
        }
        at += count;
        progress.sent = at;
    }
}

}  // namespace

std::string detail::receiving_command() {
    // One line, without "!" and single quotes, for csh as the shell of the user. Nothing in it comes from outside.
    const std::string script =
        "umask 077; k=$(uname -sm); [ \"$k\" = \"Linux x86_64\" ] || { echo \"$k\" >&2; exit 81; }; "
        "set -e; h=\"$HOME/.local/share/moescope\"; mkdir -p \"$h\"; n=$(mktemp -d \"$h/.copy-XXXXXXXX\"); "
        "trap \"rm -rf \\\"\\$n\\\"\" EXIT; trap \"exit 1\" HUP INT TERM; "
        "read -r v s; cat > \"$n/archive\"; "
        "g=$(sha256sum < \"$n/archive\"); [ \"$g\" = \"$s  -\" ] || exit 82; "
        "mkdir \"$n/tree\"; tar -xzf \"$n/archive\" -C \"$n/tree\" --strip-components=1 || exit 83; "
        "a=$(\"$n/tree/bin/moescope-node\" --version) || exit 84; [ \"$a\" = \"$v\" ] || { echo \"$a\" >&2; exit 84; "
        "}; "
        "if [ -e \"$h/$v\" ]; then mv \"$h/$v\" \"$n/old\"; fi; mv \"$n/tree\" \"$h/$v\"; echo \"$v\"";
    return "/bin/sh -c " + shell_quoted(script);
}

std::optional<NodeBundle> bundle_at_hand() {
    const fs::path program = base::own_program(), prefix = program.parent_path().parent_path();
    const char* named = std::getenv("MOESCOPE_BUNDLE");
    std::error_code error;
    if (named == nullptr && fs::exists(prefix / base::kPartsFolder / base::kLibcFolder / base::kLoader, error)) {
        NodeBundle bundle;
        bundle.folder = prefix;
        for (auto file = fs::recursive_directory_iterator(prefix, error); !error && file != fs::end(file);
             file.increment(error)) {
            if (!file->is_symlink(error) && file->is_regular_file(error)) {
                bundle.bytes += file->file_size(error);
            }
        }
        return bundle;
    }
    NodeBundle bundle;  // SOURCES/build/PRESET/moescope and SOURCES/out
    bundle.archive = named != nullptr ? fs::path(named)
                                      : prefix.parent_path() / "out" / ("moescope-" MOESCOPE_VERSION "-x86_64.tar.gz");
    bundle.bytes = fs::file_size(bundle.archive, error);
    return error ? std::nullopt : std::optional(bundle);
}

void copy_node(const std::string& address, const NodeBundle& bundle, const fs::path& ssh, CopyProgress& progress) {
    transport::NodeAddress place = transport::parse_node_address(address);
    if (place.kind != transport::NodeAddress::Kind::ssh) {
        throw Error(
            say("a node is copied over ssh only, and {} is another kind of address", transport::to_text(place)));
    }
    place.path.clear();
    const std::string name = transport::to_text(place);
    const base::ScratchFolder scratch;
    const fs::path archive = bundle.archive.empty() ? packed(bundle.folder, scratch.path(), progress) : bundle.archive;
    const std::string head =
        std::string(MOESCOPE_VERSION) + " " + base::sha256_of_file(archive, [&] { check(progress); }) + "\n";
    const PipeSignalBlocked blocked;
    const fs::path log = scratch.path() / "ssh.log";
    ChildProcess child;
    ChildProcess::Pipes pipes = child.start_with_pipes(ssh, ssh_arguments(place, detail::receiving_command()), log);
    ::fcntl(pipes.to.get(), F_SETFL, O_NONBLOCK);
    send_file(archive, head, pipes.to.get(), progress, child);
    pipes.to.close();
    const Sentence how = wait_for_end(child, progress);
    std::array<char, 64> said{};
    const ssize_t count = ::read(pipes.from.get(), said.data(), said.size());
    const bool done =
        std::string_view(said.data(), static_cast<std::size_t>(std::max<ssize_t>(count, 0))) == MOESCOPE_VERSION "\n";
    if (!done) {
        throw Error(problem_of(child.last_status(), name, how, last_line(log, 0)));
    }
}

}  // namespace moescope::client
