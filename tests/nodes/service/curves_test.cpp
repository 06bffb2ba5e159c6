// curves.import and curves.export through a node, as the window asks for them.
#include <algorithm>
#include <gtest/gtest.h>

#include "nodes/curves/read_curves.hpp"
#include "tests/nodes/curves/event_bytes.hpp"
#include "tests/nodes/service/workbench.hpp"

namespace moescope::test {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

class NodeCurves : public testing::Test {
 protected:
    fs::path write(const std::string& name, const std::string& bytes) {
        write_text(folder / name, bytes);
        return folder / name;
    }
    std::shared_ptr<const history::ImportedRun> imported(std::uint32_t run) {
        const auto snapshot = bench.wait("the imported run", [&](const Snapshot& s) {
            const auto found = s.imports.find(run);
            return found != s.imports.end() && found->second->state == RunState::done &&
                   !found->second->curves.empty() && !found->second->curves.back().step.empty();
        });
        const auto found = snapshot->imports.find(run);
        return found == snapshot->imports.end() ? std::make_shared<const history::ImportedRun>() : found->second;
    }
    TemporaryFolder folder;
    Workbench bench{folder / "session"};
};

TEST_F(NodeCurves, AreImportedShownAndExported) {
    const fs::path events = write("logs/run/events.out.tfevents.1.h",
                                  version_event() + summary_event(1, simple_value("loss", 4)) +
                                      summary_event(2, simple_value("loss", 2) + simple_value("accuracy", 0.5f)));
    const json answer = bench.done("curves.import", {{"path", (folder / "logs").string()}, {"name", "theirs"}});
    ASSERT_EQ(answer["runs"].size(), 1u) << answer;
    EXPECT_EQ(answer["runs"][0]["curves"], 2);
    EXPECT_EQ(answer["runs"][0]["points"], 3);
    EXPECT_EQ(answer["notes"], json::array());
    const auto run = imported(answer["runs"][0]["run"]);
    EXPECT_EQ(run->name, "theirs");
    EXPECT_EQ(run->format, "tensorboard");
    EXPECT_EQ(run->source, (folder / "logs/run").string());
    EXPECT_EQ(run->kind, history::RunKind::imported);
    ASSERT_EQ(run->step.size(), 2u);
    // Its steps can have notes like those of a training here.
    EXPECT_EQ(bench.done("notes.add", {{"on", {{"kind", "step"}, {"run", answer["runs"][0]["run"]}, {"step", 2}}},
                                       {"text", "x"}})["note"],
              1);
    EXPECT_EQ((*run)[&base::StepValues::loss][0], 4);
    ASSERT_EQ(run->curves.size(), 2u);
    EXPECT_EQ(run->curves[0].name, "accuracy");
    const json table =
        bench.done("curves.export", {{"run", run->id}, {"path", (folder / "a.csv").string()}, {"format", "csv"}});
    EXPECT_EQ(table["curves"], 2);
    EXPECT_EQ(read_text(folder / "a.csv"),
              "step,wall_time [s],accuracy,loss [nats/token]\r\n1,1760000000,,4\r\n2,1760000000,0.5,2\r\n");
    bench.done("curves.export", {{"run", run->id}, {"path", (folder / "tb").string()}, {"format", "tensorboard"}});
    EXPECT_EQ(curves::read_curves({folder / "tb"}, [] {}).at(0).points(), 3u);
    bench.wait("no tasks", [](const Snapshot& s) { return s.tasks.empty(); });
}

TEST_F(NodeCurves, WhatCannotBeDoneIsSaidAndLeavesNothing) {
    const fs::path table = write("a.csv", "step,loss\n1,2\n2,oops\n");
    const fs::path damaged = write("events.out.tfevents.1", version_event() + "damaged in the middle of the file");
    EXPECT_NE(bench.failed("curves.import", {{"path", damaged.string()}}).find("wrong checksum"), std::string::npos);
    EXPECT_NE(bench.failed("curves.import", {{"path", (folder / "nothing").string()}}).find("nothing"),
              std::string::npos);
    const json answer = bench.done("curves.import", {{"path", table.string()}});
    EXPECT_EQ(answer["runs"][0]["name"], "a");
    ASSERT_EQ(answer["notes"].size(), 1u) << answer;
    EXPECT_TRUE(answer["notes"][0].contains("text_id"));
    const std::uint32_t run = answer["runs"][0]["run"];
    EXPECT_EQ(run, 1u) << "what was refused made no run";
    const json order = {{"run", run}, {"path", table.string()}, {"format", "csv"}};
    EXPECT_NE(bench.failed("curves.export", order), "");
    EXPECT_EQ(read_text(table), "step,loss\n1,2\n2,oops\n");
    EXPECT_NE(bench.failed("curves.export", {{"run", run}, {"path", (folder / "b").string()}, {"format", "png"}}), "");
    EXPECT_NE(bench.failed("curves.export", {{"run", 9}, {"path", (folder / "b").string()}, {"format", "csv"}}), "");
    EXPECT_FALSE(fs::exists(folder / "b"));
    // An imported run is nothing that goes on, and no training.
    for (const char* command : {"train.continue", "train.stop", "train.fork", "train.checkpoint"}) {
        EXPECT_NE(bench.failed(command, {{"run", run}}), "") << command;
    }
}

}  // namespace
}  // namespace moescope::test
