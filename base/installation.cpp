#include "base/installation.hpp"

#include <string>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <system_error>

#include "base/bundle_layout.hpp"

namespace moescope::base {

namespace fs = std::filesystem;

namespace detail {

fs::path started_program(const fs::path& executable, const fs::path& run) {
    if (!executable.filename().string().starts_with("ld-") || !run.is_absolute()) {
        return executable;
    }
    const fs::path programs = run.parent_path(), parts = programs.parent_path();
    const fs::path prefix = parts.parent_path().parent_path();
    if (programs.filename() != kProgramsFolder || parts != prefix / kPartsFolder) {
        return run;
    }
    return prefix / "bin" / run.filename();
}

}  // namespace detail

fs::path own_program() {
    std::error_code error;
    const fs::path executable = fs::read_symlink("/proc/self/exe", error);
    if (error) {
        return {};
    }
    // A loader that is started with the name of a program tells that name here.
    const auto run = reinterpret_cast<const char*>(::getauxval(AT_EXECFN));
    return detail::started_program(executable, run == nullptr ? "" : run);
}

void take_own_name() {
    const std::string name = own_program().filename().string();
    if (!name.empty()) {
        ::prctl(PR_SET_NAME, name.c_str());
    }
}

fs::path own_assets() {
    const fs::path folder = own_program().parent_path();
    std::error_code error;
    for (const fs::path& candidate : {folder / "assets", folder.parent_path() / "share" / "moescope"}) {
        if (fs::is_directory(candidate / "presets", error)) {
            return candidate;
        }
    }
    return folder / "assets";
}

fs::path own_part(std::string_view file) {
    const fs::path folder = own_program().parent_path(), installed = folder.parent_path() / kPartsFolder / file;
    std::error_code error;
    return fs::exists(folder / file, error) || !fs::exists(installed, error) ? folder / file : installed;
}

}  // namespace moescope::base
