// moescope-node place: experts on several devices, by loads of a file, of standard input and of a training run.
#include <algorithm>
#include <cstdlib>
#include <functional>
#include <gtest/gtest.h>

#include "nodes/protocol/records.hpp"
#include "sessions/session.hpp"
#include "tests/nodes/service/program.hpp"

namespace moescope::test {
namespace {

using nlohmann::json;
using protocol::RecordType;

constexpr const char* kExample =
    "[[90, 132, 40, 61, 104, 165, 39, 4, 73, 56, 183, 86],\n"
    " [20, 107, 104, 64, 19, 197, 187, 157, 172, 86, 16, 27]]\n";

class Place : public testing::Test {
 protected:
    std::string file(const std::string& content) const {
        write_text(folder / "loads.json", content);
        return (folder / "loads.json").string();
    }
    static Arguments with(Arguments arguments, const Arguments& more) {
        arguments.insert(arguments.end(), more.begin(), more.end());
        return arguments;
    }
    using Tokens = std::function<int(int step, int layer, int expert)>;
    static int rising(int step, int, int expert) { return step * (expert + 1); }
    /// Two layers of four experts, which got `english` tokens and those of layer l also l Chinese ones.
    std::string session(int steps, const Tokens& english = rising, const json& manifest = json::object()) const {
        const std::string path = (folder / "session").string();
        const auto made = sessions::Session::open(path, sessions::Journal::Mode::read_write);
        const auto put = [&](RecordType type, const std::vector<std::byte>& body) {
            made->journal().append(static_cast<std::uint16_t>(type),
                                   static_cast<std::uint8_t>(protocol::channel_of(type)), 1, body);
        };
        put(RecordType::run_started,
            protocol::encode_json({{"run", 1}, {"kind", "train"}, {"name", "first"}, {"manifest", manifest}}));
        for (int number = 1; number <= steps; ++number) {
            protocol::StepRecord step;
            step.run = 1;
            step.step = static_cast<std::uint64_t>(number);
            step.layers = 2;
            step.experts = 4;
            step.top_k = 1;
            for (const bool chinese : {false, true}) {
                for (int layer = 0; layer < 2; ++layer) {
                    for (int expert = 0; expert < 4; ++expert) {
                        step.counts.push_back(
                            static_cast<std::uint32_t>(chinese ? layer : english(number, layer, expert)));
                    }
                }
            }
            step.router_entropy.assign(2, 1.0f);
            put(RecordType::step, protocol::encode_step(step));
        }
        made->journal().sync();
        return path;
    }
    const Arguments order{"--replicas", "16", "--groups", "4", "--nodes", "2", "--gpus", "8"};
    TemporaryFolder folder;
};

TEST_F(Place, ThePublishedExampleFromAFileAndFromStandardInput) {
    const json wanted{{5, 6, 5, 7, 8, 4, 3, 4, 10, 9, 10, 2, 0, 1, 11, 1},
                      {7, 10, 6, 8, 6, 11, 8, 9, 2, 4, 5, 1, 5, 0, 3, 1}};
    const std::string path = file(kExample);
    const Output output = run_node(with({"place", "--loads", path, "--json"}, order));
    ASSERT_EQ(output.status, 0) << output.error;
    ASSERT_EQ(output.lines().size(), 1u);
    const json placed = output.lines()[0];
    EXPECT_EQ(placed.size(), 3u);
    EXPECT_EQ(placed.at("physical_to_logical"), wanted);
    EXPECT_EQ(placed.at("logical_to_physical").at(1).size(), 12u);
    EXPECT_EQ(placed.at("logical_count").at(1), json({1, 2, 1, 1, 1, 2, 2, 1, 2, 1, 1, 1}));

    const std::string out = (folder / "out.json").string();
    const std::string command = node_program().string() +
                                " place --loads - --replicas 16 --groups 4 --nodes 2 --gpus 8 --json < '" + path +
                                "' > '" + out + "'";
    ASSERT_EQ(std::system(command.c_str()), 0);
    EXPECT_EQ(json::parse(read_text(out)), placed);
}

TEST_F(Place, TheTableSaysBeforeAfterAndWhoIsDoubled) {
    const Output output = run_node(with({"place", "--loads", file(kExample)}, order));
    ASSERT_EQ(output.status, 0) << output.error;
    EXPECT_NE(output.out.find("experts 12, places 16, devices 8, nodes 2, groups 4: hierarchical"), std::string::npos)
        << output.out;
    EXPECT_NE(output.out.find("1 (2), 4 (2), 5 (2), 10 (2)"), std::string::npos) << output.out;
    EXPECT_NE(output.out.find("\nall "), std::string::npos) << output.out;
    const Output global = run_node(
        {"place", "--loads", file(kExample), "--replicas", "16", "--groups", "4", "--nodes", "8", "--gpus", "8"});
    ASSERT_EQ(global.status, 0) << global.error;
    EXPECT_NE(global.out.find("global"), std::string::npos) << global.out;
}

TEST_F(Place, TheLoadsOfARunAreThoseOfItsLatestSteps) {
    const std::string path = session(5);
    const Arguments places{"--replicas", "4", "--gpus", "2"};
    const Output output = run_node(with({"place", "--session", path, "--steps", "2"}, places));
    ASSERT_EQ(output.status, 0) << output.error;
    // Steps 4 and 5 gave the experts of layer 0 9, 18, 27 and 36 tokens: 36 with 9 and 27 with 18, half of it in a
    // step. In layer 1 each has two more.
    for (const char* row : {"0        0                22.5   3 0", "0        1                22.5   2 1",
                            "1        0                24.5   3 0", "1        1                24.5   2 1"}) {
        EXPECT_NE(output.out.find(row), std::string::npos) << row << "\n" << output.out;
    }
    EXPECT_EQ(run_node(with({"place", "--session", path, "--run", "1"}, places)).status, 0);
    const Output missing = run_node(with({"place", "--session", path, "--run", "2"}, places));
    EXPECT_EQ(missing.status, 1);
    EXPECT_NE(missing.error.find("has no training run 2"), std::string::npos) << missing.error;
}

TEST_F(Place, DevicesWaitForTheFullestOneOfEachStep) {
    // All tokens of layer 0 go to one expert, to the next one in each step; over four steps that is even.
    const std::string path =
        session(4, [](int step, int layer, int expert) { return layer == 0 ? (step % 4 == expert ? 12 : 0) : 4; });
    const Output output = run_node({"place", "--session", path, "--replicas", "4", "--gpus", "4"});
    ASSERT_EQ(output.status, 0) << output.error;
    EXPECT_NE(output.out.find("0           4.000    4.000    1.000"), std::string::npos) << output.out;
    EXPECT_NE(output.out.find("1           1.000    1.000    1.000"), std::string::npos) << output.out;
    EXPECT_NE(output.out.find("0        0                   3   0"), std::string::npos) << output.out;
}

TEST_F(Place, ALayerWithoutExpertsIsCalledDenseAndAPredictionModuleIsNotForgotten) {
    const Arguments places{"--replicas", "6", "--gpus", "2"};
    const auto tokens = [](int step, int layer, int expert) { return layer == 0 ? 0 : step * expert; };
    const std::string path =
        session(2, tokens, {{"config", {{"model", {{"dense_layers", 1}, {"prediction_depth", 1}}}}}});
    const std::string module = "the experts of the prediction module (layer 2) are not placed";
    const Output output = run_node(with({"place", "--session", path}, places));
    ASSERT_EQ(output.status, 0) << output.error;
    EXPECT_NE(output.out.find("\n0        dense, without experts\n1  "), std::string::npos) << output.out;
    EXPECT_EQ(output.out.find("\n0        0 "), std::string::npos) << output.out;
    EXPECT_NE(output.error.find(module), std::string::npos) << output.error;
    const Output placed = run_node(with({"place", "--session", path, "--json"}, places));
    ASSERT_EQ(placed.status, 0) << placed.error;
    EXPECT_NE(placed.error.find(module), std::string::npos) << placed.error;
    for (const char* key : {"physical_to_logical", "logical_to_physical", "logical_count"}) {
        EXPECT_TRUE(placed.lines()[0].at(key).at(0).is_null()) << key;
        EXPECT_FALSE(placed.lines()[0].at(key).at(1).is_null()) << key;
    }
    // A file says it as the answer does.
    const Output from_file = run_node(with({"place", "--loads", file("[null, [1, 2, 3, 4]]")}, places));
    ASSERT_EQ(from_file.status, 0) << from_file.error;
    EXPECT_NE(from_file.out.find("\n0        dense, without experts\n1  "), std::string::npos) << from_file.out;
    EXPECT_EQ(from_file.error, "");
}

TEST_F(Place, WhatIsWrongIsOneSentence) {
    const auto fails = [&](const Arguments& arguments, int status, const std::string& words) {
        const Output output = run_node(arguments);
        EXPECT_EQ(output.status, status) << words;
        EXPECT_EQ(output.out, "");
        EXPECT_NE(output.error.find(words), std::string::npos) << output.error;
        EXPECT_EQ(std::count(output.error.begin(), output.error.end(), '\n'), 1) << output.error;
    };
    const std::string path = file(kExample);
    fails({"place", "--loads", path, "--replicas", "15", "--gpus", "8"}, 1, "15 places cannot be shared evenly by 8");
    fails({"place", "--loads", path, "--replicas", "16", "--gpus", "8", "--groups", "5"}, 1,
          "12 experts cannot be divided into 5 groups");
    fails({"place", "--loads", path, "--replicas", "16", "--gpus", "8", "--nodes", "3", "--groups", "3"}, 1,
          "8 devices cannot be shared evenly by 3 nodes");
    fails({"place", "--loads", path, "--replicas", "16", "--gpus", "8", "--nodes", "3"}, 1,
          "8 devices cannot be shared evenly by 3 nodes");
    fails({"place", "--loads", path, "--replicas", "16", "--gpus", "8", "--nodes", "2", "--groups", "5"}, 1,
          "12 experts cannot be divided into 5 groups");
    fails({"place", "--loads", path, "--replicas", "8", "--gpus", "8"}, 1, "8 places are too few for 12 experts");
    fails({"place", "--loads", path, "--replicas", "-16", "--gpus", "8"}, 2, "--replicas");
    fails({"place", "--loads", path, "--replicas", "16", "--gpus", "0"}, 2, "--gpus");
    fails({"place", "--loads", path, "--replicas", "16"}, 2, "--gpus is required");
    fails({"place", "--replicas", "16", "--gpus", "8"}, 2, "--loads");
    fails({"place", "--loads", path, "--session", path, "--replicas", "16", "--gpus", "8"}, 2, "--session");
    fails({"place", "--loads", path, "--run", "1", "--replicas", "16", "--gpus", "8"}, 2, "--session");
    fails({"place", "--loads", (folder / "none.json").string(), "--replicas", "16", "--gpus", "8"}, 1, "none.json");
    fails({"place", "--loads", file("[[1, 2], [3]]"), "--replicas", "16", "--gpus", "8"}, 1,
          "has 1 experts in layer 1 but 2 in layer 0");
    fails({"place", "--session", (folder / "none").string(), "--replicas", "16", "--gpus", "8"}, 1, "none");
}

}  // namespace
}  // namespace moescope::test
