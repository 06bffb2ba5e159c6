#include "nodes/client/node_view.hpp"

#include <algorithm>
#include <limits>
#include <numeric>

#include "base/json_fields.hpp"

namespace moescope::client {

namespace {

using base::as_texts;
using base::count_of;
using base::flag_of;
using base::integer_of;
using base::member;
using base::number_of;
using base::run_of;
using base::text_of;
using nlohmann::json;
using protocol::RecordType;

constexpr std::size_t kLogLines = 10'000;

bool ended(history::RunState state) {
    return state == history::RunState::done || state == history::RunState::stopped ||
           state == history::RunState::failed || state == history::RunState::interrupted;
}

std::optional<history::RunState> state_named(const std::string& name) {
    static const std::map<std::string, history::RunState> names = {
        {"planned", history::RunState::planned},         {"running", history::RunState::running},
        {"paused", history::RunState::paused},           {"done", history::RunState::done},
        {"stopped", history::RunState::stopped},         {"failed", history::RunState::failed},
        {"interrupted", history::RunState::interrupted}, {"cancelled", history::RunState::stopped}};
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
            if (const auto steps = count_of(*place, key))
                return steps;
    return 0;
}

constexpr double kNothing = std::numeric_limits<double>::quiet_NaN();

/// The values of one row, in the order of steps_of().
std::array<double, 12 + protocol::kStepParts> row_of(const protocol::StepRecord& step) {
    const double entropy = step.router_entropy.empty()
                               ? kNothing
                               : std::accumulate(step.router_entropy.begin(), step.router_entropy.end(), 0.0) /
                                     static_cast<double>(step.router_entropy.size());
    std::array<double, 12 + protocol::kStepParts> values = {static_cast<double>(step.step),
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
    std::copy(step.part_ms.begin(), step.part_ms.end(), values.begin() + 12);
    return values;
}

/// The counts of the steps after `kept` and before `newer` go; they rise from entry to entry.
void forget_counts(history::TrainingRun& run, std::uint64_t kept, std::uint64_t newer) {
    std::size_t begin = run.counts.size();
    while (begin > 0 && run.counts[begin - 1]->step > kept)
        --begin;
    if (begin == run.counts.size())
        return;
    const auto before = run.counts;
    run.counts.truncate(begin);
    for (std::size_t i = begin; i < before.size(); ++i)
        if (before[i]->step >= newer)
            run.counts.push_back(before[i]);
}

/// The changes that a rewind to `step` takes back: those that were made after the checkpoint there. A knob turned
/// before it was saved with it, though it acts on the step after.
void forget_events(history::TrainingRun& run, std::uint64_t step) {
    std::size_t begin = run.events.size();
    while (begin > 0) {
        const history::RunEvent& event = run.events[begin - 1];
        if (event.step < step || (event.step == step && event.kind == "checkpoint"))
            break;
        --begin;
    }
    const auto before = run.events;
    run.events.truncate(begin);
    for (std::size_t i = begin; i < before.size(); ++i)
        if (before[i].step <= step)
            run.events.push_back(before[i]);
}

/// The newest sample before the rewind is looked at first: once one is not undone, none before it is.
void forget_samples(history::TrainingRun& run, std::vector<protocol::StreamPosition>& from,
                    const history::Rewind& rewind) {
    const auto newer = static_cast<std::size_t>(std::lower_bound(from.begin(), from.end(), rewind.at) - from.begin());
    std::size_t begin = newer;
    while (begin > 0 && run.samples[begin - 1].step > rewind.step)
        --begin;
    if (begin == newer)
        return;
    const auto before = run.samples;
    run.samples.truncate(begin);
    for (std::size_t i = newer; i < before.size(); ++i)
        run.samples.push_back(before[i]);
    from.erase(from.begin() + static_cast<std::ptrdiff_t>(begin), from.begin() + static_cast<std::ptrdiff_t>(newer));
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
        model.*field = text_of(entry, key);
    model.bytes = count_of(entry, "bytes");
    model.is_moe = flag_of(entry, "is_moe");
    model.available = flag_of(entry, "available");
    model.trained_here = flag_of(entry, "trained_here");
    return model;
}

Task task_entry(const json& entry) {
    Task task;
    task.id = text_of(entry, "id");
    task.kind = text_of(entry, "kind");
    task.title = text_of(entry, "title");
    task.fraction = number_of(entry, "fraction", -1);
    task.seconds_left = number_of(entry, "seconds_left", -1);
    task.detail = text_of(entry, "detail");
    task.cancel_command = text_of(entry, "cancel_command");
    task.run = run_of(entry);
    return task;
}

NodeInfo node_info(const json& entry) {
    NodeInfo node;
    node.name = text_of(entry, "name");
    node.version = text_of(entry, "version");
    node.address = text_of(entry, "address");
    node.session = text_of(entry, "session");
    node.cpu = text_of(entry, "cpu");
    node.state = text_of(entry, "state");
    node.cores = integer_of(entry, "cores", 0);
    node.memory_total = count_of(entry, "memory_total");
    node.memory_used = count_of(entry, "memory_used");
    node.devices = as_texts(member(entry, "devices"));
    node.journal_bytes = count_of(entry, "journal_bytes");
    node.process = static_cast<std::int64_t>(count_of(entry, "process"));
    return node;
}

std::string draw_key(const json& body) {
    return text_of(body, "item") + "/" + text_of(body, "model") + "/" + text_of(body, "language") + "/" +
           std::to_string(integer_of(body, "draw", 0));
}

int engagement_of(const std::string& value) {
    return value.size() == 1 && value[0] >= '0' && value[0] <= '4' ? value[0] - '0' : -1;
}

}  // namespace

template <class T>
void NodeView::set_state(Run<T>& run, const protocol::Frame& record, history::RunState state) {
    run.changed = true;
    if (position_of(record) < run.state_from)
        return;  // channels overtake each other; the newer record counts
    run.state_from = position_of(record);
    run.value.state = state;
    if (!ended(state))
        run.epoch = std::max(run.epoch, record.epoch);
}

template <class T>
bool NodeView::is_orphan(const Run<T>& run) const {
    return !ended(run.value.state) && (gone_ || run.epoch < epoch_);
}

template <class Function>
void NodeView::for_each_run(Function function) {
    for (auto& [id, run] : training_)
        function(run);
    for (auto& [id, run] : generations_)
        function(run);
    for (auto& [id, run] : probes_)
        function(run);
}

NodeView::Training& NodeView::training(std::uint32_t id) {
    auto& run = training_[id];
    run.value.id = id;
    run.changed = true;
    return run;
}

NodeView::Answer& NodeView::generation(std::uint32_t id) {
    auto& run = generations_[id];
    run.value.id = id;
    run.changed = true;
    return run;
}

NodeView::Probe& NodeView::probe(std::uint32_t id) {
    auto& run = probes_[id];
    run.value.id = id;
    run.changed = true;
    return run;
}

void NodeView::apply(const protocol::Frame& record) {
    const auto type = static_cast<RecordType>(record.type);
    if (type == RecordType::step) {
        if (const auto decoded = protocol::decode_step(record.body); decoded && decoded->run != 0)
            return step(record, *decoded);
    } else if (type == RecordType::tokens) {
        if (auto decoded = protocol::decode_tokens(record.body); decoded && decoded->run != 0)
            return tokens(record, std::move(*decoded));
    } else if (!is_known(type)) {
        return;  // of a later version
    } else if (const auto body = protocol::decode_json(record.body)) {
        // Nothing is known of a run 0: a record that says nothing of a run makes none.
        if (type == RecordType::log || type == RecordType::gap || run_of(*body) != 0)
            return json_record(record, *body);
    }
    add_log({record.time_ns, "warning", "workbench",
             "record " + std::to_string(record.sequence) + " of type " + std::to_string(record.type) +
                 " can't be read and is left out"});
}

void NodeView::json_record(const protocol::Frame& record, const json& body) {
    switch (static_cast<RecordType>(record.type)) {
        case RecordType::run_started:
            return run_started(record, body);
        case RecordType::run_ended:
            return run_ended(record, body);
        case RecordType::event:
            return event(record, body);
        case RecordType::sample:
            return sample(record, body);
        case RecordType::evaluation:
            return evaluation(record, body);
        case RecordType::generation_ended:
            return generation_ended(record, body);
        case RecordType::probe_draw:
            return probe_draw(record, body);
        case RecordType::probe_label:
            return probe_label(body);
        case RecordType::log:
            return log(record, body);
        case RecordType::gap:
            return apply_gap(body, record.time_ns);
        default:
            return;
    }
}

void NodeView::run_started(const protocol::Frame& record, const json& body) {
    const std::uint32_t id = run_of(body);
    const std::string kind = text_of(body, "kind");
    const json& manifest = member(body, "manifest");
    if (kind == "train") {
        auto& run = training(id);
        run.value.name = text_of(body, "name");
        run.value.manifest = manifest;
        run.value.message.clear();
        if (const auto steps = planned_steps(manifest))
            run.value.planned_steps = steps;
        set_state(run, record, history::RunState::running);
    } else if (kind == "generate") {
        auto& run = generation(id);
        run.value.manifest = manifest;
        run.value.group = text_of(manifest, "group");
        run.value.model = text_of(manifest, "model");
        set_state(run, record, history::RunState::running);
    } else if (kind == "probe") {
        auto& run = probe(id);
        run.value.name = text_of(body, "name");
        run.value.manifest = manifest;
        run.value.set = text_of(manifest, "set");
        run.value.models = as_texts(member(manifest, "models"));
        run.value.planned = count_of(manifest, "planned");
        run.value.message.clear();
        set_state(run, record, history::RunState::running);
    }
    if (const auto gauges = run_gauges_.find(id); gauges != run_gauges_.end())
        state_of_run(gauges->second);
}

void NodeView::run_ended(const protocol::Frame& record, const json& body) {
    const auto state = state_named(text_of(body, "state")).value_or(history::RunState::failed);
    const std::uint32_t id = run_of(body);
    const auto end = [&](auto& run) {
        set_state(run, record, state);
        if (const std::string message = text_of(body, "message"); !message.empty())
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

void NodeView::event(const protocol::Frame& record, const json& body) {
    const std::uint32_t id = run_of(body);
    const std::string kind = text_of(body, "kind");
    const auto follow = [&](auto& run) {
        if (kind == "pause")
            set_state(run, record, history::RunState::paused);
        else if (kind == "resume" || kind == "rewind")
            set_state(run, record, history::RunState::running);
    };
    if (probes_.contains(id))
        return follow(probe(id));
    if (!training_.contains(id))
        return;
    auto& run = training(id);
    follow(run);
    history::RunEvent event{count_of(body, "step"), kind,
                            text_of(body, "name"),  member(body, "old"),
                            member(body, "new"),    text_of(body, "text")};
    constexpr std::uint64_t kMost = std::numeric_limits<std::uint16_t>::max();  // layers and experts of a StepRecord
    const auto layer = base::as_count(member(body, "layer")), expert = base::as_count(member(body, "expert"));
    if (kind == "expert" && layer && expert && *layer <= kMost && *expert <= kMost) {
        event.layer = static_cast<int>(*layer);
        event.expert = static_cast<int>(*expert);
    }
    if (kind == "checkpoint")
        run.value.last_checkpoint = event.step;
    if (kind == "rewind")
        rewind(run, record, event.step);
    run.value.events.push_back(std::move(event));
}

void NodeView::rewind(Training& run, const protocol::Frame& record, std::uint64_t step) {
    const history::Rewind rewind{position_of(record), step};
    history::TrainingRun& value = run.value;
    run.rewinds.add(rewind);
    history::steps_of(value, run.step_rows).undo(rewind);
    history::evaluations_of(value, run.evaluation_rows).undo(rewind);
    // What came before this record but is newer stands behind everything that is undone.
    const std::size_t newer = history::first_newer(run.step_rows, rewind.at);
    const bool has_newer = newer < run.step_rows.size();
    forget_counts(
        value, step,
        has_newer ? static_cast<std::uint64_t>(value.step[newer]) : std::numeric_limits<std::uint64_t>::max());
    if (!has_newer)
        value.router_entropy.clear();
    value.tokens_total = run.step_rows.empty() ? 0 : run.step_rows.back().tokens_total;
    forget_events(value, step);
    forget_samples(value, run.samples_from, rewind);
    value.last_checkpoint = step;
    value.message.clear();
}

void NodeView::sample(const protocol::Frame& record, const json& body) {
    Training& run = training(run_of(body));
    const std::uint64_t step = count_of(body, "step");
    if (run.rewinds.undone(position_of(record), step))
        return;
    run.value.samples.push_back({step, text_of(body, "language"), text_of(body, "prompt"), text_of(body, "text")});
    run.samples_from.push_back(position_of(record));
}

void NodeView::step(const protocol::Frame& record, const protocol::StepRecord& step) {
    Training& run = training(step.run);
    run.epoch = std::max(run.epoch, record.epoch);
    if (!run.rewinds.undone(position_of(record), step.step)) {
        history::TrainingRun& value = run.value;
        history::steps_of(value, run.step_rows).add(row_of(step), {position_of(record), step.tokens_total, false});
        value.layers = step.layers;
        value.experts = step.experts;
        value.top_k = step.top_k;
        value.router_entropy = step.router_entropy;
        value.tokens_total = step.tokens_total;
        if (!step.counts.empty()) {
            while (!value.counts.empty() && value.counts.back()->step >= step.step)
                value.counts.truncate(value.counts.size() - 1);
            value.counts.push_back(std::make_shared<history::StepCounts>(history::StepCounts{step.step, step.counts}));
            if (value.counts.size() > history::kCountHistory)
                value.counts.drop_front(value.counts.size() - history::kCountHistory);
        }
    }
    // Steps after an end: the run was continued.
    if (run.value.state == history::RunState::planned ||
        (ended(run.value.state) && position_of(record) > run.state_from))
        set_state(run, record, history::RunState::running);
}

void NodeView::evaluation(const protocol::Frame& record, const json& body) {
    Training& run = training(run_of(body));
    const std::uint64_t step = count_of(body, "step");
    if (run.rewinds.undone(position_of(record), step))
        return;
    const json& loss = member(body, "loss");
    const std::array values = {static_cast<double>(step), number_of(loss, "en"), number_of(loss, "zh")};
    history::evaluations_of(run.value, run.evaluation_rows).add(values, {position_of(record), 0, false});
}

void NodeView::tokens(const protocol::Frame& record, protocol::TokenBatch batch) {
    auto& run = generation(batch.run);
    run.epoch = std::max(run.epoch, record.epoch);
    if (run.value.state == history::RunState::planned)
        set_state(run, record, history::RunState::running);
    const std::size_t known = run.value.tokens.size();
    const std::size_t skip = batch.first < known ? known - batch.first : 0;
    if (batch.first > known && !run.incomplete) {
        run.incomplete = true;
        add_log({record.time_ns, "warning", "workbench",
                 "some tokens of answer " + std::to_string(batch.run) + " are missing"});
    }
    for (std::size_t i = skip; i < batch.tokens.size(); ++i) {
        run.value.text += batch.tokens[i].chosen.bytes;
        run.value.tokens.push_back(std::move(batch.tokens[i]));
    }
}

void NodeView::generation_ended(const protocol::Frame& record, const json& body) {
    auto& run = generation(run_of(body));
    set_state(run, record, state_named(text_of(body, "state")).value_or(history::RunState::failed));
    run.value.stop = text_of(body, "stop");
    run.value.message = text_of(body, "message");
    run.value.prompt_tokens = static_cast<std::uint32_t>(count_of(body, "prompt_tokens"));
    run.value.tokens_per_second = number_of(body, "tokens_per_second", 0);
    run.value.prompt_ms = number_of(body, "prompt_ms", 0);
    // The record's text is JSON, where bytes that are no UTF-8 had to be replaced; the tokens carry the bytes
    // themselves.
    if (run.value.tokens.empty() || run.incomplete)
        run.value.text = text_of(body, "text");
}

void NodeView::set_person_labels(history::ProbeDraw& draw, const PersonLabels& labels) {
    draw.labelled_by_person = !labels.delivery.empty() || !labels.engagement.empty();
    draw.delivery = labels.delivery.empty() ? draw.rule_delivery : labels.delivery;
    draw.engagement = labels.engagement.empty() ? draw.rule_engagement : engagement_of(labels.engagement);
}

void NodeView::probe_draw(const protocol::Frame& record, const json& body) {
    auto& run = probe(run_of(body));
    run.epoch = std::max(run.epoch, record.epoch);
    if (run.value.state == history::RunState::planned)
        set_state(run, record, history::RunState::running);
    auto draw = std::make_shared<history::ProbeDraw>();
    draw->seq = record.sequence;
    draw->item = text_of(body, "item");
    draw->topic = text_of(body, "topic");
    draw->group = text_of(body, "group");
    draw->model = text_of(body, "model");
    draw->language = text_of(body, "language");
    draw->draw = integer_of(body, "draw", 0);
    draw->prompt = text_of(body, "prompt");
    draw->answer = text_of(body, "answer");
    draw->stop = text_of(body, "stop");
    draw->rule = text_of(body, "rule");
    draw->rule_delivery = text_of(body, "delivery");
    draw->rule_engagement = integer_of(body, "engagement", -1);
    const std::string key = draw_key(body);
    set_person_labels(*draw, run.labels[key]);
    run.value.seconds_left = number_of(body, "seconds_left", 0);
    if (const auto planned = count_of(body, "planned"))
        run.value.planned = planned;
    // A draw that is done again after a restart takes the place of the first.
    const auto [place, is_new] = run.index.emplace(key, run.value.draws.size());
    if (is_new)
        run.value.draws.push_back(std::move(draw));
    else
        run.value.draws[place->second] = std::move(draw);
}

void NodeView::probe_label(const json& body) {
    auto& run = probe(run_of(body));
    const std::string key = draw_key(body);
    const json& value = member(body, "value");
    PersonLabels& labels = run.labels[key];
    (text_of(body, "field") == "engagement" ? labels.engagement : labels.delivery) =
        value.is_string()           ? value.get<std::string>()
        : value.is_number_integer() ? value.dump()
                                    : "";
    if (const auto place = run.index.find(key); place != run.index.end()) {
        auto draw = std::make_shared<history::ProbeDraw>(*run.value.draws[place->second]);
        set_person_labels(*draw, labels);
        run.value.draws[place->second] = std::move(draw);
    }
}

void NodeView::log(const protocol::Frame& record, const json& body) {
    add_log({record.time_ns, text_of(body, "level"), text_of(body, "source"), text_of(body, "text")});
}

void NodeView::apply_gap(const json& gap, std::uint64_t time_ns) {
    add_log({time_ns, "warning", "journal",
             std::to_string(count_of(gap, "count")) + " records from " + std::to_string(count_of(gap, "from")) +
                 " to " + std::to_string(count_of(gap, "to")) + " are missing: " + text_of(gap, "reason")});
}

void NodeView::add_log(history::LogLine line) {
    head_.log.push_back(std::move(line));
    if (head_.log.size() > kLogLines)
        head_.log.drop_front(1);
}

// ---- gauges

void NodeView::apply_state(const json& state) {
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
    if (const json& runs = member(state, "runs"); runs.is_array()) {
        run_gauges_.clear();  // the list is whole each time
        for (const json& entry : runs)
            if (const auto id = run_of(entry); id != 0) {
                run_gauges_[id] = entry;
                state_of_run(entry);
            }
    }
}

void NodeView::state_of_run(const json& entry) {
    const std::uint32_t id = run_of(entry);
    const auto state = state_named(text_of(entry, "state"));
    const auto common = [&](auto& run) {
        run.changed = true;
        if (state) {
            run.value.state = *state;
            if (!ended(*state))
                run.epoch = std::max(run.epoch, epoch_);  // the node that speaks now has it
        }
        if (const json& message = member(entry, "message"); message.is_string())
            run.value.message = message.get<std::string>();
    };
    if (const auto it = training_.find(id); it != training_.end()) {
        common(it->second);
        it->second.value.last_checkpoint = count_of(entry, "last_checkpoint", it->second.value.last_checkpoint);
        it->second.value.checkpoints.clear();
        for (const json& step : member(entry, "checkpoints"))
            if (const auto count = base::as_count(step))
                it->second.value.checkpoints.push_back(*count);
        if (const auto steps = count_of(entry, "planned_steps"))
            it->second.value.planned_steps = steps;
    } else if (const auto generated = generations_.find(id); generated != generations_.end()) {
        common(generated->second);
    } else if (const auto probed = probes_.find(id); probed != probes_.end()) {
        common(probed->second);
        if (const json& statistics = member(entry, "statistics"); !statistics.is_null())
            probed->second.value.statistics = statistics;
    }
}

void NodeView::node_came(std::uint32_t epoch) {
    gone_ = false;
    epoch_ = epoch;
    for_each_run([](auto& run) { run.changed = run.changed || !ended(run.value.state); });
}

void NodeView::node_went(const std::string& message) {
    gone_ = true;
    gone_message_ = message;
    head_.tasks.clear();
    run_gauges_.clear();
    for_each_run([](auto& run) { run.changed = run.changed || !ended(run.value.state); });
}

// ---- snapshots

template <class Map, class Published>
void NodeView::publish(Map& runs, Published& published) {
    for (auto& [id, run] : runs) {
        if (!run.changed)
            continue;
        run.changed = false;
        using Value = std::remove_cvref_t<decltype(run.value)>;
        auto copy = std::make_shared<Value>(run.value);
        if (is_orphan(run)) {
            copy->state = history::RunState::interrupted;
            if (copy->message.empty())
                copy->message = gone_ ? gone_message_ : "the node ended before this run was done";
        }
        published[id] = std::move(copy);
    }
}

std::shared_ptr<Snapshot> NodeView::snapshot() {
    publish(training_, head_.training);
    publish(generations_, head_.generations);
    publish(probes_, head_.probes);
    return std::make_shared<Snapshot>(head_);
}

}  // namespace moescope::client
