// Names of models with a saved set of changes: MODEL|SET.
#include "panels/node/library.hpp"

#include <gtest/gtest.h>

namespace {

using namespace moescope;
using panels::model_with_set;

client::Snapshot library() {
    client::Snapshot snapshot;
    for (const char* name : {"qwen3-mini", "odd|name", "checkpoint:7:250"}) {
        client::ModelEntry model;
        model.name = name;
        snapshot.models.push_back(model);
    }
    snapshot.models[0].is_moe = true;
    snapshot.models[2].trained_here = true;
    return snapshot;
}

TEST(ModelWithSet, IsTakenApartAtTheLastBar) {
    const client::Snapshot snapshot = library();
    const auto parts = [&](const char* name) {
        const history::ModelWithSet made = model_with_set(snapshot, name);
        return std::pair(made.model, made.set);
    };
    using Parts = std::pair<std::string, std::string>;
    EXPECT_EQ(parts("qwen3-mini"), (Parts{"qwen3-mini", ""}));
    EXPECT_EQ(parts("qwen3-mini|no 5"), (Parts{"qwen3-mini", "no 5"}));
    EXPECT_EQ(parts("odd|name"), (Parts{"odd|name", ""}));
    EXPECT_EQ(parts("odd|name|no 5"), (Parts{"odd|name", "no 5"}));
    EXPECT_EQ(parts("checkpoint:7:250|a"), (Parts{"checkpoint:7:250", "a"}));
    EXPECT_EQ(parts("|a"), (Parts{"|a", ""}));
    EXPECT_EQ(parts("a|"), (Parts{"a|", ""}));
}

TEST(FindModel, FindsTheModelOfASet) {
    const client::Snapshot snapshot = library();
    ASSERT_NE(panels::find_model(snapshot, "qwen3-mini|no 5"), nullptr);
    EXPECT_EQ(panels::find_model(snapshot, "qwen3-mini|no 5")->name, "qwen3-mini");
    EXPECT_EQ(panels::find_model(snapshot, "odd|name")->name, "odd|name");
    EXPECT_EQ(panels::find_model(snapshot, "missing|no 5"), nullptr);
    EXPECT_TRUE(panels::is_routed(snapshot.models[0]));
    EXPECT_FALSE(panels::is_routed(snapshot.models[1]));
    EXPECT_TRUE(panels::is_routed(snapshot.models[2]));
}

}  // namespace
