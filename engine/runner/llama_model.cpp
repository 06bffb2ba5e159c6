#include "engine/runner/llama_model.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <ggml-backend.h>
#include <llama.h>
#include <string_view>
#include <thread>

#include "base/utf8.hpp"
#include "engine/error.hpp"
#include "engine/runner/chat_prompt.hpp"
#include "engine/runner/generation.hpp"
#include "engine/runner/llama_batch.hpp"
#include "engine/runner/llama_device.hpp"
#include "engine/runner/llama_log.hpp"
#include "engine/runner/llama_routing.hpp"
#include "engine/runner/llama_text.hpp"

namespace moescope::engine {
namespace {

constexpr int kMaxContext = 4096;         // tokens; the cache of keys and values grows with it
constexpr int kBatch = 512;               // prompt tokens per pass
constexpr std::size_t kLogitsChunk = 64;  // positions whose logits libllama holds at once

bool should_abort(void* cancel) {
    const auto* flag = static_cast<const std::atomic<bool>* const*>(cancel);
    return *flag != nullptr && (*flag)->load(std::memory_order_relaxed);
}

/// Why texts cannot be cut into tokens: libllama would end the process over it. Empty when they can.
Sentence text_problem(const llama_vocab* vocab) {
    const bool word_piece = llama_vocab_type(vocab) == LLAMA_VOCAB_TYPE_WPM;
    if (llama_vocab_type(vocab) == LLAMA_VOCAB_TYPE_NONE) {
        return say("it has no tokenizer; get a version with one");
    }
    if ((word_piece || llama_vocab_get_add_bos(vocab)) && llama_vocab_bos(vocab) == LLAMA_TOKEN_NULL) {
        return say("its tokenizer begins every text with a token that it does not name");
    }
    if ((llama_vocab_get_add_eos(vocab) && llama_vocab_eos(vocab) == LLAMA_TOKEN_NULL) ||
        (word_piece && llama_vocab_sep(vocab) == LLAMA_TOKEN_NULL)) {
        return say("its tokenizer ends every text with a token that it does not name");
    }
    return {};
}

class LlamaModel final : public LanguageModel, private TokenModel {
 public:
    LlamaModel(const std::filesystem::path& path, const FileReport& report, int threads, const ModelDevice& device);

    const ModelInfo& info() const override { return info_; }
    void set_threads(int threads) override {
        const int count = thread_count(threads);
        llama_set_n_threads(context_.get(), count, count);
        threads_ = count;
        if (routing_) {
            routing_->set_threads(count);
        }
    }
    std::vector<std::int32_t> tokenize(const std::string& text, bool special) const override {
        return tokens_of(text, special, special);
    }
    ShownPrompt show(const GenerateRequest& request, const std::atomic<bool>& cancel) const override;
    std::vector<GenerateResult> answer(const ShownPrompt& prompt, const GenerateRequest& request, int count,
                                       const OnAnswerToken& on_token, const std::atomic<bool>& cancel) override {
        return run_generation(*this, prompt.tokens, request, count, on_token, cancel);
    }
    std::vector<float> logits(std::span<const std::int32_t> tokens) override;
    bool ends_text(std::int32_t token) const override { return llama_vocab_is_eog(vocab_, token); }
    std::string token_bytes(std::int32_t token) const override;
    routing::RouterSpec router_spec() override { return open_routing().spec(); }
    RoutedModel& routed(const RouteRequest& request) override {
        LlamaRouting& routing = open_routing();
        routing.watch(request.detail, request.interventions);
        return routing;
    }
    std::vector<std::unique_ptr<RoutedModel>> routed_copies(int most, int context) override;

