#include "kernels/cuda/cuda_ops.hpp"

#include <algorithm>
#include <exception>
#include <list>
#include <stdexcept>
#include <vector>

#include "kernels/cuda/activation.hpp"
#include "kernels/cuda/attention.hpp"
#include "kernels/cuda/combine.hpp"
#include "kernels/cuda/counts.hpp"
#include "kernels/cuda/cross_entropy.hpp"
#include "kernels/cuda/decoding.hpp"
#include "kernels/cuda/dispatch.hpp"
#include "kernels/cuda/elementwise.hpp"
#include "kernels/cuda/embedding.hpp"
#include "kernels/cuda/muon.hpp"
#include "kernels/cuda/optimizer.hpp"
#include "kernels/cuda/qk_norm.hpp"
#include "kernels/cuda/rms_norm.hpp"
#include "kernels/cuda/rounded_attention.hpp"
#include "kernels/cuda/router.hpp"
#include "kernels/cuda/row_errors.hpp"

namespace moescope::kernels::cuda {
namespace {

constexpr std::int64_t kLogitRows = 2048;  // at a time
constexpr std::size_t kMostStretches = 16;

/// Memory of a few numbers that grows in the first step and stays.
class Room {
 public:
    explicit Room(Device& device) : device_(device) {}
    ~Room() { device_.free(memory_); }
    Room(const Room&) = delete;
    Room& operator=(const Room&) = delete;

    /// What takes at most as much as a call before; what stood there before is lost when it grows, and `moves` is
    /// called before an old place is given back.
    template <class Value, class Moves>
    Value* take(std::int64_t count, const Moves& moves) {
        const auto bytes = static_cast<std::uint64_t>(count) * sizeof(Value);
        if (bytes > size_) {
            if (memory_ != nullptr) {
                moves();
            }
            device_.wait();
            device_.free(memory_);
            memory_ = device_.allocate(bytes);
            size_ = memory_ == nullptr ? 0 : bytes;
            if (memory_ == nullptr) {
                throw std::bad_alloc();
            }
        }
        return static_cast<Value*>(memory_);
    }

 private:
    Device& device_;
    void* memory_ = nullptr;
    std::uint64_t size_ = 0;
};

class CudaOps final : public Ops {
 public:
    CudaOps(std::unique_ptr<Device> device, std::unique_ptr<Products> products, AttentionLoader attention)
        : device_(std::move(device)),
          products_(std::move(products)),
          rounded_attention_(*device_, std::move(attention)),
          share_(*device_),
          broken_(*device_),
          margins_(*device_) {}

    std::string device() const override { return device_->name(); }
    void enter() override { device_->enter(); }
    Operands operands() const override { return operands_; }
    void set_operands(Operands operands) override {
        operands_ = operands;
        products_->set_operands(operands);
    }
    bool has_float8() const override { return device_->has_float8(); }

    bool host_memory() const override { return false; }
    std::uint64_t available_memory() const override { return device_->available_memory(); }
    DeviceMemory allocate(std::uint64_t bytes, const Check& check) override {
        if (check) {
            check();
        }
        void* memory = device_->allocate(bytes);
        if (memory != nullptr) {
            device_->zero(memory, bytes);
        }
        return {static_cast<std::byte*>(memory), [device = device_](std::byte* p) { device->free(p); }};
    }
    void upload(void* device, const void* host, std::uint64_t bytes) override {
        not_in_stretch();
        device_->upload(device, host, bytes);
    }
    void download(void* host, const void* device, std::uint64_t bytes) override {
        not_in_stretch();
        device_->download(host, device, bytes);
    }
    void download_later(void* host, const void* device, std::uint64_t bytes) override {
        not_in_stretch();
        device_->download_later(host, device, bytes);
    }
    void copy(void* to, const void* from, std::uint64_t bytes) override { device_->copy(to, from, bytes); }
    void zero(void* at, std::uint64_t bytes) override { device_->zero(at, bytes); }
    const void* host_view(const void* /*device*/) override { return nullptr; }
    void wait() override {
        not_in_stretch();
        device_->wait();
    }

