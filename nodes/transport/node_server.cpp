#include "nodes/transport/node_server.hpp"

#include <algorithm>
#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/post.hpp>
#include <csignal>
#include <fcntl.h>
#include <map>
#include <mutex>
#include <optional>
#include <random>
#include <set>
#include <stdexcept>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>

#include "base/foreign_text.hpp"
#include "base/json_guard.hpp"
#include "nodes/protocol/node_session.hpp"
#include "nodes/protocol/record_heads.hpp"
#include "nodes/security/pairing.hpp"
#include "nodes/security/unix_time.hpp"
#include "nodes/transport/attempts.hpp"
#include "nodes/transport/connection.hpp"
#include "nodes/transport/tls.hpp"
#include "nodes/transport/unix_socket.hpp"

namespace moescope::transport {

namespace {

using Socket = asio::local::stream_protocol::socket;
using Bytes = std::vector<std::byte>;

constexpr std::size_t kPieceBytes = 256 * 1024;  ///< of one write
// Of files beside records in one write: enough that a journal that never ends does not keep them from coming.
constexpr std::size_t kFileBytes = 64 * 1024;
constexpr std::size_t kRecordsAtOnce = 4096;
constexpr double kPairedSeconds = 5;  ///< a viewer whose pairing was taken away stays no longer

protocol::Frame frame_of(sessions::Record record) {
    protocol::Frame frame;
    frame.type = record.type;
    frame.channel = record.channel;
    frame.sequence = record.sequence;
    frame.time_ns = record.time_ns;
    frame.epoch = record.epoch;
    frame.body = std::move(record.body);
    return frame;
}

/// One key of the state, as the STATE frame that tells it. The version says who has seen it.
struct StateKey {
    std::uint64_t version = 0;
    Bytes frame;
};

void block_broken_pipes() {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &set, nullptr);
}

}  // namespace

class NodeServer::Impl : public std::enable_shared_from_this<NodeServer::Impl> {
 public:
    Impl(NodeServerOptions options, sessions::Journal& journal, RequestHandler& handler)
        : options_(std::move(options)),
          journal_(journal),
          handler_(handler),
          acceptor_(io_),
          tls_acceptor_(io_),
          last_goodbye_(io_) {
        if (options_.node_id == decltype(options_.node_id){}) {
            std::random_device random;
            for (auto& byte : options_.node_id) {
                byte = static_cast<std::uint8_t>(random());
            }
        }
        if (options_.listener) {
            listen_tls();
        }
        if (!options_.socket.empty()) {
            listen();
        } else if (!options_.listener) {
            open_stdio();
        }
    }

    void start() {
        thread_ = std::thread(&Impl::run, this);
        journal_.on_append([this] { wake(); });
    }

    void stop() {
        journal_.on_append({});
        asio::post(io_, [self = shared_from_this()] { self->say_goodbye(); });
        thread_.join();
        if (!options_.socket.empty()) {
            ::unlink(options_.socket.c_str());
        }
    }

    void wake() {
        // Many appends, one look at the journal.
        if (!wake_pending_.exchange(true)) {
            asio::post(io_, [this] { on_wake(); });
        }
    }

    bool publish_state(nlohmann::json state);
    std::size_t viewers() const { return greeted_; }
    std::optional<std::chrono::steady_clock::time_point> heard(std::uint64_t viewer) const {
        const std::lock_guard lock(heard_mutex_);
        const auto found = heard_.find(viewer);
        return found == heard_.end() ? std::nullopt : std::optional(found->second);
    }
    std::uint16_t port() const { return port_; }

 private:
    class Viewer;
    struct Guest;

    void listen_tls();
    static asio::awaitable<void> accept_tls_loop(Impl* self);
    static asio::awaitable<void> shake_hands(Impl* self, asio::ip::tcp::socket socket, std::string from);
    void admit(Viewer& viewer, const protocol::Auth& auth);
    bool still_paired(Viewer& viewer);
    void turned_away(const std::string& from, const base::Sentence& why);
    void tell(bool warning, const base::Sentence& sentence) {
        if (options_.log) {
            options_.log(warning, sentence);
        }
    }

