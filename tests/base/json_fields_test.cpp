// Readers of outside JSON against every kind of value.
#include "base/json_fields.hpp"

#include <cmath>
#include <gtest/gtest.h>
#include <limits>

namespace moescope::base {
namespace {

using nlohmann::json;

/// One of each kind, numbers at the edges of their types.
std::vector<json> values() {
    return {nullptr,
            true,
            "text",
            "",
            json::array({"a", 1, nullptr, "b"}),
            json::object({{"inner", 1}}),
            0,
            -1,
            5.0,
            5.5,
            -5.0,
            1e300,
            -1e300,
            std::numeric_limits<double>::quiet_NaN(),
            std::numeric_limits<double>::infinity(),
            0x1p63,
            -0x1p63,
            0x1p64,
            std::numeric_limits<std::int64_t>::min(),
            std::numeric_limits<std::int64_t>::max(),
            std::numeric_limits<std::uint64_t>::max(),
            std::uint64_t{1} << 32};
}

TEST(JsonFields, NumbersAreTakenExactlyOrNotAtAll) {
    EXPECT_EQ(base::as_integer(5.0), 5);
    EXPECT_EQ(base::as_integer(-5.0), -5);
    EXPECT_EQ(base::as_integer(5.5), std::nullopt);
    EXPECT_EQ(base::as_integer(0x1p63), std::nullopt);
    EXPECT_EQ(base::as_integer(-0x1p62), -(std::int64_t{1} << 62));
    EXPECT_EQ(base::as_integer(std::numeric_limits<std::int64_t>::min()), std::numeric_limits<std::int64_t>::min());
    EXPECT_EQ(base::as_integer(std::uint64_t{1} << 63), std::nullopt);
    EXPECT_EQ(base::as_count(std::numeric_limits<std::uint64_t>::max()), std::numeric_limits<std::uint64_t>::max());
    EXPECT_EQ(base::as_count(-1), std::nullopt);
    EXPECT_EQ(base::as_count(0), 0u);
    EXPECT_EQ(base::as_count(7.0), 7u);
    EXPECT_EQ(base::as_count("7"), std::nullopt);
    for (const json& value : values()) {
        EXPECT_EQ(base::as_number(value).has_value(), value.is_number()) << value;
        if (const auto whole = base::as_integer(value)) {
            EXPECT_TRUE(value == json(*whole)) << value;
        }
        if (const auto whole = base::as_count(value)) {
            EXPECT_TRUE(value == json(*whole)) << value;
        }
    }
}

TEST(JsonFields, AnythingElseGivesTheDefault) {
    for (const json& value : values()) {
        const json object = {{"key", value}};
        EXPECT_EQ(base::text_of(object, "key"), value.is_string() ? value.get<std::string>() : "");
        EXPECT_EQ(base::flag_of(object, "key"), value == true);
        EXPECT_EQ(base::count_of(object, "key", 99), base::as_count(value).value_or(99));
        EXPECT_EQ(base::texts_of(object, "key"),
                  value.is_array() ? (std::vector<std::string>{"a", "b"}) : std::vector<std::string>());
        const auto whole = base::as_integer(value);
        const bool fits = whole && std::abs(static_cast<double>(*whole)) < 0x1p31;
        EXPECT_EQ(base::integer_of(object, "key", -7), fits ? *whole : -7) << value;
        EXPECT_EQ(std::int64_t{base::run_of({{"run", value}})}, fits && *whole >= 0 ? *whole : 0) << value;
        EXPECT_EQ(std::isnan(base::number_of(object, "key")), !value.is_number() || std::isnan(value.get<double>()));
        EXPECT_EQ(&base::member(object, "key"), &object["key"]);
        // The value itself is asked for a member: only an object has one.
        EXPECT_EQ(base::count_of(value, "inner", 99), value.is_object() ? 1u : 99u);
        EXPECT_TRUE(base::member(value, "absent").is_null());
        EXPECT_EQ(base::number_of(value, "absent", -2), -2);
        EXPECT_EQ(base::text_of(value, "absent"), "");
        EXPECT_EQ(base::run_of(value), 0u);
    }
    EXPECT_EQ(base::run_of({{"run", 0xFFFFFFFFu}}), 0xFFFFFFFFu);
}

}  // namespace
}  // namespace moescope::base
