// Routing of the same weights in our engine and in libllama: what is seen, and what each change does. Models of every
// type that we can write as GGUF.
#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "engine/files/gguf_write.hpp"
#include "engine/runner/own_routing.hpp"
#include "routed_models.hpp"
#include "routing/choice.hpp"
#include "routing/router_spec.hpp"
#include "tests/engine/error_of.hpp"
#include "tests/files.hpp"
#include "tests/paths.hpp"

namespace moescope::engine::test {
namespace {

using routing::Detail;
using routing::Interventions;
using routing::kEvery;
using routing::LayerDecision;
using routing::TokenDecisions;
using Floats = std::vector<float>;

constexpr double kSame = 1e-6;  // of logits, as mean squared difference over mean square

void expect_near(const Floats& a, const Floats& b, const char* what) {
    ASSERT_EQ(a.size(), b.size()) << what;
    for (std::size_t i = 0; i < a.size(); ++i) {
        if (a[i] == b[i]) {
            continue;  // infinite ones too
        }
        EXPECT_NEAR(a[i], b[i], 1e-5 * std::max(1.0f, std::abs(b[i]))) << what << " " << i;
    }
}

void expect_same(const TokenDecisions& a, const TokenDecisions& b) {
    EXPECT_EQ(a.position, b.position);
    EXPECT_EQ(a.token, b.token);
    EXPECT_EQ(a.next, b.next);
    EXPECT_EQ(a.predicted, b.predicted);
    EXPECT_EQ(a.log_probability.has_value(), b.log_probability.has_value());
    EXPECT_NEAR(a.log_probability.value_or(0), b.log_probability.value_or(0), 1e-4);
    ASSERT_EQ(a.layers.size(), b.layers.size());
    for (std::size_t i = 0; i < a.layers.size(); ++i) {
        const LayerDecision &x = a.layers[i], &y = b.layers[i];
        SCOPED_TRACE("position " + std::to_string(a.position) + " layer " + std::to_string(x.layer));
        EXPECT_EQ(x.layer, y.layer);
        EXPECT_EQ(x.ids, y.ids);
        EXPECT_EQ(x.groups_kept, y.groups_kept);
        expect_near(x.weights, y.weights, "weights");
        expect_near(x.logits, y.logits, "logits");
        expect_near(x.scores, y.scores, "scores");
        expect_near(x.selection, y.selection, "selection");
        expect_near(x.group_scores, y.group_scores, "group scores");
        EXPECT_EQ(std::isnan(x.margin), std::isnan(y.margin));
        EXPECT_TRUE(std::isnan(x.margin) || std::abs(x.margin - y.margin) < 2e-5);
        EXPECT_NEAR(x.entropy, y.entropy, 1e-4);
    }
}

void expect_same(const Seen& a, const Seen& b) {
    ASSERT_EQ(a.tokens.size(), b.tokens.size());
    for (std::size_t t = 0; t < a.tokens.size() && !testing::Test::HasFailure(); ++t) {
        expect_same(a.tokens[t], b.tokens[t]);
    }
    EXPECT_LE(difference(a.logits, b.logits), kSame);
}

TEST(Routing, BothEnginesDecideTheSame) {
    for (const SmallModel& small : small_models()) {
        SCOPED_TRACE(small.name);
        const Twice model(small.model, fill(small.model, 41));
        const auto tokens = random_tokens(40, small.model.vocabulary);
        const Seen own = look(*model.own, tokens), theirs = look(*model.theirs, tokens);
        expect_same(theirs, own);
        ASSERT_EQ(own.tokens.size(), tokens.size());
        const auto a = model.own->router_spec(), b = model.theirs->router_spec();
        EXPECT_EQ(a.layers, b.layers);
        EXPECT_EQ(a.experts, b.experts);
        EXPECT_EQ(a.experts_per_token, b.experts_per_token);
        EXPECT_EQ(a.shared_experts, b.shared_experts);
        EXPECT_EQ(a.routed_layers, b.routed_layers);
        EXPECT_EQ(a.hash_layers, b.hash_layers);
        EXPECT_EQ(a.scoring, b.scoring);
        EXPECT_EQ(a.group_score, b.group_score);
        EXPECT_EQ(a.groups, b.groups);
        EXPECT_EQ(a.groups_kept, b.groups_kept);
        EXPECT_EQ(a.selection_bias, b.selection_bias);
        EXPECT_EQ(a.normalise, b.normalise);
        EXPECT_FLOAT_EQ(static_cast<float>(a.scale), static_cast<float>(b.scale));
        EXPECT_TRUE(a.doubts.empty());
        EXPECT_TRUE(b.doubts.empty());
        // Every layer of every token, the last one's too, and not one row for all.
        std::set<std::vector<std::int32_t>> last;
        for (const TokenDecisions& token : theirs.tokens) {
            ASSERT_EQ(token.layers.size(), b.routed_layers.size());
            EXPECT_EQ(token.layers.back().layer, small.model.layers - 1);
            EXPECT_EQ(token.layers.back().ids.size(), static_cast<std::size_t>(small.model.experts_per_token));
            last.insert(token.layers.back().ids);
        }
        EXPECT_GT(last.size(), 3u);
    }
}

TEST(Routing, RecomputedChoicesAreTheExecutedOnes) {
    for (const SmallModel& small : small_models()) {
        const Twice model(small.model, fill(small.model, 42));
        for (LanguageModel* one : model.both()) {
            const auto spec = one->router_spec();
            Interventions out;
            out.knocked_out = {{spec.routed_layers.back(), 1}};
            out.biases = {{{kEvery, 2}, 0.3f}};
            for (const Interventions& change : {Interventions(), out}) {
                routing::Agreement agreement;
                for (const TokenDecisions& token :
                     look(*one, random_tokens(30, small.model.vocabulary), change).tokens) {
                    count_agreement(agreement, token, spec, routing::InterventionPlan(change, spec));
                }
                EXPECT_EQ(agreement.decisions, 30u * spec.routed_layers.size()) << small.name;
                EXPECT_EQ(agreement.equal, agreement.decisions) << small.name;
            }
        }
    }
}

/// Changes that every router can do, by name. `seen` is the untouched model.
std::vector<std::pair<std::string, Interventions>> changes(const Seen& seen, const routing::RouterSpec& spec) {
    const int layer = spec.routed_layers.front(), last = spec.routed_layers.back();
    const int best = seen.tokens[0].layers.front().ids[0], second = seen.tokens[1].layers.back().ids[0];
    std::vector<std::pair<std::string, Interventions>> list;
    const auto add = [&](const char* name) -> Interventions& {
        return list.emplace_back(name, Interventions()).second;
    };
    add("knock out").knocked_out = {{layer, best}};
    add("knock out several").knocked_out = {{layer, best}, {last, second}, {last, (second + 1) % spec.experts}};
    add("knock out everywhere").knocked_out = {{kEvery, best}};
    add("force").forced = {{layer, best}};
    add("force two").forced = {{last, second}, {last, (second + 2) % spec.experts}};
    add("bias").biases = {{{layer, best}, -0.2f}, {{last, kEvery}, 0.1f}, {{last, second}, 0.4f}};
    add("limit").limits = {{kEvery, 1}};
    add("limit one layer").limits = {{last, 1}};
    add("zero").zeroed = {{layer, best}, {last, second}};
    add("zero a layer").zeroed = {{last, kEvery}};
    Interventions& replay = add("replay");
    replay.replay.source = "by hand";
    for (int position = 0; position < 20; ++position) {
        replay.replay.ids[{position, last}] = {(position + 1) % spec.experts, position % spec.experts};
        replay.replay.ids[{position, layer}] = {position % spec.experts};
    }
    Interventions& free_places = add("replay with a knock out");
    free_places.knocked_out = {{last, second}};
    free_places.replay = list[list.size() - 2].second.replay;
    Interventions& gone = add("replay of what is knocked out");
    gone.knocked_out = {{last, second}};
    gone.replay.source = "by hand";
    gone.replay.ids[{0, last}] = {second};
    gone.replay.ids[{1, last}] = {second, (second + 1) % spec.experts};
    Interventions& all = add("everything");
    all.knocked_out = {{layer, best}};
    all.forced = {{last, second}};
    all.biases = {{{last, (second + 1) % spec.experts}, 0.2f}};
    all.limits = {{layer, 1}};
    all.zeroed = {{last, second}};
    if (layer != last) {  // the other one is forced and has a bias
        all.replay.source = "by hand";
        all.replay.ids[{3, layer}] = {1, 2};
    }
    return list;
}

TEST(Routing, EveryChangeHasTheSameEffectInBothEngines) {
    for (const SmallModel& small : small_models()) {
        const Twice model(small.model, fill(small.model, 43));
        const auto tokens = random_tokens(40, small.model.vocabulary);
        const Seen before = look(*model.own, tokens);
        for (const auto& [name, change] : changes(before, model.own->router_spec())) {
            SCOPED_TRACE(small.name + ": " + name);
            const Seen own = look(*model.own, tokens, change), theirs = look(*model.theirs, tokens, change);
            expect_same(theirs, own);
            EXPECT_GT(difference(own.logits, before.logits), 1e-6) << "it does something";
        }
    }
}

/// The ids of a layer for all tokens.
std::vector<std::vector<std::int32_t>> ids_of(const Seen& seen, int layer) {
    std::vector<std::vector<std::int32_t>> ids;
    for (const TokenDecisions& token : seen.tokens) {
        for (const LayerDecision& one : token.layers) {
            if (one.layer == layer) {
                ids.push_back(one.ids);
            }
        }
    }
    return ids;
}

TEST(Routing, ChangesDoWhatTheyAreCalled) {
    for (const SmallModel& small : small_models()) {
        SCOPED_TRACE(small.name);
        const Twice model(small.model, fill(small.model, 44));
        const auto tokens = random_tokens(30, small.model.vocabulary);
        for (LanguageModel* one : model.both()) {
            const auto spec = one->router_spec();
            const int layer = spec.routed_layers.front();
            const Seen before = look(*one, tokens);
            const int best = before.tokens[0].layers.front().ids[0];
            const auto with = [&](const auto& fill_in) {
                Interventions change;
                fill_in(change);
                return look(*one, tokens, change);
            };
            for (const auto& ids : ids_of(with([&](auto& c) { c.knocked_out = {{layer, best}}; }), layer)) {
                EXPECT_EQ(std::count(ids.begin(), ids.end(), best), 0);
                EXPECT_EQ(ids.size(), 2u);
            }
            for (const auto& ids : ids_of(with([&](auto& c) { c.forced = {{layer, best}}; }), layer)) {
                EXPECT_EQ(std::count(ids.begin(), ids.end(), best), 1);
                EXPECT_EQ(ids.size(), 2u);
            }
            const Seen limited = with([&](auto& c) { c.limits = {{layer, 1}}; });
            EXPECT_EQ(ids_of(limited, layer)[0], (std::vector<std::int32_t>{best}));
            const LayerDecision& alone = limited.tokens[0].layers.front();
            ASSERT_EQ(alone.weights.size(), 1u);
            if (spec.normalise || spec.scoring == "softmax_after_top_k") {
                EXPECT_NEAR(alone.weights[0], spec.scale, 1e-5) << "the whole sum goes to the one that is left";
            } else {
                EXPECT_NEAR(alone.weights[0], before.tokens[0].layers.front().weights[0], 1e-5);
            }
            const Seen zeroed = with([&](auto& c) { c.zeroed = {{layer, best}}; });
            EXPECT_EQ(ids_of(zeroed, layer), ids_of(before, layer)) << "nothing is rerouted";
            EXPECT_EQ(zeroed.tokens[0].layers.front().weights[0], 0.0f);
            EXPECT_NEAR(zeroed.tokens[0].layers.front().weights[1], before.tokens[0].layers.front().weights[1], 1e-6);
        }
    }
}

/// The routing of a changed run, given to the untouched model, makes the logits of the changed run.
TEST(Routing, ReplayIsTheRunItWasTakenFrom) {
    for (const SmallModel& small : small_models()) {
        SCOPED_TRACE(small.name);
        const Twice model(small.model, fill(small.model, 45));
        const auto tokens = random_tokens(30, small.model.vocabulary);
        for (LanguageModel* one : model.both()) {
            Interventions change, replay;
            change.knocked_out = {{kEvery, 0}, {kEvery, 3}};
            const Seen changed = look(*one, tokens, change);
            replay.replay.source = "the changed run";
            for (const TokenDecisions& token : changed.tokens) {
                for (const LayerDecision& layer : token.layers) {
                    replay.replay.ids[{token.position, layer.layer}] = layer.ids;
                }
            }
            const Seen replayed = look(*one, tokens, replay);
            EXPECT_LE(difference(replayed.logits, changed.logits), 1e-10);
            EXPECT_TRUE(std::isnan(replayed.tokens[0].layers[0].margin)) << "nothing was chosen";
        }
    }
}

/// In the first layer with a router, where both runs read the same, it is what routing without the expert is.
TEST(Routing, OfAReplayTheNextBestTakesThePlaceOfAKnockedOutExpert) {
    for (const SmallModel& small : small_models()) {
        SCOPED_TRACE(small.name);
        const Twice model(small.model, fill(small.model, 47));
        const auto tokens = random_tokens(30, small.model.vocabulary);
        for (LanguageModel* one : model.both()) {
            const int layer = one->router_spec().routed_layers.front();
            const Seen before = look(*one, tokens);
            const int out = before.tokens[0].layers.front().ids[0];
            Interventions change;
            change.knocked_out = {{layer, out}};
            const auto without = ids_of(look(*one, tokens, change), layer);
            change.replay.source = "itself";
            for (const TokenDecisions& token : before.tokens) {
                change.replay.ids[{token.position, layer}] = token.layers.front().ids;
            }
            auto replayed = ids_of(look(*one, tokens, change), layer);
            ASSERT_EQ(replayed.size(), without.size());
            for (std::size_t t = 0; t < replayed.size(); ++t) {
                EXPECT_EQ(replayed[t].size(), 2u);
                EXPECT_EQ(std::count(replayed[t].begin(), replayed[t].end(), out), 0);
                if (small.model.router_groups == 1) {  // else other groups may be chosen than the replay was made in
                    EXPECT_TRUE(std::is_permutation(replayed[t].begin(), replayed[t].end(), without[t].begin(),
                                                    without[t].end()))
                        << t;
                }
            }
        }
    }
}

/// The model without an expert, written by hand: one row of the router and one expert less in every layer.
std::pair<ModelConfig, Filled> without_expert(const SmallModel& small, const Filled& filled, int expert) {
    ModelConfig fewer = small.model;
    --fewer.experts;
    Filled out{make_layout(fewer), {}};
    out.parameters.assign(out.layout.floats, 0.0f);
    std::map<std::string, NamedTensor> before;
    for (const NamedTensor& tensor : name_tensors(small.model, filled.layout)) {
        before[tensor.name] = tensor;
    }
    for (const NamedTensor& tensor : name_tensors(fewer, out.layout)) {
        std::string name = tensor.name;
        if (const auto at = name.find(".experts."); at != std::string::npos) {
            const std::size_t begin = at + 9, end = name.find('.', begin);
            const int number = std::stoi(name.substr(begin, end - begin));
            name.replace(begin, end - begin, std::to_string(number < expert ? number : number + 1));
        }
        const NamedTensor& from = before.at(name);
        const bool rows = from.count != tensor.count;
        const std::uint64_t width = tensor.count / static_cast<std::uint64_t>(fewer.experts);
        for (std::uint64_t i = 0; i < tensor.count; ++i) {
            const std::uint64_t skipped = rows && i / width >= static_cast<std::uint64_t>(expert) ? width : 0;
            out.parameters[tensor.offset + i] = filled.parameters[from.offset + i + skipped];
        }
    }
    return {fewer, out};
}

TEST(Routing, AKnockedOutExpertIsOneThatIsNotThere) {
    int compared = 0;
    for (const SmallModel& small : small_models()) {
        const bool shares = small.model.router_scoring == Scoring::softmax && !small.model.normalise_weights;
        if (small.model.router_groups > 1 || shares) {
            // Groups of unequal size: no model has them. Weights that are shares of all experts: the next test.
            continue;
        }
        SCOPED_TRACE(small.name);
        const Filled filled = fill(small.model, 46);
        const Twice model(small.model, filled);
        const auto tokens = random_tokens(30, small.model.vocabulary);
        for (const int expert : {0, 3, 5}) {
            const auto [fewer, less] = without_expert(small, filled, expert);
            const Twice reference(fewer, less);
            Interventions change;
            change.knocked_out = {{kEvery, expert}};
            for (std::size_t i = 0; i < 2; ++i) {
                const Seen out = look(*model.both()[i], tokens, change);
                EXPECT_LE(difference(out.logits, reference.both()[i]->logits(tokens)), 1e-10);
            }
            ++compared;
        }
    }
    EXPECT_GE(compared, 12);
}

/// Weights that are not divided by their sum stay the shares that they were of all experts, the missing one included.
TEST(Routing, WithoutNormalisationTheOthersKeepTheirWeights) {
    const SmallModel small = small_models()[1];  // OLMoE
    ASSERT_FALSE(small.model.normalise_weights);
    const Twice model(small.model, fill(small.model, 55));
    const auto tokens = random_tokens(30, small.model.vocabulary);
    for (LanguageModel* one : model.both()) {
        const Seen before = look(*one, tokens);
        const std::int32_t gone = before.tokens[0].layers[0].ids[0];
        Interventions change;
        change.knocked_out = {{0, gone}};
        const Seen after = look(*one, tokens, change);
        for (std::size_t t = 0; t < tokens.size(); ++t) {
            const Floats& shares = before.tokens[t].layers[0].scores;
            Floats left;
            for (std::size_t e = 0; e < shares.size(); ++e) {
                if (e != static_cast<std::size_t>(gone)) {
                    left.push_back(shares[e]);
                }
            }
            std::sort(left.rbegin(), left.rend());
            left.resize(2);
            expect_near(after.tokens[t].layers[0].weights, left, "weights");
        }
    }
}

TEST(Routing, WatchingChangesNothingBitForBit) {
    for (SmallModel small : small_models()) {
        SCOPED_TRACE(small.name);
        small.model.context = 200;
        const Twice model(small.model, fill(small.model, 47));
        const auto tokens = random_tokens(150, small.model.vocabulary);  // several batches
        const Floats plain = model.theirs->logits(tokens);
        for (const Detail detail : {Detail::ids, Detail::weights, Detail::scores}) {
            EXPECT_EQ(look(*model.theirs, tokens, {}, detail).logits, plain) << static_cast<int>(detail);
        }
        // A change of what is not there for this text: edits happen, and nothing becomes another.
        Interventions idle;
        idle.replay.source = "itself";
        for (const TokenDecisions& token : look(*model.theirs, tokens).tokens) {
            for (const LayerDecision& layer : token.layers) {
                idle.replay.ids[{token.position, layer.layer}] = layer.ids;
            }
        }
        EXPECT_EQ(look(*model.theirs, tokens, idle).logits, plain);
        Interventions change;
        change.knocked_out = {{kEvery, 1}};
        EXPECT_NE(look(*model.theirs, tokens, change).logits, plain);
        EXPECT_EQ(model.theirs->logits(tokens), plain) << "the context that answers is another";
        const Floats own = look(*model.own, tokens, {}, Detail::ids).logits;
        EXPECT_EQ(look(*model.own, tokens, {}, Detail::scores).logits, own);
        EXPECT_EQ(look(*model.own, tokens, idle).logits, own);
    }
}

TEST(Routing, TellsWhatWasAskedForOnly) {
    const SmallModel small = small_models()[6];  // groups
    const Twice model(small.model, fill(small.model, 48));
    const auto tokens = random_tokens(10, small.model.vocabulary);
    for (LanguageModel* one : model.both()) {
        const LayerDecision ids = look(*one, tokens, {}, Detail::ids).tokens[3].layers.back();
        EXPECT_EQ(ids.ids.size(), 2u);
        EXPECT_TRUE(ids.weights.empty());
        EXPECT_TRUE(std::isnan(ids.margin));
        EXPECT_TRUE(std::isnan(ids.entropy));
        const LayerDecision weights = look(*one, tokens, {}, Detail::weights).tokens[3].layers.back();
        EXPECT_EQ(weights.weights.size(), 2u);
        EXPECT_TRUE(weights.scores.empty());
        const LayerDecision scores = look(*one, tokens).tokens[3].layers.back();
        EXPECT_EQ(scores.scores.size(), 6u);
        EXPECT_EQ(scores.selection.size(), 6u);
        EXPECT_EQ(scores.group_scores.size(), 3u);
        EXPECT_EQ(scores.groups_kept.size(), 2u);
        EXPECT_NE(scores.scores, scores.selection) << "the bias is in the selection only";
    }
}

TEST(Routing, NextTokensAndTheirProbabilitiesAreThoseOfTheLogits) {
    const SmallModel small = small_models()[0];
    const Twice model(small.model, fill(small.model, 49));
    const auto tokens = random_tokens(12, small.model.vocabulary);
    for (LanguageModel* one : model.both()) {
        const Floats logits = one->logits(tokens);
        const Seen seen = look(*one, tokens);
        const auto V = static_cast<std::size_t>(small.model.vocabulary);
        for (std::size_t t = 0; t < tokens.size(); ++t) {
            const float* row = logits.data() + t * V;
            double sum = 0;
            for (std::size_t v = 0; v < V; ++v) {
                sum += std::exp(static_cast<double>(row[v]));
            }
            EXPECT_EQ(seen.tokens[t].predicted, std::max_element(row, row + V) - row);
            if (t + 1 == tokens.size()) {
                EXPECT_EQ(seen.tokens[t].next, -1);
                EXPECT_FALSE(seen.tokens[t].log_probability);
            } else {
                EXPECT_EQ(seen.tokens[t].next, tokens[t + 1]);
                EXPECT_NEAR(*seen.tokens[t].log_probability, row[tokens[t + 1]] - std::log(sum), 1e-4);
            }
        }
    }
}

TEST(Routing, WhatCannotBeDoneIsSaid) {
    const SmallModel small = small_models()[0];
    const Twice model(small.model, fill(small.model, 50));
    const std::atomic<bool> go = false, stop = true;
    for (LanguageModel* one : model.both()) {
        const auto said = [&](const std::vector<std::int32_t>& tokens, const Interventions& change = {}) {
            return error_of([&] {
                one->route(
                    tokens, {Detail::ids, change}, [](const TokenDecisions&) {}, go);
            });
        };
        EXPECT_NE(said({}).find("no tokens"), std::string::npos);
        EXPECT_NE(said(random_tokens(65, 40)).find("65 tokens, but the context of this model holds 64"),
                  std::string::npos);
        EXPECT_NE(said({1, 40}).find("token 40 is not"), std::string::npos);
        EXPECT_NE(said({-1}).find("token -1 is not"), std::string::npos);
        Interventions none;
        none.knocked_out = {{7, 0}};
        EXPECT_NE(said({1}, none).find("layer 7 of"), std::string::npos);
        int told = 0;
        EXPECT_FALSE(one->route(
            random_tokens(5, 40), {}, [&](const TokenDecisions&) { ++told; }, stop));
        EXPECT_EQ(told, 0);
        // Stopped after a block, and asked again.
        std::atomic<bool> later = false;
        const bool whole = one->route(
            random_tokens(64, 40), {},
            [&](const TokenDecisions&) {
                ++told;
                later = true;
            },
            later);
        EXPECT_EQ(whole, one->routed({}).most_tokens() >= 64);
        EXPECT_GT(told, 0);
        EXPECT_EQ(look(*one, random_tokens(5, 40)).tokens.size(), 5u);
    }
}

/// The gate of DeepSeek-V3 as an independent program computed it (tests/oracle/routers), through a whole model: its
/// embeddings are unit vectors and its attention gives nothing, so that the router's logits are its columns.
TEST(Routing, TheGateOfDeepSeekIsTheGoldenOne) {
    const auto golden = nlohmann::json::parse(
        moescope::test::read_text(std::filesystem::path(moescope::test::test_data()) / "oracle/routers/golden.json"));
    const auto found = std::find_if(golden.at("routers").begin(), golden.at("routers").end(),
                                    [](const auto& r) { return r.at("name") == "deepseek_v3"; });
    ASSERT_NE(found, golden.at("routers").end());
    const nlohmann::json& gate = *found;
    ModelConfig m = small_deepseek();
    m.layers = 1;
    m.dense_layers = 0;
    m.experts = gate.at("E");
    m.experts_per_token = gate.at("K");
    m.router_groups = gate.at("groups");
    m.router_groups_kept = gate.at("groups_kept");
    m.router_scale = gate.at("scale");
    Filled filled = fill(m, 51);
    const LayerOffsets& at = filled.layout.layers[0];
    const auto D = static_cast<std::size_t>(m.width), E = static_cast<std::size_t>(m.experts);
    const std::size_t T = gate.at("T"), K = gate.at("K");
    float* p = filled.parameters.data();
    std::fill_n(p + at.output, D * static_cast<std::size_t>(m.heads * m.value_width), 0.0f);
    std::fill_n(p + filled.layout.embedding, D * static_cast<std::size_t>(m.vocabulary), 0.0f);
    const float norm = 1.0f / std::sqrt(1.0f / static_cast<float>(D) + static_cast<float>(m.rms_epsilon));
    const auto z = gate.at("z_thousandths").get<Floats>(), bias = gate.at("bias").get<Floats>();
    for (std::size_t d = 0; d < D; ++d) {
        p[at.post_norm + d] = 1.0f / norm;
        for (std::size_t e = 0; e < E; ++e) {
            p[at.router + e * D + d] = d < T ? z[d * E + e] / 1000 : 0.0f;
        }
    }
    std::copy(bias.begin(), bias.end(), p + at.selection_bias);
    std::vector<std::int32_t> tokens;
    for (std::size_t t = 0; t < T; ++t) {
        p[filled.layout.embedding + t * D + t] = 1.0f;
        tokens.push_back(static_cast<std::int32_t>(t));
    }
    const Twice model(m, filled);
    const auto ids = gate.at("ids").get<std::vector<std::int32_t>>();
    const auto weights = gate.at("w").get<Floats>();
    for (LanguageModel* one : model.both()) {
        const Seen seen = look(*one, tokens);
        for (std::size_t t = 0; t < T; ++t) {
            const LayerDecision& decision = seen.tokens[t].layers.at(0);
            const auto from = static_cast<std::ptrdiff_t>(t * K), to = static_cast<std::ptrdiff_t>((t + 1) * K);
            EXPECT_EQ(decision.ids, std::vector<std::int32_t>(ids.begin() + from, ids.begin() + to));
            expect_near(decision.weights, Floats(weights.begin() + from, weights.begin() + to), "weights");
            EXPECT_NEAR(decision.logits[7], z[t * E + 7] / 1000, 1e-5);
        }
    }
}

TEST(Routing, HashLayersLoseWhatIsKnockedOut) {
    ModelConfig m = small_config();
    m.hash_layers = 1;
    const Filled filled = fill(m, 54);
    auto loaded = std::make_shared<LoadedModel>();
    loaded->config.model = m;
    loaded->layout = filled.layout;
    loaded->parameters = filled.parameters.data();
    const auto spec = own_router_spec(*loaded, "m", "own");
    EXPECT_EQ(spec.hash_layers, 1);
    const auto model = open_own_routing(loaded, spec, 64, 1);
    const auto tokens = random_tokens(10, m.vocabulary);
    const std::atomic<bool> cancel = false;
    const auto decide = [&](const Interventions& change) {
        model->watch(Detail::scores, change);
        model->restart();
        std::vector<std::vector<LayerDecision>> layers;
        EXPECT_FALSE(model->feed(tokens, layers, cancel).empty());
        return layers;
    };
    const auto before = decide({});
    Interventions out, replay, forced;
    const std::int32_t gone = before[0][0].ids[0], left = before[0][0].ids[1];
    EXPECT_TRUE(std::isnan(before[0][0].margin));
    EXPECT_FALSE(std::isnan(before[0][1].margin));
    out.knocked_out = {{0, gone}};
    const LayerDecision after = decide(out)[0][0];
    EXPECT_EQ(after.ids, (std::vector<std::int32_t>{left})) << "nobody takes the place: no score says who";
    EXPECT_NEAR(after.weights.at(0), 1.0f, 1e-6);
    out.knocked_out.push_back({0, left});
    const LayerDecision none = decide(out)[0][0];
    EXPECT_TRUE(none.ids.empty() && none.weights.empty()) << "the token goes on without an expert";
    replay.replay.source = "by hand";
    replay.replay.ids[{0, 0}] = {left, (left + 1) % 6};
    EXPECT_EQ(decide(replay)[0][0].ids, (std::vector<std::int32_t>{left, (left + 1) % 6}));
    EXPECT_EQ(decide(replay)[1][0].ids, before[1][0].ids);
    forced.forced = {{0, 1}};
    EXPECT_NE(error_of([&] { decide(forced); }).find("chooses by the token's id"), std::string::npos);
}

/// The rule of changes is not the code that routes; both are the same choice, experts knocked out or not.
TEST(Routing, TheChoiceIsThatOfTheKernels) {
    std::mt19937 random(9);
    std::normal_distribution<float> normal;
    for (int round = 0; round < 300; ++round) {
        kernels::RouterShape shape;
        shape.T = 1;
        shape.groups = std::vector<std::int64_t>{1, 2, 4}[random() % 3];
        shape.E = shape.groups * static_cast<std::int64_t>(2 + random() % 4);
        shape.K = 1 + static_cast<std::int64_t>(random() % 2);
        shape.groups_kept = 1 + static_cast<std::int64_t>(random() % static_cast<unsigned>(shape.groups));
        shape.group_score = random() % 2 == 0 ? GroupScore::max : GroupScore::top2;
        shape.scoring = kernels::Scoring::sigmoid;
        const auto E = static_cast<std::size_t>(shape.E);
        Floats z(E), bias(E), s(E), weights(E);
        for (std::size_t e = 0; e < E; ++e) {
            z[e] = normal(random);
            bias[e] = normal(random);
        }
        routing::LayerChange change;
        change.knocked_out.assign(E, 0);
        for (std::int64_t left = shape.E; left > shape.K && random() % 3 != 0; --left) {
            change.knocked_out[random() % E] = 1;
        }
        float lse = 0;
        std::vector<std::int32_t> ids(E);
        std::vector<std::uint8_t> kept(E);
        std::vector<std::uint32_t> counts(E), choices(E);
        std::vector<double> scratch(static_cast<std::size_t>(kernels::router_scratch(shape)));
        kernels::RouterInput in;
        in.z_TE = z.data();
        in.selection_bias_E = bias.data();
        in.disabled_E = change.knocked_out.data();
        kernels::router_forward(
            {s.data(), &lse, ids.data(), kept.data(), weights.data(), counts.data(), choices.data()}, in,
            scratch.data(), shape);
        ids.resize(static_cast<std::size_t>(shape.K));
        for (std::size_t e = 0; e < E; ++e) {
            s[e] += bias[e];
        }
        const routing::ChoiceRule rule{static_cast<int>(shape.K), static_cast<int>(shape.groups),
                                       static_cast<int>(shape.groups_kept), shape.group_score == GroupScore::max};
        EXPECT_EQ(routing::choose(s, rule, &change).ids, ids) << round;
    }
}

/// A GGUF file that leaves something out, or in which libllama does something else than the original: said, not hidden.
TEST(Routing, DoubtsNameWhatTheFileDoesNotSay) {
    const auto spec_of = [](ModelConfig m, const std::function<void(GgufValues&)>& change) {
        const TemporaryFolder folder;
        const Filled filled = fill(m, 52);
        GgufValues values = gguf_model_values(ModelType::deepseek_v3, m);
        values.emplace_back("tokenizer.ggml.model", std::string("no_vocab"));
        change(values);
        std::vector<GgufOutput> outputs;
        const auto tensors = gguf_tensors(ModelType::deepseek_v3, m, filled.layout);
        for (const FileTensor& t : tensors) {
            outputs.push_back(
                {t.name, t.shape, GgufFloat::f32, [&](std::span<float> v) { gather(v, filled.parameters.data(), t); }});
        }
        write_gguf(folder.path() / "m.gguf", values, outputs);
        return open_model(folder.path() / "m.gguf", 1)->router_spec();
    };
    const auto leave_out = [](const char* key) {
        return [key](GgufValues& values) {
            std::erase_if(values, [&](const auto& one) { return one.first == std::string("deepseek2.") + key; });
        };
    };
    const auto said = [](const routing::RouterSpec& spec) {
        std::string all;
        for (const auto& doubt : spec.doubts) {
            all += doubt.english() + "\n";
        }
        return all;
    };
    ModelConfig m = small_deepseek();
    EXPECT_EQ(said(spec_of(m, [](GgufValues&) {})), "");
    m.layers = 2;
    m.experts = 256;
    m.router_groups = 8;
    m.router_groups_kept = 4;
    EXPECT_EQ(said(spec_of(m, [](GgufValues&) {})), "");
    const auto without = spec_of(m, [&](GgufValues& values) {
        leave_out("expert_group_count")(values);
        leave_out("expert_group_used_count")(values);
    });
    EXPECT_EQ(without.groups, 1);
    EXPECT_NE(said(without).find("does not say how its 256 experts are grouped"), std::string::npos) << said(without);
    const auto guessed = spec_of(small_deepseek(), leave_out("expert_gating_func"));
    EXPECT_NE(said(guessed).find("libllama took softmax"), std::string::npos) << said(guessed);
    ModelConfig v2 = small_deepseek();
    v2.router_scoring = Scoring::softmax;
    v2.router_groups = 3;
    v2.router_groups_kept = 1;
    const auto grouped = spec_of(v2, [](GgufValues&) {});
    EXPECT_EQ(grouped.groups, 3);
    EXPECT_EQ(grouped.groups_kept, 1);
    EXPECT_NE(said(grouped).find("DeepSeek-V2 takes the best alone"), std::string::npos) << said(grouped);
}

TEST(Routing, OwnRoutersThatLookAtABatchSaySo) {
    ModelConfig m = small_config();
    m.router_choice = Choice::expert;
    m.capacity_factor = 1.0;
    const Filled filled = fill(m, 53);
    LoadedModel loaded;
    loaded.config.model = m;
    loaded.layout = filled.layout;
    const auto doubts = [&](Choice choice) {
        loaded.config.model.router_choice = choice;
        return own_router_spec(loaded, "m", "own").doubts;
    };
    ASSERT_EQ(doubts(Choice::expert).size(), 1u);
    EXPECT_NE(doubts(Choice::expert)[0].english().find("its experts choose their tokens"), std::string::npos);
    ASSERT_EQ(doubts(Choice::quantile).size(), 1u);
    EXPECT_NE(doubts(Choice::sinkhorn)[0].english().find("balances over the whole batch"), std::string::npos);
    EXPECT_TRUE(doubts(Choice::token).empty());
    EXPECT_TRUE(doubts(Choice::hash).empty());
    EXPECT_EQ(own_router_spec(loaded, "m", "own").hash_layers, 2) << "all of them";
}

/// The names that a trace may have are those that our routers have.
TEST(RouterSpecs, KnowEveryScoring) {
    std::vector<std::string_view> known(routing::kKnownScorings.begin(), routing::kKnownScorings.end());
    std::vector<std::string_view> ours(std::begin(kernels::kScoringNames), std::end(kernels::kScoringNames));
    std::sort(known.begin(), known.end());
    std::sort(ours.begin(), ours.end());
    EXPECT_EQ(known, ours);
}

}  // namespace
}  // namespace moescope::engine::test
