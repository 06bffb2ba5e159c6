// Probe sets over models: a table of rates with intervals, the paired tests, and the answers behind every cell with
// their labels.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "panels/answers/answer_text.hpp"
#include "panels/answers/probe_merge.hpp"
#include "panels/answers/probe_statistics.hpp"
#include "panels/ui/knob.hpp"
#include "panels/ui/panel.hpp"
#include "panels/ui/text_view.hpp"
#include "panels/ui/undo.hpp"

namespace moescope::panels {

class ProbePanel : public ui::Panel {
 public:
    /// The settings.
    void take_over(ui::Panel& before) override;
    void draw(ui::Context& context) override;
    void draw_above(ui::Context& context) override { merge_.draw(context); }
    /// probes.start, probes.pause (pauses, resumes, goes on with a run that had ended early), probes.cancel,
    /// probes.max_tokens=N, probes.coder=NAME, probes.merge, probes.merge_folder, probes.merge=PATH,
    /// probes.disagreements (shows those answers), probes.consensus (labels from then on are what coders agreed on, or
    /// no longer); for the answer on show probes.label.<delivery or 0 to 4>,
    /// probes.label.undo, probes.next_answer, probes.previous_answer.
    bool act(const std::string& action, ui::Context& context) override;
    /// The actions of the answer on show, in the order of their menu.
    static std::vector<std::string> answer_actions();

 private:
    /// What the answers pane shows. Empty strings do not restrict.
    struct Filter {
        std::string group, topic, item, model, language;
    };
    struct Item {
        std::string id, group, topic, title, mirrors;
    };

    // probe.cpp: the run, its settings and progress, the set's tree
    void refresh(ui::Context& ctx);
    void choose_defaults(ui::Context& ctx);
    void choose_as_before(const ui::Context& ctx);
    void choose_handed(const ui::Context& ctx);
    void hand_over(ui::Context& ctx, std::uint64_t session) const;
    void collect_items(ui::Context& ctx);
    const nlohmann::json* find_set(const ui::Context& ctx) const;
    std::size_t items_in_set(const ui::Context& ctx) const;
    void start(ui::Context& ctx);
    void toggle_pause(ui::Context& ctx);
    void cancel(ui::Context& ctx);
    bool active() const;
    void ask_plan(ui::Context& ctx);
    void watch(ui::Context& ctx);
    void draw_settings(ui::Context& ctx);
    void draw_run_bar(ui::Context& ctx);
    void draw_run_buttons(ui::Context& ctx);
    void draw_beside(ui::Context& ctx);
    void draw_below(ui::Context& ctx);
    void draw_plan_line(ui::Context& ctx);
    void draw_tree(ui::Context& ctx);
    void draw_topic(ui::Context& ctx, const std::string& group, const std::string& topic);
    std::string topic_title(const ui::Context& ctx, const std::string& topic) const;
    std::string short_title(const ui::Context& ctx, const std::string& name) const;
    std::string side_title(const ui::Context& ctx, const ProbeSide& side) const;

    // probe_matrix.cpp: the table of rates and the tests below it
    void draw_middle(ui::Context& ctx);
    const std::string& measure() const;
    void draw_matrix(ui::Context& ctx);
    void draw_matrix_head(ui::Context& ctx);
    void draw_matrix_row(ui::Context& ctx, const std::string& group, const std::string& topic);
    void draw_cell(ui::Context& ctx, const ProbeCell* cell, bool total);
    void cell_tooltip(ui::Context& ctx, const ProbeCell& cell);
    std::string test_title(const ui::Context& ctx, const ProbeTest& test) const;
    void draw_tests(ui::Context& ctx);
    void draw_contrasts(ui::Context& ctx);
    void draw_agreement(ui::Context& ctx);
    void show_disagreements(ui::Context& ctx);

    // probe_answers.cpp: the answers behind a cell, their labels
    void draw_answers(ui::Context& ctx);
    void collect_answers(const ui::Context& ctx);
    const history::ProbeDraw* answer() const;
    std::size_t answer_index() const;  ///< of the answer on show in answers_; their number when none is
    void step_answer(int by);
    bool act_on_answer(const std::string& action, ui::Context& ctx);
    void draw_answer_list(ui::Context& ctx);
    void draw_answer_row(ui::Context& ctx, const history::ProbeDraw& draw, bool repeated);
    void draw_answer(ui::Context& ctx, const history::ProbeDraw& draw);
    void draw_texts(ui::Context& ctx, const history::ProbeDraw& draw);
    void draw_routing_button(ui::Context& ctx, const history::ProbeDraw& draw);
    void draw_labels(ui::Context& ctx, const history::ProbeDraw& draw);
    void draw_coder(ui::Context& ctx, const history::ProbeDraw& draw);
    void draw_codings(ui::Context& ctx, const history::ProbeDraw& draw);
    void take_keys(ui::Context& ctx, const history::ProbeDraw& draw);
    struct FieldLabel {
        const char* field = "";
        std::string value;  ///< empty: the person's label is taken back
    };
    void label(ui::Context& ctx, const history::ProbeDraw& draw, const std::vector<FieldLabel>& labels);
    void show_wanted_answer(ui::Context& ctx);
    void label_level(ui::Context& ctx, const history::ProbeDraw& draw, const std::string& level);
    void take_back(ui::Context& ctx, const history::ProbeDraw& draw);

    ui::FieldWatch watch_;  ///< of the settings
    MergeForm merge_;
    std::uint64_t seen_version_ = ~std::uint64_t{0};
    std::string seen_language_;
    std::shared_ptr<const history::ProbeRun> run_;  ///< on show
    ProbeStatistics statistics_;
    std::vector<Item> items_;

    std::string set_;
    std::array<std::string, 2> models_;
    /// What another session's panel had chosen, until node and library here have told what they offer.
    struct Handed {
        std::string set;
        std::array<std::string, 2> models;
    };
    std::optional<Handed> handed_;
    bool chosen_ = false;  ///< set or models, by a person; until then they are those of the session's newest run
    int draws_ = 1, max_tokens_ = 160;
    std::map<std::string, ui::NumberState> fields_;  ///< of the two, by language key
    bool chat_ = true;
    std::string system_;  ///< empty: the templates' own
    client::CommandId starting_ = 0, planning_ = 0;
    std::string planned_for_;
    base::Sentence problem_;

    int measure_ = 0;
    Filter filter_{"state", "", "", "", ""};
    bool filter_chosen_ = false;
    bool disagreed_ = false;  ///< only answers that coders have labelled differently, whatever the filter
    bool consensus_ = false;  ///< labels that are given now are what coders agreed on
    std::vector<std::shared_ptr<const history::ProbeDraw>> answers_;  ///< those that fit the filter
    std::string answers_title_, answers_language_;                    ///< what they have in common
    std::uint64_t answer_ = 0;                                        ///< seq of the answer on show
    std::uint64_t viewed_ = 0;                                        ///< seq whose texts are in the views
    TextView prompt_view_, answer_view_;
    AnswerText answer_text_;
    float labels_height_ = 0;
    bool ask_coder_ = false;    ///< somebody wanted to label without initials: the field gets the keyboard
    bool coder_asked_ = false;  ///< a line says that they are missing
    bool scroll_up_ = false;    ///< another answer starts at its first line
    bool show_answer_ = false;  ///< the list scrolls to the answer on show
};

}  // namespace moescope::panels
