// The runs of the session: training runs above, answers and probes below. The form that starts a
// new training run is in run_form.hpp.
#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>

#include "base/json_fields.hpp"
#include "base/numbers.hpp"
#include "nodes/history/comparisons.hpp"
#include "nodes/history/main_loss.hpp"
#include "panels/node/library.hpp"
#include "panels/panels.hpp"
#include "panels/runs/experiment_values.hpp"
#include "panels/runs/imported_runs.hpp"
#include "panels/runs/reproduce_form.hpp"
#include "panels/runs/run_form.hpp"
#include "panels/runs/run_tools.hpp"
#include "panels/runs/session_tabs.hpp"
#include "panels/ui/panel.hpp"
#include "panels/ui/text_layout.hpp"
#include "panels/ui/text_tools.hpp"
#include "panels/ui/widgets.hpp"

namespace moescope::panels {

namespace {

using history::RunState;
using history::TrainingRun;
using nlohmann::json;
using ui::Context;
namespace icon = ui::icon;

class RunsPanel final : public ui::Panel {
 public:
    void draw(ui::Context& ctx) override;
    void draw_above(ui::Context& ctx) override;
    /// runs.new opens the form, run.experiment opens it for an experiment, run.fork for a fork of the selected run,
    /// run.reproduce shows what it takes to run that one again.
    /// curves.import and curves.import_folder ask for a file or a folder, curves.import=PATH takes that one;
    /// curves.export=csv and =tensorboard write the selected run.
    bool act(const std::string& action, ui::Context& ctx) override;

 private:
    void draw_training(ui::Context& ctx);
    void draw_training_row(ui::Context& ctx, const history::TrainingRun& run, bool chosen);
    void draw_training_menu(ui::Context& ctx, const history::TrainingRun& run);
    void draw_experiment_menu(ui::Context& ctx, const history::TrainingRun& run);
    void draw_imported(ui::Context& ctx);
    void draw_others(ui::Context& ctx);
    void draw_answers(ui::Context& ctx);

