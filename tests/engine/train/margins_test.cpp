// The margin of a training step against sorting the scores, and where there is none.
#include <algorithm>
#include <cmath>
#include <functional>
#include <gtest/gtest.h>
#include <limits>
#include <numeric>
#include <random>

#include "kernels/cpu/counts.hpp"
#include "tests/engine/train/fixtures.hpp"

namespace moescope::engine::test {
namespace {

using kernels::ChosenScores;

/// As a step says it: NaN when there was no token.
struct MarginMean {
    kernels::MarginSums sums;
    void add(const ChosenScores& layer) { kernels::add_margins(sums, layer); }
    void clear() { sums = {}; }
    double mean() const {
        return sums.tokens == 0 ? std::numeric_limits<double>::quiet_NaN()
                                : sums.sum / static_cast<double>(sums.tokens);
    }
};

constexpr std::int64_t kTokens = 40, kExperts = 7, kChosen = 3;

struct Layer {
    std::vector<float> s, bias;
    std::vector<std::uint8_t> disabled;
    std::vector<std::int32_t> ids;

    double selection(std::int64_t t, std::int64_t e, bool of_logits) const {
        const float score = s[static_cast<std::size_t>(t * kExperts + e)];
        return (of_logits ? std::log(score) : score) + (bias.empty() ? 0.0f : bias[static_cast<std::size_t>(e)]);
    }
    ChosenScores scores(bool of_logits) const {
        return {s.data(),
                bias.empty() ? nullptr : bias.data(),
                disabled.empty() ? nullptr : disabled.data(),
                ids.data(),
                kTokens,
                kExperts,
                kChosen,
                of_logits};
    }
};

/// Chooses as the definition says; gives the mean margin.
double choose(Layer& layer, bool of_logits) {
    double sum = 0;
    for (std::int64_t t = 0; t < kTokens; ++t) {
        std::vector<std::int32_t> order;
        for (std::int32_t e = 0; e < kExperts; ++e) {
            if (layer.disabled.empty() || layer.disabled[static_cast<std::size_t>(e)] == 0) {
                order.push_back(e);
            }
        }
        std::sort(order.begin(), order.end(), [&](std::int32_t a, std::int32_t b) {
            return layer.selection(t, a, of_logits) > layer.selection(t, b, of_logits);
        });
        layer.ids.insert(layer.ids.end(), order.begin(), order.begin() + kChosen);
        sum += layer.selection(t, order[kChosen - 1], of_logits) - layer.selection(t, order[kChosen], of_logits);
    }
    return sum / kTokens;
}

TEST(Margins, AreThoseOfTheSortedScores) {
    std::mt19937 random(3);
    std::uniform_real_distribution<float> any(0.01f, 1.0f);
    for (const bool of_logits : {false, true}) {
        for (const bool with_bias : {false, true}) {
            for (const bool with_disabled : {false, true}) {
                Layer layer;
                for (std::int64_t i = 0; i < kTokens * kExperts; ++i) {
                    layer.s.push_back(any(random));
                }
                for (std::int64_t e = 0; with_bias && e < kExperts; ++e) {
                    layer.bias.push_back(any(random) - 0.5f);
                }
                if (with_disabled) {
                    layer.disabled = {0, 1, 0, 0, 1, 0, 0};
                }
                const double expected = choose(layer, of_logits);
                MarginMean mean;
                mean.add(layer.scores(of_logits));
                EXPECT_NEAR(mean.mean(), expected, 1e-5);
                mean.add(layer.scores(of_logits));
                EXPECT_NEAR(mean.mean(), expected, 1e-5) << "the mean of two equal layers is that of one";
                mean.clear();
                EXPECT_TRUE(std::isnan(mean.mean()));
            }
        }
    }
}

TEST(Margins, ATokenWithoutARivalCountsAsNone) {
    const std::vector<float> s = {0.75f, 0.25f, 0.5f, 0.5f};
    const std::vector<std::int32_t> ids = {0, -1};
    MarginMean mean;
    mean.add({s.data(), nullptr, nullptr, ids.data(), 2, 2, 1, false});
    EXPECT_EQ(mean.mean(), 0.5) << "the second token chose nobody";
    const std::vector<std::uint8_t> disabled = {0, 1};
    mean.clear();
    mean.add({s.data(), nullptr, disabled.data(), ids.data(), 1, 2, 1, false});
    EXPECT_TRUE(std::isnan(mean.mean())) << "the other expert is disabled";
}

TEST(Margins, StandInAStepWhereTokensTakeTheLargestScores) {
    const auto margin = [](const std::function<void(RunConfig&)>& change) {
        RunConfig config = tiny_config();
        config.train.balance = Balance::none;
        change(config);
        return Trainer(config, byte_dataset()).step().router_margin;
    };
    const double plain = margin([](RunConfig&) {});
    EXPECT_GT(plain, 0.0);
    EXPECT_LT(plain, 1.0);
    EXPECT_GT(margin([](RunConfig& config) { config.model.selection_bias = true; }), 0.0);
    EXPECT_GT(margin([](RunConfig& config) { config.model.router_scoring = Scoring::softmax_after_top_k; }), 0.0);
    EXPECT_EQ(margin([](RunConfig& config) { config.train.threads = 3; }), plain);
    for (const auto choice : {Choice::hash, Choice::sinkhorn, Choice::quantile, Choice::expert}) {
        EXPECT_TRUE(std::isnan(margin([&](RunConfig& config) {
            config.model.router_choice = choice;
            config.model.normalise_weights = false;
            config.model.capacity_factor = choice == Choice::expert ? 1.0 : 0.0;
        })));
    }
    EXPECT_TRUE(std::isnan(margin([](RunConfig& config) {
        config.model.experts = 6;
        config.model.router_groups = 2;
        config.model.router_groups_kept = 1;
        config.model.group_score = GroupScore::max;
        config.model.experts_per_token = 1;
    }))) << "of the experts that were not chosen, some could not be";
    EXPECT_TRUE(std::isnan(margin([](RunConfig& config) { config.model.dense_layers = config.model.layers; })));
}

}  // namespace
}  // namespace moescope::engine::test
