#include "panels/experts/ranks_model.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <numeric>

namespace moescope::panels {
namespace {

using protocol::RankRecord;

constexpr double kMegabyte = 1e6;

RankRecord sum_of(const RankRecords& records) {
    RankRecord sum = *records.front();
    for (std::size_t i = 1; i < records.size(); ++i) {
        sum.add(*records[i]);
    }
    return sum;
}

std::shared_ptr<const Chart> chart_of(const char* series, const char* mean, Unit unit,
                                      const std::vector<double>& ranks) {
    auto chart = std::make_shared<Chart>();
    chart->x_key = "ranks.axis.rank";
    chart->unit = unit;
    chart->labels = numbered(ranks.size());
    chart->series = {{series, {}, {}}};
    for (std::size_t rank = 0; rank < ranks.size(); ++rank) {
        chart->x.push_back(static_cast<double>(rank));
        chart->series[0].y.emplace_back(ranks[rank]);
    }
    chart->levels.push_back(
        {mean, std::accumulate(ranks.begin(), ranks.end(), 0.0) / static_cast<double>(ranks.size())});
    return chart;
}

/// Nobody sends to itself.
template <class Value>
std::shared_ptr<const Map> map_of(std::size_t ranks, const char* value_key, const Value& value) {
    auto map = std::make_shared<Map>();
    map->rows = map->columns = ranks;
    map->row_key = "ranks.axis.from";
    map->column_key = "ranks.axis.to";
    map->value_key = value_key;
    map->row_names = map->column_names = numbered(ranks);
    for (std::size_t from = 0; from < ranks; ++from) {
        for (std::size_t to = 0; to < ranks; ++to) {
            map->value.push_back(from == to ? std::numeric_limits<float>::quiet_NaN()
                                            : static_cast<float>(value(from, to)));
        }
    }
    map->find_extent();
    return map;
}

/// "0 to 7": the experts that a rank keeps, as the engine shares them.
std::string experts_of(std::size_t rank, std::size_t expert_ranks, std::size_t experts) {
    const std::size_t place = rank % expert_ranks, first = experts * place / expert_ranks,
                      end = experts * (place + 1) / expert_ranks;
    return end == first       ? "\u2013"
           : end == first + 1 ? fmt::format("{}", first)
                              : fmt::format("{}\u2013{}", first, end - 1);
}

}  // namespace

RankRecords latest_ranks(const history::TrainingRun& run, std::optional<std::uint64_t> pinned, std::size_t steps) {
    RankRecords records;
    std::size_t at = run.ranks.size(), taken = 0;
    while (pinned && at > 1 && run.ranks[at - 1]->step - (run.ranks[at - 1]->steps - 1) > *pinned) {
        --at;
    }
    for (; at > 0; --at) {
        const auto& record = run.ranks[at - 1];
        if (!records.empty() && (!record->same_shape(*records.front()) || taken + record->steps > steps)) {
            break;
        }
        records.push_back(record);
        taken += record->steps;
    }
    std::reverse(records.begin(), records.end());
    return records;
}

RanksShown show_ranks(const RankRecords& records, std::optional<std::size_t> layer, std::size_t experts) {
    const RankRecord sum = sum_of(records);
    const std::size_t N = sum.ranks;
    const double steps = std::max<double>(1, sum.steps);
    RanksShown shown;
    shown.steps = sum.steps;
    shown.last_step = sum.step;
    shown.first_step = records.front()->step - (records.front()->steps - 1);
    shown.ranks = N;
    shown.expert_ranks = sum.expert_ranks;
    shown.layers = sum.layers;
    // A record of so many ranks that it has no layers shows their sums.
    shown.layer = layer && *layer < sum.layers && sum.layers > 1 ? layer : std::nullopt;
    shown.tokens_travel = sum.tokens_travel != 0;
    const auto mean = [steps](auto value) { return static_cast<double>(value) / steps; };
    const auto rows = [&](std::size_t from, std::size_t to) { return mean(sum.rows_between(from, to, shown.layer)); };
    const auto everything = [&](std::size_t from, std::size_t to) { return mean(sum.bytes[from * N + to]); };
    const double megabytes = static_cast<double>(sum.row_bytes) / kMegabyte;

    auto table = std::make_shared<Table>();
    table->columns = {{"ranks.column.rank", Unit::place},        {"ranks.column.experts", Unit::text},
                      {"ranks.column.load", Unit::whole},        {"ranks.column.work_ms", Unit::number},
                      {"ranks.column.waiting_ms", Unit::number}, {"ranks.column.waiting", Unit::percent},
                      {"ranks.column.sent_mb", Unit::number},    {"ranks.column.memory_mb", Unit::number}};
    std::vector<double> load;
    for (std::size_t rank = 0; rank < N; ++rank) {
        const double work = mean(sum.compute_ms[rank]), waiting = mean(sum.waiting_ms[rank]);
        double sent = 0;
        for (std::size_t to = 0; to < N; ++to) {
            sent += to == rank ? 0 : everything(rank, to);
            shown.rows += to == rank ? 0 : rows(rank, to);
        }
        shown.bytes += sent;
        shown.work_ms.push_back(work);
        shown.waiting_ms.push_back(waiting);
        load.push_back(mean(sum.load_of(rank, shown.layer)));
        table->rows.push_back({static_cast<double>(rank), experts_of(rank, shown.expert_ranks, experts), load.back(),
                               work, waiting, work + waiting > 0 ? waiting / (work + waiting) : kNoValue,
                               sent / kMegabyte, sum.memory_bytes[rank] / kMegabyte});
    }
    shown.row_bytes = shown.rows * static_cast<double>(sum.row_bytes);
    const auto [least, most] = std::minmax_element(shown.work_ms.begin(), shown.work_ms.end());
    shown.fastest = static_cast<std::size_t>(least - shown.work_ms.begin());
    shown.slowest = static_cast<std::size_t>(most - shown.work_ms.begin());
    shown.load = chart_of("ranks.series.load", "ranks.level.mean", Unit::whole, load);
    shown.waiting = chart_of("ranks.series.waiting_ms", "ranks.level.mean", Unit::number, shown.waiting_ms);
    shown.tokens_map = map_of(N, "ranks.map.tokens", rows);
    shown.bytes_map =
        map_of(N, "ranks.map.megabytes", [&](std::size_t from, std::size_t to) { return megabytes * rows(from, to); });
    shown.all_map = map_of(N, "ranks.map.megabytes",
                           [&](std::size_t from, std::size_t to) { return everything(from, to) / kMegabyte; });
    shown.table = table;
    return shown;
}

}  // namespace moescope::panels
