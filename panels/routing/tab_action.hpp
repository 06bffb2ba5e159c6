// The command that shows a tab of a panel: "structure.tab=saturation".
#pragma once

#include <algorithm>
#include <span>
#include <string>

#include "panels/ui/panel.hpp"

namespace moescope::panels {

/// False when the action is another one, or names none of the tabs; then `tab` stays.
inline bool take_tab(const std::string& action, const char* command, std::span<const char* const> tabs, int& tab) {
    const char* wanted = ui::action_value(action, command);
    const auto found = std::find_if(tabs.begin(), tabs.end(),
                                    [&](const char* name) { return wanted != nullptr && std::string(name) == wanted; });
    if (found == tabs.end()) {
        return false;
    }
    tab = static_cast<int>(found - tabs.begin());
    return true;
}

}  // namespace moescope::panels
