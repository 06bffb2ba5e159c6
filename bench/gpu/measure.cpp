#include "bench/gpu/measure.hpp"

#include <algorithm>
#include <chrono>
#include <fmt/format.h>
#include <fstream>
#include <string_view>

#include "bench/gpu/measured_ops.hpp"
#include "engine/generate/decoder.hpp"
#include "engine/train/plan.hpp"
#include "engine/train/trainer.hpp"
#include "kernels/random.hpp"

namespace moescope::bench {

using nlohmann::json;
namespace fs = std::filesystem;

namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) {
    return std::chrono::duration<double>(Clock::now() - begin).count();
}

double median(std::vector<double> values) {
    std::sort(values.begin(), values.end());
    return values.empty() ? 0 : values[values.size() / 2];
}

/// Small enough for the emulation; every kind of layer and setting stays.
void make_tiny(engine::RunConfig& config) {
    engine::ModelConfig& m = config.model;
    m.vocabulary = 96;
    m.width = 32;
    m.layers = m.dense_layers + 2;
    m.context = 16;
    m.heads = 4;
    m.kv_heads = m.attention == engine::AttentionKind::latent ? 4 : 2;
    m.head_width = 8;
    m.query_rank = std::min(m.query_rank, 12);
    m.kv_rank = 16;
    m.nope_width = 8;
    m.rope_width = 4;
    m.value_width = 8;
    m.dense_width = 24;
    m.experts = 8;
    m.experts_per_token = 3;
    m.expert_width = 16;
    m.router_groups = std::min(m.router_groups, 4);
    m.router_groups_kept = std::min(m.router_groups_kept, 2);
    config.train.batch = std::min(config.train.batch, 2);
}

/// Tokens by chance: what is measured does not depend on what a text says.
std::shared_ptr<const engine::Dataset> random_tokens(const engine::RunConfig& config) {
    auto data = std::make_shared<engine::Dataset>();
    const auto sequences = std::size_t{4} * static_cast<std::size_t>(config.train.batch * config.train.accumulation);
    const std::size_t count = sequences * static_cast<std::size_t>(config.model.context) + 1;
    for (std::size_t i = 0; i < count; ++i) {
        const std::uint64_t token =
            kernels::random_bits(config.train.seed, 1, i) % static_cast<std::uint64_t>(config.model.vocabulary);
        data->train_tokens.push_back(static_cast<std::int32_t>(token));
    }
    data->train_languages.assign(count, 0);
    data->name = "random tokens";
    return data;
}

/// Numbers by chance: products of zeros take less power, and so run faster.
void fill(kernels::Ops& ops, float* to, std::int64_t count) {
    std::vector<float> piece(static_cast<std::size_t>(std::min<std::int64_t>(count, 1 << 18)));
    for (std::size_t i = 0; i < piece.size(); ++i) {
        piece[i] = static_cast<float>(kernels::random_unit(1, 2, i)) - 0.5f;
    }
    for (std::int64_t at = 0; at < count; at += static_cast<std::int64_t>(piece.size())) {
        const std::int64_t now = std::min(count - at, static_cast<std::int64_t>(piece.size()));
        ops.upload(to + at, piece.data(), static_cast<std::uint64_t>(now) * sizeof(float));
    }
}

/// Of one of `times`, after one that isn't counted.
double seconds_of(kernels::Ops& ops, int times, const std::function<void()>& work) {
    work();
    ops.wait();
    const auto begin = Clock::now();
    for (int i = 0; i < times; ++i) {
        work();
    }
    ops.wait();
    return seconds_since(begin) / times;
}

