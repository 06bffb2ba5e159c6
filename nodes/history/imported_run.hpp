// A run whose curves another program recorded: TensorBoard's event files, tables. It stands beside trainings in plots;
// nothing else of a training is known of it. Pure.
#pragma once

#include <string>
#include <vector>

#include "nodes/history/runs.hpp"
#include "nodes/protocol/curve_record.hpp"

namespace moescope::history {

/// One curve as it was recorded; the columns have one size.
struct ImportedCurve {
    std::string name;  ///< as the other program calls it
    std::string key;   ///< of what we call it (protocol::CurveRecord); empty: nothing of ours
    std::string unit;
    Column step, value;
    Column wall_time;  ///< seconds since 1970; NaN where it is not known
};

/// Its columns as a training run hold what our values mean: see fit_columns(). A step that none of them has is missing
/// there, a value that another curve has alone is NaN.
struct ImportedRun : TrainingRun {
    ImportedRun() { kind = RunKind::imported; }
    std::string source;  ///< file or folder that it was read from, as it may be shown
    std::string format;  ///< "tensorboard" or "csv"
    std::vector<ImportedCurve> curves;
};

/// Appends a piece; what does not follow the piece before it takes the place of the points from there on.
void add_piece(ImportedRun& run, const protocol::CurveRecord& piece);
/// Makes the columns of the training run from the curves that have a key. O(points).
void fit_columns(ImportedRun& run);

}  // namespace moescope::history
