// What the node tells of its devices is what the system tells, and nothing where that is silent.
#include "nodes/service/library/device_use.hpp"

#include <gtest/gtest.h>

#include "nodes/service/library/machine.hpp"
#include "tests/files.hpp"

namespace moescope::node {
namespace {

using protocol::DeviceUse;

constexpr const char* kNoDriver = "libmoescope-no-such-driver.so";

class DeviceUseTest : public testing::Test {
 protected:
    void write(const std::string& file, const std::string& text) const { test::write_text(folder_ / file, text); }
    void write_processor(int busy, int idle) const {
        write("proc/stat",
              "cpu  " + std::to_string(busy) + " 0 0 " + std::to_string(idle) + " 0 0 0 0 0 0\ncpu0 1 2 3\n");
    }

    const test::TemporaryFolder folder_;
};

TEST_F(DeviceUseTest, ASystemThatTellsNothingGivesNothing) {
    DeviceUses uses(folder_.path(), kNoDriver);
    for (int i = 0; i < 2; ++i) {
        const auto list = uses.look(i);
        ASSERT_EQ(list.size(), 1u);
        DeviceUse nothing;
        nothing.name = "cpu";
        EXPECT_EQ(list.front(), nothing);
    }
}

TEST_F(DeviceUseTest, TheProcessorAsItsFilesHaveIt) {
    write_processor(1000, 9000);
    write("proc/meminfo", "MemTotal:       1000000 kB\nMemFree:  1 kB\nMemAvailable:    400000 kB\n");
    write("sys/class/hwmon/hwmon0/name", "nvme\n");
    write("sys/class/hwmon/hwmon0/temp1_input", "81000\n");
    write("sys/class/hwmon/hwmon1/name", "coretemp\n");
    write("sys/class/hwmon/hwmon1/temp1_input", "51000\n");
    write("sys/class/hwmon/hwmon1/temp3_input", "57500\n");
    const std::string package = "sys/class/powercap/intel-rapl:0/", part = "sys/class/powercap/intel-rapl:0:0/";
    write(package + "name", "package-0\n");
    write(package + "max_energy_range_uj", "100000000\n");
    write(package + "energy_uj", "90000000\n");
    write(part + "name", "core\n");
    write(part + "energy_uj", "5\n");
    DeviceUses uses(folder_.path(), kNoDriver);
    DeviceUse first = uses.look(10).front();
    EXPECT_FALSE(first.use || first.power) << "both are of the time between two looks";
    EXPECT_EQ(first.memory_total, 1'024'000'000u);
    EXPECT_EQ(first.memory_used, 614'400'000u);
    EXPECT_EQ(first.temperature, 57.5) << "of the hottest, and not of a disk";

    write_processor(1300, 9700);
    write(package + "energy_uj", "20000000\n");  // it began from 0 again
    write(part + "energy_uj", "70000000\n");
    const DeviceUse second = uses.look(12).front();
    ASSERT_TRUE(second.use && second.power);
    EXPECT_DOUBLE_EQ(*second.use, 0.3);
    EXPECT_DOUBLE_EQ(*second.power, 15) << "30 J in 2 s";
}

TEST_F(DeviceUseTest, NoiseIsNoNews) {
    write_processor(0, 0);
    DeviceUses uses(folder_.path(), kNoDriver);
    (void)uses.look(0);
    write_processor(500, 500);
    EXPECT_DOUBLE_EQ(*uses.look(1).front().use, 0.5);
    write_processor(1010, 990);  // 51 % since then
    EXPECT_DOUBLE_EQ(*uses.look(2).front().use, 0.5);
    write_processor(1910, 1090);  // 90 %
    EXPECT_DOUBLE_EQ(*uses.look(3).front().use, 0.9);
}

TEST_F(DeviceUseTest, DamagedFilesTellNothing) {
    write("proc/stat", "cpu  7 x\n");
    write("proc/meminfo", "MemTotal: 10 kB\nMemAvailable: 99999999999999999999999999 kB\n");
    write("sys/class/hwmon/hwmon1/name", "coretemp\n");
    write("sys/class/hwmon/hwmon1/temp1_input", "99999999999\n");
    DeviceUses uses(folder_.path(), kNoDriver);
    (void)uses.look(0);
    DeviceUse nothing;
    nothing.name = "cpu";
    EXPECT_EQ(uses.look(1).front(), nothing);
}

TEST_F(DeviceUseTest, GpusAsTheirDriverHasThem) {
    DeviceUses uses(folder_.path(), MOESCOPE_TEST_GPU_FIGURES);
    const auto list = uses.look(0);
    ASSERT_EQ(list.size(), 3u);
    EXPECT_EQ(list[1].name, "gpu 0");
    EXPECT_EQ(list[1].title, "Test GPU");
    EXPECT_EQ(list[1].use, 0.87);
    EXPECT_EQ(list[1].memory_used, 30'000'000'000u);
    EXPECT_EQ(list[1].memory_total, 140'000'000'000u);
    EXPECT_EQ(list[1].temperature, 61);
    EXPECT_EQ(list[1].power, 412.5);
    EXPECT_EQ(list[1].power_limit, 700);
    DeviceUse nothing;  // the second one refuses every question
    nothing.name = "gpu 1";
    EXPECT_EQ(list[2], nothing);
}

TEST(DeviceUseHere, ThisMachineTellsItsMemory) {
    DeviceUses uses;
    (void)uses.look(0);
    const DeviceUse processor = uses.look(1).front();
    ASSERT_TRUE(processor.memory_total && processor.memory_used);
    EXPECT_EQ(*processor.memory_total / 1'000'000, total_memory() / 1'000'000);
    EXPECT_GT(*processor.memory_used, 0u);
}

TEST(DeviceUseJson, WhatIsNotKnownStaysUnknown) {
    DeviceUse use;
    use.name = "gpu 0";
    use.title = "NVIDIA H200";
    use.power = 120.5;
    EXPECT_EQ(protocol::device_use_from_json(protocol::to_json(use)), use);
    use.use = 0.25;
    use.memory_used = 5;
    use.memory_total = 10;
    use.temperature = 44;
    use.power_limit = 700;
    EXPECT_EQ(protocol::device_use_from_json(protocol::to_json(use)), use);
    const auto odd = protocol::device_use_from_json(
        {{"name", "gpu 1"}, {"use", 7}, {"temperature", "hot"}, {"power", -3}, {"memory_used", -1}});
    EXPECT_FALSE(odd.use || odd.temperature || odd.power || odd.memory_used);
}

}  // namespace
}  // namespace moescope::node
