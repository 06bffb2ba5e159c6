// The copying of a node with a shell in the place of ssh: what it runs there is the real command.
#include "nodes/client/node_copy.hpp"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <thread>

#include "base/error.hpp"
#include "tests/files.hpp"

namespace moescope::client {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::UnorderedElementsAre;

constexpr const char* kAddress = "ssh://somebody@there:2222/a/session";

class NodeCopy : public testing::Test {
 protected:
    NodeCopy() { fs::create_directories(home_); }

    /// A program that is called like ssh and runs the last argument in the home of the other machine; `before` goes
    /// before it.
    fs::path ssh(const std::string& before = "") const {
        const fs::path file = folder_ / "ssh";
        test::write_text(file,
                         fmt::format("#!/bin/bash\necho \"$@\" > '{0}/called'\nfor last; do :; done\n"
                                     "export HOME=\"{0}/a remote \\\"home\\\"\"\ncd /\n{1} /bin/bash -c \"$last\"\n",
                                     folder_.path().string(), before));
        fs::permissions(file, fs::perms::owner_all);
        return file;
    }

    /// An archive whose moescope-node is this script.
    NodeBundle bundle(const std::string& script, int kilobytes = 0) const {
        NodeBundle made;
        made.folder = folder_ / "moescope 1";
        test::write_text(made.folder / "bin/moescope-node", "#!/bin/sh\n" + script);
        fs::permissions(made.folder / "bin/moescope-node", fs::perms::owner_all);
        std::string noise(static_cast<std::size_t>(kilobytes) * 1024, ' ');
        unsigned state = 1;
        std::generate(noise.begin(), noise.end(),
                      [&] { return static_cast<char>((state = state * 1664525 + 1013904223) >> 24); });
        test::write_text(made.folder / "noise", noise);
        return made;
    }

    std::string copied(const NodeBundle& bundle, const fs::path& ssh) {
        try {
            copy_node(kAddress, bundle, ssh, progress_);
            return {};
        } catch (const base::Error& problem) {
            return problem.what();
        }
    }

    /// What lies in the folder of the other machine.
    std::vector<std::string> there() const {
        std::vector<std::string> names;
        std::error_code error;
        for (const auto& entry : fs::directory_iterator(home_ / ".local/share/moescope", error)) {
            names.push_back(entry.path().filename().string());
        }
        return names;
    }

    const test::TemporaryFolder folder_;
    const fs::path home_ = folder_ / "a remote \"home\"";
    CopyProgress progress_;
};

TEST_F(NodeCopy, IsUnpackedUnderItsVersion) {
    const NodeBundle good = bundle("echo " MOESCOPE_VERSION, 300);
    EXPECT_EQ(copied(good, ssh()), "");
    EXPECT_THAT(there(), UnorderedElementsAre(MOESCOPE_VERSION));
    const fs::path arrived = home_ / ".local/share/moescope" / MOESCOPE_VERSION;
    EXPECT_EQ(test::read_text(arrived / "noise"), test::read_text(good.folder / "noise"));
    EXPECT_TRUE((fs::status(arrived / "bin/moescope-node").permissions() & fs::perms::owner_exec) != fs::perms::none);
    EXPECT_EQ(progress_.sent, progress_.total);
    EXPECT_GT(progress_.total, 300u << 10);
    const std::string called = test::read_text(folder_ / "called");
    EXPECT_THAT(called, HasSubstr("-p 2222 -l somebody -- there /bin/sh -c"));
    EXPECT_EQ(called.find("session"), std::string::npos);
}

TEST_F(NodeCopy, TakesTheFolderOfWhatWasThere) {
    test::write_text(home_ / ".local/share/moescope" / MOESCOPE_VERSION / "old", "old");
    test::write_text(home_ / ".local/share/moescope/sessions/mine", "mine");
    EXPECT_EQ(copied(bundle("echo " MOESCOPE_VERSION), ssh()), "");
    EXPECT_THAT(there(), UnorderedElementsAre(MOESCOPE_VERSION, "sessions"));
    EXPECT_FALSE(fs::exists(home_ / ".local/share/moescope" / MOESCOPE_VERSION / "old"));
}

TEST_F(NodeCopy, WhatDoesNotStartThereIsTakenAwayAgain) {
    test::write_text(home_ / ".local/share/moescope" / MOESCOPE_VERSION / "old", "old");
    EXPECT_THAT(copied(bundle("echo this processor has no AVX2 >&2; exit 1"), ssh()),
                testing::AllOf(HasSubstr("does not start there"), HasSubstr("no AVX2")));
    EXPECT_THAT(copied(bundle("echo 9.9.9"), ssh()),
                testing::AllOf(HasSubstr("does not start there"), HasSubstr("9.9.9")));
    EXPECT_THAT(there(), UnorderedElementsAre(MOESCOPE_VERSION));
    EXPECT_EQ(test::read_text(home_ / ".local/share/moescope" / MOESCOPE_VERSION / "old"), "old");
}

TEST_F(NodeCopy, WhatArrivesInPartIsNotUnpacked) {
    EXPECT_THAT(copied(bundle("echo " MOESCOPE_VERSION, 500), ssh("head -c 100000 |")),
                HasSubstr("did not arrive whole"));
    EXPECT_THAT(there(), testing::IsEmpty());
}

TEST_F(NodeCopy, WhatIsNoArchiveIsTold) {
    NodeBundle bundle;
    bundle.archive = folder_ / "archive";
    test::write_text(bundle.archive, "no archive at all");
    EXPECT_THAT(copied(bundle, ssh()), HasSubstr("could not be unpacked"));
    bundle.archive = folder_ / "nothing";
    EXPECT_THAT(copied(bundle, ssh()), HasSubstr("nothing"));
    EXPECT_THAT(there(), testing::IsEmpty());
}

TEST_F(NodeCopy, AnotherKindOfMachineIsTold) {
    const fs::path programs = folder_ / "programs";
    test::write_text(programs / "uname", "#!/bin/sh\necho Linux aarch64\n");
    fs::permissions(programs / "uname", fs::perms::owner_all);
    EXPECT_THAT(copied(bundle("echo " MOESCOPE_VERSION), ssh("PATH=" + programs.string() + ":$PATH")),
                HasSubstr("Linux aarch64"));
    EXPECT_FALSE(fs::exists(home_ / ".local"));
}

TEST_F(NodeCopy, CanBeStopped) {
    const NodeBundle large = bundle("echo " MOESCOPE_VERSION, 4000);
    std::thread person([this] {
        while (progress_.sent == 0) {
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
        }
        progress_.stop = true;
    });
    // Slow enough that it can't be over before.
    EXPECT_THAT(copied(large, ssh("(head -c 100000; sleep 3; cat) |")), HasSubstr("stopped"));
    person.join();
}

TEST_F(NodeCopy, WhatSshSaysIsHandedOn) {
    EXPECT_THAT(copied(bundle("true"), ssh("echo somebody@there: Permission denied >&2; exit 255;")),
                HasSubstr("does not let this user in"));
    EXPECT_THROW(copy_node("tls://there:7443", NodeBundle{}, ssh(), progress_), base::Error);
}

/// csh expands "!" and knows no quotes over several lines; the only quotes are around the whole.
TEST_F(NodeCopy, TheCommandIsForAnyShell) {
    const std::string command = detail::receiving_command();
    EXPECT_EQ(command.find_first_of("!\n"), std::string::npos);
    EXPECT_EQ(std::count(command.begin(), command.end(), '\''), 2);
    EXPECT_TRUE(command.starts_with("/bin/sh -c '") && command.ends_with("'"));
}

}  // namespace
}  // namespace moescope::client
