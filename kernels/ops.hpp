// The one seam between the engine and what computes: every operation of the model, and the memory that it works on. The
// engine calls these and does not know the device; an operation that a device lacks does not compile.
//
// Formulas, shapes and legends stand with the operations of the CPU (kernels/cpu), the reference for the other devices.
// Pointers here are the device's: the engine offsets them but never follows one. What the host must know is downloaded.
// Operations of one Ops are done in the order of the calls, perhaps after the call has returned; results are seen
// after download() or wait(). One thread at a time.
//
// Numbers that the host needs only later (losses, norms) are written to device memory too, so that it need not wait.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "kernels/cpu/adamw_factors.hpp"
#include "kernels/cpu/attention.hpp"
#include "kernels/cpu/counts.hpp"
#include "kernels/cpu/decoding.hpp"
#include "kernels/cpu/experts.hpp"
#include "kernels/cpu/host_memory.hpp"
#include "kernels/cpu/linear.hpp"
#include "kernels/cpu/muon_factors.hpp"
#include "kernels/cpu/parallel.hpp"
#include "kernels/cpu/qk_norm.hpp"
#include "kernels/cpu/rope.hpp"
#include "kernels/cpu/router.hpp"
#include "kernels/stretch_key.hpp"

namespace moescope::kernels {

/// The experts' rows: what dispatch_plan leaves, and the most rows that there can be. Without offsets one expert has
/// `most` rows, all of them.
struct ExpertRows {
    const std::int32_t* offsets_E1 = nullptr;
    std::int64_t most = 0;
};

class Ops {
 public:
    using Check = std::function<void()>;

    Ops() = default;
    Ops(const Ops&) = delete;
    Ops& operator=(const Ops&) = delete;
    virtual ~Ops() = default;

    /// As configurations name it: "cpu", "cuda:0".
    virtual std::string device() const = 0;
    /// To be called by the thread that will use the operations, before it does, each time others may have used theirs.
    virtual void enter() = 0;
    /// Rounding of operands of matrix products from now on.
    virtual Operands operands() const = 0;
    virtual void set_operands(Operands operands) = 0;
    /// Whether there are operands of eight bits (Operands::fp8).
    virtual bool has_float8() const = 0;

    // Memory.

    /// Whether the device's memory is that of this machine, whose limits the caller knows better.
    virtual bool host_memory() const = 0;
    /// Bytes that can still be taken; the largest number there is when nobody knows.
    virtual std::uint64_t available_memory() const = 0;
    /// Zeroed, aligned for every operation. `check` is called between pieces and may throw. Null when there is not
    /// enough.
    virtual DeviceMemory allocate(std::uint64_t bytes, const Check& check) = 0;
    virtual void upload(void* device, const void* host, std::uint64_t bytes) = 0;
    /// Waits for all operations before it.
    virtual void download(void* host, const void* device, std::uint64_t bytes) = 0;
    /// The same without waiting, where the device can: `host` has the bytes after the next download() or wait(), and
    /// lives at least until then.
    virtual void download_later(void* host, const void* device, std::uint64_t bytes) { download(host, device, bytes); }
    virtual void copy(void* to, const void* from, std::uint64_t bytes) = 0;
    virtual void zero(void* at, std::uint64_t bytes) = 0;
    /// The same bytes as the host can read them, valid until the next operation; null where it must download.
    virtual const void* host_view(const void* device) = 0;
    virtual void wait() = 0;

    // Stretches of operations that are done again and again.

    /// Does `work`. A device that can, records what `work` starts once it has done it, and later calls with an equal
    /// key start the record all at once, without `work`. Hence:
    /// - `key` holds all that `work` hands to operations by value or address and that may change; what changes from
    /// call
    ///   to call stands in device memory instead, as factors of an optimizer's step do;
    /// - `work` does nothing but call operations that neither wait nor take from or give to the host (upload,
    /// download),
    ///   leaves operands() as they were, and may be called twice.
    /// Where recording fails the stretch is done as it is, from then on; see why_not_recorded(). Whether `work` was
    /// called.
    virtual bool repeat(const StretchKey& key, const std::function<void()>& work) = 0;
    /// Why stretches are no longer recorded, in the device's words; empty: they are, or the device never does.
    virtual std::string why_not_recorded() const = 0;

