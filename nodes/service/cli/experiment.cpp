// moescope-node experiment: runs that differ in one setting, one after the other, in one session.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <fmt/format.h>
#include <map>
#include <memory>

#include "base/foreign_text.hpp"
#include "base/json_guard.hpp"
#include "base/text.hpp"
#include "engine/model/balancings.hpp"
#include "engine/model/machine_memory.hpp"
#include "engine/text/dataset_check.hpp"
#include "nodes/history/run_figures.hpp"
#include "nodes/service/cli/console.hpp"
#include "nodes/service/cli/local_node.hpp"
#include "nodes/service/cli/subcommands.hpp"
#include "nodes/service/cli/training_output.hpp"
#include "nodes/service/commands/service.hpp"
#include "nodes/service/jobs/experiment_queue.hpp"
#include "nodes/service/jobs/rank_group.hpp"

namespace moescope::node {
using history::RunFigure;
using nlohmann::json;
using protocol::RecordType;
using protocol::RunState;

namespace {

constexpr std::size_t kLongestValue = 64 << 10;

struct ExperimentOptions {
    std::string preset, config, data = "manpages", session, name, key;
    std::vector<std::string> values, settings;
    std::optional<int> steps, threads;
    std::optional<std::uint64_t> seed;
    std::optional<std::string> device;
    bool json = false;

    bool begins() const { return !preset.empty() || !config.empty(); }
};

/// A number or true and false as JSON has them; anything else is a text.
json value_of(const std::string& text) {
    const auto read = base::read_json(text, kLongestValue);
    return read.value && !read.value->is_null() && !read.value->is_structured() ? *read.value : json(text);
}

ExperimentWish wish_of(const ExperimentOptions& options, const Paths& paths) {
    ExperimentWish wish;
    wish.config = options.config.empty() ? find_preset(options.preset, paths) : read_run_config(options.config);
    auto& train = wish.config.train;
    train.steps = options.steps.value_or(train.steps);
    train.seed = options.seed.value_or(train.seed);
    train.threads = options.threads.value_or(train.threads);
    train.threads = train.threads == 0 ? threads_of_run(train) : train.threads;
    train.device = options.device.value_or(train.device);
    wish.name = options.name;
    wish.key = options.key;
    wish.data = engine::whole_path_of_data(options.data);
    wish.values = json::array();
    for (const std::string& value : options.values) {
        wish.values.push_back(value_of(value));
    }
    for (const std::string& settings : options.settings) {
        const auto read = base::parse_object(std::string_view(settings), kLongestValue);
        if (!read) {
            throw CommandError(base::say("--settings {} is no JSON object", base::one_line(settings)));
        }
        wish.values.push_back(*read);
    }
    return wish;
}

void check(const history::Experiment& experiment, const Paths& paths) {
    std::vector<TrainingRequest> orders;
    for (const history::Experiment::Run& run : experiment.runs) {
        TrainingRequest& order = orders.emplace_back();
        order.config = engine::parse_run_config(run.config, base::say("the configuration"));
        order.data = experiment.data;
        check_request(order);
    }
    kernels::Devices devices(device_places(paths));
    check_rooms(devices, orders, engine::available_memory());
}

/// As it is written today: an earlier program knew fewer settings.
json written_today(const json& config) {
    return engine::to_json(engine::parse_run_config(config, base::say("the configuration")));
}

/// Whether the two ask for the same runs.
bool same(const history::Experiment& a, const history::Experiment& b) {
    return a.key == b.key && a.data == b.data &&
           std::equal(a.runs.begin(), a.runs.end(), b.runs.begin(), b.runs.end(), [](const auto& x, const auto& y) {
               return x.value == y.value && written_today(x.config) == written_today(y.config);
           });
}

CommandError no_experiment(const std::string& session) {
    return CommandError(
        base::say("the session {} has no experiment; give --preset or --config, and --values", session));
}

/// Of an experiment that is to go on: where there is no session none is made. Throws base::Error.
void require_session(const std::string& folder) {
    sessions::refuse_standard_output(folder);
    try {
        (void)sessions::Session::open(folder, sessions::Journal::Mode::read_only);
    } catch (const sessions::OpenError& error) {
        if (error.why() == sessions::OpenError::Why::no_session) {
            throw no_experiment(folder);
        }
        throw;
    }
}

/// One experiment of a session, carried out here.
class ExperimentCommand {
 public:
    ExperimentCommand(const Paths& paths, const ExperimentOptions& options);
    int run();

