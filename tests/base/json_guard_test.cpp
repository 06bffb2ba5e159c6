#include "base/json_guard.hpp"

#include <gtest/gtest.h>

namespace moescope::base {
namespace {

std::string problem(const std::string& text, const JsonRules& rules = {}) {
    const ParsedJson parsed = read_json(text, 10'000'000, rules);
    EXPECT_EQ(parsed.value.has_value(), parsed.problem.empty());
    return parsed.problem.english();
}

TEST(JsonGuard, GivesWhatTheTextSays) {
    const std::string text = R"( {"a": [1, -2, 2.5, null, true, "\u4e2d\ud83e\udd99"], "b": {"c": []}, "b": 7} )";
    EXPECT_EQ(read_json(text, 1000).value, nlohmann::json::parse(text));
    EXPECT_EQ(read_json("\xEF\xBB\xBF[1]", 1000).value, nlohmann::json::parse("[1]"));
    EXPECT_EQ(read_json("3", 1).value, nlohmann::json(3));
}

TEST(JsonGuard, TheCauseIsNamed) {
    EXPECT_EQ(problem(""), "is empty");
    EXPECT_EQ(problem(" \n"), "is empty");
    EXPECT_EQ(problem("{\"a\": [1, 2"), "ends before its JSON does");
    EXPECT_EQ(problem("{\"a\": \"x"), "ends before its JSON does");
    EXPECT_EQ(problem("{\"a\": 1e999}"), "has the number 1e999, which is too large");
    EXPECT_EQ(problem("{\"a\": NaN}"), "has NaN at byte 6, which JSON does not know");
    EXPECT_EQ(problem("[-Infinity]"), "has -Infinity at byte 1, which JSON does not know");
    EXPECT_EQ(problem("[None]"), "has None at byte 1, which JSON does not know");
    EXPECT_EQ(problem("[\"\\ud83d\"]"), "has half of a surrogate pair before byte 8, which is no character");
    EXPECT_EQ(problem("[\"\\udd99\"]"), "has half of a surrogate pair before byte 7, which is no character");
    EXPECT_EQ(problem("[\"ab\xff\"]"), "is not UTF-8 at byte 4");
    EXPECT_EQ(problem(std::string("\xff\xfe{\0}\0", 6)), "is UTF-16; save it as UTF-8");
    EXPECT_EQ(problem(std::string("{}\0{}", 5)), "has a zero byte at byte 2");
    EXPECT_EQ(problem("{\"a\" 1}"), "is no JSON from byte 5 on");
    EXPECT_EQ(problem("{} x"), "is no JSON from byte 3 on");
    EXPECT_EQ(problem("plain text"), "is no JSON from byte 0 on");
    EXPECT_EQ(read_json("[1]", 2).problem.english(), "has 3 bytes, more than the 2 that are read");
}

TEST(JsonGuard, DepthAndNumberOfValuesAreLimited) {
    const auto nested = [](int levels) {
        return std::string(static_cast<std::size_t>(levels), '[') + std::string(static_cast<std::size_t>(levels), ']');
    };
    EXPECT_EQ(problem(nested(kJsonDepth)), "");
    EXPECT_EQ(problem(nested(kJsonDepth + 1)), "is nested deeper than 16 levels");
    EXPECT_EQ(problem(nested(100'000)), "is nested deeper than 16 levels");
    EXPECT_EQ(problem(std::string(5'000'000, '[')), "is nested deeper than 16 levels");
    EXPECT_EQ(problem("[1,2,3]", {.values = 4}), "");
    EXPECT_EQ(problem("[1,2,3]", {.values = 3}), "has more than 3 values");
    std::string many = "[0";
    for (std::size_t i = 0; i < kJsonValues; ++i) {
        many += ",0";
    }
    EXPECT_EQ(problem(many + "]"), "has more than 1000000 values");
}

TEST(JsonGuard, KeysThatStandTwiceAreRefused) {
    EXPECT_EQ(problem(R"({"a": {"b": 1}, "b": {"b": 1}, "c": [{"b": 1}, {"b": 1}]})"), "");
    EXPECT_EQ(problem(R"({"a": {"b": 1, "b": 2}})"), "has the key \"b\" twice in one object");
    EXPECT_EQ(problem(R"([{"x": {}, "y": [], "x": null}])"), "has the key \"x\" twice in one object");
    EXPECT_EQ(problem(R"({"a\u0062": 1, "ab": 1})"), "has the key \"ab\" twice in one object");
    EXPECT_FALSE(parse_object(R"({"id": 1, "id": 1})", 100));
}

TEST(JsonGuard, AWalkerSeesEverythingOnce) {
    struct Walker final : JsonWalker {
        std::string seen;
        bool on_scalar(nlohmann::json value) override {
            seen += value.dump() + " ";
            return true;
        }
        bool on_key(std::string& key) override {
            seen += key + ":";
            return true;
        }
        bool on_open(bool object) override {
            seen += (object ? "{" : "[") + std::to_string(depth()) + " ";
            return true;
        }
        bool on_close() override {
            seen += ") ";
            return true;
        }
    } walker;
    EXPECT_TRUE(walker.walk(R"({"a":[1,{"b":"x"}],"c":null})"));
    EXPECT_EQ(walker.seen, "{1 a:[2 1 {3 b:\"x\" ) ) c:null ) ");
}

}  // namespace
}  // namespace moescope::base
