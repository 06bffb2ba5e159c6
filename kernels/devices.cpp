#include "kernels/devices.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <dlfcn.h>
#include <elf.h>
#include <fmt/format.h>
#include <span>

#include "base/error.hpp"
#include "base/foreign_text.hpp"
#include "base/input_file.hpp"
#include "base/text.hpp"
#include "kernels/cpu/cpu_ops.hpp"
#include "kernels/cuda/plugin.hpp"
#include "kernels/ggml_module.hpp"

namespace moescope::kernels {
namespace {

namespace fs = std::filesystem;
using base::Error;
using base::say;
using base::Sentence;

constexpr std::string_view kGpu = "cuda:";
constexpr int kMostGpus = 64;
constexpr std::size_t kErrorBytes = 512;

/// A shared object, closed again unless it is kept.
class Library {
 public:
    explicit Library(const std::string& name) : handle_(::dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL)) {
        if (handle_ == nullptr) {
            const char* error = ::dlerror();
            error_ = error == nullptr ? "" : error;
        }
    }
    ~Library() {
        if (handle_ != nullptr) {
            ::dlclose(handle_);
        }
    }
    Library(const Library&) = delete;
    Library& operator=(const Library&) = delete;

    bool opened() const { return handle_ != nullptr; }
    const std::string& error() const { return error_; }
    void* find(const char* name) const { return ::dlsym(handle_, name); }
    /// A driver that was started can't be taken out of memory again.
    void keep() { handle_ = nullptr; }

 private:
    void* handle_;
    std::string error_;
};

/// What the plugin wrote: within its bounds, on one line.
template <std::size_t Size>
std::string text_in(const std::array<char, Size>& text) {
    return base::one_line({text.data(), ::strnlen(text.data(), Size)});
}
template <std::size_t Size>
std::string text_in(const char (&text)[Size]) {
    return base::one_line({text, ::strnlen(text, Size)});
}

/// The first driver for a major version of CUDA (its release notes): it runs what any toolkit of that version builds.
std::string_view first_driver(std::int32_t toolkit) {
    switch (toolkit / 1000) {
        case 12:
            return "525";
        case 13:
            return "580";
        default:
            return "";
    }
}

/// 90 of "9.0"; -1 of what is none.
int capability_number(std::string_view text) {
    int major = 0, minor = 0;
    const char* const end = text.data() + text.size();
    const auto first = std::from_chars(text.data(), end, major);
    if (first.ec != std::errc() || first.ptr == end || *first.ptr != '.' || major < 1 || major > 99) {
        return -1;
    }
    const auto second = std::from_chars(first.ptr + 1, end, minor);
    return second.ec == std::errc() && second.ptr == end && minor >= 0 && minor <= 9 ? major * 10 + minor : -1;
}

/// What ggml's code was compiled for and what that means for a GPU, as cmake/cuda_models compiles it: code runs on the
/// same major version with the same or a later minor one, from 12.0 on on no other; PTX is there of the latest before
/// 12.0, and drivers compile it for all later GPUs.
enum class CodeFor { none, by_driver, own };
CodeFor code_for(std::string_view capabilities, int gpu) {
    constexpr int kFirstOfOne = 120;
    CodeFor found = CodeFor::none;
    while (!capabilities.empty()) {
        const std::string_view one = capabilities.substr(0, capabilities.find(' '));
        capabilities.remove_prefix(std::min(capabilities.size(), one.size() + 1));
        const int number = capability_number(one);
        if (number < 0 || number > gpu) {
            continue;
        }
        if (number == gpu || (number < kFirstOfOne && number / 10 == gpu / 10)) {
            return CodeFor::own;
        }
        if (number < kFirstOfOne) {
            found = CodeFor::by_driver;
        }
    }
    return found;
}

}  // namespace

bool is_device_name(std::string_view name) {
    return name == kProcessor || name == kEmulated || gpu_number(name) >= 0;
}

std::string device_of_neighbour(const std::string& first, int neighbour) {
    const int number = gpu_number(first);
    return number < 0 ? first : fmt::format("{}{}", kGpu, number + neighbour);
}

