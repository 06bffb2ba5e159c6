#include "tests/gui/far_node.hpp"

#include <arpa/inet.h>
#include <array>
#include <csignal>
#include <cstdio>
#include <memory>
#include <netinet/in.h>
#include <stdexcept>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/files.hpp"
#include "tests/paths.hpp"

namespace moescope::gui_test {
namespace {

namespace fs = std::filesystem;

fs::path program() {
    return fs::path(test::binary_folder()) / "moescope-node";
}

/// A port that nobody listens at now.
int free_port() {
    const int probe = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    const bool bound = probe >= 0 && ::bind(probe, reinterpret_cast<sockaddr*>(&address), size) == 0 &&
                       ::getsockname(probe, reinterpret_cast<sockaddr*>(&address), &size) == 0;
    if (probe >= 0) {
        ::close(probe);
    }
    if (!bound) {
        throw std::runtime_error("no port of loopback can be had");
    }
    return ntohs(address.sin_port);
}

}  // namespace

FarNode::FarNode(const fs::path& folder) : folder_(folder) {
    fs::create_directories(folder_ / "run");
    fs::permissions(folder_ / "run", fs::perms::owner_all);
    host_ = "127.0.0.1:" + std::to_string(free_port());
    address_ = "tls://" + host_;
    // A listener that nobody could reach does not start.
    if (invitation().empty()) {
        throw std::runtime_error("the node can't be paired");
    }
    std::vector<std::string> arguments = environment();
    for (const std::string& one : {program().string(), std::string("serve"), std::string("--listen"), host_,
                                   std::string("--session"), (folder_ / "far").string()}) {
        arguments.push_back(one);
    }
    node_.start("/usr/bin/env", arguments, folder_ / "node.log");
}

FarNode::~FarNode() {
    node_.send_signal(SIGTERM);
    for (int i = 0; i < 500 && node_.running() && !node_.poll_end(); ++i) {
        ::usleep(10'000);
    }
}

std::vector<std::string> FarNode::environment() const {
    return {"HOME=" + folder_.string(), "XDG_DATA_HOME=" + (folder_ / "data").string(),
            "XDG_RUNTIME_DIR=" + (folder_ / "run").string()};
}

std::string FarNode::invitation() const {
    std::string command = "/usr/bin/env";
    for (const std::string& variable : environment()) {
        command += " '" + variable + "'";
    }
    command += " '" + program().string() + "' pair --address " + host_ + " --role operator";
    const std::unique_ptr<FILE, int (*)(FILE*)> pipe(::popen(command.c_str(), "r"), ::pclose);
    std::string text;
    std::array<char, 512> part{};
    while (pipe && std::fgets(part.data(), static_cast<int>(part.size()), pipe.get()) != nullptr) {
        text += part.data();
    }
    return text.substr(0, text.find('\n'));
}

}  // namespace moescope::gui_test