    RunForm form_;
    ReproduceForm again_;
    std::optional<std::string> import_next_;  ///< file or folder that was chosen, to be sent in the next frame
};

const char* state_icon(RunState state) {
    switch (state) {
        case RunState::planned:
            return icon::clock;
        case RunState::running:
            return icon::play;
        case RunState::paused:
            return icon::pause;
        case RunState::done:
            return icon::check;
        case RunState::stopped:
            return icon::stop;
        case RunState::failed:
            return icon::error;
        case RunState::interrupted:
            return icon::warning;
    }
    return icon::question;
}

ImVec4 state_color(const ui::Theme& theme, RunState state) {
    switch (state) {
        case RunState::running:
            return theme.accent;
        case RunState::done:
            return theme.good;
        case RunState::failed:
            return theme.error;
        case RunState::interrupted:
        case RunState::paused:
            return theme.warning;
        case RunState::planned:
        case RunState::stopped:
            break;
    }
    return theme.text_dim;
}

/// How the name and the number of a row share its width: beside each other, the name in as many lines as it needs with
/// the number below, or (in a list whose rows are all of one height) the name cut and the number left to the tooltip.
enum class Fit { whole, one_line };

/// One entry of a list: state, name, and a dim number. True when clicked.
bool row(const Context& ctx, const char* id, RunState state, const std::string& name, const std::string& number,
         bool chosen, Fit fit = Fit::whole) {
    const ImVec2 start = ImGui::GetCursorScreenPos();
    const float width = ImGui::GetContentRegionAvail().x, line = ImGui::GetTextLineHeight(), edge = 0.2f * ctx.em;
    const float left = 1.5f * ctx.em, room = width - left - edge;
    const float number_width = ImGui::CalcTextSize(number.c_str()).x, gap = number.empty() ? 0 : 0.6f * ctx.em;
    const bool beside = ImGui::CalcTextSize(name.c_str()).x + gap + number_width <= room;
    std::vector<std::string> lines;
    if (beside) {
        lines.push_back(name);
    } else if (fit == Fit::one_line) {
        lines.push_back(ui::elided_middle(name, room));
    } else {
        for (const std::string_view part : ui::wrap_lines(name, room)) {
            lines.emplace_back(part);
        }
    }
    const bool below = !beside && fit == Fit::whole && !number.empty();
    const float height = line * static_cast<float>(lines.size() + (below ? 1 : 0)) + 0.3f * ctx.em;
    const bool clicked = ImGui::Selectable(id, chosen, ImGuiSelectableFlags_AllowOverlap, {width, height});
    ImDrawList& draw = *ImGui::GetWindowDrawList();
    float y = start.y + 0.15f * ctx.em;
    draw.AddText({start.x + edge, y}, ImGui::GetColorU32(state_color(ctx.theme, state)), state_icon(state));
    if (beside) {
        draw.AddText({start.x + width - number_width - edge, y}, ImGui::GetColorU32(ctx.theme.text_dim),
                     number.c_str());
    }
    for (const std::string& part : lines) {
        draw.AddText({start.x + left, y}, ImGui::GetColorU32(ctx.theme.text), part.c_str());
        y += line;
    }
    if (below) {
        draw.AddText({start.x + left, y}, ImGui::GetColorU32(ctx.theme.text_dim), number.c_str());
    }
    return clicked;
}

}  // namespace

void RunsPanel::draw_above(Context& ctx) {
    form_.draw(ctx);
    if (const auto session = form_.take_chosen_session()) {
        ctx.sessions.hand_over(*session, "runs", [held = form_.held()](ui::Panel& there, Context&) {
            dynamic_cast<RunsPanel&>(there).form_.take_over(held);
        });
    }
    again_.draw(ctx);
    if (const auto session = again_.take_chosen_session()) {
        ctx.sessions.hand_over(*session, "runs", [form = again_](ui::Panel& there, Context&) {
            dynamic_cast<RunsPanel&>(there).again_.take_over(form);
        });
    }
}

void RunsPanel::draw_training_menu(Context& ctx, const TrainingRun& run) {
    if (!ImGui::BeginPopupContextItem("menu")) {
        return;
    }
    const bool connected = ctx.snapshot.link.state == client::Link::State::connected;
    const bool read_only = ctx.snapshot.node.read_only;
    const auto item = [&](const char* key, const char* command, bool enabled) {
        if (ImGui::MenuItem(ctx.text.label(key), nullptr, false, enabled && connected && !read_only)) {
            ctx.client.send(command, {{"run", run.id}});
        }
    };
    if (run.state == RunState::paused) {
        item("training.run.resume", "train.resume", true);
    } else {
        item("training.run.pause", "train.pause", run.state == RunState::running);
    }
    item("training.run.stop", "train.stop", alive(run));
    item("training.run.checkpoint", "train.checkpoint", alive(run));
    const bool continuable =
        run.last_checkpoint > 0 &&
        (run.state == RunState::interrupted || run.state == RunState::stopped || run.state == RunState::failed);
    item("training.run.continue", "train.continue", continuable);
    if (ImGui::MenuItem(ctx.text.label("training.run.continue_on"), nullptr, false,
                        continuable && connected && !read_only)) {
        ctx.run("run.continue_on=" + std::to_string(run.id));
    }
    if (ImGui::MenuItem(ctx.text.label("runs.fork"), nullptr, false, can_fork(run) && connected && !read_only)) {
        form_.open_fork(ctx, run);
    }
    ui::tooltip(ctx.text(!connected      ? "runs.offline"
                         : read_only     ? "runs.read_only"
                         : can_fork(run) ? "runs.fork.help"
                                         : "runs.fork.no_checkpoint"));
    const char* why_not = why_not_again(run);
    if (ImGui::MenuItem(ctx.text.label("reproduce"), nullptr, false, why_not == nullptr && connected)) {
        again_.open(ctx, run);
    }
    ui::tooltip(ctx.text(!connected ? "runs.offline" : why_not != nullptr ? why_not : "reproduce.help"));
    draw_experiment_menu(ctx, run);
    const std::pair<std::uint64_t, std::uint32_t> which{ctx.snapshot.session, run.id};
    const bool beside = ctx.sessions.beside.count(which) != 0, several = ctx.sessions.open.size() > 1;
    if (ImGui::MenuItem(ctx.text.label("runs.beside"), nullptr, beside, several)) {
        if (beside) {
            ctx.sessions.beside.erase(which);
        } else {
            ctx.sessions.beside.insert(which);
        }
    }
    ui::tooltip(ctx.text(several ? "runs.beside.help" : "runs.beside.none"));
    ImGui::Separator();
    draw_export_curves(ctx, run);
    if (ImGui::MenuItem(ctx.text.label("runs.copy_manifest"))) {
        ImGui::SetClipboardText(run.manifest.dump(2, ' ', false, json::error_handler_t::replace).c_str());
    }
    ImGui::EndPopup();
}

/// Of a run that belongs to an experiment.
void RunsPanel::draw_experiment_menu(Context& ctx, const TrainingRun& run) {
    const history::ExperimentPlace place = history::experiment_place(run.manifest);
    const auto found = ctx.snapshot.experiments.find(place.number);
    if (found == ctx.snapshot.experiments.end()) {
        return;
    }
    ImGui::Separator();
    if (ImGui::MenuItem(ctx.text.label("runs.experiment.compare"))) {
        ctx.selection.experiment = place.number;
        ctx.show_panel("overlay");
    }
    const auto& runs = found->second->runs;
    const bool goes_on = std::any_of(runs.begin(), runs.end(), [&](const history::Experiment::Run& one) {
        const auto known = ctx.snapshot.training.find(one.run);
        return known != ctx.snapshot.training.end() && !protocol::ended(known->second->state);
    });
    if (ImGui::MenuItem(ctx.text.label("runs.experiment.cancel"), nullptr, false, goes_on && ctx.connected())) {
        ctx.client.send("experiment.cancel", {{"experiment", place.number}});
    }
}

void RunsPanel::draw_training_row(Context& ctx, const TrainingRun& run, bool chosen) {
    std::string right;
    if (!run.step.empty()) {
        right = ctx.text.format("runs.row", {{"step", ctx.text.number(static_cast<std::uint64_t>(run.step.back()))},
                                             {"loss", ctx.text.number(history::main_loss(run).back(), 3)}});
    }
    if (run.replay.is_object()) {
        right = std::string(base::flag_of(run.replay, "equal") ? "= " : "\u2260 ") + right;
    }
    if (ctx.sessions.beside.count({ctx.snapshot.session, run.id}) != 0) {
        right = std::string(icon::pin) + " " + right;
    }
    ImGui::PushID(static_cast<int>(run.id));
    const std::string id = "###run" + std::to_string(run.id);
    if (row(ctx, id.c_str(), run.state, run_title(ctx.text, run), right, chosen)) {
        ctx.selection.training_run = run.id;
        ctx.selection.pinned_step.reset();
        ctx.selection.follow = true;
        ctx.selection.step_min = 0;
    }
    std::string hint =
        run_title(ctx.text, run) + "\n" + ctx.text(ui::state_key(run.state)) + "\n" +
        ctx.text.format("training.progress",
                        {{"step", ctx.text.number(static_cast<std::uint64_t>(run.step.empty() ? 0 : run.step.back()))},
                         {"planned", ctx.text.number(run.planned_steps)}});
    if (!run.step.empty()) {
        hint +=
            "\n" + ctx.text.format("runs.loss", {{"loss", ctx.text.number(history::main_loss(run).back(), 5)},
                                                 {"total", ctx.text.number(run[&base::StepValues::loss].back(), 5)}});
    }
    if (const json& build = base::member(run.manifest, "build"); build.is_object()) {
        constexpr std::size_t kShownHash = 12;
        const std::string revision = base::text_of(build, "revision").substr(0, kShownHash);
        hint += "\n" +
                ctx.text.format("runs.built", {{"version", base::text_of(build, "version")},
                                               {"revision", revision.empty() ? base::kNoNumber : revision},
                                               {"compiler", base::text_of(build, "compiler")},
                                               {"cpu", base::text_of(base::member(run.manifest, "machine"), "cpu")}});
    }
    if (const std::string replay = replay_text(ctx, run); !replay.empty()) {
        hint += "\n" + replay;
    }
    if (!run.message.empty()) {
        hint += "\n" + ctx.text.message(run.message);
    }
    ui::tooltip(hint);
    draw_training_menu(ctx, run);
    ImGui::PopID();
}

void RunsPanel::draw_training(Context& ctx) {
    const TrainingRun* chosen = selected_run(ctx);
    for (auto entry = ctx.snapshot.training.rbegin(); entry != ctx.snapshot.training.rend(); ++entry) {
        draw_training_row(ctx, *entry->second, entry->second.get() == chosen);
    }
}

/// A click draws a run beside trainings, or no longer.
void RunsPanel::draw_imported(Context& ctx) {
    if (ctx.snapshot.imports.empty()) {
        return;
    }
    ui::section(ctx, ctx.text("runs.imported"));
    for (auto entry = ctx.snapshot.imports.rbegin(); entry != ctx.snapshot.imports.rend(); ++entry) {
        const history::ImportedRun& run = *entry->second;
        const std::string id = "###import" + std::to_string(run.id);
        const std::string right =
            ctx.text.format("runs.imported.row", {{"curves", ctx.text.number(std::uint64_t{run.curves.size()})}});
        ImGui::PushID(static_cast<int>(run.id));
        if (row(ctx, id.c_str(), run.state, run.name, right, is_import_shown(ctx, run.id))) {
            toggle_import(ctx, run.id);
        }
        if (ui::tooltip_due()) {
            ui::tooltip(run.name + "\n" + import_details(ctx, run) + "\n" + ctx.text("runs.imported.help"));
        }
        if (ImGui::BeginPopupContextItem("menu")) {
            draw_export_curves(ctx, run);
            ImGui::EndPopup();
        }
        ImGui::PopID();
    }
}

void RunsPanel::draw_others(Context& ctx) {
    const auto& probes = ctx.snapshot.probes;
    const auto& answers = ctx.snapshot.generations;
    if (probes.empty() && answers.empty()) {
        return;
    }
    if (!probes.empty()) {
        ui::section(ctx, ctx.text("runs.probes"));
        const auto shown = run_or_newest(probes, ctx.selection.probe_run);
        for (auto entry = probes.rbegin(); entry != probes.rend(); ++entry) {
            const history::ProbeRun& run = *entry->second;
            const std::string id = "###probe" + std::to_string(run.id);
            const std::string right =
                ctx.text.format("runs.draws", {{"done", ctx.text.number(std::uint64_t{run.draws.size()})},
                                               {"planned", ctx.text.number(std::uint64_t{run.planned})}});
            const bool chosen = entry->second == shown;
            if (row(ctx, id.c_str(), run.state, run.name.empty() ? run.set : run.name, right, chosen)) {
                ctx.selection.probe_run = run.id;
                ctx.run("view.layout_probe");
            }
            ui::tooltip((run.name.empty() ? run.set : run.name) + "\n" + ctx.text(ui::state_key(run.state)) +
                        (run.message.empty() ? "" : "\n" + ctx.text.message(run.message)));
        }
    }
    if (answers.empty()) {
        return;
    }
    draw_answers(ctx);
}

void RunsPanel::draw_answers(Context& ctx) {
    ui::section(ctx, ctx.text("runs.answers"));
    std::vector<std::pair<const history::Generation*, std::uint32_t>> numbered;
    history::ComparisonNumbers numbers;
    for (const auto& [id, answer] : ctx.snapshot.generations) {
        numbered.emplace_back(answer.get(), numbers.next(*answer));
    }
    const std::size_t count = numbered.size();
    ImGuiListClipper clipper;
    clipper.Begin(static_cast<int>(count));
    while (clipper.Step()) {
        for (int i = clipper.DisplayStart; i < clipper.DisplayEnd; ++i) {
            const auto& [answer, number] = numbered[count - 1 - static_cast<std::size_t>(i)];
            const std::string id = "###answer" + std::to_string(answer->id), n = ctx.text.number(std::uint64_t{number});
            const std::string name =
                ctx.text.format("runs.answer", {{"n", n}, {"model", model_title_of(ctx, *answer, answer->model)}});
            const std::string tokens =
                ctx.text.format("runs.tokens", {{"tokens", ctx.text.number(std::uint64_t{answer->tokens.size()})}});
            if (row(ctx, id.c_str(), answer->state, name, tokens, false, Fit::one_line)) {
                ctx.selection.generation = answer->id;
                ctx.run("view.layout_compare");
            }
            if (ui::tooltip_due()) {
                ui::tooltip(ctx.text.format("runs.comparison", {{"n", n}}) + "\n" +
                            model_title_of(ctx, *answer, answer->model) + " \u00b7 " + tokens + "\n" +
                            displayable(base::text_of(answer->manifest, "prompt")) + "\n" +
                            ctx.text(ui::state_key(answer->state)) +
                            (answer->message.empty() ? "" : "\n" + ctx.text.message(answer->message)));
            }
        }
    }
}

bool RunsPanel::act(const std::string& action, Context& ctx) {
    if (action == "run.fork") {
        const TrainingRun* run = selected_run(ctx);
        if (run != nullptr && can_fork(*run)) {
            form_.open_fork(ctx, *run);
        }
        return true;
    }
    if (action == "run.reproduce") {
        const TrainingRun* run = selected_run(ctx);
        if (run != nullptr && why_not_again(*run) == nullptr) {
            again_.open(ctx, *run);
        }
        return true;
    }
    if (action == "run.experiment") {
        form_.open_experiment(ctx);
        return true;
    }
    const auto take = [this](const std::string& path) { import_next_ = path; };
    if (action == "curves.import") {
        ctx.choose_file(ctx.text("command.curves.import"), "curves", take);
        return true;
    }
    if (action == "curves.import_folder") {
        ctx.choose_folder(ctx.text("command.curves.import_folder"), "curves", take);
        return true;
    }
    if (const char* path = ui::action_value(action, "curves.import")) {
        import_next_ = path;
        return true;
    }
    if (const char* format = ui::action_value(action, "curves.export")) {
        if (const TrainingRun* run = selected_run(ctx)) {
            export_curves(ctx, *run, format);
        }
        return true;
    }
    if (action != "runs.new") {
        return false;
    }
    form_.open(ctx);
    return true;
}

void RunsPanel::draw(Context& ctx) {
    draw_session_tabs(ctx);
    const bool connected = ctx.snapshot.link.state == client::Link::State::connected;
    const std::string label = std::string(icon::plus) + " " + ctx.text.label("runs.new");
    const bool read_only = ctx.snapshot.node.read_only;
    if (ui::button(label.c_str(), connected && !read_only, ctx.text(connected ? "runs.read_only" : "runs.offline"))) {
        form_.open(ctx);
    }
    if (connected && !read_only) {
        ui::command_tooltip(ctx, ctx.text("runs.new.help"), "runs.new");
    }
    if (import_next_) {
        import_curves(ctx, *std::exchange(import_next_, std::nullopt));
    }
    if (ctx.snapshot.training.empty()) {
        ui::text_wrapped(ctx.text("runs.empty"), ctx.theme.text_dim);
    } else {
        draw_training(ctx);
    }
    draw_imported(ctx);
    draw_others(ctx);
}

namespace {

/// The node takes in files of its own machine.
bool reads_files_here(const Context& ctx) {
    return ctx.connected() && ctx.snapshot.link.address.empty();
}

bool can_start_here(const Context& ctx) {
    return ctx.connected() && !ctx.snapshot.node.read_only;
}

bool can_fork_selected(const Context& ctx) {
    const TrainingRun* run = selected_run(ctx);
    return can_start_here(ctx) && run != nullptr && can_fork(*run);
}

bool can_run_again(const Context& ctx) {
    const TrainingRun* run = selected_run(ctx);
    return ctx.connected() && run != nullptr && why_not_again(*run) == nullptr;
}

}  // namespace

ui::PanelDescription describe_runs() {
    using ui::Place;
    using Show = ui::Stand::Show;
    return {
        .key = "runs",
        .make = ui::make_panel<RunsPanel>,
        .stands = {{"training", Place::left_upper, 0, Show::front},
                   {"compare", Place::whole, 8},
                   {"probe", Place::whole, 8}},
        .commands = {
            {.key = "runs.new",
             .menu = {"menu.run", 0, 1},
             .shortcut = ImGuiMod_Ctrl | ImGuiMod_Shift | ImGuiKey_R,
             .available = can_start_here},
            {.key = "run.experiment", .menu = {"menu.run", 0, 2}, .available = can_start_here},
            {.key = "run.fork", .menu = {"menu.run", 1, 1}, .available = can_fork_selected},
            {.key = "run.reproduce", .menu = {"menu.run", 1, 2}, .available = can_run_again},
            {.key = "curves.import", .menu = {"menu.file", 1}, .available = reads_files_here, .opens = true},
            {.key = "curves.import_folder", .menu = {"menu.file", 1}, .available = reads_files_here, .opens = true}}};
}

}  // namespace moescope::panels