int gpu_number(std::string_view name) {
    if (!name.starts_with(kGpu)) {
        return -1;
    }
    const std::string_view number = name.substr(kGpu.size());
    int index = -1;
    const auto read = std::from_chars(number.data(), number.data() + number.size(), index);
    const bool whole = read.ec == std::errc() && read.ptr == number.data() + number.size() && index >= 0 &&
                       index < kMostGpus && fmt::format("{}", index) == number;  // one name for one device
    return whole ? index : -1;
}

std::string cuda_version(std::int32_t version) {
    return version <= 0 ? std::string() : fmt::format("{}.{}", version / 1000, version % 1000 / 10);
}

/// "580.65.06" of "NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.65.06  Sun ..."; the word that begins with
/// digits and a point.
std::string driver_version(const fs::path& path) {
    std::istringstream file = base::system_file(path);
    std::string word;
    while (file >> word) {
        const std::size_t digits = word.find_first_not_of("0123456789");
        if (digits != 0 && digits != std::string::npos && word[digits] == '.' &&
            word.find_first_not_of("0123456789.") == std::string::npos) {
            return base::shown_name(word);
        }
    }
    return {};
}

Sentence cut_off(const fs::path& library, const std::string& builder) {
    constexpr std::size_t kMostParts = 1024;  // of what is loaded; a library has a dozen
    const base::InputFile file(library);
    const auto missing = [&](std::uint64_t at, std::uint64_t bytes) {
        return at > file.size() || bytes > file.size() - at;
    };
    Elf64_Ehdr head{};
    if (missing(0, sizeof head)) {
        return {};
    }
    file.read(0, std::as_writable_bytes(std::span(&head, 1)));
    if (std::memcmp(head.e_ident, ELFMAG, SELFMAG) != 0 || head.e_ident[EI_CLASS] != ELFCLASS64 ||
        head.e_phentsize != sizeof(Elf64_Phdr) || head.e_phnum > kMostParts) {
        return {};
    }
    std::vector<Elf64_Phdr> parts(head.e_phnum);
    const auto bytes = std::as_writable_bytes(std::span(parts));
    bool cut =
        missing(head.e_phoff, bytes.size()) || missing(head.e_shoff, std::uint64_t{head.e_shnum} * head.e_shentsize);
    if (!cut) {
        file.read(head.e_phoff, bytes);
        cut = std::any_of(parts.begin(), parts.end(),
                          [&](const Elf64_Phdr& part) { return missing(part.p_offset, part.p_filesz); });
    }
    return cut ? say("{} is cut off; {} builds it", library.string(), builder) : Sentence();
}

Sentence Devices::driver_problem() const {
    const Library driver(places_.driver);
    if (driver.opened()) {
        return {};
    }
    if (driver.error().find("cannot open shared object file: No such file") != std::string::npos) {
        return say("no NVIDIA driver was found ({})", places_.driver);
    }
    return say("the NVIDIA driver could not be loaded: {}", base::one_line(driver.error()));
}

Sentence Devices::load_plugin() {
    const std::string file = places_.plugin.string();
    std::error_code error;
    if (!fs::exists(places_.plugin, error)) {
        return say("this program was built without its part for GPUs, {}; ./run --cuda builds it", file);
    }
    if (!fs::is_regular_file(places_.plugin, error)) {  // the loader would wait for a pipe
        return say("{} is not this program's part for GPUs; ./run --cuda builds it", file);
    }
    try {
        if (Sentence problem = cut_off(places_.plugin); !problem.empty()) {
            return problem;
        }
    } catch (const Error& problem) {
        return say("this program's part for GPUs could not be loaded: {}", problem);
    }
    Library library(file);
    if (!library.opened()) {
        return say("this program's part for GPUs could not be loaded: {}", base::one_line(library.error()));
    }
    const auto entry = reinterpret_cast<cuda::PluginEntry>(library.find(cuda::kPluginEntry));
    const cuda::Plugin* plugin = entry == nullptr ? nullptr : entry();
    if (plugin == nullptr) {
        return say("{} is not this program's part for GPUs; ./run --cuda builds it", file);
    }
    if (plugin->version != cuda::kPluginVersion) {
        return say("{} is version {} of the part for GPUs, and this program needs version {}; ./run --cuda builds both",
                   file, plugin->version, cuda::kPluginVersion);
    }
    if (plugin->interface == nullptr || std::strcmp(plugin->interface, MOESCOPE_KERNELS_INTERFACE) != 0) {
        return say("{} was built from other sources or by another compiler than this program; ./run --cuda builds both",
                   file);
    }
    if (plugin->driver == nullptr || plugin->devices == nullptr || plugin->open == nullptr) {
        return say("{} is not this program's part for GPUs; ./run --cuda builds it", file);
    }
    plugin_ = plugin;
    library.keep();
    return {};
}

