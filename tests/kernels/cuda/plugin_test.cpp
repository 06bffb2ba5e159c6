// The plugin as the build leaves it: what it exports and needs, and what it says where there is no GPU.
#include <array>
#include <cstdio>
#include <cstring>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/kernels/cuda/device_under_test.hpp"

namespace moescope::kernels::cuda {
namespace {

std::string output_of(const std::string& command) {
    std::string text;
    FILE* pipe = ::popen(command.c_str(), "r");
    if (pipe == nullptr) {
        return text;
    }
    std::array<char, 4096> part{};
    for (std::size_t count = 0; (count = std::fread(part.data(), 1, part.size(), pipe)) > 0;) {
        text.append(part.data(), count);
    }
    ::pclose(pipe);
    return text;
}
std::string plugin_file() {
    return moescope::test::binary_folder() + "/" + kPluginFile;
}

TEST(CudaPlugin, IsOfThisBuild) {
    const Plugin& plugin = test::open_plugin();
    EXPECT_EQ(plugin.version, kPluginVersion);
    EXPECT_STREQ(plugin.interface, MOESCOPE_KERNELS_INTERFACE);
    EXPECT_EQ(plugin.toolkit / 1000, 13);
}

TEST(CudaPlugin, SaysWhyThereIsNoGpu) {
    const Plugin& plugin = test::open_plugin();
    if (plugin.driver() != 0) {
        GTEST_SKIP() << "there is a driver: ./test --gpu tests what it does";
    }
    std::array<PluginDevice, 2> devices{};
    std::array<char, 64> error{};
    EXPECT_EQ(plugin.devices(devices.data(), 2, error.data(), static_cast<std::int32_t>(error.size())), -1);
    EXPECT_STREQ(error.data(), "there is no NVIDIA driver");
    error = {};
    EXPECT_EQ(plugin.open(0, error.data(), static_cast<std::int32_t>(error.size())), nullptr);
    EXPECT_STREQ(error.data(), "there is no NVIDIA driver");
}

TEST(CudaPlugin, CutsTextsWhereTheyHaveNoRoom) {
    const Plugin& plugin = test::open_plugin();
    std::array<char, 16> error{};
    error.fill('x');
    EXPECT_EQ(plugin.open(-1, error.data(), 8), nullptr);
    EXPECT_EQ(std::strlen(error.data()), 7u);
    EXPECT_EQ(error[8], 'x');
    EXPECT_EQ(plugin.open(-1, nullptr, 0), nullptr);
}

bool can_look_into_files() {
    return !output_of("command -v nm readelf").empty();
}

TEST(CudaPlugin, ExportsItsEntryAlone) {
    if (!can_look_into_files()) {
        GTEST_SKIP() << "there is no nm here";  // in a pack (bench/gpu/pack)
    }
    EXPECT_THAT(output_of("nm -D --defined-only '" + plugin_file() + "' | awk '{print $3}'"),
                testing::StrEq(std::string(kPluginEntry) + "\n"));
}

TEST(CudaPlugin, NeedsNoDriverToBeLoaded) {
    if (!can_look_into_files()) {
        GTEST_SKIP() << "there is no readelf here";
    }
    const std::string needed = output_of("readelf -d '" + plugin_file() + "' | grep NEEDED");
    EXPECT_THAT(needed, testing::HasSubstr("libcublasLt.so.13"));
    for (const char* library : {"libcuda.so", "libcudart", "libdnnl", "libnvidia-ml"}) {
        EXPECT_THAT(needed, testing::Not(testing::HasSubstr(library)));
    }
    EXPECT_THAT(output_of("readelf -d '" + plugin_file() + "' | grep RUNPATH"), testing::HasSubstr("[$ORIGIN:"));
}

}  // namespace
}  // namespace moescope::kernels::cuda
