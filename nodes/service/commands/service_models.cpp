// The generate.* and models.* commands, and the report.
#include <fmt/format.h>

#include "engine/files/inspect.hpp"
#include "nodes/service/commands/report.hpp"
#include "nodes/service/commands/service.hpp"
#include "nodes/service/library/parameters.hpp"

namespace moescope::node {
using nlohmann::json;

namespace {

constexpr std::string_view kCheckpointPrefix = "checkpoint:";
constexpr std::size_t kMostAnswers = 32;  // at the same time, most of them waiting

/// The run number of "checkpoint:RUN".
std::optional<std::uint32_t> run_of(const std::string& model) {
    if (!model.starts_with(kCheckpointPrefix)) {
        return std::nullopt;
    }
    const std::string digits = model.substr(kCheckpointPrefix.size());
    if (digits.empty() || digits.size() > 9 || digits.find_first_not_of("0123456789") != std::string::npos) {
        throw CommandError(say("'{}' names no run; write checkpoint: and a run number", model));
    }
    return static_cast<std::uint32_t>(std::stoul(digits));
}

}  // namespace

ProbeModel Service::find_model(const std::string& name) const {
    if (const auto run = run_of(name)) {
        return {name, latest_checkpoint(session_->folder(), run), {}};
    }
    ProbeModel model{name, models_.resolve(name), {}};
    if (const auto entry = models_.find(name)) {
        model.sha256 = entry->sha256;
    } else {
        model.sha256 = models_.known_sha256(model.path);
    }
    return model;
}

std::shared_ptr<TrainingJob> Service::training_without_checkpoint(const std::string& model) {
    const auto run = run_of(model);
    auto job = run ? training(*run) : nullptr;
    if (!job) {
        return nullptr;
    }
    for (const auto& checkpoint : session_->checkpoints(*run, false)) {
        if (checkpoint.complete) {
            return nullptr;
        }
    }
    return job;
}

void Service::with_models(std::vector<std::string> names, Reply reply,
                          std::function<void(const std::vector<ProbeModel>&)> then) {
    for (const auto& name : names) {
        const auto job = training_without_checkpoint(name);
        if (!job) {
            continue;
        }
        // Save one first, and come back here when that is done.
        TrainingCommand command;
        command.kind = TrainingCommand::Kind::checkpoint;
        command.reply = [this, names, reply, then](Outcome outcome) {
            if (!outcome.error.empty()) {
                reply({{}, outcome.error});
            } else {
                lane(Lane::quick).post([this, names, reply, then] {
                    try {
                        with_models(names, reply, then);
                    } catch (const std::exception& error) {
                        reply({{}, base::sentence_of(error)});
                    }
                });
            }
        };
        job->command(std::move(command));
        return;
    }
    std::vector<ProbeModel> models;
    for (const auto& name : names) {
        models.push_back(find_model(name));
    }
    then(models);
}

void Service::check_room(const GenerationRequest& order) const {
    std::size_t active = 0;
    for (const auto& [run, job] : generations_) {
        active += job->finished() ? 0 : 1;
        if (job->repeats(order)) {
            throw CommandError(say(
                "run {} is already answering the same prompt with {} and the same settings; wait for it or cancel it",
                run, order.model));
        }
    }
    if (active >= kMostAnswers) {
        throw CommandError(
            say("{} answers are under way or wait for their turn; wait for some or cancel them", active));
    }
}

void Service::generate_start(const json& value, Reply reply) {
    auto order = parse_generation(value);
    with_models({order.model}, reply, [this, order, reply](const std::vector<ProbeModel>& models) mutable {
        order.path = models.front().path;
        order.model_sha256 = models.front().sha256;
        const std::lock_guard lock(jobs_mutex_);
        if (closing_) {
            throw CommandError(say("the node is about to end and starts nothing new"));
        }
        check_room(order);
        order.run = session_->new_run(protocol::run_kind_name(protocol::RunKind::generate), order.model);
        const std::uint32_t run = order.run;
        generations_[run] = std::make_shared<GenerationJob>(parts(), order);
        reply({{{"run", run}}, {}});
    });
}

void Service::generate_cancel(const json& value, Reply reply) {
    const std::uint32_t run = Parameters(value, {"run"}).run();
    {
        const std::lock_guard lock(jobs_mutex_);
        // An answer that has just ended needs no cancel: the wish is fulfilled.
        if (const auto found = generations_.find(run); found != generations_.end()) {
            found->second->request_stop();
        }
    }
    reply({});
}

void Service::models_add(const json& value, Reply reply) {
    const std::string path = Parameters(value, {"path"}).text("path");
    reply({{{"name", models_.add(path)}}, {}});
}

void Service::models_remove(const json& value, Reply reply) {
    models_.remove(Parameters(value, {"name"}).text("name"));
    reply({});
}

void Service::models_inspect(const json& value, Reply reply) {
    const auto report = engine::inspect_file(Parameters(value, {"path"}).text("path"));
    json result = {{"format", report.format()}, {"safe", report.safe}, {"details", report.details}};
    base::put_sentence(result, "problem", report.problem);
    reply({std::move(result), {}});
}

void Service::report_write(const json& value, Reply reply) {
    const Parameters parameters(value, {"path", "language", "replace"});
    const std::filesystem::path path = std::filesystem::absolute(parameters.text("path"));
    const auto existing = parameters.flag("replace", false) ? sessions::Existing::replace : sessions::Existing::refuse;
    protocol::Task task;
    task.id = fmt::format("report-{}", ++reports_);
    task.kind = protocol::TaskKind::report;
    task.title = path.filename().string();
    task.cancel_command = "task.cancel";
    board_.set_task(task);
    try {
        if (journal_) {
            journal_->flush();
        }
        const std::string language = parameters.text("language", "en");
        write_report(*session_, path, existing, language, report_messages(paths_, language), [&](double fraction) {
            task.fraction = fraction;
            board_.set_task(task);
            return !ending_ && !board_.task_cancelled(task.id);
        });
    } catch (...) {
        board_.remove_task(task.id);
        throw;
    }
    board_.remove_task(task.id);
    reply({{{"path", path.string()}}, {}});
}

}  // namespace moescope::node
