#include "nodes/curves/curve_table.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <fmt/format.h>
#include <limits>
#include <map>
#include <optional>
#include <string_view>
#include <utility>

#include "base/error.hpp"
#include "base/input_file.hpp"
#include "base/text.hpp"
#include "base/utf8.hpp"

namespace moescope::curves {

namespace fs = std::filesystem;
using base::say;

namespace {

constexpr std::size_t kPiece = std::size_t{256} << 10;
constexpr std::size_t kMostRow = std::size_t{1} << 20;  // bytes
constexpr std::size_t kMostColumns = 4000;
constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
constexpr std::string_view kMark = "\xEF\xBB\xBF";

using Row = std::vector<std::string>;

/// The rows of a file, one at a time (RFC 4180, with any of three separators).
class Rows {
 public:
    explicit Rows(const fs::path& path) : file_(path) {}

    /// False at the end. A line without anything is no row.
    bool next(Row& row) {
        do {
            row.clear();
            if (!read(row)) {
                return false;
            }
        } while (row.size() == 1 && base::trimmed(row.front()).empty());
        return true;
    }
    char separator() const { return separator_; }
    std::uint64_t line() const { return line_; }  ///< in which the row began

 private:
    std::optional<char> peek() {
        if (at_ == buffer_.size() && !fill()) {
            return std::nullopt;
        }
        return buffer_[at_];
    }

    bool fill() {
        buffer_.resize(kPiece);
        buffer_.resize(file_.read_some(offset_, std::span<char>(buffer_)));
        at_ = 0;
        if (offset_ == 0) {
            offset_ = buffer_.size();
            at_ = buffer_.starts_with(kMark) ? kMark.size() : 0;
            separator_ = most_frequent(std::string_view(buffer_).substr(at_));
        } else {
            offset_ += buffer_.size();
        }
        return at_ < buffer_.size();
    }

    /// Of the first line, outside of quotes.
    static char most_frequent(std::string_view text) {
        constexpr std::array kSeparators = {',', ';', '\t'};
        std::array<std::size_t, kSeparators.size()> counts{};
        bool quoted = false;
        for (const char c : text) {
            quoted = quoted != (c == '"');
            if (!quoted && (c == '\n' || c == '\r')) {
                break;
            }
            for (std::size_t i = 0; !quoted && i < counts.size(); ++i) {
                counts[i] += c == kSeparators[i] ? 1 : 0;
            }
        }
        return kSeparators[static_cast<std::size_t>(std::max_element(counts.begin(), counts.end()) - counts.begin())];
    }

    bool read(Row& row) {
        if (!peek()) {
            return false;
        }
        line_ = next_line_;
        std::size_t bytes = 0;
        std::string field;
        bool quoted = false, was_quoted = false;
        while (const auto c = peek()) {
            ++at_;
            if (++bytes > kMostRow) {
                throw Unfit(say("the row in line {} is longer than {} bytes", line_, kMostRow));
            }
            next_line_ += *c == '\n' ? 1 : 0;
            if (quoted) {
                if (*c != '"') {
                    field += *c;
                } else if (peek() == '"') {
                    ++at_;
                    field += '"';
                } else {
                    quoted = false;
                }
            } else if (*c == '"' && !was_quoted && base::trimmed(field).empty()) {
                field.clear();
                quoted = was_quoted = true;
            } else if (*c == separator_) {
                push(row, field);
                was_quoted = false;
            } else if (*c == '\n') {
                break;
            } else if (*c != '\r') {
                field += *c;
            } else if (peek() != '\n') {  // an old Macintosh's line
                ++next_line_;
                break;
            }
        }
        if (quoted) {
            throw Unfit(say("the quotes that the row in line {} opens are never closed", line_));
        }
        push(row, field);
        return true;
    }

    void push(Row& row, std::string& field) const {
        if (row.size() >= kMostColumns) {
            throw Unfit(say("the row in line {} has more than {} fields", line_, kMostColumns));
        }
        row.push_back(std::move(field));
        field.clear();
    }

