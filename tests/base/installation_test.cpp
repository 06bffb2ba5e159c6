#include "base/installation.hpp"

#include <filesystem>
#include <gtest/gtest.h>

#include "base/bundle_layout.hpp"

namespace {

namespace fs = std::filesystem;
using moescope::base::own_assets;
using moescope::base::own_part;
using moescope::base::own_program;
using moescope::base::detail::started_program;

TEST(Installation, AProgramIsItsOwnFile) {
    EXPECT_EQ(own_program(), fs::canonical("/proc/self/exe"));
    EXPECT_EQ(started_program("/opt/m/bin/moescope", "./moescope"), "/opt/m/bin/moescope");
    EXPECT_EQ(started_program("/opt/ldap/bin/moescope", "/elsewhere/x"), "/opt/ldap/bin/moescope");
}

TEST(Installation, InABundleItIsTheStarter) {
    for (const char* loader : {"/lib64/ld-linux-x86-64.so.2", "/usr/lib/x86_64-linux-gnu/ld-2.41.so"}) {
        EXPECT_EQ(started_program(loader, "/opt/m s/lib/moescope/programs/moescope-node"),
                  "/opt/m s/bin/moescope-node");
    }
}

TEST(Installation, AnotherProgramUnderALoaderIsItself) {
    EXPECT_EQ(started_program("/lib64/ld-linux-x86-64.so.2", "/pack/bin/gpu_bench"), "/pack/bin/gpu_bench");
    EXPECT_EQ(started_program("/lib64/ld-linux-x86-64.so.2", "/programs/x"), "/programs/x");
    // What the loader was given is no whole path: better what the kernel says than a guess.
    EXPECT_EQ(started_program("/lib64/ld-linux-x86-64.so.2", "programs/x"), "/lib64/ld-linux-x86-64.so.2");
}

TEST(Installation, WhatIsNowhereIsNamedBesideTheProgram) {
    const fs::path folder = own_program().parent_path();
    EXPECT_EQ(own_part("libmoescope-none.so"), folder / "libmoescope-none.so");
    EXPECT_EQ(own_assets().parent_path(), folder);
}

}  // namespace
