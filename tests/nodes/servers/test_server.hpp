// A server on this machine that answers as a test tells it, byte by byte if need be, and remembers what it was asked.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace moescope::test {

struct AskedRequest {
    std::string method, target, body;
    std::map<std::string, std::string> fields;  ///< of the head, names in lower case
    nlohmann::json json() const { return nlohmann::json::parse(body, nullptr, false); }
};

/// One question and its answer. What is written to a peer that has left throws; the server takes care of that.
class ServerExchange {
 public:
    using Write = std::function<void(std::string_view)>;
    ServerExchange(AskedRequest asked, Write write, int socket)
        : request(std::move(asked)), write_(std::move(write)), socket_(socket) {}

    const AskedRequest request;
    void raw(std::string_view bytes) const { write_(bytes); }
    /// A whole answer; `more` are further lines of the head, each with its end.
    void reply(unsigned status, const std::string& type, const std::string& body, const std::string& more = {}) const;
    void reply(const nlohmann::json& value) const { reply(200, "application/json", value.dump()); }
    /// The head of a stream of events in chunks, events, and the last chunk.
    void begin_events() const;
    void event(const std::string& data) const;
    void event(const nlohmann::json& value) const { event(value.dump()); }
    void end_events() const;
    /// Waits until the peer has closed; false when it has not in time.
    bool wait_closed(std::chrono::milliseconds time) const;

 private:
    const Write write_;
    const int socket_;
};

/// A key and a certificate of its own for 127.0.0.1, as PEM.
struct TestCertificate {
    std::string key, certificate;
};
TestCertificate make_certificate();

class TestServer {
 public:
    using Handler = std::function<void(const ServerExchange&)>;
    /// Each connection gets one question answered by `handler`, on a thread of its own.
    explicit TestServer(Handler handler, const TestCertificate* certificate = nullptr);
    ~TestServer();  ///< cuts off what is still going on
    TestServer(const TestServer&) = delete;
    TestServer& operator=(const TestServer&) = delete;

    std::uint16_t port() const { return port_; }
    std::string address(const std::string& model = "tiny-moe") const;
    int connections() const { return connections_; }
    std::vector<AskedRequest> requests() const;
    /// Those with this target's end, "/chat/completions".
    std::vector<AskedRequest> requests(std::string_view target) const;

 private:
    struct Tls;
    void accept_loop();
    void serve(int socket);

    const Handler handler_;
    std::unique_ptr<Tls> tls_;
    int listener_ = -1;
    std::uint16_t port_ = 0;
    std::atomic<int> connections_{0};
    std::atomic<bool> stopping_{false};
    mutable std::mutex mutex_;
    std::vector<AskedRequest> requests_;
    std::vector<int> sockets_;  ///< open ones
    std::list<std::thread> threads_;
    std::thread acceptor_;
};

}  // namespace moescope::test
