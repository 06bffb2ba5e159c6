// The experiment.* commands, and the turn of each run of an experiment.
#include <limits>

#include "base/json_guard.hpp"
#include "nodes/history/run_title.hpp"
#include "nodes/service/commands/service.hpp"
#include "nodes/service/jobs/data_paths.hpp"
#include "nodes/service/jobs/experiment_queue.hpp"
#include "nodes/service/jobs/limits.hpp"
#include "nodes/service/jobs/rank_group.hpp"
#include "nodes/service/library/machine.hpp"
#include "nodes/service/library/parameters.hpp"

namespace moescope::node {
using nlohmann::json;
using protocol::RecordType;
using protocol::RunState;

/// A run whose job is not taken away yet goes on: its memory is still there.
ExperimentQueue::StateOf Service::experiment_states() {
    return [this](std::uint32_t run) {
        return training(run) != nullptr ? std::optional(RunState::running) : board_.run_state(run);
    };
}

void Service::experiment_start(const json& value, Reply reply) {
    const Parameters parameters(value, {"name", "preset", "config", "data", "steps", "seed", "key", "values"});
    ExperimentWish wish;
    wish.config = wanted_config(parameters, paths_);
    auto& train = wish.config.train;
    train.steps = static_cast<int>(parameters.integer("steps", train.steps, 1, kMostSteps));
    train.seed = parameters.seed(train.seed);
    train.threads = train.threads == 0 ? threads_of_run(train) : train.threads;
    wish.data = whole_path_of_data(parameters.path("data", "manpages"));
    wish.name = parameters.text("name", "");
    wish.key = parameters.text("key", "");
    wish.values = parameters.at("values");
    const history::Experiment experiment = planned_experiment(wish, experiments_.names());
    std::vector<TrainingRequest> orders;
    bool on_processor = true;
    for (const history::Experiment::Run& run : experiment.runs) {
        TrainingRequest& order = orders.emplace_back();
        order.config = engine::parse_run_config(run.config, say("the configuration"));
        order.data = experiment.data;
        check_request(order);
        on_processor = on_processor && order.config.train.device == kernels::kProcessor;
    }
    where_device_may_be_opened(on_processor, reply, [this, experiment, orders, reply] {
        check_rooms(devices_, orders, memory_for_runs());
        begin_experiment(experiment, reply);
    });
}

void Service::begin_experiment(history::Experiment experiment, const Reply& reply) {
    if (ending_) {
        throw CommandError(say("the node is about to end and starts nothing new"));
    }
    const std::lock_guard lock(experiment_mutex_);
    experiment.number = experiments_.next_number();
    json runs = json::array();
    for (history::Experiment::Run& run : experiment.runs) {
        run.run = session_->new_run(protocol::run_kind_name(protocol::RunKind::train), run.name);
        runs.push_back(run.run);
    }
    journal_->write_now(RecordType::experiment, experiment_record(experiment));
    for (const history::Experiment::Run& run : experiment.runs) {  // not before it is sure that there are any
        board_.set_run(planned_status(run));
    }
    log("info", "train",
        say("experiment {}: {} runs will begin one after the other", history::quoted(experiment.name), runs.size()));
    experiments_.add(std::make_shared<const history::Experiment>(experiment));
    reply({{{"experiment", experiment.number}, {"runs", runs}}, {}});
}

void Service::experiment_cancel(const json& value, Reply reply) {
    const Parameters parameters(value, {"experiment"});
    cancel_experiment(
        static_cast<std::uint32_t>(parameters.integer("experiment", 1, std::numeric_limits<std::uint32_t>::max())));
    reply({});
}

void Service::cancel_experiment(std::uint32_t number) {
    const auto experiment = experiments_.find(number);
    if (experiment == nullptr) {
        throw CommandError(say("there is no experiment {} in this session", number));
    }
    for (const std::uint32_t run : experiments_.cancel(number)) {
        not_begun(run, RunState::stopped, say("its experiment was cancelled before its turn came"));
    }
    for (const history::Experiment::Run& one : experiment->runs) {
        if (const auto job = training(one.run)) {
            TrainingCommand command;
            command.kind = TrainingCommand::Kind::stop;
            job->command(std::move(command));
        }
    }
}

void Service::not_begun(std::uint32_t run, RunState state, const Sentence& why) {
    journal_->write_json(RecordType::run_ended, not_begun_record(run, state, why));
    board_.change_run(run, [&](RunStatus& gauge) {
        gauge.state = state;
        gauge.message = why;
    });
}

void Service::advance_experiments() {
    if (!journal_ || ending_) {
        return;
    }
    std::map<std::string, std::string> shown;
    for (const ExperimentQueue::Progress& progress : experiments_.progress(experiment_states())) {
        const protocol::Task task = experiment_task(progress, board_);
        if (board_.task_cancelled(task.id)) {
            board_.remove_task(task.id);
            cancel_experiment(progress.experiment->number);
            continue;
        }
        std::string text = base::dump_json(protocol::to_json(task));
        if (shown_experiments_[task.id] != text) {
            board_.set_task(task);
        }
        shown[task.id] = std::move(text);
    }
    for (const auto& [id, text] : shown_experiments_) {
        if (!shown.contains(id)) {
            board_.remove_task(id);
        }
    }
    shown_experiments_ = std::move(shown);
    // On a full disk each run would end as soon as it began.
    if (experiment_begins_ || !journal_->problem().empty()) {
        return;
    }
    if (const auto next = experiments_.next(experiment_states())) {
        experiment_begins_ = true;
        lane(Lane::slow)
            .post(kNode, {[this, next = *next] {
                              begin_experiment_run(next);
                              experiment_begins_ = false;
                          },
                          [this] { experiment_begins_ = false; }});
    }
}

void Service::begin_experiment_run(const ExperimentQueue::Next& next) {
    const std::uint32_t run = next.run.run;
    bool begun = false;
    try {
        TrainingRequest order = experiment_order(*session_, next, known_run(run));
        check_request(order);
        RunRoom room = check_room(order.config);
        workers_.make_room(room.plan.host_bytes);
        const std::lock_guard lock(jobs_mutex_);
        // It may have been cancelled meanwhile, or a person has let it go on.
        if (closing_ || trainings_.contains(run) || !experiments_.begun(run)) {
            return;
        }
        begun = true;
        trainings_[run] = std::make_shared<TrainingJob>(parts(), std::move(order), std::move(room));
    } catch (const std::exception& error) {
        if (begun || experiments_.begun(run)) {
            not_begun(run, RunState::failed, base::sentence_of(error));
            log("error", "train",
                say("training {} failed: {}", history::quoted(next.run.name), base::sentence_of(error)));
        }
    }
}

/// A run that a person stopped does not go on by itself later; one that the node's end stops does.
void Service::remember_unfinished(const std::map<std::uint32_t, std::shared_ptr<TrainingJob>>& trainings) {
    for (const auto& [run, job] : trainings) {
        if (const std::uint32_t number = experiments_.number_of(run); number != 0 && !job->finished()) {
            journal_->write_json(RecordType::experiment,
                                 unfinished_record(number, run, board_.run_state(run) == RunState::paused));
        }
    }
}

}  // namespace moescope::node
