// `moescope --screenshot FILE` as a shell runs it: what is there stays unless --force is given.
#include <array>
#include <gtest/gtest.h>
#include <string>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/files.hpp"
#include "tests/paths.hpp"

namespace moescope::test {
namespace {

/// Exit status; `error` gets what stands on standard error.
int run_window(const std::filesystem::path& picture, const std::filesystem::path& error) {
    const std::string program = binary_folder() + "/moescope", session = (error.parent_path() / "session").string();
    const pid_t child = fork();
    if (child == 0) {
        if (std::freopen(error.c_str(), "w", stderr) == nullptr) {
            _exit(125);
        }
        execl(program.c_str(), program.c_str(), "--headless", "--screenshot", picture.c_str(), session.c_str(),
              nullptr);
        _exit(126);
    }
    int status = 0;
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

TEST(Screenshot, WritesOverNothingUnasked) {
    const TemporaryFolder folder;
    write_text(folder / "thesis.png", "years of work");
    std::filesystem::create_symlink(folder / "thesis.png", folder / "link.png");
    for (const char* name : {"thesis.png", "link.png"}) {
        EXPECT_EQ(run_window(folder / name, folder / "error"), 1);
        EXPECT_NE(read_text(folder / "error").find("is there already"), std::string::npos)
            << read_text(folder / "error");
    }
    EXPECT_EQ(run_window("/dev/full", folder / "error"), 1);
    EXPECT_EQ(read_text(folder / "thesis.png"), "years of work");
    EXPECT_FALSE(std::filesystem::exists(folder / "session")) << "it is said before anything is begun";
}

}  // namespace
}  // namespace moescope::test
