#include "engine/train/trainer.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <numbers>
#include <optional>

#include "engine/error.hpp"
#include "engine/generate/decoder.hpp"
#include "engine/model/plan.hpp"
#include "engine/model/random.hpp"
#include "engine/model/validate.hpp"
#include "engine/text/sha256.hpp"
#include "engine/text/utf8.hpp"
#include "engine/train/batches.hpp"
#include "engine/train/checkpoint.hpp"
#include "kernels/cpu/adamw.hpp"
#include "kernels/cpu/parallel.hpp"

namespace moescope::engine {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kParts = static_cast<int>(Part::count);
constexpr std::uint64_t kHeldOutTokens = 4096;  // per language and evaluation
constexpr double kSampleTemperature = 0.8;

double milliseconds(Clock::duration time) {
    return std::chrono::duration<double, std::milli>(time).count();
}

/// "NaN" or "infinite" of a value that is not finite.
std::string kind_of(double value) {
    return std::isnan(value) ? "NaN" : "infinite";
}

void check_tokens(const std::vector<std::uint16_t>& tokens, int vocabulary, const std::string& name) {
    for (const std::uint16_t token : tokens) {
        if (token >= vocabulary) {
            throw Error("The data " + name + " have token " + std::to_string(token) +
                        ", but the model's vocabulary is " + std::to_string(vocabulary) +
                        ": set model.vocabulary to the tokenizer's size.");
        }
    }
}

void check_data(const RunConfig& config, const Dataset* data) {
    if (data == nullptr) {
        throw Error("There are no data to train on: give a data set.");
    }
    const auto context = static_cast<std::size_t>(config.model.context);
    if (data->train_tokens.size() <= context) {
        throw Error("The data " + data->name + " have " + std::to_string(data->train_tokens.size()) +
                    " training tokens, but one sequence needs " + std::to_string(context + 1) +
                    ": give more text or a smaller context.");
    }
    if (data->train_languages.size() != data->train_tokens.size()) {
        throw Error("The data " + data->name + " have " + std::to_string(data->train_languages.size()) +
                    " languages for " + std::to_string(data->train_tokens.size()) +
                    " tokens: build the data set again.");
    }
    check_tokens(data->train_tokens, config.model.vocabulary, data->name);
    for (const auto& held_out : data->held_out) {
        check_tokens(held_out, config.model.vocabulary, data->name);
    }
    const auto& languages = data->train_languages;
    if (std::any_of(languages.begin(), languages.end(), [](std::uint8_t language) { return language >= kLanguages; })) {
        throw Error("The data " + data->name + " have an unknown language: build the data set again.");
    }
}

void check_knob(const char* name, double value, double most) {
    if (!std::isfinite(value) || value < 0 || value > most) {
        throw Error(std::string("The ") + name + " is " + std::to_string(value) + ", but must be from 0 to " +
                    std::to_string(most) + ".");
    }
}

/// Warm-up to the peak, then half a cosine down to peak x ratio at the last planned step, then level. `step` 0 is the
/// first.
double scheduled_rate(const TrainConfig& train, std::uint64_t step) {
    const double peak = train.learning_rate, last = peak * train.final_learning_rate_ratio;
    const auto warmup = static_cast<std::uint64_t>(train.warmup_steps), steps = static_cast<std::uint64_t>(train.steps);
    if (step < warmup) {
        return peak * static_cast<double>(step + 1) / static_cast<double>(warmup);
    }
    if (step >= steps) {
        return last;
    }
    const double done = static_cast<double>(step - warmup) / static_cast<double>(steps - warmup);
    return last + (peak - last) * 0.5 * (1.0 + std::cos(std::numbers::pi * done));
}

}  // namespace

struct Trainer::Impl {
    Impl(const RunConfig& run, std::shared_ptr<const Dataset> dataset)
        : config(run),
          data(std::move(dataset)),
          layout(make_layout(config.model)),
          threads(threads_of(config)),
          memory(plan_run(config).memory_bytes),
          order(data->train_tokens.size(), static_cast<std::uint64_t>(config.model.context), config.train.seed) {
        kernels::set_workers(threads);
        Arena arena(memory.data());
        buffers = RunBuffers::place(arena, config, layout);
        transformer.emplace(config.model, layout, buffers.state);
        router.resize(static_cast<std::size_t>(config.model.layers));
        clock = [this](Part part) { lap(part); };
    }