 private:
    enum class Load { whole, plan };  ///< plan: no weight is read, and no memory taken
    void open_model(const std::filesystem::path& path, int gpu_layers, Load load = Load::whole);
    /// As many layers as have room on the GPU. Opens the model to look, without its weights.
    int plan_layers(const std::filesystem::path& path, const FileReport& report);
    std::uint64_t bytes_of_layers(const std::filesystem::path& path, const FileReport& report, int layers);
    /// For texts of `length` tokens, at most `batch` of them per pass.
    LlamaContext open_context(int length, int batch, int threads, const LlamaHooks& hooks);
    std::unique_ptr<LlamaRouting> new_routing(int length, int threads);
    LlamaRouting& open_routing();
    void fill_info(const FileReport& report);
    void read_special_texts();
    static int thread_count(int threads) {
        return threads > 0 ? threads : static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
    }
    std::vector<std::int32_t> tokens_of(std::string_view text, bool add_special, bool parse_special) const;
    std::vector<std::int32_t> tokens_of_rest(const PromptPart& part) const;
    void put_begin_token(std::vector<std::int32_t>& tokens) const;

    int context_length() const override { return info_.context; }
    int most_answers() const override { return 1; }
    std::span<const float> read(std::span<const std::int32_t> prompt, int /*answers*/,
                                const std::atomic<bool>& cancel) override {
        restart();
        return feed(prompt, cancel);
    }
    std::span<const float> append(std::span<const NextToken> next, const std::atomic<bool>& cancel) override {
        return feed(std::span(&next[0].token, 1), cancel);
    }
    void restart() { llama_memory_clear(llama_get_memory(context_.get()), false); }
    std::span<const float> feed(std::span<const std::int32_t> tokens, const std::atomic<bool>& cancel);

