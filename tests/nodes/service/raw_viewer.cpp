#include "tests/nodes/service/raw_viewer.hpp"

#include <array>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <utility>

#include "base/json_fields.hpp"
#include "base/json_guard.hpp"
#include "nodes/protocol/session.hpp"

namespace moescope::test {
using nlohmann::json;
using protocol::Frame;
using protocol::FrameType;

namespace {

constexpr int kPatienceMs = 30'000;

bool is_type(const Frame& frame, FrameType type) {
    return frame.type == static_cast<std::uint16_t>(type);
}

}  // namespace

std::string command_id(unsigned number) {
    std::array<char, 33> text{};
    std::snprintf(text.data(), text.size(), "%032x", number);
    return text.data();
}

json body_of(const Frame& frame) {
    return json::parse(protocol::body_text(frame.body), nullptr, false);
}

void RawViewer::send(FrameType type, std::vector<std::byte> body) {
    std::vector<std::byte> bytes;
    protocol::append_frame(bytes, protocol::make_frame(type, std::move(body)));
    std::size_t at = 0;
    while (at < bytes.size()) {
        const ssize_t written = ::write(out_, bytes.data() + at, bytes.size() - at);
        if (written <= 0) {
            return;  // the other side is gone; whoever waits for its answer sees that
        }
        at += static_cast<std::size_t>(written);
    }
}

protocol::Hello RawViewer::greet() {
    protocol::Hello hello;
    hello.role = protocol::Role::viewer;
    hello.build = "test";
    send(FrameType::hello, protocol::encode_hello(hello));
    const auto theirs = wait("HELLO", [](const Frame& frame) { return is_type(frame, FrameType::hello); });
    wait("AUTH_OK", [](const Frame& frame) { return is_type(frame, FrameType::auth_ok); });
    return protocol::decode_hello(theirs.body).value_or(protocol::Hello{});
}

void RawViewer::request(const std::string& id, const std::string& command, const json& parameters) {
    send(FrameType::request,
         protocol::bytes_of(json{{"id", id}, {"command", command}, {"parameters", parameters}}.dump()));
}

json RawViewer::answer(const std::string& id) {
    std::size_t& taken = answers_taken_[id];
    std::size_t seen = 0;
    const Frame frame = wait("an answer", [&](const Frame& candidate) {
        if (!is_type(candidate, FrameType::response) || body_of(candidate).value("id", "") != id) {
            return false;
        }
        return ++seen > taken;
    });
    ++taken;
    return body_of(frame);
}

void RawViewer::subscribe(std::uint8_t channel) {
    send(FrameType::subscribe, protocol::encode_subscribe({channel, {}}));
}

bool RawViewer::read_more(int patience_ms) {
    pollfd waiting{in_, POLLIN, 0};
    std::array<std::byte, 65536> chunk;
    if (::poll(&waiting, 1, patience_ms) <= 0) {
        return false;
    }
    const ssize_t got = ::read(in_, chunk.data(), chunk.size());
    if (got <= 0) {
        return false;
    }
    reader_.feed(std::span(chunk).first(static_cast<std::size_t>(got)));
    while (auto frame = reader_.next()) {
        frames_.push_back(std::move(*frame));
    }
    EXPECT_EQ(reader_.error().english(), "") << "nothing but frames may come";
    return reader_.error().empty();
}

Frame RawViewer::wait(const char* what, const std::function<bool(const Frame&)>& fits) {
    std::size_t looked_at = 0;
    for (;;) {
        for (; looked_at < frames_.size(); ++looked_at) {
            if (fits(frames_[looked_at])) {
                return frames_[looked_at];
            }
        }
        if (!read_more(kPatienceMs)) {
            ADD_FAILURE() << "waited in vain for " << what;
            return {};
        }
    }
}

std::vector<Frame> RawViewer::take_now() {
    while (read_more(0)) {
    }
    return std::exchange(frames_, {});
}

bool RawViewer::ended() {
    pollfd waiting{in_, POLLIN, 0};
    std::array<std::byte, 65536> chunk;
    while (::poll(&waiting, 1, kPatienceMs) > 0) {
        if (::read(in_, chunk.data(), chunk.size()) <= 0) {
            return true;
        }
    }
    return false;
}

Connected::Connected(const std::filesystem::path& socket) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, socket.c_str(), sizeof(address.sun_path) - 1);
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(kPatienceMs);
    while (std::chrono::steady_clock::now() < deadline) {
        descriptor_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (::connect(descriptor_, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0) {
            return;
        }
        ::close(descriptor_);
        descriptor_ = -1;
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    ADD_FAILURE() << "no node listens at " << socket;
}

Connected::~Connected() {
    if (descriptor_ >= 0) {
        ::close(descriptor_);
    }
}

PipedNode::PipedNode(const std::filesystem::path& session) {
    std::array<int, 2> input{}, output{};
    if (pipe2(input.data(), O_CLOEXEC) != 0 || pipe2(output.data(), O_CLOEXEC) != 0) {
        throw std::runtime_error("no pipe");
    }
    const std::string program = node_program().string(), folder = session.string();
    process_ = fork();
    if (process_ == 0) {
        dup2(input[0], 0);
        dup2(output[1], 1);
        execl(program.c_str(), program.c_str(), "serve", "--stdio", "--session", folder.c_str(), nullptr);
        _exit(126);
    }
    ::close(input[0]);
    ::close(output[1]);
    to_ = input[1];
    from_ = output[0];
}

PipedNode::~PipedNode() {
    if (process_ > 0) {
        kill(process_, SIGKILL);
        waitpid(process_, nullptr, 0);
    }
    close_input();
    ::close(from_);
}

void PipedNode::close_input() {
    if (to_ >= 0) {
        ::close(to_);
    }
    to_ = -1;
}

int PipedNode::wait() {
    int status = 0;
    waitpid(process_, &status, 0);
    process_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace moescope::test
