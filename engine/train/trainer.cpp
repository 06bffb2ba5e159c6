#include "engine/train/trainer.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <map>
#include <numbers>
#include <optional>

#include "base/json_guard.hpp"
#include "base/settings.hpp"
#include "base/sha256.hpp"
#include "base/utf8.hpp"
#include "engine/checkpoint/checkpoint.hpp"
#include "engine/error.hpp"
#include "engine/generate/decoder.hpp"
#include "engine/model/transformer.hpp"
#include "engine/train/batches.hpp"
#include "engine/train/fork.hpp"
#include "engine/train/optimizer_share.hpp"
#include "engine/train/plan.hpp"
#include "engine/train/rank_team.hpp"
#include "kernels/cpu/cpu_ops.hpp"
#include "kernels/devices.hpp"
#include "kernels/ops.hpp"
#include "kernels/random.hpp"

namespace moescope::engine {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kParts = static_cast<int>(base::kStepParts);
constexpr std::uint64_t kHeldOutTokens = 4096;  // per language and evaluation
constexpr double kSampleTemperature = 0.8;
/// Micro-batches of a step that a device records apart, where each counts the choices of those before it.
constexpr std::uint64_t kMostRecorded = 8;

double milliseconds(Clock::duration time) {
    return std::chrono::duration<double, std::milli>(time).count();
}

/// "NaN" or "infinite" of a value that is not finite.
base::Marked kind_of(double value) {
    return std::isnan(value) ? base::marked("NaN") : base::marked("infinite");
}

void check_tokens(const std::vector<std::int32_t>& tokens, int vocabulary, const std::string& name) {
    for (const std::int32_t token : tokens) {
        if (token < 0 || token >= vocabulary) {
            throw Error(
                say("the data {} have token {}, but the model's vocabulary is {}: set model.vocabulary to the "
                    "tokenizer's size",
                    name, token, vocabulary));
        }
    }
}

void check_data(const RunConfig& config, const Dataset* data) {
    if (data == nullptr) {
        throw Error(say("there are no data to train on: give a data set"));
    }
    const auto context = static_cast<std::size_t>(config.model.context);
    if (data->train_tokens.size() <= context) {
        throw Error(
            say("the data {} have {} training tokens, but one sequence needs {}: give more text or a smaller context",
                data->name, data->train_tokens.size(), context + 1));
    }
    if (data->train_languages.size() != data->train_tokens.size()) {
        throw Error(say("the data {} have {} languages for {} tokens: build the data set again", data->name,
                        data->train_languages.size(), data->train_tokens.size()));
    }
    check_tokens(data->train_tokens, config.model.vocabulary, data->name);
    for (const auto& held_out : data->held_out) {
        check_tokens(held_out, config.model.vocabulary, data->name);
    }
    const auto& languages = data->train_languages;
    if (std::any_of(languages.begin(), languages.end(), [](std::uint8_t language) { return language >= kLanguages; })) {
        throw Error(say("the data {} have an unknown language: build the data set again", data->name));
    }
}

/// "the embedding", "layer 3 experts".
Sentence place_of(const TensorSpec& tensor) {
    const base::Marked part = tensor_part_name(tensor.part);
    return tensor.layer < 0 ? say("the {}", part) : say("layer {} {}", tensor.layer, part);
}

/// Share of the peak rate at a step (0 is the first). cosine: warm-up, then half a cosine down to the final ratio at
/// the last planned step, then level. warmup_stable_decay: warm-up, level, then a straight line down to the final ratio
/// over the last decay_fraction of the steps.
double rate_share(const TrainConfig& train, std::uint64_t step) {
    const double last = train.final_learning_rate_ratio;
    const auto warmup = static_cast<std::uint64_t>(train.warmup_steps), steps = static_cast<std::uint64_t>(train.steps);
    if (step < warmup) {
        return static_cast<double>(step + 1) / static_cast<double>(warmup);
    }
    if (step >= steps) {
        return last;
    }
    switch (train.schedule) {
        case Schedule::warmup_stable_decay: {
            const double left = static_cast<double>(steps - step),
                         falling = train.decay_fraction * static_cast<double>(steps);
            return left >= falling ? 1.0 : last + (1.0 - last) * left / falling;
        }
        case Schedule::cosine:
            break;
    }
    const double done = static_cast<double>(step - warmup) / static_cast<double>(steps - warmup);
    return last + (1.0 - last) * 0.5 * (1.0 + std::cos(std::numbers::pi * done));
}

kernels::Operands operands_of(Precision precision) {
    switch (precision) {
        case Precision::f32:
            break;
        case Precision::bf16:
            return kernels::Operands::bf16;
        case Precision::fp8:
            return kernels::Operands::fp8;
    }
    return kernels::Operands::f32;
}

/// With what really computes, and who trains together.
RunConfig as_it_trains(RunConfig config, const kernels::Ops* ops, const TrainingRanks& ranks) {
    config.train.device = ops == nullptr ? kernels::kProcessor : !ranks.device.empty() ? ranks.device : ops->device();
    config.train.processes = ranks.world == nullptr ? 1 : ranks.world->size();
    config.train.expert_parallel = ranks.expert_ranks;
    config.train.all_to_all = ranks.own_sequences;
    return config;
}

}  // namespace

struct Trainer::Impl {
    /// `start_from`: besides the data, what must be the same on all ranks.
    Impl(const RunConfig& run, std::shared_ptr<const Dataset> dataset, const StopCheck& check,
         std::unique_ptr<kernels::Ops> device, const TrainingRanks& ranks, const std::string& start_from = {})
        : config(as_it_trains(run, device.get(), ranks)),
          now(config),
          data(std::move(dataset)),
          shape(shape_of(ranks, config)),
          ops(device != nullptr ? std::move(device)
                                : kernels::cpu_ops(ranks.threads > 0 ? ranks.threads : threads_of(config))),
          team(ranks.world == nullptr
                   ? nullptr
                   : std::make_unique<RankTeam>(
                         ranks, config, fmt::format("{} {} {}", data->sha256, data->train_tokens.size(), start_from),
                         *ops)),
          whole(make_layout(config.model)),
          layout(make_layout(config.model, expert_share(config.model, shape))),
          kept(optimizer_share(config, layout, shape)),
          memory(*ops, plan_run(config, *ops, shape).training_bytes, check),
          order(data->train_tokens.size(), static_cast<std::uint64_t>(config.model.context), config.train.seed,
                data->in_order) {
        if (config.train.precision == Precision::fp8 && !ops->has_float8()) {
            throw Error(
                say("{} has no eight-bit floats, which need a GPU of compute capability 9.0 or later: choose bf16 for "
                    "{}, or the processor",
                    ops->device(), base::setting_path("train", "precision")));
        }
        Arena arena(memory.data());
        buffers = RunBuffers::place(arena, *ops, config, layout, shape);
        if (buffers.operands != nullptr) {
            ops->place_operands(buffers.operands);
        }
        micro_gradients = buffers.gradients;
        transformer.emplace(*ops, config.model, layout, buffers.state, team == nullptr ? nullptr : &team->work());
        Arena samples;
        DecoderState::place(samples, *ops, config.model, 1);
        decoder_memory = Block(*ops, samples.used(), check);
        Arena placed(decoder_memory.data());
        decoder = DecoderState::place(placed, *ops, config.model, 1);
        const auto tokens = static_cast<std::size_t>(own_batch()) * static_cast<std::size_t>(config.model.context);
        tokens_T.resize(tokens);
        targets_T.resize(tokens);
        languages_T.resize(tokens);
        disabled_LE.assign(layout.layers.size() * static_cast<std::size_t>(config.model.experts), 0);
        frozen_LE = disabled_LE;
        router.resize(layout.layers.size());
        clock = [this](Part part) { lap(part); };
    }

