// The connection between viewer and node breaks, in every way and at every byte. In the end the viewer has what it
// would have had without that, each record once, and every command was carried out once.
#include <algorithm>
#include <gtest/gtest.h>
#include <iostream>
#include <memory>
#include <random>
#include <thread>

#include "nodes/client/client.hpp"
#include "nodes/history/journal_reader.hpp"
#include "tests/faults/disk/recorder.hpp"
#include "tests/faults/options.hpp"
#include "tests/faults/wire/fault_proxy.hpp"
#include "tests/nodes/client/small_node.hpp"
#include "tests/nodes/service/workbench.hpp"

namespace moescope::faults {
namespace {

using client::CommandResult;
using client::Snapshot;
using nlohmann::json;
using test::SmallNode;
using test::Workbench;
using namespace std::chrono_literals;

constexpr std::uint64_t kSteps = 3;
constexpr int kCommands = 2;

/// What a viewer knows in the end, as text: all that must not depend on how the connection went.
std::string told(const Snapshot& snapshot, const std::vector<CommandResult>& results) {
    json all = {{"records", snapshot.link.records}, {"epoch", snapshot.link.epoch}};
    for (const auto& [id, run] : snapshot.training) {
        json steps = json::array();
        for (std::size_t i = 0; i < run->step.size(); ++i) {
            steps.push_back({run->step[i], (*run)[&base::StepValues::loss][i]});
        }
        json events = json::array();
        for (const auto& event : run->events) {
            events.push_back({event.step, event.kind, event.name});
        }
        all["runs"].push_back(
            {{"run", id}, {"name", run->name}, {"state", run->state}, {"steps", steps}, {"events", events}});
    }
    for (const auto& line : snapshot.log) {
        all["log"].push_back(line.text.english());
    }
    for (const auto& [name, items] : *snapshot.intervention_sets) {
        all["sets"].push_back({name, items});
    }
    for (const auto& result : results) {
        all["results"].push_back({result.name, static_cast<int>(result.state), result.value});
    }
    return all.dump();
}

struct Outcome {
    std::string told;
    std::size_t to_node = 0, to_viewer = 0, connections = 0;
    std::size_t carried_out = 0;  ///< commands
    bool operator==(const Outcome& other) const { return told == other.told && carried_out == other.carried_out; }
};

/// A small node with a short history, a viewer behind a proxy that sends commands at once.
Outcome connect_with(const std::vector<Mishap>& mishaps, bool forgetful = false) {
    const test::TemporaryFolder folder(memory_disk());
    SmallNode node(folder / "node", folder / "session", forgetful);
    node.start_run(1);
    for (std::uint64_t step = 1; step <= kSteps; ++step) {
        node.step(1, step);
    }
    const FaultProxy proxy(folder / "proxy", folder / "node", mishaps);
    client::ClientOptions options;
    options.socket = folder / "proxy";
    Workbench bench(options);
    std::vector<client::CommandId> ids;
    for (int i = 0; i < kCommands; ++i) {
        ids.push_back(bench.client().send("count", {{"number", i}}));
    }
    std::vector<CommandResult> results;
    for (const auto id : ids) {
        results.push_back(bench.result_of(id));
    }
    const std::size_t records = 1 + kSteps + kCommands;
    const auto snapshot = bench.wait("all records", [&](const Snapshot& now) {
        return now.link.records >= records && !now.catalogue->is_null() && now.node.cores > 0;
    });
    Outcome outcome{told(*snapshot, results), proxy.to_node(), proxy.to_viewer(), proxy.connections(), 0};
    history::for_each_record(
        node.session().journal(), protocol::Channel::events, {}, [&](const sessions::Record& record) {
            outcome.carried_out += record.type == static_cast<std::uint16_t>(protocol::RecordType::log) ? 1 : 0;
            return true;
        });
    return outcome;
}

class Wire : public testing::Test {
 protected:
    Wire() { skip_syncs(true); }  // the disk is no part of this
    ~Wire() override { skip_syncs(false); }
};

TEST_F(Wire, ACutAtEveryByteEndsInTheSameState) {
    const Outcome whole = connect_with({});
    ASSERT_EQ(whole.carried_out, static_cast<std::size_t>(kCommands));
    ASSERT_GT(whole.to_viewer, 500u);
    std::vector<Mishap> cuts;
    for (std::size_t byte = 1; byte <= whole.to_node; ++byte) {
        cuts.push_back({.cut_to_node = byte});
    }
    for (std::size_t byte = 1; byte <= whole.to_viewer; ++byte) {
        cuts.push_back({.cut_to_viewer = byte});
    }
    std::size_t cut = 0, bad = 0;
    std::string first;
    for (const Mishap& mishap : cuts) {
        const Outcome outcome = connect_with({mishap});
        cut += outcome.connections > 1 ? 1 : 0;
        if (!(outcome == whole)) {
            ++bad;
            if (first.empty()) {
                first = (mishap.cut_to_node != kNever ? "cut to node at " + std::to_string(mishap.cut_to_node)
                                                      : "cut to viewer at " + std::to_string(mishap.cut_to_viewer)) +
                        "\n" + outcome.told + "\ninstead of\n" + whole.told +
                        "\ncarried out: " + std::to_string(outcome.carried_out);
            }
        }
    }
    std::cout << whole.to_node << " bytes to the node, " << whole.to_viewer << " to the viewer; " << cut
              << " connections were cut, " << bad << " ended differently\n";
    EXPECT_EQ(bad, 0u) << first;
    EXPECT_GT(cut, cuts.size() * 9 / 10);
}

/// A node that forgets what it has answered carries out a command twice, and the test sees it.
TEST_F(Wire, ACutIsSeenToDoCommandsTwiceWithoutTheirIds) {
    const Outcome whole = connect_with({});
    std::size_t twice = 0;
    for (std::size_t byte = whole.to_viewer / 4; byte < whole.to_viewer; byte += 40) {
        twice +=
            connect_with({{.cut_to_viewer = byte}}, true).carried_out > static_cast<std::size_t>(kCommands) ? 1 : 0;
    }
    EXPECT_GT(twice, 0u);
}

/// All at the same time: they wait, and do not compute.
TEST_F(Wire, WhateverTheNetworkDoesItEndsInTheSameState) {
    const Outcome whole = connect_with({});
    const std::vector<std::pair<const char*, std::vector<Mishap>>> cases = {
        {"delay", {{.delay = 75ms, .jitter = 50ms}}},
        {"long delay", {{.delay = 300ms}}},
        {"stall", {{.stall_at = 600, .stall = 3s}}},
        {"stall in the greeting", {{.stall_at = 20, .stall = 7s}}},
        {"half-open in the greeting", {{.silent_after = 20}}},
        {"half-open", {{.silent_after = 700}}},
        {"one byte a second", {{.one_byte_per_second = true}}},
        {"refused", {{.refused = true}, {.refused = true}, {.refused = true}}},
        {"one after the other",
         {{.cut_to_viewer = 100}, {.refused = true}, {.cut_to_viewer = 700, .delay = 20ms}, {.cut_to_node = 200}}},
    };
    std::vector<Outcome> outcomes(cases.size());
    std::vector<std::thread> threads;
    for (std::size_t i = 0; i < cases.size(); ++i) {
        threads.emplace_back([&, i] { outcomes[i] = connect_with(cases[i].second); });
    }
    for (auto& thread : threads) {
        thread.join();
    }
    for (std::size_t i = 0; i < cases.size(); ++i) {
        EXPECT_EQ(outcomes[i].told, whole.told) << cases[i].first;
        EXPECT_EQ(outcomes[i].carried_out, whole.carried_out) << cases[i].first;
    }
}

/// The program itself, a finished run in its session, and a cut at any byte of every second connection.
TEST_F(Wire, RandomCutsOfTheProgramsConnectionEndInTheSameState) {
    const test::TemporaryFolder folder(memory_disk());
    const auto corpus = test::write_corpus(folder);
    const std::string session = (folder / "session").string(), socket = (folder / "node").string();
    const auto config = test::write_config(folder, test::tiny_config(40, 20));
    const auto trained =
        test::run_node({"train", "--config", config.string(), "--data", corpus.string(), "--out", session});
    ASSERT_EQ(trained.status, 0) << trained.error;
    const test::Running node({"serve", "--socket", socket, "--session", session});
    const auto until = std::chrono::steady_clock::now() + 30s;
    while (!std::filesystem::exists(socket) && std::chrono::steady_clock::now() < until) {
        std::this_thread::sleep_for(5ms);
    }
    // Each viewer saves a set of changes under its own name: one record, if it is done once.
    struct View {
        std::string told;
        std::size_t records = 0, to_viewer = 0, to_node = 0, cuts = 0;
    };
    int viewers = 0;
    const auto view = [&](const std::vector<Mishap>& mishaps) {
        const std::string name = "set " + std::to_string(++viewers);
        const auto place = folder / ("p" + std::to_string(viewers));
        const FaultProxy proxy(place, socket, mishaps);
        client::ClientOptions options;
        options.socket = place;
        Workbench bench(options);
        const json change = {{"kind", "knock_out"}, {"layer", 0}, {"expert", 1}};
        bench.done("interventions.save", {{"name", name}, {"items", {change}}});
        const auto snapshot = bench.wait("the run and the set", [&](const Snapshot& now) {
            const auto* run = test::training(now, 1);
            return run != nullptr && run->step.size() >= 40 && run->state == history::RunState::done &&
                   now.intervention_sets->contains(name) && !now.catalogue->is_null();
        });
        const auto* run = test::training(*snapshot, 1);
        std::string steps;
        for (std::size_t i = 0; i < run->step.size(); ++i) {
            steps += std::to_string(run->step[i]) + " " + std::to_string((*run)[&base::StepValues::loss][i]) + "\n";
        }
        return View{steps + run->parameters_sha256, snapshot->link.records, proxy.to_viewer(), proxy.to_node(),
                    proxy.connections() - 1};
    };
    const View whole = view({});
    std::mt19937_64 random(seed());
    // Half of them in the greeting and what follows it at once.
    const auto somewhere = [&](std::size_t all) {
        return 1 + random() % (random() % 2 == 0 ? all : std::min<std::size_t>(all, 2000));
    };
    const std::uint64_t count = count_or(200);
    std::uint64_t cuts = 0;
    std::size_t records = whole.records;
    while (cuts < count) {
        std::vector<Mishap> mishaps(10);
        for (Mishap& mishap : mishaps) {
            const bool to_node = random() % 4 == 0;
            (to_node ? mishap.cut_to_node : mishap.cut_to_viewer) =
                somewhere(to_node ? whole.to_node : whole.to_viewer);
        }
        const View now = view(mishaps);
        ASSERT_EQ(now.told, whole.told) << "after " << cuts << " cuts";
        ASSERT_EQ(now.records, ++records)
            << "a record came twice or not at all, or a command was done twice; after " << cuts << " cuts";
        cuts += now.cuts;
    }
    std::cout << cuts << " cuts of connections of " << whole.to_viewer << " bytes, " << viewers << " viewers\n";
}

}  // namespace
}  // namespace moescope::faults
