#include "panels/training/samples.hpp"

#include <algorithm>

#include "panels/ui/text_layout.hpp"
#include "panels/ui/widgets.hpp"

namespace moescope::panels {

namespace {

using ui::Context;

constexpr std::size_t kPage = 20;

void draw_sample(const Context& ctx, const history::TextSample& sample) {
    const bool chinese = sample.language == "zh";
    ui::text_colored(chinese ? ctx.theme.chinese : ctx.theme.english,
                     ctx.text(chinese ? "load.mode.chinese" : "load.mode.english"));
    ImGui::SameLine(0, 0.6f * ctx.em);
    ui::text_dim(ctx, ctx.text.format("training.step", {{"step", ctx.text.number(sample.step)}}));
    if (!sample.prompt.empty()) {
        ui::text_wrapped(ui::displayable(sample.prompt), ctx.theme.text_dim);
    }
    ImGui::BeginGroup();
    const std::string shown = ui::displayable(sample.text);
    if (shown.empty()) {
        ui::text_dim(ctx, ctx.text("samples.nothing"));
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
        ui::text_wrapped(
            every ? ctx.text.format("samples.waiting",
                                    {{"steps", ctx.text.number(static_cast<std::uint64_t>(std::max(0.0, *every)))}})
                  : std::string(ctx.text("samples.empty")),
            ctx.theme.text_dim);
        return;
    }
    ui::segmented(
        ctx, "samples.filter",
        {ctx.text.label("samples.both"), ctx.text.label("load.mode.english"), ctx.text.label("load.mode.chinese")},
        filter_);
    std::size_t drawn = 0;
    for (std::size_t i = run.samples.size(); i > 0 && drawn < shown_; --i) {
        const history::TextSample& sample = run.samples[i - 1];
        if ((filter_ == kEnglish && sample.language != "en") || (filter_ == kChinese && sample.language != "zh")) {
            continue;
        }
        ImGui::PushID(static_cast<int>(i));
        draw_sample(ctx, sample);
        ImGui::PopID();
        ++drawn;
    }
    if (drawn == shown_ && drawn < run.samples.size() && ImGui::Button(ctx.text.label("samples.more"))) {
        shown_ += kPage;
    }
}

}  // namespace moescope::panels
