#include "nodes/service/jobs/probe_merge.hpp"

#include <algorithm>
#include <optional>
#include <set>

#include "base/foreign_text.hpp"
#include "base/json_fields.hpp"
#include "base/json_guard.hpp"
#include "base/sha256.hpp"
#include "nodes/history/journal_reader.hpp"
#include "nodes/service/library/command_error.hpp"
#include "probes/probes.hpp"

namespace moescope::node {

namespace fs = std::filesystem;
using base::member;
using history::Coding;
using history::ProbeDraw;
using nlohmann::json;

namespace {

using Probe = history::Session::Probe;
using PersonLabel = history::Session::PersonLabel;
using PersonLabels = history::Session::PersonLabels;

constexpr std::size_t kMostConflictsTold = 500;
constexpr std::size_t kMostCoders = 64;
constexpr std::size_t kEntriesInRecord = 500;  // far below the longest record, whatever they are called
constexpr std::array<const char*, 2> kFields{"delivery", "engagement"};

/// Of the parts of a run's identity, in the order in which a difference is told.
constexpr std::array<base::Marked, 6> kParts{base::marked("the set of questions"), base::marked("the questions asked"),
                                             base::marked("the models"),           base::marked("their files"),
                                             base::marked("the settings"),         base::marked("the time it began")};
constexpr std::array<const char*, 6> kPartKeys{"set", "items", "models", "model_sha256", "settings", "started_ns"};

std::string shown_part(const json& value) {
    return base::one_line(value.is_string() ? value.get<std::string>() : base::dump_json(value), 120);
}

/// What of `theirs` is another than of `mine`; nothing when they are the same run.
std::optional<std::size_t> differing_part(const json& mine, const json& theirs) {
    for (std::size_t i = 0; i < kParts.size(); ++i) {
        if (mine.at(kPartKeys[i]) != theirs.at(kPartKeys[i])) {
            return i;
        }
    }
    return std::nullopt;
}

void check_value(const Coding& coding, const std::string& name) {
    const bool level =
        coding.field == "engagement" && coding.value.size() == 1 && coding.value[0] >= '0' && coding.value[0] <= '4';
    const bool delivery = coding.field == "delivery" && probes::delivery_from_name(coding.value);
    if (!level && !delivery) {
        throw CommandError(say("{} is damaged: a coding of {} says '{}' as {}, which is no label; nothing was merged",
                               name, coding.key, base::shown_name(coding.value), coding.field));
    }
}

json entry_of(const ProbeDraw& draw, const Coding& coding) {
    json entry = {{"item", draw.item},     {"model", draw.model},      {"language", draw.language},
                  {"draw", draw.draw},     {"coder", coding.coder},    {"field", coding.field},
                  {"value", coding.value}, {"time_ns", coding.time_ns}};
    if (coding.consensus) {
        entry["consensus"] = true;
    }
    if (coding.declined) {
        entry["declined"] = true;
    }
    return entry;
}

/// All that somebody says of one answer there.
std::vector<Coding> codings_of(const Probe& run, const std::string& key, const MergeRequest& request) {
    std::vector<Coding> found;
    const auto add = [&](const PersonLabels& labels, bool consensus) {
        for (const char* field : kFields) {
            const PersonLabel& label = labels.of(field);
            if (!label.value.empty()) {
                found.push_back({key, label.coder.empty() ? request.unnamed : label.coder, field, label.value,
                                 label.time_ns, consensus, false});
            }
        }
    };
    for (const auto& [coder, labels] : run.coders_of(key)) {
        add(labels, false);
    }
    if (const auto others = run.codings.find(key); others != run.codings.end()) {
        add(others->second.consensus, true);
    }
    return found;
}

const PersonLabel* known_coding(const std::map<std::string, PersonLabels>& coders, const Probe& run,
                                const Coding& coding) {
    if (coding.consensus) {
        const auto others = run.codings.find(coding.key);
        return others == run.codings.end() ? nullptr : &others->second.consensus.of(coding.field);
    }
    const auto coder = coders.find(coding.coder);
    return coder == coders.end() ? nullptr : &coder->second.of(coding.field);
}

bool is_own_label(const Probe& run, const Coding& coding) {
    const auto own = run.labels.find(coding.key);
    return !coding.consensus && own != run.labels.end() && !own->second.of(coding.field).value.empty() &&
           own->second.of(coding.field).coder == coding.coder;
}

class Planner {
 public:
    Planner(MergePlan& plan, const MergeRequest& request, const std::string& name)
        : plan_(plan), request_(request), name_(name) {}