    void listen();
    void run();
    void on_wake();
    void say_goodbye();
    static asio::awaitable<void> accept_loop(Impl* self);
    void accept(Socket socket);
    void make_room_for_greeting();
    void open_stdio();
    void speak_stdio();
    void viewer_greeted(int change);
    void viewer_closed(const std::shared_ptr<Viewer>& viewer);
    void request(const std::shared_ptr<Viewer>& viewer, protocol::RequestReceived request);
    void answer(const std::string& id, const nlohmann::json& response);
    void range(const std::shared_ptr<Viewer>& viewer, RangeRequest request);
    void abandon_commands(const Viewer& gone);
    protocol::Hello hello() const;

    NodeServerOptions options_;
    sessions::Journal& journal_;
    RequestHandler& handler_;
    asio::io_context io_{1};
    asio::local::stream_protocol::acceptor acceptor_;
    asio::ip::tcp::acceptor tls_acceptor_;
    std::shared_ptr<asio::ssl::context> tls_;
    std::optional<security::PairingBook> pairing_;
    std::uint16_t port_ = 0;
    Attempts attempts_;
    std::size_t handshakes_ = 0;
    std::optional<StdioStream> stdio_;  ///< until its viewer takes it
    asio::steady_timer last_goodbye_;
    std::thread thread_;
    std::atomic<bool> wake_pending_{false};
    std::atomic<std::size_t> greeted_{0};
    bool leaving_ = false;
    mutable std::mutex heard_mutex_;
    std::map<std::uint64_t, std::chrono::steady_clock::time_point> heard_;  ///< by viewer

    // Of the I/O thread.
    std::set<std::shared_ptr<Viewer>> viewers_;
    std::map<std::string, StateKey> state_;
    std::uint64_t state_version_ = 0, last_viewer_ = 0;
    std::map<std::string, std::vector<std::weak_ptr<Viewer>>> waiting_;  ///< by command id
};

/// Who comes over a network.
struct NodeServer::Impl::Guest {
    std::string from;  ///< its address
    security::KeyHash key{};
    security::ChannelBinding binding{};
    std::optional<protocol::Right> right;  ///< nothing until it has shown that it was invited
    bool turned_away = false;
};

/// One viewer: carries out what its session asks for.
class NodeServer::Impl::Viewer final : public Peer, public std::enable_shared_from_this<Viewer> {
 public:
    const std::uint64_t number;  ///< from 1, in the order in which they came

    using Admission = protocol::NodeSession::Admission;

    explicit Viewer(Impl& server, std::optional<Guest> guest = {})
        : number(++server.last_viewer_),
          server_(server),
          session_(server.hello(), {server.journal_.last().epoch, server.journal_.last().sequence},
                   guest && !guest->right ? Admission::by_proof : Admission::known),
          guest_(std::move(guest)) {}

    template <class Stream>
    void start(Stream stream) {
        connection_ = std::make_shared<Connection<Stream>>(std::move(stream), shared_from_this());
        perform(session_.start(steady_seconds()), control_);
        connection_->start();
    }
    bool greeted() const { return counted_; }

    void journal_grew() {
        session_.on_journal_grew();
        notify();
    }
    void notify() {
        if (connection_) {
            connection_->notify_output();
        }
    }
    void respond(const std::string& id, const nlohmann::json& response) {
        perform(session_.respond(id, response), control_);
    }
    void answer_range(RangeAnswer answer) {
        perform(session_.answer_range(answer.end, std::move(answer.bytes)), control_);
    }
    void bye() { perform(session_.bye(base::say("the node ends")), control_); }
    const std::optional<Guest>& guest() const { return guest_; }
    void admit(protocol::Right right) {
        guest_->right = right;
        perform(session_.admit(), control_);
    }
    void turn_away() {
        guest_->turned_away = true;
        perform(session_.refuse(protocol::RefuseCode::not_allowed, protocol::NodeSession::not_known()), control_);
    }
    void set_right(protocol::Right right) { guest_->right = right; }
    Asker asker() const { return {number, guest_ ? *guest_->right : protocol::Right::admin, guest_.has_value()}; }
    void close(const base::Sentence& why) {
        if (const auto connection = connection_) {
            connection->close(why);
        }
    }

