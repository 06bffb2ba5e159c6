// What several ranks do together within a pass over one batch.
//
// A group of `expert_ranks` neighbours shares the experts: each keeps some of every layer. Either the group takes the
// same sequences, each rank works on the rows of its own experts and sends the results to the others: then a group has
// the bytes that one rank would have. Or each rank takes sequences of its own, gets the rows of the group's tokens that
// chose its experts, and sends the results back (own_sequences): less work for each, and the same but for rounding.
// Groups, or all ranks with own sequences, take equal shares of the batch's sequences, in order, so that their tokens
// behind each other are the batch; groups repeat each other's experts.
//
// A router that takes each token alone runs on the rank's own tokens. One that looks at the whole batch (capacity,
// expert choice, Sinkhorn, quantiles) runs on every rank over the logits of all, so that it decides as one rank would.
// Balance losses are of the whole batch in both cases.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "engine/comm/comm.hpp"
#include "engine/model/activations.hpp"
#include "engine/model/config.hpp"
#include "engine/model/parameters.hpp"
#include "kernels/ops.hpp"

namespace moescope::engine {

struct RouterControls;

/// Throws Error when a run with this batch and these experts can't be divided so among `processes`.
void check_ranks(const RunConfig& config, const RankShape& ranks, int processes);
/// Rank 0's part in a run that its configuration gives to several processes; check_ranks() says whether that can be.
RankShape shape_of(const TrainConfig& train);
/// The experts that a rank keeps.
ExpertShare expert_share(const ModelConfig& model, const RankShape& ranks);
/// Whether the router needs the logits of the whole batch.
bool looks_at_batch(const kernels::RouterShape& shape);
/// The first expert of a rank of the group; of the one behind the last: E.
int first_expert(const ModelConfig& model, int expert_ranks, int expert_rank);

class RankWork {
 public:
    /// Every rank calls it. `world` outlives this object, and so does `device`, the same ranks with the memory that the
    /// operations work on; it may be `world` where that is the host's.
    RankWork(comm::Comm& world, comm::Comm& device, const RankShape& shape, const ModelConfig& model);

    const RankShape& shape() const { return shape_; }
    /// The ranks whose sequences together are the batch.
    comm::Comm& batch() { return shape_.own_sequences ? world_ : *replicas_; }
    comm::Comm& group() { return *group_; }        ///< the ranks that share the experts with this one
    comm::Comm& replicas() { return *replicas_; }  ///< the ranks that keep the same experts
    /// batch() and replicas() with the memory of the operations.
    comm::Comm& device_batch() { return shape_.own_sequences ? device_ : *device_replicas_; }
    comm::Comm& device_replicas() { return *device_replicas_; }
    bool shares_experts() const { return shape_.expert_ranks > 1; }
    bool tokens_travel() const { return shape_.tokens_travel(); }

    /// Memory of the operations: all [ranks][bytes].
    void gather(void* all, const void* mine, std::uint64_t bytes);

    // Rows of a layer whose tokens all ranks of the group have. Sorted by expert, those of this rank's experts follow
    // each other.

    /// From the rows per expert counts_E. Writes where the rows of each expert here begin, counted from the first of
    /// them, whose number it gives.
    std::int64_t plan_own_rows(kernels::Ops& ops, std::size_t layer, const std::uint32_t* counts_E,
                               std::int32_t* owned_offsets_E1);
    /// Of the last plan.
    std::int64_t first_own_row(std::size_t layer) const;
    std::int64_t all_rows(std::size_t layer) const;
    /// Every rank's rows to all of the group.
    void share_rows(std::size_t layer, float* rows_RD);

    // Rows of a layer, between the ranks whose tokens they are and those that keep the experts. Rows are sorted by
    // expert on both sides; an expert sees the tokens in the order of the batch.

    /// What the others send of this layer, from the rows per expert of this rank's tokens counts_E. Writes where the
    /// rows of each expert here begin.
    void plan_rows(kernels::Ops& ops, std::size_t layer, const std::uint32_t* counts_E, std::int32_t* owned_offsets_E1);
    void to_owners(std::size_t layer, float* owned_RD, const float* rows_RD);
    void to_tokens(std::size_t layer, float* rows_RD, const float* owned_RD);
    /// Where every rank of the group has all experts: takes note of the rows of its own.
    void count_rows(kernels::Ops& ops, std::size_t layer, const std::uint32_t* counts_E);
    /// Rows of the last plan that go from each rank of the group to each [expert_ranks][expert_ranks], this layer.
    std::vector<std::uint64_t> rows_between(std::size_t layer) const;

    // What this rank has done since begin_counting().
    void begin_counting();
    std::size_t layers() const { return load_L_.size(); }              ///< of the model and of its prediction module
    std::span<const std::uint64_t> load_L() const { return load_L_; }  ///< rows that its experts worked on
    /// Rows that it sent to each rank of the group, forward and backward [layers][expert_ranks].
    std::span<const std::uint64_t> sent_LN() const { return sent_LN_; }
    std::uint64_t row_bytes() const { return static_cast<std::uint64_t>(model_.width) * sizeof(float); }
    /// Bytes of rows that this rank has sent to others, all layers and directions.
    std::uint64_t row_bytes_sent() const { return row_bytes_; }

    /// The router's losses and choices of the whole batch, after a forward of all layers over `batch` sequences of each
    /// rank. The earlier choices and tokens of the step, of all ranks, are the host's. Losses [layers of the state] are
    /// filled in; choices_LE gets the choices of all ranks; the state's others_LE what the backward has to add to this
    /// rank's choices.
    void share_router(kernels::Ops& ops, const Activations& state, const ParameterLayout& layout,
                      const RouterMode& mode, int batch, int length, const std::uint64_t* earlier_choices_LE,
                      std::uint64_t earlier_tokens, std::vector<kernels::RouterLosses>& losses,
                      std::vector<std::uint64_t>& choices_LE);
    /// Said by the layer: its router looked at the whole batch in this pass.
    void looked_at_batch(std::size_t layer, bool whole) { whole_[layer] = whole; }

 private:
    /// Rows that go to or come from a rank of the group, and the first of them in this rank's order.
    struct Segment {
        int rank;
        std::uint64_t row, rows;
    };
    // Rows of this rank's tokens, and those of its experts; what two ranks send each other stands in the same order in
    // both lists.
    void list_own(std::size_t layer);
    void list_owned(std::size_t layer);
    void send_rows(std::size_t layer, float* into, const std::vector<Segment>& in, const float* from,
                   const std::vector<Segment>& out);

    comm::Comm &world_, &device_;
    const ModelConfig model_;
    const RankShape shape_;
    std::unique_ptr<comm::Comm> group_, replicas_, device_group_, device_replicas_;
    std::vector<std::vector<std::uint32_t>> counts_NE_;  ///< of each layer: rows of each rank of the group
    std::vector<char> whole_;
    std::vector<comm::Outgoing> out_;
    std::vector<comm::Incoming> in_;
    std::vector<Segment> own_, owned_;
    std::vector<std::int32_t> offsets_;
    std::vector<double> values_;
    std::vector<std::uint32_t> own_choices_;
    std::vector<std::uint64_t> others_LE_;
    std::uint64_t row_bytes_ = 0;
    std::vector<std::uint64_t> load_L_, sent_LN_;
};

}  // namespace moescope::engine
