#include "engine/runner/sampler.hpp"

#include <algorithm>
#include <cmath>
#include <gtest/gtest.h>
#include <limits>
#include <map>
#include <random>

#include "engine/error.hpp"

namespace moescope::engine {
namespace {

std::vector<float> random_logits(std::mt19937& random, std::size_t size, float spread) {
    std::normal_distribution<float> normal(0, spread);
    std::vector<float> logits(size);
    for (float& value : logits) {
        value = random() % 5 == 0 ? std::round(normal(random)) : normal(random);  // with ties
    }
    return logits;
}

double reference_log_sum_exp(const std::vector<float>& logits) {
    long double largest = *std::max_element(logits.begin(), logits.end()), sum = 0;
    for (const float value : logits) {
        sum += std::exp(static_cast<long double>(value) - largest);
    }
    return static_cast<double>(largest + std::log(sum));
}

std::vector<std::int32_t> reference_order(const std::vector<float>& logits) {
    std::vector<std::int32_t> ids(logits.size());
    for (std::size_t i = 0; i < ids.size(); ++i) {
        ids[i] = static_cast<std::int32_t>(i);
    }
    std::stable_sort(ids.begin(), ids.end(), [&](auto a, auto b) {
        return logits[static_cast<std::size_t>(a)] > logits[static_cast<std::size_t>(b)];
    });
    return ids;
}

TEST(Sampler, LogProbabilitiesMatchASlowSum) {
    std::mt19937 random(1);
    for (const std::size_t size : {1U, 2U, 15U, 16U, 17U, 1000U, 4095U, 4097U, 151936U}) {
        for (const float spread : {0.0F, 0.1F, 3.0F, 50.0F}) {
            auto logits = random_logits(random, size, spread);
            for (const float shift : {0.0F, 1000.0F, -1000.0F}) {
                auto shifted = logits;
                for (float& value : shifted) {
                    value += shift;
                }
                const float largest = *std::max_element(shifted.begin(), shifted.end());
                EXPECT_NEAR(log_sum_exp(shifted, largest), reference_log_sum_exp(shifted),
                            2e-6 * (1 + std::fabs(largest)))
                    << size << " " << spread;
            }
        }
    }
}

TEST(Sampler, TheLargestComeInOrderForEveryCount) {
    std::mt19937 random(2);
    std::vector<std::int32_t> got;
    for (int round = 0; round < 300; ++round) {
        const auto logits = random_logits(random, 1 + random() % 400, 2);
        const auto order = reference_order(logits);
        const std::size_t count = random() % (logits.size() + 3);
        largest_logits(logits, count, got);
        ASSERT_EQ(largest_logit(logits), order.front());
        ASSERT_EQ(got, std::vector<std::int32_t>(
                           order.begin(), order.begin() + static_cast<std::ptrdiff_t>(std::min(count, order.size()))));
    }
}

TEST(Sampler, ALargestThatIsNoNumberIsTheFirst) {
    constexpr float kNone = std::numeric_limits<float>::quiet_NaN();
    EXPECT_EQ(largest_logit(std::vector<float>{kNone, kNone}), 0);
    EXPECT_EQ(largest_logit(std::vector<float>{kNone, -1, 3}), 2);
}

TEST(Sampler, GreedyTakesTheLargestAndTheLowerIdOnATie) {
    std::mt19937 random(3);
    for (int round = 0; round < 500; ++round) {
        const auto logits = random_logits(random, 1 + random() % 300, 3);
        Sampler sampler({}, 4);
        const Choice choice = sampler.choose(logits);
        const auto order = reference_order(logits);
        ASSERT_EQ(choice.chosen.token, order[0]);
        const double normaliser = reference_log_sum_exp(logits);
        ASSERT_NEAR(choice.chosen.log_probability, logits[static_cast<std::size_t>(order[0])] - normaliser, 1e-5);
        ASSERT_EQ(choice.alternatives.size(), std::min<std::size_t>(4, logits.size()));
        for (std::size_t i = 0; i < choice.alternatives.size(); ++i) {
            ASSERT_EQ(choice.alternatives[i].token, order[i]);
            ASSERT_NEAR(choice.alternatives[i].log_probability, logits[static_cast<std::size_t>(order[i])] - normaliser,
                        1e-5);
        }
    }
}

// The distribution that the settings describe, written straight from the definition.
std::map<std::int32_t, double> reference_distribution(const std::vector<float>& logits, const Sampling& s) {
    auto ids = reference_order(logits);
    if (s.top_k > 0 && static_cast<std::size_t>(s.top_k) < ids.size()) {
        ids.resize(static_cast<std::size_t>(s.top_k));
    }
    const auto weight = [&](std::int32_t id, double t) {
        return std::exp(
            (static_cast<double>(logits[static_cast<std::size_t>(id)]) - logits[static_cast<std::size_t>(ids[0])]) / t);
    };
    double total = 0;
    for (const auto id : ids) {
        total += weight(id, 1);
    }
    std::map<std::int32_t, double> kept;
    double reached = 0, sum = 0;
    for (const auto id : ids) {
        const double p = weight(id, 1) / total, first = weight(ids[0], 1) / total;
        if (reached >= s.top_p || p < s.min_p * first) {
            break;
        }
        reached += p;
        kept[id] = weight(id, s.temperature);
        sum += kept[id];
    }
    for (auto& [id, p] : kept) {
        p /= sum;
    }
    return kept;
}

TEST(Sampler, DrawsFollowTheDistributionOfTheSettings) {
    std::mt19937 random(4);
    const std::vector<Sampling> all = {{1.0, 0, 1.0, 0.0, 5},  {0.5, 40, 0.95, 0.05, 6}, {2.0, 3, 1.0, 0.0, 7},
                                       {1.0, 0, 0.6, 0.0, 8},  {1.5, 0, 1.0, 0.3, 9},    {0.8, 1, 1.0, 0.0, 10},
                                       {1.0, 100, 0.01, 0, 11}};
    for (const Sampling& settings : all) {
        const auto logits = random_logits(random, 30, 1.5F);
        const auto expected = reference_distribution(logits, settings);
        Sampler sampler(settings, 0);
        std::map<std::int32_t, int> counts;
        constexpr int kDraws = 40000;
        for (int i = 0; i < kDraws; ++i) {
            ++counts[sampler.choose(logits).chosen.token];
        }
        for (const auto& [id, count] : counts) {
            ASSERT_TRUE(expected.contains(id)) << "token " << id << " was cut and may not be drawn";
        }
        for (const auto& [id, p] : expected) {  // five standard deviations: fixed seeds, so this never flickers
            EXPECT_NEAR(counts[id], p * kDraws, 5 * std::sqrt(kDraws * p * (1 - p)) + 1)
                << "temperature " << settings.temperature;
        }
    }
}

// Without top-k the sampler sorts only as much of a large vocabulary as the other cuts need; what it keeps must be the
// same.
TEST(Sampler, LargeVocabulariesKeepTheSameTokens) {
    std::mt19937 random(6);
    for (const double top_p : {0.3, 0.9, 0.999, 1.0}) {
        for (const double min_p : {0.0, 0.02}) {
            const auto logits = random_logits(random, 6000, 2);
            const Sampling settings{1.3, 0, top_p, min_p, 3};
            const auto expected = reference_distribution(logits, settings);
            Sampler sampler(settings, 0);
            double low = 0;
            constexpr int kDraws = 150;
            std::int32_t middle = 3000;
            double mass = 0;
            for (const auto& [id, p] : expected) {
                mass += id < middle ? p : 0;
            }
            for (int i = 0; i < kDraws; ++i) {
                const auto token = sampler.choose(logits).chosen.token;
                ASSERT_TRUE(expected.contains(token)) << top_p << " " << min_p;
                low += token < middle;
            }
            EXPECT_NEAR(low / kDraws, mass, 0.2) << top_p << " " << min_p;
        }
    }
}

TEST(Sampler, TheSeedAloneDecides) {
    std::mt19937 random(5);
    const auto logits = random_logits(random, 500, 1);
    const auto sequence = [&](std::uint64_t seed, int alternatives) {
        Sampler sampler({1.0, 0, 1.0, 0.0, seed}, alternatives);
        std::vector<std::int32_t> tokens;
        for (int i = 0; i < 50; ++i) {
            tokens.push_back(sampler.choose(logits).chosen.token);
        }
        return tokens;
    };
    EXPECT_EQ(sequence(1, 0), sequence(1, 0));
    EXPECT_EQ(sequence(1, 0), sequence(1, 5)) << "asking for alternatives must not change the text";
    EXPECT_NE(sequence(1, 0), sequence(2, 0));
}

TEST(Sampler, RefusesImpossibleSettingsAndBrokenLogits) {
    const double nan = std::numeric_limits<double>::quiet_NaN();
    const std::vector<Sampling> bad = {
        {nan, 40, 0.9, 0, 1},  {-1, 40, 0.9, 0, 1}, {1, 40, nan, 0, 1},
        {1, 40, 0, 0, 1},      {1, 40, 1.1, 0, 1},  {1, 40, 0.9, nan, 1},
        {1, 40, 0.9, -0.1, 1}, {1, 40, 0.9, 2, 1},  {std::numeric_limits<double>::infinity(), 40, 0.9, 0, 1}};
    for (const Sampling& settings : bad) {
        EXPECT_THROW(Sampler(settings, 0), Error);
    }
    EXPECT_THROW(Sampler({}, -1), Error);
    const float fnan = std::numeric_limits<float>::quiet_NaN(), inf = std::numeric_limits<float>::infinity();
    for (const auto& logits : std::vector<std::vector<float>>{{}, {fnan}, {1, fnan, 2}, {-inf, -inf}, {1, inf}}) {
        for (const double temperature : {0.0, 1.0}) {
            Sampling settings;
            settings.temperature = temperature;
            Sampler sampler(settings, 0);
            EXPECT_THROW(sampler.choose(logits), Error) << logits.size();
        }
    }
    Sampler sampler({}, 1);
    EXPECT_EQ(sampler.choose(std::vector<float>{-inf, 3, -inf}).chosen.token, 1) << "a masked token is not broken";
}

}  // namespace
}  // namespace moescope::engine
