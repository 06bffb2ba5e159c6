#include "engine/train/rank_team.hpp"

#include <algorithm>
#include <array>
#include <exception>
#include <unistd.h>

#include "base/process_memory.hpp"
#include "engine/comm/staged_comm.hpp"
#include "engine/error.hpp"
#include "engine/model/device_data.hpp"

namespace moescope::engine {
namespace {

/// What must be the same on all ranks; how many threads a rank has is its own affair.
std::string compared(RunConfig config) {
    config.train.threads = 1;
    return to_json(config).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

comm::Comm& agreed(comm::Comm& world, const TrainingRanks& ranks, const RunConfig& config,
                   const std::string& start_from) {
    const std::array<comm::Agreed, 3> texts = {
        {{marked("configuration"), compared(config)},
         {marked("data and checkpoint"), start_from},
         {marked("sharing of experts"), fmt::format("{} {}", ranks.expert_ranks, ranks.own_sequences)}}};
    comm::require_same(world, texts);
    return world;
}

/// Null where the operations work on the host's memory.
std::unique_ptr<comm::Comm> with_memory_of(kernels::Ops& ops, comm::Comm& world, const TrainingRanks& ranks) {
    if (ops.host_memory()) {
        return nullptr;
    }
    auto memory = memory_of(ops);
    return ranks.open_direct ? ranks.open_direct(world, std::move(memory)) : comm::staged(world, std::move(memory));
}

/// The longest stretches of neighbouring tensors of one kind.
template <class Take>
void in_stretches(const ParameterLayout& layout, const Take& take) {
    const auto& tensors = layout.tensors;
    for (std::size_t begin = 0; begin < tensors.size();) {
        const bool experts = tensors[begin].part == TensorPart::experts;
        std::size_t end = begin + 1;
        while (end < tensors.size() && (tensors[end].part == TensorPart::experts) == experts) {
            ++end;
        }
        const std::uint64_t first = tensors[begin].offset;
        take(experts, first, tensors[end - 1].offset + tensors[end - 1].count - first);
        begin = end;
    }
}

}  // namespace

RankShape shape_of(const TrainingRanks& ranks, const RunConfig& config) {
    RankShape shape;
    if (ranks.world != nullptr) {
        const int processes = ranks.world->size(), process = ranks.world->rank();
        shape.expert_ranks = ranks.expert_ranks;
        shape.expert_rank = process % ranks.expert_ranks;
        shape.own_sequences = ranks.own_sequences;
        const int sharing = ranks.own_sequences ? 1 : ranks.expert_ranks;  // of the same sequences
        shape.ranks = processes / sharing;
        shape.rank = process / sharing;
        check_ranks(config, shape, processes);
    }
    return shape;
}

RankTeam::RankTeam(const TrainingRanks& ranks, const RunConfig& config, const std::string& start_from,
                   kernels::Ops& ops)
    : world_(ranks.world),
      model_(config.model),
      device_(with_memory_of(ops, agreed(*ranks.world, ranks, config, start_from), ranks)),
      direct_(device_ != nullptr && ranks.open_direct != nullptr),
      work_(*world_, device_ != nullptr ? *device_ : *world_, shape_of(ranks, config), config.model) {
    for (int rank = 0; rank < world_->size(); ++rank) {
        const RankShape shape = shape_of_process(work_.shape(), rank);
        shares_.push_back(optimizer_share(config, make_layout(model_, expert_share(model_, shape)), shape));
    }
}

RankTeam::~RankTeam() {
    if (lost_) {
        abort();
        return;
    }
    try {
        if (leads()) {
            send({});
        }
    } catch (const std::exception&) {
        abort();  // who is lost need not be told
    }
}

/// Who waits in the other way would wait for its patience.
void RankTeam::abort() noexcept {
    if (device_ != nullptr) {
        device_->abort();
    }
    world_->abort();
}

void RankTeam::require_whole() const {
    if (lost_) {
        throw Error(say("the ranks of this run no longer work together; go on from its last checkpoint"));
    }
}

void RankTeam::send(const RankOrder& order) {
    guarded([&] {
        std::array<std::int64_t, 6> numbers = {static_cast<std::int64_t>(order.task),
                                               static_cast<std::int64_t>(order.buffer),
                                               order.layer,
                                               order.expert,
                                               order.on,
                                               static_cast<std::int64_t>(order.settings.size())};
        world_->broadcast(numbers.data(), sizeof numbers, 0, comm::Patience::endless);
        std::string settings = order.settings;
        world_->broadcast(settings.data(), settings.size(), 0, comm::Patience::endless);
    });
}

RankOrder RankTeam::wait() {
    return guarded([&] {
        std::array<std::int64_t, 6> numbers{};
        world_->broadcast(numbers.data(), sizeof numbers, 0, comm::Patience::endless);
        RankOrder order{static_cast<RankTask>(numbers[0]),
                        static_cast<FlatBuffer>(numbers[1]),
                        numbers[2],
                        numbers[3],
                        numbers[4],
                        std::string(static_cast<std::size_t>(numbers[5]), '\0')};
        world_->broadcast(order.settings.data(), order.settings.size(), 0, comm::Patience::endless);
        return order;
    });
}

void RankTeam::add_gradients(float* gradients, const ParameterLayout& layout) {
    in_stretches(layout, [&](bool experts, std::uint64_t first, std::uint64_t count) {
        comm::Comm& ranks = experts ? work_.device_replicas() : work_.device_batch();
        if (ranks.size() > 1) {
            ranks.all_reduce(std::span(gradients + first, count));
        }
    });
}

void RankTeam::add_square_sums(std::vector<double>& sums, const ParameterLayout& layout) {
    if (!work_.shares_experts()) {
        return;
    }
    for (std::size_t i = 0; i < sums.size(); ++i) {
        if (layout.tensors[i].part != TensorPart::experts && work_.shape().expert_rank > 0) {
            sums[i] = 0;  // the same on all
        }
    }
    work_.group().all_reduce(std::span(sums));
}

void RankTeam::share_parameters(float* parameters, const ParameterLayout& layout) {
    const int own = world_->rank(), groups = work_.shape().expert_ranks;
    // The pieces that `owner` moved and `with` holds as well: where they begin in the layout, and their bytes.
    const auto each_shared = [&](int owner, int with, const auto& take) {
        for (const OptimizerPiece& piece : shares_[static_cast<std::size_t>(owner)].pieces) {
            if (!piece.experts || owner % groups == with % groups) {
                take(layout.tensors[piece.tensor].offset + piece.begin, piece.count * sizeof(float));
            }
        }
    };
    out_.clear();
    in_.clear();
    for (int rank = 0; rank < world_->size(); ++rank) {
        if (rank != own) {
            each_shared(own, rank, [&](std::uint64_t at, std::uint64_t bytes) {
                out_.push_back({rank, parameters + at, bytes});
            });
            each_shared(rank, own, [&](std::uint64_t at, std::uint64_t bytes) {
                in_.push_back({rank, parameters + at, bytes});
            });
        }
    }
    (device_ != nullptr ? *device_ : *world_).exchange(out_, in_);
}

void RankTeam::count(comm::CommCounters& into) const {
    into = world_->counters();
    const auto n = static_cast<std::size_t>(world_->size());
    into.sent.resize(n);
    into.received.resize(n);
    if (direct_) {
        const comm::CommCounters& more = device_->counters();
        into.waiting += more.waiting;
        for (std::size_t rank = 0; rank < more.sent.size(); ++rank) {
            into.sent[rank] += more.sent[rank];
            into.received[rank] += more.received[rank];
        }
    }
}

void RankTeam::begin_step() {
    begin_ = std::chrono::steady_clock::now();
    count(before_);
    work_.begin_counting();
}

void RankTeam::end_step(RankStep& into) {
    const auto N = static_cast<std::size_t>(world_->size()), G = static_cast<std::size_t>(work_.shape().expert_ranks),
               L = work_.layers();
    constexpr std::size_t kTimes = 3;
    const std::size_t each = kTimes + N + L + L * G;
    figures_.resize(leads() ? N * each : each);
    const auto take = [](std::span<const std::uint64_t> from, double* to) {
        return std::transform(from.begin(), from.end(), to, [](std::uint64_t x) { return static_cast<double>(x); });
    };
    const auto fill = [&](double* own) {
        count(now_);
        const comm::CommCounters& now = now_;
        const double waiting = 1e3 * (now.waiting - before_.waiting);
        own[0] = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin_).count() - waiting;
        own[1] = waiting;
        own[2] = static_cast<double>(base::resident_memory(getpid()));
        double* next = own + kTimes;
        for (std::size_t to = 0; to < N; ++to) {
            *next++ = static_cast<double>(now.sent[to] - before_.sent[to]);
        }
        take(work_.sent_LN(), take(work_.load_L(), next));
    };
    if (!leads()) {
        fill(figures_.data());
        const comm::Outgoing out{0, figures_.data(), each * sizeof(double)};
        world_->exchange({&out, 1}, {});
        return;
    }
    in_.clear();
    for (std::size_t rank = 1; rank < N; ++rank) {
        in_.push_back({static_cast<int>(rank), figures_.data() + rank * each, each * sizeof(double)});
    }
    world_->exchange({}, in_);
    fill(figures_.data());  // with what it waited for the others
    into.ranks = N;
    into.expert_ranks = G;
    into.layers = L;
    into.tokens_travel = work_.tokens_travel();
    into.row_bytes = work_.row_bytes();
    into.compute_ms.resize(N);
    into.waiting_ms.resize(N);
    into.memory_bytes.resize(N);
    into.bytes.resize(N * N);
    into.load.resize(L * N);
    into.rows.resize(L * N * G);
    for (std::size_t rank = 0; rank < N; ++rank) {
        const double* next = figures_.data() + rank * each;
        const auto count = [&next] { return static_cast<std::uint64_t>(*next++); };
        into.compute_ms[rank] = *next++;
        into.waiting_ms[rank] = *next++;
        into.memory_bytes[rank] = *next++;
        for (std::size_t to = 0; to < N; ++to) {
            into.bytes[rank * N + to] = count();
        }
        for (std::size_t layer = 0; layer < L; ++layer) {
            into.load[layer * N + rank] = count();
        }
        for (std::size_t layer = 0; layer < L; ++layer) {
            for (std::size_t to = 0; to < G; ++to) {
                into.rows[(layer * N + rank) * G + to] = count();
            }
        }
    }
}

const float* RankTeam::whole(const float* mine, const ParameterLayout& layout) {
    const RankShape& shape = work_.shape();
    if (!work_.shares_experts()) {
        return leads() ? mine : nullptr;
    }
    if (world_->rank() >= shape.expert_ranks) {
        return nullptr;  // the others have the same experts
    }
    const ParameterLayout all = make_layout(model_);
    out_.clear();
    in_.clear();
    if (!leads()) {
        for (const HeldTensor& tensor : held_tensors(all, layout)) {
            if (tensor.experts) {
                out_.push_back({0, mine + tensor.here, tensor.count * sizeof(float)});
            }
        }
        work_.group().exchange(out_, in_);
        return nullptr;
    }
    whole_.assign(all.floats, 0.0f);
    for (const HeldTensor& tensor : held_tensors(all, layout)) {
        std::copy_n(mine + tensor.here, tensor.count, whole_.data() + tensor.whole);
    }
    for (int rank = 1; rank < shape.expert_ranks; ++rank) {
        RankShape other = shape;
        other.expert_rank = rank;
        for (const HeldTensor& tensor : held_tensors(all, make_layout(model_, expert_share(model_, other)))) {
            if (tensor.experts) {
                in_.push_back({rank, whole_.data() + tensor.whole, tensor.count * sizeof(float)});
            }
        }
    }
    work_.group().exchange(out_, in_);
    return whole_.data();
}

const float* RankTeam::whole_moment(const float* mine) {
    const auto own = static_cast<std::size_t>(world_->rank());
    out_.clear();
    in_.clear();
    if (!leads()) {
        for (const OptimizerPiece& piece : shares_[own].pieces) {
            out_.push_back({0, mine + piece.here, piece.count * sizeof(float)});
        }
        world_->exchange(out_, in_);
        return nullptr;
    }
    const ParameterLayout all = make_layout(model_);
    whole_.assign(all.floats, 0.0f);
    for (std::size_t rank = 0; rank < shares_.size(); ++rank) {
        const RankShape shape = shape_of_process(work_.shape(), static_cast<int>(rank));
        const std::vector<HeldTensor> held = held_tensors(all, make_layout(model_, expert_share(model_, shape)));
        for (const OptimizerPiece& piece : shares_[rank].pieces) {
            float* into = whole_.data() + held[piece.tensor].whole + piece.begin;
            if (rank == own) {
                std::copy_n(mine + piece.here, piece.count, into);
            } else {
                in_.push_back({static_cast<int>(rank), into, piece.count * sizeof(float)});
            }
        }
    }
    world_->exchange(out_, in_);
    return whole_.data();
}

}  // namespace moescope::engine
