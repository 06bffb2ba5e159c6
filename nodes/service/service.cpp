#include "nodes/service/service.hpp"

#include <chrono>
#include <filesystem>
#include <fmt/format.h>
#include <unistd.h>

#include "nodes/protocol/json_guard.hpp"
#include "nodes/service/machine.hpp"
#include "nodes/service/parameters.hpp"

namespace moescope::node {
using nlohmann::json;
using protocol::RecordType;

const std::map<std::string, Service::Command>& Service::commands() {
    static const std::map<std::string, Command> table = {
        {"catalogue", {&Service::catalogue, true, false}},
        {"train.plan", {&Service::train_plan, false, false}},
        {"train.start", {&Service::train_start, false, true}},
        {"train.pause", {&Service::train_pause, false, false}},
        {"train.resume", {&Service::train_resume, false, false}},
        {"train.stop", {&Service::train_stop, false, false}},
        {"train.checkpoint", {&Service::train_checkpoint, false, false}},
        {"train.step", {&Service::train_step, false, true}},
        {"train.set", {&Service::train_set, false, true}},
        {"train.continue", {&Service::train_continue, true, true}},
        {"generate.start", {&Service::generate_start, false, true}},
        {"generate.cancel", {&Service::generate_cancel, false, false}},
        {"probe.start", {&Service::probe_start, false, true}},
        {"probe.pause", {&Service::probe_pause, false, false}},
        {"probe.resume", {&Service::probe_resume, true, true}},
        {"probe.cancel", {&Service::probe_cancel, false, false}},
        {"probe.label", {&Service::probe_label, true, true}},
        {"probe.plan", {&Service::probe_plan, true, false}},
        {"models.add", {&Service::models_add, true, true}},
        {"models.remove", {&Service::models_remove, true, true}},
        {"models.inspect", {&Service::models_inspect, true, false}},
        {"report.write", {&Service::report_write, true, false}},
        {"node.stop", {&Service::node_stop, false, false}},
    };
    return table;
}

namespace {

json answer_of(const Outcome& outcome) {
    if (outcome.error.empty())
        return {{"state", "done"}, {"value", outcome.value}};
    return {{"state", "failed"}, {"error", outcome.error}};
}

}  // namespace

Service::Service(const Places& places, ServeOptions options)
    : places_(places),
      options_(std::move(options)),
      session_(sessions::Session::open(options_.session, sessions::Journal::Mode::read_write)),
      datasets_(places_.cache),
      models_(places_, ModelLibrary::Hashing::background),
      workers_(places_.program) {
    journal_ = std::make_unique<JournalWriter>(session_->journal());
    for (const auto& problem : session_->problems())
        journal_->write_json(RecordType::log, {{"level", "warning"}, {"source", "session"}, {"text", problem}});
    close_interrupted_runs();
    journal_->write_json(
        RecordType::log,
        {{"level", "info"},
         {"source", "node"},
         {"text", fmt::format("node {} started, process {}, {} cores", MOESCOPE_VERSION, getpid(), cores())}});
    journal_->flush();
    quick_ = std::make_unique<Executor>();
    slow_ = std::make_unique<Executor>();
    transport::NodeServerOptions server;
    server.socket = options_.socket;
    server.features = "train,generate,probe,report";
    server_ = std::make_unique<transport::NodeServer>(server, session_->journal(), *this);
    slow_->post([this] { show_old_probes(); });
}

Service::~Service() {
    end_jobs();
    // Replies of what is queued still go out; then the viewers are told goodbye.
    quick_.reset();
    slow_.reset();
    server_.reset();
}

NodeParts Service::parts() {
    return {places_, *session_, *journal_, board_, datasets_, models_, workers_, threads_};
}

void Service::run(const std::function<bool()>& stop) {
    publish(true);
    auto last_node = std::chrono::steady_clock::now();
    while (!stop() && !stop_) {
        const auto now = std::chrono::steady_clock::now();
        const bool second = now - last_node >= std::chrono::seconds(1);
        if (second)
            last_node = now;
        publish(second);
        reap();
    }
    end_jobs();
    publish(true);
}

void Service::on_viewers(std::size_t count) {
    if (count > 0)
        had_viewer_ = true;
    else if (had_viewer_ && options_.socket.empty())
        stop_ = true;
}

void Service::on_request(std::string id, std::string name, json parameters, std::function<void(json)> reply) {
    const auto found = commands().find(name);
    if (found == commands().end()) {
        reply(answer_of({{}, fmt::format("this node does not know the command '{}'", name)}));
        return;
    }
    const Command command = found->second;
    Executor& executor = command.slow ? *slow_ : *quick_;
    executor.post([this, id = std::move(id), command, parameters = std::move(parameters), reply = std::move(reply)] {
        if (const auto answer = command.recorded ? earlier_answer(id) : json(); answer.is_object()) {
            reply(answer);
            return;
        }
        carry_out(command, parameters, [this, id, command, reply](Outcome outcome) {
            const json answer = answer_of(outcome);
            if (command.recorded && outcome.error.empty()) {
                try {
                    session_->put_finished_command(id, answer.dump());
                } catch (const std::exception& error) {
                    journal_->write_json(RecordType::log,
                                         {{"level", "error"}, {"source", "session"}, {"text", error.what()}});
                }
            }
            reply(answer);
        });
    });
}

json Service::earlier_answer(const std::string& id) const {
    try {
        const auto known = session_->finished_command(id);
        return known ? json::parse(*known, nullptr, false) : json();
    } catch (const std::exception&) {
        return {};  // a database that cannot be read knows no command
    }
}

void Service::carry_out(const Command& command, const json& parameters, const Reply& reply) {
    try {
        (this->*command.action)(parameters, reply);
    } catch (const std::bad_alloc&) {
        reply({{}, "there is not enough memory for this"});
    } catch (const std::exception& error) {
        reply({{}, error.what()});
    }
}

void Service::close_interrupted_runs() {
    for (auto& [number, run] : read_runs(session_->journal())) {
        std::uint64_t checkpoint = 0;
        if (run.kind == "train")
            for (const auto& entry : session_->checkpoints(number, false))
                if (entry.complete)
                    checkpoint = entry.step;
        if (run.open()) {
            const std::uint64_t step = run.kind == "train" ? read_last_step(session_->journal(), run) : 0;
            run.state = "interrupted";
            run.message = "the node went away while this was running";
            if (run.kind == "train")
                run.message = checkpoint > 0
                                  ? fmt::format("the node went away at step {}; the last checkpoint is at step {}",
                                                step, checkpoint)
                                  : fmt::format("the node went away at step {}, before the first checkpoint", step);
            if (run.kind == "generate")
                journal_->write_json(RecordType::generation_ended, {{"run", number},
                                                                    {"state", "failed"},
                                                                    {"stop", "error"},
                                                                    {"message", run.message},
                                                                    {"prompt_tokens", 0},
                                                                    {"tokens", 0},
                                                                    {"tokens_per_second", 0},
                                                                    {"prompt_ms", 0}});
            journal_->write_json(RecordType::run_ended, {{"run", number},
                                                         {"state", run.state},
                                                         {"message", run.message},
                                                         {"step", step},
                                                         {"last_checkpoint", checkpoint}});
        }
        if (run.kind == "generate")
            continue;
        RunGauge gauge;
        gauge.run = number;
        gauge.kind = run.kind;
        gauge.name = run.name;
        gauge.state = run.state;
        gauge.message = run.message;
        gauge.last_checkpoint = checkpoint;
        for (const char* key : {"steps", "planned"})
            if (const auto found = run.manifest.find(key); found != run.manifest.end() && found->is_number_unsigned())
                gauge.planned_steps = found->get<std::uint64_t>();
        board_.set_run(gauge);
    }
}

void Service::end_jobs() {
    std::map<std::uint32_t, std::shared_ptr<TrainingJob>> trainings;
    std::map<std::uint32_t, std::shared_ptr<GenerationJob>> generations;
    std::map<std::uint32_t, std::shared_ptr<ProbeJob>> probes;
    {
        const std::lock_guard lock(jobs_mutex_);
        closing_ = true;
        trainings.swap(trainings_);
        generations.swap(generations_);
        probes.swap(probes_);
    }
    const auto ask = [](auto& jobs) {
        for (auto& [run, job] : jobs)
            job->request_stop();
    };
    ask(trainings);
    ask(generations);
    ask(probes);
    trainings.clear();
    generations.clear();
    probes.clear();
    journal_->flush();
    try {
        session_->journal().sync();
    } catch (const std::exception&) {
        // Said already by the writer; leaving goes on.
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
    take(trainings_);
    take(generations_);
    take(probes_);
}

void Service::publish(bool everything) {
    json state = json::object();
    if (const auto version = board_.version(); version != published_board_) {
        published_board_ = version;
        state["tasks"] = board_.tasks();
        state["runs"] = board_.runs();
    }
    if (const auto version = models_.version() + board_.version(); version != published_models_) {
        published_models_ = version;
        state["models"] = model_gauges();
    }
    if (everything)
        state["node"] = node_gauges();
    // What did not change is not sent again: statistics are long, and steps come many times a second.
    for (auto it = state.begin(); it != state.end();) {
        std::string text = protocol::dump_json(it.value());
        if (published_[it.key()] == text) {
            it = state.erase(it);
        } else {
            published_[it.key()] = std::move(text);
            ++it;
        }
    }
    if (!state.empty())
        server_->publish_state(std::move(state));
}

json Service::node_gauges() const {
    const std::string trouble = journal_->problem();
    return {{"name", host_name()},
            {"version", MOESCOPE_VERSION},
            {"address", options_.socket.empty() ? std::string("stdio") : options_.socket.string()},
            {"session", session_->folder().string()},
            {"cpu", processor_name()},
            {"state", trouble.empty() ? std::string("up") : trouble},
            {"cores", cores()},
            {"memory_total", total_memory()},
            {"memory_used", resident_memory()},
            {"devices", {fmt::format("CPU: {}, {} cores", processor_name(), cores())}},
            {"journal_bytes", session_->journal().bytes()},
            {"dropped_records", journal_->dropped()},
            {"process", getpid()}};
}

json Service::model_gauges() const {
    auto list = json::array();
    for (const auto& model : models_.models())
        list.push_back(to_json(model));
    for (const auto& run : board_.runs()) {
        if (run["kind"] != "train")
            continue;
        const auto checkpoint = run["last_checkpoint"].get<std::uint64_t>();
        const bool active = run["state"] == "running" || run["state"] == "paused";
        LibraryModel model;
        model.name = fmt::format("checkpoint:{}", run["run"].get<std::uint32_t>());
        model.title = run["name"].get<std::string>();
        model.origin = fmt::format("trained here, step {}", checkpoint);
        model.format = "checkpoint";
        model.architecture = "qwen3_moe";
        model.precision = "F32";
        model.is_moe = true;
        model.available = checkpoint > 0 || active;
        model.state = model.available ? "ready" : "untrained";
        if (!model.available)
            model.message = "this run has no checkpoint yet";
        if (checkpoint > 0) {
            model.path = session_->checkpoint_path(run["run"].get<std::uint32_t>(), checkpoint).string();
            std::error_code error;
            const auto bytes = std::filesystem::file_size(std::filesystem::path(model.path) / "model.safetensors", error);
            model.bytes = error ? 0 : bytes;
        }
        json entry = to_json(model);
        entry["trained_here"] = true;
        list.push_back(std::move(entry));
    }
    return list;
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

KnownRun Service::known_run(std::uint32_t run) {
    journal_->flush();
    const auto runs = read_runs(session_->journal());
    const auto found = runs.find(run);
    if (found == runs.end())
        throw CommandError(fmt::format("there is no run {} in this session", run));
    return found->second;
}

}  // namespace moescope::node
