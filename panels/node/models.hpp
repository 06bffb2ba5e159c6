// The library: every model file with its maker, licence, hash and state; add by path, remove.
#pragma once

#include <string>
#include <vector>

#include "panels/ui/panel.hpp"
#include "panels/ui/widgets.hpp"

namespace moescope::panels {

class ModelsPanel : public ui::Panel {
 public:
    void draw(ui::Context& context) override;
    /// models.add asks for a file and adds it, models.add=PATH adds that one.
    bool act(const std::string& action, ui::Context& context) override;

 private:
    void add(ui::Context& ctx);
    void draw_add(ui::Context& ctx);
    void draw_table(ui::Context& ctx, float height);
    void draw_row(ui::Context& ctx, const client::ModelEntry& model, const std::vector<ui::TableColumn>& columns);
    void draw_cell(ui::Context& ctx, const client::ModelEntry& model, ImGuiID column);
    void draw_details(ui::Context& ctx);
    std::vector<std::size_t> sorted(const ui::Context& ctx) const;

    std::string path_, selected_;
    base::Sentence problem_;
    client::CommandId adding_ = 0;
};

}  // namespace moescope::panels
