// A session that was recorded before records had tagged fields opens with the same curves. data/old_session was written
// by the program of commit e42bbaf (turned knobs, a kill that undoes one of them, a fork without balancing, an answer
// of the trained checkpoint; its checkpoints are left out); data/old_session.json is what that program's window
// showed of it.
#include <cmath>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>

#include "nodes/history/journal_reader.hpp"
#include "tests/files.hpp"
#include "tests/paths.hpp"

namespace moescope::history {
namespace {

using nlohmann::json;

class OldSession : public testing::Test {
 protected:
    OldSession() {
        const std::string data = moescope::test::test_data() + "/nodes/history/data/";
        golden = json::parse(std::ifstream(data + "old_session.json"));
        // Opening may write beside the files.
        std::filesystem::copy(data + "old_session", folder, std::filesystem::copy_options::recursive);
        session = sessions::Session::open(folder, sessions::Journal::Mode::read_only);
        history = read_session(session->journal());
    }

    test::TemporaryFolder temporary;
    std::filesystem::path folder = temporary / "session";
    json golden;
    std::unique_ptr<sessions::Session> session;
    Session history;
};

json shown(const Column& column) {
    auto values = json::array();
    for (std::size_t i = 0; i < column.size(); ++i) {
        values.push_back(std::isfinite(column[i]) ? json(column[i]) : json());
    }
    return values;
}

TEST_F(OldSession, OpensWithTheSameRuns) {
    EXPECT_TRUE(session->problems().empty());
    ASSERT_EQ(history.runs().size(), 3u);
    ASSERT_EQ(history.trainings().size(), golden["training"].size());
    for (const auto& [id, training] : history.trainings()) {
        const TrainingRun& run = training.value;
        const json& old = golden["training"][std::to_string(id)];
        SCOPED_TRACE(run.name);
        EXPECT_EQ(old["name"], run.name);
        EXPECT_EQ(old["state"], protocol::run_state_name(run.state));
        EXPECT_EQ(old["message"], run.message.english());
        EXPECT_EQ(old["planned_steps"], run.planned_steps);
        EXPECT_EQ(old["last_checkpoint"], run.last_checkpoint);
        EXPECT_EQ(old["layers"], run.layers);
        EXPECT_EQ(old["experts"], run.experts);
        EXPECT_EQ(old["top_k"], run.top_k);
        EXPECT_EQ(old["tokens_total"], run.tokens_total);
    }
    ASSERT_FALSE(golden["log"].empty());
    // The lines that were recorded, in their order; between them those of the events, which no record repeats.
    std::size_t recorded = 0;
    bool disabled = false, interrupted = false;
    for (std::size_t i = 0; i < history.log().size(); ++i) {
        const std::string text = history.log()[i].text.english();
        recorded += recorded < golden["log"].size() && golden["log"][recorded]["text"] == text ? 1 : 0;
        disabled = disabled || text.find("layer 1, expert 2 is disabled from step") != std::string::npos;
        interrupted = interrupted || text.find(" was interrupted: the node went away at step 12") != std::string::npos;
    }
    EXPECT_EQ(recorded, golden["log"].size());
    EXPECT_TRUE(disabled);
    EXPECT_TRUE(interrupted);
}

TEST_F(OldSession, OpensWithTheSameCurves) {
    for (const auto& [id, training] : history.trainings()) {
        const TrainingRun& run = training.value;
        const json& old = golden["training"][std::to_string(id)];
        SCOPED_TRACE(run.name);
        EXPECT_EQ(old["step"], shown(run.step));
        EXPECT_EQ(old["evaluation_step"], shown(run.evaluation_step));
        EXPECT_EQ(old["evaluation_english"], shown(run.evaluation_english));
        EXPECT_EQ(old["evaluation_chinese"], shown(run.evaluation_chinese));
        ASSERT_EQ(old["counts"].size(), run.counts.size());
        for (std::size_t i = 0; i < run.counts.size(); ++i) {
            EXPECT_EQ(old["counts"][i]["step"], run.counts[i]->step);
            EXPECT_EQ(old["counts"][i]["counts"], json(run.counts[i]->counts));
        }
        for (std::size_t i = 0; i < base::kStepValueCount; ++i) {
            const std::string key = base::kStepValues[i].key;
            SCOPED_TRACE(key);
            // The corrected values:
            if (key == "router_entropy") {
                // The dense layer counted as a third one with an entropy of 0.
                for (std::size_t row = 0; row < run.step.size(); ++row) {
                    EXPECT_NEAR(run.values[i][row], old["values"][key][row].get<double>() * 3 / 2, 1e-12);
                }
            } else if (key == "balance_loss" && run.name == "second") {
                // The run without balancing said 0.
                EXPECT_EQ(old["values"][key], json(std::vector<double>(run.step.size(), 0.0)));
                EXPECT_TRUE(run.values[i].range(0, run.step.size()).empty());
            } else if (key == "z_coefficient") {
                // In the records always, but nobody read it.
                EXPECT_FALSE(old["values"].contains(key));
                EXPECT_EQ(run.values[i][0], 0.001);
                EXPECT_EQ(run.values[i].back(), run.name == "first" ? 0.002 : 0.001);
            } else if (key == "prediction_loss" || key == "dropped" || key == "router_margin" ||
                       key.ends_with("_error")) {
                // Not in the records.
                EXPECT_TRUE(run.values[i].range(0, run.step.size()).empty());
            } else {
                EXPECT_EQ(old["values"][key], shown(run.values[i]));
            }
        }
        ASSERT_EQ(run.router_entropy.size(), 3u);
        EXPECT_TRUE(std::isnan(run.router_entropy[0]));
        EXPECT_EQ(old["router_entropy"][1].get<float>(), run.router_entropy[1]);
        EXPECT_EQ(old["router_entropy"][2].get<float>(), run.router_entropy[2]);
    }
}

TEST_F(OldSession, OpensWithTheSameEventsSamplesAndAnswers) {
    for (const auto& [id, training] : history.trainings()) {
        const TrainingRun& run = training.value;
        const json& old = golden["training"][std::to_string(id)];
        auto events = json::array(), samples = json::array();
        for (const RunEvent& event : run.events) {
            events.push_back({{"step", event.step},
                              {"kind", event.kind},
                              {"name", event.name},
                              {"old", event.old_value},
                              {"new", event.new_value},
                              {"text", event.text.english()},
                              {"layer", event.layer},
                              {"expert", event.expert}});
        }
        for (const TextSample& sample : run.samples) {
            samples.push_back({{"step", sample.step},
                               {"language", sample.language},
                               {"prompt", sample.prompt},
                               {"text", sample.text}});
        }
        EXPECT_EQ(old["events"], events);
        // The samples are of tokens that may end within a character.
        EXPECT_EQ(old["samples"], samples);
    }
    ASSERT_EQ(history.answers().size(), 1u);
    const Generation& answer = history.answers().at(3).value;
    const json& old = golden["generations"]["3"];
    EXPECT_EQ(old["text"], answer.text);
    EXPECT_EQ(old["stop"], answer.stop);
    EXPECT_EQ(old["prompt_tokens"], answer.prompt_tokens);
    EXPECT_EQ(answer.token_count, answer.tokens.size());
    ASSERT_EQ(old["tokens"].size(), answer.tokens.size());
    for (std::size_t i = 0; i < answer.tokens.size(); ++i) {
        const protocol::TokenRecord& token = answer.tokens[i];
        EXPECT_EQ(old["tokens"][i]["token"], token.chosen.token);
        EXPECT_EQ(old["tokens"][i]["log_probability"].get<float>(), token.chosen.log_probability);
        ASSERT_EQ(old["tokens"][i]["alternatives"].size(), token.alternatives.size());
        EXPECT_EQ(old["tokens"][i]["alternatives"][1]["token"], token.alternatives[1].token);
    }
}

TEST_F(OldSession, OneRunIsReadFromItsBeginning) {
    const Session second = read_run(*session, 2);
    ASSERT_EQ(second.trainings().size(), 1u);
    EXPECT_EQ(shown(second.trainings().at(2).value.step), shown(history.trainings().at(2).value.step));
    EXPECT_TRUE(second.answers().empty());
    const Session steps = read_session(session->journal(), {.keep = {.counts = 5, .values = false, .run = 1}});
    EXPECT_EQ(steps.trainings().at(1).value.step.size(), 30u);
    EXPECT_EQ(steps.trainings().at(1).value.counts.size(), 5u);
    EXPECT_TRUE(steps.trainings().at(1).value[&base::StepValues::loss].empty());
}

}  // namespace
}  // namespace moescope::history
