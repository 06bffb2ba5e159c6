#include "base/numbers.hpp"

#include <gtest/gtest.h>
#include <limits>

#include "base/axis.hpp"
#include "base/half_floats.hpp"
#include "base/html.hpp"
#include "base/svg.hpp"

namespace moescope::base {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

TEST(Numbers, FixedTextHasAPointAndATrueMinus) {
    EXPECT_EQ(fixed_text(12.345, 2), "12.35");
    EXPECT_EQ(fixed_text(-0.5, 1), "−0.5");
    EXPECT_EQ(fixed_text(-0.04, 1), "0.0") << "no minus before nothing but zeros";
    EXPECT_EQ(fixed_text(kNaN, 1), kNoNumber);
    EXPECT_EQ(fixed_text(1e16, 1), kNoNumber);
    EXPECT_EQ(general_text(0.00012345), "0.0001234");
    EXPECT_EQ(general_text(-0.0), "0");
    EXPECT_EQ(general_text(kInfinity), kNoNumber);
}

TEST(Axis, StepsAreRound) {
    EXPECT_DOUBLE_EQ(tick_step(10, 5), 2);
    EXPECT_DOUBLE_EQ(tick_step(0.9, 5), 0.2);
    EXPECT_DOUBLE_EQ(tick_step(7000, 8), 1000);
    EXPECT_DOUBLE_EQ(tick_step(0, 8), 1);
    EXPECT_DOUBLE_EQ(tick_step(kNaN, 8), 1);
}

TEST(Axis, TicksLieWithinAndAreNotTooMany) {
    for (const double low : {-1e6, -3.7, 0.0, 0.1, 1e9}) {
        for (const double range : {1e-3, 0.7, 5.0, 1e4}) {
            const auto places = ticks(low, low + range, 6);
            ASSERT_FALSE(places.empty()) << low << " " << range;
            ASSERT_LE(places.size(), 8u);
            for (std::size_t i = 0; i < places.size(); ++i) {
                EXPECT_GE(places[i], low - range * 1e-6);
                EXPECT_LE(places[i], low + range * (1 + 1e-6));
                EXPECT_TRUE(i == 0 || places[i] > places[i - 1]);
            }
        }
    }
    EXPECT_TRUE(ticks(1, 1, 5).empty());
    EXPECT_TRUE(ticks(0, kInfinity, 5).empty());
    EXPECT_LE(ticks(1e17, 1e17 + 64, 5).size(), 7u) << "a step that rounding swallows ends";
}

TEST(Axis, AScaleGoesFromValuesToPlaces) {
    const Scale scale{10, 20, 100, 0};
    EXPECT_DOUBLE_EQ(scale(10), 100);
    EXPECT_DOUBLE_EQ(scale(20), 0);
    EXPECT_DOUBLE_EQ(scale(15), 50);
}

TEST(Html, MarkupControlCharactersAndBrokenBytesAreHarmless) {
    EXPECT_EQ(escape_html("<a href=\"x\">'&'</a>"), "&lt;a href=&quot;x&quot;&gt;&#39;&amp;&#39;&lt;/a&gt;");
    EXPECT_EQ(escape_html("a\x01\x7F\n\t"), "a\uFFFD\uFFFD\n\t");
    EXPECT_EQ(escape_html("\xFFz\xEF\xBF\xBE"), "\uFFFDz\uFFFD");
    EXPECT_EQ(escape_html("专家"), "专家");
}

TEST(Svg, APathHasAGapWhereAPointIsMissing) {
    const double x[] = {0, 1, 2, 3}, y[] = {5, kNaN, 1.25, 2};
    EXPECT_EQ(svg::path(x, y), "M0.0 5.0M2.0 1.2L3.0 2.0");
    EXPECT_EQ(svg::rect(1, 2, 3, 4, "#fff", "t"),
              R"(<rect x="1.00" y="2.0" width="3.00" height="4.0" fill="#fff"><title>t</title></rect>)");
}

TEST(Svg, ABandGoesOverFromOneHeightToAnother) {
    EXPECT_EQ(svg::band(0, 1, 2, 10, 5, 8, "#123456", 0.5, "t"),
              R"(<path d="M0.0 1.00C5.0 1.00 5.0 5.00 10.0 5.00L10.0 8.00C5.0 8.00 5.0 2.00 0.0 2.00Z" )"
              R"(fill="#123456" fill-opacity="0.50"><title>t</title></path>)");
    const std::string begin = svg::begin(900, 420, "a &lt; b");
    EXPECT_NE(begin.find("viewBox='0 0 900 420'"), std::string::npos);
    EXPECT_NE(begin.find(">a &lt; b</text>"), std::string::npos);
}

TEST(HalfFloats, EveryHalfComesBack) {
    for (std::uint32_t half = 0; half < 0x10000; ++half) {
        const auto bits = static_cast<std::uint16_t>(half);
        const float f16 = f16_to_float(bits), bf16 = bf16_to_float(bits);
        if (f16 == f16) {
            ASSERT_EQ(float_to_f16(f16), bits);
        }
        if (bf16 == bf16) {
            ASSERT_EQ(float_to_bf16(bf16), bits);
        }
    }
    EXPECT_NE(bf16_to_float(float_to_bf16(std::bit_cast<float>(0x7f800001U))), kInfinity) << "a NaN stays one";
}

}  // namespace
}  // namespace moescope::base