/// GB/s of copies in the device's memory, read and written, and FLOP/s of products, through the seam: with the rounding
/// of their operands.
json limits_of(kernels::Ops& ops, const engine::RunConfig& config, bool tiny) {
    ops.enter();
    const auto timed = [&](int times, const std::function<void()>& work) { return seconds_of(ops, times, work); };
    const int times = tiny ? 2 : 20;
    const std::uint64_t bytes = tiny ? std::uint64_t{1} << 16 : std::uint64_t{1} << 30;
    json limits;
    {
        const kernels::DeviceMemory from = ops.allocate(bytes, {}), to = ops.allocate(bytes, {});
        if (from == nullptr || to == nullptr) {
            throw engine::Error(base::Sentence::verbatim("there is too little memory for a copy of 1 GiB"));
        }
        limits["copy_bytes_per_second"] =
            2 * static_cast<double>(bytes) / timed(times, [&] { ops.copy(to.get(), from.get(), bytes); });
    }
    const kernels::DeviceMemory rounded =
        ops.allocate(static_cast<std::uint64_t>(ops.operand_scratch()) * sizeof(std::uint16_t) + 64, {});
    ops.place_operands(reinterpret_cast<std::uint16_t*>(rounded.get()));
    const auto product = [&](kernels::Operands operands, std::int64_t T, std::int64_t I, std::int64_t O) {
        const kernels::OpsOperands scope(ops, operands);
        const auto take = [&](std::int64_t rows, std::int64_t columns) {
            return ops.allocate(static_cast<std::uint64_t>(rows * columns) * sizeof(float), {});
        };
        const kernels::DeviceMemory x = take(T, I), w = take(O, I), y = take(T, O);
        if (x == nullptr || w == nullptr || y == nullptr) {
            throw engine::Error(base::Sentence::verbatim("there is too little memory for a dense product"));
        }
        const auto at = [](const kernels::DeviceMemory& memory) { return reinterpret_cast<float*>(memory.get()); };
        fill(ops, at(x), T * I);
        fill(ops, at(w), O * I);
        return 2.0 * static_cast<double>(T) * static_cast<double>(I) * static_cast<double>(O) /
               timed(times, [&] { ops.linear_forward(at(y), at(x), at(w), nullptr, T, I, O, kernels::Write::assign); });
    };
    const std::int64_t n = tiny ? 32 : 8192;
    const engine::ModelConfig& m = config.model;
    const std::int64_t rows = std::int64_t{config.train.batch} * m.context * m.experts_per_token;
    limits["f32_flops_per_second"] = product(kernels::Operands::f32, n, n, n);
    limits["bf16_flops_per_second"] = product(kernels::Operands::bf16, n, n, n);
    limits["experts_flops_per_second"] =
        product(kernels::Operands::bf16, rows, m.width, 2 * std::int64_t{m.expert_width});
    limits["by"] = "the seam, with the rounding of operands";
    return limits;
}

