// What the diff shows is what the comparison says, and what `moescope-node diff --json` prints.
#include "panels/routing/diff_model.hpp"

#include <cmath>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <thread>

#include "tests/routing/random_trace.hpp"

namespace moescope::panels {
namespace {

using routing::chunks_of;
using routing::make_spec;
using routing::RandomTrace;

class DiffModel : public testing::Test {
 protected:
    DiffModel() {
        const auto first = RandomTrace(spec_, 1).tokens(200);
        auto second = first;
        const auto other = RandomTrace(spec_, 2).tokens(200);
        for (std::size_t i = 0; i < second.size(); i += 3) {
            second[i].layers = other[i].layers;
            second[i].log_probability = other[i].log_probability;
        }
        const auto trace = [&](const auto& tokens) {
            return std::make_shared<const routing::MemoryTrace>(spec_, chunks_of(spec_, tokens));
        };
        const routing::ComparisonJob job(trace(first), {trace(second)});
        while (!job.latest()->finished) {
            std::this_thread::yield();
        }
        result_ = job.latest()->results[0];
        shown_ = diff_of(*result_, spec_);
    }

    const routing::RouterSpec spec_ = make_spec(3, 8, 2);
    std::shared_ptr<const routing::ComparisonJob::Result> result_;
    DiffShown shown_;
};

TEST_F(DiffModel, HasTheNumbersOfTheCommand) {
    const nlohmann::json json = routing::to_json(result_->comparison);
    EXPECT_EQ(nlohmann::json::parse(*shown_.json), json);
    EXPECT_EQ(shown_.tokens, 200u);
    EXPECT_DOUBLE_EQ(shown_.rate.value, json["flips"]["rate"]);
    EXPECT_LT(shown_.rate.low, shown_.rate.value);
    ASSERT_EQ(shown_.layers.table->rows.size(), 3u);
    for (std::size_t i = 0; i < 3; ++i) {
        const Table::Row& row = shown_.layers.table->rows[i];
        const nlohmann::json& layer = json["layers"][i];
        EXPECT_EQ(row[0].number.value, layer["layer"].get<double>());
        EXPECT_DOUBLE_EQ(row[1].number.value, layer["rate"]);
        EXPECT_DOUBLE_EQ(row[2].number.value, layer["moved"].get<double>() / layer["slots"].get<double>());
        EXPECT_DOUBLE_EQ(row[3].number.value, layer["saturation"]);
        EXPECT_DOUBLE_EQ(row[5].number.value, layer["load_distance"]);
        EXPECT_DOUBLE_EQ(row[7].number.value, layer["max_violation"][1]);
        EXPECT_EQ(row[8].number.value, layer["changed_expert"].get<double>());
        EXPECT_DOUBLE_EQ(shown_.layers.chart->series[0].y[i].value, layer["rate"]);
    }
    ASSERT_EQ(shown_.ranks.table->rows.size(), 2u);
    EXPECT_DOUBLE_EQ(shown_.ranks.table->rows[1][1].number.value, json["ranks"][1]["rate"]);
    EXPECT_EQ(shown_.classes.table->rows.size(), json["classes"].size());
    double before = 1;
    for (const Table::Row& row : shown_.classes.table->rows) {
        EXPECT_DOUBLE_EQ(row[1].number.value, json["classes"][row[0].text]["rate"]);
        EXPECT_LE(row[1].number.value, before);
        before = row[1].number.value;
    }
    ASSERT_EQ(shown_.margins.table->rows.size(), json["margins"].size());
    for (std::size_t i = 0; i < json["margins"].size(); ++i) {
        const Table::Row& row = shown_.margins.table->rows[i];
        EXPECT_DOUBLE_EQ(row[0].number.value, json["margins"][i]["from"]);
        EXPECT_DOUBLE_EQ(row[3].number.value,
                         json["margins"][i]["changed"].get<double>() / json["margins"][i]["decisions"].get<double>());
        EXPECT_DOUBLE_EQ(row[4].number.value, json["margins"][i]["rate"]);
    }
}

TEST_F(DiffModel, LoadsChangeByTheDifferenceOfShares) {
    for (std::size_t layer = 0; layer < 3; ++layer) {
        const auto first = result_->comparison.load(0, layer), second = result_->comparison.load(1, layer);
        for (std::size_t expert = 0; expert < 8; ++expert) {
            EXPECT_NEAR(shown_.load->at(layer, expert), (second[expert] - first[expert]) / 400, 1e-6);
        }
    }
    double before = 1;
    for (const Table::Row& row : shown_.loads->rows) {
        const double change = std::abs(row[4].number.value);
        EXPECT_NEAR(row[3].number.value - row[2].number.value, row[4].number.value, 1e-12);
        EXPECT_LE(change, before) << "the largest change comes first";
        before = change;
    }
}

TEST_F(DiffModel, TokensLeadToTheirPlaces) {
    ASSERT_FALSE(shown_.tokens_flipped->rows.empty());
    ASSERT_EQ(shown_.tokens_flipped->rows.size(), result_->flipped.size());
    for (std::size_t i = 0; i < result_->flipped.size(); ++i) {
        const Table::Row& row = shown_.tokens_flipped->rows[i];
        const double number = row[shown_.number_column].number.value;
        EXPECT_EQ(number, static_cast<double>(result_->flipped[i].number));
        EXPECT_EQ(static_cast<int>(number) % 3, 0) << "only those were routed otherwise";
        EXPECT_EQ(row[3].number.value, result_->flipped[i].document + 1.0) << "texts are counted from 1, as in Routing";
        EXPECT_DOUBLE_EQ(row[5].number.value, result_->flipped[i].flips.rate());
    }
}

TEST(Diffs, WithoutMarginsHaveNoPartForThem) {
    const routing::RouterSpec spec = make_spec(1, 4, 2);
    auto tokens = RandomTrace(spec, 1).tokens(20);
    for (auto& token : tokens) {
        token.layers[0].margin = static_cast<float>(kNoValue);
    }
    const auto trace = std::make_shared<const routing::MemoryTrace>(spec, chunks_of(spec, tokens));
    const routing::ComparisonJob job(trace, {trace});
    while (!job.latest()->finished) {
        std::this_thread::yield();
    }
    const DiffShown shown = diff_of(*job.latest()->results[0], spec);
    EXPECT_FALSE(shown.margins.chart || shown.margins.table);
    EXPECT_TRUE(shown.tokens_flipped->rows.empty());
    EXPECT_TRUE(std::isnan(shown.layers.table->rows[0][8].number.value)) << "nothing changed";
}

}  // namespace
}  // namespace moescope::panels
