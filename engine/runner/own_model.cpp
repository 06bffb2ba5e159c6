#include "engine/runner/own_model.hpp"

#include <algorithm>
#include <optional>

#include "engine/error.hpp"
#include "engine/exchange/open_weights.hpp"
#include "engine/generate/forward_logits.hpp"
#include "engine/generate/owned_decoder.hpp"
#include "engine/runner/generation.hpp"
#include "kernels/cpu/parallel.hpp"

namespace moescope::engine {
namespace {

constexpr int kMostContext = 4096;                            // tokens; the cache of keys and values grows with it
constexpr int kMostAnswers = 16;                              // side by side
constexpr std::uint64_t kMostCache = std::uint64_t{1} << 30;  // bytes of keys and values, unless one text needs more

class OwnModel final : public LanguageModel, private TokenModel {
 public:
    OwnModel(const std::filesystem::path& folder, OpenedWeights weights, int threads)
        : name_(folder.string()), model_(std::move(weights.model)), threads_(threads) {
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
        info_.context = std::min(config.context, kMostContext);
    }

    const ModelInfo& info() const override { return info_; }
    void set_threads(int threads) override { threads_ = threads; }

    // `special`: the text starts a new document, as the model saw it in training, where every document follows an end
    // of text.
    std::vector<std::int32_t> tokenize(const std::string& text, bool special) const override {
        if (!model_->tokenizer) {
            throw Error(say(
                "{} has no tokenizer.model, so it cannot read or write text; copy the one it was trained with", name_));
        }
        std::vector<std::int32_t> tokens = model_->tokenizer->encode(text);
        if (special) {
            tokens.insert(tokens.begin(), model_->tokenizer->end_token());
        }
        return tokens;
    }

    std::vector<GenerateResult> generate_many(const GenerateRequest& request, int count, const OnAnswerToken& on_token,
                                              const std::atomic<bool>& cancel) override {
        return run_generation(*this, tokenize(request.prompt, true), request, count, on_token, cancel);
    }

    std::vector<float> logits(std::span<const std::int32_t> tokens) override {
        return forward_logits(*model_, tokens, threads_);
    }

 private:
    int context_length() const override { return info_.context; }
    int most_answers() const override {
        const std::uint64_t text = cache_bytes(model_->config.model, info_.context);
        return static_cast<int>(
            std::clamp<std::uint64_t>(kMostCache / std::max<std::uint64_t>(1, text), 1, kMostAnswers));
    }
    std::span<const float> read(std::span<const std::int32_t> prompt, int answers,
                                const std::atomic<bool>& cancel) override {
        kernels::set_workers(threads_ > 0 ? threads_ : kernels::hardware_workers());
        if (!decoder_ || (*decoder_)->sequences() < answers) {
            decoder_.reset();  // before the new one takes its memory
            decoder_.emplace(model_, answers, info_.context);
        }
        Decoder& decoder = **decoder_;
        decoder.reset();
        const std::span<const float> logits = decoder.read(0, prompt, &cancel);
        for (int answer = 1; answer < answers; ++answer) {
            decoder.copy(0, answer);
        }
        return logits;
    }
    std::span<const float> append(std::span<const NextToken> next, const std::atomic<bool>& cancel) override {
        if (cancel) {
            return {};
        }
        rows_.clear();
        for (const NextToken& one : next) {
            rows_.push_back({one.answer, one.token});
        }
        return (*decoder_)->decode(rows_);
    }
    bool ends_text(std::int32_t token) const override { return token == model_->tokenizer->end_token(); }
    std::string token_bytes(std::int32_t token) const override { return model_->tokenizer->piece_bytes(token); }

    std::string name_;
    std::shared_ptr<const LoadedModel> model_;
    std::optional<OwnedDecoder> decoder_;  ///< with as many texts as answers were asked for so far
    std::vector<DecoderRow> rows_;         ///< kept between calls to spare allocations
    int threads_ = 0;
    ModelInfo info_;
};

}  // namespace

std::unique_ptr<LanguageModel> open_own_model(const std::filesystem::path& folder, const FileReport& report,
                                              int threads) {
    return std::make_unique<OwnModel>(folder, open_weights(folder, report), threads);
}

}  // namespace moescope::engine