    void on_bytes(std::span<const std::byte> bytes) override {
        reader_.feed(bytes);
        {
            const std::lock_guard lock(server_.heard_mutex_);
            server_.heard_[number] = std::chrono::steady_clock::now();
        }
        while (!session_.closed()) {
            auto frame = reader_.next();
            if (!frame) {
                break;
            }
            if (!counted_ && server_.greeted_ >= server_.options_.max_viewers) {
                perform(session_.refuse(protocol::RefuseCode::busy,
                                        base::say("the node has as many viewers as it can take; close one of them")),
                        control_);
                break;
            }
            perform(session_.on_frame(std::move(*frame), steady_seconds()), control_);
            reader_.set_body_limit(session_.body_limit());
        }
        if (!reader_.error().empty() && !session_.closed()) {
            perform(session_.bye(reader_.error()), control_);
        }
    }

    bool wants_bytes() const override { return unsent() <= server_.options_.unsent_bytes; }

    bool fill(Bytes& out) override {
        if (unsent() > 0) {
            if (!wants_bytes()) {
                session_.on_taken(steady_seconds());
            }
            take_control(out);
            return true;
        }
        if (!session_.greeted()) {
            return false;
        }
        for (const auto& [key, entry] : server_.state_) {
            std::uint64_t& seen = seen_[key];
            if (seen < entry.version) {
                out.insert(out.end(), entry.frame.begin(), entry.frame.end());
                seen = entry.version;
            }
        }
        if (out.empty()) {
            fill_from_journal(out);
        }
        const std::size_t most = out.empty() ? kPieceBytes : out.size() + kFileBytes;
        while (out.size() < most && session_.has_pieces()) {
            protocol::append_frame(out, session_.next_piece());
        }
        return !out.empty();
    }

    void on_tick() override {
        const double now = steady_seconds();
        if (guest_ && guest_->right && now - paired_at_ > kPairedSeconds) {
            paired_at_ = now;
            if (!server_.still_paired(*this)) {
                return close(protocol::NodeSession::not_known());
            }
        }
        perform(session_.on_time(now), control_);
    }

    void on_closed(const base::Sentence&) override {
        const auto self = shared_from_this();
        connection_.reset();
        {
            const std::lock_guard lock(server_.heard_mutex_);
            server_.heard_.erase(number);
        }
        if (counted_) {
            server_.viewer_greeted(-1);
        }
        server_.viewer_closed(self);
    }

 private:
    std::size_t unsent() const { return control_.size() - control_sent_; }

    /// A piece, so that it is seen how the viewer gets on with all of it.
    void take_control(Bytes& out) {
        const auto begin = control_.begin() + static_cast<std::ptrdiff_t>(control_sent_);
        const std::size_t count = std::min(unsent(), kPieceBytes);
        out.assign(begin, begin + static_cast<std::ptrdiff_t>(count));
        control_sent_ += count;
        if (unsent() == 0) {
            control_ = {};  // with its memory
            control_sent_ = 0;
        } else if (control_sent_ > control_.size() / 2) {
            control_.erase(control_.begin(), control_.begin() + static_cast<std::ptrdiff_t>(control_sent_));
            control_sent_ = 0;
        }
    }

    /// As they are stored; false when the next records are not packed or are wanted whole.
    bool send_heads(const protocol::NodeSession::Read& read, Bytes& out) {
        if (read.channel == static_cast<std::uint8_t>(protocol::Channel::events)) {
            return false;  // on which holes are told
        }
        auto heads =
            server_.journal_.read_heads(read.channel, {read.after.epoch, read.after.sequence}, *read.whole_bytes);
        if (!heads) {
            return false;
        }
        protocol::Frame frame;
        frame.type = protocol::kPackedHeads;
        frame.channel = read.channel;
        frame.sequence = heads->last.sequence;
        frame.epoch = heads->last.epoch;
        frame.body = std::move(heads->bytes);
        std::vector<protocol::Frame> frames;
        frames.push_back(std::move(frame));
        perform(session_.on_records(read.channel, std::move(frames)), out);
        return true;
    }

