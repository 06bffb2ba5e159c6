#include "bench/gpu/measured_ops.hpp"

#include <algorithm>
#include <chrono>
#include <set>
#include <vector>

namespace moescope::bench {

using namespace kernels;
using std::int64_t;

namespace {

using Clock = std::chrono::steady_clock;

double seconds(Clock::duration time) {
    return std::chrono::duration<double>(time).count();
}
double d(int64_t value) {
    return static_cast<double>(value);
}
/// Of so many floats.
double floats(double count) {
    return 4 * count;
}

/// Pairs of a query and a key that it sees.
double pairs(const AttentionShape& shape) {
    double sum = 0;
    for (int64_t s = 0; s < shape.S; ++s) {
        sum += d(shape.window > 0 ? std::min(s + 1, shape.window) : s + 1);
    }
    return sum * d(shape.B * shape.H);
}

}  // namespace

MeasuredOps::MeasuredOps(std::unique_ptr<Ops> ops) : ops_(std::move(ops)) {}

void MeasuredOps::measure(bool on) {
    on_ = on;
    if (!on) {
        return;
    }
    constexpr int kTimes = 101;
    std::vector<double> times;
    ops_->wait();
    for (int i = 0; i < kTimes; ++i) {
        const auto begin = Clock::now();
        ops_->wait();
        times.push_back(seconds(Clock::now() - begin));
    }
    std::nth_element(times.begin(), times.begin() + kTimes / 2, times.end());
    idle_ = times[kTimes / 2];
}

bool MeasuredOps::repeat(const StretchKey& key, const std::function<void()>& work) {
    if (on_) {
        work();  // one by one
        return true;
    }
    StretchKey with_counts = key;
    with_counts.add(skip_counts_);
    return ops_->repeat(with_counts, work);
}

template <class Call>
void MeasuredOps::run(const char* name, const Work& work, const Call& call) {
    if (!on_) {
        call();
        return;
    }
    ops_->wait();
    const auto begin = Clock::now();
    call();
    ops_->wait();
    const double time = std::max(0.0, seconds(Clock::now() - begin) - idle_);
    const bool rounded = ops_->operands() != Operands::f32;
    const char* operands = !rounded ? " f32" : ops_->operands() == Operands::fp8 && work.experts ? " fp8" : " bf16";
    OperationCost& cost = costs_[work.flops > 0 ? std::string(name) + operands : name];
    if (work.flops > 0) {
        cost.limit = !rounded ? Limit::product_f32 : work.experts ? Limit::experts_bf16 : Limit::product_bf16;
    }
    ++cost.calls;
    cost.seconds += time;
    cost.bytes += work.bytes;
    cost.flops += work.flops;
}

double MeasuredOps::rows_of(const ExpertRows& rows, int64_t E) {
    if (!on_ || rows.offsets_E1 == nullptr) {
        return d(rows.most);
    }
    std::int32_t count = 0;
    ops_->download(&count, rows.offsets_E1 + E, sizeof count);
    return count;
}

double MeasuredOps::distinct(const std::int32_t* tokens_T, int64_t T) {
    if (!on_) {
        return 0;
    }
    std::vector<std::int32_t> tokens(static_cast<std::size_t>(T));
    ops_->download(tokens.data(), tokens_T, tokens.size() * sizeof(std::int32_t));
    return static_cast<double>(std::set<std::int32_t>(tokens.begin(), tokens.end()).size());
}

double MeasuredOps::seen(const CachePlace* places_R, int64_t rows, int64_t window) {
    if (!on_) {
        return 0;
    }
    std::vector<CachePlace> places(static_cast<std::size_t>(rows));
    ops_->download(places.data(), places_R, places.size() * sizeof(CachePlace));
    // Rows of one text see nearly the same tokens, which are read once.
    std::map<std::int32_t, std::int32_t> last;
    for (const CachePlace& place : places) {
        last[place.sequence] = std::max(last[place.sequence], place.position + 1);
    }
    double sum = 0;
    for (const auto& [sequence, tokens] : last) {
        sum += window > 0 ? std::min(d(tokens), d(window)) : d(tokens);
    }
    return sum;
}

void MeasuredOps::copy(void* to, const void* from, std::uint64_t bytes) {
    run("copy", {2 * static_cast<double>(bytes)}, [&] { ops_->copy(to, from, bytes); });
}
void MeasuredOps::zero(void* at, std::uint64_t bytes) {
    run("zero", {static_cast<double>(bytes)}, [&] { ops_->zero(at, bytes); });
}

void MeasuredOps::embedding_forward(float* x_TD, const float* table_VD, const std::int32_t* tokens_T, int64_t T,
                                    int64_t D) {
    run("embedding_forward", {floats(d(T * D + T) + distinct(tokens_T, T) * d(D))},
        [&] { ops_->embedding_forward(x_TD, table_VD, tokens_T, T, D); });
}
void MeasuredOps::embedding_backward(float* dtable_VD, const float* dx_TD, const std::int32_t* tokens_T, int64_t T,
                                     int64_t D) {
    run("embedding_backward", {floats(d(T * D + T) + 2 * distinct(tokens_T, T) * d(D))},
        [&] { ops_->embedding_backward(dtable_VD, dx_TD, tokens_T, T, D); });
}
void MeasuredOps::rms_norm_forward(float* y_TD, float* rstd_T, const float* x_TD, const float* w_D, int64_t T,
                                   int64_t D, double epsilon) {
    run("rms_norm_forward", {floats(d(2 * T * D + T + D))},
        [&] { ops_->rms_norm_forward(y_TD, rstd_T, x_TD, w_D, T, D, epsilon); });
}
void MeasuredOps::rms_norm_backward(float* dx_TD, float* dw_D, const float* dy_TD, const float* x_TD,
                                    const float* rstd_T, const float* w_D, int64_t T, int64_t D, Write write) {
    run("rms_norm_backward", {floats(d((write == Write::add ? 4 : 3) * T * D + T + 2 * D))},
        [&] { ops_->rms_norm_backward(dx_TD, dw_D, dy_TD, x_TD, rstd_T, w_D, T, D, write); });
}

void MeasuredOps::linear_forward(float* y_TO, const float* x_TI, const float* w_OI, const float* b_O, int64_t T,
                                 int64_t I, int64_t O, Write write) {
    run("linear_forward", {floats(d(T * I + O * I + T * O)), 2 * d(T) * d(I) * d(O)},
        [&] { ops_->linear_forward(y_TO, x_TI, w_OI, b_O, T, I, O, write); });
}
void MeasuredOps::linear_backward_input(float* dx_TI, const float* dy_TO, const float* w_OI, int64_t T, int64_t I,
                                        int64_t O, Write write) {
    run("linear_backward_input", {floats(d(T * I + O * I + T * O)), 2 * d(T) * d(I) * d(O)},
        [&] { ops_->linear_backward_input(dx_TI, dy_TO, w_OI, T, I, O, write); });
}
void MeasuredOps::linear_backward_weight(float* dw_OI, const float* dy_TO, const float* x_TI, int64_t T, int64_t I,
                                         int64_t O, Write write) {
    run("linear_backward_weight", {floats(d(T * I + O * I + T * O)), 2 * d(T) * d(I) * d(O)},
        [&] { ops_->linear_backward_weight(dw_OI, dy_TO, x_TI, T, I, O, write); });
}
void MeasuredOps::linear_backward_bias(float* db_O, const float* dy_TO, int64_t T, int64_t O, Write write) {
    if (db_O == nullptr) {  // nothing to do, by the contract
        ops_->linear_backward_bias(db_O, dy_TO, T, O, write);
        return;
    }
    run("linear_backward_bias", {floats(d(T * O + O))}, [&] { ops_->linear_backward_bias(db_O, dy_TO, T, O, write); });
}
void MeasuredOps::copy_columns(float* to, int64_t to_stride, const float* from, int64_t from_stride, int64_t rows,
                               int64_t width) {
    run("copy_columns", {floats(d(2 * rows * width))},
        [&] { ops_->copy_columns(to, to_stride, from, from_stride, rows, width); });
}
void MeasuredOps::add(float* out, const float* a, const float* b, int64_t n) {
    run("add", {floats(d(3 * n))}, [&] { ops_->add(out, a, b, n); });
}
void MeasuredOps::add_share(float* sum, const float* x, float share, bool first, int64_t n) {
    run("add_share", {floats(d((first ? 2 : 3) * n))}, [&] { ops_->add_share(sum, x, share, first, n); });
}
void MeasuredOps::jitter(float* out, const float* x, int64_t n, double amount, const std::uint64_t* seed,
                         std::uint64_t stream, std::uint64_t first) {
    run("jitter", {floats(d(2 * n))}, [&] { ops_->jitter(out, x, n, amount, seed, stream, first); });
}

void MeasuredOps::rope_tables(float* cos_SP, float* sin_SP, int64_t S, int64_t C, const RopeSpec& spec) {
    run("rope_tables", {floats(d(S * C))}, [&] { ops_->rope_tables(cos_SP, sin_SP, S, C, spec); });
}
void MeasuredOps::qk_norm_forward(float* y_BNSC, float* rstd, const float* x, const float* w, const float* cos_SP,
                                  const float* sin_SP, const HeadShape& shape) {
    run("qk_norm_forward", {floats(d(2 * shape.B * shape.S * shape.N * shape.C))},
        [&] { ops_->qk_norm_forward(y_BNSC, rstd, x, w, cos_SP, sin_SP, shape); });
}
void MeasuredOps::qk_norm_backward(float* dx, float* dw, float* scratch, const float* dy_BNSC, const float* x,
                                   const float* rstd, const float* w, const float* cos_SP, const float* sin_SP,
                                   const HeadShape& shape) {
    const int64_t arrays = shape.norm == QkNorm::none ? 2 : 3;
    run("qk_norm_backward", {floats(d(arrays * shape.B * shape.S * shape.N * shape.C))},
        [&] { ops_->qk_norm_backward(dx, dw, scratch, dy_BNSC, x, rstd, w, cos_SP, sin_SP, shape); });
}
void MeasuredOps::latent_key_forward(float* k_BNSC, const float* x_nope, const float* x_rope, const float* cos_SP,
                                     const float* sin_SP, const LatentKeyShape& shape) {
    run("latent_key_forward", {floats(d(shape.B * shape.S * (shape.N * (2 * shape.nope + shape.rope) + shape.rope)))},
        [&] { ops_->latent_key_forward(k_BNSC, x_nope, x_rope, cos_SP, sin_SP, shape); });
}
void MeasuredOps::latent_key_backward(float* dx_nope, float* dx_rope, const float* dk_BNSC, const float* cos_SP,
                                      const float* sin_SP, const LatentKeyShape& shape) {
    run("latent_key_backward", {floats(d(shape.B * shape.S * (shape.N * (2 * shape.nope + shape.rope) + shape.rope)))},
        [&] { ops_->latent_key_backward(dx_nope, dx_rope, dk_BNSC, cos_SP, sin_SP, shape); });
}
void MeasuredOps::attention_forward(float* o_THC, float* lse_BHS, const float* q_BHSC, const float* k_BGSC,
                                    const float* v, const float* sinks_H, float* scratch, const AttentionShape& shape) {
    const double tokens = d(shape.B * shape.S);
    run("attention_forward",
        {floats(tokens * d(shape.H + shape.G) * d(shape.C + shape.Cv)), 2 * pairs(shape) * d(shape.C + shape.Cv)},
        [&] { ops_->attention_forward(o_THC, lse_BHS, q_BHSC, k_BGSC, v, sinks_H, scratch, shape); });
}
void MeasuredOps::attention_backward(float* dq_BHSC, float* dk_BGSC, float* dv, float* dsinks_H, float* sink_partial,
                                     const float* do_THC, const float* o_THC, const float* q_BHSC, const float* k_BGSC,
                                     const float* v, const float* sinks_H, const float* lse_BHS, float* scratch,
                                     const AttentionShape& shape) {
    const double tokens = d(shape.B * shape.S);
    // Scores again, and the gradients of queries, keys, values and probabilities.
    run("attention_backward",
        {floats(2 * tokens * d(shape.H + shape.G) * d(shape.C + shape.Cv)),
         2 * pairs(shape) * d(3 * shape.C + 2 * shape.Cv)},
        [&] {
            ops_->attention_backward(dq_BHSC, dk_BGSC, dv, dsinks_H, sink_partial, do_THC, o_THC, q_BHSC, k_BGSC, v,
                                     sinks_H, lse_BHS, scratch, shape);
        });
}

void MeasuredOps::cache_grouped(float* q, float* keys_NGSC, float* values_NGSC, float* scratch, const float* qkv,
                                const float* q_norm, const float* k_norm, const float* cos_SP, const float* sin_SP,
                                const CachePlace* places_R, const GroupedCache& shape) {
    run("cache_grouped", {floats(d(2 * shape.R * (shape.H + 2 * shape.G) * shape.C))}, [&] {
        ops_->cache_grouped(q, keys_NGSC, values_NGSC, scratch, qkv, q_norm, k_norm, cos_SP, sin_SP, places_R, shape);
    });
}
void MeasuredOps::attend_grouped(float* o_RHC, const float* q, const float* keys_NGSC, const float* values_NGSC,
                                 const float* sinks_H, float* scratch, const CachePlace* places_R,
                                 const GroupedCache& shape) {
    const double cached = seen(places_R, shape.R, shape.window) * d(2 * shape.G * shape.C);
    run("attend_grouped", {floats(cached + d(2 * shape.R * shape.H * shape.C))},
        [&] { ops_->attend_grouped(o_RHC, q, keys_NGSC, values_NGSC, sinks_H, scratch, places_R, shape); });
}
void MeasuredOps::turn_latent_queries(float* q, float* scratch, const float* x_RHC, const float* cos_SP,
                                      const float* sin_SP, const CachePlace* places_R, const LatentCache& shape) {
    run("turn_latent_queries", {floats(d(2 * shape.R * shape.H * (shape.nope + shape.rope)))},
        [&] { ops_->turn_latent_queries(q, scratch, x_RHC, cos_SP, sin_SP, places_R, shape); });
}
void MeasuredOps::cache_latent(float* latents_NSL, float* turned_NSP, float* scratch, const float* down,
                               const float* norm_L, const float* cos_SP, const float* sin_SP,
                               const CachePlace* places_R, const LatentCache& shape) {
    run("cache_latent", {floats(d(2 * shape.R * (shape.rank + shape.rope)))},
        [&] { ops_->cache_latent(latents_NSL, turned_NSP, scratch, down, norm_L, cos_SP, sin_SP, places_R, shape); });
}
void MeasuredOps::attend_latent(float* o_RHV, const float* q, const float* latents_NSL, const float* turned_NSP,
                                const float* up_H, float* scratch, const CachePlace* places_R,
                                const LatentCache& shape) {
    const double cached = seen(places_R, shape.R, shape.window) * d(shape.rank + shape.rope),
                 up = d(shape.H * (shape.nope + shape.Cv) * shape.rank),
                 rows = d(shape.R * shape.H * (shape.nope + shape.rope + shape.Cv));
    run("attend_latent", {floats(cached + up + rows)},
        [&] { ops_->attend_latent(o_RHV, q, latents_NSL, turned_NSP, up_H, scratch, places_R, shape); });
}

void MeasuredOps::hash_choice(std::int32_t* ids_TK, const std::int32_t* tokens_T, int64_t T, int64_t E, int64_t K,
                              std::uint64_t seed) {
    run("hash_choice", {floats(d(T + T * K))}, [&] { ops_->hash_choice(ids_TK, tokens_T, T, E, K, seed); });
}
void MeasuredOps::router_forward(RouterLosses* losses, const RouterOutput& out, const RouterInput& in, double* scratch,
                                 const RouterShape& shape) {
    run("router_forward", {floats(d(2 * shape.T * shape.E + shape.T)) + d(9 * shape.T * shape.slots())},
        [&] { ops_->router_forward(losses, out, in, scratch, shape); });
}
void MeasuredOps::router_backward(float* dz_TE, const float* dw_TJ, const RouterOutput& out, const RouterInput& in,
                                  double* scratch, double balance_scale, double z_scale, const RouterShape& shape) {
    run("router_backward", {floats(d(2 * shape.T * shape.E + shape.T)) + d(13 * shape.T * shape.slots())},
        [&] { ops_->router_backward(dz_TE, dw_TJ, out, in, scratch, balance_scale, z_scale, shape); });
}
void MeasuredOps::update_selection_bias(float* bias_E, const std::uint64_t* loads_E, const std::uint8_t* disabled_E,
                                        int64_t E, double speed) {
    run("update_selection_bias", {d(17 * E)},
        [&] { ops_->update_selection_bias(bias_E, loads_E, disabled_E, E, speed); });
}
void MeasuredOps::dispatch_plan(std::int32_t* offsets_E1, std::int32_t* row_of_TJ, std::int32_t* token_of_R,
                                const std::int32_t* ids_TJ, const std::uint8_t* kept_TJ, const std::uint32_t* counts_E,
                                int64_t T, int64_t E, int64_t J) {
    run("dispatch_plan", {d(13 * T * J + 8 * E)},
        [&] { ops_->dispatch_plan(offsets_E1, row_of_TJ, token_of_R, ids_TJ, kept_TJ, counts_E, T, E, J); });
}
void MeasuredOps::gather_forward(float* y_RD, const float* x_TD, const std::int32_t* token_of_R, const ExpertRows& rows,
                                 int64_t E, int64_t D) {
    run("gather_forward", {floats(rows_of(rows, E) * d(2 * D + 1))},
        [&] { ops_->gather_forward(y_RD, x_TD, token_of_R, rows, E, D); });
}
void MeasuredOps::gather_backward(float* dx_TD, const float* dy_RD, const std::int32_t* row_of_TJ, int64_t T, int64_t J,
                                  int64_t D, bool add) {
    run("gather_backward", {floats(d(T * J * (D + 1) + (add ? 2 : 1) * T * D))},
        [&] { ops_->gather_backward(dx_TD, dy_RD, row_of_TJ, T, J, D, add); });
}
void MeasuredOps::experts_forward(float* y_RD, float* gu_R2F, float* h_RF, const float* x_RD, const ExpertWeights& w,
                                  const ExpertRows& rows, const ExpertShape& shape) {
    const double R = rows_of(rows, shape.E), weights = d(3 * shape.E * shape.D * shape.F);
    run("experts_forward",
        {floats(weights + R * d(2 * shape.D + 3 * shape.F)), 6 * R * d(shape.D) * d(shape.F), shape.E > 1},
        [&] { ops_->experts_forward(y_RD, gu_R2F, h_RF, x_RD, w, rows, shape); });
}
void MeasuredOps::experts_backward(float* dx_RD, const ExpertGradients& g, float* dgu_R2F, float* dh_RF,
                                   const float* dy_RD, const float* x_RD, const float* gu_R2F, const float* h_RF,
                                   const ExpertWeights& w, const ExpertRows& rows, const ExpertShape& shape) {
    const double R = rows_of(rows, shape.E), weights = d(3 * shape.E * shape.D * shape.F);
    run("experts_backward",
        {floats(2 * weights + R * d(3 * shape.D + 3 * shape.F)), 12 * R * d(shape.D) * d(shape.F), shape.E > 1},
        [&] { ops_->experts_backward(dx_RD, g, dgu_R2F, dh_RF, dy_RD, x_RD, gu_R2F, h_RF, w, rows, shape); });
}
void MeasuredOps::activate_rows(float* h_RF, const float* gu_R2F, int64_t R, const ExpertShape& shape) {
    run("activate_rows", {floats(d(3 * R * shape.F))}, [&] { ops_->activate_rows(h_RF, gu_R2F, R, shape); });
}
void MeasuredOps::combine_forward(float* out_TD, const float* residual_TD, const float* y_RD, const float* w_TJ,
                                  const std::int32_t* row_of_TJ, int64_t T, int64_t J, int64_t D) {
    run("combine_forward", {floats(d(2 * T * D + T * J * (D + 2)))},
        [&] { ops_->combine_forward(out_TD, residual_TD, y_RD, w_TJ, row_of_TJ, T, J, D); });
}
void MeasuredOps::combine_backward(float* dy_RD, float* dw_TJ, const float* dout_TD, const float* y_RD,
                                   const float* w_TJ, const std::int32_t* row_of_TJ, int64_t T, int64_t J, int64_t D) {
    run("combine_backward", {floats(d(T * D + T * J * (2 * D + 3)))},
        [&] { ops_->combine_backward(dy_RD, dw_TJ, dout_TD, y_RD, w_TJ, row_of_TJ, T, J, D); });
}

void MeasuredOps::add_choices(std::uint64_t* sums_E, const std::uint32_t* choices_E, int64_t E) {
    if (!skip_counts_) {
        run("add_choices", {d(20 * E)}, [&] { ops_->add_choices(sums_E, choices_E, E); });
    }
}
void MeasuredOps::count_slots(std::uint32_t* counts, const SlotCounts& slots) {
    if (!skip_counts_) {
        run("count_slots", {d(5 * slots.T * slots.J + slots.T + 8 * slots.E * slots.G)},
            [&] { ops_->count_slots(counts, slots); });
    }
}
void MeasuredOps::add_margins(MarginSums* sums, const ChosenScores& layer) {
    if (!skip_counts_) {
        run("add_margins", {floats(d(layer.T * (layer.E + layer.K)))}, [&] { ops_->add_margins(sums, layer); });
    }
}

void MeasuredOps::cross_entropy_forward(double* loss, float* losses_T, const float* x_TD, const float* w_VD,
                                        const std::int32_t* targets_T, float* logits, int64_t T, int64_t D, int64_t V) {
    run("cross_entropy_forward", {floats(d(T * D + V * D + 2 * T)), 2 * d(T) * d(D) * d(V)},
        [&] { ops_->cross_entropy_forward(loss, losses_T, x_TD, w_VD, targets_T, logits, T, D, V); });
}
void MeasuredOps::cross_entropy_forward_backward(double* loss, float* losses_T, float* dx_TD, float* dw_VD,
                                                 const float* x_TD, const float* w_VD, const std::int32_t* targets_T,
                                                 float* logits, int64_t T, int64_t D, int64_t V, double scale,
                                                 Write write) {
    run("cross_entropy_forward_backward", {floats(d(2 * T * D + 2 * V * D + 2 * T)), 6 * d(T) * d(D) * d(V)}, [&] {
        ops_->cross_entropy_forward_backward(loss, losses_T, dx_TD, dw_VD, x_TD, w_VD, targets_T, logits, T, D, V,
                                             scale, write);
    });
}
void MeasuredOps::next_targets(std::int32_t* tokens_T, std::int32_t* next_T, const std::int32_t* targets_T, int64_t T,
                               int64_t length) {
    run("next_targets", {floats(d(3 * T))}, [&] { ops_->next_targets(tokens_T, next_T, targets_T, T, length); });
}
void MeasuredOps::sum_of_squares(double* sum, const float* x, int64_t n, double* scratch) {
    run("sum_of_squares", {floats(d(n))}, [&] { ops_->sum_of_squares(sum, x, n, scratch); });
}
void MeasuredOps::add_row_errors(double* sums_2, const float* actual_RN, const float* expected_RN,
                                 const ExpertRows& rows, int64_t E, int64_t N, double* scratch) {
    run("add_row_errors", {floats(2 * rows_of(rows, E) * d(N))},
        [&] { ops_->add_row_errors(sums_2, actual_RN, expected_RN, rows, E, N, scratch); });
}
void MeasuredOps::adamw(float* p, float* m, float* v, const float* gradient, int64_t n, const AdamWFactors* factors) {
    run("adamw", {floats(d(7 * n))}, [&] { ops_->adamw(p, m, v, gradient, n, factors); });
}
void MeasuredOps::muon(float* p, float* m, const float* gradient, int64_t count, int64_t rows, int64_t columns,
                       float* scratch, const MuonFactors* factors) {
    // Five iterations of three products: X X^T, its square, and that times X.
    const double small = d(std::min(rows, columns)), large = d(std::max(rows, columns));
    run("muon",
        {floats(d(5 * count * rows * columns)), 5 * d(count) * (4 * small * small * large + 2 * small * small * small)},
        [&] { ops_->muon(p, m, gradient, count, rows, columns, scratch, factors); });
}
bool MeasuredOps::all_finite(const float* x, int64_t n) {
    bool finite = false;
    run("all_finite", {floats(d(n))}, [&] { finite = ops_->all_finite(x, n); });
    return finite;
}

}  // namespace moescope::bench
