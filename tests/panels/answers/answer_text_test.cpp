// A model's text as it streams into the window: what is shown as the answer never holds reasoning or half a mark.
#include "panels/answers/answer_text.hpp"

#include <gtest/gtest.h>

namespace moescope::panels {
namespace {

TEST(AnswerText, StreamsByByteAndNeverShowsReasoningAsTheAnswer) {
    for (const std::string& whole :
         {std::string("<think>The user asks; 用户在问。</think>\n\nParis. 巴黎。"),
          std::string("[THINK]Hm.[/THINK]Paris. 巴黎。"), std::string("◁think▷Hm.◁/think▷Paris. 巴黎。"),
          std::string(
              "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>final<|message|>Paris. 巴黎。")}) {
        AnswerText text;
        std::string shown;
        for (std::size_t length = 1; length <= whole.size(); ++length) {
            const bool grew = text.update(std::string_view(whole).substr(0, length), false);
            if (grew) {
                EXPECT_EQ(text.answer().substr(0, shown.size()), shown) << whole.substr(0, length);
            }
            shown = text.answer();
            EXPECT_EQ(std::string("Paris. 巴黎。").substr(0, shown.size()), shown) << whole.substr(0, length);
        }
        text.update(whole, true);
        EXPECT_EQ(text.answer(), "Paris. 巴黎。");
        EXPECT_EQ(text.separated().trace, probes::Trace::present);
    }
}

TEST(AnswerText, WhatTurnsOutToBeReasoningIsDrawnAnew) {
    AnswerText text;
    EXPECT_TRUE(text.update("The user asks", false));
    EXPECT_EQ(text.answer(), "The user asks");
    EXPECT_FALSE(text.update("The user asks.</think>Paris.", false)) << "the opening mark stood in the prompt";
    EXPECT_EQ(text.answer(), "Paris.");
    EXPECT_TRUE(text.update("The user asks.</think>Paris.", true));
    AnswerText known;
    EXPECT_TRUE(known.update("The user asks", false, true));
    EXPECT_EQ(known.answer(), "");
    EXPECT_TRUE(known.separated().open);
}

}  // namespace
}  // namespace moescope::panels
