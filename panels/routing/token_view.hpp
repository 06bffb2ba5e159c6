// The token view: the text of a trace coloured by what its routers decided, and the whole decision of the selected
// token.
#pragma once

#include <array>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "panels/routing/decision_cache.hpp"
#include "panels/routing/decision_view.hpp"
#include "panels/routing/read_form.hpp"
#include "panels/routing/token_colours.hpp"
#include "panels/routing/token_pages.hpp"
#include "panels/routing/token_text_view.hpp"
#include "panels/ui/panel.hpp"
#include "routing/figures/figure_job.hpp"

namespace moescope::panels {

class RoutingPanel final : public ui::Panel {
 public:
    /// Colour and rank.
    void take_over(ui::Panel& before) override;
    void draw(ui::Context& ctx) override;
    void draw_above(ui::Context& ctx) override;
    /// routing.read, routing.token_next, routing.token_previous, routing.layer_next, routing.layer_previous,
    /// routing.copy_link, routing.open_link (from the clipboard), routing.open_link=LINK, routing.export,
    /// routing.export=FORMAT, routing.colour=NAME.
    bool act(const std::string& action, ui::Context& ctx) override;

 private:
    using Job = routing::FigureJob<TokenPages>;

    void refresh(ui::Context& ctx, const history::RunRouting& routing);
    void find_answer(const ui::Context& ctx, const history::RunRouting& routing, bool growing);
    const std::vector<std::shared_ptr<const TokenPage>>& pages() const;

    void draw_toolbar(ui::Context& ctx, const history::RunRouting& routing);
    void draw_colouring(ui::Context& ctx, const history::RunRouting& routing);
    void draw_legend(ui::Context& ctx, const history::RunRouting& routing);
    void draw_expert_legend(ui::Context& ctx);
    void draw_chip(ui::Context& ctx, int expert, float width, const std::function<std::string()>& tip);
    void draw_no_values(ui::Context& ctx, const history::RunRouting& routing);
    void draw_tint_legend(const ui::Context& ctx) const;
    void draw_failure(ui::Context& ctx, const history::RouteRun& run);
    void draw_progress(ui::Context& ctx, const history::RunRouting& routing);
    void update_scale(ui::Context& ctx);
    void draw_text(ui::Context& ctx, const history::RunRouting& routing, ImVec2 size);
    void draw_tip(const ui::Context& ctx, const history::RunRouting& routing, std::uint64_t token);
    void draw_decision(ui::Context& ctx, const history::RunRouting& routing, ImVec2 size);
    void draw_token_line(ui::Context& ctx, const history::RunRouting& routing, const TokenPage& page, std::size_t at);
    void draw_menu(ui::Context& ctx, const history::RunRouting& routing);

    void step_token(ui::Context& ctx, std::int64_t by);
    void step_layer(ui::Context& ctx, int by);
    void take_key(ui::Context& ctx, ImGuiKey key);
    void copy_link(ui::Context& ctx);
    void open_link(ui::Context& ctx, const std::string& text);
    void export_trace(ui::Context& ctx, const std::string& format);
    ReadAgain may_read_token_again(const ui::Context& ctx, const history::RunRouting& routing) const;
    std::pair<std::uint64_t, std::uint64_t> document_of(std::uint64_t token) const;
    void read_again(ui::Context& ctx, const history::RunRouting& routing);

    std::shared_ptr<const routing::PackedTrace> trace_;  ///< of what is kept below
    std::unique_ptr<Job> job_;
    std::shared_ptr<const Job::State> state_;
    bool follows_ = false;
    std::optional<std::uint64_t> answer_, job_answer_;  ///< known; that the job cuts at
    std::uint64_t answer_looked_at_ = 0;                ///< tokens when it was looked for last
    TokenTextView text_;
    DecisionCache cache_;
    DecisionView decision_;
    ReadForm form_;
    bool form_open_ = false, open_menu_ = false;
    std::uint32_t form_over_ = 0;                     ///< the run behind the open form
    std::uint64_t asked_for_ = 0;                     ///< routings_asked_for, as it was when this panel was last drawn
    std::uint64_t sight_first_ = 0, sight_last_ = 0;  ///< tokens in the last frame
    TokenColour colour_ = TokenColour::expert;
    int rank_ = 0;
    Colouring colouring_;
    std::size_t scaled_with_ = 0;        ///< values that the scale of the tints is made of; 0: there is none yet
    bool no_values_ = false;             ///< none of the tokens in sight has what the tints are made of
    std::map<int, std::size_t> counts_;  ///< tokens in sight of each expert, in the last frame
    std::optional<std::string> import_next_;  ///< file that was chosen, to be sent in the next frame
    ImVec2 text_min_{}, text_max_{};
};

}  // namespace moescope::panels