    // Scratch that operations ask for, in elements.

    /// Floats, for calls with this shape and, where it has a window, for those without. With `rounded` a library may
    /// have to be asked, which takes seconds the first time.
    virtual std::int64_t attention_scratch(const AttentionShape& shape) const = 0;
    virtual std::int64_t router_scratch(const RouterShape& shape) const = 0;  ///< doubles; as kernels::router_scratch
    virtual std::int64_t qk_norm_scratch(const HeadShape& shape) const = 0;   ///< floats
    virtual std::int64_t cross_entropy_rows(std::int64_t T) const = 0;        ///< rows of V logits
    virtual std::int64_t sum_of_squares_scratch(std::int64_t n) const = 0;    ///< doubles
    virtual std::int64_t row_errors_scratch(std::int64_t rows) const = 0;     ///< doubles
    virtual std::int64_t muon_scratch(std::int64_t rows, std::int64_t columns) const = 0;  ///< floats
    virtual std::int64_t grouped_decoding_scratch(const GroupedCache& shape) const = 0;    ///< floats
    virtual std::int64_t latent_decoding_scratch(const LatentCache& shape) const = 0;      ///< floats
    /// Rounded operands (two bytes each) of a run with bf16 or fp8; place_operands() is told where they are.
    virtual std::int64_t operand_scratch() const = 0;
    virtual void place_operands(std::uint16_t* scratch) = 0;

    // Whole rows.

    virtual void embedding_forward(float* x_TD, const float* table_VD, const std::int32_t* tokens_T, std::int64_t T,
                                   std::int64_t D) = 0;
    virtual void embedding_backward(float* dtable_VD, const float* dx_TD, const std::int32_t* tokens_T, std::int64_t T,
                                    std::int64_t D) = 0;
    virtual void rms_norm_forward(float* y_TD, float* rstd_T, const float* x_TD, const float* w_D, std::int64_t T,
                                  std::int64_t D, double epsilon) = 0;
    virtual void rms_norm_backward(float* dx_TD, float* dw_D, const float* dy_TD, const float* x_TD,
                                   const float* rstd_T, const float* w_D, std::int64_t T, std::int64_t D,
                                   Write write) = 0;
    virtual void linear_forward(float* y_TO, const float* x_TI, const float* w_OI, const float* b_O, std::int64_t T,
                                std::int64_t I, std::int64_t O, Write write) = 0;
    virtual void linear_backward_input(float* dx_TI, const float* dy_TO, const float* w_OI, std::int64_t T,
                                       std::int64_t I, std::int64_t O, Write write) = 0;
    virtual void linear_backward_weight(float* dw_OI, const float* dy_TO, const float* x_TI, std::int64_t T,
                                        std::int64_t I, std::int64_t O, Write write) = 0;
    virtual void linear_backward_bias(float* db_O, const float* dy_TO, std::int64_t T, std::int64_t O, Write write) = 0;
    /// to[row to_stride + i] = from[row from_stride + i], i < width.
    virtual void copy_columns(float* to, std::int64_t to_stride, const float* from, std::int64_t from_stride,
                              std::int64_t rows, std::int64_t width) = 0;
    /// out = a + b, n elements; out may be either.
    virtual void add(float* out, const float* a, const float* b, std::int64_t n) = 0;
    /// sum = share x when `first`, sum + share x otherwise.
    virtual void add_share(float* sum, const float* x, float share, bool first, std::int64_t n) = 0;
    /// out = x times noise in (1 - amount, 1 + amount), a function of *seed, stream and place (Switch Transformer),
    /// which is counted from `first` on.
    virtual void jitter(float* out, const float* x, std::int64_t n, double amount, const std::uint64_t* seed,
                        std::uint64_t stream, std::uint64_t first) = 0;

    // Attention.

