// The client against a real node: in the same process, behind a proxy that cuts, and as a child that is killed.
#include "nodes/client/client.hpp"

#include <atomic>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <functional>
#include <gtest/gtest.h>
#include <map>
#include <poll.h>
#include <set>
#include <sys/socket.h>
#include <sys/un.h>
#include <thread>
#include <unistd.h>

#include "nodes/history/record_parts.hpp"
#include "nodes/protocol/node_session.hpp"
#include "nodes/protocol/viewer_session.hpp"
#include "tests/files.hpp"
#include "tests/nodes/client/small_node.hpp"

namespace moescope::client {
namespace {

using protocol::append_frame;
using protocol::encode_credit;
using protocol::encode_subscribe;
using protocol::RecordType;
using test::SmallNode;
using test::TemporaryFolder;

/// A client whose snapshots a test can wait for. Waiting ends with the condition or, far later, with failure: no fixed
/// sleeps.
class Watched {
 public:
    explicit Watched(ClientOptions options)
        : client(std::move(options), [this] {
              const std::lock_guard lock(mutex_);
              ++changes_;
              woken_.notify_all();
          }) {}

    std::shared_ptr<const Snapshot> wait(const std::function<bool(const Snapshot&)>& condition) {
        const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(60);
        for (;;) {
            std::unique_lock lock(mutex_);
            const auto seen = changes_;
            lock.unlock();
            auto snapshot = client.snapshot();
            if (condition(*snapshot)) {
                return snapshot;
            }
            if (std::chrono::steady_clock::now() > until) {
                ADD_FAILURE() << "timed out; link: " << static_cast<int>(snapshot->link.state) << " "
                              << snapshot->link.message;
                return snapshot;
            }
            lock.lock();
            woken_.wait_for(lock, std::chrono::seconds(1), [&] { return changes_ != seen; });
        }
    }
    std::shared_ptr<const Snapshot> wait_for_steps(std::uint32_t run, std::size_t count) {
        return wait(
            [=](const Snapshot& s) { return s.training.contains(run) && s.training.at(run)->step.size() >= count; });
    }
    CommandResult result_of(CommandId id) {
        return wait([=](const Snapshot& s) {
                   return s.results.contains(id) && s.results.at(id).state != CommandResult::State::pending;
               })
            ->results.at(id);
    }
    std::shared_ptr<const Snapshot> wait_for_link(Link::State state) {
        return wait([=](const Snapshot& s) { return s.link.state == state; });
    }

 private:
    std::mutex mutex_;
    std::condition_variable woken_;
    std::uint64_t changes_ = 0;

