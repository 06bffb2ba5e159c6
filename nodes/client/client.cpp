#include "nodes/client/client.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/post.hpp>
#include <cmath>
#include <csignal>
#include <mutex>
#include <random>
#include <sys/un.h>
#include <system_error>
#include <thread>
#include <unistd.h>

#include "base/atomic_files.hpp"
#include "base/error.hpp"
#include "base/file_io.hpp"
#include "base/foreign_text.hpp"
#include "base/input_file.hpp"
#include "base/json_fields.hpp"
#include "base/process_memory.hpp"
#include "nodes/client/child_process.hpp"
#include "nodes/client/node_view.hpp"
#include "nodes/client/runtime_folder.hpp"
#include "nodes/client/transfers.hpp"
#include "nodes/protocol/viewer_session.hpp"
#include "nodes/security/identity.hpp"
#include "nodes/security/known_nodes.hpp"
#include "nodes/security/pairing.hpp"
#include "nodes/transport/connection.hpp"
#include "nodes/transport/node_address.hpp"
#include "nodes/transport/tls.hpp"

namespace moescope::client {

using base::Error;
using base::say;
using base::Sentence;

namespace {

namespace asio = boost::asio;
namespace fs = std::filesystem;
using Socket = asio::local::stream_protocol::socket;
using Actions = protocol::Actions;
using transport::steady_seconds;

constexpr double kPublishSeconds = 0.030;
constexpr double kMeasureSeconds = 3;   ///< between two looks at our own memory
constexpr double kPatienceSeconds = 5;  ///< then the person is told that the start takes long
constexpr double kFirstRetrySeconds = 0.02, kLastRetrySeconds = 2;
constexpr double kFirstRemoteRetrySeconds = 0.5, kLastRemoteRetrySeconds = 30;
/// A connection that has held for so long was cut, not refused: the node is there again in a moment.
constexpr double kSteadySeconds = 2, kCutRetrySeconds = 0.1;
constexpr double kEndSeconds = 3;       ///< for the child, between SIGTERM and SIGKILL
constexpr double kConnectSeconds = 10;  ///< for each of the steps of a connection over a network
constexpr std::size_t kResultsKept = 256;
/// Answers of this command are large: the latest one is kept alone, as every snapshot copies them.
constexpr const char* kLargeAnswers = "train.steps";
constexpr std::size_t kCommandsUnderWay = protocol::kMaximumRequests - 4;
constexpr int kPiecesAtOnce = 4;  // of a file, in one write; what is more urgent waits for these
constexpr auto kNoThrow = asio::as_tuple(asio::use_awaitable);

std::string random_id() {
    std::random_device device;
    std::string id;
    for (int i = 0; i < 4; ++i) {
        auto word = device();
        for (int digit = 0; digit < 8; ++digit, word >>= 4) {
            id += "0123456789abcdef"[word & 15];
        }
    }
    return id;
}

std::uint64_t random_number() {
    std::random_device device;
    return (std::uint64_t{device()} << 32 | device()) | 1;  // never 0
}

struct Command {
    CommandId id = 0;  ///< 0: the client's own, without a result to show
    std::string wire_id, name;
    nlohmann::json parameters;
    double waits_since = 0;            ///< for a connection
    bool sent = false;                 ///< on the connection that exists now
    bool ever_sent = false;            ///< the node may have carried it out
    Transfers::Host::Answered then{};  ///< of a transfer's own
    std::string fetched_to{};          ///< what the node writes for it comes here
    bool replaces = false;             ///< a file that is there already
};

protocol::Task task_of(const Transfer& transfer) {
    protocol::Task task;
    task.id = transfer.task;
    task.kind = transfer.push ? protocol::TaskKind::send : protocol::TaskKind::fetch;
    task.title = transfer.name;
    task.cancel_command = "transfer.cancel";
    if (transfer.bytes > 0) {
        task.fraction = static_cast<double>(transfer.done) / static_cast<double>(transfer.bytes);
    }
    if (transfer.bytes_per_second > 0) {
        task.seconds_left = static_cast<double>(transfer.bytes - transfer.done) / transfer.bytes_per_second;
    }
    return task;
}

Link::Obstacle obstacle_named(const std::string& why) {
    return why == "in_use"         ? Link::Obstacle::in_use
           : why == "not_writable" ? Link::Obstacle::not_writable
           : why == "no_session"   ? Link::Obstacle::no_session
           : why == "newer"        ? Link::Obstacle::newer
                                   : Link::Obstacle::other;
}

}  // namespace

double now_seconds() {
    return steady_seconds();
}

Sentence node_address_problem(const std::string& address) {
    try {
        const auto place = transport::parse_node_address(address);
        return place.kind == transport::NodeAddress::Kind::socket
                   ? say("a node on this machine is opened with its session")
                   : Sentence();
    } catch (const Error& error) {
        return error.sentence();
    }
}

std::string shown_node_address(const std::string& address) {
    try {
        return transport::to_text(transport::parse_node_address(address));
    } catch (const Error&) {
        return address.substr(0, address.find('#'));
    }
}

class NodeClient::Impl final : private Transfers::Host {
 public:
    Impl(ClientOptions options, std::function<void()> wake)
        : options_(std::move(options)), wake_(std::move(wake)), published_(first_snapshot(session_)) {
        read_address();
        thread_ = std::thread(&Impl::run, this);
    }

    ~Impl() override {
        asio::post(io_, [this] {
            stopping_ = true;
            happened();
        });
        thread_.join();
    }

    std::shared_ptr<const Snapshot> snapshot() const {
        const std::lock_guard lock(mutex_);
        return published_;
    }

    CommandId send(std::string name, nlohmann::json parameters) {
        Command command;
        command.id = ++last_id_;
        command.name = std::move(name);
        command.parameters = std::move(parameters);
        const CommandId id = command.id;
        {
            const std::lock_guard lock(mutex_);
            incoming_.push_back(std::move(command));
        }
        asio::post(io_, [this] { take_commands(); });
        return id;
    }

