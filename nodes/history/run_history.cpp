#include "nodes/history/run_history.hpp"

#include "base/json_fields.hpp"

namespace moescope::history {
using base::count_of;
using base::run_of;
using base::text_of;
using nlohmann::json;
using protocol::Channel;
using protocol::RecordType;

namespace {

constexpr std::size_t kRecordsAtOnce = 512;
constexpr std::size_t kBytesAtOnce = std::size_t{4} << 20;

void apply_event(KnownRun& run, const std::string& kind) {
    if (kind == "pause")
        run.state = "paused";
    else if (kind == "resume" || kind == "rewind")
        run.state = "running";
}

}  // namespace

void for_each_record(const sessions::Journal& journal, Channel channel, sessions::Position from,
                     const std::function<bool(const sessions::Record&)>& visit) {
    for (;;) {
        const auto records = journal.read(static_cast<std::uint8_t>(channel), from, kRecordsAtOnce, kBytesAtOnce);
        if (records.empty())
            return;
        for (const auto& record : records)
            if (!visit(record))
                return;
        from = {records.back().epoch, records.back().sequence};
    }
}

std::map<std::uint32_t, KnownRun> read_runs(const sessions::Journal& journal) {
    std::map<std::uint32_t, KnownRun> runs;
    for_each_record(journal, Channel::events, {}, [&](const sessions::Record& record) {
        const auto type = static_cast<RecordType>(record.type);
        if (type != RecordType::run_started && type != RecordType::run_ended && type != RecordType::event)
            return true;
        const auto value = protocol::decode_json(record.body);
        if (!value)
            return true;
        const std::uint32_t number = run_of(*value);
        if (number == 0)
            return true;
        KnownRun& run = runs[number];
        if (type == RecordType::run_started) {
            if (run.run == 0)
                run.started = {record.epoch, record.sequence - 1};
            run.run = number;
            run.kind = text_of(*value, "kind");
            run.name = text_of(*value, "name");
            const auto manifest = value->find("manifest");
            run.manifest = manifest != value->end() && manifest->is_object() ? *manifest : json::object();
            run.state = "running";
            run.message.clear();
        } else if (type == RecordType::run_ended) {
            run.state = text_of(*value, "state");
            run.message = text_of(*value, "message");
            run.step = count_of(*value, "step");
        } else {
            apply_event(run, text_of(*value, "kind"));
        }
        return true;
    });
    // Records of a run whose start was lost (a damaged segment) do not make a run.
    std::erase_if(runs, [](const auto& entry) { return entry.second.run == 0; });
    return runs;
}

std::vector<protocol::StepRecord> read_steps(const sessions::Journal& journal, const KnownRun& run) {
    std::vector<protocol::StepRecord> steps;
    for_each_record(journal, Channel::metrics, run.started, [&](const sessions::Record& record) {
        if (static_cast<RecordType>(record.type) != RecordType::step)
            return true;
        auto step = protocol::decode_step(record.body);
        if (!step || step->run != run.run)
            return true;
        // A run that went on from a checkpoint repeats the steps after it: the later ones count.
        while (!steps.empty() && steps.back().step >= step->step)
            steps.pop_back();
        steps.push_back(std::move(*step));
        return true;
    });
    return steps;
}

std::multimap<std::uint64_t, json> read_changes(const sessions::Journal& journal, const KnownRun& run) {
    std::multimap<std::uint64_t, json> changes;
    for_each_record(journal, Channel::events, run.started, [&](const sessions::Record& record) {
        const auto value = static_cast<RecordType>(record.type) == RecordType::event
                               ? protocol::decode_json(record.body)
                               : std::nullopt;
        if (!value || run_of(*value) != run.run)
            return true;
        const std::string kind = text_of(*value, "kind");
        const std::uint64_t step = count_of(*value, "step");
        if (kind == "rewind")
            changes.erase(changes.upper_bound(step), changes.end());
        else if (kind == "knob")
            changes.emplace(step, json{{"knobs", {{text_of(*value, "name"), value->value("new", json())}}}});
        else if (kind == "expert")
            changes.emplace(step, json{{"expert",
                                        {{"layer", value->value("layer", -1)},
                                         {"expert", value->value("expert", -1)},
                                         {"action", text_of(*value, "name")}}}});
        return true;
    });
    return changes;
}

std::uint64_t read_last_step(const sessions::Journal& journal, const KnownRun& run) {
    std::uint64_t last = 0;
    for_each_record(journal, Channel::metrics, run.started, [&](const sessions::Record& record) {
        if (static_cast<RecordType>(record.type) != RecordType::step)
            return true;
        if (const auto step = protocol::decode_step(record.body); step && step->run == run.run)
            last = step->step;
        return true;
    });
    return last;
}

std::vector<std::uint64_t> complete_checkpoints(const sessions::Session& session, std::uint32_t run) {
    std::vector<std::uint64_t> steps;
    for (const sessions::CheckpointInfo& checkpoint : session.checkpoints(run, false))
        if (checkpoint.complete)
            steps.push_back(checkpoint.step);
    return steps;
}

std::vector<json> read_draws(const sessions::Journal& journal, const KnownRun& run) {
    std::vector<json> draws;
    std::map<std::string, std::size_t> index;
    for_each_record(journal, Channel::text, run.started, [&](const sessions::Record& record) {
        if (static_cast<RecordType>(record.type) != RecordType::probe_draw)
            return true;
        auto draw = protocol::decode_json(record.body);
        if (!draw || run_of(*draw) != run.run)
            return true;
        const auto [place, is_new] = index.emplace(draw_key(*draw), draws.size());
        if (is_new)
            draws.push_back(std::move(*draw));
        else
            draws[place->second] = std::move(*draw);
        return true;
    });
    return draws;
}

}  // namespace moescope::history
