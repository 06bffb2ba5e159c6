// Values of command parameters that are none, for all commands alike: null where something may be left out, paths that
// no file has. They fail with one sentence that names the parameter, and change nothing.
#include <climits>
#include <gtest/gtest.h>

#include "tests/nodes/service/workbench.hpp"

namespace moescope::test {
namespace {

using nlohmann::json;

class Values : public testing::Test {
 protected:
    std::string refusal(const std::string& command, json parameters, const std::string& key, const json& value) {
        parameters[key] = value;
        SCOPED_TRACE(command + " " + parameters.dump().substr(0, 200));
        const std::string sentence = bench.failed(command, parameters);
        EXPECT_NE(sentence.find(key), std::string::npos) << sentence;
        EXPECT_LT(sentence.size(), 1000u) << sentence;
        return sentence;
    }
    TemporaryFolder folder;
    Workbench bench{folder / "session"};
};

TEST_F(Values, NullIsNoWayToLeaveAParameterOut) {
    struct Optional {
        const char* command;
        json needed;  ///< what the command has to have
        std::vector<const char*> keys;
    };
    const json models = {"a", "b"};
    const std::vector<Optional> all = {
        {"train.plan", json::object(), {"config", "preset"}},
        {"train.start", {{"preset", "workshop"}}, {"preset", "data", "steps", "seed", "name", "paused"}},
        {"train.start", json::object(), {"config"}},
        {"train.step", {{"run", 1}}, {"count"}},
        {"train.set", {{"run", 1}}, {"learning_rate"}},
        {"reproduce.check", {{"run", 1}}, {"session", "threads", "device"}},
        {"reproduce.start", {{"run", 1}}, {"session", "threads", "device", "name"}},
        {"train.fork", {{"run", 1}}, {"step", "steps", "name", "paused"}},
        {"generate.start",
         {{"model", "a"}, {"prompt", "x"}},
         {"group", "max_tokens", "temperature", "top_k", "top_p", "min_p", "seed", "alternatives", "chat", "system",
          "threads", "routing", "interventions", "set"}},
        {"route.start",
         {{"model", "a"}, {"text", "x"}},
         {"chat", "tokens", "first", "item", "language", "draw", "detail", "interventions", "set", "group", "title"}},
        {"route.start", {{"model", "a"}}, {"text", "data", "run", "tokens_of"}},
        {"route.effect",
         {{"model", "a"}, {"text", "x"}},
         {"chat", "item", "language", "draw", "detail", "interventions", "set", "controls", "seed", "group", "title"}},
        {"route.sweep", {{"model", "a"}, {"layer", 0}, {"texts", {"x", "y"}}}, {"group", "title"}},
        {"route.import",
         {{"path", (folder / "session").string()}, {"format", "vllm"}},
         {"config", "model", "layers", "experts", "experts_per_token", "group", "title"}},
        {"route.export", {{"run", 1}, {"path", (folder / "r.html").string()}, {"format", "csv"}}, {"replace"}},
        {"models.export",
         {{"model", "a"}, {"path", (folder / "r.html").string()}, {"format", "gguf"}},
         {"precision", "router", "replace"}},
        {"probe.start",
         {{"set", "starter"}, {"models", models}},
         {"languages", "draws", "max_tokens", "temperature", "seed", "limit", "chat", "system"}},
        {"probe.label",
         {{"run", 1}, {"item", "i"}, {"model", "a"}, {"language", "en"}, {"field", "delivery"}, {"value", "refused"}},
         {"draw", "coder"}},
        {"probe.plan", {{"items", 3}}, {"draws", "models"}},
        {"report.write", {{"path", (folder / "r.html").string()}}, {"language", "replace"}}};
    for (const Optional& each : all) {
        for (const char* key : each.keys) {
            const std::string sentence = refusal(each.command, each.needed, key, nullptr);
            EXPECT_NE(sentence.find("null"), std::string::npos) << each.command << ": " << sentence;
        }
    }
    // Of what must be there, too.
    for (const auto& [command, key] : std::vector<std::pair<const char*, const char*>>{{"models.add", "path"},
                                                                                       {"models.inspect", "path"},
                                                                                       {"models.export", "model"},
                                                                                       {"models.remove", "name"},
                                                                                       {"report.write", "path"},
                                                                                       {"task.cancel", "id"},
                                                                                       {"train.pause", "run"},
                                                                                       {"train.continue", "run"},
                                                                                       {"train.steps", "run"},
                                                                                       {"generate.cancel", "run"},
                                                                                       {"route.cancel", "run"},
                                                                                       {"route.export", "run"},
                                                                                       {"interventions.remove", "name"},
                                                                                       {"interventions.save", "name"},
                                                                                       {"probe.pause", "run"}}) {
        EXPECT_NE(refusal(command, json::object(), key, nullptr).find("null"), std::string::npos) << command;
    }
    EXPECT_TRUE(bench.client().snapshot()->training.empty());
    EXPECT_FALSE(std::filesystem::exists(folder / "r.html"));
}

TEST_F(Values, APresetAndAConfigurationAreNotTakenForOne) {
    const json both = {{"preset", "workshop"}, {"config", tiny_config(1, 1)}};
    for (const char* command : {"train.plan", "train.start"}) {
        const std::string sentence = bench.failed(command, both);
        EXPECT_NE(sentence.find("give one of them"), std::string::npos) << command << ": " << sentence;
    }
    EXPECT_TRUE(bench.client().snapshot()->training.empty());
}

/// A configuration of null is no configuration left out, either: a fork would go on with other settings than meant.
TEST_F(Values, AForkWithNullForItsConfigurationIsRefused) {
    const auto corpus = write_corpus(folder);
    const auto run =
        bench.done("train.start", {{"config", tiny_config(2, 2)}, {"data", corpus.string()}}).value("run", 0u);
    bench.wait("the end", in_state(run, RunState::done));
    const std::string sentence =
        bench.failed("train.fork", {{"run", run}, {"step", 2}, {"steps", 4}, {"config", nullptr}});
    EXPECT_NE(sentence.find("null"), std::string::npos) << sentence;
}

TEST_F(Values, PathsThatNoFileHasAreNamed) {
    const std::string good = (folder / "x").string();
    const json models = {"a", "b"};
    struct Path {
        const char* command;
        json needed;
        const char* key;
    };
    const std::vector<Path> all = {{"models.add", json::object(), "path"},
                                   {"models.inspect", json::object(), "path"},
                                   {"report.write", json::object(), "path"},
                                   {"train.start", {{"preset", "workshop"}}, "data"},
                                   {"generate.start", {{"prompt", "x"}}, "model"},
                                   {"probe.start", {{"models", models}}, "set"},
                                   {"route.start", {{"text", "x"}}, "model"},
                                   {"route.start", {{"model", "a"}}, "data"},
                                   {"route.import", {{"format", "vllm"}}, "path"},
                                   {"route.export", {{"run", 1}, {"format", "csv"}}, "path"},
                                   {"models.export", {{"path", good}, {"format", "gguf"}}, "model"},
                                   {"models.export", {{"model", "a"}, {"format", "gguf"}}, "path"}};
    for (const Path& each : all) {
        EXPECT_NE(refusal(each.command, each.needed, each.key, "").find("is empty"), std::string::npos);
        EXPECT_NE(refusal(each.command, each.needed, each.key, good + std::string("\0y", 2)).find("zero byte"),
                  std::string::npos);
        EXPECT_NE(refusal(each.command, each.needed, each.key, "/" + std::string(PATH_MAX, 'x')).find("at most 4095"),
                  std::string::npos);
    }
    const json list = {"a", ""};
    EXPECT_NE(refusal("probe.start", {{"set", "starter"}}, "models", list).find("is empty"), std::string::npos);
    // What only the system finds wrong is told in its words, not in those of a library.
    const std::string long_name(300, 'n');
    for (const auto& [command, needed, key] : all) {
        json parameters = needed;
        for (const std::string& path : {long_name, "/" + long_name + "/x", std::string("no/such/place/x")}) {
            parameters[key] = path;
            const auto result = bench.ask(command, parameters);
            const std::string sentence =
                result.error.empty() ? result.value.value("problem", "") : result.error.english();
            EXPECT_FALSE(sentence.empty()) << command;
            EXPECT_EQ(sentence.find("filesystem"), std::string::npos) << command << ": " << sentence;
            EXPECT_EQ(sentence.find("cannot"), std::string::npos) << command << ": " << sentence;
        }
    }
    EXPECT_NE(bench.failed("train.start", {{"preset", long_name}}).find("there is no preset"), std::string::npos);
    EXPECT_TRUE(bench.client().snapshot()->training.empty());
}

}  // namespace
}  // namespace moescope::test
