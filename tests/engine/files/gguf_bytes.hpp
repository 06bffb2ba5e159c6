// Writes small GGUF files by hand, right and wrong ones.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace moescope::engine {

class GgufBytes {
 public:
    struct Tensor {
        std::string name;
        std::vector<std::uint64_t> shape;
        std::uint32_t type = 0;
        std::uint64_t offset = 0;
    };

    template <class T>
    static std::string raw(T value) {
        return {reinterpret_cast<const char*>(&value), sizeof value};
    }
    static std::string text(const std::string& s) { return raw<std::uint64_t>(s.size()) + s; }

    void u16(const std::string& key, std::uint16_t value) { add(key, 2, raw(value)); }
    void u32(const std::string& key, std::uint32_t value) { add(key, 4, raw(value)); }
    void string(const std::string& key, const std::string& value) { add(key, 8, text(value)); }
    void strings(const std::string& key, const std::vector<std::string>& values) {
        std::string body = raw<std::uint32_t>(8) + raw<std::uint64_t>(values.size());
        for (const std::string& value : values) {
            body += text(value);
        }
        add(key, 9, body);
    }
    void add(const std::string& key, std::uint32_t type, const std::string& body) {
        values_ += text(key) + raw(type) + body;
        ++value_count;
    }
    void tensor(const Tensor& t) {
        tensors_ += text(t.name) + raw(static_cast<std::uint32_t>(t.shape.size()));
        for (const std::uint64_t size : t.shape) {
            tensors_ += raw(size);
        }
        tensors_ += raw(t.type) + raw(t.offset);
        ++tensor_count;
    }
    std::string header() const {
        return "GGUF" + raw(version) + raw(tensor_count) + raw(value_count) + values_ + tensors_;
    }
    std::string file(std::size_t data_bytes) const {
        std::string bytes = header();
        bytes.resize((bytes.size() + 31) / 32 * 32, '\0');
        return bytes + std::string(data_bytes, '\1');
    }

    std::uint32_t version = 3;
    std::uint64_t tensor_count = 0, value_count = 0;  ///< may be changed to lie

 private:
    std::string values_, tensors_;
};

/// A file with every kind of value, as a model would have: an MoE of two tensors with 256 data bytes.
inline GgufBytes small_moe() {
    GgufBytes g;
    g.string("general.architecture", "qwen3moe");
    g.string("general.name", "small 小");
    g.string("general.license", "apache-2.0");
    g.u32("general.file_type", 15);
    g.u32("qwen3moe.block_count", 6);
    g.u32("qwen3moe.context_length", 128);
    g.u32("qwen3moe.expert_count", 16);
    g.u32("qwen3moe.expert_used_count", 2);
    g.add("a.bool", 7, std::string(1, '\1'));
    g.add("a.f32", 6, GgufBytes::raw(1.5f));
    g.add("a.i64", 11, GgufBytes::raw<std::int64_t>(-5));
    g.add("a.numbers", 9, GgufBytes::raw<std::uint32_t>(5) + GgufBytes::raw<std::uint64_t>(3) + std::string(12, '\2'));
    g.strings("tokenizer.ggml.tokens", {"<s>", "the", "文", "\xff"});
    g.string("tokenizer.chat_template", "{{ messages }}");
    g.tensor({"token_embd.weight", {8, 4}, 0, 0});
    g.tensor({"blk.0.ffn_up_exps.weight", {32, 2, 2}, 2, 128});  // Q4_0: 4 rows of 18 bytes
    return g;
}

}  // namespace moescope::engine
