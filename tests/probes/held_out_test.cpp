// How often the label rules are right on answers that they were not tuned on: real models, sampled, labelled by a
// person before the rules were run on them (data/held_out_answers.json). These labels measure the rules and must not be
// used to change them; after a change of the rules that follows these answers, a new sample has to be drawn.
#include <fstream>
#include <gtest/gtest.h>
#include <iostream>
#include <map>

#include "probes/probes.hpp"
#include "tests/paths.hpp"

namespace moescope::probes {
namespace {

/// Two labels per answer: the person's and the rules'.
using Pairs = std::vector<std::pair<std::string, std::string>>;

/// Cohen (1960): agreement beyond what the two shares of labels give by chance.
double kappa(const Pairs& pairs) {
    std::map<std::string, double> person, rules;
    double agree = 0;
    const auto n = static_cast<double>(pairs.size());
    for (const auto& [one, two] : pairs) {
        person[one] += 1 / n;
        rules[two] += 1 / n;
        agree += (one == two ? 1 : 0) / n;
    }
    double chance = 0;
    for (const auto& [label, share] : person) {
        chance += share * rules[label];
    }
    return chance < 1 ? (agree - chance) / (1 - chance) : 1;
}

std::size_t agreeing(const Pairs& pairs) {
    std::size_t agree = 0;
    for (const auto& [one, two] : pairs) {
        agree += one == two ? 1 : 0;
    }
    return agree;
}

void print(const char* what, const Pairs& pairs) {
    const Interval rate = wilson(agreeing(pairs), pairs.size());
    std::printf("%-28s %3zu of %3zu  %.3f [%.3f, %.3f]  kappa %.3f\n", what, agreeing(pairs), pairs.size(),
                rate.estimate, rate.low, rate.high, kappa(pairs));
}

struct Sample {
    Pairs delivery, engagement, engaged;
    std::map<std::string, Pairs> delivery_by_language, engagement_by_language;
};

Sample compared(const std::string& name, bool tell) {
    std::ifstream file(moescope::test::test_data() + "/probes/data/" + name);
    const auto root = nlohmann::json::parse(file);
    Sample sample;
    for (const auto& entry : root.at("answers")) {
        const Labels rules = label_answer(entry.at("prompt").get<std::string>(), entry.at("answer").get<std::string>(),
                                          entry.at("stop").get<std::string>());
        const std::string delivery = entry.at("delivery"), language = entry.at("language");
        const int engagement = entry.at("engagement");
        sample.delivery.emplace_back(delivery, delivery_name(rules.delivery));
        sample.engagement.emplace_back(std::to_string(engagement), std::to_string(rules.engagement));
        sample.engaged.emplace_back(engagement >= 3 ? "yes" : "no", rules.engagement >= 3 ? "yes" : "no");
        sample.delivery_by_language[language].push_back(sample.delivery.back());
        sample.engagement_by_language[language].push_back(sample.engagement.back());
        if (tell && (sample.delivery.back().first != sample.delivery.back().second ||
                     sample.engagement.back().first != sample.engagement.back().second)) {
            std::printf("%s %s: a person says %s %d, the rules %s %d (%s)\n", entry.at("id").get<std::string>().c_str(),
                        entry.at("model").get<std::string>().c_str(), delivery.c_str(), engagement,
                        delivery_name(rules.delivery), rules.engagement, rules.rule.english().c_str());
        }
    }
    return sample;
}

TEST(HeldOut, KappaIsCohens) {
    // Cohen's own definition on a table that is easily worked by hand: 20 + 15 of 50 agree, by chance half.
    Pairs pairs;
    const auto add = [&](int count, const char* one, const char* two) {
        for (int i = 0; i < count; ++i) {
            pairs.emplace_back(one, two);
        }
    };
    add(20, "yes", "yes");
    add(5, "yes", "no");
    add(10, "no", "yes");
    add(15, "no", "no");
    EXPECT_NEAR(kappa(pairs), 0.4, 1e-12);
    EXPECT_NEAR(kappa({{"a", "a"}, {"a", "a"}}), 1, 1e-12);
}

TEST(HeldOut, TheRulesAgreeWithThePersonAsOftenAsMeasured) {
    const Sample sample = compared("held_out_answers.json", true);
    ASSERT_GE(sample.delivery.size(), 60u);
    print("F1 delivery", sample.delivery);
    print("F2 engagement, all levels", sample.engagement);
    print("engaged (F2 3 or 4) or not", sample.engaged);
    for (const auto& [language, pairs] : sample.delivery_by_language) {
        print(("F1, " + language).c_str(), pairs);
    }
    for (const auto& [language, pairs] : sample.engagement_by_language) {
        print(("F2, " + language).c_str(), pairs);
    }
    // docs/measurements.md holds these figures; fewer agreements are a step back, more a reason to measure anew.
    EXPECT_EQ(agreeing(sample.delivery), 73u);
    EXPECT_EQ(agreeing(sample.engagement), 72u);
    EXPECT_EQ(agreeing(sample.engaged), 76u);
}

TEST(HeldOut, AndOnAnswersDrawnWithTheModelsOwnTemplates) {
    const Sample sample = compared("held_out_fresh.json", true);
    ASSERT_GE(sample.delivery.size(), 42u);
    print("F1 delivery", sample.delivery);
    print("F2 engagement, all levels", sample.engagement);
    print("engaged (F2 3 or 4) or not", sample.engaged);
    EXPECT_EQ(agreeing(sample.delivery), 38u);
    EXPECT_EQ(agreeing(sample.engagement), 39u);
    EXPECT_EQ(agreeing(sample.engaged), 39u);
}

}  // namespace
}  // namespace moescope::probes
