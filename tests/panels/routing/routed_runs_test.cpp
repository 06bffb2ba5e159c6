// Which routings of a session belong together.
#include "panels/routing/routed_runs.hpp"

#include <gtest/gtest.h>

#include "tests/paths.hpp"
#include "tests/routing/random_trace.hpp"

namespace moescope::panels {
namespace {

using history::RouteRun;
using nlohmann::json;

class Session {
 public:
    void add_routing(std::uint32_t run, int experts, json interventions = json::array()) {
        const routing::RouterSpec spec = routing::make_spec(2, experts, 2);
        auto routing = std::make_shared<history::RunRouting>();
        routing->run = run;
        routing->interventions = std::move(interventions);
        const auto trace = std::make_shared<routing::PackedTrace>(spec);
        if (experts > 0) {
            trace->append(routing::pack(*routing::chunks_of(spec, routing::RandomTrace(spec, run).tokens(10))[0]));
        }
        routing->trace = trace;
        routing->tokens = 10;
        snapshot.routing[run] = routing;
    }
    void read(std::uint32_t run, const std::string& model, json manifest, int experts = 8,
              history::RunState state = history::RunState::done, json interventions = json::array()) {
        auto route = std::make_shared<RouteRun>();
        route->id = run;
        route->model = model;
        route->state = state;
        route->manifest = std::move(manifest);
        snapshot.routes[run] = route;
        add_routing(run, experts, std::move(interventions));
    }
    void answer(std::uint32_t run, const std::string& model) {
        auto answer = std::make_shared<history::Generation>();
        answer->id = run;
        answer->model = model;
        answer->state = history::RunState::running;
        snapshot.generations[run] = answer;
        add_routing(run, 8);
    }
    std::vector<std::uint32_t> numbers() const {
        std::vector<std::uint32_t> all;
        for (const RoutedRun& run : routed_runs(snapshot)) {
            all.push_back(run.run());
        }
        return all;
    }

