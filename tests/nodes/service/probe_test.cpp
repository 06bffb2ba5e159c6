// `moescope-node probe`: a run that was killed goes on, and asks nothing twice.
#include <algorithm>
#include <gtest/gtest.h>
#include <set>
#include <signal.h>

#include "nodes/history/journal_reader.hpp"
#include "tests/nodes/service/program.hpp"
#include "tests/nodes/service/workbench.hpp"
#include "tests/paths.hpp"

namespace moescope::test {
namespace {

using nlohmann::json;

class ProbeCommand : public testing::Test {
 protected:
    Arguments arguments(const Arguments& more = {}, const std::string& tokens = "4") const {
        Arguments list{"probe", "--set",          "starter",      "--models", models[0] + "," + models[1],
                       "--out", session.string(), "--max-tokens", tokens,     "--json"};
        list.insert(list.end(), more.begin(), more.end());
        return list;
    }
    void expect_refused(const Arguments& list, const std::string& names) const {
        const Output output = run_node(list);
        EXPECT_EQ(output.status, 1);
        EXPECT_EQ(std::count(output.error.begin(), output.error.end(), '\n'), 1) << output.error;
        EXPECT_NE(output.error.find(names), std::string::npos) << output.error;
    }
    TemporaryFolder folder;
    std::vector<std::string> models = train_tiny_models(folder);
    std::filesystem::path session = folder / "probe";
};

/// Models that were named by relative paths are found again by a node and a command in other folders.
TEST_F(ProbeCommand, RelativeModelsAreFoundFromAnotherFolder) {
    const auto elsewhere = folder / "elsewhere";
    std::filesystem::create_directory(elsewhere);
    const auto name = [](const std::string& path) { return std::filesystem::path(path).filename().string(); };
    Arguments relative = arguments();
    relative[4] = name(models[0]) + "," + name(models[1]);
    {
        const WorkingFolder here(std::filesystem::path(models[0]).parent_path());
        Running running(relative);
        for (int line = 0; line < 5; ++line) {
            ASSERT_TRUE(running.line());
        }
        running.signal(SIGINT);
        ASSERT_EQ(running.finish().status, 130);
    }
    const WorkingFolder there(elsewhere);
    {
        Workbench bench(session);
        bench.done("probe.resume", {{"run", 1}});
        bench.wait("more answers", [](const Snapshot& s) { return s.probes.at(1)->draws.size() > 20; });
        bench.done("probe.cancel", {{"run", 1}});
        bench.wait("its end", [](const Snapshot& s) { return protocol::ended(s.probes.at(1)->state); });
    }
    relative = arguments({"--resume"});
    relative[4] = "../" + name(models[0]) + ",../" + name(models[1]);
    const Output output = run_node(relative);
    ASSERT_EQ(output.status, 0) << output.error;
    EXPECT_EQ(output.lines().back()["answers"], 128);
}

TEST_F(ProbeCommand, AKilledOneGoesOnAndAsksNothingTwice) {
    {
        Running running(arguments());
        for (int line = 0; line < 20; ++line) {
            ASSERT_TRUE(running.line());
        }
        running.signal(SIGKILL);
        EXPECT_EQ(running.finish().status, 128 + SIGKILL);
    }
    expect_refused(arguments({"--resume"}, "5"), "max-tokens 4");
    expect_refused(arguments({"--resume", "--limit", "3"}), "32 items");
    Arguments swapped = arguments({"--resume"});
    swapped[4] = models[1] + "," + models[0];
    expect_refused(swapped, "other settings");

    const Output output = run_node(arguments({"--resume"}));
    ASSERT_EQ(output.status, 0) << output.error;
    const auto lines = output.lines();
    EXPECT_LE(lines.size(), 128u - 15 + 1) << "it began anew";
    EXPECT_EQ(lines.back()["done"], true);
    EXPECT_EQ(lines.back()["answers"], 128);
    EXPECT_EQ(lines.back()["statistics"]["draws"]["received"], 128);

    const auto opened = sessions::Session::open(session, sessions::Journal::Mode::read_only);
    const auto history = history::read_session(opened->journal());
    ASSERT_EQ(history.runs().size(), 1u);
    EXPECT_EQ(history.probes().begin()->second.value.state, protocol::RunState::done);
    EXPECT_EQ(history.probes().begin()->second.value.draws.size(), 128u);
    std::multiset<std::string> keys;
    history::for_each_record(opened->journal(), protocol::Channel::text, {}, [&](const sessions::Record& record) {
        if (record.type == static_cast<std::uint16_t>(protocol::RecordType::probe_draw)) {
            keys.insert(history::draw_key(protocol::decode_json(record.body).value_or(json())));
        }
        return true;
    });
    EXPECT_EQ(keys.size(), 128u);
    EXPECT_EQ((std::set<std::string>(keys.begin(), keys.end()).size()), 128u);
    const Output again = run_node(arguments({"--resume"}));
    ASSERT_EQ(again.status, 0) << again.error;
    EXPECT_EQ(again.lines(), std::vector<json>{lines.back()}) << "what is finished says so again";
}

TEST_F(ProbeCommand, ResumeInAnEmptySessionBegins) {
    expect_refused(arguments({"--resume", "--limit", "2"}), "nothing can be resumed");
    EXPECT_FALSE(std::filesystem::exists(session));
    sessions::Session::open(session, sessions::Journal::Mode::read_write);
    const Output output = run_node(arguments({"--resume", "--limit", "2"}));
    ASSERT_EQ(output.status, 0) << output.error;
    EXPECT_EQ(output.lines().size(), 2u * 2 * 2 + 1);
}

TEST_F(ProbeCommand, AChangedSetIsRefused) {
    const auto set = std::filesystem::path(moescope::test::source_assets()) / "probe_sets" / "starter.json";
    const auto copy = folder / "set.json";
    std::filesystem::copy_file(set, copy);
    Arguments list = arguments({"--limit", "2"});
    list[2] = copy.string();
    {
        Running running(list);
        ASSERT_TRUE(running.line());
        running.signal(SIGTERM);
        EXPECT_EQ(running.finish().status, 128 + SIGTERM);
    }
    list.push_back("--resume");
    json changed = json::parse(read_text(copy));
    changed["items"][0]["prompt"]["en"] = "Another question?";
    write_text(copy, changed.dump());
    expect_refused(list, "has changed");
}

}  // namespace
}  // namespace moescope::test
