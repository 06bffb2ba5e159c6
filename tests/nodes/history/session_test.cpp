// What records say, decided by the one reader: rewinds, labels, what is kept, and what cannot be read.
#include "nodes/history/session.hpp"

#include <cmath>
#include <gtest/gtest.h>
#include <tuple>

#include "nodes/history/comparisons.hpp"
#include "nodes/history/run_changes.hpp"

namespace moescope::history {
namespace {

using nlohmann::json;
using protocol::RecordType;

/// Hands records over in the order of one journal.
class Records {
 public:
    explicit Records(Session& session) : session_(session) {}
    std::uint32_t put(RecordType type, const std::vector<std::byte>& body) {
        return session_.apply({type, {1, ++sequence_}, sequence_, body});
    }
    std::uint32_t put(RecordType type, const json& body) { return put(type, protocol::encode_json(body)); }
    void event(std::uint64_t step, const char* kind, json more = json::object()) {
        more.update({{"run", 1}, {"step", step}, {"kind", kind}});
        put(RecordType::event, more);
    }
    void step(std::uint32_t run, std::uint64_t number, double loss) {
        protocol::StepRecord record;
        record.run = run;
        record.step = number;
        record.loss = loss;
        record.layers = 2;
        record.experts = 2;
        record.counts = {0, 0, 3, 1, 0, 0, 2, 2};
        record.router_entropy = {std::nanf(""), 0.5f};
        put(RecordType::step, protocol::encode_step(record));
    }
    void ranks(std::uint32_t run, std::uint64_t number, std::uint64_t load) {
        protocol::RankRecord record;
        record.run = run;
        record.step = number;
        record.ranks = 2;
        record.layers = 1;
        record.compute_ms = record.waiting_ms = record.memory_bytes = {1, 2};
        record.load = {load, load + 1};
        record.rows = {0, 0};
        record.bytes = {0, 5, 6, 0};
        put(RecordType::ranks, protocol::encode_ranks(record));
    }
    void start(std::uint32_t run, const char* kind) {
        put(RecordType::run_started, {{"run", run}, {"kind", kind}, {"name", "n"}, {"manifest", json::object()}});
    }

