// Each side of a difference of words shows its own text, with what the other lacks marked.
#include "panels/ui/difference_text.hpp"

#include <gtest/gtest.h>

namespace {

using namespace moescope::panels;

std::string marked(const DifferenceText& made) {
    std::string out;
    std::size_t at = 0;
    for (const StyleRun& run : made.runs) {
        const std::string part = made.text.substr(at, run.end - at);
        out += run.style == 1 ? "+" + part + "+" : run.style == 2 ? "-" + part + "-" : part;
        at = run.end;
    }
    EXPECT_EQ(at, made.text.size());
    return out;
}

TEST(DifferenceText, ShowsEachSide) {
    const std::string base = "the old router sends", other = "the router sends tokens";
    const WordDiff diff = word_diff(base, other);
    const DifferenceStyles styles;
    const DifferenceText left = difference_text(diff, base, other, DifferenceSide::base, styles),
                         right = difference_text(diff, base, other, DifferenceSide::other, styles),
                         both = difference_text(diff, base, other, DifferenceSide::other_and_base, styles);
    EXPECT_EQ(left.text, base);
    EXPECT_EQ(right.text, other);
    EXPECT_NE(marked(left).find("-old -"), std::string::npos) << marked(left);
    EXPECT_NE(marked(right).find("+tokens+"), std::string::npos) << marked(right);
    EXPECT_EQ(marked(right).find('-'), std::string::npos);
    EXPECT_NE(marked(both).find("-old -"), std::string::npos);
    EXPECT_NE(marked(both).find("+tokens+"), std::string::npos);
    EXPECT_TRUE(difference_text(word_diff("", ""), "", "", DifferenceSide::base, styles).text.empty());
}

TEST(DifferenceStyles, DifferBeyondTheirColour) {
    const moescope::ui::Theme theme = moescope::ui::make_theme(true);
    EXPECT_TRUE(added_style(theme).underline);
    EXPECT_TRUE(removed_style(theme).strike);
}

}  // namespace
