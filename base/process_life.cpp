#include "base/process_life.hpp"

#include <filesystem>
#include <sstream>
#include <string>

#include "base/input_file.hpp"

namespace moescope::base {

std::uint64_t process_start(std::int64_t process) {
    const std::string stat = system_file(std::filesystem::path("/proc") / std::to_string(process) / "stat").str();
    // The name in brackets may hold anything, brackets too.
    const std::size_t name = stat.rfind(')');
    if (name == std::string::npos) {
        return 0;
    }
    std::istringstream fields(stat.substr(name + 1));
    std::string field;
    fields >> field;
    if (field == "Z" || field == "X") {
        return 0;
    }
    constexpr int kFirst = 3, kStart = 22;  // as proc(5) counts them
    for (int number = kFirst; number < kStart; ++number) {
        fields >> field;
    }
    return field.empty() || field.find_first_not_of("0123456789") != std::string::npos ? 0 : std::stoull(field);
}

}  // namespace moescope::base
