// The fields of a configuration: what counts when, what is a value, what a pasted text may say.
#include "panels/runs/run_fields.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "base/settings.hpp"

namespace {

namespace base = moescope::base;
using namespace moescope::panels;
using nlohmann::json;
using Problem = PastedConfig::Problem;

json catalogue() {
    return json::parse(R"({"config_fields":[
        {"section":"model","group":"size","key":"layers","type":"integer","low":1,"high":256,"default":6},
        {"section":"model","group":"size","key":"dense_layers","type":"integer","low":0,"high":256,"default":0},
        {"section":"model","group":"attention","key":"attention","type":"choice","choices":["grouped","latent"],
         "default":"grouped"},
        {"section":"model","group":"attention","key":"kv_rank","type":"integer","low":1,"high":16384,"default":64,
         "when":"attention = latent"},
        {"section":"model","group":"position","key":"yarn_factor","type":"number","low":1,"high":1000,"default":1.0},
        {"section":"model","group":"position","key":"yarn_mscale","type":"number","low":0,"high":10,"default":0.0,
         "when":"yarn_factor > 1"},
        {"section":"model","group":"experts","key":"experts","type":"integer","low":1,"high":1024,"default":16,
         "when":"dense_layers < layers"},
        {"section":"model","group":"experts","key":"experts_per_token","type":"integer","low":1,"high":64,"default":2,
         "when":"dense_layers < layers and experts > 1","fork":true,
         "live":{"low":1,"high":"configured","when":"dense_layers < layers and experts > 1"}},
        {"section":"model","group":"router","key":"selection_bias","type":"flag","default":false},
        {"section":"train","group":"balance","key":"bias_update_rate","type":"number","low":0,"high":1,"default":0.001,
         "when":"selection_bias = true","aliases":["bias_speed"],
         "live":{"low":0,"high":1,"when":"selection_bias = true"}},
        {"section":"train","group":"schedule","key":"seed","type":"integer","low":0,"high":18446744073709551615,
         "default":1},
        {"section":"train","group":"schedule","key":"device","type":"device","default":"cpu"},
        {"section":"model","group":"tomorrow","key":"of_tomorrow","type":"flag","default":true},
        {"section":"nowhere","key":"lost","type":"flag"}, {"key":"lost"}, 7]})");
}

const ConfigField& field(const std::vector<FieldGroup>& groups, const std::string& key) {
    static const ConfigField none;
    for (const FieldGroup& group : groups) {
        for (const ConfigField& one : group.fields) {
            if (one.key == key) {
                return one;
            }
        }
    }
    ADD_FAILURE() << key;
    return none;
}

/// A configuration with every key of the catalogue.
json standard(const std::vector<FieldGroup>& groups) {
    return read_pasted(R"({"model":{}})", groups, {}).config;
}

TEST(RunFields, EveryKeyHasOnePlace) {
    const auto groups = field_groups(catalogue());
    std::size_t count = 0;
    for (const FieldGroup& group : groups) {
        count += group.fields.size();
    }
    EXPECT_EQ(count, 13u);
    ASSERT_EQ(groups.back().fields.size(), 1u);  // what this program does not know is shown all the same
    EXPECT_EQ(groups.back().fields[0].key, "of_tomorrow");
    for (const json& broken : {json(), json(3), json::object(), json{{"config_fields", "x"}}}) {
        for (const FieldGroup& group : field_groups(broken)) {
            EXPECT_TRUE(group.fields.empty());
        }
    }
}

