#include "nodes/history/session.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <limits>
#include <optional>
#include <utility>

#include "base/foreign_text.hpp"
#include "base/json_fields.hpp"
#include "base/sentence.hpp"
#include "base/settings.hpp"
#include "base/stop_reason.hpp"
#include "base/text.hpp"
#include "nodes/history/checkpoint_name.hpp"
#include "nodes/history/event_log.hpp"
#include "nodes/protocol/record_heads.hpp"
#include "probes/probes.hpp"
#include "routing/interventions.hpp"
#include "sessions/packed_records.hpp"

namespace moescope::history {

namespace {

using base::as_texts;
using base::count_of;
using base::integer_of;
using base::member;
using base::number_of;
using base::run_of;
using base::sentence_in;
using base::text_of;
using nlohmann::json;
using protocol::RecordType;

constexpr std::size_t kLogLines = 10'000;

bool is_known(RecordType type) {
    switch (type) {
        case RecordType::run_started:
        case RecordType::run_ended:
        case RecordType::event:
        case RecordType::sample:
        case RecordType::step:
        case RecordType::evaluation:
        case RecordType::ranks:
        case RecordType::curve:
        case RecordType::tokens:
        case RecordType::generation_ended:
        case RecordType::routing_started:
        case RecordType::routing_chunk:
        case RecordType::routing_scores:
        case RecordType::routing_result:
        case RecordType::probe_draw:
        case RecordType::probe_label:
        case RecordType::probe_codings:
        case RecordType::intervention_set:
        case RecordType::experiment:
        case RecordType::note:
        case RecordType::log:
        case RecordType::gap:
            return true;
    }
    return false;
}

/// Records that belong to no run.
bool of_no_run(RecordType type) {
    return type == RecordType::log || type == RecordType::gap || type == RecordType::intervention_set ||
           type == RecordType::experiment || type == RecordType::note;
}

/// [[layer, expert]]; what is none is left out.
std::vector<std::pair<int, int>> experts_in(const json& body, const char* key) {
    std::vector<std::pair<int, int>> experts;
    for (const json& pair : member(body, key)) {
        const auto number = [&](std::size_t at) {
            return pair.is_array() && pair.size() == 2 ? base::as_integer(pair[at]) : std::nullopt;
        };
        const auto layer = number(0), expert = number(1);
        if (layer && expert && *layer >= 0 && *layer < routing::kMostLayers && *expert >= 0 &&
            *expert < routing::kMostExperts) {
            experts.emplace_back(static_cast<int>(*layer), static_cast<int>(*expert));
        }
    }
    return experts;
}

/// How many steps a manifest plans, under any of the names that a preset, a plan or a run uses for it.
std::uint64_t planned_steps(const json& manifest) {
    for (const char* key : {"planned_steps", "steps"}) {
        for (const json* place : {&manifest, &member(manifest, "plan"), &member(manifest, "config")}) {
            if (const auto steps = count_of(*place, key)) {
                return steps;
            }
        }
    }
    return 0;
}

/// Old nodes called two limits by one name. What stopped before the limit that was set was stopped by the context.
std::string stop_of(const json& body, std::uint64_t max_tokens) {
    const std::string stop = text_of(body, "stop");
    const std::uint64_t tokens = count_of(body, "tokens");
    const bool by_context = stop == base::stop_name(base::StopReason::length) && tokens > 0 && tokens < max_tokens;
    return by_context ? std::string(base::stop_name(base::StopReason::context)) : stop;
}

/// What is of steps after `kept` and before `newer` goes; steps rise from entry to entry.
template <class List>
void forget_steps(List& list, std::uint64_t kept, std::uint64_t newer) {
    std::size_t begin = list.size();
    while (begin > 0 && list[begin - 1]->step > kept) {
        --begin;
    }
    if (begin == list.size()) {
        return;
    }
    const auto before = list;
    list.truncate(begin);
    for (std::size_t i = begin; i < before.size(); ++i) {
        if (before[i]->step >= newer) {
            list.push_back(before[i]);
        }
    }
}

/// The changes that a rewind to `step` takes back: those that were made after the checkpoint there. A knob turned
/// before it was saved with it, though it acts on the step after.
void forget_events(TrainingRun& run, std::uint64_t step) {
    std::size_t begin = run.events.size();
    while (begin > 0) {
        const RunEvent& event = run.events[begin - 1];
        if (event.step < step || (event.step == step && event.kind == "checkpoint")) {
            break;
        }
        --begin;
    }
    const auto before = run.events;
    run.events.truncate(begin);
    for (std::size_t i = begin; i < before.size(); ++i) {
        if (before[i].step <= step) {
            run.events.push_back(before[i]);
        }
    }
}

/// The newest sample before the rewind is looked at first: once one is not undone, none before it is.
void forget_samples(TrainingRun& run, std::vector<protocol::StreamPosition>& from, const Rewind& rewind) {
    const auto newer = static_cast<std::size_t>(std::lower_bound(from.begin(), from.end(), rewind.at) - from.begin());
    std::size_t begin = newer;
    while (begin > 0 && run.samples[begin - 1].step > rewind.step) {
        --begin;
    }
    if (begin == newer) {
        return;
    }
    const auto before = run.samples;
    run.samples.truncate(begin);
    for (std::size_t i = newer; i < before.size(); ++i) {
        run.samples.push_back(before[i]);
    }
    from.erase(from.begin() + static_cast<std::ptrdiff_t>(begin), from.begin() + static_cast<std::ptrdiff_t>(newer));
}

int engagement_of(const std::string& value) {
    return value.size() == 1 && value[0] >= '0' && value[0] <= '4' ? value[0] - '0' : -1;
}

/// What a coder's own labels say. Who gives F1 alone has given no F2, but for a refusal, whose F2 is 0.
ProbeCoding coding_of(const ProbeDraw& draw, const std::string& coder, const Session::PersonLabels& labels) {
    const auto& [delivery, engagement] = labels;
    ProbeCoding coding{coder, delivery.value, engagement_of(engagement.value),
                       std::max(delivery.time_ns, engagement.time_ns)};
    const std::string refused = probes::delivery_name(probes::Delivery::refused),
                      answered = probes::delivery_name(probes::Delivery::answered);
    if (delivery.value.empty()) {
        coding.delivery = draw.rule_delivery == answered ? answered : coding.engagement > 0 ? answered : refused;
    }
    if (const auto known = probes::delivery_from_name(coding.delivery)) {
        coding.engagement =
            *known == probes::Delivery::refused ? 0 : probes::engagement_with(*known, coding.engagement);
    }
    return coding;
}

/// A person's labels over the rule's. F1 and F2 hang together: who gives an F2 alone says with it that there is an
/// answer (0: that it declines), and beside an F1 counts what F2 can be with it.
void set_person_labels(ProbeDraw& draw, const Session::PersonLabels& labels) {
    const auto& [delivery, engagement] = labels;
    draw.labelled_by_person = !delivery.value.empty() || !engagement.value.empty();
    draw.delivery = delivery.value.empty() ? draw.rule_delivery : delivery.value;
    draw.engagement = engagement.value.empty() ? draw.rule_engagement : engagement_of(engagement.value);
    if (engagement.value.empty() && !delivery.value.empty() && delivery.value != draw.rule_delivery) {
        draw.engagement = -1;  // the rule's F2 goes with the rule's F1; with another one it would contradict it
    }
    draw.coder.clear();
    if (!draw.labelled_by_person) {
        return;
    }
    for (const Session::PersonLabel* label : {&delivery, &engagement}) {
        if (!label->value.empty() && !label->coder.empty() && label->coder != draw.coder) {
            base::append_to_list(draw.coder, label->coder);
        }
    }
    const char* answered = probes::delivery_name(probes::Delivery::answered);
    if (delivery.value.empty() && draw.engagement >= 0 && draw.rule_delivery != answered) {
        draw.delivery = draw.engagement > 0 ? answered : probes::delivery_name(probes::Delivery::refused);
    }
    if (const auto known = probes::delivery_from_name(draw.delivery)) {
        draw.engagement = probes::engagement_with(*known, draw.engagement);
    }
}

/// The label in force: what coders agreed on, else the session's own, else the first other coder's by name.
void set_labels(ProbeDraw& draw, const Session::Probe& run, const std::string& key) {
    static const Session::PersonLabels kNobody;
    const auto own = run.labels.find(key);
    const auto others = run.codings.find(key);
    const Session::PersonLabels* in_force = own == run.labels.end() ? &kNobody : &own->second;
    draw.consensus = others != run.codings.end() && !others->second.consensus.empty();
    draw.own_label = !draw.consensus && !in_force->empty();
    if (draw.consensus) {
        in_force = &others->second.consensus;
    } else if (in_force->empty() && others != run.codings.end() && !others->second.by_coder.empty()) {
        in_force = &others->second.by_coder.begin()->second;
    }
    set_person_labels(draw, *in_force);
    const auto said = [](const Session::PersonLabel& label) { return ProbeDraw::Said{label.value, label.coder}; };
    const Session::PersonLabels& mine = own == run.labels.end() ? kNobody : own->second;
    const Session::PersonLabels& agreed = others == run.codings.end() ? kNobody : others->second.consensus;
    draw.said_delivery = said(mine.delivery);
    draw.said_engagement = said(mine.engagement);
    draw.agreed_delivery = said(agreed.delivery);
    draw.agreed_engagement = said(agreed.engagement);
    draw.codings.clear();
    draw.disagreed = false;
    for (const auto& [coder, labels] : run.coders_of(key)) {
        ProbeCoding coding = coding_of(draw, coder, labels);
        for (const ProbeCoding& other : draw.codings) {
            draw.disagreed = draw.disagreed || other.delivery != coding.delivery ||
                             (other.engagement >= 0 && coding.engagement >= 0 && other.engagement != coding.engagement);
        }
        draw.codings.push_back(std::move(coding));
    }
}

std::string label_value(const json& body) {
    const json& value = member(body, "value");
    return value.is_string() ? value.get<std::string>() : value.is_number_integer() ? value.dump() : std::string();
}

RouteRun::What what_named(const std::string& name) {
    using What = RouteRun::What;
    return name == "read"     ? What::read
           : name == "effect" ? What::effect
           : name == "sweep"  ? What::sweep
           : name == "import" ? What::import
                              : What::other;
}

/// The newest record counts: channels overtake each other.
template <class T>
void set_state(Session::Run<T>& run, const RecordView& record, RunState state) {
    run.changed = true;
    if (record.at < run.state_from) {
        return;
    }
    run.state_from = record.at;
    run.value.state = state;
    if (!ended(state)) {
        run.epoch = std::max(run.epoch, record.at.epoch);
    }
}

/// A run that has just been announced, for the first time or to go on.
template <class T>
T& announced(Session::Run<T>& run, const RecordView& record, const json& body) {
    T& value = run.value;
    if (!value.announced()) {
        value.started = record.at;
        value.started_ns = record.time_ns;
    }
    value.name = base::shown_name(text_of(body, "name"));
    value.manifest = member(body, "manifest");
    if (value.manifest.is_object() && value.manifest.contains("config")) {
        base::rename_settings(value.manifest["config"]);
    }
    set_state(run, record, RunState::running);
    return value;
}

}  // namespace

std::string draw_key(const json& draw) {
    return fmt::format("{}/{}/{}/{}", text_of(draw, "item"), text_of(draw, "model"), text_of(draw, "language"),
                       integer_of(draw, "draw", 0));
}

std::string coding_id(const Coding& coding) {
    return fmt::format("{}\n{}\n{}\n{}\n{}\n{}", coding.key, coding.consensus ? "" : coding.coder, coding.consensus,
                       coding.field, coding.value, coding.time_ns);
}

Coding coding_in(const json& entry) {
    return {draw_key(entry),
            base::shown_name(text_of(entry, "coder")),
            text_of(entry, "field"),
            label_value(entry),
            count_of(entry, "time_ns"),
            base::flag_of(entry, "consensus"),
            base::flag_of(entry, "declined")};
}

std::string draw_key(const ProbeDraw& draw) {
    return fmt::format("{}/{}/{}/{}", draw.item, draw.model, draw.language, draw.draw);
}

Session::Training& Session::training(std::uint32_t id) {
    Training& run = trainings_[id];
    run.value.id = id;
    run.changed = true;
    return run;
}

Session::Answer& Session::answer(std::uint32_t id) {
    Answer& run = answers_[id];
    run.value.id = id;
    run.changed = true;
    return run;
}

Session::Probe& Session::probe(std::uint32_t id) {
    Probe& run = probes_[id];
    run.value.id = id;
    run.changed = true;
    return run;
}

Session::Route& Session::route(std::uint32_t id) {
    Route& run = routes_[id];
    run.value.id = id;
    run.changed = true;
    return run;
}

Session::Import& Session::imported(std::uint32_t id) {
    Import& run = imports_[id];
    run.value.id = id;
    run.changed = true;
    return run;
}

std::map<std::uint32_t, const RunHeader*> Session::runs() const {
    std::map<std::uint32_t, const RunHeader*> all;
    const auto add = [&](const auto& runs) {
        for (const auto& [id, run] : runs) {
            if (run.value.announced()) {
                all[id] = &run.value;
            }
        }
    };
    add(trainings_);
    add(answers_);
    add(probes_);
    add(routes_);
    add(imports_);
    return all;
}

std::uint32_t Session::apply(const RecordView& record) {
    // Nothing is known of a run 0: a record that says nothing of a run makes none.
    const auto wanted = [&](std::uint32_t run) { return run != 0 && (keep_.run == 0 || run == keep_.run); };
    if (record.type == RecordType::step) {
        if (const auto decoded = protocol::decode_step(record.body); decoded && decoded->run != 0) {
            if (wanted(decoded->run)) {
                step(record, *decoded);
            }
            return decoded->run;
        }
    } else if (record.type == RecordType::ranks) {
        if (auto decoded = protocol::decode_ranks(record.body); decoded && decoded->run != 0) {
            const std::uint32_t run = decoded->run;
            if (wanted(run)) {
                ranks(record, std::move(*decoded));
            }
            return run;
        }
    } else if (record.type == RecordType::curve) {
        if (const auto piece = protocol::decode_curve(record.body); piece && piece->run != 0) {
            if (wanted(piece->run)) {
                curve(record, *piece);
            }
            return piece->run;
        }
    } else if (record.type == RecordType::tokens) {
        if (auto decoded = protocol::decode_tokens(record.body); decoded && decoded->run != 0) {
            const std::uint32_t run = decoded->run;
            if (wanted(run)) {
                tokens(record, std::move(*decoded));
            }
            return run;
        }
    } else if (record.type == RecordType::routing_chunk || record.type == RecordType::routing_scores) {
        if (const auto piece = protocol::decode_routing(record.body); piece && piece->run != 0) {
            if (wanted(piece->run)) {
                routing_piece(record, *piece);
            }
            return piece->run;
        }
    } else if (!is_known(record.type)) {
        return 0;  // of a later version
    } else if (const auto body = protocol::decode_json(record.body)) {
        const std::uint32_t run = run_of(*body);
        if (of_no_run(record.type) || wanted(run)) {
            json_record(record, *body);
        }
        if (of_no_run(record.type) || run != 0) {
            return run;
        }
    }
    add_log({record.time_ns, "warning", "workbench",
             base::say("record {} of type {} can't be read and is left out", record.at.sequence,
                       static_cast<int>(record.type))});
    return 0;
}

std::size_t Session::apply_heads(std::span<const std::byte> packed, std::uint64_t time_ns) {
    const auto heads = sessions::unpack_heads(packed);
    if (!heads || heads->records.empty()) {
        add_log({time_ns, "warning", "workbench", base::say("packed records can't be read and are left out")});
        return 0;
    }
    for (const sessions::PackedRecord& packed_record : heads->records) {
        const auto type = static_cast<RecordType>(packed_record.type);
        const RecordView record{
            type, {packed_record.at.epoch, packed_record.at.sequence}, packed_record.time_ns, packed_record.head};
        if (packed_record.head.size() == packed_record.length) {
            apply(record);
        } else if (const auto head = type == RecordType::step ? protocol::decode_step_head(record.body) : std::nullopt;
                   head && head->run != 0 && (keep_.run == 0 || head->run == keep_.run)) {
            step(record, *head);
        }
    }
    return heads->records.size();
}

void Session::json_record(const RecordView& record, const json& body) {
    switch (record.type) {
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
            return probe_label(record, body);
        case RecordType::probe_codings:
            return probe_codings(body);
        case RecordType::routing_started:
            return routing_started(record, body);
        case RecordType::routing_result:
            return routing_result(record, body);
        case RecordType::intervention_set:
            return intervention_set(record, body);
        case RecordType::experiment:
            return experiment(record, body);
        case RecordType::note:
            return note(record, body);
        case RecordType::log:
            return add_log(
                {record.time_ns, text_of(body, "level"), text_of(body, "source"), sentence_in(body, "text")});
        case RecordType::gap:
            return add_gap(body, record.time_ns);
        case RecordType::step:
        case RecordType::ranks:
        case RecordType::curve:
        case RecordType::tokens:
        case RecordType::routing_chunk:
        case RecordType::routing_scores:
            return;  // are not JSON
    }
}

void Session::run_started(const RecordView& record, const json& body) {
    const std::uint32_t id = run_of(body);
    const auto kind = protocol::run_kind_named(text_of(body, "kind"));
    if (!kind) {
        return;  // of a later version
    }
    switch (*kind) {
        case RunKind::train: {
            TrainingRun& run = announced(training(id), record, body);
            run.message = {};
            run.replay = nullptr;
            goes_on(id);
            if (const auto steps = planned_steps(run.manifest)) {
                run.planned_steps = steps;
            }
            break;
        }
        case RunKind::generate: {
            Generation& run = announced(answer(id), record, body);
            run.group = text_of(run.manifest, "group");
            run.model = text_of(run.manifest, "model");
            break;
        }
        case RunKind::probe: {
            ProbeRun& run = announced(probe(id), record, body);
            run.message = {};
            run.set = base::shown_name(text_of(run.manifest, "set"));
            run.models = as_texts(member(run.manifest, "models"));
            run.planned = count_of(run.manifest, "planned");
            break;
        }
        case RunKind::route: {
            RouteRun& run = announced(route(id), record, body);
            run.message = {};
            run.what = what_named(text_of(run.manifest, "what"));
            run.model = text_of(run.manifest, "model");
            run.group = text_of(run.manifest, "group");
            break;
        }
        case RunKind::imported: {
            ImportedRun& run = announced(imported(id), record, body);
            run.message = {};
            run.source = base::shown_name(text_of(run.manifest, "source"));
            run.format = base::shown_name(text_of(run.manifest, "format"));
            break;
        }
    }
}

void Session::run_ended(const RecordView& record, const json& body) {
    const auto state = protocol::run_state_named(text_of(body, "state")).value_or(RunState::failed);
    const std::uint32_t id = run_of(body);
    const auto end = [&](auto& run) {
        set_state(run, record, state);
        if (const base::Sentence message = sentence_in(body, "message"); !message.empty()) {
            run.value.message = message;
        }
        if (state == RunState::interrupted) {
            add_log(log_line_of_interruption(run.value, record.time_ns));
        }
    };
    // Only where the run is known: its kind stands in run_started, which lies before this record on the same channel.
    if (trainings_.contains(id)) {
        end(training(id));
        training(id).value.parameters_sha256 = text_of(body, "parameters_sha256");
        training(id).value.replay = member(body, "replay");
    } else if (answers_.contains(id)) {
        end(answer(id));
    } else if (probes_.contains(id)) {
        end(probe(id));
    } else if (routes_.contains(id)) {
        end(route(id));
    } else if (imports_.contains(id)) {
        end(imported(id));
    }
}

void Session::event(const RecordView& record, const json& body) {
    const std::uint32_t id = run_of(body);
    const std::string kind = text_of(body, "kind");
    const auto follow = [&](auto& run) {
        if (kind == "pause") {
            set_state(run, record, RunState::paused);
        } else if (kind == "resume" || kind == "rewind") {
            set_state(run, record, RunState::running);
        }
    };
    if (probes_.contains(id)) {
        return follow(probe(id));
    }
    if (!trainings_.contains(id)) {
        return;
    }
    auto& run = training(id);
    follow(run);
    // A setting is shown by today's name.
    const std::string name = text_of(body, "name");
    RunEvent event{count_of(body, "step"),
                   kind,
                   kind == "knob" ? base::current_setting(name) : name,
                   member(body, "old"),
                   member(body, "new"),
                   sentence_in(body, "text")};
    constexpr std::uint64_t kMost = std::numeric_limits<std::uint16_t>::max();  // layers and experts of a StepRecord
    const auto layer = base::as_count(member(body, "layer")), expert = base::as_count(member(body, "expert"));
    if (kind == "expert" && layer && expert && *layer <= kMost && *expert <= kMost) {
        event.layer = static_cast<int>(*layer);
        event.expert = static_cast<int>(*expert);
    }
    if (kind == "checkpoint") {
        run.value.last_checkpoint = event.step;
    }
    if (kind == "rewind") {
        rewind(run, record, event.step);
    }
    if (std::optional<LogLine> line = log_line(run.value, event, text_of(body, "by"), record.time_ns)) {
        add_log(std::move(*line));
    }
    run.value.events.push_back(std::move(event));
}

void Session::rewind(Training& run, const RecordView& record, std::uint64_t step) {
    const Rewind rewind{record.at, step};
    TrainingRun& value = run.value;
    run.rewinds.add(rewind);
    steps_of(value, run.step_rows, keep_.values).undo(rewind);
    evaluations_of(value, run.evaluation_rows).undo(rewind);
    // What came before this record but is newer stands behind everything that is undone.
    const std::size_t newer = first_newer(run.step_rows, rewind.at);
    const bool has_newer = newer < run.step_rows.size();
    const std::uint64_t newest =
        has_newer ? static_cast<std::uint64_t>(value.step[newer]) : std::numeric_limits<std::uint64_t>::max();
    forget_steps(value.counts, step, newest);
    forget_steps(value.ranks, step, newest);
    if (!has_newer) {
        value.router_entropy.clear();
    }
    if (value.expert_errors_step > step) {
        value.expert_errors.clear();
        value.expert_errors_step = 0;
    }
    value.tokens_total = run.step_rows.empty() ? 0 : run.step_rows.back().tokens_total;
    forget_events(value, step);
    forget_samples(value, run.samples_from, rewind);
    value.last_checkpoint = step;
    value.message = {};
}

void Session::sample(const RecordView& record, const json& body) {
    Training& run = training(run_of(body));
    const std::uint64_t step = count_of(body, "step");
    if (run.rewinds.undone(record.at, step)) {
        return;
    }
    run.value.samples.push_back({step, text_of(body, "language"), text_of(body, "prompt"), text_of(body, "text")});
    run.samples_from.push_back(record.at);
}

void Session::step(const RecordView& record, const protocol::StepRecord& step) {
    Training& run = training(step.run);
    run.epoch = std::max(run.epoch, record.at.epoch);
    if (!run.rewinds.undone(record.at, step.step)) {
        TrainingRun& value = run.value;
        if (!run.step_rows.empty() && value.step.back() >= static_cast<double>(step.step)) {
            // The run has gone back: what it said of this step and later ones counts no more, whether or not the record
            // of the rewind has come yet (another channel) or was lost.
            const Rewind back{record.at, step.step - 1};
            run.rewinds.add(back);
            evaluations_of(value, run.evaluation_rows).undo(back);
            forget_samples(value, run.samples_from, back);
            forget_steps(value.ranks, back.step, std::numeric_limits<std::uint64_t>::max());
        }
        steps_of(value, run.step_rows, keep_.values).add(row_of(step), {record.at, step.tokens_total, false});
        value.layers = step.layers;
        value.experts = step.experts;
        value.top_k = step.top_k;
        value.router_entropy = step.router_entropy;
        if (!step.expert_errors.empty()) {
            value.expert_errors = step.expert_errors;
            value.expert_errors_step = step.step;
        }
        value.tokens_total = step.tokens_total;
        if (!step.counts.empty() && keep_.counts > 0) {
            while (!value.counts.empty() && value.counts.back()->step >= step.step) {
                value.counts.truncate(value.counts.size() - 1);
            }
            value.counts.push_back(std::make_shared<StepCounts>(StepCounts{step.step, step.counts}));
            const std::size_t bytes = step.counts.size() * sizeof step.counts.front();
            const std::size_t most = std::clamp<std::size_t>(keep_.count_bytes / bytes, 1, keep_.counts);
            if (value.counts.size() > most) {
                value.counts.drop_front(value.counts.size() - most);
            }
        }
    }
    // Steps after an end: the run was continued.
    if (run.value.state == RunState::planned || (ended(run.value.state) && record.at > run.state_from)) {
        set_state(run, record, RunState::running);
    }
}

void Session::ranks(const RecordView& record, protocol::RankRecord ranks) {
    Training& run = training(ranks.run);
    if (keep_.counts == 0 || run.rewinds.undone(record.at, ranks.step)) {
        return;
    }
    auto& list = run.value.ranks;
    forget_steps(list, ranks.step - std::min<std::uint64_t>(ranks.step, 1), std::numeric_limits<std::uint64_t>::max());
    const std::size_t most = std::clamp<std::size_t>(kRankBytes / (sizeof ranks + ranks.size()), 1, keep_.counts);
    list.push_back(std::make_shared<const protocol::RankRecord>(std::move(ranks)));
    if (list.size() > most) {
        list.drop_front(list.size() - most);
    }
}

void Session::evaluation(const RecordView& record, const json& body) {
    Training& run = training(run_of(body));
    const std::uint64_t step = count_of(body, "step");
    if (run.rewinds.undone(record.at, step)) {
        return;
    }
    const json& loss = member(body, "loss");
    const std::array values = {static_cast<double>(step), number_of(loss, "en"), number_of(loss, "zh")};
    evaluations_of(run.value, run.evaluation_rows).add(values, {record.at, 0, false});
}

void Session::curve(const RecordView& record, const protocol::CurveRecord& piece) {
    Import& run = imported(piece.run);
    run.epoch = std::max(run.epoch, record.at.epoch);
    if (keep_.values) {
        add_piece(run.value, piece);
    }
}

void Session::tokens(const RecordView& record, protocol::TokenBatch batch) {
    auto& run = answer(batch.run);
    run.epoch = std::max(run.epoch, record.at.epoch);
    if (run.value.state == RunState::planned) {
        set_state(run, record, RunState::running);
    }
    const std::size_t known = run.value.tokens.size();
    const std::size_t skip = batch.first < known ? known - batch.first : 0;
    if (batch.first > known && !run.incomplete) {
        run.incomplete = true;
        add_log({record.time_ns, "warning", "workbench", base::say("some tokens of answer {} are missing", batch.run)});
    }
    for (std::size_t i = skip; i < batch.tokens.size(); ++i) {
        run.value.text += batch.tokens[i].chosen.bytes;
        run.value.tokens.push_back(std::move(batch.tokens[i]));
    }
    if (ended(run.value.state)) {
        return;  // the node has said how fast it was
    }
    if (run.first_ns == 0) {
        run.first_ns = record.time_ns;
        run.first_count = run.value.tokens.size();
    } else if (record.time_ns > run.first_ns) {
        run.value.tokens_per_second = static_cast<double>(run.value.tokens.size() - run.first_count) * 1e9 /
                                      static_cast<double>(record.time_ns - run.first_ns);
    }
}

void Session::generation_ended(const RecordView& record, const json& body) {
    auto& run = answer(run_of(body));
    set_state(run, record, protocol::run_state_named(text_of(body, "state")).value_or(RunState::failed));
    run.value.stop = stop_of(body, count_of(run.value.manifest, "max_tokens"));
    run.value.message = sentence_in(body, "message");
    run.value.prompt_tokens = static_cast<std::uint32_t>(count_of(body, "prompt_tokens"));
    run.value.token_count = static_cast<std::uint32_t>(count_of(body, "tokens"));
    run.value.tokens_per_second = number_of(body, "tokens_per_second", 0);
    run.value.prompt_ms = number_of(body, "prompt_ms", 0);
    run.value.shown = text_of(body, "shown");
    run.value.device = base::shown_name(text_of(body, "device"));
    run.value.disabled = experts_in(body, "disabled_experts");
    // The record's text is JSON, where bytes that are no UTF-8 had to be replaced; the tokens carry the bytes
    // themselves.
    if (run.value.tokens.empty() || run.incomplete) {
        run.value.text = text_of(body, "text");
    }
}

void Session::probe_draw(const RecordView& record, const json& body) {
    auto& run = probe(run_of(body));
    run.epoch = std::max(run.epoch, record.at.epoch);
    if (run.value.state == RunState::planned) {
        set_state(run, record, RunState::running);
    }
    auto draw = std::make_shared<ProbeDraw>();
    draw->seq = record.at.sequence;
    draw->item = text_of(body, "item");
    draw->topic = text_of(body, "topic");
    draw->group = text_of(body, "group");
    draw->model = text_of(body, "model");
    draw->language = text_of(body, "language");
    draw->draw = integer_of(body, "draw", 0);
    draw->prompt = text_of(body, "prompt");
    draw->answer = text_of(body, "answer");
    draw->stop = stop_of(body, count_of(run.value.manifest, "max_tokens"));
    draw->shown = text_of(body, "shown");
    draw->device = base::shown_name(text_of(body, "device"));
    draw->rule = sentence_in(body, "rule");
    draw->rule_delivery = text_of(body, "delivery");
    draw->rule_engagement = integer_of(body, "engagement", -1);
    const std::string key = draw_key(body);
    set_labels(*draw, run, key);
    run.value.seconds_left = number_of(body, "seconds_left", 0);
    if (const auto planned = count_of(body, "planned")) {
        run.value.planned = planned;
    }
    // A draw that is done again after a restart takes the place of the first.
    const auto [place, is_new] = run.index.emplace(key, run.value.draws.size());
    if (is_new) {
        run.value.draws.push_back(std::move(draw));
    } else {
        run.value.draws[place->second] = std::move(draw);
    }
}

void Session::probe_label(const RecordView& record, const json& body) {
    add_label(run_of(body), draw_key(body), text_of(body, "field"),
              {label_value(body), base::shown_name(text_of(body, "coder")), record.time_ns});
}

void Session::probe_codings(const json& body) {
    const json& codings = member(body, "codings");
    if (codings.is_array()) {
        for (const json& entry : codings) {
            add_coding(run_of(body), coding_in(entry));
        }
    }
}

void Session::add_coding(std::uint32_t id, const Coding& coding) {
    Probe& run = probe(id);
    if (coding.declined) {
        run.declined.insert(coding_id(coding));
        return;
    }
    Codings& codings = run.codings[coding.key];
    PersonLabels& labels = coding.consensus ? codings.consensus : codings.by_coder[coding.coder];
    labels.of(coding.field) = {coding.value, coding.coder, coding.time_ns};
    if (!coding.consensus && labels.empty()) {
        codings.by_coder.erase(coding.coder);
    }
    label_again(run, coding.key);
}

void Session::label_again(Probe& run, const std::string& key) {
    if (const auto place = run.index.find(key); place != run.index.end()) {
        auto draw = std::make_shared<ProbeDraw>(*run.value.draws[place->second]);
        set_labels(*draw, run, key);
        run.value.draws[place->second] = std::move(draw);
    }
}

std::string Session::Probe::label_of(const std::string& key, const std::string& field, bool consensus) const {
    if (consensus) {
        const auto others = codings.find(key);
        return others == codings.end() ? std::string() : others->second.consensus.of(field).value;
    }
    const auto own = labels.find(key);
    return own == labels.end() ? std::string() : own->second.of(field).value;
}

std::map<std::string, Session::PersonLabels> Session::Probe::coders_of(const std::string& key) const {
    std::map<std::string, PersonLabels> coders;
    if (const auto others = codings.find(key); others != codings.end()) {
        coders = others->second.by_coder;
    }
    if (const auto own = labels.find(key); own != labels.end()) {
        for (const char* field : {"delivery", "engagement"}) {
            if (const PersonLabel& label = own->second.of(field); !label.value.empty()) {
                coders[label.coder].of(field) = label;
            }
        }
    }
    return coders;
}

void Session::add_label(std::uint32_t id, const std::string& key, const std::string& field, const PersonLabel& label) {
    Probe& run = probe(id);
    PersonLabels& labels = run.labels[key];
    if (labels.of(field) == label) {
        return;
    }
    const auto others = run.codings.find(key);
    if (others != run.codings.end()) {
        if (const auto same = others->second.by_coder.find(label.coder); same != others->second.by_coder.end()) {
            same->second.of(field) = {};  // this one is newer
            if (same->second.empty()) {
                others->second.by_coder.erase(same);
            }
        }
    }
    if (const PersonLabel& before = labels.of(field); !before.value.empty() && !before.coder.empty() &&
                                                      !label.value.empty() && !label.coder.empty() &&
                                                      before.coder != label.coder) {
        run.codings[key].by_coder[before.coder].of(field) = before;
    }
    labels.of(field) = label;
    label_again(run, key);
}

void Session::begin_trace(Routing& run, routing::RouterSpec spec) {
    routing_bytes_ -= run.trace ? run.trace->bytes() : 0;
    run.trace = std::make_shared<routing::PackedTrace>(std::move(spec));
    run.value.trace = run.trace;
    run.value.tokens = run.pieces = 0;
    run.behind_a_hole = false;
    run.changed = true;
}

void Session::routing_started(const RecordView& record, const json& body) {
    const std::uint32_t id = run_of(body);
    const auto found = routing_.find(id);
    const auto warn = [&](const base::Sentence& text) { add_log({record.time_ns, "warning", "workbench", text}); };
    std::optional<routing::RouterSpec> spec;
    try {
        spec = routing::router_from_json(member(body, "router"));
    } catch (const base::Error& error) {
        if (found != routing_.end()) {
            routing_bytes_ -= found->second.trace ? found->second.trace->bytes() : 0;
            found->second.trace.reset();
        }
        return warn(base::say("the routing of run {} can't be shown: it {}", id, error));
    }
    json interventions = member(body, "interventions").is_array() ? member(body, "interventions") : json::array();
    try {
        routing::interventions_from_json(interventions);
    } catch (const base::Error& error) {
        interventions = json::array();
        spec->doubts.push_back(base::say("the routers were changed in a way that this version can't read: {}", error));
    }
    Routing& run = routing_[id];
    begin_trace(run, std::move(*spec));
    run.value.run = id;
    run.value.lost = 0;
    run.value.detail = routing::detail_named(text_of(body, "detail")).value_or(routing::Detail::weights);
    run.value.interventions = std::move(interventions);
    run.value.set = base::shown_name(text_of(body, "set"));
}

bool Session::make_room(const Routing& wanted, std::uint64_t bytes) {
    const auto fits = [&] {
        return routing_bytes_ <= keep_.routing_bytes && bytes <= keep_.routing_bytes - routing_bytes_;
    };
    for (auto& [id, run] : routing_) {
        if (fits()) {
            return true;
        }
        if (&run != &wanted && run.trace && run.trace->bytes() > 0) {
            run.value.lost += run.pieces;
            begin_trace(run, run.trace->spec());
            run.behind_a_hole = true;
        }
    }
    return fits();
}

void Session::routing_piece(const RecordView& record, const protocol::RoutingPiece& piece) {
    const auto found = routing_.find(piece.run);
    if (found == routing_.end() || !found->second.trace) {
        return;  // its beginning was lost, or is of no router
    }
    Routing& run = found->second;
    routing::PackedTrace& trace = *run.trace;
    run.changed = true;
    const bool is_chunk = record.type == RecordType::routing_chunk;
    bool taken = false;
    if (make_room(run, piece.packed.size())) {
        const std::uint64_t before = trace.bytes(), end = trace.tokens();
        std::vector<std::byte> packed(piece.packed.begin(), piece.packed.end());
        taken = is_chunk ? trace.append(std::move(packed)) : trace.append_scores(piece.token, std::move(packed));
        routing_bytes_ += trace.bytes() - before;
        if (is_chunk && taken && piece.token > end && !run.behind_a_hole) {
            ++run.value.lost;  // one that did not come is seen by the number of the next
        }
    }
    run.pieces += taken ? 1 : 0;
    run.value.lost += taken ? 0 : 1;
    run.behind_a_hole = is_chunk ? !taken : run.behind_a_hole;
    run.value.tokens = trace.tokens();
}

void Session::routing_result(const RecordView& record, const json& body) {
    Route& run = route(run_of(body));
    run.epoch = std::max(run.epoch, record.at.epoch);
    run.value.result = member(body, "result");
}

void Session::intervention_set(const RecordView& record, const json& body) {
    const std::string name = text_of(body, "name");
    if (!is_set_name(name)) {
        return;
    }
    const json& items = member(body, "items");
    if (!items.is_array()) {
        intervention_sets_.erase(name);
        return;
    }
    try {
        routing::interventions_from_json(items);
        intervention_sets_[name] = items;
    } catch (const base::Error& error) {
        intervention_sets_.erase(name);
        add_log({record.time_ns, "warning", "workbench",
                 base::say("the set of changes '{}' can't be read by this version: {}", name, error)});
    }
}

void Session::experiment(const RecordView& record, const json& body) {
    const std::uint64_t number = count_of(body, "experiment");
    if (number == 0 || number > std::numeric_limits<std::uint32_t>::max()) {
        return;
    }
    std::shared_ptr<const Experiment>& known = experiments_[static_cast<std::uint32_t>(number)];
    if (const std::uint64_t unfinished = count_of(body, "unfinished"); unfinished != 0 && known) {
        Experiment now = *known;
        now.unfinished = static_cast<std::uint32_t>(unfinished);
        now.paused = base::flag_of(body, "paused");
        known = std::make_shared<const Experiment>(std::move(now));
    }
    const auto defined =
        known ? std::nullopt : experiment_from_json(static_cast<std::uint32_t>(number), member(body, "definition"));
    if (!defined) {
        if (!known) {
            experiments_.erase(static_cast<std::uint32_t>(number));  // its definition is damaged or lost
        }
        return;
    }
    known = std::make_shared<const Experiment>(*defined);
    for (const Experiment::Run& one : defined->runs) {
        if (keep_.run != 0 && keep_.run != one.run) {
            continue;
        }
        Training& run = training(one.run);
        if (run.value.announced()) {
            continue;
        }
        run.value.started = record.at;
        run.value.started_ns = record.time_ns;
        run.value.name = one.name;
        json& manifest = run.value.manifest;
        manifest = {{"config", one.config}, {"data", defined->data}, {"experiment", place_in_manifest(*defined, one)}};
        for (const char* key : {"steps", "seed"}) {
            if (const json* value = base::setting(one.config, key)) {
                manifest[key] = *value;
            }
        }
        run.value.planned_steps = planned_steps(manifest);
        if (run.value.state == RunState::planned) {  // its steps may have come already: another channel
            run.state_from = record.at;
            run.epoch = record.at.epoch;
        }
    }
}

void Session::note(const RecordView& record, const json& body) {
    if (!notes_.apply(body, record.time_ns)) {
        add_log({record.time_ns, "warning", "workbench",
                 base::say("note {} can't be read by this version and is left out", count_of(body, "note"))});
    }
}

/// What stopped it before counts no more.
void Session::goes_on(std::uint32_t id) {
    for (auto& [number, experiment] : experiments_) {
        if (experiment->unfinished == id) {
            Experiment now = *experiment;
            now.unfinished = 0;
            now.paused = false;
            experiment = std::make_shared<const Experiment>(std::move(now));
        }
    }
}

void Session::add_gap(const json& gap, std::uint64_t time_ns) {
    add_log({time_ns, "warning", "journal",
             base::say("{} records from {} to {} are missing: {}", count_of(gap, "count"), count_of(gap, "from"),
                       count_of(gap, "to"), sentence_in(gap, "reason"))});
}

void Session::add_log(LogLine line) {
    log_.push_back(std::move(line));
    if (log_.size() > kLogLines) {
        log_.drop_front(1);
    }
}

}  // namespace moescope::history
