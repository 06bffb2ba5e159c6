#include "app/tour.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <fmt/format.h>
#include <functional>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "app/background.hpp"
#include "app/platform.hpp"
#include "app/workbench.hpp"
#include "base/input_file.hpp"
#include "nodes/history/checkpoint_name.hpp"

namespace moescope::app {
namespace {

namespace fs = std::filesystem;
using history::RunState;

constexpr std::array kLayouts = {"view.layout_training", "view.layout_compare", "view.layout_probe",
                                 "view.layout_routing"};

// Long enough for figures; without runs of one character, which a tokenizer that was exported may cut in another way.
constexpr const char* kText =
    "The router sends each token to a few experts. Open the file, read its first line and write what you find to the "
    "standard output; the kernel keeps a table of open files for each process.\n"
    "路由器把每个词元交给少数几个专家。打开文件，读取第一行，把结果写到标准输出；内核为每个进程保存一张打开文件的表。";

class Tour {
 public:
    Tour(Workbench& workbench, Platform& platform, const TourOptions& options, fs::path folder)
        : workbench_(workbench), platform_(platform), options_(options), folder_(std::move(folder)) {}
    int run();

 private:
    struct Step {
        const char* name;
        void (Tour::*body)();
    };

    // What the steps are made of.
    void frames(int count);
    void wait(double seconds, const std::string& what, const std::function<bool()>& condition);
    void check(bool condition, const std::string& what) const;
    void command(const std::string& key);
    void picture(const std::string& name);
    void answered(const std::string& name, std::size_t before, double seconds);
    std::size_t done(const std::string& name) const;
    const history::TrainingRun& training() const;
    double newest_step() const;
    std::vector<const history::Generation*> answers(const std::string& group) const;
    void compare(const char* picture_name);
    std::string trained_model() const;
    void show_tabs(const std::string& panel, std::initializer_list<const char*> tabs);
    std::shared_ptr<const history::RunRouting> read_routing(const std::string& command, double seconds);
    void write_timing();

    // The steps, in order.
    void greet();
    void start_training();
    void learn();
    void turn_knobs();
    void pause_and_step();
    void save_checkpoint();
    void inspect_experts();
    void stop_training();
    void compare_runs();
    void look_at_tokens();
    void look_at_an_expert();
    void look_at_structure();
    void try_a_change();
    void compare_routings();
    void compare_english();
    void compare_chinese();
    void cancel_comparison();
    void run_probe();
    void override_label();
    void show_library();
    void refuse_pickle();
    void speak_chinese();
    void large_window();
    void write_report();

