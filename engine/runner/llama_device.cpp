#include "engine/runner/llama_device.hpp"

#include <algorithm>
#include <ggml-backend.h>
#include <map>

#include "engine/error.hpp"
#include "engine/model/machine_memory.hpp"
#include "engine/runner/llama_log.hpp"

// Declared in llama.cpp's src/llama-ext.h, which is not installed; the pin of the sources keeps the two together.
struct llama_memory_breakdown_data {
    std::size_t model, context, compute;
};
std::map<ggml_backend_buffer_type_t, llama_memory_breakdown_data> llama_get_memory_breakdown(
    const struct llama_context* context);

namespace moescope::engine {
namespace {

/// What CUDA, cuBLAS and ggml's own pool for products take beside what is planned.
constexpr std::uint64_t kBeside = std::uint64_t{512} << 20;

ggml_backend_reg_t registered(const std::string& module) {
    start_libllama();
    const LogCapture log;
    ggml_backend_reg_t found = ggml_backend_load(module.c_str());
    if (found == nullptr) {
        throw Error(say("this program's part for GGUF models on GPUs could not be loaded: {}", log.reason()));
    }
    return found;
}

}  // namespace

ggml_backend_dev_t open_ggml_device(const std::string& name, kernels::Devices& devices) {
    ggml_backend_reg_t module = registered(devices.check_gguf(name).string());
    const auto number = static_cast<std::size_t>(kernels::gpu_number(name));
    const std::size_t count = ggml_backend_reg_dev_count(module);
    if (number >= count) {
        throw Error(say("{} cannot compute GGUF models: {}", name, say("libllama found {} GPUs here", count)));
    }
    return ggml_backend_reg_dev_get(module, number);
}

std::uint64_t bytes_on_device(const llama_context* context, ggml_backend_dev_t device, bool with_model) {
    std::uint64_t bytes = 0;
    for (const auto& [type, taken] : llama_get_memory_breakdown(context)) {
        if (!ggml_backend_buft_is_host(type) && ggml_backend_buft_get_device(type) == device) {
            bytes += (with_model ? taken.model : 0) + taken.context + taken.compute;
        }
    }
    return bytes;
}

GpuLayers layers_with_room(const std::string& device, int layers, std::uint64_t whole, std::uint64_t free,
                           const std::function<std::uint64_t(int count)>& needed) {
    const std::uint64_t room = free > kBeside ? free - kBeside : 0;
    if (whole <= room) {
        return {};
    }
    int fit = 1, too_many = layers + 1;  // the output alone is not worth the way there and back
    std::uint64_t least = whole;         // of what does not fit
    while (too_many - fit > 1) {
        const int middle = fit + (too_many - fit) / 2;
        const std::uint64_t bytes = needed(middle);
        if (bytes <= room) {
            fit = middle;
        } else {
            too_many = middle;
            least = std::min(least, bytes);
        }
    }
    if (fit == 1) {
        throw Error(
            say("{} has no room for this model: all of it takes {} there, one layer and the output {}, and {} can be "
                "had; choose the processor (cpu) for it",
                device, memory_text(whole), memory_text(least), memory_text(room)));
    }
    return {fit, say("{} of the {} layers of this model are computed on {} and the others on the processor: all of it "
                     "takes {} there, and {} can be had",
                     fit - 1, layers, device, memory_text(whole), memory_text(room))};
}

}  // namespace moescope::engine
