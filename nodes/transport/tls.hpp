// TLS 1.3 between two programs that know each other's keys. Includes Asio: only for .cpp files of nodes/.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <memory>
#include <optional>

#include "nodes/security/identity.hpp"
#include "nodes/security/pairing.hpp"

namespace moescope::transport {

namespace asio = boost::asio;

/// Closes a socket when what is done with it takes too long; the socket lives longer than this.
class SocketClock {
 public:
    SocketClock(asio::ip::tcp::socket& socket, double seconds)
        : socket_(std::make_shared<asio::ip::tcp::socket*>(&socket)), timer_(socket.get_executor()) {
        timer_.expires_after(std::chrono::microseconds(static_cast<std::int64_t>(seconds * 1e6)));
        timer_.async_wait([held = socket_](boost::system::error_code error) {
            if (!error && *held != nullptr) {
                boost::system::error_code ignored;
                (*held)->close(ignored);
            }
        });
    }
    SocketClock(const SocketClock&) = delete;
    SocketClock& operator=(const SocketClock&) = delete;
    ~SocketClock() { *socket_ = nullptr; }

 private:
    /// Null when this has gone: a timer that has run out already can no longer be cancelled, and its handler comes.
    std::shared_ptr<asio::ip::tcp::socket*> socket_;
    asio::steady_timer timer_;  ///< cancelled when this goes
};

/// TLS 1.3 alone, without tickets. Each side shows its certificate and accepts any: who may pass is decided by the
/// peer's key after the handshake, see TlsStream::peer(). Throws base::Error.
std::shared_ptr<asio::ssl::context> tls_context(const security::Identity& ours, bool server);

/// A TLS connection for Connection<>. The stream itself stays where it was made: moving one after its handshake is
/// broken in Asio 1.26.
class TlsStream {
 public:
    using Stream = asio::ssl::stream<asio::ip::tcp::socket>;
    using executor_type = Stream::executor_type;

    /// Keeps the context as long as it lives.
    TlsStream(asio::ip::tcp::socket socket, std::shared_ptr<asio::ssl::context> context)
        : context_(std::move(context)), stream_(std::make_unique<Stream>(std::move(socket), *context_)) {}

    executor_type get_executor() { return stream_->get_executor(); }
    Stream& stream() { return *stream_; }
    asio::ip::tcp::socket& socket() { return stream_->next_layer(); }

    // After the handshake.
    std::optional<security::KeyHash> peer();
    std::optional<security::ChannelBinding> binding();

    template <class Buffers, class Token>
    auto async_read_some(const Buffers& buffers, Token&& token) {
        return stream_->async_read_some(buffers, std::forward<Token>(token));
    }
    template <class Buffers, class Token>
    auto async_write_some(const Buffers& buffers, Token&& token) {
        return stream_->async_write_some(buffers, std::forward<Token>(token));
    }
    /// Without TLS's own farewell: the protocol says BYE itself.
    void close(boost::system::error_code& error) { socket().close(error); }

 private:
    std::shared_ptr<asio::ssl::context> context_;
    std::unique_ptr<Stream> stream_;
};

}  // namespace moescope::transport
