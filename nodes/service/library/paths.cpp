#include "nodes/service/library/paths.hpp"

#include <cstdlib>
#include <fmt/format.h>
#include <pwd.h>
#include <stdexcept>
#include <unistd.h>

#include "base/error.hpp"
#include "base/installation.hpp"
#include "kernels/cuda/plugin.hpp"
#include "kernels/devices.hpp"
#include "kernels/ggml_module.hpp"

namespace moescope::node {
namespace fs = std::filesystem;

namespace {

std::string variable(const char* name) {
    const char* value = std::getenv(name);
    return value == nullptr ? std::string() : std::string(value);
}

fs::path home() {
    if (const auto value = variable("HOME"); !value.empty()) {
        return value;
    }
    const passwd* entry = getpwuid(getuid());
    return entry != nullptr && entry->pw_dir != nullptr ? fs::path(entry->pw_dir) : fs::temp_directory_path();
}

fs::path user_folder(const char* xdg, const char* fallback) {
    const auto value = variable(xdg);
    return (value.empty() ? home() / fallback : fs::path(value)) / "moescope";
}

fs::path find_assets(const fs::path& program) {
    if (const auto value = variable("MOESCOPE_ASSETS"); !value.empty()) {
        if (!fs::is_directory(value)) {
            throw base::Error(base::say("MOESCOPE_ASSETS names {}, which is not a folder", value));
        }
        return value;
    }
    std::error_code error;
    for (const fs::path& candidate : {base::own_assets(), fs::path(MOESCOPE_ASSETS_DEFAULT)}) {
        if (fs::is_directory(candidate / "presets", error)) {
            return candidate;
        }
    }
    throw base::Error(
        base::say("no assets folder beside {}; set MOESCOPE_ASSETS to the folder that holds presets and probe_sets",
                  program.string()));
}

fs::path find_cache() {
    if (const auto value = variable("MOESCOPE_CACHE"); !value.empty()) {
        return value;
    }
    const fs::path built_in = MOESCOPE_CACHE_DEFAULT;
    const bool ours =
        ::access(built_in.c_str(), R_OK | W_OK | X_OK) == 0;  // not on another machine, nor of another user
    return ours ? built_in : user_folder("XDG_CACHE_HOME", ".cache");
}

}  // namespace

Paths find_paths() {
    Paths paths;
    paths.program = base::own_program();
    paths.assets = find_assets(paths.program);
    paths.cache = find_cache();
    paths.data = user_folder("XDG_DATA_HOME", ".local/share");
    const auto plugin = variable("MOESCOPE_CUDA_PLUGIN"), module = variable("MOESCOPE_GGML_MODULE"),
               driver = variable("MOESCOPE_CUDA_DRIVER");
    paths.gpu_plugin = plugin.empty() ? base::own_part(kernels::cuda::kPluginFile) : fs::path(plugin);
    paths.ggml_module = module.empty() ? base::own_part(kernels::kGgmlModuleFile) : fs::path(module);
    paths.gpu_driver = driver.empty() ? kernels::DevicePlaces().driver : driver;
    return paths;
}

}  // namespace moescope::node
