// What the configuration of a run says of its layers, also one that says nothing or nonsense.
#include "nodes/history/run_layers.hpp"

#include <gtest/gtest.h>

namespace moescope::history {
namespace {

TrainingRun run_with(const nlohmann::json& model) {
    TrainingRun run;
    run.layers = 6;
    run.manifest = {{"config", {{"model", model}}}};
    return run;
}

TEST(RunLayers, DenseOnesComeFirst) {
    const TrainingRun run = run_with({{"dense_layers", 2}, {"prediction_depth", 1}});
    EXPECT_EQ(dense_layers(run), 2u);
    EXPECT_EQ(first_layer_with_experts(run), 2u);
    EXPECT_TRUE(has_prediction_module(run));
}

TEST(RunLayers, AModelThatIsDenseThroughout) {
    for (const int dense : {6, 7, 1000}) {
        const TrainingRun run = run_with({{"dense_layers", dense}});
        EXPECT_EQ(dense_layers(run), 6u);
        EXPECT_EQ(first_layer_with_experts(run), 0u);
    }
}

TEST(RunLayers, WhatIsNotSaidIsNotThere) {
    for (const nlohmann::json& model : {nlohmann::json::object(), nlohmann::json{{"dense_layers", -1}},
                                        nlohmann::json{{"dense_layers", "2"}, {"prediction_depth", nullptr}}}) {
        const TrainingRun run = run_with(model);
        EXPECT_EQ(dense_layers(run), 0u);
        EXPECT_FALSE(has_prediction_module(run));
    }
    EXPECT_EQ(dense_layers(TrainingRun()), 0u);
}

}  // namespace
}  // namespace moescope::history