    void restart_node(bool for_reading) {
        asio::post(io_, [this, for_reading] {
            restart_wanted_ = true;
            for_reading_ = for_reading_ || for_reading;
            happened();
        });
    }

    int node_process() const { return process_; }

 private:
    class ServerPeer;

    void write_there_first(Command& command);
    bool send_file_first(const Command& command);
    void hand_over(Command command);
    void ask_node(const std::string& name, nlohmann::json parameters, Answered then) override;
    void pull_range(const protocol::RangeOrder& order) override;
    void push_range(protocol::PushBody push, std::vector<std::byte> bytes) override;
    void transfer_ended(CommandId id, CommandResult result) override;
    void transfers_changed() override { changed(); }
    void post(std::function<void()> work) override { asio::post(io_, std::move(work)); }

    static std::shared_ptr<const Snapshot> first_snapshot(std::uint64_t session) {
        auto snapshot = std::make_shared<Snapshot>();
        snapshot->session = session;
        return snapshot;
    }
    void run();
    static asio::awaitable<void> supervise(Impl* self);
    static asio::awaitable<void> watch_child(Impl* self, int watch);
    static asio::awaitable<void> publish_later(Impl* self, double seconds);
    static asio::awaitable<bool> connect_once(Impl* self);
    static asio::awaitable<void> stay_connected(Impl* self);
    static asio::awaitable<void> end_child(Impl* self);
    asio::awaitable<void> wait_before_retry(double seconds);
    static asio::awaitable<void> wait_for_event(Impl* self, double seconds);

    fs::path socket_path() const { return options_.socket.empty() ? folder_.path() / "node.sock" : options_.socket; }
    bool owns_node() const { return options_.socket.empty() && !remote_; }
    /// Who does not answer there.
    std::string where() const { return remote_ ? transport::to_text(*remote_) : socket_path().string(); }
    void read_address();
    void refuse(const Sentence& why);
    void ssh_ended(const Sentence& how);
    static asio::awaitable<bool> connect_socket(Impl* self);
    static asio::awaitable<bool> connect_tls(Impl* self);
    bool connect_ssh();
    template <class Stream>
    void connected(Stream stream, std::optional<protocol::Auth> auth = {});
    void start_child();
    bool child_ended();
    void node_crashed(const Sentence& how);
    bool take_failure();
    void clean_up_unopened();
    fs::path failure_file() const { return folder_.path() / "node.failure"; }
    /// Until restart_node(): nobody tries to reach it.
    bool node_is_down() const {
        return link_.state == Link::State::crashed || link_.state == Link::State::refused ||
               link_.state == Link::State::unopened;
    }
    void happened() { event_.cancel(); }
    void set_link(Link::State state, Sentence message);
    void take_commands();
    void send_commands();
    void greeted(const protocol::Hello& peer);
    void answered(protocol::ResponseReceived response);
    void closed(const protocol::Close& close);
    void set_result(CommandId id, CommandResult result);
    void set_pending(const Command& command, Sentence waits_for);
    void connection_lost();
    void give_up(const Command& command, const Sentence& reason);
    void give_up_commands(const Sentence& reason);
    void give_up_late_commands();
    void start_over();
    void remember_node();
    void changed();
    void publish();
    void count_bytes(std::size_t bytes);

    const ClientOptions options_;
    std::optional<transport::NodeAddress> remote_;
    const std::function<void()> wake_;
    std::uint64_t session_ = random_number();  ///< of the I/O thread once that runs
    std::atomic<CommandId> last_id_{0};
    std::atomic<int> process_{0};

    mutable std::mutex mutex_;  ///< of these two; held for a pointer's copy only
    std::shared_ptr<const Snapshot> published_;
    std::vector<Command> incoming_;

    // Of the I/O thread.
    RuntimeFolder folder_;
    asio::io_context io_{1};
    asio::steady_timer event_{io_};  ///< cancelled when something happened that supervise() may wait for
    asio::steady_timer publish_timer_{io_};
    ChildProcess child_;
    fs::path log_file_;
    std::uint64_t log_start_ = 0;  ///< where the lines of the child that runs now begin
    Sentence child_end_;
    bool stopping_ = false, restart_wanted_ = false, for_reading_ = false;
    std::vector<fs::path> made_;  ///< folders that were made for the session

    std::shared_ptr<ServerPeer> peer_;  ///< of the connection that exists now
    bool ever_connected_ = false, greeted_this_time_ = false;
    std::shared_ptr<asio::ssl::context> tls_;
    bool invitation_used_ = false;
    bool refused_ = false;
    Sentence closed_reason_;

    NodeView model_;
    std::string node_session_;                   ///< the folder of its session, on its machine
    std::map<CommandId, Command> behind_files_;  ///< each waits until the file that it reads is there
    Link link_;
    std::map<CommandId, CommandResult> results_;
    std::vector<Command> commands_;  ///< without an answer, oldest first
    Transfers transfers_{*this};
    std::array<protocol::StreamPosition, protocol::kChannels> positions_;
    std::array<std::uint8_t, 16> node_id_{};  ///< of the latest greeting
    std::uint64_t version_ = 0;
    double published_at_ = 0;
    std::uint64_t window_memory_ = 0;
    double measured_at_ = 0;
    bool publish_planned_ = false;
    double rate_since_ = 0;
    std::size_t rate_bytes_ = 0, sent_bytes_ = 0;  ///< in and out, since then

    std::thread thread_;
};

/// The connection's peer: feeds frames to the session and carries out its actions on the client.
class NodeClient::Impl::ServerPeer final : public transport::Peer, public std::enable_shared_from_this<ServerPeer> {
 public:
    ServerPeer(Impl& client, std::optional<protocol::Auth> auth)
        : client_(client), session_(our_hello(), std::move(auth)) {}

