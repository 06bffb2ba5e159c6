// Pieces that every panel is made of. All functions are called on the GUI thread inside a window; sizes follow ctx.em.
#pragma once

#include <imgui.h>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "panels/ui/context.hpp"
#include "panels/ui/icons.hpp"

namespace moescope::ui {

// --- Text -----------------------------------------------------------------------------------------------------------

/// Lines of UTF-8 `text` broken to `width` pixels in the current font: between words, between Han characters (closing
/// punctuation never starts a line), at '\n'. The views point into `text`. Costs one table look-up per character; keep
/// the result for long texts.
std::vector<std::string_view> wrap_lines(std::string_view text, float width);
/// Draws wrapped text (Chinese aware) over the rest of the row, or `width` pixels when above 0.
void text_wrapped(std::string_view text, std::optional<ImVec4> color = {}, float width = 0);
/// The same as a read-only field in which a person can select and copy; right click copies all. `id` must be unique in
/// the window.
void text_selectable(const Context& ctx, const char* id, const std::string& text, float width = 0);
void text_colored(const ImVec4& color, std::string_view text);
void text_dim(const Context& ctx, std::string_view text);
/// Cuts UTF-8 `text` to `width` pixels with an ellipsis; the whole text is the tooltip when cut.
void text_elided(std::string_view text, float width);
/// Replaces bytes that are not UTF-8 by U+FFFD and cuts an unfinished character at the end (a stream in progress).
std::string displayable(std::string_view bytes);

// --- Layout ---------------------------------------------------------------------------------------------------------

/// A heading of a part of a panel: bold, with space above, `trailing` dim at the right end.
void section(const Context& ctx, std::string_view title, std::string_view trailing = {});
/// What an empty panel shows: one sentence and the button that fills it. A click runs `command` (when given) and gives
/// true.
bool empty_state(const Context& ctx, const char* icon_text, const char* sentence_key, const char* button_key = nullptr,
                 const char* command = nullptr);
/// Name (dim) and value in two columns inside a table begun by begin_properties. `tooltip` explains the value.
bool begin_properties(const char* id, float name_width = 0);
void property(const Context& ctx, std::string_view name, std::string_view value, std::string_view tooltip = {});
void end_properties();
/// A column of a table: its language key, where key + ".help", if there is one, is the tooltip of the header; its share
/// of the width, or with `fixed` its width in em; the number that names it when the table is sorted.
struct TableColumn {
    const char* key;
    float width = 1;
    bool fixed = false;
    ImGuiID id = 0;
};
/// BeginTable with the house style (row backgrounds, resizable, header). Columns set up and header included. `flags`
/// are added; with ScrollY the header stays in place. EndTable belongs to the caller when true.
bool begin_table(const Context& ctx, const char* id, const std::vector<TableColumn>& columns, ImGuiTableFlags flags = 0,
                 ImVec2 size = {0, 0});
/// Moves the cursor so that an item of `width` pixels ends at the right edge; same line as the last item.
void align_right(float width);
/// Width that a button with this label needs.
float button_width(const char* label);

// --- Signals --------------------------------------------------------------------------------------------------------

enum class Tone { neutral, accent, good, warning, error };
ImVec4 tone_color(const Theme& theme, Tone tone);
/// Icon and word on a quiet tinted ground: a meaning is never colour alone.
void badge(const Context& ctx, const char* icon_text, std::string_view word, Tone tone);
/// Badge of a run's state (language keys state.running ...).
void state_badge(const Context& ctx, history::RunState state);
const char* state_key(history::RunState state);
/// Tooltip of the last item: wrapped at 28 em, shown after the usual short delay.
void tooltip(std::string_view text);
/// The same for an item that runs a command: `text`, and below it the command's keys when it has some.
void command_tooltip(const Context& ctx, std::string_view text, const std::string& command);
/// A dim question mark after the last item whose tooltip explains it.
void help_mark(const Context& ctx, const char* key);
/// One row "icon sentence [button]" on a tinted ground across the panel: warnings that can be repaired. True when
/// clicked.
bool banner(const Context& ctx, Tone tone, std::string_view sentence, const char* button_label = nullptr);

// --- Controls -------------------------------------------------------------------------------------------------------

/// The main button of a panel (accent ground). Only one per panel.
bool primary_button(const Context& ctx, const char* label, ImVec2 size = {0, 0});
/// A button that is dim and does nothing while `enabled` is false; `why_not` is then its tooltip.
bool button(const char* label, bool enabled = true, std::string_view why_not = {});
/// Choices as one row of joined buttons; `labels` carry ids ("All###load.all"). True when `current` changed.
bool segmented(const Context& ctx, const char* id, const std::vector<const char*>& labels, int& current);

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
/// Draws the field with `label` (an ImGui label with id). `confirmed` is the node's value. Gives the value to send,
/// once.
std::optional<double> knob(const Context& ctx, const char* label, KnobState& state, double confirmed,
                           const KnobRange& range, bool enabled = true);

// --- Units ----------------------------------------------------------------------------------------------------------

std::string bytes_text(const Language& text, std::uint64_t bytes);  ///< "1.2 GB" (powers of 1000)
std::string duration_text(const Language& text, double seconds);    ///< "2 min 5 s"; a dash below 0
std::string percent_text(const Language& text, double fraction);    ///< "34 %"
std::string clock_text(std::uint64_t time_ns);                      ///< wall clock, "14:03:21"

// --- Plots ----------------------------------------------------------------------------------------------------------

/// Inside BeginPlot with a step x axis: tagged lines where a knob was turned, a checkpoint written or a pause began;
/// hover explains.
void draw_run_events(const Context& ctx, const history::TrainingRun& run);
/// Inside BeginPlot: takes the hovered step when the mouse is over this plot and draws the line of the step hovered in
/// any plot.
void draw_step_cursor(const Context& ctx);

/// PNG file of RGBA pixels (8 bits, rows top first). Pure, any thread.
std::string encode_png(const unsigned char* rgba, int width, int height);

}  // namespace moescope::ui
