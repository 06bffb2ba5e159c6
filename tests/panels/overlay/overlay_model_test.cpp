// Runs over each other: names, differences, the table and its file, steps beside each other, labels at the ends of
// lines.
#include "panels/overlay/overlay_model.hpp"

#include <cmath>
#include <filesystem>
#include <gtest/gtest.h>
#include <limits>
#include <set>

#include "panels/overlay/overlay_maps.hpp"
#include "panels/ui/plot_parts.hpp"
#include "tests/paths.hpp"

namespace {

using namespace moescope;
using namespace moescope::panels;
using history::RunFigure;
using nlohmann::json;

const ui::Language& english() {
    static const ui::Language text =
        ui::Language::load(std::filesystem::path(test::source_assets()) / "languages" / "en", "en");
    return text;
}

/// A run of so many steps whose loss falls to `loss`.
ShownRun shown(std::uint32_t id, const std::string& name, const json& config, int steps = 20, double loss = 2) {
    auto run = std::make_shared<history::TrainingRun>();
    run->id = id;
    run->name = name;
    run->manifest = {{"config", config}, {"data", "manpages"}};
    run->layers = 1;
    run->experts = 2;
    auto& losses = run->values[base::step_value_index(&base::StepValues::cross_entropy)];
    for (int i = 1; i <= steps; ++i) {
        run->step.push_back(i);
        losses.push_back(loss + steps - i);
        auto counts = std::make_shared<history::StepCounts>();
        counts->step = static_cast<std::uint64_t>(i);
        counts->counts = {1, 2, 3, 4};
        run->counts.push_back(std::move(counts));
    }
    ShownRun one;
    one.id = std::to_string(id);
    one.run = run;
    one.loads = std::make_shared<history::LoadSeries>();
    return one;
}

json config(const char* balance, double rate) {
    return {{"model", {{"experts", 8}}}, {"train", {{"balance", balance}, {"learning_rate", rate}}}};
}

const json kCatalogue = {{"config_fields",
                          {{{"section", "train"}, {"key", "learning_rate"}, {"default", 0.003}},
                           {{"section", "model"}, {"key", "experts"}, {"default", 16}},
                           {{"section", "train"}, {"key", "balance"}, {"default", "batch"}},
                           {{"section", "train"}, {"key", "weight_decay"}, {"default", 0.1}}}}};

std::vector<std::string> labels(std::vector<ShownRun> runs) {
    label_runs(english(), runs);
    std::vector<std::string> list;
    for (const ShownRun& run : runs) {
        list.push_back(run.label);
    }
    return list;
}

ShownRun of_experiment(std::uint32_t id, const char* value, int number = 1) {
    ShownRun run = shown(id, std::string("e: ") + value, config("none", 0.1));
    auto changed = std::make_shared<history::TrainingRun>(*run.run);
    changed->manifest["experiment"] = {{"number", number}, {"name", "e"}, {"key", "router_choice"}, {"value", value}};
    run.run = changed;
    return run;
}

TEST(Overlay, RunsOfAnExperimentAreCalledByTheirValues) {
    EXPECT_EQ(labels({of_experiment(1, "of_tomorrow"), of_experiment(2, "other")}),
              (std::vector<std::string>{"of_tomorrow", "other"}));
    EXPECT_EQ(labels({of_experiment(1, "one"), of_experiment(2, "one", 2)}),
              (std::vector<std::string>{"e: one #1", "e: one #2"}))
        << "two experiments: by their names, which are the same here";
    EXPECT_EQ(labels({of_experiment(1, "one")}), (std::vector<std::string>{"e: one"}));
}

TEST(Overlay, NamesAreMadeDifferent) {
    std::vector<ShownRun> runs = {shown(1, "a", config("none", 1)), shown(1, "a", config("none", 1)),
                                  shown(2, "b", config("none", 1)), shown(3, "", config("none", 1))};
    runs[1].session = "other";
    const auto names = labels(runs);
    EXPECT_EQ(names[0], "a");
    EXPECT_NE(names[1].find("other"), std::string::npos);
    EXPECT_EQ(names[2], "b");
    EXPECT_EQ(names[3], "3");
    // A run of another tab is called by its session, too, however different its name is.
    runs[2].session = "evening";
    runs[2].beside = true;
    EXPECT_EQ(labels(runs)[2], "b (evening)");
}

TEST(Overlay, OnlySettingsThatDifferAreColumnsAndDefaultsStandForWhatIsMissing) {
    std::vector<ShownRun> runs = {shown(1, "a", config("none", 0.003)), shown(2, "b", config("batch", 0.003))};
    auto columns = differing_settings(runs, kCatalogue);
    ASSERT_EQ(columns.size(), 1u);
    EXPECT_EQ(columns[0].key, "balance");
    EXPECT_EQ(columns[0].standard, "batch");
    EXPECT_EQ(columns[0].values, (std::vector<json>{"none", "batch"}));
    // A short configuration has the defaults, and 5 is 5.0.
    runs.push_back(shown(3, "c", {{"model", {{"experts", 8.0}}}, {"train", {{"balance", "none"}}}}));
    EXPECT_EQ(differing_settings(runs, kCatalogue).size(), 1u);
    runs.push_back(shown(4, "d", {{"model", json::object()}, {"train", {{"balance", "none"}, {"brand_new", 3}}}}));
    columns = differing_settings(runs, kCatalogue);
    ASSERT_EQ(columns.size(), 3u);
    EXPECT_EQ(columns[0].key, "experts") << "in the order of the catalogue";
    EXPECT_EQ(columns[0].values[3], 16);
    EXPECT_EQ(columns[1].key, "balance");
    EXPECT_EQ(columns[2].key, "brand_new") << "what the catalogue does not know comes last";
    EXPECT_TRUE(columns[2].values[0].is_null());
    // A manifest without a configuration says nothing.
    auto damaged = std::make_shared<history::TrainingRun>(*runs[0].run);
    damaged->manifest = json::object();
    runs = {runs[0], runs[1]};
    runs[1].run = damaged;
    columns = differing_settings(runs, kCatalogue);
    EXPECT_EQ(columns.back().key, "data");
    EXPECT_TRUE(columns.front().values[1].is_null());
    EXPECT_TRUE(differing_settings({}, kCatalogue).empty());
}

TEST(Overlay, TheTableSortsAndIsAFile) {
    std::vector<ShownRun> runs = {shown(1, "b,c", config("none", 0.1), 20, 3),
                                  shown(2, "a", config("batch", 0.2), 20, 1), shown(3, "z", config("batch", 0.2), 0)};
    label_runs(english(), runs);
    const OverlayTable table = make_table(runs, kCatalogue);
    ASSERT_EQ(table.settings.size(), 2u);
    EXPECT_EQ(table.figures, (std::vector<RunFigure>{RunFigure::loss})) << "what no run has is no column";
    EXPECT_EQ(table.columns(), 4u);
    EXPECT_EQ(table.rows[0][0].last, 3);
    EXPECT_EQ(table.rows[1][0].best, 1);
    EXPECT_DOUBLE_EQ(table.rows[1][0].mean, 1.5);  // steps 19 and 20
    const auto order = [&](std::size_t column, bool descending) {
        return sorted_rows(table, runs, column, descending, SummaryKind::last);
    };
    using Rows = std::vector<std::size_t>;
    EXPECT_EQ(order(0, false), (Rows{1, 0, 2}));
    EXPECT_EQ(order(0, true), (Rows{2, 0, 1}));
    EXPECT_EQ(order(1, true), (Rows{1, 2, 0})) << "learning rates; equal ones stay in their order";
    EXPECT_EQ(order(3, false), (Rows{1, 0, 2}));
    EXPECT_EQ(order(3, true), (Rows{0, 1, 2})) << "what has no value stays last";
    EXPECT_EQ(order(99, false), order(0, false));
    const std::string csv = table_csv(table, runs);
    EXPECT_EQ(csv.substr(0, csv.find("\r\n")),
              "run,session,state,steps,learning_rate,balance,loss last,loss best,loss mean");
    EXPECT_NE(csv.find("\"b,c\",,planned,20,0.1,none,3,3,3.5\r\n"), std::string::npos) << csv;
    EXPECT_NE(csv.find("z,,planned,0,0.2,batch,,,\r\n"), std::string::npos) << csv;
}

TEST(Overlay, StepsStandBesideEachOther) {
    const ShownRun run = shown(1, "a", config("none", 1), 10);
    history::TrainingRun late = *run.run;
    late.counts.drop_front(4);  // steps 5 to 10
    EXPECT_FALSE(aligned_step(late, 4));
    EXPECT_EQ(aligned_step(late, 5)->index, 0u);
    EXPECT_EQ(aligned_step(late, 7)->step, 7u);
    EXPECT_FALSE(aligned_step(late, 10)->over);
    EXPECT_EQ(aligned_step(late, 12)->step, 10u);
    EXPECT_TRUE(aligned_step(late, 12)->over);
    EXPECT_FALSE(aligned_step(history::TrainingRun(), 3));
    std::vector<ShownRun> runs = {run, shown(2, "b", config("none", 1), 25)};
    runs[0].run = std::make_shared<history::TrainingRun>(late);
    EXPECT_EQ(counts_range(runs).first, 1u);
    EXPECT_EQ(counts_range(runs).last, 25u);
    runs.resize(1);
    EXPECT_EQ(counts_range(runs).first, 5u);
    EXPECT_EQ(counts_range({}).last, 0u);
}

TEST(Overlay, LabelsGiveWayToEachOther) {
    const auto check = [](const std::vector<float>& middles, float low, float high) {
        const std::vector<float> tops = spread_labels(middles, 10, low, high);
        for (std::size_t i = 0; i < tops.size(); ++i) {
            if (std::isnan(tops[i])) {
                continue;
            }
            EXPECT_GE(tops[i], low);
            EXPECT_LE(tops[i] + 10, high + 1e-3f);
            for (std::size_t k = 0; k < i; ++k) {
                if (!std::isnan(tops[k])) {
                    EXPECT_GE(std::abs(tops[i] - tops[k]), 10 - 1e-3f) << i << " and " << k;
                    EXPECT_EQ(middles[i] < middles[k], tops[i] < tops[k]) << i << " and " << k;
                }
            }
        }
        return tops;
    };
    EXPECT_EQ(check({50, 20}, 0, 100), (std::vector<float>{45, 15})) << "where they are wanted";
    check({50, 51, 52, 20}, 0, 100);
    check({99, 98, 97}, 0, 100);
    check({1, 2, 3, 99}, 0, 42);
    const auto few = check({5, 6, 7, 8}, 0, 25);
    EXPECT_TRUE(!std::isnan(few[0]) && !std::isnan(few[1]) && std::isnan(few[2]) && std::isnan(few[3]));
    EXPECT_TRUE(std::isnan(spread_labels(std::vector<float>{5}, 10, 0, 9)[0]));
    const float none = std::numeric_limits<float>::quiet_NaN();
    EXPECT_TRUE(std::isnan(spread_labels(std::vector<float>{none, 5}, 10, 0, 100)[0])) << "a line without an end";
}

TEST(Overlay, TheNewestExperimentIsShownFirst) {
    client::Snapshot snapshot;
    EXPECT_TRUE(first_choice(snapshot).empty());
    for (std::uint32_t id = 1; id <= 9; ++id) {
        snapshot.training[id] = shown(id, "r", config("none", 1), id == 9 ? 0 : 3).run;
    }
    EXPECT_EQ(first_choice(snapshot), (std::vector<std::uint32_t>{3, 4, 5, 6, 7, 8})) << "the newest with a step";
    auto experiment = std::make_shared<history::Experiment>();
    experiment->runs = {{2, "", 1, json::object()}, {9, "", 2, json::object()}, {77, "", 3, json::object()}};
    snapshot.experiments[1] = experiment;
    EXPECT_EQ(first_choice(snapshot), (std::vector<std::uint32_t>{2, 9})) << "also one that is still planned";
}

/// Beside each other, one colour means one thing: however uneven each run is by itself, and whatever number of experts.
TEST(Overlay, MapsShareTheWidestScale) {
    const auto run_of = [](std::vector<std::uint32_t> load) {
        history::TrainingRun run;
        run.layers = 1;
        run.experts = static_cast<std::uint16_t>(load.size());
        auto counts = std::make_shared<history::StepCounts>();
        counts->step = 1;
        counts->counts = load;
        counts->counts.resize(2 * load.size());
        run.counts.push_back(std::move(counts));
        return run;
    };
    LoadModel even, uneven;
    even.update(run_of({5, 5}), 1);
    uneven.update(run_of({90, 1, 1, 1, 1, 1, 1, 4}), 1);
    EXPECT_LT(even.scale(), uneven.scale());
    EXPECT_EQ(common_scale({&even, &uneven}), uneven.scale());
    EXPECT_EQ(common_scale({&even}), even.scale());
    EXPECT_EQ(common_scale({}), 0);
    const ui::Theme theme = ui::make_theme(true);
    const double scale = common_scale({&even, &uneven});
    // The even share of either, 1/2 and 1/8, has one colour.
    EXPECT_EQ(load_color(theme, {0.5, 0, false}, LoadMode::all, scale, 2, 0),
              load_color(theme, {0.125, 0, false}, LoadMode::all, scale, 8, 0));
}

TEST(Overlay, SixtyFourRunsLookDifferent) {
    const ui::Theme theme = ui::make_theme(false);
    std::set<std::pair<std::string, std::size_t>> looks;
    for (std::size_t i = 0; i < 64; ++i) {
        const ui::LineLook look = ui::line_look(theme, i);
        EXPECT_TRUE(looks.emplace(ui::hex_color(look.color), look.marker).second) << i;
    }
}

}  // namespace
