#include "tests/faults/wire/fault_proxy.hpp"

#include <algorithm>
#include <cstring>
#include <poll.h>
#include <random>
#include <stdexcept>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace moescope::faults {

namespace {

sockaddr_un address_of(const std::filesystem::path& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
    return address;
}

bool send_all(int socket, const char* bytes, std::size_t size) {
    while (size > 0) {
        const ssize_t sent = ::send(socket, bytes, size, MSG_NOSIGNAL);
        if (sent <= 0) {
            return false;
        }
        bytes += sent;
        size -= static_cast<std::size_t>(sent);
    }
    return true;
}

}  // namespace

FaultProxy::FaultProxy(const std::filesystem::path& listen_at, std::filesystem::path node, std::vector<Mishap> mishaps)
    : node_(std::move(node)), mishaps_(std::move(mishaps)) {
    const sockaddr_un address = address_of(listen_at);
    listener_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (::bind(listener_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
        ::listen(listener_, 8) != 0 || ::pipe(stop_) != 0) {
        throw std::runtime_error("the proxy can't listen at " + listen_at.string());
    }
    thread_ = std::thread(&FaultProxy::run, this);
}

FaultProxy::~FaultProxy() {
    ::close(stop_[1]);
    thread_.join();
    ::close(stop_[0]);
    ::close(listener_);
}

/// False when the proxy ends.
bool FaultProxy::wait(std::chrono::milliseconds time) {
    pollfd stop{stop_[0], POLLIN, 0};
    return ::poll(&stop, 1, static_cast<int>(time.count())) == 0;
}

void FaultProxy::run() {
    for (std::size_t number = 0;; ++number) {
        pollfd ready[] = {{listener_, POLLIN, 0}, {stop_[0], POLLIN, 0}};
        ::poll(ready, 2, -1);
        if (ready[1].revents != 0) {
            return;
        }
        const int viewer = ::accept(listener_, nullptr, nullptr);
        const Mishap mishap = number < mishaps_.size() ? mishaps_[number] : Mishap{};
        ++connections_;
        bool goes_on = true;
        const int node = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        const sockaddr_un address = address_of(node_);
        if (!mishap.refused && ::connect(node, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) {
            goes_on = pass(viewer, node, mishap);
        }
        ::close(viewer);
        ::close(node);
        if (!goes_on) {
            return;
        }
    }
}

bool FaultProxy::pass(int viewer, int node, const Mishap& mishap) {
    std::mt19937 random(17);
    const std::size_t limit[2] = {mishap.cut_to_node, mishap.cut_to_viewer};
    std::atomic<std::size_t>* passed[2] = {&to_node_, &to_viewer_};
    to_node_ = to_viewer_ = 0;
    bool stalled = false;
    char buffer[4096];
    while (to_node_ < limit[0] && to_viewer_ < limit[1]) {
        const bool silent = to_viewer_ >= mishap.silent_after;
        pollfd ready[] = {{viewer, POLLIN, 0}, {node, POLLIN, 0}, {stop_[0], POLLIN, 0}};
        ::poll(ready, 3, -1);
        if (ready[2].revents != 0) {
            return false;
        }
        for (int side = 0; side < 2; ++side) {
            if (ready[side].revents == 0) {
                continue;
            }
            std::size_t most = std::min(sizeof buffer, limit[side] - *passed[side]);
            if (side == 1 && !silent) {
                most = std::min(most, mishap.silent_after - to_viewer_);
                most = stalled || to_viewer_ >= mishap.stall_at ? most : std::min(most, mishap.stall_at - to_viewer_);
            }
            most = mishap.one_byte_per_second ? std::min<std::size_t>(most, 1) : most;
            if (most == 0) {
                return true;
            }
            const ssize_t count = ::read(ready[side].fd, buffer, most);
            if (count <= 0) {
                return true;
            }
            if (silent) {
                continue;  // taken, and gone
            }
            auto time = mishap.one_byte_per_second ? std::chrono::milliseconds(1000) : mishap.delay;
            if (mishap.jitter.count() > 0) {
                time += std::chrono::milliseconds(
                            static_cast<int>(random() % static_cast<unsigned>(2 * mishap.jitter.count() + 1))) -
                        mishap.jitter;
            }
            if (time.count() > 0 && !wait(time)) {
                return false;
            }
            if (!send_all(ready[1 - side].fd, buffer, static_cast<std::size_t>(count))) {
                return true;
            }
            *passed[side] += static_cast<std::size_t>(count);
            if (!stalled && to_viewer_ >= mishap.stall_at) {
                stalled = true;
                if (!wait(mishap.stall)) {
                    return false;
                }
            }
        }
    }
    return true;
}

}  // namespace moescope::faults
