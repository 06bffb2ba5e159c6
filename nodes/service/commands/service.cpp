#include "nodes/service/commands/service.hpp"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <exception>
#include <filesystem>
#include <unistd.h>

#include "base/json_fields.hpp"
#include "base/json_guard.hpp"
#include "base/process_memory.hpp"
#include "nodes/protocol/frame.hpp"
#include "nodes/protocol/session.hpp"
#include "nodes/security/identity.hpp"
#include "nodes/service/commands/remote_paths.hpp"
#include "nodes/service/jobs/rank_group.hpp"
#include "nodes/service/library/machine.hpp"
#include "nodes/service/library/parameters.hpp"
#include "nodes/service/workers/worker_sandbox.hpp"

namespace moescope::node {
using base::count_of;
using nlohmann::json;
using protocol::RecordType;
using protocol::RunKind;
using protocol::RunState;

const std::map<std::string, Service::Command>& Service::commands() {
    constexpr auto quick = Lane::quick, slow = Lane::slow;
    using enum protocol::Right;
    static const std::map<std::string, Command> table = {
        {"catalogue", {&Service::catalogue, slow, false, true, viewer}},
        {"train.plan", {&Service::train_plan, quick, false, true, viewer}},
        {"train.start", {&Service::train_start, quick, true}},
        {"train.pause", {&Service::train_pause, quick, false}},
        {"train.resume", {&Service::train_resume, quick, false}},
        {"train.stop", {&Service::train_stop, quick, false}},
        {"train.checkpoint", {&Service::train_checkpoint, quick, false}},
        {"train.step", {&Service::train_step, quick, true}},
        {"train.set", {&Service::train_set, quick, true}},
        {"train.expert", {&Service::train_expert, quick, true}},
        {"train.steps", {&Service::train_steps, Lane::steps, false, true, viewer}},
        {"train.fork", {&Service::train_fork, slow, true}},
        {"train.continue", {&Service::train_continue, slow, true}},
        {"reproduce.check", {&Service::reproduce_check, Lane::replays, false, true}},
        {"reproduce.start", {&Service::reproduce_start, Lane::replays, true}},
        {"experiment.start", {&Service::experiment_start, slow, true}},
        {"experiment.cancel", {&Service::experiment_cancel, quick, false}},
        {"generate.start", {&Service::generate_start, quick, true}},
        {"generate.cancel", {&Service::generate_cancel, quick, false}},
        {"probe.start", {&Service::probe_start, quick, true}},
        {"probe.pause", {&Service::probe_pause, quick, false}},
        {"probe.resume", {&Service::probe_resume, slow, true}},
        {"probe.cancel", {&Service::probe_cancel, quick, false}},
        {"probe.label", {&Service::probe_label, slow, true}},
        {"probe.merge", {&Service::probe_merge, slow, true}},
        {"probe.plan", {&Service::probe_plan, slow, false, true, viewer}},
        {"route.start", {&Service::route_start, slow, true}},
        {"route.effect", {&Service::route_effect, slow, true}},
        {"route.sweep", {&Service::route_sweep, quick, true}},
        {"route.import", {&Service::route_import, slow, true}},
        {"route.export", {&Service::route_export, Lane::traces, false, true}},
        {"route.cancel", {&Service::route_cancel, quick, false}},
        {"curves.import", {&Service::curves_import, Lane::traces, true}},
        {"curves.export", {&Service::curves_export, Lane::traces, false, true}},
        {"interventions.save", {&Service::interventions_save, quick, true}},
        {"interventions.remove", {&Service::interventions_remove, quick, true}},
        {"notes.add", {&Service::notes_add, slow, true}},
        {"notes.edit", {&Service::notes_edit, slow, true}},
        {"notes.remove", {&Service::notes_remove, slow, true}},
        {"notes.list", {&Service::notes_list, slow, false, true, viewer}},
        {"models.add", {&Service::models_add, slow, true, true, admin}},
        {"models.remove", {&Service::models_remove, slow, true, true, admin}},
        {"models.ask", {&Service::models_ask, Lane::servers, false, true}},
        {"models.inspect", {&Service::models_inspect, slow, false, true}},
        {"models.export", {&Service::models_export, slow, false, true}},
        {"models.device", {&Service::models_device, Lane::devices, false}},
        {"report.write", {&Service::report_write, Lane::reports, false, true}},
        {"files.list", {&Service::files_list, Lane::files, false, true, viewer}},
        {"files.open", {&Service::files_open, Lane::files, false, true}},
        {"files.receive", {&Service::files_receive, Lane::files, false}},
        {"files.hash", {&Service::files_hash, Lane::files, false, true}},
        {"files.finish", {&Service::files_finish, Lane::files, false}},
        {"files.close", {&Service::files_close, quick, false, true}},
        {"node.disk", {&Service::node_disk, quick, false, false, admin}},
        {"task.cancel", {&Service::task_cancel, quick, false, true}},
        {"node.stop", {&Service::node_stop, quick, false, true, admin}},
    };
    return table;
}

std::vector<std::string> Service::command_names() {
    std::vector<std::string> names;
    for (const auto& [name, command] : commands()) {
        names.push_back(name);
    }
    return names;
}

namespace {

/// The number of the last step of a training run, 0 when there is none.
std::uint64_t last_step(const sessions::Journal& journal, std::uint32_t run) {
    const history::Session history =
        history::read_session(journal, {.channels = {protocol::Channel::events, protocol::Channel::metrics},
                                        .keep = {.counts = 0, .values = false, .run = run}});
    const history::Column& steps = history.trainings().at(run).value.step;
    return steps.empty() ? 0 : static_cast<std::uint64_t>(steps.back());
}

json answer_of(const Outcome& outcome) {
    if (outcome.error.empty()) {
        return {{"state", "done"}, {"value", outcome.value}};
    }
    return protocol::failed_answer(outcome.error);
}

/// What stands in the session while a command is carried out: who asks again after the node stopped in the middle
/// gets this.
json answer_unknown() {
    json answer = {{"state", "unknown"}};
    base::put_sentence(answer, "error",
                       say("the node stopped while it carried this command out; look at what it has done before "
                           "sending a new one"));
    return answer;
}

/// Under which the session keeps it.
constexpr const char* kDeviceOfModels = "models_device";

/// The longest value of one key of STATE, with room for the key.
constexpr std::size_t kLongestGauge = protocol::kDataBodyLimit - 1024;

/// The statistics of old probe runs are the long part of the gauges: they are left out, the oldest first, as far as the
/// rest would not fit a frame.
void shorten_runs(json& runs) {
    std::size_t size = base::dump_json(runs).size();
    for (auto& run : runs) {
        if (size <= kLongestGauge) {
            return;
        }
        if (const auto statistics = run.find("statistics"); statistics != run.end()) {
            size -= base::dump_json(*statistics).size();
            run.erase(statistics);
        }
    }
}

/// Leaves the first (oldest) entries out as far as the list would not fit a frame; gives how many. `size`: bytes of the
/// list as a text.
std::size_t fit_list(json& list, std::size_t size) {
    std::size_t count = 0;
    while (size > kLongestGauge && count < list.size()) {
        size -= base::dump_json(list[count++]).size() + 1;
    }
    list.erase(list.begin(), list.begin() + static_cast<std::ptrdiff_t>(count));
    return count;
}

}  // namespace

Service::Service(const Paths& paths, ServeOptions options)
    : paths_(paths),
      options_(std::move(options)),
      session_(sessions::Session::open(options_.session, options_.read_only ? sessions::Journal::Mode::read_only
                                                                            : sessions::Journal::Mode::read_write)),
      datasets_(paths_.cache),
      models_(paths_, &board_),
      workers_(paths_.program, options_.keep_models),
      disk_(session_->folder()),
      devices_(device_places(paths_)) {
    if (!options_.read_only) {
        journal_ = std::make_unique<JournalWriter>(session_->journal());
    }
    for (const auto& sentences : {session_->problems(), session_->notes()}) {
        for (const auto& sentence : sentences) {
            log("warning", "session", sentence);
        }
    }
    if (options_.listen || options_.linger) {  // people on other machines are to come
        make_shared_folder();
    }
    device_of_models_ = session_->value(kDeviceOfModels).value_or("");
    disk_.set_reserve(options_.disk_reserve);
    if (const auto kept = session_->value(kDiskReserve); kept && !options_.disk_reserve) {
        std::uint64_t bytes = 0;
        const auto [end, error] = std::from_chars(kept->data(), kept->data() + kept->size(), bytes);
        disk_.set_reserve(error == std::errc() ? std::optional(bytes) : std::nullopt);
    }
    tell_of_library();
    read_new_events();
    if (journal_) {
        experiments_.take(history_);
    }
    show_earlier_runs();
    sets_ = history_.intervention_sets();
    notes_.take(history_.notes());
    if (journal_) {
        history_ = history::Session();  // from here on the jobs know better
    }
    followed_to_ = session_->journal().last();
    log("info", "node", say("node {} started, process {}, {} cores", MOESCOPE_VERSION, getpid(), cores()));
    if (const Sentence problem = sandbox_problem(); !problem.empty()) {
        log("warning", "models", problem);
    }
    if (journal_) {
        journal_->flush();
    }
    transport::NodeServerOptions server;
    server.socket = options_.socket;
    server.features = "train,generate,probe,report,route,files,notes";
    if (options_.listen) {
        const std::filesystem::path keys = paths_.data / "node";
        server.listener = {*options_.listen, security::load_or_make_identity(keys / "identity.pem"), keys};
        server.log = [this](bool warning, const Sentence& sentence) {
            log(warning ? "warning" : "info", "node", sentence);
        };
    }
    server_ = std::make_unique<transport::NodeServer>(server, session_->journal(), *this);
    lane(Lane::slow).post(kNode, {[this] { count_probes(); }, [] {}});
    look_at_devices();
}

Service::~Service() {
    end_jobs();
    // The answers to what is given up still go out; then the viewers are told goodbye.
    for (FairLane& each : lanes_) {
        each.finish();
    }
    server_.reset();
}

NodeParts Service::parts() {
    return {paths_,   *session_, *journal_, board_, datasets_, models_,
            workers_, threads_,  turns_,    holds_, disk_,     devices_};
}

void Service::run(const std::function<bool()>& stop) {
    publish(true);
    auto last_node = std::chrono::steady_clock::now(), last_use = last_node;
    while (!stop() && !stop_) {
        const auto now = std::chrono::steady_clock::now();
        if (options_.linger && !idle()) {
            last_use = now;
        } else if (options_.linger && now - last_use > *options_.linger) {
            break;
        }
        const bool second = now - last_node >= std::chrono::seconds(1);
        if (second) {
            last_node = now;
            watch_disk();
            follow_writer();
            look_at_models();
        }
        advance_experiments();
        publish(second);
        reap();
    }
    end_jobs();
    publish(true);
    if (journal_ && !journal_->problem().empty()) {
        throw base::Error(say("{}; what happened last could not be saved", journal_->problem()));
    }
}

void Service::on_viewers(std::size_t count) {
    // Over stdin and stdout there is one viewer and no other will come.
    if (count == 0 && options_.socket.empty() && !options_.listen) {
        stop_ = true;
    }
}

Outcome Service::not_carried_out() {
    return {{}, say("the node ended before the command's turn came; it was not carried out")};
}

Sentence Service::needs_right(const std::string& name, protocol::Right needed, protocol::Right has) {
    return say("'{}' needs the right of the role {}, and this workbench was paired as {}", name,
               protocol::name_of(needed), protocol::name_of(has));
}

json Service::allowed(const transport::Asker& asker, const std::string& name, const Command& command, json parameters) {
    if (!protocol::covers(asker.right, command.needs)) {
        throw CommandError(needs_right(name, command.needs, asker.right));
    }
    // Over ssh this folder is named in full, for what is fetched from there when it is written.
    const bool shared =
        std::filesystem::path(base::text_of(parameters, "path")).parent_path() == shared_files(session_->folder());
    std::exception_ptr no_folder;
    if (asker.remote || shared) {
        try {
            make_shared_folder();
        } catch (const base::Error&) {
            no_folder = std::current_exception();
        }
    }
    if (!asker.remote) {
        if (no_folder) {
            std::rethrow_exception(no_folder);
        }
        return parameters;
    }
    json confined = confine(name, parameters, session_->folder(),
                            {[this](const std::string& model) { return offers_model(model); },
                             [this](const std::string& set) { return is_built_in_set(set, paths_); }});
    // Whoever names no file, and only stops something, need not wait for their folder.
    if (no_folder && confined != parameters) {
        std::rethrow_exception(no_folder);
    }
    return confined;
}

/// Of the library, a checkpoint of the session, or one of these with a set of changes.
bool Service::offers_model(const std::string& name) {
    const std::string plain = model_and_set(name).model;
    return history::checkpoint_named(plain).has_value() || models_.find(plain).has_value();
}

bool Service::idle() {
    const std::lock_guard lock(jobs_mutex_);
    return server_->viewers() == 0 && trainings_.empty() && generations_.empty() && probes_.empty() &&
           routes_.empty() && board_.tasks().empty();
}

void Service::on_request(const transport::Asker& who, std::string id, std::string name, json parameters,
                         std::function<void(json)> reply) {
    const std::uint64_t viewer = who.viewer;
    const auto found = commands().find(name);
    if (found == commands().end()) {
        reply(answer_of({{}, say("this node does not know the command '{}'", name)}));
        return;
    }
    const Command command = found->second;
    try {
        parameters = allowed(who, name, command, std::move(parameters));
    } catch (const base::Error& refused) {
        reply(answer_of({{}, refused.sentence()}));
        return;
    }
    if (!journal_ && !command.reads) {
        reply(answer_of({{},
                         say("the session {} is open for reading only, and this would write to it; open it for writing "
                             "when nobody else uses it, or open a copy of its folder",
                             session_->folder())}));
        return;
    }
    const auto give_up = [reply] { reply(answer_of(not_carried_out())); };
    // What changes nothing is of use to who asked alone. On the quick lane it costs nothing, and a stop is meant.
    const std::string droppable = command.recorded || command.lane == Lane::quick ? std::string() : id;
    const auto work = [this, viewer, right = who.right, droppable, id = std::move(id), command,
                       parameters = std::move(parameters), reply = std::move(reply)] {
        asker(command.lane) = {viewer, droppable, right};
        const auto act = [&](const Reply& answer) {
            carry_out(answer, [&] { (this->*command.action)(parameters, answer); });
        };
        if (!command.recorded || !journal_) {
            act([reply](Outcome outcome) { reply(answer_of(outcome)); });
            return;
        }
        json known;
        try {
            known = earlier_answer(id);
            if (known.is_null()) {
                session_->put_finished_command(id, base::dump_json(answer_unknown()));
            }
        } catch (const std::exception& error) {
            // Carried out without that, it would be done twice when it is sent again. A pause or a stop is not recorded
            // and works on a full disk, too.
            reply(answer_of({{},
                             say("this command could not be noted in the session and was not carried out: {}",
                                 base::sentence_of(error))}));
            return;
        }
        if (!known.is_null()) {
            reply(known);
            return;
        }
        act([this, id, reply](Outcome outcome) {
            const json answer = answer_of(outcome);
            record_answer(id, answer);
            reply(answer);
        });
    };
    lane(command.lane).post(viewer, {work, give_up, droppable});
}

std::vector<std::string> Service::on_abandoned(const std::vector<std::string>& ids) {
    std::vector<std::string> dropped;
    for (const std::string& id : ids) {
        if (std::any_of(lanes_.begin(), lanes_.end(), [&](FairLane& each) { return each.drop(id); })) {
            dropped.push_back(id);
        }
    }
    return dropped;
}

void Service::record_answer(const std::string& id, const json& answer) {
    try {
        session_->put_finished_command(id, base::dump_json(answer));
    } catch (const std::exception& error) {
        // It stays unknown, for who sends it again.
        log("error", "session", base::sentence_of(error));
    }
}

void Service::log(const char* level, const char* source, const Sentence& text) {
    if (journal_) {
        journal_->log(level, source, text);
    }
}

json Service::earlier_answer(const std::string& id) const {
    const auto known = session_->finished_command(id);
    if (!known) {
        return {};
    }
    // It was given, so the command was carried out, whatever is left of the answer.
    return base::parse_object(*known, protocol::kDataBodyLimit).value_or(answer_unknown());
}

void Service::carry_out(const Reply& reply, const std::function<void()>& work) {
    try {
        work();
    } catch (const std::exception& error) {
        reply({{}, base::sentence_of(error)});
    }
}

void Service::go_on(Lane which, const Asker& who, const Reply& reply, std::function<void()> work) {
    lane(which).post(who.viewer, {[reply, work = std::move(work)] { carry_out(reply, work); },
                                  [reply] { reply(not_carried_out()); }, who.id});
}

void Service::tell_of_library() {
    for (const Sentence& warning : models_.take_warnings()) {
        log("warning", "models", warning);
    }
}

void Service::look_at_models() {
    if (looking_at_models_.exchange(true)) {
        return;
    }
    lane(Lane::slow)
        .post(kNode, {[this] {
                          try {
                              models_.look_again();
                              tell_of_library();
                          } catch (const std::exception& error) {
                              log("warning", "models", base::sentence_of(error));
                          }
                          looking_at_models_ = false;
                      },
                      [this] { looking_at_models_ = false; }});
}

void Service::look_at_devices() {
    if (looking_at_devices_.exchange(true)) {
        return;
    }
    lane(Lane::devices)
        .post(kNode, {[this] {
                          looking_at_devices_ = false;  // who asks from here on may know more
                          try {
                              std::vector<protocol::DeviceEntry> list = device_list(devices_);
                              const std::lock_guard lock(device_list_mutex_);
                              device_list_ = std::move(list);
                          } catch (const std::exception& error) {
                              log("warning", "node", base::sentence_of(error));
                          }
                      },
                      [this] { looking_at_devices_ = false; }});
}

std::string Service::device_of_models() {
    const std::lock_guard lock(device_list_mutex_);
    return device_of_models_;
}

std::string Service::device_of_gguf_models() {
    const std::lock_guard lock(device_list_mutex_);
    const bool there =
        std::any_of(device_list_.begin(), device_list_.end(), [this](const protocol::DeviceEntry& device) {
            return device.name == device_of_models_ && device.usable() && device.gguf_why_not.empty();
        });
    return there && device_of_models_ != kernels::kProcessor ? device_of_models_ : std::string();
}

void Service::models_device(const json& value, Reply reply) {
    const std::string device = Parameters(value, {"device"}).text("device");
    if (!device.empty()) {
        devices_.check(device);
    }
    session_->set_value(kDeviceOfModels, device);
    const std::lock_guard lock(device_list_mutex_);
    device_of_models_ = device;
    reply({});
}

void Service::read_new_events() {
    history::for_each_record(
        session_->journal(), protocol::Channel::events, read_to_, [&](const sessions::Record& record) {
            read_to_ = {record.epoch, record.sequence};
            history_.apply(
                {static_cast<RecordType>(record.type), {record.epoch, record.sequence}, record.time_ns, record.body});
            return true;
        });
}

void Service::show_earlier_runs() {
    writer_ = !journal_ && base::lock_holder(session_->folder() / "journal.lock").has_value();
    for (const auto& [number, known] : history_.runs()) {
        history::RunHeader run = *known;
        std::vector<std::uint64_t> checkpoints;
        if (run.kind == RunKind::train) {
            checkpoints = history::complete_checkpoints(*session_, number);
        }
        const std::uint64_t checkpoint = checkpoints.empty() ? 0 : checkpoints.back();
        const bool cut = !protocol::ended(run.state) && run.state != RunState::planned;  // an experiment plans runs
        if (cut && journal_) {
            close_interrupted_run(run, checkpoint);
        } else if (cut && !writer_) {
            run.state = RunState::interrupted;  // nobody is there who could go on with it
            run.message = say("the node stopped while this was running");
        }
        if (run.kind == RunKind::generate || run.kind == RunKind::route || run.kind == RunKind::imported) {
            continue;
        }
        RunStatus gauge;
        gauge.run = number;
        gauge.kind = run.kind;
        gauge.name = run.name;
        gauge.state = run.state;
        gauge.message = run.message;
        gauge.last_checkpoint = checkpoint;
        gauge.checkpoints = std::move(checkpoints);
        gauge.planned_steps = std::max(count_of(run.manifest, "steps"), count_of(run.manifest, "planned"));
        if (!board_.run_state(number)) {
            board_.set_run(gauge);
            continue;
        }
        board_.change_run(number, [&](RunStatus& shown) {
            gauge.name = std::move(shown.name);
            gauge.statistics = std::move(shown.statistics);  // those of the latest count
            shown = std::move(gauge);
        });
    }
}

void Service::follow_writer() {
    constexpr std::chrono::seconds kBetweenCounts{3};
    if (journal_) {
        return;
    }
    session_->journal().follow();
    const sessions::Position before = read_to_;
    read_new_events();
    const bool writer = base::lock_holder(session_->folder() / "journal.lock").has_value();
    if (read_to_ != before || writer != writer_) {
        show_earlier_runs();
    }
    const auto now = std::chrono::steady_clock::now();
    if (const auto last = session_->journal().last(); last != followed_to_ && now - counted_at_ >= kBetweenCounts) {
        followed_to_ = last;
        counted_at_ = now;
        lane(Lane::slow).post(kNode, {[this] { count_probes(); }, [] {}});
    }
}

void Service::close_interrupted_run(history::RunHeader& run, std::uint64_t checkpoint) {
    std::uint64_t step = 0;
    run.state = RunState::interrupted;
    run.message = say("the node stopped while this was running");
    if (run.kind == RunKind::train) {
        step = last_step(session_->journal(), run.id);
        run.message = checkpoint > 0
                          ? say("the node stopped at step {}; the last checkpoint is at step {}", step, checkpoint)
                          : say("the node stopped at step {}, before the first checkpoint", step);
    }
    if (run.kind == RunKind::generate) {
        json ending = {{"run", run.id},   {"state", protocol::run_state_name(RunState::failed)},
                       {"stop", "error"}, {"prompt_tokens", 0},
                       {"tokens", 0},     {"tokens_per_second", 0},
                       {"prompt_ms", 0}};
        base::put_sentence(ending, "message", run.message);
        journal_->write_json(RecordType::generation_ended, ending);
    }
    json record = {{"run", run.id},
                   {"state", protocol::run_state_name(run.state)},
                   {"step", step},
                   {"last_checkpoint", checkpoint}};
    base::put_sentence(record, "message", run.message);
    journal_->write_json(RecordType::run_ended, record);
}

void Service::end_jobs() {
    std::map<std::uint32_t, std::shared_ptr<TrainingJob>> trainings;
    std::map<std::uint32_t, std::shared_ptr<GenerationJob>> generations;
    std::map<std::uint32_t, std::shared_ptr<ProbeJob>> probes;
    std::map<std::uint32_t, std::shared_ptr<RouteJob>> routes;
    {
        const std::lock_guard lock(jobs_mutex_);
        closing_ = true;
        ending_ = true;
        for (FairLane& each : lanes_) {
            each.close();
        }
        trainings.swap(trainings_);
        generations.swap(generations_);
        probes.swap(probes_);
        routes.swap(routes_);
    }
    const auto all = [&](void (Job::*what)()) {
        const auto each = [what](auto& jobs) {
            for (auto& [run, job] : jobs) {
                ((*job).*what)();
            }
        };
        each(trainings);
        each(generations);
        each(probes);
        each(routes);
    };
    remember_unfinished(trainings);
    all(&Job::request_stop);
    all(&Job::wait);
    if (journal_) {
        journal_->flush();
    }
    watch_disk();
}

void Service::watch_disk() {
    try {
        session_->journal().sync();
    } catch (const std::exception& error) {
        log("error", "journal", base::sentence_of(error));
    }
}

void Service::reap() {
    std::vector<std::shared_ptr<Job>> ended;
    const auto take = [&](auto& jobs) {
        for (auto it = jobs.begin(); it != jobs.end();) {
            if (it->second->finished()) {
                ended.push_back(it->second);
                it = jobs.erase(it);
            } else {
                ++it;
            }
        }
    };
    const std::lock_guard lock(jobs_mutex_);
    if (std::any_of(trainings_.begin(), trainings_.end(),
                    [](const auto& one) { return one.second->finished() && !one.second->on_processor(); })) {
        look_at_devices();  // memory of a device is free again
    }
    take(trainings_);
    take(generations_);
    take(probes_);
    take(routes_);
}

void Service::publish(bool everything) {
    json state = json::object();
    if (const auto version = board_.version(); version != published_board_) {
        published_board_ = version;
        state["tasks"] = board_.tasks();
        state["runs"] = board_.runs();
        shorten_runs(state["runs"]);
    }
    if (const auto version = models_.version() + board_.models_version(); version != published_models_) {
        published_models_ = version;
        state["models"] = model_gauges();
    }
    if (everything) {
        state["node"] = node_gauges();
    }
    // What did not change is not sent again: statistics are long, and steps come many times a second.
    for (auto it = state.begin(); it != state.end();) {
        std::string text = base::dump_json(it.value());
        if (published_[it.key()] == text) {
            it = state.erase(it);
        } else {
            published_[it.key()] = std::move(text);
            ++it;
        }
    }
    for (auto& [key, value] : state.items()) {
        const std::size_t left_out = value.is_array() ? fit_list(value, published_[key].size()) : 0;
        if (left_out > left_out_[key]) {
            log("warning", "node",
                say("the list of {} is too long for one message; the oldest {} are left out", key, left_out));
        }
        left_out_[key] = left_out;
    }
    if (!state.empty() && !server_->publish_state(std::move(state))) {
        log("error", "node", say("a part of the node's state is too long for one message and was not sent"));
    }
}

/// "up", or what keeps the session from being written.
Sentence Service::state_sentence() {
    if (!journal_) {
        const auto writer = base::lock_holder(session_->folder() / "journal.lock");
        return writer ? say("open for reading; process {} writes to it, which is shown a moment later", writer->process)
                      : say("open for reading");
    }
    Sentence trouble = journal_->problem();
    if (trouble.empty()) {
        trouble = session_->journal().out_of_place();
    }
    if (trouble.empty()) {
        std::uint64_t checkpoint = 0;
        const std::lock_guard lock(jobs_mutex_);
        for (const auto& [run, job] : trainings_) {
            checkpoint = std::max(checkpoint, job->finished() ? 0 : job->checkpoint_bytes());
        }
        trouble = disk_.shortage(checkpoint);
    }
    return trouble.empty() ? Sentence::verbatim("up") : trouble;
}

/// The memory of the node and of its models. Looking costs milliseconds for a large model, so not every second.
json Service::process_gauges() {
    constexpr std::chrono::seconds kBetweenLooks{3};
    constexpr std::uint64_t kStep = std::uint64_t{1} << 20;  // smaller changes wake no window
    const auto now = std::chrono::steady_clock::now();
    if (!processes_.is_null() && now - looked_at_processes_ < kBetweenLooks) {
        return processes_;
    }
    looked_at_processes_ = now;
    device_use_ = json::array();
    for (const protocol::DeviceUse& use :
         device_uses_.look(std::chrono::duration<double>(now.time_since_epoch()).count())) {
        device_use_.push_back(protocol::to_json(use));
    }
    std::vector<protocol::ProcessMemory> list = workers_.processes();
    std::uint64_t own = base::process_memory(getpid());
    {
        const std::lock_guard lock(jobs_mutex_);
        for (const auto& [run, job] : trainings_) {
            own += memory_of_ranks(job->launcher());
        }
    }
    list.insert(list.begin(), {protocol::ProcessMemory::Kind::node, {}, getpid(), own, true});
    processes_ = json::array();
    for (protocol::ProcessMemory& process : list) {
        process.bytes = process.bytes / kStep * kStep;
        processes_.push_back(protocol::to_json(process));
    }
    return processes_;
}

json Service::node_gauges() {
    // The sentence is for windows that know of no list.
    const Sentence device = say("CPU: {}, {} cores", processor_name(), cores());
    json list = json::array();
    {
        const std::lock_guard lock(device_list_mutex_);
        for (const protocol::DeviceEntry& entry : device_list_) {
            list.push_back(protocol::to_json(entry));
        }
    }
    json value = {{"name", host_name()},
                  {"version", MOESCOPE_VERSION},
                  {"address", options_.socket.empty() ? std::string("stdio") : options_.socket.string()},
                  {"session", session_->folder().string()},
                  {"cpu", processor_name()},
                  {"cores", cores()},
                  {"memory_total", total_memory()},
                  {"memory_used", base::resident_memory(getpid())},
                  {"processes", process_gauges()},
                  {"devices", json::array({device.english()})},
                  {"devices_id", json::array({base::sentence_to_json(device)})},
                  {"device_list", list},
                  {"models_device", device_of_models()},
                  {"journal_bytes", session_->journal().bytes()},
                  {"disk_reserve", disk_.reserve() ? json(*disk_.reserve()) : json()},
                  {"dropped_records", journal_ ? journal_->dropped() : 0},
                  {"read_only", !journal_},
                  {"lost_records", session_->journal().lost()},
                  {"device_use", device_use_},
                  {"process", getpid()}};
    std::vector<Sentence> problems = session_->problems();
    if (const Sentence problem = models_.problem(); !problem.empty()) {
        problems.push_back(problem);
    }
    value["problems"] = sentences_json(problems);
    base::put_sentence(value, "state", state_sentence());
    return value;
}

json Service::model_gauges() {
    auto list = json::array();
    for (const auto& model : models_.models()) {
        list.push_back(protocol::to_json(model));
    }
    for (const RunStatus& run : board_.run_list()) {
        if (run.kind == RunKind::train) {
            for (const protocol::ModelEntry& model : models_of(run)) {
                list.push_back(protocol::to_json(model));
            }
        }
    }
    return list;
}

std::vector<protocol::ModelEntry> Service::models_of(const RunStatus& run) {
    using Which = history::CheckpointName::Which;
    protocol::ModelEntry common;
    common.title = run.name;
    common.format = "checkpoint";
    common.architecture = "qwen3_moe";
    common.precision = "F32";
    common.is_moe = true;
    common.trained_here = true;
    common.available = true;
    common.state = protocol::ModelState::ready;
    std::vector<protocol::ModelEntry> list;
    if (run.state == RunState::running || run.state == RunState::paused) {
        protocol::ModelEntry model = common;
        model.name = history::to_text({run.run, Which::now, 0});
        model.origin = say("in training, as it is now");
        if (run.checkpoints.empty()) {  // it can be asked all the same: that saves one
            model.state = protocol::ModelState::untrained;
        }
        list.push_back(std::move(model));
    }
    for (auto step = run.checkpoints.rbegin(); step != run.checkpoints.rend(); ++step) {
        protocol::ModelEntry model = common;
        model.name = history::to_text({run.run, Which::step, *step});
        model.origin = say("trained here, step {}", *step);
        model.path = session_->checkpoint_path(run.run, *step).string();
        const auto [bytes, unknown] = checkpoint_bytes_.try_emplace(model.path, 0);
        if (unknown) {
            std::error_code error;
            const auto size =
                std::filesystem::file_size(std::filesystem::path(model.path) / "model.safetensors", error);
            bytes->second = error ? 0 : size;
        }
        model.bytes = bytes->second;
        list.push_back(std::move(model));
    }
    if (list.empty()) {
        protocol::ModelEntry model = common;
        model.name = history::to_text({run.run, Which::latest, 0});
        model.available = false;
        model.state = protocol::ModelState::untrained;
        model.message = say("this run has no checkpoint yet");
        list.push_back(std::move(model));
    }
    return list;
}

void Service::task_cancel(const json& value, Reply reply) {
    // A task that has just ended needs no cancel: the wish is fulfilled.
    board_.cancel_task(Parameters(value, {"id"}).text("id"));
    reply({});
}

void Service::node_stop(const json& parameters, Reply reply) {
    const Parameters none(parameters, {});
    reply({});
    stop_ = true;
}

std::shared_ptr<TrainingJob> Service::training(std::uint32_t run) {
    const std::lock_guard lock(jobs_mutex_);
    const auto found = trainings_.find(run);
    return found == trainings_.end() ? nullptr : found->second;
}

std::shared_ptr<ProbeJob> Service::probe(std::uint32_t run) {
    const std::lock_guard lock(jobs_mutex_);
    const auto found = probes_.find(run);
    return found == probes_.end() ? nullptr : found->second;
}

std::optional<RunKind> Service::active_kind(std::uint32_t run) {
    const std::lock_guard lock(jobs_mutex_);
    if (trainings_.contains(run)) {
        return RunKind::train;
    }
    if (generations_.contains(run)) {
        return RunKind::generate;
    }
    if (probes_.contains(run)) {
        return RunKind::probe;
    }
    const bool reading = std::any_of(routes_.begin(), routes_.end(),
                                     [&](const auto& one) { return one.first == run || one.second->base() == run; });
    return reading ? std::optional(RunKind::route) : std::nullopt;
}

void Service::require_kind(std::uint32_t run, RunKind kind) {
    const auto active = active_kind(run);
    if ((active ? *active : known_run(run).kind) == kind) {
        return;
    }
    switch (kind) {
        case RunKind::train:
            throw CommandError(say("run {} is no training", run));
        case RunKind::generate:
            throw CommandError(say("run {} is no answer", run));
        case RunKind::probe:
            throw CommandError(say("run {} is no probe run", run));
        case RunKind::route:
            throw CommandError(say("run {} is no reading", run));
        case RunKind::imported:
            throw CommandError(say("run {} was not imported", run));
    }
}

void Service::refuse_while_it_goes_on(std::uint32_t run) {
    if (journal_) {
        journal_->flush();
    }
    // Its end stands in the journal a moment before its job lets go.
    const history::Session history = history::read_runs(session_->journal());
    const auto runs = history.runs();
    if (const auto found = runs.find(run); found != runs.end() && protocol::ended(found->second->state)) {
        return;
    }
    const bool goes_on = journal_
                             ? active_kind(run).has_value()
                             : runs.contains(run) && base::lock_holder(session_->folder() / "journal.lock").has_value();
    if (goes_on) {
        throw CommandError(
            say("run {} still goes on, and a part of its routing would pass for the whole; wait for its "
                "end or cancel it",
                run));
    }
}

history::RunHeader Service::known_run(std::uint32_t run) {
    if (journal_) {
        journal_->flush();
    }
    const history::Session history = history::read_runs(session_->journal());
    const auto runs = history.runs();
    const auto found = runs.find(run);
    if (found == runs.end()) {
        throw CommandError(say("there is no run {} in this session", run));
    }
    return *found->second;
}

}  // namespace moescope::node
