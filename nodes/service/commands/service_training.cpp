// The train.* commands and the catalogue.
#include <algorithm>
#include <fmt/format.h>
#include <limits>

#include "base/base64.hpp"
#include "base/foreign_text.hpp"
#include "base/input_file.hpp"
#include "base/settings.hpp"
#include "base/text.hpp"
#include "engine/model/balancings.hpp"
#include "engine/model/machine_memory.hpp"
#include "engine/train/plan.hpp"
#include "nodes/service/commands/service.hpp"
#include "nodes/service/jobs/data_paths.hpp"
#include "nodes/service/jobs/limits.hpp"
#include "nodes/service/jobs/rank_group.hpp"
#include "nodes/service/jobs/recorded_run.hpp"
#include "nodes/service/jobs/run_names.hpp"
#include "nodes/service/library/parameters.hpp"

namespace moescope::node {
namespace fs = std::filesystem;
using nlohmann::json;

namespace {

constexpr std::uint64_t kLargestConfig = 64 << 10;

/// Files *.json of a folder by name.
std::vector<fs::path> json_files(const fs::path& folder) {
    std::vector<fs::path> files;
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(folder, error)) {
        if (entry.path().extension() == ".json") {
            files.push_back(entry.path());
        }
    }
    std::sort(files.begin(), files.end());
    return files;
}

json probe_set_entry(const fs::path& path) {
    const auto set = probes::load_set(path);
    auto items = json::array();
    for (const auto& item : set.items) {
        items.push_back({{"id", item.id},
                         {"topic", item.topic},
                         {"group", item.group},
                         {"mirrors", item.mirrors},
                         {"title", item.title}});
    }
    return {{"name", set.name},     {"title", set.title},     {"items", items},      {"path", path.string()},
            {"topics", set.topics}, {"version", set.version}, {"sha256", set.sha256}};
}

}  // namespace

engine::RunConfig read_run_config(const fs::path& path) {
    return engine::parse_run_config(base::read_json_file(path, kLargestConfig), path.string());
}

engine::RunConfig find_preset(const std::string& name, const Paths& paths) {
    const fs::path path = paths.presets() / (name + ".json");
    const bool plain = !name.empty() && name.find('/') == std::string::npos && name.front() != '.' &&
                       name.find('\0') == std::string::npos;
    std::error_code error;
    if (!plain || !fs::exists(path, error)) {
        throw CommandError(say("there is no preset '{}'; there are: {}", name, base::joined(preset_names(paths))));
    }
    return read_run_config(path);
}

std::vector<std::string> preset_names(const Paths& paths) {
    std::vector<std::string> names;
    for (const auto& path : json_files(paths.presets())) {
        names.push_back(path.stem().string());
    }
    return names;
}

namespace {

/// A bound of a whole number; 2^64 stands for the largest.
json whole(double bound) {
    return bound >= 0x1p64 ? json(std::numeric_limits<std::uint64_t>::max()) : json(static_cast<std::int64_t>(bound));
}

json field_json(const engine::ConfigField& field) {
    json one = {{"section", field.section},
                {"group", field.group},
                {"key", field.key},
                {"type", field.type},
                {"fork", field.fork}};
    const bool integer = field.type == "integer", number = integer || field.type == "number";
    const json low = integer ? whole(field.low) : json(field.low),
               high = integer ? whole(field.high) : json(field.high);
    if (field.type == "choice") {
        one["choices"] = field.choices;
    }
    if (number) {
        one.update({{"low", low}, {"high", high}});
    }
    if (!field.unit.empty()) {
        one["unit"] = field.unit;
    }
    if (!field.when.empty()) {
        one["when"] = field.when;
    }
    if (!field.aliases.empty()) {
        one["aliases"] = field.aliases;
    }
    if (field.live != engine::Live::no) {
        one["live"] = {{"low", low},
                       {"high", field.live == engine::Live::up_to_configured ? json("configured") : high},
                       {"when", base::both(field.when, field.live_when)}};
    }
    return one;
}

std::vector<std::string> live_names() {
    std::vector<std::string> names;
    for (const auto& field : engine::config_fields()) {
        if (field.live != engine::Live::no) {
            names.push_back(field.key);
        }
    }
    return names;
}

}  // namespace

json fields_json() {
    // What a configuration without the key means: an editor that takes a short preset needs the other keys too.
    const auto defaults = engine::to_json(engine::RunConfig{});
    auto fields = json::array();
    for (const auto& field : engine::config_fields()) {
        fields.push_back(field_json(field));
        fields.back()["default"] = defaults.at(field.section).at(field.key);
    }
    return fields;
}

