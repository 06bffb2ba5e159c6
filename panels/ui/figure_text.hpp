// Numbers of figures as a person reads them.
#pragma once

#include <string>

#include "panels/ui/context.hpp"
#include "panels/ui/figure_data.hpp"

namespace moescope::panels {

/// "12.3 %", "1,024", "1.6 ×", "+0.4 %"; a dash for what is not there.
std::string value_text(const ui::Language& text, double value, Unit unit, int digits = 3);
/// The same with its interval behind it where it has one: "12.3 % [10.9, 13.8]".
std::string estimate_text(const ui::Language& text, const Estimate& estimate, Unit unit);
/// A cell of a table; texts of a column with a prefix in the language of the window.
std::string cell_text(const ui::Language& text, const Table::Column& column, const Table::Cell& cell);
/// What a series of a chart is called.
std::string series_name(const ui::Language& text, const Chart::Series& series);
/// What stands at a place of bars.
std::string label_text(const ui::Language& text, const Chart& chart, std::size_t place);

}  // namespace moescope::panels
