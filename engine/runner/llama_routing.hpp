// The routers of a GGUF model: a second context with a tap, apart from the one that answers.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>

#include "engine/runner/language_model.hpp"
#include "engine/runner/llama_batch.hpp"
#include "engine/runner/llama_tap.hpp"
#include "engine/runner/routed_model.hpp"

namespace moescope::engine {

using LlamaContext = std::unique_ptr<llama_context, decltype(&llama_free)>;

/// What looks at a context while it computes, and what stops it. Outlives the context.
struct LlamaHooks {
    ggml_backend_sched_eval_callback tap = nullptr;  ///< may be null
    void* tap_data = nullptr;
    const std::atomic<bool>** cancel = nullptr;  ///< where the flag of the call in progress stands
};

class LlamaRouting final : public RoutedModel {
 public:
    static constexpr int kBatch = 64;  ///< tokens per pass; logits of all of them are kept

    /// `make_context` opens a context of kBatch tokens per pass, for texts of info.context tokens. `model` outlives
    /// this. Computes one token to learn how the layers route. Throws Error when none does.
    LlamaRouting(const llama_model* model, const std::string& name, const ModelInfo& info,
                 const std::function<LlamaContext(const LlamaHooks&)>& make_context);
    LlamaRouting(const LlamaRouting&) = delete;  // the context knows the tap's address
    LlamaRouting& operator=(const LlamaRouting&) = delete;

    void set_threads(int threads) { llama_set_n_threads(context_.get(), threads, threads); }

    const routing::RouterSpec& spec() const override { return spec_; }
    void watch(routing::Detail detail, const routing::Interventions& interventions) override;
    const routing::InterventionPlan& plan() const override { return plan_; }
    int context_length() const override { return info_.context; }
    int vocabulary() const override { return info_.vocabulary; }
    int most_tokens() const override { return kBatch; }
    void restart() override;
    std::span<const float> feed(std::span<const std::int32_t> tokens,
                                std::vector<std::vector<routing::LayerDecision>>& decisions,
                                const std::atomic<bool>& cancel) override;

 private:
    void learn();
    void describe(const llama_model* model, const std::string& name);
    void put_doubts(const llama_model* model);

    ModelInfo info_;
    LlamaTap tap_;
    const std::atomic<bool>* cancel_ = nullptr;  ///< of the call in progress
    LlamaContext context_;
    LlamaBatch batch_{kBatch};
    routing::RouterSpec spec_;
    routing::InterventionPlan plan_;
    std::size_t position_ = 0;
    std::vector<float> logits_;  ///< [T][V] of the latest batch
};

}  // namespace moescope::engine
