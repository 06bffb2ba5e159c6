// The records of the journal, which are also the DATA frames of the wire: what a node saw, in the order it happened.
// Pure: no socket, no clock, no engine. Used by the node (writer), the client (reader), the report and the tests.
//
// Every encode_* gives the body of one record; every decode_* takes bytes from outside, checks every count against the
// bytes that are really there before it allocates, and gives std::nullopt for anything that does not fit.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/step_values.hpp"

namespace moescope::protocol {

/// Channels of one connection. Control frames never queue behind data.
enum class Channel : std::uint8_t { control = 0, events = 1, metrics = 2, text = 3, bulk = 4 };
inline constexpr int kChannels = 5;

/// What the body of a record is. Values are part of the file format and never change their meaning.
enum class RecordType : std::uint16_t {
    run_started = 1,  ///< JSON, channel events: {"run","kind":"train|generate|probe","name","manifest":{...}}
    run_ended = 2,    ///< JSON, events: {"run","state":"done|stopped|failed|interrupted","message","step"}
    event = 3,   ///< JSON, events: {"run","step","kind":"knob|checkpoint|pause|resume|...","name","old","new","text"}
    sample = 4,  ///< JSON, text: {"run","step","language":"en|zh","prompt","text"}
    step = 10,   ///< binary StepRecord, metrics
    evaluation =
        11,       ///< JSON, metrics: {"run","step","loss":{"en":x,"zh":y},"tokens":{"en":n,"zh":n}} loss in nats/token
    ranks = 12,   ///< binary RankRecord, metrics: what each process of a run did, behind the step record
    curve = 13,   ///< binary CurveRecord (curve_record.hpp), metrics: of a run of kind imported
    tokens = 20,  ///< binary TokenBatch, text
    generation_ended =
        21,  ///< JSON, text:
             ///< {"run","state":"done|cancelled|failed","stop":"end|length|context|time|cancelled|error","message",
             ///<  "prompt_tokens","tokens","tokens_per_second","prompt_ms","text","shown"}
    routing_started = 22,   ///< JSON, bulk: {"run","router","interventions","set","detail"}, before the run's next two
    routing_chunk = 23,     ///< binary RoutingPiece, bulk: some tokens of a trace, as columns
    routing_scores = 24,    ///< binary RoutingPiece, bulk: everything that the choices for one token were made of
    routing_result = 25,    ///< JSON, text: {"run","result"}: what a run of kind route has found
    probe_draw = 30,        ///< JSON, text: one answer with its labels, see docs/protocol.md
    probe_label = 31,       ///< JSON, events: a person's label that overrides the rule's
    probe_codings = 32,     ///< JSON, events: {"run","codings":[...]}: what other coders and a consensus say, see docs
    intervention_set = 33,  ///< JSON, events: {"name","items"}: a named set of changes; items null: it is gone
    experiment = 34,        ///< JSON, events: {"experiment","definition"}: runs that differ in one setting; or
                            ///< {"experiment","unfinished","paused"}: the run that its node's end stops
    note = 35,              ///< JSON, events: {"note","revision","on","text","author","role"}; text null: it is removed
    log = 40,               ///< JSON, events: {"level":"info|warning|error","text","source"}
    gap = 50,               ///< JSON, the channel that lost records: {"from","to","count","reason"}
};

/// The channel on which a record type travels. One definition for writer and reader.
Channel channel_of(RecordType type);

/// Text language of a training token, the first axis of StepRecord::counts.
enum class TextLanguage : std::uint8_t { english = 0, chinese = 1 };
inline constexpr int kTextLanguages = 2;

/// One optimizer step. What its values mean stands in base/step_values.hpp; a NaN is not written.
struct StepRecord : base::StepValues {
    std::uint32_t run = 0;
    std::uint64_t step = 0;          ///< 1 is the first step
    std::uint64_t tokens_total = 0;  ///< tokens seen by the run so far, this step included
    std::uint16_t layers = 0;
    std::uint16_t experts = 0;
    std::uint16_t top_k = 0;
    /// Tokens routed to each expert in this step, [kTextLanguages][layers][experts]; 0 in dense layers. The sum over
    /// experts of one layer over both languages is tokens of the step x top_k, less what was dropped. Or empty.
    std::vector<std::uint32_t> counts;
    /// [layers], mean over tokens of -sum p log p / log experts; NaN in dense layers. Or empty.
    std::vector<float> router_entropy;
    /// [layers][kExpertErrors]: of results, of gradients of inputs and of weights, percent; NaN in dense layers. Or
    /// empty: only some steps of a run in eight bits have them.
    std::vector<float> expert_errors;
};
inline constexpr std::size_t kExpertErrors = 3;
/// What the processes ("ranks") of a training run did in some steps, mostly in one.
struct RankRecord {
    std::uint32_t run = 0;
    std::uint64_t step = 0;   ///< the last of them
    std::uint32_t steps = 1;  ///< that the sums below are of
    std::uint16_t ranks = 1;
    std::uint16_t expert_ranks = 1;  ///< neighbours that share the experts; divides the ranks
    /// Of the model, then of its prediction module; 1 also where so many ranks share them that only sums over all
    /// layers fit into a record.
    std::uint16_t layers = 0;
    std::uint8_t tokens_travel = 0;  ///< 1: rows are tokens on their way to their experts and back; else results
    std::uint32_t row_bytes = 0;     ///< of one row
    /// [ranks]: milliseconds of work, and in collective operations: until the others have come and the data are there.
    std::vector<double> compute_ms, waiting_ms;
    std::vector<double> memory_bytes;  ///< [ranks], resident set at the end of the last step
    /// [layers][ranks], rows that the experts of a rank worked on: a token counts for each of its experts. Their sum
    /// over the ranks of one group is tokens x top_k of the group's sequences, less what was dropped.
    std::vector<std::uint64_t> load;
    /// [layers][ranks][expert_ranks], rows that a rank sent to each of its group, forward and backward.
    std::vector<std::uint64_t> rows;
    std::vector<std::uint64_t> bytes;  ///< [ranks][ranks], everything that a rank sent to each