    template <class Stream>
    void start(Stream stream) {
        connection_ = std::make_shared<transport::Connection<Stream>>(std::move(stream), shared_from_this());
        perform(session_.start(steady_seconds()));
        connection_->start();
    }
    bool ready() const { return session_.ready(); }
    bool open() const { return connection_ != nullptr; }
    void perform(Actions actions);
    protocol::ViewerSession& session() { return session_; }
    void close(const Sentence& why) {
        if (const auto connection = connection_) {
            connection->close(why);
        }
    }

    void on_bytes(std::span<const std::byte> bytes) override {
        client_.count_bytes(bytes.size());
        reader_.feed(bytes);
        while (!session_.closed()) {
            auto frame = reader_.next();
            if (!frame) {
                break;
            }
            perform(session_.on_frame(std::move(*frame), steady_seconds()));
            reader_.set_body_limit(session_.body_limit());
        }
        if (!reader_.error().empty() && !session_.closed()) {
            perform(session_.bye(reader_.error()));
        }
    }
    bool fill(std::vector<std::byte>& out) override {
        out.swap(out_);
        if (out.empty()) {
            for (int pieces = 0; pieces < kPiecesAtOnce && session_.has_pieces(); ++pieces) {
                protocol::append_frame(out, session_.next_piece());
            }
        }
        client_.sent_bytes_ += out.size();
        return !out.empty();
    }
    void on_tick() override {
        client_.count_bytes(0);
        perform(session_.on_time(steady_seconds()));
    }
    void on_closed(const Sentence& why) override {
        connection_.reset();
        if (client_.closed_reason_.empty()) {
            client_.closed_reason_ = why;
        }
        client_.happened();
    }

 private:
    static protocol::Hello our_hello() {
        protocol::Hello hello;
        hello.role = protocol::Role::viewer;
        hello.build = MOESCOPE_VERSION;
        return hello;
    }

    Impl& client_;
    protocol::ViewerSession session_;
    protocol::FrameReader reader_;
    std::shared_ptr<transport::AnyConnection> connection_;
    std::vector<std::byte> out_;
};

void NodeClient::Impl::ServerPeer::perform(Actions actions) {
    for (protocol::Action& action : actions) {
        if (auto* send = std::get_if<protocol::SendFrame>(&action)) {
            protocol::append_frame(out_, send->frame);
            if (connection_) {
                connection_->notify_output();
            }
        } else if (auto* record = std::get_if<protocol::RecordReceived>(&action)) {
            client_.positions_[record->frame.channel] = {record->frame.epoch, record->frame.sequence};
            client_.link_.records += client_.model_.apply(record->frame);
        } else if (auto* state = std::get_if<protocol::StateReceived>(&action)) {
            client_.model_.apply_state(state->state);
            if (const auto& node = base::member(state->state, "node"); node.is_object()) {
                client_.node_session_ = base::text_of(node, "session");
            }
        } else if (auto* response = std::get_if<protocol::ResponseReceived>(&action)) {
            client_.answered(std::move(*response));
        } else if (auto* range = std::get_if<protocol::RangeReceived>(&action)) {
            client_.transfers_.range_received(std::move(*range));
        } else if (auto* gap = std::get_if<protocol::GapReceived>(&action)) {
            client_.model_.apply_gap(gap->gap, 0);
        } else if (std::get_if<protocol::MoreWanted>(&action)) {
            if (connection_) {
                connection_->notify_output();
            }
        } else if (auto* trip = std::get_if<protocol::RoundTrip>(&action)) {
            client_.link_.round_trip_ms = trip->seconds * 1000;
        } else if (auto* greeting = std::get_if<protocol::Greeted>(&action)) {
            client_.greeted(greeting->peer);
        } else if (auto* end = std::get_if<protocol::Close>(&action)) {
            client_.closed(*end);
            if (connection_) {
                connection_->finish();
            }
        }
    }
    if (!actions.empty()) {
        client_.changed();
    }
}

void NodeClient::Impl::run() {
    sigset_t pipe;
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe, nullptr);
    asio::co_spawn(io_, supervise(this), asio::detached);
    io_.run();
}

asio::awaitable<void> NodeClient::Impl::wait_for_event(Impl* self, double seconds) {
    self->event_.expires_after(std::chrono::microseconds(static_cast<std::int64_t>(seconds * 1e6)));
    co_await self->event_.async_wait(kNoThrow);
}

/// Not all at the same moment, when many have lost the same node. Somebody who asks is not kept waiting.
asio::awaitable<void> NodeClient::Impl::wait_before_retry(double seconds) {
    const double until = steady_seconds() + seconds * (0.5 + 0.5 * static_cast<double>(random_number() % 1000) / 1000);
    while (!stopping_ && !restart_wanted_ && !node_is_down() && steady_seconds() < until) {
        co_await wait_for_event(this, until - steady_seconds());
    }
}