TEST(RunFields, ConditionsFollowTheConfiguration) {
    const auto groups = field_groups(catalogue());
    json config = standard(groups);
    const auto counts = [&](const char* key) {
        // What all fields of a group need stands at the group.
        const auto group = std::find_if(groups.begin(), groups.end(), [&](const FieldGroup& one) {
            return std::any_of(one.fields.begin(), one.fields.end(),
                               [&](const ConfigField& other) { return other.key == key; });
        });
        return group != groups.end() && base::holds(group->condition, config) &&
               base::holds(field(groups, key).condition, config);
    };
    EXPECT_FALSE(counts("kv_rank"));
    config["model"]["attention"] = "latent";
    EXPECT_TRUE(counts("kv_rank"));
    EXPECT_FALSE(counts("yarn_mscale"));
    config["model"]["yarn_factor"] = 4;
    EXPECT_TRUE(counts("yarn_mscale"));
    EXPECT_FALSE(counts("bias_update_rate"));
    config["model"]["selection_bias"] = true;
    EXPECT_TRUE(counts("bias_update_rate"));
    // The value of another key: a model of dense layers alone has no experts. What all fields of a group need stands
    // there once.
    const auto experts = std::find_if(groups.begin(), groups.end(),
                                      [](const FieldGroup& group) { return group.name == "runs.group.experts"; });
    ASSERT_NE(experts, groups.end());
    EXPECT_EQ(experts->condition, "dense_layers < layers");
    EXPECT_EQ(field(groups, "experts").condition, "");
    EXPECT_EQ(field(groups, "experts_per_token").condition, "experts > 1");
    EXPECT_TRUE(base::holds(experts->condition, config));
    config["model"]["dense_layers"] = 6;
    EXPECT_FALSE(base::holds(experts->condition, config));
    EXPECT_TRUE(base::holds(experts->condition, json()));
    EXPECT_TRUE(base::holds("", config));
}

TEST(RunFields, LiveOnesFollowTheRun) {
    json config = standard(field_groups(catalogue()));
    const auto keys = [&] {
        std::string text;
        for (const LiveField& live : live_fields(catalogue(), config)) {
            text += fmt::format("{} {} {};", live.field.key, live.low, live.high);
        }
        return text;
    };
    EXPECT_EQ(keys(), "experts_per_token 1 2;");
    config["model"]["selection_bias"] = true;
    config["model"]["experts_per_token"] = 8;
    EXPECT_EQ(keys(), "experts_per_token 1 8;bias_update_rate 0 1;");
    config["model"]["experts_per_token"] = 1;  // nothing to choose
    config["model"]["dense_layers"] = 6;
    EXPECT_EQ(keys(), "bias_update_rate 0 1;");
    config["train"].erase("bias_update_rate");
    EXPECT_EQ(keys(), "");
    EXPECT_TRUE(live_fields(json(3), json("x")).empty());
}

TEST(RunFields, OldNamesArePasted) {
    const auto groups = field_groups(catalogue());
    const PastedConfig pasted = read_pasted(R"({"train":{"bias_speed":0.5}})", groups, {});
    EXPECT_EQ(pasted.problem, Problem::none);
    EXPECT_EQ(pasted.config["train"]["bias_update_rate"], 0.5);
}

TEST(RunFields, NumbersAreReadWhole) {
    const auto groups = field_groups(catalogue());
    const ConfigField &whole = field(groups, "experts"), &real = field(groups, "bias_update_rate"),
                      &seed = field(groups, "seed");
    EXPECT_EQ(read_number(whole, " 64 "), json(64));
    for (const char* text : {"", "0", "1025", "-1", "4.0", "4 4", "4e", "0x10", "nan", "99999999999999999999"}) {
        EXPECT_FALSE(read_number(whole, text)) << text;
    }
    EXPECT_EQ(read_number(real, "1e-3"), json(0.001));
    EXPECT_EQ(read_number(real, "1"), json(1.0));
    for (const char* text : {"", "-0.1", "1.1", "inf", "nan", "0.1x", "1e999", "0,1"}) {
        EXPECT_FALSE(read_number(real, text)) << text;
    }
    EXPECT_EQ(read_number(seed, "18446744073709551615"), json(18446744073709551615u));
    EXPECT_FALSE(read_number(seed, "18446744073709551616"));
    // What is shown reads back as the same.
    for (const double value : {0.1, 1.0 / 3, 1e-12, 0.003, 1.0}) {
        EXPECT_EQ(read_number(real, base::setting_text(json(value))), json(value));
    }
}

