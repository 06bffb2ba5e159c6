// The runs of a session as its records tell them: plain values that cost little to copy and never change once they were
// given out.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "nodes/history/column.hpp"
#include "nodes/history/shared_list.hpp"
#include "nodes/protocol/records.hpp"

namespace moescope::history {

/// A change made during a run: knob, checkpoint, pause. Drawn as a tagged line on every plot with a step axis.
struct RunEvent {
    std::uint64_t step = 0;
    std::string kind;  ///< "knob", "checkpoint", "pause", "resume", "gap", ...
    std::string name;  ///< "learning_rate"
    nlohmann::json old_value, new_value;
    std::string text;
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

enum class RunState { planned, running, paused, done, stopped, failed, interrupted };

struct TrainingRun {
    std::uint32_t id = 0;
    std::string name;
    RunState state = RunState::planned;
    std::string message;  ///< why it failed or was interrupted
    nlohmann::json
        manifest;  ///< config, seed, corpus hash, plan {"parameters_total","parameters_active","memory_bytes",...}
    std::uint64_t last_checkpoint = 0;  ///< step, 0 when there is none
    /// Steps of the checkpoints that the node keeps, oldest first; empty when it does not tell.
    std::vector<std::uint64_t> checkpoints;
    std::uint64_t planned_steps = 0;

    // Columns over steps; all have the size of `step`.
    Column step, loss, cross_entropy, balance_loss, z_loss, gradient_norm, learning_rate, balance_coefficient,
        tokens_per_second, step_ms, memory_bytes, router_entropy_mean;
    std::array<Column, protocol::kStepParts> part_ms;
    // Columns over evaluations.
    Column evaluation_step, evaluation_english, evaluation_chinese;

    std::uint16_t layers = 0, experts = 0, top_k = 0;
    /// The latest steps, oldest first, at most kCountHistory.
    SharedList<std::shared_ptr<const StepCounts>> counts;
    std::vector<float> router_entropy;  ///< [layers] of the latest step; empty when a rewind took that one back
    std::uint64_t tokens_total = 0;

    // What a rewind took back is in none of the columns and lists here.
    SharedList<RunEvent> events;
    SharedList<TextSample> samples;
};
inline constexpr std::size_t kCountHistory = 4096;

/// One answer of one model: a column of the Compare panel.
struct Generation {
    std::uint32_t id = 0;  ///< run number
    std::string group;     ///< the client's id of the comparison that it belongs to
    std::string model;     ///< name in the library
    RunState state = RunState::planned;
    nlohmann::json manifest;  ///< prompt, seed, temperature, max_tokens, model hash, ...
    std::string text;         ///< bytes so far; may end inside a UTF-8 character while it streams
    SharedList<protocol::TokenRecord> tokens;
    std::string stop;  ///< "end", "length", "cancelled", "error"
    std::string message;
    std::uint32_t prompt_tokens = 0;
    double tokens_per_second = 0;
    double prompt_ms = 0;
};

/// One answer of a probe run.
struct ProbeDraw {
    std::uint64_t seq = 0;           ///< its record, the id for a person's label
    std::string item, topic, group;  ///< group: "state" (sensitive for the Chinese state) or "mirror"
    std::string model, language;     ///< language: "en" or "zh"
    int draw = 0;
    std::string prompt, answer, stop;
    std::string delivery;  ///< F1: answered, refused, blocked, empty, cut, error
    int engagement = -1;   ///< F2: 0 to 4, -1 where there is none
    std::string rule;      ///< which rule decided
    bool labelled_by_person = false;
    std::string rule_delivery;  ///< what the rule said, kept when a person overrides
    int rule_engagement = -1;
};

struct ProbeRun {
    std::uint32_t id = 0;
    std::string name, set;
    RunState state = RunState::planned;
    std::string message;
    nlohmann::json manifest;
    std::vector<std::string> models;
    std::size_t planned = 0;  ///< draws in all
    std::vector<std::shared_ptr<const ProbeDraw>> draws;
    double seconds_left = 0;
    /// Statistics of the run as probes/ computed them in the node: the same JSON that the report prints.
    nlohmann::json statistics;
};

struct LogLine {
    std::uint64_t time_ns = 0;  ///< wall clock
    std::string level, source, text;
};

}  // namespace moescope::history
