#include "kernels/cpu/cpu_ops.hpp"

#include <algorithm>
#include <limits>

#include "kernels/cpu/combine.hpp"
#include "kernels/cpu/cross_entropy.hpp"
#include "kernels/cpu/dispatch.hpp"
#include "kernels/cpu/elementwise.hpp"
#include "kernels/cpu/embedding.hpp"
#include "kernels/cpu/host_memory.hpp"
#include "kernels/cpu/rms_norm.hpp"
#include "kernels/cpu/rounded_attention.hpp"
#include "kernels/cpu/row_errors.hpp"

namespace moescope::kernels {
namespace {

class CpuOps final : public Ops {
 public:
    explicit CpuOps(int threads) : threads_(std::max(1, threads)) {}

    std::string device() const override { return "cpu"; }
    void enter() override {
        set_workers(threads_);
        set_operand_mode({operands_, room_});
    }
    Operands operands() const override { return operands_; }
    void set_operands(Operands operands) override {
        operands_ = operands;
        set_operand_mode({operands_, room_});
    }
    bool has_float8() const override { return true; }

    bool host_memory() const override { return true; }
    std::uint64_t available_memory() const override { return std::numeric_limits<std::uint64_t>::max(); }
    DeviceMemory allocate(std::uint64_t bytes, const Check& check) override {
        return kernels::host_memory((std::max<std::uint64_t>(bytes, 1) + 63) / 64 * 64, check);
    }
    void upload(void* device, const void* host, std::uint64_t bytes) override { copy_bytes(device, host, bytes); }
    void download(void* host, const void* device, std::uint64_t bytes) override { copy_bytes(host, device, bytes); }
    void copy(void* to, const void* from, std::uint64_t bytes) override { copy_bytes(to, from, bytes); }
    void zero(void* at, std::uint64_t bytes) override { zero_bytes(at, bytes); }
    const void* host_view(const void* device) override { return device; }
    void wait() override {}
    bool repeat(const StretchKey& /*key*/, const std::function<void()>& work) override {
        work();
        return true;
    }
    std::string why_not_recorded() const override { return {}; }

    std::int64_t attention_scratch(const AttentionShape& shape) const override {
        return own_attention_scratch(shape) + (shape.rounded ? rounded_attention_copies(shape) : 0);
    }
    std::int64_t router_scratch(const RouterShape& shape) const override { return kernels::router_scratch(shape); }
    std::int64_t qk_norm_scratch(const HeadShape& shape) const override { return kernels::qk_norm_scratch(shape); }
    std::int64_t cross_entropy_rows(std::int64_t T) const override { return kernels::cross_entropy_rows(T); }
    std::int64_t sum_of_squares_scratch(std::int64_t n) const override { return kernels::sum_of_squares_scratch(n); }
    std::int64_t row_errors_scratch(std::int64_t rows) const override { return kernels::row_errors_scratch(rows); }
    std::int64_t muon_scratch(std::int64_t rows, std::int64_t columns) const override {
        return kernels::muon_scratch(rows, columns) * threads_;
    }
    std::int64_t grouped_decoding_scratch(const GroupedCache& shape) const override {
        return kernels::grouped_decoding_scratch(shape);
    }
    std::int64_t latent_decoding_scratch(const LatentCache& shape) const override {
        return kernels::latent_decoding_scratch(shape);
    }
    std::int64_t operand_scratch() const override { return kOperandRoom * threads_; }
    void place_operands(std::uint16_t* scratch) override { room_ = scratch; }

