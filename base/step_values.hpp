// What a training step is described by: one table, from which the record on the wire, the columns of a run, the lines
// of `train --json`, the report, the plots and the replay are made. The trainer and the node fill a StepValues; a new
// value is a member and a row here, and the place that computes it.
#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string_view>

namespace moescope::base {

/// What the time of a step is spent on, in the order of StepValues::part_ms.
enum class StepPart : std::uint8_t { data, embedding, attention, router, experts, head, optimizer, other };
inline constexpr std::size_t kStepParts = 8;

/// Of a value that was not computed; never 0.
inline constexpr double kAbsent = std::numeric_limits<double>::quiet_NaN();

/// One optimizer step. Units and meanings stand in kStepValues.
struct StepValues {
    double loss = kAbsent, cross_entropy = kAbsent, balance_loss = kAbsent, z_loss = kAbsent, prediction_loss = kAbsent;
    double gradient_norm = kAbsent, learning_rate = kAbsent, balance_coefficient = kAbsent, z_coefficient = kAbsent;
    double tokens_per_second = kAbsent, step_ms = kAbsent, memory_bytes = kAbsent;
    double dropped = kAbsent, router_entropy_mean = kAbsent, router_margin = kAbsent;
    double expert_output_error = kAbsent, expert_input_gradient_error = kAbsent, expert_weight_gradient_error = kAbsent;
    std::array<double, kStepParts> part_ms = {kAbsent, kAbsent, kAbsent, kAbsent, kAbsent, kAbsent, kAbsent, kAbsent};
};

/// The plot of the training panel that shows a value.
enum class StepPlot : std::uint8_t { none, loss, terms, speed, time, gradient, memory, error };
/// Where the report draws a value: nowhere, beside the loss, or in a chart of its own.
enum class StepChart : std::uint8_t { none, loss, own };

struct StepValue {
    std::uint16_t tag;  ///< on the wire, from 16 on; a number that was used once never means anything else
    const char* key;    ///< in JSON, CSV and the report; the plots' texts are training.curve.KEY
    const char* unit;   ///< empty: a number without a unit
    const char* meaning;
    double StepValues::*member;  ///< null: part_ms[part]
    StepPart part;
    bool reproducible;  ///< the same again when the run is done again on the same number of threads
    StepPlot plot;
    bool right;         ///< on the right axis of its plot
    std::size_t color;  ///< number in the palette of series
    StepChart chart;
};

namespace step_table {

constexpr StepValue value(std::uint16_t tag, const char* key, const char* unit, const char* meaning,
                          double StepValues::*member, bool reproducible, StepPlot plot, bool right, std::size_t color,
                          StepChart chart) {
    return {tag, key, unit, meaning, member, StepPart::data, reproducible, plot, right, color, chart};
}
constexpr StepValue time(StepPart part, const char* key, const char* meaning) {
    const auto index = static_cast<std::size_t>(part);
    return {static_cast<std::uint16_t>(64 + index),
            key,
            "ms",
            meaning,
            nullptr,
            part,
            false,
            StepPlot::time,
            false,
            index,
            StepChart::none};
}

}  // namespace step_table

// clang-format off
inline constexpr std::array kStepValues = {
    step_table::value(16, "loss", "nats/token", "What is minimised: the cross-entropy and the weighted balance, z and prediction losses.",
                      &StepValues::loss, true, StepPlot::loss, false, 0, StepChart::loss),
    step_table::value(17, "cross_entropy", "nats/token", "Of the next token, mean over the step's tokens.",
                      &StepValues::cross_entropy, true, StepPlot::terms, false, 4, StepChart::loss),
    step_table::value(18, "balance_loss", "", "Balance loss before its coefficient, mean over layers with a router; 1 is balanced.",
                      &StepValues::balance_loss, true, StepPlot::terms, true, 2, StepChart::own),
    step_table::value(19, "z_loss", "", "Router z-loss before its coefficient, mean over layers with a router.",
                      &StepValues::z_loss, true, StepPlot::terms, true, 6, StepChart::own),
    step_table::value(20, "prediction_loss", "nats/token", "Loss of the multi-token prediction module before its coefficient.",
                      &StepValues::prediction_loss, true, StepPlot::terms, false, 3, StepChart::own),
    step_table::value(21, "gradient_norm", "", "Global L2 norm of the gradient before clipping.",
                      &StepValues::gradient_norm, true, StepPlot::gradient, false, 1, StepChart::own),
    step_table::value(22, "learning_rate", "", "Learning rate of the step: the peak times what the schedule makes of it.",
                      &StepValues::learning_rate, true, StepPlot::gradient, true, 0, StepChart::own),
    step_table::value(23, "balance_coefficient", "", "Weight of the balance loss in the loss.",
                      &StepValues::balance_coefficient, true, StepPlot::none, false, 2, StepChart::none),
    step_table::value(24, "z_coefficient", "", "Weight of the z-loss in the loss.",
                      &StepValues::z_coefficient, true, StepPlot::none, false, 6, StepChart::none),
    step_table::value(25, "tokens_per_second", "tokens/s", "Tokens of the step over its wall time.",
                      &StepValues::tokens_per_second, false, StepPlot::speed, false, 2, StepChart::own),
    step_table::value(26, "step_ms", "ms", "Wall time of the step.",
                      &StepValues::step_ms, false, StepPlot::none, false, 1, StepChart::own),
    step_table::value(27, "memory_bytes", "bytes", "Resident set of the process that trains; of several that train together the sum.",
                      &StepValues::memory_bytes, false, StepPlot::memory, false, 4, StepChart::none),
    step_table::value(28, "dropped", "choices", "Choices of tokens that found their expert full, all layers.",
                      &StepValues::dropped, true, StepPlot::none, false, 5, StepChart::own),
    step_table::value(29, "router_entropy", "", "Mean over the layers with a router of the router's entropy divided by log(experts); 1 is undecided.",
                      &StepValues::router_entropy_mean, true, StepPlot::none, false, 3, StepChart::own),
    step_table::value(30, "router_margin", "", "Mean over tokens and layers of the selection score of the last chosen expert minus that of the best one not chosen; absent unless each token takes the largest scores of all experts.",
                      &StepValues::router_margin, true, StepPlot::none, false, 7, StepChart::none),
    step_table::value(44, "expert_output_error", "%", "With precision fp8, at steps that evaluate_every names and the first: Frobenius norm of what the experts' results differ from those in single precision, of that of the latter, all layers.",
                      &StepValues::expert_output_error, true, StepPlot::error, false, 0, StepChart::own),
    step_table::value(45, "expert_input_gradient_error", "%", "The same of the gradients of the experts' inputs.",
                      &StepValues::expert_input_gradient_error, true, StepPlot::error, false, 1, StepChart::own),
    step_table::value(46, "expert_weight_gradient_error", "%", "The same of the gradients of the experts' weights.",
                      &StepValues::expert_weight_gradient_error, true, StepPlot::error, false, 2, StepChart::own),
    step_table::time(StepPart::data, "part_ms.data", "Time of reading the batch."),
    step_table::time(StepPart::embedding, "part_ms.embedding", "Time of the embedding, forward and backward."),
    step_table::time(StepPart::attention, "part_ms.attention", "Time of attention, forward and backward."),
    step_table::time(StepPart::router, "part_ms.router", "Time of the routers, forward and backward."),
    step_table::time(StepPart::experts, "part_ms.experts", "Time of the experts and dense layers, forward and backward."),
    step_table::time(StepPart::head, "part_ms.head", "Time of the output head and the loss."),
    step_table::time(StepPart::optimizer, "part_ms.optimizer", "Time of clipping and of the optimizer."),
    step_table::time(StepPart::other, "part_ms.other", "Time of everything else."),
};
// clang-format on
inline constexpr std::size_t kStepValueCount = kStepValues.size();

constexpr double& value_of(StepValues& values, const StepValue& row) {
    return row.member != nullptr ? values.*row.member : values.part_ms[static_cast<std::size_t>(row.part)];
}
constexpr double value_of(const StepValues& values, const StepValue& row) {
    return row.member != nullptr ? values.*row.member : values.part_ms[static_cast<std::size_t>(row.part)];
}

/// Place in kStepValues; kStepValueCount when there is none.
constexpr std::size_t step_value_index(double StepValues::*member) {
    std::size_t index = 0;
    while (index < kStepValueCount && kStepValues[index].member != member) {
        ++index;
    }
    return index;
}
constexpr std::size_t step_value_index(StepPart part) {
    std::size_t index = 0;
    while (index < kStepValueCount && (kStepValues[index].member != nullptr || kStepValues[index].part != part)) {
        ++index;
    }
    return index;
}

/// Mean over the layers that have a router; a layer without one is NaN in `router_entropy` [layers]. kAbsent when no
/// layer has.
inline double mean_router_entropy(std::span<const float> router_entropy) {
    double sum = 0;
    std::size_t layers = 0;
    for (const float value : router_entropy) {
        if (!std::isnan(value)) {
            sum += static_cast<double>(value);
            ++layers;
        }
    }
    return layers == 0 ? kAbsent : sum / static_cast<double>(layers);
}

/// "attention" of "part_ms.attention", "loss" of "loss".
constexpr std::string_view short_key(const StepValue& row) {
    const std::string_view key = row.key;
    const auto dot = key.rfind('.');
    return dot == std::string_view::npos ? key : key.substr(dot + 1);
}

// A forgotten row, a tag used twice, or one that belongs to the record's own fields does not compile.
static_assert(kStepValueCount * sizeof(double) == sizeof(StepValues));
static_assert([] {
    for (std::size_t i = 0; i < kStepValueCount; ++i) {
        for (std::size_t j = 0; j < i; ++j) {
            if (kStepValues[i].tag == kStepValues[j].tag ||
                std::string_view(kStepValues[i].key) == kStepValues[j].key ||
                (kStepValues[i].member != nullptr && kStepValues[i].member == kStepValues[j].member)) {
                return false;
            }
        }
        if (kStepValues[i].tag < 16) {
            return false;
        }
    }
    return true;
}());

}  // namespace moescope::base
