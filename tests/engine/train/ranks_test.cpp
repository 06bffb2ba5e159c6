// The same model trained by one rank and by several: losses, counts and balance losses are the same but for rounding.
#include <gmock/gmock.h>
#include <numeric>

#include "engine/model/balancings.hpp"
#include "tests/engine/comm/threads_comm.hpp"
#include "tests/engine/train/fixtures.hpp"
#include "tests/engine/train/presets.hpp"
#include "tests/engine/train/variants.hpp"

namespace moescope::engine::test {
namespace {

using comm::test::run_ranks;

/// What a run of some steps gives.
struct Trained {
    std::vector<StepStats> steps;
    std::vector<float> gradients;  ///< of the first step
    HeldOutLoss held_out;
    std::string sha256;
    std::vector<std::string> problems;
};

struct Shape {
    int ranks, expert_ranks;
    bool own_sequences = false;
};

/// Rank 0 calls `lead` with its trainer, the others follow.
std::vector<std::string> train_on(const Shape& shape,
                                  const std::function<std::unique_ptr<Trainer>(TrainingRanks)>& make,
                                  const std::function<void(Trainer&)>& lead) {
    return run_ranks(shape.ranks, [&](const std::shared_ptr<comm::Comm>& world) {
        const auto trainer = make({world, shape.expert_ranks, shape.own_sequences, 1});
        world->rank() == 0 ? lead(*trainer) : trainer->follow();
    });
}

Trained train(const RunConfig& config, const Shape& shape, int steps) {
    const auto data = byte_dataset();
    Trained result;
    const auto lead = [&](Trainer& trainer) {
        for (int step = 0; step < steps; ++step) {
            result.steps.push_back(trainer.step());
            if (step == 0) {
                const auto gradients = trainer.gradients();
                result.gradients.assign(gradients.begin(), gradients.end());
            }
        }
        result.held_out = trainer.evaluate();
        result.sha256 = trainer.parameters_sha256();
    };
    if (shape.ranks == 1) {
        Trainer alone(config, data);
        lead(alone);
        return result;
    }
    result.problems = train_on(
        shape,
        [&](const TrainingRanks& ranks) {
            return std::make_unique<Trainer>(config, data, StopCheck(), nullptr, ranks);
        },
        lead);
    return result;
}

RunConfig shared_config() {
    RunConfig config = tiny_config();
    config.train.threads = 1;
    config.train.batch = 4;
    config.model.context = 13;
    config.train.learning_rate = 3e-4;  // close choices stay as they are for a few steps
    // AdamW makes a step of full size even of a gradient that is nothing but rounding; with this it does not.
    config.train.adam_epsilon = 1e-3;
    return config;
}

/// Sums of n floats in another order differ by less than n eps / 2 of the sum of magnitudes. The longest ones here are
/// over the 52 tokens of a batch and behind them over some hundred numbers of a product: below 1e-5 of the largest
/// gradient, and, as a step moves parameters by less than their gradients' share of the learning rate, of the losses.
constexpr double kTolerance = 1e-5;

/// Where two scores are as near as rounding, a token may go to the other expert after the first step: one of 52 tokens
/// less, and what follows is as far apart as that.
constexpr double kToleranceOfOtherChoices = 2e-3;
constexpr std::uint64_t kOtherChoices = 4;  ///< at most, of a step

void expect_near_or_absent(double actual, double expected, double tolerance, const char* what) {
    EXPECT_EQ(std::isnan(actual), std::isnan(expected)) << what;
    if (!std::isnan(expected)) {
        EXPECT_NEAR(actual, expected, tolerance * std::max(1.0, std::abs(expected))) << what;
    }
}

/// Choices that fell to other experts.
template <class Counts>
std::uint64_t other_choices(const Counts& actual, const Counts& expected) {
    std::uint64_t more = 0;
    for (std::size_t i = 0; i < std::min(actual.size(), expected.size()); ++i) {
        more += actual[i] > expected[i] ? actual[i] - expected[i] : 0;
    }
    return more;
}

void expect_same(const Trained& actual, const Trained& expected) {
    EXPECT_THAT(actual.problems, testing::Each(""));
    ASSERT_EQ(actual.steps.size(), expected.steps.size());
    ASSERT_EQ(actual.gradients.size(), expected.gradients.size());
    double largest = 0, difference = 0;
    for (std::size_t i = 0; i < expected.gradients.size(); ++i) {
        largest = std::max(largest, std::abs(static_cast<double>(expected.gradients[i])));
        difference = std::max(difference, std::abs(static_cast<double>(actual.gradients[i]) - expected.gradients[i]));
    }
    EXPECT_LT(difference, kTolerance * largest) << "gradients of the first step";
    double tolerance = kTolerance;
    for (std::size_t i = 0; i < expected.steps.size(); ++i) {
        const StepStats &a = actual.steps[i], &e = expected.steps[i];
        ASSERT_EQ(a.counts.size(), e.counts.size());
        const std::uint64_t others = other_choices(a.counts, e.counts);
        EXPECT_LE(others, i == 0 ? 0 : kOtherChoices) << "step " << i;
        tolerance = others > 0 ? kToleranceOfOtherChoices : tolerance;
        EXPECT_TRUE(a.fault.empty()) << a.fault.english();
        expect_near_or_absent(a.loss, e.loss, tolerance, "loss");
        expect_near_or_absent(a.cross_entropy, e.cross_entropy, tolerance, "cross-entropy");
        expect_near_or_absent(a.balance_loss, e.balance_loss, tolerance, "balance loss");
        expect_near_or_absent(a.z_loss, e.z_loss, tolerance, "z-loss");
        expect_near_or_absent(a.prediction_loss, e.prediction_loss, tolerance, "prediction loss");
        expect_near_or_absent(a.router_margin, e.router_margin, tolerance, "margin");
        expect_near_or_absent(a.gradient_norm, e.gradient_norm, tolerance, "gradient norm");
        expect_near_or_absent(a.router_entropy_mean, e.router_entropy_mean, tolerance, "entropy");
        expect_near_or_absent(a.dropped, e.dropped, tolerance, "dropped");
        EXPECT_EQ(a.tokens_total, e.tokens_total);
    }
    EXPECT_EQ(actual.held_out.tokens, expected.held_out.tokens);
}

class Ranks : public testing::TestWithParam<Variant> {};

TEST_P(Ranks, TrainAsOneDoes) {
    RunConfig config = shared_config();
    GetParam().change(config);
    const bool routed = config.model.dense_layers < config.model.layers;
    const Trained alone = train(config, {1, 1}, 3);
    for (const Shape shape :
         {Shape{2, 1}, Shape{2, 2, true}, Shape{4, 2, true}, Shape{4, 4, true}, Shape{2, 2}, Shape{4, 2}}) {
        if (shape.expert_ranks > 1 && !routed) {
            continue;
        }
        SCOPED_TRACE(fmt::format("{} ranks, experts shared by {}, own sequences {}", shape.ranks, shape.expert_ranks,
                                 shape.own_sequences));
        const Trained shared = train(config, shape, 3);
        expect_same(shared, alone);
        EXPECT_EQ(shared.sha256, train(config, shape, 3).sha256) << "not the same bytes when repeated";
        // The norm of sharded gradients of shared experts is added up in another order.
        if (shape.ranks == shape.expert_ranks && !shape.own_sequences && config.model.shared_experts == 0) {
            EXPECT_EQ(shared.sha256, alone.sha256) << "a group on the same sequences has the bytes of one rank";
        }
        // Expert choice looks at the sequences that are evaluated together, which are others with more ranks.
        if (config.model.router_choice != Choice::expert) {
            EXPECT_NEAR(shared.held_out.loss[0], alone.held_out.loss[0], 1e-4);
            EXPECT_NEAR(shared.held_out.loss[1], alone.held_out.loss[1], 1e-4);
        }
    }
}
class RankPresets : public testing::TestWithParam<const char*> {};
TEST_P(RankPresets, TrainAsOneDoes) {
    RunConfig config = small_preset(GetParam());
    const RunConfig shared = shared_config();
    config.model.context = 12;
    config.train.batch = 2;
    config.train.accumulation = 1;
    config.train.learning_rate = shared.train.learning_rate;
    config.train.adam_epsilon = shared.train.adam_epsilon;
    const Trained alone = train(config, {1, 1}, 2);
    for (const Shape shape : {Shape{2, 1}, Shape{2, 2}, Shape{2, 2, true}}) {
        if (shape.expert_ranks > 1 && config.model.dense_layers >= config.model.layers) {
            continue;
        }
        SCOPED_TRACE(fmt::format("experts shared by {}, own sequences {}", shape.expert_ranks, shape.own_sequences));
        expect_same(train(config, shape, 2), alone);
    }
}
INSTANTIATE_TEST_SUITE_P(All, RankPresets, testing::ValuesIn(kPresets), preset_test_name);

/// Every published way to keep the load even.
class RankBalancings : public testing::TestWithParam<Balancing> {};
TEST_P(RankBalancings, TrainAsOneDoes) {
    const RunConfig before = shared_config();
    nlohmann::json settings = to_json(before);
    const nlohmann::json balancing = balancing_settings(GetParam().name);
    for (const auto& [key, value] : balancing.items()) {
        settings[settings["model"].contains(key) ? "model" : "train"][key] = value;
    }
    const RunConfig config = parse_run_config(settings, GetParam().name);
    const Trained alone = train(config, {1, 1}, 2);
    for (const Shape shape : {Shape{2, 1}, Shape{2, 2}, Shape{2, 2, true}}) {
        SCOPED_TRACE(fmt::format("experts shared by {}, own sequences {}", shape.expert_ranks, shape.own_sequences));
        expect_same(train(config, shape, 2), alone);
    }
}
INSTANTIATE_TEST_SUITE_P(All, RankBalancings, testing::ValuesIn(balancings().begin(), balancings().end()),
                         [](const auto& balancing) {
                             std::string name = balancing.param.name;
                             std::replace_if(
                                 name.begin(), name.end(), [](char c) { return std::isalnum(c) == 0; }, '_');
                             return name;
                         });

/// By so much that a bias that stayed where it was would be seen in the choices.
TEST(RanksWithSelectionBias, MoveItAsOneDoes) {
    RunConfig config = shared_config();
    config.model.selection_bias = true;
    config.train.balance = Balance::none;
    config.train.bias_update_rate = 0.05;
    for (const int accumulation : {1, 2}) {
        config.train.accumulation = accumulation;
        const Trained alone = train(config, {1, 1}, 4);
        RunConfig fixed = config;
        fixed.train.bias_update_rate = 0;
        EXPECT_GT(other_choices(train(fixed, {1, 1}, 4).steps.back().counts, alone.steps.back().counts), kOtherChoices)
            << "the bias matters here";
        for (const Shape shape : {Shape{2, 1}, Shape{2, 2, true}, Shape{2, 2}, Shape{4, 4}}) {
            SCOPED_TRACE(fmt::format("{} ranks, experts shared by {}, own sequences {}", shape.ranks,
                                     shape.expert_ranks, shape.own_sequences));
            const Trained shared = train(config, shape, 4);
            expect_same(shared, alone);
            if (shape.ranks == shape.expert_ranks && !shape.own_sequences) {
                EXPECT_EQ(shared.sha256, alone.sha256);
            }
        }
    }
}

std::unique_ptr<Trainer> trainer_of(const RunConfig& config, const TrainingRanks& ranks = {}) {
    return std::make_unique<Trainer>(config, byte_dataset(), StopCheck(), nullptr, ranks);
}
/// Goes on from a checkpoint and saves at once, on some ranks.
void save_again(const Shape& shape, const std::filesystem::path& from, const std::filesystem::path& to) {
    std::filesystem::create_directory(to);
    const auto load = [&](const TrainingRanks& ranks) {
        return Trainer::load(from, byte_dataset(), nullptr, {}, nullptr, ranks);
    };
    if (shape.ranks == 1) {
        load({})->save(to);
        return;
    }
    EXPECT_THAT(train_on(shape, load, [&](Trainer& trainer) { trainer.save(to); }), testing::Each(""));
}

/// Each rank keeps a part of the optimizer's state; a checkpoint has all of it, whoever writes and reads it.
class RankCheckpoints : public testing::TestWithParam<Optimizer> {};

TEST_P(RankCheckpoints, AreThoseOfOne) {
    RunConfig config = shared_config();
    config.train.optimizer = GetParam();
    const TemporaryFolder folder;
    const auto saved = [&](const std::string& name) { return folder.path() / name; };
    const auto bytes = [&](const std::string& name) {
        return file_bytes(saved(name) / "model.safetensors") + file_bytes(saved(name) / "optimizer.safetensors");
    };
    const auto lead = [&](const std::string& name) {
        return [&saved, name](Trainer& trainer) {
            trainer.set_expert_frozen(1, 3, true);  // apply goes expert by expert there
            trainer.step();
            trainer.reset_expert(0, 4);
            trainer.step();
            std::filesystem::create_directory(saved(name));
            trainer.save(saved(name));
        };
    };
    lead("one")(*trainer_of(config));
    for (const Shape shape :
         {Shape{2, 1}, Shape{2, 2}, Shape{4, 2}, Shape{2, 2, true}, Shape{4, 2, true}, Shape{4, 1}}) {
        const std::string name = fmt::format("{}-{}-{}", shape.ranks, shape.expert_ranks, shape.own_sequences);
        SCOPED_TRACE(name);
        EXPECT_THAT(train_on(
                        shape, [&](const TrainingRanks& ranks) { return trainer_of(config, ranks); }, lead(name)),
                    testing::Each(""));
        if (shape.ranks == shape.expert_ranks && !shape.own_sequences) {
            EXPECT_EQ(bytes(name), bytes("one"));
        }
        save_again({1, 1}, saved(name), saved(name + ".one"));
        EXPECT_EQ(bytes(name + ".one"), bytes(name));
        save_again(shape, saved(name), saved(name + ".same"));
        EXPECT_EQ(bytes(name + ".same"), bytes(name));
        save_again(shape, saved("one"), saved(name + ".taken"));
        EXPECT_EQ(bytes(name + ".taken"), bytes("one"));
    }
}
INSTANTIATE_TEST_SUITE_P(All, RankCheckpoints, testing::Values(Optimizer::adamw, Optimizer::muon),
                         [](const auto& optimizer) { return optimizer.param == Optimizer::muon ? "muon" : "adamw"; });

TEST(RankMemory, IsLessByTheStateThatOthersKeep) {
    const RunConfig config = shared_config();
    const std::uint64_t moments = 2 * make_layout(config.model).floats * sizeof(float),
                        alone = trainer_of(config)->memory_bytes();
    std::uint64_t shared = 0;
    EXPECT_THAT(train_on(
                    {4, 1}, [&](const TrainingRanks& ranks) { return trainer_of(config, ranks); },
                    [&](Trainer& trainer) { shared = trainer.memory_bytes(); }),
                testing::Each(""));
    // Of the moments a quarter stays; what the activations of a smaller part of the batch save comes on top.
    EXPECT_LT(shared, alone - moments / 4 * 3 + 8192);
}

/// What a rank has of the experts is what its tokens chose, and what it sends is what the others have to get.
class RankFigures : public testing::TestWithParam<Shape> {};

TEST_P(RankFigures, AreThoseOfTheStep) {
    RunConfig config = shared_config();
    const Shape shape = GetParam();
    const Trained trained = train(config, shape, 2);
    ASSERT_EQ(trained.steps.size(), 2u);
    const auto N = static_cast<std::size_t>(shape.ranks), G = static_cast<std::size_t>(shape.expert_ranks),
               L = static_cast<std::size_t>(config.model.layers), E = static_cast<std::size_t>(config.model.experts);
    for (const StepStats& step : trained.steps) {
        const RankStep& ranks = step.ranks;
        ASSERT_EQ(ranks.ranks, N);
        ASSERT_EQ(ranks.expert_ranks, G);
        ASSERT_EQ(ranks.layers, L);
        EXPECT_EQ(ranks.tokens_travel, shape.own_sequences);
        EXPECT_EQ(ranks.row_bytes, static_cast<std::uint64_t>(config.model.width) * sizeof(float));
        for (std::size_t layer = 0; layer < L; ++layer) {
            // Ranks at the same place of their groups have the same experts: their loads add up to what those got.
            for (std::size_t place = 0; place < G; ++place) {
                std::uint64_t chosen = 0, worked = 0;
                for (std::size_t e = E * place / G; e < E * (place + 1) / G; ++e) {
                    chosen += step.counts[layer * E + e] + step.counts[(L + layer) * E + e];
                }
                for (std::size_t rank = place; rank < N; rank += G) {
                    worked += ranks.load[layer * N + rank];
                }
                EXPECT_EQ(worked, chosen) << "layer " << layer << ", place " << place;
            }
            EXPECT_EQ(
                std::accumulate(ranks.load.begin() + static_cast<std::ptrdiff_t>(layer * N),
                                ranks.load.begin() + static_cast<std::ptrdiff_t>((layer + 1) * N), std::uint64_t{0}),
                step.tokens * static_cast<std::uint64_t>(config.model.experts_per_token));
            for (std::size_t rank = 0; rank < N; ++rank) {
                const std::uint64_t* sent = ranks.rows.data() + (layer * N + rank) * G;
                EXPECT_EQ(sent[rank % G], 0u) << "nobody sends to itself";
                for (std::size_t to = 0; to < G; ++to) {
                    const std::size_t other = rank / G * G + to;
                    if (other == rank) {
                        continue;
                    }
                    if (!shape.own_sequences) {
                        // The outputs of its experts, then the gradients of their inputs.
                        EXPECT_EQ(sent[to], 2 * ranks.load[layer * N + rank]);
                    } else {
                        // Tokens there and gradients back, outputs back and gradients there: each pair sends both ways
                        // the same rows.
                        EXPECT_EQ(sent[to], ranks.rows[(layer * N + other) * G + rank % G]);
                        EXPECT_EQ(sent[to] % 2, 0u);
                    }
                }
            }
        }
        for (std::size_t rank = 0; rank < N; ++rank) {
            EXPECT_GT(ranks.compute_ms[rank], 0);
            EXPECT_GT(ranks.waiting_ms[rank], 0);
            EXPECT_LE(ranks.compute_ms[rank] + ranks.waiting_ms[rank], step.step_ms * 1.5 + 50);
            for (std::size_t to = 0; to < N; ++to) {
                std::uint64_t rows = 0;
                for (std::size_t layer = 0; layer < L && rank / G == to / G; ++layer) {
                    rows += ranks.rows[(layer * N + rank) * G + to % G];
                }
                const std::uint64_t bytes = ranks.bytes[rank * N + to];
                // Of other groups only those at the same place have something in common when sequences are shared.
                EXPECT_TRUE(to == rank ? bytes == 0 : rank / G != to / G || bytes > rows * ranks.row_bytes)
                    << rank << " to " << to;
            }
        }
    }
    // With tokens that travel: rows from one rank's tokens to the experts of the other make both directions.
    if (shape.own_sequences && N == 2) {
        const RankStep& ranks = trained.steps[0].ranks;
        for (std::size_t layer = 0; layer < L; ++layer) {
            EXPECT_LE(ranks.rows[layer * N * G + 1], 2 * (ranks.load[layer * N] + ranks.load[layer * N + 1]));
            EXPECT_GT(ranks.rows[layer * N * G + 1], 0u);
        }
    }
}
INSTANTIATE_TEST_SUITE_P(All, RankFigures,
                         testing::Values(Shape{2, 1}, Shape{2, 2}, Shape{2, 2, true}, Shape{4, 2}, Shape{4, 2, true}),
                         [](const auto& shape) {
                             return fmt::format("{}ranks{}{}", shape.param.ranks, shape.param.expert_ranks,
                                                shape.param.own_sequences ? "travel" : "");
                         });

TEST(RankFiguresAlone, AreNone) {
    const Trained alone = train(shared_config(), {1, 1}, 1);
    ASSERT_EQ(alone.steps.size(), 1u);
    EXPECT_TRUE(alone.steps[0].ranks.empty());
}

INSTANTIATE_TEST_SUITE_P(All, Ranks, testing::ValuesIn(kVariants),
                         [](const auto& variant) { return std::string(variant.param.name); });

}  // namespace
}  // namespace moescope::engine::test