    void fill_from_journal(Bytes& out) {
        while (out.size() < kPieceBytes) {
            const auto read = session_.next_read();
            if (!read) {
                break;
            }
            if (read->whole_bytes && send_heads(*read, out)) {
                continue;
            }
            std::vector<sessions::Hole> holes;
            auto records = server_.journal_.read(read->channel, {read->after.epoch, read->after.sequence},
                                                 kRecordsAtOnce, read->max_bytes, &holes);
            std::vector<protocol::NodeSession::Missing> missing;
            for (const sessions::Hole& hole : holes) {
                missing.push_back(
                    {{hole.after.epoch, hole.after.sequence}, {hole.until.epoch, hole.until.sequence}, hole.count});
            }
            perform(session_.on_missing(read->channel, missing), out);
            std::vector<protocol::Frame> frames;
            frames.reserve(records.size());
            for (auto& record : records) {
                frames.push_back(frame_of(std::move(record)));
            }
            perform(session_.on_records(read->channel, std::move(frames)), out);
        }
    }

    void perform(protocol::Actions actions, Bytes& out) {
        for (protocol::Action& action : actions) {
            if (auto* send = std::get_if<protocol::SendFrame>(&action)) {
                protocol::append_frame(out, send->frame);
            } else if (std::get_if<protocol::Close>(&action)) {
                if (connection_) {
                    connection_->finish();
                }
            } else if (std::get_if<protocol::Greeted>(&action)) {
                counted_ = true;
                server_.viewer_greeted(+1);
            } else if (const auto* proof = std::get_if<protocol::ProofReceived>(&action)) {
                server_.admit(*this, proof->auth);
            } else if (auto* request = std::get_if<protocol::RequestReceived>(&action)) {
                server_.request(shared_from_this(), std::move(*request));
            } else if (const auto* pull = std::get_if<protocol::PullReceived>(&action)) {
                server_.range(shared_from_this(), {pull->order, false, {}, {}});
            } else if (auto* push = std::get_if<protocol::PushReceived>(&action)) {
                server_.range(shared_from_this(),
                              {push->range.order, true, std::move(push->range.sha256), std::move(push->range.bytes)});
            }
        }
        if (!actions.empty()) {
            notify();
        }
    }

    Impl& server_;
    protocol::NodeSession session_;
    protocol::FrameReader reader_;
    std::shared_ptr<AnyConnection> connection_;
    Bytes control_;                 ///< answers and other small frames; always before records
    std::size_t control_sent_ = 0;  ///< bytes at its beginning that are on their way
    std::map<std::string, std::uint64_t> seen_;
    std::optional<Guest> guest_;
    double paired_at_ = steady_seconds();  ///< when it was last looked up
    bool counted_ = false;
};

protocol::Hello NodeServer::Impl::hello() const {
    protocol::Hello hello;
    hello.role = protocol::Role::node;
    hello.node_id = options_.node_id;
    hello.epoch = journal_.epoch();
    hello.build = options_.build;
    hello.features = options_.features;
    return hello;
}

void NodeServer::Impl::listen() {
    prepare_socket_path(options_.socket);
    try {
        const asio::local::stream_protocol::endpoint endpoint(options_.socket.string());
        acceptor_.open(endpoint.protocol());
        acceptor_.bind(endpoint);
        ::chmod(options_.socket.c_str(), 0600);
        acceptor_.listen(8);
    } catch (const boost::system::system_error& error) {
        throw base::Error(base::say("can't listen at {}: {}", options_.socket, base::system_sentence(error.code())));
    }
}

void NodeServer::Impl::run() {
    block_broken_pipes();
    const auto keep_running = asio::make_work_guard(io_);
    if (stdio_) {
        speak_stdio();
    }
    if (!options_.socket.empty()) {
        asio::co_spawn(io_, accept_loop(this), asio::detached);
    }
    if (options_.listener) {
        asio::co_spawn(io_, accept_tls_loop(this), asio::detached);
    }
    io_.run();
    // Coroutines that are still suspended hold viewers, which hold connections: take that knot apart here.
    const auto left = std::exchange(viewers_, {});
    for (const auto& viewer : left) {
        viewer->close(base::say("the node ends"));
    }
    io_.restart();
    io_.poll();  // the cancelled waits end their coroutines, and with them what these own
}

asio::awaitable<void> NodeServer::Impl::accept_loop(Impl* self) {
    while (!self->leaving_) {
        auto [error, socket] = co_await self->acceptor_.async_accept(asio::as_tuple(asio::use_awaitable));
        if (!error) {
            self->accept(std::move(socket));
        } else if (!self->leaving_) {
            // Out of descriptors, for example: wait a little instead of spinning.
            asio::steady_timer pause(self->io_, std::chrono::milliseconds(100));
            co_await pause.async_wait(asio::as_tuple(asio::use_awaitable));
        }
    }
}

