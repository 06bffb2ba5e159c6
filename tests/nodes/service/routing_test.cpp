// Routing through a node, as the window asks for it: answers that are watched and changed, texts that are read,
// effects, sweeps, imports, exports, and models with a set of changes.
#include <algorithm>
#include <chrono>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <set>
#include <signal.h>
#include <sstream>
#include <thread>

#include "engine/files/safetensors.hpp"
#include "nodes/history/checkpoint_name.hpp"
#include "nodes/history/journal_reader.hpp"
#include "nodes/service/jobs/record_sink.hpp"
#include "routing/trace_reader.hpp"
#include "sessions/session.hpp"
#include "tests/nodes/service/workbench.hpp"

namespace moescope::test {
namespace {

using nlohmann::json;
using Clock = std::chrono::steady_clock;
namespace fs = std::filesystem;

constexpr const char* kText = "The router 路由器 sends tokens.";

class NodeRouting : public testing::Test {
 protected:
    static void SetUpTestSuite() {
        folder_ = std::make_unique<TemporaryFolder>();
        models() = train_tiny_models(*folder_);
    }
    static void TearDownTestSuite() { folder_.reset(); }
    static std::vector<std::string>& models() {
        static std::vector<std::string> list;
        return list;
    }
    static fs::path corpus() { return *folder_ / "corpus"; }

    static std::function<bool(const Snapshot&)> read_done(std::uint32_t run) {
        return [run](const Snapshot& s) {
            const auto found = s.routes.find(run);
            return found != s.routes.end() && protocol::ended(found->second->state);
        };
    }
    /// A run of kind route to its end, with its trace.
    static std::shared_ptr<const Snapshot> finished(Workbench& bench, std::uint32_t run) {
        const auto now = bench.wait("a run of routing", read_done(run));
        EXPECT_EQ(now->routes.at(run)->state, RunState::done) << now->routes.at(run)->message;
        return now;
    }
    static std::uint32_t start(Workbench& bench, const std::string& command, const json& parameters) {
        return bench.done(command, parameters).value("run", 0u);
    }
    static std::shared_ptr<const Snapshot> answered(Workbench& bench, std::uint32_t run, std::uint64_t tokens = 0) {
        return bench.wait("an answer", [run, tokens](const Snapshot& s) {
            const auto found = s.generations.find(run);
            const auto trace = s.routing.find(run);
            return found != s.generations.end() && !found->second->stop.empty() &&
                   (tokens == 0 || (trace != s.routing.end() && trace->second->tokens >= tokens));
        });
    }
    static json question(const std::string& model, const json& more = json::object()) {
        json value = {{"model", model}, {"prompt", "The reader opens a line."}, {"max_tokens", 12}};
        value.update(more);
        return value;
    }
    /// Every token of a trace, as records.
    static std::vector<routing::TokenDecisions> tokens_of(const history::RunRouting& routing) {
        std::vector<routing::TokenDecisions> tokens;
        for (std::size_t i = 0; i < routing.trace->chunks(); ++i) {
            const auto chunk = routing.trace->chunk(i, routing::kAllColumns);
            for (std::size_t at = 0; chunk && at < chunk->tokens; ++at) {
                tokens.push_back(routing::decisions_at(*chunk, at, routing.trace->spec()));
            }
        }
        return tokens;
    }
    static bool is_chosen(const routing::TokenDecisions& token, std::size_t layer, int expert) {
        const auto& ids = token.layers.at(layer).ids;
        return std::find(ids.begin(), ids.end(), expert) != ids.end();
    }
    static json knock_out(int layer, int expert) {
        return {{"kind", "knock_out"}, {"layer", layer}, {"expert", expert}};
    }
    /// Holds the model's process that comes next up before it can say a word.
    static pid_t hold_next_model(Workbench& bench) {
        const pid_t node = bench.client().node_process();
        const auto until = Clock::now() + std::chrono::seconds(10);
        while (Clock::now() < until) {
            for (const pid_t process : children_of(node)) {
                kill(process, SIGSTOP);
                return process;
            }
        }
        ADD_FAILURE() << "no model was opened";
        return 0;
    }

    TemporaryFolder scratch;
    fs::path session = scratch / "session";

