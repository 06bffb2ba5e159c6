// What a figure shows, apart from how it is drawn: tables, charts over places or numbers, maps of rows and columns; and
// their way into CSV files. Pure: no window, no language. Names are language keys; the last part of a key is the name
// in files ("expert.column.share" -> "share"). Made in the background, then never changed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/intervals.hpp"

namespace moescope::panels {

inline constexpr double kNoValue = std::numeric_limits<double>::quiet_NaN();

/// How a number is read. Files hold it as it is: shares from 0 to 1.
enum class Unit : std::uint8_t {
    text,
    whole,    ///< a count, grouped
    place,    ///< a number that names something: "12" of expert 12
    percent,  ///< a share
    points,   ///< a difference of shares, with its sign
    times,    ///< a ratio
    signed_number,
    number,
};

/// A value and the interval that it has by chance; NaN: there is none.
struct Estimate {
    double value = kNoValue, low = kNoValue, high = kNoValue;
    Estimate() = default;
    Estimate(double estimate) : value(estimate) {}
    Estimate(double estimate, double lower, double upper) : value(estimate), low(lower), high(upper) {}
    Estimate(const base::Interval& interval) : Estimate(interval.estimate, interval.low, interval.high) {}
    bool has_interval() const { return low == low && high == high; }
};

/// Last part of a language key.
std::string file_part(std::string_view key);

struct Table {
    struct Column {
        const char* key;
        Unit unit = Unit::number;
        bool interval = false;         ///< its cells have one
        const char* prefix = nullptr;  ///< of the language keys of its texts: "routing_diff.class."
    };
    struct Cell {
        Estimate number;
        std::string text;  ///< of Unit::text
        Cell() = default;
        Cell(Estimate estimate) : number(estimate) {}
        Cell(double value) : number(value) {}
        Cell(std::string words) : text(std::move(words)) {}
    };
    using Row = std::vector<Cell>;
    std::vector<Column> columns;
    std::vector<Row> rows;  ///< [rows][columns]
};
/// A column with intervals gives three: "share,share_low,share_high". What is not there is empty.
std::string to_csv(const Table& table);
/// The order of the rows by one column: by its value or its text, what has none last; equal ones keep their order.
std::vector<std::size_t> sorted_rows(const Table& table, std::size_t column, bool descending);

struct Chart {
    enum class Kind : std::uint8_t {
        bars,   ///< one series, at x = 0, 1, 2, ... with labels
        lines,  ///< over rising x
    };
    struct Series {
        const char* key = "";
        std::string name;         ///< fills {name} in the text of the key; behind it in files
        std::vector<Estimate> y;  ///< [x]
        bool quiet = false;       ///< one of many: drawn thin
    };
    /// A horizontal line: what a value is compared with.
    struct Level {
        const char* key;
        double y = 0;
    };
    Kind kind = Kind::bars;
    const char* x_key = "";        ///< name of the axis
    const char* prefix = nullptr;  ///< of the language keys of the labels
    Unit unit = Unit::percent;
    std::vector<double> x;
    std::vector<std::string> labels;  ///< [x] of bars
    std::vector<Series> series;
    std::vector<Level> levels;
    double reach = 0;  ///< the range goes so far at least: charts beside each other have one scale

    struct Range {
        double low = 0, high = 1;
    };
    /// Of everything that is drawn, 0 included; never empty.
    Range range() const;
    /// The place whose x is nearest; nothing without any.
    std::size_t nearest(double at) const;
};
std::string to_csv(const Chart& chart);

struct Map {
    std::size_t rows = 0, columns = 0;
    std::vector<float> value;         ///< [rows][columns], NaN: there is none
    std::vector<std::uint8_t> quiet;  ///< [rows][columns] or empty; 1: not to be told from chance
    std::vector<std::string> row_names, column_names;
    /// Where columns are steps of one axis: round numbers with their places, 0 at the left edge of the first column;
    /// empty: columns go by their names.
    std::vector<std::pair<double, std::string>> column_ticks;
    const char *row_key = "", *column_key = "", *value_key = "";
    double lowest = 0, highest = 0;  ///< of the values; both 0 without any

    void find_extent();
    float at(std::size_t row, std::size_t column) const { return value[row * columns + column]; }
    bool is_quiet(std::size_t cell) const { return !quiet.empty() && quiet[cell] != 0; }
};
/// One line per cell, those without a value left out.
std::string to_csv(const Map& map);

/// "0", "1", ... below `count`.
std::vector<std::string> numbered(std::size_t count);

/// A number as a short label of an axis: two digits, from 0.01 on; what is smaller as one digit with its power of ten,
/// "2e-3".
std::string short_number(double value);

/// The smallest of 1, 1.5, 2, 3, 5, 7 times a power of ten that is not below `value`; 1 for what is not above 0. Where
/// the colours of a map end, so that they end at a number that can be said.
double round_up(double value);

}  // namespace moescope::panels
