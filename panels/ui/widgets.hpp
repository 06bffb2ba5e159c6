// Pieces that every panel is made of: layout, signals, simple controls. All functions are called on the GUI thread
// inside a window; sizes follow ctx.em. Text is in text_layout.hpp, numbers with units in units.hpp, fields of the node
// in knob.hpp.
#pragma once

#include <imgui.h>
#include <string>
#include <string_view>
#include <vector>

#include "panels/ui/context.hpp"
#include "panels/ui/icons.hpp"

namespace moescope::ui {

/// A heading of a part of a panel: bold, with space above, `note` dim at the right end.
void section(const Context& ctx, std::string_view title, std::string_view note = {});
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
/// ImGui::BeginCombo whose shown choice ends with an ellipsis where it is longer than the field; the whole of it is the
/// tooltip then. EndCombo belongs to the caller when true.
bool begin_combo(const char* id, std::string_view shown, ImGuiComboFlags flags = 0);
/// Moves the cursor so that an item of `width` pixels ends at the right edge, on the line of the last item; where there
/// is no room for it, to the next line.
void align_right(float width);
/// Dim text at the right end of the row, or below it where it does not fit.
void trailing(const Context& ctx, std::string_view text);
/// Width of the next field: `width` pixels, or what the row has left.
void next_field(float width);
/// Width that a button with this label needs.
float button_width(const char* label);
/// Goes on in the same row when an item of `width` pixels still fits, else in the next one. Call before the item, not
/// before the first of a row.
void flow(float width);
/// A framed part of a panel (BeginChild with the theme's border). The caller calls end_frame() always.
bool begin_frame(const Context& ctx, const char* id, ImVec2 size, ImGuiWindowFlags flags = 0);
void end_frame();

enum class Tone { neutral, accent, good, warning, error };
ImVec4 tone_color(const Theme& theme, Tone tone);
/// Icon and word on a quiet tinted ground: a meaning is never colour alone.
void badge(const Context& ctx, const char* icon_text, std::string_view word, Tone tone);
float badge_width(const Context& ctx, const char* icon_text, std::string_view word);
/// Badge of a run's state (language keys state.running ...).
void state_badge(const Context& ctx, history::RunState state);
float state_badge_width(const Context& ctx, history::RunState state);
const char* state_key(history::RunState state);
/// Tooltip of the last item: wrapped at 28 em and within the window, where what it has no room for ends with "…"; shown
/// after the usual short delay.
void tooltip(std::string_view text);
/// Whether tooltip() shows one now: asked first where the text is long or costs work to make.
bool tooltip_due();
/// ImGui::BeginTooltip() for what has another shape than tooltip(), or other rules for when it is shown; begun nowhere
/// else. False behind a dialog, where nothing says what it is. Text in it wraps within the window.
/// ImGui::EndTooltip() belongs to the caller when true.
bool begin_tooltip();
/// tooltip() for an item that runs a command: `text`, and below it the command's keys when it has some.
void command_tooltip(const Context& ctx, std::string_view text, const std::string& command);
/// A dim question mark after the last item whose tooltip explains it.
void help_mark(const Context& ctx, const char* key);
/// One row "icon sentence [button]" on a tinted ground across the panel: warnings that can be repaired. True when
/// clicked.
bool banner(const Context& ctx, Tone tone, std::string_view sentence, const char* button_label = nullptr);
/// A badge in the middle of a row of buttons and fields; the row goes on with SameLine().
void row_badge(const Context& ctx, const char* icon_text, std::string_view word, Tone tone);
/// A bar with its text beside it, so that the text keeps its contrast however full the bar is. Fills `width`, or the
/// rest of the row at 0.
void meter(const Context& ctx, double fraction, std::string_view text, float width = 0);

/// Whether the click that an item has just told of is the second one of a double click (or a later one). What starts
/// long work does nothing then, and neither does what ends it: it may stand by now where the other one was.
bool clicked_again();
/// The main button of a panel (accent ground), which a double click presses once. Only one per panel.
bool primary_button(const Context& ctx, const char* label, ImVec2 size = {0, 0});
/// The main button of a question: it has the keyboard when the question appears, and Enter presses it as long as no
/// other item has shown that it has the keyboard.
bool default_button(const Context& ctx, const char* label);
/// A button that is dim and does nothing while `enabled` is false; `why_not` is then its tooltip.
bool button(const char* label, bool enabled = true, std::string_view why_not = {});
/// Choices as joined buttons, in more rows where one does not hold them; `labels` carry ids ("All###load.all"). True
/// when `current` changed.
bool segmented(const Context& ctx, const char* id, const std::vector<const char*>& labels, int& current);

}  // namespace moescope::ui
