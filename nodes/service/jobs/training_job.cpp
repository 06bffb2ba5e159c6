#include "nodes/service/jobs/training_job.hpp"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>
#include <functional>
#include <limits>
#include <string_view>
#include <system_error>
#include <unistd.h>
#include <utility>

#include "base/atomic_files.hpp"
#include "base/foreign_text.hpp"
#include "base/json_fields.hpp"
#include "base/process_memory.hpp"
#include "base/settings.hpp"
#include "base/text.hpp"
#include "engine/checkpoint/checkpoint.hpp"
#include "engine/error.hpp"
#include "engine/exchange/open_weights.hpp"
#include "engine/model/machine_memory.hpp"
#include "engine/text/dataset_check.hpp"
#include "engine/train/fork.hpp"
#include "engine/train/memory_check.hpp"
#include "nodes/history/run_title.hpp"
#include "nodes/service/jobs/rank_group.hpp"
#include "nodes/service/jobs/recorded_run.hpp"
#include "nodes/service/jobs/run_names.hpp"
#include "nodes/service/jobs/step_records.hpp"
#include "nodes/service/library/build_info.hpp"
#include "nodes/service/library/device_list.hpp"
#include "nodes/service/library/machine.hpp"

namespace moescope::node {
using base::text_of;
using nlohmann::json;
using protocol::RecordType;
using protocol::RunKind;
using protocol::RunState;

namespace {

constexpr std::size_t kKeptCheckpoints = 3;  // the latest ones, besides the first
constexpr int kSampleTokens = 48;
/// No run that learns comes near this; clipped to a length of 1, such a gradient points nowhere.
constexpr double kExplodedNorm = 1e6;
/// Bytes of what ranks did that a record holds at most, and that are written per step: with more, a record is of
/// several steps.
constexpr std::size_t kLargestRanks = std::size_t{512} << 10, kRanksPerStep = std::size_t{64} << 10;

struct SamplePrompt {
    const char* language;
    const char* text;
};
/// Beginnings that manual pages of either language know how to continue.
constexpr std::array<SamplePrompt, 2> kSamplePrompts{{{"en", "The "}, {"zh", "函数"}}};

const char* command_name(TrainingCommand::Kind kind) {
    switch (kind) {
        case TrainingCommand::Kind::pause:
            return "train.pause";
        case TrainingCommand::Kind::resume:
            return "train.resume";
        case TrainingCommand::Kind::step:
            return "train.step";
        case TrainingCommand::Kind::stop:
            return "train.stop";
        case TrainingCommand::Kind::checkpoint:
            return "train.checkpoint";
        case TrainingCommand::Kind::set:
            return "train.set";
        case TrainingCommand::Kind::expert:
            return "train.expert";
    }
    return "";
}

std::string task_id(std::uint32_t run) {
    return fmt::format("train-{}", run);
}

/// Answers a command that comes too late. Who wanted the run to stop has what they wanted.
void refuse(const TrainingCommand& command, const Sentence& why) {
    if (command.reply) {
        command.reply({json::object(), command.kind == TrainingCommand::Kind::stop ? Sentence() : why});
    }
}

/// A text cut by one tokenizer teaches nothing to a model that knows another.
void check_tokenizer(const engine::LoadedModel& model, const TrainingRequest& order) {
    if (model.tokenizer || engine::holds_tokens(order.data)) {
        return;
    }
    throw CommandError(
        say("{} brings no tokenizer that could cut the text {} into its tokens; put the SentencePiece tokenizer.model "
            "that the model was trained with into its folder, or give token ids as a .npy file",
            order.init.string(), order.data));
}

std::string steps_text(const std::vector<std::uint64_t>& steps) {
    std::string text;
    for (const std::uint64_t step : steps) {
        base::append_to_list(text, fmt::format("{}", step));
    }
    return text;
}

}  // namespace

TrainingRequest training_order(const history::RunHeader& run) {
    if (run.kind != RunKind::train) {
        throw CommandError(say("run {} is no training run", title_of(run)));
    }
    TrainingRequest order;
    order.run = run.id;
    order.name = run.name;
    order.continues = true;
    if (!run.manifest.contains("config")) {
        throw CommandError(say("the journal does not say how run {} was configured; start a new run", title_of(run)));
    }
    order.config = engine::parse_run_config(run.manifest["config"], say("the manifest of run {}", run.id));
    order.data = text_of(run.manifest, "data");
    if (order.data.empty()) {
        order.data = "manpages";
    }
    order.init = text_of(run.manifest, "init");
    for (const char* key : {"fork", "disabled_experts", "frozen_experts", "experiment"}) {
        if (run.manifest.contains(key)) {
            order.origin[key] = run.manifest[key];
        }
    }
    return order;
}

TrainingRequest order_to_continue(sessions::Session& session, const history::RunHeader& run,
                                  const std::function<void()>& check) {
    TrainingRequest order = training_order(run);
    if (run.state == RunState::done) {
        throw CommandError(say("run {} has done all its steps; start a new run", title_of(run)));
    }
    const auto checkpoints = session.checkpoints(run.id, true, check);
    for (const auto& checkpoint : checkpoints) {
        if (checkpoint.complete) {
            order.checkpoint = checkpoint.path;
            order.checkpoint_step = checkpoint.step;
        } else {
            order.damaged.push_back(checkpoint.step);
        }
    }
    // From the beginning it would put new steps in the place of those that are there.
    if (order.checkpoint.empty() && !order.damaged.empty()) {
        throw CommandError(
            say("run {} has no checkpoint that is whole (damaged: those at step {}), and going on from the beginning "
                "would replace its steps; bring back an undamaged copy of the session, or start a new run",
                title_of(run), steps_text(order.damaged)));
    }
    go_on_repeating(session, run, order);
    for (const auto& checkpoint : checkpoints) {
        if (!checkpoint.complete) {
            session.remove_checkpoint(checkpoint);
        }
    }
    return order;
}

Sentence damaged_text(const TrainingRequest& order) {
    return say("the checkpoints at step {} were damaged or not whole and are left out: the run goes on from step {}",
               steps_text(order.damaged), order.checkpoint_step);
}

void move_to_device(TrainingRequest& order, const std::string& device) {
    std::string& now = order.config.train.device;
    if (device != now) {
        order.earlier_device = std::exchange(now, device);
    }
}

TrainingRequest order_to_fork(sessions::Session& session, const history::RunHeader& parent, const ForkWish& wish,
                              const std::function<void()>& check) {
    if (parent.kind != RunKind::train) {
        throw CommandError(say("run {} is no training run", title_of(parent)));
    }
    TrainingRequest order;
    order.data = text_of(parent.manifest, "data");
    std::string steps;
    for (const auto& checkpoint : session.checkpoints(parent.id, true, check)) {
        if (!checkpoint.complete) {
            continue;
        }
        base::append_to_list(steps, fmt::format("{}", checkpoint.step));
        if (!wish.step || *wish.step == checkpoint.step) {
            order.checkpoint = checkpoint.path;
            order.checkpoint_step = checkpoint.step;
        }
    }
    if (steps.empty()) {
        throw CommandError(say("run {} has no complete checkpoint yet; save one first", title_of(parent)));
    }
    if (order.checkpoint.empty()) {
        throw CommandError(
            say("run {} has no checkpoint at step {}; there are: {}", title_of(parent), *wish.step, steps));
    }
    order.config = wish.config ? engine::parse_run_config(*wish.config, say("the configuration"))
                               : engine::checkpoint_settings(order.checkpoint);
    order.config.train.steps = wish.steps.value_or(order.config.train.steps);
    if (static_cast<std::uint64_t>(order.config.train.steps) <= order.checkpoint_step) {
        throw CommandError(say("the fork would begin with step {}, but its settings end after step {}; give more steps",
                               order.checkpoint_step + 1, order.config.train.steps));
    }
    engine::check_fork(order.checkpoint, order.config);
    const auto state = engine::read_checkpoint_state(order.checkpoint);
    order.disabled = state.disabled;
    order.frozen = state.frozen;
    order.fork = ForkPoint{parent.id, order.checkpoint_step};
    return order;
}

void check_request(const TrainingRequest& request) {
    engine::check_dataset(request.data, request.config.model.vocabulary,
                          !request.checkpoint.empty() || !request.init.empty());
}

std::uint64_t checkpoint_bytes(const engine::RunPlan& plan) {
    constexpr std::uint64_t kPerParameter = 3 * sizeof(float), kMore = std::uint64_t{64} << 10;
    const auto parameters = static_cast<std::uint64_t>(plan.parameters_total);
    const std::uint64_t most = (std::numeric_limits<std::uint64_t>::max() - kMore) / kPerParameter;
    return std::min(parameters, most) * kPerParameter + kMore;
}

void go_on_alone(TrainingRequest& order, const Sentence& why) {
    order.alone = why;
    engine::TrainConfig& train = order.config.train;
    train.processes = train.expert_parallel = 1;
    train.all_to_all = false;
}

RunRoom check_room(kernels::Devices& devices, const engine::RunConfig& config, std::uint64_t available) {
    if (config.train.processes > 1) {
        engine::check_rank_memory(config, available);
        return {nullptr, engine::plan_run(config)};
    }
    RunRoom room{devices.open(config.train.device, engine::threads_of(config)), {}};
    engine::check_memory(config, *room.ops, available);
    room.plan = engine::plan_run(config, *room.ops);
    return room;
}

void check_rooms(kernels::Devices& devices, const std::vector<TrainingRequest>& runs, std::uint64_t available) {
    std::map<std::pair<std::string, int>, std::unique_ptr<kernels::Ops>> opened;
    for (const TrainingRequest& run : runs) {
        if (run.config.train.processes > 1) {
            require_processes(run.config);
            engine::check_rank_memory(run.config, available);
            continue;
        }
        const int threads = engine::threads_of(run.config);
        std::unique_ptr<kernels::Ops>& ops = opened[{run.config.train.device, threads}];
        if (ops == nullptr) {
            ops = devices.open(run.config.train.device, threads);
        }
        engine::check_memory(run.config, *ops, available);
    }
}

namespace {

/// Of the first step that is not as in the recorded run: the values, and the likely cause where one is known.
Sentence what_differs(const RecordedRun& recorded, double loss, const Sentence& own_change) {
    const double then = recorded.recorded_loss();
    const Sentence values =
        then == loss
            ? say("the total loss is {:.9g} as it was, but other values or the counts of experts are not", loss)
            : say("the total loss was {:.9g} and is {:.9g}", then, loss);
    if (!own_change.empty()) {
        return say("{}; not in the recorded run: {}", values, own_change);
    }
    return recorded.differences().empty() ? values
                                          : say("{}; other here: {}", values, recorded.differences().front().text);
}

}  // namespace

class TrainingJob::By {
 public:
    By(TrainingJob& job, const char* who) : job_(job) { job_.by_ = who; }
    ~By() { job_.by_ = nullptr; }
    By(const By&) = delete;
    By& operator=(const By&) = delete;