    void lap(Part part) {
        const auto time = Clock::now();
        part_ms[static_cast<std::size_t>(part)] += milliseconds(time - mark);
        mark = time;
    }

    /// Sequences of a micro-batch that this rank takes.
    int own_batch() const { return now.train.batch / shape.ranks; }

    /// The next `batch` sequences of the run, this rank's part of them.
    void take_batch() {
        const auto S = static_cast<std::uint64_t>(config.model.context), B = static_cast<std::uint64_t>(own_batch());
        for (std::uint64_t b = 0; b < B; ++b) {
            const std::uint64_t first = order.first_token(sequences + static_cast<std::uint64_t>(shape.rank) * B + b);
            for (std::uint64_t s = 0; s < S; ++s) {
                tokens_T[b * S + s] = data->train_tokens[first + s];
                targets_T[b * S + s] = data->train_tokens[first + s + 1];
                languages_T[b * S + s] = data->train_languages[first + s];
            }
        }
        sequences += static_cast<std::uint64_t>(now.train.batch);
        const std::uint64_t tokens = B * S;
        upload_batch(tokens);
        ops->upload(buffers.languages_T, languages_T.data(), tokens);
    }

    void upload_batch(std::uint64_t tokens) {
        ops->upload(buffers.tokens_T, tokens_T.data(), tokens * sizeof(std::int32_t));
        ops->upload(buffers.targets_T, targets_T.data(), tokens * sizeof(std::int32_t));
    }

    /// Adds a micro-batch to the counts of the step.
    void count_experts(std::uint64_t tokens) {
        const auto L = static_cast<std::size_t>(config.model.layers),
                   E = static_cast<std::size_t>(config.model.experts);
        if (team != nullptr) {  // what all ranks chose moves selection biases, and is what later micro-batches add to
            ops->upload(buffers.choices_LE, step_choices_LE.data(), step_choices_LE.size() * sizeof(std::uint64_t));
        }
        for (std::size_t layer = 0; layer < layout.layers.size(); ++layer) {
            const LayerState& s = buffers.state.layers[layer];
            if (!layout.layers[layer].has_experts()) {
                continue;
            }
            if (team == nullptr) {
                ops->add_choices(buffers.choices_LE + layer * E, s.routed.choices_E, static_cast<std::int64_t>(E));
            }
            if (layer >= L) {
                continue;
            }
            kernels::SlotCounts slots;
            slots.ids_TJ = s.routed.ids_TJ;
            slots.kept_TJ = s.routed.kept_TJ;
            slots.groups_T = buffers.languages_T;
            slots.T = static_cast<std::int64_t>(tokens);
            slots.J = router_shape(config.model, controls(0).mode, layer, own_batch(), config.model.context).slots();
            slots.E = static_cast<std::int64_t>(E);
            slots.G = static_cast<std::int64_t>(kLanguages);
            slots.stride = static_cast<std::int64_t>(L * E);
            ops->count_slots(buffers.counts + layer * E, slots);
        }
    }

    /// Adds a micro-batch to the mean margin: the layers in which each token takes the largest scores of all experts.
    void add_margins(std::uint64_t tokens) {
        const std::int64_t E = config.model.experts;
        const RouterControls router_controls = controls(0);
        for (std::size_t layer = 0; layer < static_cast<std::size_t>(config.model.layers); ++layer) {
            const LayerOffsets& at = layout.layers[layer];
            const kernels::RouterShape of_layer =
                router_shape(config.model, router_controls.mode, layer, own_batch(), config.model.context);
            if (!at.has_experts() || of_layer.choice != kernels::Choice::token ||
                of_layer.groups_kept < of_layer.groups) {
                continue;
            }
            const kernels::RouterOutput& routed = buffers.state.layers[layer].routed;
            const float* bias = at.selection_bias == kNoTensor ? nullptr : buffers.parameters + at.selection_bias;
            ops->add_margins(
                buffers.margins,
                {routed.s_TE, bias, buffers.disabled_LE + static_cast<std::int64_t>(layer) * E, routed.ids_TJ,
                 static_cast<std::int64_t>(tokens), E, of_layer.K, kernels::formulas_of(of_layer.scoring).of_logits});
        }
    }

    /// Layers that router losses are averaged over, the prediction module's included; at least 1.
    double routed_layers() const {
        return std::max<double>(
            1.0, static_cast<double>(std::count_if(layout.layers.begin(), layout.layers.end(),
                                                   [](const LayerOffsets& layer) { return layer.has_experts(); })));
    }

    /// Adds the micro-batches, each 1 / accumulation of the step, once their losses have come.
    void collect_losses() {
        const double layers = routed_layers(), share = 1.0 / now.train.accumulation;
        const double most = config.model.experts > 1 ? std::log(static_cast<double>(config.model.experts)) : 1.0;
        for (std::size_t index = 0; index < losses_M.size(); ++index) {
            stats.cross_entropy += share * losses_M[index].cross_entropy;
            stats.prediction_loss += config.model.prediction_depth > 0 ? share * losses_M[index].prediction : 0.0;
            const std::span<const kernels::RouterLosses> of_layers = router_of(index);
            for (std::size_t layer = 0; layer < of_layers.size(); ++layer) {
                stats.balance_loss += share * of_layers[layer].balance / layers;
                stats.z_loss += share * of_layers[layer].z / layers;
                if (layer < stats.router_entropy.size()) {
                    stats.router_entropy[layer] += static_cast<float>(share * of_layers[layer].entropy / most);
                }
                stats.dropped +=
                    layout.layers[layer].has_experts() ? static_cast<double>(of_layers[layer].dropped) : 0.0;
            }
        }
    }
    std::span<kernels::RouterLosses> router_of(std::size_t micro_batch) {
        const std::size_t layers = layout.layers.size();
        return std::span(router_ML).subspan(micro_batch * layers, layers);
    }

    double balance_coefficient() const {
        return now.train.balance == Balance::none ? 0.0 : now.train.balance_coefficient;
    }

    void finish_losses() {
        stats.loss = stats.cross_entropy + balance_coefficient() * stats.balance_loss +
                     now.train.z_coefficient * stats.z_loss + now.train.prediction_coefficient * stats.prediction_loss;
        if (!std::isfinite(stats.loss)) {
            stats.fault = first_fault();
            if (stats.fault.empty()) {
                stats.fault = say("loss is {}", kind_of(stats.loss));
            }
        }
    }

