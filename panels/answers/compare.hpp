// One prompt, two to six models, the answers side by side. A model may be on the node of another session that is open:
// that node answers in its own session, under the same id of the comparison, and the columns are joined here. A run
// number says nothing without its session, and a session's tab may come to show another journal: whatever is kept of an
// answer is kept under both (Column::reading).
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "panels/answers/answer_text.hpp"
#include "panels/ui/knob.hpp"
#include "panels/ui/panel.hpp"
#include "panels/ui/text_tools.hpp"
#include "panels/ui/text_view.hpp"
#include "panels/ui/undo.hpp"

namespace moescope::panels {

class ComparePanel : public ui::Panel {
 public:
    /// The settings.
    void take_over(ui::Panel& before) override;
    void draw(ui::Context& context) override;
    void draw_above(ui::Context& context) override { cancel_what_has_a_number(context); }
    /// compare.run, compare.cancel, compare.swap_language, compare.max_tokens=N.
    bool act(const std::string& action, ui::Context& context) override;

 private:
    enum class Mode { plain, difference, probability };
    struct Settings {
        int max_tokens = 200;
        bool sampled = false;
        double temperature = 0.8, top_p = 0.95, min_p = 0.05;
        int top_k = 40;
        std::uint64_t seed = 1;
        int alternatives = 5;
        bool chat = true;
        std::string system;  ///< empty: the template's own
        int routing = 2;     ///< what is kept of the routing of models that have a router: kRoutingDetails
    };
    /// A model, and which open session has it.
    struct Pick {
        std::uint64_t session = 0;  ///< ui::OpenedSession::id; 0: the panel's own
        std::string model;
        bool operator==(const Pick&) const = default;
    };
    /// One column of the comparison on show: a model and, once it has begun, its answer.
    struct Column {
        std::string model;
        std::uint64_t session = 0;      ///< as of a Pick
        std::uint64_t reading = 0;      ///< Snapshot::session that `run` counts in
        std::string node;               ///< what its session and machine were called when it was asked
        client::CommandId command = 0;  ///< 0 for a comparison that was not started by this panel
        std::uint32_t run = 0;          ///< 0 until the node has given a number
        std::shared_ptr<const history::Generation> answer;
    };
    /// What is drawn of an answer; rebuilt when what it was made of changes.
    struct View {
        std::string of;  ///< key_of() the column
        Mode mode = Mode::plain;
        std::string source;  ///< what else the view depends on: the run it is compared with, sizes
        AnswerText parts;
        DisplayText display;               ///< of the answer alone
        std::size_t shown = 0, chips = 0;  ///< bytes of display and chips that are in `text` already
        TextView text;
        std::vector<std::uint32_t> group_ends;  ///< probability: end of each token group in `text`
        std::vector<TokenGroup> groups;
        double same = -1;  ///< difference: share of words that are the same
        base::Sentence rule;
        std::string delivery;  ///< label of the ended answer; worked out once a view, as its rules read the whole text
        bool labelled = false;
        bool waits = false;  ///< difference: the words are being aligned
        float last_scroll_max = 0;
    };
    /// The words of two ended answers against each other. Made in the background: long texts take their time.
    struct Alignment {
        std::string base_of, other_of;                ///< key_of() the columns
        std::size_t base_bytes = 0, other_bytes = 0;  ///< an end may come before the last of the text
        bool ready = false;                           ///< changed on the GUI thread only
        std::string base, other;
        WordDiff diff;
    };
    struct Given {
        std::shared_ptr<const history::Generation> answer;
        std::uint64_t session = 0, reading = 0;  ///< as of a Column
    };
    struct Group {
        std::string id, prompt;
        std::uint64_t started_ns = 0;  ///< wall clock
        std::vector<Given> answers;    ///< in the order in which they were started; then those of other sessions
        std::size_t history_at = 0;    ///< its prompt in history_
    };