    bool repeat(const StretchKey& key, const std::function<void()>& work) override {
        if (in_stretch_ || !why_not_recorded_.empty()) {
            work();
            return true;
        }
        const auto known = std::find_if(stretches_.begin(), stretches_.end(), [&](const Stretch& stretch) {
            return stretch.operands == operands_ && stretch.key == key;
        });
        if (known != stretches_.end()) {
            stretches_.splice(stretches_.begin(), stretches_, known);
            device_->start(*known->graph);
            return false;
        }
        work();  // as it is the first time: libraries choose how they compute, and memory of a few numbers is taken
        record(key, work);
        return true;
    }
    std::string why_not_recorded() const override { return why_not_recorded_; }

    std::int64_t attention_scratch(const AttentionShape& shape) const override {
        return shape.rounded ? rounded_attention_.scratch(shape) : shape.B * shape.H * shape.S;
    }
    std::int64_t router_scratch(const RouterShape& shape) const override { return cuda::router_scratch(shape); }
    std::int64_t qk_norm_scratch(const HeadShape& shape) const override { return cuda::qk_norm_scratch(shape); }
    std::int64_t cross_entropy_rows(std::int64_t T) const override { return std::min(kLogitRows, T); }
    std::int64_t sum_of_squares_scratch(std::int64_t n) const override { return cuda::sum_of_squares_scratch(n); }
    std::int64_t row_errors_scratch(std::int64_t rows) const override { return cuda::row_errors_scratch(rows); }
    std::int64_t muon_scratch(std::int64_t rows, std::int64_t columns) const override {
        return cuda::muon_scratch(rows, columns);
    }
    std::int64_t grouped_decoding_scratch(const GroupedCache& shape) const override {
        return cuda::grouped_decoding_scratch(shape);
    }
    std::int64_t latent_decoding_scratch(const LatentCache& shape) const override {
        return cuda::latent_decoding_scratch(shape);
    }
    std::int64_t operand_scratch() const override { return products_->operand_scratch(); }
    void place_operands(std::uint16_t* scratch) override {
        stretches_.clear();
        products_->place_operands(scratch);
    }