 private:
    TrainingJob& job_;
};

TrainingJob::TrainingJob(NodeParts parts, TrainingRequest order, RunRoom room)
    : parts_(parts),
      order_(std::move(order)),
      ops_(std::move(room.ops)),
      plan_(ops_ != nullptr ? room.plan : engine::plan_run(order_.config)),
      checkpoint_bytes_(node::checkpoint_bytes(plan_)),
      paused_(order_.paused) {
    RunStatus gauge;
    gauge.run = order_.run;
    gauge.kind = RunKind::train;
    gauge.name = order_.name;
    gauge.state = paused_ ? RunState::paused : RunState::running;
    gauge.planned_steps = planned_steps();
    gauge.last_checkpoint = order_.checkpoint_step;
    gauge.checkpoints = history::complete_checkpoints(parts_.session, order_.run);
    parts_.board.set_run(gauge);
    announce(false);
    thread_ = std::thread([this] { main(); });
}

TrainingJob::~TrainingJob() {
    request_stop();
    wait();
}

void TrainingJob::request_stop() {
    stop_ = true;
    // Taken once, so that a waiting job cannot miss the change between its check and its sleep.
    { const std::lock_guard lock(mutex_); }
    wake_.notify_all();
}

void TrainingJob::wait() {
    if (thread_.joinable()) {
        thread_.join();
    }
}

void TrainingJob::command(TrainingCommand command) {
    {
        const std::lock_guard lock(mutex_);
        if (accepting_) {
            commands_.push_back(std::move(command));
            wake_.notify_all();
            return;
        }
    }
    refuse(command, say("run {} has ended; {} needs a run that goes on", history::quoted(order_.name),
                        command_name(command.kind)));
}

void TrainingJob::main() {
    const auto start = Clock::now();
    try {
        train();
    } catch (const std::bad_alloc&) {
        finish(RunState::failed, say("there is not enough memory for this run; choose a smaller model or batch"));
    } catch (const std::exception& error) {
        finish(RunState::failed, is_of_device(error) ? fault_of_device(error) : base::sentence_of(error));
    }
    // In the thread that used it; a device's memory is wanted by others.
    trainer_.reset();
    launcher_ = -1;
    ops_.reset();
    result_.seconds = std::chrono::duration<double>(Clock::now() - start).count();
    std::deque<TrainingCommand> left;
    {
        const std::lock_guard lock(mutex_);
        accepting_ = false;
        left.swap(commands_);
    }
    for (auto& command : left) {
        refuse(command, result_.message.empty()
                            ? say("run {} ended before {} could be carried out", history::quoted(order_.name),
                                  command_name(command.kind))
                            : say("run {} ended before {} could be carried out: {}", history::quoted(order_.name),
                                  command_name(command.kind), result_.message));
    }
    finished_ = true;
}

// Whoever fails otherwise throws one of these: the program itself, and files.
bool TrainingJob::is_of_device(const std::exception& error) const {
    return !on_processor() && dynamic_cast<const base::Error*>(&error) == nullptr &&
           dynamic_cast<const std::system_error*>(&error) == nullptr;
}

/// A device that was lost or ran into an error does not come back within this run.
Sentence TrainingJob::fault_of_device(const std::exception& error) const {
    const std::string& device = order_.config.train.device;
    const std::uint64_t step = (trainer_ ? trainer_->steps_done() : order_.checkpoint_step) + 1;
    if (last_checkpoint_) {
        return say("{} failed in step {}: {}; the run can be continued from its checkpoint at step {}", device, step,
                   base::sentence_of(error), *last_checkpoint_);
    }
    return say("{} failed in step {}: {}; there is no checkpoint yet", device, step, base::sentence_of(error));
}

std::uint64_t TrainingJob::planned_steps() const {
    return order_.last_step > 0 ? order_.last_step : static_cast<std::uint64_t>(order_.config.train.steps);
}

void TrainingJob::open_device() {
    if (order_.config.train.processes > 1) {  // each opens its own
        if (starts_ranks()) {
            require_processes(order_.config);
        }
        plan_ = engine::plan_run(order_.config);
    } else if (ops_ == nullptr) {
        ops_ = parts_.devices.open(order_.config.train.device, engine::threads_of(order_.config));
        if (!ops_->host_memory()) {  // whoever starts a run has looked at this machine's
            engine::check_memory(order_.config, *ops_, engine::available_memory());
        }
        plan_ = engine::plan_run(order_.config, *ops_);
    }
    if (!on_processor()) {
        device_ = device_manifest(parts_.devices, order_.config.train.device);
    }
}

Sentence TrainingJob::rewind_text() const {
    const Sentence where = order_.checkpoint.empty()
                               ? say("goes on from the beginning, there was no checkpoint yet")
                               : say("goes on from the checkpoint at step {}", order_.checkpoint_step);
    if (!order_.alone.empty()) {
        return say("{}, in one process: {}", where, order_.alone);
    }
    if (order_.earlier_device.empty()) {
        return where;
    }
    return say("{}, on {} and no longer on {}: its numbers are not bit-equal to those that it would have had", where,
               order_.config.train.device, order_.earlier_device);
}

void TrainingJob::train() {
    open_device();
    if (!load_data()) {
        finish(RunState::stopped, say("stopped while the text was being loaded"));
        return;
    }
    if (!build_trainer()) {
        finish(RunState::stopped, say("stopped while its memory was being prepared"));
        return;
    }
    announce(true);
    if (!result_.exchange.empty()) {
        parts_.sink.log("info", "train", trainer_->exchange().text);
    }
    if (order_.continues) {
        event("rewind", sentence_json("text", rewind_text()));
        if (!order_.damaged.empty()) {
            parts_.sink.log("warning", "train", damaged_text(order_));
        }
    }
    if (paused_) {
        pause("pause", {});
    }
    // A run that does not start from random numbers is kept whole from its beginning: where it came from may go away.
    if ((order_.fork || !order_.init.empty()) && !last_checkpoint_ && !save_checkpoint()) {
        throw base::Error(result_.message);
    }
    const std::uint64_t planned = planned_steps();
    while (trainer_->steps_done() < planned && wait_for_work()) {
        if (!one_step()) {
            return;
        }
    }
    if (faulty_step_ > 0) {
        finish(RunState::stopped, say("stopped after step {} went wrong; nothing was saved after it", faulty_step_));
        return;
    }
    const bool complete = trainer_->steps_done() >= planned;
    if (complete) {
        evaluate();
    }
    if (save_last_checkpoint()) {
        finish(complete ? RunState::done : RunState::stopped, {});
    } else {
        finish(RunState::failed, result_.message);
    }
}

Beginning open_beginning(const TrainingRequest& order) {
    if (!order.checkpoint.empty()) {
        return {nullptr, engine::read_checkpoint_tokenizer(order.checkpoint)};
    }
    if (order.init.empty()) {
        return {};
    }
    const auto weights = engine::open_weights(order.init).model;
    check_tokenizer(*weights, order);
    return {weights, weights->tokenizer};
}

std::unique_ptr<engine::Trainer> make_trainer(const TrainingRequest& order, std::shared_ptr<const engine::Dataset> data,
                                              const Beginning& beginning, const engine::StopCheck& check,
                                              std::unique_ptr<kernels::Ops> ops, const engine::TrainingRanks& ranks) {
    if (!order.checkpoint.empty()) {
        return engine::Trainer::load(order.checkpoint, std::move(data), order.fork ? &order.config : nullptr, check,
                                     std::move(ops), ranks);
    }
    if (beginning.weights) {
        const std::span<const float> parameters(beginning.weights->parameters, beginning.weights->layout.floats);
        return std::make_unique<engine::Trainer>(order.config, std::move(data), parameters, check, std::move(ops),
                                                 ranks);
    }
    return std::make_unique<engine::Trainer>(order.config, std::move(data), check, std::move(ops), ranks);
}

json order_of_ranks(const TrainingRequest& order) {
    return {{"config", engine::to_json(order.config)},
            {"data", order.data},
            {"init", order.init.string()},
            {"checkpoint", order.checkpoint.string()},
            {"fork", order.fork.has_value()}};
}

TrainingRequest request_of_ranks(const json& order) {
    TrainingRequest request;
    request.config = engine::parse_run_config(base::member(order, "config"), say("the configuration"));
    request.data = text_of(order, "data");
    request.init = text_of(order, "init");
    request.checkpoint = text_of(order, "checkpoint");
    if (order.value("fork", false)) {
        request.fork.emplace();
    }
    return request;
}

bool TrainingJob::stop_wanted() {
    const std::lock_guard lock(mutex_);
    // A stop that waits in the queue counts at once; the other commands wait for the trainer.
    return stop_ || std::any_of(commands_.begin(), commands_.end(), [](const TrainingCommand& command) {
               return command.kind == TrainingCommand::Kind::stop;
           });
}

bool TrainingJob::load_data() {
    beginning_ = open_beginning(order_);
    protocol::Task task;
    task.id = fmt::format("data-{}", order_.run);
    task.kind = protocol::TaskKind::corpus;
    task.title = order_.data;
    task.cancel_command = "train.stop";
    task.run = order_.run;
    parts_.board.set_task(task);
    const auto progress = [&](double fraction, const Sentence& what) {
        task.fraction = fraction;
        task.detail = what;
        parts_.board.set_task(task);
        return !stop_wanted();
    };
    try {
        data_ = parts_.datasets.load(order_.data, order_.config.model.vocabulary, beginning_.tokenizer, progress);
    } catch (const std::exception&) {
        const bool cancelled = !progress(1, {});
        parts_.board.remove_task(task.id);
        if (cancelled) {
            return false;
        }
        throw;
    }
    parts_.board.remove_task(task.id);
    if (beginning_.weights != nullptr && !beginning_.weights->disabled.empty()) {
        parts_.sink.log("warning", "train",
                        say("{} experts that are disabled in {} are enabled in the new run",
                            beginning_.weights->disabled.size(), order_.init));
    }
    for (const Sentence& note : data_->notes) {
        parts_.sink.log("warning", "train", note);
    }
    return true;
}

bool TrainingJob::build_trainer() {
    struct Unwanted {};
    const engine::StopCheck check = [this] {
        if (stop_wanted()) {
            throw Unwanted();
        }
    };
    try {
        // The data are in the cache now, where other ranks find them.
        if (starts_ranks()) {
            StartedRanks started = start_ranks(parts_.paths, order_, check);
            trainer_ = std::move(started.trainer);
            launcher_ = started.launcher;
        } else if (order_.ranks) {
            order_.ranks->begin(order_of_ranks(order_));
            auto ops = order_.ranks->open_device(order_.config);
            trainer_ =
                trains_here(make_trainer(order_, data_, beginning_, check, std::move(ops), order_.ranks->ranks()),
                            order_.ranks->exchange());
        } else {
            trainer_ = trains_here(make_trainer(order_, data_, beginning_, check, std::move(ops_), {}));
        }
    } catch (const Unwanted&) {
        return false;
    }
    beginning_ = {};
    result_.exchange = trainer_->exchange().way;
    if (!order_.checkpoint.empty() && !order_.fork) {
        last_checkpoint_ = order_.checkpoint_step;
        result_.checkpoint = order_.checkpoint;
    }
    return true;
}

void TrainingJob::announce(bool with_data) {
    json manifest = {{"config", engine::to_json(order_.config)},
                     {"data", order_.data},
                     {"seed", order_.config.train.seed},
                     {"steps", order_.config.train.steps},
                     {"threads", order_.config.train.threads},
                     {"plan",
                      {{"parameters_total", plan_.parameters_total},
                       {"parameters_active", plan_.parameters_active},
                       {"memory_bytes", plan_.memory_bytes},
                       {"flops_per_token", plan_.flops_per_token}}},
                     {"program_version", MOESCOPE_VERSION},
                     {"build", build_info()},
                     {"environment", environment_info()},
                     {"machine", {{"cpu", processor_name()}, {"cores", cores()}, {"memory_bytes", total_memory()}}}};
    manifest.update(order_.origin);
    if (!order_.init.empty()) {
        manifest["init"] = order_.init.string();
    }
    if (order_.fork) {
        manifest["fork"] = {{"run", order_.fork->run}, {"step", order_.fork->step}};
    }
    if (!order_.disabled.empty()) {
        manifest["disabled_experts"] = order_.disabled;
    }
    if (!order_.frozen.empty()) {
        manifest["frozen_experts"] = order_.frozen;
    }
    if (with_data && order_.recorded) {
        if (auto other = other_data(order_.recorded->run().manifest, data_->sha256)) {
            order_.recorded->add({std::move(*other)});
        }
    }
    if (order_.recorded) {
        manifest["replay"] = order_.recorded->origin();
    }
    if (with_data) {
        manifest["corpus_sha256"] = data_->sha256;
        manifest["corpus_tokens"] = data_->train_tokens.size();
        manifest["bytes_per_token"] = {{"en", number_or_null(data_->bytes_per_token[0])},
                                       {"zh", number_or_null(data_->bytes_per_token[1])}};
        manifest["memory_used_bytes"] = trainer_->memory_bytes();
    }
    if (!device_.is_null()) {
        manifest["device"] = device_;
    }
    if (!result_.exchange.empty()) {
        manifest["exchange"] = result_.exchange;
    }
    parts_.sink.write_json(RecordType::run_started, {{"run", order_.run},
                                                     {"kind", protocol::run_kind_name(RunKind::train)},
                                                     {"name", order_.name},
                                                     {"manifest", manifest}});
    if (!with_data) {
        parts_.sink.log("info", "train", say("training {} started", history::quoted(order_.name)));
    }
}

void TrainingJob::finish(RunState state, const Sentence& message) {
    write_ranks();
    result_.state = state;
    result_.message = message;
    json record = {{"run", order_.run}, {"state", protocol::run_state_name(state)}, {"step", 0}};
    base::put_sentence(record, "message", message);
    if (trainer_) {
        result_.steps = trainer_->steps_done();
        record["step"] = result_.steps;
        // Of a run that was stopped before its first step nobody asks what its parameters would have been.
        if (state == RunState::done || (state == RunState::stopped && result_.steps > 0)) {
            result_.parameters_sha256 = trainer_->parameters_sha256();
            record["parameters_sha256"] = result_.parameters_sha256;
        }
        if (order_.recorded) {
            record["replay"] = order_.recorded->outcome(result_.parameters_sha256, result_.steps);
        }
    }
    parts_.sink.write_json(RecordType::run_ended, record);
    parts_.sink.log_end("train", state,
                        {say("training {} is done: {} steps", history::quoted(order_.name), result_.steps),
                         say("training {} was stopped at step {}", history::quoted(order_.name), result_.steps),
                         say("training {} failed: {}", history::quoted(order_.name), message)});
    parts_.board.remove_task(task_id(order_.run));
    parts_.board.change_run(order_.run, [&](RunStatus& gauge) {
        gauge.state = state;
        gauge.message = message;
    });
}

bool TrainingJob::wait_for_work() {
    for (;;) {
        std::unique_lock lock(mutex_);
        if (commands_.empty() && paused_ && single_steps_ == 0 && !stop_) {
            wake_.wait(lock, [this] { return !commands_.empty() || stop_; });
        }
        if (!commands_.empty()) {
            TrainingCommand command = std::move(commands_.front());
            commands_.pop_front();
            lock.unlock();
            carry_out(command);
            continue;
        }
        if (stop_) {
            return false;
        }
        if (!paused_) {
            return true;
        }
        if (single_steps_ > 0) {
            --single_steps_;
            return true;
        }
    }
}

void TrainingJob::carry_out(TrainingCommand& command) {
    const By by(*this, "command");
    Outcome outcome;
    try {
        switch (command.kind) {
            case TrainingCommand::Kind::pause:
                if (!paused_) {
                    pause("pause", {});
                }
                break;
            case TrainingCommand::Kind::resume:
                if (paused_) {
                    if (const Sentence shortage = parts_.disk.shortage(checkpoint_bytes_); !shortage.empty()) {
                        throw CommandError(shortage);
                    }
                    resume();
                }
                break;
            case TrainingCommand::Kind::step:
                if (!paused_) {
                    throw CommandError(
                        say("run {} is running; pause it before stepping singly", history::quoted(order_.name)));
                }
                single_steps_ += command.count;
                break;
            case TrainingCommand::Kind::stop:
                stop_ = true;
                break;
            case TrainingCommand::Kind::checkpoint:
                if (!save_checkpoint()) {
                    throw CommandError(result_.message);
                }
                outcome.value = {{"step", trainer_->steps_done()}};
                break;
            case TrainingCommand::Kind::set:
                set_knobs(command.knobs);
                outcome.value = {{"step", trainer_->steps_done() + 1}};
                break;
            case TrainingCommand::Kind::expert:
                change_expert(command.expert);
                outcome.value = {{"step", trainer_->steps_done() + 1}};
                break;
        }
    } catch (const std::exception& error) {
        outcome.error = base::sentence_of(error);
    }
    if (command.reply) {
        command.reply(outcome);
    }
}

void TrainingJob::note_own_change(const std::function<Sentence()>& text) {
    const bool repeated = by_ != nullptr && std::string_view(by_) == "replay";
    if (order_.recorded && !repeated && own_change_.empty()) {
        own_change_ = text();
    }
}

void TrainingJob::set_knobs(const engine::LiveValues& values) {
    const engine::RunConfig before = trainer_->config();
    trainer_->set(values);
    // A change belongs to the first step that it acts on.
    for (const auto& [name, value] : values) {
        event("knob", {{"step", trainer_->steps_done() + 1},
                       {"name", name},
                       {"old", engine::live_value(before, name)},
                       {"new", engine::live_value(trainer_->config(), name)}});
        note_own_change([&] {
            return say("{} was changed from {} to {} before step {}", base::setting_name(name),
                       base::setting_text(engine::live_value(before, name)),
                       base::setting_text(engine::live_value(trainer_->config(), name)), trainer_->steps_done() + 1);
        });
    }
}

void TrainingJob::repeat_knobs(const json& knobs) {
    engine::LiveValues values;
    for (const auto& [name, value] : knobs.items()) {
        if (value.is_number() && engine::may_change(order_.config, name)) {  // once, any could be turned
            values[name] = value.get<double>();
        }
    }
    set_knobs(values);
}

void TrainingJob::change_expert(const json& change) {
    const int layer = change.value("layer", -1), expert = change.value("expert", -1);
    const std::string action = text_of(change, "action");
    if (action == "disable" || action == "enable") {
        trainer_->set_expert_disabled(layer, expert, action == "disable");
    } else if (action == "freeze" || action == "thaw") {
        trainer_->set_expert_frozen(layer, expert, action == "freeze");
    } else if (action == "reset") {
        trainer_->reset_expert(layer, expert);
    } else {
        throw CommandError(say("an expert can be told to disable, enable, freeze, thaw or reset, not '{}'", action));
    }
    json record = {{"step", trainer_->steps_done() + 1}, {"name", action}, {"layer", layer}, {"expert", expert}};
    base::put_sentence(record, "text", say("layer {}, expert {}: {}", layer, expert, action));
    event("expert", record);
    note_own_change([&] {
        return say("{} before step {}", say("layer {}, expert {}: {}", layer, expert, action),
                   trainer_->steps_done() + 1);
    });
}

void TrainingJob::pause(const std::string& kind, const Sentence& why) {
    paused_ = true;
    single_steps_ = 0;
    if (kind != "pause") {
        event(kind, sentence_json("text", why));
    }
    event("pause", sentence_json("text", why));
    parts_.board.change_run(order_.run, [&](RunStatus& gauge) {
        gauge.state = RunState::paused;
        gauge.message = why;
    });
    parts_.board.remove_task(task_id(order_.run));
}

void TrainingJob::resume() {
    paused_ = false;
    single_steps_ = 0;
    event("resume", json::object());
    parts_.board.change_run(order_.run, [](RunStatus& gauge) {
        gauge.state = RunState::running;
        gauge.message = {};
    });
}

Sentence TrainingJob::fault_of(const engine::StepStats& stats) const {
    Sentence what;
    if (!stats.fault.empty()) {
        what = say("{}; the step was not applied", stats.fault);
    } else if (stats.gradient_norm > kExplodedNorm) {
        what = say("the gradient norm exploded to {:.3g}", stats.gradient_norm);
    } else {
        return {};
    }
    if (last_checkpoint_) {
        return say(
            "step {}: {}; lower the learning rate and resume, or stop the run and continue it from its checkpoint at "
            "step {}",
            stats.step, what, *last_checkpoint_);
    }
    return say(
        "step {}: {}; there is no checkpoint yet; lower the learning rate and resume, or start a new run with a lower "
        "one",
        stats.step, what);
}

void TrainingJob::repeat_changes() {
    const By by(*this, "replay");
    const auto [first, last] = order_.changes.equal_range(trainer_->steps_done() + 1);
    for (auto change = first; change != last; ++change) {
        if (change->second.contains("knobs")) {
            repeat_knobs(change->second["knobs"]);
        } else {
            change_expert(change->second["expert"]);
        }
    }
}

Sentence TrainingJob::look_at_disk() {
    constexpr std::chrono::milliseconds kBetweenLooks{100};  // small models write megabytes a second
    const auto now = Clock::now();
    if (looked_at_disk_ && now - *looked_at_disk_ < kBetweenLooks) {
        return {};
    }
    looked_at_disk_ = now;
    const Sentence shortage = parts_.disk.shortage(checkpoint_bytes_);
    if (shortage.empty()) {
        return {};
    }
    // The reserve is there for this; without room the last one stays as it is.
    if (trainer_->steps_done() > 0) {
        save_checkpoint();
    }
    if (!last_checkpoint_) {
        return say("{}; the run waits before step {}, and there is no checkpoint yet", shortage,
                   trainer_->steps_done() + 1);
    }
    return say("{}; the run waits after step {}, its last checkpoint is at step {}", shortage, trainer_->steps_done(),
               *last_checkpoint_);
}

bool TrainingJob::one_step() {
    if (const Sentence shortage = look_at_disk(); !shortage.empty()) {
        if (order_.faults_end_the_run) {
            finish(RunState::failed, shortage);
            return false;
        }
        pause("fault", shortage);
        return true;
    }
    repeat_changes();
    const engine::StepStats& stats = trainer_->step();
    tell_not_recorded();
    tell_attention();
    Sentence trouble = fault_of(stats);
    faulty_step_ = trouble.empty() ? 0 : stats.step;
    if (stats.fault.empty()) {
        write_step(stats);  // a step that was not applied has no numbers
    }
    if (trouble.empty()) {
        const auto& train = order_.config.train;
        const auto due = [&](int every) { return every > 0 && stats.step % static_cast<std::uint64_t>(every) == 0; };
        const bool last = stats.step >= planned_steps();
        if (due(train.evaluate_every) && !last) {
            evaluate();
        }
        if (due(train.sample_every)) {
            write_samples();
        }
        if (due(train.checkpoint_every) && !last && !save_checkpoint()) {
            trouble = result_.message;
        }
        show_progress();
    }
    if (trouble.empty()) {
        trouble = parts_.sink.problem();
    }
    if (trouble.empty()) {
        return true;
    }
    if (order_.faults_end_the_run) {
        finish(RunState::failed, trouble);
        return false;
    }
    pause("fault", trouble);
    return true;
}

/// Once: the run goes on, only slower.
void TrainingJob::tell_not_recorded() {
    if (told_not_recorded_) {
        return;
    }
    if (const std::string why = trainer_->why_not_recorded(); !why.empty()) {
        told_not_recorded_ = true;
        parts_.sink.log("warning", "train",
                        say("{} could not record the operations of a step ({}); they are started one by one, which may "
                            "take longer and changes no number",
                            order_.config.train.device, base::one_line(why)));
    }
}

/// Once; of attention that takes 16-bit operands: the numbers are a library's or an own kernel's.
void TrainingJob::tell_attention() {
    if (told_attention_) {
        return;
    }
    if (const std::string by = trainer_->attention_by(); !by.empty()) {
        told_attention_ = true;
        parts_.sink.log("info", "train",
                        say("attention with 16-bit operands on {} is computed by {}", order_.config.train.device,
                            base::one_line(by)));
    }
}

void TrainingJob::write_step(const engine::StepStats& stats) {
    protocol::StepRecord record = step_record(stats, order_.config.model);
    record.run = order_.run;
    if (stats.ranks.empty()) {
        record.memory_bytes = static_cast<double>(base::resident_memory(getpid()));
    }
    parts_.sink.write(RecordType::step, protocol::encode_step(record));
    if (order_.recorded && order_.recorded->compare(record)) {
        event("difference", sentence_json("text", what_differs(*order_.recorded, stats.loss, own_change_)));
    }
    if (!stats.ranks.empty()) {
        add_ranks(stats.ranks, stats.step);
    }
    result_.loss = stats.loss;
    result_.cross_entropy = stats.cross_entropy;
    smoothed_step_ms_ = smoothed_step_ms_ == 0 ? stats.step_ms : 0.9 * smoothed_step_ms_ + 0.1 * stats.step_ms;
}

void TrainingJob::add_ranks(const engine::RankStep& step, std::uint64_t number) {
    protocol::RankRecord record = rank_record(step, number);
    record.run = order_.run;
    if (record.size() > kLargestRanks) {
        record.fold_layers();
    }
    if (record.size() > kLargestRanks) {
        return;  // some hundred ranks: no record holds who sends how much to whom
    }
    const std::size_t steps = 1 + record.size() / kRanksPerStep;
    if (result_.ranks) {
        result_.ranks->add(record);
    } else {
        result_.ranks = record;
    }
    if (ranks_) {
        ranks_->add(record);
    } else {
        ranks_ = std::move(record);
    }
    if (ranks_->steps >= steps) {
        write_ranks();
    }
}

void TrainingJob::write_ranks() {
    if (ranks_) {
        parts_.sink.write(RecordType::ranks, protocol::encode_ranks(*ranks_));
        ranks_.reset();
    }
}

void TrainingJob::show_progress() {
    const std::uint64_t planned = planned_steps();
    const std::uint64_t done = trainer_->steps_done();
    protocol::Task task;
    task.id = task_id(order_.run);
    task.kind = protocol::TaskKind::train;
    task.title = order_.name;
    task.fraction = static_cast<double>(done) / static_cast<double>(planned);
    task.seconds_left = static_cast<double>(planned - std::min(done, planned)) * smoothed_step_ms_ / 1000.0;
    task.detail = Sentence::verbatim(fmt::format("{} / {}", done, planned));
    task.cancel_command = "train.stop";
    task.run = order_.run;
    if (!paused_) {
        parts_.board.set_task(task);
    }
}

void TrainingJob::evaluate() {
    const auto held_out = trainer_->evaluate();
    result_.held_out = held_out;
    parts_.sink.write_json(
        RecordType::evaluation,
        {{"run", order_.run},
         {"step", trainer_->steps_done()},
         {"loss", {{"en", number_or_null(held_out.loss[0])}, {"zh", number_or_null(held_out.loss[1])}}},
         {"tokens", {{"en", held_out.tokens[0]}, {"zh", held_out.tokens[1]}}}});
}

void TrainingJob::write_samples() {
    for (const auto& prompt : kSamplePrompts) {
        parts_.sink.write_json(RecordType::sample, {{"run", order_.run},
                                                    {"step", trainer_->steps_done()},
                                                    {"language", prompt.language},
                                                    {"prompt", prompt.text},
                                                    {"text", trainer_->sample(prompt.text, kSampleTokens)}});
    }
}

bool TrainingJob::save_last_checkpoint() {
    while ((trainer_->steps_done() > 0 || last_checkpoint_) && !save_checkpoint()) {
        if (order_.faults_end_the_run || stop_) {
            return false;
        }
        // The work is in memory: a person can make room and resume, and then it is saved.
        pause("fault", result_.message);
        (void)wait_for_work();
    }
    return true;
}

/// Once a checkpoint could not be saved. Who is there to resume has the run as it is; else the last one counts.
Sentence TrainingJob::what_to_do() const {
    const bool begins_again = order_.faults_end_the_run && result_.checkpoint.empty() && order_.checkpoint.empty();
    return begins_again ? say("make room on the disk and start the run again, as it has no checkpoint yet")
                        : say("make room on the disk and resume");
}

bool TrainingJob::save_checkpoint() {
    write_ranks();  // whoever goes on from here finds sums of whole stretches
    const std::uint64_t step = trainer_->steps_done();
    if (last_checkpoint_ == step) {
        return true;  // nothing new to save
    }
    if (faulty_step_ > 0) {
        // The step was not applied, but the ones before it may have done the harm: the last checkpoint stays the last.
        result_.message =
            say("step {} went wrong, and the state after it is not saved; resume with a lower learning rate first, or "
                "stop the run and continue it from its last checkpoint",
                faulty_step_);
        return false;
    }
    try {
        parts_.session.check_place();
    } catch (const std::exception& error) {
        result_.message = say("the checkpoint at step {} could not be saved: {}", step, error);
        return false;
    }
    if (const Sentence full = parts_.disk.no_room_for(checkpoint_bytes_); !full.empty()) {
        result_.message = say("the checkpoint at step {} could not be saved: {}; {}", step, full, what_to_do());
        return false;
    }
    try {
        base::AtomicFolder folder(parts_.session.checkpoint_path(order_.run, step));
        trainer_->save(folder.path());
        folder.commit();
    } catch (const std::exception& error) {
        if (is_of_device(error)) {
            throw;
        }
        result_.message = say("the checkpoint at step {} could not be saved: {}; {}", step, error, what_to_do());
        try {
            parts_.session.check_place();
        } catch (const std::exception& moved) {  // while it was being saved
            result_.message = say("the checkpoint at step {} could not be saved: {}", step, moved);
        }
        return false;
    }
    last_checkpoint_ = step;
    result_.checkpoint = parts_.session.checkpoint_path(order_.run, step);
    event("checkpoint", sentence_json("text", say("checkpoint saved at step {}", step)));
    forget_old_checkpoints();
    parts_.board.change_run(order_.run,
                            [&, kept = history::complete_checkpoints(parts_.session, order_.run)](RunStatus& gauge) {
                                gauge.last_checkpoint = step;
                                gauge.checkpoints = kept;
                            });
    return true;
}

void TrainingJob::forget_old_checkpoints() {
    try {
        auto list = parts_.session.checkpoints(order_.run, false);
        for (std::size_t i = 1; i + kKeptCheckpoints < list.size(); ++i) {
            parts_.holds.forget_unless_held(list[i].path, [&] { parts_.session.remove_checkpoint(list[i]); });
        }
    } catch (const std::exception& error) {
        // Too many checkpoints are a nuisance, not a reason to stop.
        parts_.sink.log("warning", "train", base::sentence_of(error));
    }
}

void TrainingJob::event(const std::string& kind, const json& more) {
    json record = {
        {"run", order_.run}, {"step", trainer_ ? trainer_->steps_done() : order_.checkpoint_step}, {"kind", kind}};
    record.update(more);
    if (by_ != nullptr) {
        record["by"] = by_;
    }
    parts_.sink.write_json(RecordType::event, record);
}

}  // namespace moescope::node