    virtual void rope_tables(float* cos_SP, float* sin_SP, std::int64_t S, std::int64_t C, const RopeSpec& spec) = 0;
    virtual void qk_norm_forward(float* y_BNSC, float* rstd, const float* x, const float* w, const float* cos_SP,
                                 const float* sin_SP, const HeadShape& shape) = 0;
    virtual void qk_norm_backward(float* dx, float* dw, float* scratch, const float* dy_BNSC, const float* x,
                                  const float* rstd, const float* w, const float* cos_SP, const float* sin_SP,
                                  const HeadShape& shape) = 0;
    virtual void latent_key_forward(float* k_BNSC, const float* x_nope, const float* x_rope, const float* cos_SP,
                                    const float* sin_SP, const LatentKeyShape& shape) = 0;
    virtual void latent_key_backward(float* dx_nope, float* dx_rope, const float* dk_BNSC, const float* cos_SP,
                                     const float* sin_SP, const LatentKeyShape& shape) = 0;
    virtual void attention_forward(float* o_THC, float* lse_BHS, const float* q_BHSC, const float* k_BGSC,
                                   const float* v, const float* sinks_H, float* scratch,
                                   const AttentionShape& shape) = 0;
    virtual void attention_backward(float* dq_BHSC, float* dk_BGSC, float* dv, float* dsinks_H, float* sink_partial,
                                    const float* do_THC, const float* o_THC, const float* q_BHSC, const float* k_BGSC,
                                    const float* v, const float* sinks_H, const float* lse_BHS, float* scratch,
                                    const AttentionShape& shape) = 0;
    /// What computed attention with rounded operands so far, in English and in few words ("cuDNN 9.27.0", or why it was
    /// an own kernel); empty: nothing has, or there is only one that could.
    virtual std::string attention_by() const { return {}; }

    // A decoder's attention (decoding.hpp).

    virtual void cache_grouped(float* q, float* keys_NGSC, float* values_NGSC, float* scratch, const float* qkv,
                               const float* q_norm, const float* k_norm, const float* cos_SP, const float* sin_SP,
                               const CachePlace* places_R, const GroupedCache& shape) = 0;
    virtual void attend_grouped(float* o_RHC, const float* q, const float* keys_NGSC, const float* values_NGSC,
                                const float* sinks_H, float* scratch, const CachePlace* places_R,
                                const GroupedCache& shape) = 0;
    virtual void turn_latent_queries(float* q, float* scratch, const float* x_RHC, const float* cos_SP,
                                     const float* sin_SP, const CachePlace* places_R, const LatentCache& shape) = 0;
    virtual void cache_latent(float* latents_NSL, float* turned_NSP, float* scratch, const float* down,
                              const float* norm_L, const float* cos_SP, const float* sin_SP, const CachePlace* places_R,
                              const LatentCache& shape) = 0;
    virtual void attend_latent(float* o_RHV, const float* q, const float* latents_NSL, const float* turned_NSP,
                               const float* up_H, float* scratch, const CachePlace* places_R,
                               const LatentCache& shape) = 0;

    // Router and experts.

