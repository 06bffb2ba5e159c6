// What a device is measured by: the engine's training and generation as they are, then each operation by itself.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "engine/model/config.hpp"
#include "kernels/devices.hpp"
#include "kernels/ops.hpp"

namespace moescope::bench {

struct Settings {
    std::function<std::unique_ptr<kernels::Ops>()> open;  ///< the device; called several times
    /// The same with grouped products by a name of MOESCOPE_GROUPED_PRODUCTS (kernels/cuda/grouped_library.hpp).
    std::function<std::unique_ptr<kernels::Ops>(const std::string&)> open_grouped;
    kernels::Device device;                        ///< what is known of it
    std::filesystem::path models;                  ///< the folder with grouped.json and latent.json
    bool emulated = false;                         ///< kernels of a GPU run on the processor
    bool tiny = false;                             ///< every size small: whether it runs, not how fast
    int steps = 10;                                ///< timed steps each
    double peak = 0;                               ///< FLOP/s in bfloat16 as its maker says; 0: by its title
    nlohmann::json limits;                         ///< what gpu_limits printed; null: measured here
    nlohmann::json torch;                          ///< what torch_train.py printed; null: not compared
    std::function<void(const std::string&)> tell;  ///< what is being done
};

/// The configuration of a file there, as it stands or with small sizes. Throws Error.
engine::RunConfig bench_config(const std::filesystem::path& models, const std::string& name, bool tiny);
/// FLOP/s of dense products in bfloat16 as the maker's data sheets have it; 0: not known here.
double data_sheet_peak(const std::string& title);

/// Everything, with units in the keys. Throws Error, and std::runtime_error for what went wrong on the device.
nlohmann::json measure(const Settings& settings);
/// The same as sections of docs/measurements.md.
std::string markdown(const nlohmann::json& result);

}  // namespace moescope::bench
