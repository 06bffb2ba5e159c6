// A model written for other programs: a folder in Hugging Face's layout, or a GGUF file. The same code for the window
// and the command line; what reads and computes is a process of its own, so that it can be ended at any time.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "nodes/service/library/command_error.hpp"
#include "sessions/outputs.hpp"

namespace moescope::node {

inline constexpr std::array kExportFormats = {"huggingface", "gguf"};
/// Of the routers' matrices in a GGUF file.
inline constexpr std::array kExportRouters = {"f32", "quantised"};
/// Of the other matrices in a GGUF file: "f32", "q4_k", ...
std::vector<std::string> export_precisions();

struct ModelExport {
    std::filesystem::path model;  ///< a file or folder, as ModelLibrary::resolve gives it
    std::string title;            ///< of it, for people
    std::filesystem::path out;
    sessions::Existing existing = sessions::Existing::refuse;
    std::string format = "huggingface";
    std::string precision = "f32", router = "f32";  ///< of a GGUF file

    bool is_gguf() const { return format == "gguf"; }
    bool router_too() const { return router == "quantised"; }
};

/// What can be said before the work begins and without a look at files. Throws CommandError that names the words that
/// there are.
void check(const ModelExport& order);

struct ExportedModel {
    std::string type;                ///< "qwen3_moe", ... or the GGUF architecture
    std::vector<std::string> files;  ///< names in the folder, or the file's
    std::vector<Sentence> notes;     ///< what the person should know
    /// Of a GGUF file: "precision", "router" (type of the routers' matrices), and where it was quantised "types"
    /// {type: tensors} and "fell_back" [{"tensor","wanted","type"}].
    nlohmann::json details = nlohmann::json::object();
};

/// What ends an export that is to end early. Throws CommandError.
[[noreturn]] void throw_export_cancelled();

/// Tensors that are quantised so far, and all; on the thread that exports.
using ExportProgress = std::function<void(std::uint64_t done, std::uint64_t total)>;

/// Writes the model; it appears whole or not at all, and nothing else stays. `program`: moescope-node, whose process
/// lives as long as this call. Soon after `stop` has turned true this throws CommandError. Throws base::Error: as
/// check(), OutputFile and OutputFolder do, and what the process says. SIGPIPE is ignored by the caller's program.
ExportedModel export_model(const std::filesystem::path& program, const ModelExport& order,
                           const std::atomic<bool>& stop, const ExportProgress& progress);

}  // namespace moescope::node