asio::awaitable<void> NodeClient::Impl::supervise(Impl* self) {
    double retry = kFirstRetrySeconds, trying_since = steady_seconds();
    while (!self->stopping_) {
        const bool down = self->node_is_down();
        if (down && !self->restart_wanted_) {
            co_await wait_for_event(self, 3600);
            continue;
        }
        if (down) {
            retry = kFirstRetrySeconds;
            trying_since = steady_seconds();
            self->set_link(Link::State::starting, {});
        }
        self->restart_wanted_ = false;
        if (self->child_ended()) {
            continue;  // noticed by watch_child() while this waited
        }
        if (self->owns_node() && !self->child_.running()) {
            self->start_child();
            continue;  // which may have failed
        }
        self->give_up_late_commands();
        const bool connected = co_await connect_once(self);
        if (connected) {
            const double since = steady_seconds();
            co_await stay_connected(self);
            if (self->remote_) {
                const bool was_cut = self->greeted_this_time_ && steady_seconds() - since > kSteadySeconds;
                if (was_cut) {
                    retry = kFirstRemoteRetrySeconds;
                    co_await self->wait_before_retry(kCutRetrySeconds);
                    continue;
                }
                retry = self->greeted_this_time_ ? kFirstRemoteRetrySeconds : std::max(retry, kFirstRemoteRetrySeconds);
                co_await self->wait_before_retry(retry);
                retry = std::min(retry * 1.5, kLastRemoteRetrySeconds);
                continue;
            }
            // A node that hangs up again and again must not keep this thread busy.
            co_await wait_for_event(self, self->greeted_this_time_ ? 0.001 : 0.010);
            retry = kFirstRetrySeconds;
            trying_since = steady_seconds();
            continue;
        }
        if (steady_seconds() - trying_since > kPatienceSeconds && self->link_.message.empty()) {
            self->set_link(self->link_.state,
                           self->owns_node() ? say("the node has been starting for 5 seconds and does not answer yet")
                                             : say("no node answers at {}", self->where()));
        }
        if (self->remote_) {
            co_await self->wait_before_retry(retry);
            retry = std::min(retry * 1.5, kLastRemoteRetrySeconds);
            continue;
        }
        co_await wait_for_event(self, retry);
        retry = std::min(retry * 1.5, self->ever_connected_ || !self->owns_node() ? kLastRetrySeconds : 0.2);
    }
    co_await end_child(self);
    self->io_.stop();
}

asio::awaitable<bool> NodeClient::Impl::connect_once(Impl* self) {
    if (!self->remote_) {
        co_return co_await connect_socket(self);
    }
    if (self->remote_->kind == transport::NodeAddress::Kind::ssh) {
        co_return self->connect_ssh();
    }
    co_return co_await connect_tls(self);
}

void NodeClient::Impl::read_address() {
    if (options_.node.empty()) {
        return;
    }
    link_.address = shown_node_address(options_.node);
    try {
        remote_ = transport::parse_node_address(options_.node);
    } catch (const Error& error) {
        remote_.emplace();
        link_.state = Link::State::refused;
        link_.message = error.sentence();
    }
}

void NodeClient::Impl::refuse(const Sentence& why) {
    give_up_commands(why);
    set_link(Link::State::refused, why);
}

template <class Stream>
void NodeClient::Impl::connected(Stream stream, std::optional<protocol::Auth> auth) {
    closed_reason_ = {};
    refused_ = greeted_this_time_ = false;
    peer_ = std::make_shared<ServerPeer>(*this, std::move(auth));
    peer_->start(std::move(stream));
}

asio::awaitable<bool> NodeClient::Impl::connect_socket(Impl* self) {
    const std::string path = self->socket_path().string();
    if (path.size() >= sizeof(sockaddr_un::sun_path)) {
        self->refuse(say("the socket path {} is longer than the system allows", path));
        co_return false;
    }
    Socket socket(self->io_);
    const auto [error] = co_await socket.async_connect(asio::local::stream_protocol::endpoint(path), kNoThrow);
    if (error || self->stopping_) {
        co_return false;
    }
    self->connected(std::move(socket));
    co_return true;
}

namespace {

std::string machine_name() {
    std::array<char, 256> name{};
    return ::gethostname(name.data(), name.size() - 1) == 0 ? std::string(name.data()) : std::string();
}

}  // namespace

asio::awaitable<bool> NodeClient::Impl::connect_tls(Impl* self) {
    const transport::NodeAddress& address = *self->remote_;
    const std::string name = transport::to_text(address);
    security::KnownNodes known(self->options_.keys / "known_nodes.json");
    std::optional<security::KeyHash> expected;
    std::optional<security::Invitation> invitation = self->invitation_used_ ? std::nullopt : address.invitation;
    Sentence problem;
    try {
        expected = invitation ? invitation->node : known.key_of(name);
        if (!self->tls_) {
            self->tls_ =
                transport::tls_context(security::load_or_make_identity(self->options_.keys / "identity.pem"), false);
        }
    } catch (const std::exception& failure) {
        problem = base::sentence_of(failure);
    }
    if (problem.empty() && !expected) {
        self->link_.obstacle = Link::Obstacle::not_paired;
        problem = say(
            "this workbench is not paired with {}; paste an invitation, which `moescope-node pair` prints there", name);
    }
    if (!problem.empty()) {
        self->refuse(problem);
        co_return false;
    }
    asio::ip::tcp::resolver resolver(self->io_);
    const auto [unknown, places] =
        co_await resolver.async_resolve(address.host, std::to_string(address.port), kNoThrow);
    if (unknown || self->stopping_) {
        co_return false;
    }
    for (const auto& place : places) {
        asio::ip::tcp::socket socket(self->io_);
        boost::system::error_code error;
        {
            const transport::SocketClock clock(socket, kConnectSeconds);
            std::tie(error) = co_await socket.async_connect(place.endpoint(), kNoThrow);
        }
        if (self->stopping_) {
            co_return false;
        }
        if (error) {
            continue;
        }
        socket.set_option(asio::ip::tcp::no_delay(true), error);
        transport::TlsStream stream(std::move(socket), self->tls_);
        {
            const transport::SocketClock clock(stream.socket(), kConnectSeconds);
            std::tie(error) = co_await stream.stream().async_handshake(asio::ssl::stream_base::client, kNoThrow);
        }
        const auto peer = error ? std::nullopt : stream.peer();
        const auto binding = error ? std::nullopt : stream.binding();
        if (self->stopping_ || !peer || !binding) {
            co_return false;
        }
        if (!security::same(*peer, *expected)) {
            self->link_.obstacle = Link::Obstacle::not_paired;
            self->refuse(
                say("{} shows another key than the node that this workbench was paired with; if it was set up "
                    "anew, paste a new invitation, else somebody may be in between",
                    name));
            co_return false;
        }
        std::optional<protocol::Auth> auth;
        if (invitation) {
            auth = protocol::Auth{security::proof_of(invitation->secret, *binding), machine_name()};
        }
        self->connected(std::move(stream), std::move(auth));
        co_return true;
    }
    co_return false;
}

