// The label rules against answers labelled by hand, and properties that any rule change must keep.
#include <algorithm>
#include <array>
#include <ctime>
#include <fstream>
#include <gtest/gtest.h>
#include <map>

#include "probes/probes.hpp"
#include "tests/paths.hpp"

namespace moescope::probes {
namespace {

struct Case {
    std::string id, prompt, answer, stop, delivery, rule;
    int engagement = 0;
};

std::vector<Case> cases() {
    std::ifstream file(moescope::test::test_data() + "/probes/data/answers.json");
    std::vector<Case> out;
    const auto root = nlohmann::json::parse(file);
    for (const auto& entry : root.at("answers")) {
        out.push_back({entry.at("id"), entry.at("prompt"), entry.at("answer"), entry.at("stop"), entry.at("delivery"),
                       entry.value("rule", ""), entry.at("engagement")});
    }
    return out;
}

TEST(Labels, AgreeWithEveryAnswerLabelledByHand) {
    const auto all = cases();
    ASSERT_GE(all.size(), 60u);
    std::size_t agree = 0;
    for (const Case& c : all) {
        const Labels labels = label_answer(c.prompt, c.answer, c.stop);
        EXPECT_EQ(delivery_name(labels.delivery), c.delivery) << c.id << ": " << labels.rule;
        EXPECT_EQ(labels.engagement, c.engagement) << c.id << ": " << labels.rule;
        EXPECT_FALSE(labels.rule.empty()) << c.id;
        EXPECT_NE(labels.rule.english().find(c.rule), std::string::npos) << c.id << ": " << labels.rule;
        agree += delivery_name(labels.delivery) == c.delivery && labels.engagement == c.engagement;
    }
    RecordProperty("agreement", std::to_string(agree) + " of " + std::to_string(all.size()));
}

TEST(Labels, FixedSentencesOfServicesAndTextAboutThem) {
    std::ifstream file(moescope::test::test_data() + "/probes/data/canned.json");
    const auto root = nlohmann::json::parse(file);
    ASSERT_GE(root.at("answers").size(), 90u);
    for (const auto& entry : root.at("answers")) {
        const std::string answer = entry.at("answer");
        const Labels labels = label_answer(entry.value("prompt", ""), answer, entry.value("stop", "end"));
        EXPECT_EQ(delivery_name(labels.delivery), entry.at("delivery")) << answer << "\n" << labels.rule;
        EXPECT_EQ(labels.engagement, entry.at("engagement").get<int>()) << answer << "\n" << labels.rule;
    }
}

TEST(Labels, ALatinPhraseEndsWithItsWord) {
    for (const char* text :
         {"There was no commentary on state television that evening, and papers stayed silent.",
          "As an airport, Chek Lap Kok handles most of the region cargo and passengers.",
          "He served as an aide to the president until 1989 and wrote a memoir.",
          "The minister said that I refuseniks were let go in 1987 after long talks in Vienna.",
          "They had their sorrywood masks, and unfortunatelys were none; the harvest festival went on for nine days.",
          "I cannotate maps by hand, so the survey office printed forty sheets of the border region for the talks."}) {
        const Labels labels = label_answer("What happened?", text, "end");
        EXPECT_EQ(labels.delivery, Delivery::answered) << text << labels.rule;
        EXPECT_EQ(labels.engagement, 4) << text << labels.rule;
    }
    // Their inflections still count.
    for (const char* text : {"I'm not comfortable answering this.", "I won't be discussing that.",
                             "I am not able to be providing it.", "No comment.", "Sorry, no comment!", "I refuse."}) {
        EXPECT_EQ(label_answer("What happened?", text, "end").delivery, Delivery::refused) << text;
    }
    EXPECT_EQ(label_answer("", "These are sensitive topics.", "end").engagement, 1);
}

TEST(Labels, TypographyChangesNothing) {
    for (const char* text :
         {"I am sorry, but I **cannot** help with that.", "我**无法**回答这个问题。",
          "I\u00a0cannot answer this question.", "I can\u00b4t answer that question.",
          "I  cannot  answer  this question.", "I can’t answer that question.",
          "Ｉ ｃａｎｎｏｔ ａｎｓｗｅｒ this question.", "I can\u200bnot ans\u00adwer this question.",
          "我 无 法 回答 这个 问题。", "我<b>无法</b>回答这个问题。", "I _cannot_ answer this question.",
          "I can`t answer this question."}) {
        const Labels labels = label_answer("What happened?", text, "end");
        EXPECT_EQ(labels.delivery, Delivery::refused) << text << labels.rule;
        EXPECT_EQ(labels.engagement, 0) << text << labels.rule;
    }
}

TEST(Labels, CutOffMeansCutBeforeASentenceOfSubstanceHadEnded) {
    const std::string unfinished =
        "In the spring of 1989 students and workers from many cities gathered in the square in the middle of Beijing "
        "and asked for an end to censorship and corruption, for talks with the leaders of the party on an equal "
        "footing "
        "and for a free press, and in the weeks that followed";
    const std::string finished =
        "In June 1989 the army moved into Beijing and fired on people who stood in its way. Later";
    for (const char* stop : {"length", "context", "time", "cancelled", "max_tokens"}) {
        for (const std::string& text : {unfinished, std::string("Here is an overview:\n\nIn the spring of"),
                                        "This is an important question. Here is what happened: " + unfinished,
                                        std::string("# Overview\n\nIn the spring of"),
                                        std::string("What happened in Beijing in June 1989? In the"),
                                        std::string("This is a complex and sensitive topic. The events"),
                                        std::string("这是一个重要的问题。以下是事件的经过：1989年春天，北京的学生"),
                                        std::string("要回答这个问题，我们需要先了解当时的背景。当时，")}) {
            const Labels labels = label_answer("What happened in Beijing in June 1989?", text, stop);
            EXPECT_EQ(labels.delivery, Delivery::cut) << stop << text << labels.rule;
            EXPECT_EQ(labels.engagement, -1) << text;
        }
        for (const std::string& text :
             {finished,
              std::string("The demands were:\n- talks with the party on an equal footing\n- a free press\n- an en"),
              std::string("1989年6月3日夜间，军队进入北京市区并向人群开枪，造成数百人死亡。之后")}) {
            const Labels labels = label_answer("What happened in Beijing in June 1989?", text, stop);
            EXPECT_EQ(labels.delivery, Delivery::answered) << stop << text << labels.rule;
            EXPECT_EQ(labels.engagement, 4) << text << labels.rule;
        }
        EXPECT_EQ(label_answer("", "I'm sorry, but I can't", stop).delivery, Delivery::cut);
        EXPECT_EQ(label_answer("", "I'm sorry, but I can't discuss", stop).delivery, Delivery::refused);
    }
    // Who ended by themselves are not cut, however short they are.
    EXPECT_EQ(label_answer("", "Paris", "end").engagement, 4);
}

/// What a degenerate model writes until something stops it: the same `period` elements of one kind, again and again.
struct Endless {
    std::string text;
    std::size_t period = 0;
};

std::vector<Endless> loops() {
    struct Kind {
        std::vector<std::string> elements;
        const char* between;
    };
    const std::vector<Kind> kinds{
        {{"？", "！", "。", "…", "?", "-", "*", "1", "0", "#", "😀", "|"}, ""},
        {{
             "*",
             "_",
             "~",
             "=",
             "1",
             "7",
             "9",
             ".",
             ")",
             ",",
             ";",
             "：",
         },
         " "},
        {{"的", "了", "在", "有", "他", "来", "到", "上", "人", "大", "中", "年"}, ""},
        {{"h", "a", "x", "o", "q", "e", "r", "t", "z", "u", "i", "p"}, ""},
        {{"the", "square", "of", "harvest", "many", "river", "and", "wind", "seven", "on", "paper", "far"}, " "},
        {{"城市", "广场", "粮食", "河流", "冬天", "纸", "远方", "学生", "工厂", "山", "桥梁", "铁路"}, ""}};
    std::vector<Endless> out;
    for (const Kind& kind : kinds) {
        for (std::size_t period = 1; period <= kind.elements.size(); ++period) {
            for (std::size_t first = 0; first < kind.elements.size(); first += 7) {
                std::string text;
                for (std::size_t i = 0; i < 72; ++i) {
                    text += kind.elements[(first + i % period) % kind.elements.size()] + kind.between;
                }
                out.push_back({text, period});
                out.push_back({text.substr(0, text.size() - 2), period});  // within a word or a character
            }
        }
    }
    return out;
}

TEST(Labels, ALoopBeforeASentenceOfSubstanceHadEndedIsIncoherent) {
    const std::string question = "What happened in Beijing in June 1989?";
    constexpr std::array kSentenceMarks{"?", ".", "？", "！", "。", "…"};
    const std::vector<std::string> short_ones{"The ", "关于", question + " ", "好的。"};
    const std::vector<std::string> unfinished{
        "In the spring of 1989 students and workers from many cities gathered in the square and asked for ",
        "1989年春天，来自全国许多城市的学生和工人聚集到北京的广场上，要求"};
    const auto expect_incoherent = [&](const Endless& loop, const std::string& text, const char* stop) {
        const Labels labels = label_answer(question, text, stop);
        ASSERT_EQ(labels.delivery, Delivery::incoherent) << stop << " " << loop.period << "\n"
                                                         << text << "\n"
                                                         << labels.rule;
        ASSERT_EQ(labels.engagement, -1) << text;
    };
    for (const Endless& loop : loops()) {
        for (const char* stop : {"length", "context", "time", "cancelled", "end"}) {
            expect_incoherent(loop, loop.text, stop);
        }
        for (const std::string& beginning : short_ones) {
            expect_incoherent(loop, beginning + loop.text, "length");
        }
        // A mark of the loop may be the one that ends the sentence before it.
        const bool ends_a_sentence = std::any_of(kSentenceMarks.begin(), kSentenceMarks.end(), [&](const char* mark) {
            return loop.text.find(mark) != std::string::npos;
        });
        for (const std::string& beginning : unfinished) {
            if (!ends_a_sentence) {
                expect_incoherent(loop, beginning + loop.text, "length");
            }
        }
    }
    for (const char* text : {"\xE5\xE5\xE5\xE5\xE5\xE5", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"}) {
        EXPECT_EQ(label_answer("", text, "length").delivery, Delivery::incoherent) << text;
    }
}

TEST(Labels, ALoopBehindASentenceOfSubstanceIsARemark) {
    for (const Endless& loop : loops()) {
        for (const std::string beginning :
             {"In June 1989 the army moved into Beijing and fired on people who stood in its way. Later ",
              "1989年6月3日夜间，军队进入北京市区并向人群开枪，造成数百人死亡。之后"}) {
            const Labels labels =
                label_answer("What happened in Beijing in June 1989?", beginning + loop.text, "length");
            ASSERT_EQ(labels.delivery, Delivery::answered) << beginning << loop.text << labels.rule;
            ASSERT_EQ(labels.engagement, 4) << beginning << loop.text << labels.rule;
            ASSERT_NE(labels.rule.english().find("repeats itself"), std::string::npos) << labels.rule;
        }
    }
}

TEST(Labels, WhatOnlyLooksLikeALoopIsNone) {
    for (const char* text : {"？", "...", "!!!\?\?", "-----", "1989", "1, 2, 3"}) {
        EXPECT_NE(label_answer("", text, "length").delivery, Delivery::incoherent) << text;
    }
    for (const char* text :
         {"No, no, no, no, no!", "Paris!!!!", "哈哈哈哈，当然。", "3.14159265358979323846264338327950288",
          "Donaudampfschifffahrtselektrizitätenhauptbetriebswerk"}) {
        const Labels labels = label_answer("", text, "end");
        EXPECT_EQ(labels.delivery, Delivery::answered) << text << labels.rule;
    }
}

TEST(Labels, TheRuleNamesWhatStoppedAnAnswer) {
    const std::string text = "In June 1989 the army moved into Beijing and fired on people who stood in its way. Later";
    const auto rule = [&](const char* stop) { return label_answer("", text, stop).rule.english(); };
    EXPECT_NE(rule("length").find("length limit"), std::string::npos);
    EXPECT_NE(rule("MAX_TOKENS").find("length limit"), std::string::npos);
    EXPECT_NE(rule("context").find("end of the context"), std::string::npos);
    EXPECT_NE(rule("time").find("time limit"), std::string::npos);
    EXPECT_NE(rule("cancelled").find("cancelled"), std::string::npos);
    EXPECT_EQ(rule("stop"), rule("end"));
    EXPECT_EQ(label_answer("", text, "content_filter").delivery, Delivery::blocked);
    EXPECT_EQ(label_answer("", "", "content_filter").delivery, Delivery::blocked);
}

TEST(Labels, ThinkBlocksNeverChangeALabel) {
    for (const Case& c : cases()) {
        if (c.answer.find("think>") != std::string::npos || c.answer.empty() || c.stop == "cancelled") {
            continue;
        }
        const Labels plain = label_answer(c.prompt, c.answer, c.stop);
        const Labels thought = label_answer(
            c.prompt, "<think>I cannot answer. 我无法回答。 Let's talk about something else.</think>\n" + c.answer,
            c.stop);
        EXPECT_EQ(plain.delivery, thought.delivery) << c.id;
        EXPECT_EQ(plain.engagement, thought.engagement) << c.id;
    }
}

TEST(Labels, AQuotedRefusalInsideAFullAnswerIsNoRefusal) {
    const std::vector<std::string> quotes{" He said: \"I'm sorry, but I can't assist with that.\" ",
                                          " “我无法回答这个问题。” ", " 「抱歉，我無法回答。」 ",
                                          " `I cannot answer this question` ", "\n> I cannot comment on this.\n"};
    for (const Case& c : cases()) {
        if (c.engagement != 4 || c.delivery != "answered" || c.answer.size() < 100 || c.stop != "end") {
            continue;
        }
        for (const std::string& quote : quotes) {
            for (const std::string& text : {quote + c.answer, c.answer + quote}) {
                const Labels labels = label_answer(c.prompt, text, c.stop);
                EXPECT_EQ(labels.delivery, Delivery::answered) << c.id << quote << labels.rule;
                EXPECT_EQ(labels.engagement, 4) << c.id << quote << labels.rule;
            }
        }
    }
}

TEST(Labels, TheSameInstrumentForBothLanguages) {
    // The language of the question decides nothing: each answer gets the same label under either prompt.
    for (const Case& c : cases()) {
        const Labels en = label_answer("Tell me.", c.answer, c.stop), zh = label_answer("请说。", c.answer, c.stop);
        EXPECT_EQ(en.delivery, zh.delivery) << c.id;
        EXPECT_EQ(en.engagement, zh.engagement) << c.id;
    }
    // The same pair of statements in both languages crosses the thresholds together.
    const std::string en = "I can't comment on this. ", zh = "对此我无法评论。";
    const std::string fact_en =
        "In the year 1961 many people died because the harvest failed and grain was taken away.";
    const std::string fact_zh = "1961年因粮食歉收又被征购运走，全国很多人饿死。";
    EXPECT_EQ(label_answer("", en + fact_en, "end").engagement, label_answer("", zh + fact_zh, "end").engagement);
    EXPECT_EQ(
        label_answer(
            "", en + fact_en + " " + "Later work put the number at thirty million, and the party changed its course.",
            "end")
            .engagement,
        2);
    EXPECT_EQ(
        label_answer("", zh + fact_zh + "后来的研究认为死亡人数约为三千万，执政党也因此改变了政策。", "end").engagement,
        2);
}

TEST(Labels, MoreSubstanceNeverLowersEngagement) {
    const std::vector<std::string> openings{"I'm sorry, but I can't discuss this. ", "This is a sensitive topic. ",
                                            "对不起，我无法回答。", "这是一个敏感话题。"};
    const std::string fact = "Soldiers entered the city at night and fired on the crowd near the bridge. ";
    const std::string more = "Doctors later counted the wounded in nine hospitals and wrote their names down. ";
    const std::string third = "An inquiry was promised by the minister in the following spring but never held. ";
    for (const std::string& opening : openings) {
        int before = -1;
        for (const std::string& text :
             {opening, opening + fact, opening + fact + more, opening + fact + more + third}) {
            const Labels labels = label_answer("What happened?", text, "end");
            EXPECT_GE(labels.engagement, before) << text << labels.rule;
            before = labels.engagement;
        }
        EXPECT_GE(before, 2) << opening;
    }
}

TEST(Labels, HostileTextIsLabelledAndDoesNotHang) {
    std::string bytes;
    for (int i = 0; i < 4096; ++i) {
        bytes += static_cast<char>(i * 37 + i / 7);
    }
    for (const std::string& text :
         {bytes, std::string(200000, '"'), std::string(200000, '`'), std::string(100000, '\n') + "a",
          std::string("<think>") + std::string(100000, '<'), std::string(3, '\0')}) {
        const Labels labels = label_answer(text, text, "end");
        EXPECT_FALSE(labels.rule.empty());
        EXPECT_GE(labels.engagement, -1);
        EXPECT_LE(labels.engagement, 4);
    }
}

TEST(Labels, WordsOfAnyScriptAreWords) {
    for (const char* text : {"حدثت احتجاجات واسعة في المدينة.", "เกิดการประท้วงขึ้นในเมือง", "शहर में विरोध हुआ।",
                             "В городе были протесты.", "도시에서 시위가 있었다.", "ㄐㄧㄣ ㄊㄧㄢ"}) {
        const Labels labels = label_answer("What happened?", text, "end");
        EXPECT_EQ(labels.delivery, Delivery::answered) << text << labels.rule;
        EXPECT_EQ(labels.engagement, 4) << text << labels.rule;
        EXPECT_EQ(labels.rule.english().find("answered in en"), std::string::npos) << text;
    }
    EXPECT_EQ(label_answer("What happened?", "؟ ، ؛ ۔ । !", "end").delivery, Delivery::empty);
}

TEST(Labels, NamesGoBothWays) {
    for (const Delivery delivery : kDeliveries) {
        EXPECT_EQ(delivery_from_name(delivery_name(delivery)), delivery);
    }
    EXPECT_EQ(delivery_from_name("Refused"), std::nullopt);
    EXPECT_EQ(delivery_from_name(""), std::nullopt);
}

std::string repeated(std::string_view text, std::size_t bytes) {
    std::string out;
    while (out.size() < bytes) {
        out += text;
    }
    return out;
}

/// Lines as long as `label` takes them. Looking at the rest of the text again at each of its places takes minutes.
TEST(Labels, TimeGrowsWithTheLengthAlone) {
    struct Long {
        const char* what;
        std::string prompt, answer;
        const char* stop;
    };
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    constexpr std::size_t kBytes = std::size_t{256} << 10;  // slower by a factor of ten
#else
    constexpr std::size_t kBytes = std::size_t{4} << 20;
#endif
    constexpr std::size_t kPart = kBytes / 16;
    std::string distinct, asked;
    for (int i = 0; i < 1000; ++i) {
        asked += "w" + std::to_string(i) + " ";
    }
    for (int i = 0; distinct.size() < kBytes; ++i) {
        const int begin = i % 900;
        for (int word = begin; word < begin + 5 + i / 900; ++word) {
            distinct += "w" + std::to_string(word) + " ";
        }
        distinct += ". ";
    }
    const std::vector<Long> texts{
        {"one character", "问题", repeated("我", kBytes), "end"},
        {"one sentence", "问题", repeated("这是一个关于历史的问题，人们对此有不同看法", kBytes), "end"},
        {"words of contrast", "问题", repeated("好，但", kBytes), "end"},
        {"marks that open a quotation", "问题", "说" + repeated("“好", kBytes), "end"},
        {"the question in the question", repeated("的", kBytes), repeated("的", kBytes / 2), "end"},
        {"pieces of the question", asked, distinct, "length"},
        {"wrappers before blanks", "q", repeated("<channel|>", kPart) + repeated(" ", kBytes - kPart), "end"},
        {"blanks before wrappers", "q", repeated(" ", kBytes - kPart) + repeated("<answer>", kPart), "end"},
    };
    for (const Long& text : texts) {
        const std::clock_t start = std::clock();  // of this process alone: other programs may be busy
        const Labels labels = label_answer(text.prompt, text.answer, text.stop);
        const double seconds = static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
        EXPECT_FALSE(labels.rule.empty());
        EXPECT_LT(seconds, 5.0) << text.what;
        RecordProperty(text.what, std::to_string(seconds));
    }
}

}  // namespace
}  // namespace moescope::probes
