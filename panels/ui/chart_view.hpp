// A chart in a window: bars with labels, or lines over numbers; what values are compared with as horizontal lines;
// exact values under the mouse; saved from its menu. GUI thread.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "panels/ui/context.hpp"
#include "panels/ui/figure_data.hpp"
#include "panels/ui/view_parts.hpp"

namespace moescope::panels {

struct ChartSpec {
    const char* id = "";                            ///< "###expert.over_layers"
    std::string title{}, unit{};                    ///< in the language of the window
    std::shared_ptr<const Chart> chart{};           ///< not null
    std::string file{};                             ///< name of its files, without ending
    std::vector<ImVec4> colors{};                   ///< [series]; missing ones are those of the theme
    std::optional<std::size_t> chosen{};            ///< place of the selection
    std::string tip{};                              ///< below the values: what a click does
    std::function<void(std::size_t place)> menu{};  ///< what is offered about a place above the items that save
};

class ChartView {
 public:
    struct Hit {
        std::optional<std::size_t> hovered, clicked;  ///< places
    };
    Hit draw(ui::Context& ctx, const ChartSpec& spec, ImVec2 size);

 private:
    std::optional<std::size_t> about_;  ///< place of the open menu
};

/// The colour of a series as the chart draws it: of one of many quiet ones by its place among them.
ImVec4 series_color(const ui::Theme& theme, const ChartSpec& spec, std::size_t series);

}  // namespace moescope::panels
