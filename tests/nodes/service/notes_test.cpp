// Notes through the node and the command line: written, changed, removed, refused, and carried along by archives,
// reports and other viewers.
#include <gtest/gtest.h>

#include "tests/nodes/service/workbench.hpp"

namespace moescope::test {
namespace {

using history::NotePlace;
using nlohmann::json;
using Kind = NotePlace::Kind;

bool has(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

class NodeNotes : public testing::Test {
 protected:
    /// A session whose run 1 has some steps.
    void SetUp() override {
        const auto config = write_config(folder, tiny_config(4, 4));
        const Output made = run_node(
            {"train", "--config", config.string(), "--data", write_corpus(folder).string(), "--out", session.string()});
        ASSERT_EQ(made.status, 0) << made.error;
    }
    static json on_step(std::uint64_t step) { return {{"kind", "step"}, {"run", 1}, {"step", step}}; }
    Output notes(Arguments more) const {
        more.insert(more.begin(), {"notes"});
        return run_node(more);
    }
    TemporaryFolder folder;
    std::filesystem::path session = folder / "session";
};

TEST_F(NodeNotes, AreSeenByEveryViewerAndOutliveTheNode) {
    {
        Workbench bench(session);
        const json added =
            bench.done("notes.add", {{"on", on_step(3)}, {"text", "here\r\nit turns"}, {"author", "AB"}});
        EXPECT_EQ(added, (json{{"note", 1}, {"revision", 1}}));
        bench.done("notes.add", {{"on", {{"kind", "session"}}}, {"text", "of the evening"}});
        const auto now = bench.wait("the notes", [](const Snapshot& s) { return s.notes->size() == 2; });
        const history::Note& note = now->notes->at(1);
        EXPECT_EQ(note.text, "here\nit turns");
        EXPECT_EQ(note.on, (NotePlace{.kind = Kind::step, .run = 1, .step = 3}));
        EXPECT_EQ(note.author, "AB");
        EXPECT_EQ(note.role, "admin") << "who has the node on this machine";
        EXPECT_GT(note.created_ns, 1'700'000'000'000'000'000u);
        EXPECT_EQ(bench.done("notes.edit", {{"note", 1}, {"revision", 1}, {"text", "it turns here"}})["revision"], 2);
        EXPECT_EQ(bench.done("notes.remove", {{"note", 2}, {"revision", 1}})["revision"], 2);
    }
    Workbench again(session);
    const auto now = again.wait("the note", [](const Snapshot& s) { return s.notes->size() == 1; });
    EXPECT_EQ(now->notes->at(1).text, "it turns here");
    EXPECT_EQ(again.done("notes.add", {{"on", on_step(1)}, {"text", "x"}})["note"], 3) << "no number twice";
    // What was removed comes back under its number.
    EXPECT_EQ(again.done("notes.edit", {{"note", 2}, {"revision", 2}, {"text", "of the evening"}})["revision"], 3);
    again.wait("what came back", [](const Snapshot& s) { return s.notes->contains(2); });
}

TEST_F(NodeNotes, AChangeOfWhatSomebodyElseHasChangedIsRefused) {
    Workbench bench(session);
    bench.done("notes.add", {{"on", on_step(1)}, {"text", "a"}});
    bench.done("notes.edit", {{"note", 1}, {"revision", 1}, {"text", "b"}});
    for (const char* command : {"notes.edit", "notes.remove"}) {
        json late = {{"note", 1}, {"revision", 1}};
        if (std::string(command) == "notes.edit") {
            late["text"] = "c";
        }
        EXPECT_TRUE(has(bench.failed(command, late), "was changed by another viewer")) << command;
    }
    bench.done("notes.remove", {{"note", 1}});
    EXPECT_TRUE(has(bench.failed("notes.edit", {{"note", 1}, {"revision", 2}, {"text", "c"}}), "was removed"));
    EXPECT_TRUE(has(bench.failed("notes.remove", {{"note", 1}}), "there is no note 1"));
}

TEST_F(NodeNotes, WhatCannotBeIsRefusedWithItsReason) {
    Workbench bench(session);
    const auto refused = [&](const json& on, const std::string& text = "x") {
        return bench.failed("notes.add", {{"on", on}, {"text", text}});
    };
    EXPECT_TRUE(has(refused({{"kind", "expert"}}), "'expert'"));
    EXPECT_TRUE(has(refused({{"kind", "step"}, {"run", 7}, {"step", 1}}), "no run 7"));
    EXPECT_TRUE(has(refused({{"kind", "token"}, {"run", 1}, {"token", 1}}), "run 1 has no routing"));
    EXPECT_TRUE(has(refused({{"kind", "answer"}, {"run", 1}}), "run 1 is no answer"));
    EXPECT_TRUE(has(refused({{"kind", "answer"}, {"run", 1}, {"item", "i"}, {"model", "m"}, {"language", "en"}}),
                    "run 1 is no probe run"));
    EXPECT_TRUE(has(refused({{"kind", "step"}, {"run", 1}, {"step", -1}}), "step"));
    EXPECT_TRUE(has(refused({{"kind", "session"}, {"moon", 1}}), "moon"));
    EXPECT_TRUE(has(refused(on_step(1), " \n "), "needs a text"));
    EXPECT_TRUE(has(refused(on_step(1), std::string(4001, 'x')), "4000"));
    EXPECT_TRUE(has(refused(on_step(1), "\x1b[31m"), "control"));
    EXPECT_TRUE(has(bench.failed("notes.edit", {{"note", 9}, {"text", "x"}}), "there is no note 9"));
    EXPECT_TRUE(has(bench.failed("notes.add", {{"on", on_step(1)}}), "text"));
    EXPECT_TRUE(bench.client().snapshot()->notes->empty());
}

TEST_F(NodeNotes, TheCommandLineWritesListsAndRemoves) {
    const Output first =
        notes({"add", session.string(), "--text", "负载\nline two", "--run", "1", "--step", "2", "--author", "CD"});
    ASSERT_EQ(first.status, 0) << first.error;
    EXPECT_EQ(first.out, "note 1\n");
    const Output second = notes({"add", session.string(), "--text", "whole", "--json"});
    EXPECT_EQ(second.lines().at(0), (json{{"note", 2}, {"revision", 1}}));
    const Output listed = notes({session.string(), "--json"});
    ASSERT_EQ(listed.status, 0) << listed.error;
    const auto lines = listed.lines();
    ASSERT_EQ(lines.size(), 2u);
    EXPECT_EQ(lines[0]["text"], "负载\nline two");
    EXPECT_EQ(lines[0]["on"], on_step(2));
    EXPECT_EQ(lines[0]["author"], "CD");
    EXPECT_EQ(lines[1]["on"], (json{{"kind", "session"}}));
    const Output plain = notes({session.string()});
    EXPECT_TRUE(has(plain.out, "1\trun 1, step 2\tCD (admin)\t")) << plain.out;
    ASSERT_EQ(notes({"remove", session.string(), "--note", "2"}).status, 0);
    EXPECT_EQ(notes({session.string(), "--json"}).lines().size(), 1u);
    EXPECT_EQ(notes({"remove", session.string(), "--note", "2"}).status, 1);
    EXPECT_EQ(notes({"add", session.string(), "--text", "x", "--step", "2"}).status, 1) << "of which run?";
    EXPECT_EQ(notes({}).status, 2);
    EXPECT_EQ(notes({session.string(), "--node", "unix:/x"}).status, 2) << "one of the two";
    EXPECT_EQ(notes({(folder / "nothing").string()}).status, 1);
}

TEST_F(NodeNotes, TheCommandLineListsThoseOfANode) {
    const std::string long_text = std::string(history::kNoteBytes - 10, 'x');
    const auto socket = (folder / "socket").string(), address = "unix:" + socket;
    Running node({"serve", "--socket", socket, "--session", session.string()});
    const Output none = notes({"--node", address, "--json"});  // waits for the node
    EXPECT_EQ(none.status, 0) << none.error;
    EXPECT_EQ(none.out, "");
    {
        Workbench bench(client::ClientOptions{{}, {}, {}, socket});
        for (int i = 1; i <= 120; ++i) {  // more than one answer holds
            bench.done("notes.add", {{"on", on_step(3)}, {"text", long_text + std::to_string(i)}, {"author", "AB"}});
        }
        bench.done("notes.remove", {{"note", 7}});
        const json first = bench.done("notes.list", json::object());
        EXPECT_LT(first.at("notes").size(), 119u);
        EXPECT_EQ(first.at("next"), first.at("notes").back().at("note"));
        EXPECT_TRUE(bench.done("notes.list", {{"after", 120}}).at("notes").empty());
        EXPECT_TRUE(has(bench.failed("notes.list", {{"after", -1}}), "after"));
    }
    const Output there = notes({"--node", address, "--json"}), here = notes({session.string(), "--json"});
    ASSERT_EQ(there.status, 0) << there.error;
    EXPECT_EQ(there.lines().size(), 119u);
    EXPECT_EQ(there.out, here.out);
    EXPECT_EQ(notes({"--node", address}).out, notes({session.string()}).out);
    node.signal(SIGTERM);
    EXPECT_EQ(node.finish().status, 0);
}

TEST_F(NodeNotes, TravelWithAnArchiveAndStandInTheReport) {
    ASSERT_EQ(notes({"add", session.string(), "--text", "<b>odd</b>", "--run", "1", "--step", "2"}).status, 0);
    const std::string archive = (folder / "s.moescope").string(), copy = (folder / "copy").string();
    ASSERT_EQ(run_node({"archive", session.string(), "--out", archive}).status, 0);
    const Output opened = run_node({"open", archive, "--out", copy});
    ASSERT_EQ(opened.status, 0) << opened.error;
    const auto lines = notes({copy, "--json"}).lines();
    ASSERT_EQ(lines.size(), 1u);
    EXPECT_EQ(lines[0]["text"], "<b>odd</b>");
    for (const auto& [language, title] : {std::pair{"en", "<h2>Notes</h2>"}, std::pair{"zh", "<h2>笔记</h2>"}}) {
        const Output report = run_node({"report", copy, "--out", "-", "--language", language});
        ASSERT_EQ(report.status, 0) << report.error;
        EXPECT_TRUE(has(report.out, title)) << language;
        EXPECT_TRUE(has(report.out, "&lt;b&gt;odd&lt;/b&gt;")) << language;
    }
}

TEST_F(NodeNotes, ASessionForReadingShowsThemAndTakesNone) {
    ASSERT_EQ(notes({"add", session.string(), "--text", "kept"}).status, 0);
    Workbench reading(client::ClientOptions{node_program(), session, {"--read-only"}, {}});
    reading.wait("the note", [](const Snapshot& s) { return s.notes->size() == 1 && s.node.read_only; });
    for (const auto& [command, parameters] :
         std::vector<std::pair<const char*, json>>{{"notes.add", {{"on", on_step(1)}, {"text", "x"}}},
                                                   {"notes.edit", {{"note", 1}, {"text", "x"}}},
                                                   {"notes.remove", {{"note", 1}}}}) {
        EXPECT_TRUE(has(reading.failed(command, parameters), "reading only")) << command;
    }
}

}  // namespace
}  // namespace moescope::test
