#include "base/foreign_text.hpp"

#include <filesystem>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "base/error.hpp"
#include "base/utf8.hpp"

namespace moescope::base {
namespace {

using namespace std::string_literals;

TEST(ForeignText, WhatMovesTheCursorOrTurnsTheWritingIsNotShown) {
    EXPECT_EQ(one_line("Qwen 2.5 中文 émile"), "Qwen 2.5 中文 émile");
    EXPECT_EQ(one_line("a\x1b[31mb\ac"), "a\ufffd[31mb\ufffdc");
    EXPECT_EQ(one_line("one\ntwo\r\tthree\u2028four\u0085five"), "one two  three four five");
    EXPECT_EQ(one_line("name\u202egnp.exe\u200f\u2066x\ufeff"), "name\ufffdgnp.exe\ufffd\ufffdx\ufffd");
    EXPECT_EQ(one_line("a\0b"s), "a\ufffdb");
    EXPECT_EQ(one_line("bad \xff\xfe bytes"), "bad \ufffd\ufffd bytes");
    EXPECT_EQ(one_line("tag\U000E0041\u009b31m"), "tag\ufffd\ufffd31m");
    EXPECT_EQ(one_line("family \U0001F468\u200d\U0001F469"), "family \U0001F468\u200d\U0001F469");
}

TEST(ForeignText, TheMiddleOfALongTextIsLeftOut) {
    const std::string line = shown_name("begin " + std::string(100'000, 'x') + " end");
    EXPECT_LE(line.size(), kNameBytes + 10);
    EXPECT_TRUE(line.starts_with("begin x")) << line;
    EXPECT_TRUE(line.ends_with("x end")) << line;
    EXPECT_NE(line.find(" ... "), std::string::npos);
    std::string han;
    for (int i = 0; i < 1000; ++i) {
        han += "中";
    }
    const std::string cut = shown_name(han);
    EXPECT_EQ(first_invalid_utf8(cut), cut.size());
    EXPECT_EQ(cut.find("\ufffd"), std::string::npos) << "no character is cut in two";
    EXPECT_LE(shown_name(std::string(3000, '\x80')).size(), kNameBytes + 10);
}

TEST(ForeignText, ValuesOfASentenceAreFitToShowAndItsPatternIsKept) {
    const Sentence sentence = say("{} is {}", "a\nb", say("{} again", std::string(5000, 'y')));
    const Sentence shown = fit_to_show(sentence);
    EXPECT_EQ(shown.id(), sentence.id());
    EXPECT_TRUE(shown.english().starts_with("a b is yyy")) << shown;
    EXPECT_LT(shown.english().size(), kValueBytes + 50);
    nlohmann::json record;
    put_sentence(record, "text", sentence);
    EXPECT_LT(record.dump().size(), 3000u);
    EXPECT_EQ(record["text"].get<std::string>().find('\n'), std::string::npos);
    record["text_id"]["arguments"][0] = "c\nd";
    EXPECT_TRUE(sentence_in(record, "text").english().starts_with("c d is")) << "also from a node that is not ours";
}

/// What a person is told of an exception that is none of ours.
std::string told(const std::exception& error) {
    return sentence_of(error).english();
}

TEST(ForeignText, NoExceptionOfALibraryIsShownAsItIs) {
    try {
        static_cast<void>(nlohmann::json(5).get<std::string>());
    } catch (const nlohmann::json::exception& error) {
        EXPECT_EQ(told(error).find("json.exception"), std::string::npos) << told(error);
        EXPECT_NE(told(error).find("must be string"), std::string::npos) << told(error);
    }
    try {
        static_cast<void>(std::filesystem::file_size("/no/such/file"));
    } catch (const std::filesystem::filesystem_error& error) {
        EXPECT_EQ(told(error), "/no/such/file: No such file or directory");
    }
    EXPECT_EQ(told(std::bad_alloc()), "there is not enough memory for this");
    EXPECT_EQ(told(std::system_error(std::make_error_code(std::errc::no_space_on_device), "write")),
              "No space left on device");
    EXPECT_EQ(told(std::out_of_range("vector::_M_range_check")),
              "a check inside the program failed: vector::_M_range_check");
    EXPECT_EQ(told(std::runtime_error("words of our own")), "words of our own");
}

}  // namespace
}  // namespace moescope::base
