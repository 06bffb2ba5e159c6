// A model's process can die or hang at any moment; the node says so in a sentence and goes on.
#include <array>
#include <chrono>
#include <gtest/gtest.h>
#include <mutex>
#include <optional>
#include <signal.h>
#include <thread>
#include <unistd.h>

#include "nodes/protocol/records.hpp"
#include "nodes/service/jobs/checkpoint_holds.hpp"
#include "nodes/service/library/model_library.hpp"
#include "nodes/service/workers/routing_stream.hpp"
#include "nodes/service/workers/worker_pool.hpp"
#include "routing/packed_trace.hpp"
#include "tests/nodes/service/program.hpp"
#include "tests/routing/random_trace.hpp"

namespace moescope::test {
namespace {

using Clock = std::chrono::steady_clock;

/// What `work` throws as a WorkerError.
template <class Work>
node::WorkerError failure_of(Work work) {
    try {
        work();
    } catch (const node::WorkerError& error) {
        return error;
    }
    ADD_FAILURE() << "did not fail";
    return node::WorkerError(base::Sentence(), false);
}

TEST(Worker, TheLastWordsAreTheReason) {
    using node::last_words;
    EXPECT_EQ(last_words(""), "");
    EXPECT_EQ(last_words("one line\n"), "one line");
    EXPECT_EQ(last_words("/a/b/llama.cpp/src/models/qwen3moe.cpp:66: GGML_ASSERT(n_embd_head == n_rot) failed\n"),
              "GGML_ASSERT(n_embd_head == n_rot) failed (qwen3moe.cpp:66)");
    EXPECT_EQ(last_words("terminate called after throwing an instance of 'std::out_of_range'\n  what():  map::at\n"),
              "map::at ('std::out_of_range')");
    EXPECT_EQ(last_words("terminate called without an active exception\n"),
              "terminate called without an active exception");
    const std::string words = last_words("noise\nx\x1b[31m" + std::string(50'000, 'y') + "\n\n");
    EXPECT_LT(words.size(), 300u);
    EXPECT_EQ(words.find('\x1b'), std::string::npos);
}

TEST(Worker, DeathWhileOpeningIsASentence) {
    const std::atomic<bool> never{false};
    node::WorkerProcess worker(node_program());
    // Stopped, it cannot answer: the signal that ends it arrives while the open is under way.
    kill(worker.process(), SIGSTOP);
    std::thread killer([&] {
        kill(worker.process(), SIGABRT);  // as llama.cpp's own checks do; the sanitizers take SIGSEGV for themselves
        kill(worker.process(), SIGCONT);
    });
    const auto error = failure_of([&] { worker.open("model.gguf", 1, never); });
    killer.join();
    EXPECT_TRUE(error.died);
    const std::string message = error.what();
    EXPECT_NE(message.find("signal 6"), std::string::npos) << message;
    EXPECT_NE(message.find("opening model.gguf"), std::string::npos) << message;
    EXPECT_FALSE(worker.alive());
}

TEST(Worker, AProcessThatDoesNotObeyIsEnded) {
    std::atomic<bool> cancel{true};
    node::WorkerProcess worker(node_program());
    kill(worker.process(), SIGSTOP);
    const auto start = Clock::now();
    const auto error = failure_of([&] {
        worker.ask(
            {{"op", "generate"}}, base::say("answering"), [](node::WorkerMessageKind, std::span<const std::byte>) {},
            cancel, std::chrono::milliseconds(300));
    });
    EXPECT_TRUE(error.died);
    EXPECT_LT(Clock::now() - start, std::chrono::seconds(5));
    EXPECT_FALSE(worker.alive());
}

TEST(Worker, AFileThatIsNoModelLeavesTheProcessAlive) {
    const TemporaryFolder folder;
    const auto file = folder / "notes.gguf";
    write_text(file, "no model");
    const std::atomic<bool> never{false};
    node::WorkerProcess worker(node_program());
    const auto error = failure_of([&] { worker.open(file, 1, never); });
    EXPECT_FALSE(error.died);
    EXPECT_NE(std::string(error.what()).find("notes.gguf"), std::string::npos) << error.what();
    EXPECT_FALSE(error.sentence().is_verbatim()) << "the sentence crosses the pipe as data";
    EXPECT_TRUE(worker.alive());
}

TEST(Worker, PoolStartsAndEndsProcesses) {
    const TemporaryFolder folder;
    write_text(folder / "notes.gguf", "no model");
    const std::atomic<bool> never{false};
    node::WorkerPool pool(node_program());
    for (int i = 0; i < 3; ++i) {
        auto lease = pool.acquire("notes", folder / "notes.gguf", never);
        EXPECT_THROW(lease.open(1, never), node::WorkerError);
    }
    EXPECT_TRUE(pool.processes().empty()) << "a process without a model is not kept";
}

/// Of a model in the pool.
pid_t open_and_give_back(node::WorkerPool& pool, const std::string& model, int threads) {
    const std::atomic<bool> never{false};
    auto lease = pool.acquire("model", model, never);
    EXPECT_EQ(lease.open(threads, never).value("op", ""), "opened");
    return lease->process();
}

class Pool : public testing::Test {
 protected:
    static std::string checkpoint(const std::string& session) { return node::latest_checkpoint(session).string(); }
    TemporaryFolder folder;
    std::vector<std::string> sessions = train_tiny_models(folder);
    std::string model = checkpoint(sessions[0]), other = checkpoint(sessions[1]);
    const std::atomic<bool> never{false};
};

TEST_F(Pool, AModelIsLoadedOnceWhoeverAsksAndWithHoweverManyThreads) {
    node::WorkerPool pool(node_program());
    const pid_t process = open_and_give_back(pool, model, 2);
    EXPECT_EQ(open_and_give_back(pool, model, 1), process);
    EXPECT_NE(open_and_give_back(pool, other, 1), process);
    ASSERT_EQ(pool.processes().size(), 2u);
    EXPECT_GT(pool.idle_memory(), std::uint64_t{1} << 20);

    // Who comes meanwhile waits, and they go in the order in which they came.
    std::optional<node::WorkerPool::Lease> first(pool.acquire("model", model, never));
    std::vector<int> order;
    std::mutex mutex;
    std::vector<std::thread> waiting;
    std::atomic<int> came{0};
    for (int i = 0; i < 3; ++i) {
        waiting.emplace_back([&, i] {
            while (came != i) {
                std::this_thread::yield();
            }
            ++came;
            auto lease = pool.acquire("model", model, never);
            EXPECT_EQ((lease.open(1, never), lease->process()), process);
            const std::lock_guard lock(mutex);
            order.push_back(i);
        });
        while (came != i + 1) {
            std::this_thread::yield();
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(30));  // from its mark to its place in the queue
    }
    std::atomic<bool> cancel{false};
    std::thread impatient([&] { EXPECT_THROW(pool.acquire("model", model, cancel), node::WorkerError); });
    cancel = true;
    impatient.join();
    EXPECT_TRUE(order.empty());
    first.reset();
    for (auto& thread : waiting) {
        thread.join();
    }
    EXPECT_EQ(order, (std::vector<int>{0, 1, 2}));
}

TEST_F(Pool, IdleModelsGoAfterAWhileAndWhenOthersNeedTheRoom) {
    using namespace std::chrono_literals;
    node::WorkerPool pool(node_program(), 300ms);
    const pid_t process = open_and_give_back(pool, model, 1);
    {
        const auto used = pool.acquire("model", other, never);
        const auto until = Clock::now() + 10s;
        while (kill(process, 0) == 0 && Clock::now() < until) {
            std::this_thread::sleep_for(10ms);
        }
        EXPECT_NE(kill(process, 0), 0) << "the idle one has left";
    }
    node::WorkerPool patient(node_program(), 1h);
    const pid_t early = open_and_give_back(patient, model, 1), late = open_and_give_back(patient, other, 1);
    patient.make_room(1);
    EXPECT_EQ(patient.processes().size(), 2u) << "there is that much";
    auto lease = patient.acquire("model", other, never);
    patient.make_room(~std::uint64_t{0} - 1);
    EXPECT_NE(kill(early, 0), 0);
    EXPECT_EQ(kill(late, 0), 0) << "in use";
    EXPECT_EQ(patient.processes().size(), 1u);
    EXPECT_TRUE(patient.processes()[0].in_use);
    EXPECT_EQ(patient.processes()[0].process, late);
}

TEST(CheckpointHolds, WhatIsHeldIsNotForgotten) {
    node::CheckpointHolds holds;
    int forgotten = 0;
    const auto forget = [&] { ++forgotten; };
    auto first = holds.hold("a"), second = holds.hold("a");
    holds.forget_unless_held("a", forget);
    first.reset();
    holds.forget_unless_held("a", forget);
    EXPECT_EQ(forgotten, 0);
    holds.forget_unless_held("b", forget);
    EXPECT_EQ(forgotten, 1);
    second.reset();
    holds.forget_unless_held("a", forget);
    EXPECT_EQ(forgotten, 2);
}

/// A pipe with the writer that a model's process has, and the reader of the node.
struct RoutingPipe {
    ~RoutingPipe() {
        close(ends[0]);
        close(ends[1]);
    }
    /// The next message within so many milliseconds.
    std::optional<node::WorkerMessage> next(int milliseconds) {
        node::WorkerMessage message;
        return reader->read(message, milliseconds) == node::WorkerReader::Status::message ? std::optional(message)
                                                                                          : std::nullopt;
    }
    static std::array<int, 2> opened() {
        std::array<int, 2> ends{-1, -1};
        EXPECT_EQ(pipe(ends.data()), 0);
        return ends;
    }
    std::array<int, 2> ends = opened();
    std::unique_ptr<node::WorkerReader> reader = std::make_unique<node::WorkerReader>(ends[0]);
    node::WorkerWriter writer{ends[1]};
};

TEST(RoutingStream, NoTokenWaitsForTheNext) {
    RoutingPipe pipe;
    const routing::RouterSpec spec = routing::make_spec(2, 8, 2);
    const auto tokens = routing::RandomTrace(spec, 1).tokens(4);
    node::RoutingStream stream(pipe.writer, {7, routing::Detail::scores, 0}, spec, {});
    const auto started = pipe.next(1000);
    ASSERT_TRUE(started);
    EXPECT_EQ(started->kind, node::WorkerMessageKind::routing);
    EXPECT_EQ(protocol::decode_json(started->body)->at("run"), 7);
    EXPECT_FALSE(pipe.next(300)) << "nothing is no piece";
    routing::PackedTrace trace(spec);
    for (std::size_t i = 0; i < 3; ++i) {
        const auto start = Clock::now();
        stream.add(tokens[i]);
        const auto scores = pipe.next(1000), chunk = pipe.next(1000);
        ASSERT_TRUE(scores && chunk);
        EXPECT_LT(Clock::now() - start, node::RoutingStream::kLongestWait + std::chrono::milliseconds(150))
            << "with room for a busy machine";
        EXPECT_EQ(scores->kind, node::WorkerMessageKind::scores);
        ASSERT_EQ(chunk->kind, node::WorkerMessageKind::chunk);
        const auto piece = protocol::decode_routing(chunk->body), of_token = protocol::decode_routing(scores->body);
        EXPECT_EQ(piece->run, 7u);
        EXPECT_EQ(piece->token, i);
        EXPECT_EQ(of_token->token, i);
        EXPECT_TRUE(trace.append({piece->packed.begin(), piece->packed.end()}));
        EXPECT_TRUE(trace.append_scores(i, {of_token->packed.begin(), of_token->packed.end()}));
    }
    stream.add(tokens[3]);
    stream.finish();  // the rest at once
    EXPECT_TRUE(pipe.next(50));
    const auto last = pipe.next(50);
    ASSERT_TRUE(last);
    EXPECT_EQ(last->kind, node::WorkerMessageKind::chunk);
    EXPECT_EQ(stream.summary()["tokens"], 4);
    // One that goes on says nothing of the router again.
    node::RoutingStream more(pipe.writer, {7, routing::Detail::weights, 4}, spec, {});
    more.add(tokens[0]);
    more.finish();
    const auto piece = pipe.next(1000);
    ASSERT_TRUE(piece);
    EXPECT_EQ(piece->kind, node::WorkerMessageKind::chunk);
    EXPECT_EQ(protocol::decode_routing(piece->body)->token, 4u);
}

}  // namespace
}  // namespace moescope::test