 public:
    NodeClient client;  ///< last: its thread uses what stands above
};

ClientOptions view(const std::filesystem::path& socket) {
    ClientOptions options;
    options.socket = socket;
    return options;
}

ClientOptions own(const std::filesystem::path& session, std::vector<std::string> arguments = {}) {
    ClientOptions options;
    options.node_program = MOESCOPE_TEST_NODE;
    options.session = session;
    options.node_arguments = std::move(arguments);
    return options;
}

sockaddr_un address_of(const std::filesystem::path& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
    return address;
}

int connect_to(const std::filesystem::path& path) {
    const int file = ::socket(AF_UNIX, SOCK_STREAM, 0);
    const sockaddr_un address = address_of(path);
    EXPECT_EQ(::connect(file, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0) << std::strerror(errno);
    return file;
}

/// Between client and node: passes bytes on and cuts each connection after a number of bytes in both directions
/// together.
class CuttingProxy {
 public:
    CuttingProxy(const std::filesystem::path& listen_at, const std::filesystem::path& node,
                 std::vector<std::size_t> cuts)
        : node_(node), cuts_(std::move(cuts)) {
        listener_ = ::socket(AF_UNIX, SOCK_STREAM, 0);
        const sockaddr_un address = address_of(listen_at);
        EXPECT_EQ(::bind(listener_, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
        EXPECT_EQ(::listen(listener_, 8), 0);
        EXPECT_EQ(::pipe(stop_), 0);
        thread_ = std::thread(&CuttingProxy::run, this);
    }
    ~CuttingProxy() {
        ::close(stop_[1]);
        thread_.join();
        ::close(stop_[0]);
        ::close(listener_);
    }
    std::atomic<std::size_t> connections{0};
    std::atomic<std::size_t> passed{0};  ///< of the last connection

 private:
    void run() {
        for (std::size_t i = 0;; ++i) {
            pollfd wait[] = {{listener_, POLLIN, 0}, {stop_[0], POLLIN, 0}};
            ::poll(wait, 2, -1);
            if (wait[1].revents) {
                return;
            }
            const int viewer = ::accept(listener_, nullptr, nullptr);
            const int node = connect_to(node_);
            ++connections;
            const bool go_on = pass(viewer, node, i < cuts_.size() ? cuts_[i] : ~std::size_t{0});
            ::close(viewer);
            ::close(node);
            if (!go_on) {
                return;
            }
        }
    }
    bool pass(int viewer, int node, std::size_t budget) {
        char buffer[4096];
        passed = 0;
        while (budget > 0) {
            pollfd wait[] = {{viewer, POLLIN, 0}, {node, POLLIN, 0}, {stop_[0], POLLIN, 0}};
            ::poll(wait, 3, -1);
            if (wait[2].revents) {
                return false;
            }
            for (int side = 0; side < 2 && budget > 0; ++side) {
                if (!wait[side].revents) {
                    continue;
                }
                const ssize_t count = ::read(wait[side].fd, buffer, std::min(sizeof buffer, budget));
                if (count <= 0) {
                    return true;
                }
                ssize_t sent = 0;
                while (sent < count) {
                    const ssize_t now =
                        ::send(wait[1 - side].fd, buffer + sent, static_cast<std::size_t>(count - sent), MSG_NOSIGNAL);
                    if (now <= 0) {
                        return true;
                    }
                    sent += now;
                }
                budget -= static_cast<std::size_t>(count);
                passed += static_cast<std::size_t>(count);
            }
        }
        return true;
    }

    std::filesystem::path node_;
    std::vector<std::size_t> cuts_;
    int listener_ = -1;
    int stop_[2]{};
    std::thread thread_;
};

void expect_steps(const history::TrainingRun& run, std::size_t count) {
    ASSERT_EQ(run.step.size(), count);
    for (std::size_t i = 0; i < count; ++i) {
        ASSERT_EQ(run.step[i], static_cast<double>(i + 1));
        ASSERT_EQ(run[&base::StepValues::loss][i], SmallNode::loss_of(i + 1));
    }
}

TEST(Client, ReadsHistoryThenLiveThenStateAndCatalogue) {
    const TemporaryFolder folder;
    SmallNode node(folder / "s", folder / "session");
    node.start_run(1);
    for (std::uint64_t n = 1; n <= 500; ++n) {
        node.step(1, n);
    }
    Watched viewer(view(folder / "s"));
    expect_steps(*viewer.wait_for_steps(1, 500)->training.at(1), 500);
    for (std::uint64_t n = 501; n <= 1000; ++n) {
        node.step(1, n);
    }
    const auto snapshot = viewer.wait_for_steps(1, 1000);
    expect_steps(*snapshot->training.at(1), 1000);
    EXPECT_EQ(snapshot->training.at(1)->state, history::RunState::running);
    EXPECT_EQ(snapshot->link.state, Link::State::connected);
    EXPECT_EQ(snapshot->link.epoch, 1u);
    const auto known = viewer.wait(
        [](const Snapshot& s) { return !s.catalogue->is_null() && s.node.cores == 2 && s.link.round_trip_ms > 0; });
    EXPECT_EQ((*known->catalogue)["presets"][0]["name"], "tiny");
    EXPECT_EQ(known->models.at(0).name, "tiny");
    EXPECT_TRUE(node.server().publish_state({{"tasks", nlohmann::json::array()}}));
    EXPECT_FALSE(node.server().publish_state({{"tasks", nlohmann::json::array({{{"id", "t1"}, {"fraction", 0.5}}})},
                                              {"models", std::string(protocol::kDataBodyLimit, 'x')}}))
        << "one that is too long keeps no other back";
    const auto later = viewer.wait([](const Snapshot& s) { return s.tasks.size() == 1; });
    EXPECT_EQ(later->models.size(), 1u) << "other keys stay";
    EXPECT_GT(later->version, snapshot->version);
}

/// Steps of a session whose segments are packed come by their heads, the newest whole, and live ones follow.
TEST(Client, ReadsALongSessionByItsHeads) {
    const TemporaryFolder folder;
    const std::filesystem::path session = folder / "session";
    sessions::Session::open(session, sessions::Journal::Mode::read_write);
    constexpr std::uint64_t kSteps = 3000;
    {
        const auto journal =
            sessions::Journal::open(session, sessions::Journal::Mode::read_write, {nullptr, 50'000, 0, 0});
        const auto put = [&](RecordType type, const std::vector<std::byte>& body) {
            journal->append(static_cast<std::uint16_t>(type), static_cast<std::uint8_t>(protocol::channel_of(type)), 1,
                            body);
        };
        put(RecordType::run_started, protocol::encode_json({{"run", 1}, {"kind", "train"}, {"name", "run"}}));
        for (std::uint64_t n = 1; n <= kSteps; ++n) {
            protocol::StepRecord step;
            step.run = 1;
            step.step = n;
            step.loss = SmallNode::loss_of(n);
            step.layers = 2;
            step.experts = 4;
            step.counts.assign(16, static_cast<std::uint32_t>(n));
            put(RecordType::step, protocol::encode_step(step));
        }
        ASSERT_GT(journal->pack_now(history::record_parts), 5U);
    }
    SmallNode node(folder / "s", session);
    ClientOptions options = view(folder / "s");
    options.whole_bytes = 60'000;
    Watched viewer(options);
    node.step(1, kSteps + 1);
    const auto snapshot = viewer.wait_for_steps(1, kSteps + 1);
    const auto& run = *snapshot->training.at(1);
    ASSERT_EQ(run.step.size(), kSteps + 1);
    for (std::uint64_t n = 1; n <= kSteps; ++n) {
        ASSERT_EQ(run.step[n - 1], static_cast<double>(n));
        ASSERT_EQ(run[&base::StepValues::loss][n - 1], SmallNode::loss_of(n));
    }
    EXPECT_EQ(snapshot->link.records, kSteps + 2);
    EXPECT_GT(run.counts.size(), 60'000U / 150);
    EXPECT_LT(run.counts.size(), kSteps / 2) << "by heads";
    EXPECT_EQ(run.counts.back()->step, kSteps + 1);
}

TEST(Client, CommandsAreAnsweredWithTheirOwnResults) {
    const TemporaryFolder folder;
    SmallNode node(folder / "s", folder / "session");
    Watched viewer(view(folder / "s"));
    std::vector<CommandId> ids;
    for (int i = 0; i < 200; ++i) {  // more than may be under way at once
        ids.push_back(viewer.client.send("count", {{"number", i}}));
    }
    for (int i = 0; i < 200; ++i) {
        const auto result = viewer.result_of(ids[static_cast<std::size_t>(i)]);
        EXPECT_EQ(result.state, CommandResult::State::done);
        EXPECT_EQ(result.value["number"], i);
        EXPECT_EQ(result.name, "count");
    }
    const auto failed = viewer.result_of(viewer.client.send("nonsense"));
    EXPECT_EQ(failed.state, CommandResult::State::failed);
    EXPECT_EQ(failed.error, base::say("there is no command {}", "nonsense")) << "data, not only a text";
    EXPECT_EQ(viewer.result_of(viewer.client.send("throw")).error.english(), "this command always throws");
    EXPECT_EQ(viewer.result_of(viewer.client.send("count", {{"a", std::string(100'000, 'x')}})).state,
              CommandResult::State::failed);
    EXPECT_EQ(viewer.result_of(viewer.client.send("start", {{"steps", 30}})).value["run"], 1);
    expect_steps(*viewer.wait_for_steps(1, 30)->training.at(1), 30);
}

TEST(Client, TwoViewersSeeTheSameAndComeAndGo) {
    const TemporaryFolder folder;
    SmallNode node(folder / "s", folder / "session");
    Watched first(view(folder / "s"));
    node.start_run(1);
    for (std::uint64_t n = 1; n <= 100; ++n) {
        node.step(1, n);
    }
    first.wait_for_steps(1, 100);
    {
        Watched second(view(folder / "s"));
        expect_steps(*second.wait_for_steps(1, 100)->training.at(1), 100);
        EXPECT_EQ(node.server().viewers(), 2u);
    }
    for (std::uint64_t n = 101; n <= 200; ++n) {
        node.step(1, n);
    }
    expect_steps(*first.wait_for_steps(1, 200)->training.at(1), 200);
}

TEST(Client, NodeThatGoesAwayIsLostAndFoundAgain) {
    const TemporaryFolder folder;
    auto node = std::make_unique<SmallNode>(folder / "s", folder / "session");
    node->start_run(1);
    node->step(1, 1);
    Watched viewer(view(folder / "s"));
    viewer.wait_for_steps(1, 1);
    node.reset();
    const auto lost = viewer.wait_for_link(Link::State::lost);
    EXPECT_NE(lost->link.message.english(), "");
    EXPECT_EQ(lost->training.at(1)->step.size(), 1u) << "what was seen stays";
    const CommandId waiting = viewer.client.send("count", {{"number", 7}});
    const auto pending = viewer.wait([=](const Snapshot& s) { return s.results.contains(waiting); });
    EXPECT_EQ(pending->results.at(waiting).state, CommandResult::State::pending);
    EXPECT_NE(pending->results.at(waiting).error.english().find("no connection"), std::string::npos);
    node = std::make_unique<SmallNode>(folder / "s", folder / "session");
    EXPECT_EQ(viewer.result_of(waiting).state, CommandResult::State::done);
    const auto back = viewer.wait_for_link(Link::State::connected);
    EXPECT_EQ(back->link.epoch, 2u);
    EXPECT_EQ(back->training.at(1)->state, history::RunState::interrupted) << "its node start is over";
    node->step(1, 2);
    expect_steps(*viewer.wait_for_steps(1, 2)->training.at(1), 2);
}

TEST(Client, ACommandWithoutANodeIsGivenUpWithASentence) {
    const TemporaryFolder folder;
    ClientOptions options = view(folder / "s");
    options.command_patience = 0.3;
    {
        Watched viewer(options);
        const auto result = viewer.result_of(viewer.client.send("count"));
        EXPECT_EQ(result.state, CommandResult::State::failed) << "it was never sent";
        EXPECT_NE(result.error.english().find("was not sent"), std::string::npos) << result.error;
    }
    auto node = std::make_unique<SmallNode>(folder / "s", folder / "session");
    Watched viewer(options);
    const CommandId open = viewer.client.send("never");
    viewer.result_of(viewer.client.send("count"));  // behind it: the other one has arrived
    node.reset();
    const auto lost = viewer.wait([=](const Snapshot& s) { return !s.results.at(open).error.empty(); });
    EXPECT_EQ(lost->results.at(open).state, CommandResult::State::pending) << "the node may come back and tell";
    EXPECT_NE(lost->results.at(open).error.english().find("asked for again"), std::string::npos);
    const CommandId late = viewer.client.send("count");
    EXPECT_EQ(viewer.result_of(open).state, CommandResult::State::unknown) << "it may have been carried out";
    EXPECT_NE(viewer.result_of(open).error.english().find("is not known"), std::string::npos);
    EXPECT_EQ(viewer.result_of(late).state, CommandResult::State::failed);
    node = std::make_unique<SmallNode>(folder / "s", folder / "session");
    EXPECT_EQ(viewer.result_of(viewer.client.send("count")).state, CommandResult::State::done);
    EXPECT_EQ(viewer.result_of(open).state, CommandResult::State::unknown) << "an outcome stays";
    // Only the two that were answered were carried out.
    EXPECT_EQ(viewer.wait([](const Snapshot& s) { return s.log.size() >= 2; })->log.size(), 2u);
}

TEST(Client, AnotherSessionAtTheSameSocketIsReadFromItsBeginning) {
    const TemporaryFolder folder;
    auto node = std::make_unique<SmallNode>(folder / "s", folder / "first");
    node->start_run(1);
    for (std::uint64_t n = 1; n <= 50; ++n) {
        node->step(1, n);
    }
    Watched viewer(view(folder / "s"));
    const std::uint64_t first = viewer.wait_for_steps(1, 50)->session;
    const CommandId open = viewer.client.send("never");
    // Behind it: the other one has arrived.
    const CommandId counted = viewer.client.send("count");
    EXPECT_EQ(viewer.result_of(counted).state, CommandResult::State::done);
    // The same session from another start is the same session.
    node.reset();
    node = std::make_unique<SmallNode>(folder / "s", folder / "first");
    node->step(1, 51);
    EXPECT_EQ(viewer.wait_for_steps(1, 51)->session, first);
    EXPECT_NE(first, 0u);
    // The other session is in its first epoch.
    node.reset();
    node = std::make_unique<SmallNode>(folder / "s", folder / "second");
    node->start_run(2);
    node->step(2, 1);
    const auto snapshot = viewer.wait_for_steps(2, 1);
    EXPECT_NE(snapshot->session, first);
    EXPECT_FALSE(snapshot->training.contains(1));
    EXPECT_FALSE(snapshot->results.contains(counted)) << "an answer of the other session";
    EXPECT_EQ(snapshot->results.at(open).state, CommandResult::State::unknown);
    ASSERT_FALSE(snapshot->log.empty());
    EXPECT_NE(snapshot->log.front().text.english().find("another session"), std::string::npos);
}

TEST(Client, ASocketPathThatIsTooLongIsASentence) {
    const TemporaryFolder folder;
    Watched viewer(view(folder / std::string(150, 'x')));
    const auto refused = viewer.wait_for_link(Link::State::refused);
    EXPECT_NE(refused->link.message.english().find("longer than the system allows"), std::string::npos);
    EXPECT_EQ(viewer.result_of(viewer.client.send("count")).state, CommandResult::State::failed);
}

TEST(Client, CutAtEveryByteEndsLikeNoCut) {
    const TemporaryFolder folder;
    SmallNode node(folder / "s", folder / "session");
    node.start_run(1);
    for (std::uint64_t n = 1; n <= 4; ++n) {
        node.step(1, n);
    }
    std::size_t whole = 0;
    {
        const CuttingProxy proxy(folder / "p0", folder / "s", {});
        Watched viewer(view(folder / "p0"));
        viewer.wait_for_steps(1, 4);
        viewer.wait([](const Snapshot& s) { return !s.catalogue->is_null() && s.link.round_trip_ms > 0; });
        whole = proxy.passed;
    }
    ASSERT_GT(whole, 1000u);
    // One client per stretch of cut points, so that the reconnects continue from ever other positions; some at a time,
    // as most of it is waiting.
    constexpr std::size_t kPerClient = 10, kAtATime = 8;
    struct Cutting {
        Cutting(const std::filesystem::path& path, const std::filesystem::path& socket, std::vector<std::size_t> cuts)
            : proxy(path, socket, std::move(cuts)), viewer(view(path)) {}
        CuttingProxy proxy;
        Watched viewer;
        CommandId command = 0;
    };
    for (std::size_t first = 1; first < whole;) {
        std::vector<std::unique_ptr<Cutting>> group;
        for (; first < whole && group.size() < kAtATime; first += kPerClient) {
            std::vector<std::size_t> cuts;
            for (std::size_t cut = first; cut < std::min(first + kPerClient, whole); ++cut) {
                cuts.push_back(cut);
            }
            group.push_back(std::make_unique<Cutting>(folder / ("p" + std::to_string(first)), folder / "s", cuts));
            group.back()->command = group.back()->viewer.client.send("count", {{"number", first}});
        }
        for (const auto& one : group) {
            const auto result = one->viewer.result_of(one->command);
            ASSERT_EQ(result.state, CommandResult::State::done) << result.error;
            const auto snapshot = one->viewer.wait([](const Snapshot& s) {
                return s.link.state == Link::State::connected && s.training.contains(1) &&
                       s.training.at(1)->step.size() >= 4 && !s.catalogue->is_null();
            });
            expect_steps(*snapshot->training.at(1), 4);
        }
    }
    // Each command was carried out exactly once, however often it was sent.
    Watched viewer(view(folder / "s"));
    const std::size_t commands = (whole - 1 + kPerClient - 1) / kPerClient;
    const auto snapshot = viewer.wait([&](const Snapshot& s) { return s.log.size() >= commands; });
    EXPECT_EQ(snapshot->log.size(), commands);
}

/// Greets and subscribes, then reads nothing.
TEST(Client, AViewerThatDoesNotReadHoldsNobodyUp) {
    const TemporaryFolder folder;
    SmallNode node(folder / "s", folder / "session");
    node.start_run(1);
    const int frozen = connect_to(folder / "s");
    protocol::Hello hello;
    hello.role = protocol::Role::viewer;
    std::vector<std::byte> bytes;
    append_frame(bytes, protocol::make_frame(protocol::FrameType::hello, encode_hello(hello)));
    for (std::uint8_t channel = 1; channel <= 4; ++channel) {
        append_frame(bytes, protocol::make_frame(protocol::FrameType::subscribe, encode_subscribe({channel, {}})));
    }
    ASSERT_EQ(::send(frozen, bytes.data(), bytes.size(), 0), static_cast<ssize_t>(bytes.size()));
    Watched viewer(view(folder / "s"));
    viewer.wait_for_link(Link::State::connected);
    const std::string filler(100'000, 'x');
    for (std::uint64_t n = 1; n <= 200; ++n) {
        node.step(1, n);
        node.json(RecordType::sample, {{"run", 1}, {"step", n}, {"text", filler}});
    }
    const auto snapshot = viewer.wait([](const Snapshot& s) {
        return s.training.contains(1) && s.training.at(1)->step.size() >= 200 &&
               s.training.at(1)->samples.size() >= 200;
    });
    EXPECT_EQ(snapshot->training.at(1)->samples.back().text.size(), filler.size())
        << "more than a subscription's first credit went through";
    ::close(frozen);
}

/// A viewer that reads but never gives credit back gets what the first credit allows, and no more.
TEST(Server, StopsAtTheCredit) {
    const TemporaryFolder folder;
    SmallNode node(folder / "s", folder / "session");
    for (int i = 0; i < 100; ++i) {
        node.json(RecordType::sample, {{"run", 1}, {"text", std::string(100'000, 'x')}});
    }
    const int socket = connect_to(folder / "s");
    std::vector<std::byte> bytes;
    protocol::Hello hello;
    append_frame(bytes, protocol::make_frame(protocol::FrameType::hello, encode_hello(hello)));
    append_frame(bytes, protocol::make_frame(protocol::FrameType::subscribe, encode_subscribe({3, {}})));
    (void)!::send(socket, bytes.data(), bytes.size(), 0);
    protocol::FrameReader reader(protocol::kDataBodyLimit);
    std::size_t data = 0, got = 0;
    std::vector<std::byte> buffer(1 << 16);
    const auto read_until = [&](std::size_t goal) {
        while (data < goal) {
            const ssize_t count = ::read(socket, buffer.data(), buffer.size());
            ASSERT_GT(count, 0);
            reader.feed(std::span(buffer).first(static_cast<std::size_t>(count)));
            while (auto frame = reader.next()) {
                if (is_data(*frame)) {
                    data += frame_bytes(*frame);
                    ++got;
                }
            }
        }
    };
    read_until(static_cast<std::size_t>(protocol::kInitialCredit));
    // A PING is answered behind everything that was on its way: after its PONG, nothing more may have come.
    bytes.clear();
    append_frame(bytes, protocol::make_frame(protocol::FrameType::ping, std::vector<std::byte>(8)));
    (void)!::send(socket, bytes.data(), bytes.size(), 0);
    bool pong = false;
    while (!pong) {
        const ssize_t count = ::read(socket, buffer.data(), buffer.size());
        ASSERT_GT(count, 0);
        reader.feed(std::span(buffer).first(static_cast<std::size_t>(count)));
        while (auto frame = reader.next()) {
            pong = pong || frame->type == static_cast<std::uint16_t>(protocol::FrameType::pong);
            got += is_data(*frame) ? 1 : 0;
        }
    }
    EXPECT_EQ(got, 42u) << "4 MiB of credit and records of a little over 100,000 bytes, the last one overdrawing";
    bytes.clear();
    append_frame(bytes, protocol::make_frame(protocol::FrameType::credit, encode_credit({3, 1'000'000})));
    (void)!::send(socket, bytes.data(), bytes.size(), 0);
    read_until(data + 900'000);
    ::close(socket);
}

TEST(Server, RefusesForeignersCrowdsAndOpenFolders) {
    const TemporaryFolder folder;
    SmallNode node(folder / "s", folder / "session");
    {
        const int socket = connect_to(folder / "s");
        const char text[] = "GET / HTTP/1.1\r\nHost: node\r\nAccept: everything that there is\r\n\r\n";
        (void)!::send(socket, text, sizeof text, 0);
        char buffer[4096];
        std::string all;
        for (ssize_t count; (count = ::read(socket, buffer, sizeof buffer)) > 0;) {
            all.append(buffer, static_cast<std::size_t>(count));
        }
        EXPECT_NE(all.find("MOESCOPE"), std::string::npos);
        ::close(socket);
    }
    sessions::Session& session = node.session();
    ::mkdir((folder / "open").c_str(), 0755);
    ::chmod((folder / "open").c_str(), 0755);
    transport::NodeServerOptions options;
    options.socket = folder / "open/s";
    EXPECT_THROW(transport::NodeServer(options, session.journal(), node), std::runtime_error);
    options.socket = folder / std::string(150, 'x');
    EXPECT_THROW(transport::NodeServer(options, session.journal(), node), std::runtime_error);
    options.socket = folder / "s";
    EXPECT_THROW(transport::NodeServer(options, session.journal(), node), std::runtime_error)
        << "somebody listens there";
}

double seconds_now() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

/// What a server needs to run before it has anything to say.
struct BareNode {
    TemporaryFolder folder;
    std::unique_ptr<sessions::Session> session =
        sessions::Session::open(folder / "session", sessions::Journal::Mode::read_write);
    transport::NodeServerOptions options = [this] {
        transport::NodeServerOptions made;
        made.socket = folder / "s";
        return made;
    }();
};

/// Commands are never answered.
struct SilentNode : BareNode {
    class Handler final : public transport::RequestHandler {
        void on_request(const transport::Asker&, std::string, std::string, nlohmann::json,
                        std::function<void(nlohmann::json)>) override {}
    };
    Handler handler;
};

/// Commands are answered at once, with some hundred bytes.
class Talker final : public transport::RequestHandler {
    void on_request(const transport::Asker&, std::string, std::string, nlohmann::json,
                    std::function<void(nlohmann::json)> reply) override {
        reply({{"state", "done"}, {"value", {{"words", std::string(200, 'w')}}}});
    }
};

/// A viewer in bytes: sends what there is room for, reads what is there.
class BareViewer {
 public:
    explicit BareViewer(const std::filesystem::path& socket) : socket_(connect_to(socket)) {
        append_frame(waiting_, protocol::make_frame(protocol::FrameType::hello, protocol::encode_hello({})));
    }
    ~BareViewer() { ::close(socket_); }
    BareViewer(const BareViewer&) = delete;
    BareViewer& operator=(const BareViewer&) = delete;

    void request(unsigned number) {
        char id[33];
        std::snprintf(id, sizeof id, "%032x", number);
        const std::string body = nlohmann::json{{"id", id}, {"command", "words"}}.dump();
        append_frame(waiting_, protocol::make_frame(protocol::FrameType::request, protocol::bytes_of(body)));
    }
    void ping() { append_frame(waiting_, protocol::make_frame(protocol::FrameType::ping, std::vector<std::byte>(8))); }
    /// Gives how many bytes went.
    std::size_t send_some() {
        const ssize_t count =
            ::send(socket_, waiting_.data() + sent_, waiting_.size() - sent_, MSG_DONTWAIT | MSG_NOSIGNAL);
        sent_ += count > 0 ? static_cast<std::size_t>(count) : 0;
        return count > 0 ? static_cast<std::size_t>(count) : 0;
    }
    std::size_t sent() const { return sent_; }
    std::size_t to_send() const { return waiting_.size() - sent_; }
    /// So many frames of that type have come until now, over all.
    std::size_t come(protocol::FrameType type) {
        std::vector<std::byte> buffer(1 << 16);
        for (ssize_t count; (count = ::recv(socket_, buffer.data(), buffer.size(), MSG_DONTWAIT)) > 0;) {
            reader_.feed(std::span(buffer).first(static_cast<std::size_t>(count)));
            while (const auto frame = reader_.next()) {
                ++come_[frame->type];
            }
        }
        return come_[static_cast<std::uint16_t>(type)];
    }
    /// Sends all and waits for so many frames of that type; false after a minute.
    bool wait(protocol::FrameType type, std::size_t count) {
        const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
        while (come(type) < count || to_send() > 0) {
            if (std::chrono::steady_clock::now() > deadline) {
                return false;
            }
            send_some();
            pollfd wait{socket_, POLLIN, 0};
            ::poll(&wait, 1, 1);
        }
        return true;
    }

 private:
    const int socket_;
    std::vector<std::byte> waiting_;
    std::size_t sent_ = 0;
    protocol::FrameReader reader_{protocol::kDataBodyLimit};
    std::map<std::uint16_t, std::size_t> come_;
};

/// Whoever asks and does not read is read no further, and gets every answer once it does; others notice nothing.
TEST(Server, AViewerThatAsksAndNeverReadsWaitsForItselfAlone) {
    constexpr unsigned kAsked = 40'000;
    BareNode node;
    node.options.unsent_bytes = 100'000;
    Talker talker;
    const transport::NodeServer server(node.options, node.session->journal(), talker);
    BareViewer flooder(node.options.socket), other(node.options.socket);
    for (unsigned i = 0; i < kAsked; ++i) {
        flooder.request(i);
    }
    const std::size_t all = flooder.to_send();
    ASSERT_TRUE(other.wait(protocol::FrameType::auth_ok, 1));
    // Until nothing was taken for a while, or all was.
    double longest = 0, quiet_since = seconds_now();
    for (std::size_t pings = 1; flooder.to_send() > 0 && seconds_now() - quiet_since < 0.5; ++pings) {
        for (std::size_t count; (count = flooder.send_some()) > 0;) {
            quiet_since = seconds_now();
        }
        const double asked = seconds_now();
        other.ping();
        ASSERT_TRUE(other.wait(protocol::FrameType::pong, pings));
        longest = std::max(longest, seconds_now() - asked);
    }
    EXPECT_LT(longest, 0.5) << "seconds until the other viewer's PONG";
    EXPECT_LT(flooder.sent(), all / 2) << "the node went on collecting answers";
    ASSERT_TRUE(flooder.wait(protocol::FrameType::response, kAsked)) << flooder.come(protocol::FrameType::response);
}

TEST(Server, WhoNeverGreetsTakesNobodysPlace) {
    SilentNode node;
    node.options.max_viewers = 1;
    node.options.max_greetings = 4;
    const transport::NodeServer server(node.options, node.session->journal(), node.handler);
    std::vector<int> silent;
    for (int i = 0; i < 12; ++i) {
        silent.push_back(connect_to(node.options.socket));
    }
    Watched viewer(view(node.options.socket));
    EXPECT_EQ(viewer.wait_for_link(Link::State::connected)->link.state, Link::State::connected);
    // The oldest of them have made room.
    std::size_t open = 0;
    for (const int socket : silent) {
        char buffer[4096];
        ssize_t count = 0;
        while ((count = ::recv(socket, buffer, sizeof buffer, MSG_DONTWAIT)) > 0) {
        }
        open += count < 0 && errno == EAGAIN ? 1 : 0;
        ::close(socket);
    }
    EXPECT_LE(open, node.options.max_greetings);
    EXPECT_GT(open, 0u);
}

/// Keeps what it is asked, and tells which of it is given up.
class Collector final : public transport::RequestHandler {
 public:
    explicit Collector(std::set<unsigned> not_begun) : not_begun_(std::move(not_begun)) {}
    bool wait(const std::function<bool(const Collector&)>& fits) {
        const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
        for (;;) {
            {
                const std::lock_guard lock(mutex_);
                if (fits(*this)) {
                    return true;
                }
            }
            if (std::chrono::steady_clock::now() > deadline) {
                return false;
            }
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
        }
    }
    std::vector<unsigned> asked;
    std::map<unsigned, std::function<void(nlohmann::json)>> replies;
    std::set<unsigned> abandoned;

 private:
    static unsigned number(const std::string& id) { return static_cast<unsigned>(std::stoul(id, nullptr, 16)); }
    void on_request(const transport::Asker&, std::string id, std::string, nlohmann::json,
                    std::function<void(nlohmann::json)> reply) override {
        const std::lock_guard lock(mutex_);
        asked.push_back(number(id));
        replies[asked.back()] = std::move(reply);
    }
    std::vector<std::string> on_abandoned(const std::vector<std::string>& ids) override {
        const std::lock_guard lock(mutex_);
        std::vector<std::string> dropped;
        for (const std::string& id : ids) {
            abandoned.insert(number(id));
            if (not_begun_.contains(number(id))) {
                dropped.push_back(id);
            }
        }
        return dropped;
    }
    const std::set<unsigned> not_begun_;
    std::mutex mutex_;
};

/// A command is given up with the last viewer that waits for it; what is begun is begun once, whoever comes back.
TEST(Server, CommandsOfViewersThatHaveGoneAreGivenUp) {
    BareNode node;
    Collector collector({3});
    const transport::NodeServer server(node.options, node.session->journal(), collector);
    const auto has_asked = [&](std::size_t count) {
        return collector.wait([count](const Collector& now) { return now.asked.size() == count; });
    };
    BareViewer stays(node.options.socket);
    {
        BareViewer goes(node.options.socket);
        for (const unsigned number : {1, 2, 3}) {
            goes.request(number);
        }
        ASSERT_TRUE(goes.wait(protocol::FrameType::auth_ok, 1));
        ASSERT_TRUE(has_asked(3));
        stays.request(2);  // sent again by who waits for it too
        stays.request(4);
        ASSERT_TRUE(stays.wait(protocol::FrameType::auth_ok, 1));
        ASSERT_TRUE(has_asked(4));
    }
    ASSERT_TRUE(collector.wait([](const Collector& now) { return now.abandoned.size() == 2; }));
    EXPECT_EQ(collector.abandoned, (std::set<unsigned>{1, 3}));
    for (const unsigned number : {1, 3, 5}) {
        stays.request(number);
    }
    ASSERT_TRUE(stays.wait(protocol::FrameType::auth_ok, 1));
    ASSERT_TRUE(has_asked(6));
    EXPECT_EQ(collector.asked, (std::vector<unsigned>{1, 2, 3, 4, 3, 5})) << "1 had begun, 3 is a new command";
    collector.replies.at(1)({{"state", "done"}, {"value", nlohmann::json::object()}});
    EXPECT_TRUE(stays.wait(protocol::FrameType::response, 1));
}

TEST(Server, RefusesOneViewerTooMany) {
    SilentNode node;
    node.options.max_viewers = 1;
    const transport::NodeServer server(node.options, node.session->journal(), node.handler);
    Watched first(view(node.options.socket));
    first.wait_for_link(Link::State::connected);
    Watched second(view(node.options.socket));
    const CommandId waiting = second.client.send("count");
    EXPECT_EQ(second.result_of(waiting).state, CommandResult::State::failed) << "it will not be accepted later either";
    EXPECT_NE(second.wait_for_link(Link::State::refused)->link.message.english().find("as many viewers"),
              std::string::npos);
}

/// A view over an ssh that is this script.
ClientOptions over_ssh(const TemporaryFolder& folder, const std::string& script) {
    ClientOptions options;
    options.node = "ssh://there";
    options.ssh = folder / "ssh";
    test::write_text(options.ssh, "#!/bin/sh\n" + script);
    std::filesystem::permissions(options.ssh, std::filesystem::perms::owner_all);
    return options;
}

/// What a node says that refuses.
std::filesystem::path refusal(const TemporaryFolder& folder, protocol::RefuseCode code) {
    std::vector<std::byte> bytes;
    append_frame(bytes, protocol::make_frame(protocol::FrameType::refuse, protocol::encode_refuse({code, 1, 0, "no"})));
    const std::filesystem::path file = folder / "refusal";
    test::write_text(file, {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
    return file;
}

TEST(Ssh, SaysWhatACopyOfTheNodeWouldHelpWith) {
    const TemporaryFolder folder;
    const auto obstacle = [&](const std::string& script) {
        Watched viewer(over_ssh(folder, script));
        return viewer.wait_for_link(Link::State::refused)->link.obstacle;
    };
    EXPECT_EQ(obstacle("echo sh: moescope-node: not found >&2; exit 127"), Link::Obstacle::no_program);
    EXPECT_EQ(obstacle("echo Permission denied >&2; exit 255"), Link::Obstacle::none);
    const std::string shown = "cat '" + (folder / "refusal").string() + "'; cat > /dev/null";
    refusal(folder, protocol::RefuseCode::version);
    EXPECT_EQ(obstacle(shown), Link::Obstacle::other_version);
    refusal(folder, protocol::RefuseCode::busy);
    EXPECT_EQ(obstacle(shown), Link::Obstacle::none);
}

TEST(Child, StartsServesAndEndsWithItsClient) {
    const TemporaryFolder folder;
    int process = 0;
    {
        Watched viewer(own(folder / "session"));
        const auto id = viewer.client.send("start", {{"steps", 50}});
        EXPECT_EQ(viewer.result_of(id).state, CommandResult::State::done);
        expect_steps(*viewer.wait_for_steps(1, 50)->training.at(1), 50);
        process = viewer.client.node_process();
        EXPECT_GT(process, 0);
        EXPECT_EQ(::kill(process, 0), 0);
    }
    EXPECT_EQ(::kill(process, 0), -1) << "the child outlived its client";
    Watched again(own(folder / "session"));
    const auto snapshot = again.wait_for_steps(1, 50);
    expect_steps(*snapshot->training.at(1), 50);
    EXPECT_EQ(again.wait_for_link(Link::State::connected)->link.epoch, 2u);
    EXPECT_EQ(again.client.snapshot()->training.at(1)->state, history::RunState::interrupted);
}

TEST(Child, KilledNodeIsACrashWithASentenceAndCanBeStartedAgain) {
    const TemporaryFolder folder;
    Watched viewer(own(folder / "session"));
    viewer.result_of(viewer.client.send("start", {{"steps", 5}}));
    viewer.wait_for_steps(1, 5);
    const CommandId pending = viewer.client.send("never");
    viewer.result_of(viewer.client.send("count"));  // behind it: the other one has arrived
    ::kill(viewer.client.node_process(), SIGKILL);
    const auto crashed = viewer.wait_for_link(Link::State::crashed);
    EXPECT_NE(crashed->link.message.english().find("signal 9"), std::string::npos) << crashed->link.message;
    EXPECT_EQ(crashed->training.at(1)->state, history::RunState::interrupted);
    EXPECT_EQ(crashed->training.at(1)->step.size(), 5u);
    EXPECT_EQ(crashed->results.at(pending).state, CommandResult::State::unknown);
    EXPECT_NE(crashed->results.at(pending).error.english(), "");
    EXPECT_EQ(viewer.client.node_process(), 0);
    EXPECT_EQ(viewer.result_of(viewer.client.send("count")).state, CommandResult::State::failed)
        << "nothing runs that could do it";
    viewer.client.restart_node();
    const auto back = viewer.wait_for_link(Link::State::connected);
    EXPECT_EQ(back->link.epoch, 2u);
    EXPECT_EQ(viewer.result_of(viewer.client.send("start", {{"steps", 3}})).value["run"], 2);
    expect_steps(*viewer.wait_for_steps(2, 3)->training.at(2), 3);
    EXPECT_EQ(viewer.client.snapshot()->training.at(1)->step.size(), 5u) << "nothing was read twice";
}

TEST(Child, EndsByItselfOrCannotStart) {
    {
        const TemporaryFolder folder;
        Watched viewer(own(folder / "session"));
        const CommandId id = viewer.client.send("die", {{"status", 4}});
        EXPECT_NE(viewer.wait_for_link(Link::State::crashed)->link.message.english().find("exit status 4"),
                  std::string::npos);
        EXPECT_EQ(viewer.result_of(id).state, CommandResult::State::unknown);
    }
    {
        const TemporaryFolder folder;
        Watched viewer(own(folder / "session", {"--fail", "the reason why"}));
        const std::string message = viewer.wait_for_link(Link::State::crashed)->link.message.english();
        EXPECT_NE(message.find("exit status 3"), std::string::npos) << message;
        EXPECT_NE(message.find("the reason why"), std::string::npos) << message;
    }
    {
        const TemporaryFolder folder;
        ClientOptions options = own(folder / "session");
        options.node_program = folder / "no-such-program";
        Watched viewer(options);
        EXPECT_NE(viewer.wait_for_link(Link::State::crashed)->link.message.english().find("no-such-program"),
                  std::string::npos);
    }
    {
        const TemporaryFolder folder;
        std::filesystem::create_directories(folder / "documents");
        std::filesystem::create_directories(folder / "documents/letters");
        Watched viewer(own(folder / "documents"));
        EXPECT_NE(viewer.wait_for_link(Link::State::crashed)->link.message.english().find("not a Moescope session"),
                  std::string::npos);
        EXPECT_FALSE(std::filesystem::exists(folder / "documents/node.log")) << "a foreign folder stays as it is";
    }
}

}  // namespace
}  // namespace moescope::client