    void embedding_forward(float* x_TD, const float* table_VD, const std::int32_t* tokens_T, std::int64_t T,
                           std::int64_t D) override {
        cuda::embedding_forward(stream(), x_TD, table_VD, tokens_T, T, D);
    }
    void embedding_backward(float* dtable_VD, const float* dx_TD, const std::int32_t* tokens_T, std::int64_t T,
                            std::int64_t D) override {
        cuda::embedding_backward(stream(), dtable_VD, dx_TD, tokens_T, T, D);
    }
    void rms_norm_forward(float* y_TD, float* rstd_T, const float* x_TD, const float* w_D, std::int64_t T,
                          std::int64_t D, double epsilon) override {
        cuda::rms_norm_forward(stream(), y_TD, rstd_T, x_TD, w_D, T, D, epsilon);
    }
    void rms_norm_backward(float* dx_TD, float* dw_D, const float* dy_TD, const float* x_TD, const float* rstd_T,
                           const float* w_D, std::int64_t T, std::int64_t D, Write write) override {
        cuda::rms_norm_backward(stream(), dx_TD, dw_D, dy_TD, x_TD, rstd_T, w_D, T, D, write);
    }
    void linear_forward(float* y_TO, const float* x_TI, const float* w_OI, const float* b_O, std::int64_t T,
                        std::int64_t I, std::int64_t O, Write write) override {
        products_->multiply(Transpose::no, Transpose::yes, T, O, I, x_TI, I, w_OI, I, beta_of(write), y_TO, O);
        if (b_O != nullptr) {
            add_bias(stream(), y_TO, b_O, nullptr, T, 1, O);
        }
    }
    void linear_backward_input(float* dx_TI, const float* dy_TO, const float* w_OI, std::int64_t T, std::int64_t I,
                               std::int64_t O, Write write) override {
        products_->multiply(Transpose::no, Transpose::no, T, I, O, dy_TO, O, w_OI, I, beta_of(write), dx_TI, I);
    }
    void linear_backward_weight(float* dw_OI, const float* dy_TO, const float* x_TI, std::int64_t T, std::int64_t I,
                                std::int64_t O, Write write) override {
        products_->multiply(Transpose::yes, Transpose::no, O, I, T, dy_TO, O, x_TI, I, beta_of(write), dw_OI, I);
    }
    void linear_backward_bias(float* db_O, const float* dy_TO, std::int64_t T, std::int64_t O, Write write) override {
        if (db_O != nullptr) {
            bias_gradient(stream(), db_O, dy_TO, nullptr, T, 1, O, write);
        }
    }
    void copy_columns(float* to, std::int64_t to_stride, const float* from, std::int64_t from_stride, std::int64_t rows,
                      std::int64_t width) override {
        cuda::copy_columns(stream(), to, to_stride, from, from_stride, rows, width);
    }
    void add(float* out, const float* a, const float* b, std::int64_t n) override { cuda::add(stream(), out, a, b, n); }
    void add_share(float* sum, const float* x, float share, bool first, std::int64_t n) override {
        cuda::add_share(stream(), sum, x, share, first, n);
    }
    void jitter(float* out, const float* x, std::int64_t n, double amount, const std::uint64_t* seed,
                std::uint64_t random_stream, std::uint64_t first) override {
        cuda::jitter(stream(), out, x, n, amount, seed, random_stream, first);
    }

    void rope_tables(float* cos_SP, float* sin_SP, std::int64_t S, std::int64_t C, const RopeSpec& spec) override {
        const std::int64_t count = S * (C / 2);
        std::vector<float> cosines(static_cast<std::size_t>(count)), sines(static_cast<std::size_t>(count));
        kernels::rope_tables(cosines.data(), sines.data(), S, C, spec);
        upload(cos_SP, cosines.data(), cosines.size() * sizeof(float));
        upload(sin_SP, sines.data(), sines.size() * sizeof(float));
        wait();
    }
    void qk_norm_forward(float* y_BNSC, float* rstd, const float* x, const float* w, const float* cos_SP,
                         const float* sin_SP, const HeadShape& shape) override {
        cuda::qk_norm_forward(stream(), y_BNSC, rstd, x, w, cos_SP, sin_SP, shape);
    }
    void qk_norm_backward(float* dx, float* dw, float* scratch, const float* dy_BNSC, const float* x, const float* rstd,
                          const float* w, const float* cos_SP, const float* sin_SP, const HeadShape& shape) override {
        cuda::qk_norm_backward(stream(), dx, dw, scratch, dy_BNSC, x, rstd, w, cos_SP, sin_SP, shape);
    }
    void latent_key_forward(float* k_BNSC, const float* x_nope, const float* x_rope, const float* cos_SP,
                            const float* sin_SP, const LatentKeyShape& shape) override {
        cuda::latent_key_forward(stream(), k_BNSC, x_nope, x_rope, cos_SP, sin_SP, shape);
    }
    void latent_key_backward(float* dx_nope, float* dx_rope, const float* dk_BNSC, const float* cos_SP,
                             const float* sin_SP, const LatentKeyShape& shape) override {
        cuda::latent_key_backward(stream(), dx_nope, dx_rope, dk_BNSC, cos_SP, sin_SP, shape);
    }
    void attention_forward(float* o_THC, float* lse_BHS, const float* q_BHSC, const float* k_BGSC, const float* v,
                           const float* sinks_H, float* scratch, const AttentionShape& shape) override {
        if (shape.rounded) {
            rounded_attention_.forward(o_THC, lse_BHS, q_BHSC, k_BGSC, v, sinks_H, scratch, shape);
            return;
        }
        cuda::attention_forward(stream(), o_THC, lse_BHS, q_BHSC, k_BGSC, v, sinks_H, shape);
    }
    void attention_backward(float* dq_BHSC, float* dk_BGSC, float* dv, float* dsinks_H, float* /*sink_partial*/,
                            const float* do_THC, const float* o_THC, const float* q_BHSC, const float* k_BGSC,
                            const float* v, const float* sinks_H, const float* lse_BHS, float* scratch,
                            const AttentionShape& shape) override {
        if (shape.rounded) {
            rounded_attention_.backward(dq_BHSC, dk_BGSC, dv, dsinks_H, do_THC, o_THC, q_BHSC, k_BGSC, v, sinks_H,
                                        lse_BHS, scratch, shape);
            return;
        }
        cuda::attention_backward(stream(), dq_BHSC, dk_BGSC, dv, dsinks_H, do_THC, q_BHSC, k_BGSC, v, sinks_H, lse_BHS,
                                 scratch, shape);
    }
    std::string attention_by() const override { return rounded_attention_.by(); }