    void add_run(const Probe& mine, const Probe& theirs) {
        plan_.runs[mine.value.id] = probe_hash(mine.value);
        std::set<std::string> coders;
        for (const auto& [key, at] : theirs.index) {
            const ProbeDraw& there = *theirs.value.draws[at];
            const std::vector<Coding> codings = codings_of(theirs, key, request_);
            if (codings.empty()) {
                continue;
            }
            const auto here = mine.index.find(key);
            if (here == mine.index.end()) {
                plan_.missing += codings.size();
                continue;
            }
            const ProbeDraw& draw = *mine.value.draws[here->second];
            if (draw.answer != there.answer || draw.prompt != there.prompt) {
                throw CommandError(
                    say("run {} of {} is not the probe run {} of this session: its answer to {} is another one; "
                        "nothing was merged",
                        theirs.value.id, name_, mine.value.id, base::shown_name(key)));
            }
            const auto known = mine.coders_of(key);
            const std::size_t before = plan_.added;
            for (const Coding& coding : codings) {
                check_value(coding, name_);
                coders.insert(coding.coder);
                if (coders.size() > kMostCoders) {
                    throw CommandError(say("{} has codings of more than {} people in one run; nothing was merged",
                                           name_, kMostCoders));
                }
                add(mine, draw, coding, known_coding(known, mine, coding));
            }
            plan_.answers += plan_.added > before ? 1 : 0;
        }
    }

 private:
    void add(const Probe& mine, const ProbeDraw& draw, const Coding& theirs, const PersonLabel* known) {
        if (known == nullptr || known->value.empty()) {
            ++plan_.added;
            plan_.codings[mine.value.id].push_back(entry_of(draw, theirs));
        } else if (known->value == theirs.value || mine.declined.contains(history::coding_id(theirs))) {
            ++plan_.same;
        } else {
            decide(mine, draw, theirs, *known);
        }
    }

    void decide(const Probe& mine, const ProbeDraw& draw, const Coding& theirs, const PersonLabel& known) {
        Coding own = theirs;
        own.value = known.value;
        own.coder = known.coder;
        own.time_ns = known.time_ns;
        MergeConflict conflict{history::coding_id(theirs),
                               mine.value.id,
                               own,
                               theirs,
                               draw.item,
                               draw.model,
                               draw.language,
                               draw.draw,
                               true,
                               false};
        if (const auto chosen = request_.take.find(conflict.id); chosen != request_.take.end()) {
            conflict.taken = chosen->second;
        } else if (request_.rule == ConflictRule::ask) {
            conflict.decided = false;
        } else {
            conflict.taken = request_.rule == ConflictRule::theirs ||
                             (request_.rule == ConflictRule::newest && theirs.time_ns > own.time_ns);
        }
        if (conflict.decided && !conflict.taken) {
            Coding declined = theirs;
            declined.declined = true;
            plan_.codings[mine.value.id].push_back(entry_of(draw, declined));
        } else if (conflict.decided && is_own_label(mine, theirs)) {
            json record = entry_of(draw, theirs);
            record.erase("time_ns");
            record["run"] = mine.value.id;
            plan_.labels.push_back(
                {{mine.value.id, theirs.key, theirs.field, theirs.value, theirs.coder, theirs.time_ns}, record});
        } else if (conflict.decided) {
            plan_.codings[mine.value.id].push_back(entry_of(draw, theirs));
        }
        plan_.conflicts.push_back(std::move(conflict));
    }