    /// Where the last forward first left something that is not finite; empty when it did not.
    Sentence first_fault() const {
        const auto T = static_cast<std::uint64_t>(own_batch()) * static_cast<std::uint64_t>(config.model.context);
        const auto D = static_cast<std::uint64_t>(config.model.width),
                   E = static_cast<std::uint64_t>(config.model.experts);
        const auto Q =
            static_cast<std::uint64_t>(config.model.heads) * static_cast<std::uint64_t>(query_width(config.model));
        const auto O =
            static_cast<std::uint64_t>(config.model.heads) * static_cast<std::uint64_t>(value_width(config.model));
        const auto finite = [&](const float* values, std::uint64_t count) {
            return values == nullptr || ops->all_finite(values, static_cast<std::int64_t>(count));
        };
        for (std::size_t layer = 0; layer < layout.layers.size(); ++layer) {
            const LayerState& s = buffers.state.layers[layer];
            std::int32_t rows = 0;  // of this rank's tokens
            if (s.offsets_E1 != nullptr) {
                ops->download(&rows, s.offsets_E1 + E, sizeof rows);
            }
            const std::pair<base::Marked, bool> stages[] = {
                {base::marked("the input"), finite(s.x_TD, T * D)},
                {base::marked("the attention norm"), finite(s.norm1_TD, T * D)},
                {base::marked("the queries"), finite(s.q_BHSC, T * Q)},
                {base::marked("the attention"), finite(s.attention_THC, T * O)},
                {base::marked("the attention output"), finite(s.middle_TD, T * D)},
                {base::marked("the feed-forward norm"), finite(s.norm2_TD, T * D)},
                {base::marked("the router's scores"), finite(s.routed.s_TE, T * E)},
                {base::marked("the experts"), finite(s.y_RD, static_cast<std::uint64_t>(rows) * D)}};
            for (const auto& [stage, is_finite] : stages) {
                if (!is_finite) {
                    return say("layer {}: {} first had values that are not finite", layer, stage);
                }
            }
        }
        return finite(buffers.state.final_TD, T * D) ? Sentence()
                                                     : say("the final norm first had values that are not finite");
    }

    /// Norm of the whole gradient; says where it broke first, in the order of the layers.
    void measure_gradient() {
        const auto squares = [&] {
            for (std::size_t i = 0; i < layout.tensors.size(); ++i) {
                const TensorSpec& tensor = layout.tensors[i];
                ops->sum_of_squares(buffers.square_sums + i, buffers.gradients + tensor.offset,
                                    static_cast<std::int64_t>(tensor.count), buffers.square_scratch);
            }
        };
        stretch.start("squares");
        stretch.add(buffers.gradients);
        ops->repeat(stretch, std::ref(squares));
        square_sums.resize(layout.tensors.size());
        ops->download(square_sums.data(), buffers.square_sums, square_sums.size() * sizeof(double));
        if (team != nullptr) {
            team->add_square_sums(square_sums, layout);
        }
        double total = 0;
        for (std::size_t i = 0; i < layout.tensors.size(); ++i) {
            if (!std::isfinite(square_sums[i]) && stats.fault.empty()) {
                stats.fault = say("gradient norm is {} in {}", kind_of(square_sums[i]), place_of(layout.tensors[i]));
            }
            total += square_sums[i];
        }
        stats.gradient_norm = std::sqrt(total);
        if (now.train.norm_limit > 0 && stats.gradient_norm > now.train.norm_limit && stats.fault.empty()) {
            stats.fault = say("gradient norm is {:.6g}, above train.norm_limit", stats.gradient_norm);
        }
    }

    /// Those of this step go to the device.
    void set_factors() {
        const TrainConfig& train = now.train;
        kernels::AdamWStep step;
        step.learning_rate = stats.learning_rate;
        step.beta1 = train.beta1;
        step.beta2 = train.beta2;
        step.epsilon = train.adam_epsilon;
        step.gradient_scale = gradient_scale();
        step.update = updates;
        OptimizerFactors factors;
        factors.kept = kernels::AdamWFactors(step);
        step.weight_decay = train.weight_decay;
        factors.decayed = kernels::AdamWFactors(step);
        kernels::MuonStep muon;
        muon.learning_rate = train.muon_learning_rate * rate_share(train, steps - 1);
        muon.momentum = train.muon_momentum;
        muon.weight_decay = train.weight_decay;
        factors.muon = kernels::MuonFactors(muon);
        ops->upload(buffers.factors, &factors, sizeof factors);
    }

    void apply_adamw(const TensorSpec& tensor, const OptimizerPiece& piece) {
        const std::uint64_t at = tensor.offset + piece.begin;
        ops->adamw(buffers.parameters + at, buffers.first_moment + piece.here, buffers.second_moment + piece.here,
                   buffers.gradients + at, static_cast<std::int64_t>(piece.count),
                   tensor.decay ? &buffers.factors->decayed : &buffers.factors->kept);
    }

    void apply_muon(const TensorSpec& tensor, const OptimizerPiece& piece) {
        const std::uint64_t at = tensor.offset + piece.begin;
        ops->muon(buffers.parameters + at, buffers.first_moment + piece.here, buffers.gradients + at,
                  static_cast<std::int64_t>(piece.count / (tensor.rows * tensor.columns)),
                  static_cast<std::int64_t>(tensor.rows), static_cast<std::int64_t>(tensor.columns), buffers.muon,
                  &buffers.factors->muon);
    }

    double gradient_scale() const {
        return stats.gradient_norm > now.train.gradient_clip ? now.train.gradient_clip / stats.gradient_norm : 1.0;
    }

    void apply(const OptimizerPiece& piece) {
        const TensorSpec& tensor = layout.tensors[piece.tensor];
        if (now.train.optimizer == Optimizer::muon && tensor.matrices > 0) {
            apply_muon(tensor, piece);
        } else {
            apply_adamw(tensor, piece);
        }
    }

    /// What a piece has of one of the experts here.
    OptimizerPiece part_of_expert(const OptimizerPiece& piece, std::uint64_t expert) const {
        const std::uint64_t each = layout.tensors[piece.tensor].count / static_cast<std::uint64_t>(layout.experts);
        OptimizerPiece part = piece;
        part.begin = std::clamp(expert * each, piece.begin, piece.begin + piece.count);
        part.count = std::clamp((expert + 1) * each, piece.begin, piece.begin + piece.count) - part.begin;
        part.here = piece.here + part.begin - piece.begin;
        return part;
    }

    void apply() {
        ++updates;
        set_factors();
        const auto update = [&] {
            move_parameters();
            if (team == nullptr) {
                move_selection_biases();
            }
        };
        stretch.start("update");
        stretch.add(buffers.gradients);
        stretch.add_bytes(std::as_bytes(std::span(frozen_LE)));
        stretch.add(now.train.bias_update_rate);
        ops->repeat(stretch, std::ref(update));
        if (team != nullptr) {
            team->share_parameters(buffers.parameters, layout);
            move_selection_biases();
        }
    }

    void move_parameters() {
        const auto E = static_cast<std::uint64_t>(layout.experts);
        for (const OptimizerPiece& piece : kept.pieces) {
            const std::uint8_t* frozen =
                piece.experts ? frozen_LE.data() + expert_index(layout.tensors[piece.tensor].layer, layout.first_expert)
                              : nullptr;
            if (frozen == nullptr || std::count(frozen, frozen + E, 1) == 0) {
                apply(piece);
                continue;
            }
            for (std::uint64_t e = 0; e < E; ++e) {
                const OptimizerPiece part = part_of_expert(piece, e);
                if (frozen[e] == 0 && part.count > 0) {
                    apply(part);
                }
            }
        }
    }

