#include "panels/ui/figure_text.hpp"

#include <cmath>
#include <cstdint>

#include "panels/ui/units.hpp"

namespace moescope::panels {

std::string value_text(const ui::Language& text, double value, Unit unit, int digits) {
    if (!std::isfinite(value)) {
        return "\u2013";
    }
    const auto with_sign = [value](std::string number) { return (value > 0 ? "+" : "") + std::move(number); };
    switch (unit) {
        case Unit::text:
            return {};
        case Unit::whole:
            return value < 0 ? text.number(value, digits)
                             : text.number(static_cast<std::uint64_t>(std::llround(value)));
        case Unit::place:
            return std::to_string(std::llround(value));
        case Unit::percent:
            return ui::with_percent(text, text.number(100 * value, digits));
        case Unit::points:
            return ui::with_percent(text, with_sign(text.number(100 * value, digits)));
        case Unit::times:
            return text.number(value, digits) + " \u00d7";
        case Unit::signed_number:
            return with_sign(text.number(value, digits));
        case Unit::number:
            return text.number(value, digits + 1);
    }
    return {};
}

std::string estimate_text(const ui::Language& text, const Estimate& estimate, Unit unit) {
    std::string shown = value_text(text, estimate.value, unit);
    if (estimate.has_interval() && std::isfinite(estimate.value)) {
        const double factor = unit == Unit::percent || unit == Unit::points ? 100 : 1;
        shown += " [" + text.number(factor * estimate.low, 3) + ", " + text.number(factor * estimate.high, 3) + "]";
    }
    return shown;
}

std::string cell_text(const ui::Language& text, const Table::Column& column, const Table::Cell& cell) {
    if (column.unit == Unit::text) {
        return column.prefix != nullptr ? text.named(column.prefix, cell.text) : cell.text;
    }
    return column.interval ? estimate_text(text, cell.number, column.unit)
                           : value_text(text, cell.number.value, column.unit);
}

std::string series_name(const ui::Language& text, const Chart::Series& series) {
    return series.name.empty() ? text(series.key) : text.format(series.key, {{"name", series.name}});
}

std::string label_text(const ui::Language& text, const Chart& chart, std::size_t place) {
    if (place >= chart.labels.size()) {
        return {};
    }
    return chart.prefix != nullptr ? text.named(chart.prefix, chart.labels[place]) : chart.labels[place];
}

}  // namespace moescope::panels