    base::InputFile file_;
    std::string buffer_;
    std::size_t at_ = 0;
    std::uint64_t offset_ = 0, line_ = 1, next_line_ = 1;
    char separator_ = ',';
};

/// A cell as a number: nothing when it is empty, NaN where it says that there is none; `text` when it is a text.
struct Cell {
    enum class Kind : std::uint8_t { empty, number, text } kind = Kind::empty;
    double value = kNone;
};

Cell cell_of(std::string_view raw, char separator) {
    const std::string_view text = base::trimmed(raw);
    if (text.empty()) {
        return {};
    }
    const std::string small = base::lower(std::string(text.substr(0, 16)));
    if (small == "nan" || small == "null" || small == "none" || small == "na" || small == "n/a" || small == "-") {
        return {Cell::Kind::number, kNone};
    }
    if (small == "inf" || small == "-inf" || small == "+inf" || small == "infinity" || small == "-infinity") {
        return {Cell::Kind::number, std::numeric_limits<double>::infinity()};
    }
    std::string digits(text.substr(0, 64));
    if (separator != ',' && digits.find('.') == std::string::npos) {
        std::replace(digits.begin(), digits.end(), ',', '.');  // as spreadsheets of half of Europe write it
    }
    const char* begin = digits.data() + (digits.front() == '+' ? 1 : 0);
    double value = 0;
    const auto [end, error] = std::from_chars(begin, digits.data() + digits.size(), value);
    const bool whole = end == digits.data() + digits.size() && text.size() <= 64;
    if (error == std::errc::result_out_of_range && whole) {
        return {Cell::Kind::number, kNone};
    }
    return error == std::errc() && whole ? Cell{Cell::Kind::number, value} : Cell{Cell::Kind::text, kNone};
}

/// "loss [nats/token]" as name and unit.
std::pair<std::string, std::string> name_and_unit(std::string_view field) {
    const std::string_view text = base::trimmed(field);
    const auto open = text.rfind(" [");
    if (open == std::string_view::npos || !text.ends_with(']') || open == 0) {
        return {std::string(text), {}};
    }
    return {std::string(base::trimmed(text.substr(0, open))),
            std::string(text.substr(open + 2, text.size() - open - 3))};
}

/// Without the folder of a logger in front and in small letters: "trainer/global_step" is "global_step".
std::string last_part(const std::string& name) {
    const auto slash = name.rfind('/');
    std::string part = base::lower(slash == std::string::npos ? name : name.substr(slash + 1));
    std::replace(part.begin(), part.end(), ' ', '_');
    return part;
}

struct Column {
    std::string name, unit;
    enum class Use : std::uint8_t { values, step, time, nothing } use = Use::values;
    bool has_numbers = false;
};

/// The best of the names that a step may have; the earlier one counts.
constexpr std::array<std::string_view, 9> kStepNames = {"step",       "global_step", "_step", "steps", "iteration",
                                                        "iterations", "iter",        "epoch", "epochs"};
constexpr std::array<std::string_view, 4> kTimeNames = {"wall_time", "_timestamp", "timestamp", "walltime"};

std::vector<Column> columns_of(const Row& names, const fs::path& path) {
    std::vector<Column> columns;
    bool any_name = false;
    for (const std::string& field : names) {
        auto [name, unit] = name_and_unit(base::to_valid_utf8(field));
        any_name = any_name || (!name.empty() && cell_of(name, ',').kind == Cell::Kind::text);
        columns.push_back({std::move(name), std::move(unit)});
    }
    if (!any_name) {
        throw Unfit(say("its first line has no names of columns"));
    }
    Column* step = nullptr;
    std::size_t best = kStepNames.size();
    for (Column& column : columns) {
        const std::string part = last_part(column.name);
        const auto place =
            static_cast<std::size_t>(std::find(kStepNames.begin(), kStepNames.end(), part) - kStepNames.begin());
        if (place < best) {
            best = place;
            step = &column;
        }
        if (std::find(kTimeNames.begin(), kTimeNames.end(), part) != kTimeNames.end()) {
            column.use = Column::Use::time;
        }
        // wandb puts the extremes of what it has thinned out beside every curve. A column of row numbers has no name.
        if (part.ends_with("__min") || part.ends_with("__max") || column.name.empty()) {
            column.use = Column::Use::nothing;
        }
    }
    if (step != nullptr) {
        step->use = Column::Use::step;
    }
    std::vector<Column*> values;
    for (Column& column : columns) {
        if (column.use == Column::Use::values) {
            values.push_back(&column);
        }
    }
    if (values.size() == 1 && last_part(values.front()->name) == "value") {  // TensorBoard's "run-NAME-tag-TAG.csv"
        const std::string stem = path.stem().string();
        const auto tag = stem.find("-tag-");
        values.front()->name = tag == std::string::npos ? stem : stem.substr(tag + 5);
    }
    std::map<std::string, int> named;
    for (Column* column : values) {  // two of one name are two curves
        if (const int times = ++named[column->name]; times > 1) {
            column->name += fmt::format(" ({})", times);
        }
    }
    return columns;
}

/// What of a table is not taken.
struct Left {
    std::uint64_t texts = 0, steps = 0, long_rows = 0;
};

void add_row(const Row& row, std::uint64_t number, std::vector<Column>& columns, char separator, Collector& curves,
             Left& left) {
    double step = static_cast<double>(number), time = kNoTime;
    for (std::size_t i = 0; i < std::min(row.size(), columns.size()); ++i) {
        const Cell cell = cell_of(row[i], separator);
        if (columns[i].use == Column::Use::step) {
            step = cell.kind == Cell::Kind::number ? cell.value : kNone;
        } else if (columns[i].use == Column::Use::time && cell.kind == Cell::Kind::number) {
            time = cell.value;
        }
    }
    left.long_rows += row.size() > columns.size() ? 1 : 0;
    if (!(step >= -0x1p62 && step <= 0x1p62) || step != std::floor(step)) {
        ++left.steps;
        return;
    }
    for (std::size_t i = 0; i < std::min(row.size(), columns.size()); ++i) {
        Column& column = columns[i];
        if (column.use != Column::Use::values) {
            continue;
        }
        const Cell cell = cell_of(row[i], separator);
        if (cell.kind == Cell::Kind::number) {
            column.has_numbers = true;
            curves.add(column.name, column.unit, static_cast<std::int64_t>(step), cell.value, time);
        } else {
            left.texts += cell.kind == Cell::Kind::text ? 1 : 0;
        }
    }
}

void read_rows(const fs::path& path, Collector& curves, std::vector<base::Sentence>& notes,
               const std::function<void()>& check) {
    constexpr std::uint64_t kRowsBetweenChecks = 1000;
    Rows rows(path);
    Row row;
    if (!rows.next(row)) {
        throw Unfit(say("it has no line with the names of columns"));
    }
    std::vector<Column> columns = columns_of(row, path);
    const bool has_step = std::any_of(columns.begin(), columns.end(),
                                      [](const Column& column) { return column.use == Column::Use::step; });
    Left left;
    std::uint64_t number = 0;
    while (rows.next(row)) {
        if (number++ % kRowsBetweenChecks == 0) {
            check();
        }
        add_row(row, number, columns, rows.separator(), curves, left);
    }
    if (std::none_of(columns.begin(), columns.end(), [](const Column& column) { return column.has_numbers; })) {
        throw Unfit(say("it has no column of numbers over steps"));
    }
    if (!has_step) {
        notes.push_back(say("no column is called step, iteration or epoch; rows count as steps, from 1"));
    }
    if (left.steps > 0) {
        notes.push_back(say("{} rows without a whole number as their step are left out", left.steps));
    }
    if (left.texts > 0) {
        notes.push_back(say("{} cells that are no numbers are left out", left.texts));
    }
    if (left.long_rows > 0) {
        notes.push_back(say("{} rows have more cells than there are names; these cells are left out", left.long_rows));
    }
}

}  // namespace

void read_curve_table(const fs::path& path, Collector& curves, std::vector<base::Sentence>& notes,
                      const std::function<void()>& check) {
    std::vector<base::Sentence> here;
    try {
        read_rows(path, curves, here, check);
    } catch (const Unfit& error) {
        throw base::Error(say("{}: {}", path, error));
    }
    for (const base::Sentence& note : here) {
        notes.push_back(say("{}: {}", path, note));
    }
}

}  // namespace moescope::curves