/// The experts of a layer, forward and backward, by each that computes grouped products: FLOP/s of their products, with
/// everything that the two operations do. The load is even, or half of all rows are one expert's.
json grouped_products_of(const Settings& settings, const engine::RunConfig& config) {
    const engine::ModelConfig& m = config.model;
    kernels::ExpertShape shape;
    shape.E = m.experts;
    shape.D = m.width;
    shape.F = m.expert_width;
    const std::int64_t E = shape.E, D = shape.D, F = shape.F;
    const std::int64_t R = std::int64_t{config.train.batch} * m.context * m.experts_per_token;
    json all = json::array();
    for (const char* by : {"cublaslt", "cutlass", "tiled"}) {
        const std::unique_ptr<kernels::Ops> ops = settings.open_grouped(by);
        ops->enter();
        const auto take = [&](std::int64_t count) {
            kernels::DeviceMemory memory = ops->allocate(static_cast<std::uint64_t>(count) * sizeof(float), {});
            if (memory == nullptr) {
                throw engine::Error(base::Sentence::verbatim("there is too little memory for the experts of a layer"));
            }
            return memory;
        };
        const auto at = [](const kernels::DeviceMemory& memory) { return reinterpret_cast<float*>(memory.get()); };
        const kernels::DeviceMemory rounded = take((ops->operand_scratch() + 1) / 2 + 16), x = take(R * D),
                                    y = take(R * D), dy = take(R * D), dx = take(R * D), gu = take(R * 2 * F),
                                    dgu = take(R * 2 * F), h = take(R * F), dh = take(R * F), up = take(E * 2 * F * D),
                                    down = take(E * D * F), g_up = take(E * 2 * F * D), g_down = take(E * D * F),
                                    offsets = take(E + 1);
        ops->place_operands(reinterpret_cast<std::uint16_t*>(rounded.get()));
        fill(*ops, at(x), R * D);
        fill(*ops, at(dy), R * D);
        fill(*ops, at(up), E * 2 * F * D);
        fill(*ops, at(down), E * D * F);
        const kernels::ExpertWeights w{at(up), at(down), nullptr, nullptr};
        const kernels::ExpertRows rows{reinterpret_cast<std::int32_t*>(offsets.get()), R};
        for (const bool even : {true, false}) {
            std::vector<std::int32_t> first(static_cast<std::size_t>(E) + 1);
            for (std::int64_t e = 1; e <= E; ++e) {
                first[static_cast<std::size_t>(e)] = static_cast<std::int32_t>(
                    even ? R * e / E : R / 2 + (R - R / 2) * (e - 1) / std::max<std::int64_t>(E - 1, 1));
            }
            first.back() = static_cast<std::int32_t>(R);
            ops->upload(offsets.get(), first.data(), first.size() * sizeof(std::int32_t));
            for (const kernels::Operands operands : {kernels::Operands::bf16, kernels::Operands::f32}) {
                const kernels::OpsOperands scope(*ops, operands);
                const auto forward = [&] { ops->experts_forward(at(y), at(gu), at(h), at(x), w, rows, shape); };
                const auto backward = [&] {
                    ops->experts_backward(at(dx), {at(g_up), at(g_down), nullptr, nullptr}, at(dgu), at(dh), at(dy),
                                          at(x), at(gu), at(h), w, rows, shape);
                };
                const int times = settings.tiny ? 1 : std::string_view(by) == "tiled" ? 2 : 10;
                const double flops = 6.0 * static_cast<double>(R) * static_cast<double>(D) * static_cast<double>(F);
                const double there = seconds_of(*ops, times, forward), back = seconds_of(*ops, times, backward);
                all.push_back({{"by", by},
                               {"operands", operands == kernels::Operands::bf16 ? "bf16" : "f32"},
                               {"load", even ? "even" : "half to one expert"},
                               {"forward_flops_per_second", flops / there},
                               {"backward_flops_per_second", 2 * flops / back}});
            }
        }
        ops->place_operands(nullptr);
    }
    return all;
}