void NodeServer::Impl::listen_tls() {
    const TlsListener& listener = *options_.listener;
    const ListenAddress& address = listener.address;
    const std::string place = address.host + ":" + std::to_string(address.port);
    tls_ = tls_context(listener.identity, true);
    pairing_.emplace(listener.pairing);
    boost::system::error_code error;
    asio::ip::tcp::resolver resolver(io_);
    const auto found =
        resolver.resolve(address.host, std::to_string(address.port),
                         asio::ip::tcp::resolver::passive | asio::ip::tcp::resolver::numeric_service, error);
    if (error || found.empty()) {
        throw base::Error(base::say("can't listen at {}: {}", place, base::system_sentence(error)));
    }
    try {
        const asio::ip::tcp::endpoint endpoint = *found.begin();
        tls_acceptor_.open(endpoint.protocol());
        tls_acceptor_.set_option(asio::socket_base::reuse_address(true));
        tls_acceptor_.bind(endpoint);
        tls_acceptor_.listen(64);
        port_ = tls_acceptor_.local_endpoint().port();
    } catch (const boost::system::system_error& failure) {
        throw base::Error(base::say("can't listen at {}: {}", place, base::system_sentence(failure.code())));
    }
}

asio::awaitable<void> NodeServer::Impl::accept_tls_loop(Impl* self) {
    while (!self->leaving_) {
        auto [error, socket] = co_await self->tls_acceptor_.async_accept(asio::as_tuple(asio::use_awaitable));
        if (error) {
            if (!self->leaving_) {
                asio::steady_timer pause(self->io_, std::chrono::milliseconds(100));
                co_await pause.async_wait(asio::as_tuple(asio::use_awaitable));
            }
            continue;
        }
        boost::system::error_code gone;
        const auto peer = socket.remote_endpoint(gone);
        std::string from = gone ? std::string() : peer.address().to_string();
        // Whoever has failed too often, or comes while too many are at the door, is hung up on before it costs
        // anything.
        if (gone || self->handshakes_ >= self->options_.listener->max_handshakes ||
            !self->attempts_.may_try(from, steady_seconds())) {
            socket.close(gone);
            continue;
        }
        asio::co_spawn(self->io_, shake_hands(self, std::move(socket), std::move(from)), asio::detached);
    }
}

asio::awaitable<void> NodeServer::Impl::shake_hands(Impl* self, asio::ip::tcp::socket socket, std::string from) {
    ++self->handshakes_;
    TlsStream stream(std::move(socket), self->tls_);
    boost::system::error_code error;
    {
        const SocketClock clock(stream.socket(), protocol::kGreetingSeconds);
        std::tie(error) = co_await stream.stream().async_handshake(asio::ssl::stream_base::server,
                                                                   asio::as_tuple(asio::use_awaitable));
    }
    --self->handshakes_;
    const auto key = error ? std::nullopt : stream.peer();
    const auto binding = error ? std::nullopt : stream.binding();
    if (!key || !binding || self->leaving_) {
        if (!self->leaving_) {
            self->turned_away(from, base::say("it did not come as far as a TLS 1.3 connection with a key of its own"));
        }
        co_return;
    }
    Guest guest{from, *key, *binding, {}};
    bool may_prove = false;
    try {
        guest.right = self->pairing_->right_of(*key);
        may_prove = guest.right || self->pairing_->invited(security::unix_seconds());
    } catch (const std::exception& failure) {
        self->tell(true, base::sentence_of(failure));
        co_return;
    }
    boost::system::error_code ignored;
    stream.socket().set_option(asio::ip::tcp::no_delay(true), ignored);
    self->make_room_for_greeting();
    const auto viewer = std::make_shared<Viewer>(*self, std::move(guest));
    self->viewers_.insert(viewer);
    viewer->start(std::move(stream));
    if (!may_prove) {
        self->turned_away(from, base::say("it is not paired, and nobody is invited"));
        viewer->turn_away();
    }
}

/// Its right may have changed, too. A list that can't be read lets nobody in.
bool NodeServer::Impl::still_paired(Viewer& viewer) {
    try {
        const auto right = pairing_->right_of(viewer.guest()->key);
        if (right) {
            viewer.set_right(*right);
        }
        return right.has_value();
    } catch (const std::exception& failure) {
        tell(true, base::sentence_of(failure));
        return false;
    }
}

