// A map of rows and columns in a window, as one picture on the graphics card: its scale beside it, the selection, exact
// values under the mouse, saved from its menu. GUI thread.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "panels/ui/context.hpp"
#include "panels/ui/figure_data.hpp"
#include "panels/ui/map_pixels.hpp"
#include "panels/ui/view_parts.hpp"

namespace moescope::panels {

struct MapCell {
    std::size_t row = 0, column = 0;
};

struct MapSpec {
    const char* id = "";               ///< "###structure.load"
    std::string title{}, unit{};       ///< in the language of the window
    std::shared_ptr<const Map> map{};  ///< not null
    std::string file{};                ///< name of its files, without ending
    double low = 0, high = 1;          ///< ends of the colours
    bool diverging = false;            ///< around 0, which must be the middle
    Unit unit_of_value = Unit::percent;
    std::vector<std::pair<double, std::string>> ticks{};   ///< on the scale: values with their names
    std::optional<std::size_t> row{}, column{};            ///< of the selection
    std::function<void(MapCell)> tooltip{};                ///< draws the inside of a tooltip
    std::function<void(MapCell)> menu{};                   ///< what is offered about a cell above the items that save
    std::function<void(ImDrawList&, const Area&)> over{};  ///< draws above the cells
};

class MapView {
 public:
    struct Hit {
        std::optional<MapCell> hovered, clicked, opened;  ///< opened: clicked twice
    };
    Hit draw(ui::Context& ctx, const MapSpec& spec, ImVec2 size);

 private:
    struct Key {
        std::shared_ptr<const Map> map;
        int width = 0, height = 0;
        double low = 0, high = 0;
        bool diverging = false, dark = false;
        bool operator==(const Key&) const = default;
    };
    void refresh(const ui::Context& ctx, const MapSpec& spec, int width, int height);
    void draw_menu(ui::Context& ctx, const MapSpec& spec, ImVec2 min, ImVec2 max);

    Key key_;
    std::shared_ptr<const ui::Picture> picture_;
    std::optional<MapCell> about_;  ///< of the open menu
};

/// The colours of such a map.
MapColors map_colors(const ui::Theme& theme, const MapSpec& spec);

}  // namespace moescope::panels
