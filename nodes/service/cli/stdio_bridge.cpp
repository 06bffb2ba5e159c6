#include "nodes/service/cli/stdio_bridge.hpp"

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <optional>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

#include "base/atomic_files.hpp"
#include "base/error.hpp"
#include "base/file_io.hpp"
#include "base/input_file.hpp"
#include "base/json_fields.hpp"
#include "base/sha256.hpp"
#include "nodes/transport/unix_socket.hpp"

namespace moescope::node {

namespace fs = std::filesystem;
using base::Descriptor;
using base::Error;
using base::say;

namespace {

constexpr std::chrono::seconds kStart{60};  ///< a large session takes its time
constexpr int kLinger = 600;                ///< seconds that the node stays without work and viewers

Descriptor connected_to(const fs::path& socket) {
    const std::string path = socket.string();
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof address.sun_path) {
        throw Error(say("the socket path {} is longer than the system allows", path));
    }
    std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
    Descriptor wire(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (!wire || ::connect(wire.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
        return {};
    }
    if (!transport::is_same_user(wire.get())) {
        throw Error(say("somebody else listens at {}; remove that file", path));
    }
    return wire;
}

/// In a process group and session of its own: what ends the connection does not reach it.
void start_node(const Paths& paths, const fs::path& socket, const fs::path& session, const fs::path& failure) {
    transport::prepare_socket_path(socket);  // makes its folder
    std::error_code error;
    if (!fs::exists(session, error)) {
        base::make_private_folders(session);
    }
    const std::string log = (socket.parent_path() / (socket.stem().string() + ".log")).string();
    std::array<std::string, 10> words{
        paths.program.string(), "serve",     "--socket",       socket.string(), "--session",
        session.string(),       "--failure", failure.string(), "--linger",      std::to_string(kLinger)};
    std::array<char*, words.size() + 1> pointers{};
    for (std::size_t i = 0; i < words.size(); ++i) {
        pointers[i] = words[i].data();
    }
    const Descriptor null(::open("/dev/null", O_RDWR | O_CLOEXEC)),
        messages(::open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600));
    const pid_t child = null && messages ? ::fork() : -1;
    if (child == 0) {
        // System calls only. The second process belongs to nobody that would have to wait for it.
        ::setsid();
        if (const pid_t node = ::fork(); node != 0) {
            ::_exit(node > 0 ? 0 : 1);
        }
        sigset_t none;
        sigemptyset(&none);
        ::sigprocmask(SIG_SETMASK, &none, nullptr);
        ::dup2(null.get(), STDIN_FILENO);
        ::dup2(messages.get(), STDOUT_FILENO);
        ::dup2(messages.get(), STDERR_FILENO);
        ::execv(pointers[0], pointers.data());
        ::_exit(127);
    }
    int status = 0;
    if (child < 0 || ::waitpid(child, &status, 0) != child || status != 0) {
        throw Error(say("no node can be started: {}", base::system_sentence(errno)));
    }
}

/// What a node that could not open its session has left; nothing while there is nothing.
std::optional<base::Sentence> failure_in(const fs::path& file) {
    std::error_code error;
    if (!fs::exists(file, error)) {
        return std::nullopt;
    }
    try {
        const auto why = base::sentence_in(base::read_json_file(file, 64 << 10), "error");
        return why.empty() ? std::nullopt : std::optional(why);
    } catch (const Error&) {
        return std::nullopt;  // it is being written
    }
}

Descriptor reach(const Paths& paths, const fs::path& session) {
    const fs::path socket = socket_of_session(session);
    if (Descriptor wire = connected_to(socket)) {
        return wire;
    }
    const fs::path failure = socket.parent_path() / (socket.stem().string() + ".failure");
    std::error_code ignored;
    fs::remove(failure, ignored);
    start_node(paths, socket, session, failure);
    const auto until = std::chrono::steady_clock::now() + kStart;
    while (std::chrono::steady_clock::now() < until) {
        if (Descriptor wire = connected_to(socket)) {
            return wire;
        }
        if (const auto why = failure_in(failure)) {
            fs::remove(failure, ignored);
            // Two that came at the same moment: the other one's node has the session.
            if (Descriptor wire = connected_to(socket)) {
                return wire;
            }
            throw Error(*why);
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    throw Error(say("the node for {} does not answer after {} seconds; its messages are beside {}", session,
                    kStart.count(), socket));
}

/// Hands on what came from `from`; false at the end of either.
bool hand_on(int from, int to) {
    std::array<std::byte, 64 * 1024> piece{};
    const ssize_t count = ::read(from, piece.data(), piece.size());
    if (count < 0 && errno == EINTR) {
        return true;
    }
    return count > 0 && base::write_all(to, std::span(piece).first(static_cast<std::size_t>(count))) == 0;
}

}  // namespace

fs::path socket_of_session(const fs::path& session) {
    const char* runtime = std::getenv("XDG_RUNTIME_DIR");
    const bool usual = runtime != nullptr && *runtime == '/' && std::strlen(runtime) <= 60;
    const fs::path folder = usual ? fs::path(runtime) / "moescope-nodes"
                                  : fs::path("/tmp") / ("moescope-nodes-" + std::to_string(::geteuid()));
    std::error_code error;
    const fs::path whole = fs::weakly_canonical(session, error);
    const std::string name = base::sha256((error ? fs::absolute(session) : whole).string()).substr(0, 16);
    return folder / (name + ".sock");
}

int bridge_stdio(const Paths& paths, const fs::path& session) {
    const Descriptor wire = reach(paths, session);
    std::array<pollfd, 2> ends{pollfd{STDIN_FILENO, POLLIN, 0}, pollfd{wire.get(), POLLIN, 0}};
    ::signal(SIGPIPE, SIG_IGN);
    while (true) {
        if (::poll(ends.data(), ends.size(), -1) < 0) {
            if (errno == EINTR) {
                continue;
            }
            return 1;
        }
        if ((ends[1].revents != 0 && !hand_on(wire.get(), STDOUT_FILENO)) ||
            (ends[0].revents != 0 && !hand_on(STDIN_FILENO, wire.get()))) {
            return 0;
        }
    }
}

}  // namespace moescope::node