/// A model's attention alone, forward and backward: single precision by the own kernels, and 16-bit operands by who
/// takes them. Multiplications and additions as MeasuredOps counts them.
json attention_of(kernels::Ops& ops, const engine::RunConfig& config, bool tiny) {
    ops.enter();
    const engine::ModelConfig& m = config.model;
    kernels::AttentionShape n;
    n.B = config.train.batch;
    n.S = m.context;
    n.H = m.heads;
    n.G = m.kv_heads;
    n.C = engine::query_width(m);
    n.Cv = engine::value_width(m);
    n.R = n.G * n.Cv;
    n.stride = n.Cv;
    n.scale = engine::attention_scale(m);
    const std::int64_t T = n.B * n.S;
    const auto take = [&](std::int64_t count) {
        kernels::DeviceMemory memory = ops.allocate(static_cast<std::uint64_t>(count) * sizeof(float), {});
        if (memory == nullptr) {
            throw engine::Error(base::Sentence::verbatim("there is too little memory for attention alone"));
        }
        return memory;
    };
    const auto at = [](const kernels::DeviceMemory& memory) { return reinterpret_cast<float*>(memory.get()); };
    const std::int64_t queries = T * n.H * n.C, keys = T * n.G * n.C, values = T * n.R, outputs = T * n.H * n.Cv;
    const kernels::DeviceMemory q = take(queries), k = take(keys), v = take(values), o = take(outputs),
                                dout = take(outputs), dq = take(queries), dk = take(keys), dv = take(values),
                                lse = take(T * n.H), partial = take(n.B * n.H);
    fill(ops, at(q), queries);
    fill(ops, at(k), keys);
    fill(ops, at(v), values);
    fill(ops, at(dout), outputs);
    json all = json::array();
    for (const bool rounded : {false, true}) {
        n.rounded = rounded;
        const kernels::DeviceMemory scratch = take(ops.attention_scratch(n));
        const auto forward = [&] {
            ops.attention_forward(at(o), at(lse), at(q), at(k), at(v), nullptr, at(scratch), n);
        };
        const auto backward = [&] {
            ops.attention_backward(at(dq), at(dk), at(dv), nullptr, at(partial), at(dout), at(o), at(q), at(k), at(v),
                                   nullptr, at(lse), at(scratch), n);
        };
        const auto timed = [&](const auto& work) {
            work();
            ops.wait();
            const int times = tiny ? 1 : 5;
            const auto begin = Clock::now();
            for (int i = 0; i < times; ++i) {
                work();
            }
            ops.wait();
            return seconds_since(begin) / times;
        };
        const double pairs =
            static_cast<double>(n.B * n.H) * static_cast<double>(n.S) * static_cast<double>(n.S + 1) / 2;
        const double there = timed(forward), back = timed(backward);
        all.push_back({{"operands", rounded ? "bf16" : "f32"},
                       {"by", rounded ? ops.attention_by() : "own kernels"},
                       {"forward_seconds", there},
                       {"forward_flops_per_second", 2 * pairs * static_cast<double>(n.C + n.Cv) / there},
                       {"backward_seconds", back},
                       {"backward_flops_per_second", 2 * pairs * static_cast<double>(3 * n.C + 2 * n.Cv) / back}});
    }
    return {{"model", config.name}, {"sequences", n.B}, {"tokens", n.S}, {"kinds", all}};
}

const char* limit_key(Limit limit) {
    switch (limit) {
        case Limit::copy:
            return "copy_bytes_per_second";
        case Limit::product_f32:
            return "f32_flops_per_second";
        case Limit::product_bf16:
            return "bf16_flops_per_second";
        case Limit::experts_bf16:
            return "experts_flops_per_second";
    }
    return "";
}

json operations_of(const MeasuredOps& ops, const json& limits) {
    json all = json::array();
    for (const auto& [name, cost] : ops.costs()) {
        const bool bytes = cost.limit == Limit::copy;
        const double rate = cost.seconds > 0 ? (bytes ? cost.bytes : cost.flops) / cost.seconds : 0;
        all.push_back({{"operation", name},
                       {"calls", cost.calls},
                       {"seconds", cost.seconds},
                       {bytes ? "bytes_per_second" : "flops_per_second", rate},
                       {"share_of_limit", rate / limits.at(limit_key(cost.limit)).get<double>()},
                       {"limit", limit_key(cost.limit)},
                       {"bytes", cost.bytes},
                       {"flops", cost.flops}});
    }
    std::stable_sort(all.begin(), all.end(), [](const json& a, const json& b) {
        return a.at("seconds").get<double>() > b.at("seconds").get<double>();
    });
    return all;
}

/// What belongs to the counting of routing.
bool counts_routing(const std::string& operation) {
    return operation == "add_choices" || operation == "count_slots" || operation == "add_margins";
}

struct Measured {
    json result;
    std::vector<float> parameters;
};