    MergePlan& plan_;
    const MergeRequest& request_;
    const std::string& name_;
};

bool is_coded(const Probe& run) {
    return std::any_of(run.value.draws.begin(), run.value.draws.end(),
                       [](const auto& draw) { return !draw->codings.empty() || draw->consensus; });
}

/// The run here that theirs is a copy of. Throws when there is none.
const Probe& same_run(const history::Session& mine, const Probe& theirs, const std::string& name) {
    const json wanted = probe_identity(theirs.value);
    const Probe* nearest = nullptr;
    for (const auto& [id, run] : mine.probes()) {
        if (!differing_part(probe_identity(run.value), wanted)) {
            return run;
        }
        nearest = nearest == nullptr || id == theirs.value.id ? &run : nearest;
    }
    if (nearest == nullptr) {
        throw CommandError(say("this session has no probe run, and {} has codings of one; nothing was merged", name));
    }
    const json known = probe_identity(nearest->value);
    const std::size_t part = *differing_part(known, wanted);
    throw CommandError(
        say("run {} of {} is not the probe run {} of this session: what differs is {} ({} here, {} there); only "
            "codings of the same run can be merged, nothing was",
            theirs.value.id, name, nearest->value.id, kParts[part], shown_part(known.at(kPartKeys[part])),
            shown_part(wanted.at(kPartKeys[part]))));
}

json coding_json(const Coding& coding) {
    return {{"coder", coding.coder}, {"value", coding.value}, {"time_ns", coding.time_ns}};
}

}  // namespace

MergeSource open_merge_source(const fs::path& path, const sessions::ArchiveProgress& progress) {
    MergeSource source;
    const fs::path last = path.filename().empty() ? path.parent_path().filename() : path.filename();
    source.name = base::shown_name(last.string());
    fs::path folder = path;
    std::error_code error;
    if (!fs::is_directory(path, error)) {
        source.unpacked = std::make_unique<base::ScratchFolder>();
        folder = source.unpacked->path() / "session";
        sessions::unpack_archive(path, folder, progress);
    }
    source.session = sessions::Session::open(folder, sessions::Journal::Mode::read_only);
    return source;
}

json probe_identity(const history::RunHeader& run) {
    const json& manifest = run.manifest;
    json settings = member(manifest, "request");
    if (settings.is_object()) {
        settings.erase("models");
    }
    if (const json& changes = member(manifest, "interventions"); !changes.is_null()) {
        settings["interventions"] = changes;
    }
    return {{"set", base::text_of(manifest, "set") + " " + base::text_of(manifest, "set_sha256")},
            {"items", member(manifest, "items")},
            {"models", member(manifest, "models")},
            {"model_sha256", member(manifest, "model_sha256")},
            {"settings", settings},
            {"started_ns", run.started_ns}};
}

std::string probe_hash(const history::RunHeader& run) {
    return base::sha256(base::dump_json(probe_identity(run)));
}

ConflictRule conflict_rule(const std::string& name) {
    if (name == "ask") {
        return ConflictRule::ask;
    }
    if (name == "mine") {
        return ConflictRule::mine;
    }
    if (name == "theirs") {
        return ConflictRule::theirs;
    }
    if (name == "newest") {
        return ConflictRule::newest;
    }
    throw CommandError(say("'{}' is no way to settle conflicts; ask, mine, theirs and newest are", name));
}

bool MergePlan::undecided() const {
    return std::any_of(conflicts.begin(), conflicts.end(), [](const MergeConflict& one) { return !one.decided; });
}

MergePlan plan_merge(const history::Session& mine, const history::Session& theirs, const std::string& their_name,
                     const MergeRequest& request) {
    MergePlan plan;
    if (request.run != 0 && !theirs.probes().contains(request.run)) {
        throw CommandError(say("{} has no probe run {}", their_name, request.run));
    }
    Planner planner(plan, request, their_name);
    bool any = false;
    for (const auto& [id, run] : theirs.probes()) {
        if ((request.run == 0 || id == request.run) && is_coded(run)) {
            any = true;
            planner.add_run(same_run(mine, run, their_name), run);
        }
    }
    if (!any) {
        throw CommandError(say("nobody has coded an answer in {}; there is nothing to merge", their_name));
    }
    return plan;
}

history::Session read_codings(sessions::Session& session) {
    // Answers of comparisons are on the same channel as those of probes, and may be large: their tokens are not kept.
    history::Session history;
    const auto apply = [&](const sessions::Record& record) {
        using protocol::RecordType;
        const auto type = static_cast<RecordType>(record.type);
        if (type != RecordType::tokens && type != RecordType::sample && type != RecordType::routing_result) {
            history.apply({type, {record.epoch, record.sequence}, record.time_ns, record.body});
        }
        return true;
    };
    history::for_each_record(session.journal(), protocol::Channel::events, {}, apply);
    if (!history.probes().empty()) {
        history::for_each_record(session.journal(), protocol::Channel::text, {}, apply);
    }
    history::add_stored_labels(history, session);
    return history;
}

void write_merge(sessions::Session& session, JournalWriter& journal, const MergePlan& plan) {
    for (const MergePlan::Label& label : plan.labels) {
        session.put_label(label.stored);
        journal.write_now(protocol::RecordType::probe_label, label.record);
    }
    for (const auto& [run, entries] : plan.codings) {
        for (std::size_t from = 0; from < entries.size(); from += kEntriesInRecord) {
            const auto begin = entries.begin() + static_cast<std::ptrdiff_t>(from);
            const auto end =
                entries.begin() + static_cast<std::ptrdiff_t>(std::min(entries.size(), from + kEntriesInRecord));
            journal.write_now(protocol::RecordType::probe_codings,
                              {{"run", run}, {"codings", std::vector<json>(begin, end)}});
        }
    }
    session.journal().sync();
}

json to_json(const MergePlan& plan) {
    json runs = json::array(), conflicts = json::array();
    for (const auto& [run, hash] : plan.runs) {
        runs.push_back({{"run", run}, {"sha256", hash}});
    }
    std::size_t declined = 0, replaced = 0;
    for (const MergeConflict& one : plan.conflicts) {
        declined += one.decided && !one.taken ? 1 : 0;
        replaced += one.taken ? 1 : 0;
        if (conflicts.size() < kMostConflictsTold) {
            json told = {{"id", one.id},
                         {"run", one.run},
                         {"item", one.item},
                         {"model", one.model},
                         {"language", one.language},
                         {"draw", one.draw},
                         {"coder", one.theirs.coder},
                         {"field", one.theirs.field},
                         {"consensus", one.theirs.consensus},
                         {"mine", coding_json(one.mine)},
                         {"theirs", coding_json(one.theirs)}};
            told["taken"] = one.decided ? json(one.taken ? "theirs" : "mine") : json();
            conflicts.push_back(std::move(told));
        }
    }
    return {{"merged", !plan.undecided()},
            {"added", plan.added},
            {"answers", plan.answers},
            {"same", plan.same},
            {"missing", plan.missing},
            {"declined", declined},
            {"replaced", replaced},
            {"conflicts", conflicts},
            {"conflicts_in_all", plan.conflicts.size()},
            {"runs", runs}};
}

}  // namespace moescope::node
