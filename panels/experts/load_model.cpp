#include "panels/experts/load_model.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <fmt/format.h>
#include <iterator>
#include <limits>
#include <numeric>
#include <span>

#include "panels/ui/plot_tools.hpp"

namespace moescope::panels {
namespace {

using history::StepCounts;
using history::TrainingRun;
using protocol::kTextLanguages;
using routing::LoadMetrics;

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
constexpr std::array kShareLadder = {1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0, 24.0, 32.0, 64.0, 128.0, 256.0, 1024.0};
constexpr std::array kDifferenceLadder = {0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 8.0, 16.0, 64.0, 256.0, 1024.0};
/// Two standard deviations of a normal distribution leave out so much.
constexpr double kBeyondTwoSigma = 0.0455;

double rung(std::span<const double> ladder, double value) {
    const auto found = std::lower_bound(ladder.begin(), ladder.end(), value);
    return found == ladder.end() ? ladder.back() : *found;
}

bool counts_fit(const StepCounts& step, const TrainingRun& run) {
    return step.counts.size() == std::size_t{kTextLanguages} * run.layers * run.experts;
}

bool has_load(const LoadMetrics& metrics) {
    return !std::isnan(metrics.max_violation);
}

/// Layers without experts have no load to be uneven.
LoadMetrics mean_of(const std::vector<LoadMetrics>& layers) {
    const auto n = static_cast<double>(std::count_if(layers.begin(), layers.end(), has_load));
    if (n == 0) {
        return {kNone, kNone, kNone, kNone, 0};
    }
    LoadMetrics mean;
    for (const LoadMetrics& layer : layers) {
        if (has_load(layer)) {
            mean.max_violation += layer.max_violation / n;
            mean.variation += layer.variation / n;
            mean.entropy += layer.entropy / n;
            mean.gini += layer.gini / n;
            mean.dead += layer.dead;
        }
    }
    return mean;
}

/// The steps that a history is made of: those that were read again, and behind them those that the run has.
struct Steps {
    const std::vector<history::LoadSums::Step>* old;  ///< null: none
    const TrainingRun& run;

