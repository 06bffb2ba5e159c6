// What a run takes against what its plan says. Linux counts: the most resident memory since the last reset.
#pragma once

#include <cstdio>
#include <fstream>
#include <string>

#include "engine/train/plan.hpp"
#include "presets.hpp"

namespace moescope::engine::test {

/// "VmRSS" (now) or "VmHWM" (at most since the reset) of this process in bytes.
inline double resident(const std::string& what) {
    std::ifstream file("/proc/self/status");
    for (std::string line; std::getline(file, line);) {
        if (line.starts_with(what + ":")) {
            return 1024.0 * std::stod(line.substr(what.size() + 1));
        }
    }
    ADD_FAILURE() << "no " << what << " in /proc/self/status";
    return 0;
}

inline bool forget_the_peak() {
    std::ofstream file("/proc/self/clear_refs");
    file << "5" << std::flush;
    return file.good();
}

inline bool peak_can_be_measured() {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    return false;  // sanitizers need memory of their own
#else
    return forget_the_peak();  // not every system lets a program reset its peak
#endif
}

/// Steps, a held-out loss and a checkpoint: everything that a run does.
inline void expect_as_planned(const RunConfig& config, const std::string& what) {
    const auto data = byte_dataset();
    const TemporaryFolder folder;
    ASSERT_TRUE(forget_the_peak());
    const double before = resident("VmRSS"), planned = static_cast<double>(plan_run(config).memory_bytes);
    Trainer trainer(config, data);
    for (int i = 0; i < 2; ++i) {
        EXPECT_EQ(trainer.step().fault.english(), "");
    }
    const double stepped = resident("VmHWM") - before;
    trainer.evaluate();
    trainer.save(folder.path());
    const double peak = resident("VmHWM") - before;
    std::printf("%-24s planned %6.1f MiB, peak of the steps %6.1f (%.3f), with a checkpoint %6.1f (%.3f)\n",
                what.c_str(), planned / 1048576, stepped / 1048576, stepped / planned, peak / 1048576, peak / planned);
    EXPECT_NEAR(static_cast<double>(trainer.memory_bytes()), planned, 2 * 64) << what << ": two blocks, rounded up";
    EXPECT_NEAR(peak, planned, 0.1 * planned) << what;
}

inline RunConfig preset_in(const std::string& preset, Precision precision) {
    RunConfig config = read_preset(preset);
    config.train.precision = precision;
    return config;
}

}  // namespace moescope::engine::test
