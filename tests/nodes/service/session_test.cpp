// Sessions as people and accidents treat them: in use, not writable, damaged, moved away; and outputs that would be
// written over them. Nothing is lost without a word.
#include <algorithm>
#include <gtest/gtest.h>
#include <memory>
#include <signal.h>
#include <thread>

#include "nodes/history/journal_reader.hpp"
#include "tests/nodes/service/workbench.hpp"

namespace moescope::test {
namespace {

namespace fs = std::filesystem;
using client::Link;

bool has(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

class SessionFolder : public testing::Test {
 protected:
    /// A session with a finished run of so many steps, and several starts.
    fs::path make_session(int steps = 20) {
        const auto config = write_config(folder, tiny_config(steps, 10));
        const Output output = run_node(train(config, session));
        EXPECT_EQ(output.status, 0) << output.error;
        return session;
    }
    Arguments train(const fs::path& config, const fs::path& out) const {
        return {"train", "--config", config.string(), "--data", corpus.string(), "--out", out.string(), "--json"};
    }
    fs::path only_segment() const { return session / "segments" / "seg-000001.wbj"; }

    TemporaryFolder folder;
    fs::path corpus = write_corpus(folder), session = folder / "session";
};

/// Without the right to write, whoever runs the test.
void set_writable(const fs::path& folder, bool writable) {
    const auto change = writable ? fs::perm_options::add : fs::perm_options::remove;
    for (const auto& entry : fs::recursive_directory_iterator(folder)) {
        fs::permissions(entry.path(), fs::perms::owner_write, change);
    }
    fs::permissions(folder, fs::perms::owner_write, change);
}

TEST_F(SessionFolder, EveryReaderComesThroughLinksAndLongPaths) {
    fs::create_directories(folder / "real");
    fs::create_directory_symlink("real", folder / "link");
    fs::path deep = folder.path();
    while (deep.string().size() < 700) {
        deep /= std::string(100, 'e');
    }
    const auto config = write_config(folder, tiny_config(3, 3));
    for (const fs::path& at : {folder / "link" / "s", deep / "s"}) {
        const Output made = run_node(train(config, at));
        ASSERT_EQ(made.status, 0) << made.error;
        EXPECT_EQ(made.error, "");
        const Output report = run_node({"report", at.string(), "--out", (folder / "r.html").string(), "--force"});
        EXPECT_EQ(report.status, 0) << report.error;
        const Output replay = run_node({"train", "--replay", at.string()});
        EXPECT_EQ(replay.status, 0) << replay.error;
        Workbench bench(at);
        bench.wait("the run", in_state(1, RunState::done));
    }
    EXPECT_TRUE(fs::exists(folder / "real" / "s" / "manifest.json"));
}

TEST_F(SessionFolder, ReportsAreWrittenWhereTheyDoNoHarm) {
    make_session();
    const auto report = [&](const fs::path& out, bool force) {
        Arguments arguments{"report", session.string(), "--out", out.string()};
        if (force) {
            arguments.emplace_back("--force");
        }
        return run_node(arguments);
    };
    for (const char* part : {"session.db", "manifest.json", "segments/seg-000001.wbj"}) {
        const Output output = report(session / part, true);
        EXPECT_EQ(output.status, 1) << part;
        EXPECT_TRUE(has(output.error, "part of the session")) << output.error;
    }
    EXPECT_EQ(report("/dev/full", true).status, 1);
    EXPECT_TRUE(fs::is_character_file(fs::symlink_status("/dev/full")));
    EXPECT_EQ(report(folder / "r.html", false).status, 0);
    EXPECT_TRUE(has(report(folder / "r.html", false).error, "is there already"));
    EXPECT_EQ(report(folder / "r.html", true).status, 0);
    for (const char* out : {"-", "/dev/stdout"}) {
        const Output page = report(out, false);
        EXPECT_EQ(page.status, 0) << page.error;
        EXPECT_TRUE(page.out.starts_with("<!DOCTYPE html>") && page.out.ends_with("</html>\n"));
    }
    // Over the wire too, where a path may hold anything.
    Workbench bench(session);
    EXPECT_TRUE(has(bench.failed("report.write", {{"path", (session / "session.db").string()}, {"replace", true}}),
                    "part of the session"));
    const std::string cut = (folder / "cut").string();
    EXPECT_TRUE(has(bench.failed("report.write", {{"path", cut + std::string("\0.html", 6)}}), "zero byte"));
    EXPECT_FALSE(fs::exists(cut));
    nlohmann::json again = {{"path", (folder / "r.html").string()}};
    EXPECT_FALSE(has(bench.failed("report.write", again), "replaced")) << "it may be of no use to who asks";
    again["replace"] = false;
    EXPECT_TRUE(has(bench.failed("report.write", again), "or say that it shall be replaced"));
    bench.done("report.write", {{"path", (folder / "r.html").string()}, {"replace", true}});
}

TEST_F(SessionFolder, ExportsAndLogitsReplaceOnlyWhatTheyAreTold) {
    make_session(2);
    const Arguments gguf{
        "export", "--model", session.string(), "--format", "gguf", "--out", (folder / "m.gguf").string()};
    const Arguments layout{"export", "--model", session.string(), "--out", (folder / "hf").string()};
    for (Arguments arguments : {gguf, layout}) {
        EXPECT_EQ(run_node(arguments).status, 0);
        const Output again = run_node(arguments);
        EXPECT_EQ(again.status, 1);
        EXPECT_TRUE(has(again.error, "is there already")) << again.error;
        arguments.emplace_back("--force");
        const Output forced = run_node(arguments);
        EXPECT_EQ(forced.status, 0) << forced.error;
    }
    write_text(folder / "hf" / "thesis.txt", "years of work");
    Arguments forced = layout;
    forced.emplace_back("--force");
    EXPECT_TRUE(has(run_node(forced).error, "thesis.txt"));
    EXPECT_EQ(read_text(folder / "hf" / "thesis.txt"), "years of work");
    forced.back() = "--json";
    forced[4] = (session / "checkpoints" / "hf").string();
    EXPECT_TRUE(has(run_node(forced).error, "part of the session"));
    write_text(folder / "logits.npy", "old");
    const Output logits = run_node({"logits", "--model", session.string(), "--tokens", (folder / "none.npy").string(),
                                    "--out", (folder / "logits.npy").string()});
    EXPECT_TRUE(has(logits.error, "is there already")) << logits.error;
}

TEST_F(SessionFolder, WhatIsLostIsSaidWhereverTheSessionIsRead) {
    make_session();
    // 20 steps and more in one file: a stretch in its middle is overwritten.
    std::string bytes = read_text(only_segment());
    std::fill(bytes.begin() + static_cast<std::ptrdiff_t>(bytes.size() / 2),
              bytes.begin() + static_cast<std::ptrdiff_t>(bytes.size() / 2 + 600), 'x');
    write_text(only_segment(), bytes);
    std::uint64_t lost = 0;
    {
        const auto opened = sessions::Session::open(session, sessions::Journal::Mode::read_only);
        lost = opened->journal().lost();
    }
    ASSERT_GT(lost, 0u);
    const std::string sentence = std::to_string(lost) + " records of this session are lost";
    for (const char* language : {"en", "zh"}) {
        const fs::path page = folder / (std::string(language) + ".html");
        const Output report = run_node({"report", session.string(), "--out", page.string(), "--language", language});
        EXPECT_EQ(report.status, 0);
        EXPECT_TRUE(has(report.error, "warning: " + sentence)) << report.error;
        EXPECT_TRUE(
            has(read_text(page), *language == 'e' ? sentence : "此会话有 " + std::to_string(lost) + " 条记录已丢失"));
    }
    const Output replay = run_node({"train", "--replay", session.string(), "--json"});
    EXPECT_TRUE(has(replay.error, sentence)) << replay.error;
    ASSERT_EQ(replay.lines().size(), 1u);
    EXPECT_EQ(replay.lines()[0]["lost_records"], lost);
    const auto config = write_config(folder, tiny_config(20, 10));
    Arguments again = train(config, session);
    again.emplace_back("--resume");
    EXPECT_TRUE(has(run_node(again).error, sentence));
    Workbench bench(session);
    const auto now = bench.wait("what the node says of it", [&](const Snapshot& s) {
        return s.node.lost_records == lost && !s.node.problems.empty() && s.log.size() > 0;
    });
    EXPECT_TRUE(has(now->node.problems.front().english(), sentence)) << now->node.problems.front();
    bench.wait("the hole in the log", [&](const Snapshot& s) {
        bool gap = false, said = false;
        for (std::size_t i = 0; i < s.log.size(); ++i) {
            const std::string text = s.log[i].text.english();
            gap = gap || has(text, "are missing: the journal is damaged");
            said = said || has(text, sentence);
        }
        return gap && said;
    });
}

TEST_F(SessionFolder, AFileThatIsGoneOrEmptyIsNotPassedOver) {
    for (const bool emptied : {false, true}) {
        session = folder / (emptied ? "emptied" : "deleted");
        make_session(5);
        if (emptied) {
            write_text(only_segment(), "");
        } else {
            fs::remove(only_segment());
        }
        const Output report = run_node({"report", session.string(), "--out", (folder / "r.html").string(), "--force"});
        EXPECT_TRUE(has(report.error, "records of this session are lost")) << report.error;
        Workbench bench(session);
        const auto now = bench.wait("the problem", [](const Snapshot& s) { return !s.node.problems.empty(); });
        EXPECT_GT(now->node.lost_records, 5u);
        EXPECT_EQ(now->link.epoch, 2u) << "the epoch of the lost records is not given out again";
    }
}

TEST_F(SessionFolder, OneThatIsInUseIsNoCrashAndOpensForReading) {
    Workbench writer(session);
    const auto run = writer.done("train.start", {{"config", tiny_config(1'000'000, 1000)}, {"data", corpus.string()}});
    writer.wait("steps",
                [](const Snapshot& s) { return training(s, 1) != nullptr && training(s, 1)->step.size() > 20; });

    Workbench reader(session);
    const auto refused =
        reader.wait("why not", [](const Snapshot& s) { return s.link.state == Link::State::unopened; });
    EXPECT_EQ(refused->link.obstacle, Link::Obstacle::in_use);
    EXPECT_TRUE(has(refused->link.message.english(),
                    "process " + std::to_string(writer.client().node_process()) + " (moescope-node)"))
        << refused->link.message;
    reader.client().restart_node(true);
    const auto now = reader.wait("the run, read", [](const Snapshot& s) {
        return s.node.read_only && training(s, 1) != nullptr && training(s, 1)->step.size() > 20;
    });
    EXPECT_EQ(now->link.obstacle, Link::Obstacle::none);
    EXPECT_TRUE(now->node.problems.empty()) << now->node.problems.front();
    EXPECT_EQ(training(*now, 1)->state, RunState::running);
    for (const auto& [name, parameters] : std::vector<std::pair<std::string, nlohmann::json>>{
             {"train.start", {{"preset", "workshop"}}},
             {"train.pause", run},
             {"generate.start", {{"model", "checkpoint:1"}, {"prompt", "x"}}}}) {
        EXPECT_TRUE(has(reader.failed(name, parameters), "open for reading only")) << name;
    }
    reader.done("report.write", {{"path", (folder / "r.html").string()}});
    EXPECT_GT(fs::file_size(folder / "r.html"), 1000u);
    writer.done("train.stop", run);
    writer.wait("stopped", in_state(1, RunState::stopped));
}

TEST_F(SessionFolder, WhatCanNotBeOpenedSaysWhatItIsAndLeavesNothing) {
    const auto obstacle = [&](const fs::path& path) {
        Workbench bench(path);
        const auto now = bench.wait("why not", [](const Snapshot& s) { return s.link.state == Link::State::unopened; });
        EXPECT_FALSE(has(now->link.message.english(), "exit status")) << now->link.message;
        return now->link.obstacle;
    };
    fs::create_directories(folder / "documents" / "letters");
    EXPECT_EQ(obstacle(folder / "documents"), Link::Obstacle::no_session);
    EXPECT_FALSE(fs::exists(folder / "documents" / "node.log"));
    make_session(1);
    write_text(session / "manifest.json", R"({"program":"moescope","format":2})");
    EXPECT_EQ(obstacle(session), Link::Obstacle::newer);
}

TEST_F(SessionFolder, ARefusedNodeSaysNothingInTheNameOfTheOneThatHoldsTheSession) {
    Workbench first(session);
    first.wait("the node", [](const Snapshot& s) { return s.node.cores > 0; });
    {
        Workbench second(session);
        const auto now =
            second.wait("why not", [](const Snapshot& s) { return s.link.state == Link::State::unopened; });
        EXPECT_EQ(now->link.obstacle, Link::Obstacle::in_use);
    }
    EXPECT_FALSE(has(read_text(session / "node.log"), "in use"));
    kill(first.client().node_process(), SIGKILL);
    const auto end = first.wait("its end", [](const Snapshot& s) { return s.link.state == Link::State::crashed; });
    EXPECT_TRUE(has(end->link.message.english(), "ended by signal 9")) << end->link.message;
    EXPECT_FALSE(has(end->link.message.english(), "in use")) << end->link.message;
}

TEST_F(SessionFolder, OneThatMayNotBeWrittenIsReadByAllThatOnlyRead) {
    make_session();
    set_writable(session, false);
    const Output report = run_node_without_rights({"report", session.string(), "--out", (folder / "r.html").string()});
    EXPECT_EQ(report.status, 0) << report.error;
    EXPECT_EQ(report.error, "");
    const Output replay = run_node_without_rights({"train", "--replay", session.string()});
    EXPECT_EQ(replay.status, 0) << replay.error;
    const auto config = write_config(folder, tiny_config(20, 10));
    Arguments again = train(config, session);
    again.emplace_back("--resume");
    const Output refused = run_node_without_rights(again);
    EXPECT_EQ(refused.status, 1);
    EXPECT_TRUE(has(refused.error, "can't be written: Permission denied; open it for reading")) << refused.error;
    EXPECT_EQ(std::count(refused.error.begin(), refused.error.end(), '\n'), 1) << refused.error;
    const Output inspect =
        run_node_without_rights({"inspect", (session / "checkpoints" / "run-1" / "step-00000020").string()});
    EXPECT_EQ(inspect.status, 0) << inspect.error;
    set_writable(session, true);
}

TEST_F(SessionFolder, ARunWhoseFolderIsMovedAwayWaitsUntilItIsBack) {
    const fs::path away = folder / "elsewhere";
    Workbench bench(session);
    const auto run = bench.done("train.start", {{"config", tiny_config(1'000'000, 50)}, {"data", corpus.string()}});
    const auto steps = [](std::size_t least) {
        return [=](const Snapshot& s) { return training(s, 1) != nullptr && training(s, 1)->step.size() >= least; };
    };
    bench.wait("steps", steps(60));
    fs::rename(session, away);
    const auto paused = bench.wait("a pause that says why", [](const Snapshot& s) {
        return training(s, 1)->state == RunState::paused && !training(s, 1)->message.empty();
    });
    EXPECT_TRUE(has(training(*paused, 1)->message.english(), "was removed or moved away"))
        << training(*paused, 1)->message;
    bench.wait("the node to say it",
               [](const Snapshot& s) { return has(s.node.state.english(), "was removed or moved away"); });
    EXPECT_FALSE(fs::exists(session)) << "something was made in its place";
    EXPECT_TRUE(has(bench.failed("train.checkpoint", run), "was removed or moved away"));
    EXPECT_FALSE(fs::exists(session));
    fs::rename(away, session);
    const auto back = bench.wait("the node to go on", [](const Snapshot& s) { return s.node.state.english() == "up"; });
    const std::size_t seen = training(*back, 1)->step.size();
    bench.done("train.resume", run);
    bench.wait("more steps", steps(seen + 50));
    bench.done("train.stop", run);
    bench.wait("stopped", in_state(1, RunState::stopped));
    const auto opened = sessions::Session::open(session, sessions::Journal::Mode::read_only);
    EXPECT_TRUE(opened->problems().empty()) << opened->problems().front();
    const auto history = history::read_run(*opened, 1);
    const history::Column& recorded = history.trainings().at(1).value.step;
    for (std::size_t i = 0; i < recorded.size(); ++i) {
        ASSERT_EQ(recorded[i], static_cast<double>(i + 1));
    }
}

/// Nobody goes on with it: whoever looks into the folder is told so, also where nothing may be written.
TEST_F(SessionFolder, ARunWhoseProgramWasKilledIsInterrupted) {
    const auto config = write_config(folder, tiny_config(1'000'000, 1'000'000));
    const auto state = [&](const fs::path& where) {
        return run_node({"open", where.string(), "--json"}).lines().at(0)["runs"][0].value("state", "");
    };
    {
        Running running(train(config, session));
        for (int i = 0; i < 20; ++i) {
            ASSERT_TRUE(running.line());
        }
        EXPECT_EQ(state(session), "running");
        kill(running.process(), SIGKILL);
        (void)running.finish();
    }
    EXPECT_EQ(state(session), "interrupted");
    const fs::path archive = folder / "s.moescope", page = folder / "s.html";
    const Output packed = run_node({"archive", session.string(), "--out", archive.string()});
    EXPECT_EQ(packed.error, "") << "progress is for terminals";
    ASSERT_EQ(packed.status, 0) << packed.error;
    EXPECT_EQ(fs::status(archive).permissions(), fs::perms::owner_read | fs::perms::owner_write);
    const Output again = run_node({"archive", session.string(), "--out", archive.string()});
    EXPECT_TRUE(has(again.error, "(--force)")) << again.error;
    fs::permissions(archive, fs::perms::others_read, fs::perm_options::add);
    ASSERT_EQ(run_node({"archive", session.string(), "--out", archive.string(), "--force"}).status, 0);
    EXPECT_EQ(fs::status(archive).permissions(), fs::perms::owner_read | fs::perms::owner_write);
    EXPECT_EQ(state(archive), "interrupted");
    ASSERT_EQ(run_node({"report", session.string(), "--out", page.string()}).status, 0);
    EXPECT_TRUE(has(read_text(page), "interrupted"));
    EXPECT_FALSE(has(read_text(page), "<td>running"));
}

TEST_F(SessionFolder, ARunWhoseFolderIsRemovedIsNotDoneAndANewViewerIsTold) {
    const auto config = write_config(folder, tiny_config(1'000'000, 1'000'000));
    Running running(train(config, session));
    for (int i = 0; i < 20; ++i) {
        ASSERT_TRUE(running.line());
    }
    fs::remove_all(session);
    const Output output = running.finish();
    EXPECT_EQ(output.status, 1);
    EXPECT_TRUE(has(output.error, "was removed or moved away")) << output.error;
    EXPECT_FALSE(has(output.out, R"("done":true)"));
    EXPECT_FALSE(fs::exists(session));

    session = folder / "second";
    Workbench first(session);
    first.done("train.start", {{"config", tiny_config(40, 1000)}, {"data", corpus.string()}});
    first.wait("the end", in_state(1, RunState::done));
    const std::string socket = first.client().snapshot()->node.address;
    fs::remove_all(session);
    client::ClientOptions options;
    options.socket = socket;
    client::NodeClient late(options, [] {});
    bool told = false;
    for (int i = 0; i < 500 && !told; ++i) {
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
        const auto now = late.snapshot();
        for (std::size_t line = 0; line < now->log.size(); ++line) {
            told = told || has(now->log[line].text.english(), "are missing: the journal is damaged");
        }
    }
    EXPECT_TRUE(told) << "a viewer that comes now must not take it for an empty session";
}

TEST_F(SessionFolder, WhyANodeFailedIsWrittenOverNoFile) {
    write_text(folder / "plain", "no session");
    const auto serve = [&](const fs::path& failure) {
        return run_node({"serve", "--socket", (folder / "run" / "s").string(), "--session", (folder / "plain").string(),
                         "--failure", failure.string()});
    };
    const Output told = serve(folder / "why.json");
    EXPECT_EQ(told.status, 1);
    const auto why = nlohmann::json::parse(read_text(folder / "why.json"));
    EXPECT_EQ(why["why"], "no_session");
    EXPECT_TRUE(has(told.error, why["error"].get<std::string>())) << told.error;
    make_session(2);
    write_text(folder / "thesis.txt", "years of work");
    const std::string manifest = read_text(session / "manifest.json");
    fs::create_symlink(folder / "thesis.txt", folder / "link");
    for (const fs::path& there : {folder / "thesis.txt", folder / "link", session / "manifest.json"}) {
        const Output output = serve(there);
        EXPECT_EQ(output.status, 1);
        EXPECT_EQ(std::count(output.error.begin(), output.error.end(), '\n'), 1) << output.error;
    }
    EXPECT_EQ(read_text(folder / "thesis.txt"), "years of work");
    EXPECT_EQ(read_text(session / "manifest.json"), manifest);
    EXPECT_TRUE(fs::is_symlink(folder / "link"));
}

TEST_F(SessionFolder, OutputThatAFullDiskLostIsNoSuccess) {
    make_session(2);
    write_text(folder / "answers.jsonl", "{\"answer\":\"Paris.\"}\n");
    const auto config = write_config(folder, tiny_config(2, 2));
    for (const Arguments& arguments :
         {Arguments{"models", "list", "--json"}, Arguments{"models", "list"},
          Arguments{"label", (folder / "answers.jsonl").string(), "--json"},
          Arguments{"report", session.string(), "--out", "-"}, Arguments{"train", "--replay", session.string()},
          Arguments{"generate", "--model", session.string(), "--prompt", "The ", "--max-tokens", "2"},
          train(config, folder / "other"),
          Arguments{"inspect", (session / "checkpoints" / "run-1" / "step-00000002").string(), "--json"}}) {
        const Output output = run_node_into("/dev/full", arguments);
        EXPECT_EQ(output.status, 1) << arguments[0];
        EXPECT_TRUE(has(output.error, "standard output")) << arguments[0] << ": " << output.error;
        EXPECT_EQ(std::count(output.error.begin(), output.error.end(), '\n'), 1) << output.error;
    }
    const fs::path whole = folder / "list.txt";
    write_text(whole, "");
    EXPECT_EQ(run_node_into(whole, {"models", "list"}).status, 0);
    EXPECT_TRUE(has(read_text(whole), "MB"));
}

TEST_F(SessionFolder, AModelIsNotWrittenOverItself) {
    make_session(2);
    const std::string gguf = (folder / "m.gguf").string(), layout = (folder / "hf").string();
    ASSERT_EQ(run_node({"export", "--model", session.string(), "--format", "gguf", "--out", gguf}).status, 0);
    ASSERT_EQ(run_node({"export", "--model", session.string(), "--out", layout}).status, 0);
    fs::create_symlink(gguf, folder / "link.gguf");
    fs::create_hard_link(gguf, folder / "hard.gguf");
    const std::string before = read_text(gguf), weights = read_text(folder / "hf" / "model.safetensors");
    const auto refused = [&](Arguments arguments) {
        arguments.emplace_back("--force");
        const Output output = run_node(arguments);
        EXPECT_EQ(output.status, 1);
        EXPECT_TRUE(has(output.error, "is what the output is made from")) << output.error;
    };
    for (const char* name : {"m.gguf", "link.gguf", "hard.gguf"}) {
        refused(
            {"export", "--model", gguf, "--format", "gguf", "--precision", "f16", "--out", (folder / name).string()});
    }
    refused({"export", "--model", layout, "--out", layout});
    refused({"export", "--model", layout, "--format", "gguf", "--out", layout + "/model.safetensors"});
    refused({"logits", "--model", gguf, "--tokens", (folder / "t.npy").string(), "--out", gguf});
    write_text(folder / "t.npy", "tokens");
    refused({"logits", "--model", gguf, "--tokens", (folder / "t.npy").string(), "--out", (folder / "t.npy").string()});
    EXPECT_EQ(read_text(gguf), before);
    EXPECT_EQ(read_text(folder / "hf" / "model.safetensors"), weights);
    EXPECT_EQ(read_text(folder / "t.npy"), "tokens");
}

TEST_F(SessionFolder, AReaderFollowsWhoWrites) {
    const auto config = write_config(folder, tiny_config(1'000'000, 50));
    auto writer = std::make_unique<Running>(train(config, session));
    ASSERT_TRUE(writer->line());
    client::ClientOptions options;
    options.node_program = node_program();
    options.session = session;
    options.node_arguments = {"--read-only"};
    Workbench reader(options);
    const auto steps = [](std::size_t least) {
        return [=](const Snapshot& s) { return training(s, 1) != nullptr && training(s, 1)->step.size() >= least; };
    };
    auto now = reader.wait("the run", steps(1));
    EXPECT_TRUE(now->node.read_only);
    EXPECT_EQ(training(*now, 1)->state, RunState::running);
    // Its output has to be read, or it waits.
    std::thread drain([&] {
        while (writer->line()) {
        }
    });
    const std::size_t seen = training(*now, 1)->step.size();
    now = reader.wait("what is written from now on", steps(seen + 200));
    reader.wait("a checkpoint that is saved now",
                [](const Snapshot& s) { return training(s, 1)->last_checkpoint >= 50; });
    EXPECT_TRUE(has(now->node.state.english(), "writes to it, which is shown a moment later")) << now->node.state;
    writer->signal(SIGTERM);
    now = reader.wait("the end of the run", in_state(1, RunState::stopped));
    drain.join();
    EXPECT_EQ(writer->finish().status, 128 + SIGTERM);
    reader.wait("that nobody writes any more",
                [](const Snapshot& s) { return s.node.state.english() == "open for reading"; });
    EXPECT_TRUE(now->node.problems.empty());

    // Another start, another run, and one that is killed.
    writer = std::make_unique<Running>(train(config, session));
    for (int i = 0; i < 60; ++i) {
        ASSERT_TRUE(writer->line());
    }
    reader.wait("the second run", in_state(2, RunState::running));
    writer->signal(SIGKILL);
    writer->finish();
    now = reader.wait("that it was interrupted", in_state(2, RunState::interrupted));
    EXPECT_TRUE(now->node.problems.empty());
    EXPECT_EQ(now->link.state, Link::State::connected);
}

}  // namespace
}  // namespace moescope::test
