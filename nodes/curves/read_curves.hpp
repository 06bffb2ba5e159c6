// Files and folders of other tools as runs with curves.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "base/sentence.hpp"
#include "nodes/curves/curve_collector.hpp"

namespace moescope::curves {

/// What was recorded of one run.
struct ReadRun {
    std::string name;                          ///< fit to be shown
    std::filesystem::path source;              ///< the file, or the folder with the event files
    std::string format;                        ///< "tensorboard" or "csv"
    std::vector<std::filesystem::path> files;  ///< in the order in which they were read
    std::vector<Series> curves;                ///< by name; at least one
    std::vector<base::Sentence> notes;         ///< what was left out, and why
    std::uint64_t points() const;
};

inline constexpr std::size_t kMostRuns = 200;

/// Each table is a run, and each folder with event files, those below it too, as TensorBoard has it: its event files
/// are read one after the other by name. Event files that are named themselves are runs by their folders. `check` is
/// called now and then and may throw. Throws base::Error: something that is not there or cannot be read (see
/// event_file.hpp and curve_table.hpp), a folder without event files, more runs than kMostRuns.
std::vector<ReadRun> read_curves(const std::vector<std::filesystem::path>& paths, const std::function<void()>& check);
/// The notes of all, in order.
std::vector<base::Sentence> notes_of(const std::vector<ReadRun>& runs);

}  // namespace moescope::curves