    void lap(Part part) {
        const auto now = Clock::now();
        part_ms[static_cast<std::size_t>(part)] += milliseconds(now - mark);
        mark = now;
    }

    /// The next `batch` sequences of the run.
    void take_batch() {
        const auto S = static_cast<std::uint64_t>(config.model.context);
        for (std::uint64_t b = 0; b < static_cast<std::uint64_t>(config.train.batch); ++b) {
            const std::uint64_t first = order.first_token(sequences++);
            for (std::uint64_t s = 0; s < S; ++s) {
                buffers.tokens_T[b * S + s] = data->train_tokens[first + s];
                buffers.targets_T[b * S + s] = data->train_tokens[first + s + 1];
                buffers.languages_T[b * S + s] = data->train_languages[first + s];
            }
        }
    }

    void count_experts(StepStats& stats) const {
        const auto L = static_cast<std::size_t>(config.model.layers),
                   E = static_cast<std::size_t>(config.model.experts);
        const auto K = static_cast<std::size_t>(config.model.experts_per_token);
        stats.counts.assign(kLanguages * L * E, 0);
        for (std::size_t layer = 0; layer < L; ++layer) {
            const std::int32_t* ids = buffers.state.layers[layer].ids_TK;
            for (std::size_t slot = 0; slot < stats.tokens * K; ++slot) {
                const std::size_t language = buffers.languages_T[slot / K];
                ++stats.counts[(language * L + layer) * E + static_cast<std::size_t>(ids[slot])];
            }
        }
    }

    void collect_losses(StepStats& stats) const {
        const double layers = config.model.layers;
        const double most = config.model.experts > 1 ? std::log(static_cast<double>(config.model.experts)) : 1.0;
        for (const kernels::RouterLosses& layer : router) {
            stats.balance_loss += layer.balance / layers;
            stats.z_loss += layer.z / layers;
            stats.router_entropy.push_back(static_cast<float>(layer.entropy / most));
        }
        stats.loss = stats.cross_entropy + config.train.balance_coefficient * stats.balance_loss +
                     config.train.z_coefficient * stats.z_loss;
        if (!std::isfinite(stats.loss)) {
            stats.fault = "loss is " + kind_of(stats.loss);
        }
    }

    /// Norm of the whole gradient; says where it broke first, in the order of the layers.
    void measure_gradient(StepStats& stats) {
        double total = 0;
        for (const TensorSpec& tensor : layout.tensors) {
            const double squares = kernels::sum_of_squares(
                buffers.gradients + tensor.offset, static_cast<std::int64_t>(tensor.count), buffers.square_sums);
            if (!std::isfinite(squares) && stats.fault.empty()) {
                stats.fault = "gradient norm is " + kind_of(squares) + " in " +
                              (tensor.layer < 0 ? std::string("the ") : "layer " + std::to_string(tensor.layer) + " ") +
                              tensor_part_name(tensor.part);
            }
            total += squares;
        }
        stats.gradient_norm = std::sqrt(total);
    }

    void apply(const StepStats& stats) {
        const TrainConfig& train = config.train;
        kernels::AdamWStep step;
        step.learning_rate = stats.learning_rate;
        step.beta1 = train.beta1;
        step.beta2 = train.beta2;
        step.epsilon = train.adam_epsilon;
        step.gradient_scale =
            stats.gradient_norm > train.gradient_clip ? train.gradient_clip / stats.gradient_norm : 1.0;
        step.update = ++updates;
        for (const TensorSpec& tensor : layout.tensors) {
            step.weight_decay = tensor.decay ? train.weight_decay : 0.0;
            kernels::adamw(buffers.parameters + tensor.offset, buffers.first_moment + tensor.offset,
                           buffers.second_moment + tensor.offset, buffers.gradients + tensor.offset,
                           static_cast<std::int64_t>(tensor.count), step);
        }
    }

