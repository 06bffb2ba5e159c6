#include "engine/exchange/gguf_import.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <fmt/format.h>
#include <span>

#include "base/foreign_text.hpp"
#include "base/half_floats.hpp"
#include "base/input_file.hpp"
#include "base/text.hpp"
#include "engine/error.hpp"
#include "engine/exchange/hugging_face_keys.hpp"
#include "engine/exchange/tokenizer_pieces.hpp"
#include "engine/files/file_reader.hpp"
#include "engine/files/gguf.hpp"

namespace moescope::engine {
namespace {

using Json = nlohmann::json;
using Has = std::function<bool(const std::string&)>;

constexpr int kMostContext = 32768;  // of ModelConfig

/// Numbers in the file are floats: 1e-6 comes as 9.99999997e-07. Gives the shortest number that is the same float.
double shortest(double value) {
    char text[32];
    const auto end = std::to_chars(text, text + sizeof text, static_cast<float>(value)).ptr;
    double result = value;
    std::from_chars(text, end, result);
    return result;
}

struct Context {
    JsonKeys& keys;
    const Has& has;
    GgufConfig& out;
};

void read_yarn(const Context& c, ModelConfig& m) {
    JsonKeys& keys = c.keys;
    m.yarn_factor = shortest(keys.real("rope.scaling.factor"));
    m.yarn_original_context = keys.integer("rope.scaling.original_context_length", m.context);
    m.yarn_beta_fast = shortest(keys.real("rope.scaling.yarn_beta_fast", 32.0));
    m.yarn_beta_slow = shortest(keys.real("rope.scaling.yarn_beta_slow", 1.0));
    m.yarn_truncate = true;
    keys.must_be("rope.scaling.yarn_ext_factor", 1.0, say("YaRN is followed in full"));
    keys.must_be("rope.scaling.yarn_attn_factor", 1.0, say("YaRN is followed with its usual factor"));
    const double log_multiplier = keys.real("rope.scaling.yarn_log_multiplier", 0.0);
    if (c.out.type != ModelType::deepseek_v3) {
        if (log_multiplier != 0.0) {
            keys.refuse("rope.scaling.yarn_log_multiplier", say("which only deepseek2 has"));
        }
        return;
    }
    if (log_multiplier == 0.0) {
        keys.refuse("rope.scaling.yarn_log_multiplier",
                    say("and libllama scales attention in a way without it that has no word here"));
    }
    // The file holds a tenth of it, as float.
    m.yarn_mscale = m.yarn_mscale_all_dim = std::round(log_multiplier * 1e7) / 1e6;
}

void read_rope(const Context& c, ModelConfig& m) {
    m.rope_theta = shortest(c.keys.real("rope.freq_base", 10000.0));
    const std::string scaling = c.keys.text("rope.scaling.type", "linear");
    c.keys.ignore({"rope.scaling.finetuned"});
    c.keys.must_be_off("rope.scale_linear", say("only YaRN stretches the context"));
    c.keys.must_be("rope.scaling.attn_factor", 1.0, say("YaRN is followed with its usual factor"));
    if (scaling == "yarn") {
        return read_yarn(c, m);
    }
    if (scaling != "none" && scaling != "linear") {
        c.keys.refuse("rope.scaling.type", say("but only none and yarn can be opened"));
    }
    if (scaling == "none") {
        c.keys.ignore({"rope.scaling.factor", "rope.scaling.original_context_length"});
    } else {
        c.keys.must_be("rope.scaling.factor", 1.0, say("only YaRN stretches the context"));
    }
}

void read_common(const Context& c) {
    JsonKeys& keys = c.keys;
    ModelConfig& m = c.out.model;
    c.out.prediction_layers = keys.integer("nextn_predict_layers", 0);
    m.layers = keys.integer("block_count") - std::max(0, c.out.prediction_layers);
    m.context = keys.integer("context_length");
    m.width = keys.integer("embedding_length");
    m.heads = keys.integer("attention.head_count");
    m.kv_heads = keys.integer("attention.head_count_kv", m.heads);
    m.rms_epsilon = shortest(keys.real("attention.layer_norm_rms_epsilon"));
    m.experts = keys.integer("expert_count");
    m.experts_per_token = keys.integer("expert_used_count");
    m.tied_head = !c.has("output.weight");
    m.rope_order = RopeOrder::half;
    keys.must_be_off("attention.clamp_kqv", say("queries, keys and values are never clipped here"));
    keys.must_be_off("attention.scale", say("scores are scaled by the width of a head"));
    keys.must_be_off("attention.temperature_scale", say("scores are scaled by the width of a head"));
    keys.must_be("attention.causal", true, say("only models that write from left to right can be opened"));
    for (const char* key : {"logit_scale", "embedding_scale", "residual_scale"}) {
        keys.must_be_off(key, say("nothing is scaled there"));
    }
    read_rope(c, m);
    keys.ignore({"vocab_size", "feed_forward_length", "attention.layer_norm_epsilon"});
    if (m.context > kMostContext) {
        c.out.notes.push_back(
            say("context_length is {}; here the context is at most {} tokens", m.context, kMostContext));
        m.context = kMostContext;
    }
}

/// Key, value and rotated width, which are one number in grouped attention.
void read_head_width(const Context& c) {
    ModelConfig& m = c.out.model;
    m.head_width = c.keys.integer("attention.key_length", m.heads > 0 ? m.width / m.heads : 0);
    const Sentence why = say("but must equal attention.key_length, {}", m.head_width);
    if (c.keys.integer("attention.value_length", m.head_width) != m.head_width) {
        c.keys.refuse("attention.value_length", why);
    }
    if (c.keys.integer("rope.dimension_count", m.head_width) != m.head_width) {
        c.keys.refuse("rope.dimension_count", why);
    }
}

void read_qwen3moe(const Context& c) {
    read_head_width(c);
    ModelConfig& m = c.out.model;
    m.qk_norm = QkNorm::head;
    m.normalise_weights = true;
    m.expert_width = c.keys.integer("expert_feed_forward_length");
    c.keys.must_be_off("attention.sliding_window", say("all tokens are looked at"));
}

void read_olmoe(const Context& c) {
    read_head_width(c);
    ModelConfig& m = c.out.model;
    m.qk_norm = QkNorm::full;
    m.normalise_weights = false;
    m.expert_width = c.keys.integer("feed_forward_length");
    m.kv_heads = m.heads;  // libllama knows no other shape of the norms
    if (m.head_width * m.heads != m.width) {
        c.keys.refuse("attention.key_length", say("but must be embedding_length divided by attention.head_count here"));
    }
    c.keys.must_be_off("attention.sliding_window", say("all tokens are looked at"));
}

void read_llama(const Context& c) {
    read_head_width(c);
    ModelConfig& m = c.out.model;
    m.qk_norm = QkNorm::none;
    m.normalise_weights = true;
    m.attention_bias = c.has("blk.0.attn_q.bias");
    m.expert_width = c.keys.integer("feed_forward_length");
    c.keys.must_be_off("attention.sliding_window", say("all tokens are looked at"));
    c.keys.must_be_off("expert_shared_feed_forward_length", say("this architecture has no shared experts here"));
}

Scoring read_gating(JsonKeys& keys) {
    const int told = keys.integer("expert_gating_func", 1), gating = told == 0 ? 1 : told;  // 0: not said
    std::string known;
    for (const Scoring scoring : kernels::kScorings) {
        const int number = kernels::formulas_of(scoring).gguf;
        if (number == gating) {
            return scoring;
        }
        if (number > 0) {
            base::append_to_list(
                known, fmt::format("{} ({})", number, kernels::kScoringNames[static_cast<std::size_t>(scoring)]));
        }
    }
    keys.refuse("expert_gating_func", say("but only {} can be opened", known));
}

void read_deepseek2_router(const Context& c) {
    ModelConfig& m = c.out.model;
    JsonKeys& keys = c.keys;
    m.router_scoring = read_gating(keys);
    m.normalise_weights = keys.flag("expert_weights_norm", false);
    const double scale = shortest(keys.real("expert_weights_scale", 0.0));
    m.router_scale = scale == 0.0 ? 1.0 : scale;
    m.selection_bias = c.has("blk." + std::to_string(m.dense_layers) + ".exp_probs_b.bias");
    m.router_groups = std::max(1, keys.integer("expert_group_count", 1));
    m.router_groups_kept = std::max(1, keys.integer("expert_group_used_count", 1));
    m.group_score = GroupScore::top2;
}

void read_deepseek2(const Context& c) {
    ModelConfig& m = c.out.model;
    JsonKeys& keys = c.keys;
    m.attention = AttentionKind::latent;
    m.qk_norm = QkNorm::none;
    m.rope_order = RopeOrder::interleaved;
    m.kv_heads = m.heads;
    m.query_rank = keys.integer("attention.q_lora_rank", 0);
    if (m.layers == 26 || m.layers == 27) {
        m.query_rank = 0;  // libllama takes these for the lite models, which have none
    }
    m.kv_rank = keys.integer("attention.kv_lora_rank");
    m.rope_width = keys.integer("rope.dimension_count");
    m.nope_width = keys.integer("attention.key_length_mla") - m.rope_width;
    m.value_width = keys.integer("attention.value_length_mla");
    m.dense_layers = keys.integer("leading_dense_block_count", 0);
    m.dense_width = m.dense_layers > 0 ? keys.integer("feed_forward_length") : m.dense_width;
    m.expert_width = keys.integer("expert_feed_forward_length");
    m.shared_experts = keys.integer("expert_shared_count");
    if (m.shared_experts < 1) {
        keys.refuse("expert_shared_count", say("but this architecture has at least one"));
    }
    read_deepseek2_router(c);
    keys.ignore({"attention.key_length", "attention.value_length"});
}

void read_gpt_oss(const Context& c) {
    read_head_width(c);
    ModelConfig& m = c.out.model;
    m.qk_norm = QkNorm::none;
    m.attention_bias = true;
    m.attention_sinks = true;
    m.expert_width = c.keys.integer("expert_feed_forward_length");
    m.expert_bias = true;
    m.router_bias = true;
    m.activation = Activation::clamped_swiglu;  // both numbers are fixed in libllama
    m.swiglu_alpha = 1.702;
    m.swiglu_limit = 7.0;
    m.router_scoring = Scoring::softmax_after_top_k;
    m.sliding_window = c.keys.integer("attention.sliding_window");
    m.sliding_layers = SlidingLayers::even;
    c.keys.must_be("attention.sliding_window_pattern", 2, say("every other layer looks back a limited way"));
    if (m.sliding_window < 1) {
        c.keys.refuse("attention.sliding_window", say("but must be at least 1"));
    }
}

ModelType type_of(const std::map<std::string, Json>& values, const std::string& source) {
    const auto found = values.find("general.architecture");
    std::string known;
    for (const ModelType type : kModelTypes) {
        if (found != values.end() && found->second == gguf_name(type)) {
            return type;
        }
        base::append_to_list(known, gguf_name(type));
    }
    throw Error(say("{}: general.architecture is {}, but only these can be imported: {}", source,
                    (found == values.end() ? "missing" : shown_json(found->second)), known));
}

std::string left_out_block(const GgufConfig& config) {
    return "blk." + std::to_string(config.model.layers) + ".";
}

std::map<std::string, StoredTensor> stored_tensors(const GgufHeader& header) {
    std::map<std::string, StoredTensor> stored;
    for (const GgufTensor& tensor : header.tensors) {
        const bool readable = tensor.type == "F32" || tensor.type == "F16" || tensor.type == "BF16";
        stored[tensor.name] = {{tensor.shape.rbegin(), tensor.shape.rend()}, tensor.type, readable};
    }
    return stored;
}

class TensorReader {
 public:
    /// `model` must outlive this.
    explicit TensorReader(const GgufModel& model) {
        for (const std::filesystem::path& part : model.parts) {
            files_.emplace_back(part);
        }
        for (const GgufTensor& tensor : model.header.tensors) {
            tensors_[tensor.name] = &tensor;
        }
    }

