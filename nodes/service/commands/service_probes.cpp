// The probe.* commands.
#include <algorithm>
#include <filesystem>
#include <fmt/format.h>
#include <limits>

#include "base/foreign_text.hpp"
#include "base/input_file.hpp"
#include "base/json_fields.hpp"
#include "base/text.hpp"
#include "nodes/service/commands/service.hpp"
#include "nodes/service/jobs/probe_merge.hpp"
#include "nodes/service/jobs/run_names.hpp"
#include "nodes/service/library/parameters.hpp"
#include "report/from_session.hpp"

namespace moescope::node {
namespace fs = std::filesystem;
using nlohmann::json;
using protocol::RecordType;

namespace {

/// Seconds that a model of this size needs for one answer on two cores; only for the plan, before anything was
/// measured.
constexpr double kSecondsPerAnswer = 3.0;

void check_label(const std::string& field, const std::string& value) {
    if (field != "delivery" && field != "engagement") {
        throw CommandError(say("'{}' is no field of a label; delivery and engagement are", field));
    }
    if (value.empty()) {
        return;  // takes the person's label back
    }
    if (field == "delivery" && !probes::delivery_from_name(value)) {
        std::string names;
        for (const auto delivery : probes::kDeliveries) {
            base::append_to_list(names, probes::delivery_name(delivery));
        }
        throw CommandError(say("unknown delivery '{}'; choose: {}", value, names));
    }
    if (field == "engagement" && (value.size() != 1 || value[0] < '0' || value[0] > '4')) {
        throw CommandError(say("'{}' is no engagement; it goes from 0 to 4", value));
    }
}

/// A value of a label, sent as a text or as a number.
std::string label_value(const Parameters& parameters) {
    const json& value = parameters.at("value");
    if (value.is_number_integer()) {
        return value.dump();
    }
    return parameters.text("value");
}

}  // namespace

void Service::count_probes() {
    for (const RunStatus& run : board_.run_list()) {
        const bool ended = protocol::ended(run.state);
        // Those that go on have a job that counts them, unless it is another program's.
        if (ending_ || run.kind != protocol::RunKind::probe ||
            (ended ? counted_.contains(run.run) : journal_ != nullptr)) {
            continue;
        }
        try {
            const json statistics = probe_statistics(*session_, run.run);
            board_.change_run(run.run, [&](RunStatus& gauge) { gauge.statistics = statistics; });
        } catch (const std::exception& error) {
            log("warning", "probe", base::sentence_of(error));
        }
        if (ended) {
            counted_.insert(run.run);
        } else {
            counted_.erase(run.run);
        }
    }
}

void Service::start_probe(ProbeRequest order, const std::vector<ProbeModel>& models) {
    take_models(order, models);
    const std::lock_guard lock(jobs_mutex_);
    if (closing_) {
        throw CommandError(say("the node is about to end and starts nothing new"));
    }
    const std::uint32_t run = order.run;
    probes_[run] = std::make_shared<ProbeJob>(parts(), std::move(order));
}

void Service::probe_start(const json& value, Reply reply) {
    auto order = parse_probe(value, paths_);
    std::vector<std::string> names;
    for (const auto& model : order.models) {
        names.push_back(model.name);
    }
    with_models(names, reply, [this, order, reply](const std::vector<ProbeModel>& models) mutable {
        order.name = running_name(order.set.name, names_of(board_.run_list(), protocol::RunKind::probe));
        order.run = session_->new_run(protocol::run_kind_name(protocol::RunKind::probe), order.name);
        const std::uint32_t run = order.run;
        start_probe(std::move(order), models);
        reply({{{"run", run}}, {}});
    });
}

void Service::probe_pause(const json& value, Reply reply) {
    const std::uint32_t run = Parameters(value, {"run"}).run();
    const auto job = probe(run);
    if (!job) {
        throw CommandError(say("probe run {} is not active", run));
    }
    job->pause();
    reply({});
}

void Service::probe_resume(const json& value, Reply reply) {
    const std::uint32_t run = Parameters(value, {"run"}).run();
    if (const auto job = probe(run); job && !job->finished()) {
        job->resume();
        reply({{{"run", run}}, {}});
        return;
    }
    auto order = order_to_resume(known_run(run));
    std::vector<std::string> names;
    for (const auto& model : order.models) {
        names.push_back(model_alone(model.name, model.routing));  // its changes are those that the run began with
        const std::string path = model.path.string();
        if (!path.empty() && !models_.find(names.back()) && !base::is_there(names.back()) && base::is_there(path)) {
            names.back() = path;  // a relative one, given in another folder
        }
    }
    with_models(names, reply, [this, order, run, reply](const std::vector<ProbeModel>& models) mutable {
        start_probe(std::move(order), models);
        reply({{{"run", run}}, {}});
    });
}

void Service::probe_cancel(const json& value, Reply reply) {
    const std::uint32_t run = Parameters(value, {"run"}).run();
    require_kind(run, protocol::RunKind::probe);
    if (const auto job = probe(run)) {
        job->request_stop();
    }
    reply({});
}

void Service::probe_label(const json& value, Reply reply) {
    const Parameters parameters(
        value, {"run", "item", "model", "language", "draw", "field", "value", "coder", "consensus", "was"});
    const std::string field = parameters.text("field"), text = label_value(parameters);
    check_label(field, text);
    const std::uint32_t number = parameters.run();
    const json record = {{"run", number},
                         {"item", parameters.text("item")},
                         {"model", parameters.text("model")},
                         {"language", parameters.text("language")},
                         {"draw", parameters.integer("draw", 0, 0, 1000)},
                         {"field", field},
                         {"value", text},
                         {"coder", parameters.text("coder", "")}};
    if (known_run(number).kind != protocol::RunKind::probe) {
        throw CommandError(say("run {} is no probe run", number));
    }
    const std::string key = history::draw_key(record);
    history::Session history = history::read_run(*session_, number);
    auto& known = history.probes().at(number);
    if (!known.index.contains(key)) {
        throw CommandError(say("run {} has no answer {}", number, key));
    }
    const bool consensus = parameters.flag("consensus", false);
    if (parameters.has("was") && parameters.text("was") != known.label_of(key, field, consensus)) {
        throw CommandError(say("somebody else has labelled this answer meanwhile; it stays as it is"));
    }
    const std::uint64_t now = wall_clock_ns();
    if (consensus) {
        json entry = record;
        entry.erase("run");
        entry["time_ns"] = now;
        entry["consensus"] = true;
        journal_->write_now(RecordType::probe_codings, {{"run", number}, {"codings", {entry}}});
        history.add_coding(number, history::coding_in(entry));
    } else {
        session_->put_label({number, key, field, text, record["coder"], now});
        journal_->write_json(RecordType::probe_label, record);
        history.add_label(number, key, field, {text, record["coder"], now});
    }
    if (const auto job = probe(number); !job || !job->labels_changed(consensus)) {
        const json statistics = report::statistics_of(known.value);
        board_.change_run(number, [&](RunStatus& gauge) { gauge.statistics = statistics; });
    }
    reply({});
}

/// Safe to repeat: what is here already is not written again.
void Service::probe_merge(const json& value, Reply reply) {
    const Parameters parameters(value, {"path", "run", "conflicts", "take", "unnamed"});
    const fs::path path = fs::absolute(parameters.path("path"));
    MergeRequest request;
    request.rule = conflict_rule(parameters.text("conflicts", "ask"));
    request.unnamed = base::shown_name(parameters.text("unnamed", ""));
    request.run =
        static_cast<std::uint32_t>(parameters.integer("run", 0, 0, std::numeric_limits<std::uint32_t>::max()));
    if (parameters.has("take")) {
        const json& take = parameters.at("take");
        if (!take.is_object()) {
            throw CommandError(say("\"take\" has to say mine or theirs for each conflict"));
        }
        for (const auto& [id, side] : take.items()) {
            if (side != "mine" && side != "theirs") {
                throw CommandError(say("\"take\" has to say mine or theirs for each conflict"));
            }
            request.take[id] = side == "theirs";
        }
    }
    refuse_at_the_end();
    json answer;
    {
        const BoardTask task(board_, fmt::format("merge-{}", ++outputs_), protocol::TaskKind::probe,
                             path.filename().string());
        const MergeSource other = open_merge_source(path, [&](std::uint64_t, std::uint64_t) {
            if (is_to_end(task)) {
                throw CommandError(say("the merge was cancelled; nothing was merged"));
            }
        });
        journal_->flush();
        const MergePlan plan = plan_merge(read_codings(*session_), read_codings(*other.session), other.name, request);
        if (!plan.undecided()) {
            write_merge(*session_, *journal_, plan);
        }
        answer = to_json(plan);
        answer["name"] = other.name;
        answer["problems"] = sentences_json(other.session->problems());
        for (const auto& [run, hash] : plan.runs) {
            tell_of_codings(run);
        }
        if (!plan.undecided() && !plan.nothing()) {
            log("info", "probe",
                say("codings were merged from {}: answers with new codings: {}, conflicts settled: {}", other.name,
                    plan.answers, plan.conflicts.size()));
        }
    }
    reply({std::move(answer), {}});
}

void Service::tell_of_codings(std::uint32_t run) {
    if (const auto job = probe(run); !job || !job->labels_changed(true)) {
        const json statistics = probe_statistics(*session_, run);
        board_.change_run(run, [&](RunStatus& gauge) { gauge.statistics = statistics; });
    }
}

void Service::probe_plan(const json& value, Reply reply) {
    const Parameters parameters(value, {"items", "draws", "models"});
    const auto items =
        static_cast<std::uint64_t>(parameters.integer("items", 1, static_cast<std::int64_t>(probes::kMostPairs)));
    const auto draws = parameters.integer("draws", 1, 1, 1000);
    std::int64_t models = 2;
    if (parameters.has("models")) {
        models = parameters.at("models").is_array() ? static_cast<std::int64_t>(parameters.texts("models").size())
                                                    : parameters.integer("models", 2, 64);
    }
    // Background 3 %: answers that flip the other way by chance; 80 % power at the 5 % level, as the statistics use
    // them.
    const auto difference = probes::detectable_difference(items, 0.03, 0.05, 0.8);
    json answer = {
        {"detectable_difference", nullptr},
        {"seconds", static_cast<double>(items) * static_cast<double>(draws * models) * 2 * kSecondsPerAnswer}};
    if (difference) {
        answer["detectable_difference"] = *difference;
    }
    reply({answer, {}});
}

}  // namespace moescope::node
