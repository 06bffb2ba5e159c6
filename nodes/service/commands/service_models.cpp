// The generate.* and models.* commands, and the report.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <future>

#include "base/foreign_text.hpp"
#include "base/json_fields.hpp"
#include "base/text.hpp"
#include "engine/files/inspect.hpp"
#include "nodes/service/commands/report.hpp"
#include "nodes/service/commands/service.hpp"
#include "nodes/service/library/parameters.hpp"
#include "nodes/service/workers/asked_server.hpp"
#include "nodes/service/workers/inspected_file.hpp"

namespace moescope::node {
using nlohmann::json;

namespace {

constexpr std::size_t kMostAnswers = 32;  // at the same time, most of them waiting

/// Nothing for a model of the library or a file. Throws CommandError for what begins like a checkpoint and is none.
std::optional<history::CheckpointName> checkpoint_of(const std::string& model) {
    const auto name = history::checkpoint_named(model);
    if (!name && history::is_checkpoint_name(model)) {
        if (const auto parts = history::model_with_set(model); parts && history::checkpoint_named(parts->model)) {
            throw CommandError(say("there is no set of changes '{}' in this session", parts->set));
        }
        throw CommandError(
            say("'{}' names no checkpoint; write checkpoint:RUN, checkpoint:RUN:STEP or "
                "checkpoint:RUN:now with the numbers of a run and of a step",
                model));
    }
    return name;
}

}  // namespace

void take_set(RoutingOrder& order, const ProbeModel& model) {
    if (!model.routing.changes()) {
        return;
    }
    if (order.changes() && order.interventions != model.routing.interventions) {
        throw CommandError(
            say("the model {} has changes of its own; leave out one of the two", history::model_sentence(model.name)));
    }
    order.interventions = model.routing.interventions;
    order.set = model.routing.set;
}

history::ModelWithSet Service::model_and_set(const std::string& name) {
    const auto parts = history::model_with_set(name);
    const std::lock_guard lock(sets_mutex_);
    return parts && sets_.contains(parts->set) ? *parts : history::ModelWithSet{name, {}};
}

ProbeModel Service::find_model(const std::string& asked) {
    const auto [name, set] = model_and_set(asked);
    ProbeModel model = find_plain_model(name);
    if (set.empty()) {
        return model;
    }
    const std::lock_guard lock(sets_mutex_);
    const auto items = sets_.find(set);
    if (items == sets_.end()) {  // removed since
        throw CommandError(say("there is no set of changes '{}' in this session", set));
    }
    model.name = history::to_text(history::ModelWithSet{model.name, set});
    model.routing = {std::nullopt, items->second, set};
    return model;
}

ProbeModel Service::find_plain_model(const std::string& name) {
    if (const auto checkpoint = checkpoint_of(name)) {
        return find_checkpoint(*checkpoint);
    }
    models_.look_again(name);  // what it is called now, and nothing of a file that is not there any more
    ProbeModel model{name, models_.resolve_source(name), {}};
    if (is_of_own_engine(model.path)) {
        model.path.device = device_of_models();
    } else if (!model.path.is_server()) {
        model.path.device = device_of_gguf_models();
    }
    if (const auto entry = models_.find(name)) {
        model.sha256 = entry->sha256;
        model.title = models_.title_apart(*entry);
    } else {
        model.sha256 = models_.known_sha256(model.path);
    }
    return model;
}

ProbeModel Service::find_checkpoint(history::CheckpointName name) {
    using Which = history::CheckpointName::Which;
    const std::vector<std::uint64_t> kept = history::complete_checkpoints(*session_, name.run);
    if (kept.empty()) {
        throw CommandError(say("run {} has no complete checkpoint yet; save one first", name.run));
    }
    if (name.which != Which::step) {
        name = {name.run, Which::step, kept.back()};
    }
    ProbeModel model{history::to_text(name), session_->checkpoint_path(name.run, name.step), {}};
    model.hold = holds_.hold(model.path);
    model.path.device = device_of_models();
    // Looked at once more, as it could have been forgotten before it was held.
    const std::vector<std::uint64_t> now = history::complete_checkpoints(*session_, name.run);
    if (std::find(now.begin(), now.end(), name.step) == now.end()) {
        throw CommandError(say("run {} keeps no checkpoint of step {}; it has those of steps {}", name.run, name.step,
                               base::joined(now)));
    }
    return model;
}

std::shared_ptr<TrainingJob> Service::has_to_save(const history::CheckpointName& name) {
    using Which = history::CheckpointName::Which;
    auto job = name.which == Which::step ? nullptr : training(name.run);
    if (!job || job->finished()) {
        return nullptr;  // what an ended run was last stands in its last checkpoint
    }
    const bool needed = name.which == Which::now || history::complete_checkpoints(*session_, name.run).empty();
    return needed ? job : nullptr;
}

void Service::with_models(std::vector<std::string> names, Reply reply,
                          std::function<void(const std::vector<ProbeModel>&)> then) {
    for (std::string& asked : names) {
        const auto [name, set] = model_and_set(asked);
        const auto checkpoint = checkpoint_of(name);
        const auto job = checkpoint ? has_to_save(*checkpoint) : nullptr;
        if (!job) {
            continue;
        }
        // Save one first, and come back here with its step in the place of "now".
        TrainingCommand command;
        command.kind = TrainingCommand::Kind::checkpoint;
        command.reply = [this, names, which = &asked - names.data(), run = checkpoint->run, set = set, reply,
                         then](Outcome outcome) mutable {
            if (!outcome.error.empty()) {
                reply({{}, outcome.error});
                return;
            }
            std::string saved = history::to_text(history::CheckpointName{run, history::CheckpointName::Which::step,
                                                                         base::count_of(outcome.value, "step")});
            names[static_cast<std::size_t>(which)] =
                set.empty() ? saved : history::to_text(history::ModelWithSet{std::move(saved), set});
            go_on(Lane::quick, {}, reply, [this, names, reply, then] { with_models(names, reply, then); });
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
                run, history::model_sentence(order.model)));
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
        order.model = models.front().name;
        order.path = models.front().path;
        order.model_sha256 = models.front().sha256;
        order.model_title = models.front().title;
        order.hold = models.front().hold;
        take_set(order.routing, models.front());
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
    require_kind(run, protocol::RunKind::generate);
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
    const Parameters parameters(value, kServerParameters);
    const std::string path = parameters.path("path");
    if (!servers::is_address(path)) {
        const std::string name = models_.add(Parameters(value, {"path"}).path("path"));
        tell_of_library();
        reply({{{"name", name}}, {}});
        return;
    }
    // Asking a server which models it has takes as long as it likes, which no other command shall wait for.
    go_on(Lane::servers, asker(Lane::slow), reply, [this, server = server_in(parameters), reply] {
        const std::string name = models_.add_server(with_its_model(workers_, server, ending_));
        tell_of_library();
        reply({{{"name", name}}, {}});
    });
}

void Service::models_ask(const json& value, Reply reply) {
    servers::Server server;
    if (value.is_object() && value.contains("name")) {
        const std::string name = Parameters(value, {"name"}).text("name");
        const auto model = models_.find(name);
        if (!model || !model->served_by) {
            throw CommandError(say("there is no model '{}' on a server in the library", base::one_line(name)));
        }
        server = *model->served_by;
    } else {
        server = server_in(Parameters(value, kServerParameters));
    }
    const AskedServer asked = ask_for_models(workers_, server, ending_);
    reply({{{"models", asked.models}, {"dialect", asked.dialect}, {"notes", sentences_json(asked.notes)}}, {}});
}

void Service::models_remove(const json& value, Reply reply) {
    models_.remove(Parameters(value, {"name"}).text("name"));
    tell_of_library();
    reply({});
}

void Service::models_inspect(const json& value, Reply reply) {
    const auto report = inspect_apart(workers_, Parameters(value, {"path"}).path("path"), ending_);
    json result = {{"format", report.format()}, {"safe", report.safe}, {"details", report.details}};
    base::put_sentence(result, "problem", report.problem);
    reply({std::move(result), {}});
}

void Service::models_export(const json& value, Reply reply) {
    const Parameters parameters(value, {"model", "path", "format", "precision", "router", "replace"});
    const std::string name = parameters.path("model");
    ModelExport order;
    order.format = parameters.text("format");
    order.precision = parameters.text("precision", order.precision);
    order.router = parameters.text("router", order.router);
    order.out = output_place(std::filesystem::absolute(parameters.path("path")));
    order.existing = existing_as(parameters);
    check(order);
    if (!order.is_gguf() && (parameters.has("precision") || parameters.has("router"))) {
        throw CommandError(say("'precision' and 'router' are of GGUF files; leave them out with '{}'", order.format));
    }
    if (const auto parts = model_and_set(name); !parts.set.empty()) {
        throw CommandError(say("a file of a model can't hold changes of its routing; name {} without the set {}",
                               history::model_sentence(parts.model), parts.set));
    }
    const Asker who = asker(Lane::slow);
    with_models({name}, reply, [this, order, who, reply](const std::vector<ProbeModel>& models) mutable {
        const ProbeModel& model = models.front();
        if (model.path.is_server()) {
            throw CommandError(needs_file(model.name));
        }
        order.model = model.path;
        order.title = model.title.empty() ? model.name : model.title;
        // A checkpoint that was saved for this is told of on the quick lane, where nothing may take long.
        go_on(Lane::models, who, reply, [this, order, hold = model.hold, reply] { reply({write_model(order), {}}); });
    });
}

json Service::write_model(const ModelExport& order) {
    constexpr std::chrono::milliseconds kBetweenLooks{20};
    BoardTask task(board_, fmt::format("export-{}", ++outputs_), protocol::TaskKind::model_export,
                   order.out.filename().string());
    std::atomic<bool> stop{false};
    std::future<ExportedModel> work = std::async(std::launch::async, [&] {
        return export_model(paths_.program, order, stop, [&](std::uint64_t done, std::uint64_t total) {
            task.show(total > 0 ? static_cast<double>(done) / static_cast<double>(total) : -1);
        });
    });
    while (work.wait_for(kBetweenLooks) != std::future_status::ready) {
        stop = is_to_end(task);
    }
    ExportedModel exported = work.get();
    json answer = std::move(exported.details);
    answer.update({{"path", order.out.string()},
                   {"type", exported.type},
                   {"files", exported.files},
                   {"notes", sentences_json(exported.notes)}});
    return answer;
}

void Service::report_write(const json& value, Reply reply) {
    const Parameters parameters(value, {"path", "language", "replace"});
    const std::filesystem::path path = output_place(std::filesystem::absolute(parameters.path("path")));
    const std::string language = parameters.text("language", "en");
    const auto existing = existing_as(parameters);
    {
        BoardTask task(board_, fmt::format("report-{}", ++outputs_), protocol::TaskKind::report,
                       path.filename().string());
        if (journal_) {
            journal_->flush();
        }
        write_report(*session_, path, existing, language, report_messages(paths_, language), [&](double fraction) {
            task.show(fraction);
            return !is_to_end(task);
        });
    }
    reply({{{"path", path.string()}}, {}});
}

}  // namespace moescope::node
