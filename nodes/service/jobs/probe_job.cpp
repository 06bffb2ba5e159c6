#include "nodes/service/jobs/probe_job.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <set>

#include "base/input_file.hpp"
#include "base/json_fields.hpp"
#include "base/json_guard.hpp"
#include "nodes/history/checkpoint_name.hpp"
#include "nodes/history/run_title.hpp"
#include "nodes/service/jobs/limits.hpp"
#include "nodes/service/library/machine.hpp"
#include "nodes/service/library/parameters.hpp"
#include "report/from_session.hpp"

namespace moescope::node {
namespace fs = std::filesystem;
using base::text_of;
using nlohmann::json;
using protocol::RecordType;
using protocol::RunKind;
using protocol::RunState;

namespace {

constexpr std::uint64_t kLargestSet = std::uint64_t{512} << 10;
constexpr std::size_t kLargestSetInRecord = std::size_t{768} << 10;  // leaves room for the rest of a manifest
constexpr int kMostDeaths = 3;                                       // of a model's process in a row

std::string key_of(const std::string& item, const std::string& model, const std::string& language, int draw) {
    return fmt::format("{}/{}/{}/{}", item, model, language, draw);
}

std::string task_id(std::uint32_t run) {
    return fmt::format("probe-{}", run);
}

}  // namespace

bool is_built_in_set(const std::string& set, const Paths& paths) {
    std::error_code error;
    const bool plain = !set.empty() && set.find('/') == std::string::npos && set.find('\0') == std::string::npos;
    return plain && fs::exists(paths.probe_sets() / (set + ".json"), error);
}

fs::path find_probe_set(const std::string& set, const Paths& paths) {
    if (is_built_in_set(set, paths)) {
        return paths.probe_sets() / (set + ".json");
    }
    std::error_code error;
    if (fs::exists(set, error)) {
        return set;
    }
    throw CommandError(say("there is no probe set '{}': neither a file nor in {}", set, paths.probe_sets()));
}

void limit_items(probes::Set& set, std::size_t count) {
    std::vector<const probes::Item*> state, mirror;
    for (const auto& item : set.items) {
        (item.group == "state" ? state : mirror).push_back(&item);
    }
    std::set<std::string> kept;
    for (std::size_t i = 0; kept.size() < count && (i < state.size() || i < mirror.size()); ++i) {
        if (i < state.size()) {
            kept.insert(state[i]->id);
        }
        if (i < mirror.size() && kept.size() < count) {
            kept.insert(mirror[i]->id);
        }
    }
    std::erase_if(set.items, [&](const probes::Item& item) { return !kept.contains(item.id); });
}

namespace {

void check_models(const ProbeRequest& order) {
    if (order.models.size() < 2) {
        throw CommandError(say("a probe compares models: name at least two"));
    }
    std::set<std::string> names;
    for (const auto& model : order.models) {
        if (!names.insert(model.name).second) {
            throw CommandError(say("the model '{}' is named twice", history::model_sentence(model.name)));
        }
    }
}

/// What a new run's parameters and an old run's manifest say in the same words; the languages are filled already.
void take_settings(const Parameters& parameters, ProbeRequest& order) {
    std::set<std::string> languages;
    for (const auto& language : order.languages) {
        if (language != "en" && language != "zh") {
            throw CommandError(say("the language '{}' is not known; 'en' and 'zh' are", language));
        }
        if (!languages.insert(language).second) {
            throw CommandError(say("the language '{}' is named twice", language));
        }
    }
    order.draws = static_cast<int>(parameters.integer("draws", 1, 1, 1000));
    order.max_tokens = static_cast<int>(parameters.integer("max_tokens", 160, 1, kMostProbeTokens));
    order.temperature = parameters.number("temperature", 0, 0, kMostTemperature);
    order.seed = parameters.seed(1);
    order.chat = parameters.flag("chat", true);
    if (parameters.has("system")) {
        order.system = parameters.text("system", "");
    }
    check_system(order.system, order.chat);
    check_models(order);
}

}  // namespace

ProbeRequest parse_probe(const json& value, const Paths& paths) {
    const Parameters parameters(
        value, {"set", "models", "languages", "draws", "max_tokens", "temperature", "seed", "limit", "chat", "system"});
    ProbeRequest order;
    const fs::path path = find_probe_set(parameters.path("set"), paths);
    order.set_text = base::read_file(path, kLargestSet);
    order.set = probes::parse_set(order.set_text, path.string());
    if (base::dump_json(order.set_text).size() > kLargestSetInRecord) {
        throw CommandError(say("the probe set {} is too large to be kept with its answers; split it into several sets",
                               path.string()));
    }
    if (parameters.has("limit")) {
        limit_items(order.set, static_cast<std::size_t>(parameters.integer("limit", 1, kMostItems)));
    }
    for (const auto& name : parameters.paths("models")) {
        order.models.push_back({name, {}, {}});
    }
    if (const auto languages = parameters.texts("languages"); !languages.empty()) {
        order.languages = languages;
    }
    take_settings(parameters, order);
    return order;
}

json probe_statistics(sessions::Session& session, std::uint32_t run) {
    return probe_statistics(history::read_run(session, run).probes().at(run).value);
}

json probe_statistics(const history::ProbeRun& run) {
    return report::statistics_of(run);
}

ProbeRequest order_to_resume(const history::RunHeader& run) {
    ProbeRequest order = probe_order(run);
    if (run.state == RunState::done) {
        throw CommandError(say("run {} has asked all its questions; start a new run", run.id));
    }
    return order;
}

ProbeRequest probe_order(const history::RunHeader& run) {
    if (run.kind != RunKind::probe) {
        throw CommandError(say("run {} is no probe run", run.id));
    }
    ProbeRequest order;
    order.run = run.id;
    order.name = run.name;
    order.set = report::set_of_run(run);
    order.set_text = text_of(run.manifest, "set_text");
    const json request = run.manifest.contains("request") ? run.manifest["request"] : json::object();
    const Parameters manifest(request, {"models", "languages", "draws", "max_tokens", "temperature", "seed", "chat",
                                        "system", "template_date"});
    const json hashes = run.manifest.value("model_sha256", json());
    const json& changes = base::member(run.manifest, "interventions");
    const json& paths = base::member(run.manifest, "model_paths");
    for (const auto& name : manifest.texts("models")) {
        ProbeModel model{name, text_of(paths, name.c_str()), text_of(hashes, name.c_str())};
        if (const json& items = base::member(changes, name.c_str()); items.is_array()) {
            model.routing.interventions = checked_interventions(items);
            model.routing.set = history::model_with_set(name).value_or(history::ModelWithSet{}).set;
        }
        order.models.push_back(std::move(model));
    }
    order.languages = manifest.texts("languages");
    take_settings(manifest, order);
    order.continues = true;
    return order;
}

void take_models(ProbeRequest& order, const std::vector<ProbeModel>& found) {
    for (std::size_t i = 0; i < order.models.size() && i < found.size(); ++i) {
        const std::string& before = order.models[i].sha256;
        if (!before.empty() && !found[i].sha256.empty() && before != found[i].sha256) {
            throw CommandError(
                say("the model '{}' is another file than when run {} began; its answers would be those of two models: "
                    "put the old file back or start a new run",
                    history::model_sentence(order.models[i].name), order.run));
        }
    }
    for (std::size_t i = 0; i < found.size(); ++i) {
        // The answers of a run that goes on stand under the names that it began with.
        ProbeModel model = found[i];
        if (order.continues) {
            model.name = order.models[i].name;
            model.routing = order.models[i].routing;
        }
        order.models[i] = std::move(model);
    }
    check_models(order);  // two names may have turned out to be one checkpoint
}

ProbeJob::ProbeJob(NodeParts parts, ProbeRequest order) : parts_(parts), order_(std::move(order)) {
    planned_ = order_.set.items.size() * order_.languages.size() * order_.models.size() *
               static_cast<std::size_t>(order_.draws);
    RunStatus gauge;
    gauge.run = order_.run;
    gauge.kind = RunKind::probe;
    gauge.name = order_.name;
    gauge.state = RunState::running;
    gauge.planned_steps = planned_;
    parts_.board.set_run(gauge);
    announce();
    thread_ = std::thread([this] { main(); });
}

ProbeJob::~ProbeJob() {
    request_stop();
    wait();
}

void ProbeJob::wait() {
    if (thread_.joinable()) {
        thread_.join();
    }
}

void ProbeJob::request_stop() {
    stop_ = true;
    { const std::lock_guard lock(mutex_); }
    wake_.notify_all();
}

void ProbeJob::pause() {
    const std::lock_guard lock(mutex_);
    if (paused_ || finished_) {
        return;
    }
    paused_ = true;
    event("pause");
    parts_.board.change_run(order_.run, [](RunStatus& gauge) { gauge.state = RunState::paused; });
}

void ProbeJob::resume() {
    {
        const std::lock_guard lock(mutex_);
        if (!paused_) {
            return;
        }
        paused_ = false;
        event("resume");
        parts_.board.change_run(order_.run, [](RunStatus& gauge) { gauge.state = RunState::running; });
    }
    wake_.notify_all();
}

bool ProbeJob::labels_changed(bool codings) {
    {
        const std::lock_guard lock(mutex_);
        if (finished_) {
            return false;
        }
        labels_changed_ = true;
        codings_changed_ = codings_changed_ || codings;
    }
    wake_.notify_all();
    return true;
}

void ProbeJob::event(const std::string& kind) {
    parts_.sink.write_json(RecordType::event, {{"run", order_.run}, {"step", 0}, {"kind", kind}});
}

void ProbeJob::announce() {
    auto names = json::array(), hashes = json::object(), paths = json::object(), titles = json::object(),
         changes = json::object(), items = json::array();
    for (const auto& model : order_.models) {
        names.push_back(model.name);
        hashes[model.name] = model.sha256;
        if (!model.path.is_server() && !history::checkpoint_named(model.name)) {
            paths[model.name] = model.path.string();
        }
        if (!model.title.empty()) {
            titles[model.name] = model.title;
        }
        if (model.routing.changes()) {
            changes[model.name] = model.routing.interventions;
        }
    }
    for (const auto& item : order_.set.items) {
        items.push_back(item.id);
    }
    json request = {{"models", names},
                    {"languages", order_.languages},
                    {"draws", order_.draws},
                    {"max_tokens", order_.max_tokens},
                    {"temperature", order_.temperature},
                    {"seed", order_.seed}};
    put_question(request, order_.system, order_.chat);
    json manifest = {{"set", order_.set.name},
                     {"set_version", order_.set.version},
                     {"set_sha256", order_.set.sha256},
                     {"set_text", order_.set_text},
                     {"items", items},
                     {"planned", planned_},
                     {"model_sha256", hashes},
                     {"model_paths", paths},
                     {"model_title", titles},
                     {"request", request},
                     {"program_version", MOESCOPE_VERSION},
                     {"machine", {{"cpu", processor_name()}, {"cores", cores()}}}};
    manifest.update(request);
    if (!changes.empty()) {
        manifest["interventions"] = changes;
    }
    parts_.sink.write_json(RecordType::run_started, {{"run", order_.run},
                                                     {"kind", protocol::run_kind_name(RunKind::probe)},
                                                     {"name", order_.name},
                                                     {"manifest", manifest}});
    parts_.sink.log("info", "probe", say("probe {} started", history::quoted(order_.name)));
}

void ProbeJob::main() {
    try {
        if (order_.known) {
            history_ = std::move(*order_.known);
        } else if (order_.continues) {
            history_ = history::read_run(parts_.session, order_.run);
        }
        for (const auto& model : order_.models) {
            const auto questions = open_questions(model);
            if (!questions.empty() && wait_while_paused()) {
                ask_model(model, questions);
            }
            if (stop_) {
                break;
            }
        }
        update_statistics(true);
        finish(stop_ ? RunState::stopped : RunState::done, {});
    } catch (const std::exception& error) {
        finish(stop_ ? RunState::stopped : RunState::failed, stop_ ? Sentence() : base::sentence_of(error));
    }
    end();
}

void ProbeJob::end() {
    for (;;) {
        {
            const std::lock_guard lock(mutex_);
            if (!labels_changed_) {
                finished_ = true;
                return;
            }
        }
        try {
            update_statistics(true);
        } catch (const std::exception& error) {
            parts_.sink.log("warning", "probe", base::sentence_of(error));
        }
    }
}

std::vector<ProbeJob::Question> ProbeJob::open_questions(const ProbeModel& model) const {
    const auto known = history_.probes().find(order_.run);
    const auto answered = [&](const std::string& key) {
        return known != history_.probes().end() && known->second.index.contains(key);
    };
    std::vector<Question> questions;
    for (const auto& item : order_.set.items) {
        for (const auto& language : order_.languages) {
            for (int draw = 0; draw < order_.draws; ++draw) {
                if (!answered(key_of(item.id, model.name, language, draw))) {
                    questions.push_back({&item, language, draw});
                }
            }
        }
    }
    return questions;
}

void ProbeJob::ask_model(const ProbeModel& model, const std::vector<Question>& questions) {
    int deaths = 0, threads = 0;
    std::set<std::string> noted;  // once each, not with every answer
    const ReplayFile replay(model.routing, parts_.session.journal());
    for (const auto& question : questions) {
        if (paused()) {
            threads = 0;  // others may have come or gone meanwhile
        }
        if (!wait_while_paused()) {
            return;
        }
        // For one question at a time: a comparison with the same model comes in between.
        WorkerPool::Lease lease = parts_.workers.acquire(model.name, model.path, stop_);
        const ThreadShare::Slot slot(parts_.threads);
        threads = threads > 0 ? threads : slot.threads();
        const json& opened = lease.open(threads, stop_);
        if (const Sentence why = why_processor(opened); !why.empty() && noted.insert(why.english()).second) {
            parts_.sink.log("info", "probe", why);
        }
        const json computed = computed_by(opened);
        GenerationRequest order;
        order.run = order_.run;
        order.model = model.name;
        order.prompt = question.item->prompt.at(question.language);
        order.system = order_.system;
        order.chat = order_.chat;
        order.threads = threads;
        order.max_tokens = order_.max_tokens;
        order.temperature = order_.temperature;
        order.seed = order_.seed + static_cast<std::uint64_t>(question.draw);
        order.routing = model.routing;
        show_progress();
        const auto start = Clock::now();
        GenerationResult answer = generate_with(
            *lease, order, replay, [](WorkerMessageKind, std::span<const std::byte>) {}, stop_);
        answer.computed = computed;
        if (stop_) {
            return;
        }
        seconds_asked_ += std::chrono::duration<double>(Clock::now() - start).count();
        ++asked_;
        for (const Sentence& note : answer.notes) {
            if (noted.insert(note.english()).second) {
                parts_.sink.log("warning", "probe", note);
            }
        }
        deaths = answer.process_died ? deaths + 1 : 0;
        if (deaths >= kMostDeaths) {
            throw CommandError(say("the run was given up after {} failures in a row: {}", deaths, answer.message));
        }
        store_answer(model, question, answer);
        update_statistics(false);
    }
}

bool ProbeJob::paused() {
    const std::lock_guard lock(mutex_);
    return paused_;
}

bool ProbeJob::wait_while_paused() {
    std::unique_lock lock(mutex_);
    while (paused_ && !stop_) {
        if (labels_changed_) {
            lock.unlock();
            update_statistics(true);
            lock.lock();
            continue;
        }
        wake_.wait(lock, [this] { return !paused_ || stop_ || labels_changed_; });
    }
    return !stop_;
}

std::size_t ProbeJob::answers() const {
    const auto run = history_.probes().find(order_.run);
    return run == history_.probes().end() ? 0 : run->second.value.draws.size();
}

double ProbeJob::seconds_left() const {
    if (asked_ == 0) {
        return -1;
    }
    return static_cast<double>(planned_ - std::min(planned_, answers())) * seconds_asked_ / static_cast<double>(asked_);
}

void ProbeJob::store_answer(const ProbeModel& model, const Question& question, const GenerationResult& answer) {
    const std::string& prompt = question.item->prompt.at(question.language);
    const auto labels =
        probes::label_answer(prompt, answer.text, answer.stop, probes::ends_inside_reasoning(answer.shown));
    json record = {{"run", order_.run},
                   {"item", question.item->id},
                   {"topic", question.item->topic},
                   {"group", question.item->group},
                   {"model", model.name},
                   {"language", question.language},
                   {"draw", question.draw},
                   {"prompt", prompt},
                   {"answer", text_for_record(answer.text)},
                   {"stop", answer.stop},
                   {"tokens", answer.tokens},
                   {"tokens_per_second", answer.tokens_per_second},
                   {"delivery", probes::delivery_name(labels.delivery)},
                   {"engagement", labels.engagement},
                   {"reasoning", probes::trace_name(labels.reasoning)},
                   {"planned", planned_}};
    put_shown(record, answer);
    record.update(answer.computed);
    base::put_sentence(record, "rule", answer.message.empty() ? labels.rule : answer.message);
    history_.apply({RecordType::probe_draw, {}, 0, protocol::encode_json(record)});
    record["seconds_left"] = seconds_left();
    parts_.sink.write_json(RecordType::probe_draw, record);
    show_progress();
}

void ProbeJob::update_statistics(bool now) {
    if (!now && Clock::now() - last_statistics_ < std::chrono::milliseconds(500)) {
        return;
    }
    bool codings = false;
    {
        const std::lock_guard lock(mutex_);
        labels_changed_ = false;
        codings = std::exchange(codings_changed_, false);
    }
    std::vector<std::string> models;
    for (const auto& model : order_.models) {
        models.push_back(model.name);
    }
    history::add_stored_labels(history_, parts_.session);
    if (codings) {
        history::add_stored_codings(history_, parts_.session.journal());
    }
    const auto run = history_.probes().find(order_.run);
    const auto draws =
        run == history_.probes().end() ? std::vector<probes::Draw>() : report::draws_of(run->second.value);
    result_.statistics = probes::statistics(order_.set, models, draws);
    last_statistics_ = Clock::now();
    parts_.board.change_run(order_.run, [&](RunStatus& gauge) { gauge.statistics = result_.statistics; });
}

void ProbeJob::show_progress() {
    protocol::Task task;
    task.id = task_id(order_.run);
    task.kind = protocol::TaskKind::probe;
    task.title = order_.name;
    task.fraction = planned_ == 0 ? 1 : static_cast<double>(answers()) / static_cast<double>(planned_);
    task.seconds_left = seconds_left();
    task.detail = Sentence::verbatim(fmt::format("{} / {}", answers(), planned_));
    task.cancel_command = "probe.cancel";
    task.run = order_.run;
    parts_.board.set_task(task);
}

void ProbeJob::finish(RunState state, const Sentence& message) {
    const std::lock_guard lock(mutex_);
    result_.state = state;
    result_.message = message;
    result_.answers = answers();
    parts_.board.remove_task(task_id(order_.run));
    json record = {{"run", order_.run}, {"state", protocol::run_state_name(state)}, {"step", answers()}};
    base::put_sentence(record, "message", message);
    parts_.sink.write_json(RecordType::run_ended, record);
    parts_.sink.log_end("probe", state,
                        {say("probe {} is done: {} answers", history::quoted(order_.name), answers()),
                         say("probe {} was stopped after {} answers", history::quoted(order_.name), answers()),
                         say("probe {} failed: {}", history::quoted(order_.name), message)});
    parts_.board.change_run(order_.run, [&](RunStatus& gauge) {
        gauge.state = state;
        gauge.message = message;
    });
}

}  // namespace moescope::node
