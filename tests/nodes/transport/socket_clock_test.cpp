// What ends connections that take too long must not touch those that came in time.
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <gtest/gtest.h>
#include <optional>

#include "nodes/transport/tls.hpp"

namespace moescope::transport {
namespace {

TEST(SocketClock, ClosesASocketThatTakesTooLong) {
    asio::io_context io;
    asio::ip::tcp::socket socket(io, asio::ip::tcp::v4());
    const SocketClock clock(socket, 0.001);
    io.run();
    EXPECT_FALSE(socket.is_open());
}

/// Both timers run out in one pass, so that the clock's handler is on its way when the clock goes.
TEST(SocketClock, LeavesASocketThatCameAtTheLastMoment) {
    asio::io_context io;
    asio::ip::tcp::socket socket(io, asio::ip::tcp::v4());
    asio::steady_timer just_before(io, std::chrono::steady_clock::now());
    std::optional<SocketClock> clock;
    just_before.async_wait([&](boost::system::error_code) { clock.reset(); });
    clock.emplace(socket, 0);
    io.run();
    EXPECT_TRUE(socket.is_open());
}

}  // namespace
}  // namespace moescope::transport
