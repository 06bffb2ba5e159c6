#include "nodes/history/journal_reader.hpp"

#include <limits>
#include <map>

#include "base/file_io.hpp"
#include "base/foreign_text.hpp"

namespace moescope::history {

namespace {

using protocol::Channel;
using protocol::RecordType;

constexpr std::size_t kRecordsAtOnce = 512;
constexpr std::size_t kBytesAtOnce = std::size_t{4} << 20;

/// Just before the run's first record; the very beginning when that is not known.
sessions::Position beginning_of(const Session& history, std::uint32_t run) {
    const auto runs = history.runs();
    const auto found = runs.find(run);
    if (found == runs.end()) {
        return {};
    }
    return {found->second->started.epoch, found->second->started.sequence - 1};
}

/// Without counts: of what is packed the heads.
void read_metrics(const sessions::Journal& journal, sessions::Position from, Session& history,
                  const std::function<void()>& check) {
    constexpr auto kChannel = static_cast<std::uint8_t>(Channel::metrics);
    for (;;) {
        if (check) {
            check();
        }
        if (const auto heads = journal.read_heads(kChannel, from, 0)) {
            history.apply_heads(heads->bytes, 0);
            from = heads->last;
            continue;
        }
        const auto records = journal.read(kChannel, from, kRecordsAtOnce, kBytesAtOnce);
        if (records.empty()) {
            return;
        }
        for (const sessions::Record& record : records) {
            history.apply(
                {static_cast<RecordType>(record.type), {record.epoch, record.sequence}, record.time_ns, record.body});
        }
        from = {records.back().epoch, records.back().sequence};
    }
}

}  // namespace

void for_each_record(const sessions::Journal& journal, Channel channel, sessions::Position from,
                     const std::function<bool(const sessions::Record&)>& visit) {
    for (;;) {
        const auto records = journal.read(static_cast<std::uint8_t>(channel), from, kRecordsAtOnce, kBytesAtOnce);
        if (records.empty()) {
            return;
        }
        for (const auto& record : records) {
            if (!visit(record)) {
                return;
            }
        }
        from = {records.back().epoch, records.back().sequence};
    }
}

Session read_session(const sessions::Journal& journal, const ReadOptions& options) {
    Session history(options.keep);
    for (const Channel channel : options.channels) {
        if (channel == Channel::metrics && options.keep.run != 0 && !history.trainings().contains(options.keep.run) &&
            !history.imports().contains(options.keep.run)) {
            continue;  // only these have steps, evaluations and curves
        }
        const sessions::Position from = options.keep.run != 0 && channel != Channel::events
                                            ? beginning_of(history, options.keep.run)
                                            : sessions::Position{};
        if (channel == Channel::metrics && options.keep.counts == 0 && !options.seen) {
            read_metrics(journal, from, history, options.check);
            continue;
        }
        std::size_t records = 0;
        for_each_record(journal, channel, from, [&](const sessions::Record& record) {
            if (options.check && records++ % kRecordsAtOnce == 0) {
                options.check();
            }
            const std::uint32_t run = history.apply(
                {static_cast<RecordType>(record.type), {record.epoch, record.sequence}, record.time_ns, record.body});
            if (options.seen) {
                options.seen(record, run);
            }
            return true;
        });
    }
    for (auto& [id, run] : history.imports()) {
        fit_columns(run.value);
    }
    return history;
}

Session read_runs(const sessions::Journal& journal) {
    return read_session(journal, {.channels = {Channel::events}});
}

Session read_run(sessions::Session& session, std::uint32_t run) {
    Session history =
        read_session(session.journal(), {.keep = {.counts = std::numeric_limits<std::size_t>::max(),
                                                  .run = run,
                                                  .count_bytes = std::numeric_limits<std::size_t>::max()}});
    add_stored_labels(history, session);
    return history;
}

Session read_routing(const sessions::Journal& journal, std::uint32_t run) {
    return read_session(journal, {.channels = {Channel::events, Channel::bulk},
                                  .keep = {.run = run, .routing_bytes = std::numeric_limits<std::uint64_t>::max()}});
}

void add_stored_labels(Session& history, const sessions::Session& session) {
    for (const auto& [id, probe] : history.probes()) {
        std::map<std::string, Session::PersonLabels> stored;
        for (const sessions::Label& label : session.labels(id)) {
            stored[label.draw].of(label.field) = {label.value, base::shown_name(label.coder), label.time_ns};
        }
        for (const auto& [key, labels] : probe.labels) {
            stored.try_emplace(key);  // taken back: the database has no row of it
        }
        for (const auto& [key, labels] : stored) {
            history.add_label(id, key, "delivery", labels.delivery);
            history.add_label(id, key, "engagement", labels.engagement);
        }
    }
}

void add_stored_codings(Session& history, const sessions::Journal& journal) {
    for_each_record(journal, Channel::events, {}, [&](const sessions::Record& record) {
        if (static_cast<RecordType>(record.type) == RecordType::probe_codings) {
            if (const auto body = protocol::decode_json(record.body);
                body && history.probes().contains(base::run_of(*body))) {
                history.apply(
                    {RecordType::probe_codings, {record.epoch, record.sequence}, record.time_ns, record.body});
            }
        }
        return true;
    });
}

RunState present_state(const sessions::Session& session, RunState recorded) {
    const bool goes_on = !protocol::ended(recorded) && recorded != RunState::planned;
    return goes_on && !base::lock_holder(session.folder() / "journal.lock") ? RunState::interrupted : recorded;
}

std::vector<std::uint64_t> complete_checkpoints(const sessions::Session& session, std::uint32_t run) {
    std::vector<std::uint64_t> steps;
    for (const sessions::CheckpointInfo& checkpoint : session.checkpoints(run, false)) {
        if (checkpoint.complete) {
            steps.push_back(checkpoint.step);
        }
    }
    return steps;
}

}  // namespace moescope::history
