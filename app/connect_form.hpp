// The form that opens a node on another machine: its address, or an invitation that was pasted. GUI thread only.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "panels/ui/context.hpp"

namespace moescope::app {

class ConnectForm {
 public:
    void open();
    bool is_open() const { return open_; }
    /// `recent`: addresses that were opened, newest first. Calls `connect` with the address when the person has chosen
    /// a good one.
    void draw(const ui::Context& ctx, const std::vector<std::string>& recent,
              const std::function<void(const std::string&)>& connect);

 private:
    bool open_ = false, appear_ = false;
    std::string address_;
    base::Sentence problem_;
};

}  // namespace moescope::app