    void embedding_forward(float* x_TD, const float* table_VD, const std::int32_t* tokens_T, std::int64_t T,
                           std::int64_t D) override {
        kernels::embedding_forward(x_TD, table_VD, tokens_T, T, D);
    }
    void embedding_backward(float* dtable_VD, const float* dx_TD, const std::int32_t* tokens_T, std::int64_t T,
                            std::int64_t D) override {
        kernels::embedding_backward(dtable_VD, dx_TD, tokens_T, T, D);
    }
    void rms_norm_forward(float* y_TD, float* rstd_T, const float* x_TD, const float* w_D, std::int64_t T,
                          std::int64_t D, double epsilon) override {
        kernels::rms_norm_forward(y_TD, rstd_T, x_TD, w_D, T, D, epsilon);
    }
    void rms_norm_backward(float* dx_TD, float* dw_D, const float* dy_TD, const float* x_TD, const float* rstd_T,
                           const float* w_D, std::int64_t T, std::int64_t D, Write write) override {
        kernels::rms_norm_backward(dx_TD, dw_D, dy_TD, x_TD, rstd_T, w_D, T, D, write);
    }
    void linear_forward(float* y_TO, const float* x_TI, const float* w_OI, const float* b_O, std::int64_t T,
                        std::int64_t I, std::int64_t O, Write write) override {
        kernels::linear_forward(y_TO, x_TI, w_OI, b_O, T, I, O, write);
    }
    void linear_backward_input(float* dx_TI, const float* dy_TO, const float* w_OI, std::int64_t T, std::int64_t I,
                               std::int64_t O, Write write) override {
        kernels::linear_backward_input(dx_TI, dy_TO, w_OI, T, I, O, write);
    }
    void linear_backward_weight(float* dw_OI, const float* dy_TO, const float* x_TI, std::int64_t T, std::int64_t I,
                                std::int64_t O, Write write) override {
        kernels::linear_backward_weight(dw_OI, dy_TO, x_TI, T, I, O, write);
    }
    void linear_backward_bias(float* db_O, const float* dy_TO, std::int64_t T, std::int64_t O, Write write) override {
        kernels::linear_backward_bias(db_O, dy_TO, T, O, write);
    }
    void copy_columns(float* to, std::int64_t to_stride, const float* from, std::int64_t from_stride, std::int64_t rows,
                      std::int64_t width) override {
        kernels::copy_columns(to, to_stride, from, from_stride, rows, width);
    }
    void add(float* out, const float* a, const float* b, std::int64_t n) override { kernels::add(out, a, b, n); }
    void add_share(float* sum, const float* x, float share, bool first, std::int64_t n) override {
        kernels::add_share(sum, x, share, first, n);
    }
    void jitter(float* out, const float* x, std::int64_t n, double amount, const std::uint64_t* seed,
                std::uint64_t stream, std::uint64_t first) override {
        kernels::jitter(out, x, n, amount, *seed, stream, first);
    }

    void rope_tables(float* cos_SP, float* sin_SP, std::int64_t S, std::int64_t C, const RopeSpec& spec) override {
        kernels::rope_tables(cos_SP, sin_SP, S, C, spec);
    }
    void qk_norm_forward(float* y_BNSC, float* rstd, const float* x, const float* w, const float* cos_SP,
                         const float* sin_SP, const HeadShape& shape) override {
        kernels::qk_norm_forward(y_BNSC, rstd, x, w, cos_SP, sin_SP, shape);
    }
    void qk_norm_backward(float* dx, float* dw, float* scratch, const float* dy_BNSC, const float* x, const float* rstd,
                          const float* w, const float* cos_SP, const float* sin_SP, const HeadShape& shape) override {
        kernels::qk_norm_backward(dx, dw, scratch, dy_BNSC, x, rstd, w, cos_SP, sin_SP, shape);
    }
    void latent_key_forward(float* k_BNSC, const float* x_nope, const float* x_rope, const float* cos_SP,
                            const float* sin_SP, const LatentKeyShape& shape) override {
        kernels::latent_key_forward(k_BNSC, x_nope, x_rope, cos_SP, sin_SP, shape);
    }
    void latent_key_backward(float* dx_nope, float* dx_rope, const float* dk_BNSC, const float* cos_SP,
                             const float* sin_SP, const LatentKeyShape& shape) override {
        kernels::latent_key_backward(dx_nope, dx_rope, dk_BNSC, cos_SP, sin_SP, shape);
    }
    void attention_forward(float* o_THC, float* lse_BHS, const float* q_BHSC, const float* k_BGSC, const float* v,
                           const float* sinks_H, float* scratch, const AttentionShape& shape) override {
        if (shape.rounded) {
            kernels::rounded_attention_forward(o_THC, lse_BHS, q_BHSC, k_BGSC, v, sinks_H, scratch,
                                               scratch + own_attention_scratch(shape), shape);
            return;
        }
        kernels::attention_forward(o_THC, lse_BHS, q_BHSC, k_BGSC, v, sinks_H, scratch, shape);
    }
    void attention_backward(float* dq_BHSC, float* dk_BGSC, float* dv, float* dsinks_H, float* sink_partial,
                            const float* do_THC, const float* /*o_THC*/, const float* q_BHSC, const float* k_BGSC,
                            const float* v, const float* sinks_H, const float* lse_BHS, float* scratch,
                            const AttentionShape& shape) override {
        if (shape.rounded) {
            kernels::rounded_attention_backward(dq_BHSC, dk_BGSC, dv, dsinks_H, sink_partial, do_THC, q_BHSC, k_BGSC, v,
                                                sinks_H, lse_BHS, scratch, scratch + own_attention_scratch(shape),
                                                shape);
            return;
        }
        kernels::attention_backward(dq_BHSC, dk_BGSC, dv, dsinks_H, sink_partial, do_THC, q_BHSC, k_BGSC, v, sinks_H,
                                    lse_BHS, scratch, shape);
    }

