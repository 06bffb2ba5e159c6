// gpu_bench: what a GPU does with Moescope's training and generation, operation by operation. bench/gpu/run starts it.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>

#include "base/error.hpp"
#include "base/installation.hpp"
#include "bench/gpu/measure.hpp"
#include "kernels/cuda/emulated_ops.hpp"
#include "kernels/cuda/plugin.hpp"

namespace moescope::bench {
namespace {

constexpr int kNoDevice = 3;

/// Of a file that another program printed; null without one.
nlohmann::json read(const std::string& file) {
    if (file.empty()) {
        return {};
    }
    std::ifstream stream(file);
    nlohmann::json value = nlohmann::json::parse(stream, nullptr, false);
    if (!value.is_object()) {
        throw std::runtime_error(file + " is no JSON object");
    }
    return value;
}

void write(const std::string& file, const std::string& text) {
    std::ofstream stream(file, std::ios::trunc);
    stream << text;
    stream.close();
    if (!stream) {
        throw std::runtime_error(file + " could not be written");
    }
}

int run(int argc, char** argv) {
    Settings settings;
    std::string device = "cuda:0", models = "bench/gpu", out, limits, torch, plugin;
    double peak = 0;
    bool probe = false;
    CLI::App app("Measures Moescope on a GPU, as tables in the form of docs/measurements.md and as JSON");
    app.add_option("--device", device, "the GPU");
    app.add_flag("--emulated", settings.emulated, "the GPU's kernels on the processor: whether it runs, not how fast");
    app.add_flag("--tiny", settings.tiny, "small sizes: whether it runs, not how fast");
    app.add_option("--models", models, "folder with grouped.json and latent.json");
    app.add_option("--steps", settings.steps, "timed steps")->check(CLI::Range(1, 10000));
    app.add_option("--peak", peak, "TFLOP/s in bfloat16 that utilisation is told of; without it the data sheet's");
    app.add_option("--limits", limits, "what gpu_limits printed");
    app.add_option("--torch", torch, "what torch_train.py printed");
    app.add_flag("--probe", probe, "says which GPU there is, or why there is none (exit 3), and ends");
    app.add_option("--plugin", plugin, "libmoescope-cuda.so; without it the one beside this program");
    app.add_option("--out", out, "writes OUT.json and OUT.md; without it the tables are printed");
    CLI11_PARSE(app, argc, argv);

    kernels::DevicePlaces places;
    places.plugin = plugin.empty() ? base::own_part(kernels::cuda::kPluginFile) : std::filesystem::path(plugin);
    places.emulated = [] { return kernels::cuda::emulated_ops(); };
    kernels::Devices devices(places);
    if (settings.emulated) {
        device = settings.device.name = kernels::kEmulated;
    } else {
        try {
            devices.check(device);
        } catch (const base::Error& problem) {
            std::fprintf(stderr, "gpu_bench: no GPU: %s\n", problem.what());
            return kNoDevice;
        }
        for (const kernels::Device& one : devices.list()) {
            if (one.name == device) {
                settings.device = one;
            }
        }
    }
    if (probe) {
        std::cout << device << ": " << settings.device.title << ", driver " << settings.device.driver << ", CUDA "
                  << kernels::cuda_version(settings.device.toolkit) << '\n';
        return 0;
    }
    settings.open = [&] { return devices.open(device, 1); };
    settings.open_grouped = [&](const std::string& by) {
        ::setenv("MOESCOPE_GROUPED_PRODUCTS", by.c_str(), 1);
        std::unique_ptr<kernels::Ops> ops = devices.open(device, 1);
        ::unsetenv("MOESCOPE_GROUPED_PRODUCTS");
        return ops;
    };
    settings.models = models;
    settings.peak = peak * 1e12;
    settings.limits = read(limits);
    settings.torch = read(torch);
    settings.tell = [](const std::string& what) { std::fprintf(stderr, "%s\n", what.c_str()); };
    const nlohmann::json result = measure(settings);
    if (out.empty()) {
        std::cout << markdown(result);
    } else {
        write(out + ".json", result.dump(1) + "\n");
        write(out + ".md", markdown(result));
    }
    return 0;
}

}  // namespace
}  // namespace moescope::bench

int main(int argc, char** argv) {
    try {
        return moescope::bench::run(argc, argv);
    } catch (const std::exception& problem) {
        std::fprintf(stderr, "gpu_bench: %s\n", problem.what());
        return 1;
    }
}
