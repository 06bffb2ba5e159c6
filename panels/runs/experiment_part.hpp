// The part of the form of a new run that makes an experiment of it: the setting in which the runs differ, and its
// values. Owned by the form; GUI thread.
#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "panels/runs/experiment_values.hpp"
#include "panels/ui/context.hpp"

namespace moescope::panels {

class ExperimentPart {
 public:
    bool on = false;  ///< the form makes an experiment

    /// The switch, and while it is on the setting and its values. `config`: the form's, whose values are proposed.
    void draw(ui::Context& ctx, const std::vector<FieldGroup>& groups, const nlohmann::json& config);
    /// Of the last draw().
    std::size_t runs() const { return values_.size(); }
    /// Why this is no experiment yet; empty when it is one.
    std::string why_not(const ui::Context& ctx) const;
    /// What a person has chosen, to be put back later.
    nlohmann::json state() const { return {{"on", on}, {"key", key_}, {"turned", turned_}, {"typed", typed_}}; }
    void set_state(const nlohmann::json& state);
    /// "key" and "values" of experiment.start.
    nlohmann::json parameters() const { return {{"key", key_}, {"values", values_}}; }

 private:
    void draw_key(ui::Context& ctx, const std::vector<FieldGroup>& groups);
    void draw_choices(const std::vector<OfferedValue>& offered);
    void draw_list(ui::Context& ctx, const ConfigField& field, const nlohmann::json& config);

    std::string key_ = "balance", search_;
    std::map<std::string, std::set<std::string>> turned_;  ///< by key: values ticked that were not, or the other way
    std::map<std::string, std::string> typed_;             ///< by key: the list
    std::vector<nlohmann::json> values_;
    std::vector<std::string> refused_;
};

}  // namespace moescope::panels