    void move_selection_biases() {
        const std::int64_t E = config.model.experts;
        for (std::size_t layer = 0; layer < layout.layers.size(); ++layer) {
            if (layout.layers[layer].selection_bias != kNoTensor) {
                const std::int64_t first = static_cast<std::int64_t>(layer) * E;
                ops->update_selection_bias(buffers.parameters + layout.layers[layer].selection_bias,
                                           buffers.choices_LE + first, buffers.disabled_LE + first, E,
                                           now.train.bias_update_rate);
            }
        }
    }

    /// Whether this step compares the experts' products with single precision: the first one, and those that
    /// evaluate_every names. It costs the experts' share of a step again.
    bool compares_experts() const {
        const auto every = static_cast<std::uint64_t>(now.train.evaluate_every);
        return buffers.state.errors.sums_L6 != nullptr && (steps == 1 || (every > 0 && steps % every == 0));
    }

    /// Of the micro-batch that starts when `before` tokens of the step were seen.
    RouterControls controls(std::uint64_t before) const {
        RouterControls router_controls;
        router_controls.mode.balance = now.train.balance;
        router_controls.mode.experts_per_token = now.model.experts_per_token;
        router_controls.mode.capacity_factor = now.model.capacity_factor;
        router_controls.disabled_LE = buffers.disabled_LE;
        if (now.train.balance == Balance::global && before > 0) {
            router_controls.earlier_choices_LE = buffers.choices_LE;
            router_controls.earlier_tokens = before;
        }
        router_controls.jitter_seed = buffers.jitter_seed;
        router_controls.expert_errors = compares_experts();
        return router_controls;
    }

    /// Losses and choices of all ranks after a forward; gives the controls with which the backward adds this rank's
    /// share.
    RouterControls share_router(const RouterControls& of_forward, int batch, int length) {
        RouterControls of_backward = of_forward;
        const std::uint64_t others = static_cast<std::uint64_t>(batch) * static_cast<std::uint64_t>(length) *
                                     static_cast<std::uint64_t>(shape.ranks - 1);
        team->work().share_router(*ops, buffers.state, layout, of_forward.mode, batch, length,
                                  of_forward.earlier_choices_LE == nullptr ? nullptr : step_choices_LE.data(),
                                  of_forward.earlier_tokens, router, choices_LE);
        step_choices_LE.resize(choices_LE.size(), 0);
        std::transform(choices_LE.begin(), choices_LE.end(), step_choices_LE.begin(), step_choices_LE.begin(),
                       std::plus<>());
        if (of_backward.mode.balance == Balance::batch || of_backward.mode.balance == Balance::global) {
            of_backward.mode.balance = Balance::global;
            of_backward.earlier_choices_LE = buffers.state.others_LE;
            of_backward.earlier_tokens = of_forward.earlier_tokens + others;
        }
        return of_backward;
    }

    /// One micro-batch; its gradients are left in `gradients`.
    void micro_batch(std::uint64_t index) {
        const int batch = own_batch(), length = config.model.context;
        const std::uint64_t tokens = static_cast<std::uint64_t>(batch) * static_cast<std::uint64_t>(length);
        const std::uint64_t before = index * tokens * static_cast<std::uint64_t>(shape.ranks);
        take_batch();
        if (buffers.jitter_seed != nullptr) {
            const std::uint64_t seed = kernels::random_bits(now.train.seed, 4 + steps, before);
            ops->upload(buffers.jitter_seed, &seed, sizeof seed);
        }
        lap(Part::data);
        const RouterControls router_controls = controls(before);
        const kernels::OpsOperands scope(*ops, operands_of(now.train.precision));
        const double part = 1.0 / shape.ranks;
        const LossScales scales{part * balance_coefficient() / routed_layers(),
                                part * now.train.z_coefficient / routed_layers(),
                                part * now.train.prediction_coefficient, part};
        const auto passes = [&] { pass_both_ways(router_controls, scales, batch, length); };
        const bool differ = router_controls.mode.balance == Balance::global;  // micro-batches of a step
        if (team != nullptr || (differ && static_cast<std::uint64_t>(now.train.accumulation) > kMostRecorded)) {
            passes();  // ranks talk in between
        } else {
            stretch.start("micro-batch");
            stretch.add(router_controls);
            stretch.add(scales);
            stretch.add(buffers.gradients);
            parts_measured = ops->repeat(stretch, std::ref(passes)) && parts_measured;
        }
        transformer->fetch(losses_M[index]);
        if (team == nullptr) {
            transformer->fetch(router_of(index));
        } else {
            std::copy(router.begin(), router.end(), router_of(index).begin());
        }
        lap(Part::other);
    }

    /// Forward, backward and what is counted. All that it hands to operations by value is in the key of micro_batch().
    void pass_both_ways(const RouterControls& of_forward, const LossScales& scales, int batch, int length) {
        transformer->forward(buffers.parameters, buffers.tokens_T, batch, length, of_forward, clock);
        transformer->predict(buffers.parameters, buffers.targets_T, batch, length, of_forward, clock);
        RouterControls of_backward = of_forward;
        if (team != nullptr) {
            of_backward = share_router(of_forward, batch, length);
            lap(Part::router);
        }
        transformer->backward(buffers.parameters, buffers.gradients, buffers.tokens_T, buffers.targets_T, batch, length,
                              of_backward, scales, clock);
        const std::uint64_t tokens = static_cast<std::uint64_t>(batch) * static_cast<std::uint64_t>(length);
        count_experts(tokens);
        add_margins(tokens);
    }

    void accumulate(std::uint64_t index) {
        const float share = 1.0f / static_cast<float>(now.train.accumulation);
        ops->add_share(buffers.sum, buffers.gradients, share, index == 0, static_cast<std::int64_t>(layout.floats));
    }

    /// The next step's; the tables keep the memory that they have.
    void start_statistics() {
        const auto L = static_cast<std::size_t>(config.model.layers),
                   E = static_cast<std::size_t>(config.model.experts);
        auto counts = std::move(stats.counts);
        auto entropy = std::move(stats.router_entropy);
        auto ranks = std::move(stats.ranks);
        auto errors = std::move(stats.expert_errors);
        errors.clear();
        counts.assign(kLanguages * L * E, 0);
        entropy.assign(L, 0);
        stats = {};
        stats.counts = std::move(counts);
        stats.router_entropy = std::move(entropy);
        stats.ranks = std::move(ranks);
        stats.expert_errors = std::move(errors);
        // Sums over the micro-batches; finish_values() takes out again what these settings do not compute.
        stats.cross_entropy = stats.balance_loss = stats.z_loss = stats.prediction_loss = stats.dropped = 0;
        ops->zero(buffers.choices_LE, layout.layers.size() * E * sizeof(std::uint64_t));
        step_choices_LE.assign(step_choices_LE.size(), 0);
        ops->zero(buffers.counts, stats.counts.size() * sizeof(std::uint32_t));
        ops->zero(buffers.margins, sizeof(kernels::MarginSums));
        if (buffers.state.errors.sums_L6 != nullptr) {
            error_sums.assign(layout.layers.size() * kExpertErrors * 2, 0.0);
            ops->zero(buffers.state.errors.sums_L6, error_sums.size() * sizeof(double));
        }
        losses_M.resize(static_cast<std::size_t>(now.train.accumulation));
        router_ML.resize(losses_M.size() * layout.layers.size());
        stats.learning_rate = now.train.learning_rate * rate_share(now.train, steps);
        stats.balance_coefficient = now.train.balance_coefficient;
        stats.z_coefficient = now.train.z_coefficient;
        stats.step = ++steps;
        stats.tokens = static_cast<std::uint64_t>(now.train.accumulation) *
                       static_cast<std::uint64_t>(now.train.batch) * static_cast<std::uint64_t>(config.model.context);
        stats.tokens_total = steps * stats.tokens;
    }