/// Over the system's ssh, which knows the user's keys, agent and known hosts, and asks nothing here.
bool NodeClient::Impl::connect_ssh() {
    const transport::NodeAddress& address = *remote_;
    try {
        if (folder_.path().empty()) {
            throw Error(say("no private folder for the messages of ssh can be made in $XDG_RUNTIME_DIR or /tmp"));
        }
        log_file_ = folder_.path() / "ssh.log";
        const auto arguments = ssh_arguments(address, ssh_command(address.path));
        std::error_code error;
        const auto log_size = fs::file_size(log_file_, error);
        log_start_ = error ? 0 : log_size;
        child_end_ = {};
        ChildProcess::Pipes pipes = child_.start_with_pipes(options_.ssh, arguments, log_file_);
        process_ = child_.process();
        if (const int watch = child_.open_watch(); watch >= 0) {
            asio::co_spawn(io_, watch_child(this, watch), asio::detached);
        }
        connected(transport::StdioStream(io_.get_executor(), pipes.from.release(), pipes.to.release()));
        return true;
    } catch (const std::exception& failure) {
        refuse(base::sentence_of(failure));
        return false;
    }
}

asio::awaitable<void> NodeClient::Impl::stay_connected(Impl* self) {
    const auto peer = self->peer_;
    while (peer->open() && !self->stopping_ && self->child_end_.empty()) {
        co_await wait_for_event(self, 3600);
    }
    if (self->stopping_) {
        peer->perform(peer->session().bye(say("the workbench leaves")));
        const double until = steady_seconds() + 1;
        while (peer->open() && steady_seconds() < until) {
            co_await wait_for_event(self, 0.1);
        }
        peer->close(say("the workbench leaves"));
        self->peer_.reset();
        co_return;
    }
    // A child that ended: what it sent last is still read. A connection that ended: perhaps because the child is about
    // to.
    const double until = steady_seconds() + (self->refused_ ? 0 : 0.5);
    while (!self->stopping_ && steady_seconds() < until &&
           (peer->open() || (self->child_.running() && self->child_end_.empty()))) {
        co_await wait_for_event(self, 0.02);
        if (self->owns_node() && self->child_end_.empty()) {
            if (auto end = self->child_.poll_end()) {
                self->child_end_ = *end;
            }
        }
    }
    peer->close(say("the node ended"));
    self->peer_.reset();
    if (self->child_ended()) {
        co_return;
    }
    if (self->refused_) {
        self->give_up_commands(self->closed_reason_);
        self->set_link(Link::State::refused, self->closed_reason_);
        co_return;
    }
    self->connection_lost();
    if (self->ever_connected_) {
        self->set_link(Link::State::lost,
                       say("the connection to the node was lost ({}); trying to connect again", self->closed_reason_));
    } else {
        self->set_link(Link::State::starting, self->closed_reason_);
    }
}

/// Notices the end of the child, and what it means for everything else.
bool NodeClient::Impl::child_ended() {
    if (child_end_.empty()) {
        if (auto end = child_.poll_end()) {
            child_end_ = *end;
        }
    }
    if (child_end_.empty()) {
        return false;
    }
    process_ = 0;
    const Sentence how = std::exchange(child_end_, {});
    if (remote_) {
        ssh_ended(how);
        return true;
    }
    if (!take_failure()) {
        node_crashed(how);
    }
    return true;
}

/// The node goes on there: it is asked again after a while, unless there never was one.
void NodeClient::Impl::ssh_ended(const Sentence& how) {
    const Sentence why = ssh_problem(where(), child_.last_status(), how, last_line(log_file_, log_start_));
    if (!ever_connected_) {
        if (is_program_missing(child_.last_status())) {
            link_.obstacle = Link::Obstacle::no_program;
        }
        refuse(why);
        return;
    }
    connection_lost();
    set_link(Link::State::lost, say("the connection to the node was lost ({}); trying to connect again", why));
}

/// A node that could not open its session has left a word why: that is no crash.
bool NodeClient::Impl::take_failure() {
    std::error_code error;
    if (!fs::exists(failure_file(), error)) {
        return false;
    }
    nlohmann::json failure;
    try {
        failure = base::read_json_file(failure_file(), 64 << 10);
    } catch (const Error&) {
        return false;
    }
    fs::remove(failure_file(), error);
    const Sentence why = base::sentence_in(failure, "error");
    if (why.empty()) {
        return false;
    }
    link_.obstacle = obstacle_named(base::text_of(failure, "why"));
    model_.node_went(why);
    give_up_commands(why);
    clean_up_unopened();
    set_link(Link::State::unopened, why);
    return true;
}

/// The folders that were made for a session that never was, and the log in it.
void NodeClient::Impl::clean_up_unopened() {
    if (made_.empty() || ever_connected_) {
        return;
    }
    std::error_code ignored;
    fs::remove(made_.back() / "node.log", ignored);
    for (auto folder = made_.rbegin(); folder != made_.rend(); ++folder) {
        fs::remove(*folder, ignored);  // when it is empty
    }
    made_.clear();
}

void NodeClient::Impl::node_crashed(const Sentence& how) {
    Sentence message = how;
    if (how.id() != say("the node ended as it was told to").id()) {
        if (const std::string words = last_line(log_file_, log_start_); !words.empty()) {
            message = say("{}; its last words were: {}", how, words);
        }
    }
    model_.node_went(how);
    give_up_commands(how);
    set_link(Link::State::crashed, message);
}