 private:
    void print(RecordType type, const std::vector<std::byte>& body);
    /// The one of the session that goes on, or a new one.
    void choose(const std::optional<ExperimentWish>& wish);
    void begin(history::Experiment experiment);
    void run_one(const ExperimentQueue::Next& next);
    std::size_t place_of(std::uint32_t run) const;
    std::vector<json> results();
    void print_results(const std::vector<json>& results) const;
    RunState state_of(std::uint32_t run) const { return node_->board.run_state(run).value_or(RunState::planned); }

    const ExperimentOptions& options_;
    std::unique_ptr<HeldSignals> signals_;
    std::unique_ptr<LocalNode> node_;
    ExperimentQueue queue_;
    std::shared_ptr<const history::Experiment> experiment_;
    std::uint32_t printed_run_ = 0;  ///< whose first line has been printed
};

ExperimentCommand::ExperimentCommand(const Paths& paths, const ExperimentOptions& options) : options_(options) {
    std::optional<ExperimentWish> wish;
    if (options.begins()) {  // a bad one is found before a session folder is made
        wish = wish_of(options, paths);
        check(planned_experiment(*wish, {}), paths);
    } else {
        require_session(options.session);
    }
    signals_ = std::make_unique<HeldSignals>();
    node_ = std::make_unique<LocalNode>(
        paths, options.session, [this](RecordType type, const std::vector<std::byte>& body) { print(type, body); });
    choose(wish);
}

void ExperimentCommand::choose(const std::optional<ExperimentWish>& wish) {
    const history::Session history = history::read_runs(node_->session->journal());
    queue_.take(history);
    const auto& known = history.experiments();
    const auto latest = known.empty() ? nullptr : known.rbegin()->second;
    if (!wish && latest == nullptr) {
        throw no_experiment(options_.session);
    }
    for (const auto& [number, other] : known) {
        for (const history::Experiment::Run& run : other->runs) {
            RunStatus status = planned_status(run);
            const auto found = history.trainings().find(run.run);
            status.state = found == history.trainings().end()            ? RunState::failed
                           : !protocol::ended(found->second.value.state) ? RunState::interrupted
                                                                         : found->second.value.state;
            node_->board.set_run(status);
        }
        if (other != latest) {
            (void)queue_.cancel(number);  // not this time
        }
    }
    if (!wish || (latest != nullptr && same(planned_experiment(*wish, {}), *latest))) {
        experiment_ = latest;
        return;
    }
    if (latest != nullptr && !queue_.cancel(latest->number).empty()) {
        throw CommandError(
            base::say("the experiment {} in {} has not ended and has other settings; give the same ones to go on, or "
                      "another folder with --session",
                      latest->name, options_.session));
    }
    begin(planned_experiment(*wish, queue_.names()));
}

void ExperimentCommand::begin(history::Experiment experiment) {
    experiment.number = queue_.next_number();
    for (history::Experiment::Run& run : experiment.runs) {
        run.run = node_->session->new_run(protocol::run_kind_name(protocol::RunKind::train), run.name);
        node_->board.set_run(planned_status(run));
    }
    node_->sink.write_json(RecordType::experiment, experiment_record(experiment));
    experiment_ = std::make_shared<const history::Experiment>(std::move(experiment));
    queue_.add(experiment_);
}

std::size_t ExperimentCommand::place_of(std::uint32_t run) const {
    const auto& runs = experiment_->runs;
    const auto found = std::find_if(runs.begin(), runs.end(), [&](const auto& one) { return one.run == run; });
    return static_cast<std::size_t>(found - runs.begin());
}

void ExperimentCommand::print(RecordType type, const std::vector<std::byte>& body) {
    if (type == RecordType::step) {
        const auto step = protocol::decode_step(body);
        const std::size_t place = step ? place_of(step->run) : experiment_->runs.size();
        if (place == experiment_->runs.size()) {
            return;
        }
        const history::Experiment::Run& run = experiment_->runs[place];
        if (options_.json) {
            json line = {{"run", run.run}, {"value", run.value}};
            line.update(step_json(*step));
            print_json(line);
            return;
        }
        if (printed_run_ != run.run) {
            printed_run_ = run.run;
            fmt::print("run {} of {}: {}\n", place + 1, experiment_->runs.size(), base::shown_name(run.name));
        }
        print_step(*step, static_cast<int>(planned_status(run).planned_steps));
    } else if (type == RecordType::evaluation && !options_.json) {
        if (const auto record = protocol::decode_json(body)) {
            print_evaluation(*record);
        }
    }
}

void ExperimentCommand::run_one(const ExperimentQueue::Next& next) {
    const auto not_begun = [&](const base::Sentence& why) {
        node_->sink.write_json(RecordType::run_ended, not_begun_record(next.run.run, RunState::failed, why));
        node_->board.change_run(next.run.run, [&](RunStatus& status) {
            status.state = RunState::failed;
            status.message = why;
        });
    };
    (void)queue_.begun(next.run.run);
    TrainingRequest order;
    RunRoom room;
    try {
        node_->journal.flush();
        const history::Session history = history::read_runs(node_->session->journal());
        order = experiment_order(*node_->session, next, history.trainings().at(next.run.run).value);
        check_request(order);
        room = check_room(node_->devices, order.config, engine::available_memory());
    } catch (const base::Error& error) {
        return not_begun(error.sentence());
    }
    order.paused = false;  // nobody is there to resume it
    TrainingResult result;
    {
        TrainingJob job(node_->parts, std::move(order), std::move(room));
        wait_for(job, *signals_);
        result = job.result();
    }
    if (signals_->first() != 0 && result.state == RunState::stopped) {
        node_->sink.write_json(RecordType::experiment, unfinished_record(experiment_->number, next.run.run, false));
    }
    node_->journal.flush();
    if (const auto problem = node_->journal.problem(); !problem.empty()) {
        throw base::Error(problem);
    }
    node_->session->journal().sync();
    if (options_.json) {
        json line = {{"run", next.run.run}, {"value", next.run.value}};
        line.update(final_line(result));
        print_json(line);
    } else {
        fmt::print("run {} of {}: {} after {} steps\n\n", place_of(next.run.run) + 1, experiment_->runs.size(),
                   protocol::run_state_name(result.state), result.steps);
        std::fflush(stdout);
    }
    if (signals_->first() != 0) {
        throw Stopped(signals_->first(),
                      base::say("in run {} of {}, at step {}; what is done is saved, and the same command goes on from "
                                "there",
                                place_of(next.run.run) + 1, experiment_->runs.size(), result.steps));
    }
}

/// What the session says of each run, also of those that ended earlier.
std::vector<json> ExperimentCommand::results() {
    node_->journal.flush();
    const history::Session history = history::read_session(
        node_->session->journal(), {.channels = {protocol::Channel::events, protocol::Channel::metrics}});
    std::vector<json> results;
    for (const history::Experiment::Run& one : experiment_->runs) {
        json result = {{"run", one.run},
                       {"name", one.name},
                       {"value", one.value},
                       {"state", protocol::run_state_name(state_of(one.run))}};
        const auto found = history.trainings().find(one.run);
        if (found != history.trainings().end()) {
            const history::TrainingRun& run = found->second.value;
            history::LoadSeriesReader loads;
            while (!loads.update(run, std::size_t{1} << 24)) {
            }
            result["steps"] = run.step.size();
            for (const history::RunFigureRow& row : history::kRunFigureRows) {
                const auto curve = history::curve_of(run, loads.series(), row.figure);
                const history::CurveSummary summary = history::summary_of(curve, row.better);
                if (!curve.empty()) {
                    result[row.key] = {{"last", number_or_null(summary.last)},
                                       {"best", number_or_null(summary.best)},
                                       {"mean", number_or_null(summary.mean)}};
                }
            }
            if (!run.message.empty()) {
                base::put_sentence(result, "message", run.message);
            }
        }
        results.push_back(std::move(result));
    }
    return results;
}

/// "mean" of a figure, or a dash.
std::string mean_text(const json& result, const char* key, int digits) {
    const double mean = base::number_of(base::member(result, key), "mean");
    return std::isfinite(mean) ? fmt::format("{:.{}f}", mean, digits) : "-";
}

void ExperimentCommand::print_results(const std::vector<json>& results) const {
    std::size_t widest = 5;
    for (const json& result : results) {
        widest = std::max(widest, history::experiment_value_text(result.at("value")).size());
    }
    widest = std::min<std::size_t>(widest, 48);
    fmt::print("means of the last tenth of the steps\n{:<{}}  {:<8} {:>8} {:>9} {:>9} {:>8} {:>8} {:>6} {:>9}\n",
               "value", widest, "state", "loss", "English", "Chinese", "MaxVio", "entropy", "dead", "tok/s");
    for (const json& result : results) {
        fmt::print("{:<{}}  {:<8} {:>8} {:>9} {:>9} {:>8} {:>8} {:>6} {:>9}\n",
                   base::one_line(history::experiment_value_text(result.at("value")), widest), widest,
                   result.at("state").get<std::string>(), mean_text(result, "loss", 4),
                   mean_text(result, "held_out_english", 4), mean_text(result, "held_out_chinese", 4),
                   mean_text(result, "max_violation", 3), mean_text(result, "load_entropy", 4),
                   mean_text(result, "dead", 1), mean_text(result, "tokens_per_second", 0));
    }
}

int ExperimentCommand::run() {
    const auto state = [this](std::uint32_t run) { return node_->board.run_state(run); };
    const bool any = queue_.next(state).has_value();
    while (const auto next = queue_.next(state)) {
        run_one(*next);
    }
    const std::vector<json> all = results();
    if (options_.json) {
        json line = {{"done", true},
                     {"experiment", experiment_->number},
                     {"name", experiment_->name},
                     {"key", experiment_->key},
                     {"runs", all}};
        if (!any) {
            line["nothing_left"] = true;
        }
        print_json(line);
    } else {
        fmt::print("{}", any ? "" : "nothing is left to do: ");
        print_results(all);
    }
    const auto failed =
        std::count_if(all.begin(), all.end(), [](const json& one) { return one.at("state") == "failed"; });
    if (failed > 0) {
        throw base::Error(base::say("{} of the {} runs failed", failed, all.size()));
    }
    return 0;
}

std::string balancing_names() {
    std::string names;
    for (const engine::Balancing& one : engine::balancings()) {
        base::append_to_list(names, one.name);
    }
    return names;
}

}  // namespace

void add_experiment(CLI::App& app, Chosen& chosen) {
    const auto options = std::make_shared<ExperimentOptions>();
    auto* command = app.add_subcommand("experiment", "Train several runs that differ in one setting, and compare them");
    command->footer(
        "Needs --preset or --config, and --key with --values, or --settings; with --session alone it goes on with the "
        "experiment of the session.");
    auto* what = command->add_option_group("what");
    what->add_option("--preset", options->preset, "Name of a preset, such as workshop; any other word lists them")
        ->check(filled());
    what->add_option("--config", options->config, "Configuration file (JSON)")->check(filled());
    what->require_option(0, 1);
    command->add_option("--key", options->key, "The setting in which the runs differ")->check(filled());
    command->add_option("--values", options->values, "Its values, a run for each; of balance: " + balancing_names())
        ->delimiter(',')
        ->check(filled());
    command
        ->add_option("--settings", options->settings,
                     "Settings of one run as a JSON object, where it differs in several; one option for each run")
        ->check(filled())
        ->allow_extra_args(false);
    command
        ->add_option("--data", options->data,
                     "manpages, a text file, a folder of texts, or token ids in a .npy file; the same for all")
        ->check(filled())
        ->capture_default_str();
    command->add_option("--steps", options->steps, "Optimizer steps of each run")->check(range_of("steps"));
    command->add_option("--seed", options->seed, "Seed of parameters and data order, the same for all")
        ->check(range_of("seed"));
    command->add_option("--threads", options->threads, "Compute threads; as many as the machine has when left out")
        ->check(range_of("threads"));
    command
        ->add_option("--device", options->device,
                     "What computes: cpu, or cuda:0 and so on (moescope-node devices); left out: as the configuration "
                     "says")
        ->check(filled());
    command->add_option("--name", options->name, "Name of the experiment")->check(filled());
    command
        ->add_option("--session", options->session,
                     "Session folder, created when missing; an experiment in it that has not ended goes on")
        ->required()
        ->check(filled());
    command->add_flag("--json", options->json, "JSON Lines: a line per step and per run, then a summary");
    command->callback([&chosen, options] {
        const bool has_values = !options->values.empty() || !options->settings.empty();
        if (options->begins() ? !has_values : has_values || !options->key.empty()) {
            throw CLI::ValidationError(
                "experiment needs --preset or --config, and --values or --settings; with --session alone it goes on "
                "with the experiment of the session");
        }
        chosen.command = [options](const Paths& paths) { return ExperimentCommand(paths, *options).run(); };
    });
}

}  // namespace moescope::node
