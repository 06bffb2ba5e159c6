#include "engine/runner/own_model.hpp"

#include <algorithm>
#include <optional>

#include "engine/error.hpp"
#include "engine/exchange/open_weights.hpp"
#include "engine/generate/forward_logits.hpp"
#include "engine/generate/owned_decoder.hpp"
#include "engine/runner/chat_prompt.hpp"
#include "engine/runner/foreign_tokenizer.hpp"
#include "engine/runner/generation.hpp"
#include "engine/runner/own_routing.hpp"
#include "kernels/cpu/parallel.hpp"

namespace moescope::engine {
namespace {

constexpr int kMostContext = 4096;                            // tokens; the cache of keys and values grows with it
constexpr int kMostAnswers = 16;                              // side by side
constexpr std::uint64_t kMostCache = std::uint64_t{1} << 30;  // bytes of keys and values, unless one text needs more

class OwnModel final : public LanguageModel, private TokenModel {
 public:
    /// `placed`: the same model on another device than the processor; null: on the processor.
    OwnModel(const std::filesystem::path& folder, OpenedWeights weights, int threads,
             std::shared_ptr<const PlacedModel> placed, Sentence why_processor)
        : name_(folder.string()), model_(std::move(weights.model)), placed_(std::move(placed)), threads_(threads) {
        const ModelConfig& config = model_->config.model;
        info_.architecture = weights.type;
        info_.format = weights.format;
        info_.precision = "F32";
        info_.parameters = model_->layout.floats;
        info_.bytes = info_.parameters * sizeof(float);
        info_.vocabulary = config.vocabulary;
        info_.layers = config.layers;
        const auto& layers = model_->layout.layers;
        if (std::any_of(layers.begin(), layers.end(), [](const auto& layer) { return layer.has_experts(); })) {
            info_.experts = config.experts;
            info_.experts_per_token = config.experts_per_token;
        }
        info_.context = std::min(config.context, kMostContext);
        info_.device = placed_ != nullptr ? placed_->ops().device() : kernels::kProcessor;
        info_.why_processor = std::move(why_processor);
        info_.disabled = model_->disabled;
        info_.chat_template = model_->text.chat_template;
        for (const auto& [text, token] : model_->text.special) {
            special_.add(text, SpecialTexts::Kind::control);
        }
        if (!model_->tokenizer && model_->vocabulary) {
            open_vocabulary(*model_->vocabulary);
        }
    }

    const ModelInfo& info() const override { return info_; }
    void set_threads(int threads) override {
        threads_ = threads;
        routed_.reset();
    }

    // `special`: the text begins, so it has the begin token.
    std::vector<std::int32_t> tokenize(const std::string& text, bool special) const override {
        std::vector<std::int32_t> tokens = encode(text, ForeignTokenizer::Place::start);
        if (special) {
            put_begin_token(tokens);
        }
        return tokens;
    }

    ShownPrompt show(const GenerateRequest& request, const std::atomic<bool>& cancel) const override {
        ShownPrompt shown;
        const Sentence& problem = model_->text.template_problem;
        shown.in_template = wants_template(request, !info_.chat_template.empty() || !problem.empty());
        if (shown.in_template && !problem.empty()) {
            refuse_template(problem);
        }
        if (!shown.in_template) {
            shown.text = request.prompt;
            shown.tokens = encode(request.prompt, ForeignTokenizer::Place::start);
        } else {
            const TextRules& rules = model_->text;
            const std::vector<PromptPart> parts =
                chat_parts(rules.chat_template, request, {rules.begin_text, rules.end_text}, special_, cancel);
            shown.text = joined(parts);
            auto place = ForeignTokenizer::Place::start;
            for (const PromptPart& part : parts) {
                append_tokens(part, shown.tokens, place);
            }
        }
        if (!shown.tokens.empty()) {
            put_begin_token(shown.tokens);
        }
        return shown;
    }

    std::vector<GenerateResult> answer(const ShownPrompt& prompt, const GenerateRequest& request, int count,
                                       const OnAnswerToken& on_token, const std::atomic<bool>& cancel) override {
        return run_generation(*this, prompt.tokens, request, count, on_token, cancel);
    }