asio::awaitable<void> NodeClient::Impl::watch_child(Impl* self, int watch) {
    asio::posix::stream_descriptor descriptor(self->io_);
    boost::system::error_code error;
    descriptor.assign(watch, error);
    if (error) {
        ::close(watch);
        co_return;  // the end is noticed when the connection ends
    }
    co_await descriptor.async_wait(asio::posix::stream_descriptor::wait_read, kNoThrow);
    if (auto end = self->child_.poll_end()) {
        self->child_end_ = *end;
    }
    self->happened();
}

void NodeClient::Impl::start_child() {
    try {
        if (folder_.path().empty()) {
            throw Error(say("no private folder for the node's socket can be made in $XDG_RUNTIME_DIR or /tmp"));
        }
        std::error_code error;
        if (!for_reading_ && !fs::exists(options_.session, error) && !error) {
            made_ = base::make_private_folders(options_.session);
        }
        // Nothing is written into a folder that is no session: the node will refuse it. Nor where nothing may be, nor
        // while another node holds it, of whose words it is the place.
        const bool ours =
            !for_reading_ && !base::lock_holder(options_.session / "journal.lock") &&
            ::access(options_.session.c_str(), W_OK) == 0 &&
            (fs::exists(options_.session / "manifest.json", error) || fs::is_empty(options_.session, error));
        log_file_ = (ours ? options_.session : folder_.path()) / "node.log";
        const fs::file_status log = fs::symlink_status(log_file_, error);
        if (fs::exists(log) && (!fs::is_regular_file(log) || ::access(log_file_.c_str(), W_OK) != 0)) {
            log_file_ = folder_.path() / "node.log";
        }
        fs::remove(failure_file(), error);
        std::vector<std::string> arguments{"serve",
                                           "--socket",
                                           socket_path().string(),
                                           "--session",
                                           options_.session.string(),
                                           "--failure",
                                           failure_file().string()};
        if (for_reading_) {
            arguments.emplace_back("--read-only");
        }
        arguments.insert(arguments.end(), options_.node_arguments.begin(), options_.node_arguments.end());
        const auto log_size = fs::file_size(log_file_, error);
        log_start_ = error ? 0 : log_size;
        child_end_ = {};
        child_.start(options_.node_program, arguments, log_file_);
        process_ = child_.process();
        if (const int watch = child_.open_watch(); watch >= 0) {
            asio::co_spawn(io_, watch_child(this, watch), asio::detached);
        }
    } catch (const std::exception& failure) {
        node_crashed(base::sentence_of(failure));
    }
}

asio::awaitable<void> NodeClient::Impl::end_child(Impl* self) {
    if (!self->child_.running()) {
        co_return;
    }
    self->child_.send_signal(SIGTERM);
    double until = steady_seconds() + kEndSeconds;
    while (self->child_.running() && !self->child_.poll_end()) {
        if (steady_seconds() > until) {
            self->child_.send_signal(SIGKILL);
            until = steady_seconds() + 3600;
        }
        co_await wait_for_event(self, 0.02);
    }
    self->process_ = 0;
}

void NodeClient::Impl::greeted(const protocol::Hello& peer) {
    // A session's epochs rise with every start, and a start has its own id: anything else is another journal, in which
    // our positions mean nothing.
    if (ever_connected_ && (peer.epoch < link_.epoch || (peer.epoch == link_.epoch && peer.node_id != node_id_))) {
        start_over();
    }
    ever_connected_ = greeted_this_time_ = true;
    remember_node();
    link_.epoch = peer.epoch;
    link_.protocol_major = peer.major;
    link_.protocol_minor = peer.minor;
    link_.build = base::shown_name(peer.build);
    link_.features = base::shown_name(peer.features);
    node_id_ = peer.node_id;
    model_.node_came(static_cast<std::uint32_t>(peer.epoch));
    set_link(Link::State::connected, {});
    for (std::uint8_t channel = 1; options_.follow && channel < protocol::kChannels; ++channel) {
        peer_->perform(peer_->session().subscribe(channel, positions_[channel], options_.whole_bytes));
    }
    // Each start of a node may offer other things.
    std::erase_if(commands_, [](const Command& command) { return command.id == 0; });
    Command catalogue;
    catalogue.wire_id = random_id();
    catalogue.name = "catalogue";
    catalogue.parameters = nlohmann::json::object();
    commands_.insert(commands_.begin(), std::move(catalogue));
    send_commands();
    transfers_.greeted(peer.features);
}

/// An invitation was taken: from now on the node knows our key, and we know its.
void NodeClient::Impl::remember_node() {
    if (!remote_ || !remote_->invitation || invitation_used_) {
        return;
    }
    invitation_used_ = true;
    try {
        security::KnownNodes(options_.keys / "known_nodes.json").remember(where(), remote_->invitation->node);
    } catch (const std::exception& failure) {
        model_.add_log({0, "warning", "workbench", base::sentence_of(failure)});
    }
}

void NodeClient::Impl::start_over() {
    session_ = random_number();
    results_.clear();
    give_up_commands(say("the node has another session than before"));  // what they name is not in this one
    model_ = NodeView{};
    positions_ = {};
    link_.records = 0;
    model_.add_log(
        {0, "warning", "workbench", say("the node has another session than before; it is read from its beginning")});
}

void NodeClient::Impl::closed(const protocol::Close& close) {
    closed_reason_ = close.reason;
    refused_ = close.why == protocol::Close::Why::refused;
    if (close.version && remote_ && remote_->kind == transport::NodeAddress::Kind::ssh) {
        link_.obstacle = Link::Obstacle::other_version;
    } else if (close.unknown && remote_) {
        link_.obstacle = Link::Obstacle::not_paired;
    }
}

