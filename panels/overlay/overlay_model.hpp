// Runs over each other: what they are called, in which settings they differ, what a table says of them, which step of
// each stands beside a step of the others. Pure: no window, no clock; GUI thread.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "nodes/history/run_figures.hpp"
#include "panels/ui/context.hpp"

namespace moescope::panels {

/// A run that is shown, of this session or of another one.
struct ShownRun {
    std::string id;       ///< of the run among all that can be chosen
    std::string label;    ///< see label_runs()
    std::string session;  ///< the other session's name; empty: this one
    std::shared_ptr<const history::TrainingRun> run;
    std::shared_ptr<const history::LoadSeries> loads;
    std::size_t look = 0;       ///< number of its colour and sign, see ui::line_look()
    bool hidden = false;        ///< switched off in the legend
    bool beside = false;        ///< of a session in another tab: it is called by that, too
    std::uint64_t reading = 0;  ///< Snapshot::session of the open session that has it; 0: read from a folder
};

/// Short names that differ: runs of one experiment are called by their values, all others by their names, with the
/// session or the number where that is not enough. Those of another tab always have its name.
void label_runs(const ui::Language& text, std::vector<ShownRun>& runs);

/// The runs of this session that are shown before a person has chosen any: those of the newest experiment, else the
/// newest ones that have a step.
std::vector<std::uint32_t> first_choice(const client::Snapshot& snapshot);

/// A setting in which the runs differ.
struct SettingColumn {
    std::string key;                     ///< "data": what they were trained on
    nlohmann::json standard;             ///< the setting's default; null when the node does not tell it
    std::vector<nlohmann::json> values;  ///< of each run; null where nothing is known
};
/// In the order of the node's catalogue. A configuration that lacks a key has its default.
std::vector<SettingColumn> differing_settings(std::span<const ShownRun> runs, const nlohmann::json& catalogue);

/// Which of the three numbers of a curve a table shows.
enum class SummaryKind : std::uint8_t { last, best, mean };
double number_of(const history::CurveSummary& summary, SummaryKind kind);

struct OverlayTable {
    std::vector<SettingColumn> settings;
    std::vector<history::RunFigure> figures;                                    ///< those that any of the runs has
    std::vector<std::array<history::CurveSummary, history::kRunFigures>> rows;  ///< of each run

    /// Columns: 0 the run, then the settings, then the figures.
    std::size_t columns() const { return 1 + settings.size() + figures.size(); }
};
OverlayTable make_table(std::span<const ShownRun> runs, const nlohmann::json& catalogue);
/// Numbers of the runs, by what stands in a column; what has no value stands last either way.
std::vector<std::size_t> sorted_rows(const OverlayTable& table, std::span<const ShownRun> runs, std::size_t column,
                                     bool descending, SummaryKind kind);
/// Every setting and all three numbers of every figure; RFC 4180.
std::string table_csv(const OverlayTable& table, std::span<const ShownRun> runs);

/// The kept counts of a run that stand beside a step of the others: those of that step or the last before it.
struct AlignedStep {
    std::size_t index = 0;   ///< in the run's counts
    std::uint64_t step = 0;  ///< theirs
    bool over = false;       ///< the run has no counts as late as that
};
/// Nothing when the run has no counts, or only later ones.
std::optional<AlignedStep> aligned_step(const history::TrainingRun& run, std::uint64_t step);
/// The steps between which a slider makes sense: from the first counts of any to the last ones of any; 0, 0 when there
/// are none.
struct StepRange {
    std::uint64_t first = 0, last = 0;
};
StepRange counts_range(std::span<const ShownRun> runs);

/// Tops of labels of `height` that are wanted at these middles: none above `low`, below `high` or over another one, in
/// the order of the middles. Where not all have room the last ones of the list are left out: NaN.
std::vector<float> spread_labels(std::span<const float> middles, float height, float low, float high);

}  // namespace moescope::panels
