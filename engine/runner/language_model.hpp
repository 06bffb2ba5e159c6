// One interface for every model that can answer: GGUF files through libllama, and checkpoints of our own engine. Not
// thread safe: one thread at a time, except `cancel` flags.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/sentence.hpp"
#include "base/stop_reason.hpp"
#include "kernels/devices.hpp"
#include "routing/decision.hpp"
#include "routing/interventions.hpp"

namespace moescope::engine {

struct ModelInfo {
    std::string architecture, format, precision;  ///< "qwen2", "GGUF", "Q4_K_M"
    std::string chat_template;                    ///< empty for a base model
    std::uint64_t parameters = 0, bytes = 0;
    int vocabulary = 0, layers = 0, experts = 0, experts_per_token = 0;
    int context = 0;     ///< tokens that prompt and answer may have together, as opened (GGUF: at most 4096)
    std::string device;  ///< "cpu", "cuda:0"; empty of a GGUF file on the processor
    /// Why it isn't the device on which the model was trained, or why that computes a part of a GGUF file only.
    base::Sentence why_processor;
    // Of models that our own engine computes:
    std::vector<std::pair<int, int>> disabled;  ///< layer, expert: never chosen, as in the run that the model is of
};

/// What computes a model.
struct ModelDevice {
    std::string name;  ///< empty: where the model was trained, as far as that can be had here, else the processor
    kernels::Devices* devices = nullptr;  ///< null: the processor is all there is
};

struct Sampling {
    double temperature = 0;  ///< 0 is greedy
    int top_k = 40;
    double top_p = 0.95, min_p = 0.05;
    std::uint64_t seed = 1;
};

struct GeneratedToken {
    struct Candidate {
        std::int32_t token = 0;
        std::string bytes;
        float log_probability = 0;  ///< natural logarithm of the model's own probability, before temperature and cuts
    };
    Candidate chosen;
    std::vector<Candidate> alternatives;
};

struct GenerateRequest {
    std::string prompt;  ///< what the person typed, UTF-8
    /// The text of a system turn before it, UTF-8; without one none is passed, and the template puts its own.
    std::optional<std::string> system;
    bool chat = true;      ///< wrap in the model's chat template when it has one
    int max_tokens = 256;  ///< fewer when the context is full before; the answer then stops with `context`
    int alternatives = 0;  ///< how many to report per token
    Sampling sampling;
};

/// What a model reads before it answers.
struct ShownPrompt {
    /// The conversation as the chat template wrote it, or the prompt as it is; a begin token that nobody wrote is in
    /// the tokens only.
    std::string text;
    std::vector<std::int32_t> tokens;
    bool in_template = false;
};

struct GenerateResult {
    using Stop = base::StopReason;
    Stop stop = Stop::end;  ///< end, length, context or cancelled
    int prompt_tokens = 0, tokens = 0;
    double prompt_ms = 0, generate_ms = 0;  ///< tokens_per_second = tokens / generate_ms
};

/// The number of the answer, and its next token.
using OnAnswerToken = std::function<void(int, const GeneratedToken&)>;

/// What of the routing is wanted, and what is changed in it.
struct RouteRequest {
    routing::Detail detail = routing::Detail::weights;
    routing::Interventions interventions;
    /// Of a text: the token that follows its last one. It is scored and not read, as the last token of an answer is,
    /// which may be one more than the context has room for.
    std::optional<std::int32_t> next{};
};
using OnDecisions = std::function<void(const routing::TokenDecisions&)>;

class RoutedModel;

class LanguageModel {
 public:
    virtual ~LanguageModel() = default;
    virtual const ModelInfo& info() const = 0;
    /// For what is asked from now on; as in open_model().
    virtual void set_threads(int threads) = 0;
    virtual std::vector<std::int32_t> tokenize(const std::string& text, bool special) const = 0;
    /// The prompt as the model is shown it: in its chat template unless the request says otherwise or it has none, with
    /// the begin token once where the model wants one. No words of the request become a control token. Throws Error:
    /// what a template does not take, a text that is not valid UTF-8, a system text without a template; also when
    /// `cancel` turns true meanwhile.
    virtual ShownPrompt show(const GenerateRequest& request, const std::atomic<bool>& cancel) const = 0;
    /// Calls `on_token` after each token; stops within one token after `cancel` turns true, also while it reads a long
    /// prompt. Throws Error, also when the prompt does not fit the context (the message names both numbers) or is no
    /// valid UTF-8.
    GenerateResult generate(const GenerateRequest& request, const std::function<void(const GeneratedToken&)>& on_token,
                            const std::atomic<bool>& cancel) {
        return generate_many(
            request, 1, [&](int, const GeneratedToken& token) { on_token(token); }, cancel)[0];
    }
    /// `count` answers to one prompt, the i-th as `generate` gives it with the seed plus i. Models of our own write
    /// several at a time, so tokens of different answers come in turns. Also throws when `count` is less than one.
    std::vector<GenerateResult> generate_many(const GenerateRequest& request, int count, const OnAnswerToken& on_token,
                                              const std::atomic<bool>& cancel) {
        return answer(show(request, cancel), request, count, on_token, cancel);
    }
    /// The same for a prompt that was shown before; of `request` only lengths and sampling count.
    virtual std::vector<GenerateResult> answer(const ShownPrompt& prompt, const GenerateRequest& request, int count,
                                               const OnAnswerToken& on_token, const std::atomic<bool>& cancel) = 0;
    /// Logits of every position, row-major [tokens.size()][vocabulary].
    virtual std::vector<float> logits(std::span<const std::int32_t> tokens) = 0;
    /// The text of a token, which may be a part of a character; empty where the model has none for it.
    virtual std::string token_bytes(std::int32_t token) const = 0;
    virtual bool ends_text(std::int32_t token) const = 0;