/// A person who saves a report of a node elsewhere means a place on this machine: the node writes it into its folder
/// for that, and it is fetched from there.
void NodeClient::Impl::write_there_first(Command& command) {
    const bool table = command.name == "curves.export" && base::text_of(command.parameters, "format") != "tensorboard";
    const bool writes =
        command.name == "report.write" || command.name == "route.export" || command.name == "models.export" || table;
    const std::string path = base::text_of(command.parameters, "path");
    if (!writes || !remote_ || !transfers_.possible() || !path.starts_with("/")) {
        return;
    }
    const std::string name = fs::path(path).filename().string();
    command.fetched_to = path;
    command.replaces = base::flag_of(command.parameters, "replace");
    command.parameters["path"] =
        remote_->kind == transport::NodeAddress::Kind::tls ? name : (fs::path(node_session_) / "files" / name).string();
    command.parameters["replace"] = true;  // of an earlier one that was fetched
}

/// And one who merges codings means a copy of the session on this machine: it is sent before the command. False: the
/// node reads it where it lies.
bool NodeClient::Impl::send_file_first(const Command& command) {
    const std::string path = base::text_of(command.parameters, "path");
    if (command.name != "probe.merge" || !remote_ || !path.starts_with("/")) {
        return false;
    }
    behind_files_.emplace(command.id, command);
    const fs::path plain = fs::path(path).lexically_normal();
    const fs::path file = plain.has_filename() ? plain.filename() : plain.parent_path().filename();
    // In a folder of its own: what lies beside it there is not replaced.
    transfers_.command(command.id, "transfer.push",
                       {{"from", path}, {"name", (fs::path("merge") / file).string()}, {"replace", true}});
    return true;
}

void NodeClient::Impl::transfer_ended(CommandId id, CommandResult result) {
    const auto found = behind_files_.find(id);
    if (found == behind_files_.end()) {
        set_result(id, std::move(result));
        return;
    }
    result.name = found->second.name;
    if (result.state == CommandResult::State::pending) {
        set_result(id, std::move(result));
        return;
    }
    Command command = std::move(found->second);
    behind_files_.erase(found);
    if (result.state != CommandResult::State::done) {
        set_result(id, std::move(result));
        return;
    }
    const bool tls = remote_ && remote_->kind == transport::NodeAddress::Kind::tls;
    command.parameters["path"] = base::text_of(result.value, tls ? "name" : "path");
    hand_over(std::move(command));
    send_commands();
}

void NodeClient::Impl::ask_node(const std::string& name, nlohmann::json parameters, Answered then) {
    Command command;
    command.wire_id = random_id();
    command.name = name;
    command.parameters = std::move(parameters);
    command.waits_since = steady_seconds();
    command.then = std::move(then);
    commands_.push_back(std::move(command));
    send_commands();
}

void NodeClient::Impl::pull_range(const protocol::RangeOrder& order) {
    if (peer_) {
        peer_->perform(peer_->session().pull(order));
    }
}

void NodeClient::Impl::push_range(protocol::PushBody push, std::vector<std::byte> bytes) {
    if (peer_) {
        peer_->perform(peer_->session().push(std::move(push), std::move(bytes)));
    }
}

/// The next ones to be sent.
void NodeClient::Impl::hand_over(Command command) {
    command.wire_id = random_id();
    command.waits_since = steady_seconds();
    const bool ready = peer_ && peer_->ready();
    set_pending(command,
                ready ? Sentence() : say("there is no connection to the node; the command is sent when it is back"));
    commands_.push_back(std::move(command));
}

void NodeClient::Impl::take_commands() {
    std::vector<Command> incoming;
    {
        const std::lock_guard lock(mutex_);
        incoming.swap(incoming_);
    }
    for (Command& command : incoming) {
        if (is_transfer_command(command.name) && !node_is_down()) {
            transfers_.command(command.id, command.name, command.parameters);
            continue;
        }
        if (node_is_down()) {
            const bool refused = link_.state == Link::State::refused;
            give_up(command, refused ? say("the node does not accept this workbench") : say("the node is not running"));
            continue;
        }
        if (!send_file_first(command)) {
            write_there_first(command);
            hand_over(std::move(command));
        }
    }
    if (!incoming.empty()) {
        changed();
    }
    send_commands();
}

void NodeClient::Impl::send_commands() {
    if (!peer_ || !peer_->ready()) {
        return;
    }
    auto under_way = static_cast<std::size_t>(
        std::count_if(commands_.begin(), commands_.end(), [](const Command& command) { return command.sent; }));
    // By index and copied: an answer (a command that is too long fails at once) changes the list.
    std::vector<Command> ready;
    for (Command& command : commands_) {
        if (command.sent || under_way >= kCommandsUnderWay) {
            continue;
        }
        command.sent = command.ever_sent = true;
        set_pending(command, {});
        ++under_way;
        ready.push_back(command);
    }
    for (const Command& command : ready) {
        peer_->perform(peer_->session().request(command.wire_id, command.name, command.parameters));
    }
}

void NodeClient::Impl::answered(protocol::ResponseReceived response) {
    const auto found =
        std::find_if(commands_.begin(), commands_.end(), [&](const Command& c) { return c.wire_id == response.id; });
    if (found == commands_.end()) {
        return;
    }
    const Command command = std::move(*found);
    commands_.erase(found);
    if (command.then) {
        command.then(response);
    } else if (command.id == 0) {
        if (response.done) {
            model_.set_catalogue(std::move(response.value));
        }
    } else if (response.done && !command.fetched_to.empty()) {
        transfers_.fetch_output(command.id, command.name, base::text_of(command.parameters, "path"),
                                std::move(response.value), command.fetched_to, command.replaces);
    } else {
        const auto state = response.done      ? CommandResult::State::done
                           : response.unknown ? CommandResult::State::unknown
                                              : CommandResult::State::failed;
        set_result(command.id, {state, command.name, std::move(response.value), std::move(response.error)});
    }
    send_commands();
}

