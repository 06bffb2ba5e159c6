// The device that tests of GPUs run on: the emulated one, or the GPU that MOESCOPE_TEST_DEVICE names ("cuda:0"),
// through the plugin that stands beside the programs. `./test --gpu` sets it.
#pragma once

#include <cstdlib>
#include <dlfcn.h>
#include <memory>
#include <stdexcept>
#include <string>

#include "kernels/cuda/emulated_ops.hpp"
#include "kernels/cuda/plugin.hpp"
#include "tests/paths.hpp"

namespace moescope::kernels::test {

/// What the GPU's operations are called through. Stays open: a driver can't be taken out of memory again.
inline const cuda::Plugin& open_plugin() {
    static const cuda::Plugin& plugin = [&]() -> const cuda::Plugin& {
        const std::string file = moescope::test::binary_folder() + "/" + cuda::kPluginFile;
        void* library = ::dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
        if (library == nullptr) {
            throw std::runtime_error(::dlerror());
        }
        const auto entry = reinterpret_cast<cuda::PluginEntry>(::dlsym(library, cuda::kPluginEntry));
        if (entry == nullptr || entry() == nullptr) {
            throw std::runtime_error(file + " has no entry");
        }
        return *entry();
    }();
    return plugin;
}

/// `library_products` as emulated_ops() has it; a GPU always has its library.
inline std::unique_ptr<Ops> device_under_test(bool library_products = true) {
    const char* name = std::getenv("MOESCOPE_TEST_DEVICE");
    if (name == nullptr) {
        return cuda::emulated_ops(library_products);
    }
    const std::string text = name;
    if (!text.starts_with("cuda:")) {
        throw std::runtime_error("MOESCOPE_TEST_DEVICE is \"" + text + "\", not a GPU as \"cuda:0\"");
    }
    char error[512] = "";
    std::unique_ptr<Ops> ops(open_plugin().open(std::stoi(text.substr(5)), error, sizeof error));
    if (ops == nullptr) {
        throw std::runtime_error(error);
    }
    ops->enter();
    return ops;
}

}  // namespace moescope::kernels::test
