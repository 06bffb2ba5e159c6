// What the client knows of a node, built from records and states as they come. Pure: no socket, no clock. Owned by the
// client's I/O thread; only the snapshots it gives out are shared.
#pragma once

#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "nodes/client/snapshot.hpp"
#include "nodes/history/run_table.hpp"
#include "nodes/protocol/frame.hpp"
#include "nodes/protocol/session.hpp"

namespace moescope::client {

class NodeView {
 public:
    /// A record from the journal (Frame::type without 0x8000). A body that can't be read becomes a line of the log.
    void apply(const protocol::Frame& record);
    /// Records that will not come.
    void apply_gap(const nlohmann::json& gap, std::uint64_t time_ns);
    /// Gauges, any subset of the keys.
    void apply_state(const nlohmann::json& state);
    void set_catalogue(nlohmann::json catalogue) {
        head_.catalogue = std::make_shared<const nlohmann::json>(std::move(catalogue));
    }
    void add_log(history::LogLine line);

    /// The node greeted us in this epoch: what older epochs left running will never go on by itself.
    void node_came(std::uint32_t epoch);
    /// The node is gone: every run that was not at its end is interrupted.
    void node_went(const std::string& message);

    /// A new snapshot without link, results and version; runs that did not change are shared with the one before.
    std::shared_ptr<Snapshot> snapshot();

 private:
    template <class T>
    struct Run {
        T value;
        protocol::StreamPosition state_from;  ///< the record that `value.state` comes from
        std::uint32_t epoch = 0;              ///< newest one in which the run was seen alive
        bool changed = true;
    };
    /// A training run and where everything in it comes from: channels overtake each other, so that a step of the newest
    /// attempt may come before the rewind that began it, or a sample of the old one after it.
    struct Training : Run<history::TrainingRun> {
        std::vector<history::TableRow> step_rows, evaluation_rows;
        std::vector<protocol::StreamPosition> samples_from;  ///< of value.samples
        history::Rewinds rewinds;
    };
    struct Answer : Run<history::Generation> {
        bool incomplete = false;  ///< tokens are missing
    };
    struct PersonLabels {
        std::string delivery, engagement;  ///< empty: the rule's counts
    };
    struct Probe : Run<history::ProbeRun> {
        std::map<std::string, std::size_t> index;    ///< "item/model/language/draw" -> draws[i]
        std::map<std::string, PersonLabels> labels;  ///< may come before their draws: another channel
    };

    void run_started(const protocol::Frame& record, const nlohmann::json& body);
    void run_ended(const protocol::Frame& record, const nlohmann::json& body);
    void event(const protocol::Frame& record, const nlohmann::json& body);
    void rewind(Training& run, const protocol::Frame& record, std::uint64_t step);
    void sample(const protocol::Frame& record, const nlohmann::json& body);
    void step(const protocol::Frame& record, const protocol::StepRecord& step);
    void evaluation(const protocol::Frame& record, const nlohmann::json& body);
    void tokens(const protocol::Frame& record, protocol::TokenBatch batch);
    void generation_ended(const protocol::Frame& record, const nlohmann::json& body);
    void probe_draw(const protocol::Frame& record, const nlohmann::json& body);
    void probe_label(const nlohmann::json& body);
    void log(const protocol::Frame& record, const nlohmann::json& body);
    void json_record(const protocol::Frame& record, const nlohmann::json& body);
    void state_of_run(const nlohmann::json& entry);
    static void set_person_labels(history::ProbeDraw& draw, const PersonLabels& labels);

    Training& training(std::uint32_t id);
    Answer& generation(std::uint32_t id);
    Probe& probe(std::uint32_t id);
    template <class T>
    void set_state(Run<T>& run, const protocol::Frame& record, history::RunState state);
    template <class T>
    bool is_orphan(const Run<T>& run) const;
    template <class Map, class Published>
    void publish(Map& runs, Published& published);
    template <class Function>
    void for_each_run(Function function);

    Snapshot head_;  ///< everything but the runs, which are below
    std::map<std::uint32_t, Training> training_;
    std::map<std::uint32_t, Answer> generations_;
    std::map<std::uint32_t, Probe> probes_;
    std::map<std::uint32_t, nlohmann::json> run_gauges_;  ///< for runs whose first record has not come yet
    std::uint32_t epoch_ = 0;
    bool gone_ = false;
    std::string gone_message_;
};

}  // namespace moescope::client
