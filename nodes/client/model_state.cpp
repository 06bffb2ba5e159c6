#include "nodes/client/model_state.hpp"

#include <algorithm>
#include <limits>
#include <numeric>

namespace moescope::client {

namespace {

using nlohmann::json;
using protocol::RecordType;

constexpr std::size_t kLogLines = 10'000;

// Fields of JSON from the node: absent or of another kind gives the default.
std::string text(const json& object, const char* key) {
    const auto it = object.find(key);
    return it != object.end() && it->is_string() ? it->get<std::string>() : std::string();
}
double number(const json& object, const char* key, double otherwise = 0) {
    const auto it = object.find(key);
    return it != object.end() && it->is_number() ? it->get<double>() : otherwise;
}
std::uint64_t whole(const json& object, const char* key) {
    const auto it = object.find(key);
    if (it == object.end() || !it->is_number())
        return 0;
    if (it->is_number_unsigned())
        return it->get<std::uint64_t>();
    const double value = it->get<double>();
    return value >= 0 && value < 1.8e19 ? static_cast<std::uint64_t>(value) : 0;
}
int small(const json& object, const char* key, int otherwise) {
    const double value = number(object, key, otherwise);
    return value >= -1e9 && value <= 1e9 ? static_cast<int>(value) : otherwise;
}
bool truth(const json& object, const char* key) {
    const auto it = object.find(key);
    return it != object.end() && it->is_boolean() && it->get<bool>();
}
const json& member(const json& object, const char* key) {
    static const json nothing;
    if (!object.is_object())
        return nothing;
    const auto it = object.find(key);
    return it != object.end() ? *it : nothing;
}
std::vector<std::string> texts(const json& array) {
    std::vector<std::string> result;
    if (array.is_array())
        for (const json& entry : array)
            if (entry.is_string())
                result.push_back(entry.get<std::string>());
    return result;
}
std::uint32_t run_of(const json& body) {
    return static_cast<std::uint32_t>(whole(body, "run"));
}

bool ended(RunState state) {
    return state == RunState::done || state == RunState::stopped || state == RunState::failed ||
           state == RunState::interrupted;
}

std::optional<RunState> state_named(const std::string& name) {
    static const std::map<std::string, RunState> names = {
        {"planned", RunState::planned},         {"running", RunState::running},
        {"paused", RunState::paused},           {"done", RunState::done},
        {"stopped", RunState::stopped},         {"failed", RunState::failed},
        {"interrupted", RunState::interrupted}, {"cancelled", RunState::stopped}};
    const auto it = names.find(name);
    return it == names.end() ? std::nullopt : std::optional(it->second);
}

bool is_known(RecordType type) {
    switch (type) {
        case RecordType::run_started:
        case RecordType::run_ended:
        case RecordType::event:
        case RecordType::sample:
        case RecordType::step:
        case RecordType::evaluation:
        case RecordType::tokens:
        case RecordType::generation_ended:
        case RecordType::probe_draw:
        case RecordType::probe_label:
        case RecordType::log:
        case RecordType::gap:
            return true;
    }
    return false;
}

protocol::StreamPosition position_of(const protocol::Frame& record) {
    return {record.epoch, record.sequence};
}

/// How many steps a manifest plans, under any of the names that a preset, a plan or a run uses for it.
std::uint64_t planned_steps(const json& manifest) {
    for (const char* key : {"planned_steps", "steps"})
        for (const json* place : {&manifest, &member(manifest, "plan"), &member(manifest, "config")})
            if (const auto steps = place->is_object() ? whole(*place, key) : 0)
                return steps;
    return 0;
}

std::array<Column TrainingRun::*, 12> step_columns() {
    return {&TrainingRun::step,
            &TrainingRun::loss,
            &TrainingRun::cross_entropy,
            &TrainingRun::balance_loss,
            &TrainingRun::z_loss,
            &TrainingRun::gradient_norm,
            &TrainingRun::learning_rate,
            &TrainingRun::balance_coefficient,
            &TrainingRun::tokens_per_second,
            &TrainingRun::step_ms,
            &TrainingRun::memory_bytes,
            &TrainingRun::router_entropy_mean};
}

Column first_of(const Column& column, std::size_t count) {
    Column result;
    for (std::size_t i = 0; i < count; ++i)
        result.push_back(column[i]);
    return result;
}

std::size_t count_below(const Column& steps, double step) {
    std::size_t count = steps.size();
    while (count > 0 && !(steps[count - 1] < step))
        --count;
    return count;
}

/// A run that goes on from a checkpoint does some steps again: what it does now counts.
void forget_from(TrainingRun& run, std::uint64_t step) {
    const auto at = static_cast<double>(step);
    if (const std::size_t count = count_below(run.step, at); count < run.step.size()) {
        for (auto column : step_columns())
            run.*column = first_of(run.*column, count);
        for (Column& column : run.part_ms)
            column = first_of(column, count);
    }
    if (const std::size_t count = count_below(run.evaluation_step, at); count < run.evaluation_step.size())
        for (auto column :
             {&TrainingRun::evaluation_step, &TrainingRun::evaluation_english, &TrainingRun::evaluation_chinese})
            run.*column = first_of(run.*column, count);
    std::erase_if(run.counts, [&](const auto& counts) { return counts->step >= step; });
}

/// Steps that are missing: one row of NaN, which a plot draws as a hole. The step axis itself stays sorted and whole,
/// for searching.
void add_hole(TrainingRun& run, std::uint64_t step) {
    const double nothing = std::numeric_limits<double>::quiet_NaN();
    for (auto column : step_columns())
        (run.*column).push_back(column == &TrainingRun::step ? static_cast<double>(step) : nothing);
    for (Column& column : run.part_ms)
        column.push_back(nothing);
}

void add_step(TrainingRun& run, const protocol::StepRecord& step) {
    const double entropy = step.router_entropy.empty()
                               ? std::numeric_limits<double>::quiet_NaN()
                               : std::accumulate(step.router_entropy.begin(), step.router_entropy.end(), 0.0) /
                                     static_cast<double>(step.router_entropy.size());
    const std::array values = {static_cast<double>(step.step),
                               step.loss,
                               step.cross_entropy,
                               step.balance_loss,
                               step.z_loss,
                               step.gradient_norm,
                               step.learning_rate,
                               step.balance_coefficient,
                               step.tokens_per_second,
                               step.step_ms,
                               static_cast<double>(step.memory_bytes),
                               entropy};
    const auto columns = step_columns();
    static_assert(std::tuple_size_v<decltype(values)> == std::tuple_size_v<decltype(columns)>);
    for (std::size_t i = 0; i < columns.size(); ++i)
        (run.*columns[i]).push_back(values[i]);
    for (std::size_t i = 0; i < run.part_ms.size(); ++i)
        run.part_ms[i].push_back(step.part_ms[i]);
    run.layers = step.layers;
    run.experts = step.experts;
    run.top_k = step.top_k;
    run.router_entropy = step.router_entropy;
    run.tokens_total = step.tokens_total;
    if (!step.counts.empty()) {
        run.counts.push_back(std::make_shared<StepCounts>(StepCounts{step.step, step.counts}));
        if (run.counts.size() >= 2 * kCountHistory)  // trimmed to the exact length only when it is shown
            run.counts.erase(run.counts.begin(), run.counts.end() - static_cast<std::ptrdiff_t>(kCountHistory));
    }
}

ModelEntry model_entry(const json& entry) {
    ModelEntry model;
    const std::pair<const char*, std::string ModelEntry::*> fields[] = {
        {"name", &ModelEntry::name},           {"title", &ModelEntry::title},
        {"maker", &ModelEntry::maker},         {"country", &ModelEntry::country},
        {"licence", &ModelEntry::licence},     {"origin", &ModelEntry::origin},
        {"path", &ModelEntry::path},           {"sha256", &ModelEntry::sha256},
        {"format", &ModelEntry::format},       {"architecture", &ModelEntry::architecture},
        {"precision", &ModelEntry::precision}, {"state", &ModelEntry::state},
        {"message", &ModelEntry::message}};
    for (const auto& [key, field] : fields)
        model.*field = text(entry, key);
    model.bytes = whole(entry, "bytes");
    model.is_moe = truth(entry, "is_moe");
    model.available = truth(entry, "available");
    model.trained_here = truth(entry, "trained_here");
    return model;
}

Task task_entry(const json& entry) {
    Task task;
    task.id = text(entry, "id");
    task.kind = text(entry, "kind");
    task.title = text(entry, "title");
    task.fraction = number(entry, "fraction", -1);
    task.seconds_left = number(entry, "seconds_left", -1);
    task.detail = text(entry, "detail");
    task.cancel_command = text(entry, "cancel_command");
    task.run = run_of(entry);
    return task;
}

NodeInfo node_info(const json& entry) {
    NodeInfo node;
    node.name = text(entry, "name");
    node.version = text(entry, "version");
    node.address = text(entry, "address");
    node.session = text(entry, "session");
    node.cpu = text(entry, "cpu");
    node.state = text(entry, "state");
    node.cores = small(entry, "cores", 0);
    node.memory_total = whole(entry, "memory_total");
    node.memory_used = whole(entry, "memory_used");
    node.devices = texts(member(entry, "devices"));
    node.journal_bytes = whole(entry, "journal_bytes");
    node.process = static_cast<std::int64_t>(whole(entry, "process"));
    return node;
}

std::string draw_key(const json& body) {
    return text(body, "item") + "/" + text(body, "model") + "/" + text(body, "language") + "/" +
           std::to_string(small(body, "draw", 0));
}

int engagement_of(const std::string& value) {
    return value.size() == 1 && value[0] >= '0' && value[0] <= '4' ? value[0] - '0' : -1;
}

}  // namespace

template <class T>
void ModelState::set_state(Run<T>& run, const protocol::Frame& record, RunState state) {
    run.changed = true;
    if (position_of(record) < run.state_from)
        return;  // channels overtake each other; the newer record counts
    run.state_from = position_of(record);
    run.value.state = state;
    if (!ended(state))
        run.epoch = std::max(run.epoch, record.epoch);
}

template <class T>
bool ModelState::is_orphan(const Run<T>& run) const {
    return !ended(run.value.state) && (gone_ || run.epoch < epoch_);
}

template <class Function>
void ModelState::for_each_run(Function function) {
    for (auto& [id, run] : training_)
        function(run);
    for (auto& [id, run] : generations_)
        function(run);
    for (auto& [id, run] : probes_)
        function(run);
}

ModelState::Run<TrainingRun>& ModelState::training(std::uint32_t id) {
    auto& run = training_[id];
    run.value.id = id;
    run.changed = true;
    return run;
}

ModelState::Run<Generation>& ModelState::generation(std::uint32_t id) {
    auto& run = generations_[id];
    run.value.id = id;
    run.changed = true;
    return run;
}

ModelState::Probe& ModelState::probe(std::uint32_t id) {
    auto& run = probes_[id];
    run.value.id = id;
    run.changed = true;
    return run;
}

void ModelState::apply(const protocol::Frame& record) {
    const auto type = static_cast<RecordType>(record.type);
    if (type == RecordType::step) {
        if (const auto decoded = protocol::decode_step(record.body))
            return step(record, *decoded);
    } else if (type == RecordType::tokens) {
        if (auto decoded = protocol::decode_tokens(record.body))
            return tokens(record, std::move(*decoded));
    } else if (!is_known(type)) {
        return;  // of a later version
    } else if (const auto body = protocol::decode_json(record.body)) {
        switch (type) {
            case RecordType::run_started:
                return run_started(record, *body);
            case RecordType::run_ended:
                return run_ended(record, *body);
            case RecordType::event:
                return event(record, *body);
            case RecordType::sample:
                return sample(*body);
            case RecordType::evaluation:
                return evaluation(*body);
            case RecordType::generation_ended:
                return generation_ended(record, *body);
            case RecordType::probe_draw:
                return probe_draw(record, *body);
            case RecordType::probe_label:
                return probe_label(*body);
            case RecordType::log:
                return log(record, *body);
            case RecordType::gap:
                return apply_gap(*body, record.time_ns);
            default:
                return;
        }
    }
    add_log({record.time_ns, "warning", "workbench",
             "record " + std::to_string(record.sequence) + " of type " + std::to_string(record.type) +
                 " can't be read and is left out"});
}

void ModelState::run_started(const protocol::Frame& record, const json& body) {
    const std::uint32_t id = run_of(body);
    const std::string kind = text(body, "kind");
    const json& manifest = member(body, "manifest");
    if (kind == "train") {
        auto& run = training(id);
        run.value.name = text(body, "name");
        run.value.manifest = manifest;
        run.value.message.clear();
        if (const auto steps = planned_steps(manifest))
            run.value.planned_steps = steps;
        set_state(run, record, RunState::running);
    } else if (kind == "generate") {
        auto& run = generation(id);
        run.value.manifest = manifest;
        run.value.group = manifest.is_object() ? text(manifest, "group") : "";
        run.value.model = manifest.is_object() ? text(manifest, "model") : "";
        set_state(run, record, RunState::running);
    } else if (kind == "probe") {
        auto& run = probe(id);
        run.value.name = text(body, "name");
        run.value.manifest = manifest;
        run.value.set = manifest.is_object() ? text(manifest, "set") : "";
        run.value.models = texts(member(manifest, "models"));
        run.value.planned = manifest.is_object() ? whole(manifest, "planned") : 0;
        set_state(run, record, RunState::running);
    }
    if (const auto gauges = run_gauges_.find(id); gauges != run_gauges_.end())
        state_of_run(gauges->second);
}

void ModelState::run_ended(const protocol::Frame& record, const json& body) {
    const auto state = state_named(text(body, "state")).value_or(RunState::failed);
    const std::uint32_t id = run_of(body);
    const auto end = [&](auto& run) {
        set_state(run, record, state);
        if (const std::string message = text(body, "message"); !message.empty())
            run.value.message = message;
    };
    // Only where the run is known: its kind stands in run_started, which lies before this record on the same channel.
    if (training_.contains(id))
        end(training(id));
    else if (generations_.contains(id))
        end(generation(id));
    else if (probes_.contains(id))
        end(probe(id));
}

void ModelState::event(const protocol::Frame& record, const json& body) {
    const std::uint32_t id = run_of(body);
    const std::string kind = text(body, "kind");
    const auto follow = [&](auto& run) {
        if (kind == "pause")
            set_state(run, record, RunState::paused);
        else if (kind == "resume" || kind == "continue")
            set_state(run, record, RunState::running);
    };
    if (probes_.contains(id))
        return follow(probe(id));
    if (!training_.contains(id))
        return;
    auto& run = training(id);
    follow(run);
    RunEvent event{whole(body, "step"), kind, text(body, "name"), member(body, "old"), member(body, "new"),
                   text(body, "text")};
    if (kind == "checkpoint")
        run.value.last_checkpoint = event.step;
    run.value.events.push_back(std::move(event));
}

void ModelState::sample(const json& body) {
    training(run_of(body))
        .value.samples.push_back(
            {whole(body, "step"), text(body, "language"), text(body, "prompt"), text(body, "text")});
}

void ModelState::step(const protocol::Frame& record, const protocol::StepRecord& step) {
    auto& run = training(step.run);
    if (!run.value.step.empty()) {
        const auto before = static_cast<std::uint64_t>(run.value.step.back());
        if (step.step <= before)
            forget_from(run.value, step.step);
        else if (step.step > before + 1)
            add_hole(run.value, before + 1);
    }
    add_step(run.value, step);
    run.epoch = std::max(run.epoch, record.epoch);
    // Steps after an end: the run was continued.
    if (run.value.state == RunState::planned || (ended(run.value.state) && position_of(record) > run.state_from))
        set_state(run, record, RunState::running);
}

void ModelState::evaluation(const json& body) {
    TrainingRun& run = training(run_of(body)).value;
    const double step = static_cast<double>(whole(body, "step"));
    const json& loss = member(body, "loss");
    const double nothing = std::numeric_limits<double>::quiet_NaN();
    if (!run.evaluation_step.empty() && !(run.evaluation_step.back() < step)) {
        const std::size_t count = count_below(run.evaluation_step, step);
        for (auto column :
             {&TrainingRun::evaluation_step, &TrainingRun::evaluation_english, &TrainingRun::evaluation_chinese})
            run.*column = first_of(run.*column, count);
    }
    run.evaluation_step.push_back(step);
    run.evaluation_english.push_back(loss.is_object() ? number(loss, "en", nothing) : nothing);
    run.evaluation_chinese.push_back(loss.is_object() ? number(loss, "zh", nothing) : nothing);
}

void ModelState::tokens(const protocol::Frame& record, protocol::TokenBatch batch) {
    auto& run = generation(batch.run);
    run.epoch = std::max(run.epoch, record.epoch);
    if (run.value.state == RunState::planned)
        set_state(run, record, RunState::running);
    const std::size_t known = run.value.tokens.size();
    const std::size_t skip = batch.first < known ? known - batch.first : 0;
    for (std::size_t i = skip; i < batch.tokens.size(); ++i) {
        if (!ended(run.value.state) || run.value.text.empty())
            run.value.text += batch.tokens[i].chosen.bytes;
        run.value.tokens.push_back(std::move(batch.tokens[i]));
    }
}

void ModelState::generation_ended(const protocol::Frame& record, const json& body) {
    auto& run = generation(run_of(body));
    set_state(run, record, state_named(text(body, "state")).value_or(RunState::failed));
    run.value.stop = text(body, "stop");
    run.value.message = text(body, "message");
    run.value.prompt_tokens = static_cast<std::uint32_t>(whole(body, "prompt_tokens"));
    run.value.tokens_per_second = number(body, "tokens_per_second");
    run.value.prompt_ms = number(body, "prompt_ms");
    // The record's text is JSON, where bytes that are no UTF-8 had to be replaced; the tokens carry the bytes themselves.
    if (run.value.tokens.empty())
        run.value.text = text(body, "text");
}

void ModelState::set_person_labels(ProbeDraw& draw, const PersonLabels& labels) {
    draw.labelled_by_person = !labels.delivery.empty() || !labels.engagement.empty();
    draw.delivery = labels.delivery.empty() ? draw.rule_delivery : labels.delivery;
    draw.engagement = labels.engagement.empty() ? draw.rule_engagement : engagement_of(labels.engagement);
}

void ModelState::probe_draw(const protocol::Frame& record, const json& body) {
    auto& run = probe(run_of(body));
    run.epoch = std::max(run.epoch, record.epoch);
    if (run.value.state == RunState::planned)
        set_state(run, record, RunState::running);
    auto draw = std::make_shared<ProbeDraw>();
    draw->seq = record.sequence;
    draw->item = text(body, "item");
    draw->topic = text(body, "topic");
    draw->group = text(body, "group");
    draw->model = text(body, "model");
    draw->language = text(body, "language");
    draw->draw = small(body, "draw", 0);
    draw->prompt = text(body, "prompt");
    draw->answer = text(body, "answer");
    draw->stop = text(body, "stop");
    draw->rule = text(body, "rule");
    draw->rule_delivery = text(body, "delivery");
    draw->rule_engagement = small(body, "engagement", -1);
    const std::string key = draw_key(body);
    set_person_labels(*draw, run.labels[key]);
    run.value.seconds_left = number(body, "seconds_left");
    if (const auto planned = whole(body, "planned"))
        run.value.planned = planned;
    // A draw that is done again after a restart takes the place of the first.
    const auto [place, is_new] = run.index.emplace(key, run.value.draws.size());
    if (is_new)
        run.value.draws.push_back(std::move(draw));
    else
        run.value.draws[place->second] = std::move(draw);
}

void ModelState::probe_label(const json& body) {
    auto& run = probe(run_of(body));
    const std::string key = draw_key(body);
    const json& value = member(body, "value");
    PersonLabels& labels = run.labels[key];
    (text(body, "field") == "engagement" ? labels.engagement : labels.delivery) =
        value.is_string()           ? value.get<std::string>()
        : value.is_number_integer() ? value.dump()
                                    : "";
    if (const auto place = run.index.find(key); place != run.index.end()) {
        auto draw = std::make_shared<ProbeDraw>(*run.value.draws[place->second]);
        set_person_labels(*draw, labels);
        run.value.draws[place->second] = std::move(draw);
    }
}

void ModelState::log(const protocol::Frame& record, const json& body) {
    add_log({record.time_ns, text(body, "level"), text(body, "source"), text(body, "text")});
}

void ModelState::apply_gap(const json& gap, std::uint64_t time_ns) {
    add_log({time_ns, "warning", "journal",
             std::to_string(whole(gap, "count")) + " records from " + std::to_string(whole(gap, "from")) + " to " +
                 std::to_string(whole(gap, "to")) + " are missing: " + text(gap, "reason")});
}

void ModelState::add_log(LogLine line) {
    head_.log.push_back(std::move(line));
    if (head_.log.size() >= 2 * kLogLines)
        head_.log.erase(head_.log.begin(), head_.log.end() - static_cast<std::ptrdiff_t>(kLogLines));
}

// ---- gauges

void ModelState::apply_state(const json& state) {
    if (const json& node = member(state, "node"); node.is_object())
        head_.node = node_info(node);
    if (const json& models = member(state, "models"); models.is_array()) {
        head_.models.clear();
        for (const json& entry : models)
            if (entry.is_object())
                head_.models.push_back(model_entry(entry));
    }
    if (const json& tasks = member(state, "tasks"); tasks.is_array()) {
        head_.tasks.clear();
        for (const json& entry : tasks)
            if (entry.is_object())
                head_.tasks.push_back(task_entry(entry));
    }
    if (const json& runs = member(state, "runs"); runs.is_array())
        for (const json& entry : runs)
            if (entry.is_object()) {
                run_gauges_[run_of(entry)] = entry;
                state_of_run(entry);
            }
}

void ModelState::state_of_run(const json& entry) {
    const std::uint32_t id = run_of(entry);
    const auto state = state_named(text(entry, "state"));
    const auto common = [&](auto& run) {
        run.changed = true;
        if (state) {
            run.value.state = *state;
            if (!ended(*state))
                run.epoch = std::max(run.epoch, epoch_);  // the node that speaks now has it
        }
        if (const std::string message = text(entry, "message"); !message.empty())
            run.value.message = message;
    };
    if (const auto it = training_.find(id); it != training_.end()) {
        common(it->second);
        if (const auto checkpoint = whole(entry, "last_checkpoint"))
            it->second.value.last_checkpoint = checkpoint;
        if (const auto steps = whole(entry, "planned_steps"))
            it->second.value.planned_steps = steps;
    } else if (const auto generated = generations_.find(id); generated != generations_.end()) {
        common(generated->second);
    } else if (const auto probed = probes_.find(id); probed != probes_.end()) {
        common(probed->second);
        if (const json& statistics = member(entry, "statistics"); !statistics.is_null())
            probed->second.value.statistics = statistics;
    }
}

void ModelState::node_came(std::uint32_t epoch) {
    gone_ = false;
    epoch_ = epoch;
    for_each_run([](auto& run) { run.changed = run.changed || !ended(run.value.state); });
}

void ModelState::node_went(const std::string& message) {
    gone_ = true;
    gone_message_ = message;
    head_.tasks.clear();
    run_gauges_.clear();
    for_each_run([](auto& run) { run.changed = run.changed || !ended(run.value.state); });
}

// ---- snapshots

template <class Map, class Published>
void ModelState::publish(Map& runs, Published& published) {
    for (auto& [id, run] : runs) {
        if (!run.changed)
            continue;
        run.changed = false;
        using Value = std::remove_cvref_t<decltype(run.value)>;
        auto copy = std::make_shared<Value>(run.value);
        if (is_orphan(run)) {
            copy->state = RunState::interrupted;
            if (copy->message.empty())
                copy->message = gone_ ? gone_message_ : "the node ended before this run was done";
        }
        published[id] = std::move(copy);
    }
}

std::shared_ptr<Snapshot> ModelState::snapshot() {
    for (auto& [id, run] : training_)
        if (auto& counts = run.value.counts; counts.size() > kCountHistory)
            counts.erase(counts.begin(), counts.end() - static_cast<std::ptrdiff_t>(kCountHistory));
    if (head_.log.size() > kLogLines)
        head_.log.erase(head_.log.begin(), head_.log.end() - static_cast<std::ptrdiff_t>(kLogLines));
    publish(training_, head_.training);
    publish(generations_, head_.generations);
    publish(probes_, head_.probes);
    return std::make_shared<Snapshot>(head_);
}

}  // namespace moescope::client
