#include "engine/train/optimizer_share.hpp"

#include <algorithm>

namespace moescope::engine {
namespace {

constexpr std::uint64_t kAligned = 16;  // floats: what kernels take at once, and where tensors begin

std::uint64_t aligned(std::uint64_t floats) {
    return (floats + kAligned - 1) / kAligned * kAligned;
}

/// Floats that stay together.
std::uint64_t unit_of(const RunConfig& config, const TensorSpec& tensor) {
    return config.train.optimizer == Optimizer::muon && tensor.matrices > 0 ? tensor.rows * tensor.columns : kAligned;
}

/// Processes that divide one kind of parameters.
class Division {
 public:
    Division(const RunConfig& config, const ParameterLayout& layout, bool experts, int keepers)
        : config_(config), layout_(layout), experts_(experts), keepers_(static_cast<std::uint64_t>(keepers)) {
        for (const TensorSpec& tensor : layout.tensors) {
            total_ += takes(tensor) ? tensor.count : 0;
        }
    }

    bool takes(const TensorSpec& tensor) const {
        return tensor.trainable && (tensor.part == TensorPart::experts) == experts_;
    }

    /// In the order of the layout; what they need one after the other.
    std::uint64_t pieces_of(int keeper, std::vector<OptimizerPiece>& into) const {
        const auto k = static_cast<std::uint64_t>(keeper);
        std::uint64_t before = 0, floats = 0;
        for (std::size_t i = 0; i < layout_.tensors.size(); ++i) {
            const TensorSpec& tensor = layout_.tensors[i];
            if (!takes(tensor)) {
                continue;
            }
            const std::uint64_t begin = cut(tensor, before, share(k)), end = cut(tensor, before, share(k + 1));
            if (end > begin) {
                into.push_back({i, experts_, begin, end - begin, floats});
                floats += aligned(end - begin);
            }
            before += tensor.count;
        }
        return floats;
    }

    std::uint64_t most() const {
        std::uint64_t floats = 0;
        std::vector<OptimizerPiece> unused;
        for (int keeper = 0; keeper < static_cast<int>(keepers_); ++keeper) {
            floats = std::max(floats, pieces_of(keeper, unused));
        }
        return floats;
    }

 private:
    /// Floats of this kind in front of a keeper's part, before they are rounded.
    std::uint64_t share(std::uint64_t keeper) const {
        return total_ / keepers_ * keeper + total_ % keepers_ * keeper / keepers_;
    }
    /// Where a boundary falls in a tensor that has `before` floats in front of it.
    std::uint64_t cut(const TensorSpec& tensor, std::uint64_t before, std::uint64_t boundary) const {
        const std::uint64_t unit = unit_of(config_, tensor);
        const std::uint64_t at = boundary <= before ? 0 : std::min(boundary - before, tensor.count);
        return at == tensor.count ? at : std::min((at + unit / 2) / unit * unit, tensor.count);
    }

    const RunConfig& config_;
    const ParameterLayout& layout_;
    const bool experts_;
    const std::uint64_t keepers_;
    std::uint64_t total_ = 0;
};

}  // namespace

RankShape shape_of_process(const RankShape& ranks, int process) {
    RankShape other = ranks;
    other.expert_rank = process % ranks.expert_ranks;
    other.rank = ranks.own_sequences ? process : process / ranks.expert_ranks;
    return other;
}

OptimizerShare optimizer_share(const RunConfig& config, const ParameterLayout& layout, const RankShape& ranks) {
    const Division dense(config, layout, false, ranks.processes()),
        experts(config, layout, true, ranks.processes() / ranks.expert_ranks);
    OptimizerShare share;
    const std::uint64_t of_dense = dense.pieces_of(ranks.process(), share.pieces);
    const auto first_of_experts = static_cast<std::ptrdiff_t>(share.pieces.size());
    experts.pieces_of(ranks.process() / ranks.expert_ranks, share.pieces);
    if (ranks.processes() == 1) {
        for (OptimizerPiece& piece : share.pieces) {
            piece.here = layout.tensors[piece.tensor].offset + piece.begin;
        }
        share.floats = layout.floats;
    } else {
        std::for_each(share.pieces.begin() + first_of_experts, share.pieces.end(),
                      [&](OptimizerPiece& piece) { piece.here += of_dense; });
        share.floats = dense.most() + experts.most();
    }
    std::sort(share.pieces.begin(), share.pieces.end(),
              [](const OptimizerPiece& a, const OptimizerPiece& b) { return a.tensor < b.tensor; });
    return share;
}

}  // namespace moescope::engine
