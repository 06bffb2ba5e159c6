// What the expert load panel shows: per layer and expert the share of the tokens, or the difference of the shares of
// two languages, over a window of steps; the scale of its colours; the numbers of one layer. Pure: no window, no clock;
// GUI thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "nodes/history/load_sums.hpp"
#include "nodes/history/runs.hpp"
#include "routing/load_metrics.hpp"

namespace moescope::panels {

/// Whose tokens are counted; difference is English minus Chinese.
enum class LoadMode : std::uint8_t { all, english, chinese, difference };

/// How many steps may be added up.
inline constexpr std::array<std::size_t, 4> kLoadWindows = {1, 16, 64, 256};

/// Index of the newest kept step that is not after `step`; 0 when all are. The run must have counts.
std::size_t counts_index(const history::TrainingRun& run, std::uint64_t step);
/// Index of the step on show: of the pinned one as above, else the newest.
std::size_t shown_index(const history::TrainingRun& run, std::optional<std::uint64_t> pinned);

/// Tokens of one expert, or of one layer, in English and Chinese text.
using ByLanguage = std::array<double, protocol::kTextLanguages>;
/// What a cell shows of an expert that got `count` of the layer's `total` tokens. `value` is a share or a difference of
/// shares, NaN for a difference without tokens on one side; the others are those of a difference.
struct CellValue {
    double value = 0, sigma = 0;
    bool beyond = false;  ///< larger than chance
};
CellValue cell_value(LoadMode mode, const ByLanguage& count, const ByLanguage& total);

/// The loads of the step on show and of some before it, for panels that are drawn once a frame.
class LoadWindow {
 public:
    /// Sums the `steps` latest of the steps up to the one on show, fewer where no more are kept. The run must have
    /// counts, layers and experts. Works only when the run, the step or `steps` is another; true then.
    bool update(const history::TrainingRun& run, std::optional<std::uint64_t> pinned, std::size_t steps);
    /// The same of these steps, oldest first: not empty, and none of them null.
    bool show(const history::TrainingRun& run, std::vector<history::LoadSums::Step> steps);
    const history::Loads& loads() const { return sums_.loads(); }
    const std::vector<history::LoadSums::Step>& steps() const { return sums_.steps(); }  ///< those, oldest first

 private:
    history::LoadSums sums_;
    std::uint32_t run_ = 0;
    std::vector<history::LoadSums::Step> shown_;
};

class LoadModel {
 public:
    struct Cells {
        std::vector<double> value;         ///< [layers][experts], see CellValue
        std::vector<double> sigma;         ///< the same in a difference, else empty
        std::vector<std::uint8_t> beyond;  ///< the same
        std::size_t beyond_count = 0;
        double highest = 0;                                ///< largest value, without its sign
        std::vector<routing::LoadMetrics> layers;          ///< [layers] in this mode; of English in a difference
        std::vector<routing::LoadMetrics> layers_chinese;  ///< in a difference only
        std::uint64_t version = 0;                         ///< rises when the above changes
    };
    /// What the panel says about one layer. NaN: there is none.
    struct Balance {
        routing::LoadMetrics here;
        routing::LoadMetrics
            other;  ///< mean over the layers that have experts (dead: their sum); in a difference: Chinese
        double router_entropy = 0, router_entropy_mean = 0;  ///< nats; NaN where not known, and in a difference
    };

    LoadMode mode = LoadMode::all;
    std::size_t window = 0;  ///< index into kLoadWindows

    /// Once a frame, before the rest is asked. The run must have counts, layers and experts. Works only when the step,
    /// the run, the mode or the window has changed.
    void update(const history::TrainingRun& run, std::optional<std::uint64_t> pinned);
    /// The same of these steps, see LoadWindow.
    void show(const history::TrainingRun& run, std::vector<history::LoadSums::Step> steps);

