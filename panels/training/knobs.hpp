// What can be turned while a run trains: learning rate, coefficients of the losses, and of the router what the run's
// configuration has; below, what the run writes. A knob shows the node's value until the node has confirmed a new one.
#pragma once

#include <array>
#include <cstdint>

#include "panels/training/samples.hpp"
#include "panels/ui/knob.hpp"
#include "panels/ui/panel.hpp"

namespace moescope::panels {

class KnobsPanel final : public ui::Panel {
 public:
    void draw(ui::Context& ctx) override;
    /// knobs.learning_rate=V, knobs.experts_per_token=V and so on for each knob: what typing V into the field does.
    bool act(const std::string& action, ui::Context& ctx) override;

 private:
    static constexpr std::size_t kKnobs = 7;
    struct Knob {
        ui::KnobState state;
        client::CommandId sent = 0;
        std::string error;  ///< the node's sentence
    };

    void turn(ui::Context& ctx, const history::TrainingRun& run, std::size_t which, double value);
    void draw_knob(ui::Context& ctx, const history::TrainingRun& run, std::size_t which);
    void draw_rhythm(ui::Context& ctx, const history::TrainingRun& run);

    std::array<Knob, kKnobs> knobs_;
    std::uint32_t run_ = 0;
    SampleList samples_;
};

}  // namespace moescope::panels