    std::vector<float> logits(std::span<const std::int32_t> tokens) override {
        return placed_ != nullptr ? forward_logits(*placed_, tokens) : forward_logits(*model_, tokens, threads_);
    }
    std::string token_bytes(std::int32_t token) const override {
        return model_->tokenizer    ? model_->tokenizer->piece_bytes(token)
               : model_->vocabulary ? model_->vocabulary->bytes_of(token)
                                    : std::string();
    }
    bool ends_text(std::int32_t token) const override {
        const std::vector<std::int32_t>& ends = model_->text.ends;
        return std::find(ends.begin(), ends.end(), token) != ends.end();
    }
    routing::RouterSpec router_spec() override {
        routing::RouterSpec spec = own_router_spec(*model_, name_, info_.architecture);
        spec.device = info_.device;
        return spec;
    }
    RoutedModel& routed(const RouteRequest& request) override {
        if (!routed_) {
            routed_ = placed_ != nullptr ? open_own_routing(placed_, router_spec(), info_.context)
                                         : open_own_routing(model_, router_spec(), info_.context, threads_);
        }
        routed_->watch(request.detail, request.interventions);
        return *routed_;
    }
    std::vector<std::unique_ptr<RoutedModel>> routed_copies(int most, int context) override {
        context = std::clamp(context, 1, info_.context);
        if (placed_ != nullptr) {  // a device does one thing after the other
            std::vector<std::unique_ptr<RoutedModel>> one;
            one.push_back(open_own_routing(placed_, router_spec(), context));
            return one;
        }
        const std::uint64_t text = std::max<std::uint64_t>(1, cache_bytes(model_->config.model, context));
        const int threads = threads_ > 0 ? threads_ : kernels::hardware_workers();
        const std::uint64_t count = std::min<std::uint64_t>(
            kMostCache / text, static_cast<std::uint64_t>(std::max(1, std::min(most, threads))));
        const routing::RouterSpec spec = router_spec();
        std::vector<std::unique_ptr<RoutedModel>> copies;
        for (std::uint64_t i = 0; i < std::max<std::uint64_t>(1, count); ++i) {
            copies.push_back(open_own_routing(model_, spec, context, 1));
        }
        return copies;
    }

