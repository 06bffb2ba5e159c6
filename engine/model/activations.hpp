// The buffers of forward and backward, placed before the run.
//
// Legend of shapes: B sequences, S positions, T = B S tokens, V vocabulary, D model width, H query heads, G key-value
// heads, C query and key width, Cv value width, E experts, K chosen experts, J slots per token (K, or E when experts
// choose), F expert width, R at most T J rows of expert work sorted by expert, Fs shared width, Fd dense width. With
// several ranks (rank_work.hpp) B is the rank's own share of the batch, and rows of its experts are called owned.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/model/arena.hpp"
#include "engine/model/config.hpp"
#include "engine/model/parameters.hpp"
#include "kernels/cpu/router.hpp"
#include "kernels/ops.hpp"

namespace moescope::engine {

/// A process among those that train one model together; see rank_work.hpp.
struct RankShape {
    int ranks = 1, rank = 0;                ///< parts of the batch, and which of them this process takes
    int expert_ranks = 1, expert_rank = 0;  ///< neighbours that share the experts
    bool own_sequences = false;  ///< those neighbours take different sequences, and tokens go to their experts
    bool together() const { return ranks > 1 || expert_ranks > 1; }
    int processes() const { return own_sequences ? ranks : ranks * expert_ranks; }
    int process() const { return own_sequences ? rank : rank * expert_ranks + expert_rank; }
    /// Rows of tokens come from other processes.
    bool tokens_travel() const { return expert_ranks > 1 && own_sequences; }
};

/// What the forward of one layer leaves for the backward. Null where the model has no such part.
struct LayerState {
    float* x_TD = nullptr;  ///< residual stream before the layer
    float* norm1_TD = nullptr;
    float* rstd1_T = nullptr;
    float* q_BHSC = nullptr;  ///< after norm and RoPE
    float* k_BGSC = nullptr;
    float* lse_BHS = nullptr;
    float* attention_THC = nullptr;  ///< [T, H Cv]
    float* middle_TD = nullptr;      ///< residual stream after attention
    float* norm2_TD = nullptr;
    float* rstd2_T = nullptr;
    // Grouped attention.
    float* qkv_TR = nullptr;  ///< [T, (H + 2 G) C]
    float* q_rstd = nullptr;  ///< [B, H, S]
    float* k_rstd = nullptr;  ///< [B, G, S]
    // Latent attention. Codes are kept before and after their norm.
    float *query_latent_T = nullptr, *query_norm_T = nullptr, *query_rstd_T = nullptr;  ///< [T, query_rank]
    float *kv_latent_T = nullptr, *kv_norm_T = nullptr, *kv_rstd_T = nullptr;           ///< [T, kv_rank]
    float* kv_T = nullptr;  ///< [T, H (nope + Cv)]: per head the key's own part, then the value
    // Experts.
    float* z_TE = nullptr;  ///< router logits, kept where the scores' gradient needs them
    kernels::RouterOutput routed;
    std::int32_t* offsets_E1 = nullptr;
    std::int32_t* row_of_TJ = nullptr;
    std::int32_t* token_of_R = nullptr;
    std::int32_t* owned_offsets_E1 = nullptr;                ///< of the experts here; only when ranks share the experts
    float* rows_RD = nullptr;                                ///< gathered inputs of the experts; owned
    float* gu_R2F = nullptr;                                 ///< owned
    float* h_RF = nullptr;                                   ///< owned
    float* y_RD = nullptr;                                   ///< of the own tokens
    float *shared_gu_T2F = nullptr, *shared_h_TF = nullptr;  ///< of the shared experts, or of the dense layer
};

enum class Mode { train, inference };

/// The results of a layer's experts that are compared with single precision: the forward's, and both gradients.
enum class ExpertError : std::uint8_t { output, input_gradient, weight_gradient };
inline constexpr std::size_t kExpertErrors = 3;

/// All buffers for at most `batch` sequences of `length` tokens. In inference one layer's buffers serve all.
struct Activations {
    /// The same call plans (arena without memory) and places (arena with memory of `ops`). `errors`: with room to
    /// compare expert products, in training. `rounded_attention`: attention too takes rounded operands, in passes whose
    /// products do.
    static Activations place(Arena& arena, kernels::Ops& ops, const ModelConfig& model, int batch, int length,
                             Mode mode, const RankShape& ranks = {}, bool errors = false,
                             bool rounded_attention = false);

