// What a model file is, and whether it is safe to open, without loading it: GGUF, safetensors, our checkpoint folders,
// NumPy, and formats that are refused (pickle in .bin/.pt/.pth/.pkl, zip archives with pickles).
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

#include "base/sentence.hpp"

namespace moescope::engine {

struct FileReport {
    std::string format;      ///< "GGUF", "safetensors", "checkpoint", "pickle", "npy", "unknown"
    bool safe = false;       ///< every offset and size was checked against the file
    base::Sentence problem;  ///< one sentence with what to do, when not safe
    nlohmann::json details;  ///< architecture, tensors, parameters, quantisation, experts, licence, ...
};

/// Never throws on bad content; a file that cannot be read is a report with a problem.
FileReport inspect_file(const std::filesystem::path& path);

}  // namespace moescope::engine
