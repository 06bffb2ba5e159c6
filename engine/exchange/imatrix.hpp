// Counts of experts in the importance matrices of llama.cpp.
#pragma once

#include <filesystem>

#include "routing/imports/import.hpp"

namespace moescope::engine {

/// `<tensor>.counts` [1, experts] of the GGUF that llama-imatrix writes: how many tokens each expert of blk.N was
/// chosen for. Source: tools/imatrix/imatrix.cpp, collect_imatrix. Throws Error naming the file.
routing::Import import_imatrix(const std::filesystem::path& path, const routing::ModelShape& shape);

}  // namespace moescope::engine