    void cache_grouped(float* q, float* keys_NGSC, float* values_NGSC, float* scratch, const float* qkv,
                       const float* q_norm, const float* k_norm, const float* cos_SP, const float* sin_SP,
                       const CachePlace* places_R, const GroupedCache& shape) override {
        cuda::cache_grouped(stream(), q, keys_NGSC, values_NGSC, scratch, qkv, q_norm, k_norm, cos_SP, sin_SP, places_R,
                            shape);
    }
    void attend_grouped(float* o_RHC, const float* q, const float* keys_NGSC, const float* values_NGSC,
                        const float* sinks_H, float* scratch, const CachePlace* places_R,
                        const GroupedCache& shape) override {
        cuda::attend_grouped(stream(), o_RHC, q, keys_NGSC, values_NGSC, sinks_H, scratch, places_R, shape);
    }
    void turn_latent_queries(float* q, float* scratch, const float* x_RHC, const float* cos_SP, const float* sin_SP,
                             const CachePlace* places_R, const LatentCache& shape) override {
        cuda::turn_latent_queries(stream(), q, scratch, x_RHC, cos_SP, sin_SP, places_R, shape);
    }
    void cache_latent(float* latents_NSL, float* turned_NSP, float* scratch, const float* down, const float* norm_L,
                      const float* cos_SP, const float* sin_SP, const CachePlace* places_R,
                      const LatentCache& shape) override {
        cuda::cache_latent(stream(), latents_NSL, turned_NSP, scratch, down, norm_L, cos_SP, sin_SP, places_R, shape);
    }
    void attend_latent(float* o_RHV, const float* q, const float* latents_NSL, const float* turned_NSP,
                       const float* up_H, float* scratch, const CachePlace* places_R,
                       const LatentCache& shape) override {
        cuda::attend_latent(stream(), o_RHV, q, latents_NSL, turned_NSP, up_H, scratch, places_R, shape);
    }

