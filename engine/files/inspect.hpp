// What a model file is, and whether it is safe to open, without loading it: GGUF, safetensors, our checkpoint folders,
// NumPy, and formats that are refused (pickle in .bin/.pt/.pth/.pkl, zip archives with pickles).
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

#include "base/sentence.hpp"

namespace moescope::engine {

enum class FileKind { gguf, safetensors, npy, checkpoint, hugging_face, pickle, unknown };
/// "GGUF", "Hugging Face folder", ...: what reports and sentences call it.
const char* file_kind_name(FileKind kind);

struct FileReport {
    FileKind kind = FileKind::unknown;
    std::string format() const { return file_kind_name(kind); }
    bool safe = false;       ///< every offset and size was checked against the file
    base::Sentence problem;  ///< one sentence with what to do, when not safe
    nlohmann::json details;  ///< architecture, tensors, parameters, quantisation, experts, licence, ...
};

/// Never throws on bad content; a file that cannot be read is a report with a problem.
FileReport inspect_file(const std::filesystem::path& path);

}  // namespace moescope::engine
