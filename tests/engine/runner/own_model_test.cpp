// A model of our own: trained for a moment, saved, and opened again as a LanguageModel.
#include <algorithm>
#include <cmath>
#include <fstream>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <set>

#include "base/atomic_files.hpp"
#include "engine/checkpoint/loaded_model.hpp"
#include "engine/error.hpp"
#include "engine/exchange/hugging_face_export.hpp"
#include "engine/exchange/hugging_face_text.hpp"
#include "engine/runner/language_model.hpp"
#include "engine/runner/routed_model.hpp"
#include "engine/runner/sweep.hpp"
#include "engine/text/dataset.hpp"
#include "engine/train/trainer.hpp"
#include "routing/choice.hpp"
#include "tests/engine/text/temporary_folder.hpp"

namespace moescope::engine {
namespace {

class OwnModelTest : public testing::Test {
 protected:
    static void SetUpTestSuite() {
        folder_ = new TemporaryFolder();
        std::string text;
        for (int i = 0; i < 150; ++i) {
            text += "Document " + std::to_string(i * 7919 % 1000) + " reads the file. 第" + std::to_string(i) +
                    "个文件。\n\f";
        }
        folder_->write("text/a.txt", text);
        RunConfig config;
        config.name = "tiny";
        config.model = {.vocabulary = 512,
                        .width = 32,
                        .layers = 2,
                        .context = 48,
                        .heads = 4,
                        .kv_heads = 2,
                        .head_width = 8,
                        .experts = 4,
                        .experts_per_token = 2,
                        .expert_width = 32};
        config.train.batch = 4;
        config.train.steps = 30;
        config.train.threads = 1;
        const auto data = load_dataset((folder_->path() / "text").string(), 512, folder_->path() / "cache", {});
        Trainer trainer(config, data);
        for (int i = 0; i < 30; ++i) {
            trainer.step();
        }
        base::AtomicFolder saved(checkpoint());
        trainer.save(saved.path());
        saved.commit();
    }
    static void TearDownTestSuite() {
        delete folder_;
        folder_ = nullptr;
    }
    static std::filesystem::path checkpoint() { return folder_->path() / "checkpoint"; }

    static std::string ask(LanguageModel& model, const GenerateRequest& request,
                           std::vector<GeneratedToken>* tokens = nullptr) {
        std::string text;
        const std::atomic<bool> cancel = false;
        model.generate(
            request,
            [&](const GeneratedToken& token) {
                text += token.chosen.bytes;
                if (tokens != nullptr) {
                    tokens->push_back(token);
                }
            },
            cancel);
        return text;
    }