    const history::Loads& loads() const { return window_.loads(); }
    const Cells& cells() const { return cells_; }
    /// Of one of the cells, layer * experts() + expert.
    CellValue value_of(std::size_t cell) const {
        return {cells_.value[cell], is_difference() ? cells_.sigma[cell] : 0,
                is_difference() && cells_.beyond[cell] != 0};
    }
    std::size_t layers() const { return loads().layers; }
    std::size_t experts() const { return loads().experts; }
    bool is_difference() const { return mode == LoadMode::difference; }
    double even() const { return 1.0 / static_cast<double>(experts()); }
    /// The largest value that the colours tell apart, in units of 1/N; a difference goes as far below 0. It rises when
    /// a value would not fit, unless it is locked, and never falls by itself: colours mean the same before and after,
    /// from step to step and from run to run.
    double scale() const { return now().scale; }
    /// A value on show is beyond the scale, which is locked.
    bool exceeds_scale() const { return cells_.highest * static_cast<double>(experts()) > scale(); }
    bool scale_locked() const { return now().locked; }
    /// Keeps the scale of this kind of values (shares or differences) at `scale`; it must be above 0.
    void lock_scale(double scale) { now() = {scale, true}; }
    /// Takes the lock back: what is on show decides, and rises from there.
    void fit_scale_to_shown();
    /// What a person can choose from, rising.
    std::span<const double> scales() const;
    /// Tokens of an expert in the languages of the mode (all in a difference).
    double tokens(std::size_t layer, std::size_t expert) const;
    /// Per language, of one expert and of its layer.
    ByLanguage count(std::size_t layer, std::size_t expert) const;
    ByLanguage total(std::size_t layer) const;
    /// `entropies`: of the routers at the step on show, [layers]; null: they are not known, but at the newest step.
    Balance balance(const history::TrainingRun& run, std::size_t layer, bool newest,
                    const std::vector<float>* entropies = nullptr) const;
    /// Cells that would be beyond two standard deviations if both languages were treated alike.
    double beyond_by_chance() const;

 private:
    struct Scale {
        double scale = 0;
        bool locked = false;
    };
    Scale& now() { return is_difference() ? difference_scale_ : share_scale_; }
    const Scale& now() const { return is_difference() ? difference_scale_ : share_scale_; }
    std::vector<double> layer_load(std::size_t layer, LoadMode mode) const;
    void refresh(bool moved);
    void fill_cells();
    void raise_scale();
    double wanted_scale() const;

    LoadWindow window_;
    Cells cells_;
    LoadMode cells_mode_ = LoadMode::all;
    Scale share_scale_{2}, difference_scale_{1};
};

/// The counts behind the map as comma-separated values, one row per layer and expert.
std::string loads_csv(const history::Loads& loads);

/// Of a range of steps, those that the run holds no more.
struct OldRange {
    std::vector<history::LoadSums::Step> counts{};  ///< that are there, oldest first
    std::vector<std::uint64_t> missing{};           ///< steps that have not been read yet, rising
    enum class State {
        whole,   ///< all that the node has
        coming,  ///< the missing ones are being read
        lost,    ///< they can't be read: no connection, or a node that does not know the question
        wide,    ///< more than `most` of them: nothing is asked for
    };
    State state = State::whole;
    std::uint64_t most = 0;
    std::uint64_t version = 0;  ///< rises when the above changes
};

/// One row of the history of a layer: a step, or several next to each other.
struct LoadRow {
    std::uint64_t first = 0, last = 0;
    std::size_t steps = 0;           ///< that it is the sum of
    std::vector<CellValue> experts;  ///< value NaN: no tokens
    history::LoadSums::Step
        end;  ///< its last step: a run that went back to a checkpoint has others under the same numbers
};

/// The history of one layer over a range of steps.
class LoadRows {
 public:
    struct Range {
        double from = 0, to = 0;
    };
    /// The steps from `from` to `to` as far as counts are kept; all of them when that is less than a step.
    static Range range(const history::TrainingRun& run, double from, double to);

    struct Key {
        std::uint32_t run = 0;
        std::uint64_t newest = 0;  ///< step
        std::size_t size = 0;      ///< steps kept
        std::size_t layer = 0;
        std::size_t limit = 0;  ///< most rows
        Range range;
        LoadMode mode = LoadMode::all;
        std::uint64_t old = 0;  ///< version of the steps before those that are kept
        bool operator==(const Key& other) const;
    };
    /// The same where steps before those that are kept were read again.
    static Range range(const history::TrainingRun& run, double from, double to, const OldRange& old);
    /// Rows are cut at multiples of a power of two of the step number, so that a growing run keeps its picture; of a
    /// run that has grown only the rows at the ends are made.
    /// `old`: steps before those that are kept; a row of which one is missing is none: a sum of some would pass for
    /// that of all.
    void update(const history::TrainingRun& run, std::size_t layer, LoadMode mode, Range range, std::size_t limit,
                const OldRange* old = nullptr);
    const std::vector<LoadRow>& rows() const { return rows_; }
    Range shown() const { return key_.range; }
    std::uint64_t version() const { return version_; }  ///< rises when the rows change
    std::uint64_t made() const { return made_; }        ///< rows made so far (tests watch it)
    /// The row of that step, or the last before it; null when all are after it.
    const LoadRow* at(double step) const;

 private:
    Key key_;
    std::vector<LoadRow> rows_;
    std::uint64_t version_ = 0, made_ = 0;
};

}  // namespace moescope::panels
