#include "engine/runner/own_model.hpp"

#include "engine/error.hpp"
#include "engine/formats/open_weights.hpp"
#include "engine/generate/forward_logits.hpp"
#include "engine/runner/generation.hpp"

namespace moescope::engine {
namespace {

class OwnModel final : public LanguageModel, private TokenModel {
 public:
    OwnModel(const std::filesystem::path& folder, OpenedWeights weights, int threads)
        : name_(folder.string()), model_(std::move(weights.model)), decoder_(model_), threads_(threads) {
        const ModelConfig& config = model_->config.model;
        info_.architecture = weights.type;
        info_.format = weights.format;
        info_.precision = "F32";
        info_.parameters = model_->layout.floats;
        info_.bytes = info_.parameters * sizeof(float);
        info_.vocabulary = config.vocabulary;
        info_.layers = config.layers;
        info_.experts = config.experts;
        info_.experts_per_token = config.experts_per_token;
        info_.context = config.context;
    }

    const ModelInfo& info() const override { return info_; }

    // `special`: the text starts a new document, as the model saw it in training, where every document follows an end
    // of text.
    std::vector<std::int32_t> tokenize(const std::string& text, bool special) const override {
        if (!model_->tokenizer) {
            throw Error(name_ +
                        " has no tokenizer.model, so it cannot read or write text; copy the one it was trained with");
        }
        std::vector<std::int32_t> tokens = model_->tokenizer->encode(text);
        if (special) {
            tokens.insert(tokens.begin(), model_->tokenizer->end_token());
        }
        return tokens;
    }

    GenerateResult generate(const GenerateRequest& request, const std::function<void(const GeneratedToken&)>& on_token,
                            const std::atomic<bool>& cancel) override {
        return run_generation(*this, tokenize(request.prompt, true), request, on_token, cancel);
    }

    std::vector<float> logits(std::span<const std::int32_t> tokens) override {
        return forward_logits(*model_, tokens, threads_);
    }

 private:
    int context_length() const override { return info_.context; }
    void restart() override { decoder_->reset(); }
    std::span<const float> feed(std::span<const std::int32_t> tokens, const std::atomic<bool>& cancel) override {
        std::span<const float> logits;
        for (const std::int32_t token : tokens) {
            if (cancel) {
                return {};
            }
            logits = decoder_->decode(token);
        }
        return logits;
    }
    bool ends_text(std::int32_t token) const override { return token == model_->tokenizer->end_token(); }
    std::string token_bytes(std::int32_t token) const override { return model_->tokenizer->piece_bytes(token); }

    std::string name_;
    std::shared_ptr<const LoadedModel> model_;
    OwnedDecoder decoder_;
    int threads_ = 0;
    ModelInfo info_;
};

}  // namespace

std::unique_ptr<LanguageModel> open_own_model(const std::filesystem::path& folder, int threads) {
    return std::make_unique<OwnModel>(folder, open_weights(folder), threads);
}

}  // namespace moescope::engine
