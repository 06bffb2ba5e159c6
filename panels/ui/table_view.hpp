// A table of figures in a window: sorted by a click on a column's name, saved as CSV and copied from its menu, drawn
// only where it is seen. GUI thread.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "panels/ui/context.hpp"
#include "panels/ui/figure_data.hpp"

namespace moescope::panels {

class TableView {
 public:
    struct Spec {
        const char* id = "";                              ///< "###expert.tokens"
        std::shared_ptr<const Table> table{};             ///< not null
        std::string file{};                               ///< name of its CSV file, without ending
        std::function<bool(const Table::Row&)> chosen{};  ///< which rows are those of the selection
        /// What is offered about a row above the items that save.
        std::function<void(const Table::Row&)> menu{};
        bool rows_clickable = true;
        std::string tip{};  ///< tooltip of a row: what a click does
    };
    /// Fills `size`, and scrolls inside it. Gives the row that was clicked.
    std::optional<std::size_t> draw(ui::Context& ctx, const Spec& spec, ImVec2 size);

 private:
    void refresh(const ui::Context& ctx, const std::shared_ptr<const Table>& table);
    bool begin(const ui::Context& ctx, const Spec& spec, ImVec2 size);
    void take_order();
    void draw_menu(ui::Context& ctx, const Spec& spec);

    std::shared_ptr<const Table> table_;  ///< what the following was made of
    std::string language_;
    float em_ = 0;
    std::vector<std::vector<std::string>> texts_;  ///< [rows][columns]
    std::vector<float> widths_;                    ///< [columns], pixels
    std::vector<std::size_t> order_;               ///< of the rows
    std::size_t column_ = 0;                       ///< that they are sorted by
    bool sorted_ = false, descending_ = false;
    std::optional<Table::Row> about_;  ///< of the open menu, as it was when that opened
};

}  // namespace moescope::panels
