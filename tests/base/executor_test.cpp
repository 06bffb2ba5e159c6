#include "base/executor.hpp"

#include <gtest/gtest.h>
#include <thread>
#include <vector>

#include "base/sha256.hpp"

namespace moescope::base {
namespace {

TEST(Executor, DoesEverythingInOrderOnOneThreadOfItsOwn) {
    std::vector<int> done;
    std::vector<std::thread::id> threads;
    {
        Executor executor;
        for (int i = 0; i < 1000; ++i) {
            executor.post([&, i] {
                done.push_back(i);
                threads.push_back(std::this_thread::get_id());
            });
        }
    }
    ASSERT_EQ(done.size(), 1000u) << "what is queued is done before the end";
    for (int i = 0; i < 1000; ++i) {
        ASSERT_EQ(done[static_cast<std::size_t>(i)], i);
        ASSERT_EQ(threads[static_cast<std::size_t>(i)], threads[0]);
    }
    EXPECT_NE(threads[0], std::this_thread::get_id());
}

TEST(Executor, NothingIsDoneAfterFinish) {
    Executor executor;
    int done = 0;
    executor.post([&] { ++done; });
    executor.finish();
    executor.post([&] { ++done; });
    executor.finish();
    EXPECT_EQ(done, 1);
}

TEST(Sha256, KnownAnswer) {
    EXPECT_EQ(sha256("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    Sha256 pieces;
    pieces.add("a");
    pieces.add("bc");
    EXPECT_EQ(pieces.finish(), sha256("abc"));
    EXPECT_THROW(sha256_of_file("/nowhere"), std::exception);
}

}  // namespace
}  // namespace moescope::base