void NodeServer::Impl::turned_away(const std::string& from, const base::Sentence& why) {
    attempts_.failed(from, steady_seconds());
    tell(true, base::say("a connection from {} was turned away: {}", from, why));
}

void NodeServer::Impl::admit(Viewer& viewer, const protocol::Auth& auth) {
    const Guest guest = *viewer.guest();
    std::optional<protocol::Right> right;
    try {
        right = pairing_->accept(auth.proof, guest.binding, guest.key, auth.name, security::unix_seconds());
    } catch (const std::exception& failure) {
        tell(true, base::sentence_of(failure));
    }
    if (!right) {
        turned_away(guest.from, base::say("it is not paired, and has no invitation that is still open"));
        viewer.turn_away();
        return;
    }
    attempts_.succeeded(guest.from);
    tell(false, base::say("the workbench {} at {} was paired as {}", base::one_line(auth.name), guest.from,
                          protocol::name_of(*right)));
    viewer.admit(*right);
}

void NodeServer::Impl::accept(Socket socket) {
    if (!is_same_user(socket.native_handle())) {
        return;  // closes it; a stranger gets no answer
    }
    make_room_for_greeting();
    const auto viewer = std::make_shared<Viewer>(*this);
    viewers_.insert(viewer);
    viewer->start(std::move(socket));
}

void NodeServer::Impl::make_room_for_greeting() {
    std::size_t greetings = 0;
    std::shared_ptr<Viewer> oldest;
    for (const auto& viewer : viewers_) {
        if (!viewer->greeted()) {
            ++greetings;
            oldest = !oldest || viewer->number < oldest->number ? viewer : oldest;
        }
    }
    if (oldest && greetings >= options_.max_greetings) {
        oldest->close(base::say("others came while it had not greeted"));
    }
}

void NodeServer::Impl::open_stdio() {
    // The copies belong to the stream; whoever else holds 0 and 1 may close them.
    const int in = ::fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3), out = ::fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
    try {
        stdio_.emplace(io_.get_executor(), in, out);
    } catch (const boost::system::system_error& error) {
        throw base::Error(
            base::say("can't speak over standard input and output: {}", base::system_sentence(error.code())));
    }
}

void NodeServer::Impl::speak_stdio() {
    const auto viewer = std::make_shared<Viewer>(*this);
    viewers_.insert(viewer);
    viewer->start(std::move(*stdio_));
}

void NodeServer::Impl::on_wake() {
    wake_pending_ = false;
    for (const auto& viewer : viewers_) {
        viewer->journal_grew();
    }
}

void NodeServer::Impl::say_goodbye() {
    leaving_ = true;
    boost::system::error_code ignored;
    acceptor_.close(ignored);
    tls_acceptor_.close(ignored);
    if (viewers_.empty()) {
        io_.stop();
        return;
    }
    const auto viewers = viewers_;
    for (const auto& viewer : viewers) {
        viewer->bye();
    }
    last_goodbye_.expires_after(std::chrono::seconds(1));
    last_goodbye_.async_wait([this](boost::system::error_code) { io_.stop(); });
}

void NodeServer::Impl::viewer_greeted(int change) {
    greeted_ += static_cast<std::size_t>(change);
    handler_.on_viewers(greeted_);
}

void NodeServer::Impl::viewer_closed(const std::shared_ptr<Viewer>& viewer) {
    viewers_.erase(viewer);
    abandon_commands(*viewer);
    if (const auto& guest = viewer->guest(); guest && !guest->right && !guest->turned_away) {
        turned_away(guest->from, base::say("it left without showing an invitation"));
    }
    // Nobody else can come over stdin and stdout, whether this one got as far as the greeting or not.
    if (options_.socket.empty() && !options_.listener) {
        handler_.on_viewers(0);
    }
    if (leaving_ && viewers_.empty()) {
        io_.stop();
    }
}

