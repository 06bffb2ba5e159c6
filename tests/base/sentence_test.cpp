// Sentences as data: what is written, what goes over the wire, and what a catalogue makes of it.
#include "base/sentence.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "base/error.hpp"
#include "base/json_guard.hpp"
#include "base/messages.hpp"

namespace {

using moescope::base::Error;
using moescope::base::marked;
using moescope::base::Messages;
using moescope::base::put_sentence;
using moescope::base::say;
using moescope::base::Sentence;
using moescope::base::sentence_from_json;
using moescope::base::sentence_in;
using moescope::base::sentence_of;
using moescope::base::sentence_to_json;
using moescope::base::system_sentence;
using nlohmann::json;

TEST(Sentence, KeepsThePatternAndTheValues) {
    const Sentence sentence = say("run {} is at {:.1f}% of '{}' {{here}}", 7, 12.34, std::filesystem::path("/a b"));
    EXPECT_EQ(sentence.english(), "run 7 is at 12.3% of '/a b' {here}");
    EXPECT_EQ(sentence.id(), "run {} is at {}% of '{}' {{here}}");
    ASSERT_EQ(sentence.arguments().size(), 3u);
    EXPECT_EQ(sentence.arguments()[1], Sentence::verbatim("12.3"));
    EXPECT_TRUE(Sentence().empty());
    EXPECT_EQ(Sentence::verbatim("{}").english(), "{}") << "a text from elsewhere is no pattern";
}

TEST(Sentence, ValuesThatAreSentencesStayData) {
    const Sentence inner = say("no room for {} bytes", 5);
    EXPECT_EQ(say("{}: {}", "file", inner).arguments()[1], inner);
    EXPECT_EQ(say("{}: {}", "file", Error(inner)).arguments()[1], inner);
    EXPECT_EQ(say("{}", std::runtime_error("theirs")).arguments()[0], Sentence::verbatim("theirs"));
    EXPECT_EQ(say("the {} is bad", marked("learning rate")).arguments()[0], Sentence("learning rate", {}));
    EXPECT_EQ(say("{}", std::make_error_code(std::errc::no_space_on_device)).arguments()[0], system_sentence(ENOSPC));
    EXPECT_EQ(system_sentence(ENOSPC).id(), "No space left on device");
}

TEST(Sentence, TheErrorOfEveryFolderCarriesIt) {
    const Error error(say("run {} ends", 3));
    EXPECT_STREQ(error.what(), "run 3 ends");
    EXPECT_EQ(sentence_of(error), say("run {} ends", 3));
    EXPECT_EQ(sentence_of(std::runtime_error("x")), Sentence::verbatim("x"));
    EXPECT_TRUE(Error(Sentence::verbatim("from a library")).sentence().is_verbatim());
}

TEST(Sentence, GoesThroughJsonBesideItsEnglishText) {
    const Sentence sentence = say("{}: {}", "a {file}", say("no room for {} bytes", 5));
    json record = {{"run", 1}};
    put_sentence(record, "message", sentence);
    EXPECT_EQ(record["message"], "a {file}: no room for 5 bytes");
    EXPECT_EQ(sentence_in(record, "message"), sentence);
    put_sentence(record, "message", Sentence::verbatim("theirs"));
    EXPECT_FALSE(record.contains("message_id"));
    EXPECT_EQ(sentence_in(record, "message"), Sentence::verbatim("theirs"));
    EXPECT_EQ(sentence_in({{"message", "of an old journal"}}, "message"), Sentence::verbatim("of an old journal"));
    EXPECT_TRUE(sentence_in({}, "message").empty());
}

TEST(Sentence, WhatComesFromOutsideIsChecked) {
    json deep = "x";
    for (int i = 0; i < 200; ++i) {
        deep = {{"id", "{}"}, {"arguments", {deep}}};
    }
    const json many(100, "x");
    for (const json& bad :
         {json(), json("text"), json(7), json({{"id", 7}, {"arguments", json::array()}}), json({{"id", "a"}}),
          json({{"id", "a {}"}, {"arguments", json::array()}}), json({{"id", "a"}, {"arguments", {"b"}}}),
          json({{"id", "a {} {"}, {"arguments", {"b"}}}), json({{"id", "{}"}, {"arguments", {7}}}),
          json({{"id", "{}"}, {"arguments", {{{"id", "b {}"}, {"arguments", json::array()}}}}}),
          json({{"id", std::string(100'000, 'a')}, {"arguments", json::array()}}),
          json({{"id", std::string(200, '{')}, {"arguments", many}}), deep}) {
        EXPECT_EQ(sentence_from_json(bad, "as it came"), Sentence::verbatim("as it came")) << bad.dump().substr(0, 80);
    }
}

TEST(Sentence, DeepOnesStayWithinTheDepthOfARecord) {
    Sentence sentence = say("the {} end", 1);
    for (int i = 0; i < 30; ++i) {
        sentence = say("{}: {}", i, sentence);
    }
    json record = {{"models", {json::object()}}};
    put_sentence(record["models"][0], "message", sentence);
    const auto read = moescope::base::parse_object(record.dump(), 1U << 20);
    ASSERT_TRUE(read.has_value());
    EXPECT_EQ(sentence_in((*read)["models"][0], "message").english(), sentence.english());
    EXPECT_FALSE(sentence_in((*read)["models"][0], "message").is_verbatim());
}

TEST(Messages, FillTheTranslationByNumber) {
    const Messages messages(
        {{"run {} has {} steps", "{1} 步，第 {0} 次"}, {"{}: {}", "{0}：{1}"}, {"a {{b}}", "{{乙}}"}});
    EXPECT_EQ(messages.translate(say("run {} has {} steps", 1, 20)), "20 步，第 1 次");
    EXPECT_EQ(messages.translate(say("{}: {}", "f", say("run {} has {} steps", 1, 2))), "f：2 步，第 1 次");
    EXPECT_EQ(messages.translate(say("a {{b}}")), "{乙}");
    EXPECT_EQ(messages.translate(say("{}: {}", "run 1 has 2 steps", "{1}")), "run 1 has 2 steps：{1}")
        << "a value is no pattern";
}

TEST(Messages, WhatTheyDoNotKnowStaysEnglish) {
    const Messages messages(std::vector<std::pair<std::string, std::string>>{{"learning rate", "学习率"}});
    EXPECT_EQ(messages.translate(say("the {} is {}", marked("learning rate"), 3)), "the 学习率 is 3");
    EXPECT_EQ(messages.translate(Sentence::verbatim("learning rate")), "learning rate");
    EXPECT_EQ(messages.translate(Sentence()), "");
    EXPECT_EQ(Messages().translate(say("run {}", 3)), "run 3");
}

TEST(Messages, BadEntriesAreNamed) {
    const auto problem = [](const std::string& english, const std::string& translation) {
        try {
            const Messages unused(std::vector{std::pair(english, translation)});
        } catch (const Error& error) {
            return std::string(error.what());
        }
        return std::string();
    };
    EXPECT_EQ(problem("run {} ends", "{0} ends"), "");
    EXPECT_EQ(problem("run {{}} ends", "{{}}"), "");
    EXPECT_NE(problem("run {} ends", "{1} ends").find("run {} ends"), std::string::npos);
    EXPECT_NE(problem("run {} ends", "{} ends").find("{0}"), std::string::npos);
    EXPECT_NE(problem("run {} ends", "0} ends").find("{0}"), std::string::npos);
    EXPECT_NE(problem("run {x} ends", "{0} ends").find("{}"), std::string::npos);
    EXPECT_NE(problem("run { ends", "ends").find("{}"), std::string::npos);
}

}  // namespace