    const StepStats& step() {
        ops->enter();
        const auto begin = Clock::now();
        mark = begin;
        part_ms.fill(0);
        parts_measured = true;
        if (team != nullptr) {
            team->begin_step();
        }
        const auto micro = static_cast<std::uint64_t>(now.train.accumulation);
        start_statistics();
        if (buffers.sum == micro_gradients) {
            std::swap(buffers.gradients, buffers.sum);  // those of a micro-batch always stand in the same place
        }
        for (std::uint64_t index = 0; index < micro; ++index) {
            micro_batch(index);
            if (micro > 1) {
                accumulate(index);
            }
        }
        if (micro > 1) {
            std::swap(buffers.gradients, buffers.sum);
        }
        // What the host is to know of the step comes while it goes on, and is waited for once.
        ops->download_later(&margins, buffers.margins, sizeof margins);
        ops->download_later(stats.counts.data(), buffers.counts, stats.counts.size() * sizeof(std::uint32_t));
        if (compares_experts()) {
            ops->download_later(error_sums.data(), buffers.state.errors.sums_L6, error_sums.size() * sizeof(double));
        }
        if (team != nullptr) {
            ops->wait();
            collect_losses();
            share_step();
        }
        measure_gradient();
        if (team == nullptr) {
            collect_losses();
        }
        finish_losses();
        if (stats.fault.empty()) {
            apply();
        }
        if (team != nullptr) {
            team->end_step(stats.ranks);
        }
        lap(Part::optimizer);
        stats.step_ms = milliseconds(mark - begin);
        stats.tokens_per_second = stats.step_ms > 0 ? static_cast<double>(stats.tokens) * 1000.0 / stats.step_ms : 0;
        stats.part_ms = part_ms;
        if (!parts_measured) {  // what was started at once has no parts
            for (const Part part : {Part::embedding, Part::attention, Part::router, Part::experts, Part::head}) {
                stats.part_ms[static_cast<std::size_t>(part)] = base::kAbsent;
            }
        }
        collect_expert_errors();
        finish_values();
        return stats;
    }

    /// Gradients, losses and counts of all ranks.
    void share_step() {
        team->add_gradients(buffers.gradients, layout);
        shared.assign({stats.cross_entropy, stats.prediction_loss, margins.sum, static_cast<double>(margins.tokens)});
        constexpr std::size_t kMeans = 4;
        shared.insert(shared.end(), stats.counts.begin(), stats.counts.end());
        shared.insert(shared.end(), error_sums.begin(), error_sums.end());
        team->add(shared);
        stats.cross_entropy = shared[0] / shape.ranks;
        stats.prediction_loss = shared[1] / shape.ranks;
        margins = {shared[2], static_cast<std::uint64_t>(shared[3])};
        const auto errors = shared.end() - static_cast<std::ptrdiff_t>(error_sums.size());
        std::transform(shared.begin() + kMeans, errors, stats.counts.begin(),
                       [](double count) { return static_cast<std::uint32_t>(count); });
        std::copy(errors, shared.end(), error_sums.begin());
    }

    /// Percent; NaN where there was nothing to compare.
    static double error_of(double apart, double size) {
        return size > 0 ? 100.0 * std::sqrt(apart / size) : base::kAbsent;
    }
    void collect_expert_errors() {
        if (!compares_experts()) {
            return;
        }
        constexpr std::array kOfAll = {&StepStats::expert_output_error, &StepStats::expert_input_gradient_error,
                                       &StepStats::expert_weight_gradient_error};
        const auto L = static_cast<std::size_t>(config.model.layers);
        stats.expert_errors.resize(L * kExpertErrors);
        for (std::size_t which = 0; which < kExpertErrors; ++which) {
            double apart = 0, size = 0;
            for (std::size_t layer = 0; layer < layout.layers.size(); ++layer) {
                const double* sums = error_sums.data() + 2 * (layer * kExpertErrors + which);
                apart += sums[0];
                size += sums[1];
                if (layer < L) {
                    stats.expert_errors[layer * kExpertErrors + which] = static_cast<float>(error_of(sums[0], sums[1]));
                }
            }
            stats.*kOfAll[which] = error_of(apart, size);
        }
    }

    /// What these settings do not compute is absent and not 0.
    void finish_values() {
        const bool routed = std::any_of(layout.layers.begin(), layout.layers.end(),
                                        [](const LayerOffsets& layer) { return layer.has_experts(); });
        if (!routed || now.train.balance == Balance::none) {
            stats.balance_loss = base::kAbsent;
        }
        if (!routed) {
            stats.z_loss = base::kAbsent;
        }
        if (config.model.prediction_depth == 0) {
            stats.prediction_loss = base::kAbsent;
        }
        // What experts choose fits them; hash layers drop whatever the others do.
        const bool can_drop = config.model.router_choice != kernels::Choice::expert ||
                              config.model.hash_layers > config.model.dense_layers;
        if (!routed || now.model.capacity_factor <= 0 || !can_drop) {
            stats.dropped = base::kAbsent;
        }
        for (std::size_t layer = 0; layer < stats.router_entropy.size(); ++layer) {
            if (!layout.layers[layer].has_experts()) {
                stats.router_entropy[layer] = std::numeric_limits<float>::quiet_NaN();
            }
        }
        stats.router_entropy_mean = base::mean_router_entropy(stats.router_entropy);
        stats.router_margin = margins.tokens == 0 ? std::numeric_limits<double>::quiet_NaN()
                                                  : margins.sum / static_cast<double>(margins.tokens);
    }

    /// Sum over the first `count` targets of a held-out text, and how many there were.
    std::pair<double, std::uint64_t> held_out_sum(const std::vector<std::int32_t>& text) {
        const auto S = static_cast<std::uint64_t>(config.model.context), B = static_cast<std::uint64_t>(own_batch()),
                   ranks = static_cast<std::uint64_t>(shape.ranks), rank = static_cast<std::uint64_t>(shape.rank);
        const std::uint64_t count = text.empty() ? 0 : std::min<std::uint64_t>(kHeldOutTokens, text.size() - 1);
        double sum = 0;
        std::uint64_t done = 0;
        while (done < count) {
            const std::uint64_t left = count - done;
            const std::uint64_t length = std::min(S, left), windows = left < S ? 1 : left / S;
            // With fewer windows than ranks those that have none repeat the first: all take part, and it is not
            // counted.
            const std::uint64_t batch = windows < ranks ? 1 : std::min(B, windows / ranks),
                                used = std::min(windows, ranks);
            const std::uint64_t tokens = batch * length, first = done + (rank < used ? rank : 0) * tokens;
            for (std::uint64_t t = 0; t < tokens; ++t) {
                tokens_T[t] = text[first + t];
                targets_T[t] = text[first + t + 1];
            }
            upload_batch(tokens);
            RouterControls router_controls = controls(0);
            router_controls.mode.training = false;
            router_controls.expert_errors = false;
            transformer->forward(buffers.parameters, buffers.tokens_T, static_cast<int>(batch),
                                 static_cast<int>(length), router_controls, clock);
            const double loss = transformer->loss(buffers.parameters, buffers.targets_T, static_cast<int>(tokens));
            if (rank < used) {
                sum += loss * static_cast<double>(tokens);
            }
            done += used * tokens;
        }
        if (team != nullptr) {
            shared.assign(1, sum);
            team->add(shared);
            sum = shared[0];
        }
        return {sum, done};
    }

