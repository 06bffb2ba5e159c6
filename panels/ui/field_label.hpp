// The name of a field before it: a label behind a field looks like that of the next one. GUI thread, inside a window.
#pragma once

#include "panels/ui/context.hpp"

namespace moescope::ui {

/// The text of `key`, dim, in the row of the field that follows; the field's own label is "###key".
void field_label(const Context& ctx, const char* key);
/// Pixels that field_label() takes, the space behind it included.
float field_label_width(const Context& ctx, const char* key);

}  // namespace moescope::ui