    std::size_t olds() const { return old == nullptr ? 0 : old->size(); }
    std::size_t size() const { return olds() + run.counts.size(); }
    const history::LoadSums::Step& operator[](std::size_t i) const {
        return i < olds() ? (*old)[i] : run.counts[i - olds()];
    }
    /// Index of the last one that is not after `step`; 0 where all are.
    std::size_t up_to(std::uint64_t step) const {
        if (olds() == 0 || step >= run.counts.front()->step) {
            return olds() + counts_index(run, step);
        }
        const auto after = std::upper_bound(old->begin(), old->end(), step,
                                            [](std::uint64_t s, const auto& counts) { return s < counts->step; });
        return after == old->begin() ? 0 : static_cast<std::size_t>(after - old->begin()) - 1;
    }
};

/// Values of the experts of one layer, from the steps [begin, end).
std::vector<CellValue> row_values(const Steps& steps, std::size_t begin, std::size_t end, std::size_t layer,
                                  LoadMode mode) {
    const TrainingRun& run = steps.run;
    const std::size_t cells = std::size_t{run.layers} * run.experts, offset = layer * run.experts;
    std::vector<ByLanguage> counts(run.experts, ByLanguage{});
    ByLanguage total{};
    for (std::size_t step = begin; step < end; ++step) {
        if (!counts_fit(*steps[step], run)) {
            continue;
        }
        for (std::size_t language = 0; language < kTextLanguages; ++language) {
            for (std::size_t e = 0; e < run.experts; ++e) {
                const double count = steps[step]->counts[language * cells + offset + e];
                counts[e][language] += count;
                total[language] += count;
            }
        }
    }
    std::vector<CellValue> values;
    values.reserve(counts.size());
    const double shown = (mode != LoadMode::chinese ? total[0] : 0) + (mode != LoadMode::english ? total[1] : 0);
    for (const ByLanguage& count : counts) {
        values.push_back(shown > 0 ? cell_value(mode, count, total) : CellValue{kNone, 0, false});
    }
    return values;
}

}  // namespace

std::size_t counts_index(const TrainingRun& run, std::uint64_t step) {
    const auto after = std::upper_bound(run.counts.begin(), run.counts.end(), step,
                                        [](std::uint64_t s, const auto& counts) { return s < counts->step; });
    return after == run.counts.begin() ? 0 : static_cast<std::size_t>(after - run.counts.begin()) - 1;
}

std::size_t shown_index(const TrainingRun& run, std::optional<std::uint64_t> pinned) {
    return pinned ? counts_index(run, *pinned) : run.counts.size() - 1;
}

CellValue cell_value(LoadMode mode, const ByLanguage& count, const ByLanguage& total) {
    if (mode == LoadMode::difference) {
        const routing::ShareDifference d = routing::share_difference(count[0], total[0], count[1], total[1]);
        return {d.difference, d.sigma, d.beyond_chance};
    }
    const bool english = mode != LoadMode::chinese, chinese = mode != LoadMode::english;
    const double tokens = (english ? count[0] : 0) + (chinese ? count[1] : 0);
    const double all = (english ? total[0] : 0) + (chinese ? total[1] : 0);
    return {all > 0 ? tokens / all : 0, 0, false};
}

bool LoadWindow::update(const TrainingRun& run, std::optional<std::uint64_t> pinned, std::size_t steps) {
    const std::size_t last = shown_index(run, pinned);
    const auto newest = run.counts.begin() + static_cast<std::ptrdiff_t>(last) + 1;
    return show(run, {newest - static_cast<std::ptrdiff_t>(std::min(steps, last + 1)), newest});
}

bool LoadWindow::show(const TrainingRun& run, std::vector<history::LoadSums::Step> steps) {
    if (run.id == run_ && steps == shown_) {
        return false;
    }
    if (run.id != run_) {
        sums_.clear();
    }
    run_ = run.id;
    shown_ = steps;
    sums_.update(std::move(steps), run.layers, run.experts);
    return true;
}

void LoadModel::update(const TrainingRun& run, std::optional<std::uint64_t> pinned) {
    refresh(window_.update(run, pinned, kLoadWindows[window]));
}

void LoadModel::show(const TrainingRun& run, std::vector<history::LoadSums::Step> steps) {
    refresh(window_.show(run, std::move(steps)));
}

void LoadModel::refresh(bool moved) {
    if (moved || mode != cells_mode_) {
        cells_mode_ = mode;
        fill_cells();
        raise_scale();
    }
}

void LoadModel::fill_cells() {
    Cells cells;
    cells.version = cells_.version + 1;
    const std::size_t size = layers() * experts();
    cells.value.reserve(size);
    for (std::size_t layer = 0; layer < layers(); ++layer) {
        for (std::size_t expert = 0; expert < experts(); ++expert) {
            const CellValue cell = cell_value(mode, count(layer, expert), total(layer));
            cells.value.push_back(cell.value);
            if (is_difference()) {
                cells.sigma.push_back(cell.sigma);
                cells.beyond.push_back(cell.beyond ? 1 : 0);
                cells.beyond_count += cell.beyond ? 1 : 0;
            }
            if (!std::isnan(cell.value)) {
                cells.highest = std::max(cells.highest, std::abs(cell.value));
            }
        }
        cells.layers.push_back(routing::load_metrics(layer_load(layer, is_difference() ? LoadMode::english : mode)));
        if (is_difference()) {
            cells.layers_chinese.push_back(routing::load_metrics(layer_load(layer, LoadMode::chinese)));
        }
    }
    cells_ = std::move(cells);
}

std::span<const double> LoadModel::scales() const {
    return is_difference() ? std::span<const double>(kDifferenceLadder) : std::span<const double>(kShareLadder);
}

double LoadModel::wanted_scale() const {
    return rung(scales(), cells_.highest * static_cast<double>(experts()));
}

void LoadModel::raise_scale() {
    if (!scale_locked()) {
        now().scale = std::max(now().scale, wanted_scale());
    }
}

void LoadModel::fit_scale_to_shown() {
    now() = {wanted_scale(), false};
}

std::vector<double> LoadModel::layer_load(std::size_t layer, LoadMode of) const {
    std::vector<double> load(experts(), 0.0);
    for (std::size_t expert = 0; expert < experts(); ++expert) {
        const ByLanguage tokens = count(layer, expert);
        load[expert] = (of != LoadMode::chinese ? tokens[0] : 0) + (of != LoadMode::english ? tokens[1] : 0);
    }
    return load;
}

double LoadModel::tokens(std::size_t layer, std::size_t expert) const {
    const ByLanguage tokens = count(layer, expert);
    return (mode != LoadMode::chinese ? tokens[0] : 0) + (mode != LoadMode::english ? tokens[1] : 0);
}

ByLanguage LoadModel::count(std::size_t layer, std::size_t expert) const {
    const std::size_t cell = layer * experts() + expert;
    return {loads().counts[0][cell], loads().counts[1][cell]};
}

ByLanguage LoadModel::total(std::size_t layer) const {
    return {loads().totals[0][layer], loads().totals[1][layer]};
}

LoadModel::Balance LoadModel::balance(const TrainingRun& run, std::size_t layer, bool newest,
                                      const std::vector<float>* entropies) const {
    Balance balance{cells_.layers[layer], is_difference() ? cells_.layers_chinese[layer] : mean_of(cells_.layers),
                    kNone, kNone};
    // Of each layer the entropy is kept for the newest step only; the mean of all of them for every step.
    if (newest && !is_difference() && run.router_entropy.size() == layers() && !run.step.empty()) {
        balance.router_entropy = run.router_entropy[layer];
        balance.router_entropy_mean = run[&base::StepValues::router_entropy_mean].back();
    } else if (!newest && !is_difference()) {
        const auto row = value_at(run.step, static_cast<double>(loads().last_step), 0);
        const history::Column& means = run[&base::StepValues::router_entropy_mean];
        if (row && *row < means.size()) {
            balance.router_entropy_mean = means[*row];
        }
        if (entropies != nullptr && entropies->size() == layers()) {
            balance.router_entropy = (*entropies)[layer];
        }
    }
    return balance;
}

double LoadModel::beyond_by_chance() const {
    return kBeyondTwoSigma * static_cast<double>(layers() * experts());
}

std::string loads_csv(const history::Loads& loads) {
    std::string csv = "first_step,last_step,layer,expert,english,chinese\r\n";
    for (std::size_t layer = 0; layer < loads.layers; ++layer) {
        for (std::size_t expert = 0; expert < loads.experts; ++expert) {
            const std::size_t cell = layer * loads.experts + expert;
            fmt::format_to(std::back_inserter(csv), "{},{},{},{},{},{}\r\n", loads.first_step, loads.last_step, layer,
                           expert, loads.counts[0][cell], loads.counts[1][cell]);
        }
    }
    return csv;
}

bool LoadRows::Key::operator==(const Key& other) const {
    return run == other.run && newest == other.newest && size == other.size && layer == other.layer &&
           limit == other.limit && old == other.old && range.from == other.range.from && range.to == other.range.to &&
           mode == other.mode;
}

LoadRows::Range LoadRows::range(const TrainingRun& run, double from, double to) {
    const double oldest = static_cast<double>(run.counts.front()->step),
                 newest = static_cast<double>(run.counts.back()->step) + 1;
    const Range wanted{std::max(from, oldest), std::min(to, newest)};
    return wanted.to - wanted.from < 1 ? Range{oldest, newest} : wanted;
}

LoadRows::Range LoadRows::range(const TrainingRun& run, double from, double to, const OldRange& old) {
    const double oldest = static_cast<double>(run.counts.front()->step);
    if (from >= oldest || run.step.empty() || run.step[0] >= oldest ||
        (old.state == OldRange::State::wide && to > oldest)) {
        return range(run, from, to);
    }
    const Range wanted{std::max(from, run.step[0]), std::min(to, static_cast<double>(run.counts.back()->step) + 1)};
    return wanted.to - wanted.from < 1 ? range(run, from, to) : wanted;
}

void LoadRows::update(const TrainingRun& run, std::size_t layer, LoadMode mode, Range range, std::size_t limit,
                      const OldRange* old_steps) {
    const bool with_old = old_steps != nullptr && range.from < static_cast<double>(run.counts.front()->step);
    const Key key{run.id, run.counts.back()->step,          run.counts.size(), layer, limit, range,
                  mode,   with_old ? old_steps->version : 0};
    const Steps steps{with_old ? &old_steps->counts : nullptr, run};
    const std::vector<std::uint64_t> none, &missing = with_old ? old_steps->missing : none;
    if (key == key_) {
        return;
    }
    Key grown = key_;
    grown.newest = key.newest;
    grown.size = key.size;
    grown.range = key.range;
    grown.old = key.old;
    std::vector<LoadRow> old;
    if (grown == key) {
        old.swap(rows_);
    }
    auto reuse = old.begin();
    key_ = key;
    ++version_;
    rows_.clear();
    const std::size_t first = steps.up_to(static_cast<std::uint64_t>(std::max(0.0, std::ceil(range.from))));
    std::size_t last = steps.up_to(static_cast<std::uint64_t>(std::max(0.0, range.to))) + 1;
    if (with_old && static_cast<double>(steps[last - 1]->step) > range.to) {
        last = 0;  // all that is there is after the range
    }
    const std::uint64_t stride =
        std::bit_ceil(std::max<std::uint64_t>(1, (last - first + missing.size() + limit - 1) / limit));
    for (std::size_t i = first; i < last;) {
        LoadRow row{steps[i]->step, steps[i]->step, 0, {}, nullptr};
        const std::uint64_t group = row.first / stride;
        const std::size_t begin = i;
        for (; i < last && steps[i]->step / stride == group; ++i) {
            row.last = steps[i]->step;
        }
        row.steps = i - begin;
        row.end = steps[i - 1];
        if (const auto lacks = std::lower_bound(missing.begin(), missing.end(), group * stride);
            lacks != missing.end() && *lacks / stride == group) {
            continue;
        }
        while (reuse != old.end() && reuse->first < row.first) {
            ++reuse;
        }
        if (reuse != old.end() && reuse->first == row.first && reuse->steps == row.steps && reuse->end == row.end) {
            rows_.push_back(std::move(*reuse));
            continue;
        }
        row.experts = row_values(steps, begin, i, layer, mode);
        ++made_;
        rows_.push_back(std::move(row));
    }
}

const LoadRow* LoadRows::at(double step) const {
    const auto after = std::upper_bound(rows_.begin(), rows_.end(), step, [](double s, const LoadRow& row) {
        return s < static_cast<double>(row.first);
    });
    return after == rows_.begin() ? nullptr : &*std::prev(after);
}

}  // namespace moescope::panels