    std::string name_;
    ggml_backend_dev_t gpu_ = nullptr;  ///< null: the processor
    std::unique_ptr<llama_model, decltype(&llama_model_free)> model_{nullptr, llama_model_free};
    const llama_vocab* vocab_ = nullptr;
    const std::atomic<bool>* cancel_ = nullptr;  ///< of the call in progress; libllama asks for it between operations
    int threads_ = 1;
    LlamaContext context_{nullptr, llama_free};
    std::unique_ptr<LlamaRouting> routing_;  ///< null until it is asked for: it has a cache of its own
    ModelInfo info_;
    SpecialTexts special_;
    ChatTokens chat_tokens_;
};

LlamaModel::LlamaModel(const std::filesystem::path& path, const FileReport& report, int threads,
                       const ModelDevice& device)
    : name_(path.string()), threads_(thread_count(threads)) {
    start_libllama();
    int gpu_layers = 0;
    if (!device.name.empty() && device.name != kernels::kProcessor) {
        if (device.devices == nullptr) {
            throw Error(say("{} cannot be used: {}", device.name, say("this program computes on the processor alone")));
        }
        gpu_ = open_ggml_device(device.name, *device.devices);
        info_.device = device.name;
        gpu_layers = plan_layers(path, report);
    }
    open_model(path, gpu_layers);
    fill_info(report);
    read_special_texts();
    context_ = open_context(info_.context, kBatch, threads_, {nullptr, nullptr, &cancel_});
    // libllama may round the length up for its own use; what we promise is the smaller number.
    info_.context = std::min(info_.context, static_cast<int>(llama_n_ctx(context_.get())));
}

std::uint64_t LlamaModel::bytes_of_layers(const std::filesystem::path& path, const FileReport& report, int layers) {
    open_model(path, layers, Load::plan);
    fill_info(report);
    const LlamaHooks none;
    std::uint64_t bytes = bytes_on_device(open_context(info_.context, kBatch, threads_, none).get(), gpu_, true);
    if (info_.experts > 0) {  // with a cache of its own, as soon as somebody asks for the routing
        bytes += bytes_on_device(open_context(info_.context, LlamaRouting::kBatch, threads_, none).get(), gpu_, false);
    }
    model_.reset();
    return bytes;
}

int LlamaModel::plan_layers(const std::filesystem::path& path, const FileReport& report) {
    const std::uint64_t whole = bytes_of_layers(path, report, -1);
    std::size_t free = 0, total = 0;
    ggml_backend_dev_memory(gpu_, &free, &total);
    GpuLayers found = layers_with_room(info_.device, info_.layers, whole, free,
                                       [&](int count) { return bytes_of_layers(path, report, count); });
    info_.why_processor = std::move(found.why_not_all);
    return found.count;
}

void LlamaModel::open_model(const std::filesystem::path& path, int gpu_layers, Load load) {
    const LogCapture log;
    std::array<ggml_backend_dev_t, 2> devices = {gpu_, nullptr};
    llama_model_params params = llama_model_default_params();
    params.devices = devices.data();
    params.n_gpu_layers = gpu_layers;
    params.split_mode = LLAMA_SPLIT_MODE_LAYER;
    params.load_mode = load == Load::plan ? LLAMA_LOAD_MODE_NONE : LLAMA_LOAD_MODE_MMAP;
    params.no_alloc = load == Load::plan;
    model_.reset(llama_model_load_from_file(path.c_str(), params));
    if (!model_) {
        throw Error(say("{} cannot be opened as a model: {}", path, log.reason()));
    }
    vocab_ = llama_model_get_vocab(model_.get());
    if (llama_model_has_encoder(model_.get()) || !llama_model_has_decoder(model_.get())) {
        throw Error(say("{} is no model that writes text from left to right; use a decoder-only model", path));
    }
    if (llama_vocab_n_tokens(vocab_) < 1) {
        throw Error(say("{} has no vocabulary; get a version with its tokenizer", path));
    }
}

LlamaContext LlamaModel::open_context(int length, int batch, int threads, const LlamaHooks& hooks) {
    const LogCapture log;
    llama_context_params params = llama_context_default_params();
    params.n_ctx = static_cast<std::uint32_t>(length);
    params.n_batch = static_cast<std::uint32_t>(std::min(batch, length));
    params.n_ubatch = params.n_batch;
    params.n_threads = threads;
    params.n_threads_batch = threads;
    params.no_perf = true;
    if (info_.precision == "F32") {
        // A model that somebody keeps in full precision is computed in it throughout: halves in the cache cost 1e-6.
        params.type_k = params.type_v = GGML_TYPE_F32;
        params.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_DISABLED;
    }
    if (hooks.cancel != nullptr) {
        params.abort_callback = should_abort;
        params.abort_callback_data = hooks.cancel;
    }
    params.cb_eval = hooks.tap;
    params.cb_eval_user_data = hooks.tap_data;
    LlamaContext context(llama_init_from_model(model_.get(), params), llama_free);
    if (!context) {
        throw Error(say("{} was loaded but cannot be run: {}", name_, log.reason()));
    }
    return context;
}

std::unique_ptr<LlamaRouting> LlamaModel::new_routing(int length, int threads) {
    ModelInfo info = info_;
    info.context = length;
    return std::make_unique<LlamaRouting>(model_.get(), name_, info, [&](const LlamaHooks& hooks) {
        return open_context(length, LlamaRouting::kBatch, threads, hooks);
    });
}

LlamaRouting& LlamaModel::open_routing() {
    if (!routing_) {
        routing_ = new_routing(info_.context, threads_);
    }
    return *routing_;
}

std::vector<std::unique_ptr<RoutedModel>> LlamaModel::routed_copies(int most, int context) {
    std::vector<std::unique_ptr<RoutedModel>> copies;
    // A GPU computes one after the other, and each would take memory there that nobody has planned.
    const int count = gpu_ != nullptr ? 1 : std::max(1, std::min(most, threads_));
    for (int i = 0; i < count; ++i) {
        copies.push_back(new_routing(std::clamp(context, 1, info_.context), 1));
    }
    return copies;
}

void LlamaModel::fill_info(const FileReport& report) {
    const nlohmann::json& d = report.details;
    info_.format = "GGUF";
    info_.architecture = d.value("architecture", "");
    info_.precision = d.value("quantisation", "");
    info_.bytes = d.value("bytes", std::uint64_t{0});
    info_.experts = d.value("experts", 0);
    info_.experts_per_token = d.value("experts_per_token", 0);
    info_.parameters = llama_model_n_params(model_.get());
    info_.vocabulary = llama_vocab_n_tokens(vocab_);
    info_.layers = llama_model_n_layer(model_.get());
    const int trained = llama_model_n_ctx_train(model_.get());
    info_.context = trained > 0 ? std::min(trained, kMaxContext) : kMaxContext;
    const char* chat_template = llama_model_chat_template(model_.get(), nullptr);
    info_.chat_template = chat_template == nullptr ? "" : base::to_valid_utf8(chat_template);
    // libllama gives a text that ends at the first zero byte. With that byte it is refused when it is to be rendered.
    if (chat_template != nullptr && d.value("chat_template_bytes", std::uint64_t{0}) > std::strlen(chat_template)) {
        info_.chat_template += '\0';
    }
}

std::vector<std::int32_t> LlamaModel::tokens_of(std::string_view text, bool add_special, bool parse_special) const {
    if (const Sentence problem = text_problem(vocab_); !problem.empty()) {
        throw Error(say("{} cannot read or write text: {}; logits of token ids can be had", name_, problem));
    }
    return tokens_of_text(vocab_, text, add_special, parse_special);
}

void LlamaModel::read_special_texts() {
    if (llama_vocab_type(vocab_) == LLAMA_VOCAB_TYPE_NONE) {
        return;  // token ids only; libllama would end the process
    }
    for (llama_token token = 0; token < info_.vocabulary; ++token) {
        const llama_token_attr attributes = llama_vocab_get_attr(vocab_, token);
        if ((attributes & (LLAMA_TOKEN_ATTR_CONTROL | LLAMA_TOKEN_ATTR_UNKNOWN)) != 0) {
            special_.add(llama_vocab_get_text(vocab_, token), SpecialTexts::Kind::control);
        } else if ((attributes & LLAMA_TOKEN_ATTR_USER_DEFINED) != 0) {
            special_.add(llama_vocab_get_text(vocab_, token), SpecialTexts::Kind::defined);
        }
    }
    const auto text_of = [&](llama_token token) {
        return token == LLAMA_TOKEN_NULL ? "" : base::to_valid_utf8(llama_vocab_get_text(vocab_, token));
    };
    chat_tokens_ = {text_of(llama_vocab_bos(vocab_)), text_of(llama_vocab_eos(vocab_))};
}

/// The tokens of a part that goes on from another. Some vocabularies put a space before every text; a line break before
/// it, whose tokens are taken off again, keeps it away.
std::vector<std::int32_t> LlamaModel::tokens_of_rest(const PromptPart& part) const {
    if (llama_vocab_type(vocab_) != LLAMA_VOCAB_TYPE_BPE) {
        const std::vector<std::int32_t> line_break = tokens_of("\n", false, false);
        std::vector<std::int32_t> tokens = tokens_of("\n" + part.text, false, !part.plain);
        if (tokens.size() > line_break.size() && std::equal(line_break.begin(), line_break.end(), tokens.begin())) {
            tokens.erase(tokens.begin(), tokens.begin() + static_cast<std::ptrdiff_t>(line_break.size()));
            return tokens;
        }
    }
    return tokens_of(part.text, false, !part.plain);
}

/// Templates may write it themselves. An end token, which some files also want, has no place before an answer.
void LlamaModel::put_begin_token(std::vector<std::int32_t>& tokens) const {
    const llama_token begin = llama_vocab_bos(vocab_);
    if (llama_vocab_get_add_bos(vocab_) && begin != LLAMA_TOKEN_NULL && (tokens.empty() || tokens.front() != begin)) {
        tokens.insert(tokens.begin(), begin);
    }
}

ShownPrompt LlamaModel::show(const GenerateRequest& request, const std::atomic<bool>& cancel) const {
    ShownPrompt shown;
    shown.in_template = wants_template(request, !info_.chat_template.empty());
    const std::size_t bytes = request.prompt.size() + (request.system ? request.system->size() : 0);
    if (bytes / 64 > static_cast<std::size_t>(info_.context)) {  // tokens of 64 bytes: cannot fit, and saves the work
        throw Error(say("the prompt has {} bytes, but the context of this model holds {} tokens; shorten the prompt",
                        bytes, info_.context));
    }
    if (!shown.in_template) {
        shown.text = request.prompt;
        shown.tokens = tokens_of(request.prompt, false, false);
    } else {
        const std::vector<PromptPart> parts = chat_parts(info_.chat_template, request, chat_tokens_, special_, cancel);
        shown.text = joined(parts);
        for (const PromptPart& part : parts) {
            const auto more = shown.tokens.empty() ? tokens_of(part.text, false, !part.plain) : tokens_of_rest(part);
            // Some vocabularies give that token for the bare character as well.
            if (part.plain && std::any_of(more.begin(), more.end(), [&](llama_token token) {
                    return (llama_vocab_get_attr(vocab_, token) & LLAMA_TOKEN_ATTR_CONTROL) != 0;
                })) {
                throw Error(
                    say("the character {} is a control token of this model, which nobody may type; leave it out",
                        part.text));
            }
            shown.tokens.insert(shown.tokens.end(), more.begin(), more.end());
        }
    }
    if (!shown.tokens.empty()) {  // nothing was asked: the begin token alone is no prompt
        put_begin_token(shown.tokens);
    }
    return shown;
}

std::span<const float> LlamaModel::feed(std::span<const std::int32_t> tokens, const std::atomic<bool>& cancel) {
    const CancelScope scope(cancel_, cancel);
    bool going = true;
    const std::size_t step = llama_n_batch(context_.get());
    for (std::size_t start = 0; start < tokens.size() && going; start += step) {
        const auto part = tokens.subspan(start, std::min(step, tokens.size() - start));
        // llama_batch_get_one takes a pointer to non-const but only reads.
        going = !cancel && decode(context_.get(), llama_batch_get_one(const_cast<llama_token*>(part.data()),
                                                                      static_cast<std::int32_t>(part.size())));
    }
    if (!going) {
        return {};
    }
    return logits_of(context_.get(), -1, info_.vocabulary);
}

// Control tokens are written out: the marks around reasoning are such tokens in many models.
std::string LlamaModel::token_bytes(std::int32_t token) const {
    if (llama_vocab_type(vocab_) == LLAMA_VOCAB_TYPE_NONE) {
        return {};  // libllama would end the process
    }
    std::string bytes(64, '\0');
    std::int32_t length =
        llama_token_to_piece(vocab_, token, bytes.data(), static_cast<std::int32_t>(bytes.size()), 0, true);
    if (length < 0) {
        bytes.resize(static_cast<std::size_t>(-length));
        length = llama_token_to_piece(vocab_, token, bytes.data(), static_cast<std::int32_t>(bytes.size()), 0, true);
    }
    bytes.resize(static_cast<std::size_t>(std::max(0, length)));
    return bytes;
}

std::vector<float> LlamaModel::logits(std::span<const std::int32_t> tokens) {
    if (tokens.empty() || tokens.size() > static_cast<std::size_t>(info_.context)) {
        throw Error(say("{} tokens were given, but this model takes 1 to {}", tokens.size(), info_.context));
    }
    for (const std::int32_t token : tokens) {
        if (token < 0 || token >= info_.vocabulary) {
            throw Error(say("the token {} is not in this model's vocabulary of {}", token, info_.vocabulary));
        }
    }
    const auto width = static_cast<std::size_t>(info_.vocabulary);
    std::vector<float> result(tokens.size() * width);
    restart();
    const std::size_t step = std::min<std::size_t>(kLogitsChunk, llama_n_batch(context_.get()));
    LlamaBatch batch(step);
    for (std::size_t start = 0; start < tokens.size(); start += step) {
        const auto part = tokens.subspan(start, std::min(step, tokens.size() - start));
        decode(context_.get(), batch.fill(part, start));
        for (std::size_t i = 0; i < part.size(); ++i) {
            const auto row = logits_of(context_.get(), static_cast<std::int32_t>(i), info_.vocabulary);
            std::copy(row.begin(), row.end(), result.begin() + static_cast<std::ptrdiff_t>((start + i) * width));
        }
    }
    return result;
}

}  // namespace

std::unique_ptr<LanguageModel> open_llama_model(const std::filesystem::path& path, const FileReport& report,
                                                int threads, const ModelDevice& device) {
    return std::make_unique<LlamaModel>(path, report, threads, device);
}

}  // namespace moescope::engine
