#include "base/input_file.hpp"

#include <chrono>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/error.hpp"
#include "tests/files.hpp"

namespace moescope::base {
namespace {

namespace fs = std::filesystem;

class InputFileTest : public ::testing::Test {
 protected:
    fs::path write(const char* name, const std::string& text) const {
        test::write_text(folder_ / name, text);
        return folder_ / name;
    }
    /// What is said about `path`, without the path.
    static std::string problem(const fs::path& path, std::uint64_t limit = 1000) {
        try {
            read_file(path, limit);
        } catch (const Error& error) {
            const std::string text = error.what();
            EXPECT_TRUE(text.starts_with(path.string())) << text;
            return text.substr(path.string().size());
        }
        return "no problem";
    }

    const test::TemporaryFolder temporary_;
    const fs::path& folder_ = temporary_.path();
};

TEST_F(InputFileTest, AFileIsReadWholeUpToItsLimit) {
    const std::string text(5000, 'x');
    const fs::path path = write("a", text);
    EXPECT_EQ(read_file(path, 5000), text);
    EXPECT_EQ(problem(path, 4999), " has 5000 bytes, more than the 4999 that such a file may have");
    EXPECT_EQ(read_file(write("empty", ""), 0), "");
    fs::create_symlink(path, folder_ / "link");
    EXPECT_EQ(read_file(folder_ / "link", 5000), text);
    EXPECT_EQ(try_read_file(path, 5000), text);
    EXPECT_EQ(try_read_file(path, 10), std::nullopt);
    EXPECT_EQ(try_read_file(folder_ / "missing", 10), std::nullopt);
}

TEST_F(InputFileTest, FilesOfTheSystemSayThatTheyAreEmptyAndAreNot) {
    EXPECT_GT(read_file("/proc/self/status", 1 << 20).size(), 100u);
    EXPECT_EQ(problem("/proc/self/status", 20).find(" has "), 0u);
}

TEST_F(InputFileTest, LinksThatLeadNowhereAreThere) {
    fs::create_symlink("circle", folder_ / "circle");
    fs::create_symlink("nothing", folder_ / "dangling");
    EXPECT_TRUE(is_there(folder_ / "circle"));
    EXPECT_TRUE(is_there(folder_ / "circle" / "below"));
    EXPECT_TRUE(is_there(folder_ / "dangling"));
    EXPECT_TRUE(is_there(write("a", "")));
    EXPECT_FALSE(is_there(folder_ / "nothing"));
    EXPECT_FALSE(is_there(folder_ / "a" / "below"));
    EXPECT_EQ(problem(folder_ / "circle"), " can't be read: Too many levels of symbolic links");
    EXPECT_EQ(problem(folder_ / "dangling"), " is a link to something that does not exist");
}

TEST_F(InputFileTest, PiecesAreReadAtTheirPlace) {
    const InputFile file(write("a", "0123456789"));
    EXPECT_EQ(file.size(), 10u);
    std::string piece(4, ' ');
    file.read(3, std::span(piece));
    EXPECT_EQ(piece, "3456");
    EXPECT_EQ(file.read_some(8, std::span(piece)), 2u);
    EXPECT_EQ(file.read_some(10, std::span(piece)), 0u);
    EXPECT_THROW(file.read(8, std::span(piece)), Error);
}

TEST_F(InputFileTest, WhatIsNoFileIsNamedAndNeverWaitedFor) {
    const auto start = std::chrono::steady_clock::now();
    ASSERT_EQ(::mkfifo((folder_ / "pipe").c_str(), 0600), 0);
    const int socket = ::socket(AF_UNIX, SOCK_STREAM, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    (folder_ / "socket").string().copy(address.sun_path, sizeof address.sun_path - 1);
    ASSERT_EQ(::bind(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    EXPECT_EQ(problem(folder_ / "pipe"), " is a pipe, not a file; write its content into a file first");
    EXPECT_EQ(problem(folder_ / "socket"), " is a socket, not a file");
    EXPECT_EQ(problem(folder_), " is a folder, not a file");
    EXPECT_EQ(problem("/dev/zero"), " is a device, not a file");
    EXPECT_EQ(problem("/dev/full"), " is a device, not a file");
    EXPECT_EQ(problem(folder_ / "missing"), " does not exist");
    EXPECT_EQ(problem(folder_ / "missing" / "too"), " does not exist");
    EXPECT_EQ(problem(folder_ / std::string(300, 'n')), " can't be read: File name too long");
    EXPECT_THROW(read_file(folder_ / std::string("a\0b", 3), 10), Error);
    fs::resize_file(write("giant", ""), std::uintmax_t{1} << 40);
    EXPECT_EQ(problem(folder_ / "giant"), " has 1099511627776 bytes, more than the 1000 that such a file may have");
    EXPECT_THROW(require_regular_file(folder_ / "pipe"), Error);
    EXPECT_NO_THROW(require_regular_file(folder_ / "giant"));
    ::close(socket);
    EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(1));
}

TEST_F(InputFileTest, JsonGoesThroughTheGuard) {
    EXPECT_EQ(read_json_file(write("a.json", "{\"a\": 1}"), 1000), nlohmann::json({{"a", 1}}));
    try {
        read_json_file(write("deep.json", std::string(100'000, '[')), 1 << 20);
        ADD_FAILURE() << "not refused";
    } catch (const Error& error) {
        EXPECT_EQ(error.what(), (folder_ / "deep.json").string() + " is nested deeper than 16 levels");
    }
}

TEST_F(InputFileTest, ADescriptorIsOnlyGivenForAFile) {
    EXPECT_TRUE(open_for_reading(write("a", "x")));
    ASSERT_EQ(::mkfifo((folder_ / "pipe").c_str(), 0600), 0);
    EXPECT_FALSE(open_for_reading(folder_ / "pipe"));
    EXPECT_FALSE(open_for_reading(folder_));
    EXPECT_EQ(errno, EISDIR);
    EXPECT_FALSE(open_for_reading("/dev/zero"));
}

}  // namespace
}  // namespace moescope::base
