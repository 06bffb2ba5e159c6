#include "engine/model/rank_work.hpp"

#include <algorithm>
#include <numeric>

#include "engine/model/transformer.hpp"

namespace moescope::engine {

using namespace kernels;

int first_expert(const ModelConfig& model, int expert_ranks, int expert_rank) {
    return static_cast<int>(static_cast<std::int64_t>(model.experts) * expert_rank / expert_ranks);
}

ExpertShare expert_share(const ModelConfig& model, const RankShape& ranks) {
    const int first = first_expert(model, ranks.expert_ranks, ranks.expert_rank);
    return {first, first_expert(model, ranks.expert_ranks, ranks.expert_rank + 1) - first};
}

bool looks_at_batch(const RouterShape& shape) {
    switch (shape.choice) {
        case Choice::expert:
        case Choice::sinkhorn:
        case Choice::quantile:
            return true;
        case Choice::token:
        case Choice::hash:
            break;
    }
    return shape.capacity_factor > 0;
}

void check_ranks(const RunConfig& config, const RankShape& ranks, int processes) {
    const auto refuse = [](bool wrong, const Sentence& sentence) {
        if (wrong) {
            throw Error(sentence);
        }
    };
    refuse(ranks.expert_ranks < 1 || processes % ranks.expert_ranks != 0,
           say("the experts can't be shared by groups of {} out of {} ranks: the ranks must be a multiple of it",
               ranks.expert_ranks, processes));
    refuse(config.train.batch % ranks.ranks != 0,
           say("{} ranks can't share a batch of {} sequences evenly: choose a batch that is a multiple of the ranks",
               ranks.ranks, config.train.batch));
    refuse(ranks.expert_ranks > 1 && config.model.dense_layers >= config.model.layers,
           say("the model has no experts that {} ranks could share", ranks.expert_ranks));
    refuse(ranks.expert_ranks > config.model.experts,
           say("{} experts can't be shared by {} ranks: each needs at least one", config.model.experts,
               ranks.expert_ranks));
}

RankShape shape_of(const TrainConfig& train) {
    const int sharing = train.all_to_all ? 1 : train.expert_parallel;  // of the same sequences
    RankShape shape;
    shape.ranks = std::max(1, train.processes / sharing);
    shape.expert_ranks = train.expert_parallel;
    shape.own_sequences = train.all_to_all;
    return shape;
}

RankWork::RankWork(comm::Comm& world, comm::Comm& device, const RankShape& shape, const ModelConfig& model)
    : world_(world), device_(device), model_(model), shape_(shape) {
    const int group = world.rank() / shape_.expert_ranks;
    group_ = world.split(group);
    replicas_ = world.split(shape_.expert_rank);
    device_group_ = device.split(group);
    device_replicas_ = device.split(shape_.expert_rank);
    const auto layers = static_cast<std::size_t>(model.layers + model.prediction_depth);
    counts_NE_.resize(layers);
    whole_.assign(layers, 0);
    load_L_.assign(layers, 0);
    sent_LN_.assign(layers * static_cast<std::size_t>(shape.expert_ranks), 0);
}

void RankWork::gather(void* all, const void* mine, std::uint64_t bytes) {
    device_batch().all_gather(all, mine, bytes);
}

std::int64_t RankWork::plan_own_rows(Ops& ops, std::size_t layer, const std::uint32_t* counts_E,
                                     std::int32_t* owned_offsets_E1) {
    std::vector<std::uint32_t>& counts = counts_NE_[layer];
    counts.resize(static_cast<std::size_t>(model_.experts));
    ops.download(counts.data(), counts_E, counts.size() * sizeof(std::uint32_t));
    const ExpertShare share = expert_share(model_, shape_);
    offsets_.assign(1, 0);
    for (int e = share.first; e < share.first + share.count; ++e) {
        offsets_.push_back(offsets_.back() + static_cast<std::int32_t>(counts[static_cast<std::size_t>(e)]));
    }
    ops.upload(owned_offsets_E1, offsets_.data(), offsets_.size() * sizeof(std::int32_t));
    load_L_[layer] += static_cast<std::uint64_t>(offsets_.back());
    return first_own_row(layer);
}

std::int64_t RankWork::first_own_row(std::size_t layer) const {
    const auto counts = counts_NE_[layer].begin();
    return std::accumulate(counts, counts + expert_share(model_, shape_).first, std::int64_t{0});
}

std::int64_t RankWork::all_rows(std::size_t layer) const {
    return std::accumulate(counts_NE_[layer].begin(), counts_NE_[layer].end(), std::int64_t{0});
}

void RankWork::share_rows(std::size_t layer, float* rows_RD) {
    own_.clear();
    owned_.clear();
    std::uint64_t row = 0;
    for (int owner = 0; owner < shape_.expert_ranks; ++owner) {
        const auto counts = counts_NE_[layer].begin();
        const std::uint64_t rows =
            std::accumulate(counts + first_expert(model_, shape_.expert_ranks, owner),
                            counts + first_expert(model_, shape_.expert_ranks, owner + 1), std::uint64_t{0});
        for (int other = 0; other < shape_.expert_ranks && owner == shape_.expert_rank; ++other) {
            own_.push_back({other, row, rows});
        }
        owned_.push_back({owner, row, rows});
        row += rows;
    }
    send_rows(layer, rows_RD, owned_, rows_RD, own_);
}

void RankWork::list_own(std::size_t layer) {
    const std::uint32_t* counts_E =
        counts_NE_[layer].data() + static_cast<std::ptrdiff_t>(shape_.expert_rank) * model_.experts;
    own_.clear();
    std::uint64_t row = 0;
    for (int owner = 0; owner < shape_.expert_ranks; ++owner) {
        const int end = first_expert(model_, shape_.expert_ranks, owner + 1);
        for (int e = first_expert(model_, shape_.expert_ranks, owner); e < end; ++e) {
            own_.push_back({owner, row, counts_E[e]});
            row += counts_E[e];
        }
    }
}

void RankWork::list_owned(std::size_t layer) {
    const ExpertShare share = expert_share(model_, shape_);
    owned_.clear();
    std::uint64_t row = 0;
    for (int e = share.first; e < share.first + share.count; ++e) {
        for (int source = 0; source < shape_.expert_ranks; ++source) {
            const std::uint32_t rows = counts_NE_[layer][static_cast<std::size_t>(source * model_.experts + e)];
            owned_.push_back({source, row, rows});
            row += rows;
        }
    }
}

void RankWork::plan_rows(Ops& ops, std::size_t layer, const std::uint32_t* counts_E, std::int32_t* owned_offsets_E1) {
    const auto E = static_cast<std::size_t>(model_.experts), N = static_cast<std::size_t>(shape_.expert_ranks);
    std::vector<std::uint32_t>& counts_NE = counts_NE_[layer];
    counts_NE.resize(N * E);
    std::uint32_t* mine = counts_NE.data() + static_cast<std::size_t>(shape_.expert_rank) * E;
    ops.download(mine, counts_E, E * sizeof(std::uint32_t));
    group_->all_gather(counts_NE.data(), mine, E * sizeof(std::uint32_t));
    list_owned(layer);
    offsets_.assign(1, 0);
    for (std::size_t i = N - 1; i < owned_.size(); i += N) {
        offsets_.push_back(static_cast<std::int32_t>(owned_[i].row + owned_[i].rows));
    }
    ops.upload(owned_offsets_E1, offsets_.data(), offsets_.size() * sizeof(std::int32_t));
    load_L_[layer] += static_cast<std::uint64_t>(offsets_.back());
}

void RankWork::count_rows(Ops& ops, std::size_t layer, const std::uint32_t* counts_E) {
    std::vector<std::uint32_t>& counts = counts_NE_[layer];
    counts.resize(static_cast<std::size_t>(model_.experts));
    ops.download(counts.data(), counts_E, counts.size() * sizeof(std::uint32_t));
    load_L_[layer] += static_cast<std::uint64_t>(all_rows(layer));
}

void RankWork::begin_counting() {
    std::fill(load_L_.begin(), load_L_.end(), 0);
    std::fill(sent_LN_.begin(), sent_LN_.end(), 0);
}

void RankWork::send_rows(std::size_t layer, float* into, const std::vector<Segment>& in, const float* from,
                         const std::vector<Segment>& out) {
    const std::uint64_t width = row_bytes();
    const auto* source = reinterpret_cast<const std::byte*>(from);
    auto* target = reinterpret_cast<std::byte*>(into);
    out_.clear();
    in_.clear();
    for (const Segment& part : out) {
        out_.push_back({part.rank, source + part.row * width, part.rows * width});
        if (part.rank != shape_.expert_rank) {
            row_bytes_ += part.rows * width;
            sent_LN_[layer * static_cast<std::size_t>(shape_.expert_ranks) + static_cast<std::size_t>(part.rank)] +=
                part.rows;
        }
    }
    for (const Segment& part : in) {
        in_.push_back({part.rank, target + part.row * width, part.rows * width});
    }
    device_group_->exchange(out_, in_);
}

void RankWork::to_owners(std::size_t layer, float* owned_RD, const float* rows_RD) {
    list_own(layer);
    list_owned(layer);
    send_rows(layer, owned_RD, owned_, rows_RD, own_);
}

void RankWork::to_tokens(std::size_t layer, float* rows_RD, const float* owned_RD) {
    list_own(layer);
    list_owned(layer);
    send_rows(layer, rows_RD, own_, owned_RD, owned_);
}

std::vector<std::uint64_t> RankWork::rows_between(std::size_t layer) const {
    const auto N = static_cast<std::size_t>(shape_.expert_ranks), E = static_cast<std::size_t>(model_.experts);
    std::vector<std::uint64_t> rows(N * N, 0);
    for (std::size_t from = 0; from < N && !counts_NE_[layer].empty(); ++from) {
        for (std::size_t to = 0; to < N; ++to) {
            const auto counts = counts_NE_[layer].begin() + static_cast<std::ptrdiff_t>(from * E);
            const int n = static_cast<int>(to);
            rows[from * N + to] =
                std::accumulate(counts + first_expert(model_, shape_.expert_ranks, n),
                                counts + first_expert(model_, shape_.expert_ranks, n + 1), std::uint64_t{0});
        }
    }
    return rows;
}

namespace {

/// Balance loss of the whole batch (kernels/cpu/router.hpp) from what its ranks counted.
double balance_of(const double* choices_E, const double* q_sums_E, const std::uint64_t* earlier_E, double earlier,
                  const RouterShape& all) {
    const double tokens = static_cast<double>(all.T), E = static_cast<double>(all.E);
    double balance = 0;
    for (std::int64_t e = 0; e < all.E; ++e) {
        const double before = earlier_E == nullptr ? 0.0 : static_cast<double>(earlier_E[e]);
        const double f = (choices_E[e] + before) / ((tokens + earlier) * static_cast<double>(all.K));
        balance += E * f * (q_sums_E[e] / tokens);
    }
    return balance;
}

}  // namespace

void RankWork::share_router(Ops& ops, const Activations& state, const ParameterLayout& layout, const RouterMode& mode,
                            int batch, int length, const std::uint64_t* earlier_choices_LE,
                            std::uint64_t earlier_tokens, std::vector<RouterLosses>& losses,
                            std::vector<std::uint64_t>& choices_LE) {
    const auto E = static_cast<std::size_t>(model_.experts), L = state.layers.size();
    constexpr std::size_t kLosses = 4;
    const std::size_t each = 2 * E + kLosses;
    const double n = shape_.ranks;
    values_.assign(L * each, 0.0);
    own_choices_.resize(E);
    others_LE_.assign(L * E, 0);
    choices_LE.assign(L * E, 0);
    ops.download(losses.data(), state.router_losses, L * sizeof(RouterLosses));
    for (std::size_t layer = 0; layer < L; ++layer) {
        // Who decided for all has the sums of all: one of them is enough.
        if (!layout.layers[layer].has_experts() || (whole_[layer] != 0 && shape_.rank > 0)) {
            continue;
        }
        double* sums = values_.data() + layer * each;
        ops.download(own_choices_.data(), state.layers[layer].routed.choices_E, E * sizeof(std::uint32_t));
        std::copy(own_choices_.begin(), own_choices_.end(), sums);
        const double share = whole_[layer] != 0 ? 1.0 : 1.0 / n;
        if (whole_[layer] == 0) {
            ops.download(sums + E, state.layers[layer].routed.q_sums_E, E * sizeof(double));
        }
        const RouterLosses& own = losses[layer];
        const double values[kLosses] = {share * own.balance, share * own.z, share * own.entropy,
                                        static_cast<double>(own.dropped)};
        std::copy(values, values + kLosses, sums + 2 * E);
    }
    this->batch().all_reduce(std::span(values_));
    for (std::size_t layer = 0; layer < L; ++layer) {
        if (!layout.layers[layer].has_experts()) {
            continue;
        }
        const double *sums = values_.data() + layer * each, *shared = sums + 2 * E;
        const std::uint64_t* earlier_E =
            mode.balance == Balance::global && earlier_choices_LE != nullptr ? earlier_choices_LE + layer * E : nullptr;
        RouterShape all = router_shape(model_, mode, layer, batch, length);
        all.T *= shape_.ranks;
        losses[layer] = {shared[0], shared[1], shared[2], static_cast<std::uint64_t>(shared[3])};
        if (whole_[layer] == 0 && (mode.balance == Balance::batch || mode.balance == Balance::global)) {
            losses[layer].balance = balance_of(sums, sums + E, earlier_E,
                                               earlier_E == nullptr ? 0.0 : static_cast<double>(earlier_tokens), all);
        }
        // A layer that decided for all has all choices for its own.
        ops.download(own_choices_.data(), state.layers[layer].routed.choices_E, E * sizeof(std::uint32_t));
        for (std::size_t e = 0; e < E; ++e) {
            choices_LE[layer * E + e] = static_cast<std::uint64_t>(sums[e]);
            others_LE_[layer * E + e] =
                choices_LE[layer * E + e] - own_choices_[e] + (earlier_E == nullptr ? 0 : earlier_E[e]);
        }
    }
    ops.upload(state.others_LE, others_LE_.data(), others_LE_.size() * sizeof(std::uint64_t));
}

}  // namespace moescope::engine
