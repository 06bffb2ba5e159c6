// Runs of several processes that the node starts: what they train is what one process trains, commands reach all of
// them, what they did is recorded, and a rank that is killed ends the run in a way from which it goes on.
#include <algorithm>
#include <chrono>
#include <filesystem>
#include <gmock/gmock.h>
#include <numeric>
#include <signal.h>
#include <thread>

#include "base/json_fields.hpp"
#include "tests/nodes/service/workbench.hpp"

namespace moescope::test {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;
using testing::HasSubstr;

constexpr std::uint64_t kTokens = 2 * 32;  // of a step of tiny_config

json with_processes(json config, int processes, int expert_parallel, bool all_to_all = false) {
    config["train"].update(
        {{"processes", processes}, {"expert_parallel", expert_parallel}, {"all_to_all", all_to_all}});
    return config;
}

/// Why the node can't start several processes; empty when it can.
std::string why_not(const Snapshot& snapshot) {
    return base::text_of(base::member(*snapshot.catalogue, "processes"), "why_not");
}

class RanksOfTheNode : public testing::Test {
 protected:
    json order(const json& config) const { return {{"config", config}, {"data", corpus.string()}, {"seed", 3}}; }
    /// False, and skips the test, where there is no mpirun.
    bool can_start(Workbench& bench) {
        const auto snapshot =
            bench.wait("the catalogue", [](const Snapshot& now) { return now.catalogue->is_object(); });
        return why_not(*snapshot).empty();
    }
    std::uint32_t start(Workbench& bench, const json& config, bool paused = false) {
        json parameters = order(config);
        parameters["paused"] = paused;
        return base::run_of(bench.done("train.start", parameters));
    }
    static std::vector<double> losses(const history::TrainingRun& run) {
        std::vector<double> values;
        for (std::size_t i = 0; i < run.step.size(); ++i) {
            values.push_back(run[&base::StepValues::loss][i]);
        }
        return values;
    }
    /// Those of one process, which the command line trains.
    std::vector<double> losses_of_one(const json& config) {
        const fs::path file = write_config(folder, config);
        const Output output = run_node({"train", "--config", file.string(), "--data", corpus.string(), "--seed", "3",
                                        "--out", (folder / "one").string(), "--json"});
        EXPECT_EQ(output.status, 0) << output.error;
        std::vector<double> values;
        for (const json& line : output.lines()) {
            if (line.contains("step")) {
                values.push_back(line.at("loss"));
            }
        }
        return values;
    }
    /// The processes of the run, by their ranks: those of the launcher that the node has started.
    static std::map<int, pid_t> ranks_of(const Snapshot& snapshot) {
        std::map<int, pid_t> ranks;
        for (const pid_t launcher : children_of(static_cast<pid_t>(snapshot.node.process))) {
            for (const pid_t rank : children_of(launcher)) {
                const std::string environment = read_text(fs::path("/proc") / std::to_string(rank) / "environ"),
                                  name = "OMPI_COMM_WORLD_RANK=";
                if (const auto at = environment.find(name); at != std::string::npos) {
                    ranks[std::stoi(environment.substr(at + name.size()))] = rank;
                }
            }
        }
        return ranks;
    }
    TemporaryFolder folder;
    fs::path corpus = write_corpus(folder), session = folder / "session";
};

TEST_F(RanksOfTheNode, TrainWhatOneTrainsAndTellWhatTheyDid) {
    Workbench bench(session);
    if (!can_start(bench)) {
        GTEST_SKIP() << "no run of several processes can be started here";
    }
    const json config = tiny_config(12, 6);
    const std::uint32_t run = start(bench, with_processes(config, 2, 2));
    const auto snapshot = bench.wait("the end of the run", in_state(run, RunState::done));
    const history::TrainingRun& trained = *training(*snapshot, run);
    ASSERT_EQ(trained.step.size(), 12u);
    EXPECT_EQ(losses(trained), losses_of_one(config));
    ASSERT_EQ(trained.ranks.size(), 12u);
    ASSERT_EQ(trained.counts.size(), 12u);
    for (std::size_t i = 0; i < 12; ++i) {
        const protocol::RankRecord& ranks = *trained.ranks[i];
        const std::vector<std::uint32_t>& counts = trained.counts[i]->counts;  // [2][2][4]
        ASSERT_EQ(ranks.step, i + 1);
        ASSERT_EQ(ranks.ranks, 2);
        ASSERT_EQ(ranks.expert_ranks, 2);
        ASSERT_EQ(ranks.layers, 2);
        EXPECT_EQ(ranks.tokens_travel, 0);
        EXPECT_EQ(ranks.row_bytes, 16 * sizeof(float));
        for (std::size_t layer = 0; layer < 2; ++layer) {
            EXPECT_EQ(ranks.load_of(0, layer) + ranks.load_of(1, layer), 2 * kTokens) << "tokens x top k";
            for (std::size_t rank = 0; rank < 2; ++rank) {
                std::uint64_t chosen = 0;
                for (std::size_t expert = 2 * rank; expert < 2 * rank + 2; ++expert) {
                    chosen += counts[layer * 4 + expert] + counts[(2 + layer) * 4 + expert];
                }
                EXPECT_EQ(ranks.load_of(rank, layer), chosen);
                EXPECT_EQ(ranks.rows_between(rank, 1 - rank, layer), 2 * chosen) << "forward and backward";
            }
        }
        for (std::size_t rank = 0; rank < 2; ++rank) {
            EXPECT_GT(ranks.compute_ms[rank], 0);
            EXPECT_GT(ranks.waiting_ms[rank], 0);
            EXPECT_GT(ranks.bytes[rank * 2 + 1 - rank], ranks.rows_between(rank, 1 - rank) * ranks.row_bytes);
        }
    }
    EXPECT_EQ(trained.manifest["config"]["train"]["processes"], 2);
    EXPECT_TRUE(bench.wait("the ranks' end", [&](const Snapshot& now) { return ranks_of(now).empty(); }));
}

TEST_F(RanksOfTheNode, TokensTravelToTheirExperts) {
    Workbench bench(session);
    if (!can_start(bench)) {
        GTEST_SKIP() << "no run of several processes can be started here";
    }
    const std::uint32_t run = start(bench, with_processes(tiny_config(4, 100), 2, 2, true));
    const auto snapshot = bench.wait("the end of the run", in_state(run, RunState::done));
    const history::TrainingRun& trained = *training(*snapshot, run);
    ASSERT_EQ(trained.ranks.size(), 4u);
    for (const auto& ranks : trained.ranks) {
        EXPECT_EQ(ranks->tokens_travel, 1);
        for (std::size_t layer = 0; layer < 2; ++layer) {
            EXPECT_EQ(ranks->load_of(0, layer) + ranks->load_of(1, layer), 2 * kTokens);
            // What goes to an expert comes back: a matrix that is its own mirror, of even numbers.
            EXPECT_EQ(ranks->rows_between(0, 1, layer), ranks->rows_between(1, 0, layer));
            EXPECT_EQ(ranks->rows_between(0, 1, layer) % 2, 0u);
            EXPECT_LE(ranks->rows_between(0, 1, layer), 2 * 2 * kTokens);
        }
    }
}

TEST_F(RanksOfTheNode, ObeyAsOneDoes) {
    Workbench bench(session);
    if (!can_start(bench)) {
        GTEST_SKIP() << "no run of several processes can be started here";
    }
    json config = tiny_config(1000, 0);
    config["train"]["evaluate_every"] = 3;
    const std::uint32_t run = start(bench, with_processes(config, 2, 2), true);
    bench.wait("the pause", in_state(run, RunState::paused));
    bench.done("train.step", {{"run", run}, {"count", 3}});
    bench.wait("three steps", [&](const Snapshot& now) {
        return training(now, run) != nullptr && training(now, run)->step.size() == 3;
    });
    EXPECT_EQ(bench.done("train.set", {{"run", run}, {"learning_rate", 0.5}}).at("step"), 4);
    EXPECT_THAT(bench.failed("train.set", {{"run", run}, {"learning_rate", 50}}), HasSubstr("learning_rate"));
    bench.done("train.expert", {{"run", run}, {"layer", 1}, {"expert", 2}, {"action", "disable"}});
    EXPECT_THAT(bench.failed("train.expert", {{"run", run}, {"layer", 9}, {"expert", 2}, {"action", "disable"}}),
                HasSubstr("layer 9 has no experts"));
    EXPECT_EQ(bench.done("train.checkpoint", {{"run", run}}).at("step"), 3);
    bench.done("train.step", {{"run", run}});
    auto snapshot =
        bench.wait("a fourth step", [&](const Snapshot& now) { return training(now, run)->step.size() == 4; });
    const history::TrainingRun& four = *training(*snapshot, run);
    EXPECT_EQ(four.evaluation_step.size(), 1u);
    EXPECT_GT(four.evaluation_english.back(), 0);
    EXPECT_EQ(four.counts.back()->counts[4 + 2] + four.counts.back()->counts[8 + 4 + 2], 0u) << "the disabled expert";
    EXPECT_EQ(four.ranks.back()->load_of(0, 1) + four.ranks.back()->load_of(1, 1), 2 * kTokens);
    bench.done("train.resume", {{"run", run}});
    bench.wait("that it goes on", [&](const Snapshot& now) { return training(now, run)->step.size() > 8; });
    bench.done("train.stop", {{"run", run}});
    snapshot = bench.wait("the stop", in_state(run, RunState::stopped));
    EXPECT_GT(training(*snapshot, run)->last_checkpoint, 4u);
}

TEST_F(RanksOfTheNode, AKilledRankEndsTheRunWhichGoesOnFromItsCheckpoint) {
    json config = tiny_config(400, 5);
    config["model"]["context"] = 64;
    std::uint32_t run = 0;
    {
        Workbench bench(session);
        if (!can_start(bench)) {
            GTEST_SKIP() << "no run of several processes can be started here";
        }
        run = start(bench, with_processes(config, 2, 2));
        const auto begun = bench.wait("a checkpoint", [&](const Snapshot& now) {
            return training(now, run) != nullptr && training(now, run)->last_checkpoint >= 10;
        });
        const auto ranks = ranks_of(*begun);
        ASSERT_EQ(ranks.size(), 2u);
        const auto killed = std::chrono::steady_clock::now();
        ASSERT_EQ(kill(ranks.at(1), SIGKILL), 0);
        const auto ended = bench.wait("the failure", in_state(run, RunState::failed));
        EXPECT_LT(std::chrono::steady_clock::now() - killed, std::chrono::seconds(10));
        EXPECT_THAT(training(*ended, run)->message.english(), HasSubstr("rank 1"));
        EXPECT_THAT(training(*ended, run)->message.english(), HasSubstr("go on from the last checkpoint"));
        bench.wait("the ranks' end", [&](const Snapshot& now) { return ranks_of(now).empty(); });

        // It goes on, on as many processes, once the launcher has ended too; the node's end stops it well.
        const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(20);
        while (bench.ask("train.continue", {{"run", run}}).state != CommandResult::State::done &&
               std::chrono::steady_clock::now() < until) {
            std::this_thread::sleep_for(std::chrono::milliseconds(100));
        }
        const auto later = bench.wait("that it goes on", [&](const Snapshot& now) {
            return in_state(run, RunState::running)(now) && training(now, run)->last_checkpoint >= 20;
        });
        EXPECT_EQ(training(*later, run)->ranks.back()->ranks, 2);
    }
    // Where they can't be started, one process goes on with it, and says why.
    const Variable none("MOESCOPE_MPIRUN", (folder / "nowhere").string());
    Workbench bench(session);
    bench.done("train.continue", {{"run", run}});
    const auto done = bench.wait("its end", in_state(run, RunState::done));
    const history::TrainingRun& trained = *training(*done, run);
    EXPECT_EQ(losses(trained), losses_of_one(config));
    EXPECT_LT(trained.ranks.back()->step, 400u);
    const auto rewind = std::find_if(trained.events.rbegin(), trained.events.rend(),
                                     [](const history::RunEvent& event) { return event.kind == "rewind"; });
    ASSERT_NE(rewind, trained.events.rend());
    EXPECT_THAT(rewind->text.english(), HasSubstr("in one process: mpirun was not found"));
}

TEST_F(RanksOfTheNode, WhatCannotBeSharedIsSaidBefore) {
    Workbench bench(session);
    const bool started = can_start(bench);
    const auto refused = [&](int processes, int expert_parallel) {
        return bench.failed("train.plan", {{"config", with_processes(tiny_config(4, 2), processes, expert_parallel)}});
    };
    EXPECT_THAT(refused(3, 1), HasSubstr("3 ranks can't share a batch of 2 sequences evenly"));
    EXPECT_THAT(refused(4, 3), HasSubstr("groups of 3 out of 4 ranks"));
    EXPECT_THAT(refused(8, 8), HasSubstr("4 experts can't be shared by 8 ranks"));
    EXPECT_THAT(refused(0, 1), HasSubstr("train.processes is 0"));
    if (started) {
        const json one = bench.done("train.plan", {{"config", tiny_config(4, 2)}}),
                   two = bench.done("train.plan", {{"config", with_processes(tiny_config(4, 2), 2, 1)}});
        EXPECT_GT(two.at("memory_bytes").get<double>(), one.at("memory_bytes").get<double>());
    }
}

TEST_F(RanksOfTheNode, WithoutALauncherItIsSaid) {
    const Variable none("MOESCOPE_MPIRUN", (folder / "nowhere").string());
    Workbench bench(session);
    const auto snapshot = bench.wait("the catalogue", [](const Snapshot& now) { return now.catalogue->is_object(); });
    EXPECT_NE(why_not(*snapshot), "");
    EXPECT_THAT(bench.failed("train.start", order(with_processes(tiny_config(4, 2), 2, 1))),
                HasSubstr("several processes can't be started here"));
}

TEST_F(RanksOfTheNode, ALauncherThatFailsIsQuoted) {
    const fs::path broken = folder / "broken";
    write_text(broken, "#!/bin/sh\necho 'there are no slots' >&2\nexit 3\n");
    fs::permissions(broken, fs::perms::owner_all);
    const Variable launcher("MOESCOPE_MPIRUN", broken.string());
    Workbench bench(session);
    if (!can_start(bench)) {
        GTEST_SKIP() << "this build has no part for MPI";
    }
    const std::uint32_t run = start(bench, with_processes(tiny_config(4, 2), 2, 1));
    const auto ended = bench.wait("the failure", in_state(run, RunState::failed));
    EXPECT_THAT(training(*ended, run)->message.english(), HasSubstr("could not be started (there are no slots)"));
}

}  // namespace
}  // namespace moescope::test