    void cache_grouped(float* q, float* keys_NGSC, float* values_NGSC, float* scratch, const float* qkv,
                       const float* q_norm, const float* k_norm, const float* cos_SP, const float* sin_SP,
                       const CachePlace* places_R, const GroupedCache& shape) override {
        kernels::cache_grouped(q, keys_NGSC, values_NGSC, scratch, qkv, q_norm, k_norm, cos_SP, sin_SP, places_R,
                               shape);
    }
    void attend_grouped(float* o_RHC, const float* q, const float* keys_NGSC, const float* values_NGSC,
                        const float* sinks_H, float* scratch, const CachePlace* places_R,
                        const GroupedCache& shape) override {
        kernels::attend_grouped(o_RHC, q, keys_NGSC, values_NGSC, sinks_H, scratch, places_R, shape);
    }
    void turn_latent_queries(float* q, float* scratch, const float* x_RHC, const float* cos_SP, const float* sin_SP,
                             const CachePlace* places_R, const LatentCache& shape) override {
        kernels::turn_latent_queries(q, scratch, x_RHC, cos_SP, sin_SP, places_R, shape);
    }
    void cache_latent(float* latents_NSL, float* turned_NSP, float* scratch, const float* down, const float* norm_L,
                      const float* cos_SP, const float* sin_SP, const CachePlace* places_R,
                      const LatentCache& shape) override {
        kernels::cache_latent(latents_NSL, turned_NSP, scratch, down, norm_L, cos_SP, sin_SP, places_R, shape);
    }
    void attend_latent(float* o_RHV, const float* q, const float* latents_NSL, const float* turned_NSP,
                       const float* up_H, float* scratch, const CachePlace* places_R,
                       const LatentCache& shape) override {
        kernels::attend_latent(o_RHV, q, latents_NSL, turned_NSP, up_H, scratch, places_R, shape);
    }

    void hash_choice(std::int32_t* ids_TK, const std::int32_t* tokens_T, std::int64_t T, std::int64_t E, std::int64_t K,
                     std::uint64_t seed) override {
        kernels::hash_choice(ids_TK, tokens_T, T, E, K, seed);
    }
    void router_forward(RouterLosses* losses, const RouterOutput& out, const RouterInput& in, double* scratch,
                        const RouterShape& shape) override {
        *losses = kernels::router_forward(out, in, scratch, shape);
    }
    void router_backward(float* dz_TE, const float* dw_TJ, const RouterOutput& out, const RouterInput& in,
                         double* scratch, double balance_scale, double z_scale, const RouterShape& shape) override {
        kernels::router_backward(dz_TE, dw_TJ, out, in, scratch, balance_scale, z_scale, shape);
    }
    void update_selection_bias(float* bias_E, const std::uint64_t* loads_E, const std::uint8_t* disabled_E,
                               std::int64_t E, double speed) override {
        kernels::update_selection_bias(bias_E, loads_E, disabled_E, E, speed);
    }
    void dispatch_plan(std::int32_t* offsets_E1, std::int32_t* row_of_TJ, std::int32_t* token_of_R,
                       const std::int32_t* ids_TJ, const std::uint8_t* kept_TJ, const std::uint32_t* counts_E,
                       std::int64_t T, std::int64_t E, std::int64_t J) override {
        kernels::dispatch_plan(offsets_E1, row_of_TJ, token_of_R, ids_TJ, kept_TJ, counts_E, T, E, J);
    }
    void gather_forward(float* y_RD, const float* x_TD, const std::int32_t* token_of_R, const ExpertRows& rows,
                        std::int64_t E, std::int64_t D) override {
        kernels::gather_forward(y_RD, x_TD, token_of_R, rows.offsets_E1[E], D);
    }
    void gather_backward(float* dx_TD, const float* dy_RD, const std::int32_t* row_of_TJ, std::int64_t T,
                         std::int64_t J, std::int64_t D, bool add) override {
        kernels::gather_backward(dx_TD, dy_RD, row_of_TJ, T, J, D, add);
    }
    void experts_forward(float* y_RD, float* gu_R2F, float* h_RF, const float* x_RD, const ExpertWeights& w,
                         const ExpertRows& rows, const ExpertShape& shape) override {
        const std::int32_t whole[2] = {0, static_cast<std::int32_t>(rows.most)};
        const OperandsScope scope(of_rows(rows), room_);
        kernels::experts_forward(y_RD, gu_R2F, h_RF, x_RD, w, rows.offsets_E1 != nullptr ? rows.offsets_E1 : whole,
                                 shape);
    }
    void experts_backward(float* dx_RD, const ExpertGradients& g, float* dgu_R2F, float* dh_RF, const float* dy_RD,
                          const float* x_RD, const float* gu_R2F, const float* h_RF, const ExpertWeights& w,
                          const ExpertRows& rows, const ExpertShape& shape) override {
        const std::int32_t whole[2] = {0, static_cast<std::int32_t>(rows.most)};
        const OperandsScope scope(of_rows(rows), room_);
        kernels::experts_backward(dx_RD, g, dgu_R2F, dh_RF, dy_RD, x_RD, gu_R2F, h_RF, w,
                                  rows.offsets_E1 != nullptr ? rows.offsets_E1 : whole, shape);
    }
    void activate_rows(float* h_RF, const float* gu_R2F, std::int64_t R, const ExpertShape& shape) override {
        for (std::int64_t r = 0; r < R; ++r) {
            activate_row(h_RF + r * shape.F, gu_R2F + r * 2 * shape.F, shape);
        }
    }
    void combine_forward(float* out_TD, const float* residual_TD, const float* y_RD, const float* w_TJ,
                         const std::int32_t* row_of_TJ, std::int64_t T, std::int64_t J, std::int64_t D) override {
        kernels::combine_forward(out_TD, residual_TD, y_RD, w_TJ, row_of_TJ, T, J, D);
    }
    void combine_backward(float* dy_RD, float* dw_TJ, const float* dout_TD, const float* y_RD, const float* w_TJ,
                          const std::int32_t* row_of_TJ, std::int64_t T, std::int64_t J, std::int64_t D) override {
        kernels::combine_backward(dy_RD, dw_TJ, dout_TD, y_RD, w_TJ, row_of_TJ, T, J, D);
    }

