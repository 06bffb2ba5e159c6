// Loads of experts as a file says them.
#include "routing/expert_loads.hpp"

#include <gtest/gtest.h>
#include <string>
#include <vector>

#include "tests/files.hpp"

namespace moescope::routing {
namespace {

TEST(ExpertLoads, AreReadAsRowsAndUnderTheirName) {
    for (const char* text :
         {"[[1, 2.5, 0], [4, 5, 1e30]]", "{\"model\": \"m\", \"loads\": [[1, 2.5, 0], [4, 5, 1e30]]}"}) {
        const ExpertLoads loads = parse_expert_loads(text);
        EXPECT_EQ(loads.layers, 2u);
        EXPECT_EQ(loads.experts, 3u);
        EXPECT_EQ(loads.load, std::vector<double>({1, 2.5, 0, 4, 5, 1e30}));
        EXPECT_EQ(loads.layer(1)[0], 4);
    }
}

TEST(ExpertLoads, ALayerWithoutExpertsIsNull) {
    const ExpertLoads loads = parse_expert_loads("[null, [1, 2], null, [3, 4], null]");
    EXPECT_EQ(loads.layers, 5u);
    EXPECT_EQ(loads.experts, 2u);
    EXPECT_EQ(loads.load, std::vector<double>({0, 0, 1, 2, 0, 0, 3, 4, 0, 0}));
    for (std::size_t layer = 0; layer < 5; ++layer) {
        EXPECT_EQ(loads.has_experts(layer), layer % 2 == 1);
    }
}

TEST(ExpertLoads, WhatIsWrongIsSaid) {
    const test::TemporaryFolder folder;
    const std::string file = (folder / "loads.json").string();
    const std::vector<std::pair<std::string, std::string>> wrong{
        {"", "is empty"},
        {"[[1, 2]", "ends before its JSON does"},
        {"[]", "has no list of layers"},
        {"{}", "has no list of layers"},
        {"7", "has no list of layers"},
        {"{\"loads\": 7}", "has no list of layers"},
        {"[1, 2]", "has no list of loads for layer 0"},
        {"[[1, 2], []]", "has no list of loads for layer 1"},
        {"[null, null]", "has no layer with experts"},
        {"[null, [1, 2], [1]]", "has 1 experts in layer 2 but 2 in layer 1"},
        {"[[1, 2], [1, 2, 3]]", "has 3 experts in layer 1 but 2 in layer 0"},
        {"[[1, 2, 3], [1, 2]]", "has 2 experts in layer 1 but 3 in layer 0"},
        {"[[1, 2], [1, -2]]", "has no number from 0 to 1e+30 as the load of expert 1 in layer 1"},
        {"[[1, 1.1e30]]", "has no number from 0 to 1e+30 as the load of expert 1 in layer 0"},
        {"[[1, null]]", "has no number from 0 to 1e+30 as the load of expert 1 in layer 0"},
        {"[[true]]", "has no number from 0 to 1e+30 as the load of expert 0 in layer 0"},
        {"[[\"1\"]]", "has no number from 0 to 1e+30 as the load of expert 0 in layer 0"},
        {"[[1, 1e400]]", "has the number 1e400, which is too large"},
        {"[[1, NaN]]", "has "},
        {"{\"loads\": [[1]], \"loads\": [[2]]}", "\"loads\" twice"},
    };
    for (const auto& [text, words] : wrong) {
        std::string of_text, of_file;
        try {
            parse_expert_loads(text);
        } catch (const Error& error) {
            of_text = error.what();
        }
        EXPECT_NE(of_text.find(words), std::string::npos) << text << ": " << of_text;
        test::write_text(file, text);
        try {
            read_expert_loads(file);
        } catch (const Error& error) {
            of_file = error.what();
        }
        EXPECT_EQ(of_file, file + " " + of_text) << text;
    }
    std::string many = "[[1]";
    for (int layer = 1; layer <= 4096; ++layer) {
        many += ",[1]";
    }
    EXPECT_THROW(parse_expert_loads(many + "]"), Error);
}

}  // namespace
}  // namespace moescope::routing
