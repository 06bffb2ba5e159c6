// The curves of a run of a session, of a training or imported ones, for other tools: as a table and as event files.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "nodes/history/column.hpp"
#include "sessions/journal.hpp"
#include "sessions/outputs.hpp"

namespace moescope::curves {

/// One curve; the columns have one size.
struct NamedCurve {
    std::string name;  ///< in tables: "loss", "evaluation.en"; of an imported one its own
    std::string tag;   ///< in event files: "train/loss", "eval/loss/en"
    std::string unit;  ///< empty: none
    history::Column step, value;
    history::Column wall_time;  ///< seconds since 1970; NaN where it is not known
};

struct RunCurves {
    std::uint32_t run = 0;
    std::string name;
    double started = 0;              ///< seconds since 1970
    std::vector<NamedCurve> curves;  ///< those that have a value
    std::uint64_t points() const;
};

/// What the journal says of a run: every value of base::kStepValues and the tokens seen, the held-out losses, or what
/// was imported, as rewinds have left it. `check` is called now and then and may throw. Throws base::Error: there is no
/// such run, or it has no curve. 0: the latest training run.
RunCurves curves_of_run(const sessions::Journal& journal, std::uint32_t run, const std::function<void()>& check);

/// RFC 4180: step, wall_time and a column for each curve, a row for each step that any has; a value that a step does
/// not have is an empty field. Numbers are written so that they are read as the same. Throws base::Error: it can't be
/// written.
void write_curve_table(const std::filesystem::path& path, const RunCurves& curves, const std::function<void()>& check);
/// An event file; values become floats. Throws as the other.
void write_event_file(const std::filesystem::path& path, const RunCurves& curves, const std::function<void()>& check);
/// A new folder with the event file, "events.out.tfevents.TIME.moescope.RUN" as TensorBoard wants it; one that is there
/// is replaced, where that was told, when it holds nothing but such files. Throws as sessions::OutputFolder, too.
void write_event_folder(const std::filesystem::path& folder, const RunCurves& curves, sessions::Existing existing,
                        const std::function<void()>& check);

}  // namespace moescope::curves
