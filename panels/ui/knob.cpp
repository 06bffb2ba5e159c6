#include "panels/ui/knob.hpp"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <imgui.h>
#include <imgui_stdlib.h>

#include "panels/ui/text_layout.hpp"

namespace moescope::ui {
namespace {

constexpr double kConfirmSeconds = 10;  ///< after this long without the node's agreement the wish is dropped

std::string formatted(const char* format, double value) {
    char buffer[64];
    std::snprintf(buffer, sizeof buffer, format, value);
    return buffer;
}

bool same(double a, double b) {
    return std::fabs(a - b) <= 1e-6 * std::max({1e-12, std::fabs(a), std::fabs(b)});
}

std::optional<double> parse(const std::string& field) {
    const char* start = field.c_str();
    char* end = nullptr;
    errno = 0;
    const double value = std::strtod(start, &end);
    while (end != nullptr && *end == ' ') {
        ++end;
    }
    if (end == start || *end != '\0' || errno == ERANGE || !std::isfinite(value)) {
        return {};
    }
    return value;
}

/// Why the text is no value of the range; empty when it is one.
std::string why_not(const Context& ctx, const std::string& field, const KnobRange& range) {
    const std::optional<double> value = parse(field);
    if (!value || *value < range.min || *value > range.max) {
        return ctx.text.format(
            "knob.out_of_range",
            {{"value", field}, {"min", ctx.text.number(range.min, 7)}, {"max", ctx.text.number(range.max, 7)}});
    }
    return range.whole && *value != std::round(*value) ? ctx.text.format("knob.not_whole", {{"value", field}})
                                                       : std::string();
}

/// Takes what was typed; gives the value when it is a number in range, else leaves a sentence.
std::optional<double> accept(const Context& ctx, KnobState& state, double confirmed, const KnobRange& range) {
    state.error = why_not(ctx, state.field, range);
    if (!state.error.empty()) {
        return {};
    }
    const std::optional<double> value = parse(state.field);
    // Enter without a change is none: the field shows fewer digits than the node has.
    if (state.field == formatted(range.format, confirmed) || same(*value, confirmed) ||
        (state.wanted && same(*value, *state.wanted))) {
        return {};
    }
    state.wanted = *value;
    state.sent_at = ctx.now;
    return value;
}

}  // namespace

bool number_field(const Context& ctx, const char* label, NumberState& state, double& value, const KnobRange& range) {
    if (!state.before) {
        state.field = formatted(range.format, value);
        state.bad = false;
    }
    const bool bad = state.bad;
    if (bad) {
        ImGui::PushStyleColor(ImGuiCol_Text, ctx.theme.error);
    }
    ImGui::InputText(label, &state.field, ImGuiInputTextFlags_CharsScientific | ImGuiInputTextFlags_AutoSelectAll);
    if (bad) {
        ImGui::PopStyleColor();
    }
    if (ImGui::IsItemActivated()) {
        state.before = value;
        state.error.clear();
    }
    if (!state.before) {
        return false;
    }
    const double before = *state.before, was = value;
    const std::string problem = why_not(ctx, state.field, range);
    state.bad = !problem.empty();
    // The field may show fewer digits than the value has.
    value = state.bad || state.field == formatted(range.format, before) ? before : *parse(state.field);
    if (!ImGui::IsItemActive()) {
        state.error = problem;
        state.before.reset();
    }
    return value != was;
}

std::optional<double> knob(const Context& ctx, const char* label, KnobState& state, double confirmed,
                           const KnobRange& range, bool enabled) {
    if (state.wanted && (same(*state.wanted, confirmed) || ctx.now - state.sent_at > kConfirmSeconds)) {
        state.wanted.reset();
    }
    if (!state.editing) {
        state.field = formatted(range.format, confirmed);
    }
    ImGui::BeginDisabled(!enabled);
    const bool entered = ImGui::InputText(
        label, &state.field,
        ImGuiInputTextFlags_EnterReturnsTrue | ImGuiInputTextFlags_CharsScientific | ImGuiInputTextFlags_AutoSelectAll);
    state.editing = ImGui::IsItemActive();
    const bool left = ImGui::IsItemDeactivatedAfterEdit();
    ImGui::EndDisabled();
    std::optional<double> result;
    if (entered || left) {
        result = accept(ctx, state, confirmed, range);
    }
    if (state.editing) {
        state.error.clear();
    }
    if (!state.error.empty()) {
        text_wrapped(state.error, ctx.theme.error);
    }
    if (state.wanted) {
        text_dim(ctx, ctx.text.format("knob.waiting", {{"old", formatted(range.format, confirmed)},
                                                       {"new", formatted(range.format, *state.wanted)}}));
    }
    return result;
}

}  // namespace moescope::ui