    void hash_choice(std::int32_t* ids_TK, const std::int32_t* tokens_T, std::int64_t T, std::int64_t E, std::int64_t K,
                     std::uint64_t seed) override {
        cuda::hash_choice(stream(), ids_TK, tokens_T, T, E, K, seed);
    }
    void router_forward(RouterLosses* losses, const RouterOutput& out, const RouterInput& in, double* scratch,
                        const RouterShape& shape) override {
        cuda::router_forward(stream(), losses, out, in, scratch, shape);
    }
    void router_backward(float* dz_TE, const float* dw_TJ, const RouterOutput& out, const RouterInput& in,
                         double* scratch, double balance_scale, double z_scale, const RouterShape& shape) override {
        cuda::router_backward(stream(), dz_TE, dw_TJ, out, in, scratch, balance_scale, z_scale, shape);
    }
    void update_selection_bias(float* bias_E, const std::uint64_t* loads_E, const std::uint8_t* disabled_E,
                               std::int64_t E, double speed) override {
        cuda::update_selection_bias(stream(), bias_E, loads_E, disabled_E, E, speed);
    }
    void dispatch_plan(std::int32_t* offsets_E1, std::int32_t* row_of_TJ, std::int32_t* token_of_R,
                       const std::int32_t* ids_TJ, const std::uint8_t* kept_TJ, const std::uint32_t* counts_E,
                       std::int64_t T, std::int64_t E, std::int64_t J) override {
        cuda::dispatch_plan(stream(), offsets_E1, row_of_TJ, token_of_R, ids_TJ, kept_TJ, counts_E, T, E, J);
    }
    void gather_forward(float* y_RD, const float* x_TD, const std::int32_t* token_of_R, const ExpertRows& rows,
                        std::int64_t E, std::int64_t D) override {
        cuda::gather_forward(stream(), y_RD, x_TD, token_of_R, rows.offsets_E1, rows.most, E, D);
    }
    void gather_backward(float* dx_TD, const float* dy_RD, const std::int32_t* row_of_TJ, std::int64_t T,
                         std::int64_t J, std::int64_t D, bool add) override {
        cuda::gather_backward(stream(), dx_TD, dy_RD, row_of_TJ, T, J, D, add);
    }
    void experts_forward(float* y_RD, float* gu_R2F, float* h_RF, const float* x_RD, const ExpertWeights& w,
                         const ExpertRows& rows, const ExpertShape& shape) override {
        const GroupedRows grouped{rows.offsets_E1, shape.E, rows.most};
        const std::int64_t D = shape.D, F = shape.F;
        products_->rows_times(grouped, Transpose::yes, 2 * F, D, x_RD, w.gate_up_E2FD, gu_R2F);
        if (w.gate_up_bias_E2F != nullptr) {
            add_bias(stream(), gu_R2F, w.gate_up_bias_E2F, rows.offsets_E1, rows.most, shape.E, 2 * F);
        }
        activate(stream(), h_RF, gu_R2F, end_of(rows, shape), rows.most, shape);
        products_->rows_times(grouped, Transpose::yes, D, F, h_RF, w.down_EDF, y_RD);
        if (w.down_bias_ED != nullptr) {
            add_bias(stream(), y_RD, w.down_bias_ED, rows.offsets_E1, rows.most, shape.E, D);
        }
    }
    void experts_backward(float* dx_RD, const ExpertGradients& g, float* dgu_R2F, float* dh_RF, const float* dy_RD,
                          const float* x_RD, const float* gu_R2F, const float* h_RF, const ExpertWeights& w,
                          const ExpertRows& rows, const ExpertShape& shape) override {
        const GroupedRows grouped{rows.offsets_E1, shape.E, rows.most};
        const std::int64_t D = shape.D, F = shape.F;
        products_->rows_times(grouped, Transpose::no, F, D, dy_RD, w.down_EDF, dh_RF);
        activate_backward(stream(), dgu_R2F, dh_RF, gu_R2F, end_of(rows, shape), rows.most, shape);
        products_->rows_times(grouped, Transpose::no, D, 2 * F, dgu_R2F, w.gate_up_E2FD, dx_RD);
        products_->gradients(grouped, 2 * F, D, dgu_R2F, x_RD, g.gate_up_E2FD);
        products_->gradients(grouped, D, F, dy_RD, h_RF, g.down_EDF);
        if (g.gate_up_bias_E2F != nullptr) {
            bias_gradient(stream(), g.gate_up_bias_E2F, dgu_R2F, rows.offsets_E1, rows.most, shape.E, 2 * F,
                          Write::assign);
        }
        if (g.down_bias_ED != nullptr) {
            bias_gradient(stream(), g.down_bias_ED, dy_RD, rows.offsets_E1, rows.most, shape.E, D, Write::assign);
        }
    }
    void activate_rows(float* h_RF, const float* gu_R2F, std::int64_t R, const ExpertShape& shape) override {
        activate(stream(), h_RF, gu_R2F, nullptr, R, shape);
    }
    void combine_forward(float* out_TD, const float* residual_TD, const float* y_RD, const float* w_TJ,
                         const std::int32_t* row_of_TJ, std::int64_t T, std::int64_t J, std::int64_t D) override {
        cuda::combine_forward(stream(), out_TD, residual_TD, y_RD, w_TJ, row_of_TJ, T, J, D);
    }
    void combine_backward(float* dy_RD, float* dw_TJ, const float* dout_TD, const float* y_RD, const float* w_TJ,
                          const std::int32_t* row_of_TJ, std::int64_t T, std::int64_t J, std::int64_t D) override {
        cuda::combine_backward(stream(), dy_RD, dw_TJ, dout_TD, y_RD, w_TJ, row_of_TJ, T, J, D);
    }

