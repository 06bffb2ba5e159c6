#include "base/process_memory.hpp"

#include <filesystem>
#include <sstream>
#include <string>
#include <unistd.h>

#include "base/input_file.hpp"

namespace moescope::base {

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
