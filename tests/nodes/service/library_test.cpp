// Adding a large model file: known at once, hashed after that, with progress and cancel.
#include <gtest/gtest.h>

#include "base/sha256.hpp"
#include "tests/engine/files/gguf_bytes.hpp"
#include "tests/nodes/service/workbench.hpp"

namespace moescope::test {
namespace {

/// A GGUF file with one tensor of zeros; takes no room on the disk beyond its header.
void write_gguf(const std::filesystem::path& path, std::uint64_t weights) {
    engine::GgufBytes g;
    g.tensor({"x", {weights}, 0, 0});
    const std::string bytes = g.file(0);
    write_text(path, bytes);
    std::filesystem::resize_file(path, bytes.size() + 4 * weights);
}

const client::ModelEntry* model(const Snapshot& snapshot, const std::string& name) {
    for (const auto& entry : snapshot.models) {
        if (entry.name == name) {
            return &entry;
        }
    }
    return nullptr;
}

TEST(Library, ASmallFileIsHashed) {
    const TemporaryFolder folder;
    write_gguf(folder / "small.gguf", 1000);
    Workbench bench(folder / "session");
    const auto name = bench.done("models.add", {{"path", (folder / "small.gguf").string()}}).value("name", "");
    const auto now = bench.wait("the hash", [&](const Snapshot& s) {
        const auto* entry = model(s, name);
        return entry != nullptr && !entry->sha256.empty();
    });
    EXPECT_EQ(model(*now, name)->sha256, base::sha256_of_file(folder / "small.gguf"));
    bench.done("models.remove", {{"name", name}});
}

TEST(Library, HashingALargeFileIsATaskThatCanBeCancelled) {
    const TemporaryFolder folder;
    write_gguf(folder / "large.gguf", std::uint64_t{4} << 30);
    Workbench bench(folder / "session");
    const auto name = bench.done("models.add", {{"path", (folder / "large.gguf").string()}}).value("name", "");
    const auto hashing = [](const Snapshot& s) {
        return s.tasks.size() == 1 && s.tasks[0].kind == protocol::TaskKind::hash && s.tasks[0].fraction > 0;
    };
    const auto now = bench.wait("progress", hashing);
    EXPECT_EQ(now->tasks[0].title, "large.gguf");
    EXPECT_EQ(now->tasks[0].run, 0u);
    EXPECT_EQ(now->tasks[0].cancel_command, "task.cancel");
    // Everything else goes on meanwhile.
    EXPECT_TRUE(bench.done("models.inspect", {{"path", (folder / "large.gguf").string()}}).value("safe", false));
    EXPECT_NE(model(*now, name), nullptr);
    bench.done("task.cancel", {{"id", now->tasks[0].id}});
    const auto after = bench.wait("the end of the task", [](const Snapshot& s) { return s.tasks.empty(); });
    ASSERT_NE(model(*after, name), nullptr) << "it stays in the library";
    EXPECT_TRUE(model(*after, name)->sha256.empty());
    bench.done("models.remove", {{"name", name}});
    EXPECT_NE(bench.failed("task.cancel", {{"run", 1}}).find("run"), std::string::npos);
}

TEST(Library, TwoProgramsThatAddLoseNothing) {
    const TemporaryFolder folder;
    for (const char* name : {"one.gguf", "two.gguf", "three.gguf"}) {
        write_gguf(folder / name, 1000);
    }
    Workbench bench(folder / "session");
    bench.done("models.add", {{"path", (folder / "one.gguf").string()}});
    ASSERT_EQ(run_node({"models", "add", (folder / "two.gguf").string()}).status, 0);
    bench.done("models.add", {{"path", (folder / "three.gguf").string()}});
    const Output output = run_node({"models", "list", "--json"});
    for (const char* name : {"\"one\"", "\"two\"", "\"three\""}) {
        EXPECT_NE(output.out.find(name), std::string::npos) << name;
    }
    for (const char* name : {"one", "two", "three"}) {
        bench.done("models.remove", {{"name", name}});
    }
}

}  // namespace
}  // namespace moescope::test