Sentence Devices::load() {
    if (plugin_ != nullptr) {
        return {};
    }
    const Sentence problem = driver_problem();
    return problem.empty() ? load_plugin() : problem;
}

Sentence Devices::load_gguf_module() {
    constexpr const char* kBuilder = "./run --cuda-models";
    const std::string file = places_.gguf_module.string();
    const auto is_none = [&] {
        return say("{} is not this program's part for GGUF models on GPUs; ./run --cuda-models builds it", file);
    };
    std::error_code error;
    if (!fs::exists(places_.gguf_module, error)) {
        return say("this program was built without its part for GGUF models on GPUs, {}; ./run --cuda-models builds it",
                   file);
    }
    if (!fs::is_regular_file(places_.gguf_module, error)) {
        return is_none();
    }
    try {
        if (Sentence problem = cut_off(places_.gguf_module, kBuilder); !problem.empty()) {
            return problem;
        }
    } catch (const Error& problem) {
        return say("this program's part for GGUF models on GPUs could not be loaded: {}", problem);
    }
    Library library(file);
    if (!library.opened()) {
        return say("this program's part for GGUF models on GPUs could not be loaded: {}",
                   base::one_line(library.error()));
    }
    const auto entry = reinterpret_cast<GgmlModuleEntry>(library.find(kGgmlModuleEntry));
    const GgmlModule* module = entry == nullptr ? nullptr : entry();
    if (module == nullptr) {
        return is_none();
    }
    if (module->version != kGgmlModuleVersion) {
        return say(
            "{} is version {} of the part for GGUF models on GPUs, and this program needs version {}; ./run "
            "--cuda-models builds it",
            file, module->version, kGgmlModuleVersion);
    }
    if (module->pin == nullptr || module->capabilities == nullptr || module->driver == nullptr) {
        return is_none();
    }
    if (std::strcmp(module->pin, MOESCOPE_GGML_PIN) != 0) {
        return say("{} was built from another llama.cpp than this program; ./run --cuda-models builds it", file);
    }
    gguf_module_ = module;
    library.keep();
    return {};
}

Sentence Devices::gguf_problem(const Device& device) {
    if (gguf_module_ == nullptr) {
        if (Sentence problem = load_gguf_module(); !problem.empty()) {
            return problem;
        }
    }
    const std::int32_t driver = gguf_module_->driver(), toolkit = gguf_module_->toolkit;
    if (toolkit > 0 && driver <= 0) {
        return say("the NVIDIA driver does not answer, though {} is there; is its kernel module loaded?",
                   places_.driver);
    }
    if (toolkit > 0 && driver / 1000 < toolkit / 1000) {
        return say("the NVIDIA driver is too old: it knows CUDA {}, and this program was built with CUDA {}",
                   cuda_version(driver), cuda_version(toolkit));
    }
    const std::string_view built = gguf_module_->capabilities;
    if (built.empty()) {
        return {};
    }
    const std::string own = fmt::format("{}.{}", device.capability_major, device.capability_minor);
    const CodeFor code = code_for(built, device.capability_major * 10 + device.capability_minor);
    if (code == CodeFor::none || (code == CodeFor::by_driver && driver < toolkit)) {
        return say(
            "{} has code for GPUs of compute capability {}, and this one has {}; ./run --cuda-models={} builds it",
            places_.gguf_module.string(), std::string(built), own, own);
    }
    return {};
}

