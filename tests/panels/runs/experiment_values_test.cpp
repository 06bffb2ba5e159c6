// Values of an experiment: what is offered, what is typed, what they are called, how long it takes.
#include "panels/runs/experiment_values.hpp"

#include <filesystem>
#include <gtest/gtest.h>

#include "tests/paths.hpp"

namespace {

using namespace moescope;
using namespace moescope::panels;
using nlohmann::json;
using Type = ConfigField::Type;

const ui::Language& english() {
    static const ui::Language text =
        ui::Language::load(std::filesystem::path(test::source_assets()) / "languages" / "en", "en");
    return text;
}

ConfigField field(const char* key, Type type, double low = 0, double high = 0) {
    ConfigField one;
    one.key = key;
    one.type = type;
    one.low = low;
    one.high = high;
    return one;
}

TEST(ExperimentValues, OfBalanceAreThePublishedBalancings) {
    ConfigField balance = field("balance", Type::choice);
    balance.choices = {"none", "batch"};
    const json catalogue = {{"balancings",
                             {{{"name", "none"}, {"source", ""}},
                              {{"name", "switch"}, {"source", "arXiv 2101.03961"}},
                              {{"name", "hash"}, {"source", "x"}},
                              {{"name", "of_tomorrow"}, {"source", "y"}}}}};
    const auto offered = offered_values(english(), catalogue, balance);
    ASSERT_EQ(offered.size(), 4u);
    EXPECT_EQ(offered[1].value, "switch");
    EXPECT_NE(offered[1].label, "switch") << "has a name of its own";
    EXPECT_NE(offered[1].help.find("arXiv 2101.03961"), std::string::npos);
    EXPECT_TRUE(offered[1].first);
    EXPECT_FALSE(offered[2].first) << "not ticked at first";
    EXPECT_EQ(offered[3].label, "of_tomorrow");
    // A node that tells of none: the plain setting.
    const auto plain = offered_values(english(), json::object(), balance);
    ASSERT_EQ(plain.size(), 2u);
    EXPECT_EQ(plain[1].value, "batch");
    EXPECT_TRUE(offered_values(english(), catalogue, field("learning_rate", Type::number)).empty());
    const auto flags = offered_values(english(), catalogue, field("tied_head", Type::flag));
    ASSERT_EQ(flags.size(), 2u);
    EXPECT_EQ(flags[0].value, false);
}

TEST(ExperimentValues, AreTypedAsAList) {
    const ConfigField rate = field("learning_rate", Type::number, 0, 1);
    TypedValues typed = read_values(rate, " 0.001, 1e-2;0.5\uff0c 0.001 ");
    EXPECT_EQ(typed.values, (std::vector<json>{0.001, 0.01, 0.5})) << "each once, whatever the comma";
    EXPECT_TRUE(typed.refused.empty());
    typed = read_values(rate, "2 x 0.5");
    EXPECT_EQ(typed.refused, (std::vector<std::string>{"2", "x"}));
    EXPECT_EQ(typed.values, (std::vector<json>{0.5}));
    const ConfigField seed = field("seed", Type::integer, 0, 0x1p64);
    typed = read_values(seed, "18446744073709551615, 1.5, -1");
    EXPECT_EQ(typed.values, (std::vector<json>{18446744073709551615ull}));
    EXPECT_EQ(typed.refused.size(), 2u);
    EXPECT_TRUE(read_values(rate, ", ;").values.empty());
}

TEST(ExperimentValues, AreProposedAroundThePresentOne) {
    EXPECT_EQ(proposed_values(field("learning_rate", Type::number, 0, 1), 0.003), "0.0015, 0.003, 0.006");
    EXPECT_EQ(proposed_values(field("learning_rate", Type::number, 0, 1), 0.75), "0.375, 0.75") << "1.5 is too much";
    EXPECT_EQ(proposed_values(field("experts", Type::integer, 1, 1024), 16), "8, 16, 32");
    EXPECT_EQ(proposed_values(field("experts", Type::integer, 1, 1024), 1), "1, 2");
    EXPECT_EQ(proposed_values(field("seed", Type::integer, 0, 0x1p64), 7), "1, 2, 3");
    EXPECT_EQ(proposed_values(field("router_jitter", Type::number, 0, 0.5), 0), "0, 0.01, 0.1");
}

TEST(ExperimentValues, HaveNames) {
    EXPECT_EQ(experiment_value_label(english(), "learning_rate", 0.003), "0.003");
    EXPECT_NE(experiment_value_label(english(), "balance", "loss_free"), "loss_free");
    const std::string several =
        experiment_value_label(english(), "", {{"selection_bias", true}, {"learning_rate", 0.5}});
    EXPECT_NE(several.find("learning rate: 0.5"), std::string::npos) << several;
    EXPECT_EQ(several.find("selection_bias"), std::string::npos) << "by its name: " << several;
}

TEST(ExperimentValues, OfABalancingAreNotCalledByTheLossAlone) {
    EXPECT_EQ(experiment_key_label(english(), "balance"), "balancing of the load");
    EXPECT_EQ(experiment_key_label(english(), "learning_rate"), "learning rate");
}

TEST(ExperimentValues, StandInTheNamesOfRunsAsPeopleCallThem) {
    history::TrainingRun run;
    run.name = "e: loss_free";
    EXPECT_EQ(run_title(english(), run), "e: loss_free") << "of no experiment";
    run.manifest["experiment"] = {{"number", 1}, {"name", "e"}, {"key", "balance"}, {"value", "loss_free"}};
    EXPECT_EQ(run_title(english(), run), "e: loss-free bias");
    run.name = "my own name";
    EXPECT_EQ(run_title(english(), run), "my own name");
}

TEST(ExperimentValues, TimeComesFromTheSpeedOfAnEarlierRun) {
    client::Snapshot snapshot;
    const json plan = {{"flops_per_token", 200.0}};
    const json config = {{"model", {{"context", 10}}}, {"train", {{"steps", 100}, {"batch", 2}, {"accumulation", 1}}}};
    EXPECT_FALSE(run_seconds(snapshot, plan, config)) << "nothing was measured";
    history::TrainingRun run;
    run.manifest = {{"plan", {{"flops_per_token", 400.0}}}};
    auto& speed = run.values[base::step_value_index(&base::StepValues::tokens_per_second)];
    for (int i = 0; i < 30; ++i) {
        speed.push_back(i < 10 ? 1 : 50);  // the first steps are slow
    }
    snapshot.training[1] = std::make_shared<history::TrainingRun>(run);
    // 2,000 tokens of half the work: 100 a second.
    ASSERT_TRUE(run_seconds(snapshot, plan, config));
    EXPECT_DOUBLE_EQ(*run_seconds(snapshot, plan, config), 20);
    snapshot.training[2] = std::make_shared<history::TrainingRun>();  // has not begun
    EXPECT_TRUE(run_seconds(snapshot, plan, config));
    EXPECT_FALSE(run_seconds(snapshot, json(), config));
    EXPECT_FALSE(run_seconds(snapshot, plan, json()));
}

}  // namespace
