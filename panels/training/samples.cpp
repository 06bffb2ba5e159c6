#include "panels/training/samples.hpp"

#include <algorithm>
#include <optional>
#include <string_view>
#include <vector>

#include "base/utf8.hpp"
#include "nodes/history/checkpoint_name.hpp"
#include "panels/node/library.hpp"
#include "panels/routing/shown_routing.hpp"
#include "panels/ui/answer_end.hpp"
#include "panels/ui/text_layout.hpp"
#include "panels/ui/text_tools.hpp"
#include "panels/ui/widgets.hpp"

namespace moescope::panels {

namespace {

using ui::Context;

constexpr std::size_t kPage = 20;

/// The kept checkpoint that is nearest to a step; the model as it is now where none is kept and the run goes on.
std::optional<history::CheckpointName> checkpoint_near(const history::TrainingRun& run, std::uint64_t step) {
    history::CheckpointName name{.run = run.id};
    const std::vector<std::uint64_t> steps = fork_steps(run);
    if (steps.empty()) {
        name.which = history::CheckpointName::Which::now;
        return alive(run) ? std::optional(name) : std::nullopt;
    }
    const auto away = [&](std::uint64_t other) { return other > step ? other - step : step - other; };
    name.which = history::CheckpointName::Which::step;
    name.step = *std::min_element(steps.begin(), steps.end(),
                                  [&](std::uint64_t a, std::uint64_t b) { return away(a) < away(b); });
    return name;
}

/// A sample may end within a character.
std::string_view whole_characters(std::string_view text) {
    return text.substr(0, base::complete_utf8_prefix(text));
}

/// What the run's model decides when it reads the sample.
void draw_routing_button(Context& ctx, const history::TrainingRun& run, const history::TextSample& sample) {
    const std::optional<double> experts = config_number(run.manifest, "model", "experts");
    if (experts && *experts < 2) {
        return;  // a dense model
    }
    const std::optional<history::CheckpointName> model = checkpoint_near(run, sample.step);
    const char* label = ctx.text.label("samples.routing");
    ui::align_right(ImGui::CalcTextSize(label, nullptr, true).x + 2 * ImGui::GetStyle().FramePadding.x);
    ImGui::BeginDisabled(!model || !ctx.connected());
    if (ImGui::SmallButton(label)) {
        const std::string all = sample.prompt + sample.text;
        show_or_read_routing(ctx, {{"model", history::to_text(*model)},
                                   {"text", base::to_valid_utf8(whole_characters(all))},
                                   {"title", base::to_valid_utf8(sample.prompt)}});
    }
    ImGui::EndDisabled();
    ui::tooltip(!ctx.connected() ? std::string(ctx.text("runs.offline"))
                : !model
                    ? std::string(ctx.text("samples.routing.none"))
                    : ctx.text.format("samples.routing.by", {{"model", model_title(ctx, history::to_text(*model))}}));
}

void draw_sample(Context& ctx, const history::TrainingRun& run, const history::TextSample& sample) {
    const bool chinese = sample.language == "zh";
    ui::text_colored(chinese ? ctx.theme.chinese : ctx.theme.english,
                     ctx.text(chinese ? "load.mode.chinese" : "load.mode.english"));
    ImGui::SameLine(0, 0.6f * ctx.em);
    ui::text_dim(ctx, ctx.text.format("training.step", {{"step", ctx.text.number(sample.step)}}));
    draw_routing_button(ctx, run, sample);
    if (!sample.prompt.empty()) {
        ui::text_wrapped(displayable(sample.prompt), ctx.theme.text_dim);
    }
    ImGui::BeginGroup();
    const std::string shown = displayable(whole_characters(sample.text));
    if (shown.empty()) {
        ui::text_dim(ctx, ctx.text("samples.nothing"));
    } else if (const std::string wordless = ui::wordless_text(ctx.text, sample.text); !wordless.empty()) {
        ui::text_wrapped(wordless, ctx.theme.text_dim);
    } else {
        ui::text_wrapped(shown);
    }
    ImGui::EndGroup();
    if (ImGui::BeginPopupContextItem("sample")) {
        if (ImGui::MenuItem(ctx.text.label("samples.copy"))) {
            ImGui::SetClipboardText((sample.prompt + sample.text).c_str());
        }
        ImGui::EndPopup();
    }
    ImGui::Dummy({0, 0.3f * ctx.em});
}

}  // namespace

void SampleList::draw(Context& ctx, const history::TrainingRun& run) {
    if (run_ != run.id) {
        shown_ = kPage;
    }
    run_ = run.id;
    if (run.samples.empty()) {
        const std::optional<double> every = config_number(run.manifest, "train", "sample_every");
        const char* key = every && *every < 1          ? "samples.none"
                          : protocol::ended(run.state) ? "samples.ended"
                          : every                      ? "samples.waiting"
                                                       : "samples.empty";
        ui::text_wrapped(
            ctx.text.format(key, {{"steps", ctx.text.number(static_cast<std::uint64_t>(every.value_or(0)))}}),
            ctx.theme.text_dim);
        return;
    }
    ui::segmented(
        ctx, "samples.filter",
        {ctx.text.label("samples.both"), ctx.text.label("load.mode.english"), ctx.text.label("load.mode.chinese")},
        filter_);
    // Those that there were at the position; samples come in the order of their steps.
    const std::optional<std::uint64_t> position = ctx.selection.pinned_step;
    std::size_t drawn = 0, known = run.samples.size();
    while (position && known > 0 && run.samples[known - 1].step > *position) {
        --known;
    }
    if (known == 0) {
        ui::text_wrapped(ctx.text("samples.none_yet"), ctx.theme.text_dim);
    }
    for (std::size_t i = known; i > 0 && drawn < shown_; --i) {
        const history::TextSample& sample = run.samples[i - 1];
        if ((filter_ == kEnglish && sample.language != "en") || (filter_ == kChinese && sample.language != "zh")) {
            continue;
        }
        ImGui::PushID(static_cast<int>(i));
        draw_sample(ctx, run, sample);
        ImGui::PopID();
        ++drawn;
    }
    if (drawn == shown_ && drawn < known && ImGui::Button(ctx.text.label("samples.more"))) {
        shown_ += kPage;
    }
}

}  // namespace moescope::panels
