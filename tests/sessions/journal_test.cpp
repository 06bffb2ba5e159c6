// The journal's promises: what was appended is read back in order, what was acknowledged survives, damage stays local.
#include "sessions/journal.hpp"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <fcntl.h>
#include <fstream>
#include <functional>
#include <gtest/gtest.h>
#include <random>
#include <set>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

#include "base/crc32c.hpp"
#include "base/file_io.hpp"
#include "sessions/segment.hpp"
#include "tests/files.hpp"

namespace moescope::sessions {
namespace {

namespace fs = std::filesystem;
using test::TemporaryFolder;

/// A body that tells which record it belongs to, of a length that varies.
std::vector<std::byte> body_of(std::uint64_t n) {
    std::mt19937_64 random(n);
    std::vector<std::byte> body(8 + random() % 300);
    for (auto& b : body) {
        b = static_cast<std::byte>(random());
    }
    std::memcpy(body.data(), &n, 8);
    return body;
}

std::vector<Record> read_all(const Journal& journal, std::uint8_t channel, std::size_t at_once = 7) {
    std::vector<Record> all;
    Position from;
    for (;;) {
        auto records = journal.read(channel, from, at_once, 1000);
        if (records.empty()) {
            return all;
        }
        from = {records.back().epoch, records.back().sequence};
        std::move(records.begin(), records.end(), std::back_inserter(all));
    }
}

fs::path last_segment(const fs::path& folder) {
    std::vector<fs::path> files;
    for (const auto& entry : fs::directory_iterator(folder / "segments")) {
        files.push_back(entry.path());
    }
    return *std::max_element(files.begin(), files.end());
}

std::string file_bytes(const fs::path& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
}

void write_bytes(const fs::path& path, const std::string& bytes) {
    std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

/// Fails the n-th call of the chosen kinds, once or from then on.
class FaultyIo final : public base::FileIo {
 public:
    enum Kind { write = 1, sync = 2, truncate_file = 4 };
    int kinds = write;
    int fail_at = -1;
    bool for_ever = false;
    bool short_write = false;  ///< the failing write gets half of its bytes out first
    std::atomic<int> calls{0};

    std::int64_t write_at(int file, std::span<const std::byte> data, std::uint64_t offset) override {
        if ((kinds & write) && fails()) {
            if (short_write && data.size() > 1) {
                (void)base::FileIo::write_at(file, data.first(data.size() / 2), offset);
            }
            return -ENOSPC;
        }
        return base::FileIo::write_at(file, data, offset);
    }
    int sync_data(int file) override { return (kinds & sync) && fails() ? -EIO : base::FileIo::sync_data(file); }
    int truncate(int file, std::uint64_t size) override {
        return (kinds & truncate_file) && fails() ? -EIO : base::FileIo::truncate(file, size);
    }

 private:
    bool fails() {
        const int call = calls++;
        return fail_at >= 0 && (for_ever ? call >= fail_at : call == fail_at);
    }
};

TEST(Crc32c, KnownValuesAndBothImplementations) {
    const std::string digits = "123456789";
    EXPECT_EQ(base::crc32c(std::as_bytes(std::span(digits))), 0xE3069283u);
    for (std::size_t size = 0; size < 100; ++size) {
        auto body = body_of(size);
        body.resize(size);
        EXPECT_EQ(base::crc32c(body), ~base::crc32c_detail::update_table(~0u, body));
        const auto half = std::span<const std::byte>(body);
        EXPECT_EQ(base::crc32c(half.subspan(size / 2), base::crc32c(half.first(size / 2))), base::crc32c(body));
    }
}

TEST(Journal, GivesBackWhatWasAppendedPerChannel) {
    const TemporaryFolder folder;
    JournalOptions options;
    options.segment_bytes = 4000;  // many segments
    const auto journal = Journal::open(folder.path(), Journal::Mode::read_write, options);
    for (std::uint64_t n = 1; n <= 500; ++n) {
        EXPECT_EQ(journal->append(static_cast<std::uint16_t>(n % 60), static_cast<std::uint8_t>(n % 3 + 1), n * 10,
                                  body_of(n)),
                  n);
    }
    const auto check = [&](const Journal& j) {
        std::set<std::uint64_t> seen;
        for (std::uint8_t channel = 1; channel <= 3; ++channel) {
            std::uint64_t before = 0;
            for (const Record& record : read_all(j, channel)) {
                const std::uint64_t n = record.sequence;
                EXPECT_GT(n, before);
                before = n;
                EXPECT_EQ(record.channel, n % 3 + 1);
                EXPECT_EQ(record.type, n % 60);
                EXPECT_EQ(record.time_ns, n * 10);
                EXPECT_EQ(record.body, body_of(n));
                seen.insert(n);
            }
        }
        EXPECT_EQ(seen.size(), 500u);
        EXPECT_TRUE(j.damage().empty());
    };
    check(*journal);
    check(*Journal::open(folder.path(), Journal::Mode::read_only));
    EXPECT_GT(std::distance(fs::directory_iterator(folder / "segments"), fs::directory_iterator()), 10);
}

TEST(Journal, EveryStartIsANewEpochAndEmptyOnesLeaveNoFiles) {
    const TemporaryFolder folder;
    for (std::uint32_t start = 1; start <= 5; ++start) {
        const auto journal = Journal::open(folder.path(), Journal::Mode::read_write);
        EXPECT_EQ(journal->epoch(), start);
        if (start % 2 == 1) {
            EXPECT_EQ(journal->append(1, 1, 0, body_of(start)), 1u);
        }
    }
    EXPECT_EQ(std::distance(fs::directory_iterator(folder / "segments"), fs::directory_iterator()), 3);
    const auto journal = Journal::open(folder.path(), Journal::Mode::read_only);
    const auto records = read_all(*journal, 1);
    ASSERT_EQ(records.size(), 3u);
    EXPECT_EQ(records[2].epoch, 5u);
    EXPECT_EQ(journal->last(), (Position{5, 1}));
    // From a position between the epochs.
    EXPECT_EQ(journal->read(1, {1, 1}, 10, 1000).size(), 2u);
    EXPECT_EQ(journal->read(1, {2, 77}, 10, 1000).size(), 2u);
    EXPECT_EQ(journal->read(1, {5, 1}, 10, 1000).size(), 0u);
    EXPECT_THROW(journal->append(1, 1, 0, {}), std::runtime_error);
}

TEST(Journal, SecondWriterIsRefusedAndReadersAreNot) {
    const TemporaryFolder folder;
    const auto writer = Journal::open(folder.path(), Journal::Mode::read_write);
    writer->append(1, 1, 0, body_of(1));
    EXPECT_THROW(Journal::open(folder.path(), Journal::Mode::read_write), std::runtime_error);
    const auto reader = Journal::open(folder.path(), Journal::Mode::read_only);
    EXPECT_EQ(read_all(*reader, 1).size(), 1u);
}

TEST(Journal, ReadLimitsAreKeptButOneRecordAlwaysComes) {
    const TemporaryFolder folder;
    const auto journal = Journal::open(folder.path(), Journal::Mode::read_write);
    for (int n = 0; n < 10; ++n) {
        journal->append(1, 1, 0, std::vector<std::byte>(1000));
    }
    EXPECT_EQ(journal->read(1, {}, 100, 1).size(), 1u);
    EXPECT_EQ(journal->read(1, {}, 3, 1 << 20).size(), 3u);
    EXPECT_EQ(journal->read(1, {}, 100, 3100).size(), 3u);
    EXPECT_THROW(journal->append(1, 1, 0, std::vector<std::byte>(kRecordLimit + 1)), std::runtime_error);
    EXPECT_EQ(journal->append(1, 1, 0, std::vector<std::byte>(kRecordLimit)), 11u);
}

TEST(Journal, TruncationAtEveryByteKeepsAllWholeRecords) {
    const TemporaryFolder folder;
    std::vector<std::uint64_t> ends{kSegmentBeginBytes};
    {
        const auto journal = Journal::open(folder.path(), Journal::Mode::read_write);
        for (std::uint64_t n = 1; n <= 4; ++n) {
            journal->append(1, 1, n, body_of(n));
            ends.push_back(ends.back() + kRecordOverhead + body_of(n).size());
        }
    }
    const fs::path segment = last_segment(folder.path());
    const std::string whole = file_bytes(segment);
    ASSERT_EQ(whole.size(), ends.back());
    for (std::size_t size = 0; size <= whole.size(); ++size) {
        write_bytes(segment, whole.substr(0, size));
        fs::remove(folder / "journal.lock");  // the records after that place were never acknowledged
        const auto kept =
            static_cast<std::size_t>(std::upper_bound(ends.begin() + 1, ends.end(), size) - ends.begin() - 1);
        {
            const auto reader = Journal::open(folder.path(), Journal::Mode::read_only);
            ASSERT_EQ(read_all(*reader, 1).size(), kept) << size;
            ASSERT_EQ(fs::file_size(segment), size);  // a reader changes nothing
            // Up to there a writer that is killed has begun the file and put nothing into it.
            ASSERT_EQ(reader->damage().empty(),
                      size < kSegmentBeginBytes || std::find(ends.begin(), ends.end(), size) != ends.end())
                << size;
            ASSERT_EQ(reader->lost(), 0u) << size;
        }
        {
            const auto writer = Journal::open(folder.path(), Journal::Mode::read_write);
            ASSERT_EQ(read_all(*writer, 1).size(), kept) << size;
            writer->append(1, 1, 0, body_of(99));
            ASSERT_EQ(read_all(*writer, 1).back().body, body_of(99));
        }
        const auto reader = Journal::open(folder.path(), Journal::Mode::read_only);
        ASSERT_EQ(read_all(*reader, 1).size(), kept + 1) << size;
        if (kept > 0) {
            ASSERT_TRUE(reader->damage().empty()) << "the torn tail was not cut off at " << size;
        }
        for (const auto& entry : fs::directory_iterator(folder / "segments")) {
            if (entry.path() != segment) {
                fs::remove(entry.path());
            }
        }
    }
}

TEST(Journal, FlippedBytesInTheMiddleCostOnlyTheirRecords) {
    const TemporaryFolder folder;
    std::vector<std::uint64_t> starts;
    {
        const auto journal = Journal::open(folder.path(), Journal::Mode::read_write);
        std::uint64_t at = kSegmentBeginBytes;
        for (std::uint64_t n = 1; n <= 50; ++n) {
            starts.push_back(at);
            journal->append(1, 1, n, body_of(n));
            at += kRecordOverhead + body_of(n).size();
        }
    }
    const fs::path segment = last_segment(folder.path());
    const std::string whole = file_bytes(segment);
    std::mt19937 random(5);
    for (int round = 0; round < 300; ++round) {
        std::string damaged = whole;
        std::set<std::size_t> hit;
        for (int flips = 1 + static_cast<int>(random() % 3); flips > 0; --flips) {
            const std::size_t at = kSegmentBeginBytes + random() % (whole.size() - kSegmentBeginBytes);
            damaged[at] = static_cast<char>(damaged[at] ^ (1 << (random() % 8)));
            hit.insert(static_cast<std::size_t>(std::upper_bound(starts.begin(), starts.end(), at) - starts.begin()));
        }
        if (damaged == whole) {
            continue;  // the same bit twice
        }
        write_bytes(segment, damaged);
        const auto journal = Journal::open(folder.path(), Journal::Mode::read_only);
        std::set<std::uint64_t> found;
        for (const Record& record : read_all(*journal, 1)) {
            ASSERT_EQ(record.body, body_of(record.sequence));
            found.insert(record.sequence);
        }
        for (std::uint64_t n = 1; n <= 50; ++n) {
            ASSERT_TRUE(found.contains(n) || hit.contains(n)) << "record " << n << " was lost though untouched";
        }
        ASSERT_EQ(journal->damage().empty(), found.size() == 50);
        ASSERT_EQ(journal->lost(), 50 - found.size());
    }
}

TEST(Journal, NothingInAFileCanCrashIt) {
    const TemporaryFolder folder;
    { Journal::open(folder.path(), Journal::Mode::read_write)->append(1, 1, 0, body_of(1)); }
    const fs::path segment = last_segment(folder.path());
    const std::string whole = file_bytes(segment);
    std::mt19937 random(9);
    for (int round = 0; round < 1000; ++round) {
        std::string bytes = whole;
        if (round % 2 == 0) {
            bytes.resize(random() % 200);
        }
        for (int i = 0; i < 20 && !bytes.empty(); ++i) {
            bytes[random() % bytes.size()] = static_cast<char>(random());
        }
        write_bytes(segment, bytes);
        (void)read_all(*Journal::open(folder.path(), Journal::Mode::read_only), 1);
    }
    // Names and kinds of files that don't belong there.
    write_bytes(folder.path() / "segments" / "seg-999999999999999.wbj", "x");
    write_bytes(folder.path() / "segments" / "notes.txt", "x");
    write_bytes(segment, whole);
    ASSERT_EQ(::mkfifo((folder.path() / "segments" / "seg-000900.wbj").c_str(), 0600), 0);
    fs::create_directory(folder.path() / "segments" / "seg-000901.wbj");
    for (const auto mode : {Journal::Mode::read_only, Journal::Mode::read_write}) {
        const auto journal = Journal::open(folder.path(), mode);  // and does not hang
        EXPECT_EQ(read_all(*journal, 1).size(), 1u);
        ASSERT_EQ(journal->damage().size(), 3u);
        EXPECT_EQ(journal->damage()[0].what.english(), "it is no ordinary file");
        EXPECT_TRUE(journal->damage()[2].file.ends_with("/seg-999999999999999.wbj")) << journal->damage()[2].file;
        if (mode == Journal::Mode::read_write) {
            EXPECT_GT(journal->epoch(), 901u) << "whatever these files were, their epochs are not given out again";
        }
    }
}

TEST(Journal, AFileOfFalseBeginningsIsReadInTime) {
    const TemporaryFolder folder;
    { Journal::open(folder.path(), Journal::Mode::read_write)->append(1, 1, 0, body_of(1)); }
    const fs::path segment = last_segment(folder.path());
    // Each of these claims to be a record of almost the longest kind; checking all of them would read 400 GB.
    std::string beginning("\xF5\x4D\xFE\xC1", 4);
    beginning += std::string("\x00\x00\x0F\x00", 4) + std::string(28, 'x');
    std::string bytes = file_bytes(segment);
    while (bytes.size() < (std::size_t{16} << 20)) {
        bytes += beginning;
    }
    write_bytes(segment, bytes);
    const auto start = std::chrono::steady_clock::now();
    const auto journal = Journal::open(folder.path(), Journal::Mode::read_only);
    EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(10));
    EXPECT_EQ(read_all(*journal, 1).size(), 1u);
    EXPECT_EQ(journal->damage().size(), 1u);
}

TEST(Journal, AnyFailingWriteLeavesAValidJournalThatGoesOn) {
    for (const bool for_ever : {false, true}) {
        for (const bool truncate_too : {false, true}) {
            for (int fail_at = 2; fail_at < 14; ++fail_at) {
                const TemporaryFolder folder;
                FaultyIo io;
                io.kinds = FaultyIo::write | (truncate_too ? FaultyIo::truncate_file : 0);
                io.fail_at = fail_at;
                io.for_ever = for_ever;
                io.short_write = true;
                JournalOptions options{&io, 1000, 0};
                std::vector<std::uint64_t> kept;
                {
                    const auto journal = Journal::open(folder.path(), Journal::Mode::read_write, options);
                    for (std::uint64_t n = 1; n <= 12; ++n) {
                        try {
                            journal->append(1, 1, 0, body_of(n));
                            kept.push_back(n);
                        } catch (const std::runtime_error& error) {
                            EXPECT_NE(std::string(error.what()).find(folder.path().string()), std::string::npos);
                        }
                    }
                    io.fail_at = -1;  // room again
                    journal->append(1, 1, 0, body_of(1000));
                    kept.push_back(1000);
                    const auto records = read_all(*journal, 1);
                    ASSERT_EQ(records.size(), kept.size());
                }
                const auto reader = Journal::open(folder.path(), Journal::Mode::read_only);
                ASSERT_EQ(reader->lost(), 0u) << fail_at;
                const auto records = read_all(*reader, 1);
                ASSERT_EQ(records.size(), kept.size()) << fail_at;
                for (std::size_t i = 0; i < kept.size(); ++i) {
                    ASSERT_EQ(records[i].body, body_of(kept[i]));
                }
            }
        }
    }
}

/// Several starts, each with several files.
struct Written {
    TemporaryFolder folder;
    std::vector<fs::path> files;  ///< in order
    std::vector<std::string> bytes;
    std::string lock;
    std::size_t records = 0;
    std::uint32_t epochs = 0;

