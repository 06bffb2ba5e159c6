#include "nodes/protocol/old_layouts.hpp"

#include <limits>

#include "base/little_endian.hpp"

namespace moescope::protocol {

namespace {

// The least that one entry takes, for checks before anything is allocated.
constexpr std::size_t kCandidateBytes = 4 + 4 + 2;
constexpr std::size_t kTokenBytes = kCandidateBytes + 1 + 1;

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
    if (!reader.good() || has_experts > 1 || alternatives > reader.left() / kCandidateBytes) {
        return false;
    }
    token.alternatives.reserve(alternatives);
    for (int i = 0; i < alternatives && reader.good(); ++i) {
        token.alternatives.push_back(get_candidate(reader));
    }
    return has_experts ? reader.get_array(token.experts, expert_count) : reader.good();
}

/// Layout 1 had 0 for what was not computed. A layer without a router had no tokens and an entropy of 0.
void take_out_zeros(StepRecord& record) {
    for (double* value : {&record.balance_loss, &record.z_loss}) {
        if (*value == 0) {
            *value = base::kAbsent;  // of a router that has chosen anything neither is exactly 0
        }
    }
    const std::size_t experts = record.experts, cells = record.layers * experts;
    for (std::size_t layer = 0; layer < record.router_entropy.size(); ++layer) {
        std::uint64_t tokens = 0;
        for (std::size_t at = layer * experts; at < record.counts.size(); at += cells) {
            for (std::size_t expert = 0; expert < experts; ++expert) {
                tokens += record.counts[at + expert];
            }
        }
        if (tokens == 0 && record.router_entropy[layer] == 0) {
            record.router_entropy[layer] = std::numeric_limits<float>::quiet_NaN();
        }
    }
    record.router_entropy_mean = base::mean_router_entropy(record.router_entropy);
}

}  // namespace

std::optional<StepRecord> decode_step_1(std::span<const std::byte> body) {
    base::Reader reader(body);
    StepRecord record;
    reader.skip(1);  // the layout
    if (reader.get<std::uint8_t>() != base::kStepParts) {
        return std::nullopt;
    }
    record.layers = reader.get<std::uint16_t>();
    record.experts = reader.get<std::uint16_t>();
    record.top_k = reader.get<std::uint16_t>();
    record.run = reader.get<std::uint32_t>();
    record.step = reader.get<std::uint64_t>();
    record.tokens_total = reader.get<std::uint64_t>();
    for (double* value : {&record.loss, &record.cross_entropy, &record.balance_loss, &record.z_loss,
                          &record.gradient_norm, &record.learning_rate, &record.balance_coefficient,
                          &record.z_coefficient, &record.tokens_per_second, &record.step_ms}) {
        *value = reader.get<double>();
    }
    for (double& value : record.part_ms) {
        value = reader.get<double>();
    }
    record.memory_bytes = static_cast<double>(reader.get<std::uint64_t>());
    const std::uint64_t counts = reader.get<std::uint32_t>();
    const std::uint64_t entropies = reader.get<std::uint32_t>();
    if (!reader.good() || reader.left() != (counts + entropies) * 4 || !fits(record, counts, entropies) ||
        !reader.get_array(record.counts, counts) || !reader.get_array(record.router_entropy, entropies)) {
        return std::nullopt;
    }
    take_out_zeros(record);
    return record;
}

std::optional<TokenBatch> decode_tokens_1(std::span<const std::byte> body) {
    base::Reader reader(body);
    TokenBatch batch;
    reader.skip(1);  // the layout
    const auto reserved = reader.get<std::uint8_t>();
    batch.layers = reader.get<std::uint16_t>();
    batch.top_k = reader.get<std::uint16_t>();
    const auto count = reader.get<std::uint16_t>();
    batch.run = reader.get<std::uint32_t>();
    batch.first = reader.get<std::uint32_t>();
    if (!reader.good() || reserved != 0 || count > reader.left() / kTokenBytes) {
        return std::nullopt;
    }
    const std::size_t expert_count = std::size_t{batch.layers} * batch.top_k;
    batch.tokens.reserve(count);
    for (int i = 0; i < count; ++i) {
        if (!get_token(reader, expert_count, batch.tokens.emplace_back())) {
            return std::nullopt;
        }
    }
    if (!reader.good() || reader.left() != 0) {
        return std::nullopt;
    }
    return batch;
}

}  // namespace moescope::protocol
