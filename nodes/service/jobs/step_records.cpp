#include "nodes/service/jobs/step_records.hpp"

#include <numeric>

namespace moescope::node {

protocol::StepRecord step_record(const engine::StepStats& stats, const engine::ModelConfig& model) {
    protocol::StepRecord record;
    static_cast<base::StepValues&>(record) = stats;
    if (!stats.ranks.empty()) {
        const std::vector<double>& memory = stats.ranks.memory_bytes;
        record.memory_bytes = std::accumulate(memory.begin(), memory.end(), 0.0);
    }
    record.step = stats.step;
    record.tokens_total = stats.tokens_total;
    record.layers = static_cast<std::uint16_t>(model.layers);
    record.experts = static_cast<std::uint16_t>(model.experts);
    record.top_k = static_cast<std::uint16_t>(model.experts_per_token);
    record.counts = stats.counts;
    record.router_entropy = stats.router_entropy;
    record.expert_errors = stats.expert_errors;
    return record;
}

protocol::RankRecord rank_record(const engine::RankStep& ranks, std::uint64_t step) {
    protocol::RankRecord record;
    record.step = step;
    record.ranks = static_cast<std::uint16_t>(ranks.ranks);
    record.expert_ranks = static_cast<std::uint16_t>(ranks.expert_ranks);
    record.layers = static_cast<std::uint16_t>(ranks.layers);
    record.tokens_travel = ranks.tokens_travel ? 1 : 0;
    record.row_bytes = static_cast<std::uint32_t>(ranks.row_bytes);
    record.compute_ms = ranks.compute_ms;
    record.waiting_ms = ranks.waiting_ms;
    record.memory_bytes = ranks.memory_bytes;
    record.load = ranks.load;
    record.rows = ranks.rows;
    record.bytes = ranks.bytes;
    return record;
}

engine::StepStats step_stats(const protocol::StepRecord& record) {
    engine::StepStats stats;
    static_cast<base::StepValues&>(stats) = record;
    stats.step = record.step;
    stats.tokens_total = record.tokens_total;
    stats.counts = record.counts;
    stats.router_entropy = record.router_entropy;
    stats.expert_errors = record.expert_errors;
    return stats;
}

engine::RankStep rank_step(const protocol::RankRecord& record) {
    engine::RankStep ranks;
    ranks.ranks = record.ranks;
    ranks.expert_ranks = record.expert_ranks;
    ranks.layers = record.layers;
    ranks.tokens_travel = record.tokens_travel != 0;
    ranks.row_bytes = record.row_bytes;
    ranks.compute_ms = record.compute_ms;
    ranks.waiting_ms = record.waiting_ms;
    ranks.memory_bytes = record.memory_bytes;
    ranks.load = record.load;
    ranks.rows = record.rows;
    ranks.bytes = record.bytes;
    return ranks;
}

}  // namespace moescope::node
