// The tables of one training run (steps, evaluations) and what a rewind takes out of them. A run that goes on from a
// checkpoint does some steps again; what was done before counts no more, in whatever order the records arrive. Pure;
// used by Session only.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "nodes/history/runs.hpp"
#include "nodes/protocol/session.hpp"

namespace moescope::history {

/// The run went on from `step`: what records before `at` say of later steps is undone.
struct Rewind {
    protocol::StreamPosition at;
    std::uint64_t step = 0;
};

/// All rewinds of a run, asked by position in O(log n).
class Rewinds {
 public:
    /// In the order of the journal.
    void add(const Rewind& rewind);
    /// Was what the record at `from` says of `step` undone later?
    bool undone(protocol::StreamPosition from, std::uint64_t step) const;

 private:
    std::vector<Rewind>
        rewinds_;  ///< positions and steps both rise: an earlier one that goes less far back says nothing
};

/// Beside each row of a table.
struct TableRow {
    protocol::StreamPosition from;   ///< the record
    std::uint64_t tokens_total = 0;  ///< of a step
    bool hole = false;               ///< stands for steps that are missing
};

/// Index of the first row (not a hole) whose record comes after that position; the number of rows when there is none.
std::size_t first_newer(const std::vector<TableRow>& rows, protocol::StreamPosition at);

/// Columns of one table; the first one is the step axis, which rises from row to row. The records of a table come in
/// the order of the journal.
class RunTable {
 public:
    /// A table with holes draws missing steps as one row of NaN, a table without has only the rows that came.
    enum class Holes { none, drawn };
    RunTable(std::vector<Column*> columns, std::vector<TableRow>& rows, Holes holes)
        : columns_(std::move(columns)), rows_(rows), holes_(holes) {}

    /// One value per column, the step first; more than there are columns are left out. Rows from that step on are
    /// replaced.
    void add(std::span<const double> values, const TableRow& row);
    void undo(const Rewind& rewind);

 private:
    std::size_t count_below(double step) const;
    void truncate(std::size_t count);
    void append(std::span<const double> values, const TableRow& row);

    std::vector<Column*> columns_;
    std::vector<TableRow>& rows_;
    Holes holes_;
};

/// Without `values` only the step axis.
RunTable steps_of(TrainingRun& run, std::vector<TableRow>& rows, bool values = true);
/// A row of steps_of().
using StepRow = std::array<double, 1 + base::kStepValueCount>;
StepRow row_of(const protocol::StepRecord& step);
RunTable evaluations_of(TrainingRun& run, std::vector<TableRow>& rows);

}  // namespace moescope::history