    /// The routers of the model. `model` in it is the path. Throws Error when it has none, or none that can be watched.
    virtual routing::RouterSpec router_spec() = 0;
    /// The model with its routers watched and changed as the request says (routed_model.hpp); until the next call of
    /// this or of set_threads. What is asked of the model otherwise neither sees nor suffers from it. Throws Error:
    /// no router, or an intervention that this one can't do.
    virtual RoutedModel& routed(const RouteRequest& request) = 0;

    /// The same for several threads at once: as many models as threads were set, at most `most` and at least one, each
    /// with a cache of its own for texts of `context` tokens and computed by the thread that asks it. They live no
    /// longer than this. Throws Error.
    virtual std::vector<std::unique_ptr<RoutedModel>> routed_copies(int most, int context) = 0;

    /// Reads the tokens and tells what the routers decided for each, in order, as soon as a block of them is computed.
    /// False when `cancel` turned true before the end. Throws Error, also as routed() and when there are no tokens or
    /// more than the context holds.
    bool route(std::span<const std::int32_t> tokens, const RouteRequest& request, const OnDecisions& on_decisions,
               const std::atomic<bool>& cancel);
    /// As answer(), one answer with the routing of the prompt and of every token that was fed back: of all but the
    /// last. The decision of a token comes once its successor is chosen.
    GenerateResult answer_routed(const ShownPrompt& prompt, const GenerateRequest& request, const RouteRequest& routing,
                                 const std::function<void(const GeneratedToken&)>& on_token,
                                 const OnDecisions& on_decisions, const std::atomic<bool>& cancel);
};

/// Opens a GGUF file or a checkpoint folder of ours. The file is checked first (engine/files/inspect.hpp); pickle and
/// damaged files are refused with the reason. Throws Error, also when the device that is named can't be used or has no
/// room for the model. What then goes wrong on a device throws std::runtime_error, and leaves a model that can only be
/// destroyed; where libllama computes, the process ends.
std::unique_ptr<LanguageModel> open_model(const std::filesystem::path& path, int threads,
                                          const ModelDevice& device = {});

}  // namespace moescope::engine
