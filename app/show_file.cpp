#include "app/show_file.hpp"

#include <cstdlib>
#include <spawn.h>
#include <string>
#include <string_view>
#include <sys/wait.h>
#include <unistd.h>

extern char** environ;

namespace moescope::app {
namespace {

bool is_installed(const char* program) {
    const char* path = std::getenv("PATH");
    std::string_view folders = path != nullptr ? path : "";
    while (!folders.empty()) {
        const std::size_t end = folders.find(':');
        const std::string file = std::string(folders.substr(0, end)) + "/" + program;
        if (::access(file.c_str(), X_OK) == 0) {
            return true;
        }
        folders = end == std::string_view::npos ? std::string_view() : folders.substr(end + 1);
    }
    return false;
}

}  // namespace

bool show_in_folder(const std::filesystem::path& file) {
    if (!is_installed("xdg-open")) {
        return false;
    }
    // The shell leaves at once; what it has started belongs to nobody here.
    std::string folder = file.parent_path().string();
    char shell[] = "sh", option[] = "-c", command[] = "xdg-open \"$1\" >/dev/null 2>&1 </dev/null &", name[] = "sh";
    char* arguments[] = {shell, option, command, name, folder.data(), nullptr};
    pid_t process = 0;
    if (::posix_spawn(&process, "/bin/sh", nullptr, nullptr, arguments, environ) != 0) {
        return false;
    }
    int status = 0;
    return ::waitpid(process, &status, 0) == process && status == 0;
}

}  // namespace moescope::app
