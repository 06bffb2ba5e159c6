#include "panels/routing/figure_view.hpp"

#include "panels/ui/text_layout.hpp"
#include "panels/ui/units.hpp"
#include "panels/ui/widgets.hpp"

namespace moescope::panels {

bool draw_progress(const ui::Context& ctx, const FigureProgress& progress) {
    if (!progress.problem.empty()) {
        ui::banner(ctx, ui::Tone::warning, ctx.text.message(progress.problem));
        return true;
    }
    if (progress.working) {
        const double part = progress.of > 0 ? static_cast<double>(progress.done) / static_cast<double>(progress.of) : 0;
        ui::meter(ctx, part, ctx.text.format("figure.progress", {{"part", ui::percent_text(ctx.text, part)}}));
        return true;
    }
    if (progress.damaged > 0) {
        ui::text_wrapped(ctx.text.format("figure.damaged", {{"n", ctx.text.number(std::uint64_t{progress.damaged})},
                                                            {"of", ctx.text.number(std::uint64_t{progress.of})}}),
                         ctx.theme.warning);
        return true;
    }
    return false;
}

}  // namespace moescope::panels