    /// Of one layer, or of all of them without; from and to are ranks of the run.
    std::uint64_t rows_between(std::size_t from, std::size_t to, std::optional<std::size_t> layer = {}) const;
    std::uint64_t load_of(std::size_t rank, std::optional<std::size_t> layer = {}) const;
    /// Sums with those of steps that follow; of a record of another shape nothing.
    void add(const RankRecord& later);
    bool same_shape(const RankRecord& other) const;
    /// Puts the sums over all layers in the place of the layers.
    void fold_layers();
    std::size_t size() const;  ///< bytes of the tables
};
/// Are so many counts and entropies whole or absent? Whoever draws them relies on their shape.
bool fits(const StepRecord& record, std::uint64_t counts, std::uint64_t entropies);

/// A candidate at one position: the token, its bytes (which need not be valid UTF-8) and its natural log-probability.
struct TokenCandidate {
    std::int32_t token = 0;
    std::string bytes;
    float log_probability = 0;
};

/// One generated token.
struct TokenRecord {
    TokenCandidate chosen;
    std::vector<TokenCandidate> alternatives;  ///< most likely first; empty when not asked for
    std::vector<std::uint16_t>
        experts;  ///< [layers][top_k] chosen experts, empty when the model is not MoE or not tapped
};

/// Some tokens of one generation, in order.
struct TokenBatch {
    std::uint32_t run = 0;
    std::uint32_t first = 0;  ///< index of tokens[0] within the answer
    std::uint16_t layers = 0;
    std::uint16_t top_k = 0;
    std::vector<TokenRecord> tokens;
};

/// Both as tagged fields (tagged_fields.hpp, docs/protocol.md). Layout 1 of older sessions is read, too.
std::vector<std::byte> encode_step(const StepRecord& record);
std::optional<StepRecord> decode_step(std::span<const std::byte> body);

std::vector<std::byte> encode_ranks(const RankRecord& record);
std::optional<RankRecord> decode_ranks(std::span<const std::byte> body);

std::vector<std::byte> encode_tokens(const TokenBatch& batch);
std::optional<TokenBatch> decode_tokens(std::span<const std::byte> body);

/// A piece of a run's routing: packed as routing/packed_trace.hpp does, opaque to this folder.
struct RoutingPiece {
    std::uint32_t run = 0;
    std::uint64_t token = 0;            ///< number of its first token in the trace of the run
    std::span<const std::byte> packed;  ///< into the body
};
/// u32 run, u32 reserved (0), u64 token, then the packed bytes.
std::vector<std::byte> encode_routing(const RoutingPiece& piece);
std::optional<RoutingPiece> decode_routing(std::span<const std::byte> body);

/// JSON bodies are UTF-8 text. Invalid UTF-8 inside strings is replaced on encoding. Decoding refuses more than 16
/// levels, bodies over 1 MiB, and anything that is not an object.
std::vector<std::byte> encode_json(const nlohmann::json& value);
std::optional<nlohmann::json> decode_json(std::span<const std::byte> body);

}  // namespace moescope::protocol
