// A viewer that speaks the protocol frame by frame over a pair of descriptors, for what the client never does: sending
// a command id twice, breaking rules, leaving in the middle.
#pragma once

#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <sys/types.h>
#include <vector>

#include "nodes/protocol/frame.hpp"
#include "nodes/protocol/hello.hpp"
#include "tests/nodes/service/program.hpp"

namespace moescope::test {

class RawViewer {
 public:
    /// Does not close the descriptors.
    RawViewer(int in, int out) : in_(in), out_(out) {}

    void send(protocol::FrameType type, std::vector<std::byte> body = {});
    /// HELLO, and waits for theirs and AUTH_OK.
    protocol::Hello greet();
    void request(const std::string& id, const std::string& command, const nlohmann::json& parameters);
    /// The next answer to this id, as it stands in the frame.
    nlohmann::json answer(const std::string& id);
    nlohmann::json ask(const std::string& id, const std::string& command, const nlohmann::json& parameters) {
        request(id, command, parameters);
        return answer(id);
    }
    void subscribe(std::uint8_t channel);
    /// Waits until a frame fits, among those that came already too. Fails the test after half a minute or at the end of
    /// the stream; then gives an empty frame.
    protocol::Frame wait(const char* what, const std::function<bool(const protocol::Frame&)>& fits);
    /// Every frame that has come until now.
    std::vector<protocol::Frame> take_now();
    /// Reads what is left; true when the other side ended the stream in time.
    bool ended();

 private:
    bool read_more(int patience_ms);

    int in_, out_;
    protocol::FrameReader reader_{protocol::kDataBodyLimit};
    std::vector<protocol::Frame> frames_;
    std::map<std::string, std::size_t> answers_taken_;
};

/// An id as commands have it, from a short name.
std::string command_id(unsigned number);
/// The body of a frame as JSON; null when it is none.
nlohmann::json body_of(const protocol::Frame& frame);

/// A connection to a node's socket, retried until the node listens. Closes itself.
class Connected {
 public:
    explicit Connected(const std::filesystem::path& socket);
    ~Connected();
    Connected(const Connected&) = delete;
    Connected& operator=(const Connected&) = delete;
    int descriptor() const { return descriptor_; }

 private:
    int descriptor_ = -1;
};

/// `serve --stdio` with pipes on both ends.
class PipedNode {
 public:
    explicit PipedNode(const std::filesystem::path& session);
    ~PipedNode();  ///< SIGKILL, when it still runs
    PipedNode(const PipedNode&) = delete;
    PipedNode& operator=(const PipedNode&) = delete;
    int in() const { return from_; }
    int out() const { return to_; }
    void close_input();
    /// Waits for the end; exit status or 128 + signal.
    int wait();

 private:
    pid_t process_ = -1;
    int to_ = -1, from_ = -1;
};

}  // namespace moescope::test
