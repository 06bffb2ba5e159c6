// What cuDNN takes, asked without a GPU: it plans and compiles for a device that its properties describe, and only to
// load a kernel it wants a driver, in whose place no_driver.cpp stands. The table for docs/measurements.md:
//   test_cudnn_plans --gtest_filter='CudnnTable.*'
#include <array>
#include <cstdio>
#include <cstring>
#include <dlfcn.h>
#include <gtest/gtest.h>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "kernels/cuda/cudnn_plugin.hpp"
#include "tests/paths.hpp"

namespace moescope::kernels::cuda {
namespace {

struct Gpu {
    const char* name;
    std::int32_t capability;  ///< 90: 9.0
    int multiprocessors, shared_memory, cache;
};
constexpr std::array<Gpu, 3> kGpus{
    {{"A100", 80, 108, 166912, 41943040}, {"H100", 90, 132, 232448, 52428800}, {"B200", 100, 148, 232448, 132644864}}};

/// As cuDNN 9.27 writes those of a device.
std::string properties_of(const Gpu& gpu) {
    return nlohmann::json{{"maxGridSize", {2147483647, 65535, 65535}},
                          {"maxBlockSize", {1024, 1024, 64}},
                          {"regsPerBlock", 65536},
                          {"multiProcessorCount", gpu.multiprocessors},
                          {"smCountOrigin", 0},
                          {"warpSize", 32},
                          {"maxSharedMemoryPerBlock", 49152},
                          {"maxSharedMemoryPerBlockOptin", gpu.shared_memory},
                          {"oversizedSharedMemoryPerBlock", 0},
                          {"reservedSharedMemoryPerBlock", 1024},
                          {"maxRegistersPerSM", 65536},
                          {"maxCtasPerSM", 32},
                          {"maxThreadsPerBlock", 1024},
                          {"maxThreadsPerSM", 2048},
                          {"pciDeviceId", 0},
                          {"isTccDriver", 0},
                          {"supportCoopLaunch", 1},
                          {"totalGlobalMem", 80000000000},
                          {"smClockRateKHz", 1980000},
                          {"memClockRateKHz", 2619000},
                          {"memoryBusWidth", 5120},
                          {"l2CacheSize", gpu.cache},
                          {"cudaDeviceId", 0},
                          {"deviceVer", gpu.capability * 10},
                          {"driverVer", 13050},
                          {"deviceName", gpu.name}}
        .dump();
}

void* opened(const std::string& name) {
    void* library = ::dlopen((moescope::test::binary_folder() + "/" + name).c_str(), RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) {
        throw std::runtime_error(::dlerror());
    }
    return library;
}

const CudnnPlugin& plugin() {
    static const CudnnPlugin& table = []() -> const CudnnPlugin& {
        opened("test_cudnn_driver.so");  // who asks for libcuda.so.1 from here on gets the first one of that name
        const auto entry = reinterpret_cast<CudnnPluginEntry>(::dlsym(opened(kCudnnPluginFile), kCudnnPluginEntry));
        if (entry == nullptr || entry() == nullptr) {
            throw std::runtime_error("the plugin has no entry");
        }
        return *entry();
    }();
    return table;
}

std::unique_ptr<AttentionLibrary> library_for(const Gpu& gpu) {
    char error[512] = "";
    std::unique_ptr<AttentionLibrary> library(
        plugin().describe(properties_of(gpu).c_str(), gpu.capability, error, sizeof error));
    if (library == nullptr) {
        throw std::runtime_error(error);
    }
    return library;
}

struct Case {
    const char* what;
    std::int64_t S, H, G, C, Cv, window;
    bool sinks;
    std::int32_t least;  ///< capability that takes it
    AttentionShape shape() const {
        AttentionShape n;
        n.B = 2;
        n.S = S;
        n.H = H;
        n.G = G;
        n.C = C;
        n.Cv = Cv;
        n.scale = 0.125;
        n.window = window;
        n.rounded = true;
        n.sinks = sinks;
        return n;
    }
};
// cuDNN 9.27 has no backward for heads wider than 128 before Hopper.
constexpr Case kOdd{"31 tokens, 16 and 24 wide, window of 7, sinks", 31, 4, 2, 16, 24, 7, true, 80};
constexpr Case kLatent{"latent, 192 and 128 wide", 2048, 16, 16, 192, 128, 0, false, 90};
constexpr std::array<Case, 7> kCases{{
    {"grouped, 128 wide", 2048, 16, 4, 128, 128, 0, false, 80},
    {"grouped, 64 wide, sinks", 2048, 16, 2, 64, 64, 0, true, 80},
    {"the same in a window of 128", 2048, 16, 2, 64, 64, 128, true, 80},
    kLatent,
    {"256 wide", 2048, 16, 4, 256, 256, 0, false, 90},
    {"48 and 32 wide", 128, 6, 6, 48, 32, 0, false, 80},
    kOdd,
}};

/// Whether the answer is that of the table; what it is.
std::string ask(AttentionLibrary& library, const Gpu& gpu, const Case& one) {
    const std::string why = library.why_not(one.shape());
    EXPECT_EQ(why.empty(), gpu.capability >= one.least) << one.what << " on " << gpu.name << ": " << why;
    if (!why.empty()) {
        return "no: " + why;
    }
    char megabytes[32];
    std::snprintf(megabytes, sizeof megabytes, "%.1f MB", static_cast<double>(library.workspace(one.shape())) / 1e6);
    return megabytes;
}

/// Takes half a minute: each plan is compiled.
TEST(CudnnTable, OfOurShapes) {
    std::printf("| attention, forward and deterministic backward |");
    for (const Gpu& gpu : kGpus) {
        std::printf(" %s (%d.%d) |", gpu.name, gpu.capability / 10, gpu.capability % 10);
    }
    std::printf("\n|---|---|---|---|\n");
    for (const Case& one : kCases) {
        std::printf("| %s |", one.what);
        for (const Gpu& gpu : kGpus) {
            std::printf(" %s |", ask(*library_for(gpu), gpu, one).c_str());
        }
        std::printf("\n");
    }
}

TEST(CudnnPlans, OfSinksInAWindow) {
    for (const Gpu& gpu : kGpus) {
        const std::unique_ptr<AttentionLibrary> library = library_for(gpu);
        ask(*library, gpu, kOdd);
        EXPECT_LT(library->workspace(kOdd.shape()), 1000000u);
    }
}

TEST(CudnnPlans, OfWideHeads) {
    for (const Gpu& gpu : kGpus) {
        ask(*library_for(gpu), gpu, kLatent);
    }
}

TEST(CudnnPlans, RefusesWithASentence) {
    const std::unique_ptr<AttentionLibrary> library = library_for(kGpus[1]);
    EXPECT_EQ(library->name(), "cuDNN 9.27.0");
    AttentionShape odd = kCases[0].shape();
    odd.S = 64;
    odd.C = odd.Cv = 12;
    EXPECT_EQ(library->why_not(odd), "hidden_dim should be multiple of 8");
    AttentionShape wide = odd;
    wide.C = wide.Cv = 512;
    const std::string why = library->why_not(wide);
    EXPECT_NE(why, "");
    EXPECT_EQ(why.find('\n'), std::string::npos) << why;
    EXPECT_EQ(library->why_not(wide), why) << "the same shape is answered alike";
    EXPECT_EQ(library->why_not(kOdd.shape()), "");
    // Nothing is computed for a device that isn't there.
    EXPECT_THROW(library->forward(nullptr, nullptr, {}, nullptr, nullptr, kOdd.shape()), std::runtime_error);
}

TEST(CudnnPlans, OfThisBuild) {
    EXPECT_STREQ(plugin().interface, MOESCOPE_KERNELS_INTERFACE);
    char error[64] = "";
    EXPECT_EQ(plugin().describe("{}", 90, error, sizeof error), nullptr);
    EXPECT_NE(std::strlen(error), 0u);
    EXPECT_EQ(plugin().describe("[", 90, nullptr, 0), nullptr);
}

}  // namespace
}  // namespace moescope::kernels::cuda