TEST(RunFields, CopiedAndPastedIsTheSame) {
    const auto groups = field_groups(catalogue());
    json config = standard(groups);
    config["name"] = "mine";
    config["model"]["experts"] = 3;
    config["train"]["seed"] = 18446744073709551615u;
    const std::string text = config_text(config, groups);
    const PastedConfig pasted = read_pasted(text, groups, {});
    EXPECT_EQ(pasted.problem, Problem::none);
    EXPECT_EQ(pasted.config, config);
    EXPECT_LT(text.find("\"layers\""), text.find("\"experts\""));  // the form's order
    // A manifest, and a short preset: what it does not say is the node's default, not the base's value.
    EXPECT_EQ(read_pasted(json{{"run", 7}, {"config", config}}.dump(), groups, {}).config, config);
    const PastedConfig few = read_pasted(R"({"model":{"experts":8}})", groups, config);
    EXPECT_EQ(few.config["model"]["experts"], 8);
    EXPECT_EQ(few.config["train"]["seed"], 1);
    EXPECT_EQ(few.config["model"].size() + few.config["train"].size(), 13u);
    // In a fork what it does not say is left as the parent has it.
    const PastedConfig fork = read_pasted(R"({"model":{"experts":8}})", groups, config, Lacking::base);
    EXPECT_EQ(fork.config["model"]["experts"], 8);
    EXPECT_EQ(fork.config["train"]["seed"], 18446744073709551615u);
    EXPECT_EQ(read_pasted(R"({"train":{}})", groups, {}, Lacking::base).config, standard(groups));
}

TEST(RunFields, WhatIsNoConfigurationIsRefused) {
    const auto groups = field_groups(catalogue());
    const auto problem = [&](const std::string& text) { return read_pasted(text, groups, {}).problem; };
    for (const char* text : {"", "{", "[]", "3", "\xff", "null"}) {
        EXPECT_EQ(problem(text), Problem::no_json) << text;
    }
    EXPECT_EQ(problem("{}"), Problem::no_config);
    EXPECT_EQ(problem(R"({"model":3})"), Problem::no_config);
    EXPECT_EQ(problem(R"({"model":{},"train":3})"), Problem::unknown_key);
    EXPECT_EQ(problem(R"({"model":{},"modle":{}})"), Problem::unknown_key);
    const PastedConfig unknown = read_pasted(R"({"model":{"expert":8}})", groups, {});
    EXPECT_EQ(unknown.problem, Problem::unknown_key);
    EXPECT_EQ(unknown.key, "model.expert");
    for (const char* value : {"0", "1025", "\"8\"", "8.5", "null", "[]", "true", "-3", "1e300"}) {
        const PastedConfig bad = read_pasted(R"({"model":{"experts":)" + std::string(value) + "}}", groups, {});
        EXPECT_EQ(bad.problem, Problem::value) << value;
        EXPECT_EQ(bad.key, "model.experts");
        EXPECT_FALSE(bad.value.empty());
        EXPECT_TRUE(bad.config.is_null());
        ASSERT_NE(bad.field, nullptr);
    }
    for (const char* value : {"\"\"", "0", "null", "true", "[\"cpu\"]"}) {
        const PastedConfig bad = read_pasted(R"({"train":{"device":)" + std::string(value) + "}}", groups, {});
        EXPECT_EQ(bad.problem, Problem::value) << value;
        EXPECT_EQ(bad.key, "train.device");
    }
    EXPECT_EQ(read_pasted(R"({"train":{"device":"cuda:1"}})", groups, {}).config["train"]["device"], "cuda:1");
    const std::string deep(500'000, '[');
    EXPECT_EQ(problem(deep), Problem::no_json);
    EXPECT_EQ(problem(std::string(2 << 20, ' ') + R"({"model":{}})"), Problem::no_json);
    const PastedConfig longer = read_pasted(R"({"model":{"attention":")" + std::string(5000, 'x') + "\"}}", groups, {});
    EXPECT_LT(longer.value.size(), 100u);
    for (const char* start : {"", "x", "xx"}) {  // cut between two characters
        std::string han = start;
        for (int i = 0; i < 100; ++i) {
            han += "\u4e13";
        }
        const std::string value = read_pasted(json{{"model", {{"attention", han}}}}.dump(), groups, {}).value;
        EXPECT_NO_THROW((void)json(value).dump()) << value;
    }
}

}  // namespace
