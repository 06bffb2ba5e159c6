// Adding a large model file: known at once, hashed after that, with progress and cancel.
#include <gtest/gtest.h>
#include <sys/stat.h>

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

/// A file that says what its model is called, by the key that GGUF has for that.
void write_named(const std::filesystem::path& path, const std::string& name, std::uint64_t weights) {
    engine::GgufBytes g;
    g.string("general.name", name);
    g.tensor({"x", {weights}, 0, 0});
    const std::string bytes = g.file(0);
    write_text(path, bytes);
    std::filesystem::resize_file(path, bytes.size() + 4 * weights);
}

TEST(Library, AnotherFileInItsPlaceIsCalledByItsOwnName) {
    const TemporaryFolder folder;
    const auto file = folder / "q.gguf";
    write_named(file, "first model", 1000);
    Workbench bench(folder / "session");
    const auto name = bench.done("models.add", {{"path", file.string()}}).value("name", "");
    const auto hashed = [&](const char* title) {
        return [&, title](const Snapshot& s) {
            const auto* entry = model(s, name);
            return entry != nullptr && entry->title == title && entry->sha256 == base::sha256_of_file(file);
        };
    };
    bench.wait("the first one", hashed("first model"));
    write_named(file, "second model", 2000);
    bench.wait("the second one", hashed("second model"));
    const Output listed = run_node({"models", "list"});
    EXPECT_NE(listed.out.find("second model"), std::string::npos) << listed.out;
    EXPECT_EQ(listed.out.find("first model"), std::string::npos) << listed.out;
    write_gguf(file, 3000);
    bench.wait("one without a name", hashed("q.gguf"));
    bench.done("models.remove", {{"name", name}});
}

TEST(Library, WhatAnotherProgramAddsIsSeen) {
    const TemporaryFolder folder;
    write_gguf(folder / "theirs.gguf", 1000);
    Workbench bench(folder / "session");
    bench.wait("the node", [](const Snapshot& s) { return s.node.cores > 0; });
    ASSERT_EQ(run_node({"models", "add", (folder / "theirs.gguf").string()}).status, 0);
    bench.wait("it", [](const Snapshot& s) { return model(s, "theirs") != nullptr; });
    bench.done("models.remove", {{"name", "theirs"}});
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

namespace fs = std::filesystem;

bool has(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

/// A library of its own.
class DamagedList : public testing::Test {
 protected:
    DamagedList() {
        write_gguf(folder / "one.gguf", 1000);
        write_gguf(folder / "two.gguf", 1000);
    }
    Output add(const char* name) const { return run_node({"models", "add", (folder / name).string()}); }
    const TemporaryFolder folder;
    const Variable data{"XDG_DATA_HOME", (folder / "data").string()};
    const fs::path list = folder / "data" / "moescope" / "models.json";
};

TEST_F(DamagedList, IsSaidAndKeptUnderAFreeName) {
    const std::string aside = list.string() + ".damaged-1", next = list.string() + ".damaged-2";
    for (const std::string text :
         {"{\"models\": [", "[]", "{\"models\": [{\"name\": \"x\"}]}", "{\"models\": [], \"models\": []}"}) {
        fs::remove_all(list.parent_path());
        write_text(list, text);
        write_text(aside, "an earlier one");
        for (const Arguments& arguments : {Arguments{"models", "list"}, Arguments{"models", "list", "--json"}}) {
            const Output output = run_node(arguments);
            EXPECT_EQ(output.status, 0) << output.error;
            EXPECT_TRUE(has(output.error, "warning: the list of added models is damaged: ")) << output.error;
            EXPECT_TRUE(has(output.error, list.string())) << output.error;
        }
        EXPECT_EQ(read_text(list), text) << "who reads changes nothing";
        const Output added = add("one.gguf");
        EXPECT_EQ(added.status, 0) << added.error;
        EXPECT_TRUE(has(added.error, "was kept as " + next)) << added.error;
        EXPECT_EQ(read_text(aside), "an earlier one");
        EXPECT_EQ(read_text(next), text);
        const Output listed = run_node({"models", "list", "--json"});
        EXPECT_EQ(listed.error, "");
        EXPECT_TRUE(has(listed.out, "\"one\""));
    }
}

TEST_F(DamagedList, TheWindowIsTold) {
    write_text(list, "no list");
    Workbench bench(folder / "session");
    const auto now = bench.wait("the problem", [](const Snapshot& s) { return !s.node.problems.empty(); });
    EXPECT_TRUE(has(now->node.problems[0].english(), "the list of added models is damaged")) << now->node.problems[0];
    const auto logged = [](const std::string& part) {
        return [part](const Snapshot& s) {
            for (std::size_t i = 0; i < s.log.size(); ++i) {
                if (s.log[i].level == "warning" && has(s.log[i].text.english(), part)) {
                    return true;
                }
            }
            return false;
        };
    };
    bench.wait("it in the log", logged("the list of added models is damaged"));
    bench.done("models.add", {{"path", (folder / "one.gguf").string()}});
    bench.wait("where it is kept", logged("was kept as " + list.string() + ".damaged-1"));
    bench.wait("no problem any more", [](const Snapshot& s) { return s.node.problems.empty(); });
    EXPECT_EQ(read_text(list.string() + ".damaged-1"), "no list");
}

TEST_F(DamagedList, WhatIsNoFileIsLeftWhereItIs) {
    fs::create_directories(list.parent_path());
    fs::create_symlink("nowhere.json", list);
    for (const bool pipe : {false, true}) {
        if (pipe) {
            fs::remove(list);
            ASSERT_EQ(::mkfifo(list.c_str(), 0600), 0);
        }
        const Output listed = run_node({"models", "list"});
        EXPECT_EQ(listed.status, 0);
        EXPECT_TRUE(has(listed.error, "warning: the list of added models can't be read: ")) << listed.error;
        const Output added = add("one.gguf");
        EXPECT_EQ(added.status, 1);
        EXPECT_TRUE(has(added.error, "the list of added models can't be read: ")) << added.error;
        EXPECT_EQ(fs::is_fifo(fs::symlink_status(list)), pipe);
        EXPECT_EQ(fs::is_symlink(fs::symlink_status(list)), !pipe);
    }
    EXPECT_EQ(std::distance(fs::directory_iterator(list.parent_path()), fs::directory_iterator()), 1);
}

TEST_F(DamagedList, ALinkStaysAndWhatItNamesIsWritten) {
    const fs::path real = folder / "dotfiles" / "models.json";
    ASSERT_EQ(add("one.gguf").status, 0);
    fs::create_directories(real.parent_path());
    fs::rename(list, real);
    fs::create_symlink(real, list);
    ASSERT_EQ(add("two.gguf").status, 0);
    EXPECT_TRUE(fs::is_symlink(fs::symlink_status(list)));
    EXPECT_TRUE(has(read_text(real), "two.gguf"));
    write_text(real, "no list");
    ASSERT_EQ(add("one.gguf").status, 0);
    EXPECT_TRUE(fs::is_symlink(fs::symlink_status(list)));
    EXPECT_EQ(read_text(real.string() + ".damaged-1"), "no list");
    EXPECT_TRUE(has(read_text(real), "one.gguf"));
}

}  // namespace
}  // namespace moescope::test
