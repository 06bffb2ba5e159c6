// Layouts of the record bodies. Binary ones begin with a version byte, so that a later layout can be told apart.
#include "nodes/protocol/records.hpp"

#include <algorithm>

#include "base/json_guard.hpp"
#include "base/little_endian.hpp"
#include "nodes/protocol/frame.hpp"

namespace moescope::protocol {

namespace {

constexpr std::uint8_t kLayout = 1;
constexpr std::size_t kMaximumBytes = 64 * 1024;  // of one token's text

// The least that one entry takes, for checks before anything is allocated.
constexpr std::size_t kCandidateBytes = 4 + 4 + 2;
constexpr std::size_t kTokenBytes = kCandidateBytes + 1 + 1;

void put_candidate(base::Writer& writer, const TokenCandidate& candidate) {
    const std::size_t size = std::min(candidate.bytes.size(), kMaximumBytes - 1);
    writer.put(candidate.token);
    writer.put(candidate.log_probability);
    writer.put(static_cast<std::uint16_t>(size));
    writer.put_bytes(candidate.bytes.data(), size);
}

TokenCandidate get_candidate(base::Reader& reader) {
    TokenCandidate candidate;
    candidate.token = reader.get<std::int32_t>();
    candidate.log_probability = reader.get<float>();
    const auto size = reader.get<std::uint16_t>();
    candidate.bytes = reader.get_string(size);
    return candidate;
}

bool get_token(base::Reader& reader, std::size_t expert_count, TokenRecord& token) {
    token.chosen = get_candidate(reader);
    const auto alternatives = reader.get<std::uint8_t>();
    const auto has_experts = reader.get<std::uint8_t>();
    if (!reader.good() || has_experts > 1 || alternatives > reader.left() / kCandidateBytes)
        return false;
    token.alternatives.reserve(alternatives);
    for (int i = 0; i < alternatives && reader.good(); ++i)
        token.alternatives.push_back(get_candidate(reader));
    return has_experts ? reader.get_array(token.experts, expert_count) : reader.good();
}

}  // namespace

Channel channel_of(RecordType type) {
    switch (type) {
        case RecordType::step:
        case RecordType::evaluation:
            return Channel::metrics;
        case RecordType::sample:
        case RecordType::tokens:
        case RecordType::generation_ended:
        case RecordType::probe_draw:
            return Channel::text;
        case RecordType::run_started:
        case RecordType::run_ended:
        case RecordType::event:
        case RecordType::probe_label:
        case RecordType::log:
        case RecordType::gap:
            return Channel::events;
    }
    return Channel::bulk;
}

const char* step_part_name(StepPart part) {
    switch (part) {
        case StepPart::data:
            return "data";
        case StepPart::embedding:
            return "embedding";
        case StepPart::attention:
            return "attention";
        case StepPart::router:
            return "router";
        case StepPart::experts:
            return "experts";
        case StepPart::head:
            return "head";
        case StepPart::optimizer:
            return "optimizer";
        case StepPart::other:
            return "other";
    }
    return "other";
}

std::vector<std::byte> encode_step(const StepRecord& record) {
    std::vector<std::byte> body;
    body.reserve(256 + record.counts.size() * 4 + record.router_entropy.size() * 4);
    base::Writer writer(body);
    writer.put(kLayout);
    writer.put(static_cast<std::uint8_t>(kStepParts));
    writer.put(record.layers);
    writer.put(record.experts);
    writer.put(record.top_k);
    writer.put(record.run);
    writer.put(record.step);
    writer.put(record.tokens_total);
    for (double value : {record.loss, record.cross_entropy, record.balance_loss, record.z_loss, record.gradient_norm,
                         record.learning_rate, record.balance_coefficient, record.z_coefficient,
                         record.tokens_per_second, record.step_ms})
        writer.put(value);
    for (double value : record.part_ms)
        writer.put(value);
    writer.put(record.memory_bytes);
    writer.put(static_cast<std::uint32_t>(record.counts.size()));
    writer.put(static_cast<std::uint32_t>(record.router_entropy.size()));
    writer.put_array(std::span(record.counts));
    writer.put_array(std::span(record.router_entropy));
    return body;
}

std::optional<StepRecord> decode_step(std::span<const std::byte> body) {
    base::Reader reader(body);
    StepRecord record;
    const auto layout = reader.get<std::uint8_t>();
    const auto parts = reader.get<std::uint8_t>();
    if (layout != kLayout || parts != kStepParts)
        return std::nullopt;
    record.layers = reader.get<std::uint16_t>();
    record.experts = reader.get<std::uint16_t>();
    record.top_k = reader.get<std::uint16_t>();
    record.run = reader.get<std::uint32_t>();
    record.step = reader.get<std::uint64_t>();
    record.tokens_total = reader.get<std::uint64_t>();
    for (double* value : {&record.loss, &record.cross_entropy, &record.balance_loss, &record.z_loss,
                          &record.gradient_norm, &record.learning_rate, &record.balance_coefficient,
                          &record.z_coefficient, &record.tokens_per_second, &record.step_ms})
        *value = reader.get<double>();
    for (double& value : record.part_ms)
        value = reader.get<double>();
    record.memory_bytes = reader.get<std::uint64_t>();
    const std::uint64_t counts = reader.get<std::uint32_t>();
    const std::uint64_t entropies = reader.get<std::uint32_t>();
    // Either whole or absent: whoever draws the counts relies on their shape.
    const std::uint64_t whole = std::uint64_t{kTextLanguages} * record.layers * record.experts;
    if (!reader.good() || (counts != 0 && counts != whole) || (entropies != 0 && entropies != record.layers) ||
        reader.left() != (counts + entropies) * 4)
        return std::nullopt;
    if (!reader.get_array(record.counts, counts) || !reader.get_array(record.router_entropy, entropies))
        return std::nullopt;
    return record;
}

std::vector<std::byte> encode_tokens(const TokenBatch& batch) {
    std::vector<std::byte> body;
    base::Writer writer(body);
    writer.put(kLayout);
    writer.put(std::uint8_t{0});
    writer.put(batch.layers);
    writer.put(batch.top_k);
    writer.put(static_cast<std::uint16_t>(std::min<std::size_t>(batch.tokens.size(), 65535)));
    writer.put(batch.run);
    writer.put(batch.first);
    const std::size_t expert_count = std::size_t{batch.layers} * batch.top_k;
    for (const TokenRecord& token : std::span(batch.tokens).first(std::min<std::size_t>(batch.tokens.size(), 65535))) {
        put_candidate(writer, token.chosen);
        const auto alternatives = std::min<std::size_t>(token.alternatives.size(), 255);
        const bool has_experts = !token.experts.empty() && token.experts.size() == expert_count;
        writer.put(static_cast<std::uint8_t>(alternatives));
        writer.put(static_cast<std::uint8_t>(has_experts));
        for (std::size_t i = 0; i < alternatives; ++i)
            put_candidate(writer, token.alternatives[i]);
        if (has_experts)
            writer.put_array(std::span(token.experts));
    }
    return body;
}

std::optional<TokenBatch> decode_tokens(std::span<const std::byte> body) {
    base::Reader reader(body);
    TokenBatch batch;
    const auto layout = reader.get<std::uint8_t>();
    const auto reserved = reader.get<std::uint8_t>();
    batch.layers = reader.get<std::uint16_t>();
    batch.top_k = reader.get<std::uint16_t>();
    const auto count = reader.get<std::uint16_t>();
    batch.run = reader.get<std::uint32_t>();
    batch.first = reader.get<std::uint32_t>();
    if (!reader.good() || layout != kLayout || reserved != 0 || count > reader.left() / kTokenBytes)
        return std::nullopt;
    const std::size_t expert_count = std::size_t{batch.layers} * batch.top_k;
    batch.tokens.reserve(count);
    for (int i = 0; i < count; ++i)
        if (!get_token(reader, expert_count, batch.tokens.emplace_back()))
            return std::nullopt;
    if (!reader.good() || reader.left() != 0)
        return std::nullopt;
    return batch;
}

std::vector<std::byte> encode_json(const nlohmann::json& value) {
    return bytes_of(base::dump_json(value));
}

std::optional<nlohmann::json> decode_json(std::span<const std::byte> body) {
    auto value = base::parse_json(body, kDataBodyLimit);
    if (!value || !value->is_object())
        return std::nullopt;
    return value;
}

}  // namespace moescope::protocol
