#include "base/lines.hpp"

#include <gtest/gtest.h>

#include "base/error.hpp"
#include "tests/files.hpp"

namespace moescope::base {
namespace {

std::vector<std::string> lines_of(const std::string& content, std::size_t longest = 100000) {
    const test::TemporaryFolder folder;
    test::write_text(folder / "f", content);
    Lines lines((folder / "f").string(), longest);
    std::vector<std::string> found;
    for (std::string line; lines.next(line);) {
        EXPECT_EQ(lines.number(), found.size() + 1);
        found.push_back(line);
    }
    return found;
}

TEST(Lines, AsTheyAreWritten) {
    using Wanted = std::vector<std::string>;
    EXPECT_EQ(lines_of(""), Wanted());
    EXPECT_EQ(lines_of("a\n\nb"), (Wanted{"a", "", "b"}));
    EXPECT_EQ(lines_of("\xEF\xBB\xBF"
                       "a\r\nb\r\n"),
              (Wanted{"a", "b"}));
    const std::string longer(70000, 'x');  // than a piece
    EXPECT_EQ(lines_of(longer + "\n" + longer), (Wanted{longer, longer}));
}

TEST(Lines, NoLongerThanTold) {
    EXPECT_EQ(lines_of(std::string(100, 'a') + "\nb", 100).size(), 2u);
    EXPECT_THROW(lines_of(std::string(101, 'a') + "\nb", 100), Error);
    EXPECT_THROW(lines_of(std::string(1 << 20, 'a'), 100), Error);
}

}  // namespace
}  // namespace moescope::base
