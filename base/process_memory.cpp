#include "base/process_memory.hpp"

#include <filesystem>
#include <fstream>
#include <string>
#include <unistd.h>

namespace moescope::base {

std::uint64_t process_memory(std::int64_t process) {
    const std::filesystem::path folder = std::filesystem::path("/proc") / std::to_string(process);
    std::ifstream rollup(folder / "smaps_rollup");
    for (std::string word; rollup >> word;) {
        std::uint64_t kibibytes = 0;
        if (word == "Pss:" && rollup >> kibibytes) {
            return kibibytes * 1024;
        }
    }
    std::ifstream statm(folder / "statm");
    std::uint64_t size = 0, resident = 0;
    statm >> size >> resident;
    return resident * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
}

}  // namespace moescope::base
