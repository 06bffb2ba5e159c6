// One byte stream with its three coroutines: read loop, write loop, ticker. It knows nothing of frames; the Peer does.
// Everything runs on the one thread of its io_context. Includes Asio: only for .cpp files of nodes/.
//
// All coroutines are named functions that take the connection by shared pointer: it lives until the last of them ends.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <chrono>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/error.hpp"

namespace moescope::transport {

namespace asio = boost::asio;

/// Seconds of the steady clock.
inline double steady_seconds() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

/// What stands behind a connection. All calls come on the I/O thread. An exception from any of them closes the
/// connection.
class Peer {
 public:
    virtual ~Peer() = default;
    virtual void on_bytes(std::span<const std::byte> bytes) = 0;
    /// False: no more is read until something of what fill() gave is out. So whoever asks much and reads little waits
    /// for itself.
    virtual bool wants_bytes() const { return true; }
    /// Appends what is to be sent next, a bounded piece of it; false when there is nothing now. Asked only when the
    /// piece before is out, so a slow reader on the other side makes nothing pile up here.
    virtual bool fill(std::vector<std::byte>& out) = 0;
    virtual void on_tick() = 0;                             ///< five times a second
    virtual void on_closed(const base::Sentence& why) = 0;  ///< exactly once, last
};

class AnyConnection {
 public:
    virtual ~AnyConnection() = default;
    virtual void start() = 0;
    virtual void notify_output() = 0;  ///< fill() has something again
    virtual void finish() = 0;         ///< send what fill() still gives, at most for a second, then close
    virtual void close(const base::Sentence& why) = 0;
};

/// Stream: async_read_some, async_write_some, get_executor, close(error_code&).
template <class Stream>
class Connection final : public AnyConnection, public std::enable_shared_from_this<Connection<Stream>> {
 public:
    Connection(Stream stream, std::shared_ptr<Peer> peer)
        : stream_(std::move(stream)),
          wake_(stream_.get_executor()),
          ticker_(stream_.get_executor()),
          resume_(stream_.get_executor()),
          peer_(std::move(peer)) {}

    void start() override {
        const auto executor = stream_.get_executor();
        asio::co_spawn(executor, read_loop(this->shared_from_this()), asio::detached);
        asio::co_spawn(executor, write_loop(this->shared_from_this()), asio::detached);
        asio::co_spawn(executor, tick_loop(this->shared_from_this()), asio::detached);
    }

    void notify_output() override { wake_.cancel(); }

    void finish() override {
        give_up_at_ = steady_seconds() + 1;
        finishing_ = true;
        wake_.cancel();
        resume_.cancel();
    }

    void close(const base::Sentence& why) override {
        if (closed_) {
            return;
        }
        closed_ = true;
        wake_.cancel();
        ticker_.cancel();
        resume_.cancel();
        boost::system::error_code ignored;
        stream_.close(ignored);
        // The peer usually owns this connection: let it go only when nothing of us is on the stack's way any more.
        const auto self = this->shared_from_this();
        const auto peer = std::move(peer_);
        peer->on_closed(why);
    }

 private:
    using Self = std::shared_ptr<Connection>;
    static constexpr auto kNoThrow = asio::as_tuple(asio::use_awaitable);

    static asio::awaitable<void> read_loop(Self self) {
        std::vector<std::byte> buffer(64 * 1024);
        while (!self->closed_) {
            if (self->pauses()) {
                self->resume_.expires_at(std::chrono::steady_clock::time_point::max());
                co_await self->resume_.async_wait(kNoThrow);
                continue;
            }
            auto [error, count] = co_await self->stream_.async_read_some(asio::buffer(buffer), kNoThrow);
            if (error) {
                self->close(base::say("the connection ended: {}", base::system_sentence(error)));
                break;
            }
            if (self->closed_) {
                break;
            }
            self->deliver(std::span<const std::byte>(buffer).first(count));
        }
    }

    /// Who ends, or can't send, reads on: that is how it learns that the other side is gone.
    bool pauses() const { return !finishing_ && give_up_at_ <= 0 && !peer_->wants_bytes(); }

    /// A peer that closes this connection is let go of by its owner, perhaps in the middle of this call: it is held
    /// until the call is over.
    template <class Call>
    void ask_peer(Call call) {
        const auto peer = peer_;
        try {
            call(*peer);
        } catch (const std::exception& failure) {
            close(base::sentence_of(failure));
        }
    }
    void deliver(std::span<const std::byte> bytes) {
        ask_peer([&](Peer& peer) { peer.on_bytes(bytes); });
    }
    void tick() {
        ask_peer([](Peer& peer) { peer.on_tick(); });
    }
    /// Empty `out` means that there is nothing to send.
    void next_piece(std::vector<std::byte>& out) {
        out.clear();
        bool more = false;
        ask_peer([&](Peer& peer) { more = peer.fill(out); });
        if (!more) {
            out.clear();
        }
    }

    static asio::awaitable<void> write_loop(Self self) {
        std::vector<std::byte> out;
        while (!self->closed_) {
            self->next_piece(out);
            if (self->closed_) {
                break;
            }
            self->resume_.cancel();
            if (out.empty()) {
                if (self->finishing_) {
                    self->close(base::say("the connection was closed"));
                    break;
                }
                self->wake_.expires_at(std::chrono::steady_clock::time_point::max());
                co_await self->wake_.async_wait(kNoThrow);
                continue;
            }
            auto [error, count] = co_await asio::async_write(self->stream_, asio::buffer(out), kNoThrow);
            if (error) {
                // What the other side said last may still wait to be read; the read loop closes when it has come to the
                // end.
                self->give_up_at_ = steady_seconds() + 1;
                self->resume_.cancel();
                break;
            }
        }
    }

    static asio::awaitable<void> tick_loop(Self self) {
        while (!self->closed_) {
            self->ticker_.expires_after(std::chrono::milliseconds(200));
            co_await self->ticker_.async_wait(kNoThrow);
            if (self->closed_) {
                break;
            }
            if (self->give_up_at_ > 0 && steady_seconds() > self->give_up_at_) {
                self->close(base::say("the connection was closed"));
                break;
            }
            self->tick();
        }
    }

    Stream stream_;
    asio::steady_timer wake_, ticker_, resume_;
    std::shared_ptr<Peer> peer_;
    bool closed_ = false, finishing_ = false;
    double give_up_at_ = 0;
};

/// stdin and stdout as one stream.
class StdioStream {
 public:
    using executor_type = asio::any_io_executor;
    StdioStream(const executor_type& executor, int in, int out) : in_(executor, in), out_(executor, out) {}
    executor_type get_executor() { return in_.get_executor(); }
    template <class Buffers, class Token>
    auto async_read_some(const Buffers& buffers, Token&& token) {
        return in_.async_read_some(buffers, std::forward<Token>(token));
    }
    template <class Buffers, class Token>
    auto async_write_some(const Buffers& buffers, Token&& token) {
        return out_.async_write_some(buffers, std::forward<Token>(token));
    }
    void close(boost::system::error_code& error) {
        in_.close(error);
        out_.close(error);
    }

 private:
    asio::posix::stream_descriptor in_, out_;
};

}  // namespace moescope::transport
