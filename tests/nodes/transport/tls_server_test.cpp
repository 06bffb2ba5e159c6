// A node that listens for other machines, with real TLS over loopback: who is let in, and what everybody else meets.
#include <array>
#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>
#include <chrono>
#include <fstream>
#include <gtest/gtest.h>
#include <mutex>
#include <openssl/ssl.h>
#include <unistd.h>

#include "nodes/client/client.hpp"
#include "nodes/protocol/frame.hpp"
#include "nodes/protocol/hello.hpp"
#include "nodes/security/known_nodes.hpp"
#include "nodes/transport/node_server.hpp"
#include "nodes/transport/tls.hpp"
#include "sessions/session.hpp"
#include "tests/files.hpp"

namespace moescope::transport {
namespace {

using asio::ip::tcp;
using client::Link;
using protocol::FrameType;
using protocol::Right;
using security::PairingBook;
using test::TemporaryFolder;

std::int64_t unix_now() {
    return std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch())
        .count();
}

/// A node on 127.0.0.1 that answers every command with who asked.
class Node final : public RequestHandler {
 public:
    Node() : session_(sessions::Session::open(folder_ / "session", sessions::Journal::Mode::read_write)) {
        NodeServerOptions options;
        options.listener =
            TlsListener{{"127.0.0.1", 0}, security::load_or_make_identity(folder_ / "node/id.pem"), folder_ / "node"};
        options.log = [this](bool, const base::Sentence& sentence) {
            const std::lock_guard lock(mutex_);
            log_.push_back(sentence.english());
        };
        server_ = std::make_unique<NodeServer>(options, session_->journal(), *this);
        server_->publish_state({{"node", {{"name", "n"}, {"version", "1"}}}});
    }
    ~Node() override { server_.reset(); }

    void on_request(const Asker& asker, std::string, std::string, nlohmann::json,
                    std::function<void(nlohmann::json)> reply) override {
        reply({{"state", "done"}, {"value", {{"right", protocol::name_of(asker.right)}, {"remote", asker.remote}}}});
    }
    std::string invitation(Right right) {
        PairingBook book(folder_ / "node");
        return security::to_text(security::Invitation{"127.0.0.1", server_->port(),
                                                      security::load_or_make_identity(folder_ / "node/id.pem").hash,
                                                      book.invite(right, unix_now())});
    }
    std::string address() const { return "tls://127.0.0.1:" + std::to_string(server_->port()); }
    PairingBook book() { return PairingBook(folder_ / "node"); }
    NodeServer& server() { return *server_; }
    std::vector<std::string> log() {
        const std::lock_guard lock(mutex_);
        return log_;
    }

