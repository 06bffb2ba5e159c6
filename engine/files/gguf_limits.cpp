#include "engine/files/gguf_limits.hpp"

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>
#include <unordered_map>

#include "engine/error.hpp"
#include "engine/files/file_reader.hpp"

namespace moescope::engine {
namespace {

constexpr std::int64_t kMostLayers = 512;               // LLAMA_MAX_LAYERS
constexpr std::int64_t kMostExperts = 1024;             // LLAMA_MAX_EXPERTS
constexpr std::uint64_t kMostTokenBytes = 64ULL << 20;  // all together; the largest tokenizers have 3 MB
constexpr std::uint32_t kTexts = 8;                     // type of the elements of an array

/// Architectures whose graph asserts that RoPE turns whole heads; the others turn a part or none.
constexpr auto kWholeHeads = std::to_array<std::string_view>(
    {"arctic",  "baichuan",   "dbrx",     "deepseek",  "dots1",    "ernie4_5", "ernie4_5-moe", "exaone", "falcon",
     "granite", "granitemoe", "grok",     "internlm2", "llama",    "llama4",   "mistral3",     "olmo",   "olmo2",
     "olmoe",   "qwen2",      "qwen2moe", "qwen3",     "qwen3moe", "smollm3",  "starcoder2"});

class Limits {
 public:
    explicit Limits(const GgufHeader& header) : header_(header) {
        const auto found = header.values.find("general.architecture");
        if (found != header.values.end() && found->second.is_string()) {
            architecture_ = found->second.get<std::string>();
        }
    }

    const std::string& architecture() const { return architecture_; }
    /// A whole number; nothing when it is missing, a list or of another kind, which libllama says itself.
    std::optional<std::int64_t> number(const char* key) const {
        const auto found = header_.values.find(full(key));
        if (found == header_.values.end() || !found->second.is_number_integer()) {
            return std::nullopt;
        }
        const bool huge = found->second.is_number_unsigned() && found->second.get<std::uint64_t>() > (1ULL << 62);
        return huge ? std::int64_t{1} << 62 : found->second.get<std::int64_t>();
    }
    bool is_list(const char* key) const { return header_.arrays.contains(full(key)); }
    void check(const char* key, std::int64_t least, std::int64_t most) const {
        if (const auto value = number(key); value && (*value < least || *value > most)) {
            throw Error(say("says {} is {}; from {} to {} can be opened", full(key), *value, least, most));
        }
    }

 private:
    std::string full(const char* key) const { return architecture_ + "." + key; }

    const GgufHeader& header_;
    std::string architecture_;
};

void check_experts(const Limits& limits) {
    limits.check("expert_count", 0, kMostExperts);
    const std::int64_t experts = limits.number("expert_count").value_or(0);
    if (!limits.is_list("expert_used_count")) {
        limits.check("expert_used_count", experts > 0 ? 1 : 0, experts);
        if (experts > 0 && !limits.number("expert_used_count")) {
            throw Error(say("has {} experts but does not say how many of them a token uses", experts));
        }
    }
    limits.check("expert_group_count", 0, std::max<std::int64_t>(0, experts - 1));
    const std::int64_t groups = limits.number("expert_group_count").value_or(0);
    if (groups > 1) {
        if (experts % groups != 0) {
            throw Error(say("has {} experts in {} groups, which cannot be equal ones", experts, groups));
        }
        limits.check("expert_group_used_count", 1, groups - 1);
    }
}

void check_heads(const Limits& limits) {
    if (std::find(kWholeHeads.begin(), kWholeHeads.end(), limits.architecture()) == kWholeHeads.end()) {
        return;
    }
    const auto width = limits.number("embedding_length"), heads = limits.number("attention.head_count");
    std::optional<std::int64_t> head = limits.number("attention.key_length");
    if (!head && width && heads && *heads > 0) {
        head = *width / *heads;
    }
    if (head) {
        limits.check("rope.dimension_count", *head, *head);
        limits.check("attention.value_length", *head, *head);
    }
}

/// libllama keeps tokens by their text, and wants as many of those as there are tokens.
void check_tokens(const std::filesystem::path& path, const GgufHeader& header) {
    const auto model = header.values.find("tokenizer.ggml.model");
    const auto place = header.array_offsets.find("tokenizer.ggml.tokens");
    if (place == header.array_offsets.end() ||
        (model != header.values.end() && (model->second == "no_vocab" || model->second == "none"))) {
        return;
    }
    FileReader file(path);
    file.skip(place->second, marked("the tokenizer"));
    if (file.number<std::uint32_t>(marked("the tokenizer")) != kTexts) {
        throw Error(say("has tokens that are no texts; get another conversion of the model"));
    }
    const auto count = file.number<std::uint64_t>(marked("the tokenizer"));
    std::unordered_map<std::string, std::uint64_t> seen;
    std::uint64_t bytes = 0;
    for (std::uint64_t i = 0; i < count; ++i) {
        const auto length = file.number<std::uint64_t>(marked("the length of a string"));
        if (__builtin_add_overflow(bytes, length, &bytes) || bytes > kMostTokenBytes) {
            throw Error(say("has tokens of more than {} bytes together", kMostTokenBytes));
        }
        std::string text = file.text(length, marked("a string of an array"));
        if (text.empty()) {
            text = "[EMPTY_" + std::to_string(i) + "]";  // as libllama calls it
        }
        const auto [first, fresh] = seen.emplace(std::move(text), i);
        if (!fresh) {
            throw Error(
                say("has the token '{}' twice, as number {} and as number {}; get another conversion of the "
                    "model",
                    first->first, first->second, i));
        }
    }
}

}  // namespace

void check_limits_of_libllama(const std::filesystem::path& path, const GgufHeader& header) {
    const Limits limits(header);
    limits.check("block_count", 1, kMostLayers);
    limits.check("nextn_predict_layers", 0, limits.number("block_count").value_or(kMostLayers));
    check_experts(limits);
    check_heads(limits);
    check_tokens(path, header);
}

}  // namespace moescope::engine
