// Devices and the loader of the plugin for GPUs, with real shared objects and no GPU.
#include "kernels/devices.hpp"

#include <cstdlib>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "base/error.hpp"
#include "kernels/cuda/emulated_ops.hpp"
#include "tests/files.hpp"
#include "tests/kernels/gpu/places.hpp"

namespace moescope::kernels {
namespace {

using test::TemporaryFolder;
using testing::HasSubstr;

/// The plugin of this kind, while it lives.
class Kind {
 public:
    explicit Kind(const char* kind) { setenv("MOESCOPE_TEST_GPU", kind, 1); }
    ~Kind() { unsetenv("MOESCOPE_TEST_GPU"); }
    Kind(const Kind&) = delete;
    Kind& operator=(const Kind&) = delete;
};

DevicePlaces places() {
    DevicePlaces places;
    places.plugin = test::gpu_plugin();
    places.driver = test::gpu_driver();
    places.driver_version = "/nowhere";
    return places;
}

template <class Work>
std::string error_of(const Work& work) {
    try {
        work();
    } catch (const base::Error& error) {
        return error.what();
    }
    return "no error";
}

TEST(Devices, HaveOneNameEach) {
    for (const char* name : {"cpu", "cuda:0", "cuda:10", "cuda:63", "cuda-emulated"}) {
        EXPECT_TRUE(is_device_name(name)) << name;
    }
    for (const char* name : {"", "CPU", "cuda", "cuda:", "cuda:00", "cuda:01", "cuda:-1", "cuda:+1", "cuda:64",
                             "cuda: 1", "cuda:1 ", "cuda:99999999999", "gpu:0"}) {
        EXPECT_FALSE(is_device_name(name)) << name;
    }
    EXPECT_EQ(cuda_version(13050), "13.5");
    EXPECT_EQ(cuda_version(12040), "12.4");
    EXPECT_EQ(cuda_version(0), "");
}

TEST(Devices, AreListedWithWhatThePluginSays) {
    const TemporaryFolder folder;
    DevicePlaces of_test = places();
    of_test.driver_version = folder / "version";
    test::write_text(of_test.driver_version,
                     "NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.65.06  Sun Jul 27 07:08:28 UTC 2025\n"
                     "GCC version:  gcc version 12.2.0 (Debian 12.2.0-14)\n");
    Devices devices(of_test);
    const std::vector<Device> list = devices.list();
    ASSERT_EQ(list.size(), 3u);
    EXPECT_EQ(list[0].name, "cpu");
    EXPECT_TRUE(list[0].why_not.empty());
    EXPECT_EQ(list[1].name, "cuda:0");
    EXPECT_EQ(list[1].title, "Emulated GPU 0");
    EXPECT_EQ(list[1].memory, std::uint64_t{8} << 30);
    EXPECT_EQ(list[1].free_memory, std::uint64_t{6} << 30);
    EXPECT_EQ(list[1].driver, "580.65.06");
    EXPECT_EQ(list[1].driver_cuda, 13000);
    EXPECT_EQ(list[1].toolkit, 13050);
    EXPECT_EQ(list[1].capability_major, 9);
    EXPECT_EQ(list[1].multiprocessors, 132);
    EXPECT_TRUE(list[1].why_not.empty()) << list[1].why_not;
    EXPECT_EQ(list[2].name, "cuda:1");
    EXPECT_EQ(list[2].why_not.english(), "compute capability 3.5 is too old");
}

TEST(Devices, OperationsOutliveWhoOpenedThem) {
    std::unique_ptr<Ops> gpu, cpu;
    {
        Devices devices(places());
        EXPECT_NO_THROW(devices.check("cuda:0"));
        gpu = devices.open("cuda:0", 1);
        cpu = devices.open("cpu", 1);
    }
    EXPECT_EQ(gpu->device(), "cuda:0");
    EXPECT_FALSE(gpu->host_memory());
    EXPECT_EQ(cpu->device(), "cpu");
    gpu->enter();
    const std::vector<float> a = {1, 2, 3}, b = {10, 20, 30};
    const DeviceMemory on_gpu = gpu->allocate(3 * 64, {});
    auto* const first = reinterpret_cast<float*>(on_gpu.get());
    gpu->upload(first, a.data(), 12);
    gpu->upload(first + 16, b.data(), 12);
    gpu->add(first + 32, first, first + 16, 3);
    std::vector<float> sum(3);
    gpu->download(sum.data(), first + 32, 12);
    EXPECT_THAT(sum, testing::ElementsAre(11, 22, 33));
}

/// What there is instead of a GPU, in one sentence.
std::string why_none(const DevicePlaces& of_test) {
    Devices devices(of_test);
    const std::vector<Device> list = devices.list();
    EXPECT_EQ(list.size(), 2u);
    EXPECT_EQ(list.back().name, "cuda");
    const std::string why = list.back().why_not.english();
    EXPECT_EQ(error_of([&] { devices.open("cuda:0", 1); }), "cuda:0 cannot be used: " + why);
    EXPECT_EQ(error_of([&] { devices.check("cuda:5"); }), "cuda:5 cannot be used: " + why);
    EXPECT_NO_THROW(devices.open("cpu", 1));
    return why;
}

TEST(Devices, WithoutADriverNothingIsOpened) {
    DevicePlaces of_test = places();
    of_test.driver = "libcuda-that-is-nowhere.so.1";
    EXPECT_EQ(why_none(of_test), "no NVIDIA driver was found (libcuda-that-is-nowhere.so.1)");
    of_test.plugin = "/nowhere/libmoescope-cuda.so";
    EXPECT_EQ(why_none(of_test), "no NVIDIA driver was found (libcuda-that-is-nowhere.so.1)")
        << "whatever else is there";
    const TemporaryFolder folder;
    of_test.driver = (folder / "libcuda.so.1").string();
    test::write_text(of_test.driver, "no library");
    EXPECT_THAT(why_none(of_test), HasSubstr("the NVIDIA driver could not be loaded: "));
}

TEST(Devices, APluginThatIsNoneSaysHowToGetOne) {
    const TemporaryFolder folder;
    DevicePlaces of_test = places();
    of_test.plugin = folder / "libmoescope-cuda.so";
    EXPECT_EQ(why_none(of_test), "this program was built without its part for GPUs, " + of_test.plugin.string() +
                                     "; ./run --cuda builds it");
    test::write_text(of_test.plugin, "no library");
    EXPECT_THAT(why_none(of_test), HasSubstr("this program's part for GPUs could not be loaded: "));
    std::filesystem::remove(of_test.plugin);
    ASSERT_EQ(mkfifo(of_test.plugin.c_str(), 0600), 0);
    EXPECT_THAT(why_none(of_test), HasSubstr("is not this program's part for GPUs")) << "and nothing waits for a pipe";
    of_test.plugin = test::gpu_driver();
    EXPECT_THAT(why_none(of_test), HasSubstr("is not this program's part for GPUs"));
}

// The loader would touch pages that are not there, which ends a program.
TEST(Devices, APluginWhoseEndIsMissingIsNotLoaded) {
    const TemporaryFolder folder;
    DevicePlaces of_test = places();
    of_test.plugin = folder / "libmoescope-cuda.so";
    const std::uintmax_t whole = std::filesystem::file_size(test::gpu_plugin());
    for (const std::uintmax_t bytes : {whole / 2, whole / 10, whole - 1, std::uintmax_t{5000}}) {
        std::filesystem::copy_file(test::gpu_plugin(), of_test.plugin,
                                   std::filesystem::copy_options::overwrite_existing);
        std::filesystem::resize_file(of_test.plugin, bytes);
        EXPECT_EQ(why_none(of_test), of_test.plugin.string() + " is cut off; ./run --cuda builds it") << bytes;
    }
    std::filesystem::resize_file(of_test.plugin, 30);
    EXPECT_THAT(why_none(of_test), HasSubstr("this program's part for GPUs could not be loaded: "));
    std::filesystem::resize_file(of_test.plugin, 0);
    EXPECT_THAT(why_none(of_test), HasSubstr("this program's part for GPUs could not be loaded: "));
    EXPECT_EQ(cut_off(test::gpu_plugin()).english(), "");
}

TEST(Devices, APluginThatDoesNotFitSaysWhy) {
    const std::pair<const char*, const char*> kinds[] = {
        {"nothing", "is not this program's part for GPUs; ./run --cuda builds it"},
        {"without functions", "is not this program's part for GPUs; ./run --cuda builds it"},
        {"other version",
         "is version 2 of the part for GPUs, and this program needs version 1; ./run --cuda builds both"},
        {"other interface",
         "was built from other sources or by another compiler than this program; ./run --cuda builds both"},
        {"old driver",
         "the NVIDIA driver is too old: it knows CUDA 12.4, and this program was built with CUDA 13.5, which needs "
         "driver 580 or newer"},
        {"silent driver", "the NVIDIA driver does not answer, though "},
        {"not listed", "the GPUs could not be listed: cudaErrorSystemNotReady"},
        {"none", "the NVIDIA driver knows of no GPU"}};
    for (const auto& [kind, why] : kinds) {
        const Kind now(kind);
        EXPECT_THAT(why_none(places()), HasSubstr(why)) << kind;
    }
}

TEST(Devices, TextsOfThePluginStayWithinTheirBounds) {
    const Kind now("endless texts");
    Devices devices(places());
    const std::vector<Device> list = devices.list();
    ASSERT_EQ(list.size(), 65u) << "no more than have room";
    EXPECT_EQ(list[1].title, std::string(128, 'x'));
    EXPECT_EQ(list[2].why_not.english(), std::string(256, 'y'));
}

TEST(Devices, WhatCannotBeOpenedSaysWhy) {
    Devices devices(places());
    EXPECT_EQ(error_of([&] { devices.open("cuda:1", 1); }), "cuda:1 cannot be used: compute capability 3.5 is too old");
    EXPECT_EQ(error_of([&] { devices.open("cuda:2", 1); }), "there is no device cuda:2 here; there are: cpu, cuda:0");
    EXPECT_EQ(error_of([&] { devices.check("tpu"); }), "there is no device tpu here; there are: cpu, cuda:0");
    EXPECT_EQ(error_of([&] { devices.check("cuda:99"); }), "there is no device cuda:99 here; there are: cpu, cuda:0");
    EXPECT_EQ(error_of([&] { devices.open("", 1); }), "no device is named; there are: cpu, cuda:0");
    EXPECT_EQ(error_of([&] { devices.open("cuda-emulated", 1); }),
              "the device cuda-emulated is there in tests only; choose another one");
    const Kind now("refusing");
    EXPECT_EQ(error_of([&] { devices.open("cuda:0", 1); }), "cuda:0 could not be opened: cudaErrorDevicesUnavailable");
}

TEST(Devices, TheEmulatedOneIsThereWhereItIsBrought) {
    DevicePlaces of_test = places();
    of_test.emulated = [] { return cuda::emulated_ops(); };
    Devices devices(of_test);
    EXPECT_NO_THROW(devices.check("cuda-emulated"));
    EXPECT_EQ(devices.open("cuda-emulated", 1)->device(), "cuda-emulated");
}

TEST(Devices, WhatComesLaterIsSeen) {
    const TemporaryFolder folder;
    DevicePlaces of_test = places();
    of_test.plugin = folder / "libmoescope-cuda.so";
    Devices devices(of_test);
    EXPECT_EQ(devices.list().size(), 2u);
    std::filesystem::copy_file(test::gpu_plugin(), of_test.plugin);
    EXPECT_EQ(devices.list().size(), 3u);
    EXPECT_EQ(devices.open("cuda:0", 1)->device(), "cuda:0");
}

}  // namespace
}  // namespace moescope::kernels