namespace {

/// What `balance` of an experiment may be, see planned_experiment().
json balancings_json() {
    auto list = json::array();
    for (const engine::Balancing& one : engine::balancings()) {
        list.push_back(
            {{"name", one.name}, {"settings", engine::balancing_settings(one.name)}, {"source", one.source}});
    }
    return list;
}

}  // namespace

json plan_json(const engine::RunPlan& plan) {
    return {{"parameters_total", plan.parameters_total},
            {"parameters_active", plan.parameters_active},
            {"memory_bytes", plan.memory_bytes},
            {"host_bytes", plan.host_bytes},
            {"flops_per_token", plan.flops_per_token}};
}

void Service::catalogue(const json& parameters, Reply reply) {
    const Parameters none(parameters, {});
    look_at_devices();  // whoever comes sees what is there now
    auto presets = json::array(), sets = json::array(), prompts = json::array();
    const auto complain = [this](const std::exception& error) {
        log("warning", "catalogue", base::sentence_of(error));
    };
    for (const auto& name : preset_names(paths_)) {
        try {
            const auto config = find_preset(name, paths_);
            presets.push_back(
                {{"name", name}, {"config", engine::to_json(config)}, {"plan", plan_json(engine::plan_run(config))}});
        } catch (const std::exception& error) {
            complain(error);
        }
    }
    for (const auto& path : json_files(paths_.probe_sets())) {
        try {
            sets.push_back(probe_set_entry(path));
        } catch (const std::exception& error) {
            complain(error);
        }
    }
    try {
        const auto library = base::read_json_file(paths_.assets / "prompts" / "library.json", 1 << 20);
        if (library.is_object() && library.contains("prompts")) {
            prompts = library["prompts"];
        }
    } catch (const std::exception& error) {
        complain(error);
    }
    auto processes = json::object();
    base::put_sentence(processes, "why_not", why_no_processes());
    reply(
        {{{"presets", presets},
          {"config_fields", fields_json()},
          {"balancings", balancings_json()},
          {"probe_sets", sets},
          {"prompts", prompts},
          {"datasets", {"manpages"}},
          {"processes", processes},
          {"export", {{"formats", kExportFormats}, {"precisions", export_precisions()}, {"routers", kExportRouters}}}},
         {}});
}

engine::RunConfig wanted_config(const Parameters& parameters, const Paths& paths) {
    if (parameters.has("config") && parameters.has("preset")) {
        throw CommandError(say("'preset' and 'config' both say what the run is like; give one of them"));
    }
    return parameters.has("config") ? engine::parse_run_config(parameters.at("config"), say("the configuration"))
                                    : find_preset(parameters.text("preset"), paths);
}

namespace {

bool on_processor(const engine::RunConfig& config) {
    return config.train.device == kernels::kProcessor;
}

}  // namespace

void Service::train_plan(const json& value, Reply reply) {
    const Parameters parameters(value, {"config", "preset"});
    const auto config = wanted_config(parameters, paths_);
    where_device_may_be_opened(on_processor(config), reply, [this, config, reply] {
        reply({plan_json(check_room(config).plan), {}});
    });
}

void Service::train_start(const json& value, Reply reply) {
    const Parameters parameters(value, {"preset", "config", "data", "steps", "seed", "name", "paused"});
    TrainingRequest order;
    order.config = wanted_config(parameters, paths_);
    auto& train = order.config.train;
    train.steps = static_cast<int>(parameters.integer("steps", train.steps, 1, kMostSteps));
    train.seed = parameters.seed(train.seed);
    order.data = whole_path_of_data(parameters.path("data", "manpages"));
    order.paused = parameters.flag("paused", false);
    const std::string title = parameters.text("name", "");
    where_device_may_be_opened(on_processor(order.config), reply,
                               [this, order, title, reply] { start_run(order, title, reply); });
}

void Service::where_device_may_be_opened(bool on_processor, const Reply& reply, std::function<void()> work) {
    if (on_processor) {
        work();
        return;
    }
    go_on(Lane::devices, asker(Lane::quick), reply, std::move(work));
}

RunRoom Service::check_room(const engine::RunConfig& config) {
    require_processes(config);
    return node::check_room(devices_, config, memory_for_runs());
}

/// Idle models give way to a run.
std::uint64_t Service::memory_for_runs() const {
    const std::uint64_t available = engine::available_memory(), idle = workers_.idle_memory();
    return available > std::numeric_limits<std::uint64_t>::max() - idle ? available : available + idle;
}