    std::string sample(const std::string& prompt, int max_tokens) {
        ops->enter();
        if (data->tokenizer == nullptr || max_tokens <= 0) {
            return {};
        }
        const Tokenizer& tokenizer = *data->tokenizer;
        std::vector<std::int32_t> tokens = tokenizer.encode(prompt);
        tokens.insert(tokens.begin(), tokenizer.end_token());  // what stands before every document in the training text
        const int room = std::max(1, config.model.context - max_tokens);
        if (tokens.size() > static_cast<std::size_t>(room)) {
            tokens.erase(tokens.begin(), tokens.end() - room);
        }
        // With some of the experts here only, the whole model stands here for as long as the samples take.
        Block copy;
        const float* parameters = buffers.parameters;
        if (team != nullptr && team->work().shares_experts()) {
            const float* values = whole_of(FlatBuffer::parameters);
            copy = Block(*ops, whole.floats * sizeof(float));
            ops->upload(copy.data(), values, whole.floats * sizeof(float));
            parameters = reinterpret_cast<const float*>(copy.data());
        }
        Decoder reader(*ops, now.model, whole, parameters, decoder);
        reader.set_disabled(buffers.disabled_LE);
        std::span<const float> logits = reader.read(0, tokens);
        std::string text;
        for (int i = 0; i < max_tokens; ++i) {
            const double unit = kernels::random_unit(now.train.seed, 3 + steps, static_cast<std::uint64_t>(i));
            const std::int32_t token = draw_token(logits, kSampleTemperature, unit);
            if (token == tokenizer.end_token()) {
                break;
            }
            text += tokenizer.piece_bytes(token);
            if (reader.position() == config.model.context) {
                break;
            }
            logits = reader.decode(token);
        }
        return base::to_valid_utf8(text);
    }

    /// A flat buffer as the host can read it, until the next operation or call.
    const float* on_host(const float* values, std::uint64_t floats) const {
        if (const void* view = ops->host_view(values); view != nullptr) {
            return static_cast<const float*>(view);
        }
        host_copy.resize(floats);
        ops->download(host_copy.data(), values, floats * sizeof(float));
        return host_copy.data();
    }
    const float* values_of(FlatBuffer buffer) const {
        switch (buffer) {
            case FlatBuffer::parameters:
                break;
            case FlatBuffer::gradients:
                return buffers.gradients;
            case FlatBuffer::first_moment:
                return buffers.first_moment;
            case FlatBuffer::second_moment:
                return buffers.second_moment;
        }
        return buffers.parameters;
    }
    /// With the other ranks, if there are any.
    template <class Do>
    auto lead(const RankOrder& order_of_all, const Do& work) {
        return team == nullptr ? work() : team->lead(order_of_all, work);
    }
    /// The whole model's, by rank 0: until the next operation or call.
    const float* whole_of(FlatBuffer buffer) {
        return team == nullptr ? on_host(values_of(buffer), layout.floats)
                               : lead({.task = RankTask::whole, .buffer = buffer, .settings = {}},
                                      [&] { return gather_whole(buffer); });
    }
    const float* gather_whole(FlatBuffer buffer) {
        switch (buffer) {
            case FlatBuffer::parameters:
            case FlatBuffer::gradients:
                break;
            case FlatBuffer::first_moment:
            case FlatBuffer::second_moment:
                return team->whole_moment(on_host(values_of(buffer), kept.floats));
        }
        return team->whole(on_host(values_of(buffer), layout.floats), layout);
    }
    void follow() {
        for (;;) {
            const RankOrder next = team->wait();
            if (next.task == RankTask::end) {
                return;
            }
            team->guarded([&] { obey(next); });
        }
    }
    void obey(const RankOrder& next) {
        const int layer = static_cast<int>(next.layer), expert = static_cast<int>(next.expert);
        switch (next.task) {
            case RankTask::end:
                return;
            case RankTask::step:
                step();
                return;
            case RankTask::evaluate:
                evaluate();
                return;
            case RankTask::whole:
                gather_whole(next.buffer);
                return;
            case RankTask::set:
                set(base::parse_object(next.settings, next.settings.size()).value().get<LiveValues>());
                return;
            case RankTask::disable:
                disable(layer, expert, next.on != 0);
                return;
            case RankTask::freeze:
                frozen_LE[expert_index(layer, expert)] = next.on != 0 ? 1 : 0;
                return;
            case RankTask::reset:
                reset(layer, expert);
                return;
        }
    }

    /// Writes a whole flat buffer: `write` does it in memory of the host.
    template <class Write>
    void fill(float* values, const Write& write) {
        if (ops->host_memory()) {
            write(values);
            return;
        }
        host_copy.assign(layout.floats, 0.0f);
        write(host_copy.data());
        ops->upload(values, host_copy.data(), layout.floats * sizeof(float));
    }
    /// A moment: `write` gives those of all parameters here, of which this rank keeps its share.
    template <class Write>
    void fill_moment(float* values, const Write& write) {
        if (team == nullptr) {
            fill(values, write);
            return;
        }
        host_copy.assign(layout.floats, 0.0f);
        write(host_copy.data());
        for (const OptimizerPiece& piece : kept.pieces) {
            ops->upload(values + piece.here, host_copy.data() + layout.tensors[piece.tensor].offset + piece.begin,
                        piece.count * sizeof(float));
        }
    }
    /// The same for a part of it: `write` finds the old values.
    template <class Write>
    void change(float* values, const Write& write) {
        fill(values, [&](float* host) {
            if (host != values) {
                ops->download(host, values, layout.floats * sizeof(float));
            }
            write(host);
        });
    }

    void load(const std::filesystem::path& folder, const CheckpointTensors& model, const CheckpointState& state,
              bool fork, const StopCheck& check) {
        const CheckpointTensors moments(folder / kOptimizerFile, config.model, whole, {"m.", "v."});
        const std::vector<NamedTensor> names = name_tensors(config.model, layout);
        fill(buffers.parameters, [&](float* values) { model.read("", names, values, check); });
        fill_moment(buffers.first_moment, [&](float* values) { moments.read("m.", names, values, check); });
        fill_moment(buffers.second_moment, [&](float* values) { moments.read("v.", names, values, check); });
        steps = state.step;
        updates = state.updates;
        sequences = state.sequences;
        take_controls(state, fork);
    }

    std::uint64_t expert_index(int layer, int expert) const {
        return static_cast<std::uint64_t>(layer) * static_cast<std::uint64_t>(config.model.experts) +
               static_cast<std::uint64_t>(expert);
    }

    /// Throws Error.
    void check_expert(int layer, int expert) const {
        if (layer < 0 || layer >= config.model.layers ||
            !layout.layers[static_cast<std::size_t>(layer)].has_experts()) {
            throw Error(say("layer {} has no experts: the layers with experts are {} to {}", layer,
                            std::min(config.model.dense_layers, config.model.layers), config.model.layers - 1));
        }
        if (expert < 0 || expert >= config.model.experts) {
            throw Error(say("there is no expert {}: they are 0 to {}", expert, config.model.experts - 1));
        }
    }