    Written() {
        JournalOptions options;
        options.segment_bytes = 900;
        for (const int count : {9, 1, 14, 6}) {
            const auto journal = Journal::open(folder.path(), Journal::Mode::read_write, options);
            epochs = journal->epoch();
            for (int n = 0; n < count; ++n) {
                journal->append(1, static_cast<std::uint8_t>(records % 3 + 1), 0, body_of(records));
                ++records;
            }
        }
        for (const auto& entry : fs::directory_iterator(folder / "segments")) {
            files.push_back(entry.path());
        }
        std::sort(files.begin(), files.end());
        for (const fs::path& file : files) {
            bytes.push_back(file_bytes(file));
        }
        lock = file_bytes(folder / "journal.lock");
    }
    void restore() const {
        for (const auto& entry : fs::directory_iterator(folder / "segments")) {
            fs::remove_all(entry.path());
        }
        for (std::size_t i = 0; i < files.size(); ++i) {
            write_bytes(files[i], bytes[i]);
        }
        write_bytes(folder / "journal.lock", lock);
    }
};

/// What can happen to a file.
const std::vector<std::pair<const char*, std::function<void(const fs::path&)>>> kHarm = {
    {"deleted", [](const fs::path& file) { fs::remove(file); }},
    {"emptied", [](const fs::path& file) { write_bytes(file, ""); }},
    {"cut", [](const fs::path& file) { fs::resize_file(file, fs::file_size(file) / 2); }},
    {"cut in its header", [](const fs::path& file) { fs::resize_file(file, 7); }},
    {"a folder",
     [](const fs::path& file) {
         fs::remove(file);
         fs::create_directory(file);
     }},
    {"overwritten", [](const fs::path& file) { write_bytes(file, std::string(fs::file_size(file), 'x')); }},
    {"header damaged",
     [](const fs::path& file) {
         std::string bytes = file_bytes(file);
         bytes[9] = static_cast<char>(bytes[9] ^ 1);
         write_bytes(file, bytes);
     }},
};

TEST(Journal, WhateverFileIsHarmedTheLostRecordsAreCountedAndToldToReaders) {
    const Written written;
    ASSERT_GT(written.files.size(), 6u);
    for (const auto& [name, harm] : kHarm) {
        for (const fs::path& file : written.files) {
            const std::string where = std::string(name) + ": " + file.filename().string();
            written.restore();
            harm(file);
            for (int again = 0; again < 2; ++again) {  // later starts still know it
                const auto reader = Journal::open(written.folder.path(), Journal::Mode::read_only);
                std::size_t found = 0;
                for (std::uint8_t channel = 1; channel <= 3; ++channel) {
                    found += read_all(*reader, channel).size();
                }
                EXPECT_EQ(found + reader->lost(), written.records + again) << where;
                EXPECT_FALSE(reader->damage().empty() && again == 0) << where;
                std::uint64_t told = 0;
                Position at;
                for (;;) {
                    std::vector<Hole> holes;
                    const auto records = reader->read(1, at, 2, 1000, &holes);
                    for (const Hole& hole : holes) {
                        told += hole.count;
                    }
                    if (records.empty()) {
                        break;
                    }
                    at = {records.back().epoch, records.back().sequence};
                }
                EXPECT_EQ(told, reader->lost()) << where;
                if (again == 0) {
                    const auto writer = Journal::open(written.folder.path(), Journal::Mode::read_write);
                    EXPECT_GT(writer->epoch(), written.epochs) << where << ": an epoch is given out twice";
                    writer->append(1, 1, 0, body_of(1));
                }
            }
        }
    }
}

TEST(Journal, AFolderThatIsRemovedOrMovedAwayIsNoticedAndTakesUpAgainWhenItIsBack) {
    const TemporaryFolder base;
    const fs::path folder = base / "s", away = base / "t";
    fs::create_directory(folder);
    const auto journal = Journal::open(folder, Journal::Mode::read_write);
    journal->append(1, 1, 0, body_of(1));
    EXPECT_TRUE(journal->out_of_place().empty());
    fs::rename(folder, away);
    EXPECT_NE(journal->out_of_place().english().find("was removed or moved away"), std::string::npos);
    EXPECT_THROW(journal->append(1, 1, 0, body_of(2)), std::runtime_error);
    std::vector<Hole> holes;
    EXPECT_TRUE(journal->read(1, {}, 10, 1000, &holes).empty());
    ASSERT_EQ(holes.size(), 1u) << "a new viewer must not take it for an empty journal";
    EXPECT_EQ(holes[0].count, 1u);
    EXPECT_EQ(holes[0].channel, 1u);
    fs::rename(away, folder);
    EXPECT_EQ(journal->append(1, 1, 0, body_of(2)), 2u);
    EXPECT_EQ(read_all(*journal, 1).size(), 2u);
    EXPECT_EQ(Journal::open(folder, Journal::Mode::read_only)->lost(), 0u);
    fs::remove_all(folder);
    EXPECT_THROW(journal->append(1, 1, 0, body_of(3)), std::runtime_error);
    EXPECT_FALSE(fs::exists(folder)) << "nothing is made anew in its place";
}

TEST(Journal, ASecondWriterIsToldWhichProcessIsInTheWay) {
    const TemporaryFolder folder;
    const auto writer = Journal::open(folder.path(), Journal::Mode::read_write);
    try {
        Journal::open(folder.path(), Journal::Mode::read_write);
        FAIL();
    } catch (const InUse& error) {
        EXPECT_NE(std::string(error.what()).find("process " + std::to_string(::getpid()) + " "), std::string::npos)
            << error.what();
    }
}

TEST(Journal, AFailedSyncIsToldOnceAndTheFileIsNotUsedAgain) {
    const TemporaryFolder folder;
    FaultyIo io;
    io.kinds = FaultyIo::sync;
    JournalOptions options{&io, 1 << 20, 0};
    const auto journal = Journal::open(folder.path(), Journal::Mode::read_write, options);
    journal->append(1, 1, 0, body_of(1));
    const fs::path first = last_segment(folder.path());
    io.fail_at = io.calls;
    EXPECT_THROW(journal->sync(), std::runtime_error);
    EXPECT_NO_THROW(journal->sync());
    journal->append(1, 1, 0, body_of(2));
    EXPECT_NE(last_segment(folder.path()), first);
    EXPECT_NO_THROW(journal->sync());
    EXPECT_EQ(read_all(*journal, 1).size(), 2u);
}

TEST(Journal, BackgroundThreadMakesRecordsDurable) {
    const TemporaryFolder folder;
    FaultyIo io;
    io.kinds = FaultyIo::sync;
    JournalOptions options{&io, 1 << 20, 1};
    const auto journal = Journal::open(folder.path(), Journal::Mode::read_write, options);
    const int before = io.calls;
    journal->append(1, 1, 0, body_of(1));
    while (io.calls == before) {
        std::this_thread::yield();  // ends, or the test's own time limit does it
    }
}

TEST(Journal, ThreadsAppendAndReadTogether) {
    const TemporaryFolder folder;
    JournalOptions options;
    options.segment_bytes = 20'000;
    const auto journal = Journal::open(folder.path(), Journal::Mode::read_write, options);
    std::atomic<int> woken{0};
    journal->on_append([&] { ++woken; });
    constexpr std::uint64_t kEach = 500;
    std::vector<std::thread> writers;
    for (std::uint8_t channel = 1; channel <= 3; ++channel) {
        writers.emplace_back([&, channel] {
            for (std::uint64_t n = 0; n < kEach; ++n) {
                journal->append(1, channel, 0, body_of(n));
            }
        });
    }
    std::vector<std::thread> readers;
    for (std::uint8_t channel = 1; channel <= 3; ++channel) {
        readers.emplace_back([&, channel] {
            Position from;
            for (std::uint64_t n = 0; n < kEach;) {
                for (const Record& record : journal->read(channel, from, 10, 10'000)) {
                    ASSERT_EQ(record.body, body_of(n++));
                    from = {record.epoch, record.sequence};
                }
            }
        });
    }
    for (auto& thread : writers) {
        thread.join();
    }
    for (auto& thread : readers) {
        thread.join();
    }
    EXPECT_EQ(woken, 3 * static_cast<int>(kEach));
}

/// Appends and syncs until it is killed; after every sync it tells the number of records through the pipe.
[[noreturn]] void write_until_killed(const fs::path& folder, int pipe) {
    try {
        JournalOptions options{nullptr, 20'000, 0};
        const auto journal = Journal::open(folder, Journal::Mode::read_write, options);
        for (std::uint64_t n = 1;; ++n) {
            journal->append(1, 1, n, body_of(n));
            if (n % 7 == 0) {
                journal->sync();
                (void)!::write(pipe, &n, sizeof n);
            }
        }
    } catch (...) {
    }
    ::_exit(3);
}

TEST(Journal, KilledWriterLosesNothingItAcknowledged) {
    std::mt19937 random(17);
    for (int cycle = 0; cycle < 200; ++cycle) {
        const TemporaryFolder folder;
        int ends[2];
        ASSERT_EQ(::pipe(ends), 0);
        const pid_t child = ::fork();
        if (child == 0) {
            write_until_killed(folder.path(), ends[1]);
        }
        ::close(ends[1]);
        // Let it come far enough by what it says, then kill it at a moment of no regularity.
        const std::uint64_t goal = 7 * (1 + random() % 20);
        std::uint64_t acknowledged = 0;
        while (acknowledged < goal && ::read(ends[0], &acknowledged, sizeof acknowledged) == sizeof acknowledged) {
        }
        std::atomic<unsigned> spin{static_cast<unsigned>(1 + random() % 100'000)};
        while (spin.fetch_sub(1) > 1) {
        }
        ::kill(child, SIGKILL);
        int status = 0;
        ::waitpid(child, &status, 0);
        ASSERT_TRUE(WIFSIGNALED(status));
        std::uint64_t later = 0;
        while (::read(ends[0], &later, sizeof later) == sizeof later) {
            acknowledged = later;
        }
        ::close(ends[0]);

        const auto journal = Journal::open(folder.path(), Journal::Mode::read_write);
        const auto records = read_all(*journal, 1, 100);
        ASSERT_GE(records.size(), acknowledged);
        for (std::size_t i = 0; i < records.size(); ++i) {
            ASSERT_EQ(records[i].sequence, i + 1);
            ASSERT_EQ(records[i].body, body_of(i + 1));
        }
        EXPECT_GT(journal->epoch(), 1u) << "that of the records";
        EXPECT_EQ(journal->lost(), 0u);
        for (const Damage& damage : journal->damage()) {
            EXPECT_EQ(damage.what.english(), "the last record is incomplete or damaged") << "never acknowledged";
        }
    }
}

/// As a writer leaves it that is killed while it begins a file: nothing is damaged, nothing lost, and the epoch that it
/// may have told somebody is not given out again.
TEST(Journal, AFileThatWasOnlyBegunIsNoDamageAndItsEpochIsTaken) {
    for (const bool with_lock : {true, false}) {
        for (std::size_t size = 0; size <= kSegmentBeginBytes; ++size) {
            const TemporaryFolder folder;
            JournalOptions options;
            options.segment_bytes = 200;  // the records of the second start take two files
            std::uint64_t count = 0;
            for (int start = 0; start < 2; ++start) {
                const auto journal = Journal::open(folder.path(), Journal::Mode::read_write, options);
                for (int n = 0; n < 2; ++n) {
                    journal->append(1, 1, 0, body_of(++count));
                }
                journal->sync();
            }
            const Position last = Journal::open(folder.path(), Journal::Mode::read_only)->last();
            ASSERT_EQ(last.epoch, 2u);
            const auto begin = encode_segment_begin(last.epoch + 1, {last, count});
            const std::string bytes(reinterpret_cast<const char*>(begin.data()), size);
            char name[20];
            std::snprintf(
                name, sizeof name, "seg-%06d.wbj",
                static_cast<int>(std::distance(fs::directory_iterator(folder / "segments"), fs::directory_iterator())) +
                    1);
            write_bytes(folder / "segments" / name, bytes);
            if (!with_lock) {
                fs::remove(folder / "journal.lock");
            }
            for (const auto mode : {Journal::Mode::read_only, Journal::Mode::read_write}) {
                const auto journal = Journal::open(folder.path(), mode);
                ASSERT_TRUE(journal->damage().empty()) << size << ": " << journal->damage()[0].what;
                ASSERT_EQ(journal->lost(), 0u) << size;
                ASSERT_EQ(read_all(*journal, 1).size(), count) << size;
                if (mode == Journal::Mode::read_write) {
                    ASSERT_GT(journal->epoch(), last.epoch + 1) << size;
                    journal->append(1, 1, 0, body_of(++count));
                }
            }
            const auto reader = Journal::open(folder.path(), Journal::Mode::read_only);
            ASSERT_TRUE(reader->damage().empty()) << size;
            ASSERT_EQ(read_all(*reader, 1).size(), count) << size;
        }
    }
}

std::vector<std::uint64_t> numbers_in(const Journal& journal) {
    std::vector<std::uint64_t> numbers;
    for (const Record& record : read_all(journal, 1)) {
        numbers.push_back(record.time_ns);
    }
    return numbers;
}

TEST(JournalReader, FollowsAWriterThroughFilesAndStarts) {
    const TemporaryFolder folder;
    JournalOptions options;
    options.segment_bytes = 3000;
    auto writer = Journal::open(folder.path(), Journal::Mode::read_write, options);
    std::vector<std::uint64_t> wanted{1};
    writer->append(1, 1, 1, body_of(1));
    const auto reader = Journal::open(folder.path(), Journal::Mode::read_only);
    int woken = 0;
    reader->on_append([&] { ++woken; });
    EXPECT_FALSE(reader->follow()) << "nothing new";
    std::mt19937 random(3);
    int grew = 0;
    for (int round = 0; round < 200; ++round) {
        if (round % 40 == 39) {
            writer.reset();
            writer = Journal::open(folder.path(), Journal::Mode::read_write, options);
        }
        const unsigned more = random() % 20;
        for (unsigned n = 0; n < more; ++n) {
            wanted.push_back(wanted.back() + 1);
            writer->append(1, 1, wanted.back(), body_of(wanted.back()));
        }
        ASSERT_EQ(reader->follow(), more > 0) << round;
        grew += more > 0 ? 1 : 0;
        ASSERT_EQ(numbers_in(*reader), wanted) << round;
    }
    EXPECT_EQ(woken, grew);
    EXPECT_EQ(reader->lost(), 0u);
    EXPECT_TRUE(reader->damage().empty()) << reader->damage()[0].what;
    EXPECT_GT(std::distance(fs::directory_iterator(folder / "segments"), fs::directory_iterator()), 50);
    EXPECT_FALSE(writer->follow()) << "a writer follows nobody";
}

TEST(JournalReader, WaitsForWhatIsBeingWrittenAndSaysWhatIsDamaged) {
    const TemporaryFolder folder;
    Journal::open(folder.path(), Journal::Mode::read_write)->append(1, 1, 1, body_of(1));
    const fs::path segment = last_segment(folder.path());
    const auto reader = Journal::open(folder.path(), Journal::Mode::read_only);
    const auto record = [](std::uint64_t n) {
        const auto bytes = encode_record({1, n}, n, 1, 1, body_of(n));
        return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    };
    std::string file = file_bytes(segment);
    const auto grow = [&](const std::string& bytes) {
        file += bytes;
        write_bytes(segment, file);
        return reader->follow();
    };
    EXPECT_FALSE(grow(record(2).substr(0, 20)));
    EXPECT_FALSE(grow(record(2).substr(20, 17)));
    EXPECT_TRUE(reader->damage().empty()) << "a record in the making";
    EXPECT_TRUE(grow(record(2).substr(37)));
    EXPECT_TRUE(grow(record(3) + record(4).substr(0, 30)));
    EXPECT_TRUE(grow(record(4).substr(30)));
    EXPECT_EQ(numbers_in(*reader), (std::vector<std::uint64_t>{1, 2, 3, 4}));
    // What is no record once may have been half written; what is none the second time is damage.
    std::string broken = record(5);
    broken[50] = static_cast<char>(broken[50] ^ 1);
    EXPECT_FALSE(grow(broken + record(6)));
    EXPECT_TRUE(reader->damage().empty());
    EXPECT_TRUE(grow(record(7)));
    EXPECT_EQ(numbers_in(*reader), (std::vector<std::uint64_t>{1, 2, 3, 4, 6, 7}));
    ASSERT_EQ(reader->damage().size(), 1u);
    EXPECT_EQ(reader->lost(), 1u);
    std::vector<Hole> holes;
    (void)reader->read(1, {}, 100, 1 << 20, &holes);
    ASSERT_EQ(holes.size(), 1u);
    EXPECT_EQ(holes[0].until, (Position{1, 5}));
    EXPECT_EQ(reader->bytes(), file.size());
    EXPECT_TRUE(grow(record(8)));
    EXPECT_EQ(reader->damage().size(), 1u) << "said once";
}

}  // namespace
}  // namespace moescope::sessions
