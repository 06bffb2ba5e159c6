// Gradients of the whole model against differences of the loss, for every parameter tensor.
#include <algorithm>
#include <cmath>
#include <optional>
#include <set>

#include "engine/model/transformer.hpp"
#include "engine/train/plan.hpp"
#include "kernels/cpu/cpu_ops.hpp"
#include "kernels/random.hpp"
#include "tests/engine/train/fixtures.hpp"
#include "tests/engine/train/variants.hpp"

namespace moescope::engine::test {
namespace {

class WholeModel {
 public:
    explicit WholeModel(const RunConfig& run)
        : config(run), layout(make_layout(config.model)), ops(kernels::cpu_ops(threads_of(config))) {
        ops->enter();
        memory = Block(*ops, plan_run(config).memory_bytes);
        Arena arena(memory.data());
        buffers = RunBuffers::place(arena, *ops, config, layout);
        // Larger than a real start, so that every path carries a gradient that single precision can see.
        for (std::uint64_t i = 0; i < layout.floats; ++i) {
            buffers.parameters[i] = static_cast<float>(0.25 * kernels::random_normal(4 + config.train.seed, 9, i));
        }
        for (const TensorSpec& tensor : layout.tensors) {
            for (std::uint64_t i = 0; i < tensor.count && tensor.start == Start::one; ++i) {
                buffers.parameters[tensor.offset + i] += 1.0f;
            }
        }
        for (std::uint64_t t = 0; t < tokens(); ++t) {
            buffers.tokens_T[t] = static_cast<std::int32_t>(kernels::random_bits(1, 1, t) %
                                                            static_cast<std::uint64_t>(config.model.vocabulary));
            buffers.targets_T[t] = static_cast<std::int32_t>(kernels::random_bits(1, 2, t) %
                                                             static_cast<std::uint64_t>(config.model.vocabulary));
        }
        transformer.emplace(*ops, config.model, layout, buffers.state);
    }
    std::uint64_t tokens() const { return static_cast<std::uint64_t>(config.train.batch * config.model.context); }
    LossScales scales() const {
        const double layers = std::max<double>(1.0, expert_layers(config.model) + config.model.prediction_depth);
        return {kBalance / layers, kZ / layers, kPrediction};
    }
    RouterControls controls() const {
        RouterControls now;
        now.mode.balance = config.train.balance;
        now.jitter_seed = &kJitterSeed;
        return now;
    }

    void forward() {
        transformer->forward(buffers.parameters, buffers.tokens_T, config.train.batch, config.model.context, controls(),
                             none);
        transformer->predict(buffers.parameters, buffers.targets_T, config.train.batch, config.model.context,
                             controls(), none);
        Losses losses;
        router.resize(layout.layers.size());
        transformer->fetch(losses);
        transformer->fetch(router);
        ops->wait();
        prediction = config.model.prediction_depth > 0 ? losses.prediction : 0.0;
    }
    double backward() {
        forward();
        transformer->backward(buffers.parameters, buffers.gradients, buffers.tokens_T, buffers.targets_T,
                              config.train.batch, config.model.context, controls(), scales(), none);
        Losses losses;
        transformer->fetch(losses);
        ops->wait();
        return losses.cross_entropy;
    }
    /// What is minimised. Counts the evaluations whose routing differs from the first: there the loss jumps.
    double loss() {
        forward();
        double sum = transformer->loss(buffers.parameters, buffers.targets_T, static_cast<int>(tokens())) +
                     kPrediction * prediction;
        std::vector<std::int32_t> now;
        for (std::size_t layer = 0; layer < router.size(); ++layer) {
            sum += scales().balance * router[layer].balance + scales().z * router[layer].z;
            if (layout.layers[layer].has_experts()) {
                const kernels::RouterOutput& routed = buffers.state.layers[layer].routed;
                const auto slots =
                    tokens() * static_cast<std::uint64_t>(router_shape(config.model, controls().mode, layer,
                                                                       config.train.batch, config.model.context)
                                                              .slots());
                now.insert(now.end(), routed.ids_TJ, routed.ids_TJ + slots);
                now.insert(now.end(), routed.kept_TJ, routed.kept_TJ + slots);
            }
        }
        if (routing.empty()) {
            routing = now;
        }
        jumped = jumped || now != routing;
        return sum;
    }

