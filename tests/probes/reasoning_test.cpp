// The wrappers of reasoning, as published templates and model cards write them, and their false alarms.
#include "probes/reasoning.hpp"

#include <chrono>
#include <gtest/gtest.h>

#include "probes/probes.hpp"

namespace moescope::probes {
namespace {

constexpr const char* kReasons = "I cannot answer this question. 我无法回答。";
constexpr const char* kAnswer =
    "The army cleared the square by force on 4 June and hundreds of people were killed around it.";

struct Wrapper {
    std::string before, between, after;
};
const std::vector<Wrapper>& wrappers() {
    static const std::vector<Wrapper> kWrappers{
        {"<think>", "</think>", ""},
        {"<think>\n", "\n</think>\n\n", "<|im_end|>"},
        {"<thinking>", "</thinking>", ""},
        {"<THINKING>", "</THINKING>", ""},
        {"<thinking mode=\"long\">", "</thinking>", ""},
        {"<thought>", "</thought>", ""},
        {"<reasoning>", "</reasoning>", ""},
        {"<reasoning>\n", "</reasoning>\n<answer>\n", "\n</answer>"},
        {"<Thought>\n", "</Thought>\n<Output>\n", "</Output>"},
        {"<reflection>", "</reflection>", ""},
        {"<analysis>", "</analysis>", ""},
        {"<scratchpad>", "</scratchpad>", ""},
        {"<seed:think>", "</seed:think>", "<seed:eos>"},
        {"<mm:think>", "</mm:think>", ""},
        {"<think:opensource>", "</think:opensource>", ""},
        {"<longcat_think>", "</longcat_think>", ""},
        {"[THINK]", "[/THINK]", "</s>"},
        {"[think]", "[/think]", ""},
        {"[analysis]", "[/analysis]", ""},
        {"◁think▷", "◁/think▷", ""},
        {"【思考】", "【/思考】", ""},
        {"<思考>", "</思考>", ""},
        {"{thinking}", "{/thinking}", ""},
        {"«reasoning»", "«/reasoning»", ""},
        {"[unused16]", "[unused17]", "[unused10]"},
        {"<|START_THINKING|>", "<|END_THINKING|><|START_RESPONSE|>", "<|END_RESPONSE|>"},
        {"<|START_THINKING|>", "<|START_RESPONSE|>", "<|END_RESPONSE|>"},
        {"<|begin_of_thought|>\n", "<|end_of_thought|>\n<|begin_of_solution|>\n", "<|end_of_solution|>"},
        {"<|channel>thought\n", "\n<channel|>", ""},
        {"<|think|>", "<|end|><|begin|>assistant<|content|>", "<|end|>"},
        {"<|open|>think<|sep|>", "<|close|>think<|sep|><|open|>response<|sep|>",
         "<|close|>response<|sep|><|close|>message<|sep|><|end_of_msg|>"},
        {" to=self<|message|>", "<|eom|><|start|>assistant to=user<|message|>", "<|eom|>"},
        {"<|channel|>analysis<|message|>", "<|end|><|start|>assistant<|channel|>final<|message|>", "<|return|>"},
        {"<|start|>assistant<|channel|>analysis<|message|>", "<|end|><|start|>assistant<|channel|>final<|message|>",
         ""},
        {"analysis", "assistantfinal", ""},
        {"Here are my reasoning steps:\n", "\n[BEGIN FINAL RESPONSE]\n", "\n[END FINAL RESPONSE]"},
        {"Here is my thought process:\n", "\n\nHere is my response:\n", ""},
        {"<details type=\"reasoning\" done=\"true\">\n", "\n</details>\n", ""},
        {"```thinking\n", "\n```\n", ""},
    };
    return kWrappers;
}

TEST(Reasoning, EveryWrapperIsTakenOffAndChangesNoLabel) {
    for (const Wrapper& wrapper : wrappers()) {
        const std::string text = wrapper.before + kReasons + wrapper.between + kAnswer + wrapper.after;
        SCOPED_TRACE(text);
        const Separated separated = separate_reasoning(text);
        EXPECT_EQ(separated.answer.substr(0, std::string(kAnswer).size()), kAnswer);
        EXPECT_EQ(separated.reasoning, kReasons);
        EXPECT_EQ(separated.trace, Trace::present);
        EXPECT_FALSE(separated.open);
        const Labels labels = label_answer("What happened?", text, "end");
        EXPECT_EQ(labels.delivery, Delivery::answered) << labels.rule;
        EXPECT_EQ(labels.engagement, 4) << labels.rule;
        EXPECT_EQ(labels.reasoning, Trace::present);
        const Labels refusal = label_answer(
            "What happened?", wrapper.before + kAnswer + wrapper.between + kReasons + wrapper.after, "end");
        EXPECT_EQ(refusal.delivery, Delivery::refused) << refusal.rule;
    }
}

TEST(Reasoning, PartsCoverTheTextWithoutGaps) {
    for (const Wrapper& wrapper : wrappers()) {
        const std::string whole = wrapper.before + kReasons + wrapper.between + kAnswer + wrapper.after;
        for (std::size_t length = 0; length <= whole.size(); ++length) {
            for (const bool unfinished : {false, true}) {
                const std::string text = whole.substr(0, length);
                std::size_t at = 0;
                for (const AnswerPart& part : separate_reasoning(text, false, unfinished).parts) {
                    ASSERT_EQ(part.begin, at) << text;
                    ASSERT_LT(part.begin, part.end) << text;
                    at = part.end;
                }
                ASSERT_EQ(at, text.size()) << text;
            }
        }
    }
}

TEST(Reasoning, WhatWasNeverClosedIsNoAnswer) {
    for (const std::string open : {"<think>", "<thinking>\n", "[THINK]", "◁think▷", "<seed:think>",
                                   "<|START_THINKING|>", "<|channel|>analysis<|message|>", "analysis", "[unused16]",
                                   "<|channel>thought\n", "Here is my thought process: ", "<reasoning>"}) {
        const std::string text = open + "The user asks about 1989. I cannot answer";
        EXPECT_TRUE(separate_reasoning(text).open) << text;
        EXPECT_EQ(label_answer("", text, "length").delivery, Delivery::cut) << text;
        EXPECT_EQ(label_answer("", text, "end").delivery, Delivery::empty) << text;
    }
}

TEST(Reasoning, AClosingMarkAloneAndAPromptThatOpens) {
    EXPECT_EQ(separate_reasoning("a</think>b<think>c</think>d").answer, "bd");
    EXPECT_EQ(separate_reasoning("thoughts [/THINK] answer").answer, "answer");
    EXPECT_EQ(separate_reasoning("thoughts\n[BEGIN FINAL RESPONSE]\nanswer\n[END FINAL RESPONSE]").answer, "answer");
    // Without the end of the block only the prompt tells that there is one.
    EXPECT_EQ(separate_reasoning("The user asks about 1989.").answer, "The user asks about 1989.");
    EXPECT_EQ(separate_reasoning("The user asks about 1989.", true).answer, "");
    EXPECT_TRUE(separate_reasoning("The user asks about 1989.", true).open);
    EXPECT_EQ(separate_reasoning("thoughts</think>answer", true).answer, "answer");
    EXPECT_EQ(label_answer("", "The army cleared the square on 4 June.", "length", true).delivery, Delivery::cut);
    EXPECT_TRUE(ends_inside_reasoning("<|im_start|>assistant\n<think>\n"));
    EXPECT_TRUE(ends_inside_reasoning("<|CHATBOT_TOKEN|><|START_THINKING|>"));
    EXPECT_TRUE(ends_inside_reasoning("assistant<|open|>think<|sep|>"));
    EXPECT_FALSE(ends_inside_reasoning("<|im_start|>assistant\n<think>\n\n</think>\n\n"));
    EXPECT_FALSE(ends_inside_reasoning("<|im_start|>assistant\n"));
    EXPECT_FALSE(ends_inside_reasoning("<|start|>assistant"));
    EXPECT_FALSE(ends_inside_reasoning("What does <think> mean?<|im_end|>\n<|im_start|>assistant\n"));
    EXPECT_FALSE(ends_inside_reasoning(""));
}

TEST(Reasoning, AnEmptyBlockIsATraceOfItsOwn) {
    EXPECT_EQ(label_answer("", "<think>\n\n</think>\n\nParis.", "end").reasoning, Trace::empty);
    EXPECT_EQ(label_answer("", "</think>\n\nParis.", "end").reasoning, Trace::empty);
    EXPECT_EQ(label_answer("", "Paris.", "end").reasoning, Trace::absent);
    EXPECT_EQ(label_answer("", "<think>France</think>Paris.", "end").reasoning, Trace::present);
    EXPECT_EQ(label_answer("", "<think>France</think>", "end").delivery, Delivery::empty);
}

TEST(Reasoning, TextAboutMarksIsText) {
    for (const std::string text :
         {"Use `<think>` marks before the answer.", "The tags \"<think>\" and \"</think>\" surround it.",
          "Models write `<think>x</think>` first.", "[Analysis]\nThe army cleared the square.",
          "analysis of it is hard.", "【思考】\n这件事说明了什么？", "(thinking) He paused.",
          "The <reason> element holds the reason.", "a <b and c> d [1] {x} (y)"}) {
        const Separated separated = separate_reasoning(text);
        EXPECT_EQ(separated.answer, text);
        EXPECT_EQ(separated.trace, Trace::absent) << text;
    }
    EXPECT_EQ(separate_reasoning("<think>the `</think>` mark ends it</think>Yes.").answer, "Yes.");
}

TEST(Reasoning, WhileItStreamsNoHalfMarkIsShown) {
    EXPECT_EQ(separate_reasoning("Paris.<thi", false, true).answer, "Paris.");
    EXPECT_EQ(separate_reasoning("Paris.<thi", false, false).answer, "Paris.<thi");
    EXPECT_EQ(separate_reasoning("<think>France</th", false, true).reasoning, "France");
    EXPECT_EQ(separate_reasoning("1 < 2", false, false).answer, "1 < 2");
}

TEST(Reasoning, HostileTextTakesLinearTime) {
    const auto start = std::chrono::steady_clock::now();
    for (const std::string unit : {"<think>", "</think>", "[THINK]", "[analysis]", "<", "`", "<|channel|>", "<|start|>",
                                   "[THINK]<|end|>", "<think>x<|end|>", "<answer>", "(reason)",
                                   "<|channel|>analysis<|message|>", "analysis", "\xE2\x97\x81", "\n"}) {
        std::string text;
        while (text.size() < 200000) {
            text += unit;
        }
        EXPECT_LE(separate_reasoning(text).answer.size(), text.size());
    }
    EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(20));
}

}  // namespace
}  // namespace moescope::probes
