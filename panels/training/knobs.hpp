// What can be turned while a run trains: the settings that the node's catalogue calls live and that the run's
// configuration gives an effect; below, what the run writes. A knob shows the node's value until the node has confirmed
// a new one.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "panels/runs/run_fields.hpp"
#include "panels/training/samples.hpp"
#include "panels/ui/knob.hpp"
#include "panels/ui/panel.hpp"

namespace moescope::panels {

class KnobsPanel final : public ui::Panel {
 public:
    void take_over(ui::Panel& before) override { samples_.take_over(dynamic_cast<const KnobsPanel&>(before).samples_); }
    void draw(ui::Context& ctx) override;
    /// knobs.learning_rate=V, knobs.experts_per_token=V and so on for each knob: what typing V into the field does.
    bool act(const std::string& action, ui::Context& ctx) override;

 private:
    struct Knob {
        ui::KnobState state;
        client::CommandId sent = 0;
        base::Sentence error;  ///< the node's sentence
    };

    void learn_fields(const ui::Context& ctx, const history::TrainingRun& run);
    void turn(ui::Context& ctx, const history::TrainingRun& run, const LiveField& live, double value);
    void draw_knob(ui::Context& ctx, const history::TrainingRun& run, const LiveField& live);
    void draw_rhythm(ui::Context& ctx, const history::TrainingRun& run);

    std::map<std::string, Knob> knobs_;  ///< by key
    std::vector<LiveField> fields_;      ///< of run_ by catalogue_
    std::shared_ptr<const nlohmann::json> catalogue_;
    std::uint32_t run_ = 0;
    SampleList samples_;
};

}  // namespace moescope::panels