/// A model's training: `steps` whole steps in turns with and without counting, then some operation by operation.
Measured train(const Settings& settings, const engine::RunConfig& config, int steps, const json& limits, double peak) {
    auto owned = std::make_unique<MeasuredOps>(settings.open());
    MeasuredOps& ops = *owned;
    ops.enter();
    const engine::RunPlan plan = engine::plan_run(config, ops);
    settings.tell(fmt::format("{}: {:.0f} M parameters, {:.0f} M of them active, {:.1f} GB", config.name,
                              static_cast<double>(plan.parameters_total) * 1e-6,
                              static_cast<double>(plan.parameters_active) * 1e-6,
                              static_cast<double>(plan.memory_bytes) * 1e-9));
    engine::Trainer trainer(config, random_tokens(config), {}, std::move(owned));
    const auto step = [&] {
        const engine::StepStats& stats = trainer.step();
        if (!stats.fault.empty()) {
            throw engine::Error(stats.fault);
        }
        return stats.step_ms * 1e-3;
    };
    const int warm_up = std::clamp(steps / 2, 1, 3), measured = warm_up;
    for (int i = 0; i < warm_up; ++i) {
        step();
    }
    std::vector<double> with, without;
    for (int i = 0; i < steps; ++i) {
        with.push_back(step());
        ops.skip_counts(true);
        without.push_back(step());
        ops.skip_counts(false);
    }
    ops.measure(true);
    for (int i = 0; i < measured; ++i) {
        step();
    }
    ops.measure(false);
    const double tokens = static_cast<double>(config.train.batch) * config.train.accumulation * config.model.context;
    const double speed = tokens / median(with), flops = plan.flops_per_token * speed;
    json result = {{"model", config.name},
                   {"parameters", plan.parameters_total},
                   {"parameters_active", plan.parameters_active},
                   {"planned_bytes", plan.memory_bytes},
                   {"flops_per_token", plan.flops_per_token},
                   {"tokens_of_a_step", tokens},
                   {"steps", steps},
                   {"measured_steps", measured},
                   {"step_seconds", median(with)},
                   {"tokens_per_second", speed},
                   {"model_flops_per_second", flops},
                   {"share_of_dense", flops / limits.at("bf16_flops_per_second").get<double>()},
                   {"cost_of_counts", median(with) / median(without) - 1}};
    if (peak > 0) {
        result["model_flop_utilisation"] = flops / peak;
    }
    result["operations"] = operations_of(ops, limits);
    double counting = 0;
    for (const json& operation : result["operations"]) {
        if (counts_routing(operation.at("operation"))) {
            counting += operation.at("seconds").get<double>() / measured;
        }
    }
    result["cost_of_counts_by_operation"] = counting / median(with);
    const std::span<const float> parameters = trainer.parameters();
    return {std::move(result), {parameters.begin(), parameters.end()}};
}

/// Generation of `texts` texts side by side, each after `prompt` tokens.
json generate(const Settings& settings, const engine::RunConfig& config, const std::vector<float>& parameters,
              int texts, int prompt, const json& limits) {
    MeasuredOps ops(settings.open());
    ops.enter();
    const engine::ParameterLayout layout = engine::make_layout(config.model);
    const std::uint64_t bytes = parameters.size() * sizeof(float);
    const engine::Block weights(ops, bytes);
    ops.upload(weights.data(), parameters.data(), bytes);
    engine::Arena plan;
    engine::DecoderState::place(plan, ops, config.model, texts);
    const engine::Block memory(ops, plan.used());
    engine::Arena arena(memory.data());
    engine::Decoder decoder(ops, config.model, layout, reinterpret_cast<const float*>(weights.data()),
                            engine::DecoderState::place(arena, ops, config.model, texts));
    const auto token = [&](int text, int place) {
        return static_cast<std::int32_t>(
            kernels::random_bits(7, static_cast<std::uint64_t>(text), static_cast<std::uint64_t>(place)) %
            static_cast<std::uint64_t>(config.model.vocabulary));
    };
    std::vector<std::int32_t> read(static_cast<std::size_t>(prompt));
    for (int place = 0; place < prompt; ++place) {
        read[static_cast<std::size_t>(place)] = token(0, place);
    }
    auto begin = Clock::now();
    decoder.read(0, read);
    const double reading = seconds_since(begin);
    for (int text = 1; text < texts; ++text) {
        decoder.copy(0, text);
    }
    std::vector<engine::DecoderRow> rows(static_cast<std::size_t>(texts));
    const auto next = [&] {
        for (int text = 0; text < texts; ++text) {
            rows[static_cast<std::size_t>(text)] = {text, token(text, decoder.position(text))};
        }
        const auto from = Clock::now();
        decoder.decode(rows);  // ends with the logits on this machine
        return seconds_since(from);
    };
    const int steps = settings.tiny ? 2 : 32;
    next();
    std::vector<double> times;
    for (int i = 0; i < steps; ++i) {
        times.push_back(next());
    }
    ops.measure(true);
    const int measured = settings.tiny ? 1 : 4;
    for (int i = 0; i < measured; ++i) {
        next();
    }
    ops.measure(false);
    double moved = 0;
    for (const auto& [name, cost] : ops.costs()) {
        moved += cost.bytes / measured;
    }
    const double rate = moved / median(times), copy = limits.at("copy_bytes_per_second").get<double>();
    return {{"model", config.name},
            {"texts", texts},
            {"cached_tokens", prompt},
            {"prompt_tokens_per_second", prompt / reading},
            {"tokens_per_second", texts / median(times)},
            {"bytes_per_second", rate},
            {"share_of_limit", rate / copy},
            {"measured_calls", measured},
            {"operations", operations_of(ops, limits)}};
}

