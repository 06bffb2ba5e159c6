// The one reader of a session's records: the window, the service, the report and the replay all learn from it which
// runs there are, what they did, and what a rewind took back. Pure: no socket, no clock, no file.
//
// Records of one channel come in the order of the journal; channels may overtake each other in any way. Owned by one
// thread; what it gives out (columns, lists) may be copied and read anywhere.
#pragma once

#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "nodes/history/experiments.hpp"
#include "nodes/history/imported_run.hpp"
#include "nodes/history/notes.hpp"
#include "nodes/history/routing.hpp"
#include "nodes/history/run_table.hpp"
#include "nodes/history/runs.hpp"
#include "nodes/protocol/session.hpp"

namespace moescope::history {

/// A record of the journal, wherever it comes from.
struct RecordView {
    protocol::RecordType type{};
    protocol::StreamPosition at;
    std::uint64_t time_ns = 0;  ///< wall clock
    std::span<const std::byte> body;
};

/// Packed traces of all runs that are kept.
inline constexpr std::uint64_t kRoutingBytes = std::uint64_t{1} << 30;

/// How much a reader keeps.
struct Keep {
    std::size_t counts = kCountHistory;  ///< steps whose expert counts are kept, the latest ones
    bool values = true;                  ///< false: of steps only their numbers
    std::uint32_t run = 0;               ///< not 0: this run's records only
    /// Of packed traces, all runs together. Above it those of the oldest run are given up first, and of a run alone
    /// what comes last.
    std::uint64_t routing_bytes = kRoutingBytes;
    std::size_t count_bytes = kCountBytes;  ///< of each run's expert counts, but those of one step at least
};

/// "item/model/language/draw", the key of a probe answer and its labels.
std::string draw_key(const nlohmann::json& draw);
std::string draw_key(const ProbeDraw& draw);

/// What one coder says in one field of one answer, as it travels between sessions.
struct Coding {
    std::string key;    ///< draw_key()
    std::string coder;  ///< initials; of a consensus who entered it
    std::string field;  ///< delivery or engagement
    std::string value;  ///< empty: taken back
    std::uint64_t time_ns = 0;
    bool consensus = false;
    bool declined = false;  ///< it was met in another session, differs from what stands here, and was not taken
};
/// The same for the same coding, to be found again when it is met once more.
std::string coding_id(const Coding& coding);
/// Of an entry of a record probe_codings, and back without the parts of the key.
Coding coding_in(const nlohmann::json& entry);

class Session {
 public:
    template <class T>
    struct Run {
        T value;
        protocol::StreamPosition state_from;  ///< the record that `value.state` comes from
        std::uint32_t epoch = 0;              ///< newest one in which the run was seen alive
        bool changed = true;                  ///< since the owner last set it to false
    };
    /// A training run and where everything in it comes from: a step of the newest attempt may come before the rewind
    /// that began it, or a sample of the old one after it.
    struct Training : Run<TrainingRun> {
        std::vector<TableRow> step_rows, evaluation_rows;
        std::vector<protocol::StreamPosition> samples_from;  ///< of value.samples
        Rewinds rewinds;
    };
    struct Answer : Run<Generation> {
        bool incomplete = false;      ///< tokens are missing
        std::uint64_t first_ns = 0;   ///< wall clock of the first record of tokens
        std::size_t first_count = 0;  ///< tokens in that one
    };
    struct PersonLabel {
        std::string value;          ///< empty: the rule's counts
        std::string coder;          ///< initials
        std::uint64_t time_ns = 0;  ///< wall clock; 0 where it is not known
        bool operator==(const PersonLabel& other) const { return value == other.value && coder == other.coder; }
    };
    struct PersonLabels {
        PersonLabel delivery, engagement;
        PersonLabel& of(const std::string& field) { return field == "engagement" ? engagement : delivery; }
        const PersonLabel& of(const std::string& field) const { return field == "engagement" ? engagement : delivery; }
        bool empty() const { return delivery.value.empty() && engagement.value.empty(); }
    };
    /// What others than the session's own label say of an answer.
    struct Codings {
        std::map<std::string, PersonLabels> by_coder;  ///< merged from copies, or of an earlier coder of this session
        PersonLabels consensus;
    };
    struct Probe : Run<ProbeRun> {
        std::map<std::string, std::size_t> index;    ///< draw_key() -> draws[i]
        std::map<std::string, PersonLabels> labels;  ///< may come before their draws: another channel
        std::map<std::string, Codings> codings;      ///< the same
        std::set<std::string> declined;              ///< coding_id() of codings that were met and not taken
        /// Of the session's own label and `codings` together, by coder.
        std::map<std::string, PersonLabels> coders_of(const std::string& key) const;
        /// The value of the session's own label, or of what coders agreed on; empty: there is none.
        std::string label_of(const std::string& key, const std::string& field, bool consensus) const;
    };

    struct Route : Run<RouteRun> {};
    /// Its columns are made by fit_columns(), of who looks at them.
    struct Import : Run<ImportedRun> {};
    /// Of one run, whatever its kind.
    struct Routing {
        RunRouting value;
        /// The same as value.trace, to be written to. Null when its router could not be read: its pieces are none of
        /// ours, and `value` is what was before.
        std::shared_ptr<routing::PackedTrace> trace;
        std::uint64_t pieces = 0;    ///< in the trace
        bool behind_a_hole = false;  ///< the piece that comes next: what is missing before it is counted already
        bool changed = true;         ///< since the owner last set it to false
    };

    Session() = default;
    explicit Session(Keep keep) : keep_(keep) {}
    // A copy would write into the same columns.
    Session(const Session&) = delete;
    Session& operator=(const Session&) = delete;
    Session(Session&&) = default;
    Session& operator=(Session&&) = default;

