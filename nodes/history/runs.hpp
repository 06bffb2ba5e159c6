// The runs of a session as its records tell them: plain values that cost little to copy and never change once they were
// given out.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "base/sentence.hpp"
#include "nodes/history/column.hpp"
#include "nodes/history/shared_list.hpp"
#include "nodes/protocol/records.hpp"
#include "nodes/protocol/run_state.hpp"
#include "nodes/protocol/session.hpp"

namespace moescope::history {

/// A change made during a run: knob, checkpoint, pause. Drawn as a tagged line on every plot with a step axis.
struct RunEvent {
    std::uint64_t step = 0;
    std::string kind;  ///< "knob", "checkpoint", "pause", "resume", "gap", ...
    std::string name;  ///< "learning_rate"
    nlohmann::json old_value, new_value;
    base::Sentence text;
    int layer = -1, expert = -1;  ///< of kind "expert", whose name is what was done: "disable", "freeze", ...
};

struct TextSample {
    std::uint64_t step = 0;
    std::string language, prompt, text;
};

/// Expert counts of one step. [kTextLanguages][layers][experts], as in StepRecord.
struct StepCounts {
    std::uint64_t step = 0;
    std::vector<std::uint32_t> counts;
};

using protocol::RunKind;
using protocol::RunState;

/// What every kind of run has.
struct RunHeader {
    std::uint32_t id = 0;  ///< run number
    RunKind kind = RunKind::train;
    std::string name;
    RunState state = RunState::planned;
    base::Sentence message;  ///< why it failed or was interrupted
    /// Of a training run: config, seed, corpus hash, plan {"parameters_total","parameters_active","memory_bytes",...};
    /// of an answer: prompt, seed, temperature, max_tokens, model hash, ...
    nlohmann::json manifest;
    protocol::StreamPosition started;  ///< its first run_started; 0, 0 while that one has not come
    std::uint64_t started_ns = 0;      ///< wall clock of that record
    bool announced() const { return started.sequence != 0; }
};

struct TrainingRun : RunHeader {
    std::uint64_t last_checkpoint = 0;  ///< step, 0 when there is none
    /// Steps of the checkpoints that the node keeps, oldest first; empty when it does not tell.
    std::vector<std::uint64_t> checkpoints;
    std::uint64_t planned_steps = 0;
    std::string parameters_sha256;  ///< of the run's end; empty while it goes on, and where it is not known
    /// Of the end of a run that repeats another one: {"equal","steps","recorded_steps","parameters_equal",...} (see
    /// docs/protocol.md); null before, and of any other run. What it repeats stands in manifest["replay"].
    nlohmann::json replay;

    // Columns over steps; all have the size of `step`.
    Column step;
    std::array<Column, base::kStepValueCount> values;  ///< in the order of base::kStepValues; NaN where absent
    const Column& operator[](double base::StepValues::*member) const { return values[base::step_value_index(member)]; }
    const Column& operator[](base::StepPart part) const { return values[base::step_value_index(part)]; }
    // Columns over evaluations.
    Column evaluation_step, evaluation_english, evaluation_chinese;

    std::uint16_t layers = 0, experts = 0, top_k = 0;
    /// The latest steps, oldest first, at most so many as the reader keeps (in the window kCountHistory, and no more
    /// than fit into kCountBytes).
    SharedList<std::shared_ptr<const StepCounts>> counts;
    /// What each process did, of a run of several: the latest steps, oldest first, as many as of `counts` and no more
    /// than fit into kRankBytes.
    SharedList<std::shared_ptr<const protocol::RankRecord>> ranks;
    std::vector<float> router_entropy;  ///< [layers] of the latest step; empty when a rewind took that one back
    /// [layers][protocol::kExpertErrors] of the latest step that measured them, which is told; else empty.
    std::vector<float> expert_errors;
    std::uint64_t expert_errors_step = 0;
    std::uint64_t tokens_total = 0;