std::string percent(double share) {
    return fmt::format("{:.1f} %", 100 * share);
}
/// With as many digits as say something, of GPUs and of the emulation.
std::string number(double value) {
    return value >= 100 ? fmt::format("{:.0f}", value) : fmt::format("{:.3g}", value);
}

const char* limit_name(const std::string& key) {
    return key == limit_key(Limit::copy)           ? "copying"
           : key == limit_key(Limit::experts_bf16) ? "a dense product of these rows"
           : key == limit_key(Limit::product_f32)  ? "a dense product in f32"
                                                   : "a dense product in bf16";
}

/// `times`: of what was measured, steps or tokens.
void add_operations(std::string& text, const json& operations, double times, const std::string& what) {
    text += "\nOperation by operation, " + what + ":\n\n";
    text += "| operation | calls | ms | µs a call | rate | share of the limit |\n|---|---|---|---|---|---|\n";
    for (const json& row : operations) {
        const double seconds = row.at("seconds").get<double>(), calls = row.at("calls").get<double>();
        const bool bytes = row.contains("bytes_per_second");
        const double rate = row.at(bytes ? "bytes_per_second" : "flops_per_second").get<double>();
        text += fmt::format("| {} | {} | {} | {} | {} {} | {} of {} |\n", row.at("operation").get<std::string>(),
                            number(calls / times), number(seconds / times * 1e3), number(seconds / calls * 1e6),
                            number(rate * (bytes ? 1e-9 : 1e-12)), bytes ? "GB/s" : "TFLOP/s",
                            percent(row.at("share_of_limit").get<double>()),
                            limit_name(row.at("limit").get<std::string>()));
    }
}

}  // namespace

engine::RunConfig bench_config(const fs::path& models, const std::string& name, bool tiny) {
    const fs::path file = models / (name + ".json");
    std::ifstream stream(file);
    if (!stream) {
        throw engine::Error(base::Sentence::verbatim(file.string() + " could not be read"));
    }
    engine::RunConfig config = engine::parse_run_config(json::parse(stream), file.string());
    if (tiny) {
        make_tiny(config);
    }
    return config;
}

double data_sheet_peak(const std::string& title) {
    struct Peak {
        const char* part;
        double tera;
    };
    // Dense, without sparsity.
    constexpr Peak kPeaks[] = {{"H100 PCIe", 756}, {"H100 NVL", 835}, {"H100", 989}, {"H200", 989}, {"GH200", 989},
                               {"A100", 312},      {"L40S", 362},     {"L4", 121},   {"B200", 2250}};
    for (const Peak& peak : kPeaks) {
        if (title.find(peak.part) != std::string::npos) {
            return peak.tera * 1e12;
        }
    }
    return 0;
}

