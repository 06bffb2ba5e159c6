// What a module with a back end of ggml (libmoescope-ggml-cuda.so) says of itself to the program that opens it at run
// time: one C function that returns this table. The version stands first and never moves.
#pragma once

#include <cstdint>

namespace moescope::kernels {

inline constexpr std::uint32_t kGgmlModuleVersion = 1;
inline constexpr const char* kGgmlModuleFile = "libmoescope-ggml-cuda.so";
inline constexpr const char* kGgmlModuleEntry = "moescope_ggml_module";

/// Its functions may be called from any thread and throw nothing.
struct GgmlModule {
    std::uint32_t version;  ///< kGgmlModuleVersion of its sources
    /// The hash of the sources of llama.cpp that it was built from: structures are exchanged with ggml in the program.
    const char* pin;
    const char* backend;       ///< ggml's name of the back end: devices are called so with a number behind, "CUDA0"
    const char* capabilities;  ///< compute capabilities that it has code for: "8.0 9.0"; empty: it does not matter
    std::int32_t toolkit;      ///< of CUDA's runtime: 13050 for 13.5; 0: needs no driver
    /// The driver's version in the same form; 0 where there is none that answers.
    std::int32_t (*driver)();
};
using GgmlModuleEntry = const GgmlModule* (*)();

}  // namespace moescope::kernels