    static constexpr double kBalance = 0.5, kZ = 0.05, kPrediction = 0.4;
    static constexpr std::uint64_t kJitterSeed = 77;
    RunConfig config;
    ParameterLayout layout;
    std::unique_ptr<kernels::Ops> ops;
    Block memory;
    RunBuffers buffers;
    std::optional<Transformer> transformer;
    std::vector<kernels::RouterLosses> router;
    std::vector<std::int32_t> routing;
    bool jumped = false;
    double prediction = 0;
    PartClock none = [](Part) {};
};

/// Slope of the loss along `direction` in one tensor: central differences at h and h / 2, combined so that the h^2 term
/// falls out, and how far the two are apart. Nothing when the routing changed on the way.
struct Slope {
    double value = 0, change = 0;
};
std::optional<Slope> slope(WholeModel& model, const TensorSpec& tensor, const std::vector<float>& direction, double h) {
    float* p = model.buffers.parameters + tensor.offset;
    const std::vector<float> before(p, p + tensor.count);
    const auto at = [&](double amount) {
        for (std::uint64_t i = 0; i < tensor.count; ++i) {
            p[i] = static_cast<float>(before[i] + amount * direction[i]);
        }
        return model.loss();
    };
    model.jumped = false;
    const double wide = (at(h) - at(-h)) / (2 * h), narrow = (at(h / 2) - at(-h / 2)) / h;
    std::copy(before.begin(), before.end(), p);
    return model.jumped ? std::nullopt : std::optional(Slope{(4 * narrow - wide) / 3, std::fabs(narrow - wide)});
}

/// Of ever smaller steps the one whose two differences agree best: a wide step sees curvature, a small one rounding.
std::optional<Slope> best_slope(WholeModel& model, const TensorSpec& tensor, const std::vector<float>& direction) {
    std::optional<Slope> best;
    for (double h = 0.04; h > 0.002; h /= 2) {
        const std::optional<Slope> now = slope(model, tensor, direction, h);
        if (now && (!best || now->change < best->change)) {
            best = now;
        }
    }
    return best;
}

/// Compares the slopes along the gradient of one tensor, and along it tilted by noise of the same length, with what the
/// gradient says. False when the routing changed in every direction.
bool check_tensor(WholeModel& model, std::size_t index, const float* g) {
    const TensorSpec& tensor = model.layout.tensors[index];
    double norm = 0;
    for (std::uint64_t i = 0; i < tensor.count; ++i) {
        norm += static_cast<double>(g[i]) * g[i];
    }
    norm = std::sqrt(norm);
    EXPECT_GT(norm, 1e-5) << "tensor " << index;
    bool checked = false;
    for (std::uint64_t attempt = 0; attempt < 3; ++attempt) {
        std::vector<float> direction(tensor.count);
        double expected = 0;
        for (std::uint64_t i = 0; i < tensor.count; ++i) {
            const double noise =
                kernels::random_normal(7, index + 1000 * attempt, i) / std::sqrt(static_cast<double>(tensor.count));
            direction[i] = static_cast<float>(g[i] / norm + (attempt == 0 ? 0.0 : noise));
            expected += static_cast<double>(direction[i]) * g[i];
        }
        if (const std::optional<Slope> numeric = best_slope(model, tensor, direction)) {
            checked = true;
            // Where two steps still differ, the differences know their slope no better than that.
            EXPECT_NEAR(numeric->value / expected, 1.0, 3e-3 + numeric->change / std::fabs(expected))
                << "tensor " << index << " (layer " << tensor.layer << " " << tensor_part_name(tensor.part).id
                << "), direction " << attempt << ", seed " << model.config.train.seed;
        }
    }
    return checked;
}

/// Every tensor, in as many models of other seeds as it takes: where a choice of experts is close, the loss jumps.
void check_all_tensors(RunConfig config) {
    constexpr std::uint64_t kSeeds = 12;
    std::set<std::size_t> left;
    const ParameterLayout layout = make_layout(config.model);
    for (std::size_t index = 0; index < layout.tensors.size(); ++index) {
        if (layout.tensors[index].trainable) {
            left.insert(index);
        }
    }
    for (std::uint64_t seed = 1; seed <= kSeeds && !left.empty(); ++seed) {
        config.train.seed = seed;
        WholeModel model(config);
        model.loss();
        model.backward();
        const std::vector<float> gradients(model.buffers.gradients, model.buffers.gradients + model.layout.floats);
        std::erase_if(left, [&](std::size_t index) {
            return check_tensor(model, index, gradients.data() + model.layout.tensors[index].offset);
        });
    }
    for (const std::size_t index : left) {
        ADD_FAILURE() << "tensor " << index << ": routing changed in every direction of every seed";
    }
}

RunConfig small(bool tied, bool normalise) {
    RunConfig config = tiny_config();
    config.model.vocabulary = 37;
    config.model.context = 7;
    config.train.batch = 2;
    config.model.tied_head = tied;
    config.model.normalise_weights = normalise;
    return config;
}

class WholeModelVariants : public testing::TestWithParam<Variant> {};

TEST_P(WholeModelVariants, GradientsOfAllTensorsMatchDifferences) {
    RunConfig config = small(true, true);
    GetParam().change(config);
    check_all_tensors(config);
}
INSTANTIATE_TEST_SUITE_P(All, WholeModelVariants, testing::ValuesIn(kVariants),
                         [](const auto& variant) { return std::string(variant.param.name); });

TEST(WholeModel, AlsoWithOneExpertOneTokenOneHead) {
    RunConfig config = small(true, false);
    config.model.heads = config.model.kv_heads = 1;
    config.model.layers = 1;
    config.model.context = 2;
    config.train.batch = 1;
    config.model.experts = 2;
    config.model.experts_per_token = 1;
    WholeModel model(config);
    model.loss();
    EXPECT_TRUE(std::isfinite(model.backward()));
}

TEST(Parameters, EveryFloatHasExactlyOneName) {
    for (const Variant& variant : kVariants) {
        SCOPED_TRACE(variant.name);
        RunConfig config = small(true, true);
        variant.change(config);
        const ParameterLayout layout = make_layout(config.model);
        std::vector<int> named(layout.floats, 0);
        std::uint64_t total = 0;
        for (const NamedTensor& tensor : name_tensors(config.model, layout)) {
            total += tensor.count;
            for (std::uint64_t i = 0; i < tensor.count; ++i) {
                ++named[tensor.offset + i];
            }
        }
        EXPECT_EQ(total, layout.parameters);
        EXPECT_LE(*std::max_element(named.begin(), named.end()), 1);
    }
}

}  // namespace
}  // namespace moescope::engine::test