json measure(const Settings& settings) {
    const engine::RunConfig grouped = bench_config(settings.models, "grouped", settings.tiny),
                            latent = bench_config(settings.models, "latent", settings.tiny);
    json result = {{"device", settings.device.name},
                   {"title", settings.device.title},
                   {"driver", settings.device.driver},
                   {"toolkit", kernels::cuda_version(settings.device.toolkit)},
                   {"memory_bytes", settings.device.memory},
                   {"emulated", settings.emulated},
                   {"tiny", settings.tiny}};
    settings.tell("limits of the device");
    result["limits_by_seam"] = limits_of(*settings.open(), grouped, settings.tiny);
    const json limits = settings.limits.is_object() ? settings.limits : result["limits_by_seam"];
    result["limits"] = limits;
    const double peak = settings.peak > 0 ? settings.peak : data_sheet_peak(settings.device.title);
    if (peak > 0) {
        result["peak_flops_per_second"] = peak;
    }
    settings.tell("grouped products of the experts");
    result["grouped_products"] = grouped_products_of(settings, grouped);
    result["attention"] = json::array();
    for (const engine::RunConfig* config : {&grouped, &latent}) {
        settings.tell(config->name + ": attention alone");
        result["attention"].push_back(attention_of(*settings.open(), *config, settings.tiny));
    }
    result["training"] = json::array();
    result["generation"] = json::array();
    for (const engine::RunConfig* config : {&grouped, &latent}) {
        // The second one is there for its operations: long texts, of which a step takes long.
        const int steps = config == &grouped ? settings.steps : std::max(1, settings.steps / 5);
        Measured trained = train(settings, *config, steps, limits, peak);
        result["training"].push_back(std::move(trained.result));
        const int context = config->model.context, room = settings.tiny ? 6 : 64;
        settings.tell(config->name + ": generation");
        if (config == &grouped) {
            result["generation"].push_back(
                generate(settings, *config, trained.parameters, 1, settings.tiny ? 4 : 128, limits));
        } else {
            result["generation"].push_back(
                generate(settings, *config, trained.parameters, settings.tiny ? 2 : 16, context - room, limits));
        }
    }
    if (settings.torch.is_object()) {
        result["torch"] = settings.torch;
        result["times_torch"] = result["training"][0]["tokens_per_second"].get<double>() /
                                settings.torch.at("tokens_per_second").get<double>();
    }
    return result;
}

