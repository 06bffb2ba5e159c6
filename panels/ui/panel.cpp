#include "panels/ui/panel.hpp"

#include <string_view>

namespace moescope::ui {

const char* action_value(const std::string& action, const char* name) {
    const std::string_view wanted(name);
    const bool fits =
        action.size() > wanted.size() && action[wanted.size()] == '=' && action.compare(0, wanted.size(), wanted) == 0;
    return fits ? action.c_str() + wanted.size() + 1 : nullptr;
}

}  // namespace moescope::ui
