// Files between a node and the client that the window uses.
#include <fstream>
#include <gtest/gtest.h>

#include "tests/nodes/service/workbench.hpp"

namespace moescope::test {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

std::string some_text(std::size_t bytes) {
    std::string text(bytes, '\0');
    unsigned seed = 7;
    for (char& c : text) {
        seed = seed * 1664525 + 1013904223;
        c = static_cast<char>(seed >> 24);
    }
    return text;
}

class Transfers : public testing::Test {
 protected:
    TemporaryFolder folder;
    fs::path session = folder / "session", files = session / "files";
};

TEST_F(Transfers, AFileGoesThereAndComesBack) {
    Workbench bench(session);
    write_text(folder / "a", some_text(9'000'000));
    const json sent = bench.done("transfer.push", {{"from", (folder / "a").string()}, {"name", "b/c"}});
    EXPECT_EQ(sent["name"], "b/c");
    EXPECT_EQ(sent["path"], (files / "b/c").string());
    EXPECT_EQ(read_text(files / "b/c"), read_text(folder / "a"));
    const json got =
        bench.done("transfer.pull", {{"path", sent["path"]}, {"to", (folder / "d").string()}, {"replace", false}});
    EXPECT_EQ(got["bytes"], 9'000'000);
    EXPECT_EQ(read_text(folder / "d"), read_text(folder / "a"));
    EXPECT_NE(bench.failed("transfer.pull", {{"path", sent["path"]}, {"to", (folder / "d").string()}}).find("there"),
              std::string::npos);
    EXPECT_NE(bench.failed("transfer.push", {{"from", (folder / "a").string()}, {"name", "../out"}}).find("'../out'"),
              std::string::npos);
    EXPECT_NE(bench.failed("transfer.pull", {{"path", "/nowhere"}, {"to", (folder / "e").string()}}).find("/nowhere"),
              std::string::npos);
    bench.failed("transfer.pull", {{"path", "/nowhere"}});
    EXPECT_FALSE(fs::exists(session / "out"));
}

/// Whoever sends it again, because something that came after it was refused, has it there.
TEST_F(Transfers, WhatIsThereAlreadyIsNotSentAgainAndNothingElseTakenForIt) {
    Workbench bench(session);
    for (const char* name : {"m/a", "m/b/c", "n/a", "n/b/c"}) {
        fs::create_directories((folder / name).parent_path());
        write_text(folder / name, some_text(5'000'000));
    }
    const json order = {{"from", (folder / "m").string()}, {"name", "m"}};
    const json first = bench.done("transfer.push", order);
    EXPECT_EQ(bench.done("transfer.push", order), first);
    const json one = {{"from", (folder / "m/a").string()}, {"name", "one"}};
    EXPECT_EQ(bench.done("transfer.push", one), bench.done("transfer.push", one));
    std::string other = some_text(5'000'000);
    other.back() = static_cast<char>(other.back() ^ 1);
    write_text(folder / "n/b/c", other);
    EXPECT_NE(bench.failed("transfer.push", {{"from", (folder / "n").string()}, {"name", "m"}}).find("there already"),
              std::string::npos);
    write_text(folder / "m/a", other);
    EXPECT_NE(bench.failed("transfer.push", one).find("there already"), std::string::npos);
    EXPECT_EQ(read_text(files / "m/b/c"), some_text(5'000'000));
    EXPECT_EQ(read_text(files / "one"), some_text(5'000'000));
}

TEST_F(Transfers, ACheckpointComesWhileItsRunGoesOn) {
    const auto corpus = write_corpus(folder);
    Workbench bench(session);
    bench.done("train.start", {{"config", tiny_config(1'000'000, 0)}, {"data", corpus.string()}});
    bench.wait("steps", [](const Snapshot& s) {
        const auto* run = training(s, 1);
        return run != nullptr && run->step.size() >= 10;
    });
    bench.done("transfer.pull", {{"model", "checkpoint:1:now"}, {"to", (folder / "C").string()}});
    EXPECT_TRUE(fs::exists(folder / "C/DONE"));
    const auto now = bench.client().snapshot();
    EXPECT_EQ(training(*now, 1)->state, RunState::running);
    const Output answer =
        run_node({"generate", "--model", (folder / "C").string(), "--prompt", "The", "--max-tokens", "3", "--json"});
    EXPECT_EQ(answer.status, 0) << answer.error;
    EXPECT_EQ(answer.lines().back()["tokens"], 3);
}

TEST_F(Transfers, ACancelledOneGoesOnWhenItIsAskedForAgain) {
    Workbench bench(session);
    bench.wait("the node", [](const Snapshot& s) { return s.node.cores > 0; });
    fs::create_directories(files);
    const std::string content = some_text(200'000'000);
    write_text(files / "large", content);
    const json order = {{"path", (files / "large").string()}, {"to", (folder / "large").string()}};
    const auto id = bench.client().send("transfer.pull", order);
    const auto moving = bench.wait(
        "some ranges", [](const Snapshot& s) { return !s.transfers.empty() && s.transfers[0].done > 8'000'000; });
    ASSERT_FALSE(moving->tasks.empty());
    const auto task = moving->tasks.back();
    EXPECT_EQ(task.kind, protocol::TaskKind::fetch);
    EXPECT_GT(task.fraction, 0);
    bench.done(task.cancel_command, {{"id", task.id}});
    EXPECT_NE(bench.result_of(id).error.english().find("cancelled"), std::string::npos);
    EXPECT_TRUE(fs::exists(folder / "large.part"));
    EXPECT_FALSE(fs::exists(folder / "large"));
    const auto again = bench.client().send("transfer.pull", order);
    const auto first =
        bench.wait("it to go on", [](const Snapshot& s) { return !s.transfers.empty() && s.transfers[0].done > 0; });
    EXPECT_GE(first->transfers[0].done, 8'000'000u);
    EXPECT_EQ(bench.result_of(again).state, CommandResult::State::done);
    EXPECT_EQ(read_text(folder / "large"), content);
}

/// A person who saves what a node elsewhere writes means a place on this machine.
TEST_F(Transfers, WhatANodeElsewhereWritesComesHere) {
    const auto corpus = write_corpus(folder);
    client::ClientOptions options;
    options.node = "ssh://there";
    options.ssh = folder / "ssh";
    write_text(options.ssh, "#!/bin/sh\nexec '" + node_program().string() + "' serve --stdio --session '" +
                                session.string() + "'\n");
    fs::permissions(options.ssh, fs::perms::owner_all);
    Workbench bench(options);
    bench.wait("the node", [](const Snapshot& s) { return s.node.cores > 0; });
    bench.done("train.start", {{"config", tiny_config(3, 0)}, {"data", corpus.string()}});
    bench.wait("the run", in_state(1, RunState::done));
    fs::create_directories(folder / "here");
    const fs::path table = folder / "here/curves.csv";
    const json order = {{"run", 1}, {"path", table.string()}, {"format", "csv"}, {"replace", false}};
    const json written = bench.done("curves.export", order);
    EXPECT_EQ(written["path"], table.string());
    EXPECT_EQ(written["node_path"], (session / "files/curves.csv").string());
    EXPECT_GT(written["curves"], 3) << "what the node said of it is kept";
    EXPECT_EQ(read_text(table), read_text(session / "files/curves.csv"));
    write_text(table, "mine");
    EXPECT_NE(bench.failed("curves.export", order).find("there already"), std::string::npos);
    EXPECT_EQ(read_text(table), "mine");
    json replacing = order;
    replacing["replace"] = true;
    bench.done("curves.export", replacing);
    EXPECT_NE(read_text(table), "mine");
    bench.done("report.write", {{"path", (folder / "here/report.html").string()}, {"language", "en"}});
    EXPECT_TRUE(read_text(folder / "here/report.html").starts_with("<!"));
}

/// Where the session may not be written there, its node puts it elsewhere until it was fetched.
TEST_F(Transfers, WhatIsSavedOfASessionForReadingComesHereToo) {
    const auto corpus = write_corpus(folder);
    ASSERT_EQ(run_node({"train", "--config", write_config(folder, tiny_config(3, 0)).string(), "--data",
                        corpus.string(), "--out", session.string()})
                  .status,
              0);
    client::ClientOptions options;
    options.node = "ssh://there";
    options.ssh = folder / "ssh";
    write_text(options.ssh, "#!/bin/sh\nexec '" + node_program().string() + "' serve --stdio --read-only --session '" +
                                session.string() + "'\n");
    fs::permissions(options.ssh, fs::perms::owner_all);
    Workbench bench(options);
    bench.wait("the node", [](const Snapshot& s) { return s.node.cores > 0 && s.node.read_only; });
    fs::create_directories(folder / "here");
    const fs::path report = folder / "here/report.html", table = folder / "here/curves.csv";
    bench.done("report.write", {{"path", report.string()}, {"language", "en"}});
    EXPECT_TRUE(read_text(report).starts_with("<!"));
    bench.done("curves.export", {{"run", 1}, {"path", table.string()}, {"format", "csv"}});
    EXPECT_FALSE(read_text(table).empty());
    EXPECT_FALSE(fs::exists(session / "files")) << "nothing is written there";
}

/// A node that is killed in the middle is started again by hand, and the transfer goes on by itself.
TEST_F(Transfers, ANodeThatIsKilledIsWaitedFor) {
    Workbench bench(session);
    bench.wait("the node", [](const Snapshot& s) { return s.node.cores > 0; });
    const std::string content = some_text(200'000'000);
    write_text(folder / "large", content);
    const auto id = bench.client().send("transfer.push", {{"from", (folder / "large").string()}});
    bench.wait("some ranges",
               [](const Snapshot& s) { return !s.transfers.empty() && s.transfers[0].done > 8'000'000; });
    kill(bench.client().node_process(), SIGKILL);
    // The window's own node does not come back by itself: the transfer fails, and what is there is gone on with.
    EXPECT_EQ(bench.result_of(id).state, CommandResult::State::failed);
    bench.client().restart_node();
    bench.wait("the node", [](const Snapshot& s) { return s.link.state == client::Link::State::connected; });
    const auto again = bench.client().send("transfer.push", {{"from", (folder / "large").string()}});
    const auto first =
        bench.wait("it to go on", [](const Snapshot& s) { return !s.transfers.empty() && s.transfers[0].done > 0; });
    EXPECT_GE(first->transfers[0].done, 8'000'000u);
    EXPECT_EQ(bench.result_of(again).state, CommandResult::State::done);
    EXPECT_EQ(read_text(files / "large"), content);
}

/// Two that send to one name at once: the second is told so, and the first comes whole.
TEST_F(Transfers, AnotherWorkbenchSendsTheSameName) {
    Workbench bench(session);
    bench.wait("the node", [](const Snapshot& s) { return s.node.cores > 0; });
    client::ClientOptions options;
    options.socket = bench.client().snapshot()->node.address;
    const std::string content = some_text(200'000'000);
    write_text(folder / "large", content);
    write_text(folder / "small", "another one");
    const auto first = bench.client().send("transfer.push", {{"from", (folder / "large").string()}, {"name", "x"}});
    bench.wait("some ranges",
               [](const Snapshot& s) { return !s.transfers.empty() && s.transfers[0].done > 4'000'000; });
    const json second = {{"from", (folder / "small").string()}, {"name", "x"}, {"replace", true}};
    {
        Workbench other(options);
        EXPECT_NE(other.failed("transfer.push", second).find("right now"), std::string::npos);
        EXPECT_EQ(bench.result_of(first).state, CommandResult::State::done);
        EXPECT_EQ(read_text(files / "x"), content);
        other.done("transfer.push", second);
        EXPECT_EQ(read_text(files / "x"), "another one");
        write_text(folder / "small", "another two");
        json unforced = second;
        unforced["replace"] = false;
        EXPECT_NE(other.failed("transfer.push", unforced).find("say that it shall be replaced"), std::string::npos);
    }
}

TEST_F(Transfers, CommandsAndRecordsDoNotWaitForOne) {
    const auto corpus = write_corpus(folder);
    Workbench bench(session);
    bench.wait("the node", [](const Snapshot& s) { return s.node.cores > 0; });
    fs::create_directories(files);
    { std::ofstream(files / "large").put('x'); }
    fs::resize_file(files / "large", std::uintmax_t{2} << 30);  // mostly holes
    bench.client().send("transfer.pull", {{"path", (files / "large").string()}, {"to", (folder / "large").string()}});
    bench.wait("some ranges",
               [](const Snapshot& s) { return !s.transfers.empty() && s.transfers[0].done > 8'000'000; });
    const auto start = std::chrono::steady_clock::now();
    bench.done("train.start", {{"config", tiny_config(30, 0)}, {"data", corpus.string()}});
    const auto end = bench.wait("the run", in_state(1, RunState::done));
    ASSERT_FALSE(end->transfers.empty()) << "it was over before it could have been in the way";
    EXPECT_LT(end->transfers[0].done, std::uintmax_t{2} << 30);
    EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(20));
    bench.done("transfer.cancel", {{"id", end->transfers[0].task}});
}

}  // namespace
}  // namespace moescope::test