    /// What is known of a session in this frame; null when its tab is closed.
    static const client::Snapshot* snapshot_of(const ui::Context& ctx, std::uint64_t session);
    static std::string name_of(const ui::Context& ctx, std::uint64_t session);
    /// What a person calls a model of that session.
    static std::string title_in(const ui::Context& ctx, std::uint64_t session, const std::string& model);
    static std::string key_of(const Column& column);
    /// Something that comes from another session than the panel's own is on show.
    bool is_across() const;
    bool changed_elsewhere(const ui::Context& ctx);
    void collect_elsewhere(const ui::Context& ctx);
    client::CommandId send(ui::Context& ctx, std::uint64_t session, const char* name, nlohmann::json parameters) const;
    bool pick_combo(ui::Context& ctx, Pick& pick);
    void draw_node(ui::Context& ctx, const Column& column) const;
    void refresh(ui::Context& ctx);
    void choose_defaults(ui::Context& ctx);
    void choose_models(const ui::Context& ctx);
    void choose_handed(const ui::Context& ctx);
    void hand_over(ui::Context& ctx, std::uint64_t session) const;
    void follow_columns(ui::Context& ctx);
    void show_group(const ui::Context& ctx, const Group& group);
    bool take_models(const ui::Context& ctx, const Group& group);
    void take_settings(const history::Generation& answer);
    Pick another_model(const ui::Context& ctx) const;
    void collect_history();
    /// From the click on: a second comparison must not start before the first one's answers have arrived.
    bool busy(const ui::Context& ctx) const;
    bool waiting(const ui::Context& ctx, const Column& column) const;
    void start(ui::Context& ctx);
    void cancel(ui::Context& ctx);
    void cancel_what_has_a_number(ui::Context& ctx);
    void swap_language(ui::Context& ctx);
    /// What a person edits: prompt, models and settings; see ui::FieldWatch.
    nlohmann::json edited(const ui::Context& ctx) const;
    void set_edited(const nlohmann::json& state);
    void watch(ui::Context& ctx);
    /// Where in history_ the prompt comes from; none while it is no earlier one.
    std::optional<std::size_t> history_position() const;
    bool can_step_history(int by) const;
    void step_history(int by);
    void keep_draft();

    void draw_prompt(ui::Context& ctx);
    void draw_library(ui::Context& ctx);
    void draw_earlier(ui::Context& ctx);
    void draw_models(ui::Context& ctx);
    void draw_settings(ui::Context& ctx);
    void draw_question(ui::Context& ctx);
    void draw_view_bar(ui::Context& ctx);
    void draw_columns(ui::Context& ctx);
    void draw_column(ui::Context& ctx, std::size_t index, float foot);
    void draw_column_head(ui::Context& ctx, std::size_t index);
    void draw_answer(ui::Context& ctx, std::size_t index);
    void draw_foot(ui::Context& ctx, std::size_t index);
    void draw_alternatives(ui::Context& ctx);
    void draw_routing_setting(ui::Context& ctx);
    std::string answer_title(const ui::Context& ctx, const Column& column) const;
    void label(View& view, const history::Generation& answer) const;
    void update_view(ui::Context& ctx, std::size_t index);
    void build_plain(View& view, const history::Generation& answer);
    const Alignment* alignment_of(ui::Context& ctx, std::size_t index);
    void build_difference(View& view, std::size_t index, const Alignment* alignment);
    void build_probability(View& view, const history::Generation& answer);

    ui::FieldWatch watch_;
    std::uint64_t seen_version_ = ~std::uint64_t{0};
    std::vector<std::pair<std::uint64_t, std::uint64_t>> seen_elsewhere_;  ///< other open sessions: id, version
    std::vector<Group> groups_;  ///< all comparisons of the session, oldest first: number i + 1
    std::string prompt_;
    bool prompt_touched_ = false;
    std::vector<std::string> history_;  ///< prompts of the session, oldest first, no two the same in a row
    std::size_t history_at_ = 0;        ///< counts while prompt_ is that one
    std::string asked_;                 ///< the latest own prompt: its answers may still be on the way
    std::string draft_;                 ///< what was typed and not run, while an earlier prompt is shown
    std::vector<Pick> models_;          ///< picked, one per column
    bool models_chosen_ = false;        ///< by a person; until then they are those of the newest comparison
    std::vector<Pick> handed_;          ///< models that another session's panel had, until the library here is known
    Settings settings_;
    std::optional<Settings> own_;  ///< as a person left them, once those of an earlier comparison took their place
    std::map<std::string, ui::NumberState> fields_;  ///< of the settings, by language key
    std::string group_;                              ///< comparison on show
    std::string question_;                           ///< its prompt
    std::vector<Column> columns_;
    std::vector<View> views_;
    std::vector<std::shared_ptr<Alignment>> alignments_;  ///< of the answers in columns_
    double started_at_ = 0;                               ///< ctx.now of the last start
    struct ToCancel {
        std::uint64_t session;
        client::CommandId command;
    };
    std::vector<ToCancel> to_cancel_{};  ///< cancelled before the answers had numbers
    Mode mode_ = Mode::plain;
    std::size_t base_ = 0;  ///< column that the others are compared with
    std::size_t popup_column_ = 0, popup_group_ = 0;
    bool open_popup_ = false;
    float foot_height_ = 0, column_least_ = 0;  ///< of the columns in the last frame: what wraps there is higher
};

}  // namespace moescope::panels
