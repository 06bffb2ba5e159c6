// `moescope-node train`: the same seed gives the same bytes, also across a kill; the journal holds what was printed.
#include <algorithm>
#include <gtest/gtest.h>
#include <signal.h>

#include "nodes/history/journal_reader.hpp"
#include "nodes/service/jobs/training_job.hpp"
#include "sessions/session.hpp"
#include "tests/nodes/service/program.hpp"

namespace moescope::test {
namespace {

using nlohmann::json;

struct Training {
    explicit Training(int steps, int checkpoint_every)
        : corpus(write_corpus(folder)), config(write_config(folder, tiny_config(steps, checkpoint_every))) {}
    Arguments arguments(const std::string& out, const Arguments& more = {}) const {
        Arguments list{
            "train",  "--config", config.string(), "--data", corpus.string(), "--out", (folder / out).string(),
            "--seed", "7",        "--json"};
        list.insert(list.end(), more.begin(), more.end());
        return list;
    }
    TemporaryFolder folder;
    std::filesystem::path corpus, config;
};

TEST(Train, SameSeedSameBytes) {
    const Training training(30, 10);
    std::string hash;
    for (const char* out : {"one", "two"}) {
        const Output output = run_node(training.arguments(out));
        ASSERT_EQ(output.status, 0) << output.error;
        const auto lines = output.lines();
        ASSERT_EQ(lines.size(), 31u);
        for (std::size_t i = 0; i < 30; ++i) {
            EXPECT_EQ(lines[i]["step"], i + 1);
            EXPECT_TRUE(lines[i]["loss"].is_number());
            EXPECT_GT(lines[i]["tokens_per_second"], 0);
        }
        EXPECT_EQ(lines.back()["done"], true);
        const std::string now = lines.back()["parameters_sha256"];
        EXPECT_EQ(now.size(), 64u);
        EXPECT_TRUE(hash.empty() || hash == now) << hash << " and " << now;
        hash = now;
    }
    auto other = training.arguments("three");
    *(std::find(other.begin(), other.end(), "--seed") + 1) = "8";
    const Output output = run_node(other);
    ASSERT_EQ(output.status, 0) << output.error;
    EXPECT_NE(output.lines().back()["parameters_sha256"], hash);
}

TEST(Train, LinesSayWhatTheyPrint) {
    const Training training(1, 0);
    auto arguments = training.arguments("session");
    arguments.erase(std::find(arguments.begin(), arguments.end(), "--json"));
    const Output output = run_node(arguments);
    ASSERT_EQ(output.status, 0) << output.error;
    for (const char* part : {"   cross-entropy ", "   total loss ", " tok/s", " ms/step",
                             "held-out cross-entropy: ", "done after 1 steps; SHA-256 of the parameters: "}) {
        EXPECT_NE(output.out.find(part), std::string::npos) << part << " in " << output.out;
    }
}

TEST(Train, AVocabularyThatCannotBeIsRefusedBeforeThereIsASession) {
    const Training training(1, 0);
    json config = tiny_config(1, 0);
    config["model"]["vocabulary"] = 300;
    write_text(training.config, config.dump());
    const Output output = run_node(training.arguments("session"));
    EXPECT_EQ(output.status, 1);
    EXPECT_NE(output.error.find("a vocabulary of 300 pieces is not possible"), std::string::npos) << output.error;
    EXPECT_FALSE(std::filesystem::exists(training.folder / "session"));
}

TEST(Generate, SeveralAnswersAreThoseOfTheirSeeds) {
    const Training training(5, 5);
    ASSERT_EQ(run_node(training.arguments("session")).status, 0);
    const auto ask = [&](const char* seed, const char* count) {
        const Output output =
            run_node({"generate", "--model", (training.folder / "session").string(), "--prompt", "The ", "--max-tokens",
                      "9", "--temperature", "1", "--seed", seed, "--count", count, "--alternatives", "3", "--json"});
        EXPECT_EQ(output.status, 0) << output.error;
        return output.lines();
    };
    const auto several = ask("40", "3");
    ASSERT_EQ(several.size(), 3u);
    for (std::size_t i = 0; i < 3; ++i) {
        EXPECT_EQ(several[i]["seed"], 40 + i);
        EXPECT_EQ(several[i]["text"], ask(std::to_string(40 + i).c_str(), "1").at(0)["text"]);
        const json& tokens = several[i]["log_probabilities"];
        ASSERT_EQ(tokens.size(), several[i]["tokens"]);
        for (const json& token : tokens) {
            ASSERT_EQ(token["alternatives"].size(), 3u);
            EXPECT_GE(token["alternatives"][0]["log_probability"], token["log_probability"]);
            EXPECT_LT(token["alternatives"][0]["log_probability"], 0);
        }
    }
    EXPECT_NE(several[0]["text"], several[1]["text"]);
}

TEST(Train, JournalHoldsWhatWasPrinted) {
    const Training training(30, 10);
    const Output output = run_node(training.arguments("session"));
    ASSERT_EQ(output.status, 0) << output.error;
    const auto session = sessions::Session::open(training.folder / "session", sessions::Journal::Mode::read_only);
    const auto history = history::read_session(session->journal());
    ASSERT_EQ(history.runs().size(), 1u);
    ASSERT_EQ(history.trainings().size(), 1u);
    const auto& run = history.trainings().begin()->second.value;
    EXPECT_EQ(run.state, protocol::RunState::done);
    EXPECT_EQ(run.manifest["seed"], 7);
    EXPECT_EQ(run.manifest["corpus_sha256"].get<std::string>().size(), 64u);
    EXPECT_GT(run.manifest["plan"]["parameters_total"], 0);
    ASSERT_EQ(run.step.size(), 30u);
    const auto lines = output.lines();
    for (std::size_t i = 0; i < run.step.size(); ++i) {
        for (std::size_t value = 0; value < base::kStepValueCount; ++value) {
            const base::StepValue& row = base::kStepValues[value];
            const std::string key = row.key;
            const json& printed =
                key.starts_with("part_ms.") ? lines[i].at("part_ms").at(base::short_key(row)) : lines[i].at(key);
            if (printed.is_null()) {
                EXPECT_TRUE(std::isnan(run.values[value][i])) << key;
            } else {
                EXPECT_EQ(run.values[value][i], printed.get<double>()) << key;
            }
        }
        // What this configuration does not compute is absent, and not 0.
        EXPECT_TRUE(lines[i]["prediction_loss"].is_null());
        EXPECT_TRUE(lines[i]["dropped"].is_null());
    }
    // The first and the last three checkpoints stay; here that is every one.
    std::vector<std::uint64_t> kept;
    for (const auto& checkpoint : session->checkpoints(run.id, true)) {
        EXPECT_TRUE(checkpoint.complete) << checkpoint.problem;
        kept.push_back(checkpoint.step);
    }
    EXPECT_EQ(kept, (std::vector<std::uint64_t>{10, 20, 30}));
}

TEST(Train, OldCheckpointsGoFirstAndLastThreeStay) {
    const Training training(60, 10);
    ASSERT_EQ(run_node(training.arguments("session")).status, 0);
    const auto session = sessions::Session::open(training.folder / "session", sessions::Journal::Mode::read_only);
    std::vector<std::uint64_t> kept;
    for (const auto& checkpoint : session->checkpoints(1, false)) {
        kept.push_back(checkpoint.step);
    }
    EXPECT_EQ(kept, (std::vector<std::uint64_t>{10, 40, 50, 60}));
}

/// Kills training after it printed `step`, goes on, and gives the final hash.
std::string hash_after_kill(const Training& training, const std::string& out, std::uint64_t step) {
    {
        Running running(training.arguments(out));
        for (;;) {
            const auto line = running.line();
            if (!line) {
                ADD_FAILURE() << "training ended early: " << running.finish().error;
                return {};
            }
            if (json::parse(*line)["step"] == step) {
                break;
            }
        }
        running.signal(SIGKILL);
        EXPECT_EQ(running.finish().status, 128 + SIGKILL);
    }
    const Output output = run_node(training.arguments(out, {"--resume"}));
    EXPECT_EQ(output.status, 0) << output.error;
    if (output.status != 0) {
        return {};
    }
    const auto lines = output.lines();
    // Went on from the last checkpoint before the kill (one every 50 steps), or from the beginning.
    EXPECT_GT(lines.front()["step"], step / 50 * 50);
    return lines.back()["parameters_sha256"];
}

TEST(Train, KilledAndResumedGivesTheSameBytes) {
    // More steps than lines fit a pipe, so that training cannot be over before it is killed.
    const Training training(600, 50);
    const Output whole = run_node(training.arguments("whole"));
    ASSERT_EQ(whole.status, 0) << whole.error;
    const std::string hash = whole.lines().back()["parameters_sha256"];
    EXPECT_EQ(hash_after_kill(training, "killed", 160), hash);
    EXPECT_EQ(hash_after_kill(training, "killed-early", 3), hash);

    const auto session = sessions::Session::open(training.folder / "killed", sessions::Journal::Mode::read_only);
    const auto history = history::read_session(session->journal());
    ASSERT_EQ(history.runs().size(), 1u);
    const auto& run = history.trainings().begin()->second.value;
    EXPECT_EQ(run.state, protocol::RunState::done);
    ASSERT_EQ(run.step.size(), 600u);
    for (std::size_t i = 0; i < run.step.size(); ++i) {
        EXPECT_EQ(run.step[i], static_cast<double>(i + 1));
    }
}

TEST(Train, SignalStopsAfterACheckpoint) {
    const Training training(100000, 50000);
    Running running(training.arguments("session"));
    for (int i = 0; i < 5; ++i) {
        ASSERT_TRUE(running.line());
    }
    running.signal(SIGTERM);
    const Output output = running.finish();
    ASSERT_EQ(output.status, 128 + SIGTERM) << output.error;
    const json last = output.lines().back();
    EXPECT_EQ(last["done"], false);
    EXPECT_EQ(last["state"], "stopped");
    const std::uint64_t steps = last["steps"];
    const auto session = sessions::Session::open(training.folder / "session", sessions::Journal::Mode::read_only);
    const auto checkpoints = session->checkpoints(1, true);
    ASSERT_EQ(checkpoints.size(), 1u);
    EXPECT_EQ(checkpoints.front().step, steps);
    EXPECT_TRUE(checkpoints.front().complete);
    // The checkpoint is a model like any other.
    const Output answer = run_node({"generate", "--model", (training.folder / "session").string(), "--prompt", "The ",
                                    "--max-tokens", "8", "--json"});
    ASSERT_EQ(answer.status, 0) << answer.error;
    EXPECT_EQ(answer.lines().front()["tokens"], 8);
}

TEST(Train, AForkThatGoesOnStaysOne) {
    history::RunHeader run;
    run.id = 2;
    run.kind = protocol::RunKind::train;
    const json fork = {{"run", 1}, {"step", 200}}, disabled = {{0, 13}};
    run.manifest = {{"config", tiny_config(2, 2)}, {"fork", fork}, {"disabled_experts", disabled}};
    const json origin = node::training_order(run).origin;
    EXPECT_EQ(origin, (json{{"fork", fork}, {"disabled_experts", disabled}}));
}

TEST(Train, ResumeRefusesOtherSettings) {
    const Training training(10, 5);
    const Output first = run_node(training.arguments("session"));
    ASSERT_EQ(first.status, 0) << first.error;
    // What is finished needs no error; other settings still do.
    const Output done = run_node(training.arguments("session", {"--resume"}));
    ASSERT_EQ(done.status, 0) << done.error;
    const json last = done.lines().back();
    EXPECT_EQ(last["done"], true);
    EXPECT_EQ(last["nothing_left"], true);
    for (const char* key : {"steps", "loss", "parameters_sha256", "held_out_loss"}) {
        EXPECT_EQ(last[key], first.lines().back()[key]) << key;
    }
    EXPECT_EQ(done.lines().size(), 1u) << "nothing is trained again";
    const Output other = run_node(training.arguments("session", {"--resume", "--steps", "11"}));
    EXPECT_EQ(other.status, 1);
    EXPECT_NE(other.error.find("other settings"), std::string::npos) << other.error;
}

/// What is given by a relative path is found again from another folder, and elsewhere when it has moved.
TEST(Train, DataOfARelativePathAreFoundFromAnotherFolder) {
    const Training training(4, 2);
    const auto elsewhere = training.folder / "elsewhere";
    std::filesystem::create_directory(elsewhere);
    const std::string out = (training.folder / "out").string();
    const auto train = [&](const std::string& data, const Arguments& more = {}) {
        Arguments list = training.arguments("out", more);
        list[4] = data;
        return run_node(list);
    };
    {
        const WorkingFolder here(training.folder.path());
        ASSERT_EQ(train("./corpus/").status, 0);
    }
    const WorkingFolder there(elsewhere);
    const auto session = sessions::Session::open(out, sessions::Journal::Mode::read_only);
    EXPECT_EQ(history::read_run(*session, 1).trainings().at(1).value.manifest["data"], training.corpus.string());
    for (const char* data : {"../corpus", training.corpus.c_str()}) {
        const Output again = train(data, {"--resume"});
        EXPECT_EQ(again.status, 0) << again.error;
        EXPECT_EQ(again.lines().back()["nothing_left"], true);
    }
    EXPECT_EQ(run_node({"reproduce", out}).status, 0);
    const Output other = train(training.config.string(), {"--resume"});
    EXPECT_EQ(other.status, 1) << "other data while the recorded ones are there";
    EXPECT_NE(other.error.find(training.corpus.string()), std::string::npos) << other.error;
    std::filesystem::rename(training.corpus, elsewhere / "moved");
    const Output gone = run_node({"reproduce", out});
    EXPECT_EQ(gone.status, 1);
    EXPECT_NE(gone.error.find(training.corpus.string()), std::string::npos) << gone.error;
    const Output moved = run_node({"reproduce", out, "--data", "moved", "--json"});
    ASSERT_EQ(moved.status, 0) << moved.error;
    EXPECT_EQ(moved.lines().back()["equal"], true);
    EXPECT_EQ(moved.lines().back()["differences"].dump().find("data"), std::string::npos) << moved.lines().back();
    EXPECT_EQ(train("moved", {"--resume"}).status, 0);
}

TEST(Train, ResumingNothingIsRefusedOrSaid) {
    const Training training(2, 0);
    const Output nowhere = run_node(training.arguments("nowhere", {"--resume"}));
    EXPECT_EQ(nowhere.status, 1);
    EXPECT_NE(nowhere.error.find("nothing can be resumed"), std::string::npos) << nowhere.error;
    EXPECT_FALSE(std::filesystem::exists(training.folder / "nowhere"));
}

TEST(Train, WhatAReplayWouldIgnoreIsRefused) {
    for (const Arguments& more :
         {Arguments{"--steps", "3"}, {"--seed", "1"}, {"--data", "x"}, {"--disk-reserve", "0"}}) {
        Arguments arguments{"train", "--replay", "session"};
        arguments.insert(arguments.end(), more.begin(), more.end());
        const Output output = run_node(arguments);
        EXPECT_EQ(output.status, 2) << more[0];
        EXPECT_NE(output.error.find("takes its settings from the session"), std::string::npos) << output.error;
    }
}

TEST(Train, ARefusedTextLeavesNoSession) {
    const Training training(2, 0);
    test::write_text(training.folder / "empty.txt", "");
    for (const std::string& data : {std::string("/dev/null"), (training.folder / "empty.txt").string()}) {
        Arguments arguments = training.arguments("session");
        *std::find(arguments.begin(), arguments.end(), training.corpus.string()) = data;
        EXPECT_EQ(run_node(arguments).status, 1) << data;
        EXPECT_FALSE(std::filesystem::exists(training.folder / "session")) << data;
    }
}

TEST(Program, HelpThatCannotBeWrittenFails) {
    for (const char* option : {"--help", "--version"}) {
        Running running({option}, false, "/dev/full");
        EXPECT_EQ(running.finish().status, 1) << option;
    }
}

}  // namespace
}  // namespace moescope::test