    StepStats step() {
        kernels::set_workers(threads);
        StepStats stats;
        const auto begin = Clock::now();
        mark = begin;
        part_ms.fill(0);
        const int batch = config.train.batch, length = config.model.context;
        const std::uint64_t tokens = static_cast<std::uint64_t>(batch) * static_cast<std::uint64_t>(length);
        stats.learning_rate = scheduled_rate(config.train, steps);
        stats.step = ++steps;
        stats.tokens = tokens;
        stats.tokens_total = steps * tokens;
        take_batch();
        lap(Part::data);
        transformer->forward(buffers.parameters, buffers.tokens_T, batch, length, router, clock);
        stats.cross_entropy =
            transformer->backward(buffers.parameters, buffers.gradients, buffers.tokens_T, buffers.targets_T, batch,
                                  length, config.train.balance_coefficient / config.model.layers,
                                  config.train.z_coefficient / config.model.layers, clock);
        collect_losses(stats);
        count_experts(stats);
        lap(Part::other);
        measure_gradient(stats);
        if (stats.fault.empty()) {
            apply(stats);
        }
        lap(Part::optimizer);
        stats.step_ms = milliseconds(mark - begin);
        stats.part_ms = part_ms;
        return stats;
    }

    /// Sum over the first `count` targets of a held-out text, and how many there were.
    std::pair<double, std::uint64_t> held_out_sum(const std::vector<std::uint16_t>& text) {
        const auto S = static_cast<std::uint64_t>(config.model.context),
                   B = static_cast<std::uint64_t>(config.train.batch);
        const std::uint64_t count = text.empty() ? 0 : std::min<std::uint64_t>(kHeldOutTokens, text.size() - 1);
        double sum = 0;
        std::uint64_t done = 0;
        while (done < count) {
            const std::uint64_t left = count - done;
            const std::uint64_t length = std::min(S, left), batch = left < S ? 1 : std::min(B, left / S);
            const std::uint64_t tokens = batch * length;
            for (std::uint64_t t = 0; t < tokens; ++t) {
                buffers.tokens_T[t] = text[done + t];
                buffers.targets_T[t] = text[done + t + 1];
            }
            transformer->forward(buffers.parameters, buffers.tokens_T, static_cast<int>(batch),
                                 static_cast<int>(length), router, clock);
            sum += transformer->loss(buffers.parameters, buffers.targets_T, static_cast<int>(tokens)) *
                   static_cast<double>(tokens);
            done += tokens;
        }
        return {sum, done};
    }

    std::string sample(const std::string& prompt, int max_tokens) {
        kernels::set_workers(threads);
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
        Decoder decoder(config.model, layout, buffers.parameters, buffers.decoder);
        std::span<const float> logits;
        for (const std::int32_t token : tokens) {
            logits = decoder.decode(token);
        }
        std::string text;
        for (int i = 0; i < max_tokens; ++i) {
            const double unit = random_unit(config.train.seed, 3 + steps, static_cast<std::uint64_t>(i));
            const std::int32_t token = draw_token(logits, kSampleTemperature, unit);
            if (token == tokenizer.end_token()) {
                break;
            }
            text += tokenizer.piece_bytes(token);
            if (decoder.position() == config.model.context) {
                break;
            }
            logits = decoder.decode(token);
        }
        return to_valid_utf8(text);
    }

    void load(const std::filesystem::path& folder, const CheckpointTensors& model, const CheckpointState& state) {
        const CheckpointTensors moments(folder / kOptimizerFile, config.model, layout, {"m.", "v."});
        model.read("", buffers.parameters);
        moments.read("m.", buffers.first_moment);
        moments.read("v.", buffers.second_moment);
        steps = state.step;
        updates = state.updates;
        sequences = state.sequences;
    }

    RunConfig config;
    std::shared_ptr<const Dataset> data;
    ParameterLayout layout;
    int threads = 1;
    Block memory;
    BatchOrder order;
    RunBuffers buffers;
    std::optional<Transformer> transformer;
    std::vector<kernels::RouterLosses> router;
    std::uint64_t steps = 0, updates = 0, sequences = 0;
    PartClock clock;
    Clock::time_point mark;
    std::array<double, kParts> part_ms{};
};