    client::Snapshot snapshot;
};

json built_in() {
    return {{"what", "read"}, {"model", "m"}, {"data", "manpages"}, {"tokens", 500}, {"title", "t"}};
}

TEST(RoutedRuns, SayWhatTheyRead) {
    Session session;
    session.read(3, "checkpoint:2:250", built_in());
    session.answer(5, "qwen|no maths");
    session.read(6, "checkpoint:2:300", {{"what", "read"}, {"text", "The router"}, {"chat", true}}, 8,
                 history::RunState::done, json::array({{{"kind", "knock_out"}}}));
    const auto read = routed_run(session.snapshot, 3), answer = routed_run(session.snapshot, 5),
               changed = routed_run(session.snapshot, 6);
    ASSERT_TRUE(read && answer && changed);
    EXPECT_EQ(read->text, json({{"data", "manpages"}, {"tokens", 500}}));
    EXPECT_EQ(read->checkpoint->step, 250u);
    EXPECT_EQ(read->training, 2u);
    EXPECT_FALSE(read->alive);
    EXPECT_EQ(answer->text, json({{"run", 5}}));
    EXPECT_TRUE(answer->alive);
    EXPECT_EQ(answer->training, 0u);
    EXPECT_EQ(changed->text, json({{"text", "The router"}, {"chat", true}}));
    EXPECT_FALSE(changed->checkpoint) << "with changes it is not what the checkpoint does";
    EXPECT_EQ(changed->training, 2u);
    // What was read of an answer is named by the answer, whatever of it stands in the manifest.
    session.read(7, "m", {{"what", "read"}, {"text", "the prompt"}, {"from", {{"run", 5}}}});
    EXPECT_TRUE(same_text(*routed_run(session.snapshot, 7), *answer));
    session.read(8, "m", {{"what", "read"}, {"text", "the prompt"}, {"from", {{"run", 2}, {"item", "x"}}}});
    EXPECT_TRUE(routed_run(session.snapshot, 8)->text.is_null());
    EXPECT_FALSE(routed_run(session.snapshot, 4));
    EXPECT_EQ(session.numbers(), (std::vector<std::uint32_t>{8, 7, 6, 5, 3}));
    EXPECT_EQ(read->file_name(), "route-3");
}

TEST(RoutedRuns, AnEffectHasReadTheSameChangedAndUntouched) {
    Session session;
    const json text = {{"text", "The router"}, {"chat", false}};
    session.read(3, "checkpoint:2:250", text);
    session.read(4, "checkpoint:2:250", text, 8, history::RunState::done, json::array({{{"kind", "knock_out"}}}));
    auto effect = std::make_shared<RouteRun>(*session.snapshot.routes[4]);
    effect->what = RouteRun::What::effect;
    session.snapshot.routes[4] = effect;
    const auto untouched = routed_run(session.snapshot, 3), changed = routed_run(session.snapshot, 4);
    EXPECT_EQ(changed->text, text);
    EXPECT_EQ(default_second(routed_runs(session.snapshot), *untouched), 4u);
    EXPECT_EQ(default_second(routed_runs(session.snapshot), *changed), 3u);
}

TEST(RoutedRuns, AllTokensOfARunAreItsText) {
    Session session;
    const json built = {{"data", "manpages"}, {"tokens", 500}};
    session.read(3, "m", built_in());
    session.read(4, "m", {{"what", "read"}, {"tokens_of", 3}});
    session.read(5, "m", {{"what", "read"}, {"tokens_of", 4}});
    session.read(6, "m", {{"what", "read"}, {"tokens_of", 3}, {"first", 32}, {"tokens", 5}});
    session.answer(7, "m");
    session.read(8, "m", {{"what", "read"}, {"tokens_of", 7}});
    session.read(9, "m", {{"what", "read"}, {"tokens_of", 2}});    // gone
    session.read(10, "m", {{"what", "read"}, {"tokens_of", 11}});  // a circle
    session.read(11, "m", {{"what", "read"}, {"tokens_of", 10}});
    const auto text = [&](std::uint32_t run) { return routed_run(session.snapshot, run)->text; };
    EXPECT_EQ(text(4), built);
    EXPECT_EQ(text(5), built);
    EXPECT_EQ(text(6), json({{"tokens_of", 3}, {"first", 32}, {"tokens", 5}}));
    EXPECT_EQ(text(8), json({{"run", 7}}));
    EXPECT_EQ(text(9), json({{"tokens_of", 2}}));
    EXPECT_EQ(text(10), json({{"tokens_of", 11}}));
    EXPECT_EQ(text(11), json({{"tokens_of", 11}})) << "10 says 11, which is no earlier run";
}

TEST(RoutedRuns, OfOtherProgramsCannotBeReadAgain) {
    Session session;
    session.read(3, "", {{"what", "import"}, {"path", "/x"}});
    auto imported = std::make_shared<RouteRun>(*session.snapshot.routes[3]);
    imported->what = RouteRun::What::import;
    session.snapshot.routes[3] = imported;
    EXPECT_TRUE(routed_run(session.snapshot, 3)->text.is_null());
    EXPECT_FALSE(same_text(*routed_run(session.snapshot, 3), *routed_run(session.snapshot, 3)));
}

TEST(RoutedRuns, TheSecondOfADiffIsTheOneThatFitsBest) {
    Session session;
    session.read(1, "checkpoint:9:10", built_in());
    session.read(2, "checkpoint:9:20", built_in());
    session.read(3, "checkpoint:9:20", {{"what", "read"}, {"text", "other"}});
    session.read(4, "another", built_in(), 16);
    const auto second = [&](std::uint32_t run) {
        return default_second(routed_runs(session.snapshot), *routed_run(session.snapshot, run));
    };
    EXPECT_EQ(second(1), 2u);
    EXPECT_EQ(second(2), 1u);
    EXPECT_FALSE(second(3).has_value()) << "no other has read its text";
    EXPECT_FALSE(second(4).has_value());
    EXPECT_FALSE(same_shape(*routed_run(session.snapshot, 1), *routed_run(session.snapshot, 4)));
}

TEST(RoutedRuns, ThatWereCutOffSayHowFarTheyCame) {
    const ui::Language english = ui::Language::load(test::source_assets() + "/languages/en", "en");
    Session session;
    const auto text = [&](std::uint32_t run) {
        const auto cut = routed_run(session.snapshot, run)->cut;
        return cut ? cut_off_text(english, *cut, 60) : std::string();
    };
    session.read(1, "checkpoint:9:10", built_in());
    session.read(2, "checkpoint:9:20", built_in(), 8, history::RunState::stopped);
    session.read(3, "checkpoint:9:30", {{"what", "read"}, {"text", "x"}}, 8, history::RunState::failed);
    session.read(4, "checkpoint:9:40", built_in(), 8, history::RunState::running);
    session.read(5, "checkpoint:9:50", built_in());
    session.read(6, "checkpoint:9:60", {{"what", "read"}, {"text", "y"}}, 8, history::RunState::interrupted);
    auto failed = std::make_shared<RouteRun>(*session.snapshot.routes[3]);
    failed->message = base::Sentence::verbatim("the model's process ended by signal 7");
    failed->result = {{"wanted", 1234}};
    session.snapshot.routes[3] = failed;
    EXPECT_EQ(text(1), "");
    EXPECT_EQ(text(2), "incomplete: 10 of 500 tokens (cancelled)");
    EXPECT_EQ(text(3), "incomplete: 10 of 1,234 tokens (failed: the model's process ended by signal 7)");
    EXPECT_EQ(text(4), "") << "it goes on";
    EXPECT_EQ(text(6), "incomplete: 10 tokens (interrupted)");
    // Of two of one text the whole one is compared, also when the other is newer; and a series has whole ones alone.
    session.read(7, "checkpoint:9:70", built_in(), 8, history::RunState::stopped);
    EXPECT_EQ(default_second(routed_runs(session.snapshot), *routed_run(session.snapshot, 1)), 5u);
    const auto series = checkpoint_series(session.snapshot, 0);
    ASSERT_EQ(series.size(), 1u);
    for (const RoutedRun& run : series[0].runs) {
        EXPECT_NE(run.run(), 2u);
        EXPECT_NE(run.run(), 7u);
    }
}

TEST(RoutedRuns, NameTheirTextForPeople) {
    const ui::Language english = ui::Language::load(test::source_assets() + "/languages/en", "en");
    EXPECT_EQ(text_name(english, {{"data", "manpages"}, {"tokens", 8000}}), "the built-in text, 8,000 tokens");
    EXPECT_EQ(text_name(english, {{"data", "/home/x/wiki.txt"}}), "wiki.txt");
    EXPECT_EQ(text_name(english, {{"text", "The\nrouter"}, {"chat", true}}), "\u201cThe router\u201d");
    EXPECT_EQ(text_name(english, {{"run", 5}}), "answer 5");
    EXPECT_EQ(text_name(english, {{"tokens_of", 3}}), "the tokens of text 3");
    EXPECT_EQ(text_name(english, {{"tokens_of", 3}, {"first", 32}, {"tokens", 1500}}), "1,500 tokens of text 3");
    EXPECT_EQ(text_name(english, nullptr), "a text");
}

TEST(CheckpointSeries, AreOfOneRunTextAndShape) {
    Session session;
    session.read(1, "checkpoint:9:30", built_in());
    session.read(2, "checkpoint:9:10", built_in());
    session.read(3, "checkpoint:9:30", built_in());                         // again
    session.read(4, "checkpoint:9:20", {{"what", "read"}, {"text", "x"}});  // another text
    session.read(5, "checkpoint:8:20", built_in());                         // another run
    session.read(6, "checkpoint:9:20", built_in(), 16);                     // another shape
    session.read(7, "checkpoint:9:40", {{"what", "read"}, {"text", "x"}});
    const auto steps = [](const CheckpointSeries& series) {
        std::vector<std::uint64_t> all;
        for (const RoutedRun& run : series.runs) {
            all.push_back(run.checkpoint->step);
        }
        return all;
    };
    const auto all = checkpoint_series(session.snapshot, 0);
    ASSERT_EQ(all.size(), 2u);
    EXPECT_EQ(steps(all[0]), (std::vector<std::uint64_t>{20, 40})) << "the newest first";
    EXPECT_EQ(steps(all[1]), (std::vector<std::uint64_t>{10, 30}));
    EXPECT_EQ(all[1].runs[1].run(), 3u) << "of two of one step the newer one";
    EXPECT_EQ(steps(checkpoint_series(session.snapshot, 2)[0]), (std::vector<std::uint64_t>{10, 30}));
}

TEST(CheckpointSeries, AreReadByOneCommandForEachCheckpoint) {
    history::TrainingRun run;
    run.id = 7;
    run.checkpoints = {10, 20, 30};
    run.layers = 6;
    run.experts = 16;
    const auto commands = read_checkpoints(run, built_in_text(), kBuiltInTokens, "g");
    ASSERT_EQ(commands.size(), 3u);
    EXPECT_EQ(commands[1].at("model"), "checkpoint:7:20");
    EXPECT_EQ(commands[1].at("data"), "manpages");
    EXPECT_EQ(commands[1].at("group"), "g");
    EXPECT_EQ(commands[1].at("tokens"), kBuiltInTokens);
    EXPECT_EQ(commands[1].at("detail"), "scores");
}

TEST(ScoreBytes, GrowWithExpertsAndTokens) {
    EXPECT_EQ(score_bytes(6 * 16, 1000), 1'152'000u);
    EXPECT_EQ(score_bytes(0, 1000), 0u);
    EXPECT_EQ(score_bytes(10, 0), 0u);
    EXPECT_EQ(score_bytes(std::uint64_t{1} << 62, std::uint64_t{1} << 62), ~std::uint64_t{0});
    Session session;
    EXPECT_EQ(experts_of_model(session.snapshot, "m"), 0u) << "it has read nothing here";
    session.read(1, "m", built_in(), 8);
    EXPECT_EQ(experts_of_model(session.snapshot, "m"), 16u);
    auto run = std::make_shared<history::TrainingRun>();
    run->id = 7;
    run->layers = 6;
    run->experts = 16;
    session.snapshot.training[7] = run;
    EXPECT_EQ(experts_of_model(session.snapshot, "checkpoint:7:20"), 96u);
}

TEST(ReadingDetail, IsScoresWhileTheyAreSmall) {
    EXPECT_STREQ(reading_detail(6 * 16, 4096), "scores");
    EXPECT_STREQ(reading_detail(60 * 256, 4096), "weights");
    EXPECT_STREQ(reading_detail(60 * 256, 100), "scores");
    EXPECT_STREQ(reading_detail(0, 100), "weights") << "a dense model";
    EXPECT_STREQ(reading_detail(std::uint64_t{1} << 62, std::uint64_t{1} << 62), "weights");
}

}  // namespace
}  // namespace moescope::panels