 private:
    void open_vocabulary(const Vocabulary& vocabulary) {
        for (const Vocabulary::Added& added : vocabulary.added) {
            if (!added.special) {
                special_.add(added.text, SpecialTexts::Kind::defined);
            }
        }
#ifdef MOESCOPE_HAVE_LLAMA
        try {
            foreign_ = open_foreign_tokenizer(vocabulary);
        } catch (const Error& problem) {  // the weights are none the worse for it
            no_tokenizer_ = problem.sentence();
        }
#else
        no_tokenizer_ = say("its tokenizer.json needs libllama, which this build was made without");
#endif
    }
    /// Of text alone: what special tokens spell in it stays text.
    std::vector<std::int32_t> encode(std::string_view text, ForeignTokenizer::Place place) const {
        if (model_->tokenizer) {
            return model_->tokenizer->encode(text);
        }
        if (foreign_) {
            return foreign_->encode(text, place);
        }
        if (const Sentence& why = no_tokenizer_.empty() ? model_->no_tokenizer : no_tokenizer_; !why.empty()) {
            throw Error(say("{} cannot read or write text: {}; logits of token ids can be had", name_, why));
        }
        throw Error(
            say("{} has no tokenizer.model, so it cannot read or write text; copy the one it was trained with", name_));
    }
    void put_begin_token(std::vector<std::int32_t>& tokens) const {
        const std::optional<std::int32_t> begin = model_->text.begin;
        if (begin && (tokens.empty() || tokens.front() != *begin)) {
            tokens.insert(tokens.begin(), *begin);
        }
    }
    /// The tokenizer reads plain text only: what is special in a part is one token, and what lies between is text.
    /// `place`: of the part, then of the next one.
    void append_tokens(const PromptPart& part, std::vector<std::int32_t>& tokens,
                       ForeignTokenizer::Place& place) const {
        const std::string_view text = part.text;
        std::size_t from = 0;
        const auto append_text = [&](std::size_t end) {
            if (end > from) {
                const std::vector<std::int32_t> plain = encode(text.substr(from, end - from), place);
                tokens.insert(tokens.end(), plain.begin(), plain.end());
                place = ForeignTokenizer::Place::inside;
            }
        };
        auto places = part.plain ? std::vector<SpecialTexts::Place>() : special_.places(text);
        // The tokenizer finds those that are merely added by itself.
        std::erase_if(places, [](const auto& one) { return one.kind != SpecialTexts::Kind::control; });
        for (std::size_t i = 0; i < places.size(); ++i) {
            const bool longest = i + 1 == places.size() || places[i + 1].begin != places[i].begin;
            if (places[i].begin < from || !longest) {
                continue;
            }
            append_text(places[i].begin);
            tokens.push_back(
                model_->text.special.at(std::string(text.substr(places[i].begin, places[i].end - places[i].begin))));
            from = places[i].end;
            place = ForeignTokenizer::Place::after_token;
        }
        append_text(text.size());
    }
    /// What computes is the calling thread's from now on.
    void enter() const {
        if (placed_ != nullptr) {
            placed_->ops().enter();
        } else {
            kernels::set_workers(threads_ > 0 ? threads_ : kernels::hardware_workers());
        }
    }
    int context_length() const override {
        return info_.context;
    }
    int most_answers() const override {
        const std::uint64_t text = cache_bytes(model_->config.model, info_.context);
        return static_cast<int>(
            std::clamp<std::uint64_t>(kMostCache / std::max<std::uint64_t>(1, text), 1, kMostAnswers));
    }
    std::span<const float> read(std::span<const std::int32_t> prompt, int answers,
                                const std::atomic<bool>& cancel) override {
        enter();
        if (!decoder_ || (*decoder_)->sequences() < answers) {
            decoder_.reset();  // before the new one takes its memory
            placed_ != nullptr ? decoder_.emplace(placed_, answers, info_.context)
                               : decoder_.emplace(model_, answers, info_.context);
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
        enter();
        return (*decoder_)->decode(rows_);
    }

    std::string name_;
    std::shared_ptr<const LoadedModel> model_;
    std::shared_ptr<const PlacedModel> placed_;        ///< of another device than the processor
    std::unique_ptr<const ForeignTokenizer> foreign_;  ///< of a vocabulary, where there is no tokenizer of ours
    Sentence no_tokenizer_;                            ///< why the vocabulary is not used
    std::optional<OwnedDecoder> decoder_;              ///< with as many texts as answers were asked for so far
    std::unique_ptr<RoutedModel> routed_;              ///< null until it is asked for
    std::vector<DecoderRow> rows_;                     ///< kept between calls to spare allocations
    int threads_ = 0;
    ModelInfo info_;
    SpecialTexts special_;
};

/// Throws Error.
std::shared_ptr<const PlacedModel> place(const std::shared_ptr<const LoadedModel>& model, const std::string& device,
                                         kernels::Devices* devices) {
    if (devices == nullptr) {
        throw Error(say("{} cannot be used: {}", device, say("this program computes on the processor alone")));
    }
    std::unique_ptr<kernels::Ops> ops = devices->open(device, kernels::hardware_workers());
    try {
        return std::make_shared<const PlacedModel>(model, std::move(ops));
    } catch (const Error& error) {
        throw Error(say("{} has no room for the model: {}", device, error));
    } catch (const std::exception& error) {
        throw Error(say("{} failed: {}", device, base::sentence_of(error)));
    }
}

}  // namespace

std::unique_ptr<LanguageModel> open_own_model(const std::filesystem::path& folder, const FileReport& report,
                                              int threads, const ModelDevice& device) {
    OpenedWeights weights = open_weights(folder, report);
    const std::string trained = weights.model->config.train.device, name = device.name.empty() ? trained : device.name;
    std::shared_ptr<const PlacedModel> placed;
    Sentence why_processor;
    if (name != kernels::kProcessor) {
        try {
            placed = place(weights.model, name, device.devices);
        } catch (const Error& error) {
            if (!device.name.empty()) {
                throw;
            }
            why_processor =
                say("the model was trained on {}, and is computed on the processor here: {}", trained, error);
        }
    }
    return std::make_unique<OwnModel>(folder, std::move(weights), threads, std::move(placed), std::move(why_processor));
}

}  // namespace moescope::engine
