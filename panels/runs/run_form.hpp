// The window in which a new training run is put together: a preset, every key of its configuration with its range, and
// what the run would need, as the node plans it. Or a fork: the settings that were in force when a checkpoint of a run
// was saved, of which those can be changed that need no other tensors. Owned by the runs panel.
#pragma once

#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "nodes/history/run_changes.hpp"
#include "panels/runs/experiment_part.hpp"
#include "panels/runs/run_fields.hpp"
#include "panels/ui/context.hpp"
#include "panels/ui/undo.hpp"

namespace moescope::panels {

class RunForm {
 public:
    void open(ui::Context& ctx);
    /// For several runs that differ in one setting.
    void open_experiment(ui::Context& ctx);
    /// For a run that goes on from a checkpoint of `parent` with other settings; see can_fork.
    void open_fork(ui::Context& ctx, const history::TrainingRun& parent);
    /// Every frame, also while closed: takes the node's answers.
    void draw(ui::Context& ctx);
    /// The session that a person has chosen to start the run in, once: this form is closed, and what it holds is to be
    /// handed over to that session's form.
    std::optional<std::uint64_t> take_chosen_session() { return std::exchange(chosen_session_, std::nullopt); }
    /// What a form holds, for another session's.
    struct Handed {
        std::string preset, name, data;
        nlohmann::json config;
        ExperimentPart experiment;
    };
    Handed held() const { return {preset_, name_, data_, config_, experiment_}; }
    /// Opens with what another session's form holds, as far as this node has it: preset, settings, devices.
    void take_over(Handed held);

 private:
    /// Where a fork comes from.
    struct Fork {
        std::uint32_t run = 0;
        std::string name, data;
        std::uint64_t step = 0;  ///< of the checkpoint: the newest until a person has chosen one
        bool chosen = false;
        bool gone = false;            ///< the node keeps that checkpoint no longer
        std::uint64_t of_parent = 0;  ///< the parent's number of steps
        std::uint64_t proposed = 0;   ///< number of steps that stands in the form until a person changes it
        std::size_t events = 0;       ///< of the parent, when its settings in force were last taken
        std::vector<history::TurnedSetting> turned;  ///< those that differ from the parent's configuration
    };

    void collect(ui::Context& ctx);
    void take_handed(ui::Context& ctx);
    void learn_fields(ui::Context& ctx);
    void choose_preset(ui::Context& ctx, const std::string& name);
    void follow_parent(ui::Context& ctx);
    void choose_checkpoint(ui::Context& ctx, const history::TrainingRun& parent, std::uint64_t step);
    /// Starts from the settings in force at the checkpoint; what a person has changed in the form stays.
    void take_in_force(ui::Context& ctx, const history::TrainingRun& parent);
    /// Starts over from `config`, whose plan is known.
    void edit(nlohmann::json config, nlohmann::json plan);

    void draw_head(ui::Context& ctx);
    void draw_presets(ui::Context& ctx);
    void draw_origin(ui::Context& ctx);
    void draw_checkpoints(ui::Context& ctx);
    void draw_data(ui::Context& ctx);
    void draw_tools(ui::Context& ctx);
    void draw_carried(const ui::Context& ctx);
    void draw_groups(ui::Context& ctx);
    void draw_group(ui::Context& ctx, const FieldGroup& group);
    void draw_field(ui::Context& ctx, const FieldGroup& group, const ConfigField& field);
    static float label_width_of(const ui::Context& ctx, const ConfigField& field);
    void draw_label(const ui::Context& ctx, const ConfigField& field, bool changed, float width);
    void draw_value(ui::Context& ctx, const ConfigField& field);
    void draw_number(ui::Context& ctx, const ConfigField& field, const nlohmann::json& value);
    void draw_choice(ui::Context& ctx, const ConfigField& field, const nlohmann::json& value);
    /// The node's devices; those that can't be used say why.
    void draw_devices(ui::Context& ctx, const ConfigField& field, const nlohmann::json& value);
    /// Why the node can't start a run of several processes; empty when it can.
    std::string why_one_process(const ui::Context& ctx) const;
    /// More processes than cores; empty: there are not.
    std::string crowded(const ui::Context& ctx) const;
    void draw_undo(ui::Context& ctx, const ConfigField& field);
    std::string explanation(const ui::Context& ctx, const FieldGroup& group, const ConfigField& field) const;
    /// Red sentences above the plan.
    std::string complaints(const ui::Context& ctx) const;
    void draw_foot(ui::Context& ctx, const std::string& complaints);
    void draw_plan(const ui::Context& ctx);
    void draw_buttons(ui::Context& ctx);

    bool found(const ui::Context& ctx, const ConfigField& field) const;
    /// A fork cannot change it.
    bool fixed(const ConfigField& field) const;
    /// How the field was turned in a fork's parent; null when it was not.
    const history::TurnedSetting* turned_in_parent(const ConfigField& field) const;
    /// Another value than the preset's, or a typed one that was refused.
    bool changed(const ConfigField& field) const;
    std::size_t changes(const FieldGroup& group) const;
    void set(ui::Context& ctx, const ConfigField& field, nlohmann::json value);
    void reset(ui::Context& ctx, const ConfigField& field);
    void plan(ui::Context& ctx);
    void paste(ui::Context& ctx);
    void keep_fixed(const ui::Context& ctx);
    std::string why_not_start(const ui::Context& ctx) const;
    /// Why the fork can't begin where it should; empty when it can, and of a new run.
    std::string fork_problem(const ui::Context& ctx) const;
    void start(ui::Context& ctx);

    bool experiment() const { return experiment_.on && !fork_; }

    nlohmann::json fields() const;
    void watch(ui::Context& ctx);

    ui::FieldWatch watch_;
    bool open_ = false;
    std::optional<std::uint64_t> chosen_session_;
    std::optional<Handed> handed_;  ///< until this node has told what it offers
    ExperimentPart experiment_;
    float foot_height_ = 0;  ///< in the last frame
    std::optional<Fork> fork_;
    std::string carried_of_;  ///< what carried_ was made of
    std::vector<std::string> carried_;
    std::string preset_, name_, data_, search_;
    nlohmann::json base_;         ///< the preset's configuration or the parent's settings in force, to compare with
    nlohmann::json config_;       ///< what Start sends; every value fits its field
    nlohmann::json planned_;      ///< the node's plan of config_
    base::Sentence error_;        ///< the node's own sentence about config_
    base::Sentence start_error_;  ///< and about the last Start, until something is changed
    std::string note_;            ///< why a pasted text was refused
    std::map<std::string, std::string> refused_;  ///< by key: typed, but not fit; config_ keeps the value before
    std::string typing_key_, typing_;             ///< the field that has the keyboard
    client::CommandId planning_ = 0, starting_ = 0;
    bool start_wanted_ = false;  ///< Start was pressed while the node plans what the same click has finished

    std::vector<FieldGroup> groups_;  ///< of catalogue_
    std::shared_ptr<const nlohmann::json> catalogue_;
};

}  // namespace moescope::panels
