#include "nodes/service/library/machine.hpp"

#include <algorithm>
#include <array>
#include <sched.h>
#include <sstream>
#include <thread>
#include <unistd.h>

#include "base/input_file.hpp"

namespace moescope::node {

std::uint64_t total_memory() {
    return static_cast<std::uint64_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
}

std::string processor_name() {
    // Read once: it does not change, the file is long where there are many cores, and the gauges ask every second.
    static const std::string name = [] {
        std::istringstream file = base::system_file("/proc/cpuinfo");
        std::string line;
        while (std::getline(file, line)) {
            if (line.starts_with("model name")) {
                if (const auto colon = line.find(": "); colon != std::string::npos) {
                    return line.substr(colon + 2);
                }
            }
        }
        return std::string();
    }();
    return name;
}

std::string host_name() {
    std::array<char, 256> name{};
    return gethostname(name.data(), name.size() - 1) == 0 ? std::string(name.data()) : std::string();
}

int cores() {
    cpu_set_t set;
    CPU_ZERO(&set);
    if (sched_getaffinity(0, sizeof(set), &set) == 0) {
        return std::max(1, CPU_COUNT(&set));
    }
    return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

}  // namespace moescope::node
