// Operations that are timed one by one: what `gpu_bench` puts between the engine and a device. Each call is counted
// with the bytes that its arrays have and the multiplications and additions that its formula asks for, so that a time
// becomes GB/s or TFLOP/s. That is the least a device has to do: what a kernel reads twice counts once.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "kernels/ops.hpp"

namespace moescope::bench {

/// What an operation is measured against.
enum class Limit { copy, product_f32, product_bf16, experts_bf16 };

/// All calls of one operation.
struct OperationCost {
    Limit limit = Limit::copy;
    std::uint64_t calls = 0;
    double seconds = 0;  ///< from the call to the end of its work, without what waiting for nothing takes
    double bytes = 0, flops = 0;
};

/// Hands every call on. While measure(true) holds it waits for the device before and after each.
class MeasuredOps final : public kernels::Ops {
 public:
    explicit MeasuredOps(std::unique_ptr<kernels::Ops> ops);

    void measure(bool on);
    /// The counting of routing (counts.hpp) is left out: what it costs is seen by doing without.
    void skip_counts(bool skip) { skip_counts_ = skip; }
    /// By name, with the rounding of operands where there are any: "linear_forward bf16".
    const std::map<std::string, OperationCost>& costs() const { return costs_; }
    void forget() { costs_.clear(); }

    std::string device() const override { return ops_->device(); }
    void enter() override { ops_->enter(); }
    kernels::Operands operands() const override { return ops_->operands(); }
    void set_operands(kernels::Operands operands) override { ops_->set_operands(operands); }
    bool has_float8() const override { return ops_->has_float8(); }
    bool host_memory() const override { return ops_->host_memory(); }
    std::uint64_t available_memory() const override { return ops_->available_memory(); }
    kernels::DeviceMemory allocate(std::uint64_t bytes, const Check& check) override {
        return ops_->allocate(bytes, check);
    }
    void upload(void* device, const void* host, std::uint64_t bytes) override { ops_->upload(device, host, bytes); }
    void download(void* host, const void* device, std::uint64_t bytes) override { ops_->download(host, device, bytes); }
    void download_later(void* host, const void* device, std::uint64_t bytes) override {
        ops_->download_later(host, device, bytes);
    }
    void copy(void* to, const void* from, std::uint64_t bytes) override;
    void zero(void* at, std::uint64_t bytes) override;
    const void* host_view(const void* device) override { return ops_->host_view(device); }
    void wait() override { ops_->wait(); }
    bool repeat(const kernels::StretchKey& key, const std::function<void()>& work) override;
    std::string why_not_recorded() const override { return ops_->why_not_recorded(); }

    std::int64_t attention_scratch(const kernels::AttentionShape& shape) const override {
        return ops_->attention_scratch(shape);
    }
    std::int64_t router_scratch(const kernels::RouterShape& shape) const override {
        return ops_->router_scratch(shape);
    }
    std::int64_t qk_norm_scratch(const kernels::HeadShape& shape) const override {
        return ops_->qk_norm_scratch(shape);
    }
    std::int64_t cross_entropy_rows(std::int64_t T) const override { return ops_->cross_entropy_rows(T); }
    std::int64_t sum_of_squares_scratch(std::int64_t n) const override { return ops_->sum_of_squares_scratch(n); }
    std::int64_t row_errors_scratch(std::int64_t rows) const override { return ops_->row_errors_scratch(rows); }
    std::int64_t muon_scratch(std::int64_t rows, std::int64_t columns) const override {
        return ops_->muon_scratch(rows, columns);
    }
    std::int64_t grouped_decoding_scratch(const kernels::GroupedCache& shape) const override {
        return ops_->grouped_decoding_scratch(shape);
    }
    std::int64_t latent_decoding_scratch(const kernels::LatentCache& shape) const override {
        return ops_->latent_decoding_scratch(shape);
    }
    std::int64_t operand_scratch() const override { return ops_->operand_scratch(); }
    void place_operands(std::uint16_t* scratch) override { ops_->place_operands(scratch); }

