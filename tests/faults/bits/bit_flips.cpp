// Flips bits in the files of a journal, one at a time, and reads it: what is changed must not be given out as if it
// were not, and what is missing must be told. Built a second time without checksums, where that has to be seen to
// happen.
//
//   faults_bit_flips [--seed N] [--count N] [--must-fail]
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <set>
#include <string>
#include <string_view>

#include "sessions/journal.hpp"
#include "tests/files.hpp"

namespace {

using moescope::sessions::Journal;
using moescope::sessions::Position;
using moescope::test::TemporaryFolder;

constexpr std::uint64_t kRecords = 40;

std::vector<std::byte> body_of(std::uint64_t n) {
    std::mt19937_64 random(n);
    std::vector<std::byte> body(8 + random() % 200);
    for (auto& each : body) {
        each = static_cast<std::byte>(random());
    }
    std::memcpy(body.data(), &n, sizeof n);
    return body;
}

/// True when a changed record is given out, or one is missing and nothing is said.
bool passes_unnoticed(const std::filesystem::path& folder) {
    const auto journal = Journal::open(folder, Journal::Mode::read_only);
    std::set<std::uint64_t> found;
    for (int channel = 0; channel < 256; ++channel) {
        for (const auto& record : journal->read(static_cast<std::uint8_t>(channel), {}, kRecords * 2, 1 << 24)) {
            if (channel != 1 || record.type != 1 || record.time_ns != record.sequence || record.sequence > kRecords ||
                record.epoch != 1 || record.body != body_of(record.sequence)) {
                return true;
            }
            found.insert(record.sequence);
        }
    }
    return found.size() < kRecords && journal->damage().empty() && journal->lost() == 0;
}

}  // namespace

int main(int argc, char** argv) {
    std::uint64_t seed = std::random_device()(), count = 2000;
    bool must_fail = false;
    for (int i = 1; i < argc; ++i) {
        const std::string_view name = argv[i];
        if (name == "--must-fail") {
            must_fail = true;
        } else if (name == "--seed" && i + 1 < argc) {
            seed = std::strtoull(argv[++i], nullptr, 10);
        } else if (name == "--count" && i + 1 < argc) {
            count = std::strtoull(argv[++i], nullptr, 10);
        } else {
            std::fprintf(stderr, "usage: %s [--seed N] [--count N] [--must-fail]\n", argv[0]);
            return 2;
        }
    }
    const TemporaryFolder folder;
    {
        const auto journal = Journal::open(folder.path(), Journal::Mode::read_write);
        for (std::uint64_t n = 1; n <= kRecords; ++n) {
            journal->append(1, 1, n, body_of(n));
        }
    }
    const auto file = folder / "segments/seg-000001.wbj";
    const std::string whole = moescope::test::read_text(file);
    std::mt19937_64 random(seed);
    std::uint64_t unnoticed = 0;
    for (std::uint64_t i = 0; i < count; ++i) {
        const std::size_t bit = random() % (whole.size() * 8);
        std::string changed = whole;
        changed[bit / 8] = static_cast<char>(changed[bit / 8] ^ (1 << bit % 8));
        moescope::test::write_text(file, changed);
        if (passes_unnoticed(folder.path())) {
            if (++unnoticed == 1 && !must_fail) {
                std::printf("bit %zu of byte %zu\n", bit % 8, bit / 8);
            }
        }
    }
    std::printf("seed %llu: %llu flips in %zu bytes, %llu unnoticed\n", static_cast<unsigned long long>(seed),
                static_cast<unsigned long long>(count), whole.size(), static_cast<unsigned long long>(unnoticed));
    return (unnoticed > count / 2) == must_fail && (must_fail || unnoticed == 0) ? 0 : 1;
}
