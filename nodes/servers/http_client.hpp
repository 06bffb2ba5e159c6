// One question to one server over HTTP/1.1, plain or over TLS, and its answer byte by byte. It connects when it is
// asked and to no other address than the one that it was made for: no proxy, no redirect, and to a machine that is not
// this one only where a person has allowed it. Everything that the server sends is bounded.
//
// Boost.Beast stays in http_client.cpp, which is the only file that pays for it.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/sentence.hpp"
#include "nodes/servers/address.hpp"

namespace moescope::servers {

struct HttpQuestion {
    std::string path;                             ///< behind the prefix of the address: "/models"
    std::string body;                             ///< JSON; empty: GET, else POST
    std::uint64_t most = std::uint64_t{1} << 20;  ///< bytes of the answer's body
    std::chrono::milliseconds silence{0};         ///< the longest wait for the head, and between two pieces
};

struct HttpHead {
    unsigned status = 0;
    std::string type;  ///< of the body, in lower case, without parameters: "text/event-stream"
};

/// One thread.
class HttpClient {
 public:
    /// Connects to nothing yet. `key`: empty, or what goes with each question as its bearer token.
    HttpClient(Address address, bool remote, std::string key);
    ~HttpClient();
    HttpClient(const HttpClient&) = delete;
    HttpClient& operator=(const HttpClient&) = delete;

    /// Looks the host up, once: later questions go to the addresses that were found then. Takes as long as the system's
    /// resolver does. Throws Error: no such host, or none of its addresses may be connected to.
    void resolve();
    /// Asks over a connection of its own, which is closed at the end. `on_head` comes once, `on_body` with each piece
    /// until it says false, which ends the reading. False when `cancel` turned true meanwhile, within a tenth of a
    /// second. Throws Error in one sentence: the server can't be reached, hangs, redirects, breaks off, sends too much
    /// or what is no HTTP; and what the two functions throw.
    bool ask(const HttpQuestion& question, const std::function<void(const HttpHead&)>& on_head,
             const std::function<bool(std::string_view)>& on_body, const std::atomic<bool>& cancel);

    /// "the server at http://127.0.0.1:8000/v1", for sentences.
    const base::Sentence& name() const;

 private:
    class Impl;
    std::unique_ptr<Impl> impl_;
};

/// What a server says in words, fit to be shown and without the key, should it repeat that.
std::string said_by_server(std::string_view text, const std::string& key);

}  // namespace moescope::servers
