#include "nodes/client/node_view.hpp"

#include <algorithm>
#include <utility>

#include "base/json_fields.hpp"
#include "nodes/protocol/record_heads.hpp"

namespace moescope::client {

namespace {

using base::count_of;
using base::flag_of;
using base::integer_of;
using base::member;
using base::number_of;
using base::run_of;
using base::sentence_in;
using base::text_of;
using nlohmann::json;

NodeInfo node_info(const json& entry) {
    NodeInfo node;
    node.name = text_of(entry, "name");
    node.version = text_of(entry, "version");
    node.address = text_of(entry, "address");
    node.session = text_of(entry, "session");
    node.cpu = text_of(entry, "cpu");
    node.state = sentence_in(entry, "state");
    node.cores = integer_of(entry, "cores", 0);
    node.memory_total = count_of(entry, "memory_total");
    node.memory_used = count_of(entry, "memory_used");
    for (const json& device : member(entry, "device_list")) {
        if (device.is_object()) {
            node.devices.push_back(protocol::device_from_json(device));
        }
    }
    for (const json& use : member(entry, "device_use")) {
        if (use.is_object()) {
            node.device_use.push_back(protocol::device_use_from_json(use));
        }
    }
    if (const json& device = member(entry, "models_device"); device.is_string()) {
        node.models_device = device.get<std::string>();  // goes into commands as it is
    }
    node.journal_bytes = count_of(entry, "journal_bytes");
    node.process = static_cast<std::int64_t>(count_of(entry, "process"));
    node.read_only = flag_of(entry, "read_only");
    node.lost_records = count_of(entry, "lost_records");
    for (const json& problem : member(entry, "problems")) {
        node.problems.push_back(sentence_in(problem, "text"));
    }
    for (const json& process : member(entry, "processes")) {
        if (const auto memory = protocol::process_memory_from_json(process)) {
            node.processes.push_back(*memory);
        }
    }
    return node;
}

}  // namespace

template <class T>
bool NodeView::is_orphan(const history::Session::Run<T>& run) const {
    return !protocol::ended(run.value.state) && (gone_ || run.epoch < epoch_);
}

std::size_t NodeView::apply(const protocol::Frame& record) {
    if (record.type == protocol::kPackedHeads) {
        return history_.apply_heads(record.body, record.time_ns);
    }
    const auto type = static_cast<protocol::RecordType>(record.type);
    const std::uint32_t run = history_.apply({type, {record.epoch, record.sequence}, record.time_ns, record.body});
    sets_changed_ = sets_changed_ || type == protocol::RecordType::intervention_set;
    notes_changed_ = notes_changed_ || type == protocol::RecordType::note;
    if (type == protocol::RecordType::experiment) {
        // It announces runs, of which the gauges may have told already.
        for (const auto& [id, gauges] : run_gauges_) {
            state_of_run(gauges);
        }
    }
    if (type == protocol::RecordType::run_started) {
        if (const auto gauges = run_gauges_.find(run); gauges != run_gauges_.end()) {
            state_of_run(gauges->second);
        }
    }
    return 1;
}

void NodeView::apply_state(const json& state) {
    if (const json& node = member(state, "node"); node.is_object()) {
        head_.node = node_info(node);
    }
    if (const json& models = member(state, "models"); models.is_array()) {
        head_.models.clear();
        for (const json& entry : models) {
            if (entry.is_object()) {
                head_.models.push_back(protocol::model_from_json(entry));
            }
        }
    }
    if (const json& tasks = member(state, "tasks"); tasks.is_array()) {
        head_.tasks.clear();
        for (const json& entry : tasks) {
            if (entry.is_object()) {
                head_.tasks.push_back(protocol::task_from_json(entry));
            }
        }
    }
    if (const json& runs = member(state, "runs"); runs.is_array()) {
        run_gauges_.clear();  // the list is whole each time
        for (const json& entry : runs) {
            if (const auto id = run_of(entry); id != 0) {
                run_gauges_[id] = entry;
                state_of_run(entry);
            }
        }
    }
}

void NodeView::state_of_run(const json& entry) {
    const std::uint32_t id = run_of(entry);
    const auto state = protocol::run_state_named(text_of(entry, "state"));
    // A gauge may have been taken before the run's last record and come after it, and no other one need follow: an end
    // that a record told stays, whatever goes on again says so by a record. One that a gauge alone told may be undone
    // by the next gauge.
    const auto stale = [&](const auto& run) {
        if (!state || protocol::ended(*state) || !protocol::ended(run.value.state)) {
            return false;
        }
        const auto by_gauge = ended_by_gauge_.find(id);
        return by_gauge == ended_by_gauge_.end() || by_gauge->second != run.state_from;
    };
    /// False, and nothing is taken, when the gauge is stale.
    const auto common = [&](auto& run) {
        if (stale(run)) {
            return false;
        }
        run.changed = true;
        if (state && protocol::ended(*state) && !protocol::ended(run.value.state)) {
            ended_by_gauge_[id] = run.state_from;
        }
        if (state) {
            run.value.state = *state;
            if (!protocol::ended(*state)) {
                run.epoch = std::max(run.epoch, epoch_);  // the node that speaks now has it
            }
        }
        if (member(entry, "message").is_string()) {
            run.value.message = sentence_in(entry, "message");
        }
        return true;
    };
    auto& trainings = history_.trainings();
    auto& answers = history_.answers();
    auto& probes = history_.probes();
    if (const auto it = trainings.find(id); it != trainings.end()) {
        if (!common(it->second)) {
            return;
        }
        it->second.value.last_checkpoint = count_of(entry, "last_checkpoint", it->second.value.last_checkpoint);
        it->second.value.checkpoints.clear();
        for (const json& step : member(entry, "checkpoints")) {
            if (const auto count = base::as_count(step)) {
                it->second.value.checkpoints.push_back(*count);
            }
        }
        if (const auto steps = count_of(entry, "planned_steps")) {
            it->second.value.planned_steps = steps;
        }
    } else if (const auto generated = answers.find(id); generated != answers.end()) {
        common(generated->second);
    } else if (const auto probed = probes.find(id); probed != probes.end()) {
        if (!common(probed->second)) {
            return;
        }
        if (const json& statistics = member(entry, "statistics"); !statistics.is_null()) {
            probed->second.value.statistics = statistics;
        }
    } else if (const auto routed = history_.routes().find(id); routed != history_.routes().end()) {
        common(routed->second);
    }
}

void NodeView::node_came(std::uint32_t epoch) {
    gone_ = false;
    epoch_ = epoch;
    history_.for_each_run([](auto& run) { run.changed = run.changed || !protocol::ended(run.value.state); });
}

void NodeView::node_went(const base::Sentence& message) {
    gone_ = true;
    gone_message_ = message;
    head_.tasks.clear();
    run_gauges_.clear();
    history_.for_each_run([](auto& run) { run.changed = run.changed || !protocol::ended(run.value.state); });
}

template <class Map, class Published>
void NodeView::publish(Map& runs, Published& published) {
    for (auto& [id, run] : runs) {
        if (!run.changed) {
            continue;
        }
        run.changed = false;
        using Value = std::remove_cvref_t<decltype(run.value)>;
        auto copy = std::make_shared<Value>(run.value);
        if (is_orphan(run)) {
            copy->state = history::RunState::interrupted;
            if (copy->message.empty()) {
                copy->message = gone_ ? gone_message_ : base::say("the node ended before this run was done");
            }
        }
        published[id] = std::move(copy);
    }
}

std::shared_ptr<Snapshot> NodeView::snapshot() {
    publish(history_.trainings(), head_.training);
    publish(history_.answers(), head_.generations);
    publish(history_.probes(), head_.probes);
    publish(history_.routes(), head_.routes);
    for (auto& [id, run] : history_.imports()) {
        if (run.changed) {
            history::fit_columns(run.value);
        }
    }
    publish(history_.imports(), head_.imports);
    for (auto& [id, run] : history_.routing()) {
        if (std::exchange(run.changed, false)) {
            head_.routing[id] = std::make_shared<const history::RunRouting>(run.value);
        }
    }
    if (std::exchange(sets_changed_, false)) {
        head_.intervention_sets = std::make_shared<const std::map<std::string, json>>(history_.intervention_sets());
    }
    if (std::exchange(notes_changed_, false)) {
        head_.notes = std::make_shared<const std::map<std::uint32_t, history::Note>>(history_.notes().all());
    }
    head_.experiments = history_.experiments();
    head_.log = history_.log();
    return std::make_shared<Snapshot>(head_);
}

}  // namespace moescope::client
