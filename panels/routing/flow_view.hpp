// The flow picture: which expert of one layer is followed by which of another. GUI thread.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "panels/routing/flow_model.hpp"
#include "panels/ui/context.hpp"
#include "panels/ui/view_parts.hpp"

namespace moescope::panels {

struct FlowSpec {
    std::string title{}, unit{};
    std::shared_ptr<const Flow> flow{};  ///< not null
    std::size_t most = 100;              ///< bands drawn
    std::string file{};                  ///< name of its files, without ending
    int layer = -1, expert = -1;         ///< the selection, by numbers in the model
    /// What is offered about an expert above the items that save.
    std::function<void(int layer, int expert)> menu{};
};

class FlowView {
 public:
    struct Node {
        int layer = 0, expert = 0;  ///< numbers in the model
    };
    struct Hit {
        std::optional<Node> clicked, opened;  ///< opened: clicked twice
    };
    Hit draw(ui::Context& ctx, const FlowSpec& spec, ImVec2 size);

 private:
    struct Under {
        std::optional<std::size_t> strip;
        std::optional<Node> node;
        std::size_t index = 0;  ///< of the node
        bool left = false;
    };
    void draw_strips(const ui::Context& ctx, const FlowSpec& spec, const Area& area, const Under& under) const;
    void draw_nodes(const ui::Context& ctx, const FlowSpec& spec, const Area& area, bool left) const;
    Under under_mouse(const FlowSpec& spec, const Area& area) const;
    void draw_tooltip(const ui::Context& ctx, const FlowSpec& spec, const Under& under) const;
    void draw_menu(ui::Context& ctx, const FlowSpec& spec, ImVec2 min, ImVec2 max);

    std::shared_ptr<const Flow> flow_;  ///< what the layout was made of
    std::size_t most_ = 0;
    FlowLayout layout_;
    std::optional<Node> about_;  ///< of the open menu
};

}  // namespace moescope::panels
