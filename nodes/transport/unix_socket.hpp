// The rules for a private unix socket: a folder that only its owner may enter, a path that fits, peers of the same
// user.
#pragma once

#include <filesystem>
#include <string>

namespace moescope::transport {

/// Makes the folder of `socket` with mode 0700 if it is missing, and takes a dead socket file of an earlier node away.
/// Throws std::runtime_error when others may enter the folder, the path is too long, or a node listens there already.
void prepare_socket_path(const std::filesystem::path& socket);
/// Is the process at the other end of this socket one of our user?
bool is_same_user(int socket);

}  // namespace moescope::transport