    /// The run that the record belongs to, 0 when it belongs to none. A body that can't be read becomes a line of the
    /// log; a type that is not known says nothing.
    std::uint32_t apply(const RecordView& record);
    /// Records that come packed and without their tails (sessions/packed_records.hpp): of a step what its head holds,
    /// and no counts. How many there were; 0 and a line of the log when they can't be read.
    std::size_t apply_heads(std::span<const std::byte> packed, std::uint64_t time_ns);
    /// Records that will not come.
    void add_gap(const nlohmann::json& gap, std::uint64_t time_ns);
    void add_log(LogLine line);
    /// A person's label: `field` delivery or engagement; an empty value takes it back.
    /// Another named coder's label that it takes the place of stays among the codings.
    void add_label(std::uint32_t run, const std::string& key, const std::string& field, const PersonLabel& label);
    /// One of a record probe_codings.
    void add_coding(std::uint32_t run, const Coding& coding);

    /// By run number. Runs whose start was lost are among them (see RunHeader::announced). The owner may write gauges
    /// into the values.
    std::map<std::uint32_t, Training>& trainings() { return trainings_; }
    std::map<std::uint32_t, Answer>& answers() { return answers_; }
    std::map<std::uint32_t, Probe>& probes() { return probes_; }
    std::map<std::uint32_t, Route>& routes() { return routes_; }
    std::map<std::uint32_t, Import>& imports() { return imports_; }
    std::map<std::uint32_t, Routing>& routing() { return routing_; }
    const std::map<std::uint32_t, Training>& trainings() const { return trainings_; }
    const std::map<std::uint32_t, Answer>& answers() const { return answers_; }
    const std::map<std::uint32_t, Probe>& probes() const { return probes_; }
    const std::map<std::uint32_t, Route>& routes() const { return routes_; }
    const std::map<std::uint32_t, Import>& imports() const { return imports_; }
    const std::map<std::uint32_t, Routing>& routing() const { return routing_; }
    /// Items by name, all of them readable (routing::interventions_from_json).
    const std::map<std::string, nlohmann::json>& intervention_sets() const { return intervention_sets_; }
    /// By number. What was given out never changes.
    const std::map<std::uint32_t, std::shared_ptr<const Experiment>>& experiments() const { return experiments_; }
    const Notes& notes() const { return notes_; }
    /// All announced runs by number; the pointers hold until the next record.
    std::map<std::uint32_t, const RunHeader*> runs() const;
    const SharedList<LogLine>& log() const { return log_; }  ///< the latest 10,000 lines

    template <class Function>
    void for_each_run(Function function) {
        for (auto& [id, run] : trainings_) {
            function(run);
        }
        for (auto& [id, run] : answers_) {
            function(run);
        }
        for (auto& [id, run] : probes_) {
            function(run);
        }
        for (auto& [id, run] : routes_) {
            function(run);
        }
        for (auto& [id, run] : imports_) {
            function(run);
        }
    }

 private:
    void json_record(const RecordView& record, const nlohmann::json& body);
    void run_started(const RecordView& record, const nlohmann::json& body);
    void run_ended(const RecordView& record, const nlohmann::json& body);
    void event(const RecordView& record, const nlohmann::json& body);
    void rewind(Training& run, const RecordView& record, std::uint64_t step);
    void sample(const RecordView& record, const nlohmann::json& body);
    void step(const RecordView& record, const protocol::StepRecord& step);
    void ranks(const RecordView& record, protocol::RankRecord ranks);
    void evaluation(const RecordView& record, const nlohmann::json& body);
    void curve(const RecordView& record, const protocol::CurveRecord& piece);
    void tokens(const RecordView& record, protocol::TokenBatch batch);
    void generation_ended(const RecordView& record, const nlohmann::json& body);
    void probe_draw(const RecordView& record, const nlohmann::json& body);
    void probe_label(const RecordView& record, const nlohmann::json& body);
    void probe_codings(const nlohmann::json& body);
    void label_again(Probe& run, const std::string& key);
    void routing_started(const RecordView& record, const nlohmann::json& body);
    void routing_piece(const RecordView& record, const protocol::RoutingPiece& piece);
    /// False when there is no room for a piece of this run, also without all others.
    bool make_room(const Routing& wanted, std::uint64_t bytes);
    void begin_trace(Routing& run, routing::RouterSpec spec);
    void routing_result(const RecordView& record, const nlohmann::json& body);
    void intervention_set(const RecordView& record, const nlohmann::json& body);
    void experiment(const RecordView& record, const nlohmann::json& body);
    void note(const RecordView& record, const nlohmann::json& body);
    void goes_on(std::uint32_t id);

    Training& training(std::uint32_t id);
    Answer& answer(std::uint32_t id);
    Probe& probe(std::uint32_t id);
    Route& route(std::uint32_t id);
    Import& imported(std::uint32_t id);

    Keep keep_;
    std::map<std::uint32_t, Training> trainings_;
    std::map<std::uint32_t, Answer> answers_;
    std::map<std::uint32_t, Probe> probes_;
    std::map<std::uint32_t, Route> routes_;
    std::map<std::uint32_t, Import> imports_;
    std::map<std::uint32_t, Routing> routing_;
    std::uint64_t routing_bytes_ = 0;  ///< of all traces
    std::map<std::string, nlohmann::json> intervention_sets_;
    std::map<std::uint32_t, std::shared_ptr<const Experiment>> experiments_;
    Notes notes_;
    SharedList<LogLine> log_;
};

}  // namespace moescope::history
