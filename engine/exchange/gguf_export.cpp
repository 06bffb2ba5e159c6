#include "engine/exchange/gguf_export.hpp"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>

#include "engine/error.hpp"
#include "engine/exchange/gguf_import.hpp"
#include "engine/exchange/gguf_vocabulary.hpp"
#include "engine/exchange/hugging_face_tokenizer.hpp"
#include "engine/exchange/tokenizer_pieces.hpp"

namespace moescope::engine {
namespace {

using Json = nlohmann::json;

/// Collects keys under the architecture's prefix.
class ModelValues {
 public:
    explicit ModelValues(ModelType type) : prefix_(std::string(gguf_name(type)) + ".") {
        values.emplace_back("general.architecture", std::string(gguf_name(type)));
    }
    void integer(const char* key, int value) {
        values.emplace_back(prefix_ + key, static_cast<std::uint32_t>(std::max(0, value)));
    }
    void real(const char* key, double value) { values.emplace_back(prefix_ + key, static_cast<float>(value)); }
    void flag(const char* key, bool value) { values.emplace_back(prefix_ + key, value); }
    void text(const char* key, const char* value) { values.emplace_back(prefix_ + key, std::string(value)); }

    GgufValues values;

 private:
    std::string prefix_;
};

void add_rope(ModelValues& v, ModelType type, const ModelConfig& m) {
    v.real("rope.freq_base", m.rope_theta);
    if (m.yarn_factor <= 1.0) {
        return;
    }
    // libllama has YaRN's two betas fixed at 32 and 1.
    v.text("rope.scaling.type", "yarn");
    v.real("rope.scaling.factor", m.yarn_factor);
    v.integer("rope.scaling.original_context_length", m.yarn_original_context);
    if (type == ModelType::deepseek_v3) {
        v.real("rope.scaling.yarn_log_multiplier", 0.1 * m.yarn_mscale_all_dim);
    }
}

void add_grouped_attention(ModelValues& v, const ModelConfig& m) {
    v.integer("attention.head_count_kv", m.kv_heads);
    v.integer("attention.key_length", m.head_width);
    v.integer("attention.value_length", m.head_width);
    v.integer("rope.dimension_count", m.head_width);
}

/// libllama keeps one key for all heads, the latent itself, and takes the heads out of it afterwards.
void add_latent_attention(ModelValues& v, const ModelConfig& m) {
    v.integer("attention.head_count_kv", 1);
    v.integer("attention.key_length", m.kv_rank + m.rope_width);
    v.integer("attention.value_length", m.kv_rank);
    v.integer("attention.key_length_mla", m.nope_width + m.rope_width);
    v.integer("attention.value_length_mla", m.value_width);
    v.integer("rope.dimension_count", m.rope_width);
    v.integer("attention.kv_lora_rank", m.kv_rank);
    v.integer("attention.q_lora_rank", m.query_rank);  // 0 too: libllama wants the key
}

int gating_of(Scoring scoring) {
    const int gating = kernels::formulas_of(scoring).gguf;
    if (gating == 0) {
        throw Error(say("GGUF has no router_scoring {}: choose another one, or export to Hugging Face files",
                        kernels::kScoringNames[static_cast<std::size_t>(scoring)]));
    }
    return gating;
}

void add_deepseek2(ModelValues& v, const ModelConfig& m) {
    add_latent_attention(v, m);
    v.integer("leading_dense_block_count", m.dense_layers);
    v.integer("feed_forward_length", m.dense_width);
    v.integer("expert_feed_forward_length", m.expert_width);
    v.integer("expert_shared_count", m.shared_experts);
    v.integer("expert_gating_func", gating_of(m.router_scoring));
    v.flag("expert_weights_norm", m.normalise_weights);
    v.real("expert_weights_scale", m.router_scale);
    if (m.router_groups_kept < m.router_groups) {
        v.integer("expert_group_count", m.router_groups);
        v.integer("expert_group_used_count", m.router_groups_kept);
    }
}

std::map<std::string, Json> as_read(const GgufValues& values) {
    std::map<std::string, Json> read;
    for (const auto& [key, value] : values) {
        std::visit(
            [&, &key = key](const auto& one) {
                using Value = std::decay_t<decltype(one)>;
                if constexpr (std::is_arithmetic_v<Value> || std::is_same_v<Value, std::string>) {
                    read[key] = one;
                }
            },
            value);
    }
    return read;
}

ModelType find_type(const ModelConfig& model, const ParameterLayout& layout) {
    const auto expressed = [&](ModelType type) {
        std::set<std::string> names;
        for (const FileTensor& tensor : gguf_tensors(type, model, layout)) {
            names.insert(tensor.name);
        }
        const auto has = [&](const std::string& name) { return names.contains(name); };
        ModelConfig got =
            parse_gguf_config(as_read(gguf_model_values(type, model)), has, model.vocabulary, "GGUF").model;
        if (type == ModelType::olmoe || type == ModelType::gpt_oss) {
            got.tied_head = model.tied_head;  // the embedding is written twice
        }
        return got;
    };
    return choose_type(model, "GGUF", expressed, gguf_name);
}

/// Scores are rounded to 1e-4 by llama.cpp and must stay above -1000, its score of an unknown character. Larger numbers
/// lose less and order the same.
float score_factor(const std::vector<TokenizerPiece>& pieces) {
    float largest = 1.0f;
    for (const TokenizerPiece& piece : pieces) {
        largest = std::max(largest, std::abs(piece.score));
    }
    return std::exp2(std::floor(std::log2(500.0f / largest)));
}

GgufOutput output_of(const FileTensor& tensor, const float* parameters, GgufFloat type) {
    const bool small =
        tensor.shape.size() < 2 || tensor.name.ends_with("ffn_gate_inp.weight") || tensor.name.ends_with("_exps.bias");
    return {tensor.name, tensor.shape, small ? GgufFloat::f32 : type,
            [&tensor, parameters](std::span<float> values) { gather(values, parameters, tensor); }};
}

/// False when GGUF has no exact form of it.
bool add_vocabulary(GgufValues& values, const GgufExportOptions& options, const ModelConfig& model,
                    ExportReport& report) {
    const Vocabulary& vocabulary = *options.vocabulary;
    auto more = gguf_vocabulary_values(vocabulary, options.rules, model.vocabulary);
    if (!more) {
        return false;
    }
    values.insert(values.end(), std::make_move_iterator(more->begin()), std::make_move_iterator(more->end()));
    report.notes.insert(report.notes.end(), vocabulary.gguf_notes.begin(), vocabulary.gguf_notes.end());
    if (vocabulary.composes) {
        report.notes.push_back(
            say("The tokenizer composes letters and their accents (NFC), which llama.cpp does not: a text with accents "
                "that are characters of their own gets other ids there"));
    }
    if (vocabulary.space == Vocabulary::Space::first || vocabulary.space == Vocabulary::Space::always) {
        report.notes.push_back(say(
            "The tokenizer puts a space before a text that has none, llama.cpp before every text: one that begins with "
            "a space gets other ids there"));
    }
    return true;
}

void add_tokenizer(GgufValues& values, const Tokenizer* tokenizer, const GgufExportOptions& options,
                   const ModelConfig& model, ExportReport& report) {
    if (tokenizer != nullptr && has_portable_form(*tokenizer)) {
        for (auto& value : gguf_tokenizer_values(*tokenizer, model.vocabulary)) {
            values.push_back(std::move(value));
        }
        report.notes.push_back(say(
            "The tokenizer is written as plamo2, llama.cpp's unigram model with byte fallback. It gives the same ids "
            "but for runs of one character that can be cut in several equally likely ways, a byte order mark at the "
            "start and bytes that are no UTF-8; it puts no token before the text, where training had </s>"));
        return;
    }
    if (options.vocabulary != nullptr && add_vocabulary(values, options, model, report)) {
        return;
    }
    values.emplace_back("tokenizer.ggml.model", std::string("no_vocab"));
    report.notes.push_back(tokenizer == nullptr && options.vocabulary == nullptr
                               ? Sentence(kNoTokenizer)
                               : say("The tokenizer was left out: GGUF has no exact form of its pieces or of the way "
                                     "it cuts text. Programs that open the file get and give token ids only"));
}

}  // namespace

GgufValues gguf_model_values(ModelType type, const ModelConfig& m) {
    ModelValues v(type);
    v.integer("block_count", m.layers);
    v.integer("context_length", m.context);
    v.integer("embedding_length", m.width);
    v.integer("vocab_size", m.vocabulary);
    v.integer("attention.head_count", m.heads);
    v.real("attention.layer_norm_rms_epsilon", m.rms_epsilon);
    v.integer("expert_count", m.experts);
    v.integer("expert_used_count", m.experts_per_token);
    add_rope(v, type, m);
    if (type == ModelType::deepseek_v3) {
        add_deepseek2(v, m);
        return std::move(v.values);
    }
    add_grouped_attention(v, m);
    v.integer("feed_forward_length", m.expert_width);
    if (type == ModelType::qwen3_moe || type == ModelType::gpt_oss) {
        v.integer("expert_feed_forward_length", m.expert_width);
    }
    if (type == ModelType::gpt_oss) {
        v.integer("attention.sliding_window", m.sliding_window > 0 ? m.sliding_window : m.context);
    }
    return std::move(v.values);
}

GgufValues gguf_tokenizer_values(const Tokenizer& tokenizer, int vocabulary) {
    using Kind = TokenizerPiece::Kind;
    const TokenizerPieces model = read_tokenizer_pieces(tokenizer.model_bytes());
    const auto wanted = static_cast<std::size_t>(vocabulary);
    if (!has_portable_form(tokenizer) || model.pieces.size() > wanted) {
        throw Error(say("this tokenizer cannot be written into a GGUF file; only those that Moescope trained can"));
    }
    const float factor = score_factor(model.pieces);
    std::vector<std::string> texts;
    std::vector<float> scores;
    std::vector<std::int32_t> kinds;
    for (const TokenizerPiece& piece : model.pieces) {
        const bool chosen = piece.kind == Kind::normal || piece.kind == Kind::user_defined;
        texts.push_back(chosen ? piece.plain_text() : piece.text);
        // llama.cpp would find the other kinds in the text as well; this score rules them out.
        scores.push_back(chosen ? piece.score * factor : -std::numeric_limits<float>::infinity());
        kinds.push_back(static_cast<std::int32_t>(piece.kind));
    }
    for (std::size_t id = texts.size(); id < wanted; ++id) {
        texts.push_back("<further_" + std::to_string(id) + ">");
        scores.push_back(-std::numeric_limits<float>::infinity());
        kinds.push_back(static_cast<std::int32_t>(Kind::unused));
    }
    const auto end = static_cast<std::uint32_t>(tokenizer.end_token());
    const auto unknown = static_cast<std::uint32_t>(
        std::find(kinds.begin(), kinds.end(), static_cast<std::int32_t>(Kind::unknown)) - kinds.begin());
    const std::string& bytes = tokenizer.model_bytes();
    GgufValues values = {
        {"tokenizer.ggml.model", std::string("plamo2")},
        {"tokenizer.ggml.tokens", std::move(texts)},
        {"tokenizer.ggml.scores", std::move(scores)},
        {"tokenizer.ggml.token_type", std::move(kinds)},
        {"tokenizer.ggml.bos_token_id", end},
        {"tokenizer.ggml.eos_token_id", end},
        {"tokenizer.ggml.padding_token_id", end},
        {"tokenizer.ggml.add_bos_token", true},
        {"tokenizer.ggml.add_eos_token", false},
        {"tokenizer.ggml.add_space_prefix", false},
        {kSentencePieceKey, std::vector<std::uint8_t>(bytes.begin(), bytes.end())},
    };
    if (unknown < wanted) {
        values.emplace_back("tokenizer.ggml.unknown_token_id", unknown);
    }
    return values;
}

ExportReport export_gguf(const std::filesystem::path& path, const ModelConfig& model, const ParameterLayout& layout,
                         const float* parameters, const Tokenizer* tokenizer, const GgufExportOptions& options) {
    if (tokenizer != nullptr && tokenizer->size() > model.vocabulary) {
        throw Error(say("the tokenizer has {} pieces, but the model only {} tokens: they do not belong together",
                        tokenizer->size(), model.vocabulary));
    }
    const ModelType type = find_type(model, layout);
    ExportReport report{gguf_name(type), {path.filename().string()}, {}};
    constexpr std::uint32_t kFileTypes[] = {0, 1, 32};  // all f32, mostly f16, mostly bf16
    GgufValues values = gguf_model_values(type, model);
    values.emplace_back("general.name", options.name);
    values.emplace_back("general.file_type", kFileTypes[static_cast<std::size_t>(options.type)]);
    for (const auto& [key, value] : options.metadata) {
        values.emplace_back(key, value);
    }
    add_tokenizer(values, tokenizer, options, model, report);
    if (model.prediction_depth > 0) {
        report.notes.push_back(
            say("The module for multi-token prediction was left out; it has no part in the next token"));
    }
    const std::vector<FileTensor> tensors = gguf_tensors(type, model, layout);
    std::vector<GgufOutput> outputs;
    outputs.reserve(tensors.size());
    for (const FileTensor& tensor : tensors) {
        outputs.push_back(output_of(tensor, parameters, options.type));
    }
    write_gguf(path, values, outputs);
    return report;
}

}  // namespace moescope::engine
