// What can compute on this machine: the processor, and GPUs behind a plugin (cuda/plugin.hpp), which is opened at run
// time where a driver was found. Without either the same program says in one sentence why there is no GPU.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "base/sentence.hpp"
#include "kernels/ops.hpp"

namespace moescope::kernels {

namespace cuda {
struct Plugin;
}
struct GgmlModule;

/// The processor, which is always there.
inline constexpr const char* kProcessor = "cpu";
/// GPUs' kernels run on the processor: where tests bring it.
inline constexpr const char* kEmulated = "cuda-emulated";

/// Whether a configuration may name a device so: "cpu", "cuda:0" to "cuda:63", "cuda-emulated". Another matter is
/// whether there is such a device.
bool is_device_name(std::string_view name);
/// The number of a GPU: 3 of "cuda:3"; -1 of every other device.
int gpu_number(std::string_view name);
/// The device of one of several processes of a machine that compute together, of which the first has `first`: a GPU
/// each, so behind "cuda:2" comes "cuda:3"; every other device is everybody's.
std::string device_of_neighbour(const std::string& first, int neighbour);

struct Device {
    std::string name;               ///< as configurations have it; "cuda" where no GPU can be told
    std::string title;              ///< "NVIDIA H200"; empty: not known here, as of the processor
    std::uint64_t memory = 0;       ///< bytes; 0: not known here
    std::uint64_t free_memory = 0;  ///< bytes that nobody had taken when it was looked at
    std::string driver;             ///< the driver's own version, "580.65.06"; empty: none, or it does not say
    std::int32_t driver_cuda = 0;   ///< the latest CUDA that the driver knows: 13000 for 13.0; 0: not known
    std::int32_t toolkit = 0;       ///< the CUDA that the plugin was built with, in the same form
    std::int32_t capability_major = 0, capability_minor = 0;
    std::int32_t multiprocessors = 0;
    base::Sentence why_not;       ///< empty: it can be used
    base::Sentence gguf_why_not;  ///< why GGUF models can't be computed there; empty: they can, or nobody looked
};

/// Where GPUs are looked for.
struct DevicePlaces {
    std::filesystem::path plugin;                                          ///< the file
    std::filesystem::path gguf_module;                                     ///< for GGUF models (ggml_module.hpp)
    std::string driver = "libcuda.so.1";                                   ///< as the dynamic loader is asked for it
    std::filesystem::path driver_version = "/proc/driver/nvidia/version";  ///< where the driver tells its version
    std::function<std::unique_ptr<Ops>()> emulated;                        ///< kEmulated, where tests bring it
};

/// Thread safe. Operations that it has opened may outlive it: a plugin that was taken stays until the program ends.
class Devices {
 public:
    explicit Devices(DevicePlaces places) : places_(std::move(places)) {}
    Devices(const Devices&) = delete;
    Devices& operator=(const Devices&) = delete;

    /// The processor, then the GPUs in the order of CUDA, or one entry "cuda" with the reason why there is none. Looks
    /// anew each time; where a driver is, that takes up to a second.
    std::vector<Device> list();
    /// Throws base::Error with the reason when open() can't succeed.
    void check(const std::string& name);
    /// `threads`: cores that the processor uses, at least 1. Throws base::Error with the reason. The caller enters() it
    /// in the thread that will use it.
    std::unique_ptr<Ops> open(const std::string& name, int threads);
    /// The file with ggml's back end for this GPU, whose number there is gpu_number(name). It is in memory then, and
    /// nothing of ggml in it was called. Throws base::Error with the reason why GGUF models can't be computed there.
    std::filesystem::path check_gguf(const std::string& name);

 private:
    enum class Look { at_devices, at_gguf_too };
    std::vector<Device> gpus(Look look = Look::at_devices);
    /// Of a GPU that can be used.
    base::Sentence gguf_problem(const Device& device);
    base::Sentence load_gguf_module();
    /// Empty once plugin_ is there.
    base::Sentence load();
    base::Sentence load_plugin();
    base::Sentence driver_problem() const;

    const DevicePlaces places_;
    std::mutex mutex_;  ///< of what follows, and of all calls of the plugin
    const cuda::Plugin* plugin_ = nullptr;
    const GgmlModule* gguf_module_ = nullptr;
};

/// Why a shared object must not be handed to the loader: it ends before its own header says, and its missing pages
/// would end the program when they are touched. `builder` is what makes it anew. Empty: nothing is missing, or it is no
/// such file, which the loader says. Throws base::Error: it can't be read.
base::Sentence cut_off(const std::filesystem::path& library, const std::string& builder = "./run --cuda");
/// "580.65.06", as the driver tells of itself in that file; empty when it does not.
std::string driver_version(const std::filesystem::path& file);
/// "13.5" of 13050; empty of 0.
std::string cuda_version(std::int32_t version);

}  // namespace moescope::kernels
