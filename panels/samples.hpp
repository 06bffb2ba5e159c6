// What the model in training writes: its English and Chinese samples, newest first.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "panels/run_tools.hpp"
#include "panels/ui/context.hpp"

namespace moescope::panels {

/// The list itself, as a part of a panel.
class SampleList {
 public:
    void draw(ui::Context& ctx, const client::TrainingRun& run);

 private:
    enum Filter { kBoth, kEnglish, kChinese };
    std::uint32_t run_ = 0;
    std::size_t shown_ = 0;  ///< samples drawn; the rest behind a button
    int filter_ = kBoth;
};

class SamplesPanel final : public ui::Panel {
 public:
    const char* key() const override { return "samples"; }
    void draw(ui::Context& ctx) override;

 private:
    SampleList list_;
};

std::unique_ptr<ui::Panel> make_samples();

}  // namespace moescope::panels
