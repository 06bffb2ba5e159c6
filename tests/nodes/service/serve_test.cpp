// The node as a workbench uses it: over its socket, with the client that the window uses.
#include <algorithm>
#include <gtest/gtest.h>
#include <signal.h>

#include "nodes/history/journal_reader.hpp"
#include "nodes/history/run_changes.hpp"
#include "nodes/history/step_store.hpp"
#include "tests/nodes/service/workbench.hpp"

namespace moescope::test {
namespace {

using nlohmann::json;

class Serve : public testing::Test {
 protected:
    std::uint32_t start(Workbench& bench, int steps, bool paused) {
        const auto value = bench.done("train.start", {{"config", tiny_config(steps, 200)},
                                                      {"data", corpus.string()},
                                                      {"seed", 3},
                                                      {"name", "first"},
                                                      {"paused", paused}});
        return value.value("run", 0u);
    }
    TemporaryFolder folder;
    std::filesystem::path corpus = write_corpus(folder), session = folder / "session";
};

TEST_F(Serve, TrainsObeysAndReopens) {
    std::uint64_t steps = 0;
    std::uint32_t run = 0;
    {
        Workbench bench(session);
        run = start(bench, 1'000'000, true);
        ASSERT_GT(run, 0u);
        bench.wait("paused", in_state(run, RunState::paused));
        bench.done("train.step", {{"run", run}, {"count", 2}});
        auto now = bench.wait("two steps", [&](const Snapshot& s) { return training(s, run)->step.size() == 2; });
        EXPECT_EQ(training(*now, run)->experts, 4);
        bench.done("train.resume", {{"run", run}});
        bench.wait("ten steps", [&](const Snapshot& s) { return training(s, run)->step.size() >= 10; });
        const auto set = bench.done("train.set", {{"run", run}, {"learning_rate", 0.002}});
        EXPECT_GT(set.value("step", 0), 2);
        bench.wait("knob", [&](const Snapshot& s) { return has_event(*training(s, run), "knob"); });
        bench.done("train.checkpoint", {{"run", run}});
        bench.wait("checkpoint", [&](const Snapshot& s) { return training(s, run)->last_checkpoint > 0; });
        bench.done("train.pause", {{"run", run}});
        bench.wait("paused again", in_state(run, RunState::paused));
        EXPECT_NE(bench.failed("train.set", {{"run", run}, {"learning_rate", -1}}).find("learning_rate"),
                  std::string::npos);
        EXPECT_NE(bench.failed("train.pause", {{"run", 99}}).find("99"), std::string::npos);
        EXPECT_NE(bench.failed("no.such", json::object()).find("no.such"), std::string::npos);
        EXPECT_NE(bench.failed("train.start", {{"config", {{"nme", 1}}}}).find("nme"), std::string::npos);

        // The run is a model too.
        const auto answer = bench.done(
            "generate.start",
            {{"model", "checkpoint:" + std::to_string(run)}, {"prompt", "The "}, {"group", "a"}, {"max_tokens", 6}});
        const std::uint32_t generation = answer.value("run", 0u);
        now = bench.wait("an answer", [&](const Snapshot& s) {
            const auto found = s.generations.find(generation);
            return found != s.generations.end() && !found->second->stop.empty();
        });
        EXPECT_EQ(now->generations.at(generation)->state, RunState::done);
        EXPECT_EQ(now->generations.at(generation)->tokens.size(), 6u);

        bench.done("train.stop", {{"run", run}});
        now = bench.wait("stopped", in_state(run, RunState::stopped));
        steps = training(*now, run)->step.size();
        const std::string page = (folder / "report.html").string();
        bench.done("report.write", {{"path", page}});
        EXPECT_NE(read_text(page).find("first"), std::string::npos);
    }
    Workbench again(session);
    const auto now = again.wait("the same curves", [&](const Snapshot& s) {
        const auto* found = training(s, run);
        return found != nullptr && found->step.size() == steps && found->state == RunState::stopped;
    });
    EXPECT_TRUE(has_event(*training(*now, run), "knob"));
    EXPECT_EQ(now->generations.size(), 1u);
}

/// A model in training answers as it is now, and as it was at each checkpoint that is kept.
/// As the window asks for the counts of steps that it holds no more; while the run is active, after it has gone on from
/// a checkpoint, and where the session is open for reading only.
TEST_F(Serve, SingleStepsAreReadAgain) {
    std::uint32_t run = 0;
    const auto expect_steps = [&](Workbench& bench, std::uint64_t first, std::uint64_t last) {
        const auto now = bench.client().snapshot();  // holds what is pointed to
        const auto* shown = training(*now, run);
        const json answer = bench.done("train.steps", {{"run", run}, {"first", first}, {"last", last}});
        history::StepStore store;
        store.add(answer, run, first, last, first);
        for (std::uint64_t step = first; step <= last; ++step) {
            const auto kept =
                std::find_if(shown->counts.begin(), shown->counts.end(),
                             [&](const std::shared_ptr<const history::StepCounts>& c) { return c->step == step; });
            ASSERT_NE(kept, shown->counts.end()) << step;
            ASSERT_NE(store.counts(step), nullptr) << step;
            EXPECT_EQ(store.counts(step)->counts, (*kept)->counts) << step;
        }
    };
    {
        Workbench bench(session);
        run = start(bench, 1'000'000, true);
        bench.wait("paused", in_state(run, RunState::paused));
        bench.done("train.step", {{"run", run}, {"count", 4}});
        bench.wait("four steps", [&](const Snapshot& s) { return training(s, run)->step.size() == 4; });
        expect_steps(bench, 1, 4);
        expect_steps(bench, 3, 3);
        EXPECT_TRUE(bench.done("train.steps", {{"run", run}, {"first", 50}, {"last", 60}}).at("records").empty());
        for (const json& wrong :
             {json{{"run", run}, {"first", 3}, {"last", 2}}, json{{"run", run}, {"first", 3}},
              json{{"run", run}, {"first", -1}, {"last", 2}}, json{{"run", run + 7}, {"first", 1}, {"last", 2}},
              json{{"run", run}, {"first", 1}, {"last", 2}, {"step", 2}}}) {
            EXPECT_FALSE(bench.failed("train.steps", wrong).empty()) << wrong.dump();
        }
        bench.done("train.stop", {{"run", run}});
        bench.wait("stopped", in_state(run, RunState::stopped));
    }
    Workbench reader(client::ClientOptions{node_program(), session, {"--read-only"}, {}});
    reader.wait("the run", [&](const Snapshot& s) { return training(s, run) && training(s, run)->step.size() == 4; });
    expect_steps(reader, 2, 4);
}

TEST_F(Serve, AnswersOfTheModelInTraining) {
    Workbench bench(session);
    const std::uint32_t run = start(bench, 1000, true);
    bench.wait("paused", in_state(run, RunState::paused));
    const std::string name = "checkpoint:" + std::to_string(run);
    const auto step_to = [&](std::uint64_t step) {
        const auto now = bench.client().snapshot();
        bench.done("train.step", {{"run", run}, {"count", step - training(*now, run)->step.size()}});
        bench.wait("steps", [&](const Snapshot& s) { return training(s, run)->step.size() == step; });
    };
    const auto ask = [&](const std::string& model) {
        const json order = {{"model", model}, {"prompt", "The "}, {"max_tokens", 4}};
        const std::uint32_t answer = bench.done("generate.start", order).value("run", 0u);
        const auto now = bench.wait("an answer", [&](const Snapshot& s) {
            const auto found = s.generations.find(answer);
            return found != s.generations.end() && !found->second->stop.empty();
        });
        EXPECT_EQ(now->generations.at(answer)->state, RunState::done) << now->generations.at(answer)->message;
        return now->generations.at(answer);
    };
    const auto offered = [&](const std::vector<std::string>& names) {
        return [names](const Snapshot& s) {
            std::vector<std::string> list;
            for (const auto& model : s.models) {
                if (model.trained_here && model.available) {
                    list.push_back(model.name);
                }
            }
            return list == names;
        };
    };
    const auto begun = bench.wait("the run as a model", offered({name + ":now"}));
    for (const auto& model : begun->models) {
        EXPECT_TRUE(!model.trained_here || model.state == protocol::ModelState::untrained) << "nothing is saved yet";
    }
    step_to(3);
    const auto third = ask(name + ":now");
    EXPECT_EQ(third->model, name + ":3");
    bench.wait("a checkpoint by itself", [&](const Snapshot& s) { return training(s, run)->last_checkpoint == 3; });
    step_to(8);
    EXPECT_EQ(ask(name)->model, name + ":3") << "the latest that is saved";
    const auto eighth = ask(name + ":now");
    EXPECT_EQ(eighth->model, name + ":8");
    EXPECT_EQ(ask(name + ":8")->text, eighth->text);
    EXPECT_EQ(ask(name + ":3")->text, third->text);
    bench.wait("both and the model in training", offered({name + ":now", name + ":8", name + ":3"}));
    const std::string gone = bench.failed("generate.start", {{"model", name + ":5"}, {"prompt", "The "}});
    EXPECT_NE(gone.find("keeps no checkpoint of step 5; it has those of steps 3, 8"), std::string::npos) << gone;
    const std::string odd = bench.failed("generate.start", {{"model", name + ":soon"}, {"prompt", "The "}});
    EXPECT_NE(odd.find("checkpoint:RUN:now"), std::string::npos) << odd;

    // A probe of the model as it is now against itself at an earlier step asks two checkpoints, not one and a half.
    step_to(9);
    const auto probe = bench
                           .done("probe.start", {{"set", "starter"},
                                                 {"models", {name + ":now", name + ":3"}},
                                                 {"languages", {"en"}},
                                                 {"max_tokens", 2},
                                                 {"limit", 2}})
                           .value("run", 0u);
    const auto now = bench.wait("the probe", [&](const Snapshot& s) {
        const auto found = s.probes.find(probe);
        return found != s.probes.end() && found->second->state == RunState::done;
    });
    EXPECT_EQ(now->probes.at(probe)->models, (std::vector<std::string>{name + ":9", name + ":3"}));
    const std::string twice =
        bench.failed("probe.start", {{"set", "starter"}, {"models", {name + ":now", name + ":9"}}});
    EXPECT_NE(twice.find("named twice"), std::string::npos) << twice;

    bench.done("train.stop", {{"run", run}});
    bench.wait("stopped", in_state(run, RunState::stopped));
    EXPECT_EQ(ask(name + ":now")->model, name + ":9") << "what it was last";
    bench.wait("no model in training", [&](const Snapshot& s) {
        return std::none_of(s.models.begin(), s.models.end(), [&](const auto& m) { return m.name == name + ":now"; });
    });
}

/// The node tells what each of its processes takes; a model that answers is one of them and stays for a while.
TEST_F(Serve, TellsTheMemoryOfEachProcess) {
    const std::string model = train_tiny_models(folder)[0];
    Workbench bench(session);
    bench.wait("the node", [](const Snapshot& s) { return !s.node.processes.empty(); });
    bench.done("generate.start", {{"model", model}, {"prompt", "The "}, {"max_tokens", 4}});
    const auto now = bench.wait("the model's process", [](const Snapshot& s) { return s.node.processes.size() == 2; });
    using Kind = protocol::ProcessMemory::Kind;
    EXPECT_EQ(now->node.processes[0].kind, Kind::node);
    EXPECT_EQ(now->node.processes[0].process, bench.client().node_process());
    EXPECT_EQ(now->node.processes[1].kind, Kind::model);
    EXPECT_EQ(now->node.processes[1].name, model);
    for (const auto& process : now->node.processes) {
        EXPECT_GE(process.bytes, std::uint64_t{1} << 20);
    }
    EXPECT_GE(now->window_memory, std::uint64_t{1} << 20);
}

TEST_F(Serve, SeveralKnobsAreTurnedTogetherOrNotAtAll) {
    Workbench bench(session);
    json config = tiny_config(100, 0);
    config["model"]["selection_bias"] = true;
    const auto run =
        bench.done("train.start", {{"config", config}, {"data", corpus.string()}, {"paused", true}}).value("run", 0u);
    bench.wait("paused", in_state(run, RunState::paused));
    // The first of the two is fine by itself.
    const auto refused = bench.failed("train.set", {{"run", run}, {"balance_coefficient", 0.5}, {"bias_speed", 5}});
    EXPECT_NE(refused.find("from 0 to 1"), std::string::npos) << refused;
    bench.done("train.step", {{"run", run}});
    auto now = bench.wait("a step", [&](const Snapshot& s) { return training(s, run)->step.size() == 1; });
    EXPECT_FALSE(has_event(*training(*now, run), "knob"));
    bench.done("train.set", {{"run", run}, {"balance_coefficient", 0.5}, {"bias_speed", 0.5}});
    now = bench.wait("knobs", [&](const Snapshot& s) { return has_event(*training(s, run), "knob"); });
    for (const auto& event : training(*now, run)->events) {
        EXPECT_TRUE(event.kind != "knob" || event.name == "balance_coefficient" || event.name == "bias_update_rate")
            << event.name;
    }
    EXPECT_NE(bench.failed("train.set", {{"run", run}, {"width", 5}}).find("width"), std::string::npos);
    EXPECT_NE(bench.failed("train.set", {{"run", run}}).find("train.set needs one of"), std::string::npos);
    EXPECT_NE(bench.failed("train.set", {{"run", run}, {"learning_rate", "0.1"}}).find("must be a number"),
              std::string::npos);
    bench.done("train.stop", {{"run", run}});
}

/// Starts and ends of runs stand in the log in words.
bool logged(const Snapshot& snapshot, const std::string& level, const std::string& part) {
    for (std::size_t i = 0; i < snapshot.log.size(); ++i) {
        if (snapshot.log[i].level == level && snapshot.log[i].text.english().find(part) != std::string::npos) {
            return true;
        }
    }
    return false;
}

TEST_F(Serve, AKilledNodeGoesOnFromTheCheckpoint) {
    Workbench bench(session);
    const std::uint32_t run = start(bench, 1200, false);
    bench.wait("a checkpoint", [&](const Snapshot& s) {
        const auto* found = training(s, run);
        return found != nullptr && found->last_checkpoint >= 200;
    });
    kill(bench.client().node_process(), SIGKILL);
    bench.wait("the crash", [](const Snapshot& s) { return s.link.state == client::Link::State::crashed; });
    bench.client().restart_node();
    bench.wait("interrupted", [&](const Snapshot& s) {
        return s.link.state == client::Link::State::connected && in_state(run, RunState::interrupted)(s);
    });
    bench.wait("the kill in the log", [](const Snapshot& s) {
        return logged(s, "warning", "'first' was interrupted: the node stopped at step");
    });
    EXPECT_EQ(bench.done("train.continue", {{"run", run}}).value("run", 0u), run);
    const auto now = bench.wait("the end", in_state(run, RunState::done));
    const auto* found = training(*now, run);
    EXPECT_TRUE(has_event(*found, "rewind"));
    bench.wait("the start and the end in the log", [](const Snapshot& s) {
        return logged(s, "info", " started") && logged(s, "info", " is done: 1200 steps");
    });
    ASSERT_EQ(found->step.size(), 1200u);
    for (std::size_t i = 0; i < found->step.size(); ++i) {
        ASSERT_EQ(found->step[i], static_cast<double>(i + 1));
    }

    // What a run with no break ends with.
    const auto config = write_config(folder, tiny_config(1200, 200));
    const Output whole = run_node({"train", "--config", config.string(), "--data", corpus.string(), "--out",
                                   (folder / "whole").string(), "--seed", "3", "--json"});
    ASSERT_EQ(whole.status, 0) << whole.error;
    EXPECT_EQ((*found)[&base::StepValues::loss][1199], whole.lines()[1199]["loss"].get<double>());
}

TEST_F(Serve, KnobsAndExpertsChangeWhileItRunsAndAForkGoesOnFromIt) {
    Workbench bench(session);
    const std::uint32_t run = start(bench, 60, true);
    bench.wait("paused", in_state(run, RunState::paused));
    const auto steps = [&](int count) {
        const std::size_t wanted = training(*bench.wait("the run", in_state(run, RunState::paused)), run)->step.size() +
                                   static_cast<std::size_t>(count);
        bench.done("train.step", {{"run", run}, {"count", count}});
        bench.wait("steps", [&](const Snapshot& s) { return training(s, run)->step.size() == wanted; });
    };
    steps(3);
    bench.done("train.set", {{"run", run}, {"experts_per_token", 1}, {"balance_coefficient", 0.1}});
    bench.done("train.expert", {{"run", run}, {"layer", 1}, {"expert", 2}, {"action", "reset"}});
    bench.done("train.expert", {{"run", run}, {"layer", 0}, {"expert", 0}, {"action", "disable"}});
    bench.done("train.expert", {{"run", run}, {"layer", 0}, {"expert", 1}, {"action", "freeze"}});
    EXPECT_NE(bench.failed("train.set", {{"run", run}, {"experts_per_token", 1.5}}).find("whole"), std::string::npos);
    EXPECT_NE(bench.failed("train.set", {{"run", run}, {"experts_per_token", 9}}), "");
    EXPECT_NE(
        bench.failed("train.expert", {{"run", run}, {"layer", 7}, {"expert", 0}, {"action", "reset"}}).find("layer"),
        std::string::npos);
    EXPECT_NE(
        bench.failed("train.expert", {{"run", run}, {"layer", 0}, {"expert", 0}, {"action", "praise"}}).find("praise"),
        std::string::npos);
    steps(4);
    auto now = bench.wait("events", [&](const Snapshot& s) { return has_event(*training(s, run), "expert"); });
    // One expert per token from step 4 on, and none of layer 0's tokens for the disabled one.
    const auto& counts = *training(*now, run)->counts.back();
    const auto count_of_expert = [&](std::size_t layer, std::size_t expert) {
        std::uint64_t sum = 0;
        for (std::size_t language = 0; language < 2; ++language) {
            sum += counts.counts[(language * training(*now, run)->layers + layer) * 4 + expert];
        }
        return sum;
    };
    EXPECT_EQ(count_of_expert(0, 0), 0u);
    std::uint64_t all = 0;
    for (std::size_t expert = 0; expert < 4; ++expert) {
        all += count_of_expert(1, expert);
    }
    const auto config = training(*now, run)->manifest.at("config");
    EXPECT_EQ(all, config["train"]["batch"].get<std::uint64_t>() * config["model"]["context"].get<std::uint64_t>());
    bench.done("train.checkpoint", {{"run", run}});
    // The log tells what was done to the run, from the same records, and by whom.
    bench.wait("lines of the log", [](const Snapshot& s) {
        return logged(s, "info", "'first': setting balance_coefficient changed from 0.01 to 0.1, from step 4 on") &&
               logged(s, "info", "'first': layer 0, expert 0 is disabled from step 4 on") &&
               logged(s, "info", "'first': layer 0, expert 1 is frozen from step 4 on") &&
               logged(s, "info", "'first': checkpoint saved at step 7");
    });

    json changed = config;
    changed["train"]["learning_rate"] = 0.0001;
    changed["train"]["steps"] = 12;
    const std::uint32_t fork =
        bench.done("train.fork", {{"run", run}, {"config", changed}, {"name", "child"}}).value("run", 0u);
    ASSERT_NE(fork, run);
    now = bench.wait("the end of the fork", in_state(fork, RunState::done));
    EXPECT_EQ(training(*now, fork)->step[0], 8.0);
    ASSERT_EQ(training(*now, fork)->step.size(), 5u);
    EXPECT_EQ(training(*now, fork)->step[4], 12.0);
    EXPECT_EQ(training(*now, fork)->manifest["fork"], (json{{"run", run}, {"step", 7}}));
    EXPECT_NE(bench.failed("train.fork", {{"run", run}, {"step", 3}, {"config", changed}}).find("step 3"),
              std::string::npos);
    bench.done("train.stop", {{"run", run}});
    bench.wait("stopped", in_state(run, RunState::stopped));

    // What cannot work is refused before there is a run: other tensors, too few enabled experts, no step left.
    const auto refusal = [&](const json& parameters) { return bench.failed("train.fork", parameters); };
    json wrong = changed;
    wrong["model"]["experts"] = 8;
    EXPECT_NE(refusal({{"run", run}, {"config", wrong}}).find("other tensors"), std::string::npos);
    wrong = changed;
    wrong["model"]["experts_per_token"] = 4;
    EXPECT_NE(refusal({{"run", run}, {"config", wrong}}).find("layer 0 has 3 enabled experts"), std::string::npos);
    EXPECT_NE(refusal({{"run", run}, {"steps", 7}}).find("would begin with step 8"), std::string::npos);
    EXPECT_EQ(bench.client().snapshot()->training.size(), 2u);

    // Without a configuration a fork has the settings in force at the checkpoint, as the window shows them, and its
    // disabled and frozen experts in any case.
    const auto second = bench.done("train.fork", {{"run", run}, {"steps", 9}}).value("run", 0u);
    now = bench.wait("the end of the second fork", in_state(second, RunState::done));
    json in_force = history::settings_in_force(*training(*now, run), 7);
    EXPECT_EQ(in_force["model"]["experts_per_token"], 1);
    EXPECT_EQ(in_force["train"]["balance_coefficient"], 0.1);
    in_force["train"]["steps"] = 9;
    EXPECT_EQ(training(*now, second)->manifest["config"], in_force);
    for (const std::uint32_t child : {fork, second}) {
        const auto& manifest = training(*now, child)->manifest;
        EXPECT_EQ(manifest["disabled_experts"], json::array({json::array({0, 0})}));
        EXPECT_EQ(manifest["frozen_experts"], json::array({json::array({0, 1})}));
        const auto& last = training(*now, child)->counts.back()->counts;
        EXPECT_EQ(last[0] + last[8], 0u) << "a disabled expert stays so";
    }
    // Named by how many-th training run it is, whatever numbers the other runs took.
    EXPECT_EQ(training(*now, second)->name, "tiny-3");
}

TEST_F(Serve, WhatCannotTrainIsRefusedBeforeThereIsARun) {
    Workbench bench(session);
    json config = tiny_config(10, 0);
    config["model"]["vocabulary"] = 300;
    const auto refusal = bench.failed("train.start", {{"config", config}, {"data", corpus.string()}});
    EXPECT_NE(refusal.find("a vocabulary of 300 pieces is not possible; use 320 to"), std::string::npos) << refusal;
    EXPECT_NE(bench.failed("train.start", {{"config", tiny_config(10, 0)}, {"data", "/nowhere/text.txt"}})
                  .find("/nowhere/text.txt does not exist"),
              std::string::npos);
    EXPECT_TRUE(bench.client().snapshot()->training.empty());
}

TEST_F(Serve, AReplayTurnsTheKnobsAgain) {
    {
        Workbench bench(session);
        const std::uint32_t run = start(bench, 60, true);
        bench.wait("paused", in_state(run, RunState::paused));
        bench.done("train.step", {{"run", run}, {"count", 3}});
        bench.wait("three steps", [&](const Snapshot& s) { return training(s, run)->step.size() == 3; });
        bench.done("train.set", {{"run", run}, {"learning_rate", 0.0002}});
        bench.done("train.expert", {{"run", run}, {"layer", 0}, {"expert", 1}, {"action", "reset"}});
        bench.done("train.step", {{"run", run}, {"count", 3}});
        bench.wait("six steps", [&](const Snapshot& s) { return training(s, run)->step.size() == 6; });
        bench.done("train.stop", {{"run", run}});
        bench.wait("stopped", in_state(run, RunState::stopped));
    }
    const Output replay = run_node({"train", "--replay", session.string(), "--json"});
    ASSERT_EQ(replay.status, 0) << replay.error << replay.out;
    EXPECT_EQ(replay.lines().back()["steps"], 6);
    const auto opened = sessions::Session::open(session, sessions::Journal::Mode::read_only);
    const auto history = history::read_runs(opened->journal());
    const auto& events = history.trainings().begin()->second.value.events;
    EXPECT_EQ(std::count_if(events.begin(), events.end(),
                            [](const history::RunEvent& e) { return e.kind == "knob" || e.kind == "expert"; }),
              2);
}

TEST_F(Serve, CatalogueAndGauges) {
    Workbench bench(session);
    const auto now = bench.wait("catalogue and models", [](const Snapshot& s) {
        return s.catalogue->is_object() && s.models.size() >= 3 && s.node.cores > 0;
    });
    for (const auto& set : (*now->catalogue)["probe_sets"]) {
        EXPECT_GE(set["items"].size(), 24u);
    }
    EXPECT_FALSE((*now->catalogue)["prompts"].empty());
    EXPECT_FALSE(now->node.version.empty());
    for (const auto& preset : (*now->catalogue)["presets"]) {
        EXPECT_GT(preset["plan"]["parameters_total"], 0);
    }
    const auto plan = bench.done("probe.plan", {{"items", 16}, {"draws", 1}, {"models", {"a", "b"}}});
    EXPECT_GT(plan["detectable_difference"].get<double>(), 0.1);
    EXPECT_GT(bench.done("train.plan", {{"config", tiny_config(10, 5)}})["memory_bytes"], 0);
}

const history::ProbeRun* probe(const Snapshot& snapshot, std::uint32_t run) {
    const auto found = snapshot.probes.find(run);
    return found == snapshot.probes.end() ? nullptr : found->second.get();
}

TEST_F(Serve, AProbePausesSurvivesTheNodeAndTakesLabels) {
    const auto models = train_tiny_models(folder);
    std::uint32_t run = 0;
    std::string item;
    {
        Workbench bench(session);
        run = bench.done("probe.start", {{"set", "starter"}, {"models", models}, {"max_tokens", 4}}).value("run", 0u);
        bench.wait("answers",
                   [&](const Snapshot& s) { return probe(s, run) != nullptr && probe(s, run)->draws.size() >= 5; });
        bench.done("probe.pause", {{"run", run}});
        bench.wait("pause", [&](const Snapshot& s) { return probe(s, run)->state == RunState::paused; });
        kill(bench.client().node_process(), SIGKILL);
        bench.wait("the crash", [](const Snapshot& s) { return s.link.state == client::Link::State::crashed; });
        bench.client().restart_node();
        bench.wait("interrupted", [&](const Snapshot& s) {
            return s.link.state == client::Link::State::connected && probe(s, run)->state == RunState::interrupted;
        });
        bench.done("probe.resume", {{"run", run}});
        auto now = bench.wait("the end", [&](const Snapshot& s) { return probe(s, run)->state == RunState::done; });
        const auto planned = probe(*now, run)->planned;
        EXPECT_EQ(planned, 32u * 2 * 2);
        now = bench.wait("all answers and their statistics", [&](const Snapshot& s) {
            const auto* found = probe(s, run);
            return found->draws.size() >= planned && found->statistics.is_object() &&
                   found->statistics["draws"]["received"] == planned;
        });
        EXPECT_EQ(probe(*now, run)->draws.size(), planned);
        item = probe(*now, run)->draws.front()->item;
        const json label = {{"run", run}, {"item", item},        {"model", models[0]}, {"language", "en"},
                            {"draw", 0},  {"field", "delivery"}, {"value", "refused"}, {"coder", "test"}};
        bench.done("probe.label", label);
        bench.wait("the label",
                   [&](const Snapshot& s) { return probe(s, run)->statistics["draws"]["by_person"] == 1; });
        json wrong = label;
        wrong["value"] = "perhaps";
        EXPECT_NE(bench.failed("probe.label", wrong).find("perhaps"), std::string::npos);
        wrong = label;
        wrong["item"] = "no-such-item";
        EXPECT_NE(bench.failed("probe.label", wrong).find("no-such-item"), std::string::npos);
    }
    Workbench again(session);
    again.wait("the label after reopening", [&](const Snapshot& s) {
        const auto* found = probe(s, run);
        return found != nullptr && found->statistics.is_object() && found->statistics["draws"]["by_person"] == 1;
    });
    // No question was asked twice: the journal holds each answer once.
    const auto opened = sessions::Session::open(session, sessions::Journal::Mode::read_only);
    std::size_t answers = 0;
    history::for_each_record(opened->journal(), protocol::Channel::text, {}, [&](const sessions::Record& record) {
        answers += record.type == static_cast<std::uint16_t>(protocol::RecordType::probe_draw) ? 1 : 0;
        return true;
    });
    EXPECT_EQ(answers, 128u);
}

TEST_F(Serve, AKilledModelProcessLeavesTrainingAlone) {
    const auto model = model_cache() / "models" / "smollm2-135m-instruct-q4_1.gguf";
    if (model_cache().empty() || !std::filesystem::exists(model)) {
        GTEST_SKIP() << "needs the model smollm2-135m; ./run fetches it";
    }
    Workbench bench(session);
    const std::uint32_t run = start(bench, 1'000'000, false);
    const json question = {{"model", model.string()},
                           {"prompt", "Tell me a long story about a river."},
                           {"max_tokens", 1500},
                           {"temperature", 1.0},
                           {"threads", 1}};
    const std::uint32_t generation = bench.done("generate.start", question).value("run", 0u);
    const auto answering = [&](std::uint32_t which) {
        return [which](const Snapshot& s) {
            const auto found = s.generations.find(which);
            return found != s.generations.end() && !found->second->tokens.empty();
        };
    };
    const auto ended = [&](std::uint32_t which) {
        return [which](const Snapshot& s) {
            const auto found = s.generations.find(which);
            return found != s.generations.end() && !found->second->stop.empty();
        };
    };
    bench.wait("tokens", answering(generation));
    const auto workers = children_of(bench.client().node_process());
    ASSERT_EQ(workers.size(), 1u);
    kill(workers.front(), SIGABRT);  // as llama.cpp's own checks do; the sanitizers take SIGSEGV for themselves
    auto now = bench.wait("the failure", ended(generation));
    EXPECT_EQ(now->generations.at(generation)->state, RunState::failed);
    bench.wait("the failure in the log", [](const Snapshot& s) { return logged(s, "error", "could not answer: "); });
    EXPECT_NE(now->generations.at(generation)->message.english().find("signal 6"), std::string::npos)
        << now->generations.at(generation)->message;
    const std::size_t steps = training(*now, run)->step.size();
    bench.wait("more steps", [&](const Snapshot& s) { return training(s, run)->step.size() > steps + 5; });

    // The next one gets a new process, and cancel ends it.
    const std::uint32_t second = bench.done("generate.start", question).value("run", 0u);
    bench.wait("tokens of the second", answering(second));
    bench.done("generate.cancel", {{"run", second}});
    now = bench.wait("the cancel", ended(second));
    EXPECT_EQ(now->generations.at(second)->stop, "cancelled");
    bench.wait("the cancel in the log", [](const Snapshot& s) { return logged(s, "info", " was stopped after "); });
    EXPECT_LT(now->generations.at(second)->tokens.size(), 1500u);
    bench.done("train.stop", {{"run", run}});
    bench.wait("stopped", in_state(run, RunState::stopped));
}

}  // namespace
}  // namespace moescope::test