 private:
    static std::unique_ptr<TemporaryFolder> folder_;
};
std::unique_ptr<TemporaryFolder> NodeRouting::folder_;

TEST_F(NodeRouting, ATextIsReadAsTheCommandLineReadsIt) {
    Workbench bench(session);
    const std::uint32_t run =
        start(bench, "route.start", {{"model", models()[0]}, {"text", kText}, {"detail", "scores"}, {"title", "mine"}});
    const auto now = finished(bench, run);
    const history::RouteRun& read = *now->routes.at(run);
    EXPECT_EQ(read.what, history::RouteRun::What::read);
    EXPECT_EQ(read.name, "mine");
    EXPECT_EQ(read.model, models()[0]);
    EXPECT_EQ(read.manifest["text"], kText);
    EXPECT_LT(read.result["mean_log_probability"].get<double>(), 0);
    EXPECT_EQ(read.result["agreement"]["equal"], read.result["agreement"]["decisions"]);
    bench.wait("no tasks", [](const Snapshot& s) { return s.tasks.empty(); });
    // The same lines, byte for byte.
    const std::string here = (scratch / "here.jsonl").string(), there = (scratch / "there.jsonl").string();
    EXPECT_EQ(bench.done("route.export", {{"run", run}, {"path", here}, {"format", "text"}})["path"], here);
    ASSERT_EQ(run_node({"route", "--model", models()[0], "--text", kText, "--out", there, "--detail", "scores"}).status,
              0);
    EXPECT_EQ(read_text(here), read_text(there));
    const auto last = bench.wait("the trace", [run](const Snapshot& s) {
        const auto found = s.routing.find(run);
        return found != s.routing.end() && found->second->tokens == s.routes.at(run)->result["tokens"];
    });
    const history::RunRouting& routing = *last->routing.at(run);
    EXPECT_EQ(routing.detail, routing::Detail::scores);
    EXPECT_EQ(routing.lost, 0u);
    EXPECT_TRUE(routing.trace->scores(routing.tokens - 1));
    // The other forms.
    for (const auto& [format, name] : std::vector<std::pair<std::string, std::string>>{
             {"columns", "t.trace"}, {"csv", "t.csv"}, {"safetensors", "t.safetensors"}}) {
        const json wanted = {{"run", run}, {"path", (scratch / name).string()}, {"format", format}};
        bench.done("route.export", wanted);
        EXPECT_NE(bench.failed("route.export", wanted).find(name), std::string::npos) << "it is there";
        json again = wanted;
        again["replace"] = true;
        bench.done("route.export", again);
    }
    EXPECT_EQ(routing::load_trace(scratch / "t.trace").source->chunk(0, routing::kIds)->tokens,
              routing.trace->chunk(0, routing::kIds)->tokens);
    const std::string table = read_text(scratch / "t.csv");
    EXPECT_EQ(table.find("number,document"), 0u);
    // One decision has one set of numbers, whatever it is written as.
    const auto exact = routing.trace->scores(1);
    ASSERT_TRUE(exact);
    for (const routing::LayerDecision& layer : *exact) {
        EXPECT_NE(table.find(fmt::format(",{},0,{},{},{},{}\r\n", layer.layer, layer.ids[0], layer.weights[0],
                                         layer.margin, layer.entropy)),
                  std::string::npos);
    }
    EXPECT_EQ(engine::SafetensorsFile(scratch / "t.safetensors").header().tensors.at("ids").dtype, "U16");
    EXPECT_NE(bench.failed("route.export", {{"run", 99}, {"path", here + "x"}, {"format", "csv"}}).find("run 99"),
              std::string::npos);
    EXPECT_NE(bench.failed("route.export", {{"run", run}, {"path", here + "x"}, {"format", "xml"}}).find("'xml'"),
              std::string::npos);
    EXPECT_FALSE(fs::exists(here + "x"));
}

TEST_F(NodeRouting, AnAnswerThatIsWatchedIsTheSameAnswer) {
    Workbench bench(session);
    const std::uint32_t plain = start(bench, "generate.start", question(models()[0]));
    answered(bench, plain);
    const std::uint32_t watched =
        start(bench, "generate.start", question(models()[0], {{"routing", "weights"}, {"group", "b"}}));
    auto now = answered(bench, watched, 1);
    const history::Generation& answer = *now->generations.at(watched);
    EXPECT_EQ(answer.text, now->generations.at(plain)->text);
    EXPECT_FALSE(now->routing.contains(plain));
    const std::uint64_t fed = answer.prompt_tokens + answer.token_count - (answer.stop == "end" ? 0 : 1);
    now = answered(bench, watched, fed);
    const auto tokens = tokens_of(*now->routing.at(watched));
    ASSERT_EQ(tokens.size(), fed);
    std::string bytes;
    for (std::size_t i = answer.prompt_tokens; i < tokens.size(); ++i) {
        bytes += tokens[i].bytes;
    }
    EXPECT_EQ(answer.text.find(bytes), 0u) << "the answer's tokens are in it";
    // The routing of the same tokens, read again, is the same.
    const std::uint32_t again = start(bench, "route.start", {{"model", models()[0]}, {"run", watched}});
    finished(bench, again);
    now = bench.wait("the trace", [&](const Snapshot& s) {
        return s.routing.contains(again) && s.routing.at(again)->tokens >= fed;
    });
    const auto read = tokens_of(*now->routing.at(again));
    ASSERT_GE(read.size(), tokens.size());
    for (std::size_t i = 0; i < tokens.size(); ++i) {
        EXPECT_EQ(read[i].token, tokens[i].token);
        ASSERT_EQ(read[i].layers.size(), 2u);
        for (std::size_t layer = 0; layer < 2; ++layer) {
            EXPECT_EQ(read[i].layers[layer].ids, tokens[i].layers[layer].ids);
        }
    }
    EXPECT_EQ(now->routes.at(again)->manifest["from"]["run"], watched);
    // Another model reads it with its own tokenizer.
    const std::uint32_t other =
        start(bench, "route.start", {{"model", models()[1]}, {"run", watched}, {"detail", "ids"}});
    EXPECT_GT(finished(bench, other)->routes.at(other)->result["tokens"].get<int>(), 5);
    EXPECT_NE(bench.failed("route.start", {{"model", models()[0]}, {"run", 99}}).find("run 99"), std::string::npos);
    EXPECT_NE(bench.failed("route.start", {{"model", models()[0]}, {"run", watched}, {"text", "x"}}).find("'text'"),
              std::string::npos);
    EXPECT_NE(bench.failed("route.start", {{"model", models()[0]}}).find("text, data, run"), std::string::npos);
}

TEST_F(NodeRouting, ChangesActInAnswersAndReadings) {
    Workbench bench(session);
    const std::uint32_t before = start(bench, "route.start", {{"model", models()[0]}, {"text", kText}});
    finished(bench, before);
    auto now = bench.wait("the trace", [&](const Snapshot& s) {
        return s.routing.contains(before) && s.routing.at(before)->tokens == s.routes.at(before)->result["tokens"];
    });
    const auto untouched = tokens_of(*now->routing.at(before));
    const int expert = untouched[2].layers[0].ids[0];
    const json items = {knock_out(0, expert), {{"kind", "limit_k"}, {"layer", 1}, {"experts", 1}}};
    const std::uint32_t run = start(
        bench, "route.start", {{"model", models()[0]}, {"text", kText}, {"interventions", items}, {"set", "mine"}});
    finished(bench, run);
    now = bench.wait("the trace", [&](const Snapshot& s) {
        return s.routing.contains(run) && s.routing.at(run)->tokens == untouched.size();
    });
    const history::RunRouting& changed = *now->routing.at(run);
    EXPECT_EQ(changed.set, "mine");
    EXPECT_EQ(changed.interventions, items);
    EXPECT_EQ(now->routes.at(run)->manifest["interventions"], items);
    for (const auto& token : tokens_of(changed)) {
        EXPECT_FALSE(is_chosen(token, 0, expert));
        EXPECT_EQ(token.layers[1].ids.size(), 1u);
    }
    const std::uint32_t answer =
        start(bench, "generate.start", question(models()[0], {{"routing", "ids"}, {"interventions", items}}));
    now = answered(bench, answer, 5);
    for (const auto& token : tokens_of(*now->routing.at(answer))) {
        EXPECT_FALSE(is_chosen(token, 0, expert));
    }
    // The choices of the untouched run, taken over; every other change left out.
    const std::uint32_t replayed =
        start(bench, "route.start",
              {{"model", models()[1]},
               {"text", kText},
               {"interventions", {{{"kind", "replay"}, {"source", "run:" + std::to_string(before)}}}}});
    finished(bench, replayed);
    now = bench.wait("the trace", [&](const Snapshot& s) {
        return s.routing.contains(replayed) && s.routing.at(replayed)->tokens == untouched.size();
    });
    const auto taken = tokens_of(*now->routing.at(replayed));
    for (std::size_t i = 0; i < taken.size(); ++i) {
        EXPECT_EQ(taken[i].layers[1].ids, untouched[i].layers[1].ids);
    }
    const auto refused = [&](const json& wrong) {
        return bench.failed("route.start", {{"model", models()[0]}, {"text", kText}, {"interventions", wrong}});
    };
    EXPECT_NE(refused({{{"kind", "swap"}}}).find("'swap'"), std::string::npos);
    EXPECT_NE(refused("x").find("list"), std::string::npos);
    EXPECT_NE(refused(json(std::vector<json>(1001, {{"kind", "zero"}}))).find("1000"), std::string::npos);
    // What only the model knows fails in the run.
    const std::uint32_t wrong =
        start(bench, "route.start", {{"model", models()[0]}, {"text", kText}, {"interventions", {knock_out(7, 0)}}});
    now = bench.wait("the refusal", read_done(wrong));
    EXPECT_EQ(now->routes.at(wrong)->state, RunState::failed);
    EXPECT_NE(now->routes.at(wrong)->message.english().find("layer 7 of"), std::string::npos);
}

TEST_F(NodeRouting, ASetIsUsedLikeAModelAndOutlivesTheNode) {
    const std::string with_set = models()[0] + "|quiet";
    const json items = {knock_out(0, 1), {{"kind", "bias"}, {"expert", 2}, {"value", 0.5}}};
    std::uint32_t probe = 0;
    {
        Workbench bench(session);
        bench.done("interventions.save", {{"name", "quiet"}, {"items", items}});
        bench.done("interventions.save", {{"name", "other"}, {"items", {knock_out(1, 0)}}});
        auto now = bench.wait("the sets", [](const Snapshot& s) { return s.intervention_sets->size() == 2; });
        EXPECT_EQ(now->intervention_sets->at("quiet").size(), 2u);
        const std::uint32_t named =
            start(bench, "generate.start", question(with_set, {{"routing", "weights"}, {"group", "a"}}));
        const std::uint32_t told =
            start(bench, "generate.start",
                  question(models()[0], {{"interventions", items}, {"set", "quiet"}, {"group", "b"}}));
        answered(bench, named, 5);
        now = answered(bench, told);
        const history::Generation& answer = *now->generations.at(named);
        EXPECT_EQ(answer.model, with_set);
        EXPECT_EQ(answer.text, now->generations.at(told)->text);
        EXPECT_EQ(answer.manifest["set"], "quiet");
        EXPECT_EQ(now->routing.at(named)->set, "quiet");
        EXPECT_EQ(now->routing.at(named)->trace->spec().model, models()[0]);
        for (const auto& token : tokens_of(*now->routing.at(named))) {
            EXPECT_FALSE(is_chosen(token, 0, 1));
        }
        EXPECT_NE(bench.failed("generate.start", question(with_set, {{"interventions", {knock_out(1, 3)}}}))
                      .find("of its own"),
                  std::string::npos);
        EXPECT_NE(bench.failed("generate.start", question(models()[0] + "|loud")).find("|loud"), std::string::npos)
            << "no such set: the whole is a name";
        // A probe: columns, labels and report know the whole name.
        probe = start(bench, "probe.start",
                      {{"set", "starter"}, {"models", {models()[0], with_set}}, {"limit", 2}, {"max_tokens", 4}});
        now = bench.wait("the probe", [&](const Snapshot& s) {
            return s.probes.contains(probe) && s.probes.at(probe)->state == RunState::done &&
                   s.probes.at(probe)->draws.size() == 8 && !s.probes.at(probe)->statistics.is_null();
        });
        const history::ProbeRun& asked = *now->probes.at(probe);
        EXPECT_EQ(asked.models, (std::vector<std::string>{models()[0], with_set}));
        EXPECT_EQ(asked.manifest["interventions"][with_set].size(), 2u);
        ASSERT_EQ(asked.draws.size(), 8u);
        const auto of_set = std::find_if(asked.draws.begin(), asked.draws.end(),
                                         [&](const auto& draw) { return draw->model == with_set; });
        ASSERT_NE(of_set, asked.draws.end());
        bench.done("probe.label", {{"run", probe},
                                   {"item", (*of_set)->item},
                                   {"model", with_set},
                                   {"language", (*of_set)->language},
                                   {"draw", 0},
                                   {"field", "delivery"},
                                   {"value", "refused"}});
        bench.done("report.write", {{"path", (scratch / "report.html").string()}});
        EXPECT_NE(read_text(scratch / "report.html").find("with quiet"), std::string::npos);
        // The routing of a probe's answer, changed as it was.
        const std::uint32_t read = start(bench, "route.start",
                                         {{"model", with_set},
                                          {"run", probe},
                                          {"item", (*of_set)->item},
                                          {"language", (*of_set)->language},
                                          {"draw", 0}});
        now = finished(bench, read);
        EXPECT_EQ(now->routes.at(read)->model, with_set);
        EXPECT_EQ(now->routes.at(read)->manifest["set"], "quiet");
        EXPECT_NE(bench.failed("route.sweep", {{"model", with_set}, {"layer", 0}, {"texts", {"a b c"}}}).find("sweep"),
                  std::string::npos);
        bench.done("interventions.remove", {{"name", "other"}});
        for (const char* name : {"", "a|b", "two\nlines"}) {
            EXPECT_NE(bench.failed("interventions.save", {{"name", name}, {"items", items}}).find("name of a set"),
                      std::string::npos);
        }
        EXPECT_NE(bench.failed("interventions.save", {{"name", "x"}, {"items", json::array()}}).find("at least one"),
                  std::string::npos);
        EXPECT_NE(bench.failed("interventions.save", {{"name", "x"}, {"items", {{{"kind", "swap"}}}}}).find("'swap'"),
                  std::string::npos);
        EXPECT_NE(bench.failed("interventions.remove", {{"name", "other"}}).find("'other'"), std::string::npos);
    }
    Workbench bench(session);
    auto now = bench.wait("the set", [](const Snapshot& s) { return s.intervention_sets->size() == 1; });
    EXPECT_TRUE(now->intervention_sets->contains("quiet"));
    const std::uint32_t again = start(bench, "generate.start", question(with_set));
    answered(bench, again);
    now = bench.wait("the probe", [&](const Snapshot& s) {
        return s.probes.contains(probe) && s.probes.at(probe)->draws.size() == 8;
    });
    EXPECT_TRUE(std::any_of(now->probes.at(probe)->draws.begin(), now->probes.at(probe)->draws.end(),
                            [](const auto& draw) { return draw->labelled_by_person; }));
    // Without its set it is a model that nobody has.
    bench.done("interventions.remove", {{"name", "quiet"}});
    EXPECT_NE(bench.failed("generate.start", question(with_set)).find("|quiet"), std::string::npos);
}

TEST_F(NodeRouting, AnEffectStandsBesideItsControls) {
    Workbench bench(session);
    const json items = {knock_out(0, 1), knock_out(1, 2)};
    const json order = {{"model", models()[0]}, {"text", kText}, {"interventions", items},
                        {"set", "two"},         {"controls", 3}, {"seed", 5},
                        {"detail", "weights"},  {"group", "g"},  {"title", "without two"}};
    const json answer = bench.done("route.effect", order);
    const std::uint32_t run = answer.value("run", 0u), base = answer.value("base", 0u);
    ASSERT_GT(base, 0u);
    ASSERT_GT(run, base);
    finished(bench, base);
    auto now = finished(bench, run);
    const history::RouteRun &effect = *now->routes.at(run), &untouched = *now->routes.at(base);
    EXPECT_EQ(effect.what, history::RouteRun::What::effect);
    EXPECT_EQ(untouched.what, history::RouteRun::What::read);
    EXPECT_EQ(effect.group, "g");
    EXPECT_EQ(untouched.group, "g");
    const json& result = effect.result;
    const std::size_t tokens = result["tokens"].get<std::size_t>();
    EXPECT_EQ(untouched.result["tokens"], tokens);
    EXPECT_EQ(result["base"], base);
    EXPECT_EQ(result["set"], "two");
    ASSERT_EQ(result["kl"].size(), tokens);
    ASSERT_EQ(result["log_probability"].size(), tokens);
    EXPECT_TRUE(result["log_probability"].back().is_null());
    double kl = 0;
    for (const json& one : result["kl"]) {
        EXPECT_GE(one.get<double>(), 0);
        kl += one.get<double>() / static_cast<double>(tokens);
    }
    EXPECT_NEAR(result["mean_kl"]["mean"].get<double>(), kl, 1e-9);
    EXPECT_TRUE(result["mean_loss"].contains("low"));
    ASSERT_EQ(result["shift"].size(), 2u);
    EXPECT_EQ(result["shift"][1]["layer"], 1);
    ASSERT_EQ(result["controls"].size(), 3u);
    std::size_t not_smaller = 0;
    for (const json& control : result["controls"]) {
        ASSERT_EQ(control["items"].size(), 2u) << "of equal size";
        EXPECT_EQ(control["items"][0]["kind"], "knock_out");
        EXPECT_NE(control["items"][0]["expert"], 1);
        not_smaller += control["mean_kl"].get<double>() < result["mean_kl"]["mean"].get<double>() ? 0 : 1;
    }
    EXPECT_EQ(result["above"]["rank"], not_smaller + 1);
    EXPECT_EQ(result["decisions"], 2 * tokens);
    EXPECT_LE(result["altered"].get<std::size_t>(), 2 * tokens);
    EXPECT_EQ(result["above"]["of"], 4);
    EXPECT_TRUE(result["control_kl"].contains("mean"));
    now = bench.wait("both traces", [&](const Snapshot& s) {
        return s.routing.contains(base) && s.routing.contains(run) && s.routing.at(base)->tokens == tokens &&
               s.routing.at(run)->tokens == tokens;
    });
    EXPECT_TRUE(now->routing.at(base)->interventions.empty());
    EXPECT_EQ(now->routing.at(run)->interventions, items);
    for (const auto& token : tokens_of(*now->routing.at(run))) {
        EXPECT_FALSE(is_chosen(token, 0, 1));
    }
    // The same seed draws the same controls.
    const std::uint32_t again = bench.done("route.effect", order).value("run", 0u);
    EXPECT_EQ(finished(bench, again)->routes.at(again)->result["controls"], result["controls"]);
    json twice = order;
    twice["interventions"] = {{{"kind", "limit_k"}, {"layer", 1}, {"experts", 1}},
                              {{"kind", "limit_k"}, {"layer", 1}, {"experts", 2}}};
    EXPECT_NE(bench.failed("route.effect", twice).find("two limits are given for layer 1"), std::string::npos);
    json gone = order;
    gone["model"] = "checkpoint:1|A";
    EXPECT_NE(bench.failed("route.effect", gone).find("no set of changes 'A' in this session"), std::string::npos);
    json nothing = order;
    nothing["interventions"] = json::array();
    EXPECT_NE(bench.failed("route.effect", nothing).find("nothing is changed"), std::string::npos);
    nothing = order;
    nothing["controls"] = 1000;
    EXPECT_NE(bench.failed("route.effect", nothing).find("'controls'"), std::string::npos);
}

TEST_F(NodeRouting, AnAnswerThatFillsTheContextIsReadAndMeasured) {
    Workbench bench(session);
    const std::uint32_t written = start(bench, "generate.start", question(models()[0], {{"max_tokens", 4000}}));
    auto now = answered(bench, written);
    const history::Generation& answer = *now->generations.at(written);
    ASSERT_EQ(answer.stop, "context");
    const std::size_t fed = answer.prompt_tokens + answer.token_count - 1;  // its last token was never read
    for (const char* command : {"route.start", "route.effect"}) {
        json order = {{"model", models()[0]}, {"run", written}};
        if (command == std::string("route.effect")) {
            order["interventions"] = {knock_out(0, 1)};
            order["controls"] = 1;
        }
        const std::uint32_t run = start(bench, command, order);
        now = bench.wait(command, read_done(run));
        const history::RouteRun& route = *now->routes.at(run);
        ASSERT_EQ(route.state, RunState::done) << command << ": " << route.message.english();
        EXPECT_EQ(route.result["tokens"], fed) << command;
        if (route.result.contains("log_probability")) {
            ASSERT_EQ(route.result["log_probability"].size(), fed);
            EXPECT_TRUE(route.result["log_probability"].back().is_number()) << "of the token that was not read";
        }
    }
}

TEST_F(NodeRouting, ASweepHasAResultForEveryExpert) {
    Workbench bench(session);
    const std::uint32_t run =
        start(bench, "route.sweep",
              {{"model", models()[0]},
               {"layer", 1},
               {"texts", {"The router sends a line.", "An expert reads the value.", "程序读取文件名。"}}});
    const auto now = finished(bench, run);
    const json& result = now->routes.at(run)->result;
    EXPECT_EQ(now->routes.at(run)->what, history::RouteRun::What::sweep);
    EXPECT_EQ(result["layer"], 1);
    EXPECT_EQ(result["texts"], 3);
    ASSERT_EQ(result["experts"].size(), 4u);
    for (const json& one : result["experts"]) {
        EXPECT_GE(one["kl"]["mean"].get<double>(), 0);
        EXPECT_TRUE(one["above_kl"].contains("low"));
    }
    EXPECT_NE(
        bench.failed("route.sweep", {{"model", models()[0]}, {"layer", 1}, {"texts", json::array()}}).find("no text"),
        std::string::npos);
}

TEST_F(NodeRouting, ACorpusIsReadInBothLanguagesInTurn) {
    Workbench bench(session);
    const std::uint32_t run =
        start(bench, "route.start",
              {{"model", models()[0]}, {"data", corpus().string()}, {"tokens", 2000}, {"detail", "ids"}});
    finished(bench, run);
    const auto now = bench.wait(
        "the trace", [&](const Snapshot& s) { return s.routing.contains(run) && s.routing.at(run)->tokens == 2000; });
    EXPECT_EQ(now->routes.at(run)->result["tokens"], 2000);
    std::map<std::string, std::size_t> languages;
    std::set<std::string> groups;
    std::vector<std::string> of_document;
    int position = -1;
    for (const auto& token : tokens_of(*now->routing.at(run))) {
        ++languages[token.language];
        groups.insert(token.group);
        EXPECT_EQ(token.group.substr(0, 2), token.language) << "the corpus is named so";
        if (token.document == of_document.size()) {
            of_document.push_back(token.language);
            position = -1;
        }
        EXPECT_EQ(token.document + 1, of_document.size());
        EXPECT_EQ(token.position, ++position);
        EXPECT_LT(token.position, 125) << "so that there are many documents";
    }
    EXPECT_EQ(languages.size(), 2u);
    EXPECT_GE(of_document.size(), 16u);
    EXPECT_EQ(now->routes.at(run)->result["documents"], of_document.size());
    for (std::size_t i = 0; i < of_document.size(); ++i) {
        EXPECT_EQ(of_document[i], i % 2 == 0 ? "en" : "zh");
    }
    EXPECT_GT(groups.size(), 8u);
    EXPECT_NE(bench.failed("route.start", {{"model", models()[0]}, {"data", "/none/there"}}).find("/none/there"),
              std::string::npos);
}

/// What was read is read again as the same tokens: written out as a text, a begin token would be letters.
TEST_F(NodeRouting, RecordedTokensAreReadAgainAsTheyWere) {
    Workbench bench(session);
    const auto traced = [&](std::uint32_t run) {
        finished(bench, run);
        const auto now = bench.wait("the trace", [run](const Snapshot& s) {
            const auto found = s.routing.find(run);
            return found != s.routing.end() && found->second->tokens == s.routes.at(run)->result["tokens"];
        });
        return tokens_of(*now->routing.at(run));
    };
    const std::uint32_t corpus_run =
        start(bench, "route.start", {{"model", models()[0]}, {"data", corpus().string()}, {"tokens", 400}});
    const auto read = traced(corpus_run);
    const auto again =
        traced(start(bench, "route.start", {{"model", models()[0]}, {"tokens_of", corpus_run}, {"detail", "scores"}}));
    ASSERT_EQ(again.size(), read.size());
    for (std::size_t i = 0; i < read.size(); ++i) {
        EXPECT_EQ(again[i].token, read[i].token) << i;
        EXPECT_EQ(again[i].position, read[i].position) << i;
        EXPECT_EQ(again[i].document, read[i].document) << i;
        EXPECT_EQ(again[i].language, read[i].language) << i;
        EXPECT_EQ(again[i].group, read[i].group) << i;
        EXPECT_EQ(again[i].next, read[i].next) << i;
        EXPECT_EQ(again[i].layers.at(1).ids, read[i].layers.at(1).ids) << i;
    }
    // A part of it: the second text up to its fifth token, of which it is known what follows.
    const auto second = static_cast<std::size_t>(
        std::find_if(read.begin(), read.end(), [](const auto& token) { return token.document == 1; }) - read.begin());
    ASSERT_LT(second + 5, read.size());
    const std::uint32_t part =
        start(bench, "route.start",
              {{"model", models()[0]}, {"tokens_of", corpus_run}, {"first", second}, {"tokens", 5}, {"title", "five"}});
    const auto five = traced(part);
    ASSERT_EQ(five.size(), 5u);
    for (std::size_t i = 0; i < five.size(); ++i) {
        EXPECT_EQ(five[i].token, read[second + i].token);
        EXPECT_EQ(five[i].position, static_cast<int>(i));
        EXPECT_EQ(five[i].document, 0u);
        EXPECT_EQ(five[i].next, read[second + i].next);
        EXPECT_EQ(five[i].layers.at(0).ids, read[second + i].layers.at(0).ids);
    }
    const json manifest = bench.client().snapshot()->routes.at(part)->manifest;
    EXPECT_EQ(manifest["tokens_of"], corpus_run);
    EXPECT_EQ(manifest["first"], second);
    EXPECT_EQ(manifest["tokens"], 5);
    // An answer: what the model was shown and what it wrote.
    const std::uint32_t written =
        start(bench, "generate.start", question(models()[0], {{"routing", "weights"}, {"group", "tokens"}}));
    auto now = answered(bench, written);
    const history::Generation& answer = *now->generations.at(written);
    const std::uint64_t fed = answer.prompt_tokens + answer.token_count - (answer.stop == "end" ? 0 : 1);
    now = answered(bench, written, fed);
    now = bench.wait("its end",
                     [written](const Snapshot& s) { return protocol::ended(s.generations.at(written)->state); });
    const auto said = tokens_of(*now->routing.at(written));
    const auto heard = traced(start(bench, "route.start", {{"model", models()[0]}, {"tokens_of", written}}));
    ASSERT_EQ(heard.size(), said.size());
    for (std::size_t i = 0; i < said.size(); ++i) {
        EXPECT_EQ(heard[i].token, said[i].token) << i;
    }
    const auto failed = [&](const json& parameters) {
        const std::uint32_t run = start(bench, "route.start", parameters);
        const auto then = bench.wait("the refusal", read_done(run));
        EXPECT_EQ(then->routes.at(run)->state, RunState::failed);
        return then->routes.at(run)->message.english();
    };
    EXPECT_NE(failed({{"model", models()[0]}, {"tokens_of", corpus_run}, {"first", second + 1}})
                  .find("does not begin a text"),
              std::string::npos);
    EXPECT_NE(failed({{"model", models()[0]}, {"tokens_of", corpus_run}, {"first", 400}}).find("no tokens"),
              std::string::npos);
    EXPECT_NE(failed({{"model", models()[0]}, {"tokens_of", 999}}).find("run 999"), std::string::npos);
    EXPECT_NE(
        bench.failed("route.start", {{"model", models()[0]}, {"tokens_of", corpus_run}, {"text", "x"}}).find("'text'"),
        std::string::npos);
    EXPECT_NE(bench.failed("route.start", {{"model", models()[0]}, {"tokens_of", 0}}).find("tokens_of"),
              std::string::npos);
}

TEST_F(NodeRouting, ACancelIsObeyedWithinASecondAlsoByAModelThatHangs) {
    Workbench bench(session);
    bench.wait("the node", [](const Snapshot& s) { return s.node.cores > 0; });
    std::vector<std::string> texts(50, std::string(450, 'a'));
    const auto sweep = [&] {
        return bench.client().send("route.sweep", {{"model", models()[0]}, {"layer", 0}, {"texts", texts}});
    };
    const auto first = sweep();
    const pid_t held = hold_next_model(bench);
    const std::uint32_t run = bench.result_of(first).value.value("run", 0u);
    ASSERT_GT(run, 0u);
    bench.wait("its task", [run](const Snapshot& s) {
        return std::any_of(s.tasks.begin(), s.tasks.end(), [run](const protocol::Task& task) {
            return task.run == run && task.cancel_command == "route.cancel";
        });
    });
    auto begin = Clock::now();
    bench.done("route.cancel", {{"run", run}});
    auto now = bench.wait("its end", read_done(run));
    EXPECT_LT(Clock::now() - begin, std::chrono::seconds(3));  // 1 s, with room for a busy machine
    EXPECT_EQ(now->routes.at(run)->state, RunState::stopped);
    EXPECT_TRUE(now->routes.at(run)->result.is_null());
    EXPECT_NE(kill(held, 0), 0) << "it was ended";
    // One that works.
    const std::uint32_t second = bench.result_of(sweep()).value.value("run", 0u);
    bench.wait("progress", [second](const Snapshot& s) {
        return std::any_of(s.tasks.begin(), s.tasks.end(),
                           [second](const protocol::Task& task) {
                               return task.run == second && task.kind == protocol::TaskKind::sweep && task.fraction > 0;
                           }) ||
               (s.routes.contains(second) && protocol::ended(s.routes.at(second)->state));
    });
    begin = Clock::now();
    bench.done("route.cancel", {{"run", second}});
    now = bench.wait("its end", read_done(second));
    EXPECT_LT(Clock::now() - begin, std::chrono::seconds(3));
    EXPECT_NE(now->routes.at(second)->state, RunState::failed) << now->routes.at(second)->message;
    // The model is there for the next one.
    const std::uint32_t third = start(bench, "route.start", {{"model", models()[0]}, {"text", kText}});
    finished(bench, third);
    bench.done("route.cancel", {{"run", third}});  // the wish is fulfilled already
}

TEST_F(NodeRouting, ARunOfAnotherKindIsNotCancelledForOneOfThisKind) {
    Workbench bench(session);
    const std::uint32_t reading = start(bench, "route.start", {{"model", models()[0]}, {"text", kText}});
    finished(bench, reading);
    const std::uint32_t answer = start(bench, "generate.start", question(models()[0]));
    const auto refused = [&](const char* command, std::uint32_t run, const std::string& words) {
        const std::string sentence = bench.failed(command, {{"run", run}});
        EXPECT_NE(sentence.find(words), std::string::npos) << sentence;
    };
    for (int i = 0; i < 2; ++i) {  // while the answer may go on, and when it has ended
        refused("route.cancel", answer, "is no reading");
        refused("probe.cancel", answer, "is no probe run");
        refused("generate.cancel", reading, "is no answer");
        answered(bench, answer);
    }
    bench.done("generate.cancel", {{"run", answer}});
    for (const char* command : {"route.cancel", "generate.cancel", "probe.cancel"}) {
        refused(command, 99, "no run 99");
    }
}

TEST_F(NodeRouting, APartOfATraceIsNotWrittenAsTheWhole) {
    Workbench bench(session);
    bench.wait("the node", [](const Snapshot& s) { return s.node.cores > 0; });
    const auto command = bench.client().send("route.start", {{"model", models()[0]}, {"text", kText}});
    const pid_t held = hold_next_model(bench);
    const std::uint32_t run = bench.result_of(command).value.value("run", 0u);
    const json order = {{"run", run}, {"path", (scratch / "t.csv").string()}, {"format", "csv"}};
    EXPECT_NE(bench.failed("route.export", order).find("still goes on"), std::string::npos);
    EXPECT_FALSE(fs::exists(scratch / "t.csv"));
    kill(held, SIGCONT);
    finished(bench, run);
    const json written = bench.done("route.export", order);
    EXPECT_EQ(written["lost"], 0);
    EXPECT_EQ(written["damaged"], 0);
}

/// Its tokens look like a whole text, so what is made of them says that they are a part.
TEST_F(NodeRouting, ATraceOfAReadingThatWasCutOffSaysSo) {
    std::uint32_t run = 0;
    const auto written = [&](Workbench& bench, const char* name) {
        const json answer =
            bench.done("route.export", {{"run", run}, {"path", (scratch / name).string()}, {"format", "text"}});
        return std::pair(answer.at("incomplete").get<bool>(), routing::open_trace(scratch / name)->spec().doubts);
    };
    std::size_t doubts = 0;
    {
        Workbench bench(session);
        run = start(bench, "route.start", {{"model", models()[0]}, {"data", corpus().string()}, {"tokens", 100}});
        finished(bench, run);
        const auto [incomplete, said] = written(bench, "whole.jsonl");
        EXPECT_FALSE(incomplete);
        doubts = said.size();
    }
    {
        const auto opened = sessions::Session::open(session, sessions::Journal::Mode::read_write);
        node::JournalWriter journal(opened->journal());
        journal.write_json(protocol::RecordType::run_ended, {{"run", run}, {"state", "stopped"}, {"step", 60}});
        journal.flush();
    }
    Workbench bench(session);
    bench.wait("how it ended", [run](const Snapshot& s) {
        return s.routes.contains(run) && s.routes.at(run)->state == RunState::stopped;
    });
    const auto [incomplete, said] = written(bench, "part.jsonl");
    EXPECT_TRUE(incomplete);
    ASSERT_EQ(said.size(), doubts + 1);
    EXPECT_EQ(said.back().english(), "the trace is incomplete: its run was stopped after 100 of 100 tokens");
}

TEST_F(NodeRouting, OneThatANodeLeftIsInterrupted) {
    std::uint32_t run = 0;
    {
        Workbench bench(session);
        bench.wait("the node", [](const Snapshot& s) { return s.node.cores > 0; });
        const auto command = bench.client().send("route.start", {{"model", models()[0]}, {"text", kText}});
        const pid_t held = hold_next_model(bench);
        run = bench.result_of(command).value.value("run", 0u);
        bench.wait("its start", [run](const Snapshot& s) { return s.routes.contains(run); });
        kill(bench.client().node_process(), SIGKILL);
        kill(held, SIGKILL);
        bench.wait("the crash", [](const Snapshot& s) { return s.link.state != client::Link::State::connected; });
    }
    Workbench bench(session);
    const auto now = bench.wait("the run", [run](const Snapshot& s) {
        return s.routes.contains(run) && protocol::ended(s.routes.at(run)->state);
    });
    EXPECT_EQ(now->routes.at(run)->state, RunState::interrupted);
}

TEST_F(NodeRouting, RecordingsBecomeRunsOfASession) {
    write_text(scratch / "config.json",
               R"({"num_hidden_layers": 2, "num_experts": 4, "num_experts_per_tok": 2, "first_k_dense_replace": 1})");
    write_text(scratch / "answer.json", R"({"routed_experts": [[[1, 3]], [[0, 2]]]})");
    write_text(scratch / "bad.json", R"({"routed_experts": [[[1, 1]]]})");
    const json order = {{"path", (scratch / "answer.json").string()},
                        {"format", "vllm"},
                        {"config", (scratch / "config.json").string()},
                        {"model", "theirs"}};
    std::uint32_t run = 0;
    {
        Workbench bench(session);
        run = start(bench, "route.import", order);
        finished(bench, run);
        const auto now = bench.wait("the trace", [run](const Snapshot& s) {
            return s.routing.contains(run) && s.routing.at(run)->tokens == 2;
        });
        EXPECT_EQ(now->routes.at(run)->what, history::RouteRun::What::import);
        EXPECT_EQ(now->routes.at(run)->model, "theirs");
        EXPECT_EQ(now->routes.at(run)->result["tokens"], 2);
        EXPECT_EQ(now->routing.at(run)->trace->spec().source, routing::Source::imported);
        EXPECT_EQ(tokens_of(*now->routing.at(run))[1].layers[0].ids, (std::vector<std::int32_t>{0, 2}));
        json bad = order;
        bad["path"] = (scratch / "bad.json").string();
        const std::uint32_t refused = start(bench, "route.import", bad);
        EXPECT_NE(
            bench.wait("the refusal", read_done(refused))->routes.at(refused)->message.english().find("expert 1 twice"),
            std::string::npos);
        bad["format"] = "other";
        EXPECT_NE(bench.failed("route.import", bad).find("'other'"), std::string::npos);
    }
    const Output output = run_node({"import", (scratch / "answer.json").string(), "--format", "vllm", "--config",
                                    (scratch / "config.json").string(), "--out", session.string(), "--json"});
    ASSERT_EQ(output.status, 0) << output.error;
    const json line = output.lines().at(0);
    EXPECT_EQ(line["tokens"], 2);
    EXPECT_EQ(line["router"]["experts"], 4);
    EXPECT_GT(line["run"].get<std::uint32_t>(), run);
    {
        const auto opened = sessions::Session::open(session, sessions::Journal::Mode::read_only);
        const auto history = history::read_routing(opened->journal(), line["run"].get<std::uint32_t>());
        EXPECT_EQ(history.routing().begin()->second.value.tokens, 2u);
        EXPECT_EQ(history.runs().begin()->second->state, RunState::done);
    }
    const Output bad =
        run_node({"import", (scratch / "bad.json").string(), "--format", "vllm", "--out", session.string()});
    EXPECT_EQ(bad.status, 1);
    EXPECT_NE(bad.error.find("expert 1 twice"), std::string::npos) << bad.error;
    fs::create_directory(scratch / "empty");
    EXPECT_EQ(run_node({"import", (scratch / "answer.json").string(), "--format", "vllm", "--out",
                        (scratch / "empty").string()})
                  .status,
              1)
        << "a folder that is no session";
    // A session that is open for reading gives its traces out, and takes nothing.
    Workbench reading(client::ClientOptions{node_program(), session, {"--read-only"}, {}});
    reading.done("route.export", {{"run", run}, {"path", (scratch / "out.csv").string()}, {"format", "csv"}});
    EXPECT_NE(read_text(scratch / "out.csv").find("number,document"), std::string::npos);
    EXPECT_NE(reading.failed("route.import", order).find("reading only"), std::string::npos);
    EXPECT_NE(reading.failed("interventions.save", {{"name", "x"}, {"items", {knock_out(0, 1)}}}).find("reading only"),
              std::string::npos);
}

TEST_F(NodeRouting, ADenseModelJustAnswers) {
    json config = tiny_config(2, 2);
    config["model"]["context"] = 512;
    config["model"]["dense_layers"] = 2;
    config["model"]["dense_width"] = 16;
    config["train"]["batch"] = 1;
    const std::string dense = (scratch / "dense").string();
    const Output output = run_node(
        {"train", "--config", write_config(scratch, config).string(), "--data", corpus().string(), "--out", dense});
    ASSERT_EQ(output.status, 0) << output.error;
    Workbench bench(session);
    const std::uint32_t run = start(bench, "generate.start", question(dense, {{"routing", "scores"}}));
    auto now = answered(bench, run);
    EXPECT_EQ(now->generations.at(run)->state, RunState::done) << now->generations.at(run)->message;
    EXPECT_FALSE(now->routing.contains(run));
    const std::uint32_t changed =
        start(bench, "generate.start", question(dense, {{"interventions", {knock_out(0, 1)}}, {"group", "b"}}));
    now = answered(bench, changed);
    EXPECT_EQ(now->generations.at(changed)->state, RunState::failed);
    EXPECT_NE(now->generations.at(changed)->message.english().find("dense model"), std::string::npos);
}

}  // namespace
}  // namespace moescope::test
