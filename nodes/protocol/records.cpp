// Bodies of the records. Binary ones begin with a layout byte, so that a later layout can be told apart.
#include "nodes/protocol/records.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/json_guard.hpp"
#include "base/little_endian.hpp"
#include "nodes/protocol/frame.hpp"
#include "nodes/protocol/old_layouts.hpp"
#include "nodes/protocol/record_heads.hpp"
#include "nodes/protocol/tagged_fields.hpp"

namespace moescope::protocol {

namespace {

constexpr std::uint8_t kOldLayout = 1;
constexpr std::uint8_t kLayout = 2;
constexpr std::size_t kMaximumBytes = 64 * 1024;  // of one token's text
constexpr std::size_t kMostTokens = 65535;

// Tags are part of the file format and never change their meaning. Those of a step's values stand in kStepValues.
enum StepTag : std::uint16_t {
    kRun = 1,
    kStep = 2,
    kTokensTotal = 3,
    kLayers = 4,
    kExperts = 5,
    kTopK = 6,
    kCounts = 7,
    kRouterEntropy = 8,
    kExpertErrorsTag = 10,
};

/// Of N ranks in groups of G and L layers; kRun, kStep and kLayers as in a step.
enum RankTag : std::uint16_t {
    kSteps = 128,
    kRanks = 129,
    kExpertRanks = 130,
    kTokensTravel = 131,
    kRowBytes = 132,
    kComputeMs = 133,    // f64 [N]
    kWaitingMs = 134,    // f64 [N]
    kRankMemory = 135,   // f64 [N]
    kRankLoad = 136,     // u64 [L][N]
    kRankRows = 137,     // u64 [L][N][G]
    kRankTraffic = 138,  // u64 [N][N]
};

/// Of a batch of N tokens with A alternatives in all; kRun, kLayers and kTopK as in a step.
enum TokenTag : std::uint16_t {
    kFirst = 16,
    kIds = 17,                 // i32 [N]
    kLogProbabilities = 18,    // f32 [N]
    kLengths = 19,             // u16 [N], bytes of each token's text
    kText = 20,                // u8, all texts one after the other
    kAlternatives = 21,        // u8 [N], how many each token has
    kAlternativeIds = 22,      // i32 [A]
    kAlternativeLogs = 23,     // f32 [A]
    kAlternativeLengths = 24,  // u16 [A]
    kAlternativeText = 25,     // u8
    kHasExperts = 26,          // u8 [N], 0 or 1
    kChosenExperts = 27,       // u16, layers x top_k for each token that has them
};

/// Candidates as columns.
struct Candidates {
    std::vector<std::int32_t> ids;
    std::vector<float> log_probabilities;
    std::vector<std::uint16_t> lengths;
    std::vector<std::uint8_t> text;

    void add(const TokenCandidate& candidate) {
        const std::size_t size = std::min(candidate.bytes.size(), kMaximumBytes - 1);
        ids.push_back(candidate.token);
        log_probabilities.push_back(candidate.log_probability);
        lengths.push_back(static_cast<std::uint16_t>(size));
        text.insert(text.end(), candidate.bytes.begin(), candidate.bytes.begin() + static_cast<std::ptrdiff_t>(size));
    }
    /// All columns have `count` entries and the texts are there.
    bool whole(std::size_t count) const {
        return ids.size() == count && log_probabilities.size() == count && lengths.size() == count &&
               text.size() == std::accumulate(lengths.begin(), lengths.end(), std::size_t{0});
    }
    /// The next candidate of whole columns.
    TokenCandidate take() {
        TokenCandidate candidate;
        candidate.token = ids[next_];
        candidate.log_probability = log_probabilities[next_];
        candidate.bytes.assign(reinterpret_cast<const char*>(text.data()) + at_, lengths[next_]);
        at_ += lengths[next_++];
        return candidate;
    }