Trainer::Trainer() = default;
Trainer::~Trainer() = default;

Trainer::Trainer(const RunConfig& config, std::shared_ptr<const Dataset> data) {
    validate(config, config.name.empty() ? "configuration" : config.name);
    check_data(config, data.get());
    impl_ = std::make_unique<Impl>(config, std::move(data));
    initialise_parameters(impl_->buffers.parameters, impl_->layout, config.model, config.train.seed);
}

std::unique_ptr<Trainer> Trainer::load(const std::filesystem::path& checkpoint, std::shared_ptr<const Dataset> data) {
    const RunConfig config = read_checkpoint_config(checkpoint);
    const CheckpointState state = read_checkpoint_state(checkpoint);
    check_data(config, data.get());
    if (data->sha256 != state.data_sha256 || data->train_tokens.size() != state.data_tokens) {
        throw Error((checkpoint / kStateFile).string() + ": the run was trained on " + state.data_name + " (" +
                    std::to_string(state.data_tokens) + " tokens), not on these data (" + data->name + ", " +
                    std::to_string(data->train_tokens.size()) + " tokens): give the same data to go on.");
    }
    // Tensors are compared with the configuration before the run's memory is asked for.
    const CheckpointTensors model(checkpoint / kModelFile, config.model, make_layout(config.model), {""});
    std::unique_ptr<Trainer> trainer(new Trainer());
    trainer->impl_ = std::make_unique<Impl>(config, std::move(data));
    trainer->impl_->load(checkpoint, model, state);
    return trainer;
}

StepStats Trainer::step() {
    return impl_->step();
}

HeldOutLoss Trainer::evaluate() {
    kernels::set_workers(impl_->threads);
    HeldOutLoss result;
    for (std::size_t language = 0; language < kLanguages; ++language) {
        const auto [sum, tokens] = impl_->held_out_sum(impl_->data->held_out[language]);
        result.tokens[language] = tokens;
        result.loss[language] =
            tokens > 0 ? sum / static_cast<double>(tokens) : std::numeric_limits<double>::quiet_NaN();
    }
    return result;
}

std::string Trainer::sample(const std::string& prompt, int max_tokens) {
    return impl_->sample(prompt, max_tokens);
}

void Trainer::set_learning_rate(double peak) {
    check_knob("learning rate", peak, kMaxLearningRate);
    impl_->config.train.learning_rate = peak;
}

void Trainer::set_balance_coefficient(double value) {
    check_knob("balance coefficient", value, kMaxCoefficient);
    impl_->config.train.balance_coefficient = value;
}

void Trainer::set_z_coefficient(double value) {
    check_knob("z-loss coefficient", value, kMaxCoefficient);
    impl_->config.train.z_coefficient = value;
}

void Trainer::save(const std::filesystem::path& folder) const {
    const Impl& run = *impl_;
    write_checkpoint_tensors(folder / kModelFile, run.config.model, run.layout, {{"", run.buffers.parameters}});
    write_checkpoint_tensors(folder / kOptimizerFile, run.config.model, run.layout,
                             {{"m.", run.buffers.first_moment}, {"v.", run.buffers.second_moment}});
    CheckpointState state;
    state.step = run.steps;
    state.updates = run.updates;
    state.sequences = run.sequences;
    state.data_name = run.data->name;
    state.data_sha256 = run.data->sha256;
    state.data_tokens = run.data->train_tokens.size();
    write_checkpoint_texts(folder, run.config, state, run.data->tokenizer.get());
}

std::string Trainer::parameters_sha256() const {
    Sha256 hash;
    for (const NamedTensor& tensor : name_tensors(impl_->config.model, impl_->layout)) {
        hash.add(
            {reinterpret_cast<const char*>(impl_->buffers.parameters + tensor.offset), tensor.count * sizeof(float)});
    }
    return hash.finish();
}

const RunConfig& Trainer::config() const {
    return impl_->config;
}
std::uint64_t Trainer::steps_done() const {
    return impl_->steps;
}
std::uint64_t Trainer::memory_bytes() const {
    return impl_->memory.size();
}

}  // namespace moescope::engine
