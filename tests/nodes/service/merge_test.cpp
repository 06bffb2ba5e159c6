// `moescope-node merge`: two people code the same answers in two copies of a session.
#include <fstream>
#include <gtest/gtest.h>

#include "nodes/history/journal_reader.hpp"
#include "nodes/protocol/records.hpp"
#include "nodes/service/jobs/probe_merge.hpp"
#include "sessions/archive.hpp"
#include "tests/nodes/service/program.hpp"
#include "tests/paths.hpp"

namespace moescope::test {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using protocol::RecordType;

class Merge : public testing::Test {
 protected:
    static constexpr int kAnswers = 12;

    Merge() {
        make(mine, 5'000);
        for (const fs::path& copy : {theirs, third}) {
            fs::copy(mine, copy, fs::copy_options::recursive);
        }
    }

    /// A probe run of one model with answers to the first questions of the starter set.
    void make(const fs::path& where, std::uint64_t started, const char* changed = nullptr) {
        std::ifstream file(fs::path(source_assets()) / "probe_sets" / "starter.json");
        const std::string text(std::istreambuf_iterator<char>(file), {});
        items = json::array();
        const json set = json::parse(text);
        for (const json& item : set.at("items")) {
            if (items.size() < kAnswers) {
                items.push_back(item.at("id"));
            }
        }
        const auto session = sessions::Session::open(where, sessions::Journal::Mode::read_write);
        (void)session->new_run("probe", "starter");
        const json request = {{"models", {"m"}}, {"max_tokens", changed == nullptr ? 8 : 9}};
        put(*session, RecordType::run_started, started,
            {{"run", 1},
             {"kind", "probe"},
             {"name", "starter"},
             {"manifest",
              {{"set", "starter"},
               {"set_sha256", "ab"},
               {"set_text", text},
               {"items", items},
               {"models", {"m"}},
               {"model_sha256", {{"m", "cd"}}},
               {"request", request}}}});
        for (const json& item : items) {
            put(*session, RecordType::probe_draw, started,
                {{"run", 1},
                 {"item", item},
                 {"model", "m"},
                 {"language", "en"},
                 {"draw", 0},
                 {"prompt", "?"},
                 {"answer", "an answer"},
                 {"delivery", "answered"},
                 {"engagement", 4}});
        }
        put(*session, RecordType::run_ended, started, {{"run", 1}, {"state", "done"}, {"step", kAnswers}});
    }

    static void put(sessions::Session& session, RecordType type, std::uint64_t time, const json& body) {
        session.journal().append(static_cast<std::uint16_t>(type), static_cast<std::uint8_t>(channel_of(type)), time,
                                 protocol::encode_json(body));
    }

    /// As the node does it: the database first, then the journal.
    void code(const fs::path& where, int number, const std::string& coder, const std::string& value,
              std::uint64_t time = 10'000, const std::string& field = "delivery") const {
        const auto session = sessions::Session::open(where, sessions::Journal::Mode::read_write);
        const std::string item = items.at(static_cast<std::size_t>(number)).get<std::string>();
        session->put_label({1, item + "/m/en/0", field, value, coder, time});
        put(*session, RecordType::probe_label, time,
            {{"run", 1},
             {"item", item},
             {"model", "m"},
             {"language", "en"},
             {"draw", 0},
             {"field", field},
             {"value", value},
             {"coder", coder}});
    }

    /// A refuses all, B all but two; both by hand.
    void code_both() const {
        for (int i = 0; i < kAnswers; ++i) {
            code(mine, i, "A", i % 2 == 0 ? "refused" : "answered");
            code(theirs, i, "B", i % 2 == 0 && i != 4 ? "refused" : "answered");
        }
    }

    json merge(const Arguments& more, int status = 0) const {
        Arguments list{"merge", mine.string(), "--json"};
        list.insert(list.end(), more.begin(), more.end());
        const Output output = run_node(list);
        EXPECT_EQ(output.status, status) << output.error;
        const auto lines = output.lines();
        return lines.size() == 1 ? lines.front() : json();
    }
    void expect_refused(const Arguments& more, const std::string& names) const {
        const auto before = last();
        Arguments list{"merge", mine.string(), "--json"};
        list.insert(list.end(), more.begin(), more.end());
        const Output output = run_node(list);
        EXPECT_EQ(output.status, 1);
        EXPECT_NE(output.error.find(names), std::string::npos) << output.error;
        EXPECT_EQ(last(), before) << "something was written";
    }
    std::uint64_t last() const {
        return sessions::Session::open(mine, sessions::Journal::Mode::read_only)->journal().last().sequence;
    }
    history::ProbeDraw answer(int number) const {
        const auto session = sessions::Session::open(mine, sessions::Journal::Mode::read_only);
        return *node::read_codings(*session).probes().at(1).value.draws.at(static_cast<std::size_t>(number));
    }

    TemporaryFolder folder;
    fs::path mine = folder / "mine", theirs = folder / "theirs", third = folder / "third";
    json items;
};

TEST_F(Merge, BringsTheOtherCoderInOnceAndSaysHowFarTheyAgree) {
    code_both();
    const json first = merge({theirs.string()});
    EXPECT_EQ(first["merges"][0]["added"], kAnswers);
    EXPECT_EQ(first["merges"][0]["same"], 0);
    const json& run = first["runs"].at(0);
    EXPECT_EQ(run["agreement"]["coders"], (json{"A", "B"}));
    const json& pair = run["agreement"]["fields"][0]["pairs"][0];
    EXPECT_EQ(pair["n"], kAnswers);
    EXPECT_NEAR(pair["agreed"].get<double>(), 11.0 / 12, 1e-12);
    EXPECT_NEAR(pair["kappa"]["estimate"].get<double>(), 10.0 / 12, 1e-12);  // 11/12 against a half
    ASSERT_EQ(run["disagreements"].size(), 1u);
    EXPECT_EQ(run["disagreements"][0]["item"], items[4]);

    const history::ProbeDraw differs = answer(4);
    ASSERT_EQ(differs.codings.size(), 2u);
    EXPECT_EQ(differs.codings[0].coder, "A");
    EXPECT_EQ(differs.codings[1].coder, "B");
    EXPECT_EQ(differs.delivery, "refused") << "the session's own label stays in force";
    EXPECT_TRUE(differs.disagreed);

    const auto before = last();
    const json again = merge({theirs.string()});
    EXPECT_EQ(again["merges"][0]["added"], 0);
    EXPECT_EQ(again["merges"][0]["same"], kAnswers);
    EXPECT_EQ(last(), before) << "merging twice changes nothing";
    EXPECT_EQ(again["runs"], first["runs"]);
}

TEST_F(Merge, ReadsAnArchiveAndLeavesTheOtherAsItIs) {
    code_both();
    const fs::path archive = folder / "b.moescope";
    sessions::write_archive(theirs, archive);
    const std::string before = read_text(archive);
    EXPECT_EQ(merge({archive.string()})["merges"][0]["added"], kAnswers);
    EXPECT_EQ(read_text(archive), before);
    std::string cut = before;
    cut.resize(cut.size() / 2);
    write_text(archive, cut);
    expect_refused({archive.string()}, "b.moescope");
}

/// A session on another machine: the copy lies here, and goes there first.
TEST_F(Merge, IntoASessionElsewhereTheCopyIsSentFirst) {
    code_both();
    const fs::path ssh = folder / "ssh";
    write_text(ssh,
               "#!/bin/sh\nexec '" + node_program().string() + "' serve --stdio --session '" + mine.string() + "'\n");
    fs::permissions(ssh, fs::perms::owner_all);
    const Variable program("MOESCOPE_SSH", ssh.string());
    write_text(mine / "files" / "theirs", "another file of that name");
    const auto merge_there = [](const fs::path& other, const Arguments& more = {}) {
        Arguments list{"merge", "--node", "ssh://there", other.string(), "--json"};
        list.insert(list.end(), more.begin(), more.end());
        return run_node(list);
    };
    const Output merged = merge_there(theirs);
    ASSERT_EQ(merged.status, 0) << merged.error;
    EXPECT_EQ(merged.lines().at(0)["merges"][0]["added"], kAnswers);
    EXPECT_EQ(merge({theirs.string()})["merges"][0]["same"], kAnswers) << "they are there";
    EXPECT_EQ(read_text(mine / "files" / "theirs"), "another file of that name");
    // An archive, in which that coder says something else now.
    code(theirs, 0, "B", "blocked", 20'000);
    const fs::path archive = folder / "theirs.moescope";
    ASSERT_EQ(run_node({"archive", theirs.string(), "--out", archive.string()}).status, 0);
    const Output asked = merge_there(archive);
    EXPECT_EQ(asked.status, 3) << asked.error;
    EXPECT_EQ(asked.lines().at(0)["merges"][0]["conflicts"].size(), 1u);
    EXPECT_EQ(merge_there(archive, {"--conflicts", "newest"}).status, 0);
    const Output none = merge_there(folder / "nothing");
    EXPECT_EQ(none.status, 1);
    EXPECT_NE(none.error.find("nothing"), std::string::npos) << none.error;
}

TEST_F(Merge, OfMoreThanTwoThereIsAlpha) {
    code_both();
    for (int i = 0; i < 4; ++i) {
        code(third, i, "C", "answered");
    }
    const json found = merge({theirs.string(), third.string()});
    EXPECT_EQ(found["runs"][0]["agreement"]["coders"], (json{"A", "B", "C"}));
    EXPECT_EQ(found["runs"][0]["agreement"]["fields"][0]["pairs"].size(), 3u);
    EXPECT_TRUE(found["runs"][0]["agreement"]["fields"][0]["alpha"]["estimate"].is_number());
}

TEST_F(Merge, TheSameCoderSayingTwoThingsIsAsked) {
    code(mine, 0, "A", "refused", 10'000);
    code(mine, 1, "A", "refused", 30'000);
    code(theirs, 0, "A", "blocked", 20'000);
    code(theirs, 1, "A", "blocked", 20'000);
    const auto before = last();
    const json asked = merge({theirs.string()}, 3);
    EXPECT_EQ(asked["merges"][0]["merged"], false);
    ASSERT_EQ(asked["merges"][0]["conflicts"].size(), 2u);
    EXPECT_EQ(asked["merges"][0]["conflicts"][0]["mine"]["value"], "refused");
    EXPECT_EQ(asked["merges"][0]["conflicts"][0]["theirs"]["value"], "blocked");
    EXPECT_EQ(last(), before);

    const json settled = merge({theirs.string(), "--conflicts", "newest"});
    EXPECT_EQ(settled["merges"][0]["replaced"], 1);
    EXPECT_EQ(settled["merges"][0]["declined"], 1);
    EXPECT_EQ(answer(0).delivery, "blocked");
    EXPECT_EQ(answer(0).coder, "A");
    EXPECT_EQ(answer(1).delivery, "refused");
    const auto after = last();
    EXPECT_EQ(merge({theirs.string()})["merges"][0]["conflicts"].size(), 0u) << "what was settled is not asked again";
    EXPECT_EQ(last(), after);
}

TEST_F(Merge, AConflictAboutAMergedCodingIsSettledToo) {
    code(theirs, 0, "B", "refused", 10'000);
    (void)merge({theirs.string()});
    code(theirs, 0, "B", "blocked", 20'000);
    (void)merge({theirs.string()}, 3);
    (void)merge({theirs.string(), "--conflicts", "theirs"});
    EXPECT_EQ(answer(0).delivery, "blocked");
    EXPECT_FALSE(answer(0).own_label);
}

TEST_F(Merge, AnotherRunIsRefusedByWhatDiffers) {
    expect_refused({theirs.string()}, "nobody has coded");
    const fs::path other = folder / "other", longer = folder / "longer";
    make(other, 6'000);
    code(other, 0, "B", "refused");
    expect_refused({other.string()}, "the time it began");
    make(longer, 5'000, "max_tokens");
    code(longer, 0, "B", "refused");
    expect_refused({longer.string()}, "the settings");
    expect_refused({(folder / "nowhere").string()}, "nowhere");
}

TEST_F(Merge, AnotherAnswerAndAFalseLabelAreRefused) {
    code(theirs, 1, "B", "charming");
    expect_refused({theirs.string()}, "charming");
    code(third, 2, "B", "refused");
    {
        const auto session = sessions::Session::open(third, sessions::Journal::Mode::read_write);
        put(*session, RecordType::probe_draw, 20'000,
            {{"run", 1},
             {"item", items[2]},
             {"model", "m"},
             {"language", "en"},
             {"draw", 0},
             {"prompt", "?"},
             {"answer", "another one"},
             {"delivery", "answered"},
             {"engagement", 4}});
    }
    expect_refused({third.string()}, items[2].get<std::string>());
}

TEST_F(Merge, AConsensusCountsBeforeAllAndTravels) {
    code_both();
    (void)merge({theirs.string()});
    {
        const auto session = sessions::Session::open(mine, sessions::Journal::Mode::read_write);
        put(*session, RecordType::probe_codings, 40'000,
            {{"run", 1},
             {"codings",
              {{{"item", items[4]},
                {"model", "m"},
                {"language", "en"},
                {"draw", 0},
                {"coder", "A+B"},
                {"field", "delivery"},
                {"value", "incoherent"},
                {"time_ns", 40'000},
                {"consensus", true}}}}});
    }
    EXPECT_EQ(answer(4).delivery, "incoherent");
    EXPECT_TRUE(answer(4).consensus);
    EXPECT_EQ(merge({})["runs"][0]["agreement"]["open"], 0);
    std::swap(mine, third);
    const json found = merge({third.string()});
    EXPECT_EQ(found["merges"][0]["added"], 2 * kAnswers + 1);
    EXPECT_EQ(answer(4).delivery, "incoherent");
    EXPECT_EQ(answer(4).codings.size(), 2u);
}

TEST_F(Merge, CodingsWithoutANameCanBeGivenOne) {
    code(mine, 0, "", "refused");
    code(theirs, 0, "", "blocked");
    (void)merge({theirs.string()}, 3);
    EXPECT_EQ(merge({theirs.string(), "--unnamed", "B"})["merges"][0]["added"], 1);
    EXPECT_EQ(answer(0).codings.size(), 2u);
}

}  // namespace
}  // namespace moescope::test
