// Experiments: runs that differ in one setting, one after the other, over the node's end and past what goes wrong.
#include <algorithm>
#include <cmath>
#include <gtest/gtest.h>
#include <signal.h>

#include "nodes/history/journal_reader.hpp"
#include "nodes/service/jobs/experiment_queue.hpp"
#include "tests/nodes/service/workbench.hpp"

namespace moescope::test {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

class Experiment : public testing::Test {
 protected:
    json order(int steps, int checkpoint_every, const json& values) const {
        return {{"config", tiny_config(steps, checkpoint_every)},
                {"data", corpus.string()},
                {"seed", 3},
                {"key", "balance"},
                {"values", values}};
    }
    static std::vector<std::uint32_t> runs_of(const json& answer) {
        return answer.at("runs").get<std::vector<std::uint32_t>>();
    }
    /// When each run began and ended, as places in the journal.
    struct Span {
        std::size_t begun = 0, ended = 0;
    };
    std::map<std::uint32_t, Span> spans() const {
        std::map<std::uint32_t, Span> spans;
        const auto journal = sessions::Journal::open(session, sessions::Journal::Mode::read_only);
        std::size_t place = 0;
        history::for_each_record(*journal, protocol::Channel::events, {}, [&](const sessions::Record& record) {
            const auto type = static_cast<protocol::RecordType>(record.type);
            ++place;
            if (type == protocol::RecordType::run_started || type == protocol::RecordType::run_ended) {
                const json body = protocol::decode_json(record.body).value();
                Span& span = spans[body.at("run")];
                (type == protocol::RecordType::run_ended ? span.ended : span.begun) = place;
            }
            return true;
        });
        return spans;
    }
    TemporaryFolder folder;
    fs::path corpus = write_corpus(folder), session = folder / "session";
};

bool all_in(const Snapshot& snapshot, const std::vector<std::uint32_t>& runs, RunState state) {
    return std::all_of(runs.begin(), runs.end(), [&](std::uint32_t run) { return in_state(run, state)(snapshot); });
}

bool has_step(const Snapshot& snapshot, std::uint32_t run, std::size_t steps) {
    const auto* found = training(snapshot, run);
    return found != nullptr && found->step.size() >= steps;
}

TEST_F(Experiment, BalancingsTrainOneAfterTheOtherOnEqualBatches) {
    std::vector<std::uint32_t> runs;
    {
        Workbench bench(session);
        const json values = {
            "none", "switch", {{"selection_bias", true}, {"balance", "none"}}, "expert_choice", "quantile"};
        const json answer = bench.done("experiment.start", order(12, 0, values));
        EXPECT_EQ(answer.at("experiment"), 1);
        runs = runs_of(answer);
        ASSERT_EQ(runs.size(), 5u);
        bench.wait("the last one planned", in_state(runs.back(), RunState::planned));
        const auto now = bench.wait("the end", [&](const Snapshot& s) { return all_in(s, runs, RunState::done); });
        bench.wait("no task is left", [](const Snapshot& s) { return s.tasks.empty(); });
        const auto& experiment = *now->experiments.at(1);
        EXPECT_EQ(experiment.name, "tiny-balance-1");
        EXPECT_EQ(experiment.key, "balance");
        for (std::size_t i = 0; i < runs.size(); ++i) {
            const history::TrainingRun& run = *training(*now, runs[i]);
            const auto place = history::experiment_place(run.manifest);
            EXPECT_EQ(run.step.size(), 12u);
            EXPECT_EQ(place.number, 1u);
            EXPECT_EQ(place.value, values[i]);
            EXPECT_EQ(run.manifest.at("seed"), 3);
            EXPECT_EQ(run.manifest.at("corpus_sha256"), training(*now, runs[0])->manifest.at("corpus_sha256"));
        }
        // Of equal weights and an equal batch the first step says the same, where the balancing has not acted yet.
        const auto first = [&](std::size_t i) {
            return (*training(*now, runs[i]))[&base::StepValues::cross_entropy][0];
        };
        EXPECT_EQ(first(1), first(0));
        EXPECT_EQ(first(2), first(0));
        EXPECT_EQ(training(*now, runs[1])->name, "tiny-balance-1: switch");
        EXPECT_EQ(training(*now, runs[2])->name, "tiny-balance-1: balance: none, selection_bias: true");
        EXPECT_EQ(training(*now, runs[3])->manifest.at("config").at("model").at("router_choice"), "expert");
        EXPECT_EQ(training(*now, runs[2])->manifest.at("config").at("train").at("balance"), "none");
    }
    const auto spans = this->spans();
    for (std::size_t i = 1; i < runs.size(); ++i) {
        EXPECT_LT(spans.at(runs[i - 1]).ended, spans.at(runs[i]).begun) << "one at a time";
    }
}

TEST_F(Experiment, GoesOnAfterItsNodeWasKilledAndAfterItsNodeEnded) {
    std::vector<std::uint32_t> runs;
    constexpr std::size_t kSteps = 1500;
    {
        Workbench bench(session);
        runs = runs_of(bench.done("experiment.start", order(kSteps, 100, {"none", "switch", "loss_free"})));
        bench.wait("a checkpoint", [&](const Snapshot& s) { return has_step(s, runs[0], 150); });
        kill(bench.client().node_process(), SIGKILL);
        bench.wait("the crash", [](const Snapshot& s) { return s.link.state == client::Link::State::crashed; });
        bench.client().restart_node();
        const auto now = bench.wait("the first one goes on and ends", in_state(runs[0], RunState::done));
        EXPECT_TRUE(has_event(*training(*now, runs[0]), "rewind"));
        bench.wait("the second one", [&](const Snapshot& s) { return has_step(s, runs[1], 150); });
    }
    // The window was closed: its node ended well, and the run with it.
    Workbench bench(session);
    const auto now = bench.wait("all of them", [&](const Snapshot& s) { return all_in(s, runs, RunState::done); });
    EXPECT_TRUE(has_event(*training(*now, runs[1]), "rewind")) << "it went on where it was stopped";
    EXPECT_FALSE(has_event(*training(*now, runs[2]), "rewind"));
    for (const std::uint32_t run : runs) {
        const auto& steps = training(*now, run)->step;
        ASSERT_EQ(steps.size(), kSteps);
        for (std::size_t i = 0; i < kSteps; ++i) {
            ASSERT_EQ(steps[i], static_cast<double>(i + 1));
        }
    }
}

TEST_F(Experiment, WhatAPersonStoppedStaysStoppedAndTheNextOneBegins) {
    std::vector<std::uint32_t> runs;
    {
        Workbench bench(session);
        runs = runs_of(bench.done("experiment.start", order(1'000'000, 0, {"none", "switch"})));
        bench.wait("the first one", [&](const Snapshot& s) { return has_step(s, runs[0], 5); });
        bench.done("train.stop", {{"run", runs[0]}});
        bench.wait("the second one", [&](const Snapshot& s) {
            return in_state(runs[0], RunState::stopped)(s) && has_step(s, runs[1], 5);
        });
    }
    Workbench bench(session);
    const auto now = bench.wait("it goes on", [&](const Snapshot& s) {
        return in_state(runs[1], RunState::running)(s) && has_event(*training(s, runs[1]), "rewind");
    });
    EXPECT_EQ(training(*now, runs[0])->state, RunState::stopped);
    EXPECT_FALSE(has_event(*training(*now, runs[0]), "rewind"));
    bench.done("experiment.cancel", {{"experiment", 1}});
    bench.wait("its end", in_state(runs[1], RunState::stopped));
}

TEST_F(Experiment, IsCancelledAsAWhole) {
    std::vector<std::uint32_t> first, second;
    {
        Workbench bench(session);
        first = runs_of(bench.done("experiment.start", order(1'000'000, 0, {"none", "switch", "global"})));
        second = runs_of(bench.done("experiment.start", order(1'000'000, 0, {"none", "hash"})));
        bench.wait("the first one", [&](const Snapshot& s) {
            return has_step(s, first[0], 5) && in_state(second[0], RunState::planned)(s);
        });
        bench.done("experiment.cancel", {{"experiment", 1}});
        auto now = bench.wait("the first experiment ends and the second begins", [&](const Snapshot& s) {
            return all_in(s, first, RunState::stopped) && has_step(s, second[0], 5);
        });
        EXPECT_TRUE(training(*now, first[1])->step.empty());
        EXPECT_NE(training(*now, first[1])->message.english().find("was cancelled"), std::string::npos);
        // By its task, too.
        now = bench.wait("its task", [](const Snapshot& s) {
            return std::any_of(s.tasks.begin(), s.tasks.end(),
                               [](const auto& task) { return task.id == "experiment-2"; });
        });
        bench.done("task.cancel", {{"id", "experiment-2"}});
        bench.wait("the end of all",
                   [&](const Snapshot& s) { return all_in(s, second, RunState::stopped) && s.tasks.empty(); });
        EXPECT_NE(bench.failed("experiment.cancel", {{"experiment", 3}}).find("no experiment 3"), std::string::npos);
    }
    Workbench bench(session);
    bench.wait("the same", [&](const Snapshot& s) {
        return all_in(s, first, RunState::stopped) && all_in(s, second, RunState::stopped);
    });
}

TEST_F(Experiment, IsRefusedAsAWholeWhenAnyRunCannotBe) {
    Workbench bench(session);
    const auto refused = [&](const json& values, const std::string& part, const json& more = json::object()) {
        json parameters = order(5, 0, values);
        parameters.update(more);
        const std::string error = bench.failed("experiment.start", parameters);
        EXPECT_NE(error.find(part), std::string::npos) << error;
    };
    refused({"none", "hope"}, "there is no balancing 'hope'; there are: none, switch");
    refused({"none", {{"experts", 3}, {"experts_per_token", 4}}}, "model.experts_per_token");
    refused({"none", {{"no_such", 3}}}, "there is no setting 'no_such'");
    refused({"none"}, "a list of 2 to 16 values");
    refused(json::array(), "a list of 2 to 16 values");
    refused("none", "a list of 2 to 16 values");
    refused({"none", "none"}, "make the same run");
    refused({"switch", {{"balance", "batch"}}}, "make the same run");
    refused({"none", json::object()}, "empty object");
    refused({1, 2}, "train.seed", {{"key", "seed"}, {"values", {1, -1}}});
    refused({"none", "switch"}, "there is no setting 'hope'", {{"key", "hope"}});
    refused({"none", "switch"}, "says no setting", {{"key", ""}});
    refused({"none", "switch"}, "does not exist", {{"data", "/nowhere/text"}});
    refused({"none", "switch"}, "no parameter 'batch'", {{"batch", 2}});
    EXPECT_TRUE(bench.client().snapshot()->training.empty());
    EXPECT_TRUE(bench.client().snapshot()->experiments.empty());
    // Numbers of any setting, and no key at all.
    json parameters = order(2, 0, {0.001, 0.002});
    parameters["key"] = "learning_rate";
    const auto rates = runs_of(bench.done("experiment.start", parameters));
    parameters = order(2, 0, {{{"bias_speed", 0.5}, {"selection_bias", true}}, {{"balance", "sequence"}}});
    parameters.erase("key");
    const auto several = runs_of(bench.done("experiment.start", parameters));
    const auto now = bench.wait("all", [&](const Snapshot& s) {
        return all_in(s, rates, RunState::done) && all_in(s, several, RunState::done);
    });
    EXPECT_EQ(training(*now, rates[1])->manifest.at("config").at("train").at("learning_rate"), 0.002);
    EXPECT_EQ(training(*now, several[0])->manifest.at("config").at("train").at("bias_update_rate"), 0.5);
}

TEST_F(Experiment, ARunThatGoesWrongEndsAndTheNextOneBegins) {
    Workbench bench(session);
    json parameters = order(8, 0, {{{"norm_limit", 1e-9}}, {{"norm_limit", 0.0}}});
    parameters.erase("key");
    const auto runs = runs_of(bench.done("experiment.start", parameters));
    const auto now = bench.wait("both ends", [&](const Snapshot& s) {
        return in_state(runs[0], RunState::failed)(s) && in_state(runs[1], RunState::done)(s);
    });
    EXPECT_NE(training(*now, runs[0])->message.english().find("norm_limit"), std::string::npos);
}

TEST_F(Experiment, AReaderSeesItAndBeginsNothing) {
    std::vector<std::uint32_t> runs;
    Workbench writer(session);
    runs = runs_of(writer.done("experiment.start", order(1'000'000, 0, {"none", "switch"})));
    writer.wait("the first one", [&](const Snapshot& s) { return has_step(s, runs[0], 5); });
    Workbench reader(client::ClientOptions{node_program(), session, {"--read-only"}, {}});
    const auto now = reader.wait("both", [&](const Snapshot& s) {
        return in_state(runs[0], RunState::running)(s) && in_state(runs[1], RunState::planned)(s);
    });
    EXPECT_EQ(now->experiments.size(), 1u);
    EXPECT_NE(reader.failed("experiment.start", order(2, 0, {"none", "switch"})).find("reading only"),
              std::string::npos);
    EXPECT_NE(reader.failed("experiment.cancel", {{"experiment", 1}}).find("reading only"), std::string::npos);
    writer.done("experiment.cancel", {{"experiment", 1}});
}

Arguments shell(const fs::path& config, const fs::path& corpus, const fs::path& session, const Arguments& more = {}) {
    Arguments arguments{"experiment", "--config",       config.string(), "--data",  corpus.string(),
                        "--session",  session.string(), "--key",         "balance", "--json"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
}

TEST_F(Experiment, FromAShell) {
    const fs::path config = write_config(folder, tiny_config(12, 0));
    const Arguments arguments =
        shell(config, corpus, session, {"--values", "none,switch,loss_free", "--settings", R"({"weight_decay":0})"});
    const Output output = run_node(arguments);
    ASSERT_EQ(output.status, 0) << output.error;
    const auto lines = output.lines();
    ASSERT_EQ(lines.size(), 4u * 13 + 1);
    EXPECT_EQ(lines[0]["step"], 1);
    EXPECT_EQ(lines[0]["value"], "none");
    EXPECT_EQ(lines[13]["value"], "switch");
    EXPECT_EQ(lines[13]["cross_entropy"], lines[0]["cross_entropy"]) << "equal weights and batch";
    EXPECT_TRUE(lines[0]["balance_loss"].is_null());
    EXPECT_TRUE(lines[13]["balance_loss"].is_number());
    EXPECT_EQ(lines[12]["state"], "done");
    const json& last = lines.back();
    EXPECT_EQ(last["experiment"], 1);
    EXPECT_EQ(last["name"], "tiny-balance-1");
    ASSERT_EQ(last["runs"].size(), 4u);
    EXPECT_EQ(last["runs"][2]["loss"]["last"], lines[2 * 13 + 11]["cross_entropy"]);
    EXPECT_TRUE(last["runs"][2]["max_violation"]["mean"].is_number());
    EXPECT_EQ(last["runs"][3]["value"], (json{{"weight_decay", 0}}));
    // The same again has nothing left to do; the session alone is enough.
    for (const Arguments& again : {arguments, Arguments{"experiment", "--session", session.string(), "--json"}}) {
        const Output nothing = run_node(again);
        ASSERT_EQ(nothing.status, 0) << nothing.error;
        ASSERT_EQ(nothing.lines().size(), 1u);
        EXPECT_EQ(nothing.lines()[0]["nothing_left"], true);
        EXPECT_EQ(nothing.lines()[0]["runs"], last["runs"]);
    }
    // Another one in the same session gets the next number.
    const Output other = run_node(shell(config, corpus, session, {"--values", "hash,sinkhorn"}));
    ASSERT_EQ(other.status, 0) << other.error;
    EXPECT_EQ(other.lines().back()["name"], "tiny-balance-2");
}

TEST_F(Experiment, InAShellASignalStopsItAndTheSameCommandGoesOn) {
    const fs::path config = write_config(folder, tiny_config(400, 50));
    const Arguments arguments = shell(config, corpus, session, {"--values", "none,switch"});
    {
        Running running(arguments);
        for (;;) {
            const auto line = running.line();
            ASSERT_TRUE(line);
            if (json::parse(*line)["step"] == 60) {
                break;
            }
        }
        running.signal(SIGINT);
        const Output output = running.finish();
        EXPECT_EQ(output.status, 128 + SIGINT) << output.error;
        EXPECT_NE(output.error.find("stopped by SIGINT in run 1 of 2, at step "), std::string::npos) << output.error;
    }
    const Output others = run_node(shell(config, corpus, session, {"--values", "none,hash"}));
    EXPECT_EQ(others.status, 1);
    EXPECT_NE(others.error.find("has not ended and has other settings"), std::string::npos) << others.error;
    const Output output = run_node(arguments);
    ASSERT_EQ(output.status, 0) << output.error;
    EXPECT_GE(output.lines()[0]["step"], 60) << "from the checkpoint that the signal left";
    const json last = output.lines().back();
    for (const json& run : last["runs"]) {
        EXPECT_EQ(run["state"], "done");
        EXPECT_EQ(run["steps"], 400);
    }
}

TEST_F(Experiment, InAShellWhatCannotBeLeavesNothing) {
    const fs::path config = write_config(folder, tiny_config(12, 0));
    const auto refused = [&](const Arguments& more, int status, const std::string& part) {
        const Output output = run_node(shell(config, corpus, session, more));
        EXPECT_EQ(output.status, status);
        EXPECT_NE(output.error.find(part), std::string::npos) << output.error;
        EXPECT_FALSE(fs::exists(session));
    };
    refused({"--values", "none,hope"}, 1, "there is no balancing 'hope'");
    refused({"--values", "none"}, 1, "a list of 2 to 16 values");
    refused({"--settings", "{", "--settings", "{}"}, 1, "is no JSON object");
    refused({}, 2, "--values or --settings");
    const Output none = run_node({"experiment", "--session", (folder / "empty").string()});
    EXPECT_EQ(none.status, 1);
    EXPECT_NE(none.error.find("has no experiment"), std::string::npos) << none.error;
    EXPECT_FALSE(fs::exists(folder / "empty"));
}

/// The order of the queue by itself.
TEST(ExperimentQueue, TakesTurnsAndGivesEachRunOnce) {
    node::ExperimentQueue queue;
    std::map<std::uint32_t, RunState> states;
    const node::ExperimentQueue::StateOf state_of = [&](std::uint32_t run) -> std::optional<RunState> {
        const auto found = states.find(run);
        return found == states.end() ? std::nullopt : std::optional(found->second);
    };
    for (std::uint32_t number = 1; number <= 2; ++number) {
        history::Experiment experiment;
        EXPECT_EQ(queue.next_number(), number);
        experiment.number = number;
        for (std::uint32_t run = 2 * number; run < 2 * number + 2; ++run) {
            experiment.runs.push_back({run, "n", run, json::object()});
            states[run] = RunState::planned;
        }
        queue.add(std::make_shared<const history::Experiment>(std::move(experiment)));
    }
    EXPECT_EQ(queue.number_of(5), 2u);
    EXPECT_EQ(queue.number_of(9), 0u);
    ASSERT_TRUE(queue.next(state_of));
    EXPECT_EQ(queue.next(state_of)->run.run, 2u);
    EXPECT_TRUE(queue.begun(2));
    EXPECT_FALSE(queue.begun(2)) << "once";
    states[2] = RunState::paused;
    EXPECT_FALSE(queue.next(state_of)) << "one goes on, though it waits for a person";
    ASSERT_EQ(queue.progress(state_of).size(), 2u);
    EXPECT_EQ(queue.progress(state_of)[0].running, 2u);
    states[2] = RunState::failed;
    EXPECT_EQ(queue.next(state_of)->run.run, 3u);
    EXPECT_EQ(queue.cancel(1), (std::vector<std::uint32_t>{3}));
    EXPECT_FALSE(queue.begun(3)) << "it was cancelled";
    states[3] = RunState::stopped;
    EXPECT_EQ(queue.next(state_of)->run.run, 4u);
    ASSERT_EQ(queue.progress(state_of).size(), 1u);
    EXPECT_EQ(queue.progress(state_of)[0].ended, 0u);
    for (const std::uint32_t run : {4u, 5u}) {
        EXPECT_TRUE(queue.begun(run));
        states[run] = RunState::done;
    }
    EXPECT_FALSE(queue.next(state_of));
    EXPECT_TRUE(queue.progress(state_of).empty());
}

TEST(ExperimentQueue, SaysWhichRunIsStillBeingStopped) {
    node::ExperimentQueue queue;
    std::map<std::uint32_t, RunState> states;
    const node::ExperimentQueue::StateOf state_of = [&](std::uint32_t run) { return std::optional(states.at(run)); };
    history::Experiment experiment;
    experiment.number = 1;
    for (std::uint32_t run = 2; run < 6; ++run) {
        experiment.runs.push_back({run, "n", run, json::object()});
        states[run] = RunState::planned;
    }
    queue.add(std::make_shared<const history::Experiment>(std::move(experiment)));
    EXPECT_TRUE(queue.begun(2));
    states[2] = RunState::running;
    node::StatusBoard board;
    protocol::Task training;
    training.id = "train-2";
    training.fraction = 0.5;
    training.seconds_left = 10;
    board.set_task(training);
    const auto task = [&] { return node::experiment_task(queue.progress(state_of).at(0), board); };
    EXPECT_EQ(task().detail.english(), "run 1 of 4");
    EXPECT_DOUBLE_EQ(task().fraction, 0.125);
    EXPECT_DOUBLE_EQ(task().seconds_left, 70);
    for (const std::uint32_t run : queue.cancel(1)) {
        states[run] = RunState::stopped;
    }
    EXPECT_EQ(task().detail.english(), "stopping run 1 of 4");
    EXPECT_DOUBLE_EQ(task().fraction, 0.125) << "what was given up was not done";
    EXPECT_LT(task().seconds_left, 0);
    states[2] = RunState::stopped;
    EXPECT_TRUE(queue.progress(state_of).empty());
    // A person has the first one go on.
    EXPECT_FALSE(queue.begun(2));
    states[2] = RunState::running;
    EXPECT_EQ(task().detail.english(), "run 1 of 4");
}

}  // namespace
}  // namespace moescope::test