std::string markdown(const json& result) {
    std::string text =
        fmt::format("## {}, {}\n\n", result.at("device").get<std::string>(), result.at("title").get<std::string>());
    if (result.at("emulated").get<bool>()) {
        text =
            "## cuda-emulated: NOT measured on a GPU\n\nThe kernels of a GPU ran on this machine's processor, one "
            "thread after the other. These numbers show that the benchmark runs, and nothing about any GPU.\n\n";
    } else {
        text += fmt::format("Driver {}, CUDA {}, {:.0f} GB.{}\n\n", result.at("driver").get<std::string>(),
                            result.at("toolkit").get<std::string>(), result.at("memory_bytes").get<double>() * 1e-9,
                            result.at("tiny").get<bool>() ? " Tiny sizes: these numbers are no measurements." : "");
    }
    const json& limits = result.at("limits");
    text += "| limit | by " + limits.at("by").get<std::string>() + " |\n|---|---|\n";
    const auto limit = [&](const char* what, const char* key, double unit, const char* name) {
        text += fmt::format("| {} | {} {} |\n", what, number(limits.at(key).get<double>() * unit), name);
    };
    limit("copying in its memory, read and written", "copy_bytes_per_second", 1e-9, "GB/s");
    limit("dense product in bf16", "bf16_flops_per_second", 1e-12, "TFLOP/s");
    limit("dense product in bf16 of the rows and widths of the experts", "experts_flops_per_second", 1e-12, "TFLOP/s");
    limit("dense product in f32", "f32_flops_per_second", 1e-12, "TFLOP/s");
    text += "\n| what | figure |\n|---|---|\n";
    for (const json& row : result.at("training")) {
        const std::string name = row.at("model");
        text += fmt::format("| {}: parameters, active of them | {} M, {} M |\n", name,
                            number(row.at("parameters").get<double>() * 1e-6),
                            number(row.at("parameters_active").get<double>() * 1e-6));
        text += fmt::format("| {}: training, {} tokens a step, median of {} steps | {} tokens/s |\n", name,
                            number(row.at("tokens_of_a_step").get<double>()), row.at("steps").get<int>(),
                            number(row.at("tokens_per_second").get<double>()));
        text += fmt::format("| {}: model FLOP/s, share of a dense product in bf16 | {} TFLOP/s, {} |\n", name,
                            number(row.at("model_flops_per_second").get<double>() * 1e-12),
                            percent(row.at("share_of_dense").get<double>()));
        if (row.contains("model_flop_utilisation")) {
            text += fmt::format("| {}: model FLOP utilisation, of {} TFLOP/s | {} |\n", name,
                                number(result.at("peak_flops_per_second").get<double>() * 1e-12),
                                percent(row.at("model_flop_utilisation").get<double>()));
        }
        text += fmt::format(
            "| {}: counting of routing, steps with it against steps without / its operations by themselves | {} / {} "
            "|\n",
            name, percent(row.at("cost_of_counts").get<double>()),
            percent(row.at("cost_of_counts_by_operation").get<double>()));
    }
    if (result.contains("torch")) {
        text += fmt::format("| {} | {} tokens/s |\n", result.at("torch").at("what").get<std::string>(),
                            number(result.at("torch").at("tokens_per_second").get<double>()));
        text += fmt::format("| Moescope against it | {:.2f} |\n", result.at("times_torch").get<double>());
    }
    for (const json& row : result.at("generation")) {
        text += fmt::format("| {}: generation of {} texts after {} tokens | {} tokens/s, {} GB/s, {} of copying |\n",
                            row.at("model").get<std::string>(), row.at("texts").get<int>(),
                            row.at("cached_tokens").get<int>(), number(row.at("tokens_per_second").get<double>()),
                            number(row.at("bytes_per_second").get<double>() * 1e-9),
                            percent(row.at("share_of_limit").get<double>()));
    }
    text +=
        "\nThe experts of a layer by each that computes grouped products; what cublaslt and cutlass refuse is the "
        "tiled kernel's:\n\n| by | operands | load | forward | backward |\n|---|---|---|---|---|\n";
    for (const json& row : result.at("grouped_products")) {
        text += fmt::format("| {} | {} | {} | {} TFLOP/s | {} TFLOP/s |\n", row.at("by").get<std::string>(),
                            row.at("operands").get<std::string>(), row.at("load").get<std::string>(),
                            number(row.at("forward_flops_per_second").get<double>() * 1e-12),
                            number(row.at("backward_flops_per_second").get<double>() * 1e-12));
    }
    text += "\nAttention alone:\n\n| model | operands | by | forward | backward |\n|---|---|---|---|---|\n";
    for (const json& row : result.at("attention")) {
        for (const json& kind : row.at("kinds")) {
            const auto time = [&](const char* seconds, const char* flops) {
                return fmt::format("{} ms, {} TFLOP/s", number(kind.at(seconds).get<double>() * 1e3),
                                   number(kind.at(flops).get<double>() * 1e-12));
            };
            text += fmt::format("| {}, {} x {} tokens | {} | {} | {} | {} |\n", row.at("model").get<std::string>(),
                                row.at("sequences").get<int>(), row.at("tokens").get<int>(),
                                kind.at("operands").get<std::string>(), kind.at("by").get<std::string>(),
                                time("forward_seconds", "forward_flops_per_second"),
                                time("backward_seconds", "backward_flops_per_second"));
        }
    }
    for (const json& row : result.at("training")) {
        add_operations(text, row.at("operations"), row.at("measured_steps").get<double>(),
                       "one step of " + row.at("model").get<std::string>());
    }
    for (const json& row : result.at("generation")) {
        add_operations(text, row.at("operations"), row.at("measured_calls").get<double>(),
                       "one token of " + row.at("model").get<std::string>());
    }
    return text;
}

}  // namespace moescope::bench
