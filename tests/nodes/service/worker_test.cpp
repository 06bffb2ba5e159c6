// A model's process can die or hang at any moment; the node says so in a sentence and goes on.
#include <chrono>
#include <gtest/gtest.h>
#include <signal.h>
#include <thread>

#include "nodes/service/workers/worker_pool.hpp"
#include "tests/nodes/service/program.hpp"

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
            {{"op", "generate"}}, base::say("answering"), [](std::span<const std::byte>) {}, cancel,
            std::chrono::milliseconds(300));
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
        EXPECT_THROW(pool.acquire(folder / "notes.gguf", 1, never), node::WorkerError);
    }
}

}  // namespace
}  // namespace moescope::test
