// Every published balancing trains, from whatever settings it begins.
#include "engine/model/balancings.hpp"

#include <cmath>
#include <gtest/gtest.h>
#include <set>

#include "base/settings.hpp"
#include "tests/engine/train/fixtures.hpp"

namespace moescope::engine::test {
namespace {

using nlohmann::json;

RunConfig with(const RunConfig& config, const json& settings) {
    json value = to_json(config);
    for (const auto& [key, setting] : settings.items()) {
        const char* section = value["model"].contains(key) ? "model" : "train";
        EXPECT_TRUE(value[section].contains(key)) << key;
        value[section][key] = setting;
    }
    return parse_run_config(value, "test");
}

TEST(Balancings, EachFitsWhateverWasThereAndTakesAStep) {
    RunConfig plain = tiny_config();
    plain.model.experts = 6;
    RunConfig busy = plain;  // with another balancing and groups
    busy.model.router_groups = 2;
    busy.model.router_groups_kept = 2;
    busy.model.selection_bias = true;
    busy.train.balance = Balance::sequence;
    for (const Balancing& one : balancings()) {
        for (const RunConfig& before : {plain, busy}) {
            SCOPED_TRACE(one.name);
            const RunConfig config = with(before, balancing_settings(one.name));
            const StepStats stats = Trainer(config, byte_dataset()).step();
            EXPECT_TRUE(stats.fault.empty()) << stats.fault;
            EXPECT_TRUE(std::isfinite(stats.loss));
            const bool has_loss = std::set<std::string>{"switch", "sequence", "global"}.count(one.name) != 0;
            EXPECT_EQ(std::isfinite(stats.balance_loss), has_loss);
        }
    }
}

TEST(Balancings, DifferFromOneAnother) {
    std::set<std::string> configs;
    for (const Balancing& one : balancings()) {
        EXPECT_TRUE(configs.insert(to_json(with(tiny_config(), balancing_settings(one.name))).dump()).second)
            << one.name;
    }
    EXPECT_GE(configs.size(), 9u);
    EXPECT_EQ(balancing_settings("batch"), balancing_settings("switch")) << "by the name of its setting";
    EXPECT_TRUE(balancing_settings("hope").is_null());
}

/// What is compared is the balancing and not the luck of the first weights.
TEST(Balancings, OfOneSeedBeginWithTheSameWeights) {
    std::vector<double> losses;
    for (const char* name : {"none", "switch", "sequence", "global", "loss_free"}) {
        Trainer trainer(with(tiny_config(), balancing_settings(name)), byte_dataset());
        losses.push_back(trainer.step().cross_entropy);
        EXPECT_EQ(losses.back(), losses.front()) << name;
    }
}

}  // namespace
}  // namespace moescope::engine::test