void Service::require_disk(const engine::RunConfig& config) const {
    if (const Sentence shortage = disk_.shortage(checkpoint_bytes(engine::plan_run(config))); !shortage.empty()) {
        throw CommandError(shortage);
    }
}

void Service::start_run(TrainingRequest order, const std::string& title, const Reply& reply) {
    check_request(order);
    require_disk(order.config);
    if (title.size() > base::kNameBytes) {
        throw CommandError(
            say("a name of {} bytes is too long; use one of at most {}", title.size(), base::kNameBytes));
    }
    // Written into the run, so that it goes on with the same number of threads.
    if (order.config.train.threads == 0) {
        order.config.train.threads = threads_of_run(order.config.train);
    }
    RunRoom room = check_room(order.config);
    workers_.make_room(room.plan.host_bytes);
    std::uint32_t run = 0;
    {
        const std::lock_guard lock(jobs_mutex_);
        if (closing_) {
            throw CommandError(say("the node is about to end and starts nothing new"));
        }
        order.name = title.empty()
                         ? running_name(order.config.name, names_of(board_.run_list(), protocol::RunKind::train))
                         : title;
        run = order.run = session_->new_run(protocol::run_kind_name(protocol::RunKind::train), order.name);
        trainings_[run] = std::make_shared<TrainingJob>(parts(), std::move(order), std::move(room));
    }
    journal_->flush();  // who is told of the run finds it, also when the node dies now
    reply({{{"run", run}}, {}});
}

void Service::refuse_at_the_end() const {
    if (ending_) {
        throw CommandError(say("the node is about to end and starts nothing new"));
    }
}

void Service::train_continue(const json& value, Reply reply) {
    const Parameters parameters(value, {"run", "device", "data"});
    const std::uint32_t run = parameters.run();
    if (const auto job = training(run); job && !job->finished()) {
        throw CommandError(say("run {} is still going on", name_in(board_.run_list(), run)));
    }
    auto order = order_to_continue(*session_, known_run(run), [this] { refuse_at_the_end(); });
    if (parameters.has("data")) {
        order.data = whole_path_of_data(parameters.path("data"));
        require_data(order.data);
        if (order.recorded) {
            order.recorded->move_data(order.data);
        }
    } else if (!data_exist(order.data)) {
        throw CommandError(
            say("run {} was trained on {}, which is not there; bring it back, or go on with the same data "
                "in another place: moescope-node train --resume --data",
                title_of(known_run(run)), order.data));
    }
    move_to_device(order, parameters.text("device", order.config.train.device));
    if (const Sentence why = why_no_processes(); order.config.train.processes > 1 && !why.empty()) {
        go_on_alone(order, why);
    }
    try {
        devices_.check(order.config.train.device);
    } catch (const base::Error& error) {
        if (!parameters.has("device")) {
            throw CommandError(say("{}; choose another device to go on on", error));
        }
        throw;
    }
    if (order.recorded) {
        order.recorded->add(differences_here(order.recorded->run().manifest, order.config, devices_));
    }
    require_disk(order.config);
    const std::lock_guard lock(jobs_mutex_);
    if (closing_) {
        throw CommandError(say("the node is about to end and starts nothing new"));
    }
    if (const auto job = trainings_.find(run); job != trainings_.end() && !job->second->finished()) {
        throw CommandError(say("run {} is still going on", name_in(board_.run_list(), run)));
    }
    (void)experiments_.begun(run);  // its experiment waits for it no more
    trainings_[run] = std::make_shared<TrainingJob>(parts(), std::move(order));
    reply({{{"run", run}}, {}});
}

void Service::command_training(const json& value, TrainingCommand::Kind kind, Reply reply) {
    const std::uint32_t run = Parameters(value, {"run"}).run();
    const auto job = training(run);
    if (!job) {
        if (active_kind(run)) {
            require_kind(run, protocol::RunKind::train);
        }
        const auto state = board_.run_state(run);
        throw CommandError(state ? say("run {} is not active; it is {}", name_in(board_.run_list(), run),
                                       Sentence(protocol::run_state_name(*state), {}))
                                 : say("there is no training run {}", run));
    }
    TrainingCommand command;
    command.kind = kind;
    command.reply = std::move(reply);
    job->command(std::move(command));
}

void Service::train_pause(const json& value, Reply reply) {
    command_training(value, TrainingCommand::Kind::pause, std::move(reply));
}
void Service::train_resume(const json& value, Reply reply) {
    command_training(value, TrainingCommand::Kind::resume, std::move(reply));
}
void Service::train_stop(const json& value, Reply reply) {
    command_training(value, TrainingCommand::Kind::stop, std::move(reply));
}
void Service::train_checkpoint(const json& value, Reply reply) {
    command_training(value, TrainingCommand::Kind::checkpoint, std::move(reply));
}