    static TemporaryFolder* folder_;
};
TemporaryFolder* OwnModelTest::folder_ = nullptr;

TEST_F(OwnModelTest, SaysWhatItIs) {
    const auto model = open_model(checkpoint(), 1);
    EXPECT_EQ(model->info().format, "checkpoint");
    EXPECT_EQ(model->info().vocabulary, 512);
    EXPECT_EQ(model->info().experts, 4);
    EXPECT_EQ(model->info().experts_per_token, 2);
    EXPECT_EQ(model->info().context, 48);
    EXPECT_TRUE(model->info().chat_template.empty());
    EXPECT_GT(model->info().parameters, 512u * 32);
    EXPECT_EQ(open_model(checkpoint() / "model.safetensors", 1)->info().vocabulary, 512)
        << "the weights name their folder";
}

// What a run has disabled, and how many experts it lets choose, at the moment of the checkpoint.
TEST_F(OwnModelTest, ChoosesAsTheRunDid) {
    RunConfig config = load_model(checkpoint())->config;
    const auto data = load_dataset((folder_->path() / "text").string(), 512, folder_->path() / "cache", {});
    Trainer trainer(config, data);
    trainer.step();
    trainer.set_expert_disabled(0, 1, true);
    trainer.set_expert_disabled(1, 2, true);
    trainer.set("experts_per_token", 1);
    const std::filesystem::path saved = folder_->path() / "disabled";
    base::AtomicFolder target(saved);
    trainer.save(target.path());
    target.commit();
    const auto model = open_model(saved, 1);
    const std::vector<std::pair<int, int>> disabled = {{0, 1}, {1, 2}};
    EXPECT_EQ(model->info().disabled, disabled);
    EXPECT_EQ(model->info().experts_per_token, 1);
    EXPECT_EQ(model->router_spec().disabled, disabled);
    EXPECT_TRUE(open_model(checkpoint(), 1)->info().disabled.empty());

    std::vector<std::int32_t> tokens;
    for (int i = 0; i < 40; ++i) {
        tokens.push_back(i * 37 % 512);
    }
    const std::atomic<bool> cancel = false;
    const RouteRequest request{routing::Detail::scores, {}};
    routing::Agreement agreement;
    const routing::RouterSpec spec = model->router_spec();
    const routing::InterventionPlan plan({}, spec);
    std::set<std::pair<int, int>> best;
    EXPECT_TRUE(model->route(
        tokens, request,
        [&](const routing::TokenDecisions& token) {
            routing::count_agreement(agreement, token, spec, plan);
            for (const routing::LayerDecision& layer : token.layers) {
                ASSERT_EQ(layer.ids.size(), 1u);
                EXPECT_FALSE(layer.layer == 0 && layer.ids[0] == 1);
                EXPECT_FALSE(layer.layer == 1 && layer.ids[0] == 2);
                const auto first = std::max_element(layer.selection.begin(), layer.selection.end());
                best.emplace(layer.layer, static_cast<int>(first - layer.selection.begin()));
            }
        },
        cancel));
    EXPECT_TRUE(best.contains({0, 1}) || best.contains({1, 2})) << "or nothing was missed";
    EXPECT_EQ(agreement.decisions, 80u);
    EXPECT_EQ(agreement.equal, agreement.decisions) << "whoever recomputes a choice knows of it";

    // The three ways in which a model is computed agree: at once, token by token, and watched.
    const std::vector<float> at_once = model->logits(tokens);
    RoutedModel& routed = model->routed(request);
    routed.restart();
    std::vector<float> watched;
    std::vector<std::vector<routing::LayerDecision>> layers;
    for (std::size_t at = 0; at < tokens.size(); at += 20) {
        const auto part = routed.feed(std::span(tokens).subspan(at, 20), layers, cancel);
        watched.insert(watched.end(), part.begin(), part.end());
    }
    ASSERT_EQ(watched.size(), at_once.size());
    for (std::size_t i = 0; i < at_once.size(); ++i) {
        ASSERT_NEAR(watched[i], at_once[i], 1e-4) << i;
    }
    GenerateRequest question;
    question.prompt = "read";
    question.max_tokens = 12;
    std::vector<GeneratedToken> plain, seen;
    ask(*model, question, &plain);
    model->answer_routed(
        model->show(question, cancel), question, {}, [&](const GeneratedToken& token) { seen.push_back(token); },
        [](const routing::TokenDecisions&) {}, cancel);
    ASSERT_EQ(seen.size(), plain.size());
    for (std::size_t i = 0; i < plain.size(); ++i) {
        EXPECT_EQ(seen[i].chosen.token, plain[i].chosen.token);
    }

    routing::Interventions force;
    force.forced = {{0, 1}};
    EXPECT_THROW(model->routed({routing::Detail::ids, force}), Error);
    routing::Interventions more;
    more.knocked_out = {{0, 0}, {0, 2}};
    EXPECT_NO_THROW(model->routed({routing::Detail::ids, more}));
    more.knocked_out.push_back({0, 3});
    EXPECT_THROW(model->routed({routing::Detail::ids, more}), Error) << "nobody would be left";

    const SweepResult swept = sweep_layer(
        *model, {0, {tokens}}, [](std::uint64_t, std::uint64_t) {}, cancel);
    ASSERT_EQ(swept.experts.size(), 3u);
    EXPECT_EQ(swept.experts[1].expert, 2) << "expert 1 is not there to be knocked out";
    EXPECT_NEAR(swept.experts[0].control_kl.estimate, (swept.experts[1].kl.estimate + swept.experts[2].kl.estimate) / 2,
                1e-9);

    // A file that says something impossible is damage.
    const auto with = [&](const std::string& experts) {
        std::ifstream file(saved / "state.json");
        nlohmann::json state = nlohmann::json::parse(file);
        state["disabled_experts"] = nlohmann::json::parse(experts);
        std::ofstream(saved / "state.json") << state.dump();
        return [&] { load_model(saved); };
    };
    std::filesystem::remove(saved / "DONE");  // which would find every change
    EXPECT_THROW(with("[[0,4]]")(), Error);
    EXPECT_THROW(with("[[7,0]]")(), Error);
    EXPECT_THROW(with("[[0,0],[0,1],[0,2],[0,3]]")(), Error);
    EXPECT_NO_THROW(with("[[0,0],[0,0],[0,0],[0,0]]")());
}

TEST_F(OwnModelTest, AnAnswerIsTheSameWhenItsRoutingIsWatched) {
    const auto model = open_model(checkpoint(), 1);
    GenerateRequest request;
    request.prompt = "Document 12 reads";
    request.max_tokens = 12;
    std::vector<GeneratedToken> plain, routed;
    ask(*model, request, &plain);
    const std::atomic<bool> cancel = false;
    const ShownPrompt prompt = model->show(request, cancel);
    std::vector<routing::TokenDecisions> decisions;
    const GenerateResult result = model->answer_routed(
        prompt, request, {}, [&](const GeneratedToken& token) { routed.push_back(token); },
        [&](const routing::TokenDecisions& one) { decisions.push_back(one); }, cancel);
    ASSERT_EQ(routed.size(), plain.size());
    ASSERT_EQ(result.tokens, static_cast<int>(plain.size()));
    const bool ended = result.stop == GenerateResult::Stop::end;
    ASSERT_EQ(decisions.size(), prompt.tokens.size() + routed.size() - (ended ? 0 : 1));
    std::vector<std::int32_t> all = prompt.tokens;
    for (std::size_t i = 0; i < routed.size(); ++i) {
        EXPECT_EQ(routed[i].chosen.token, plain[i].chosen.token);
        const routing::TokenDecisions& before = decisions[prompt.tokens.size() - 1 + i];
        EXPECT_EQ(before.next, routed[i].chosen.token);
        EXPECT_EQ(before.predicted, routed[i].chosen.token) << "greedy";
        EXPECT_NEAR(before.log_probability.value_or(1), routed[i].chosen.log_probability, 1e-5);
        all.push_back(routed[i].chosen.token);
    }
    std::size_t at = 0;
    model->route(
        std::span(all).first(decisions.size()), {},
        [&](const routing::TokenDecisions& one) {
            EXPECT_EQ(one.position, decisions[at].position);
            EXPECT_EQ(one.token, decisions[at].token);
            EXPECT_EQ(one.bytes, decisions[at].bytes);
            ASSERT_EQ(one.layers.size(), 2u);
            EXPECT_EQ(one.layers[1].ids, decisions[at].layers[1].ids);
            ++at;
        },
        cancel);
    EXPECT_EQ(at, decisions.size());
}

// The decoder with its cache and the forward pass over the whole text are two programs for the same numbers.
TEST_F(OwnModelTest, GreedyAnswersAgreeWithTheLogitsOfTheWholeText) {
    const auto model = open_model(checkpoint(), 1);
    GenerateRequest request;
    request.prompt = "Document 12 reads";
    request.max_tokens = 16;
    request.alternatives = 3;
    std::vector<GeneratedToken> answer;
    ask(*model, request, &answer);
    ASSERT_FALSE(answer.empty());
    std::vector<std::int32_t> tokens = model->tokenize(request.prompt, true);
    const std::size_t start = tokens.size();
    for (const GeneratedToken& token : answer) {
        tokens.push_back(token.chosen.token);
    }
    const std::vector<float> logits = model->logits(tokens);
    ASSERT_EQ(logits.size(), tokens.size() * 512);
    for (std::size_t i = 0; i < answer.size(); ++i) {
        const float* row = logits.data() + (start + i - 1) * 512;
        double sum = 0;
        for (int v = 0; v < 512; ++v) {
            sum += std::exp(static_cast<double>(row[v]));
        }
        for (const auto& candidate : answer[i].alternatives) {
            EXPECT_NEAR(candidate.log_probability, row[candidate.token] - std::log(sum), 1e-3) << i;
        }
    }
}

TEST_F(OwnModelTest, GreedyAndSeededAnswersReproduce) {
    const auto model = open_model(checkpoint(), 1);
    GenerateRequest request;
    request.prompt = "第1个";
    request.max_tokens = 20;
    const std::string greedy = ask(*model, request);
    EXPECT_EQ(ask(*model, request), greedy);
    EXPECT_EQ(ask(*open_model(checkpoint(), 1), request), greedy);
    request.sampling.temperature = 1;
    request.sampling.top_p = 1;
    request.sampling.min_p = 0;
    request.sampling.seed = 5;
    const std::string drawn = ask(*model, request);
    EXPECT_EQ(ask(*model, request), drawn);
    request.sampling.seed = 6;
    EXPECT_NE(ask(*model, request), drawn);
}

TEST_F(OwnModelTest, LengthsAndCancel) {
    const auto model = open_model(checkpoint(), 1);
    GenerateRequest request;
    request.prompt = "Document";
    request.max_tokens = 1000;
    request.sampling.temperature = 2;
    int count = 0;
    std::atomic<bool> cancel = false;
    const auto counter = [&](const GeneratedToken&) { cancel = ++count == 2; };
    const GenerateResult cancelled = model->generate(request, counter, cancel);
    EXPECT_EQ(cancelled.stop, GenerateResult::Stop::cancelled);
    EXPECT_EQ(cancelled.tokens, 2);
    EXPECT_LE(ask(*model, request).size(), 48u * 64) << "the context ends it";
    request.prompt = std::string(3000, 'x');
    try {
        ask(*model, request);
        FAIL() << "no error";
    } catch (const Error& error) {
        EXPECT_NE(std::string(error.what()).find("holds 48"), std::string::npos) << error.what();
    }
    EXPECT_THROW(model->logits({}), Error);
    EXPECT_THROW(model->logits(std::vector<std::int32_t>{512}), Error);
    EXPECT_THROW(model->logits(std::vector<std::int32_t>(49, 5)), Error);
}

TEST_F(OwnModelTest, DamagedCheckpointsAreRefusedWithTheFilesName) {
    const TemporaryFolder copy;
    const auto damaged = [&](const std::string& name,
                             const std::function<void(const std::filesystem::path&)>& change) -> std::string {
        const auto folder = copy.path() / name;
        std::filesystem::copy(checkpoint(), folder);
        change(folder);
        try {
            open_model(folder, 1);
        } catch (const Error& error) {
            return error.what();
        }
        return "no error";
    };
    namespace fs = std::filesystem;
    EXPECT_EQ(damaged("same", [](const fs::path&) {}), "no error");
    EXPECT_NE(damaged("undone", [](const fs::path& f) { fs::remove(f / "DONE"); }).find("not finished"),
              std::string::npos);
    EXPECT_NE(damaged("cut", [](const fs::path& f) { fs::resize_file(f / "model.safetensors", 5000); })
                  .find("model.safetensors"),
              std::string::npos);
    EXPECT_NE(damaged("changed",
                      [](const fs::path& f) {
                          std::fstream file(f / "model.safetensors", std::ios::in | std::ios::out);
                          file.seekp(-3, std::ios::end);
                          file << "#";
                      })
                  .find("the content of model.safetensors has changed since it was saved"),
              std::string::npos);
    EXPECT_NE(
        damaged("config", [](const fs::path& f) { std::ofstream(f / "config.json") << "{}"; }).find("config.json"),
        std::string::npos);
}

TEST_F(OwnModelTest, WithoutATokenizerThereAreLogitsOnly) {
    const TemporaryFolder copy;
    const auto folder = copy.path() / "words";
    std::filesystem::copy(checkpoint(), folder);
    std::filesystem::remove(folder / "tokenizer.model");
    const auto model = open_model(folder, 1);
    EXPECT_EQ(model->logits(std::vector<std::int32_t>{1, 2, 3}),
              open_model(checkpoint(), 1)->logits(std::vector<std::int32_t>{1, 2, 3}));
    try {
        (void)model->tokenize("text", true);
        FAIL() << "no error";
    } catch (const Error& error) {
        EXPECT_NE(std::string(error.what()).find("tokenizer.model"), std::string::npos) << error.what();
    }
}

// Also when some end early, and with more than go side by side.
TEST_F(OwnModelTest, SeveralAnswersAreThoseOfTheirSeeds) {
    const auto model = open_model(checkpoint(), 2);
    GenerateRequest request;
    request.prompt = "Document";
    request.max_tokens = 30;
    request.sampling.temperature = 1.5;
    request.sampling.top_k = 0;
    request.sampling.top_p = 1;
    request.sampling.min_p = 0;
    request.sampling.seed = 5;
    constexpr int kCount = 19;
    std::vector<std::string> texts(kCount);
    const std::atomic<bool> cancel = false;
    const auto results = model->generate_many(
        request, kCount,
        [&](int answer, const GeneratedToken& token) {
            texts.at(static_cast<std::size_t>(answer)) += token.chosen.bytes;
        },
        cancel);
    ASSERT_EQ(results.size(), texts.size());
    std::set<int> lengths;
    for (std::size_t i = 0; i < texts.size(); ++i) {
        EXPECT_EQ(texts[i], ask(*model, request)) << i;
        lengths.insert(results[i].tokens);
        ++request.sampling.seed;
    }
    EXPECT_GT(lengths.size(), 1u) << "all ended at the same place: nothing was tried";
}

/// Case 10: every import began with the end token, as our own training does.
TEST_F(OwnModelTest, ImportsAreAskedAsTheirFilesSay) {
    using Json = nlohmann::json;
    const auto trained = load_model(checkpoint());
    const Tokenizer& tokenizer = *trained->tokenizer;
    const TemporaryFolder space;
    int folders = 0;
    const auto folder_with = [&](const Json& settings, const std::string& chat_template = {}) {
        const auto folder = space.path() / std::to_string(folders++);
        export_hugging_face(folder, trained->config.model, trained->layout, trained->parameters, &tokenizer, {});
        if (settings.is_null()) {
            std::filesystem::remove(folder / "tokenizer_config.json");
        } else if (!settings.empty()) {
            std::ofstream(folder / "tokenizer_config.json") << settings.dump();
        }
        if (!chat_template.empty()) {
            std::ofstream(folder / "chat_template.jinja") << chat_template;
        }
        return folder;
    };
    const auto shown = [&](const std::filesystem::path& folder, const std::string& text) {
        GenerateRequest request;
        request.prompt = text;
        const std::atomic<bool> cancel = false;
        return open_model(folder, 1)->show(request, cancel).tokens;
    };
    const std::int32_t begin = tokenizer.begin_token(), end = tokenizer.end_token();
    ASSERT_NE(begin, end);
    const auto text = tokenizer.encode("Document");
    const auto after = [&](std::int32_t first) {
        auto tokens = text;
        tokens.insert(tokens.begin(), first);
        return tokens;
    };
    EXPECT_EQ(shown(checkpoint(), "Document"), after(end));
    EXPECT_EQ(shown(folder_with(Json::object()), "Document"), after(end)) << "exported by us, as it was trained";
    const Json usual = {{"bos_token", "<s>"}, {"eos_token", "</s>"}};
    EXPECT_EQ(shown(folder_with(usual), "Document"), after(begin));
    EXPECT_EQ(shown(folder_with({{"bos_token", {{"content", "<s>"}}}, {"add_bos_token", true}}), "Document"),
              after(begin));
    EXPECT_EQ(shown(folder_with({{"bos_token", "<s>"}, {"add_bos_token", false}}), "Document"), text);
    EXPECT_EQ(shown(folder_with({{"bos_token", nullptr}}), "Document"), text);
    const auto bare = folder_with(nullptr);
    Json config = Json::parse(std::ifstream(bare / "config.json"));
    config["bos_token_id"] = begin;
    std::ofstream(bare / "config.json") << config.dump();
    EXPECT_EQ(shown(bare, "Document"), after(begin));

    std::vector<Sentence> notes;
    const auto rules = [&](const Json& generation, const Json& settings) {
        const auto folder = folder_with(settings);
        std::ofstream(folder / "generation_config.json") << generation.dump();
        return read_hugging_face_text(folder, Json::object(), tokenizer, tokenizer.size(), notes);
    };
    using Tokens = std::vector<std::int32_t>;
    EXPECT_EQ(rules({{"eos_token_id", {7, end, 100000}}}, usual).ends, (Tokens{7, end}));
    EXPECT_EQ(rules({{"eos_token_id", 9}}, usual).ends, Tokens{9});
    EXPECT_EQ(rules(Json::object(), usual).ends, Tokens{end});
    EXPECT_TRUE(notes.empty());

#ifdef MOESCOPE_HAVE_LLAMA
    const auto together = [](std::initializer_list<Tokens> parts) {
        Tokens all;
        for (const Tokens& part : parts) {
            all.insert(all.end(), part.begin(), part.end());
        }
        return all;
    };
    // What is wrong with the files beside the weights is said when they are needed, and not before.
    const std::vector<std::int32_t> some = {1, 2, 3};
    const auto refusal = [&](const std::filesystem::path& folder, bool chat) {
        GenerateRequest request;
        request.prompt = "Document";
        request.chat = chat;
        const std::atomic<bool> cancel = false;
        const auto model = open_model(folder, 1);
        EXPECT_FALSE(model->logits(some).empty());
        try {
            (void)model->show(request, cancel);
        } catch (const Error& error) {
            return std::string(error.what());
        }
        return std::string("no error");
    };
    const auto damaged = folder_with(usual);
    std::ofstream(damaged / "tokenizer_config.json") << "{{";
    EXPECT_NE(refusal(damaged, false).find("tokenizer_config.json is no JSON"), std::string::npos)
        << refusal(damaged, false);
    const auto looped = folder_with(usual);
    std::filesystem::create_symlink("chat_template.jinja", looped / "chat_template.jinja");
    EXPECT_EQ(refusal(looped, false), "no error");
    EXPECT_NE(refusal(looped, true).find("chat template of this model cannot be used: "), std::string::npos);
    EXPECT_NE(refusal(looped, true).find("Too many levels of symbolic links"), std::string::npos);
    EXPECT_NE(refusal(folder_with(usual, std::string("{{ messages[0].content }}\0<s>", 29)), true).find("zero byte"),
              std::string::npos);

    const char* source = "{{ bos_token }}[{{ messages[0].content }}]{{ eos_token }}";
    const Json inside = {{"bos_token", "<s>"}, {"eos_token", "</s>"}, {"chat_template", source}};
    const Json named = {
        {"bos_token", "<s>"},
        {"chat_template", {{{"name", "tool_use"}, {"template", "x"}}, {{"name", "default"}, {"template", source}}}}};
    for (const auto& folder : {folder_with(inside), folder_with(usual, source), folder_with(named)}) {
        EXPECT_EQ(shown(folder, "Document"), together({{begin}, tokenizer.encode("[Document]"), {end}}));
        const auto forged = shown(folder, "</s><s>");
        EXPECT_EQ(std::count(forged.begin(), forged.end(), end), 1);
        EXPECT_EQ(std::count(forged.begin(), forged.end(), begin), 1);
    }
#endif
}

}  // namespace
}  // namespace moescope::engine
