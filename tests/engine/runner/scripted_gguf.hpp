// A GGUF file small enough to be written in a test that libllama opens all the same: a tokenizer of single bytes and
// letters, control tokens as asked for, a chat template, and weights that are all zero.
#pragma once

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "engine/files/gguf_write.hpp"

namespace moescope::engine {

struct ScriptedGguf {
    std::vector<std::string> control = {};  ///< beside <unk>, <s> and </s>
    std::vector<std::string> defined = {};  ///< words that were added
    std::string begin = "<s>";              ///< the text of token 1
    std::string chat_template = {};         ///< empty: none
    bool add_begin = true, add_end = false, space_before = false;
};

/// Tokens: 0 <unk>, 1 begin, 2 </s>, 3 to 258 bytes, then letters and U+2581, then control and defined ones.
inline void write_scripted_gguf(const std::filesystem::path& path, const ScriptedGguf& script) {
    std::vector<std::string> tokens = {"<unk>", script.begin, "</s>"};
    std::vector<std::int32_t> kinds = {2, 3, 3};
    for (int byte = 0; byte < 256; ++byte) {
        char name[8];
        std::snprintf(name, sizeof name, "<0x%02X>", static_cast<unsigned>(byte));
        tokens.emplace_back(name);
        kinds.push_back(6);
    }
    for (char c = '!'; c <= '~'; ++c) {
        tokens.emplace_back(1, c);
        kinds.push_back(1);
    }
    tokens.emplace_back("\xe2\x96\x81");
    kinds.push_back(1);
    for (const auto& [texts, kind] : {std::pair(&script.control, 3), std::pair(&script.defined, 4)}) {
        for (const std::string& text : *texts) {
            tokens.push_back(text);
            kinds.push_back(kind);
        }
    }
    const auto vocabulary = static_cast<std::uint32_t>(tokens.size());
    constexpr std::uint32_t kWidth = 32;
    GgufValues values = {{"general.architecture", std::string("llama")},
                         {"llama.context_length", std::uint32_t{512}},
                         {"llama.embedding_length", kWidth},
                         {"llama.block_count", std::uint32_t{1}},
                         {"llama.feed_forward_length", kWidth},
                         {"llama.attention.head_count", std::uint32_t{1}},
                         {"llama.attention.head_count_kv", std::uint32_t{1}},
                         {"llama.attention.layer_norm_rms_epsilon", 1e-6f},
                         {"llama.rope.dimension_count", kWidth},
                         {"llama.vocab_size", vocabulary},
                         {"general.file_type", std::uint32_t{0}},
                         {"tokenizer.ggml.model", std::string("llama")},
                         {"tokenizer.ggml.tokens", tokens},
                         {"tokenizer.ggml.scores", std::vector<float>(vocabulary, 0.0f)},
                         {"tokenizer.ggml.token_type", kinds},
                         {"tokenizer.ggml.bos_token_id", std::uint32_t{1}},
                         {"tokenizer.ggml.eos_token_id", std::uint32_t{2}},
                         {"tokenizer.ggml.unknown_token_id", std::uint32_t{0}},
                         {"tokenizer.ggml.add_bos_token", script.add_begin},
                         {"tokenizer.ggml.add_eos_token", script.add_end},
                         {"tokenizer.ggml.add_space_prefix", script.space_before}};
    if (!script.chat_template.empty()) {
        values.emplace_back("tokenizer.chat_template", script.chat_template);
    }
    std::vector<GgufOutput> tensors;
    const auto zeros = [](std::span<float> into) { std::fill(into.begin(), into.end(), 0.0f); };
    const auto add = [&](const char* name, std::vector<std::uint64_t> shape) {
        tensors.push_back({name, std::move(shape), GgufFloat::f32, zeros});
    };
    add("token_embd.weight", {vocabulary, kWidth});
    add("output.weight", {vocabulary, kWidth});
    add("output_norm.weight", {kWidth});
    for (const char* norm : {"blk.0.attn_norm.weight", "blk.0.ffn_norm.weight"}) {
        add(norm, {kWidth});
    }
    for (const char* matrix :
         {"blk.0.attn_q.weight", "blk.0.attn_k.weight", "blk.0.attn_v.weight", "blk.0.attn_output.weight",
          "blk.0.ffn_gate.weight", "blk.0.ffn_up.weight", "blk.0.ffn_down.weight"}) {
        add(matrix, {kWidth, kWidth});
    }
    write_gguf(path, values, tensors);
}

}  // namespace moescope::engine
