#include "base/process_memory.hpp"

#include <filesystem>
#include <sstream>
#include <string>
#include <unistd.h>

#include "base/input_file.hpp"

namespace moescope::base {

namespace {

/// What the system says of the process in that file; empty when it is not there.
std::istringstream system_file(std::int64_t process, const char* name) {
    constexpr std::uint64_t kMostBytes = 64 << 10;
    const std::filesystem::path folder = std::filesystem::path("/proc") / std::to_string(process);
    return std::istringstream(try_read_file(folder / name, kMostBytes).value_or(""));
}

}  // namespace

std::uint64_t process_memory(std::int64_t process) {
    std::istringstream rollup = system_file(process, "smaps_rollup");
    for (std::string word; rollup >> word;) {
        std::uint64_t kibibytes = 0;
        if (word == "Pss:" && rollup >> kibibytes) {
            return kibibytes * 1024;
        }
    }
    return resident_memory(process);
}

std::uint64_t resident_memory(std::int64_t process) {
    std::istringstream statm = system_file(process, "statm");
    std::uint64_t size = 0, resident = 0;
    statm >> size >> resident;
    return resident * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
}

}  // namespace moescope::base
