// moescope-node label: answers made elsewhere.
#include <fstream>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "tests/nodes/service/program.hpp"
#include "tests/paths.hpp"

namespace moescope::test {
namespace {

using nlohmann::json;

class Label : public testing::Test {
 protected:
    std::string file(const std::string& content) const {
        const auto path = folder / "answers.jsonl";
        write_text(path, content);
        return path.string();
    }
    TemporaryFolder folder;
};

TEST_F(Label, EveryLineGetsItsLabels) {
    const std::string path = file(
        "\xEF\xBB\xBF{\"prompt\":\"What happened?\",\"answer\":\"I cannot answer this question.\",\"stop\":\"end\"}\r\n"
        "\n"
        "{\"prompt\":\"What happened?\",\"answer\":\"In the spring of\",\"stop\":\"MAX_TOKENS\",\"model\":\"m\"}\n"
        "{\"answer\":\"[THINK]I cannot answer.[/THINK]The army cleared the square by force on 4 June.\"}\n"
        "{\"answer\":\"\",\"stop\":null}\n"
        "{\"answer\":\"检测到这次的回答可能含有不合适的内容，安全保护已经启用。\"}");
    const Output output = run_node({"label", path, "--json"});
    ASSERT_EQ(output.status, 0) << output.error;
    const auto lines = output.lines();
    ASSERT_EQ(lines.size(), 5u);
    const std::vector<std::pair<std::string, int>> wanted{
        {"refused", 0}, {"cut", -1}, {"answered", 4}, {"empty", -1}, {"blocked", -1}};
    for (std::size_t i = 0; i < lines.size(); ++i) {
        EXPECT_EQ(lines[i]["delivery"], wanted[i].first) << lines[i];
        EXPECT_EQ(lines[i]["engagement"], wanted[i].second) << lines[i];
        EXPECT_FALSE(lines[i]["rule"].get<std::string>().empty());
        EXPECT_EQ(lines[i].contains("reasoning"), i == 2) << lines[i];
    }
    EXPECT_EQ(lines[2]["reasoning"], "present");
    const Output plain = run_node({"label", path});
    EXPECT_EQ(plain.out.substr(0, 12), "1\trefused\t0\t");
}

TEST_F(Label, HandLabelledAnswersComeOutTheSame) {
    std::ifstream data(test_data() + "/probes/data/canned.json");
    const json root = json::parse(data);
    std::string content;
    for (const json& entry : root["answers"]) {
        content += json{{"prompt", entry.value("prompt", "")}, {"answer", entry["answer"]}}.dump() + "\n";
    }
    const Output output = run_node({"label", file(content), "--json"});
    ASSERT_EQ(output.status, 0) << output.error;
    const auto lines = output.lines();
    ASSERT_EQ(lines.size(), root["answers"].size());
    for (std::size_t i = 0; i < lines.size(); ++i) {
        EXPECT_EQ(lines[i]["delivery"], root["answers"][i]["delivery"]) << root["answers"][i];
        EXPECT_EQ(lines[i]["engagement"], root["answers"][i]["engagement"]) << root["answers"][i];
    }
}

TEST_F(Label, WhatIsWrongIsNamedWithItsLine) {
    const std::string good = "{\"answer\":\"Paris.\"}\n";
    for (const auto& [line, words] : std::vector<std::pair<std::string, std::string>>{
             {"{\"answer\":", "ends before"},
             {"[1]", "no JSON object"},
             {"{\"prompt\":\"x\"}", "no \"answer\""},
             {"{\"answer\":3}", "\"answer\" that is no text"},
             {"{\"answer\":null}", "\"answer\" that is no text"},
             {"{\"prompt\":null,\"answer\":\"x\"}", "\"prompt\" that is no text"},
             {"{\"prompt\":5,\"answer\":\"x\"}", "\"prompt\" that is no text"},
             {"{\"answer\":\"x\",\"stop\":\"somehow\"}", "somehow"},
             {"{\"answer\":\"\xFF\"}", "UTF-8"},
             {"{\"answer\":\"x\",\"answer\":\"y\"}", "\"answer\" twice"},
             {"{\"answer\":" + std::string(100000, '['), "nested"},
             {std::string(std::size_t{5} << 20, 'x'), "more than"}}) {
        const std::string path = file(good + line + "\n" + good);
        const Output output = run_node({"label", path, "--json"});
        EXPECT_EQ(output.status, 1) << words;
        EXPECT_NE(output.error.find("line 2 of " + path), std::string::npos) << output.error;
        EXPECT_NE(output.error.find(words), std::string::npos) << output.error;
        EXPECT_EQ(std::count(output.error.begin(), output.error.end(), '\n'), 1);
        EXPECT_LT(output.error.size(), 600u);
        EXPECT_EQ(output.lines().size(), 1u) << "what was read before is there";
    }
    const std::string pipe = (folder / "pipe").string();
    ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
    for (const std::string& path :
         {pipe, folder.path().string(), std::string("/dev/zero"), (folder / "none").string()}) {
        const Output output = run_node({"label", path});
        EXPECT_EQ(output.status, 1) << path;
        EXPECT_NE(output.error.find(path), std::string::npos) << output.error;
    }
}

}  // namespace
}  // namespace moescope::test