    // What a rewind took back is in none of the columns and lists here.
    SharedList<RunEvent> events;
    SharedList<TextSample> samples;
};
inline constexpr std::size_t kCountHistory = 4096;
inline constexpr std::size_t kCountBytes = std::size_t{64} << 20;
inline constexpr std::size_t kRankBytes = std::size_t{64} << 20;

/// One answer of one model: a column of the Compare panel.
struct Generation : RunHeader {
    Generation() { kind = RunKind::generate; }
    std::string group;  ///< the client's id of the comparison that it belongs to
    std::string model;  ///< name in the library
    std::string text;   ///< bytes so far; may end inside a UTF-8 character while it streams
    SharedList<protocol::TokenRecord> tokens;
    std::string stop;                                  ///< a name of base/stop_reason.hpp
    std::uint32_t prompt_tokens = 0, token_count = 0;  ///< as the node counted them; 0 until its end
    /// As the node measured it; until its end what the times of its tokens' records say so far, 0 while there are too
    /// few of them.
    double tokens_per_second = 0;
    double prompt_ms = 0;
    std::string shown;   ///< what the model read: the prompt as its chat template wrote it; empty where it is not known
    std::string device;  ///< that computed it, "cuda:0"; empty: not known, or not our engine's
    std::vector<std::pair<int, int>> disabled;  ///< layer, expert: never chosen, as the run of the model has them
};

/// What one coder says of an answer, by their own labels alone.
struct ProbeCoding {
    std::string coder;          ///< initials; empty where they are not known
    std::string delivery;       ///< F1, as given or as their F2 says it
    int engagement = -1;        ///< F2; -1: this coder has given none, or F1 leaves room for none
    std::uint64_t time_ns = 0;  ///< wall clock of their newest label of it
    bool operator==(const ProbeCoding&) const = default;
};

/// One answer of a probe run.
struct ProbeDraw {
    std::uint64_t seq = 0;           ///< its record, the id for a person's label
    std::string item, topic, group;  ///< group: "state" (sensitive for the Chinese state) or "mirror"
    std::string model, language;     ///< language: "en" or "zh"
    int draw = 0;
    std::string prompt, answer, stop;
    std::string shown;     ///< as of a Generation
    std::string device;    ///< the same
    std::string delivery;  ///< F1: answered, refused, blocked, empty, cut, error
    int engagement = -1;   ///< F2: 0 to 4, -1 where there is none
    base::Sentence rule;   ///< which rule decided
    bool labelled_by_person = false;
    std::string coder;          ///< who: initials, "A, B" where F1 and F2 are of two; empty where they are not known
    std::string rule_delivery;  ///< what the rule said, kept when a person overrides
    int rule_engagement = -1;
    /// What people have said, as it was said: a value of F1 or F2, empty where there is none, and whose.
    struct Said {
        std::string value, coder;
        bool operator==(const Said&) const = default;
    };
    Said said_delivery, said_engagement;      ///< the session's own label
    Said agreed_delivery, agreed_engagement;  ///< what coders agreed on
    std::vector<ProbeCoding> codings;         ///< of everybody who has coded it, by name
    bool consensus = false;                   ///< the label in force is what they agreed on
    bool own_label = false;                   ///< the label in force is the session's own
    bool disagreed = false;                   ///< two of `codings` differ, whether or not there is a consensus
};

struct ProbeRun : RunHeader {
    ProbeRun() { kind = RunKind::probe; }
    std::string set;
    std::vector<std::string> models;
    std::size_t planned = 0;  ///< draws in all
    std::vector<std::shared_ptr<const ProbeDraw>> draws;
    double seconds_left = 0;
    /// Statistics of the run as probes/ computed them in the node: the same JSON that the report prints.
    nlohmann::json statistics;
};

struct LogLine {
    std::uint64_t time_ns = 0;  ///< wall clock
    std::string level, source;
    base::Sentence text;
};

}  // namespace moescope::history
