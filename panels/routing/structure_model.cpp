#include "panels/routing/structure_model.hpp"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>
#include <numeric>

#include "base/axis.hpp"
#include "base/intervals.hpp"
#include "routing/load_metrics.hpp"

namespace moescope::panels {

namespace {

constexpr std::size_t kMostPairs = 500;   ///< rows of the table of pairs
constexpr std::size_t kMostCells = 2000;  ///< rows of the table of differences

double ratio(double value, double baseline) {
    return baseline > 0 ? value / baseline : kNoValue;
}

Map empty_map(std::vector<std::string> rows, std::vector<std::string> columns) {
    Map map;
    map.rows = rows.size();
    map.columns = columns.size();
    map.value.assign(map.rows * map.columns, static_cast<float>(kNoValue));
    map.row_names = std::move(rows);
    map.column_names = std::move(columns);
    map.row_key = "structure.axis.layer";
    map.column_key = "structure.axis.expert";
    map.value_key = "structure.value.share";
    return map;
}

}  // namespace

std::vector<std::string> layer_names(const routing::RouterSpec& spec) {
    std::vector<std::string> names;
    for (const int layer : spec.routed_layers) {
        names.push_back(std::to_string(layer));
    }
    return names;
}

LoadMapShown load_map(const routing::Load& load, const routing::RouterSpec& spec) {
    const routing::Shape& shape = load.shape();
    Map map = empty_map(layer_names(spec), numbered(shape.experts));
    auto table = std::make_shared<Table>();
    table->columns = {{"structure.column.layer", Unit::place},
                      {"structure.column.max_violation"},
                      {"structure.column.variation"},
                      {"structure.column.load_entropy"},
                      {"structure.column.gini"},
                      {"structure.column.dead", Unit::whole},
                      {"structure.column.busiest", Unit::place},
                      {"structure.column.busiest_share", Unit::percent},
                      {"structure.column.decisions", Unit::whole}};
    LoadMapShown shown;
    for (std::size_t layer = 0; layer < shape.layers; ++layer) {
        const std::vector<double> counts = load.load(layer);
        const double all = std::accumulate(counts.begin(), counts.end(), 0.0);
        for (std::size_t expert = 0; expert < shape.experts; ++expert) {
            shown.counts.push_back(load.counts(layer)[expert]);
            if (all > 0) {
                map.value[layer * shape.experts + expert] = static_cast<float>(counts[expert] / all);
            }
        }
        const routing::LoadMetrics metrics = routing::load_metrics(counts);
        const auto busiest = std::max_element(counts.begin(), counts.end());
        table->rows.push_back({static_cast<double>(spec.routed_layers[layer]), metrics.max_violation, metrics.variation,
                               metrics.entropy, metrics.gini, all > 0 ? static_cast<double>(metrics.dead) : kNoValue,
                               all > 0 ? static_cast<double>(busiest - counts.begin()) : kNoValue,
                               all > 0 ? *busiest / all : kNoValue,
                               std::round(all / static_cast<double>(std::max<std::size_t>(1, shape.per_token)))});
    }
    map.find_extent();
    shown.map = std::make_shared<const Map>(std::move(map));
    shown.table = std::move(table);
    return shown;
}

PairMapShown pair_map(const routing::CoActivation& pairs, std::size_t experts, std::size_t place, int layer,
                      PairValue value) {
    PairMapShown shown;
    shown.place = place;
    shown.layer = layer;
    shown.value = value;
    shown.decisions = pairs.decisions();
    Map map = empty_map(numbered(experts), numbered(experts));
    map.row_key = "structure.axis.given";
    map.column_key = "structure.axis.other";
    map.value_key = value == PairValue::share ? "structure.value.conditional_share" : "structure.value.above";
    map.quiet.assign(value == PairValue::above ? experts * experts : 0, 0);
    struct Pair {
        std::size_t i, j;
        double ratio;
    };
    std::vector<Pair> strongest;
    for (std::size_t i = 0; i < experts; ++i) {
        shown.counts.push_back(pairs.count(i));
        for (std::size_t j = 0; j < experts; ++j) {
            if (i == j || pairs.count(i) == 0) {
                continue;
            }
            const double given = pairs.conditional(i, j), baseline = pairs.baseline(j);
            const std::size_t cell = i * experts + j;
            if (value == PairValue::share) {
                map.value[cell] = static_cast<float>(given);
            } else {
                map.value[cell] = static_cast<float>(given - baseline);
                const base::Interval interval =
                    base::wilson(std::min(pairs.together(i, j), pairs.count(i)), pairs.count(i));
                map.quiet[cell] = interval.low <= baseline && baseline <= interval.high ? 1 : 0;
            }
            if (i < j && pairs.together(i, j) > 0) {
                // Of two experts it is the same in both directions.
                strongest.push_back({i, j, ratio(given, baseline)});
            }
        }
    }
    const auto kept = strongest.begin() + static_cast<std::ptrdiff_t>(std::min(kMostPairs, strongest.size()));
    std::partial_sort(strongest.begin(), kept, strongest.end(), [&](const Pair& a, const Pair& b) {
        const std::uint64_t x = pairs.together(a.i, a.j), y = pairs.together(b.i, b.j);
        return x != y ? x > y : std::pair(a.i, a.j) < std::pair(b.i, b.j);
    });
    auto table = std::make_shared<Table>();
    table->columns = {
        {"structure.column.expert", Unit::place},        {"structure.column.other", Unit::place},
        {"structure.column.together", Unit::whole},      {"structure.column.share_of_tokens", Unit::percent, true},
        {"structure.column.independent", Unit::percent}, {"structure.column.ratio", Unit::times}};
    for (auto pair = strongest.begin(); pair != kept; ++pair) {
        const std::uint64_t together = pairs.together(pair->i, pair->j);
        table->rows.push_back({static_cast<double>(pair->i), static_cast<double>(pair->j),
                               static_cast<double>(together),
                               Estimate(base::wilson(std::min(together, pairs.decisions()), pairs.decisions())),
                               pairs.baseline(pair->i) * pairs.baseline(pair->j), pair->ratio});
    }
    map.find_extent();
    shown.map = std::make_shared<const Map>(std::move(map));
    shown.table = std::move(table);
    return shown;
}

namespace {

/// Round numbers of an axis: where they stand, in its own unit, and what they are called.
using Ticks = std::vector<std::pair<double, std::string>>;

Ticks plain_ticks(double low, double high) {
    Ticks ticks;
    for (const double at : base::ticks(low, high, 8)) {
        ticks.emplace_back(at, fmt::format("{:.3g}", at));
    }
    return ticks;
}

/// Of logarithms to base 2: powers of ten; where there are too few of them, twice and five times as much too.
Ticks power_ticks(double low, double high) {
    constexpr int kFew = 3;
    const double decades = (high - low) * std::log10(2.0);
    Ticks ticks;
    for (int power = static_cast<int>(std::floor(low * std::log10(2.0))); power <= high * std::log10(2.0); ++power) {
        for (const double digit : {1.0, 2.0, 5.0}) {
            const double value = digit * std::pow(10.0, power), at = std::log2(value);
            if (at >= low && at <= high && (digit == 1 || decades < kFew)) {
                ticks.emplace_back(at, short_number(value));
            }
        }
    }
    return ticks;
}

/// The bins of all layers from the first to the last one that holds anything: layers x bins.
std::shared_ptr<const Map> density(const std::vector<const routing::Histogram*>& layers,
                                   const routing::RouterSpec& spec, const char* bin_key, std::size_t& first_bin,
                                   std::vector<std::string> (*names)(const routing::Histogram&, std::size_t,
                                                                     std::size_t),
                                   Ticks (*ticks)(double, double)) {
    constexpr std::size_t kBins = routing::Histogram::kBins;
    std::size_t first = kBins, last = 0;
    for (const routing::Histogram* layer : layers) {
        for (std::size_t bin = 0; bin < kBins; ++bin) {
            if (layer->bins()[bin] > 0) {
                first = std::min(first, bin);
                last = std::max(last, bin);
            }
        }
    }
    if (first > last) {
        return nullptr;
    }
    // A single bin would be a map without a shape.
    first = first > 0 ? first - 1 : 0;
    last = std::min(last + 1, kBins - 1);
    first_bin = first;
    Map map = empty_map(layer_names(spec), names(*layers.front(), first, last + 1));
    map.column_key = bin_key;
    const double begin = layers.front()->edge(first), width = layers.front()->edge(1) - layers.front()->edge(0);
    for (auto& [at, name] : ticks(begin, layers.front()->edge(last + 1))) {
        map.column_ticks.emplace_back((at - begin) / width, std::move(name));
    }
    for (std::size_t row = 0; row < layers.size(); ++row) {
        for (std::size_t bin = first; bin <= last && layers[row]->count() > 0; ++bin) {
            map.value[row * map.columns + bin - first] = static_cast<float>(
                static_cast<double>(layers[row]->bins()[bin]) / static_cast<double>(layers[row]->count()));
        }
    }
    map.find_extent();
    return std::make_shared<const Map>(std::move(map));
}

std::vector<std::string> plain_edges(const routing::Histogram& layer, std::size_t first, std::size_t end) {
    std::vector<std::string> names;
    for (std::size_t bin = first; bin < end; ++bin) {
        names.push_back(fmt::format("{:.3g}", layer.edge(bin)));
    }
    return names;
}

/// Of logarithms to base 2.
std::vector<std::string> power_edges(const routing::Histogram& layer, std::size_t first, std::size_t end) {
    std::vector<std::string> names;
    for (std::size_t bin = first; bin < end; ++bin) {
        names.push_back(fmt::format("{:.2g}", std::exp2(layer.edge(bin))));
    }
    return names;
}

/// Where a value stands among the bins of a map.
double place_of(const routing::Histogram& layer, double value, std::size_t first_bin) {
    const double width = layer.edge(1) - layer.edge(0);
    return (value - layer.edge(0)) / width - static_cast<double>(first_bin);
}

}  // namespace

SpreadShown spread_map(const SpreadFigure& figure, const routing::RouterSpec& spec) {
    const auto& entropy = figure.get<routing::RouterEntropy>();
    const auto& margins = figure.get<routing::Margins>();
    std::vector<const routing::Histogram*> entropies, logarithms;
    for (std::size_t layer = 0; layer < spec.routed_layers.size(); ++layer) {
        entropies.push_back(&entropy.layer(layer));
        logarithms.push_back(&margins.layer(layer));
    }
    SpreadShown shown;
    std::size_t first_entropy = 0, first_margin = 0;
    shown.entropy = density(entropies, spec, "structure.axis.entropy", first_entropy, plain_edges, plain_ticks);
    shown.margin = density(logarithms, spec, "structure.axis.margin", first_margin, power_edges, power_ticks);
    auto table = std::make_shared<Table>();
    table->columns = {{"structure.column.layer", Unit::place},
                      {"structure.column.entropy_mean"},
                      {"structure.column.entropy_share", Unit::percent},
                      {"structure.column.entropy_low"},
                      {"structure.column.entropy_median"},
                      {"structure.column.entropy_high"},
                      {"structure.column.margin_low"},
                      {"structure.column.margin_median"},
                      {"structure.column.margin_high"},
                      {"structure.column.ties", Unit::whole},
                      {"structure.column.decisions", Unit::whole}};
    for (std::size_t layer = 0; layer < spec.routed_layers.size(); ++layer) {
        const routing::Histogram &bits = *entropies[layer], &logs = *logarithms[layer];
        const std::uint64_t ties = margins.not_positive(layer);
        shown.entropy_median.push_back(place_of(bits, bits.quantile(0.5), first_entropy));
        shown.margin_median.push_back(place_of(logs, logs.quantile(0.5), first_margin));
        table->rows.push_back({static_cast<double>(spec.routed_layers[layer]), bits.mean(),
                               entropy.normalised_mean(layer), bits.quantile(0.1), bits.quantile(0.5),
                               bits.quantile(0.9), std::exp2(logs.quantile(0.1)), std::exp2(logs.quantile(0.5)),
                               std::exp2(logs.quantile(0.9)), static_cast<double>(ties),
                               static_cast<double>(std::max(bits.count(), logs.count() + ties))});
    }
    shown.table = std::move(table);
    return shown;
}

DifferenceShown difference_map(const routing::GroupLoad& load, const routing::RouterSpec& spec, std::size_t first,
                               std::size_t second) {
    DifferenceShown shown;
    shown.first = first;
    shown.second = second;
    if (first >= load.groups().size() || (second != kAllTexts && second >= load.groups().size())) {
        return shown;
    }
    const bool against_all = second == kAllTexts;
    shown.first_name = load.groups()[first];
    shown.second_name = against_all ? "" : load.groups()[second];
    shown.single = load.texts(first) < 2 || (!against_all && load.texts(second) < 2);
    const auto experts = static_cast<std::size_t>(spec.experts);
    Map map = empty_map(layer_names(spec), numbered(experts));
    map.value_key = "structure.value.difference";
    map.quiet.assign(map.rows * map.columns, 0);
    for (std::size_t layer = 0; layer < map.rows; ++layer) {
        const auto shares = load.shares_of_all(layer);
        for (std::size_t expert = 0; expert < experts; ++expert) {
            DifferenceShown::Cell cell;
            cell.first = shares[first][expert];
            const base::Interval& a = cell.first.share;
            if (against_all) {
                cell.second.share = {cell.first.overall, kNoValue, kNoValue};
                const double overall = cell.first.overall;
                cell.difference = {a.estimate - overall, a.low - overall, a.high - overall};
            } else {
                cell.second = shares[second][expert];
                const base::Interval& b = cell.second.share;
                const double d = a.estimate - b.estimate;
                cell.difference = {d, d - std::hypot(a.estimate - a.low, b.high - b.estimate),
                                   d + std::hypot(a.high - a.estimate, b.estimate - b.low)};
            }
            const std::size_t at = layer * experts + expert;
            map.value[at] = static_cast<float>(cell.difference.value);
            const bool chance = cell.difference.low <= 0 && cell.difference.high >= 0;
            map.quiet[at] = chance ? 1 : 0;
            if (!std::isnan(cell.difference.value)) {
                ++shown.cells;
                shown.beyond += chance ? 0 : 1;
            }
            shown.details.push_back(cell);
        }
    }
    map.find_extent();
    shown.map = std::make_shared<const Map>(std::move(map));
    std::vector<std::size_t> order(shown.details.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    // How far the nearer end of the interval is from 0: what is surely a large difference comes first.
    const auto surely = [&](std::size_t at) {
        const Estimate& d = shown.details[at].difference;
        return std::isnan(d.value) ? -1 : d.value > 0 ? std::max(0.0, d.low) : std::max(0.0, -d.high);
    };
    const auto kept = order.begin() + static_cast<std::ptrdiff_t>(std::min(kMostCells, order.size()));
    std::partial_sort(order.begin(), kept, order.end(), [&](std::size_t a, std::size_t b) {
        const double x = surely(a), y = surely(b);
        return x != y ? x > y : a < b;
    });
    auto table = std::make_shared<Table>();
    table->columns = {{"structure.column.layer", Unit::place},
                      {"structure.column.expert", Unit::place},
                      {"structure.column.first_share", Unit::percent, true},
                      {"structure.column.second_share", Unit::percent, !against_all},
                      {"structure.column.difference", Unit::points, true},
                      {"structure.column.uniform", Unit::percent}};
    for (auto at = order.begin(); at != kept; ++at) {
        const DifferenceShown::Cell& cell = shown.details[*at];
        if (!std::isnan(cell.difference.value)) {
            table->rows.push_back({static_cast<double>(spec.routed_layers[*at / experts]),
                                   static_cast<double>(*at % experts), Estimate(cell.first.share),
                                   Estimate(cell.second.share), cell.difference, cell.first.uniform});
        }
    }
    shown.table = std::move(table);
    return shown;
}

GroupChoice default_groups(const routing::GroupLoad& load) {
    const auto named = [&](const char* name) {
        return static_cast<std::size_t>(std::find(load.groups().begin(), load.groups().end(), name) -
                                        load.groups().begin());
    };
    const std::size_t english = named("en"), chinese = named("zh"), count = load.groups().size();
    if (english < count && chinese < count) {
        return {english, chinese};
    }
    std::vector<std::size_t> order(count);
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::stable_sort(order.begin(), order.end(),
                     [&](std::size_t a, std::size_t b) { return load.tokens(a, 0) > load.tokens(b, 0); });
    return {count > 0 ? order[0] : 0, count > 1 ? order[1] : kAllTexts};
}

bool knows_groups(const routing::GroupLoad& load) {
    return std::any_of(load.groups().begin(), load.groups().end(),
                       [](const std::string& name) { return !name.empty(); });
}

SaturationShown saturation(std::vector<SaturationPoint> points, std::uint64_t last_step,
                           const routing::RouterSpec& spec, bool best) {
    std::sort(points.begin(), points.end(),
              [](const SaturationPoint& a, const SaturationPoint& b) { return a.step < b.step; });
    SaturationShown shown;
    shown.points = points.size();
    auto chart = std::make_shared<Chart>();
    chart->kind = Chart::Kind::lines;
    chart->x_key = "structure.axis.step";
    chart->series.push_back({"structure.series.mean", {}, {}});
    for (const std::string& name : layer_names(spec)) {
        chart->series.push_back({"structure.series.layer", name, {}, true});
    }
    auto table = std::make_shared<Table>();
    table->columns = {{"structure.column.step", Unit::whole},
                      {"structure.column.layer", Unit::place},
                      {"structure.column.saturation", Unit::percent},
                      {"structure.column.saturation_of_best", Unit::percent},
                      {"structure.column.flipped", Unit::percent}};
    const auto add = [&](double step, const std::vector<double>& of_layers) {
        chart->x.push_back(step);
        double sum = 0, known = 0;
        for (std::size_t layer = 0; layer < of_layers.size(); ++layer) {
            chart->series[layer + 1].y.emplace_back(of_layers[layer]);
            if (!std::isnan(of_layers[layer])) {
                sum += of_layers[layer];
                ++known;
            }
        }
        chart->series.front().y.emplace_back(known > 0 ? sum / known : kNoValue);
    };
    for (const SaturationPoint& point : points) {
        std::vector<double> of_layers;
        for (const routing::Comparison::Layer& layer : point.result->comparison.layers()) {
            of_layers.push_back(best ? layer.saturation_of_best : layer.saturation);
            table->rows.push_back({static_cast<double>(point.step), static_cast<double>(layer.layer), layer.saturation,
                                   layer.saturation_of_best, layer.flips.rate()});
        }
        add(static_cast<double>(point.step), of_layers);
    }
    add(static_cast<double>(last_step), std::vector<double>(spec.routed_layers.size(), 1.0));
    // What two routers that choose at random would have in common.
    chart->levels = {{"structure.level.chance",
                      (best ? 1.0 : static_cast<double>(spec.experts_per_token)) / static_cast<double>(spec.experts)}};
    shown.chart = std::move(chart);
    shown.table = std::move(table);
    return shown;
}

}  // namespace moescope::panels