void Service::hand_over(std::uint32_t run, TrainingCommand command, Reply reply) {
    const auto job = training(run);
    if (!job) {
        if (active_kind(run)) {
            require_kind(run, protocol::RunKind::train);
        }
        throw CommandError(say("run {} is not active", name_in(board_.run_list(), run)));
    }
    command.reply = std::move(reply);
    job->command(std::move(command));
}

void Service::train_step(const json& value, Reply reply) {
    const Parameters parameters(value, {"run", "count"});
    TrainingCommand command;
    command.kind = TrainingCommand::Kind::step;
    command.count = static_cast<std::uint64_t>(parameters.integer("count", 1, 1, 1'000'000));
    hand_over(parameters.run(), std::move(command), std::move(reply));
}

void Service::train_set(const json& value, Reply reply) {
    const std::vector<std::string> names = live_names();
    std::vector<std::string> known = names;
    known.push_back("run");
    for (const auto& name : names) {
        for (const auto& older : base::old_settings(name)) {
            known.push_back(older);
        }
    }
    const Parameters parameters(value, known);
    TrainingCommand command;
    command.kind = TrainingCommand::Kind::set;
    for (const auto& [key, number] : value.items()) {
        if (key == "run") {
            continue;
        }
        if (!number.is_number()) {
            throw CommandError(say("{} must be a number, not {}", key, number.dump()));
        }
        command.knobs[base::current_setting(key)] = number.get<double>();
    }
    if (command.knobs.empty()) {
        throw CommandError(say("train.set needs one of {}", base::joined(names)));
    }
    hand_over(parameters.run(), std::move(command), std::move(reply));
}

void Service::train_expert(const json& value, Reply reply) {
    const Parameters parameters(value, {"run", "layer", "expert", "action"});
    TrainingCommand command;
    command.kind = TrainingCommand::Kind::expert;
    command.expert = {{"layer", parameters.integer("layer", -1, 0, 1 << 16)},
                      {"expert", parameters.integer("expert", -1, 0, 1 << 16)},
                      {"action", parameters.text("action")}};
    hand_over(parameters.run(), std::move(command), std::move(reply));
}

/// Old steps once more: of these a viewer keeps the numbers, and no counts.
void Service::train_steps(const json& value, Reply reply) {
    const Parameters parameters(value, {"run", "first", "last"});
    const std::uint32_t run = parameters.run();
    const auto first = static_cast<std::uint64_t>(parameters.integer("first", 0, kMostSteps)),
               last = static_cast<std::uint64_t>(parameters.integer("last", 0, kMostSteps));
    if (last < first) {
        throw CommandError(say("last is step {}, before the first one, {}", last, first));
    }
    require_kind(run, protocol::RunKind::train);
    if (!step_finder_) {
        step_finder_.emplace(session_->journal());
    }
    constexpr std::size_t kMostBytes = 192 << 10;  // of bodies: a quarter of an answer
    const history::FoundSteps found = step_finder_->find(run, first, last, kMostBytes, [this] { refuse_at_the_end(); });
    json records = json::array();
    for (const history::FoundRecord& record : found.records) {
        records.push_back({{"type", static_cast<int>(record.type)},
                           {"step", record.step},
                           {"body", base::encode_base64(record.body)}});
    }
    json answer = {{"records", std::move(records)}};
    if (found.next != 0) {
        answer["next"] = found.next;
    }
    reply({std::move(answer), {}});
}

void Service::train_fork(const json& value, Reply reply) {
    const Parameters parameters(value, {"run", "step", "config", "steps", "name", "paused"});
    ForkWish wish;
    if (parameters.has("step")) {
        wish.step = static_cast<std::uint64_t>(parameters.integer("step", 0, 0, kMostSteps));
    }
    if (parameters.has("config")) {
        wish.config = parameters.at("config");
    }
    if (parameters.has("steps")) {
        wish.steps = static_cast<int>(parameters.integer("steps", 1, 1, kMostSteps));
    }
    const bool paused = parameters.flag("paused", false);
    const std::string title = parameters.text("name", "");
    TrainingRequest order =
        order_to_fork(*session_, known_run(parameters.run()), wish, [this] { refuse_at_the_end(); });
    order.paused = paused;
    start_run(std::move(order), title, reply);
}

}  // namespace moescope::node
