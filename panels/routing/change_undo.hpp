// The set of changes that is put together, in the history of what can be taken back. GUI thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "panels/routing/change_list.hpp"
#include "panels/ui/context.hpp"

namespace moescope::panels {

/// Watches the list of the session, to which every map adds: whatever has become of it since the last frame is one
/// step.
class ChangeUndo {
 public:
    /// Every frame, once.
    void follow(ui::Context& ctx);

 private:
    std::uint64_t version_ = 0;
    std::vector<Change> last_;
    std::string name_;  ///< of the set, in the last frame
};

/// Saves the list under its name, or removes the saved set of that name; both can be taken back.
void save_set(ui::Context& ctx, const std::string& name, const std::vector<Change>& changes);
void remove_set(ui::Context& ctx, const std::string& name);

}  // namespace moescope::panels
