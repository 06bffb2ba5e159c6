#include "base/base64.hpp"

#include <gtest/gtest.h>

#include "base/csv.hpp"

namespace moescope::base {
namespace {

TEST(Base64, ByTheStandard) {
    EXPECT_EQ(decode_base64(""), "");
    EXPECT_EQ(decode_base64("Zg=="), "f");
    EXPECT_EQ(decode_base64("Zm8="), "fo");
    EXPECT_EQ(decode_base64("Zm9v"), "foo");
    EXPECT_EQ(decode_base64("Zm9vYmFy"), "foobar");
    EXPECT_EQ(decode_base64("AAD/+/8="), std::string("\0\0\xff\xfb\xff", 5));
}

TEST(Base64, ThereAndBack) {
    std::string bytes;
    for (int i = 0; i < 300; ++i) {
        const std::string text = encode_base64(std::as_bytes(std::span(bytes)));
        EXPECT_EQ(text.size(), (bytes.size() + 2) / 3 * 4);
        EXPECT_EQ(decode_base64(text), bytes);
        bytes.push_back(static_cast<char>(i * 37));
    }
    EXPECT_EQ(encode_base64(std::as_bytes(std::span(std::string_view("fo")))), "Zm8=");
}

TEST(Base64, NothingElse) {
    for (const char* wrong : {"Z", "Zg", "Zg=", "Zg==Zg==", "=", "====", "Zm9v ", " Zm9v", "Zm9v\n", "Zm-v", "Z=9v",
                              "Zm9vYmF", "Zm9v===="}) {
        EXPECT_FALSE(decode_base64(wrong)) << wrong;
    }
}

TEST(Csv, QuotesWhereItMust) {
    EXPECT_EQ(csv_text("plain text"), "plain text");
    EXPECT_EQ(csv_text("a,b"), "\"a,b\"");
    EXPECT_EQ(csv_text("\"\n"), "\"\"\"\n\"");
}

}  // namespace
}  // namespace moescope::base
