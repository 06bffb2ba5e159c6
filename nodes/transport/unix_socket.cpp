#include "nodes/transport/unix_socket.hpp"

#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <system_error>
#include <unistd.h>

#include "base/error.hpp"

namespace moescope::transport {

namespace {

bool someone_listens(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
    const int probe = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (probe < 0) {
        return false;
    }
    const int result = ::connect(probe, reinterpret_cast<const sockaddr*>(&address), sizeof address);
    const bool listens = result == 0 || errno == EAGAIN;
    ::close(probe);
    return listens;
}

}  // namespace

void prepare_socket_path(const std::filesystem::path& socket) {
    const std::string path = socket.string();
    if (path.size() >= sizeof(sockaddr_un::sun_path)) {
        throw base::Error(base::say("the socket path {} is longer than the {} bytes that the system allows", path,
                                    sizeof(sockaddr_un::sun_path) - 1));
    }
    const std::filesystem::path folder = socket.has_parent_path() ? socket.parent_path() : ".";
    if (::mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST) {
        throw base::Error(base::say("the folder {} can't be made: {}", folder, base::system_sentence(errno)));
    }
    struct stat status {};
    if (::stat(folder.c_str(), &status) != 0 || !S_ISDIR(status.st_mode)) {
        throw base::Error(base::say("{} is no folder", folder));
    }
    if (status.st_uid != ::geteuid() || (status.st_mode & 077) != 0) {
        throw base::Error(base::say(
            "the folder {} may be entered by other users; a node listens only in a folder of its own with mode 700",
            folder));
    }
    if (::lstat(path.c_str(), &status) != 0) {
        return;
    }
    if (!S_ISSOCK(status.st_mode)) {
        throw base::Error(base::say("{} exists and is no socket; choose another path", path));
    }
    if (someone_listens(path)) {
        throw base::Error(base::say("another node listens at {} already", path));
    }
    ::unlink(path.c_str());
}

bool is_same_user(int socket) {
    ucred peer{};
    socklen_t size = sizeof peer;
    return ::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && peer.uid == ::geteuid();
}

}  // namespace moescope::transport
