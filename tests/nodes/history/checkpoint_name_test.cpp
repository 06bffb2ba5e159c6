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

TEST(CheckpointName, SentencesOfOthersNameItAsAPersonReadsIt) {
    const base::Sentence inner =
        base::say("layer {} of {} has no router; those with one are {} to {}", 5, "checkpoint:39:12", 1, 2);
    EXPECT_EQ(with_model_sentences(base::say("run {} failed: {}", 7, inner)).english(),
              "run 7 failed: layer 5 of run 39, step 12 has no router; those with one are 1 to 2");
    EXPECT_EQ(with_model_sentences(base::say("the model {} is gone", "qwen|checkpoint:1")).english(),
              "the model qwen|checkpoint:1 is gone");
    const base::Sentence as_it_came = base::Sentence::verbatim("checkpoint:3:4");
    EXPECT_EQ(with_model_sentences(as_it_came), as_it_came);
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

TEST(ModelWithSet, IsTakenApartAtTheLastBar) {
    EXPECT_EQ(model_with_set("m|quiet"), (ModelWithSet{"m", "quiet"}));
    EXPECT_EQ(model_with_set("/a|b/m.gguf|no expert 5"), (ModelWithSet{"/a|b/m.gguf", "no expert 5"}));
    EXPECT_EQ(model_with_set("checkpoint:3:250|安静"), (ModelWithSet{"checkpoint:3:250", "安静"}));
    EXPECT_EQ(to_text(ModelWithSet{"checkpoint:3:250", "quiet"}), "checkpoint:3:250|quiet");
    for (const std::string& name : {std::string("m"), std::string(), std::string("m|"), std::string("|quiet"),
                                    "m|" + std::string(61, 'x'), std::string("m|a\nb"), std::string("m|\xff")}) {
        EXPECT_FALSE(model_with_set(name)) << name;
    }
    EXPECT_TRUE(is_set_name(std::string(60, 'x')));
    EXPECT_FALSE(is_set_name(""));
    EXPECT_FALSE(is_set_name("a|b"));
}

TEST(ModelWithSet, IsShownAsWords) {
    EXPECT_EQ(model_sentence("m|quiet").english(), "m with quiet");
    EXPECT_EQ(model_sentence("checkpoint:3:250|quiet").english(), "run 3, step 250 with quiet");
    EXPECT_EQ(model_sentence("/a|b/m.gguf").english(), "/a|b/m.gguf") << "a path";
}

}  // namespace
}  // namespace moescope::history