/// The commands stay: a node that carried one out knows its id and only answers again.
void NodeClient::Impl::connection_lost() {
    transfers_.connection_lost();
    std::erase_if(commands_, [](const Command& command) { return command.then != nullptr; });
    for (Command& command : commands_) {
        command.waits_since = steady_seconds();
        if (std::exchange(command.sent, false)) {
            set_pending(command, say("the connection was lost before the answer came; it is asked for again"));
        }
    }
}

void NodeClient::Impl::give_up(const Command& command, const Sentence& reason) {
    if (command.id == 0) {
        return;
    }
    const auto state = command.ever_sent ? CommandResult::State::unknown : CommandResult::State::failed;
    set_result(command.id, {state,
                            command.name,
                            {},
                            command.ever_sent ? say("{}; whether the command was carried out is not known", reason)
                                              : say("{}; the command was not sent", reason)});
}

void NodeClient::Impl::give_up_commands(const Sentence& reason) {
    transfers_.give_up(reason);
    for (const Command& command : std::exchange(commands_, {})) {
        give_up(command, reason);
    }
}

/// Nobody wants an old command carried out hours later. Only a node of our own that is being started may take its time.
void NodeClient::Impl::give_up_late_commands() {
    if (link_.state == Link::State::starting && owns_node()) {
        return;
    }
    const double now = steady_seconds();
    const auto is_late = [&](const Command& c) { return now - c.waits_since > options_.command_patience; };
    for (const Command& command : commands_) {
        if (is_late(command)) {
            give_up(command,
                    say("the node could not be reached for {} seconds", std::lround(options_.command_patience)));
        }
    }
    std::erase_if(commands_, is_late);
}

void NodeClient::Impl::set_pending(const Command& command, Sentence waits_for) {
    if (command.id != 0) {
        set_result(command.id, {CommandResult::State::pending, command.name, {}, std::move(waits_for)});
    }
}

void NodeClient::Impl::set_result(CommandId id, CommandResult result) {
    if (result.name == kLargeAnswers && result.state != CommandResult::State::pending) {
        std::erase_if(results_, [&](const auto& entry) {
            return entry.second.name == kLargeAnswers && entry.second.state != CommandResult::State::pending;
        });
    }
    results_[id] = std::move(result);
    while (results_.size() > kResultsKept) {
        // Somebody still waits for the pending ones, and for the newest.
        const auto oldest = std::find_if(results_.begin(), results_.end(), [&](const auto& entry) {
            return entry.first != id && entry.second.state != CommandResult::State::pending;
        });
        results_.erase(oldest != results_.end() ? oldest : results_.begin());
    }
    changed();
}

void NodeClient::Impl::set_link(Link::State state, Sentence message) {
    link_.state = state;
    if (state != Link::State::unopened && state != Link::State::refused) {
        link_.obstacle = Link::Obstacle::none;
    }
    link_.message = std::move(message);
    changed();
}

void NodeClient::Impl::count_bytes(std::size_t bytes) {
    const double now = steady_seconds();
    rate_bytes_ += bytes;
    if (bytes > 0) {
        link_.last_data_time = now;
    }
    if (rate_since_ == 0) {
        rate_since_ = now;
    }
    if (now - rate_since_ < 1) {
        return;
    }
    const double rate = static_cast<double>(rate_bytes_) / (now - rate_since_),
                 sent = static_cast<double>(sent_bytes_) / (now - rate_since_);
    rate_since_ = now;
    rate_bytes_ = sent_bytes_ = 0;
    if (rate != link_.bytes_per_second || sent != link_.sent_bytes_per_second) {
        changed();  // once more when it falls to zero, then never: an idle node wakes nobody
    }
    link_.bytes_per_second = rate;
    link_.sent_bytes_per_second = sent;
}

void NodeClient::Impl::changed() {
    if (publish_planned_) {
        return;
    }
    publish_planned_ = true;
    asio::co_spawn(io_, publish_later(this, std::max(0.0, published_at_ + kPublishSeconds - steady_seconds())),
                   asio::detached);
}

asio::awaitable<void> NodeClient::Impl::publish_later(Impl* self, double seconds) {
    self->publish_timer_.expires_after(std::chrono::microseconds(static_cast<std::int64_t>(seconds * 1e6)));
    co_await self->publish_timer_.async_wait(kNoThrow);
    self->publish_planned_ = false;
    self->publish();
}

void NodeClient::Impl::publish() {
    auto snapshot = model_.snapshot();
    snapshot->version = ++version_;
    snapshot->session = session_;
    snapshot->link = link_;
    snapshot->results = results_;
    snapshot->transfers = transfers_.list();
    for (const Transfer& transfer : snapshot->transfers) {
        snapshot->tasks.push_back(task_of(transfer));
    }
    published_at_ = steady_seconds();
    if (window_memory_ == 0 || published_at_ - measured_at_ > kMeasureSeconds) {
        window_memory_ = base::process_memory(::getpid());
        measured_at_ = published_at_;
    }
    snapshot->window_memory = window_memory_;
    std::shared_ptr<const Snapshot> other = std::move(snapshot);
    {
        const std::lock_guard lock(mutex_);
        published_.swap(other);  // the old one is let go of outside the lock
    }
    other.reset();
    if (wake_) {
        wake_();
    }
}

NodeClient::NodeClient(ClientOptions options, std::function<void()> wake)
    : impl_(std::make_unique<Impl>(std::move(options), std::move(wake))) {}
NodeClient::~NodeClient() = default;

std::shared_ptr<const Snapshot> NodeClient::snapshot() const {
    return impl_->snapshot();
}

CommandId NodeClient::send(std::string name, nlohmann::json parameters) {
    return impl_->send(std::move(name), std::move(parameters));
}

void NodeClient::restart_node(bool for_reading) {
    impl_->restart_node(for_reading);
}

int NodeClient::node_process() const {
    return impl_->node_process();
}

}  // namespace moescope::client
