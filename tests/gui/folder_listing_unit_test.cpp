// What the file dialog lists: order, filter, hidden names, and what is at a path.
#include <fstream>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "app/folder_listing.hpp"
#include "tests/files.hpp"

namespace {

using namespace moescope::app;
namespace fs = std::filesystem;

std::vector<FolderEntry> entries() {
    return {{.name = "run10.csv", .regular = true, .bytes = 5, .modified = 30},
            {.name = "run2.csv", .regular = true, .bytes = 900, .modified = 10},
            {.name = "Picture.PNG", .regular = true, .bytes = 70, .modified = 20},
            {.name = ".secret.png", .regular = true, .bytes = 1, .modified = 5},
            {.name = "zebra", .folder = true, .modified = 99},
            {.name = "Archive", .folder = true, .modified = 1}};
}

std::string names(const ListView& view) {
    const auto all = entries();
    std::string text;
    for (const std::size_t i : arrange(all, view)) {
        text += (text.empty() ? "" : " ") + all[i].name;
    }
    return text;
}

TEST(FolderListing, FoldersFirstNamesAsPeopleSortThem) {
    EXPECT_EQ(names({}), "Archive zebra Picture.PNG run2.csv run10.csv");
    EXPECT_EQ(names({.falling = true}), "zebra Archive run10.csv run2.csv Picture.PNG");
    EXPECT_EQ(names({.order = ListOrder::size}), "Archive zebra run10.csv Picture.PNG run2.csv");
    EXPECT_EQ(names({.order = ListOrder::modified, .falling = true}), "zebra Archive run10.csv Picture.PNG run2.csv");
}

TEST(FolderListing, FilterEndingsAndHiddenNames) {
    EXPECT_EQ(names({.filter = "RUN"}), "run2.csv run10.csv");
    EXPECT_EQ(names({.endings = {".png"}}), "Archive zebra Picture.PNG");
    EXPECT_EQ(names({.endings = {".png"}, .hidden = true}), "Archive zebra .secret.png Picture.PNG");
    EXPECT_EQ(names({.files = false}), "Archive zebra");
    EXPECT_EQ(names({.filter = "nothing"}), "");
}

TEST(FolderListing, NumbersInNamesOfAnyLength) {
    const std::string digits(60, '9');
    const std::vector<FolderEntry> all = {
        {.name = "a" + digits + "1"}, {.name = "a" + digits}, {.name = "a007"}, {.name = "a7"}};
    const std::vector<std::size_t> order = arrange(all, {});
    EXPECT_EQ(order[0], 2u);  // equal numbers: by the bytes
    EXPECT_EQ(order[1], 3u);
    EXPECT_EQ(order[2], 1u);
    EXPECT_EQ(order[3], 0u);
}

struct Folder {
    const moescope::test::TemporaryFolder temporary;
    const fs::path& path = temporary.path();
};

TEST(FolderListing, WhatIsOnTheDisk) {
    const Folder folder;
    std::ofstream(folder.path / "file.bin") << "12345";
    fs::create_directory(folder.path / "sub");
    fs::create_directory_symlink(folder.path / "sub", folder.path / "to-sub");
    fs::create_symlink("nowhere", folder.path / "broken");
    ASSERT_EQ(::mkfifo((folder.path / "pipe").c_str(), 0600), 0);
    const FolderListing listing = read_folder(folder.path);
    EXPECT_TRUE(listing.problem.empty());
    ASSERT_EQ(listing.entries.size(), 5u);
    for (const FolderEntry& entry : listing.entries) {
        EXPECT_EQ(entry.folder, entry.name == "sub" || entry.name == "to-sub") << entry.name;
        EXPECT_EQ(entry.regular, entry.name == "file.bin") << entry.name;
        EXPECT_EQ(entry.bytes, entry.name == "file.bin" ? 5u : 0u) << entry.name;
    }
    EXPECT_EQ(look_at(folder.path / "file.bin"), PathState::regular);
    EXPECT_EQ(look_at(folder.path / "to-sub"), PathState::folder);
    EXPECT_EQ(look_at(folder.path / "broken"), PathState::other);
    EXPECT_EQ(look_at(folder.path / "pipe"), PathState::other);
    EXPECT_EQ(look_at(folder.path / "new.csv"), PathState::nothing);
    EXPECT_EQ(look_at(folder.path / "none" / "new.csv"), PathState::no_folder);
    EXPECT_EQ(look_at(folder.path / "file.bin" / "below"), PathState::no_folder);
    EXPECT_FALSE(read_folder(folder.path / "none").problem.empty());
}

TEST(FolderListing, Dates) {
    EXPECT_EQ(date_text(0), "");
    EXPECT_EQ(date_text(1'795'000'000).size(), std::string("2026-11-18 10:26").size());
}

}  // namespace
