#include "nodes/history/run_table.hpp"

#include <algorithm>
#include <limits>

namespace moescope::history {

void Rewinds::add(const Rewind& rewind) {
    while (!rewinds_.empty() && rewinds_.back().step >= rewind.step) {
        rewinds_.pop_back();
    }
    rewinds_.push_back(rewind);
}

bool Rewinds::undone(protocol::StreamPosition from, std::uint64_t step) const {
    const auto next = std::upper_bound(
        rewinds_.begin(), rewinds_.end(), from,
        [](const protocol::StreamPosition& position, const Rewind& rewind) { return position < rewind.at; });
    return next != rewinds_.end() && step > next->step;
}

std::size_t first_newer(const std::vector<TableRow>& rows, protocol::StreamPosition at) {
    // Each row replaces those from its step on, so that positions rise as the steps do.
    auto newer = std::partition_point(rows.begin(), rows.end(), [&](const TableRow& row) { return row.from < at; });
    while (newer != rows.end() && newer->hole) {
        ++newer;
    }
    return static_cast<std::size_t>(newer - rows.begin());
}

std::size_t RunTable::count_below(double step) const {
    const Column& steps = *columns_.front();
    std::size_t first = 0, last = steps.size();
    while (first < last) {
        const std::size_t middle = first + (last - first) / 2;
        if (steps[middle] < step) {
            first = middle + 1;
        } else {
            last = middle;
        }
    }
    return first;
}

void RunTable::truncate(std::size_t count) {
    // A hole lies between two rows: without the later one there is none.
    while (count > 0 && count < rows_.size() && rows_[count - 1].hole) {
        --count;
    }
    for (Column* column : columns_) {
        column->truncate(count);
    }
    rows_.resize(std::min(count, rows_.size()));
}

void RunTable::append(std::span<const double> values, const TableRow& row) {
    for (std::size_t i = 0; i < columns_.size(); ++i) {
        columns_[i]->push_back(values[i]);
    }
    rows_.push_back(row);
}

void RunTable::add(std::span<const double> values, const TableRow& row) {
    if (!rows_.empty() && !(columns_.front()->back() < values[0])) {
        truncate(count_below(values[0]));
    }
    if (holes_ == Holes::drawn && !rows_.empty() && values[0] > columns_.front()->back() + 1) {
        // The step axis itself stays sorted and whole, for searching.
        std::vector<double> nothing(columns_.size(), std::numeric_limits<double>::quiet_NaN());
        nothing[0] = columns_.front()->back() + 1;
        append(nothing, {row.from, rows_.back().tokens_total, true});
    }
    append(values, row);
}

void RunTable::undo(const Rewind& rewind) {
    const std::size_t first = count_below(static_cast<double>(rewind.step) + 1);
    const std::size_t begin = std::max(first, first_newer(rows_, rewind.at));
    if (begin == first) {
        return;
    }
    std::vector<Column> before;
    for (const Column* column : columns_) {
        before.push_back(*column);
    }
    const std::vector<TableRow> kept(rows_.begin() + static_cast<std::ptrdiff_t>(begin), rows_.end());
    truncate(first);
    std::vector<double> values(columns_.size());
    for (std::size_t i = 0; i < kept.size(); ++i) {
        if (kept[i].hole) {
            continue;
        }
        for (std::size_t c = 0; c < values.size(); ++c) {
            values[c] = before[c][begin + i];
        }
        add(values, kept[i]);
    }
}

RunTable steps_of(TrainingRun& run, std::vector<TableRow>& rows, bool values) {
    std::vector<Column*> columns = {&run.step};
    for (Column& column : run.values) {
        if (values) {
            columns.push_back(&column);
        }
    }
    return {std::move(columns), rows, RunTable::Holes::drawn};
}

StepRow row_of(const protocol::StepRecord& step) {
    StepRow row{static_cast<double>(step.step)};
    for (std::size_t i = 0; i < base::kStepValueCount; ++i) {
        row[1 + i] = value_of(step, base::kStepValues[i]);
    }
    return row;
}

RunTable evaluations_of(TrainingRun& run, std::vector<TableRow>& rows) {
    return {{&run.evaluation_step, &run.evaluation_english, &run.evaluation_chinese}, rows, RunTable::Holes::none};
}

}  // namespace moescope::history
