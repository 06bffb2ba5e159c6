// Both halves of a transfer against each other, with real files: cuts, wrong bytes, sources that change, places that
// may not be written.
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>

#include "base/sha256.hpp"
#include "nodes/transfer/incoming.hpp"
#include "nodes/transfer/outgoing.hpp"
#include "tests/files.hpp"

namespace moescope::transfer {
namespace {

namespace fs = std::filesystem;
using test::read_text;
using test::TemporaryFolder;
using test::write_text;

std::string some_text(std::size_t bytes, unsigned seed = 1) {
    std::string text(bytes, '\0');
    for (char& c : text) {
        seed = seed * 1664525 + 1013904223;
        c = static_cast<char>(seed >> 24);
    }
    return text;
}

/// Two whole ranges and a short one.
constexpr std::size_t kThreeRanges = 2 * std::size_t{protocol::kRangeBytes} + 1000;

/// As many ranges as that; gives how many were moved.
int move(const Outgoing& from, Incoming& to, int most = 1000) {
    int moved = 0;
    while (moved < most) {
        const auto range = to.next();
        if (!range) {
            break;
        }
        const auto piece = from.read(*range);
        EXPECT_TRUE(to.write(*range, piece.bytes, piece.sha256));
        ++moved;
    }
    return moved;
}

std::vector<std::string> hashes_of(const Outgoing& from) {
    std::vector<std::string> hashes;
    for (std::uint32_t i = 0; i < from.what().files.size(); ++i) {
        hashes.push_back(from.sha256(i));
    }
    return hashes;
}

template <class Call>
std::string error_of(const Call& call) {
    try {
        call();
    } catch (const base::Error& error) {
        return error.what();
    }
    return {};
}

class Transfer : public testing::Test {
 protected:
    Transfer() {
        fs::create_directory(folder / "from");
        fs::create_directory(folder / "to");
        write_text(folder / "from/a", some_text(kThreeRanges));
    }
    std::unique_ptr<Incoming> incoming(const Outgoing& from, sessions::Existing existing = sessions::Existing::refuse,
                                       std::uint64_t keep_free = 0) const {
        return std::make_unique<Incoming>(folder / "to/a", from.what(), existing, keep_free);
    }
    TemporaryFolder folder;
};

TEST_F(Transfer, AFileArrives) {
    const Outgoing from(folder / "from/a");
    const auto to = incoming(from);
    EXPECT_EQ(move(from, *to), 3);
    EXPECT_TRUE(to->whole());
    EXPECT_FALSE(fs::exists(folder / "to/a"));
    EXPECT_TRUE(to->finish(hashes_of(from)));
    EXPECT_EQ(read_text(folder / "to/a"), read_text(folder / "from/a"));
    EXPECT_FALSE(fs::exists(folder / "to/a.part"));
}

TEST_F(Transfer, AFolderArrivesWithItsEmptyFilesAndFolders) {
    fs::create_directories(folder / "from/deep/er");
    write_text(folder / "from/deep/er/b", some_text(77));
    write_text(folder / "from/empty", "");
    const Outgoing from(folder / "from");
    EXPECT_TRUE(from.what().folder);
    Incoming to(folder / "to/copy", from.what(), sessions::Existing::refuse);
    EXPECT_EQ(move(from, to), 4);
    EXPECT_TRUE(to.finish(hashes_of(from)));
    EXPECT_EQ(read_text(folder / "to/copy/deep/er/b"), some_text(77));
    EXPECT_EQ(fs::file_size(folder / "to/copy/empty"), 0u);
    EXPECT_FALSE(fs::exists(folder / "to/copy" / kNotes));
    EXPECT_NE(error_of([&] { Incoming(folder / "to/copy", from.what(), sessions::Existing::replace); }), "");
}

TEST_F(Transfer, GoesOnWithWhatIsMissing) {
    const Outgoing from(folder / "from/a");
    {
        const auto to = incoming(from);
        EXPECT_EQ(move(from, *to, 2), 2);
    }
    // Torn in the middle of a note, as a kill leaves it.
    std::ofstream(folder / "to/a.part" / kNotes, std::ios::app) << "0 ";
    const auto to = incoming(from);
    EXPECT_FALSE(to->afresh());
    EXPECT_EQ(to->bytes_done(), 2u * protocol::kRangeBytes);
    EXPECT_EQ(to->have(), nlohmann::json({{0, 0, 2}}));
    EXPECT_EQ(move(from, *to), 1);
    EXPECT_TRUE(to->finish(hashes_of(from)));
    EXPECT_EQ(read_text(folder / "to/a"), read_text(folder / "from/a"));
}

TEST_F(Transfer, WhatIsNotedBehindATornNoteCounts) {
    const Outgoing from(folder / "from/a");
    EXPECT_EQ(move(from, *incoming(from), 1), 1);
    std::ofstream(folder / "to/a.part" / kNotes, std::ios::app) << "0 ";
    EXPECT_EQ(move(from, *incoming(from), 1), 1);
    EXPECT_EQ(incoming(from)->bytes_done(), 2u * protocol::kRangeBytes);
}

TEST_F(Transfer, OfAPartThatIsCutNothingCounts) {
    const Outgoing from(folder / "from/a");
    EXPECT_EQ(move(from, *incoming(from), 2), 2);
    fs::resize_file(folder / "to/a.part/a", 1000);
    const auto to = incoming(from);
    EXPECT_EQ(to->bytes_done(), 0u);
    EXPECT_EQ(move(from, *to), 3);
    EXPECT_TRUE(to->finish(hashes_of(from)));
    EXPECT_EQ(read_text(folder / "to/a"), read_text(folder / "from/a"));
}

TEST_F(Transfer, NothingOfAnotherVersionIsLeft) {
    write_text(folder / "from/gone", "of the first version");
    const auto bring = [&](int most) {
        const Outgoing from(folder / "from");
        Incoming to(folder / "to/copy", from.what(), sessions::Existing::refuse);
        move(from, to, most);
        return to.whole() && to.finish(hashes_of(from));
    };
    EXPECT_FALSE(bring(1));
    fs::remove(folder / "from/gone");
    EXPECT_TRUE(bring(1000));
    EXPECT_TRUE(fs::exists(folder / "to/copy/a"));
    EXPECT_FALSE(fs::exists(folder / "to/copy/gone"));
}

TEST_F(Transfer, AWrongRangeIsMissingStill) {
    const Outgoing from(folder / "from/a");
    const auto to = incoming(from);
    const auto range = to->next();
    ASSERT_TRUE(range);
    auto piece = from.read(*range);
    piece.bytes[5] ^= std::byte{1};
    EXPECT_FALSE(to->write(*range, piece.bytes, piece.sha256));
    EXPECT_EQ(to->bytes_done(), 0u);
    EXPECT_EQ(to->next(), range);
    to->give_back_all();
    EXPECT_EQ(move(from, *to), 3);
    EXPECT_TRUE(to->finish(hashes_of(from)));
}

TEST_F(Transfer, AFileThatIsAnotherAsAWholeBeginsAnew) {
    const Outgoing from(folder / "from/a");
    const auto to = incoming(from);
    move(from, *to);
    // What a power cut can do to bytes that were noted.
    std::fstream(folder / "to/a.part/a", std::ios::in | std::ios::out | std::ios::binary) << "damaged";
    EXPECT_FALSE(to->finish(hashes_of(from)));
    EXPECT_FALSE(fs::exists(folder / "to/a"));
    EXPECT_EQ(to->bytes_done(), 0u);
    EXPECT_EQ(move(from, *to), 3);
    EXPECT_TRUE(to->finish(hashes_of(from)));
    EXPECT_EQ(read_text(folder / "to/a"), read_text(folder / "from/a"));
}

TEST_F(Transfer, AnotherVersionBeginsAnew) {
    const auto before = std::make_unique<Outgoing>(folder / "from/a");
    move(*before, *incoming(*before), 2);
    write_text(folder / "from/a", some_text(kThreeRanges, 2));
    EXPECT_THROW(before->read({0, 0, 10}), SourceChanged);
    EXPECT_THROW(before->sha256(0), SourceChanged);
    const Outgoing from(folder / "from/a");
    EXPECT_NE(from.what().version, before->what().version);
    const auto to = incoming(from);
    EXPECT_TRUE(to->afresh());
    EXPECT_EQ(to->bytes_done(), 0u);
    EXPECT_EQ(move(from, *to), 3);
    EXPECT_TRUE(to->finish(hashes_of(from)));
    EXPECT_EQ(read_text(folder / "to/a"), some_text(kThreeRanges, 2));
}

TEST_F(Transfer, WhatIsThereStaysUnlessItIsToBeReplaced) {
    const Outgoing from(folder / "from/a");
    write_text(folder / "to/a", "mine");
    EXPECT_NE(error_of([&] { incoming(from); }).find("there already"), std::string::npos);
    EXPECT_FALSE(fs::exists(folder / "to/a.part"));
    const auto to = incoming(from, sessions::Existing::replace);
    move(from, *to);
    EXPECT_EQ(read_text(folder / "to/a"), "mine");
    EXPECT_TRUE(to->finish(hashes_of(from)));
    EXPECT_EQ(read_text(folder / "to/a"), read_text(folder / "from/a"));
    fs::remove(folder / "to/a");
    const auto again = incoming(from);
    move(from, *again);
    write_text(folder / "to/a", "made meanwhile");
    EXPECT_NE(error_of([&] { again->finish(hashes_of(from)); }), "");
    EXPECT_EQ(read_text(folder / "to/a"), "made meanwhile");
}

TEST_F(Transfer, OneProgramAtATimeFillsAPlace) {
    const Outgoing from(folder / "from/a");
    const auto to = incoming(from);
    EXPECT_NE(error_of([&] { incoming(from); }).find("another program"), std::string::npos);
}

TEST_F(Transfer, SomethingElseOfThatNameIsLeftAlone) {
    const Outgoing from(folder / "from/a");
    fs::create_directory(folder / "to/a.part");
    write_text(folder / "to/a.part/letter", "dear");
    // It comes beside, and goes on there.
    write_text(folder / "to/a.part1", "a file that was sent here");
    {
        const auto to = incoming(from);
        EXPECT_EQ(to->part(), folder / "to/a.part2");
        EXPECT_EQ(move(from, *to, 1), 1);
    }
    const auto to = incoming(from);
    EXPECT_EQ(to->part(), folder / "to/a.part2");
    EXPECT_EQ(move(from, *to), 2);
    EXPECT_TRUE(to->finish(hashes_of(from)));
    EXPECT_EQ(read_text(folder / "to/a"), read_text(folder / "from/a"));
    EXPECT_FALSE(fs::exists(folder / "to/a.part2"));
    EXPECT_EQ(read_text(folder / "to/a.part/letter"), "dear");
}

TEST_F(Transfer, ADiskWithoutRoomIsSaidBeforeAByteComes) {
    const Outgoing from(folder / "from/a");
    const std::string error = error_of([&] { incoming(from, sessions::Existing::refuse, ~std::uint64_t{0}); });
    EXPECT_NE(error.find("make room first"), std::string::npos) << error;
    EXPECT_NE(error.find(std::to_string(kThreeRanges)), std::string::npos) << error;
    EXPECT_FALSE(fs::exists(folder / "to/a.part"));
}

TEST_F(Transfer, LinksAndDevicesAreNotSent) {
    fs::create_symlink("/etc/passwd", folder / "from/link");
    EXPECT_NE(error_of([&] { Outgoing from(folder / "from"); }).find("plain files"), std::string::npos);
    EXPECT_NE(error_of([&] { Outgoing from(folder / "nowhere"); }), "");
    EXPECT_NE(error_of([&] { Outgoing from("/dev/null"); }), "");
}

TEST(Description, NamesThatLeadElsewhereAreRefused) {
    const auto with = [](const std::string& path, std::uint64_t bytes = 1) {
        return nlohmann::json({{"name", "n"},
                               {"version", "v"},
                               {"folder", true},
                               {"files", {{{"path", path}, {"bytes", bytes}}, {{"path", "x/y"}, {"bytes", 1}}}}});
    };
    EXPECT_TRUE(description_from(with("a/b.c")));
    for (const char* bad : {"", "/a", "../a", "a/../b", "a//b", "a/", ".", "x", "x/y", "x/y/z", "a\nb", kNotes}) {
        EXPECT_FALSE(description_from(with(bad))) << bad;
    }
    EXPECT_FALSE(description_from(with("a", ~std::uint64_t{0})));
    EXPECT_FALSE(description_from(with("a", std::uint64_t{1} << 47)));
    auto single = with("a");
    single["folder"] = false;
    EXPECT_FALSE(description_from(single));
    single["files"].erase(1);
    EXPECT_TRUE(description_from(single));
    single["files"][0]["bytes"] = -1;
    EXPECT_FALSE(description_from(single));
    EXPECT_FALSE(description_from(nlohmann::json::array()));
    auto many = with("a");
    for (std::size_t i = 0; i < kMostFiles; ++i) {
        many["files"].push_back({{"path", "f" + std::to_string(i)}, {"bytes", 0}});
    }
    EXPECT_FALSE(description_from(many));
}

TEST(Description, RangesCoverAFileOnce) {
    const Description what{"n", "v", false, {{"a", 2 * std::uint64_t{protocol::kRangeBytes} + 7}}};
    ASSERT_EQ(ranges_of(what.files[0].bytes), 3u);
    std::uint64_t end = 0;
    for (std::uint64_t i = 0; i < 3; ++i) {
        EXPECT_EQ(range_at(what, 0, i).offset, end);
        end += range_at(what, 0, i).length;
    }
    EXPECT_EQ(end, what.files[0].bytes);
    EXPECT_EQ(ranges_of(0), 0u);
}

}  // namespace
}  // namespace moescope::transfer
