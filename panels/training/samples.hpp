// What the model in training writes: its English and Chinese samples, newest first.
#pragma once

#include <cstddef>
#include <cstdint>

#include "panels/runs/run_tools.hpp"
#include "panels/ui/context.hpp"

namespace moescope::panels {

/// A part of the knobs panel.
class SampleList {
 public:
    void draw(ui::Context& ctx, const history::TrainingRun& run);
    void take_over(const SampleList& before) { filter_ = before.filter_; }

 private:
    enum Filter { kBoth, kEnglish, kChinese };
    std::uint32_t run_ = 0;
    std::size_t shown_ = 0;  ///< samples drawn; the rest behind a button
    int filter_ = kBoth;
};

}  // namespace moescope::panels
