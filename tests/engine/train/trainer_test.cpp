#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <functional>
#include <limits>
#include <nlohmann/json.hpp>
#include <numeric>

#include "base/utf8.hpp"
#include "engine/checkpoint/loaded_model.hpp"
#include "engine/generate/owned_decoder.hpp"
#include "engine/train/batches.hpp"
#include "engine/train/fork.hpp"
#include "engine/train/plan.hpp"
#include "fixtures.hpp"
#include "kernels/cpu/parallel.hpp"
#include "kernels/random.hpp"
#include "tests/paths.hpp"

namespace moescope::engine::test {
namespace {

std::vector<double> losses_of(Trainer& trainer, int steps) {
    std::vector<double> losses;
    for (int i = 0; i < steps; ++i) {
        const StepStats stats = trainer.step();
        EXPECT_EQ(stats.fault.english(), "");
        losses.push_back(stats.loss);
    }
    return losses;
}

TEST(Trainer, FollowsTheStoredLossCurve) {
    Trainer trainer(tiny_config(), byte_dataset());
    const auto losses = losses_of(trainer, 20);
    const auto path = std::filesystem::path(moescope::test::test_data()) / "engine/train/data/loss_curve.json";
    const auto stored = nlohmann::json::parse(file_bytes(path)).get<std::vector<double>>();
    EXPECT_EQ(stored.size(), losses.size());
    for (std::size_t i = 0; i < std::min(stored.size(), losses.size()); ++i) {
        EXPECT_NEAR(losses[i], stored[i], 1e-4 * stored[i]) << "step " << i + 1;
    }
    if (HasFailure()) {
        std::printf("the curve now: %s\n", nlohmann::json(losses).dump().c_str());
    }
    EXPECT_LT(losses.back(), losses.front() - 0.5);
}

/// A run that is stopped while it is prepared: on a machine that has other work the memory alone takes seconds.
TEST(Trainer, CanBeEndedWhileItIsMade) {
    const TemporaryFolder folder;
    Trainer(tiny_config(), byte_dataset()).save(folder.path());
    struct Enough {};
    const auto made_after = [](const auto& make) {
        for (int most = 0;; ++most) {
            int calls = 0;
            try {
                make([&] {
                    if (calls++ == most) {
                        throw Enough();
                    }
                });
                return most;  // it called no more often
            } catch (const Enough&) {
                EXPECT_EQ(calls, most + 1);
            }
        }
    };
    EXPECT_GT(made_after([](const StopCheck& check) { Trainer(tiny_config(), byte_dataset(), check); }), 5);
    EXPECT_GT(made_after([&](const StopCheck& check) { Trainer::load(folder.path(), byte_dataset(), nullptr, check); }),
              10);
}

TEST(Trainer, SameSeedSameBytesWithAnyNumberOfThreads) {
    std::vector<std::string> hashes;
    for (const int threads : {2, 2, 1, 3}) {
        RunConfig config = tiny_config();
        config.train.threads = threads;
        Trainer trainer(config, byte_dataset());
        losses_of(trainer, 6);
        hashes.push_back(trainer.parameters_sha256());
    }
    EXPECT_EQ(hashes[0], hashes[1]);
    EXPECT_EQ(hashes[0], hashes[2]);
    EXPECT_EQ(hashes[0], hashes[3]);
    RunConfig other = tiny_config();
    other.train.seed = 12;
    Trainer trainer(other, byte_dataset());
    losses_of(trainer, 6);
    EXPECT_NE(hashes[0], trainer.parameters_sha256());
}

// Rounded operands: another run than in single precision, near to it, and the same for any number of threads.
TEST(Trainer, Bfloat16FollowsTheSameCurveWithAnyNumberOfThreads) {
    RunConfig config = tiny_config();
    Trainer whole(config, byte_dataset());
    const auto wanted = losses_of(whole, 20);
    config.train.precision = Precision::bf16;
    Trainer two(config, byte_dataset());
    config.train.threads = 1;
    Trainer one(config, byte_dataset());
    const auto losses = losses_of(two, 20);
    EXPECT_NE(losses, wanted);
    for (std::size_t i = 0; i < losses.size(); ++i) {
        EXPECT_NEAR(losses[i], wanted[i], 0.01 * wanted[i]) << "step " << i + 1;
    }
    EXPECT_EQ(losses_of(one, 20), losses);
    EXPECT_EQ(one.parameters_sha256(), two.parameters_sha256());
}

// Eight bits in experts: the same, further away, and it tells how far at the steps that are named.
TEST(Trainer, EightBitsFollowTheSameCurveAndTellTheirError) {
    RunConfig config = tiny_config();
    config.train.evaluate_every = 8;
    Trainer whole(config, byte_dataset());
    const auto wanted = losses_of(whole, 20);
    config.train.precision = Precision::fp8;
    Trainer two(config, byte_dataset());
    config.train.threads = 1;
    Trainer one(config, byte_dataset());
    const auto L = static_cast<std::size_t>(config.model.layers);
    for (std::size_t i = 0; i < wanted.size(); ++i) {
        const StepStats stats = two.step(), same = one.step();
        EXPECT_NEAR(stats.loss, wanted[i], 0.02 * wanted[i]) << "step " << i + 1;
        EXPECT_EQ(stats.loss, same.loss);
        EXPECT_EQ(stats.expert_errors, same.expert_errors);
        const bool measured = i == 0 || i % 8 == 7;
        ASSERT_EQ(stats.expert_errors.size(), measured ? L * kExpertErrors : 0u) << i;
        EXPECT_EQ(std::isnan(stats.expert_input_gradient_error), !measured);
        if (!measured) {
            continue;
        }
        // Of all layers together it lies among those of each.
        float least = 100, most = 0;
        for (std::size_t layer = 0; layer < L; ++layer) {
            least = std::min(least, stats.expert_errors[layer * kExpertErrors]);
            most = std::max(most, stats.expert_errors[layer * kExpertErrors]);
        }
        EXPECT_GT(least, 1.0f);
        EXPECT_LT(most, 12.0f);
        EXPECT_GE(stats.expert_output_error, 0.999 * static_cast<double>(least));
        EXPECT_LE(stats.expert_output_error, 1.001 * static_cast<double>(most));
    }
    EXPECT_NE(whole.parameters_sha256(), two.parameters_sha256());
    EXPECT_EQ(one.parameters_sha256(), two.parameters_sha256());
    EXPECT_TRUE(std::isnan(whole.step().expert_output_error));
}

TEST(Trainer, StatisticsAddUp) {
    const RunConfig config = tiny_config();
    Trainer trainer(config, byte_dataset());
    losses_of(trainer, 2);
    const StepStats stats = trainer.step();
    const auto tokens = static_cast<std::uint64_t>(config.train.batch * config.model.context);
    EXPECT_EQ(stats.step, 3u);
    EXPECT_EQ(stats.tokens, tokens);
    EXPECT_EQ(stats.tokens_total, 3 * tokens);
    const auto L = static_cast<std::size_t>(config.model.layers), E = static_cast<std::size_t>(config.model.experts);
    ASSERT_EQ(stats.counts.size(), kLanguages * L * E);
    ASSERT_EQ(stats.router_entropy.size(), L);
    for (std::size_t layer = 0; layer < L; ++layer) {
        std::uint64_t sum = 0;
        for (std::size_t language = 0; language < kLanguages; ++language) {
            const auto* row = stats.counts.data() + (language * L + layer) * E;
            sum += std::accumulate(row, row + E, std::uint64_t{0});
        }
        EXPECT_EQ(sum, tokens * static_cast<std::uint64_t>(config.model.experts_per_token));
        EXPECT_GT(stats.router_entropy[layer], 0.9f);  // a new router is nearly indifferent
        EXPECT_LE(stats.router_entropy[layer], 1.00001f);
    }
    EXPECT_NEAR(stats.loss, stats.cross_entropy + 0.01 * stats.balance_loss + 0.001 * stats.z_loss, 1e-12);
    EXPECT_GE(stats.balance_loss, 0.9);
    const double parts = std::accumulate(stats.part_ms.begin(), stats.part_ms.end(), 0.0);
    EXPECT_NEAR(parts, stats.step_ms, 1e-6 + 1e-9 * parts);
    for (const Part part :
         {Part::data, Part::embedding, Part::attention, Part::router, Part::experts, Part::head, Part::optimizer}) {
        EXPECT_GT(stats.part_ms[static_cast<std::size_t>(part)], 0.0) << static_cast<int>(part);
    }
}

TEST(Trainer, EvaluationDoesNotDisturbTheRun) {
    Trainer quiet(tiny_config(), byte_dataset()), watched(tiny_config(), byte_dataset());
    const HeldOutLoss before = watched.evaluate();
    losses_of(quiet, 5);
    losses_of(watched, 5);
    const HeldOutLoss after = watched.evaluate();
    EXPECT_EQ(watched.sample("any", 5), "");  // no tokenizer in this data set
    EXPECT_EQ(quiet.parameters_sha256(), watched.parameters_sha256());
    EXPECT_EQ(losses_of(quiet, 1), losses_of(watched, 1));
    for (std::size_t language = 0; language < kLanguages; ++language) {
        EXPECT_EQ(before.tokens[language], byte_dataset()->held_out[language].size() - 1);
        EXPECT_NEAR(before.loss[language], std::log(256.0), 0.1);
        EXPECT_LT(after.loss[language], before.loss[language]);
    }
}

TEST(Trainer, EvaluationWithoutTextIsNaN) {
    auto data = byte_dataset();
    data->held_out[1].clear();
    Trainer trainer(tiny_config(), data);
    const HeldOutLoss result = trainer.evaluate();
    EXPECT_TRUE(std::isfinite(result.loss[0]));
    EXPECT_TRUE(std::isnan(result.loss[1]));
    EXPECT_EQ(result.tokens[1], 0u);
}

TEST(Trainer, AStepWithNaNIsReportedAndNotApplied) {
    const TemporaryFolder folder;
    Trainer(tiny_config(), byte_dataset()).save(folder.path());
    // Break one value of layer 1's experts in the saved file: the float stands where the header says.
    std::string bytes = file_bytes(folder.path() / "model.safetensors");
    std::uint64_t header = 0;
    std::memcpy(&header, bytes.data(), 8);
    const auto json = nlohmann::json::parse(bytes.substr(8, header));
    const std::uint64_t at = json["model.layers.1.mlp.experts.3.down_proj.weight"]["data_offsets"][0];
    const float nan = std::numeric_limits<float>::quiet_NaN();
    std::memcpy(bytes.data() + 8 + header + at, &nan, sizeof(nan));
    write_bytes(folder.path() / "model.safetensors", bytes);
    const auto trainer = Trainer::load(folder.path(), byte_dataset());
    const std::string before = trainer->parameters_sha256();
    const StepStats stats = trainer->step();
    EXPECT_EQ(stats.fault.english(), "layer 1: the experts first had values that are not finite");
    EXPECT_EQ(trainer->parameters_sha256(), before);
    EXPECT_EQ(trainer->steps_done(), 1u);
}

TEST(Trainer, ABrokenGradientNamesItsPlace) {
    const TemporaryFolder folder;
    RunConfig config = tiny_config();
    config.model.tied_head = false;
    Trainer(config, byte_dataset()).save(folder.path());
    std::string bytes = file_bytes(folder.path() / "model.safetensors");
    std::uint64_t header = 0;
    std::memcpy(&header, bytes.data(), 8);
    const auto json = nlohmann::json::parse(bytes.substr(8, header));
    const auto set = [&](const std::string& part, float value) {
        for (const auto& [name, tensor] : json.items()) {
            if (name.find(part) == std::string::npos) {
                continue;
            }
            const std::uint64_t begin = tensor["data_offsets"][0], end = tensor["data_offsets"][1];
            for (std::uint64_t at = begin; at < end; at += sizeof(value)) {
                std::memcpy(bytes.data() + 8 + header + at, &value, sizeof(value));
            }
        }
    };
    // The hidden values of the experts are 1e38, but their down projections 0: the loss is finite, the projections'
    // gradient is not.
    set("embed_tokens", 1e-10f);
    set("o_proj", 0.0f);
    set("post_attention_layernorm", 1e7f);
    set("gate_proj", 1e19f / 24);
    set("up_proj", 1e19f / 24);
    set("down_proj", 0.0f);
    set("model.norm", 1e4f);
    write_bytes(folder.path() / "model.safetensors", bytes);
    const auto trainer = Trainer::load(folder.path(), byte_dataset());
    const std::string before = trainer->parameters_sha256();
    const StepStats stats = trainer->step();
    EXPECT_TRUE(std::isfinite(stats.loss));
    EXPECT_TRUE(stats.fault.english() == "gradient norm is NaN in layer 0 experts" ||
                stats.fault.english() == "gradient norm is infinite in layer 0 experts")
        << stats.fault;
    EXPECT_EQ(trainer->parameters_sha256(), before);
}

TEST(Trainer, KnobsActAndRefuseNonsense) {
    RunConfig config = tiny_config();
    config.train.warmup_steps = 0;
    Trainer trainer(config, byte_dataset());
    EXPECT_NEAR(trainer.step().learning_rate, config.train.learning_rate, 1e-12);
    trainer.set("learning_rate", 0.0);
    trainer.set("balance_coefficient", 0.5);
    trainer.set("z_coefficient", 0.0);
    const std::string before = trainer.parameters_sha256();
    const StepStats stats = trainer.step();
    EXPECT_EQ(stats.learning_rate, 0.0);
    EXPECT_EQ(trainer.parameters_sha256(), before);
    EXPECT_NEAR(stats.loss, stats.cross_entropy + 0.5 * stats.balance_loss, 1e-12);
    for (const double value : {std::nan(""), -0.1, 1e9, std::numeric_limits<double>::infinity()}) {
        for (const char* key : {"learning_rate", "balance_coefficient", "z_coefficient"}) {
            EXPECT_NE(error_of([&] { trainer.set(key, value); }).find(std::string(key) + " is "), std::string::npos);
        }
    }
}

TEST(Trainer, HashLayersDropBesideLayersWhoseExpertsChoose) {
    RunConfig config = tiny_config();
    config.model.router_choice = Choice::expert;
    config.model.normalise_weights = false;
    config.model.hash_layers = 1;
    config.model.capacity_factor = 0.25;
    config.train.balance = Balance::none;
    EXPECT_GT(Trainer(config, byte_dataset()).step().dropped, 0.0);
    config.model.hash_layers = 0;
    EXPECT_TRUE(std::isnan(Trainer(config, byte_dataset()).step().dropped)) << "what experts choose fits them";
}

TEST(Trainer, WhatIsNotComputedIsAbsentAndNotZero) {
    RunConfig config = tiny_config();
    config.model.layers = 3;
    config.model.dense_layers = 1;
    config.model.dense_width = 16;
    config.train.balance = Balance::none;
    const StepStats plain = Trainer(config, byte_dataset()).step();
    EXPECT_TRUE(std::isfinite(plain.loss));
    EXPECT_TRUE(std::isnan(plain.balance_loss));
    EXPECT_TRUE(std::isnan(plain.prediction_loss));
    EXPECT_TRUE(std::isnan(plain.dropped));
    EXPECT_TRUE(std::isnan(plain.memory_bytes)) << "is the caller's";
    EXPECT_TRUE(std::isfinite(plain.z_loss));
    // The dense layer has no router; the mean is that of the two others.
    EXPECT_TRUE(std::isnan(plain.router_entropy[0]));
    EXPECT_GT(plain.router_entropy[1], 0.9f);
    EXPECT_NEAR(plain.router_entropy_mean,
                (static_cast<double>(plain.router_entropy[1]) + static_cast<double>(plain.router_entropy[2])) / 2,
                1e-12);
    EXPECT_GT(plain.tokens_per_second, 0);

    config.train.balance = Balance::batch;
    config.model.prediction_depth = 1;
    config.model.capacity_factor = 0.25;
    const StepStats all = Trainer(config, byte_dataset()).step();
    EXPECT_GT(all.balance_loss, 0.0);
    EXPECT_GT(all.prediction_loss, 0.0);
    EXPECT_GT(all.dropped, 0.0);
    EXPECT_EQ(all.balance_coefficient, config.train.balance_coefficient);

    config.model.dense_layers = 3;
    config.model.prediction_depth = 0;
    const StepStats dense = Trainer(config, byte_dataset()).step();
    for (const double value : {dense.balance_loss, dense.z_loss, dense.dropped, dense.router_entropy_mean}) {
        EXPECT_TRUE(std::isnan(value));
    }
    EXPECT_TRUE(std::isfinite(dense.loss));
}

TEST(Trainer, SeveralKnobsAreTurnedTogetherOrNotAtAll) {
    RunConfig config = tiny_config();
    config.model.selection_bias = true;
    Trainer trainer(config, byte_dataset());
    const auto before = to_json(trainer.config());
    const std::pair<LiveValues, const char*> wrong[] = {
        {{{"balance_coefficient", 0.5}, {"bias_update_rate", 1.5}}, "bias_update_rate is 1.5, but must be from 0 to 1"},
        {{{"balance_coefficient", 0.5}, {"bias_speed", 5}}, "bias_update_rate is 5, but must be from 0 to 1"},
        {{{"balance_coefficient", 0.5}, {"experts_per_token", 3}},
         "experts_per_token is 3, but must be from 1 to the 2 that the run was planned for; fork the run to use more"},
        {{{"balance_coefficient", 0.5}, {"experts_per_token", 1.5}},
         "experts_per_token is 1.5, but must be a whole number from 1 to 2"},
        {{{"balance_coefficient", 0.5}, {"prediction_coefficient", 0.5}},
         "prediction_coefficient cannot be changed in this run: that needs prediction_depth > 0"},
        {{{"balance_coefficient", 0.5}, {"width", 8}}, "width cannot be changed during a run"},
        {{{"balance_coefficient", 0.5}, {"wdith", 8}}, "wdith cannot be changed during a run"},
    };
    for (const auto& [values, sentence] : wrong) {
        EXPECT_EQ(error_of([&] { trainer.set(values); }), sentence);
        EXPECT_EQ(to_json(trainer.config()), before);
    }
    trainer.set({{"balance_coefficient", 0.5}, {"bias_speed", 0.25}, {"experts_per_token", 1}, {"capacity_factor", 2}});
    EXPECT_EQ(live_value(trainer.config(), "bias_update_rate"), 0.25);
    EXPECT_EQ(live_value(trainer.config(), "bias_speed"), 0.25);
    EXPECT_EQ(trainer.config().model.experts_per_token, 1);
    const StepStats stats = trainer.step();
    EXPECT_EQ(std::accumulate(stats.counts.begin(), stats.counts.end(), std::uint64_t{0}) + stats.dropped,
              stats.tokens * static_cast<std::uint64_t>(config.model.layers));
    // The knobs are part of a checkpoint; a fork has its own settings.
    const TemporaryFolder folder;
    trainer.save(folder.path());
    EXPECT_EQ(to_json(Trainer::load(folder.path(), byte_dataset())->config()), to_json(trainer.config()));
    EXPECT_EQ(to_json(Trainer::load(folder.path(), byte_dataset(), &config)->config()), before);
    // A fork that changes nothing has them as they stood.
    EXPECT_EQ(to_json(checkpoint_settings(folder.path())), to_json(trainer.config()));
    trainer.set("experts_per_token", 0);
    EXPECT_EQ(trainer.config().model.experts_per_token, 2);
}

TEST(Trainer, SamplesAreOfTheModelWithoutItsDisabledExperts) {
    RunConfig config = tiny_config();
    config.model.vocabulary = 512;
    config.train.learning_rate = 0.05;
    Trainer trainer(config, dataset_with_tokenizer(config.model.vocabulary));
    for (int i = 0; i < 5; ++i) {
        trainer.step();
    }
    const std::string before = trainer.sample("the", 12);
    EXPECT_FALSE(before.empty());
    for (int layer = 0; layer < config.model.layers; ++layer) {
        for (const int expert : {0, 1, 2}) {
            trainer.set_expert_disabled(layer, expert, true);
        }
    }
    const std::string without = trainer.sample("the", 12);
    EXPECT_NE(without, before);
    for (int layer = 0; layer < config.model.layers; ++layer) {
        for (const int expert : {0, 1, 2}) {
            trainer.set_expert_disabled(layer, expert, false);
        }
    }
    EXPECT_EQ(trainer.sample("the", 12), before);
}

TEST(Trainer, AForkThatCannotWorkIsFoundWithoutLoadingIt) {
    const RunConfig config = tiny_config();
    Trainer trainer(config, byte_dataset());
    trainer.set_expert_disabled(0, 1, true);
    const TemporaryFolder folder;
    trainer.save(folder.path());
    EXPECT_NO_THROW(check_fork(folder.path(), config));
    RunConfig changed = config;
    changed.model.experts_per_token = config.model.experts;
    EXPECT_NE(error_of([&] { check_fork(folder.path(), changed); }).find("layer 0 has"), std::string::npos);
    changed = config;
    changed.model.experts += 1;
    EXPECT_NE(error_of([&] { check_fork(folder.path(), changed); }).find("other tensors"), std::string::npos);
}

TEST(Trainer, WhatExpertsChooseIsFixed) {
    RunConfig config = tiny_config();
    config.model.router_choice = Choice::expert;
    config.model.capacity_factor = 1.5;
    config.model.normalise_weights = false;
    config.train.balance = Balance::none;
    Trainer trainer(config, byte_dataset());
    EXPECT_NE(error_of([&] { trainer.set("capacity_factor", 2); }).find("router_choice != expert"), std::string::npos);
    const TemporaryFolder folder;
    trainer.save(folder.path());
    EXPECT_EQ(Trainer::load(folder.path(), byte_dataset())->config().model.capacity_factor, 1.5);
}

TEST(Trainer, ExpertsCanBeDisabledAsLongAsEachTokenFindsEnough) {
    for (const int groups : {1, 4}) {
        for (const GroupScore score : {GroupScore::max, GroupScore::top2}) {
            SCOPED_TRACE(groups);
            RunConfig config = tiny_config();
            config.model.experts = 8;
            config.model.experts_per_token = 3;
            config.model.router_groups = groups;
            config.model.router_groups_kept = groups / 2 + groups % 2;
            config.model.group_score = score;
            config.model.selection_bias = true;
            Trainer trainer(config, byte_dataset());
            // Of layer 1 one expert is left in each of three groups, of which two are kept while all are enabled.
            const std::vector<int> off = {0, 1, 2, 4, 6};
            for (const int expert : off) {
                trainer.set_expert_disabled(1, expert, true);
                trainer.set_expert_disabled(1, expert, true);  // once more changes nothing
            }
            EXPECT_EQ(error_of([&] { trainer.set_expert_disabled(1, 3, true); }),
                      "layer 1 needs at least 3 enabled experts: enable another one first");
            const TemporaryFolder folder;
            trainer.save(folder.path());
            const auto resumed = Trainer::load(folder.path(), byte_dataset());
            for (Trainer* one : {&trainer, resumed.get()}) {
                for (int i = 0; i < 3; ++i) {
                    const StepStats stats = one->step();
                    ASSERT_EQ(stats.fault.english(), "");
                    const auto count = [&](std::size_t layer, std::size_t expert) {
                        return stats.counts[layer * 8 + expert] + stats.counts[(2 + layer) * 8 + expert];
                    };
                    std::uint64_t all = 0;
                    for (std::size_t expert = 0; expert < 8; ++expert) {
                        all += count(1, expert);
                    }
                    EXPECT_EQ(all, stats.tokens * 3);
                    for (const int expert : off) {
                        EXPECT_EQ(count(1, static_cast<std::size_t>(expert)), 0u) << expert;
                    }
                }
            }
            EXPECT_EQ(trainer.parameters_sha256(), resumed->parameters_sha256());
            trainer.set_expert_disabled(1, 0, false);
            trainer.set_expert_disabled(1, 3, true);
            EXPECT_EQ(trainer.step().fault.english(), "");
        }
    }
}

TEST(Trainer, RefusesDataThatDoNotFit) {
    const auto message = [](const std::function<void(Dataset&)>& change) {
        auto data = byte_dataset();
        change(*data);
        return error_of([&] { Trainer trainer(tiny_config(), data); });
    };
    EXPECT_NE(
        message([](Dataset& d) { d.train_tokens.resize(19), d.train_languages.resize(19); }).find("19 training tokens"),
        std::string::npos);
    EXPECT_NE(message([](Dataset& d) { d.train_tokens[7] = 256; }).find("token 256"), std::string::npos);
    EXPECT_NE(message([](Dataset& d) { d.held_out[1][3] = 999; }).find("token 999"), std::string::npos);
    EXPECT_NE(message([](Dataset& d) { d.train_languages[5] = 2; }).find("language"), std::string::npos);
    EXPECT_NE(message([](Dataset& d) { d.train_languages.pop_back(); }).find("languages"), std::string::npos);
    EXPECT_NE(error_of([] { Trainer trainer(tiny_config(), nullptr); }).find("no data"), std::string::npos);
}

TEST(BatchOrder, VisitsEveryWindowOncePerEpochAndStaysInside) {
    for (const std::uint64_t tokens : {11u, 12u, 21u, 22u, 35u, 1000u, 4096u}) {
        const std::uint64_t context = 10, windows = std::max<std::uint64_t>(
                                              1, (tokens - 1) / context - ((tokens - 1) / context > 1 ? 1 : 0));
        const BatchOrder order(tokens, context, 3);
        for (std::uint64_t epoch = 0; epoch < 3; ++epoch) {
            std::vector<std::uint64_t> firsts;
            for (std::uint64_t i = 0; i < windows; ++i) {
                firsts.push_back(order.first_token(epoch * windows + i));
                EXPECT_LT(firsts.back() + context, tokens);
            }
            std::sort(firsts.begin(), firsts.end());
            for (std::uint64_t i = 1; i < windows; ++i) {
                EXPECT_EQ(firsts[i] - firsts[i - 1], context);
            }
        }
    }
}

// A sample is what the model of that moment says: with the experts that are enabled, as many as are chosen now.
TEST(Trainer, SamplesWithTheKnobsAsTheyStand) {
    RunConfig config = tiny_config();
    config.model.vocabulary = 320;
    config.train.learning_rate = 0.03;  // so that the experts matter
    constexpr int kSteps = 20;
    const auto data = dataset_with_tokenizer(320);
    Trainer trainer(config, data);
    for (int step = 0; step < kSteps; ++step) {
        trainer.step();
    }
    const std::string untouched = trainer.sample("the", 12);
    trainer.set("experts_per_token", 1);
    trainer.set_expert_disabled(0, 2, true);
    const TemporaryFolder folder;
    trainer.save(folder.path());
    const auto model = load_model(folder.path());
    EXPECT_EQ(model->config.model.experts_per_token, 1);
    OwnedDecoder decoder(model);
    const Tokenizer& tokenizer = *data->tokenizer;
    std::vector<std::int32_t> tokens = tokenizer.encode("the");
    tokens.insert(tokens.begin(), tokenizer.end_token());
    std::span<const float> logits = decoder->read(0, tokens);
    std::string text;
    for (int i = 0; i < 12; ++i) {
        const double unit = kernels::random_unit(config.train.seed, 3 + kSteps, static_cast<std::uint64_t>(i));
        const std::int32_t token = draw_token(logits, 0.8, unit);
        if (token == tokenizer.end_token()) {
            break;
        }
        text += tokenizer.piece_bytes(token);
        if (decoder->position() == config.model.context) {
            break;
        }
        logits = decoder->decode(token);
    }
    EXPECT_EQ(trainer.sample("the", 12), base::to_valid_utf8(text));
    EXPECT_NE(untouched, base::to_valid_utf8(text));
}

}  // namespace
}  // namespace moescope::engine::test
