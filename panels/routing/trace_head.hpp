// What the panels about the figures of a trace begin with: which trace, where it comes from, which layer. GUI thread.
#pragma once

#include <cstddef>
#include <optional>

#include "panels/routing/expert_model.hpp"
#include "panels/routing/routed_runs.hpp"
#include "panels/ui/context.hpp"

namespace moescope::panels {

/// The trace on show with the choice of another one and its source. Nothing when there is none: then the sentence of
/// `empty_key` stands there, and the button that reads the built-in text with a model trained here, where there is one.
std::optional<RoutedRun> draw_trace_head(ui::Context& ctx, const char* empty_key);

/// The layer of the selection, as a place among those with a router; the first of them when it has none.
std::size_t selected_place(const ui::Selection& selection, const routing::RouterSpec& spec);
/// The expert of the selection in that layer; expert 0 when none is selected.
ExpertPlace selected_place_of_expert(const ui::Selection& selection, const routing::RouterSpec& spec);
/// The expert of the selection where the trace has it in that layer.
std::optional<std::size_t> chosen_expert(const ui::Selection& selection, const routing::RouterSpec& spec,
                                         std::size_t place);

/// A list of the layers with a router, in a row of fields; true when `place` has changed.
bool layer_combo(const ui::Context& ctx, const char* id, const routing::RouterSpec& spec, std::size_t& place);
/// A dim word in front of a field, in its row.
void field_word(const ui::Context& ctx, const char* key);
/// Goes on in the row when a field of `width` pixels with its word still fits.
void flow_field(const ui::Context& ctx, const char* word_key, float width);

}  // namespace moescope::panels