void NodeServer::Impl::abandon_commands(const Viewer& gone) {
    std::vector<std::string> abandoned;
    for (auto& [id, waiting] : waiting_) {
        std::erase_if(waiting, [&](const auto& known) {
            const auto viewer = known.lock();
            return !viewer || viewer.get() == &gone;
        });
        if (waiting.empty()) {
            abandoned.push_back(id);
        }
    }
    if (abandoned.empty()) {
        return;
    }
    // Those that go on keep their place, or the same one sent again would be done twice.
    for (const std::string& id : handler_.on_abandoned(abandoned)) {
        waiting_.erase(id);
    }
}

void NodeServer::Impl::request(const std::shared_ptr<Viewer>& viewer, protocol::RequestReceived request) {
    const auto [place, is_new] = waiting_.try_emplace(request.id);
    auto& waiting = place->second;
    std::erase_if(waiting, [](const auto& known) { return known.expired(); });
    waiting.push_back(viewer);
    if (!is_new) {
        return;  // runs already; all get the answer
    }
    const std::string id = request.id;
    auto reply = [weak = weak_from_this(), id](nlohmann::json response) {
        if (const auto self = weak.lock()) {
            asio::post(self->io_, [weak, id, response = std::move(response)] {
                if (const auto alive = weak.lock()) {
                    alive->answer(id, response);
                }
            });
        }
    };
    try {
        const Asker asker = viewer->asker();
        if (asker.remote && !still_paired(*viewer)) {
            viewer->close(protocol::NodeSession::not_known());
            return;
        }
        handler_.on_request(asker, id, std::move(request.command), std::move(request.parameters), reply);
    } catch (const std::exception& error) {
        reply(protocol::failed_answer(base::sentence_of(error)));
    }
}

void NodeServer::Impl::answer(const std::string& id, const nlohmann::json& response) {
    const auto found = waiting_.find(id);
    if (found == waiting_.end()) {
        return;
    }
    const auto viewers = std::move(found->second);
    waiting_.erase(found);
    for (const auto& weak : viewers) {
        if (const auto viewer = weak.lock()) {
            viewer->respond(id, response);
        }
    }
}

void NodeServer::Impl::range(const std::shared_ptr<Viewer>& viewer, RangeRequest request) {
    auto reply = [weak = weak_from_this(), to = std::weak_ptr<Viewer>(viewer),
                  number = request.order.number](RangeAnswer answer) {
        const auto self = weak.lock();
        if (!self) {
            return;
        }
        answer.end.number = number;
        asio::post(self->io_, [weak, to, answer = std::move(answer)]() mutable {
            const auto alive = weak.lock();
            if (const auto waiting = to.lock(); alive && waiting) {
                waiting->answer_range(std::move(answer));
            }
        });
    };
    try {
        handler_.on_range(viewer->asker(), std::move(request), reply);
    } catch (const std::exception& error) {
        reply({{0, protocol::RangeEnd::State::failed, {}, base::sentence_of(error)}, {}});
    }
}

bool NodeServer::Impl::publish_state(nlohmann::json state) {
    if (!state.is_object()) {
        return false;
    }
    std::map<std::string, Bytes> frames;
    bool fits = true;
    for (auto& [key, value] : state.items()) {
        auto frame =
            protocol::make_frame(protocol::FrameType::state, protocol::bytes_of(base::dump_json({{key, value}})));
        if (frame.body.size() <= protocol::kDataBodyLimit) {
            protocol::append_frame(frames[key], frame);
        } else {
            fits = false;
        }
    }
    asio::post(io_, [this, frames = std::move(frames)]() mutable {
        for (auto& [key, frame] : frames) {
            state_[key] = {++state_version_, std::move(frame)};
        }
        for (const auto& viewer : viewers_) {
            viewer->notify();
        }
    });
    return fits;
}

NodeServer::NodeServer(NodeServerOptions options, sessions::Journal& journal, RequestHandler& handler)
    : impl_(std::make_shared<Impl>(std::move(options), journal, handler)) {
    impl_->start();
}

NodeServer::~NodeServer() {
    impl_->stop();
}

bool NodeServer::publish_state(nlohmann::json state) {
    return impl_->publish_state(std::move(state));
}

std::optional<std::chrono::steady_clock::time_point> NodeServer::heard(std::uint64_t viewer) const {
    return impl_->heard(viewer);
}

std::uint16_t NodeServer::port() const {
    return impl_->port();
}

std::size_t NodeServer::viewers() const {
    return impl_->viewers();
}

}  // namespace moescope::transport
