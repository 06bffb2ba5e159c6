// The command palette: type a few letters, Enter runs the command.
#pragma once

#include <string>
#include <vector>

#include "app/commands.hpp"
#include "panels/ui/context.hpp"

namespace moescope::app {

class Palette {
 public:
    void open();
    bool is_open() const { return open_; }
    /// Names are searched in the window's language and in `english`.
    void draw(const ui::Context& ctx, const Commands& commands, const ui::Language& english);

 private:
    void search(const ui::Context& ctx, const Commands& commands, const ui::Language& english);

    bool open_ = false, appear_ = false;
    std::string query_, searched_;
    std::vector<const Command*> found_;
    std::size_t chosen_ = 0;
};

}  // namespace moescope::app