    Workbench& workbench_;
    Platform& platform_;
    TourOptions options_;
    fs::path folder_;
    int picture_ = 0;
    std::uint32_t text_run_ = 0;  ///< the text that was read in the token view
    nlohmann::json seconds_ = nlohmann::json::object();
};

void Tour::frames(int count) {
    for (int i = 0; i < count; ++i) {
        platform_.wait(0.01);
        workbench_.frame();
    }
}

/// Draws four frames a second until the condition holds: the machine's cores belong to the node meanwhile.
void Tour::wait(double seconds, const std::string& what, const std::function<bool()>& condition) {
    const double end = client::now_seconds() + seconds;
    double next = 0;
    while (!condition()) {
        if (client::now_seconds() > end) {
            std::string problem =
                "after " + std::to_string(static_cast<int>(seconds)) + " s there is still not: " + what;
            for (const Notice& notice : workbench_.notices().list()) {
                if (notice.error) {
                    problem += "\n  the window said: " + notice.text.english();
                }
            }
            throw std::runtime_error(problem);
        }
        platform_.wait(0.05);
        if (client::now_seconds() >= next) {
            workbench_.frame();
            next = client::now_seconds() + 0.25;
        }
    }
    frames(3);
}

void Tour::check(bool condition, const std::string& what) const {
    if (!condition) {
        throw std::runtime_error("not true: " + what);
    }
}

void Tour::command(const std::string& key) {
    check(workbench_.command(key), "the command " + key + " is available");
    frames(2);
}

void Tour::picture(const std::string& name) {
    frames(4);
    int width = 0, height = 0;
    platform_.size(width, height);
    ++picture_;
    const fs::path file =
        folder_ / ((picture_ < 10 ? "0" : "") + std::to_string(picture_) + "-" + name + "-" + workbench_.text().code() +
                   "-" + std::to_string(width) + "x" + std::to_string(height) + ".png");
    workbench_.save_screenshot(file);
    workbench_.flush_background();
    std::error_code error;
    check(fs::file_size(file, error) > 10'000 && !error, "the picture " + file.string() + " was written");
}

/// How many commands of this name the node has carried out.
std::size_t Tour::done(const std::string& name) const {
    const auto& results = workbench_.snapshot().results;
    return static_cast<std::size_t>(std::count_if(results.begin(), results.end(), [&](const auto& entry) {
        return entry.second.name == name && entry.second.state == client::CommandResult::State::done;
    }));
}

/// Waits until the node has carried out one more command of this name than `before`.
void Tour::answered(const std::string& name, std::size_t before, double seconds) {
    wait(seconds, "the node's answer to " + name, [&] { return done(name) > before; });
}

const history::TrainingRun& Tour::training() const {
    check(!workbench_.snapshot().training.empty(), "there is a training run");
    return *workbench_.snapshot().training.rbegin()->second;
}

double Tour::newest_step() const {
    return training().step.empty() ? 0 : training().step.back();
}

void Tour::greet() {
    wait(30, "a connection to the node", [this] {
        return workbench_.snapshot().link.state == client::Link::State::connected &&
               !workbench_.snapshot().models.empty();
    });
    check(workbench_.welcome_visible(), "a first start shows the welcome page");
    picture("welcome");
    command("help.welcome");
    command("view.layout_training");
    picture("training-empty");
}

void Tour::start_training() {
    command("run.start");
    wait(90, "a running training run with its first step", [this] {
        return !workbench_.snapshot().training.empty() && training().state == RunState::running && newest_step() >= 1;
    });
}

void Tour::learn() {
    wait(600, std::to_string(options_.steps) + " steps, an evaluation in both languages and a sample in each", [this] {
        const history::TrainingRun& run = training();
        const auto has = [&](const char* language) {
            return std::any_of(run.samples.begin(), run.samples.end(),
                               [&](const auto& s) { return s.language == language && !s.text.empty(); });
        };
        return newest_step() >= options_.steps && !run.evaluation_english.empty() && !run.evaluation_chinese.empty() &&
               has("en") && has("zh");
    });
    const history::TrainingRun& run = training();
    const auto mean = [&](std::size_t first, std::size_t last) {
        double sum = 0;
        for (std::size_t i = first; i < last; ++i) {
            sum += run[&base::StepValues::cross_entropy][i];
        }
        return sum / static_cast<double>(last - first);
    };
    const std::size_t n = run.step.size();
    check(mean(n - 10, n) < 0.9 * mean(0, 10), "the loss fell by more than a tenth");
    picture("training");
}

void Tour::turn_knobs() {
    const history::TrainingRun& run = training();
    const double rate = run[&base::StepValues::learning_rate].back() * 0.5;
    const double balance = run[&base::StepValues::balance_coefficient].back() * 2 + 0.001;
    for (const auto& [name, value] : {std::pair{"learning_rate", rate}, std::pair{"balance_coefficient", balance}}) {
        const std::size_t before = done("train.set");
        command(std::string("knobs.") + name + "=" + fmt::format("{}", value));
        answered("train.set", before, 20);
    }
    wait(60, "both changes as events and in the steps", [&] {
        std::size_t changes = 0;
        for (const history::RunEvent& event : training().events) {
            changes += event.kind == "knob" ? 1 : 0;
        }
        return changes >= 2 && std::fabs(training()[&base::StepValues::balance_coefficient].back() - balance) < 1e-9;
    });
    const double here = newest_step();
    wait(60, "ten more steps", [&] { return newest_step() >= here + 10; });
    picture("training-knobs");
}

void Tour::pause_and_step() {
    command("run.pause");
    wait(30, "a paused run", [this] { return training().state == RunState::paused; });
    frames(2);
    const double before = newest_step();
    command("run.step");
    wait(30, "exactly one more step", [&] { return newest_step() >= before + 1; });
    check(newest_step() == before + 1 && training().state == RunState::paused,
          "a single step is one step, and the run stays paused");
    picture("training-paused");
    command("run.pause");
    wait(30, "a run that goes on", [&] { return training().state == RunState::running && newest_step() > before + 1; });
}

void Tour::save_checkpoint() {
    const std::uint64_t before = training().last_checkpoint;
    command("run.checkpoint");
    wait(60, "a new checkpoint", [&] { return training().last_checkpoint > before; });
}

void Tour::inspect_experts() {
    workbench_.selection().layer = std::max(0, training().layers / 2);
    workbench_.selection().expert = 0;
    for (const char* mode : {"load.english", "load.chinese", "load.difference"}) {
        command(mode);
        frames(2);
        if (std::string_view(mode) == "load.difference") {
            picture("expert-load-difference");
        }
    }
    command("load.all");
    picture("expert-load");
}

void Tour::stop_training() {
    command("run.stop");
    wait(60, "a stopped run", [this] { return training().state == RunState::stopped; });
}

/// The example experiment: four balancings of one model, one after the other, then over each other.
void Tour::compare_runs() {
    const std::size_t before = workbench_.snapshot().experiments.size();
    command("overlay.example");
    wait(60, "the example experiment", [&] { return workbench_.snapshot().experiments.size() > before; });
    const std::vector<history::Experiment::Run> runs = workbench_.snapshot().experiments.rbegin()->second->runs;
    const auto run_of = [&](std::size_t i) { return workbench_.snapshot().training.at(runs[i].run); };
    wait(1800, "the end of all its runs", [&] {
        return std::all_of(runs.begin(), runs.end(), [&](const history::Experiment::Run& run) {
            const auto found = workbench_.snapshot().training.find(run.run);
            return found != workbench_.snapshot().training.end() && found->second->state == RunState::done;
        });
    });
    const auto first_loss = [&](std::size_t i) { return (*run_of(i))[&base::StepValues::cross_entropy][0]; };
    check(first_loss(0) == first_loss(1) && first_loss(0) == first_loss(2),
          "runs of one seed begin with equal weights and an equal batch");
    command("view.layout_compare");
    frames(10);  // the layout brings its own panel to the front
    for (const char* view : {"table", "maps", "curves"}) {
        command(std::string("overlay.view=") + view);
        workbench_.show_panel("overlay");
        frames(60);
        picture(std::string("runs-compared-") + view);
    }
    workbench_.show_panel("overlay", false);
}

/// The newest checkpoint of the run that the tour trained.
std::string Tour::trained_model() const {
    const history::TrainingRun& run = *workbench_.snapshot().training.begin()->second;
    return history::to_text(
        {.run = run.id, .which = history::CheckpointName::Which::step, .step = run.last_checkpoint});
}

/// Reads with the routers watched and waits for all of it.
std::shared_ptr<const history::RunRouting> Tour::read_routing(const std::string& key, double seconds) {
    std::uint32_t newest = workbench_.snapshot().routes.empty() ? 0 : workbench_.snapshot().routes.rbegin()->first;
    command(key);
    wait(seconds, "a routing that was read whole", [&] {
        const auto& routes = workbench_.snapshot().routes;
        return !routes.empty() && routes.rbegin()->first > newest && routes.rbegin()->second->state == RunState::done &&
               workbench_.snapshot().routing.contains(routes.rbegin()->first);
    });
    newest = workbench_.snapshot().routes.rbegin()->first;
    wait(30, "every piece of the routing", [&] { return workbench_.snapshot().routing.at(newest)->tokens > 0; });
    return workbench_.snapshot().routing.at(newest);
}

void Tour::look_at_tokens() {
    command("view.layout_routing");
    picture("routing-empty");
    command("routing.read.model=" + trained_model());
    const auto routing = read_routing(std::string("routing.read=") + kText, 120);
    text_run_ = routing->run;
    wait(20, "the routing on the screen", [&] { return workbench_.selection().routing_run == routing->run; });
    check(routing->trace->has_scores(), "a text that a person has read comes with the scores of all experts");
    workbench_.selection().routing_token = 5;
    workbench_.selection().layer =
        routing->trace->spec().routed_layers[routing->trace->spec().routed_layers.size() / 2];
    frames(20);
    picture("token-view");
    command("routing.colour=margin");
    frames(20);
    picture("token-view-margin");
    command("routing.colour=expert");
}

/// Every tab with its figure, and then the first again.
void Tour::show_tabs(const std::string& panel, std::initializer_list<const char*> tabs) {
    for (const char* tab : tabs) {
        command(panel + ".tab=" + tab);
        workbench_.show_panel(panel);
        frames(60);
        picture(panel + "-" + tab);
    }
    command(panel + ".tab=" + *tabs.begin());
}

void Tour::look_at_an_expert() {
    read_routing("routing.read.corpus=5000", 300);
    workbench_.selection().expert = 3;
    show_tabs("expert", {"load", "tokens", "texts", "neighbours"});
}

void Tour::look_at_structure() {
    show_tabs("structure", {"load", "together", "transitions", "differences", "spread"});
}

/// Two experts of the middle layer knocked out beside the untouched model, and changes at random of the same size.
void Tour::try_a_change() {
    command("change.model=" + trained_model());
    command("change.prompt=The file system");
    for (const int expert : {1, 3}) {
        workbench_.selection().expert = expert;
        command("change.knock_out");
    }
    const auto ended = [this] {
        const auto& routes = workbench_.snapshot().routes;
        return std::count_if(routes.begin(), routes.end(), [](const auto& entry) {
            return entry.second->what == history::RouteRun::What::effect && entry.second->state == RunState::done &&
                   !entry.second->result.is_null();
        });
    };
    const auto before = ended();
    command("change.try");
    wait(300, "the effect of the change and of its controls", [&] { return ended() > before; });
    workbench_.show_panel("change");
    frames(20);
    picture("intervention");
}

/// The model that was trained here against its own 4-bit form, on one text.
void Tour::compare_routings() {
    const fs::path file = folder_ / "trained-q4_k.gguf";
    command("models.export=" + trained_model());
    command("models.export.precision=q4_k");
    const std::size_t before = done("models.export"), models = done("models.add");
    command("models.export.start");
    check(workbench_.answer_path(file.string()), "the export asks for a path");
    answered("models.export", before, 120);
    answered("models.add", models, 60);
    picture("model-exported");
    wait(60, "the exported model in the library", [&] {
        const auto& all = workbench_.snapshot().models;
        return std::any_of(all.begin(), all.end(),
                           [](const auto& model) { return model.available && model.name == "trained-q4_k"; });
    });
    ImGui::GetIO().AddKeyEvent(ImGuiKey_Escape, true);  // the form, which says what was noted
    ImGui::GetIO().AddKeyEvent(ImGuiKey_Escape, false);
    workbench_.selection().routing_run = text_run_;
    workbench_.show_panel("routing_diff");
    frames(10);
    read_routing("routing_diff.read=trained-q4_k", 300);
    frames(60);
    for (const char* tab : {"layers", "ranks", "classes", "margins", "load", "tokens"}) {
        command(std::string("routing_diff.tab=") + tab);
        frames(20);
        picture(std::string("routing-diff-") + tab);
    }
}

/// Generations of one comparison.
std::vector<const history::Generation*> Tour::answers(const std::string& group) const {
    std::vector<const history::Generation*> found;
    for (const auto& [id, answer] : workbench_.snapshot().generations) {
        if (answer->group == group) {
            found.push_back(answer.get());
        }
    }
    return found;
}

void Tour::compare(const char* picture_name) {
    const std::size_t before = workbench_.snapshot().generations.size();
    command("compare.run");
    wait(60, "two answers that have begun", [&] { return workbench_.snapshot().generations.size() >= before + 2; });
    const std::string group = workbench_.snapshot().generations.rbegin()->second->group;
    wait(150, "two finished answers", [&] {
        const auto both = answers(group);
        return both.size() >= 2 &&
               std::all_of(both.begin(), both.end(), [](const auto* a) { return a->state == RunState::done; });
    });
    for (const history::Generation* answer : answers(group)) {
        check(!answer->text.empty() && !answer->tokens.empty() && !answer->stop.empty(),
              answer->model + " answered with text, tokens and a stop reason");
    }
    picture(picture_name);
}

void Tour::compare_english() {
    command("view.layout_compare");
    frames(3);
    compare("compare-english-prompt");
}

void Tour::compare_chinese() {
    command("compare.swap_language");
    compare("compare-chinese-prompt");
}

void Tour::cancel_comparison() {
    const std::size_t before = workbench_.snapshot().generations.size();
    command("compare.run");
    wait(60, "a first token", [&] {
        const auto& all = workbench_.snapshot().generations;
        return all.size() >= before + 1 && std::any_of(all.begin(), all.end(), [](const auto& g) {
                   return g.second->state == RunState::running && !g.second->tokens.empty();
               });
    });
    command("compare.cancel");
    wait(20, "no answer that still runs", [&] {
        const auto& all = workbench_.snapshot().generations;
        return std::none_of(all.begin(), all.end(), [](const auto& g) {
            return g.second->state == RunState::running || g.second->state == RunState::planned;
        });
    });
    check(workbench_.snapshot().generations.rbegin()->second->stop == "cancelled" ||
              std::prev(workbench_.snapshot().generations.end(), 2)->second->stop == "cancelled",
          "a cancelled answer says so");
}

/// The set and the models that the panel proposes (the starter set, the two default models); answers are cut at 48
/// tokens to keep the tour short.
void Tour::run_probe() {
    command("view.layout_probe");
    picture("probe-empty");
    command("probes.max_tokens=48");
    command("probes.start");
    const auto run = [this]() -> const history::ProbeRun& { return *workbench_.snapshot().probes.rbegin()->second; };
    wait(60, "first probe answers", [&] { return !workbench_.snapshot().probes.empty() && run().draws.size() >= 4; });
    command("probes.pause");
    wait(30, "a paused probe run", [&] { return run().state == RunState::paused; });
    picture("probe-paused");
    command("probes.pause");
    wait(1500, "all probe answers",
         [&] { return run().state == RunState::done && run().draws.size() >= run().planned && run().planned >= 96; });
    wait(30, "statistics", [&] { return run().statistics.is_object() && !run().statistics.empty(); });
    picture("probe");
}

void Tour::override_label() {
    const auto run = [this]() -> const history::ProbeRun& { return *workbench_.snapshot().probes.rbegin()->second; };
    const auto labelled = [&](const char* delivery) {
        return std::count_if(run().draws.begin(), run().draws.end(), [&](const auto& draw) {
            return draw->labelled_by_person && (delivery == nullptr || draw->delivery == delivery);
        });
    };
    check(labelled(nullptr) == 0, "all labels are the rules' so far");
    command("probes.coder=tour");
    command("probes.label.blocked");  // what no rule gives to a model's own words
    wait(20, "the label of a person", [&] { return labelled("blocked") == 1; });
    picture("probe-label");
    command("probes.label.undo");
    wait(20, "the rule's label again", [&] { return labelled(nullptr) == 0; });
    command("probes.label.refused");
    wait(20, "the label of a person again", [&] { return labelled("refused") == 1; });
}

void Tour::show_library() {
    std::size_t available = 0;
    for (const client::ModelEntry& model : workbench_.snapshot().models) {
        available += model.available && !model.sha256.empty() ? 1 : 0;
    }
    check(available >= 2, "two models with their hashes are in the library");
    command("view.layout_training");
    for (const char* panel : {"models", "nodes", "log", "manual", "placement", "ranks"}) {
        workbench_.show_panel(panel);
        picture(std::string("panel-") + panel);
    }
    workbench_.show_panel("manual", false);
    workbench_.show_panel("placement", false);
    workbench_.show_panel("ranks", false);
    for (const char* panel : {"runs", "training", "expert_load"}) {
        workbench_.show_panel(panel);
        frames(3);
    }
}

void Tour::refuse_pickle() {
    const fs::path file = folder_ / "hostile.pt";
    write_file(file,
               "\x80\x02"
               "ccollections\nOrderedDict\n.");
    const std::uint64_t before = workbench_.notices().count();
    workbench_.drop({file.string()});
    wait(20, "a refusal of the dropped pickle file",
         [&] { return workbench_.notices().count() > before && workbench_.notices().list().back().error; });
    check(workbench_.notices().list().back().text.english().find("pickle") != std::string::npos,
          "the refusal names pickle: " + workbench_.notices().list().back().text.english());
    picture("pickle-refused");
    command("help.messages");  // its details; read, it leaves the status line
    picture("messages");
    command("help.messages");
    workbench_.show_panel("expert_load");
    std::error_code error;
    fs::remove(file, error);
}

void Tour::speak_chinese() {
    if (workbench_.text().code() != "zh") {
        command("view.language");
    }
    check(workbench_.text().code() == "zh", "the window speaks Chinese");
    check(!workbench_.chinese_font().empty(), "there is a font with Chinese characters");
    for (const char* layout : kLayouts) {
        command(layout);
        picture(std::string(layout).substr(std::string("view.layout_").size()));
    }
    command("help.palette");
    picture("palette");
    ImGui::GetIO().AddKeyEvent(ImGuiKey_Escape, true);
    ImGui::GetIO().AddKeyEvent(ImGuiKey_Escape, false);
    frames(3);
    command("help.welcome");
    picture("welcome");
    command("help.welcome");
}

void Tour::large_window() {
    platform_.set_size(1920, 1080);
    for (int pass = 0; pass < 2; ++pass) {
        for (const char* layout : kLayouts) {
            command(layout);
            frames(3);
            picture(std::string(layout).substr(std::string("view.layout_").size()));
        }
        command("view.language");
    }
}

void Tour::write_report() {
    const fs::path file = folder_ / "report.html";
    const std::size_t before = done("report.write");
    command("file.report");
    check(workbench_.answer_path(file.string()), "the report asks for a path");
    answered("report.write", before, 60);
    const std::string html = base::try_read_file(file, std::uint64_t{64} << 20).value_or("");
    check(html.find("<svg") != std::string::npos && html.find("<table") != std::string::npos,
          "the report holds plots and tables");
}

void Tour::write_timing() {
    const FrameTimes::Summary times = workbench_.frame_times().summary();
    const nlohmann::json json = {
        {"frame_build_ms", {{"mean", times.mean}, {"p95", times.p95}, {"max", times.max}, {"frames", times.frames}}},
        {"frames_total", workbench_.frame_times().frames()},
        {"step_seconds", seconds_}};
    const base::Sentence problem = write_file(folder_ / "timing.json", json.dump(2) + "\n");
    if (!problem.empty()) {
        std::fprintf(stderr, "moescope: %s\n", problem.english().c_str());
    }
}

int Tour::run() {
    constexpr std::array steps = {Step{"connect and greet", &Tour::greet},
                                  Step{"start training", &Tour::start_training},
                                  Step{"learn", &Tour::learn},
                                  Step{"turn knobs", &Tour::turn_knobs},
                                  Step{"pause and single step", &Tour::pause_and_step},
                                  Step{"checkpoint", &Tour::save_checkpoint},
                                  Step{"expert load", &Tour::inspect_experts},
                                  Step{"stop training", &Tour::stop_training},
                                  Step{"four balancings over each other", &Tour::compare_runs},
                                  Step{"token view", &Tour::look_at_tokens},
                                  Step{"expert view", &Tour::look_at_an_expert},
                                  Step{"structure of a routing", &Tour::look_at_structure},
                                  Step{"intervention with its control", &Tour::try_a_change},
                                  Step{"routing of f32 against 4 bits", &Tour::compare_routings},
                                  Step{"compare, English prompt", &Tour::compare_english},
                                  Step{"cancel a comparison", &Tour::cancel_comparison},
                                  Step{"compare, Chinese prompt", &Tour::compare_chinese},
                                  Step{"probe", &Tour::run_probe},
                                  Step{"override a label", &Tour::override_label},
                                  Step{"models, nodes, log, manual", &Tour::show_library},
                                  Step{"refuse a pickle file", &Tour::refuse_pickle},
                                  Step{"Chinese window", &Tour::speak_chinese},
                                  Step{"large window", &Tour::large_window},
                                  Step{"report", &Tour::write_report}};
    std::error_code error;
    fs::create_directories(folder_, error);
    for (const Step& step : steps) {
        const double start = client::now_seconds();
        std::printf("tour: %s ...", step.name);
        std::fflush(stdout);
        try {
            (this->*step.body)();
        } catch (const std::exception& problem) {
            std::printf(" FAILED\n");
            std::fprintf(stderr, "moescope: tour step \"%s\": %s\n", step.name, problem.what());
            workbench_.save_screenshot(folder_ / "failed.png");
            workbench_.flush_background();
            write_timing();
            return 1;
        }
        seconds_[step.name] = client::now_seconds() - start;
        std::printf(" %.1f s\n", client::now_seconds() - start);
    }
    write_timing();
    const FrameTimes::Summary times = workbench_.frame_times().summary();
    std::printf("tour: done, %d pictures and report.html in %s; frames built in %.2f ms (95th percentile %.2f ms)\n",
                picture_, folder_.c_str(), times.mean, times.p95);
    return 0;
}

}  // namespace

int run_tour(Workbench& workbench, Platform& platform, const TourOptions& options, const fs::path& folder) {
    return Tour(workbench, platform, options, folder).run();
}

}  // namespace moescope::app
