// The names of checkpoints, and what is none.
#include "nodes/history/checkpoint_name.hpp"

#include <gtest/gtest.h>

namespace moescope::history {
namespace {

TEST(CheckpointName, TheThreeForms) {
    using Which = CheckpointName::Which;
    EXPECT_EQ(checkpoint_named("checkpoint:7"), (CheckpointName{7, Which::latest, 0}));
    EXPECT_EQ(checkpoint_named("checkpoint:7:now"), (CheckpointName{7, Which::now, 0}));
    EXPECT_EQ(checkpoint_named("checkpoint:12:250"), (CheckpointName{12, Which::step, 250}));
    EXPECT_EQ(checkpoint_named("checkpoint:12:0"), (CheckpointName{12, Which::step, 0}));
    for (const char* text : {"checkpoint:1", "checkpoint:999999999:now", "checkpoint:3:999999999999999999"}) {
        EXPECT_EQ(to_text(checkpoint_named(text).value()), text);
    }
}

TEST(CheckpointName, AsAPersonReadsIt) {
    EXPECT_EQ(model_sentence("checkpoint:12:250").english(), "run 12, step 250");
    EXPECT_EQ(model_sentence("checkpoint:7:now").english(), "run 7, as it is now");
    EXPECT_EQ(model_sentence("checkpoint:7").english(), "run 7, latest checkpoint");
    EXPECT_EQ(model_sentence("qwen2.5").english(), "qwen2.5");
    EXPECT_EQ(model_sentence("checkpoint:x").english(), "checkpoint:x");
}

TEST(CheckpointName, AnythingElseIsNone) {
    for (const char* text : {"checkpoint:", "checkpoint:0", "checkpoint:-1", "checkpoint: 1", "checkpoint:1 ",
                             "checkpoint:1:", "checkpoint:1:Now", "checkpoint:1:2:3", "checkpoint:1:-2",
                             "checkpoint:1:2.0", "checkpoint:1234567890", "checkpoint:1:1234567890123456789"}) {
        EXPECT_FALSE(checkpoint_named(text).has_value()) << text;
        EXPECT_TRUE(is_checkpoint_name(text)) << text;
    }
    for (const char* text : {"", "smollm2-135m", "Checkpoint:1", "/models/checkpoint:1"}) {
        EXPECT_FALSE(checkpoint_named(text).has_value()) << text;
        EXPECT_FALSE(is_checkpoint_name(text)) << text;
    }
}

}  // namespace
}  // namespace moescope::history
