// The window in which a recorded training is run again: what is other here than where it was recorded, and afterwards
// whether its losses and parameters are the same. Owned by the runs panel.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>

#include "panels/ui/context.hpp"

namespace moescope::panels {

/// What a run that repeats another one has come to, in a sentence; empty for any other run. While it goes on: how far
/// it is, and whether a step was another one.
std::string replay_text(const ui::Context& ctx, const history::TrainingRun& run);
/// Why the run can't be done again from what the session says of it: a language key; null when it can.
const char* why_not_again(const history::TrainingRun& run);

class ReproduceForm {
 public:
    void open(const ui::Context& ctx, const history::TrainingRun& run);
    /// Every frame, also while closed: takes the node's answers.
    void draw(ui::Context& ctx);
    /// The session that a person has chosen to run it in, once: what this form holds is to be handed over to that
    /// session's form.
    std::optional<std::uint64_t> take_chosen_session() { return std::exchange(chosen_session_, std::nullopt); }
    /// Opens for a run of another session, which is read from its folder on this machine.
    void take_over(const ReproduceForm& other);

 private:
    nlohmann::json wanted() const;
    void collect(ui::Context& ctx);
    void draw_where(ui::Context& ctx);
    void draw_differences(ui::Context& ctx);
    void draw_outcome(ui::Context& ctx);
    void draw_buttons(ui::Context& ctx);
    std::string why_not_start(const ui::Context& ctx) const;

    bool open_ = false;
    std::uint32_t run_ = 0;
    std::string name_, session_;  ///< the run's; folder of the session that has it, empty: this one
    bool check_wanted_ = false;   ///< as soon as there is a node
    client::CommandId checking_ = 0, starting_ = 0;
    nlohmann::json checked_;  ///< the answer of reproduce.check; null before
    base::Sentence error_;
    std::uint32_t started_ = 0;  ///< the new run; 0: none yet
    std::optional<std::uint64_t> chosen_session_;
};

}  // namespace moescope::panels