std::vector<Device> Devices::gpus(Look look) {
    Device all;
    all.name = "cuda";
    all.why_not = load();
    if (plugin_ == nullptr) {
        return {all};
    }
    all.toolkit = plugin_->toolkit;
    all.driver_cuda = plugin_->driver();
    all.driver = driver_version(places_.driver_version);
    if (all.driver_cuda <= 0) {
        all.why_not =
            say("the NVIDIA driver does not answer, though {} is there; is its kernel module loaded?", places_.driver);
        return {all};
    }
    // Within one major version a driver runs what later toolkits have built.
    if (all.driver_cuda / 1000 < all.toolkit / 1000) {
        const std::string has = cuda_version(all.driver_cuda), needs = cuda_version(all.toolkit);
        const std::string_view first = first_driver(all.toolkit);
        all.why_not =
            first.empty()
                ? say("the NVIDIA driver is too old: it knows CUDA {}, and this program was built with CUDA {}", has,
                      needs)
                : say("the NVIDIA driver is too old: it knows CUDA {}, and this program was built with CUDA {}, which "
                      "needs driver {} or newer",
                      has, needs, first);
        return {all};
    }
    std::vector<cuda::PluginDevice> found(kMostGpus);
    std::array<char, kErrorBytes> error{};
    const std::int32_t count = plugin_->devices(found.data(), kMostGpus, error.data(), kErrorBytes);
    if (count < 0) {
        all.why_not = say("the GPUs could not be listed: {}", text_in(error));
        return {all};
    }
    if (count == 0) {
        all.why_not = say("the NVIDIA driver knows of no GPU");
        return {all};
    }
    found.resize(static_cast<std::size_t>(std::min(count, kMostGpus)));
    std::vector<Device> devices;
    for (const cuda::PluginDevice& one : found) {
        Device device = all;
        device.name = fmt::format("{}{}", kGpu, devices.size());
        device.title = base::shown_name(text_in(one.name));
        device.memory = one.memory;
        device.free_memory = one.free_memory;
        device.capability_major = one.capability_major;
        device.capability_minor = one.capability_minor;
        device.multiprocessors = one.multiprocessors;
        device.why_not = Sentence::verbatim(text_in(one.why_not));
        if (look == Look::at_gguf_too && device.why_not.empty()) {
            device.gguf_why_not = gguf_problem(device);
        }
        devices.push_back(std::move(device));
    }
    return devices;
}

std::vector<Device> Devices::list() {
    const std::lock_guard lock(mutex_);
    std::vector<Device> devices = gpus(Look::at_gguf_too);
    for (Device& device : devices) {
        if (!device.why_not.empty()) {
            device.gguf_why_not = device.why_not;
        }
    }
    devices.insert(devices.begin(), Device());
    devices.front().name = kProcessor;
    return devices;
}

void Devices::check(const std::string& name) {
    if (name == kProcessor || (name == kEmulated && places_.emulated)) {
        return;
    }
    if (name == kEmulated) {
        throw Error(say("the device {} is there in tests only; choose another one", name));
    }
    std::vector<Device> found;
    {
        const std::lock_guard lock(mutex_);
        found = gpus();
    }
    std::string names = kProcessor;
    for (const Device& device : found) {
        const bool all = device.name == kGpu.substr(0, kGpu.size() - 1);  // of every GPU
        if (!device.why_not.empty() && (device.name == name || (all && gpu_number(name) >= 0))) {
            throw Error(say("{} cannot be used: {}", name, device.why_not));
        }
        if (device.name == name) {
            return;
        }
        if (device.why_not.empty()) {
            base::append_to_list(names, device.name);
        }
    }
    throw Error(name.empty() ? say("no device is named; there are: {}", names)
                             : say("there is no device {} here; there are: {}", base::shown_name(name), names));
}

std::unique_ptr<Ops> Devices::open(const std::string& name, int threads) {
    check(name);
    if (name == kProcessor) {
        return cpu_ops(threads);
    }
    if (name == kEmulated) {
        return places_.emulated();
    }
    int index = 0;
    std::from_chars(name.data() + kGpu.size(), name.data() + name.size(), index);
    std::array<char, kErrorBytes> error{};
    const std::lock_guard lock(mutex_);
    std::unique_ptr<Ops> ops(plugin_->open(index, error.data(), kErrorBytes));
    if (ops == nullptr) {
        throw Error(say("{} could not be opened: {}", name, text_in(error)));
    }
    return ops;
}

fs::path Devices::check_gguf(const std::string& name) {
    check(name);
    for (const Device& device : list()) {
        if (device.name == name && !device.gguf_why_not.empty()) {
            throw Error(say("{} cannot compute GGUF models: {}", name, device.gguf_why_not));
        }
    }
    if (gpu_number(name) < 0) {
        throw Error(say("{} cannot compute GGUF models: {}", name, say("libllama knows the processor and GPUs alone")));
    }
    return places_.gguf_module;
}

}  // namespace moescope::kernels
