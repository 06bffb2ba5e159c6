// What stands under an answer that has ended, and in the place of one without a word.
#include "panels/ui/answer_end.hpp"

#include <gtest/gtest.h>

#include "tests/paths.hpp"

namespace {

using namespace moescope;

TEST(AnswerEnd, BlanksAndLineBreaksAreNoWordAndAreShown) {
    const ui::Language english = ui::Language::load(test::source_assets() + "/languages/en", "en");
    EXPECT_EQ(ui::wordless_text(english, ""), "The model ended without a word.");
    EXPECT_EQ(ui::wordless_text(english, " \n\n\t"), "The model wrote only blanks and line breaks: \u00b7\\n\\n\\t");
    EXPECT_LT(ui::wordless_text(english, std::string(500, '\n')).size(), 120u);
    EXPECT_EQ(ui::wordless_text(english, "\n\n."), "");
    const ui::Language chinese = ui::Language::load(test::source_assets() + "/languages/zh", "zh");
    EXPECT_NE(ui::wordless_text(chinese, "\n").find("换行"), std::string::npos);
}

TEST(AnswerEnd, SaysWhyItEnded) {
    const ui::Language english = ui::Language::load(test::source_assets() + "/languages/en", "en");
    EXPECT_STREQ(ui::stop_text(english, "context"), "the context is full");
    EXPECT_STREQ(ui::stop_text(english, ""), "ended");
    EXPECT_STREQ(ui::stop_text(english, "of a later version"), "ended");
}

}  // namespace