    void read(const std::string& name, std::span<float> into) {
        const GgufTensor& tensor = *tensors_.at(name);
        const base::InputFile& file = files_[tensor.part];
        if (tensor.type == "F32") {
            return file.read(tensor.offset, std::as_writable_bytes(into));
        }
        std::vector<std::uint16_t> part(std::min<std::size_t>(into.size(), std::size_t{1} << 19));
        for (std::size_t at = 0; at < into.size(); at += part.size()) {
            const std::size_t count = std::min(part.size(), into.size() - at);
            file.read(tensor.offset + 2 * at, std::as_writable_bytes(std::span(part).first(count)));
            for (std::size_t i = 0; i < count; ++i) {
                into[at + i] = tensor.type == "F16" ? base::f16_to_float(part[i]) : base::bf16_to_float(part[i]);
            }
        }
    }

 private:
    std::vector<base::InputFile> files_;
    std::map<std::string, const GgufTensor*> tensors_;
};

/// The SentencePiece model that export_gguf put in; empty when there is none.
std::string sentencepiece_of(const std::filesystem::path& path, const GgufHeader& header) {
    const auto found = header.array_offsets.find(kSentencePieceKey);
    if (found == header.array_offsets.end()) {
        return {};
    }
    FileReader file(path);
    file.skip(found->second, marked("the tokenizer"));
    const auto type = file.number<std::uint32_t>(marked("the tokenizer"));
    const auto count = file.number<std::uint64_t>(marked("the tokenizer"));
    if (type != 0 || count > kMaxTokenizerBytes) {
        throw Error(say("has something else than at most 64 MB of bytes under the key {}", kSentencePieceKey));
    }
    return file.text(count, marked("the tokenizer"));
}

int vocabulary_of(const GgufHeader& header) {
    for (const GgufTensor& tensor : header.tensors) {
        if (tensor.name == "token_embd.weight" && tensor.shape.size() == 2 && tensor.shape[1] <= (1U << 30)) {
            return static_cast<int>(tensor.shape[1]);
        }
    }
    throw Error(say("has no embedding \"token_embd.weight\" of two dimensions"));
}

ImportedModel import_checked(const std::filesystem::path& path, const GgufModel& model) {
    const GgufHeader& header = model.header;
    std::map<std::string, StoredTensor> stored = stored_tensors(header);
    const auto has = [&](const std::string& name) { return stored.contains(name); };
    GgufConfig config = parse_gguf_config(header.values, has, vocabulary_of(header), path.string());
    const std::string prefix = std::string(gguf_name(config.type)) + ".";
    if (header.arrays.contains(prefix + "attention.sliding_window_pattern")) {
        throw Error(say("{}: {}attention.sliding_window_pattern is a list, which cannot be opened", path, prefix));
    }
    ImportedModel out;
    out.model = config.model;
    out.type = gguf_name(config.type);
    out.notes = std::move(config.notes);
    out.layout = make_layout(out.model);
    const std::vector<FileTensor> tensors = gguf_tensors(config.type, out.model, out.layout);
    const std::string further = left_out_block(config);
    check_tensors(
        tensors, stored,
        [&](const std::string& name) { return config.prediction_layers > 0 && name.starts_with(further); },
        path.string());
    TensorReader reader(model);
    read_parameters(out, tensors,
                    [&](const FileTensor& tensor, std::span<float> values) { reader.read(tensor.name, values); });
    std::string tokenizer = sentencepiece_of(model.parts.front(), header);
    if (tokenizer.empty()) {
        const auto kind = header.values.find("tokenizer.ggml.model");
        const bool none = kind == header.values.end() || !kind->second.is_string() || kind->second == "no_vocab";
        leave_out_tokenizer(out, none ? say("it has no tokenizer")
                                      : say("Moescope's own engine cannot run its tokenizer ({})",
                                            base::shown_name(kind->second.get_ref<const std::string&>())));
    } else {
        take_tokenizer(out, std::move(tokenizer));
    }
    return out;
}

}  // namespace

GgufConfig parse_gguf_config(const std::map<std::string, Json>& values, const Has& has, int vocabulary,
                             const std::string& source) {
    constexpr void (*kReaders[])(const Context&) = {read_qwen3moe, read_olmoe, read_llama, read_deepseek2,
                                                    read_gpt_oss};
    GgufConfig out;
    out.type = type_of(values, source);
    out.model.vocabulary = vocabulary;
    const std::string prefix = std::string(gguf_name(out.type)) + ".";
    if (!values.contains(prefix + "expert_count")) {
        throw Error(
            say("{}: is a dense model, and only models with experts can be taken over; a GGUF file of it can "
                "be asked and written in another precision, and nothing else",
                source));
    }
    Json own = Json::object();
    for (const auto& [key, value] : values) {
        if (key.starts_with(prefix)) {
            own[key.substr(prefix.size())] = value;
        }
    }
    JsonKeys keys(own, source + ": " + gguf_name(out.type));
    const Context context{keys, has, out};
    read_common(context);
    kReaders[static_cast<std::size_t>(out.type)](context);
    RunConfig checked;
    checked.model = out.model;
    validate(checked, Sentence::verbatim(source));
    if (out.prediction_layers > 0) {
        out.notes.push_back(
            say("The layers for multi-token prediction were left out; they have no part in the next token"));
    }
    if (const std::string names = base::joined(keys.unused()); !names.empty()) {
        out.notes.push_back(say("These keys are unknown and were not used: {}", names));
    }
    return out;
}

ImportedModel import_gguf(const std::filesystem::path& path) {
    try {
        return import_checked(path, read_gguf_model(path));
    } catch (const Error& error) {
        const std::string what = error.what();
        throw Error(what.starts_with(path.string()) ? error.sentence() : say("{} {}", path, error));
    }
}

}  // namespace moescope::engine