    void embedding_forward(float* x_TD, const float* table_VD, const std::int32_t* tokens_T, std::int64_t T,
                           std::int64_t D) override;
    void embedding_backward(float* dtable_VD, const float* dx_TD, const std::int32_t* tokens_T, std::int64_t T,
                            std::int64_t D) override;
    void rms_norm_forward(float* y_TD, float* rstd_T, const float* x_TD, const float* w_D, std::int64_t T,
                          std::int64_t D, double epsilon) override;
    void rms_norm_backward(float* dx_TD, float* dw_D, const float* dy_TD, const float* x_TD, const float* rstd_T,
                           const float* w_D, std::int64_t T, std::int64_t D, kernels::Write write) override;
    void linear_forward(float* y_TO, const float* x_TI, const float* w_OI, const float* b_O, std::int64_t T,
                        std::int64_t I, std::int64_t O, kernels::Write write) override;
    void linear_backward_input(float* dx_TI, const float* dy_TO, const float* w_OI, std::int64_t T, std::int64_t I,
                               std::int64_t O, kernels::Write write) override;
    void linear_backward_weight(float* dw_OI, const float* dy_TO, const float* x_TI, std::int64_t T, std::int64_t I,
                                std::int64_t O, kernels::Write write) override;
    void linear_backward_bias(float* db_O, const float* dy_TO, std::int64_t T, std::int64_t O,
                              kernels::Write write) override;
    void copy_columns(float* to, std::int64_t to_stride, const float* from, std::int64_t from_stride, std::int64_t rows,
                      std::int64_t width) override;
    void add(float* out, const float* a, const float* b, std::int64_t n) override;
    void add_share(float* sum, const float* x, float share, bool first, std::int64_t n) override;
    void jitter(float* out, const float* x, std::int64_t n, double amount, const std::uint64_t* seed,
                std::uint64_t stream, std::uint64_t first) override;

    void rope_tables(float* cos_SP, float* sin_SP, std::int64_t S, std::int64_t C,
                     const kernels::RopeSpec& spec) override;
    void qk_norm_forward(float* y_BNSC, float* rstd, const float* x, const float* w, const float* cos_SP,
                         const float* sin_SP, const kernels::HeadShape& shape) override;
    void qk_norm_backward(float* dx, float* dw, float* scratch, const float* dy_BNSC, const float* x, const float* rstd,
                          const float* w, const float* cos_SP, const float* sin_SP,
                          const kernels::HeadShape& shape) override;
    void latent_key_forward(float* k_BNSC, const float* x_nope, const float* x_rope, const float* cos_SP,
                            const float* sin_SP, const kernels::LatentKeyShape& shape) override;
    void latent_key_backward(float* dx_nope, float* dx_rope, const float* dk_BNSC, const float* cos_SP,
                             const float* sin_SP, const kernels::LatentKeyShape& shape) override;
    void attention_forward(float* o_THC, float* lse_BHS, const float* q_BHSC, const float* k_BGSC, const float* v,
                           const float* sinks_H, float* scratch, const kernels::AttentionShape& shape) override;
    void attention_backward(float* dq_BHSC, float* dk_BGSC, float* dv, float* dsinks_H, float* sink_partial,
                            const float* do_THC, const float* o_THC, const float* q_BHSC, const float* k_BGSC,
                            const float* v, const float* sinks_H, const float* lse_BHS, float* scratch,
                            const kernels::AttentionShape& shape) override;
    std::string attention_by() const override { return ops_->attention_by(); }

    void cache_grouped(float* q, float* keys_NGSC, float* values_NGSC, float* scratch, const float* qkv,
                       const float* q_norm, const float* k_norm, const float* cos_SP, const float* sin_SP,
                       const kernels::CachePlace* places_R, const kernels::GroupedCache& shape) override;
    void attend_grouped(float* o_RHC, const float* q, const float* keys_NGSC, const float* values_NGSC,
                        const float* sinks_H, float* scratch, const kernels::CachePlace* places_R,
                        const kernels::GroupedCache& shape) override;
    void turn_latent_queries(float* q, float* scratch, const float* x_RHC, const float* cos_SP, const float* sin_SP,
                             const kernels::CachePlace* places_R, const kernels::LatentCache& shape) override;
    void cache_latent(float* latents_NSL, float* turned_NSP, float* scratch, const float* down, const float* norm_L,
                      const float* cos_SP, const float* sin_SP, const kernels::CachePlace* places_R,
                      const kernels::LatentCache& shape) override;
    void attend_latent(float* o_RHV, const float* q, const float* latents_NSL, const float* turned_NSP,
                       const float* up_H, float* scratch, const kernels::CachePlace* places_R,
                       const kernels::LatentCache& shape) override;