    void check_disabled(int layer, int expert, bool disabled) const {
        check_expert(layer, expert);
        const std::uint8_t* first = disabled_LE.data() + expert_index(layer, 0);
        const auto off = std::count(first, first + config.model.experts, 1) + (disabled && first[expert] == 0 ? 1 : 0);
        if (disabled && config.model.experts - off < config.model.experts_per_token) {
            throw Error(say("layer {} needs at least {} enabled experts: enable another one first", layer,
                            config.model.experts_per_token));
        }
    }
    void disable(int layer, int expert, bool disabled) {
        check_disabled(layer, expert, disabled);
        disabled_LE[expert_index(layer, expert)] = disabled ? 1 : 0;
        ops->upload(buffers.disabled_LE, disabled_LE.data(), disabled_LE.size());
    }

    void reset(int layer, int expert) {
        check_expert(layer, expert);
        const auto at = static_cast<std::size_t>(layer);
        change(buffers.parameters,
               [&](float* values) { initialise_expert(values, layout, config.model, at, expert, now.train.seed); });
        const int here = expert - layout.first_expert;
        for (const OptimizerPiece& piece : kept.pieces) {
            if (piece.experts && layout.tensors[piece.tensor].layer == layer && here >= 0 && here < layout.experts) {
                const OptimizerPiece part = part_of_expert(piece, static_cast<std::uint64_t>(here));
                ops->zero(buffers.first_moment + part.here, part.count * sizeof(float));
                ops->zero(buffers.second_moment + part.here, part.count * sizeof(float));
            }
        }
    }

    void take_controls(const CheckpointState& state, bool fork) {
        // A fork's settings hold instead.
        if (!fork) {
            take_live(now, config, state);
        }
        for (const auto& [layer, expert] : state.disabled) {
            disable(layer, expert, true);
        }
        for (const auto& [layer, expert] : state.frozen) {
            check_expert(layer, expert);
            frozen_LE[expert_index(layer, expert)] = 1;
        }
    }

    std::vector<std::pair<int, int>> marked(const std::vector<std::uint8_t>& marks) const {
        std::vector<std::pair<int, int>> list;
        for (int layer = 0; layer < config.model.layers; ++layer) {
            for (int expert = 0; expert < config.model.experts; ++expert) {
                if (marks[expert_index(layer, expert)] != 0) {
                    list.emplace_back(layer, expert);
                }
            }
        }
        return list;
    }

    HeldOutLoss evaluate() {
        ops->enter();
        HeldOutLoss result;
        for (std::size_t language = 0; language < kLanguages; ++language) {
            const auto [sum, tokens] = held_out_sum(data->held_out[language]);
            result.tokens[language] = tokens;
            result.loss[language] =
                tokens > 0 ? sum / static_cast<double>(tokens) : std::numeric_limits<double>::quiet_NaN();
        }
        return result;
    }

    RunConfig changed(const LiveValues& values) const {
        RunConfig wanted = now;
        for (const auto& [key, value] : values) {
            set_live(wanted, config, key, value);
        }
        return wanted;
    }
    void set(const LiveValues& values) { now = changed(values); }

    const RunConfig config;  ///< what was planned for
    RunConfig now;           ///< the same with the live settings as they stand
    std::shared_ptr<const Dataset> data;
    const RankShape shape;
    std::unique_ptr<kernels::Ops> ops;
    const std::unique_ptr<RankTeam> team;  ///< null: this process alone
    const ParameterLayout whole;
    ParameterLayout layout;     ///< of what this rank keeps
    const OptimizerShare kept;  ///< of that, what it moves
    Block memory;
    Block decoder_memory;  ///< for samples
    DecoderState decoder;
    BatchOrder order;
    RunBuffers buffers;
    const float* micro_gradients = nullptr;  ///< those of a micro-batch; of the step, too, without accumulation
    kernels::StretchKey stretch;             ///< of the operations that come next
    std::optional<Transformer> transformer;
    // What the host gives to the device, and what it gets.
    std::vector<std::int32_t> tokens_T, targets_T;
    std::vector<std::uint8_t> languages_T;
    std::vector<std::uint8_t> disabled_LE, frozen_LE;  ///< live knobs
    std::vector<Losses> losses_M;                      ///< of each micro-batch of the step
    std::vector<kernels::RouterLosses> router_ML;      ///< the same, of each layer
    std::vector<kernels::RouterLosses> router;         ///< of all ranks, of the latest micro-batch
    kernels::MarginSums margins;                       ///< of the step
    std::vector<double> square_sums, shared;
    std::vector<double> error_sums;  ///< [layers][kExpertErrors][2], of all ranks; empty unless there is room for them
    std::vector<std::uint64_t> choices_LE, step_choices_LE;  ///< of all ranks: of a micro-batch, of the step so far
    mutable std::vector<float> host_copy;  ///< of a flat buffer of a device whose memory the host cannot read
    std::uint64_t steps = 0, updates = 0, sequences = 0;
    StepStats stats;  ///< of the last step
    PartClock clock;
    Clock::time_point mark;
    std::array<double, kParts> part_ms{};
    bool parts_measured = true;  ///< those of the passes, of this step
};

Trainer::Trainer() = default;
Trainer::~Trainer() = default;

Trainer::Trainer(const RunConfig& config, std::shared_ptr<const Dataset> data, const StopCheck& check,
                 std::unique_ptr<kernels::Ops> ops, const TrainingRanks& ranks) {
    validate(config, title_of(config));
    check_data(config, data.get());
    impl_ = std::make_unique<Impl>(config, std::move(data), check, std::move(ops), ranks);
    impl_->fill(impl_->buffers.parameters, [&](float* values) {
        initialise_parameters(values, impl_->layout, config.model, config.train.seed, check);
    });
}

Trainer::Trainer(const RunConfig& config, std::shared_ptr<const Dataset> data, std::span<const float> parameters,
                 const StopCheck& check, std::unique_ptr<kernels::Ops> ops, const TrainingRanks& ranks) {
    validate(config, title_of(config));
    check_data(config, data.get());
    impl_ = std::make_unique<Impl>(config, std::move(data), check, std::move(ops), ranks);
    if (parameters.size() != impl_->whole.floats) {
        throw Error(say("the parameters to start from have {} values, but {} are needed: they belong to another model",
                        parameters.size(), impl_->whole.floats));
    }
    for (const HeldTensor& tensor : held_tensors(impl_->whole, impl_->layout)) {
        impl_->ops->upload(impl_->buffers.parameters + tensor.here, parameters.data() + tensor.whole,
                           tensor.count * sizeof(float));
    }
}

RunConfig checkpoint_settings(const std::filesystem::path& checkpoint) {
    const RunConfig config = read_checkpoint_config(checkpoint);
    RunConfig now = config;
    take_live(now, config, read_checkpoint_state(checkpoint));
    return now;
}