    std::vector<LayerState> layers;  ///< of the model, then of the prediction module when it trains
    float* last_TD = nullptr;        ///< residual stream after the last layer
    float* final_TD = nullptr;       ///< after the final norm
    float* final_rstd_T = nullptr;
    float *cos_SP = nullptr, *sin_SP = nullptr;
    float* z_TE = nullptr;       ///< router logits, scratch of the forward and, as their gradient, of the backward
    float* jitter_TD = nullptr;  ///< router inputs times their jitter; null without jitter
    double* router_scratch = nullptr;
    float* attention_scratch = nullptr;
    bool rounded_attention = false;
    std::int32_t* given_TK = nullptr;                ///< ids of hash layers
    float* wide_T = nullptr;                         ///< scratch [T, widest projection]
    float* branch_TD = nullptr;                      ///< output of a dense layer or shared expert
    kernels::RouterLosses* router_losses = nullptr;  ///< of each layer, zero without experts
    double* losses = nullptr;                        ///< of the last passes: cross-entropy, then prediction
    // Several ranks only.
    struct WholeBatch {
        float* z_TE = nullptr;
        std::int32_t* given_TK = nullptr;
        double* scratch = nullptr;
        kernels::RouterOutput routed;
    } whole;                              ///< of a router that looks at the tokens of all ranks
    std::uint8_t* no_groups_T = nullptr;  ///< zeros
    std::uint64_t* others_LE = nullptr;   ///< choices that a balance loss counts besides the own ones
    float* sent_RD = nullptr;             ///< rows of the own tokens, on their way
    float *owned_y_RD = nullptr, *owned_drows_RD = nullptr;  ///< scratch: results of the experts here, and gradients
    // Training only.
    float* losses_T = nullptr;
    float* logits = nullptr;  ///< a chunk of rows [rows, V]
    float *dx_TD = nullptr, *dnorm_TD = nullptr, *dattention_THC = nullptr;
    float* dwide_T = nullptr;                               ///< gradient of the fused projection or of kv_T
    float *dlatent_T = nullptr, *dlatent_norm_T = nullptr;  ///< latent attention: gradients of a latent
    float *dq_BHSC = nullptr, *dk_BGSC = nullptr, *head_scratch = nullptr, *sink_partial = nullptr;
    float *dy_RD = nullptr, *drows_RD = nullptr, *dgu_R2F = nullptr, *dh_RF = nullptr, *dw_TJ = nullptr;
    /// What products of eight bits are compared with; all null without them.
    struct ExpertErrors {
        double* sums_L6 = nullptr;  ///< [layers][kExpertErrors][2], as Ops::add_row_errors has them
        double* scratch = nullptr;
        float* drows_RD = nullptr;                           ///< in single precision: gradients of owned rows,
        float *gate_up_E2FD = nullptr, *down_EDF = nullptr;  ///< of the weights of a layer's experts here
    } errors;
    // The multi-token prediction module.
    struct Prediction {
        std::int32_t *tokens_T = nullptr, *targets_T = nullptr;  ///< one further than the model's
        float *embedded_TD = nullptr, *hidden_norm_TD = nullptr, *hidden_rstd_T = nullptr;
        float *embedded_norm_TD = nullptr, *embedded_rstd_T = nullptr;
        float *joined_T2D = nullptr, *output_TD = nullptr, *final_TD = nullptr, *final_rstd_T = nullptr;
        float *djoined_T2D = nullptr, *dhidden_TD = nullptr;
    } prediction;
};

/// How routers work in one pass. What looks at the whole batch (capacity, Sinkhorn, quantiles) serves training only;
/// outside of it every token takes its own best experts. Expert choice has no other form and stays.
struct RouterMode {
    kernels::Balance balance = kernels::Balance::batch;
    bool training = true;
    int experts_per_token = 0;    ///< live knob: fewer than the model's; 0: as the model says
    double capacity_factor = -1;  ///< live knob; below 0: as the model says
};

/// Of hash layers; fixed for all times, so that a saved model keeps its routing.
inline std::uint64_t hash_seed(std::size_t layer) {
    return 0x6d6f6573636f7065u + layer;
}

kernels::RouterShape router_shape(const ModelConfig& model, const RouterMode& mode, std::size_t layer, int batch,
                                  int length);

}  // namespace moescope::engine
