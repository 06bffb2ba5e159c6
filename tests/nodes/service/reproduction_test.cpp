// What of a recorded run is other here: of the manifest, of the data, and what a replay says of it.
#include "nodes/service/jobs/reproduction.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <set>

#include "nodes/service/library/build_info.hpp"
#include "nodes/service/library/device_list.hpp"
#include "nodes/service/library/machine.hpp"
#include "nodes/service/library/paths.hpp"
#include "tests/nodes/service/program.hpp"
#include "tests/nodes/service/workbench.hpp"

namespace moescope::test {
namespace {

using nlohmann::json;
using node::Difference;
namespace fs = std::filesystem;

std::multiset<std::string> whats(const std::vector<Difference>& differences) {
    std::multiset<std::string> all;
    for (const Difference& one : differences) {
        all.insert(one.what);
    }
    return all;
}

class Reproduction : public testing::Test {
 protected:
    Reproduction() {
        json build = node::build_info();
        build["revision"] = "";  // of the sources under test, which may have changes
        const auto config = engine::parse_run_config(tiny_config(2, 2), base::say("the manifest of run {}", 1));
        manifest = {{"config", engine::to_json(config)},
                    {"data", corpus.string()},
                    {"threads", 1},
                    {"program_version", MOESCOPE_VERSION},
                    {"build", build},
                    {"environment", node::environment_info()},
                    {"machine", {{"cpu", node::processor_name()}, {"cores", node::cores()}}}};
    }
    std::vector<Difference> here() {
        auto config = engine::parse_run_config(manifest.at("config"), base::say("the manifest of run {}", 1));
        if (!device.empty()) {
            config.train.device = device;
        }
        return differences(config);
    }
    std::vector<Difference> differences(const engine::RunConfig& config) {
        kernels::Devices devices(node::device_places(node::find_paths()));
        return node::differences_here(manifest, config, devices);
    }
    TemporaryFolder folder;
    fs::path corpus = write_corpus(folder);
    std::string device;
    json manifest;
};

TEST_F(Reproduction, NothingIsOtherWhereItWasRecorded) {
    EXPECT_EQ(whats(here()), std::multiset<std::string>());
}

TEST_F(Reproduction, EachDifferenceIsSaid) {
    const json whole = manifest;
    const auto with = [&](const json& patch) {
        manifest = whole;
        manifest.merge_patch(patch);
        return whats(here());
    };
    using All = std::multiset<std::string>;
    EXPECT_EQ(with({{"build", {{"version", "0.0.9"}}}}), All{"version"});
    EXPECT_EQ(with({{"build", {{"compiler", "Clang 19"}, {"flags", "-O0"}}}}), (All{"compiler", "flags"}));
    EXPECT_EQ(with({{"build", {{"third_party", "ab"}}}}), All{"third_party"});
    EXPECT_EQ(with({{"build", nullptr}}), All{"build"});
    EXPECT_EQ(with({{"machine", {{"cpu", "Some other processor"}}}}), All{"processor"});
    EXPECT_EQ(with({{"environment", {{"libc", "1.0"}}}}), All{"libc"});
    EXPECT_EQ(with({{"environment", {{"variables", {{"OMP_SCHEDULE", "static"}}}}}}), All{"variable"});
    EXPECT_EQ(with({{"environment", {{"variables", {{"GOMP_SPINCOUNT", "7"}, {"MOESCOPE_CACHE", "/there"}}}}}}), All{})
        << "no number comes out of them";
    EXPECT_EQ(with({{"environment", nullptr}}), All{}) << "an older session does not say";
    EXPECT_EQ(with({{"data", (folder / "gone").string()}}), All{"data"});
    EXPECT_TRUE(here().at(0).stops);
    manifest = whole;
    device = "cuda:7";
    const auto on_gpu = here();
    EXPECT_EQ(whats(on_gpu), (All{"device", "device"})) << "another one, and not there";
    EXPECT_TRUE(on_gpu.back().stops);
    device.clear();
    manifest["threads"] = 2;
    auto config = engine::parse_run_config(manifest.at("config"), base::say("the manifest of run {}", 1));
    config.train.threads = 1;
    EXPECT_TRUE(whats(differences(config)).contains("threads"));
}

TEST_F(Reproduction, OtherDataAreKnownByTheirHash) {
    const auto hash = [&] { return node::hash_of_data(corpus.string(), 512, folder / "cache", [] {}); };
    manifest["corpus_sha256"] = hash();
    EXPECT_FALSE(node::other_data(manifest, hash()));
    write_text(corpus / "more.txt", "One page more.");
    ASSERT_TRUE(node::other_data(manifest, hash()));
    EXPECT_NE(node::other_data(manifest, hash())->text.english().find("are not those"), std::string::npos);
}

TEST_F(Reproduction, VariablesAreToldAndSecretsAreNot) {
    const Variable schedule("OMP_SCHEDULE", "guided"), own("MOESCOPE_SOMETHING", "1"),
        secret("MOESCOPE_API_KEY", "sk-123"), token("MOESCOPE_HUB_TOKEN", "sk-124"), foreign("HOME_ADDRESS", "sk-125");
    const json told = node::environment_info()["variables"];
    EXPECT_EQ(told.value("OMP_SCHEDULE", ""), "guided");
    EXPECT_EQ(told.value("MOESCOPE_SOMETHING", ""), "1");
    EXPECT_EQ(told.dump().find("sk-12"), std::string::npos) << told;
}

TEST_F(Reproduction, TheCommandSaysItBeforeItBegins) {
    const fs::path session = folder / "session";
    const Output trained = run_node({"train", "--config", write_config(folder, tiny_config(2, 2)).string(), "--data",
                                     corpus.string(), "--out", session.string()});
    ASSERT_EQ(trained.status, 0) << trained.error;
    const auto whats_of = [](const json& line) {
        std::set<std::string> all;
        for (const json& one : line["differences"]) {
            all.insert(one["what"]);
        }
        return all;
    };
    const Output same = run_node({"reproduce", session.string(), "--check", "--json"});
    const json first = same.lines().at(0);
    EXPECT_EQ(same.status, first["same"] ? 0 : 3) << same.error;
    for (const char* what : {"data", "version", "processor", "variable", "build", "device"}) {
        EXPECT_FALSE(whats_of(first).contains(what)) << first;
    }
    {
        const Variable schedule("OMP_SCHEDULE", "guided");
        const Output other = run_node({"train", "--replay", session.string(), "--json"});
        EXPECT_EQ(other.status, 0) << other.error;
        EXPECT_NE(other.error.find("the variable OMP_SCHEDULE was not set, and is 'guided' here"), std::string::npos)
            << other.error;
        EXPECT_TRUE(whats_of(other.lines().at(0)).contains("variable"));
        EXPECT_EQ(other.lines().at(0)["equal"], true);
    }
    write_text(corpus / "more.txt", "One page more, of which nothing was recorded.");
    const Output changed = run_node({"reproduce", session.string(), "--check", "--json"});
    EXPECT_EQ(changed.status, 3);
    EXPECT_TRUE(whats_of(changed.lines().at(0)).contains("data"));
    const Output replayed = run_node({"reproduce", session.string(), "--json"});
    EXPECT_NE(replayed.error.find("are not those that were recorded"), std::string::npos) << replayed.error;
    fs::remove_all(corpus);
    const Output gone = run_node({"reproduce", session.string(), "--check"});
    EXPECT_EQ(gone.status, 3) << gone.error;
    EXPECT_NE(gone.out.find("- "), std::string::npos) << gone.out;
    EXPECT_EQ(run_node({"reproduce", session.string(), "--check", "--run", "7"}).status, 1);
}

std::function<bool(const Snapshot&)> ended(std::uint32_t run) {
    return [run](const Snapshot& now) {
        const auto* one = training(now, run);
        return one != nullptr && protocol::ended(one->state);
    };
}

/// The window's way: a node runs one of its own runs again, knobs and all, and tells what came out.
TEST_F(Reproduction, ANodeRunsItsOwnRunAgain) {
    Workbench bench(folder / "session");
    bench.done("train.start",
               {{"config", tiny_config(8, 4)}, {"data", corpus.string()}, {"name", "first"}, {"paused", true}});
    bench.wait("a pause", [](const Snapshot& s) {
        return training(s, 1) != nullptr && training(s, 1)->state == RunState::paused;
    });
    bench.done("train.step", {{"run", 1}, {"count", 3}});
    bench.wait("3 steps", [](const Snapshot& s) { return training(s, 1)->step.size() == 3; });
    EXPECT_NE(bench.failed("reproduce.start", {{"run", 1}}).find("still going on"), std::string::npos);
    bench.done("train.set", {{"run", 1}, {"learning_rate", 0.0001}});
    bench.done("train.expert", {{"run", 1}, {"layer", 0}, {"expert", 1}, {"action", "disable"}});
    bench.done("train.resume", {{"run", 1}});
    bench.wait("the end", ended(1));

    const json checked = bench.done("reproduce.check", {{"run", 1}});
    EXPECT_EQ(checked["steps"], 8);
    for (const json& one : checked["differences"]) {
        EXPECT_EQ(one["what"], "revision") << checked;  // of sources with changes
    }
    const auto run = base::run_of(bench.done("reproduce.start", {{"run", 1}}));
    const auto now = bench.wait("the end", ended(run));
    const history::TrainingRun& again = *training(*now, run);
    EXPECT_EQ(again.name, "first-again");
    EXPECT_EQ(again.manifest["replay"]["run"], 1);
    EXPECT_EQ(again.replay["equal"], true) << again.replay;
    EXPECT_EQ(again.replay["parameters_equal"], true) << again.replay;
    EXPECT_EQ(again.replay["steps"], 8);
    EXPECT_EQ(again.parameters_sha256, training(*now, 1)->parameters_sha256);
    EXPECT_EQ(base::run_of(bench.done("reproduce.start", {{"run", 1}, {"threads", 1}})), run + 1);
    const auto third = bench.wait("the end", ended(run + 1));
    EXPECT_EQ(training(*third, run + 1)->name, "first-again-2") << "counted by repeats of that run";
    EXPECT_NE(bench.failed("reproduce.start", {{"run", 1}, {"device", "cuda:7"}}).find("cuda:7"), std::string::npos);
    EXPECT_NE(bench.failed("reproduce.check", {{"run", 99}}).find("99"), std::string::npos);
}

/// Who turns something while a run is repeated is told that this is why its numbers are others.
TEST_F(Reproduction, AKnobTurnedInTheRepeatIsNamedAsTheCause) {
    Workbench bench(folder / "session");
    bench.done("train.start", {{"config", tiny_config(3000, 0)}, {"data", corpus.string()}, {"name", "first"}});
    bench.wait("the end", ended(1));
    const auto run = base::run_of(bench.done("reproduce.start", {{"run", 1}}));
    bench.done("train.set", {{"run", run}, {"learning_rate", 0.0001}});
    const auto now = bench.wait("the end", ended(run));
    const history::TrainingRun& again = *training(*now, run);
    ASSERT_EQ(again.replay["equal"], false);
    const auto other = std::find_if(again.events.begin(), again.events.end(),
                                    [](const auto& one) { return one.kind == "difference"; });
    ASSERT_NE(other, again.events.end());
    EXPECT_EQ(again.replay["first_difference"], other->step);
    const std::string text = other->text.english();
    // The step's own loss is from before its update, which is the first thing that the rate changes.
    for (const char* part :
         {"total loss is ", " as it was, but other values", "not in the recorded run: ", " to 0.0001 before step "}) {
        EXPECT_NE(text.find(part), std::string::npos) << text;
    }
    const auto line = std::find_if(now->log.begin(), now->log.end(), [&](const auto& one) {
        return one.text.english().find(fmt::format("difference from the recorded run at step {}: ", other->step)) !=
               std::string::npos;
    });
    EXPECT_NE(line, now->log.end());
}

/// A run of a session that may only be read goes on in another one; other data are said, and the first step that is
/// another with them.
TEST_F(Reproduction, ANodeRunsTheRunOfAnotherSessionAgain) {
    const fs::path session = folder / "session";
    const Output trained = run_node({"train", "--config", write_config(folder, tiny_config(4, 0)).string(), "--data",
                                     corpus.string(), "--out", session.string()});
    ASSERT_EQ(trained.status, 0) << trained.error;
    {
        client::ClientOptions reading{node_program(), session, {"--read-only"}, {}};
        Workbench reader(reading);
        EXPECT_EQ(reader.done("reproduce.check", {{"run", 1}})["steps"], 4);
        EXPECT_NE(reader.failed("reproduce.start", {{"run", 1}}).find("reading only"), std::string::npos);
    }
    Workbench bench(folder / "other");
    const json from = {{"run", 1}, {"session", session.string()}};
    const auto same = base::run_of(bench.done("reproduce.start", from));
    auto now = bench.wait("the end", ended(same));
    EXPECT_EQ(training(*now, same)->replay["equal"], true) << training(*now, same)->replay;
    EXPECT_EQ(training(*now, same)->manifest["replay"]["session"], session.string());

    write_text(corpus / "more.txt", "One page more, of which nothing was recorded.");
    bool told = false;
    const json here = bench.done("reproduce.check", from);
    for (const json& one : here["differences"]) {
        told = told || one["what"] == "data";
    }
    EXPECT_TRUE(told);
    const auto other = base::run_of(bench.done("reproduce.start", from));
    now = bench.wait("the end", ended(other));
    const json& replay = training(*now, other)->replay;
    EXPECT_EQ(replay["equal"], false);
    EXPECT_EQ(replay["first_difference"], 1) << replay;
    EXPECT_EQ(replay["parameters_equal"], false);
    EXPECT_NE(replay["loss"], replay["recorded_loss"]);
    const auto& events = training(*now, other)->events;
    EXPECT_EQ(std::count_if(events.begin(), events.end(), [](const auto& one) { return one.kind == "difference"; }), 1);
}

std::function<bool(const Snapshot&)> ended_after(std::uint32_t run, std::size_t steps) {
    return [run, steps](const Snapshot& now) {
        return protocol::ended(training(now, run)->state) && training(now, run)->step.size() == steps;
    };
}

std::function<bool(const Snapshot&)> paused_at(std::uint32_t run, std::size_t steps) {
    return [run, steps](const Snapshot& now) {
        const auto* one = training(now, run);
        return one != nullptr && one->state == RunState::paused && one->step.size() == steps;
    };
}

/// Begins to run it again, and stops that after about so many steps; where a busy machine was too late for that, once
/// more.
std::uint32_t interrupted(Workbench& bench, const json& from, std::uint64_t steps) {
    for (int attempt = 0; attempt < 5; ++attempt) {
        const auto run = base::run_of(bench.done("reproduce.start", from));
        bench.wait("its beginning", [run](const Snapshot& s) { return training(s, run) != nullptr; });
        bench.client().send("train.pause", {{"run", run}});
        auto now = bench.wait("a pause or the end", [run](const Snapshot& s) {
            return training(s, run)->state == RunState::paused || protocol::ended(training(s, run)->state);
        });
        const std::size_t done = training(*now, run)->step.size();
        if (training(*now, run)->state != RunState::paused) {
            continue;
        }
        if (done < steps) {
            bench.done("train.step", {{"run", run}, {"count", steps - done}});
            bench.wait("steps", paused_at(run, steps));
        }
        bench.done("train.stop", {{"run", run}});
        bench.wait("the stop", ended(run));
        return run;
    }
    ADD_FAILURE() << "it was never stopped in time";
    return 0;
}

/// A repeated run that was stopped goes on as one: with the knobs of the run that it repeats, compared with all of it.
TEST_F(Reproduction, ARunThatRepeatsAnotherGoesOnAsOne) {
    constexpr std::size_t kSteps = 4000;
    Workbench bench(folder / "session");
    bench.done("train.start",
               {{"config", tiny_config(kSteps, 0)}, {"data", corpus.string()}, {"name", "first"}, {"paused", true}});
    bench.wait("a pause", paused_at(1, 0));
    bench.done("train.step", {{"run", 1}, {"count", kSteps - 5}});
    bench.wait("steps", paused_at(1, kSteps - 5));
    bench.done("train.set", {{"run", 1}, {"learning_rate", 0.0001}});
    bench.done("train.resume", {{"run", 1}});
    bench.wait("the end", ended(1));

    const auto run = interrupted(bench, {{"run", 1}}, 20);
    const auto stopped = bench.client().snapshot();
    const history::TrainingRun before = *training(*stopped, run);
    ASSERT_EQ(before.state, RunState::stopped) << before.message.english();
    ASSERT_LT(before.step.size(), kSteps);
    EXPECT_EQ(before.replay["steps"], before.step.size());
    bench.done("train.continue", {{"run", run}});
    const auto now = bench.wait("the end", ended_after(run, kSteps));
    const history::TrainingRun& again = *training(*now, run);
    EXPECT_EQ(again.state, RunState::done) << again.message.english();
    EXPECT_EQ(again.manifest["replay"]["run"], 1);
    EXPECT_EQ(again.manifest["replay"]["differences"], before.manifest["replay"]["differences"]);
    EXPECT_EQ(again.replay["equal"], true) << again.replay;
    EXPECT_EQ(again.replay["steps"], kSteps) << "those of before among them";
    EXPECT_EQ(again.replay["parameters_equal"], true) << again.replay;
}

/// Of another session, without which it does not go on. What it has already is compared as well.
TEST_F(Reproduction, ARunThatRepeatsOneOfAnotherSessionGoesOnWithIt) {
    const fs::path session = folder / "session";
    ASSERT_EQ(run_node({"train", "--config", write_config(folder, tiny_config(4000, 0)).string(), "--data",
                        corpus.string(), "--out", session.string()})
                  .status,
              0);
    Workbench bench(folder / "other");
    const auto run = interrupted(bench, {{"run", 1}, {"session", session.string()}}, 20);
    fs::rename(session, folder / "away");
    const std::string refused = bench.failed("train.continue", {{"run", run}});
    EXPECT_NE(refused.find(session.string()), std::string::npos) << refused;
    EXPECT_NE(refused.find("fork"), std::string::npos) << refused;
    // Another run in its place, with as many steps and the same name: the first one that differs is among the old
    // steps.
    json other = tiny_config(4000, 0);
    other["train"]["learning_rate"] = 0.01;
    const auto train = [&] {
        return run_node({"train", "--config", write_config(folder, other).string(), "--data", corpus.string(), "--out",
                         session.string()})
            .status;
    };
    ASSERT_EQ(train(), 0);
    bench.done("train.continue", {{"run", run}});
    const auto now = bench.wait("the end", ended_after(run, 4000));
    const json& replay = training(*now, run)->replay;
    EXPECT_EQ(replay["equal"], false);
    EXPECT_LT(replay["first_difference"], 20u) << replay;
    EXPECT_EQ(replay["parameters_equal"], true) << "as the run had them that it began to repeat";
    // One that can't be the same is refused.
    const auto third = interrupted(bench, {{"run", 1}, {"session", session.string()}}, 20);
    fs::remove_all(session);
    other["train"]["steps"] = 30;
    ASSERT_EQ(train(), 0);
    EXPECT_NE(bench.failed("train.continue", {{"run", third}}).find("there is another run 1 now"), std::string::npos);
}

TEST_F(Reproduction, TheCommandGoesOnWithAnInterruptedOne) {
    const fs::path session = folder / "session", out = folder / "out";
    ASSERT_EQ(run_node({"train", "--config", write_config(folder, tiny_config(4000, 0)).string(), "--data",
                        corpus.string(), "--out", session.string()})
                  .status,
              0);
    const Arguments command = {"reproduce", session.string(), "--out", out.string(), "--json"};
    Arguments again = command;
    again.push_back("--resume");
    EXPECT_EQ(run_node(again).status, 1) << "there is nothing to go on with";
    {
        Running first(command);
        const fs::path segments = out / "segments";
        for (int i = 0; i < 1000 && !fs::exists(segments); ++i) {
            usleep(10'000);
        }
        usleep(300'000);
        first.signal(SIGINT);
        const Output stopped = first.finish();
        ASSERT_EQ(stopped.status, 130) << stopped.error;
        EXPECT_NE(stopped.error.find("--resume goes on"), std::string::npos) << stopped.error;
    }
    const Output done = run_node(again);
    ASSERT_EQ(done.status, 0) << done.error;
    EXPECT_EQ(done.lines().at(0)["equal"], true);
    EXPECT_EQ(done.lines().at(0)["steps"], 4000);
    EXPECT_EQ(done.lines().at(0)["parameters_equal"], true);
    const Output nothing = run_node(again);
    EXPECT_EQ(nothing.status, 0) << nothing.error;
    EXPECT_EQ(nothing.lines().at(0)["steps"], 4000) << "nothing is left to do";
    EXPECT_EQ(run_node({"reproduce", out.string(), "--out", out.string(), "--resume"}).status, 1)
        << "which repeats another one";
}

/// A session whose data lie elsewhere now, as after it was copied to another machine.
TEST_F(Reproduction, DataThatHaveMovedAreNamedAndTakenFromTheirNewPlace) {
    Workbench bench(folder / "session");
    bench.done("train.start", {{"config", tiny_config(8, 4)}, {"data", corpus.string()}, {"paused", true}});
    bench.wait("a pause", paused_at(1, 0));
    bench.done("train.step", {{"run", 1}, {"count", 4}});
    bench.wait("4 steps", paused_at(1, 4));
    bench.done("train.stop", {{"run", 1}});
    bench.wait("the stop", ended(1));
    const std::string moved = (folder / "moved").string();
    fs::rename(corpus, moved);
    EXPECT_NE(bench.failed("train.continue", {{"run", 1}}).find(corpus.string()), std::string::npos);
    EXPECT_NE(bench.failed("reproduce.start", {{"run", 1}}).find(corpus.string()), std::string::npos);
    EXPECT_NE(bench.failed("train.continue", {{"run", 1}, {"data", (folder / "none").string()}}).find("none"),
              std::string::npos);
    bench.done("train.continue", {{"run", 1}, {"data", moved}});
    auto now = bench.wait("the end", ended_after(1, 8));
    EXPECT_EQ(training(*now, 1)->state, RunState::done) << training(*now, 1)->message.english();
    const json checked = bench.done("reproduce.check", {{"run", 1}, {"data", moved}});
    EXPECT_EQ(checked["differences"].dump().find("\"data\""), std::string::npos) << checked;
    const auto run = base::run_of(bench.done("reproduce.start", {{"run", 1}, {"data", moved}}));
    now = bench.wait("the end", ended_after(run, 8));
    EXPECT_EQ(training(*now, run)->replay["equal"], true) << training(*now, run)->replay;
}

}  // namespace
}  // namespace moescope::test
