// A model's text in the window: its answer, and its reasoning apart from it in a block that folds. GUI thread.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "panels/ui/context.hpp"
#include "panels/ui/text_view.hpp"
#include "probes/reasoning.hpp"

namespace moescope::panels {

class AnswerText {
 public:
    /// `raw` is the whole text so far; `finished`: no more comes. Costs nothing while neither changes. True when the
    /// answer only grew since the last call, false when it has to be drawn anew.
    bool update(std::string_view raw, bool finished, bool begins_inside = false);
    const std::string& answer() const { return separated_.answer; }
    const probes::Separated& separated() const { return separated_; }
    /// The block, dimmed: folded when there is an answer below it, until a person unfolds it. Nothing without
    /// reasoning. `id`: of the answer, so that each keeps its own state.
    void draw_reasoning(const ui::Context& ctx, std::string_view id);

 private:
    probes::Separated separated_;
    TextView view_;
    std::size_t size_ = 0;
    std::size_t reasoning_characters_ = 0;
    bool finished_ = false, begins_inside_ = false;
};

}  // namespace moescope::panels
