// From a recorded session to the report's input: what a rewind took back is not in it, and figures are those of the
// window.
#include "report/from_session.hpp"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <gtest/gtest.h>

#include "nodes/history/journal_reader.hpp"
#include "tests/files.hpp"
#include "tests/paths.hpp"

namespace moescope::report {
namespace {

class FromSession : public testing::Test {
 protected:
    FromSession() {
        std::filesystem::copy(moescope::test::test_data() + "/nodes/history/data/old_session", folder,
                              std::filesystem::copy_options::recursive);
        session = sessions::Session::open(folder, sessions::Journal::Mode::read_only);
        history = history::read_session(session->journal(), {.keep = {.counts = kLoadSteps}});
        const std::filesystem::path languages = std::filesystem::path(moescope::test::source_assets()) / "languages";
        english = base::Messages::of_language(languages / "en");
        chinese = base::Messages::of_language(languages / "zh");
        input = input_of(history, {{1, "abc"}}, english);
    }
    const Chart* chart(const Training& training, const std::string& title) const {
        const auto found = std::find_if(training.charts.begin(), training.charts.end(),
                                        [&](const Chart& one) { return one.title == title; });
        return found == training.charts.end() ? nullptr : &*found;
    }

    test::TemporaryFolder temporary;
    std::filesystem::path folder = temporary / "session";
    std::unique_ptr<sessions::Session> session;
    history::Session history;
    base::Messages english, chinese;
    Input input;
};

TEST_F(FromSession, ChangesThatARewindTookBackAreNotMarked) {
    ASSERT_EQ(input.trainings.size(), 2u);
    std::vector<std::string> marks;
    for (const Mark& mark : input.trainings[0].charts[0].marks) {
        marks.push_back(mark.text);
    }
    // The balance coefficient was turned at step 11, before the kill that went back to step 8.
    EXPECT_EQ(marks, (std::vector<std::string>{"learning rate 0.003 -> 0.002", "goes on from the checkpoint at step 8",
                                               "z coefficient 0.001 -> 0.002", "layer 1, expert 2: disable"}));
    EXPECT_EQ(input.trainings[0].samples.size(), 6u);
}

TEST_F(FromSession, TheOutcomeOfARepeatedRunIsSaid) {
    history::TrainingRun& run = history.trainings().at(1).value;
    EXPECT_EQ(input.trainings[0].outcome, "");
    run.manifest["replay"] = {{"run", 1}, {"name", "first"}, {"steps", 30}};
    run.replay = {{"equal", false},        {"steps", 12},           {"parameters_equal", false},
                  {"first_difference", 7}, {"recorded_loss", 6.25}, {"loss", 6.5}};
    const Input told = input_of(history, {}, english);
    EXPECT_EQ(
        told.trainings[0].outcome,
        "repeats 'first': the first difference is at step 7: the total loss was 6.25 and is 6.5; the parameters at "
        "the end are others");
    EXPECT_NE(html_report(told).find("the first difference is at step 7"), std::string::npos);
}

TEST_F(FromSession, ImportedCurvesAreDrawn) {
    history::ImportedRun& run = history.imports()[9].value;
    run.id = 9;
    run.name = "theirs";
    run.started = {1000, 1};
    history::ImportedCurve curve;
    curve.name = "their/accuracy";
    for (int i = 1; i <= 3; ++i) {
        curve.step.push_back(i);
        curve.value.push_back(0.25 * i);
    }
    run.curves.push_back(curve);
    const Input told = input_of(history, {}, english);
    ASSERT_EQ(told.trainings.size(), input.trainings.size() + 1);
    ASSERT_EQ(told.trainings.back().charts.size(), 1u);
    EXPECT_EQ(told.trainings.back().charts[0].series[0].points.size(), 3u);
    const std::string page = html_report(told);
    EXPECT_NE(page.find("their/accuracy"), std::string::npos);
    EXPECT_NE(page.find("Imported curves"), std::string::npos);
}

TEST_F(FromSession, SentencesAreInTheLanguageOfThePage) {
    const base::Messages messages(
        std::vector<std::pair<std::string, std::string>>{{"the disk of {} is full", "{0} 已满"}});
    nlohmann::json ending = {{"run", 1}, {"state", "failed"}};
    base::put_sentence(ending, "message", base::say("the disk of {} is full", "x"));
    history.apply({protocol::RecordType::run_ended, {1000, 1}, 0, protocol::encode_json(ending)});
    EXPECT_EQ(input_of(history, {}, base::Messages()).trainings[0].run.manifest["message"], "the disk of x is full");
    EXPECT_EQ(input_of(history, {}, messages).trainings[0].run.manifest["message"], "x 已满");
}

TEST_F(FromSession, TheMainLossIsTheOneThatHeldOutLossesAreComparedWith) {
    const history::TrainingRun& run = history.trainings().at(1).value;
    const Chart* loss = chart(input.trainings[0], "loss");
    ASSERT_NE(loss, nullptr);
    ASSERT_EQ(loss->series.size(), 4u);
    std::vector<std::string> names;
    for (const Series& series : loss->series) {
        names.push_back(series.name + (series.dashed ? " dashed" : ""));
    }
    EXPECT_EQ(names, (std::vector<std::string>{"cross_entropy", "heldout_en", "heldout_zh", "total_loss dashed"}));
    EXPECT_EQ(loss->series[0].points.back().y, run[&base::StepValues::cross_entropy].back());
    EXPECT_EQ(loss->series[3].points.back().y, run[&base::StepValues::loss].back());
    // Without terms beside it the total is the cross-entropy.
    const auto& second = history.trainings().at(input.trainings.size()).value;
    if (second[&base::StepValues::loss].back() == second[&base::StepValues::cross_entropy].back()) {
        EXPECT_EQ(chart(input.trainings[1], "loss")->series.size(), 3u);
    }
}

TEST_F(FromSession, WhatWasNotComputedHasNoChart) {
    EXPECT_NE(chart(input.trainings[0], "balance_loss"), nullptr);
    EXPECT_EQ(chart(input.trainings[1], "balance_loss"), nullptr) << "this run does not balance";
    EXPECT_EQ(chart(input.trainings[0], "dropped"), nullptr);
    EXPECT_EQ(chart(input.trainings[0], "prediction_loss"), nullptr);
}

TEST_F(FromSession, FiguresAreThoseOfTheWindow) {
    const history::TrainingRun& run = history.trainings().at(1).value;
    const Chart* entropy = chart(input.trainings[0], "router_entropy");
    ASSERT_NE(entropy, nullptr);
    EXPECT_EQ(entropy->series[0].points.back().y, run[&base::StepValues::router_entropy_mean].back());
    EXPECT_GT(entropy->series[0].points.back().y, 0.9) << "the dense layer is none of the routers";
    ASSERT_EQ(input.trainings[0].loads.size(), 1u);
    const Load& load = input.trainings[0].loads[0];
    ASSERT_EQ(load.shares.size(), 12u);
    for (std::size_t layer = 0; layer < 3; ++layer) {
        double sum = 0;
        for (std::size_t expert = 0; expert < 4; ++expert) {
            sum += load.shares[layer * 4 + expert];
        }
        EXPECT_NEAR(sum, layer == 0 ? 0 : 1, 1e-12);
    }
    EXPECT_EQ(input.trainings[0].run.records_sha256, "abc");
    ASSERT_EQ(input.comparisons.size(), 1u);
    EXPECT_EQ(input.comparisons[0].answers[0].tokens, 8u);
}

TEST_F(FromSession, CheckpointsAreCalledByRunAndStep) {
    using protocol::RecordType;
    const std::string name = "checkpoint:1:250";
    auto apply = [&, at = std::uint64_t{0}](RecordType type, const nlohmann::json& body) mutable {
        history.apply({type, {1000, ++at}, 0, protocol::encode_json(body)});
    };
    apply(RecordType::run_started, {{"run", 50},
                                    {"kind", "generate"},
                                    {"name", name},
                                    {"manifest", {{"model", name}, {"prompt", "Who?"}, {"group", "last"}}}});
    apply(RecordType::run_started,
          {{"run", 52},
           {"kind", "generate"},
           {"name", "other"},
           {"manifest", {{"model", "other"}, {"model_title", "Other 1B"}, {"prompt", "Who?"}, {"group", "last"}}}});
    const nlohmann::json both = {{"en", "word"}, {"zh", "word"}};
    const nlohmann::json item = {{"id", "i"}, {"topic", "t"}, {"group", "state"}, {"title", both}, {"prompt", both}};
    const nlohmann::json set = {{"name", "s"},   {"version", "1.0.0"},      {"licence", "CC0"}, {"canary", "c"},
                                {"title", both}, {"topics", {{"t", both}}}, {"items", {item}}};
    apply(RecordType::run_started, {{"run", 51},
                                    {"kind", "probe"},
                                    {"name", "probe"},
                                    {"manifest",
                                     {{"set", "s"},
                                      {"set_text", set.dump()},
                                      {"items", {"i"}},
                                      {"planned", 1},
                                      {"models", {name, "other"}},
                                      {"model_title", {{"other", "Other 1B"}}},
                                      {"languages", {"en", "zh"}}}}});
    apply(RecordType::probe_draw, {{"run", 51},
                                   {"item", "i"},
                                   {"topic", "t"},
                                   {"group", "state"},
                                   {"model", name},
                                   {"language", "en"},
                                   {"draw", 0},
                                   {"prompt", "Who?"},
                                   {"answer", "Somebody."},
                                   {"stop", "end"},
                                   {"delivery", "answered"},
                                   {"engagement", 4},
                                   {"rule", "r"},
                                   {"planned", 1}});
    apply(RecordType::probe_label, {{"run", 51},
                                    {"item", "i"},
                                    {"model", name},
                                    {"language", "en"},
                                    {"draw", 0},
                                    {"field", "delivery"},
                                    {"value", "refused"},
                                    {"coder", "LW"}});
    for (const auto& [messages, shown] :
         {std::pair(&english, "run 1, step 250"), std::pair(&chinese, "运行 1，第 250 步")}) {
        const Input page = input_of(history, {}, *messages);
        EXPECT_EQ(page.comparisons.back().answers[0].model, shown);
        ASSERT_EQ(page.probes.back().draws.size(), 1u);
        EXPECT_EQ(page.probes.back().draws[0].draw.model, shown);
        EXPECT_EQ(page.probes.back().statistics["models"][0], shown);
        EXPECT_EQ(page.probes.back().statistics["models"][1], "Other 1B") << "as the library called it";
        EXPECT_EQ(page.comparisons.back().answers[1].model, "Other 1B");
        EXPECT_EQ(page.comparisons.back().answers[1].settings, messages == &chinese ? "贪心" : "greedy");
        // Who labelled, and what the rule had said.
        EXPECT_EQ(page.probes.back().draws[0].coder, "LW");
        ASSERT_TRUE(page.probes.back().draws[0].rule.has_value());
        EXPECT_EQ(page.probes.back().draws[0].rule->delivery, probes::Delivery::answered);
        EXPECT_EQ(page.probes.back().draws[0].rule->engagement, 4);
        // What is left is the manifest, which is printed as it was recorded.
        const std::string statistics = page.probes.back().statistics.dump();
        EXPECT_EQ(statistics.find(name), std::string::npos) << statistics;
    }
}

}  // namespace
}  // namespace moescope::report
