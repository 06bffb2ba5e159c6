// The steps of quantise.hpp that libllama and ggml do.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "engine/runner/quantise.hpp"

namespace moescope::engine {

/// "Q4_K" for 12 (ggml_type).
std::string gguf_type_name(std::uint32_t type);

/// The type that rows of that many values can have: that of the precision, else its narrow one, else F16.
std::uint32_t type_for_rows(const GgufPrecision& precision, std::uint64_t values);

/// llama_model_quantize. Gives the tensors whose rows did not fit, without the type that they got. Throws Error.
std::vector<Quantised::Fallback> quantise_file(const std::filesystem::path& from, const std::filesystem::path& to,
                                               const GgufPrecision& precision, int threads,
                                               const std::function<void(std::uint64_t, std::uint64_t)>& progress);

/// Writes the file `from`, which this program has just written, again with other types for the tensors of `types` (name
/// -> ggml_type). Throws Error.
void change_types(const std::filesystem::path& from, const std::filesystem::path& to,
                  const std::map<std::string, std::uint32_t>& types);

}  // namespace moescope::engine
