// What a workbench that was killed leaves behind is gone after the next start, and nobody else's folder is touched.
#include <algorithm>
#include <array>
#include <cstdlib>
#include <gtest/gtest.h>
#include <set>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/scratch_folder.hpp"
#include "nodes/client/runtime_folder.hpp"
#include "tests/nodes/service/program.hpp"

namespace moescope::test {
namespace {

namespace fs = std::filesystem;

std::set<std::string> names_in(const fs::path& folder) {
    std::set<std::string> names;
    for (const auto& entry : fs::directory_iterator(folder)) {
        names.insert(entry.path().filename().string());
    }
    return names;
}

/// A process that owns such a folder and waits to be killed.
template <class Folder = client::RuntimeFolder>
class Owner {
 public:
    Owner() {
        std::array<int, 2> ready{};
        if (pipe(ready.data()) != 0) {
            throw std::runtime_error("no pipe");
        }
        process_ = fork();
        if (process_ == 0) {
            const Folder owned;
            (void)!::write(ready[1], owned.path().c_str(), owned.path().string().size());
            for (;;) {
                pause();
            }
        }
        std::array<char, 200> name{};
        const ssize_t got = ::read(ready[0], name.data(), name.size());
        folder = std::string(name.data(), static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
        close(ready[0]);
        close(ready[1]);
    }
    ~Owner() { end(); }
    Owner(const Owner&) = delete;
    Owner& operator=(const Owner&) = delete;
    void end() {
        if (process_ <= 0) {
            return;
        }
        kill(process_, SIGKILL);
        waitpid(process_, nullptr, 0);
        process_ = -1;
    }
    fs::path folder;

 private:
    pid_t process_ = -1;
};

TEST(RuntimeFolder, TheNextOneCleansUpAfterTheDead) {
    const TemporaryFolder base;
    const Variable runtime("XDG_RUNTIME_DIR", base.path());
    fs::create_directory(base / "moescope-folder");
    fs::create_directory(base / "moescope-abcdef");  // no owner's lock: it may be in the making
    {
        Owner<> alive, dead;
        ASSERT_EQ(alive.folder.parent_path(), base.path());
        write_text(dead.folder / "node.log", "last words");
        dead.end();
        ASSERT_TRUE(fs::exists(dead.folder));
        const client::RuntimeFolder own;
        EXPECT_FALSE(fs::exists(dead.folder));
        EXPECT_TRUE(fs::exists(alive.folder));
        EXPECT_EQ(own.path().parent_path(), base.path());
        EXPECT_EQ(fs::status(own.path()).permissions(), fs::perms::owner_all);
    }
    { const client::RuntimeFolder another; }
    EXPECT_EQ(names_in(base.path()), (std::set<std::string>{"moescope-folder", "moescope-abcdef"}));
}

/// Copies of databases, lent files: a killed node has them in the system's temporary folder.
TEST(ScratchFolder, TheNextProcessCleansUpAfterTheDead) {
    const TemporaryFolder base;
    const Variable temporary("TMPDIR", base.path());
    {
        Owner<base::ScratchFolder> alive, dead;
        ASSERT_EQ(alive.folder.parent_path().parent_path(), base.path());
        write_text(dead.folder / "session.db", "a copy");
        EXPECT_EQ(fs::status(dead.folder).permissions(), fs::perms::owner_all);
        dead.end();
        ASSERT_TRUE(fs::exists(dead.folder));
        const Owner<base::ScratchFolder> next;
        EXPECT_FALSE(fs::exists(dead.folder.parent_path()));
        EXPECT_TRUE(fs::exists(alive.folder));
        EXPECT_TRUE(fs::exists(next.folder));
    }
}

}  // namespace
}  // namespace moescope::test
