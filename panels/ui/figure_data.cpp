#include "panels/ui/figure_data.hpp"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>
#include <iterator>
#include <numeric>

#include "base/csv.hpp"

namespace moescope::panels {

namespace {

void append_number(std::string& out, double value) {
    if (std::isfinite(value)) {
        fmt::format_to(std::back_inserter(out), "{}", value);
    }
}

void append_estimate(std::string& out, const Estimate& estimate) {
    append_number(out, estimate.value);
    out += ',';
    append_number(out, estimate.low);
    out += ',';
    append_number(out, estimate.high);
}

/// "share,share_low,share_high"
std::string names_of(const std::string& name, bool interval) {
    return interval ? base::csv_text(name) + "," + base::csv_text(name + "_low") + "," + base::csv_text(name + "_high")
                    : base::csv_text(name);
}

bool has_intervals(const Chart::Series& series) {
    return std::any_of(series.y.begin(), series.y.end(), [](const Estimate& y) { return y.has_interval(); });
}

}  // namespace

std::string file_part(std::string_view key) {
    return std::string(key.substr(key.rfind('.') + 1));
}

std::string to_csv(const Table& table) {
    std::string csv;
    for (const Table::Column& column : table.columns) {
        csv += (csv.empty() ? "" : ",") + names_of(file_part(column.key), column.interval);
    }
    csv += "\r\n";
    for (const Table::Row& row : table.rows) {
        for (std::size_t i = 0; i < table.columns.size(); ++i) {
            csv += i == 0 ? "" : ",";
            if (table.columns[i].unit == Unit::text) {
                csv += base::csv_text(row[i].text);
            } else if (table.columns[i].interval) {
                append_estimate(csv, row[i].number);
            } else {
                append_number(csv, row[i].number.value);
            }
        }
        csv += "\r\n";
    }
    return csv;
}

std::vector<std::size_t> sorted_rows(const Table& table, std::size_t column, bool descending) {
    std::vector<std::size_t> order(table.rows.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    if (column >= table.columns.size()) {
        return order;
    }
    const bool text = table.columns[column].unit == Unit::text;
    std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
        const Table::Cell &left = table.rows[a][column], &right = table.rows[b][column];
        if (text) {
            return descending ? left.text > right.text : left.text < right.text;
        }
        const double x = left.number.value, y = right.number.value;
        if (std::isnan(x) || std::isnan(y)) {
            return !std::isnan(x) && std::isnan(y);
        }
        return descending ? x > y : x < y;
    });
    return order;
}

Chart::Range Chart::range() const {
    Range range{0, 0};
    const auto take = [&](double value) {
        if (std::isfinite(value)) {
            range.low = std::min(range.low, value);
            range.high = std::max(range.high, value);
        }
    };
    for (const Series& one : series) {
        for (const Estimate& y : one.y) {
            take(y.value);
            take(y.low);
            take(y.high);
        }
    }
    for (const Level& level : levels) {
        take(level.y);
    }
    take(reach);
    const double room = 0.06 * (range.high - range.low);
    if (room <= 0) {
        return {0, 1};
    }
    return {range.low < 0 ? range.low - room : 0, range.high > 0 ? range.high + room : 0};
}

std::size_t Chart::nearest(double at) const {
    const auto after = std::lower_bound(x.begin(), x.end(), at);
    if (after == x.begin()) {
        return 0;
    }
    const auto place = static_cast<std::size_t>(after - x.begin());
    return place == x.size() || at - x[place - 1] <= x[place] - at ? place - 1 : place;
}

std::string to_csv(const Chart& chart) {
    std::string csv = base::csv_text(file_part(chart.x_key));
    for (const Chart::Series& series : chart.series) {
        const std::string name = file_part(series.key) + (series.name.empty() ? "" : "_" + series.name);
        csv += "," + names_of(name, has_intervals(series));
    }
    csv += "\r\n";
    for (std::size_t i = 0; i < chart.x.size(); ++i) {
        if (i < chart.labels.size()) {
            csv += base::csv_text(chart.labels[i]);
        } else {
            append_number(csv, chart.x[i]);
        }
        for (const Chart::Series& series : chart.series) {
            csv += ',';
            const Estimate y = i < series.y.size() ? series.y[i] : Estimate();
            if (has_intervals(series)) {
                append_estimate(csv, y);
            } else {
                append_number(csv, y.value);
            }
        }
        csv += "\r\n";
    }
    return csv;
}

void Map::find_extent() {
    bool any = false;
    lowest = highest = 0;
    for (const double one : value) {
        if (!std::isfinite(one)) {
            continue;
        }
        lowest = any ? std::min(lowest, one) : one;
        highest = any ? std::max(highest, one) : one;
        any = true;
    }
}

std::string to_csv(const Map& map) {
    std::string csv = file_part(map.row_key) + "," + file_part(map.column_key) + "," + file_part(map.value_key) +
                      (map.quiet.empty() ? "" : ",within_chance") + "\r\n";
    for (std::size_t row = 0; row < map.rows; ++row) {
        for (std::size_t column = 0; column < map.columns; ++column) {
            const float value = map.at(row, column);
            if (std::isnan(value)) {
                continue;
            }
            fmt::format_to(std::back_inserter(csv), "{},{},{}", base::csv_text(map.row_names[row]),
                           base::csv_text(map.column_names[column]), value);
            if (!map.quiet.empty()) {
                csv += map.is_quiet(row * map.columns + column) ? ",1" : ",0";
            }
            csv += "\r\n";
        }
    }
    return csv;
}

std::vector<std::string> numbered(std::size_t count) {
    std::vector<std::string> names;
    names.reserve(count);
    for (std::size_t i = 0; i < count; ++i) {
        names.push_back(std::to_string(i));
    }
    return names;
}

std::string short_number(double value) {
    if (value == 0 || std::abs(value) >= 0.01) {
        return fmt::format("{:.2g}", value);
    }
    std::string text = fmt::format("{:.0e}", value);  // "2e-03"
    if (const std::size_t zero = text.find("e-0"); zero != std::string::npos) {
        text.erase(zero + 2, 1);
    }
    return text;
}

double round_up(double value) {
    if (!(value > 0) || !std::isfinite(value)) {
        return 1;
    }
    const double power = std::pow(10, std::floor(std::log10(value)));
    for (const double step : {1.0, 1.5, 2.0, 3.0, 5.0, 7.0}) {
        if (value <= step * power * (1 + 1e-9)) {
            return step * power;
        }
    }
    return 10 * power;
}

}  // namespace moescope::panels