 private:
    std::size_t next_ = 0, at_ = 0;
};

/// A known field of another form than ours makes the record unreadable; an unknown one is skipped.
bool take_step_field(const Field& field, StepRecord& record) {
    switch (field.tag) {
        case kRun:
            return field.get(record.run);
        case kStep:
            return field.get(record.step);
        case kTokensTotal:
            return field.get(record.tokens_total);
        case kLayers:
            return field.get(record.layers);
        case kExperts:
            return field.get(record.experts);
        case kTopK:
            return field.get(record.top_k);
        case kCounts:
            return field.get(record.counts);
        case kRouterEntropy:
            return field.get(record.router_entropy);
        case kExpertErrorsTag:
            return field.get(record.expert_errors);
        default:
            break;
    }
    for (const base::StepValue& row : base::kStepValues) {
        if (row.tag == field.tag) {
            return field.get(value_of(static_cast<base::StepValues&>(record), row));
        }
    }
    return true;
}

bool take_rank_field(const Field& field, RankRecord& record) {
    switch (field.tag) {
        case kRun:
            return field.get(record.run);
        case kStep:
            return field.get(record.step);
        case kLayers:
            return field.get(record.layers);
        case kSteps:
            return field.get(record.steps);
        case kRanks:
            return field.get(record.ranks);
        case kExpertRanks:
            return field.get(record.expert_ranks);
        case kTokensTravel:
            return field.get(record.tokens_travel);
        case kRowBytes:
            return field.get(record.row_bytes);
        case kComputeMs:
            return field.get(record.compute_ms);
        case kWaitingMs:
            return field.get(record.waiting_ms);
        case kRankMemory:
            return field.get(record.memory_bytes);
        case kRankLoad:
            return field.get(record.load);
        case kRankRows:
            return field.get(record.rows);
        case kRankTraffic:
            return field.get(record.bytes);
        default:
            return true;
    }
}

/// All tables have the shape that the record says: whoever draws them relies on it. Times are numbers.
bool whole(const RankRecord& record) {
    const std::size_t N = record.ranks, G = record.expert_ranks, L = record.layers;
    const auto numbers = [N](const std::vector<double>& values) {
        return values.size() == N &&
               std::all_of(values.begin(), values.end(), [](double x) { return std::isfinite(x) && x >= 0; });
    };
    return N > 0 && G > 0 && N % G == 0 && record.steps > 0 && numbers(record.compute_ms) &&
           numbers(record.waiting_ms) && numbers(record.memory_bytes) && record.load.size() == L * N &&
           record.rows.size() == L * N * G && record.bytes.size() == N * N;
}

/// What many steps add up to stays a number that others can be added to.
template <class T>
void add_to(std::vector<T>& sum, const std::vector<T>& values) {
    for (std::size_t i = 0; i < sum.size(); ++i) {
        sum[i] += values[i];
    }
}

struct TokenColumns {
    Candidates chosen, alternatives;
    std::vector<std::uint8_t> alternative_counts, has_experts;
    std::vector<std::uint16_t> experts;
};

bool take_token_field(const Field& field, TokenBatch& batch, TokenColumns& columns) {
    switch (field.tag) {
        case kRun:
            return field.get(batch.run);
        case kLayers:
            return field.get(batch.layers);
        case kTopK:
            return field.get(batch.top_k);
        case kFirst:
            return field.get(batch.first);
        case kIds:
            return field.get(columns.chosen.ids);
        case kLogProbabilities:
            return field.get(columns.chosen.log_probabilities);
        case kLengths:
            return field.get(columns.chosen.lengths);
        case kText:
            return field.get(columns.chosen.text);
        case kAlternatives:
            return field.get(columns.alternative_counts);
        case kAlternativeIds:
            return field.get(columns.alternatives.ids);
        case kAlternativeLogs:
            return field.get(columns.alternatives.log_probabilities);
        case kAlternativeLengths:
            return field.get(columns.alternatives.lengths);
        case kAlternativeText:
            return field.get(columns.alternatives.text);
        case kHasExperts:
            return field.get(columns.has_experts);
        case kChosenExperts:
            return field.get(columns.experts);
        default:
            return true;
    }
}

/// The tokens of columns that agree with each other. What is allocated is no more than a few times what is there.
bool take_tokens(TokenBatch& batch, TokenColumns& columns) {
    const std::size_t count = columns.chosen.ids.size();
    auto& counts = columns.alternative_counts;
    counts.resize(counts.empty() ? count : counts.size());
    columns.has_experts.resize(columns.has_experts.empty() ? count : columns.has_experts.size());
    const std::size_t each = std::size_t{batch.layers} * batch.top_k;
    const auto with_experts =
        static_cast<std::size_t>(std::count(columns.has_experts.begin(), columns.has_experts.end(), std::uint8_t{1}));
    if (!columns.chosen.whole(count) || counts.size() != count || columns.has_experts.size() != count ||
        !columns.alternatives.whole(std::accumulate(counts.begin(), counts.end(), std::size_t{0})) ||
        columns.experts.size() != with_experts * each) {
        return false;
    }
    batch.tokens.resize(count);
    auto experts = columns.experts.begin();
    for (std::size_t i = 0; i < count; ++i) {
        TokenRecord& token = batch.tokens[i];
        token.chosen = columns.chosen.take();
        for (std::uint8_t alternative = 0; alternative < counts[i]; ++alternative) {
            token.alternatives.push_back(columns.alternatives.take());
        }
        if (columns.has_experts[i] == 1) {
            token.experts.assign(experts, experts + static_cast<std::ptrdiff_t>(each));
            experts += static_cast<std::ptrdiff_t>(each);
        } else if (columns.has_experts[i] != 0) {
            return false;
        }
    }
    return true;
}

}  // namespace

Channel channel_of(RecordType type) {
    switch (type) {
        case RecordType::step:
        case RecordType::evaluation:
        case RecordType::ranks:
        case RecordType::curve:
            return Channel::metrics;
        case RecordType::sample:
        case RecordType::tokens:
        case RecordType::generation_ended:
        case RecordType::routing_result:
        case RecordType::probe_draw:
            return Channel::text;
        case RecordType::routing_started:
        case RecordType::routing_chunk:
        case RecordType::routing_scores:
            return Channel::bulk;
        case RecordType::run_started:
        case RecordType::run_ended:
        case RecordType::event:
        case RecordType::probe_label:
        case RecordType::probe_codings:
        case RecordType::intervention_set:
        case RecordType::experiment:
        case RecordType::note:
        case RecordType::log:
        case RecordType::gap:
            return Channel::events;
    }
    return Channel::bulk;
}

bool fits(const StepRecord& record, std::uint64_t counts, std::uint64_t entropies) {
    const std::uint64_t whole = std::uint64_t{kTextLanguages} * record.layers * record.experts;
    return (counts == 0 || counts == whole) && (entropies == 0 || entropies == record.layers);
}

std::vector<std::byte> encode_step(const StepRecord& record) {
    std::vector<std::byte> body;
    body.reserve(512 + record.counts.size() * 4 + record.router_entropy.size() * 4);
    FieldWriter fields(body, kLayout);
    fields.put(kRun, record.run);
    fields.put(kStep, record.step);
    fields.put(kTokensTotal, record.tokens_total);
    fields.put(kLayers, record.layers);
    fields.put(kExperts, record.experts);
    fields.put(kTopK, record.top_k);
    for (const base::StepValue& row : base::kStepValues) {
        if (const double value = value_of(record, row); !std::isnan(value)) {
            fields.put(row.tag, value);
        }
    }
    // Before the large tables: whoever wants the values of a step alone reads to there.
    if (!record.expert_errors.empty()) {
        fields.put_array(kExpertErrorsTag, record.expert_errors);
    }
    fields.put_array(kCounts, record.counts);
    fields.put_array(kRouterEntropy, record.router_entropy);
    return body;
}

namespace {

/// `cut`: it may end after any field.
std::optional<StepRecord> read_step(std::span<const std::byte> body, bool cut) {
    FieldReader reader(body);
    if (reader.layout() == kOldLayout) {
        return decode_step_1(body);
    }
    if (reader.layout() != kLayout) {
        return std::nullopt;
    }
    StepRecord record;
    while (!(cut && reader.left() == 0)) {
        const auto field = reader.next();
        if (!field) {
            break;
        }
        if (!take_step_field(*field, record)) {
            return std::nullopt;
        }
    }
    if (!(reader.complete() || (cut && reader.good() && reader.left() == 0)) ||
        !fits(record, record.counts.size(), record.router_entropy.size()) ||
        (!record.expert_errors.empty() && record.expert_errors.size() != record.layers * kExpertErrors)) {
        return std::nullopt;
    }
    if (std::isnan(record.router_entropy_mean)) {
        record.router_entropy_mean = base::mean_router_entropy(record.router_entropy);
    }
    return record;
}

}  // namespace

std::optional<StepRecord> decode_step(std::span<const std::byte> body) {
    return read_step(body, false);
}

std::optional<StepRecord> decode_step_head(std::span<const std::byte> head) {
    return read_step(head, true);
}

RecordHead head_of(RecordType type, std::span<const std::byte> body) {
    RecordHead head{body.size(), 0};
    FieldReader reader(body);
    if (type != RecordType::step || reader.layout() != kLayout) {
        return head;
    }
    constexpr std::uint16_t kMean =
        base::kStepValues[base::step_value_index(&base::StepValues::router_entropy_mean)].tag;
    std::size_t at = body.size() - reader.left();
    std::optional<std::size_t> layers_at;
    bool has_mean = false, has_entropies = false;
    while (const auto field = reader.next()) {
        if (field->tag == kRun && !field->get(head.run)) {
            return {body.size(), 0};
        }
        if (!layers_at && (field->tag == kCounts || field->tag == kRouterEntropy)) {
            layers_at = at;
        }
        has_mean = has_mean || (field->tag == kMean && !layers_at);
        has_entropies = has_entropies || (field->tag == kRouterEntropy && field->count > 0);
        at = body.size() - reader.left();
    }
    // Where the mean of the entropies is no value of its own (older records), it is taken from them.
    const bool is_cut = reader.complete() && layers_at && (has_mean || !has_entropies);
    return is_cut ? RecordHead{*layers_at, head.run} : RecordHead{body.size(), 0};
}

std::uint64_t RankRecord::rows_between(std::size_t from, std::size_t to, std::optional<std::size_t> layer) const {
    const std::size_t N = ranks, G = expert_ranks;
    if (from / G != to / G) {
        return 0;  // other groups have experts of their own
    }
    std::uint64_t sum = 0;
    const std::size_t first = layer.value_or(0), end = layer ? first + 1 : layers;
    for (std::size_t at = first; at < std::min<std::size_t>(end, layers); ++at) {
        sum += rows[(at * N + from) * G + to % G];
    }
    return sum;
}

std::uint64_t RankRecord::load_of(std::size_t rank, std::optional<std::size_t> layer) const {
    std::uint64_t sum = 0;
    const std::size_t first = layer.value_or(0), end = layer ? first + 1 : layers;
    for (std::size_t at = first; at < std::min<std::size_t>(end, layers); ++at) {
        sum += load[at * ranks + rank];
    }
    return sum;
}

bool RankRecord::same_shape(const RankRecord& other) const {
    return ranks == other.ranks && expert_ranks == other.expert_ranks && layers == other.layers &&
           tokens_travel == other.tokens_travel && row_bytes == other.row_bytes;
}

void RankRecord::add(const RankRecord& later) {
    if (!same_shape(later)) {
        return;
    }
    step = later.step;
    steps += later.steps;
    add_to(compute_ms, later.compute_ms);
    add_to(waiting_ms, later.waiting_ms);
    memory_bytes = later.memory_bytes;
    add_to(load, later.load);
    add_to(rows, later.rows);
    add_to(bytes, later.bytes);
}

void RankRecord::fold_layers() {
    const auto fold = [this](std::vector<std::uint64_t>& table) {
        const std::size_t each = layers == 0 ? 0 : table.size() / layers;
        for (std::size_t i = each; i < table.size(); ++i) {
            table[i % each] += table[i];
        }
        table.resize(each);
    };
    fold(load);
    fold(rows);
    layers = std::min<std::uint16_t>(layers, 1);
}

std::size_t RankRecord::size() const {
    return sizeof(double) *
           (compute_ms.size() + waiting_ms.size() + memory_bytes.size() + load.size() + rows.size() + bytes.size());
}

std::vector<std::byte> encode_ranks(const RankRecord& record) {
    std::vector<std::byte> body;
    FieldWriter fields(body, kLayout);
    fields.put(kRun, record.run);
    fields.put(kStep, record.step);
    fields.put(kLayers, record.layers);
    fields.put(kSteps, record.steps);
    fields.put(kRanks, record.ranks);
    fields.put(kExpertRanks, record.expert_ranks);
    fields.put(kTokensTravel, record.tokens_travel);
    fields.put(kRowBytes, record.row_bytes);
    fields.put_array(kComputeMs, record.compute_ms);
    fields.put_array(kWaitingMs, record.waiting_ms);
    fields.put_array(kRankMemory, record.memory_bytes);
    fields.put_array(kRankLoad, record.load);
    fields.put_array(kRankRows, record.rows);
    fields.put_array(kRankTraffic, record.bytes);
    return body;
}

std::optional<RankRecord> decode_ranks(std::span<const std::byte> body) {
    FieldReader reader(body);
    if (reader.layout() != kLayout) {
        return std::nullopt;
    }
    RankRecord record;
    while (const auto field = reader.next()) {
        if (!take_rank_field(*field, record)) {
            return std::nullopt;
        }
    }
    return reader.complete() && whole(record) ? std::optional(std::move(record)) : std::nullopt;
}

std::vector<std::byte> encode_tokens(const TokenBatch& batch) {
    const std::size_t each = std::size_t{batch.layers} * batch.top_k;
    TokenColumns columns;
    for (const TokenRecord& token : std::span(batch.tokens).first(std::min(batch.tokens.size(), kMostTokens))) {
        columns.chosen.add(token.chosen);
        const auto alternatives = std::min<std::size_t>(token.alternatives.size(), 255);
        columns.alternative_counts.push_back(static_cast<std::uint8_t>(alternatives));
        for (std::size_t i = 0; i < alternatives; ++i) {
            columns.alternatives.add(token.alternatives[i]);
        }
        const bool has_experts = !token.experts.empty() && token.experts.size() == each;
        columns.has_experts.push_back(has_experts ? 1 : 0);
        if (has_experts) {
            columns.experts.insert(columns.experts.end(), token.experts.begin(), token.experts.end());
        }
    }
    std::vector<std::byte> body;
    FieldWriter fields(body, kLayout);
    fields.put(kRun, batch.run);
    fields.put(kFirst, batch.first);
    fields.put(kLayers, batch.layers);
    fields.put(kTopK, batch.top_k);
    fields.put_array(kIds, columns.chosen.ids);
    fields.put_array(kLogProbabilities, columns.chosen.log_probabilities);
    fields.put_array(kLengths, columns.chosen.lengths);
    fields.put_array(kText, columns.chosen.text);
    fields.put_array(kAlternatives, columns.alternative_counts);
    fields.put_array(kAlternativeIds, columns.alternatives.ids);
    fields.put_array(kAlternativeLogs, columns.alternatives.log_probabilities);
    fields.put_array(kAlternativeLengths, columns.alternatives.lengths);
    fields.put_array(kAlternativeText, columns.alternatives.text);
    fields.put_array(kHasExperts, columns.has_experts);
    fields.put_array(kChosenExperts, columns.experts);
    return body;
}

std::optional<TokenBatch> decode_tokens(std::span<const std::byte> body) {
    FieldReader reader(body);
    if (reader.layout() == kOldLayout) {
        return decode_tokens_1(body);
    }
    if (reader.layout() != kLayout) {
        return std::nullopt;
    }
    TokenBatch batch;
    TokenColumns columns;
    while (const auto field = reader.next()) {
        if (!take_token_field(*field, batch, columns)) {
            return std::nullopt;
        }
    }
    if (!reader.complete() || !take_tokens(batch, columns)) {
        return std::nullopt;
    }
    return batch;
}

std::vector<std::byte> encode_routing(const RoutingPiece& piece) {
    std::vector<std::byte> body;
    body.reserve(16 + piece.packed.size());
    base::Writer writer(body);
    writer.put(piece.run);
    writer.put(std::uint32_t{0});
    writer.put(piece.token);
    writer.put_array(piece.packed);
    return body;
}

std::optional<RoutingPiece> decode_routing(std::span<const std::byte> body) {
    base::Reader reader(body);
    RoutingPiece piece;
    piece.run = reader.get<std::uint32_t>();
    const auto reserved = reader.get<std::uint32_t>();
    piece.token = reader.get<std::uint64_t>();
    if (!reader.good() || reserved != 0) {
        return std::nullopt;
    }
    piece.packed = body.last(reader.left());
    return piece;
}

std::vector<std::byte> encode_json(const nlohmann::json& value) {
    return bytes_of(base::dump_json(value));
}

std::optional<nlohmann::json> decode_json(std::span<const std::byte> body) {
    return base::parse_object(body, kDataBodyLimit);
}

}  // namespace moescope::protocol
