// What the node and the window said, newest below.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "panels/ui/panel.hpp"

namespace moescope::panels {

class LogPanel : public ui::Panel {
 public:
    void take_over(ui::Panel& before) override {
        const auto& old = dynamic_cast<const LogPanel&>(before);
        level_ = old.level_;
        follow_ = old.follow_;
    }
    void draw(ui::Context& context) override;

 private:
    void draw_bar(ui::Context& ctx);
    void filter(const ui::Context& ctx);
    void draw_lines(ui::Context& ctx);
    std::string shown_text(const ui::Context& ctx) const;
    std::string line_text(const ui::Context& ctx, const history::LogLine& line) const;

    int level_ = 0;  ///< 0 all, 1 warnings and errors, 2 errors
    std::string search_, filtered_by_;
    bool follow_ = true;
    std::uint64_t seen_version_ = ~std::uint64_t{0};
    std::vector<std::size_t> shown_;  ///< indices into Snapshot::log
};

}  // namespace moescope::panels
