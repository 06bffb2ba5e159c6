#include "nodes/history/run_figures.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "nodes/history/main_loss.hpp"
#include "routing/load_metrics.hpp"

namespace moescope::history {

namespace {

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

/// Number of rows up to and with `step`.
std::size_t rows_until(const Column& steps, double step) {
    std::size_t count = steps.size();
    while (count > 0 && steps[count - 1] > step) {
        --count;
    }
    return count;
}

void append(LoadSeries& series, const TrainingRun& run, const StepCounts& step, std::vector<double>& load) {
    const std::size_t cells = std::size_t{run.layers} * run.experts;
    double violation = 0, variation = 0, entropy = 0, dead = 0, layers = 0;
    for (std::size_t layer = 0; step.counts.size() == protocol::kTextLanguages * cells && layer < run.layers; ++layer) {
        for (std::size_t e = 0; e < run.experts; ++e) {
            const std::size_t cell = layer * run.experts + e;
            load[e] = static_cast<double>(step.counts[cell]) + static_cast<double>(step.counts[cells + cell]);
        }
        const routing::LoadMetrics metrics = routing::load_metrics(load);
        if (std::isnan(metrics.max_violation)) {
            continue;  // a dense layer
        }
        violation += metrics.max_violation;
        variation += metrics.variation;
        entropy += metrics.entropy;
        dead += static_cast<double>(metrics.dead);
        layers += 1;
    }
    series.step.push_back(static_cast<double>(step.step));
    series.max_violation.push_back(layers > 0 ? violation / layers : kNone);
    series.variation.push_back(layers > 0 ? variation / layers : kNone);
    series.entropy.push_back(layers > 0 ? entropy / layers : kNone);
    series.dead.push_back(layers > 0 ? dead : kNone);
}

void truncate(LoadSeries& series, std::size_t count) {
    for (Column* column : {&series.step, &series.max_violation, &series.variation, &series.entropy, &series.dead}) {
        column->truncate(count);
    }
}

}  // namespace

bool LoadSeriesReader::update(const TrainingRun& run, std::size_t most_counts) {
    const std::size_t cells = std::size_t{run.layers} * run.experts;
    if (run.counts.empty() || cells == 0) {
        return true;
    }
    static_assert(protocol::kTextLanguages == 2);
    // Where the latest one stands that was taken in; another one in its place, or none, came with a rewind.
    std::size_t next = 0;
    if (last_) {
        const auto after = std::upper_bound(run.counts.begin(), run.counts.end(), last_->step,
                                            [](std::uint64_t step, const auto& one) { return step < one->step; });
        next = static_cast<std::size_t>(after - run.counts.begin());
        if (next == 0 || run.counts[next - 1] != last_) {
            next = 0;
        }
    }
    if (next == 0) {
        truncate(series_, rows_until(series_.step, static_cast<double>(run.counts.front()->step) - 1));
    }
    std::vector<double> load(run.experts);
    std::size_t left = most_counts / (protocol::kTextLanguages * cells) + 1;
    for (; next < run.counts.size() && left > 0; ++next, --left) {
        append(series_, run, *run.counts[next], load);
        last_ = run.counts[next];
    }
    return next == run.counts.size();
}

RunCurve curve_of(const TrainingRun& run, const LoadSeries& loads, RunFigure figure) {
    using Values = base::StepValues;
    switch (figure) {
        case RunFigure::loss:
            return {run.step, main_loss(run)};
        case RunFigure::held_out_english:
            return {run.evaluation_step, run.evaluation_english};
        case RunFigure::held_out_chinese:
            return {run.evaluation_step, run.evaluation_chinese};
        case RunFigure::balance_loss:
            return {run.step, run[&Values::balance_loss]};
        case RunFigure::z_loss:
            return {run.step, run[&Values::z_loss]};
        case RunFigure::max_violation:
            return {loads.step, loads.max_violation};
        case RunFigure::variation:
            return {loads.step, loads.variation};
        case RunFigure::load_entropy:
            return {loads.step, loads.entropy};
        case RunFigure::dead:
            return {loads.step, loads.dead};
        case RunFigure::router_entropy:
            return {run.step, run[&Values::router_entropy_mean]};
        case RunFigure::router_margin:
            return {run.step, run[&Values::router_margin]};
        case RunFigure::tokens_per_second:
            return {run.step, run[&Values::tokens_per_second]};
        case RunFigure::expert_output_error:
            return {run.step, run[&Values::expert_output_error]};
        case RunFigure::expert_input_gradient_error:
            return {run.step, run[&Values::expert_input_gradient_error]};
        case RunFigure::expert_weight_gradient_error:
            return {run.step, run[&Values::expert_weight_gradient_error]};
    }
    return {run.step, main_loss(run)};
}

CurveSummary summary_of(const RunCurve& curve, Better better) {
    CurveSummary summary{kNone, kNone, kNone};
    const std::size_t count = std::min(curve.step.size(), curve.value.size());
    std::size_t end = count;  // behind the last value
    while (end > 0 && std::isnan(curve.value[end - 1])) {
        --end;
    }
    if (end == 0) {
        return summary;
    }
    summary.last = curve.value[end - 1];
    const MinMax range = curve.value.range(0, end);
    summary.best = better == Better::lower ? range.min : better == Better::higher ? range.max : kNone;
    const double from = curve.step[end - 1] - 0.1 * (curve.step[end - 1] - curve.step[0]);
    double sum = 0, values = 0;
    for (std::size_t i = end; i > 0 && (curve.step[i - 1] > from || i == end); --i) {
        if (!std::isnan(curve.value[i - 1])) {
            sum += curve.value[i - 1];
            values += 1;
        }
    }
    summary.mean = sum / values;
    return summary;
}

}  // namespace moescope::history
