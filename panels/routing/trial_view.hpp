// One set of changes tried on a question: two answers of the same model with the same prompt and seed, untouched and
// changed, their difference, and the effect on the text beside that of random changes. GUI thread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "panels/routing/effect_result.hpp"
#include "panels/routing/token_pages.hpp"
#include "panels/routing/token_text_view.hpp"
#include "panels/ui/chart_view.hpp"
#include "panels/ui/context.hpp"
#include "panels/ui/plot_tools.hpp"
#include "panels/ui/text_view.hpp"
#include "panels/ui/undo.hpp"
#include "routing/figures/figure_job.hpp"

namespace moescope::panels {

/// For commands, which know no panel: a trial is under way. In ui::Shared.
struct TrialGoing {
    bool going = false;
};

class TrialView {
 public:
    void take_over(const TrialView& before);
    /// Follows what was started; every frame, also while nothing of it is drawn.
    void follow(ui::Context& ctx);
    /// The question, its settings and buttons. `problem`: why the changes do not fit the model; empty: they do.
    void draw_question(ui::Context& ctx, const std::string& problem);
    /// The trial on show. Needs some room downwards: the panel scrolls.
    void draw_result(ui::Context& ctx);
    /// Both answers, and then their effect. Says why it can't.
    void start(ui::Context& ctx);
    void cancel(ui::Context& ctx);
    bool busy(const ui::Context& ctx) const;
    const std::string& model() const { return model_; }
    /// The model of the latest trial, else the one that a person would look at; while none is chosen.
    void choose_model(const ui::Context& ctx);
    void set_model(const std::string& model) { model_ = model; }
    void set_prompt(const std::string& prompt) {
        prompt_ = prompt;
        touched_ = true;
    }

 private:
    enum class Mode : std::uint8_t { plain, difference, log_probability, kl };
    /// What was started last and has not ended.
    struct Started {
        std::string group;
        client::CommandId untouched = 0, changed = 0, effect = 0;
        std::uint32_t untouched_run = 0, changed_run = 0;
        nlohmann::json effect_parameters;  ///< of route.effect, without the run
        double at = 0;                     ///< ctx.now
        bool cancelled = false;
        Trial trial;  ///< what is known of it already
    };
    struct Alignment {
        std::string base, other;
        WordDiff diff;
        bool ready = false;  ///< changed on the GUI thread only
    };
    struct Side {
        std::uint32_t run = 0;
        std::string source;  ///< what the view was made of
        TextView text;
    };
    using Job = routing::FigureJob<TokenPages>;

    void follow_started(ui::Context& ctx);
    void choose_defaults(ui::Context& ctx);
    void refresh(ui::Context& ctx);
    void add_started(const client::Snapshot& snapshot);
    const Trial* shown() const;
    void measure(ui::Context& ctx, const Trial* trial);
    void draw_settings(ui::Context& ctx);
    void watch(ui::Context& ctx);
    void draw_buttons(ui::Context& ctx, const std::string& problem);
    void draw_choice(ui::Context& ctx);
    void draw_modes(ui::Context& ctx, const Trial& trial);
    void draw_scale(const ui::Context& ctx) const;
    void draw_columns(ui::Context& ctx, const Trial& trial);
    void draw_column(ui::Context& ctx, const Trial& trial, bool changed, float width, float height);
    void draw_answer(ui::Context& ctx, const Trial& trial, bool changed);
    void update_side(ui::Context& ctx, const Trial& trial, bool changed);
    void draw_tinted(ui::Context& ctx, ImVec2 size);
    void draw_progress(ui::Context& ctx, const Trial& trial);
    void draw_effect(ui::Context& ctx, const Trial& trial);
    void draw_controls(const ui::Context& ctx, const std::vector<Change>& changes);
    void draw_plot(ui::Context& ctx, ImVec2 size);
    void draw_shift(ui::Context& ctx, ImVec2 size);
    void draw_menu(ui::Context& ctx);
    Drawing plot_picture(const ui::Context& ctx) const;
    history::MinMax plot_range() const;
    void refresh_effect(ui::Context& ctx, const Trial& trial);
    const std::vector<std::shared_ptr<const TokenPage>>& pages() const;
    double tint(std::uint64_t token) const;

    ui::FieldWatch watch_;  ///< of the question and its settings
    std::string model_, prompt_, system_;
    bool touched_ = false, chat_ = true;
    int max_tokens_ = 120, controls_ = 8;
    std::uint64_t seed_ = 1;

    std::uint64_t seen_version_ = ~std::uint64_t{0};
    std::vector<Trial> trials_;
    std::string group_;  ///< of the trial on show; empty: the newest
    std::optional<Started> started_;

    Mode mode_ = Mode::plain;
    Side untouched_, changed_;
    std::shared_ptr<Alignment> alignment_;
    std::string aligned_;  ///< what alignment_ is of

    std::uint32_t effect_run_ = 0;
    std::string effect_of_ = "-";  ///< the run and how much of its result is there
    std::string effect_language_;
    bool dark_ = true;
    std::optional<EffectResult> effect_;
    std::shared_ptr<const Chart> shift_;
    ChartView shift_view_;
    double kl_scale_ = 1, log_scale_ = 1;
    std::shared_ptr<const routing::PackedTrace> base_trace_;
    std::unique_ptr<Job> job_;
    std::shared_ptr<const Job::State> state_;
    std::optional<std::uint64_t> answer_;  ///< first token of the answer in base_trace_
    TokenTextView tinted_;
    history::Column plot_x_, plot_kl_, plot_log_;
    Points shown_kl_, shown_log_;
    int plot_pixels_ = 0;
    std::optional<std::uint64_t> hovered_token_;
    bool open_menu_ = false;
    ImVec2 plot_min_{}, plot_max_{};
};

}  // namespace moescope::panels