    void add_choices(std::uint64_t* sums_E, const std::uint32_t* choices_E, std::int64_t E) override {
        cuda::add_choices(stream(), sums_E, choices_E, E);
    }
    void count_slots(std::uint32_t* counts, const SlotCounts& slots) override {
        cuda::count_slots(stream(), counts, slots);
    }
    void add_margins(MarginSums* sums, const ChosenScores& layer) override {
        cuda::add_margins(stream(), sums, layer, take<double>(margins_, 2 * layer.T));
    }

    void cross_entropy_forward(double* loss, float* losses_T, const float* x_TD, const float* w_VD,
                               const std::int32_t* targets_T, float* logits, std::int64_t T, std::int64_t D,
                               std::int64_t V) override {
        for (std::int64_t first = 0; first < T; first += kLogitRows) {
            const std::int64_t rows = std::min(kLogitRows, T - first);
            products_->multiply(Transpose::no, Transpose::yes, rows, V, D, x_TD + first * D, D, w_VD, D, 0.0f, logits,
                                V);
            cuda::cross_entropy_rows(stream(), losses_T + first, logits, targets_T + first, nullptr, rows, V);
        }
        mean_loss(stream(), loss, losses_T, targets_T, T);
    }
    void cross_entropy_forward_backward(double* loss, float* losses_T, float* dx_TD, float* dw_VD, const float* x_TD,
                                        const float* w_VD, const std::int32_t* targets_T, float* logits, std::int64_t T,
                                        std::int64_t D, std::int64_t V, double scale, Write write) override {
        auto* share = take<float>(share_, 1);
        target_share(stream(), share, targets_T, T, scale);
        for (std::int64_t first = 0; first < T; first += kLogitRows) {
            const std::int64_t rows = std::min(kLogitRows, T - first);
            const float* x = x_TD + first * D;
            products_->multiply(Transpose::no, Transpose::yes, rows, V, D, x, D, w_VD, D, 0.0f, logits, V);
            cuda::cross_entropy_rows(stream(), losses_T + first, logits, targets_T + first, share, rows, V);
            products_->multiply(Transpose::no, Transpose::no, rows, D, V, logits, V, w_VD, D, 0.0f, dx_TD + first * D,
                                D);
            products_->multiply(Transpose::yes, Transpose::no, V, D, rows, logits, V, x, D,
                                first == 0 ? beta_of(write) : 1.0f, dw_VD, D);
        }
        mean_loss(stream(), loss, losses_T, targets_T, T);
    }
    void next_targets(std::int32_t* tokens_T, std::int32_t* next_T, const std::int32_t* targets_T, std::int64_t T,
                      std::int64_t length) override {
        cuda::next_targets(stream(), tokens_T, next_T, targets_T, T, length);
    }
    void sum_of_squares(double* sum, const float* x, std::int64_t n, double* scratch) override {
        cuda::sum_of_squares(stream(), sum, x, n, scratch);
    }
    void add_row_errors(double* sums_2, const float* actual_RN, const float* expected_RN, const ExpertRows& rows,
                        std::int64_t E, std::int64_t N, double* scratch) override {
        const std::int32_t* end = rows.offsets_E1 == nullptr ? nullptr : rows.offsets_E1 + E;
        cuda::add_row_errors(stream(), sums_2, actual_RN, expected_RN, end, rows.most, N, scratch);
    }
    void adamw(float* p, float* m, float* v, const float* gradient, std::int64_t n,
               const AdamWFactors* factors) override {
        cuda::adamw(stream(), p, m, v, gradient, n, factors);
    }
    void muon(float* p, float* m, const float* gradient, std::int64_t count, std::int64_t rows, std::int64_t columns,
              float* scratch, const MuonFactors* factors) override {
        cuda::muon(stream(), *products_, p, m, gradient, count, rows, columns, scratch, factors);
    }
    bool all_finite(const float* x, std::int64_t n) override {
        auto* broken = take<unsigned>(broken_, 1);
        device_->zero(broken, sizeof(unsigned));
        count_not_finite(stream(), broken, x, n);
        unsigned count = 0;
        download(&count, broken, sizeof count);
        return count == 0;
    }

