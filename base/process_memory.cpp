#include "base/process_memory.hpp"

#include <filesystem>
#include <sstream>
#include <string>
#include <unistd.h>

#include "base/input_file.hpp"

namespace moescope::base {

namespace {

/// A file of the system; empty when it is not there.
std::istringstream system_file(const std::filesystem::path& path) {
    constexpr std::uint64_t kMostBytes = 64 << 10;
    return std::istringstream(try_read_file(path, kMostBytes).value_or(""));
}

}  // namespace

std::uint64_t process_memory(std::int64_t process) {
    const std::filesystem::path folder = std::filesystem::path("/proc") / std::to_string(process);
    std::istringstream rollup = system_file(folder / "smaps_rollup");
    for (std::string word; rollup >> word;) {
        std::uint64_t kibibytes = 0;
        if (word == "Pss:" && rollup >> kibibytes) {
            return kibibytes * 1024;
        }
    }
    std::istringstream statm = system_file(folder / "statm");
    std::uint64_t size = 0, resident = 0;
    statm >> size >> resident;
    return resident * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
}

}  // namespace moescope::base
