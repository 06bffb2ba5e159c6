// The process of a model reads that model and nothing else. The same requests with MOESCOPE_SANDBOX=off show that it
// is the sandbox that refuses. That models answer, route and are exported within it, all other tests of this program
// show.
#include "base/sandbox.hpp"

#include <gtest/gtest.h>
#include <optional>

#include "engine/files/npy.hpp"
#include "nodes/service/library/model_library.hpp"
#include "nodes/service/workers/worker_process.hpp"
#include "nodes/service/workers/worker_sandbox.hpp"
#include "tests/nodes/service/program.hpp"

namespace moescope::test {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

class WorkerSandbox : public testing::Test {
 protected:
    static void SetUpTestSuite() {
        folder_ = std::make_unique<TemporaryFolder>();
        const auto sessions = train_tiny_models(*folder_);
        model_ = node::latest_checkpoint(sessions.at(0));
        neighbour_ = node::latest_checkpoint(sessions.at(1));
    }
    static void TearDownTestSuite() { folder_.reset(); }

    /// A process that has opened the model, and may write into `output`.
    void start(const fs::path& output = {}) {
        worker_.emplace(node_program());
        node::ModelSource source(model_);
        source.output = output;
        opened_ = worker_->open(source, 1, never_);
    }
    std::string failure(const json& request) {
        try {
            worker_->ask(
                request, base::say("asking"), [](node::WorkerMessageKind, std::span<const std::byte>) {}, never_);
        } catch (const base::Error& error) {
            return error.what();
        }
        return "none";
    }
    json logits_request(const fs::path& out) {
        const fs::path tokens = *folder_ / "tokens.npy";
        engine::write_npy(tokens, std::span(std::initializer_list<std::int32_t>({1, 2, 3}).begin(), 3), {3});
        return {{"op", "logits"}, {"tokens", tokens.string()}, {"out", out.string()}};
    }
    /// "Seccomp" and such, of the system's description of the process.
    std::string status_of_process(const std::string& key) const {
        std::istringstream lines(read_text("/proc/" + std::to_string(worker_->process()) + "/status"));
        for (std::string line; std::getline(lines, line);) {
            if (line.starts_with(key + ":\t")) {
                return line.substr(key.size() + 2);
            }
        }
        return {};
    }

    static inline std::unique_ptr<TemporaryFolder> folder_;
    static inline fs::path model_, neighbour_;
    const std::atomic<bool> never_{false};
    std::optional<node::WorkerProcess> worker_;
    json opened_;
};

TEST_F(WorkerSandbox, TheProcessOfAModelReadsThatModelAlone) {
    const base::Sandbox here = base::sandbox_here();
    if (!here.files || !here.calls) {
        GTEST_SKIP() << here.why_not.english();
    }
    const TemporaryFolder out;
    start(out.path());
    EXPECT_EQ(opened_.at("sandbox"), (json{{"files", true}, {"calls", true}}));
    EXPECT_EQ(status_of_process("Seccomp"), "2");
    EXPECT_EQ(status_of_process("NoNewPrivs"), "1");
    EXPECT_EQ(failure(logits_request(out / "a.npy")), "none") << "what it needs, it can do";
    EXPECT_TRUE(fs::exists(out / "a.npy"));
    EXPECT_NE(failure(logits_request(*folder_ / "b.npy")).find("Permission denied"), std::string::npos);
    EXPECT_FALSE(fs::exists(*folder_ / "b.npy"));
    EXPECT_NE(failure({{"op", "served"}, {"path", "http://127.0.0.1:9"}, {"server", json::object()}})
                  .find("Operation not permitted"),
              std::string::npos);
    EXPECT_NE(failure({{"op", "open"}, {"path", neighbour_.string()}}).find("Permission denied"), std::string::npos);
}

TEST_F(WorkerSandbox, WithoutItTheSameRequestsAreServed) {
    const Variable off(node::kSandboxVariable, "off");
    start();
    EXPECT_EQ(opened_.at("sandbox"), (json{{"files", false}, {"calls", false}}));
    EXPECT_EQ(status_of_process("NoNewPrivs"), "0");
    EXPECT_EQ(failure(logits_request(*folder_ / "c.npy")), "none");
    EXPECT_EQ(failure({{"op", "served"}, {"path", "http://127.0.0.1:9"}, {"server", json::object()}})
                  .find("Operation not permitted"),
              std::string::npos);
    EXPECT_EQ(failure({{"op", "open"}, {"path", neighbour_.string()}}), "none");
}

/// What a person reads of a file that was lent is its own name.
TEST_F(WorkerSandbox, FilesThatAreLentKeepTheirNames) {
    start();
    const fs::path wrong = *folder_ / "wrong.npy";
    write_text(wrong, "no tokens");
    const std::string problem = failure({{"op", "route"}, {"tokens", wrong.string()}});
    EXPECT_NE(problem.find(wrong.string()), std::string::npos) << problem;
    EXPECT_NE(failure({{"op", "route"}, {"tokens", (*folder_ / "none").string()}}).find("does not exist"),
              std::string::npos);
}

/// As a cache of Hugging Face lays it out: the snapshot is a folder of links to files elsewhere.
TEST_F(WorkerSandbox, LinksOfAModelsFolderAreFollowed) {
    const TemporaryFolder cache;
    for (const auto& entry : fs::directory_iterator(model_)) {
        fs::create_directories(cache / "blobs");
        fs::create_directories(cache / "snapshot");
        fs::copy(entry.path(), cache / ("blobs/" + entry.path().filename().string()));
        fs::create_symlink("../blobs/" + entry.path().filename().string(),
                           cache / ("snapshot/" + entry.path().filename().string()));
    }
    node::WorkerProcess worker(node_program());
    EXPECT_NO_THROW(worker.open(cache / "snapshot", 1, never_));
}

}  // namespace
}  // namespace moescope::test