 private:
    TemporaryFolder folder_;
    std::unique_ptr<sessions::Session> session_;
    std::mutex mutex_;
    std::vector<std::string> log_;
    std::unique_ptr<NodeServer> server_;
};

client::ClientOptions options_for(const std::filesystem::path& keys, const std::string& address) {
    client::ClientOptions options;
    options.keys = keys;
    options.node = address;
    return options;
}

std::shared_ptr<const client::Snapshot> wait(client::NodeClient& client,
                                             const std::function<bool(const client::Snapshot&)>& fits) {
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    while (std::chrono::steady_clock::now() < until) {
        if (auto now = client.snapshot(); fits(*now)) {
            return now;
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    ADD_FAILURE() << "waited in vain: " << client.snapshot()->link.message;
    return client.snapshot();
}

bool is_connected(const client::Snapshot& now) {
    return now.link.state == Link::State::connected;
}
bool is_refused(const client::Snapshot& now) {
    return now.link.state == Link::State::refused;
}

nlohmann::json asked(client::NodeClient& client) {
    const auto id = client.send("who");
    const auto now = wait(client, [&](const client::Snapshot& s) {
        return s.results.contains(id) && s.results.at(id).state != client::CommandResult::State::pending;
    });
    return now->results.at(id).value;
}

/// Speaks TLS and frames by hand.
class Raw {
 public:
    Raw(const std::filesystem::path& keys, std::uint16_t port)
        : stream_(tcp::socket(io_), tls_context(security::load_or_make_identity(keys / "identity.pem"), false)) {
        boost::system::error_code error;
        stream_.socket().connect({asio::ip::make_address("127.0.0.1"), port}, error);
        if (!error) {
            stream_.stream().handshake(asio::ssl::stream_base::client, error);
        }
        ready = !error;
    }
    void send(const protocol::Frame& frame) {
        std::vector<std::byte> bytes;
        protocol::append_frame(bytes, frame);
        boost::system::error_code ignored;
        asio::write(stream_.stream(), asio::buffer(bytes), ignored);
    }
    void hello() {
        protocol::Hello hello;
        hello.role = protocol::Role::viewer;
        send(protocol::make_frame(FrameType::hello, protocol::encode_hello(hello)));
    }
    /// The types of the frames that come until the other side hangs up or has sent one of that type.
    std::vector<FrameType> read_until(FrameType last) {
        std::vector<FrameType> types;
        protocol::FrameReader reader(protocol::kDataBodyLimit);
        std::array<std::byte, 4096> piece{};
        boost::system::error_code error;
        while (!error) {
            const std::size_t count = stream_.stream().read_some(asio::buffer(piece), error);
            reader.feed(std::span(piece).first(count));
            while (const auto frame = reader.next()) {
                types.push_back(static_cast<FrameType>(frame->type));
                if (types.back() == last) {
                    return types;
                }
            }
        }
        return types;
    }
    security::ChannelBinding binding() { return stream_.binding().value_or(security::ChannelBinding{}); }
    bool ready = false;

 private:
    asio::io_context io_;
    TlsStream stream_;
};

bool has(const std::vector<FrameType>& types, FrameType type) {
    return std::find(types.begin(), types.end(), type) != types.end();
}

TEST(TlsServer, AnInvitedWorkbenchIsPairedAndComesAgainWithoutOne) {
    Node node;
    const TemporaryFolder keys;
    {
        client::NodeClient client(options_for(keys.path(), node.invitation(Right::operator_)), [] {});
        wait(client, is_connected);
        const nlohmann::json who = asked(client);
        EXPECT_EQ(who["right"], "operator");
        EXPECT_EQ(who["remote"], true);
    }
    ASSERT_EQ(node.book().viewers().size(), 1u);
    client::NodeClient again(options_for(keys.path(), node.address()), [] {});
    wait(again, is_connected);
    EXPECT_EQ(asked(again)["right"], "operator");
}

TEST(TlsServer, StrangersAndUsedInvitationsAreTurnedAwayWithOneText) {
    Node node;
    const TemporaryFolder first, second;
    const std::string invitation = node.invitation(Right::viewer);
    {
        client::NodeClient client(options_for(first.path(), invitation), [] {});
        wait(client, is_connected);
    }
    client::NodeClient late(options_for(second.path(), invitation), [] {});
    const auto refused = wait(late, is_refused);
    EXPECT_NE(refused->link.message.english().find("does not know this workbench"), std::string::npos);
    EXPECT_EQ(node.book().viewers().size(), 1u);
    // Without an invitation, nothing is even tried.
    const TemporaryFolder third;
    client::NodeClient stranger(options_for(third.path(), node.address()), [] {});
    EXPECT_NE(wait(stranger, is_refused)->link.message.english().find("is not paired with"), std::string::npos);
}

TEST(TlsServer, AnotherKeyThanTheOneThatWasPairedIsRefused) {
    Node node;
    const TemporaryFolder keys;
    security::KnownNodes(keys / "known_nodes.json").remember(node.address(), security::KeyHash{1, 2, 3});
    client::NodeClient client(options_for(keys.path(), node.address()), [] {});
    EXPECT_NE(wait(client, is_refused)->link.message.english().find("another key"), std::string::npos);
}

TEST(TlsServer, NothingIsReadBeforeTheProof) {
    Node node;
    const TemporaryFolder keys;
    node.invitation(Right::admin);  // one is open, for somebody else
    for (const FrameType type : {FrameType::request, FrameType::subscribe, FrameType::credit, FrameType::auth_ok}) {
        Raw raw(keys.path(), node.server().port());
        ASSERT_TRUE(raw.ready);
        raw.hello();
        raw.send(protocol::make_frame(type, protocol::bytes_of(R"({"id":"00000000000000000000000000000000"})")));
        const auto types = raw.read_until(FrameType::auth_ok);
        EXPECT_FALSE(has(types, FrameType::auth_ok));
        EXPECT_FALSE(has(types, FrameType::response));
    }
    EXPECT_EQ(node.server().viewers(), 0u);
}

TEST(TlsServer, AProofIsWorthNothingOnAnotherConnection) {
    Node node;
    const TemporaryFolder keys;
    const auto invitation = security::invitation_from(node.invitation(Right::admin));
    ASSERT_TRUE(invitation);
    Raw overheard(keys.path(), node.server().port()), raw(keys.path(), node.server().port());
    const auto proof = security::proof_of(invitation->secret, overheard.binding());
    raw.hello();
    raw.send(protocol::make_frame(FrameType::auth, protocol::encode_auth({proof, "x"})));
    EXPECT_FALSE(has(raw.read_until(FrameType::auth_ok), FrameType::auth_ok));
    EXPECT_TRUE(node.book().invited(unix_now())) << "it is still there for whom it is meant";
    overheard.hello();
    overheard.send(protocol::make_frame(FrameType::auth, protocol::encode_auth({proof, "x"})));
    EXPECT_TRUE(has(overheard.read_until(FrameType::auth_ok), FrameType::auth_ok));
}

TEST(TlsServer, OlderTlsIsNotSpoken) {
    Node node;
    asio::io_context io;
    asio::ssl::context old(asio::ssl::context::tls_client);
    SSL_CTX_set_max_proto_version(old.native_handle(), TLS1_2_VERSION);
    asio::ssl::stream<tcp::socket> stream(io, old);
    stream.next_layer().connect({asio::ip::make_address("127.0.0.1"), node.server().port()});
    boost::system::error_code error;
    stream.handshake(asio::ssl::stream_base::client, error);
    EXPECT_TRUE(error);
}

TEST(TlsServer, WhoGuessesWaits) {
    Node node;
    const TemporaryFolder keys;
    node.invitation(Right::admin);
    std::size_t looked_at = 0;
    for (int i = 0; i < 20; ++i) {
        Raw raw(keys.path(), node.server().port());
        if (!raw.ready) {
            continue;  // hung up on at the door
        }
        ++looked_at;
        raw.hello();
        raw.send(protocol::make_frame(FrameType::auth, protocol::encode_auth({{1}, "guess"})));
        EXPECT_FALSE(has(raw.read_until(FrameType::auth_ok), FrameType::auth_ok));
    }
    EXPECT_GE(looked_at, 5u);
    EXPECT_LE(looked_at, 12u) << "of twenty guesses in a row";
}

/// Of this process, in bytes.
std::size_t memory_in_use() {
    std::ifstream statm("/proc/self/statm");
    std::size_t all = 0, resident = 0;
    statm >> all >> resident;
    return resident * static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
}

/// They come from another address than the workbenches do: who fails again and again waits, by address.
TEST(TlsServer, AThousandThatSayNothingKeepNobodyOut) {
    constexpr int kSilent = 1000;
    Node node;
    const TemporaryFolder keys, later;
    client::NodeClient before(options_for(keys.path(), node.invitation(Right::operator_)), [] {});
    wait(before, is_connected);
    const std::size_t memory = memory_in_use(), lines = node.log().size();
    asio::io_context io;
    std::vector<tcp::socket> silent;
    for (int i = 0; i < kSilent; ++i) {
        silent.emplace_back(io, tcp::endpoint(asio::ip::make_address("127.0.0.2"), 0));
        boost::system::error_code error;
        silent.back().connect({asio::ip::make_address("127.0.0.1"), node.server().port()}, error);
        if (!error && i % 3 == 0) {
            asio::write(silent.back(), asio::buffer("GET / HTTP/1.1\r\n\r\n", 18), error);
        }
    }
    EXPECT_EQ(asked(before)["right"], "operator") << "who is there stays";
    client::NodeClient newcomer(options_for(later.path(), node.invitation(Right::viewer)), [] {});
    wait(newcomer, is_connected);
    EXPECT_EQ(asked(newcomer)["right"], "viewer") << "who comes is let in";
    EXPECT_LT(memory_in_use(), memory + (std::size_t{64} << 20));
    EXPECT_LT(node.log().size(), lines + 40) << "a flood does not fill the log";
}

/// One that never says hello, and one whose hello takes for ever: the time is for the whole handshake.
TEST(TlsServer, AHandshakeHasItsTime) {
    Node node;
    asio::io_context io;
    const auto begun = std::chrono::steady_clock::now();
    const auto seconds = [&] {
        return std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
    };
    tcp::socket silent(io), slow(io);
    for (tcp::socket* socket : {&silent, &slow}) {
        socket->connect({asio::ip::make_address("127.0.0.1"), node.server().port()});
    }
    // A record of 512 bytes with a ClientHello, of which one byte after the other comes.
    const std::array<unsigned char, 9> start = {0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc};
    slow.non_blocking(true);
    boost::system::error_code error;
    std::array<char, 64> answer{};
    for (std::size_t i = 0; seconds() < 20; ++i) {
        const unsigned char byte = i < start.size() ? start[i] : 0;
        asio::write(slow, asio::buffer(&byte, 1), error);
        std::this_thread::sleep_for(std::chrono::milliseconds(100));
        slow.read_some(asio::buffer(answer), error);
        if (error && error != asio::error::would_block) {
            break;
        }
    }
    EXPECT_LT(seconds(), 3 * protocol::kGreetingSeconds);
    EXPECT_GT(seconds(), protocol::kGreetingSeconds / 2) << "it was its time that ended it";
    silent.read_some(asio::buffer(answer), error);
    EXPECT_TRUE(error);
    EXPECT_LT(seconds(), 3 * protocol::kGreetingSeconds);
    const auto log = node.log();
    EXPECT_EQ(std::count_if(log.begin(), log.end(),
                            [](const std::string& line) { return line.find("was turned away") != std::string::npos; }),
              2)
        << "a line for each";
}

TEST(TlsServer, WhoIsForgottenIsOutSoon) {
    Node node;
    const TemporaryFolder keys;
    client::NodeClient client(options_for(keys.path(), node.invitation(Right::admin)), [] {});
    wait(client, is_connected);
    EXPECT_EQ(asked(client)["right"], "admin");
    PairingBook book = node.book();
    EXPECT_EQ(book.forget(security::to_text(book.viewers().at(0).key).substr(0, 10)), 1u);
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(15);
    while (node.server().viewers() > 0 && std::chrono::steady_clock::now() < until) {
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    EXPECT_EQ(node.server().viewers(), 0u);
    EXPECT_NE(wait(client, is_refused)->link.message.english().find("does not know"), std::string::npos);
}

}  // namespace
}  // namespace moescope::transport