void check_fork(const std::filesystem::path& checkpoint, const RunConfig& changed) {
    validate(changed, title_of(changed));
    const ModelConfig parent = read_checkpoint_config(checkpoint).model;
    const auto before = name_tensors(parent, make_layout(parent)),
               after = name_tensors(changed.model, make_layout(changed.model));
    const bool same = before.size() == after.size() &&
                      std::equal(before.begin(), before.end(), after.begin(), [](const auto& a, const auto& b) {
                          return a.name == b.name && a.shape == b.shape && a.offset == b.offset;
                      });
    if (!same) {
        throw Error(
            say("{}: the changed settings would need other tensors than this checkpoint has; a fork may change the "
                "training and the routing, not sizes or kinds of layers",
                checkpoint));
    }
    std::map<int, int> enabled;
    for (const auto& [layer, expert] : read_checkpoint_state(checkpoint).disabled) {
        const int left = --enabled.try_emplace(layer, changed.model.experts).first->second;
        if (left < changed.model.experts_per_token) {
            throw Error(
                say("{}: layer {} has {} enabled experts at most, but each token is to go to {}; enable experts in the "
                    "run and save a checkpoint, or choose fewer experts per token",
                    checkpoint, layer, left, changed.model.experts_per_token));
        }
    }
}

std::unique_ptr<Trainer> Trainer::load(const std::filesystem::path& checkpoint, std::shared_ptr<const Dataset> data,
                                       const RunConfig* changed, const StopCheck& check,
                                       std::unique_ptr<kernels::Ops> ops, const TrainingRanks& ranks) {
    const RunConfig saved = read_checkpoint_config(checkpoint);
    if (changed != nullptr) {
        check_fork(checkpoint, *changed);
    }
    const RunConfig& config = changed != nullptr ? *changed : saved;
    const CheckpointState state = read_checkpoint_state(checkpoint);
    check_data(config, data.get());
    if (data->sha256 != state.data_sha256 || data->train_tokens.size() != state.data_tokens) {
        throw Error(say(
            "{}: the run was trained on {} ({} tokens), not on these data ({}, {} tokens): give the same data to go on",
            (checkpoint / kStateFile), state.data_name, state.data_tokens, data->name, data->train_tokens.size()));
    }
    // Tensors are compared with the configuration before the run's memory is asked for.
    const CheckpointTensors model(checkpoint / kModelFile, config.model, make_layout(config.model), {""});
    std::unique_ptr<Trainer> trainer(new Trainer());
    trainer->impl_ = std::make_unique<Impl>(config, std::move(data), check, std::move(ops), ranks,
                                            fmt::format("step {}", state.step));
    trainer->impl_->load(checkpoint, model, state, changed != nullptr, check);
    return trainer;
}

void Trainer::follow() {
    impl_->follow();
}

const StepStats& Trainer::step() {
    impl_->lead({.task = RankTask::step, .settings = {}}, [this] { impl_->step(); });
    return impl_->stats;
}

HeldOutLoss Trainer::evaluate() {
    return impl_->lead({.task = RankTask::evaluate, .settings = {}}, [this] { return impl_->evaluate(); });
}

std::string Trainer::sample(const std::string& prompt, int max_tokens) {
    return impl_->sample(prompt, max_tokens);
}

void Trainer::set(const LiveValues& values) {
    (void)impl_->changed(values);  // refused here, before other ranks hear of it
    impl_->lead({.task = RankTask::set, .settings = nlohmann::json(values).dump()}, [&] { impl_->set(values); });
}

void Trainer::set(const std::string& key, double value) {
    set(LiveValues{{key, value}});
}

void Trainer::set_expert_disabled(int layer, int expert, bool disabled) {
    impl_->check_disabled(layer, expert, disabled);
    impl_->lead({.task = RankTask::disable, .layer = layer, .expert = expert, .on = disabled ? 1 : 0, .settings = {}},
                [&] { impl_->disable(layer, expert, disabled); });
}

void Trainer::set_expert_frozen(int layer, int expert, bool frozen) {
    impl_->check_expert(layer, expert);
    impl_->lead({.task = RankTask::freeze, .layer = layer, .expert = expert, .on = frozen ? 1 : 0, .settings = {}},
                [&] { impl_->frozen_LE[impl_->expert_index(layer, expert)] = frozen ? 1 : 0; });
}

void Trainer::reset_expert(int layer, int expert) {
    impl_->check_expert(layer, expert);
    impl_->lead({.task = RankTask::reset, .layer = layer, .expert = expert, .settings = {}},
                [&] { impl_->reset(layer, expert); });
}

const ParameterLayout& Trainer::layout() const {
    return impl_->whole;
}
std::span<const float> Trainer::parameters() const {
    return {impl_->whole_of(FlatBuffer::parameters), impl_->whole.floats};
}
std::span<const float> Trainer::gradients() const {
    return {impl_->whole_of(FlatBuffer::gradients), impl_->whole.floats};
}
const Dataset& Trainer::data() const {
    return *impl_->data;
}

void Trainer::save(const std::filesystem::path& folder) const {
    Impl& run = *impl_;
    write_checkpoint_tensors(folder / kModelFile, run.config.model, run.whole,
                             {{"", run.whole_of(FlatBuffer::parameters)}});
    const float* first_moment = run.whole_of(FlatBuffer::first_moment);
    std::vector<float> kept;  // both at a time: a copy holds one
    if (first_moment != run.buffers.first_moment) {
        kept.assign(first_moment, first_moment + run.whole.floats);
        first_moment = kept.data();
    }
    write_checkpoint_tensors(folder / kOptimizerFile, run.config.model, run.whole,
                             {{"m.", first_moment}, {"v.", run.whole_of(FlatBuffer::second_moment)}});
    CheckpointState state;
    state.step = run.steps;
    state.updates = run.updates;
    state.sequences = run.sequences;
    state.data_name = run.data->name;
    state.data_sha256 = run.data->sha256;
    state.data_tokens = run.data->train_tokens.size();
    if (run.now.model.experts_per_token != run.config.model.experts_per_token) {
        state.experts_per_token = run.now.model.experts_per_token;
    }
    if (run.now.model.capacity_factor != run.config.model.capacity_factor) {
        state.capacity_factor = run.now.model.capacity_factor;
    }
    state.disabled = run.marked(run.disabled_LE);
    state.frozen = run.marked(run.frozen_LE);
    RunConfig saved = run.now;
    saved.model = run.config.model;  // what buffers are planned for after a break
    write_checkpoint_texts(folder, saved, state, run.data->tokenizer.get());
}

std::string Trainer::parameters_sha256() const {
    base::Sha256 hash;
    const float* parameters = impl_->whole_of(FlatBuffer::parameters);
    for (const NamedTensor& tensor : name_tensors(impl_->config.model, impl_->whole)) {
        hash.add({reinterpret_cast<const char*>(parameters + tensor.offset), tensor.count * sizeof(float)});
    }
    return hash.finish();
}

const RunConfig& Trainer::config() const {
    return impl_->now;
}
std::uint64_t Trainer::steps_done() const {
    return impl_->steps;
}
std::uint64_t Trainer::memory_bytes() const {
    return impl_->memory.size() + impl_->decoder_memory.size();
}
std::string Trainer::attention_by() const {
    return impl_->ops->attention_by();
}

std::string Trainer::why_not_recorded() const {
    return impl_->ops->why_not_recorded();
}
std::uint64_t Trainer::row_bytes_sent() const {
    return impl_->team == nullptr ? 0 : impl_->team->work().row_bytes_sent();
}

}  // namespace moescope::engine
