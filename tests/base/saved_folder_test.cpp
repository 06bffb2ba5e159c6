#include "base/saved_folder.hpp"

#include <gtest/gtest.h>

#include "base/atomic_files.hpp"
#include "base/error.hpp"
#include "tests/files.hpp"

namespace moescope::base {
namespace {

namespace fs = std::filesystem;

class SavedFolderTest : public ::testing::Test {
 protected:
    void SetUp() override {
        AtomicFolder saved(folder_);
        test::write_text(saved.path() / "a", "first");
        test::write_text(saved.path() / "below" / "b", "second");
        saved.commit();
    }
    std::string list_problem() const {
        try {
            read_saved_list(folder_);
        } catch (const Error& error) {
            return error.what();
        }
        return "no problem";
    }
    std::string list_problem_of(const std::string& done) const {
        test::write_text(folder_ / "DONE", done);
        return list_problem();
    }
    const test::TemporaryFolder temporary_;
    const fs::path folder_ = temporary_ / "saved";
};

TEST_F(SavedFolderTest, EveryFileIsListedAndAsItWas) {
    const std::vector<SavedFile> files = read_saved_list(folder_);
    ASSERT_EQ(files.size(), 2u);
    EXPECT_EQ(files[0].name, "a");
    EXPECT_EQ(files[1].name, "below/b");
    for (const SavedFile& file : files) {
        EXPECT_TRUE(changed_since_saved(folder_, file, true).empty());
    }
}

TEST_F(SavedFolderTest, WhatChangedIsSaid) {
    const SavedFile file = read_saved_list(folder_).at(0);
    const auto said = [&](bool content) { return changed_since_saved(folder_, file, content).english(); };
    test::write_text(folder_ / "a", "fIrst");
    EXPECT_EQ(said(false), "");
    EXPECT_EQ(said(true), "the content of a has changed since it was saved");
    test::write_text(folder_ / "a", "first!");
    EXPECT_EQ(said(false), "the file a has another size than when it was saved");
    fs::remove(folder_ / "a");
    EXPECT_EQ(said(true), "the file a is missing");
    fs::create_symlink("a", folder_ / "a");
    EXPECT_EQ(said(true), "a is no ordinary file");
}

TEST_F(SavedFolderTest, AListThatIsNoneIsRefused) {
    EXPECT_EQ(list_problem_of(""), "the file DONE can't be read");
    EXPECT_EQ(list_problem_of(R"({"format":1})"), "the file DONE can't be read");
    EXPECT_EQ(list_problem_of(R"({"format":-1,"files":[]})"), "the file DONE can't be read");
    EXPECT_EQ(list_problem_of(R"({"format":null,"files":[]})"), "the file DONE can't be read");
    EXPECT_EQ(list_problem_of(R"({"format":2,"files":[]})"),
              "the file DONE was written by a newer version; update the program");
    EXPECT_EQ(list_problem_of(R"({"files":[{"name":"a"}]})"), "DONE has an entry that can't be read");
    for (const char* name : {"../a", "/a", ".", "", "a/../../b"}) {
        EXPECT_EQ(list_problem_of(std::string(R"({"files":[{"bytes":1,"sha256":"","name":")") + name + "\"}]}"),
                  std::string("DONE names the file '") + name + "' that can't be part of a checkpoint");
    }
    fs::remove(folder_ / "DONE");
    EXPECT_NE(list_problem().find("the file DONE is missing"), std::string::npos);
}

}  // namespace
}  // namespace moescope::base
