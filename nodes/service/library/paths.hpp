// Where the program finds what it needs: assets, cache, data of the user, and itself.
#pragma once

#include <filesystem>
#include <string>

namespace moescope::node {

struct Paths {
    std::filesystem::path program;  ///< what starts this program (base::own_program()), for workers
    std::filesystem::path assets;   ///< presets, probe sets, prompts, models.json
    std::filesystem::path cache;    ///< models/ and corpus/ that `./run` fetched, tokenizers
    std::filesystem::path data;     ///< the user's own list of models
    /// The parts for GPUs, of our own operations and of ggml's, and what the dynamic loader is asked for to see whether
    /// there is a driver.
    std::filesystem::path gpu_plugin, ggml_module;
    std::string gpu_driver;

    std::filesystem::path presets() const { return assets / "presets"; }
    std::filesystem::path probe_sets() const { return assets / "probe_sets"; }
    std::filesystem::path models() const { return cache / "models"; }
};

/// From MOESCOPE_ASSETS, MOESCOPE_CACHE and the XDG variables, else beside the program, else what the build was told.
/// MOESCOPE_CUDA_PLUGIN, MOESCOPE_GGML_MODULE and MOESCOPE_CUDA_DRIVER are for tests: other parts for GPUs, and a
/// library for the driver's. Creates nothing. Throws std::runtime_error when no assets folder can be found.
Paths find_paths();

}  // namespace moescope::node
