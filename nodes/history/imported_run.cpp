#include "nodes/history/imported_run.hpp"

#include <algorithm>
#include <limits>
#include <map>
#include <utility>

namespace moescope::history {

namespace {

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

/// The columns `to`, with a row for each step that any curve has; `to[i]` is made of `from[i]`, NaN without one.
void merge(const std::vector<const ImportedCurve*>& from, Column& steps, const std::vector<Column*>& to) {
    std::vector<double> all;
    for (const ImportedCurve* curve : from) {
        for (std::size_t i = 0; curve != nullptr && i < curve->step.size(); ++i) {
            all.push_back(curve->step[i]);
        }
    }
    std::sort(all.begin(), all.end());
    all.erase(std::unique(all.begin(), all.end()), all.end());
    steps = Column();
    for (const double step : all) {
        steps.push_back(step);
    }
    for (std::size_t i = 0; i < to.size(); ++i) {
        Column column;
        std::size_t next = 0;
        for (const double step : all) {
            const bool has = from[i] != nullptr && next < from[i]->step.size() && from[i]->step[next] == step;
            column.push_back(has ? from[i]->value[next++] : kNone);
        }
        *to[i] = std::move(column);
    }
}

}  // namespace

void add_piece(ImportedRun& run, const protocol::CurveRecord& piece) {
    if (piece.curve >= run.curves.size()) {
        run.curves.resize(std::size_t{piece.curve} + 1);
    }
    ImportedCurve& curve = run.curves[piece.curve];
    curve.name = piece.name;
    curve.key = piece.key;
    curve.unit = piece.unit;
    if (piece.steps.empty()) {
        return;
    }
    std::size_t kept = curve.step.size();
    while (kept > 0 && curve.step[kept - 1] >= static_cast<double>(piece.steps.front())) {
        --kept;
    }
    for (Column* column : {&curve.step, &curve.value, &curve.wall_time}) {
        column->truncate(kept);
    }
    for (std::size_t i = 0; i < piece.steps.size(); ++i) {
        curve.step.push_back(static_cast<double>(piece.steps[i]));
        curve.value.push_back(piece.values[i]);
        curve.wall_time.push_back(piece.wall_times.empty() ? kNone : piece.wall_times[i]);
    }
}

void fit_columns(ImportedRun& run) {
    std::map<std::string, const ImportedCurve*> by_key;
    for (const ImportedCurve& curve : run.curves) {
        if (!curve.key.empty()) {
            by_key.try_emplace(curve.key, &curve);
        }
    }
    const auto find = [&](const char* key) {
        const auto found = by_key.find(key);
        return found == by_key.end() ? nullptr : found->second;
    };
    std::vector<const ImportedCurve*> curves;
    std::vector<Column*> columns;
    for (std::size_t i = 0; i < base::kStepValueCount; ++i) {
        curves.push_back(find(base::kStepValues[i].key));
        columns.push_back(&run.values[i]);
    }
    merge(curves, run.step, columns);
    merge({find(protocol::kEvaluationEnglish), find(protocol::kEvaluationChinese)}, run.evaluation_step,
          {&run.evaluation_english, &run.evaluation_chinese});
}

}  // namespace moescope::history