    virtual void hash_choice(std::int32_t* ids_TK, const std::int32_t* tokens_T, std::int64_t T, std::int64_t E,
                             std::int64_t K, std::uint64_t seed) = 0;
    /// Writes one RouterLosses.
    virtual void router_forward(RouterLosses* losses, const RouterOutput& out, const RouterInput& in, double* scratch,
                                const RouterShape& shape) = 0;
    virtual void router_backward(float* dz_TE, const float* dw_TJ, const RouterOutput& out, const RouterInput& in,
                                 double* scratch, double balance_scale, double z_scale, const RouterShape& shape) = 0;
    virtual void update_selection_bias(float* bias_E, const std::uint64_t* loads_E, const std::uint8_t* disabled_E,
                                       std::int64_t E, double speed) = 0;
    virtual void dispatch_plan(std::int32_t* offsets_E1, std::int32_t* row_of_TJ, std::int32_t* token_of_R,
                               const std::int32_t* ids_TJ, const std::uint8_t* kept_TJ, const std::uint32_t* counts_E,
                               std::int64_t T, std::int64_t E, std::int64_t J) = 0;
    virtual void gather_forward(float* y_RD, const float* x_TD, const std::int32_t* token_of_R, const ExpertRows& rows,
                                std::int64_t E, std::int64_t D) = 0;
    virtual void gather_backward(float* dx_TD, const float* dy_RD, const std::int32_t* row_of_TJ, std::int64_t T,
                                 std::int64_t J, std::int64_t D, bool add) = 0;
    virtual void experts_forward(float* y_RD, float* gu_R2F, float* h_RF, const float* x_RD, const ExpertWeights& w,
                                 const ExpertRows& rows, const ExpertShape& shape) = 0;
    virtual void experts_backward(float* dx_RD, const ExpertGradients& g, float* dgu_R2F, float* dh_RF,
                                  const float* dy_RD, const float* x_RD, const float* gu_R2F, const float* h_RF,
                                  const ExpertWeights& w, const ExpertRows& rows, const ExpertShape& shape) = 0;
    /// The activation alone: h_RF of gu_R2F, all R rows.
    virtual void activate_rows(float* h_RF, const float* gu_R2F, std::int64_t R, const ExpertShape& shape) = 0;
    virtual void combine_forward(float* out_TD, const float* residual_TD, const float* y_RD, const float* w_TJ,
                                 const std::int32_t* row_of_TJ, std::int64_t T, std::int64_t J, std::int64_t D) = 0;
    virtual void combine_backward(float* dy_RD, float* dw_TJ, const float* dout_TD, const float* y_RD,
                                  const float* w_TJ, const std::int32_t* row_of_TJ, std::int64_t T, std::int64_t J,
                                  std::int64_t D) = 0;

    // What a step is counted by (counts.hpp).

    virtual void add_choices(std::uint64_t* sums_E, const std::uint32_t* choices_E, std::int64_t E) = 0;
    virtual void count_slots(std::uint32_t* counts, const SlotCounts& slots) = 0;
    virtual void add_margins(MarginSums* sums, const ChosenScores& layer) = 0;

    // Losses and optimizers.

    /// The mean goes to *loss.
    virtual void cross_entropy_forward(double* loss, float* losses_T, const float* x_TD, const float* w_VD,
                                       const std::int32_t* targets_T, float* logits, std::int64_t T, std::int64_t D,
                                       std::int64_t V) = 0;
    virtual void cross_entropy_forward_backward(double* loss, float* losses_T, float* dx_TD, float* dw_VD,
                                                const float* x_TD, const float* w_VD, const std::int32_t* targets_T,
                                                float* logits, std::int64_t T, std::int64_t D, std::int64_t V,
                                                double scale, Write write) = 0;
    /// Of a sequence's positions, which follow each other: the token that stands `ahead` by one, and no target (-1) for
    /// the last: tokens_T = targets_T; next_T[t] = targets_T[t + 1] or -1.
    virtual void next_targets(std::int32_t* tokens_T, std::int32_t* next_T, const std::int32_t* targets_T,
                              std::int64_t T, std::int64_t length) = 0;
    /// *sum = the sum.
    virtual void sum_of_squares(double* sum, const float* x, std::int64_t n, double* scratch) = 0;
    /// sums_2 += sum of (actual - expected)^2, sum of expected^2, over the rows [.., N] of E experts.
    virtual void add_row_errors(double* sums_2, const float* actual_RN, const float* expected_RN,
                                const ExpertRows& rows, std::int64_t E, std::int64_t N, double* scratch) = 0;
    virtual void adamw(float* p, float* m, float* v, const float* gradient, std::int64_t n,
                       const AdamWFactors* factors) = 0;
    virtual void muon(float* p, float* m, const float* gradient, std::int64_t count, std::int64_t rows,
                      std::int64_t columns, float* scratch, const MuonFactors* factors) = 0;
    /// Whether every value is finite; waits.
    virtual bool all_finite(const float* x, std::int64_t n) = 0;
};

/// Products with other operands until the end of the scope.
class OpsOperands {
 public:
    OpsOperands(Ops& ops, Operands operands) : ops_(ops), before_(ops.operands()) { ops_.set_operands(operands); }
    ~OpsOperands() { ops_.set_operands(before_); }
    OpsOperands(const OpsOperands&) = delete;
    OpsOperands& operator=(const OpsOperands&) = delete;

 private:
    Ops& ops_;
    Operands before_;
};

}  // namespace moescope::kernels
