// Packed segments hold what the others held: every record comes back equal, whatever is asked for in whatever order,
// and damage stays local and is counted.
#include <algorithm>
#include <atomic>
#include <cstring>
#include <fstream>
#include <gtest/gtest.h>
#include <random>
#include <thread>

#include "base/crc32c.hpp"
#include "base/file_io.hpp"
#include "sessions/journal.hpp"
#include "sessions/packed_records.hpp"
#include "sessions/packed_segment.hpp"
#include "tests/files.hpp"

namespace moescope::sessions {
namespace {

namespace fs = std::filesystem;
using test::TemporaryFolder;
using Bytes = std::vector<std::byte>;

/// Every third record is a step as a trainer writes them: a counter, a value, and many counts that change slowly.
Bytes body_of(std::uint64_t n) {
    std::mt19937_64 random(n);
    if (n % 3 == 0) {
        Bytes body(40 + random() % 60);
        for (std::byte& b : body) {
            b = static_cast<std::byte>(random());
        }
        return body;
    }
    Bytes body(24 + 4 * 300);
    std::memcpy(body.data(), &n, 8);
    const double value = 1.0 / static_cast<double>(n + 1);
    std::memcpy(body.data() + 8, &value, 8);
    for (std::size_t i = 0; i < 300; ++i) {
        const auto count = static_cast<std::uint32_t>(500 + random() % 40);
        std::memcpy(body.data() + 24 + 4 * i, &count, 4);
    }
    return body;
}

std::uint16_t type_of(std::uint64_t n) {
    return n % 3 == 0 ? 11 : 10;
}

RecordParts parts(std::uint16_t type, std::span<const std::byte> body) {
    return {type == 10 ? 24 : body.size(), 1};
}

std::vector<Record> some_records(std::size_t count) {
    std::vector<Record> records;
    for (std::uint64_t n = 1; n <= count; ++n) {
        records.push_back({3, 2 * n, 1'000'000'000 + n * 100'000 + n % 7, type_of(n), 2, body_of(n)});
    }
    return records;
}

std::vector<std::uint32_t> heads_of(const std::vector<Record>& records) {
    std::vector<std::uint32_t> heads;
    for (const Record& record : records) {
        heads.push_back(static_cast<std::uint32_t>(parts(record.type, record.body).head));
    }
    return heads;
}

bool equal(const Record& a, const Record& b) {
    return a.epoch == b.epoch && a.sequence == b.sequence && a.time_ns == b.time_ns && a.type == b.type &&
           a.channel == b.channel && a.body == b.body;
}

TEST(PackedRecords, ComeBackAsTheyWere) {
    for (const std::size_t count : {1, 3, 4, 5, 200}) {
        const auto records = some_records(count);
        const auto head_bytes = heads_of(records);
        const auto heads = unpack_heads(pack_heads(records, head_bytes));
        ASSERT_TRUE(heads);
        ASSERT_EQ(heads->records.size(), count);
        const auto tails = unpack_tails(pack_tails(records, head_bytes), heads->records);
        ASSERT_TRUE(tails);
        for (std::size_t i = 0; i < count; ++i) {
            const PackedRecord& packed = heads->records[i];
            Record back{packed.at.epoch, packed.at.sequence, packed.time_ns, packed.type, 2, {}};
            back.body.assign(packed.head.begin(), packed.head.end());
            back.body.insert(back.body.end(), tails->of[i].begin(), tails->of[i].end());
            EXPECT_TRUE(equal(back, records[i])) << i;
        }
    }
}

TEST(PackedRecords, CountsOfAStepTakeAboutOneByteEach) {
    std::vector<Record> records;
    for (const Record& record : some_records(300)) {
        if (record.type == 10) {
            records.push_back(record);
        }
    }
    const auto head_bytes = heads_of(records);
    const double steps = static_cast<double>(records.size());
    EXPECT_LT(static_cast<double>(pack_tails(records, head_bytes).size()) / (300 * steps), 1.25);
    // A number that counts up and eight bytes of a double, of which the first hardly change.
    EXPECT_LT(static_cast<double>(pack_heads(records, head_bytes).size()) / steps, 14.0);
}

/// The format, byte by byte: nobody may change it unnoticed.
TEST(PackedRecords, AreReadFromBytesOfNovember2026) {
    const auto bytes = [](std::initializer_list<int> values) {
        Bytes result;
        for (const int value : values) {
            result.push_back(static_cast<std::byte>(value));
        }
        return result;
    };
    // Five records of type 10, 6 bytes each of which 4 are the head: a counter, a constant 7, noise, a constant 0.
    const Bytes heads = bytes({1,   0,   0, 0,  51, 0, 0,   0,  // layout, stored, 51 bytes
                               5,   0,   0, 0,  2,  0, 0,   0,  // five records, epoch 2
                               4,   200, 1, 10, 6,  4, 1,   199, 1,  10, 6, 4, 1, 0, 10, 6,
                               4,   1,   0, 10, 6,  4, 1,   2,   10, 6,  4, 1, 2, 0, 2,  // of each column the kind
                               7,   0,                                                   // what never changes
                               250, 2,   2, 2,  2,  9, 200, 3,   3,  77});               // differences, then noise
    ASSERT_EQ(heads.size(), 8 + 51U);
    const auto read = unpack_heads(heads);
    ASSERT_TRUE(read);
    ASSERT_EQ(read->records.size(), 5U);
    const std::array<int, 5> counter = {250, 252, 254, 0, 2}, noise = {9, 200, 3, 3, 77};
    const std::array<std::uint64_t, 5> times = {100, 100, 100, 100, 101};
    for (std::size_t i = 0; i < 5; ++i) {
        const PackedRecord& record = read->records[i];
        EXPECT_EQ(record.at, (Position{2, 4 + i}));
        EXPECT_EQ(record.time_ns, times[i]);
        EXPECT_EQ(record.type, 10);
        EXPECT_EQ(record.length, 6U);
        EXPECT_EQ(Bytes(record.head.begin(), record.head.end()), bytes({counter[i], 7, noise[i], 0}));
    }
    const auto tails = unpack_tails(bytes({1, 0, 0, 0, 8, 0, 0, 0, 2, 0, 5, 1, 2, 3, 4, 5}), read->records);
    ASSERT_TRUE(tails);
    EXPECT_EQ(Bytes(tails->of[3].begin(), tails->of[3].end()), bytes({5, 4}));
}

/// No byte sequence does more than fail. What is read of a changed one is within the limits.
TEST(PackedRecords, TakeNoHarmFromAnyBytes) {
    const auto records = some_records(40);
    const auto head_bytes = heads_of(records);
    const Bytes heads = pack_heads(records, head_bytes), tails = pack_tails(records, head_bytes);
    const auto known = unpack_heads(heads);
    ASSERT_TRUE(known);
    for (std::size_t cut = 0; cut < heads.size(); ++cut) {
        EXPECT_FALSE(unpack_heads(std::span(heads).first(cut)));
    }
    std::mt19937_64 random(5);
    std::size_t read = 0;
    for (int i = 0; i < 20'000; ++i) {
        Bytes bytes = i % 2 == 0 ? heads : tails;
        for (std::uint64_t n = 1 + random() % 3; n > 0; --n) {
            bytes[random() % std::min<std::size_t>(bytes.size(), 8 + random() % bytes.size())] =
                static_cast<std::byte>(random());
        }
        if (i % 2 != 0) {
            (void)unpack_tails(bytes, known->records);
        } else if (const auto other = unpack_heads(bytes)) {
            ++read;
            std::size_t total = 0;
            for (const PackedRecord& record : other->records) {
                ASSERT_LE(record.head.size(), record.length);
                ASSERT_LE(record.length, kRecordLimit);
                total += record.head.size();
            }
            ASSERT_EQ(total, other->bytes.size());
        }
    }
    EXPECT_GT(read, 100U);  // the values of zstd's literals are no structure
}

struct PackedJournal : testing::Test {
    TemporaryFolder folder;
    JournalOptions options{nullptr, 40'000, 0, 0};
    static constexpr std::uint64_t kCount = 400;

    /// Records 1 to kCount: steps and others on channel 2, every tenth on channel 1.
    static std::uint8_t channel_of(std::uint64_t n) { return n % 10 == 0 ? 1 : 2; }
    void write(Journal& journal, std::uint64_t first = 1, std::uint64_t last = kCount) const {
        for (std::uint64_t n = first; n <= last; ++n) {
            journal.append(type_of(n), channel_of(n), 1'000 + n, body_of(n));
        }
    }
    void write_packed(std::uint64_t count = kCount) {
        const auto journal = Journal::open(folder.path(), Journal::Mode::read_write, options);
        write(*journal, 1, count);
        ASSERT_GT(journal->pack_now(parts), 5U);
    }
    static std::vector<Record> read_all(const Journal& journal, std::uint8_t channel, std::size_t at_once = 7,
                                        std::size_t bytes = 5000, std::vector<Hole>* all_holes = nullptr) {
        std::vector<Record> all;
        Position from;
        for (;;) {
            std::vector<Hole> holes;
            auto records = journal.read(channel, from, at_once, bytes, &holes);
            if (all_holes != nullptr) {
                all_holes->insert(all_holes->end(), holes.begin(), holes.end());
            }
            if (records.empty()) {
                return all;
            }
            from = {records.back().epoch, records.back().sequence};
            std::move(records.begin(), records.end(), std::back_inserter(all));
        }
    }
    static void expect_all(const Journal& journal, std::uint64_t count = kCount) {
        std::size_t read = 0;
        for (const std::uint8_t channel : {1, 2}) {
            std::uint64_t last = 0;
            for (const Record& record : read_all(journal, channel)) {
                ASSERT_GT(record.time_ns, last);
                last = record.time_ns;
                const std::uint64_t n = record.time_ns - 1'000;
                ASSERT_EQ(record.body, body_of(n));
                ASSERT_EQ(record.type, type_of(n));
                ASSERT_EQ(record.channel, channel_of(n));
                ++read;
            }
        }
        EXPECT_EQ(read, count);
        EXPECT_EQ(journal.lost(), 0U);
        EXPECT_TRUE(journal.damage().empty());
    }
    std::vector<fs::path> files(const std::string& ending) const {
        std::vector<fs::path> found;
        for (const auto& entry : fs::directory_iterator(folder.path() / "segments")) {
            if (entry.path().extension() == ending) {
                found.push_back(entry.path());
            }
        }
        std::sort(found.begin(), found.end());
        return found;
    }
    std::unique_ptr<Journal> for_reading() const {
        return Journal::open(folder.path(), Journal::Mode::read_only, options);
    }
};

Bytes read_file(const fs::path& path) {
    std::ifstream in(path, std::ios::binary);
    const std::string text{std::istreambuf_iterator<char>(in), {}};
    Bytes bytes(text.size());
    std::memcpy(bytes.data(), text.data(), text.size());
    return bytes;
}
void write_file(const fs::path& path, std::span<const std::byte> bytes) {
    std::ofstream(path, std::ios::binary | std::ios::trunc)
        .write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
}

TEST_F(PackedJournal, HoldsTheSameRecords) {
    std::uint64_t before = 0, after = 0;
    {
        const auto journal = Journal::open(folder.path(), Journal::Mode::read_write, options);
        write(*journal, 1, 300);
        before = journal->bytes();
        EXPECT_GT(journal->pack_now(parts), 5U);
        after = journal->bytes();
        expect_all(*journal, 300);
        write(*journal, 301, kCount);  // and goes on
        expect_all(*journal);
        EXPECT_EQ(journal->last(), (Position{1, kCount}));
    }
    EXPECT_LT(after, before / 2);
    EXPECT_GT(files(".wbp").size(), 5U);
    const auto reader = for_reading();
    expect_all(*reader);
    EXPECT_EQ(reader->last(), (Position{1, kCount}));
    const auto writer = Journal::open(folder.path(), Journal::Mode::read_write, options);
    EXPECT_EQ(writer->epoch(), 2U);
    expect_all(*writer);
    // What the start before left is packed, too.
    EXPECT_GT(writer->pack_now(parts), 0U);
    expect_all(*writer);
    std::uint64_t size = 0;
    for (const auto& entry : fs::directory_iterator(folder.path() / "segments")) {
        size += entry.file_size();
    }
    EXPECT_EQ(writer->bytes(), size);
}

TEST_F(PackedJournal, IsReadFromAnyPosition) {
    write_packed();
    const auto journal = for_reading();
    for (std::uint64_t from = 0; from + 1 < kCount; ++from) {  // the last one is of channel 1
        const auto records = journal->read(2, {1, from}, 3, 1 << 20);
        ASSERT_FALSE(records.empty());
        const std::uint64_t next = channel_of(from + 1) == 2 ? from + 1 : from + 2;
        ASSERT_EQ(records.front().sequence, next);
        ASSERT_EQ(records.front().body, body_of(next));
    }
}

TEST_F(PackedJournal, GivesTheHeadsOfAllButTheNewest) {
    write_packed();
    const auto journal = for_reading();
    constexpr std::uint64_t kWhole = 60'000;
    Position from;
    std::uint64_t seen = 0, whole = 0;
    for (;;) {
        if (const auto heads = journal->read_heads(2, from, kWhole)) {
            EXPECT_EQ(whole, 0U) << "a head after a whole one";
            const auto unpacked = unpack_heads(heads->bytes);
            ASSERT_TRUE(unpacked);
            ASSERT_EQ(unpacked->records.size(), heads->records);
            for (const PackedRecord& record : unpacked->records) {
                const Bytes body = body_of(record.at.sequence);
                ASSERT_EQ(record.length, body.size());
                ASSERT_TRUE(std::ranges::equal(record.head, std::span(body).first(parts(record.type, body).head)));
                ++seen;
            }
            from = heads->last;
            continue;
        }
        const auto records = journal->read(2, from, 1000, 1 << 20);
        if (records.empty()) {
            break;
        }
        for (const Record& record : records) {
            whole += record.body.size();
            ++seen;
        }
        from = {records.back().epoch, records.back().sequence};
    }
    EXPECT_EQ(seen, kCount - kCount / 10);
    EXPECT_GE(whole, kWhole);
    EXPECT_LT(whole, 3 * kWhole);
    EXPECT_FALSE(journal->read_heads(2, {}, std::numeric_limits<std::uint64_t>::max()));
    // From the middle of a block its records are read.
    EXPECT_FALSE(journal->read_heads(2, {1, 1}, 0));
}

/// Whatever byte is changed: every record is read as it was, or is in a hole that was told and counted.
TEST_F(PackedJournal, KeepsDamageLocal) {
    write_packed();
    const fs::path path = files(".wbp")[2];
    const Bytes good = read_file(path);
    std::size_t untouched = 0;
    for (std::size_t at = 0; at < good.size(); at += 1 + good.size() / 150) {
        Bytes bad = good;
        bad[at] ^= std::byte{0x20};
        write_file(path, bad);
        const auto journal = for_reading();
        std::vector<Hole> holes;
        const auto events = read_all(*journal, 1, 7, 5000, &holes);
        const auto steps = read_all(*journal, 2, 7, 5000, &holes);
        for (const Record& record : steps) {
            ASSERT_EQ(record.body, body_of(record.sequence)) << at;
        }
        std::uint64_t missing = 0;
        for (const Hole& hole : holes) {
            missing += hole.count;
        }
        ASSERT_EQ(events.size() + steps.size() + missing, kCount) << at;
        ASSERT_EQ(journal->lost(), missing) << at;
        ASSERT_EQ(journal->damage().empty(), missing == 0) << at;
        ASSERT_LT(missing, 60U) << at;
        untouched += missing == 0 ? 1 : 0;
    }
    EXPECT_GT(untouched, 0U);  // one index of two
    for (const double part : {0.0, 0.1, 0.5, 0.99}) {
        write_file(path, std::span(good).first(static_cast<std::size_t>(part * static_cast<double>(good.size()))));
        const auto journal = for_reading();
        const std::size_t read = read_all(*journal, 1).size() + read_all(*journal, 2).size();
        EXPECT_EQ(read + journal->lost(), kCount) << part;
        EXPECT_EQ(journal->damage().empty(), journal->lost() == 0) << part;
    }
    fs::remove(path);
    const auto journal = for_reading();
    EXPECT_EQ(read_all(*journal, 1).size() + read_all(*journal, 2).size() + journal->lost(), kCount);
    EXPECT_GT(journal->lost(), 0U);
}

/// An index with a right checksum that no packer writes: places that lie outside of the file, and blocks that say more
/// bytes than their records can have, are refused before anything is read or reserved.
TEST_F(PackedJournal, AnIndexThatCannotBeIsRefused) {
    write_packed();
    const fs::path path = files(".wbp")[2];
    const Bytes good = read_file(path);
    constexpr std::size_t kFront = 16, kBlock = kFront + 52;  // where the index and its first block begin
    constexpr std::size_t kRecords = kBlock + 4, kBytes = kBlock + 24, kOffset = kBlock + 32, kSize = kBlock + 40,
                          kTails = kBlock + 48, kTailOffset = kBlock + 60, kTailSize = kBlock + 68;
    const auto number = [&]<class T>(std::size_t at, T) {
        T value{};
        std::memcpy(&value, good.data() + at, sizeof value);
        return value;
    };
    const std::uint64_t size = number(8, std::uint32_t{}), room = good.size() - kFront - size;
    const std::uint64_t records = number(kRecords, std::uint32_t{});
    ASSERT_GT(number(kTails, std::uint32_t{}) + number(kTails + 4, std::uint32_t{}), 0U);
    const auto with = [&]<class T>(std::size_t at, T value) {
        Bytes bytes = good;
        std::memcpy(bytes.data() + at, &value, sizeof value);
        const std::uint32_t crc = base::crc32c(std::span(bytes).subspan(kFront, size));
        std::memcpy(bytes.data() + 12, &crc, sizeof crc);
        write_file(path, bytes);
        return read_packed_file(path).index.has_value();
    };
    EXPECT_TRUE(with(kBytes, number(kBytes, std::uint64_t{})));
    const std::uint64_t most = records * (kRecordOverhead + kRecordLimit);
    EXPECT_TRUE(with(kBytes, most));
    EXPECT_FALSE(with(kBytes, most + 1));
    EXPECT_FALSE(with(kRecords, std::uint32_t{0}));
    const std::uint64_t heads = number(kSize, std::uint32_t{});
    EXPECT_TRUE(with(kOffset, room - heads));
    EXPECT_FALSE(with(kOffset, room - heads + 1));
    EXPECT_FALSE(with(kOffset, room + 1));
    EXPECT_FALSE(with(kOffset, ~std::uint64_t{0} - heads + 1)) << "their sum wraps";
    EXPECT_FALSE(with(kSize, static_cast<std::uint32_t>(room - number(kOffset, std::uint64_t{}) + 1)));
    if (number(kTails, std::uint32_t{}) > 0) {
        EXPECT_FALSE(with(kTailOffset, room + 1));
        EXPECT_FALSE(with(kTailSize, ~std::uint32_t{0}));
    }
    // One that is larger than any that was packed, in a file that is large enough for it.
    Bytes large = good;
    const auto beyond = static_cast<std::uint32_t>(kMostUnpackedBytes + 4097);
    write_file(path, large);
    std::memcpy(large.data() + kSize, &beyond, sizeof beyond);
    const std::uint32_t crc = base::crc32c(std::span(large).subspan(kFront, size));
    std::memcpy(large.data() + 12, &crc, sizeof crc);
    write_file(path, large);
    fs::resize_file(path, good.size() + beyond);
    EXPECT_FALSE(read_packed_file(path).index.has_value());
    const auto allowed = beyond - 1;
    std::memcpy(large.data() + kSize, &allowed, sizeof allowed);
    const std::uint32_t other = base::crc32c(std::span(large).subspan(kFront, size));
    std::memcpy(large.data() + 12, &other, sizeof other);
    write_file(path, large);
    fs::resize_file(path, good.size() + beyond);
    EXPECT_TRUE(read_packed_file(path).index.has_value());
}

/// A segment of today's size: heads and tails in several parts.
TEST_F(PackedJournal, HoldsTheSameRecordsInManyParts) {
    options.segment_bytes = 24 << 20;
    constexpr std::uint64_t kRecords = 3000;
    const auto body = [](std::uint64_t n) {
        std::mt19937 random(static_cast<unsigned>(n));
        Bytes bytes(n % 2 == 0 ? 400 : 12'000);
        for (std::size_t i = 0; i < bytes.size(); i += 1 + random() % 8) {
            bytes[i] = static_cast<std::byte>(random());
        }
        return bytes;
    };
    const auto append = [&](Journal& journal, std::uint64_t first, std::uint64_t last) {
        for (std::uint64_t n = first; n <= last; ++n) {
            journal.append(n % 2 == 0 ? 11 : 10, 2, n, body(n));
        }
    };
    {
        const auto journal = Journal::open(folder.path(), Journal::Mode::read_write, options);
        append(*journal, 1, kRecords + 1600);
        ASSERT_EQ(journal->pack_now(parts), 1U);
    }
    const auto packed = read_packed_file(files(".wbp").at(0));
    ASSERT_TRUE(packed.index);
    ASSERT_GT(packed.index->blocks.size(), 1U);
    EXPECT_GT(
        std::ranges::max(packed.index->blocks, {}, [](const auto& block) { return block.tails.size(); }).tails.size(),
        1U);
    const auto journal = for_reading();
    std::uint64_t n = 0;
    for (const Record& record : read_all(*journal, 2, 100, 1 << 20)) {
        ASSERT_EQ(record.sequence, ++n);
        ASSERT_EQ(record.body, body(n));
    }
    EXPECT_EQ(n, kRecords + 1600);
    EXPECT_EQ(journal->lost(), 0U);
}

TEST_F(PackedJournal, OneDamagedIndexOfTwoCostsNothing) {
    write_packed();
    const fs::path path = files(".wbp")[2];
    const Bytes good = read_file(path);
    for (const bool front : {true, false}) {
        Bytes bad = good;
        bad[front ? 20 : good.size() - 20] ^= std::byte{0x20};
        write_file(path, bad);
        expect_all(*for_reading());
    }
}

/// A kill between any two steps of packing leaves both files, or a part of one.
TEST_F(PackedJournal, SurvivesAnInterruptedPacking) {
    const fs::path kept = folder.path() / "kept";
    {
        const auto journal = Journal::open(folder.path(), Journal::Mode::read_write, options);
        write(*journal);
        fs::copy(folder.path() / "segments", kept);
        ASSERT_GT(journal->pack_now(parts), 5U);
    }
    for (const auto& entry : fs::directory_iterator(kept)) {
        fs::copy(entry.path(), folder.path() / "segments", fs::copy_options::skip_existing);
    }
    write_file(files(".wbp")[0].string() + ".part", Bytes(100));
    expect_all(*for_reading());
    const auto journal = Journal::open(folder.path(), Journal::Mode::read_write, options);
    expect_all(*journal);
    EXPECT_GT(journal->pack_now(parts), 5U);
    expect_all(*journal);
    EXPECT_EQ(files(".wbj").size(), 1U);
    EXPECT_TRUE(files(".part").empty());
}

class FailingIo final : public base::FileIo {
 public:
    int fail_at = -1, calls = 0;
    std::int64_t write_at(int file, std::span<const std::byte> data, std::uint64_t offset) override {
        return calls++ == fail_at ? -ENOSPC : base::FileIo::write_at(file, data, offset);
    }
    int sync_data(int file) override { return calls++ == fail_at ? -EIO : base::FileIo::sync_data(file); }
    int sync_folder(const fs::path& path) override {
        return calls++ == fail_at ? -EIO : base::FileIo::sync_folder(path);
    }
};

TEST_F(PackedJournal, StaysAsItIsWhenTheDiskRefuses) {
    FailingIo io;
    JournalOptions failing = options;
    failing.io = &io;
    for (int fail = 0; fail < 6; ++fail) {  // write, sync and rename of the first two
        fs::remove_all(folder.path() / "segments");
        fs::remove(folder.path() / "journal.lock");
        const auto journal = Journal::open(folder.path(), Journal::Mode::read_write, failing);
        write(*journal);
        io.calls = 0;
        io.fail_at = fail;
        const std::size_t full = files(".wbj").size() - 1;
        EXPECT_EQ(journal->pack_now(parts), full - 1) << fail;
        io.fail_at = -1;
        expect_all(*journal);
        expect_all(*for_reading());
    }
}

TEST_F(PackedJournal, IsPackedBesideWritersAndReaders) {
    const auto journal = Journal::open(folder.path(), Journal::Mode::read_write, options);
    journal->pack_with(parts);
    std::atomic<bool> done{false};
    std::thread reader([&] {
        std::uint64_t read = 0;
        Position from;
        while (read < 2 * kCount * 9 / 10) {
            const auto records = journal->read(2, from, 5, 4000);
            for (const Record& record : records) {
                ASSERT_EQ(record.body, body_of(record.time_ns - 1'000));
                from = {record.epoch, record.sequence};
                ++read;
            }
            if (records.empty() && done) {
                ASSERT_FALSE(journal->read(2, from, 5, 4000).empty()) << read;
            }
        }
    });
    write(*journal, 1, 2 * kCount);
    done = true;
    reader.join();
    EXPECT_EQ(journal->lost(), 0U);
    for (int i = 0; i < 500 && files(".wbj").size() > 1; ++i) {
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    EXPECT_EQ(files(".wbj").size(), 1U);
    expect_all(*journal, 2 * kCount);
}

TEST_F(PackedJournal, IsFollowedWhileItsWriterPacks) {
    const auto writer = Journal::open(folder.path(), Journal::Mode::read_write, options);
    write(*writer, 1, 100);
    const auto reader = for_reading();
    expect_all(*reader, 100);
    for (std::uint64_t n = 101; n <= kCount; n += 50) {
        write(*writer, n, std::min(kCount, n + 49));
        if (n % 100 == 1) {
            const std::uint64_t known = reader->last().sequence;
            writer->pack_now(parts);
            // What it knows is found in its new place.
            ASSERT_GE(read_all(*reader, 1).size() + read_all(*reader, 2).size(), known);
        }
        reader->follow();
        reader->follow();
        expect_all(*reader, std::min(kCount, n + 49));
    }
}

}  // namespace
}  // namespace moescope::sessions
