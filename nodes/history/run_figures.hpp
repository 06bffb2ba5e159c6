// What training runs are compared by: curves over steps, each with its unit and which way is better, and what is left
// of a curve in a table. One table for the window and the command line. Pure.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "nodes/history/runs.hpp"

namespace moescope::history {

/// How evenly the load of a run was spread, one row for each step whose counts are kept: of the tokens of both
/// languages, mean over the layers that have experts (dead: their sum); NaN where no layer had a token. The metrics are
/// those of routing/load_metrics.hpp.
struct LoadSeries {
    Column step, max_violation, variation, entropy, dead;
};

/// Makes the series of one run and follows it while it grows. Owned by one thread; what it gives out may be copied.
class LoadSeriesReader {
 public:
    /// Takes in what came since; steps that a rewind took back go, steps whose counts the run keeps no more stay. At
    /// most about so many counts are looked at; false when more are left.
    bool update(const TrainingRun& run, std::size_t most_counts);
    const LoadSeries& series() const { return series_; }

 private:
    LoadSeries series_;
    std::shared_ptr<const StepCounts> last_;  ///< the latest that is in the series
};

enum class RunFigure : std::uint8_t {
    loss,
    held_out_english,
    held_out_chinese,
    balance_loss,
    z_loss,
    max_violation,
    variation,
    load_entropy,
    dead,
    router_entropy,
    router_margin,
    tokens_per_second,
    expert_output_error,
    expert_input_gradient_error,
    expert_weight_gradient_error,
};
inline constexpr std::size_t kRunFigures = 15;

enum class Better : std::uint8_t { lower, higher, neither };

struct RunFigureRow {
    RunFigure figure;
    const char* key;   ///< "loss": in files, and the end of language keys
    const char* unit;  ///< empty: a number without a unit
    Better better;
    bool from_zero;  ///< its axis starts at 0
    bool sparse;     ///< has a value at some steps only
};
// clang-format off
inline constexpr std::array<RunFigureRow, kRunFigures> kRunFigureRows = {{
    {RunFigure::loss, "loss", "nats/token", Better::lower, false, false},  // see main_loss.hpp
    {RunFigure::held_out_english, "held_out_english", "nats/token", Better::lower, false, true},
    {RunFigure::held_out_chinese, "held_out_chinese", "nats/token", Better::lower, false, true},
    {RunFigure::balance_loss, "balance_loss", "", Better::lower, false, false},
    {RunFigure::z_loss, "z_loss", "", Better::neither, false, false},
    {RunFigure::max_violation, "max_violation", "", Better::lower, true, false},
    {RunFigure::variation, "variation", "", Better::lower, true, false},
    {RunFigure::load_entropy, "load_entropy", "", Better::higher, false, false},
    {RunFigure::dead, "dead", "experts", Better::lower, true, false},
    {RunFigure::router_entropy, "router_entropy", "", Better::neither, false, false},
    {RunFigure::router_margin, "router_margin", "", Better::neither, true, false},
    {RunFigure::tokens_per_second, "tokens_per_second", "tokens/s", Better::higher, true, false},
    {RunFigure::expert_output_error, "expert_output_error", "%", Better::lower, true, true},
    {RunFigure::expert_input_gradient_error, "expert_input_gradient_error", "%", Better::lower, true, true},
    {RunFigure::expert_weight_gradient_error, "expert_weight_gradient_error", "%", Better::lower, true, true},
}};
// clang-format on
constexpr const RunFigureRow& row_of(RunFigure figure) {
    return kRunFigureRows[static_cast<std::size_t>(figure)];
}

/// A curve of a run: its steps and values, of equal length. Valid as long as both arguments.
struct RunCurve {
    const Column& step;
    const Column& value;
    /// No value at all: the run does not compute it, or not yet.
    bool empty() const { return value.range(0, value.size()).empty(); }
};
RunCurve curve_of(const TrainingRun& run, const LoadSeries& loads, RunFigure figure);

/// What a table says of a curve; NaN where it has no value.
struct CurveSummary {
    double last = 0;
    double best = 0;  ///< the smallest or the largest; NaN where neither is better
    double mean = 0;  ///< of the values in the last tenth of the steps that the curve has, at least of the last one
};
CurveSummary summary_of(const RunCurve& curve, Better better);

}  // namespace moescope::history
