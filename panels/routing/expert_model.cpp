#include "panels/routing/expert_model.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <numeric>

#include "base/intervals.hpp"
#include "panels/routing/token_pages.hpp"

namespace moescope::panels {

namespace {

constexpr std::uint64_t kLeastOfBin = 8;  ///< tokens of a point along the trace

double ratio(double value, double baseline) {
    return baseline > 0 ? value / baseline : kNoValue;
}

std::uint64_t slots_of(const routing::Load& load, std::size_t place) {
    const auto counts = load.counts(place);
    return std::accumulate(counts.begin(), counts.end(), std::uint64_t{0});
}

double uniform_share(const routing::Shape& shape) {
    return static_cast<double>(shape.per_token) / static_cast<double>(shape.experts);
}

/// Share of a layer's tokens that an expert was chosen for, from counts alone.
double share_from_counts(const routing::Load& load, std::size_t place, std::size_t expert) {
    const auto slots = static_cast<double>(slots_of(load, place));
    return slots > 0
               ? static_cast<double>(load.counts(place)[expert]) * static_cast<double>(load.shape().per_token) / slots
               : kNoValue;
}

std::shared_ptr<const Chart> over_layers(const routing::Load& load, const routing::RouterSpec& spec,
                                         std::size_t expert) {
    auto chart = std::make_shared<Chart>();
    chart->x_key = "expert.axis.layer";
    chart->levels = {{"expert.level.uniform", uniform_share(load.shape())}};
    Chart::Series series{"expert.series.share", {}, {}};
    for (std::size_t place = 0; place < load.shape().layers; ++place) {
        chart->x.push_back(static_cast<double>(place));
        chart->labels.push_back(std::to_string(spec.routed_layers[place]));
        series.y.emplace_back(share_from_counts(load, place, expert));
    }
    chart->series.push_back(std::move(series));
    return chart;
}

/// Neighbours put together, so that each has kLeastOfBin tokens: of fewer a share jumps between 0 and 1.
std::vector<routing::LoadOverTime::Bin> broad_bins(const routing::LoadOverTime& figure, std::size_t expert) {
    const std::uint64_t together = std::max<std::uint64_t>(1, kLeastOfBin / figure.width());  // both are powers of 2
    std::vector<routing::LoadOverTime::Bin> broad;
    std::uint64_t taken = together;
    for (const routing::LoadOverTime::Bin& bin : figure.bins(expert)) {
        if (taken == together) {
            broad.push_back({bin.from, bin.from, 0, 0});
            taken = 0;
        }
        broad.back().to = bin.to;
        broad.back().chosen += bin.chosen;
        broad.back().decisions += bin.decisions;
        ++taken;
    }
    return broad;
}

std::shared_ptr<const Chart> over_time(const routing::LoadOverTime& figure, std::size_t expert, double uniform,
                                       double overall) {
    const std::vector<routing::LoadOverTime::Bin> bins = broad_bins(figure, expert);
    if (bins.empty()) {
        return nullptr;
    }
    auto chart = std::make_shared<Chart>();
    chart->kind = Chart::Kind::lines;
    chart->x_key = "expert.axis.token";
    chart->levels = {{"expert.level.uniform", uniform}, {"expert.level.overall", overall}};
    Chart::Series series{"expert.series.share", {}, {}};
    for (const auto& bin : bins) {
        chart->x.push_back(std::floor(static_cast<double>(bin.from + bin.to) / 2));
        series.y.push_back(bin.decisions > 0 ? Estimate(base::wilson(bin.chosen, bin.decisions)) : Estimate());
    }
    chart->series.push_back(std::move(series));
    return chart;
}

/// The columns behind the name: how often, of how many, share with interval, baseline, ratio. `share` says of what.
void add_share_columns(Table& table, const char* share = "expert.column.share") {
    table.columns.insert(table.columns.end(), {{"expert.column.count", Unit::whole},
                                               {"expert.column.of", Unit::whole},
                                               {share, Unit::percent, true},
                                               {"expert.column.baseline", Unit::percent},
                                               {"expert.column.ratio", Unit::times}});
}

void add_share_cells(Table::Row& row, std::uint64_t count, std::uint64_t of, const base::Interval& share,
                     double baseline) {
    row.emplace_back(static_cast<double>(count));
    row.emplace_back(static_cast<double>(of));
    row.emplace_back(Estimate(share));
    row.emplace_back(baseline);
    row.emplace_back(ratio(share.estimate, baseline));
}

ExpertTextsShown::Part texts_part(const routing::GroupLoad& load, const ExpertPlace& expert, const char* prefix) {
    ExpertTextsShown::Part part;
    part.left_out = load.left_out();
    auto table = std::make_shared<Table>();
    table->columns = {{"expert.column.name", Unit::text, false, prefix},
                      {"expert.column.texts", Unit::whole},
                      {"expert.column.count", Unit::whole},
                      {"expert.column.of", Unit::whole},
                      {"expert.column.share", Unit::percent, true},
                      {"expert.column.overall", Unit::percent},
                      {"expert.column.uniform", Unit::percent},
                      {"expert.column.ratio", Unit::times}};
    auto chart = std::make_shared<Chart>();
    chart->x_key = "expert.axis.group";
    chart->prefix = prefix;
    Chart::Series series{"expert.series.share", {}, {}};
    for (std::size_t group = 0; group < load.groups().size(); ++group) {
        const std::string name = load.groups()[group].empty() ? "unknown" : load.groups()[group];
        const routing::GroupLoad::Share share = load.shares(group, expert.place)[expert.expert];
        part.known = part.known || !load.groups()[group].empty();
        part.single = part.single || !share.by_texts;
        table->rows.push_back({name, static_cast<double>(load.texts(group)), static_cast<double>(share.count),
                               static_cast<double>(share.of), Estimate(share.share), share.overall, share.uniform,
                               ratio(share.share.estimate, share.overall)});
        chart->x.push_back(static_cast<double>(group));
        chart->labels.push_back(name);
        series.y.emplace_back(share.share);
        chart->levels = {{"expert.level.uniform", share.uniform}, {"expert.level.overall", share.overall}};
    }
    chart->series.push_back(std::move(series));
    part.table = std::move(table);
    part.chart = std::move(chart);
    return part;
}

Table neighbour_table() {
    Table table;
    table.columns = {{"expert.column.expert", Unit::place}};
    add_share_columns(table, "expert.column.conditional_share");
    return table;
}

/// The largest share first.
std::shared_ptr<const Table> by_share(Table table) {
    std::stable_sort(table.rows.begin(), table.rows.end(),
                     [](const Table::Row& a, const Table::Row& b) { return a[3].number.value > b[3].number.value; });
    return std::make_shared<const Table>(std::move(table));
}

Table::Row neighbour_row(std::size_t expert, std::uint64_t count, std::uint64_t of, double baseline) {
    Table::Row row{static_cast<double>(expert)};
    add_share_cells(row, count, of, base::wilson(std::min(count, of), of), baseline);
    return row;
}

std::shared_ptr<const Table> together_table(const NeighbourPairs& figure, std::size_t expert) {
    Table table = neighbour_table();
    for (std::size_t other = 0; other < figure.experts; ++other) {
        const std::uint64_t count = figure.together.together(expert, other);
        if (other != expert && count > 0) {
            table.rows.push_back(
                neighbour_row(other, count, figure.together.count(expert), figure.together.baseline(other)));
        }
    }
    return by_share(std::move(table));
}

/// What follows the expert, or what comes before it.
std::shared_ptr<const Table> transition_table(const routing::Transitions& transitions, std::size_t experts,
                                              std::size_t expert, bool follows) {
    const auto pairs = [&](std::size_t one, std::size_t other) {
        return follows ? transitions.count(one, other) : transitions.count(other, one);
    };
    std::uint64_t of = 0;
    std::vector<std::uint64_t> all(experts);  ///< pairs of the other side's experts
    for (std::size_t other = 0; other < experts; ++other) {
        of += pairs(expert, other);
        for (std::size_t one = 0; one < experts; ++one) {
            all[other] += pairs(one, other);
        }
    }
    Table table = neighbour_table();
    for (std::size_t other = 0; other < experts; ++other) {
        if (const std::uint64_t count = pairs(expert, other); count > 0) {
            table.rows.push_back(neighbour_row(
                other, count, of, static_cast<double>(all[other]) / static_cast<double>(transitions.total())));
        }
    }
    return by_share(std::move(table));
}

}  // namespace

ExpertLoadShown expert_load(const ExpertLoadFigure& figure, const routing::RouterSpec& spec,
                            const ExpertPlace& expert) {
    const auto& load = figure.get<routing::Load>();
    const auto& time = figure.get<routing::LoadOverTime>();
    const routing::Shape& shape = load.shape();
    ExpertLoadShown shown;
    shown.expert = expert;
    shown.uniform = uniform_share(shape);
    for (const auto& bin : time.bins(expert.expert)) {
        shown.chosen += bin.chosen;
        shown.tokens += bin.decisions;
    }
    const auto counts = load.counts(expert.place);
    if (shown.tokens == 0) {  // counters of other programs
        shown.chosen = counts[expert.expert];
        shown.tokens = slots_of(load, expert.place) / std::max<std::size_t>(1, shape.per_token);
    }
    if (shown.tokens == 0) {
        return shown;
    }
    shown.share = base::wilson(std::min(shown.chosen, shown.tokens), shown.tokens);
    shown.rank = 1 + static_cast<std::size_t>(std::count_if(
                         counts.begin(), counts.end(), [&](std::uint64_t n) { return n > counts[expert.expert]; }));
    shown.over_layers = over_layers(load, spec, expert.expert);
    shown.tokens_of_point = std::max(kLeastOfBin, time.width());
    shown.over_time = over_time(time, expert.expert, shown.uniform, shown.share.value);
    return shown;
}

std::shared_ptr<const Chart> training_history(const history::TrainingRun& run, int layer, std::size_t expert,
                                              std::size_t most) {
    if (layer < 0 || layer >= run.layers || expert >= run.experts || run.counts.empty() || most == 0) {
        return nullptr;
    }
    const std::size_t experts = run.experts, cells = run.layers * experts,
                      offset = static_cast<std::size_t>(layer) * experts;
    const std::size_t stride = std::bit_ceil((run.counts.size() + most - 1) / most);
    auto chart = std::make_shared<Chart>();
    chart->kind = Chart::Kind::lines;
    chart->x_key = "expert.axis.step";
    const double top_k = run.top_k;
    chart->levels = {{"expert.level.uniform", top_k / static_cast<double>(experts)}};
    chart->series = {
        {"expert.series.all", {}, {}}, {"expert.series.english", {}, {}}, {"expert.series.chinese", {}, {}}};
    for (std::size_t begin = 0; begin < run.counts.size(); begin += stride) {
        std::array<double, 2> chosen{}, slots{};
        const std::size_t end = std::min(begin + stride, run.counts.size());
        for (std::size_t i = begin; i < end; ++i) {
            const std::vector<std::uint32_t>& counts = run.counts[i]->counts;
            if (counts.size() != 2 * cells) {
                continue;
            }
            for (std::size_t language = 0; language < 2; ++language) {
                const std::size_t first = language * cells + offset;
                chosen[language] += counts[first + expert];
                for (std::size_t other = 0; other < experts; ++other) {
                    slots[language] += counts[first + other];
                }
            }
        }
        const auto share = [top_k](double part, double whole) { return whole > 0 ? part * top_k / whole : kNoValue; };
        chart->x.push_back(static_cast<double>(run.counts[end - 1]->step));
        chart->series[0].y.emplace_back(share(chosen[0] + chosen[1], slots[0] + slots[1]));
        chart->series[1].y.emplace_back(share(chosen[0], slots[0]));
        chart->series[2].y.emplace_back(share(chosen[1], slots[1]));
    }
    return chart;
}

ExpertTokensShown expert_tokens(const routing::Vocabulary& figure, const ExpertPlace& expert, std::uint64_t least,
                                std::size_t most) {
    auto table = std::make_shared<Table>();
    table->columns = {{"expert.column.piece", Unit::text}, {"expert.column.token", Unit::place}};
    add_share_columns(*table);
    for (const routing::Vocabulary::TokenShare& token : figure.top(expert.expert, least, most)) {
        Table::Row row{shown_piece(token.piece, token.token), static_cast<double>(token.token)};
        add_share_cells(row, token.count, token.of, token.share, token.baseline);
        table->rows.push_back(std::move(row));
    }
    return {expert, std::move(table), 1, figure.baseline(expert.expert)};
}

ExpertTextsShown expert_texts(const TextGroups& figure, const ExpertPlace& expert) {
    return {expert, texts_part(figure.languages, expert, "structure.language."),
            texts_part(figure.groups, expert, "structure.group.")};
}

NeighbourPairs::NeighbourPairs(const routing::Shape& shape, std::size_t place)
    : experts(shape.experts), together(shape, place) {
    if (place > 0) {
        before.emplace(shape, place - 1, place);
    }
    if (place + 1 < shape.layers) {
        after.emplace(shape, place, place + 1);
    }
}

void NeighbourPairs::add(const routing::Chunk& chunk) {
    together.add(chunk);
    for (auto* transitions : {&before, &after}) {
        if (*transitions) {
            (*transitions)->add(chunk);
        }
    }
}

ExpertNeighboursShown expert_neighbours(const NeighbourPairs& figure, const routing::RouterSpec& spec,
                                        const ExpertPlace& expert) {
    ExpertNeighboursShown shown;
    shown.expert = expert;
    shown.together = together_table(figure, expert.expert);
    if (figure.before) {
        shown.layer_before = spec.routed_layers[expert.place - 1];
        shown.before = transition_table(*figure.before, figure.experts, expert.expert, false);
    }
    if (figure.after) {
        shown.layer_after = spec.routed_layers[expert.place + 1];
        shown.after = transition_table(*figure.after, figure.experts, expert.expert, true);
    }
    return shown;
}

std::optional<std::uint64_t> find_token(const routing::TraceSource& trace, const ExpertPlace& expert,
                                        routing::Vocabulary::By by, std::int32_t token, std::int64_t after) {
    using By = routing::Vocabulary::By;
    std::optional<std::uint64_t> first;  // where the search goes on from the beginning
    for (std::size_t i = 0; i < trace.chunks(); ++i) {
        const auto chunk = trace.chunk(i, routing::kTokens | routing::kIds);
        if (!chunk || chunk->ids.empty()) {
            continue;
        }
        const auto& column = by == By::input ? chunk->token : by == By::next ? chunk->next : chunk->predicted;
        for (std::size_t at = 0; at < chunk->tokens; ++at) {
            if (column[at] != token) {
                continue;
            }
            const auto ids = chunk->ids_of(expert.place, at);
            if (std::find(ids.begin(), ids.end(), expert.expert) == ids.end()) {
                continue;
            }
            const std::uint64_t number = chunk->first + at;
            if (static_cast<std::int64_t>(number) > after) {
                return number;
            }
            first = first ? first : number;
        }
    }
    return first;
}

}  // namespace moescope::panels