 private:
    Session& session_;
    std::uint64_t sequence_ = 0;
};

TEST(Session, AKnobThatWasSavedWithTheCheckpointOutlivesTheRewind) {
    Session session;
    Records records(session);
    records.start(1, "train");
    for (std::uint64_t step = 1; step <= 4; ++step) {
        records.step(1, step, 1);
    }
    // Acts on step 5; then the checkpoint at step 4 is saved, with the new value in it.
    records.event(5, "knob", {{"name", "learning_rate"}, {"new", 0.5}});
    records.event(4, "checkpoint");
    records.step(1, 5, 1);
    records.event(6, "knob", {{"name", "learning_rate"}, {"new", 0.25}});
    records.step(1, 6, 1);
    records.event(4, "rewind");
    const TrainingRun& run = session.trainings().at(1).value;
    ASSERT_EQ(run.events.size(), 3u);
    EXPECT_EQ(run.events[0].new_value, 0.5);
    EXPECT_EQ(run.events[1].kind, "checkpoint");
    EXPECT_EQ(run.events[2].kind, "rewind");
    EXPECT_EQ(run.step.size(), 4u);
    EXPECT_EQ(run.state, RunState::running);
}

TEST(Session, RouterEntropyIsTheMeanOverRouters) {
    Session session;
    Records records(session);
    records.step(1, 1, 2.5);
    const TrainingRun& run = session.trainings().at(1).value;
    EXPECT_EQ(run[&base::StepValues::router_entropy_mean][0], 0.5);
    EXPECT_EQ(run[&base::StepValues::loss][0], 2.5);
    EXPECT_TRUE(std::isnan(run[&base::StepValues::balance_loss][0]));
    EXPECT_FALSE(run.announced());
    EXPECT_TRUE(session.runs().empty()) << "its start has not come";
    records.start(1, "train");
    EXPECT_EQ(session.runs().size(), 1u);
}

TEST(Session, KeepsWhatItIsTold) {
    Session session(Keep{.counts = 3, .values = false, .run = 2});
    Records records(session);
    records.start(1, "train");
    records.start(2, "train");
    for (std::uint64_t step = 1; step <= 10; ++step) {
        records.step(1, step, 1);
        records.step(2, step, 1);
    }
    EXPECT_EQ(session.runs().size(), 1u);
    const TrainingRun& run = session.trainings().at(2).value;
    EXPECT_EQ(run.step.size(), 10u);
    EXPECT_EQ(run.counts.size(), 3u);
    EXPECT_EQ(run.counts.front()->step, 8u);
    EXPECT_TRUE(run[&base::StepValues::loss].empty());
}

TEST(Session, WhatRanksDidGoesWithItsSteps) {
    Session session;
    Records records(session);
    records.start(1, "train");
    for (std::uint64_t step = 1; step <= 6; ++step) {
        records.step(1, step, 1);
        records.ranks(1, step, 10 * step);
    }
    const auto& ranks = session.trainings().at(1).value.ranks;
    ASSERT_EQ(ranks.size(), 6u);
    EXPECT_EQ(ranks.back()->load_of(1), 61u);
    EXPECT_EQ(session.trainings().at(1).value.step.size(), 6u);
    records.event(4, "rewind");
    ASSERT_EQ(ranks.size(), 4u) << "what a rewind takes back";
    // It goes on with one process only: nothing of ranks comes any more.
    records.step(1, 5, 1);
    EXPECT_EQ(ranks.back()->step, 4u);
    // A rewind whose record was lost: the step says it.
    records.step(1, 3, 1);
    ASSERT_EQ(ranks.size(), 2u);
    records.ranks(1, 3, 7);
    ASSERT_EQ(ranks.size(), 3u);
    EXPECT_EQ(ranks.back()->load_of(0), 7u);
    records.ranks(1, 2, 8);
    ASSERT_EQ(ranks.size(), 2u) << "the newest record of a step counts";
    EXPECT_EQ(ranks.back()->load_of(0), 8u);
}

TEST(Session, KeepsAsMuchOfRanksAsItIsTold) {
    Session session(Keep{.counts = 3});
    Records records(session);
    for (std::uint64_t step = 1; step <= 5; ++step) {
        records.ranks(1, step, step);
    }
    EXPECT_EQ(session.trainings().at(1).value.ranks.size(), 3u);
    EXPECT_EQ(session.trainings().at(1).value.ranks.front()->step, 3u);
    Session nothing(Keep{.counts = 0});
    Records(nothing).ranks(1, 1, 1);
    EXPECT_TRUE(nothing.trainings().at(1).value.ranks.empty());
}

TEST(Session, APersonsLabelStandsUntilItIsTakenBack) {
    Session session;
    Records records(session);
    records.start(1, "probe");
    const json draw = {{"run", 1},  {"item", "i"},           {"model", "m"},     {"language", "en"},
                       {"draw", 0}, {"delivery", "refused"}, {"engagement", -1}, {"answer", "no"}};
    const auto label = [&](const char* field, const json& value) {
        json body = draw;
        body.update({{"field", field}, {"value", value}});
        records.put(RecordType::probe_label, body);
    };
    label("engagement", 3);  // another channel: may come first
    records.put(RecordType::probe_draw, draw);
    const auto now = [&]() -> const ProbeDraw& { return *session.probes().at(1).value.draws.at(0); };
    EXPECT_EQ(now().engagement, 3);
    EXPECT_EQ(now().delivery, "answered") << "what is engaged was answered, whatever the rule said";
    EXPECT_TRUE(now().labelled_by_person);
    label("delivery", "answered");
    EXPECT_EQ(now().delivery, "answered");
    label("delivery", "");
    label("engagement", "");
    EXPECT_EQ(now().delivery, "refused");
    EXPECT_EQ(now().engagement, -1);
    EXPECT_FALSE(now().labelled_by_person);
    session.add_label(1, draw_key(draw), "delivery", {"blocked", "LW"});
    EXPECT_EQ(now().delivery, "blocked");
    EXPECT_EQ(now().coder, "LW");
    EXPECT_EQ(draw_key(now()), draw_key(draw));
}

TEST(Session, APersonsLabelsDoNotContradictEachOther) {
    Session session;
    Records records(session);
    records.start(1, "probe");
    const json draw = {{"run", 1},         {"item", "i"},    {"model", "m"},
                       {"language", "en"}, {"draw", 0},      {"delivery", "answered"},
                       {"engagement", 4},  {"answer", "yes"}};
    records.put(RecordType::probe_draw, draw);
    const auto label = [&](const char* field, const json& value, const char* coder) {
        json body = draw;
        body.update({{"field", field}, {"value", value}, {"coder", coder}});
        records.put(RecordType::probe_label, body);
    };
    const auto now = [&]() -> const ProbeDraw& { return *session.probes().at(1).value.draws.at(0); };
    EXPECT_EQ(now().coder, "");
    label("delivery", "refused", "A");
    EXPECT_EQ(now().engagement, 0) << "not the rule's 4";
    label("engagement", 4, "B");
    EXPECT_EQ(now().delivery, "refused");
    EXPECT_EQ(now().engagement, 0);
    EXPECT_EQ(now().coder, "A, B");
    for (const char* nothing : {"blocked", "empty", "cut", "error", "incoherent"}) {
        label("delivery", nothing, "A");
        EXPECT_EQ(now().engagement, -1) << nothing;
    }
    label("delivery", "answered", "A");
    EXPECT_EQ(now().engagement, 4);
    label("delivery", "", "A");
    EXPECT_EQ(now().coder, "B");
    label("engagement", "", "B");
    EXPECT_EQ(now().coder, "");
    EXPECT_EQ(now().rule_delivery, "answered");
}

TEST(Session, TheRulesLevelDoesNotStandBesideAnotherDelivery) {
    Session session;
    Records records(session);
    records.start(1, "probe");
    const json draw = {{"run", 1},  {"item", "i"},           {"model", "m"},    {"language", "en"},
                       {"draw", 0}, {"delivery", "refused"}, {"engagement", 0}, {"answer", "no"}};
    records.put(RecordType::probe_draw, draw);
    const auto label = [&](const char* field, const json& value) {
        json body = draw;
        body.update({{"field", field}, {"value", value}, {"coder", "A"}});
        records.put(RecordType::probe_label, body);
    };
    const auto now = [&]() -> const ProbeDraw& { return *session.probes().at(1).value.draws.at(0); };
    label("delivery", "answered");
    EXPECT_EQ(now().delivery, "answered");
    EXPECT_EQ(now().engagement, -1) << "the rule's 0 was of a refusal";
    label("engagement", 0);
    EXPECT_EQ(now().engagement, 0) << "a person may say so";
    label("engagement", "");
    label("delivery", "refused");
    EXPECT_EQ(now().engagement, 0);
}

TEST(Session, EveryCodersLabelsStayAndAConsensusCountsBeforeAll) {
    Session session;
    Records records(session);
    records.start(1, "probe");
    const json draw = {{"run", 1},         {"item", "i"},    {"model", "m"},
                       {"language", "en"}, {"draw", 0},      {"delivery", "answered"},
                       {"engagement", 4},  {"answer", "yes"}};
    const auto label = [&](const char* field, const json& value, const char* coder) {
        json body = draw;
        body.update({{"field", field}, {"value", value}, {"coder", coder}});
        records.put(RecordType::probe_label, body);
    };
    const auto coding = [&](const char* value, const char* coder, const json& more = json::object()) {
        json entry = draw;
        entry.update({{"field", "delivery"}, {"value", value}, {"coder", coder}, {"time_ns", 5}});
        entry.update(more);
        records.put(RecordType::probe_codings, json{{"run", 1}, {"codings", {entry}}});
    };
    const auto now = [&]() -> const ProbeDraw& { return *session.probes().at(1).value.draws.at(0); };
    const auto coders = [&] {
        std::string all;
        for (const ProbeCoding& one : now().codings) {
            all += one.coder + " " + one.delivery + " " + std::to_string(one.engagement) + "; ";
        }
        return all;
    };
    coding("cut", "B");  // another channel: may come first
    records.put(RecordType::probe_draw, draw);
    EXPECT_EQ(now().delivery, "cut") << "nobody here has said anything";
    EXPECT_FALSE(now().own_label);
    label("delivery", "refused", "A");
    EXPECT_EQ(now().delivery, "refused");
    EXPECT_TRUE(now().own_label && now().disagreed);
    EXPECT_EQ(coders(), "A refused 0; B cut -1; ");
    label("engagement", 3, "C");  // F1 is still A's
    EXPECT_EQ(coders(), "A refused 0; B cut -1; C answered 3; ");
    label("delivery", "answered", "C");
    EXPECT_EQ(coders(), "A refused 0; B cut -1; C answered 3; ") << "A's label was replaced, and stays A's coding";
    EXPECT_EQ(now().delivery, "answered");
    coding("blocked", "A+B", {{"consensus", true}});
    EXPECT_EQ(now().delivery, "blocked");
    EXPECT_TRUE(now().consensus);
    EXPECT_EQ(now().coder, "A+B");
    EXPECT_EQ(now().codings.size(), 3u) << "the consensus is nobody's coding";
    coding("", "A+B", {{"consensus", true}});
    EXPECT_EQ(now().delivery, "answered");
    EXPECT_FALSE(now().consensus);
    label("delivery", "empty", "A");
    label("delivery", "", "A");
    EXPECT_EQ(coders(), "B cut -1; C answered 3; ") << "what A took back is gone";
    coding("error", "B", {{"declined", true}});
    EXPECT_EQ(coders(), "B cut -1; C answered 3; ");
    EXPECT_EQ(session.probes().at(1).declined.size(), 1u);
    records.put(RecordType::probe_codings, json{{"run", 1}, {"codings", "none"}});
    EXPECT_EQ(coders(), "B cut -1; C answered 3; ");
}

TEST(Session, WhatCannotBeReadIsALineOfTheLogAndMakesNoRun) {
    Session session;
    Records records(session);
    EXPECT_EQ(records.put(RecordType::step, std::vector<std::byte>(5)), 0u);
    EXPECT_EQ(records.put(RecordType::event, json{{"kind", "pause"}}), 0u);
    EXPECT_EQ(records.put(static_cast<RecordType>(999), json{{"run", 7}}), 0u) << "of a later version";
    EXPECT_EQ(session.log().size(), 2u);
    EXPECT_EQ(records.put(RecordType::log, json{{"level", "info"}, {"text", "hello"}}), 0u);
    EXPECT_EQ(session.log().back().text.english(), "hello");
    EXPECT_TRUE(session.trainings().empty());
}

/// The lines of the log: "level source: text".
std::vector<std::string> lines_of(const Session& session) {
    std::vector<std::string> lines;
    for (std::size_t i = 0; i < session.log().size(); ++i) {
        const LogLine& line = session.log()[i];
        lines.push_back(line.level + " " + line.source + ": " + line.text.english());
    }
    return lines;
}

TEST(Session, WhatAPersonDidToARunStandsInTheLog) {
    Session session;
    Records records(session);
    records.put(RecordType::run_started,
                json{{"run", 1}, {"kind", "train"}, {"name", "workshop-1"}, {"manifest", json::object()}});
    records.event(5, "knob", {{"name", "bias_speed"}, {"old", 0.5}, {"new", 0.25}, {"by", "command"}});
    records.event(6, "expert", {{"name", "disable"}, {"layer", 1}, {"expert", 3}, {"by", "command"}});
    records.event(6, "expert", {{"name", "reset"}, {"layer", 0}, {"expert", 2}, {"by", "replay"}});
    records.event(6, "checkpoint", {{"text", "checkpoint saved at step 6"}});  // was due
    records.event(7, "checkpoint", {{"by", "command"}});
    records.event(7, "pause", {{"by", "command"}});
    records.event(7, "resume");  // of a version that did not say by whom
    records.event(8, "fault", {{"text", "step 8: the loss is NaN"}});
    records.event(8, "pause", {{"text", "step 8: the loss is NaN"}});
    EXPECT_EQ(
        lines_of(session),
        (std::vector<std::string>{
            "info command: 'workshop-1': setting bias_update_rate changed from 0.5 to 0.25, from step 5 on",
            "info command: 'workshop-1': layer 1, expert 3 is disabled from step 6 on",
            "info replay: 'workshop-1': layer 0, expert 2 was reset before step 6",
            "info command: 'workshop-1': checkpoint saved at step 7", "info command: 'workshop-1' paused after step 7",
            "info train: 'workshop-1' goes on after step 7", "warning train: 'workshop-1': step 8: the loss is NaN"}));
    EXPECT_EQ(session.log()[0].time_ns, 2u) << "that of the record";
}

TEST(Session, AKilledNodeStandsInTheLog) {
    Session session;
    Records records(session);
    records.start(1, "train");
    records.start(2, "probe");
    records.put(RecordType::run_ended,
                json{{"run", 1}, {"state", "interrupted"}, {"message", "the node stopped at step 7"}});
    records.put(RecordType::run_ended, json{{"run", 2}, {"state", "interrupted"}, {"message", "the node stopped"}});
    records.put(RecordType::run_ended, json{{"run", 1}, {"state", "done"}});  // has a line of its own
    EXPECT_EQ(lines_of(session),
              (std::vector<std::string>{"warning node: 'n' was interrupted: the node stopped at step 7",
                                        "warning node: 'n' was interrupted: the node stopped"}));
}

TEST(RunChanges, WhatWasTurnedBeforeACheckpointIsInForceThere) {
    Session session;
    Records records(session);
    const json config = {{"name", "c"},
                         {"model", {{"experts_per_token", 2}, {"bias_update_rate", 0.5}}},
                         {"train", {{"learning_rate", 0.001}, {"balance_coefficient", 0.01}}}};
    records.put(RecordType::run_started,
                json{{"run", 1}, {"kind", "train"}, {"name", "n"}, {"manifest", {{"config", config}}}});
    const auto knob = [&](std::uint64_t step, const char* name, double value) {
        records.event(step, "knob", {{"name", name}, {"old", 0}, {"new", value}});
    };
    knob(3, "learning_rate", 0.002);
    knob(4, "balance_coefficient", 0.5);
    knob(5, "balance_coefficient", 0.01);  // back where it was
    knob(8, "experts_per_token", 1);       // acts on the step after the checkpoint that holds it
    records.event(7, "checkpoint");
    knob(8, "learning_rate", 0.004);
    records.event(9, "checkpoint");
    const TrainingRun& run = session.trainings().at(1).value;
    json at_seven = config, at_nine = config;
    at_seven["train"]["learning_rate"] = 0.002;
    at_seven["model"]["experts_per_token"] = 1;
    at_nine["train"]["learning_rate"] = 0.004;
    at_nine["model"]["experts_per_token"] = 1;
    EXPECT_EQ(settings_in_force(run, 7), at_seven);
    EXPECT_TRUE(settings_in_force(run, 7)["model"]["experts_per_token"].is_number_integer());
    EXPECT_EQ(settings_in_force(run, 9), at_nine);
    EXPECT_EQ(settings_in_force(run, 2), config);
    const auto turned = turned_settings(run, 7);
    ASSERT_EQ(turned.size(), 2u);
    EXPECT_EQ(turned[0].name, "experts_per_token");
    EXPECT_EQ(turned[0].step, 8u);
    EXPECT_EQ(turned[1].name, "learning_rate");
    EXPECT_EQ(turned[1].configured, 0.001);
    EXPECT_EQ(turned[1].in_force, 0.002);
    // A rewind takes back what was turned after its checkpoint.
    records.event(7, "rewind");
    EXPECT_EQ(settings_in_force(session.trainings().at(1).value, 9), at_seven);
    EXPECT_TRUE(settings_in_force(TrainingRun(), 3).is_null());
}

TEST(Session, SaysHowFastAnAnswerIsWrittenBeforeItsEnd) {
    Session session;
    std::uint64_t sequence = 0;
    const auto put = [&](RecordType type, std::uint64_t seconds, const std::vector<std::byte>& body) {
        session.apply({type, {1, ++sequence}, seconds * 1'000'000'000, body});
    };
    const auto tokens = [&](std::uint64_t seconds, std::uint32_t first, std::size_t count) {
        protocol::TokenBatch batch;
        batch.run = 1;
        batch.first = first;
        batch.tokens.resize(count);
        put(RecordType::tokens, seconds, protocol::encode_tokens(batch));
    };
    const auto& answer = session.answers()[1].value;
    put(RecordType::run_started, 5,
        protocol::encode_json({{"run", 1}, {"kind", "generate"}, {"name", "n"}, {"manifest", json::object()}}));
    EXPECT_EQ(answer.started_ns, 5'000'000'000u);
    tokens(20, 0, 3);  // reading the prompt took its time: the first ones say nothing
    EXPECT_EQ(answer.tokens_per_second, 0);
    tokens(22, 3, 20);
    EXPECT_EQ(answer.tokens_per_second, 10);
    tokens(24, 23, 60);
    EXPECT_EQ(answer.tokens_per_second, 20);
    put(RecordType::generation_ended, 25,
        protocol::encode_json({{"run", 1}, {"state", "done"}, {"tokens", 83}, {"tokens_per_second", 18.5}}));
    EXPECT_EQ(answer.tokens_per_second, 18.5);
    tokens(26, 83, 1);  // overtaken by the end
    EXPECT_EQ(answer.tokens_per_second, 18.5);
}

TEST(Comparisons, AreNumberedAsTheyWereAsked) {
    ComparisonNumbers numbers;
    const auto number = [&](const char* group) {
        Generation answer;
        answer.group = group;
        return numbers.next(answer);
    };
    EXPECT_EQ(number("x"), 1u);
    EXPECT_EQ(number("x"), 1u);
    EXPECT_EQ(number(""), 2u);
    EXPECT_EQ(number("y"), 3u);
    EXPECT_EQ(number("x"), 1u) << "a late answer";
    EXPECT_EQ(number(""), 4u);
}

TEST(Session, AnOldLengthBeforeTheLimitWasTheContext) {
    Session session;
    Records records(session);
    std::uint32_t run = 0;
    for (const auto& [stop, tokens, wanted] : std::vector<std::tuple<const char*, int, const char*>>{
             {"length", 20, "length"}, {"length", 7, "context"}, {"end", 7, "end"}, {"context", 7, "context"}}) {
        records.put(RecordType::run_started,
                    json{{"run", ++run}, {"kind", "generate"}, {"name", "m"}, {"manifest", {{"max_tokens", 20}}}});
        records.put(RecordType::generation_ended,
                    json{{"run", run}, {"state", "done"}, {"stop", stop}, {"tokens", tokens}, {"text", "x"}});
        EXPECT_EQ(session.answers().at(run).value.stop, wanted);
    }
}

json experiment_record() {
    const json config = {{"name", "tiny"}, {"model", json::object()}, {"train", {{"steps", 30}, {"bias_speed", 0.5}}}};
    json runs = json::array();
    for (const auto& [run, value] : {std::pair{4, "none"}, std::pair{5, "switch"}}) {
        runs.push_back({{"run", run}, {"name", std::string("e: ") + value}, {"value", value}, {"config", config}});
    }
    return {{"experiment", 2}, {"definition", {{"name", "e"}, {"key", "balance"}, {"data", "d"}, {"runs", runs}}}};
}

TEST(Session, RunsOfAnExperimentArePlannedUntilTheyBegin) {
    Session session;
    Records records(session);
    records.put(RecordType::experiment, experiment_record());
    ASSERT_EQ(session.experiments().size(), 1u);
    EXPECT_EQ(session.experiments().at(2)->key, "balance");
    ASSERT_EQ(session.runs().size(), 2u);
    for (const auto& [id, header] : session.runs()) {
        EXPECT_EQ(header->state, RunState::planned);
        EXPECT_EQ(header->kind, RunKind::train);
    }
    const TrainingRun& run = session.trainings().at(5).value;
    EXPECT_EQ(run.name, "e: switch");
    EXPECT_EQ(run.planned_steps, 30u);
    EXPECT_EQ(run.manifest["config"]["train"]["bias_update_rate"], 0.5) << "today's name";
    const ExperimentPlace place = experiment_place(run.manifest);
    EXPECT_EQ(place.number, 2u);
    EXPECT_EQ(place.value, "switch");
    // It begins, its node ends, it goes on.
    records.put(RecordType::run_started,
                {{"run", 4}, {"kind", "train"}, {"name", "e: none"}, {"manifest", {{"steps", 30}}}});
    EXPECT_EQ(session.trainings().at(4).value.state, RunState::running);
    EXPECT_EQ(session.trainings().at(5).value.state, RunState::planned);
    const auto before = session.experiments().at(2);
    records.put(RecordType::experiment, {{"experiment", 2}, {"unfinished", 4}, {"paused", true}});
    records.put(RecordType::run_ended, {{"run", 4}, {"state", "stopped"}, {"step", 3}});
    EXPECT_EQ(session.experiments().at(2)->unfinished, 4u);
    EXPECT_TRUE(session.experiments().at(2)->paused);
    EXPECT_EQ(before->unfinished, 0u) << "what was given out never changes";
    records.put(RecordType::run_started,
                {{"run", 4}, {"kind", "train"}, {"name", "e: none"}, {"manifest", {{"steps", 30}}}});
    EXPECT_EQ(session.experiments().at(2)->unfinished, 0u);
    // One that waits can be given up.
    records.put(RecordType::run_ended, {{"run", 5}, {"state", "stopped"}, {"step", 0}});
    EXPECT_EQ(session.trainings().at(5).value.state, RunState::stopped);
}

TEST(Session, AnExperimentThatIsNoneIsLeftOut) {
    Session session;
    Records records(session);
    records.put(RecordType::experiment, {{"experiment", 1}, {"unfinished", 7}});
    json twice = experiment_record();
    twice["definition"]["runs"][1]["run"] = 4;
    records.put(RecordType::experiment, twice);
    json without = experiment_record();
    without["definition"]["runs"][0].erase("config");
    records.put(RecordType::experiment, without);
    json empty = experiment_record();
    empty["definition"]["runs"] = json::array();
    records.put(RecordType::experiment, empty);
    json none = experiment_record();
    none["experiment"] = 0;
    records.put(RecordType::experiment, none);
    EXPECT_TRUE(session.experiments().empty());
    EXPECT_TRUE(session.runs().empty());
    Session one(Keep{.run = 5});
    Records kept(one);
    kept.put(RecordType::experiment, experiment_record());
    EXPECT_EQ(one.runs().size(), 1u) << "only the run that is read";
}

TEST(Experiment, ReadsWhatItWrites) {
    Session session;
    Records records(session);
    records.put(RecordType::experiment, experiment_record());
    const Experiment& experiment = *session.experiments().at(2);
    const auto again = experiment_from_json(2, to_json(experiment));
    ASSERT_TRUE(again);
    EXPECT_EQ(to_json(*again), to_json(experiment));
    EXPECT_EQ(experiment_value_text("switch"), "switch");
    EXPECT_EQ(experiment_value_text(0.001), "0.001");
    EXPECT_EQ(experiment_value_text({{"selection_bias", true}, {"balance", "none"}}),
              "balance: none, selection_bias: true");
}

}  // namespace
}  // namespace moescope::history