    void hash_choice(std::int32_t* ids_TK, const std::int32_t* tokens_T, std::int64_t T, std::int64_t E, std::int64_t K,
                     std::uint64_t seed) override;
    void router_forward(kernels::RouterLosses* losses, const kernels::RouterOutput& out, const kernels::RouterInput& in,
                        double* scratch, const kernels::RouterShape& shape) override;
    void router_backward(float* dz_TE, const float* dw_TJ, const kernels::RouterOutput& out,
                         const kernels::RouterInput& in, double* scratch, double balance_scale, double z_scale,
                         const kernels::RouterShape& shape) override;
    void update_selection_bias(float* bias_E, const std::uint64_t* loads_E, const std::uint8_t* disabled_E,
                               std::int64_t E, double speed) override;
    void dispatch_plan(std::int32_t* offsets_E1, std::int32_t* row_of_TJ, std::int32_t* token_of_R,
                       const std::int32_t* ids_TJ, const std::uint8_t* kept_TJ, const std::uint32_t* counts_E,
                       std::int64_t T, std::int64_t E, std::int64_t J) override;
    void gather_forward(float* y_RD, const float* x_TD, const std::int32_t* token_of_R, const kernels::ExpertRows& rows,
                        std::int64_t E, std::int64_t D) override;
    void gather_backward(float* dx_TD, const float* dy_RD, const std::int32_t* row_of_TJ, std::int64_t T,
                         std::int64_t J, std::int64_t D, bool add) override;
    void experts_forward(float* y_RD, float* gu_R2F, float* h_RF, const float* x_RD, const kernels::ExpertWeights& w,
                         const kernels::ExpertRows& rows, const kernels::ExpertShape& shape) override;
    void experts_backward(float* dx_RD, const kernels::ExpertGradients& g, float* dgu_R2F, float* dh_RF,
                          const float* dy_RD, const float* x_RD, const float* gu_R2F, const float* h_RF,
                          const kernels::ExpertWeights& w, const kernels::ExpertRows& rows,
                          const kernels::ExpertShape& shape) override;
    void activate_rows(float* h_RF, const float* gu_R2F, std::int64_t R, const kernels::ExpertShape& shape) override;
    void combine_forward(float* out_TD, const float* residual_TD, const float* y_RD, const float* w_TJ,
                         const std::int32_t* row_of_TJ, std::int64_t T, std::int64_t J, std::int64_t D) override;
    void combine_backward(float* dy_RD, float* dw_TJ, const float* dout_TD, const float* y_RD, const float* w_TJ,
                          const std::int32_t* row_of_TJ, std::int64_t T, std::int64_t J, std::int64_t D) override;

    void add_choices(std::uint64_t* sums_E, const std::uint32_t* choices_E, std::int64_t E) override;
    void count_slots(std::uint32_t* counts, const kernels::SlotCounts& slots) override;
    void add_margins(kernels::MarginSums* sums, const kernels::ChosenScores& layer) override;

    void cross_entropy_forward(double* loss, float* losses_T, const float* x_TD, const float* w_VD,
                               const std::int32_t* targets_T, float* logits, std::int64_t T, std::int64_t D,
                               std::int64_t V) override;
    void cross_entropy_forward_backward(double* loss, float* losses_T, float* dx_TD, float* dw_VD, const float* x_TD,
                                        const float* w_VD, const std::int32_t* targets_T, float* logits, std::int64_t T,
                                        std::int64_t D, std::int64_t V, double scale, kernels::Write write) override;
    void next_targets(std::int32_t* tokens_T, std::int32_t* next_T, const std::int32_t* targets_T, std::int64_t T,
                      std::int64_t length) override;
    void sum_of_squares(double* sum, const float* x, std::int64_t n, double* scratch) override;
    void add_row_errors(double* sums_2, const float* actual_RN, const float* expected_RN,
                        const kernels::ExpertRows& rows, std::int64_t E, std::int64_t N, double* scratch) override;
    void adamw(float* p, float* m, float* v, const float* gradient, std::int64_t n,
               const kernels::AdamWFactors* factors) override;
    void muon(float* p, float* m, const float* gradient, std::int64_t count, std::int64_t rows, std::int64_t columns,
              float* scratch, const kernels::MuonFactors* factors) override;
    bool all_finite(const float* x, std::int64_t n) override;

 private:
    /// What a call has to do at least.
    struct Work {
        double bytes = 0, flops = 0;
        bool experts = false;
    };
    template <class Call>
    void run(const char* name, const Work& work, const Call& call);
    /// Only while it is measured: these ask the device.
    double rows_of(const kernels::ExpertRows& rows, std::int64_t E);
    double distinct(const std::int32_t* tokens_T, std::int64_t T);
    /// Cached tokens that `rows` see together.
    double seen(const kernels::CachePlace* places_R, std::int64_t rows, std::int64_t window);

    std::unique_ptr<kernels::Ops> ops_;
    std::map<std::string, OperationCost> costs_;
    double idle_ = 0;  ///< seconds that waiting for nothing takes
    bool on_ = false, skip_counts_ = false;
};

}  // namespace moescope::bench