    void add_choices(std::uint64_t* sums_E, const std::uint32_t* choices_E, std::int64_t E) override {
        kernels::add_choices(sums_E, choices_E, E);
    }
    void count_slots(std::uint32_t* counts, const SlotCounts& slots) override { kernels::count_slots(counts, slots); }
    void add_margins(MarginSums* sums, const ChosenScores& layer) override { kernels::add_margins(*sums, layer); }

    void cross_entropy_forward(double* loss, float* losses_T, const float* x_TD, const float* w_VD,
                               const std::int32_t* targets_T, float* logits, std::int64_t T, std::int64_t D,
                               std::int64_t V) override {
        *loss = kernels::cross_entropy_forward(losses_T, x_TD, w_VD, targets_T, logits, T, D, V);
    }
    void cross_entropy_forward_backward(double* loss, float* losses_T, float* dx_TD, float* dw_VD, const float* x_TD,
                                        const float* w_VD, const std::int32_t* targets_T, float* logits, std::int64_t T,
                                        std::int64_t D, std::int64_t V, double scale, Write write) override {
        *loss = kernels::cross_entropy_forward_backward(losses_T, dx_TD, dw_VD, x_TD, w_VD, targets_T, logits, T, D, V,
                                                        scale, write);
    }
    void next_targets(std::int32_t* tokens_T, std::int32_t* next_T, const std::int32_t* targets_T, std::int64_t T,
                      std::int64_t length) override {
        kernels::next_targets(tokens_T, next_T, targets_T, T, length);
    }
    void sum_of_squares(double* sum, const float* x, std::int64_t n, double* scratch) override {
        *sum = kernels::sum_of_squares(x, n, scratch);
    }
    void add_row_errors(double* sums_2, const float* actual_RN, const float* expected_RN, const ExpertRows& rows,
                        std::int64_t E, std::int64_t N, double* scratch) override {
        const std::int64_t R = rows.offsets_E1 == nullptr ? rows.most : rows.offsets_E1[E];
        kernels::add_row_errors(sums_2, actual_RN, expected_RN, R, N, scratch);
    }
    void adamw(float* p, float* m, float* v, const float* gradient, std::int64_t n,
               const AdamWFactors* factors) override {
        kernels::adamw(p, m, v, gradient, n, *factors);
    }
    void muon(float* p, float* m, const float* gradient, std::int64_t count, std::int64_t rows, std::int64_t columns,
              float* scratch, const MuonFactors* factors) override {
        kernels::muon(p, m, gradient, count, rows, columns, scratch, *factors);
    }
    bool all_finite(const float* x, std::int64_t n) override { return kernels::all_finite(x, n); }

 private:
    std::int64_t own_attention_scratch(const AttentionShape& shape) const {
        return kernels::attention_scratch(shape.S) * threads_;
    }
    /// Eight bits are for grouped products: dense layers and shared experts stay with bfloat16.
    Operands of_rows(const ExpertRows& rows) const {
        return operands_ == Operands::fp8 && rows.offsets_E1 == nullptr ? Operands::bf16 : operands_;
    }

    int threads_;
    Operands operands_ = Operands::f32;
    std::uint16_t* room_ = nullptr;
};

}  // namespace

std::unique_ptr<Ops> cpu_ops(int threads) {
    return std::make_unique<CpuOps>(threads);
}

}  // namespace moescope::kernels
