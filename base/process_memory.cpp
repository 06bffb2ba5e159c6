#include "base/process_memory.hpp"

#include <filesystem>
#include <sstream>
#include <string>
#include <unistd.h>

#include "base/input_file.hpp"

namespace moescope::base {

namespace {

/// What the system says of the process in that file; empty when it is not there.
std::istringstream file_of(std::int64_t process, const char* name) {
    return system_file(std::filesystem::path("/proc") / std::to_string(process) / name);
}

}  // namespace

std::uint64_t process_memory(std::int64_t process) {
    std::istringstream rollup = file_of(process, "smaps_rollup");
    for (std::string word; rollup >> word;) {
        std::uint64_t kibibytes = 0;
        if (word == "Pss:" && rollup >> kibibytes) {
            return kibibytes * 1024;
        }
    }
    return resident_memory(process);
}

std::uint64_t resident_memory(std::int64_t process) {
    std::istringstream statm = file_of(process, "statm");
    std::uint64_t size = 0, resident = 0;
    statm >> size >> resident;
    return resident * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
}

}  // namespace moescope::base
