// Recordings of other programs as traces. Everything is checked: ids are within the router's experts and distinct,
// nothing but whole tokens, rows of zeros are no decisions, counts add up. What cannot be right is refused with the
// reason; what may be right but is not certain is taken and said in RouterSpec::doubts.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "routing/chunk.hpp"
#include "routing/imports/id_table.hpp"
#include "routing/imports/model_shape.hpp"

namespace moescope::routing {

using ChunkSink = std::function<void(std::shared_ptr<const Chunk>)>;

struct Import {
    RouterSpec spec;
    /// Gives all chunks in their order. Throws what the sink throws.
    std::function<void(const ChunkSink&)> each;
    nlohmann::json interventions{};  ///< that were made to the router, as a trace of text has them; null: none
};

/// At most so many bytes of a recording are read at once.
inline constexpr std::uint64_t kMostRecording = std::uint64_t{256} << 20;

/// Answers of a vLLM server (one JSON object, or a list of them, with routed_experts as base64 of a .npy file or as
/// nested lists), or the .npy file itself. Sources: vLLM pull requests 28284, 38939; facts of both forms there.
Import import_vllm(const std::filesystem::path& path, const ModelShape& shape);
/// Answers of an SGLang server (meta_info.routed_experts, or sgl_ext.routed_experts of the OpenAI form: base64 of
/// numbers without a header, so `shape` must say layers and experts per token; dense layers have a place in them).
/// Dumps of its recorder: logical_count as .npy, or the older CSV. Source: SGLang pull requests 12162, 17434.
Import import_sglang(const std::filesystem::path& path, const ModelShape& shape);
/// A trace of our own in either form (trace_reader.hpp), whose router must be that of `shape` where that says anything.
/// It is read through once before anything of it is given, so what is refused leaves nothing behind; pieces that are
/// damaged are left out and doubted. Scores of all experts, which text may have, are not taken over.
Import import_trace(const std::filesystem::path& path, const ModelShape& shape);
/// What is known of a token that a server wrote, besides its id.
struct WrittenToken {
    std::string bytes;          ///< its text; may be a part of a character
    float log_probability = 0;  ///< natural logarithm; NaN: not known
};
/// The same for one answer that was just received, as JSON, with ids of every token that was read: nobody asked the
/// server for less. `written`: the tokens of the answer, the last of which is
/// never routed; or empty. `source` for sentences.
Import import_vllm_answer(std::string_view answer, const ModelShape& shape, const std::string& source,
                          const std::vector<WrittenToken>& written = {});
Import import_sglang_answer(std::string_view answer, const ModelShape& shape, const std::string& source,
                            const std::vector<WrittenToken>& written = {});
/// tokens_per_expert/rankN.jsonl of Megatron-Core. Source: megatron/training/activation_logging.py.
Import import_megatron(const std::filesystem::path& path, const ModelShape& shape);

/// A recorded text: its ids and, where they are known, its tokens.
struct RecordedText {
    IdTable ids;
    std::vector<std::int32_t> tokens;  ///< as many as the ids have, or one more (the last is never routed); or empty
    std::vector<WrittenToken>
        written{};          ///< the last tokens of the text, one more than the ids have at its end; or empty
    std::size_t start = 0;  ///< tokens at its beginning that neither ids nor tokens have
};
/// `all_layers`: the table has a place for layers without a router, too. `source` for sentences. Throws Error.
Import import_texts(std::vector<RecordedText> texts, const ModelShape& shape, bool all_layers,
                    const std::string& source);

/// Counts of one step, by layer; every layer has the same experts.
struct CountedStep {
    std::int64_t step = -1;
    std::map<int, std::vector<std::uint64_t>> layers;
};
inline constexpr std::size_t kMostCounts = std::size_t{1} << 25;  ///< of all steps
/// `empty_are_dense`: layers without a single token have no router. Steps that lack a layer which another one has are
/// left out. Throws Error naming `source`.
Import import_counts(std::vector<CountedStep> steps, const ModelShape& shape, bool empty_are_dense,
                     const std::string& source);

}  // namespace moescope::routing