 private:
    struct Stretch {
        StretchKey key;
        Operands operands;  ///< at its begin
        std::unique_ptr<Graph> graph;
    };
    /// True until the end of the scope.
    class Within {
     public:
        explicit Within(bool& flag) : flag_(flag) { flag_ = true; }
        ~Within() { flag_ = false; }
        Within(const Within&) = delete;
        Within& operator=(const Within&) = delete;

     private:
        bool& flag_;
    };

    /// What the host gives or gets would be that of the recording, each time.
    void not_in_stretch() const {
        if (in_stretch_) {
            throw std::logic_error(device_->name() + ": a stretch that repeats waits for the host");
        }
    }

    void record(const StretchKey& key, const std::function<void()>& work) {
        const Operands before = operands_;
        try {
            const Within within(in_stretch_);
            device_->begin_capture();
            work();
            std::unique_ptr<Graph> graph = device_->end_capture();
            if (stretches_.size() == kMostStretches) {
                stretches_.pop_back();  // the one that was not used for longest
            }
            stretches_.push_front({key, before, std::move(graph)});
        } catch (const std::exception& error) {
            // All of it was done before, so nothing is missing. What is wrong with the device itself, the next
            // operation says.
            device_->abandon_capture();
            set_operands(before);
            stretches_.clear();
            why_not_recorded_ = error.what();
        }
    }

    template <class Value>
    Value* take(Room& room, std::int64_t count) {
        return room.take<Value>(count, [this] { stretches_.clear(); });
    }

    static float beta_of(Write write) { return write == Write::add ? 1.0f : 0.0f; }
    static const std::int32_t* end_of(const ExpertRows& rows, const ExpertShape& shape) {
        return rows.offsets_E1 == nullptr ? nullptr : rows.offsets_E1 + shape.E;
    }
    simt::Stream stream() const { return device_->stream(); }

    std::shared_ptr<Device> device_;  ///< shared with the memory that it gave out
    std::unique_ptr<Products> products_;
    RoundedAttention rounded_attention_;
    Room share_, broken_, margins_;
    Operands operands_ = Operands::f32;
    std::list<Stretch> stretches_;  ///< the one used last first; none when memory moves that they name
    bool in_stretch_ = false;
    std::string why_not_recorded_;
};

}  // namespace

std::unique_ptr<Ops> cuda_ops(std::unique_ptr<Device> device, std::unique_ptr<Products> products,
                              AttentionLoader attention) {
    return std::make_unique<CudaOps>(std::move(device), std::move(products), std::move(attention));
}

}  // namespace moescope::kernels::cuda
