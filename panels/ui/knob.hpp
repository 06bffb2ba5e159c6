// Fields for numbers: for one that lives in the node, and for one of the window's own settings. GUI thread, inside a
// window.
#pragma once

#include <optional>
#include <string>

#include "panels/ui/context.hpp"

namespace moescope::ui {

/// A number that lives in the node: what is typed is sent on Enter or when the field is left; until the node's value
/// changes the old value stays visible beside the wanted one.
struct KnobState {
    std::string field;  ///< text being edited
    bool editing = false;
    std::optional<double> wanted;  ///< sent, not yet confirmed
    double sent_at = 0;            ///< ctx.now
    std::string error;             ///< one sentence while the field holds something that is not a number in range
};
struct KnobRange {
    double min = 0, max = 1;
    const char* format = "%.4g";
    bool whole = false;  ///< only whole numbers
};
/// A number of the window's own settings, in a row of fields.
struct NumberState {
    std::string field;             ///< text being edited
    std::optional<double> before;  ///< the value when the edit began; none while nothing is edited
    bool bad = false;              ///< the text is not a number in range
    std::string error;             ///< one sentence after a field was left so; the caller shows it below the row
};
/// Draws the field with `label` (an ImGui label with id). What is typed counts at once as far as it is in range; else
/// it is red, the old value stays, and state.error says so when the field is left. True when `value` became another.
bool number_field(const Context& ctx, const char* label, NumberState& state, double& value, const KnobRange& range);
/// Draws the field with `label` (an ImGui label with id). `confirmed` is the node's value. Gives the value to send,
/// once.
std::optional<double> knob(const Context& ctx, const char* label, KnobState& state, double confirmed,
                           const KnobRange& range, bool enabled = true);

}  // namespace moescope::ui
