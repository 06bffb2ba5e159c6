#include "sessions/segment.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <sys/stat.h>

#include "base/checksums.hpp"
#include "base/crc32c.hpp"
#include "base/file_io.hpp"

namespace moescope::sessions {

namespace {

constexpr unsigned char kSegmentMagic[8] = {'M', 'O', 'E', 'S', 'W', 'B', 'J', 1};
// Bytes that no UTF-8 text holds, so that a body of text is never taken for the start of a record.
constexpr unsigned char kRecordMagic[4] = {0xF5, 0x4D, 0xFE, 0xC1};
constexpr std::size_t kCrcOffset = 24;  // within the record header
// Segments end soon after their nominal size; a file far beyond that was not written by us and is not read whole.
constexpr std::uint64_t kLargestSegment = 256ull * 1024 * 1024;
// A file made of false beginnings, each claiming a long record, must not keep the program busy for hours: after so many
// bytes checked in vain for each byte of the file, the rest counts as damaged.
constexpr std::uint64_t kMostEffort = 16;

template <class T>
void put(std::byte* at, T value) {
    std::memcpy(at, &value, sizeof value);
}
template <class T>
T get(const std::byte* at) {
    T value;
    std::memcpy(&value, at, sizeof value);
    return value;
}

std::uint32_t record_checksum(std::span<const std::byte> header, std::span<const std::byte> body) {
    constexpr std::byte zero[4]{};
    std::uint32_t crc = base::crc32c(header.first(kCrcOffset));
    crc = base::crc32c(zero, crc);
    crc = base::crc32c(header.subspan(kCrcOffset + 4, kRecordHeaderBytes - kCrcOffset - 4), crc);
    return base::crc32c(body, crc);
}

/// Place of the record at `bytes`, when it is whole and undamaged.
std::optional<RecordPlace> check_record(std::span<const std::byte> bytes) {
    if (bytes.size() < kRecordOverhead || std::memcmp(bytes.data(), kRecordMagic, sizeof kRecordMagic) != 0) {
        return std::nullopt;
    }
    const auto header = bytes.subspan(kRecordMagicBytes, kRecordHeaderBytes);
    RecordPlace place;
    place.length = get<std::uint32_t>(header.data());
    if (place.length > kRecordLimit || place.length > bytes.size() - kRecordOverhead) {
        return std::nullopt;
    }
    if (base::kChecksumsCount && get<std::uint32_t>(header.data() + kCrcOffset) !=
                                     record_checksum(header, bytes.subspan(kRecordOverhead, place.length))) {
        return std::nullopt;
    }
    place.type = get<std::uint16_t>(header.data() + 4);
    place.channel = get<std::uint8_t>(header.data() + 7);
    place.position = {get<std::uint32_t>(header.data() + 28), get<std::uint64_t>(header.data() + 8)};
    return place;
}

/// What a check of the record that seems to begin at `bytes` has to read.
std::uint64_t claimed_length(std::span<const std::byte> bytes) {
    if (bytes.size() < kRecordOverhead) {
        return 0;
    }
    const auto length = get<std::uint32_t>(bytes.data() + kRecordMagicBytes);
    return length > kRecordLimit || length > bytes.size() - kRecordOverhead ? 0 : length;
}

std::size_t find_magic(std::span<const std::byte> bytes, std::size_t from) {
    const auto* magic = reinterpret_cast<const std::byte*>(kRecordMagic);
    const auto found =
        std::search(bytes.begin() + static_cast<std::ptrdiff_t>(from), bytes.end(), magic, magic + sizeof kRecordMagic);
    return static_cast<std::size_t>(found - bytes.begin());
}

/// As much of the file as can be read from `from` on; `problem` says why it is not all. `size` is that of the file:
/// what is written to it meanwhile is left for later, so that no half of a record is taken for damage.
std::vector<std::byte> read_segment(const std::filesystem::path& file, std::uint64_t from, std::uint64_t& size,
                                    Sentence& problem) {
    const base::Descriptor descriptor = base::open_for_reading(file);
    struct stat status {};
    if (!descriptor || ::fstat(descriptor.get(), &status) != 0) {
        problem = errno == EISDIR || errno == ENOTSUP ? say("it is no ordinary file")
                                                      : say("the file can't be read: {}", base::system_sentence(errno));
        return {};
    }
    size = static_cast<std::uint64_t>(status.st_size);
    std::vector<std::byte> bytes(std::min(size, kLargestSegment) - std::min({size, kLargestSegment, from}));
    std::size_t got = 0;
    constexpr std::size_t kPiece = 1 << 20;
    while (got < bytes.size()) {
        const std::size_t piece = std::min(kPiece, bytes.size() - got);
        if (!base::read_exactly(descriptor.get(), std::span(bytes).subspan(got, piece), from + got)) {
            problem = say("the file can't be read to its end");
            bytes.resize(got);
        }
        got += piece;
    }
    return bytes;
}

/// The link, when the record at `bytes` is one.
std::optional<SegmentLink> link_of(const RecordPlace& place, std::span<const std::byte> bytes) {
    if (place.type != 0 || place.channel != 0 || place.length != sizeof(std::uint64_t)) {
        return std::nullopt;
    }
    return SegmentLink{place.position, get<std::uint64_t>(bytes.data() + kRecordOverhead)};
}

std::vector<std::byte> encode_segment_header(std::uint32_t epoch) {
    std::vector<std::byte> header(kSegmentHeaderBytes);
    std::memcpy(header.data(), kSegmentMagic, sizeof kSegmentMagic);
    put(header.data() + 8, epoch);
    put(header.data() + 12, base::crc32c(std::span(header).first(12)));
    return header;
}

}  // namespace

std::vector<std::byte> encode_segment_begin(std::uint32_t epoch, const SegmentLink& link) {
    std::vector<std::byte> bytes = encode_segment_header(epoch);
    const auto record = encode_record(link.last, 0, 0, 0, std::as_bytes(std::span(&link.records, 1)));
    bytes.insert(bytes.end(), record.begin(), record.end());
    return bytes;
}

std::vector<std::byte> encode_record(Position position, std::uint64_t time_ns, std::uint16_t type, std::uint8_t channel,
                                     std::span<const std::byte> body) {
    std::vector<std::byte> bytes(kRecordOverhead + body.size());
    std::memcpy(bytes.data(), kRecordMagic, sizeof kRecordMagic);
    std::byte* header = bytes.data() + kRecordMagicBytes;
    put(header, static_cast<std::uint32_t>(body.size()));
    put(header + 4, type);
    put(header + 6, std::uint8_t{0});
    put(header + 7, channel);
    put(header + 8, position.sequence);
    put(header + 16, time_ns);
    put(header + 28, position.epoch);
    put(header + kCrcOffset, record_checksum({header, kRecordHeaderBytes}, body));
    if (!body.empty()) {
        std::memcpy(bytes.data() + kRecordOverhead, body.data(), body.size());
    }
    return bytes;
}

std::optional<Record> decode_record(std::span<const std::byte> bytes) {
    const auto place = check_record(bytes);
    if (!place) {
        return std::nullopt;
    }
    Record record;
    record.epoch = place->position.epoch;
    record.sequence = place->position.sequence;
    record.time_ns = get<std::uint64_t>(bytes.data() + kRecordMagicBytes + 16);
    record.type = place->type;
    record.channel = place->channel;
    const auto body = bytes.subspan(kRecordOverhead, place->length);
    record.body.assign(body.begin(), body.end());
    return record;
}

namespace {

/// `bytes` stand in the file at `from`; those before `at` are known.
void scan_records(std::span<const std::byte> bytes, std::uint64_t from, std::size_t at,
                  const std::function<void(std::uint64_t, std::uint64_t, Sentence)>& report, SegmentScan& scan) {
    std::uint64_t effort = kMostEffort * bytes.size();
    while (at < bytes.size()) {
        if (auto place = check_record(bytes.subspan(at))) {
            place->offset = from + at;
            if (const auto link = link_of(*place, bytes.subspan(at))) {
                scan.link = link;
            } else {
                scan.records.push_back(*place);
            }
            at += kRecordOverhead + place->length;
            scan.end = from + at;
            continue;
        }
        // Damaged or torn: go on at the next place that holds a whole record.
        std::size_t next = find_magic(bytes, at + 1);
        while (next < bytes.size() && !check_record(bytes.subspan(next))) {
            const std::uint64_t cost = claimed_length(bytes.subspan(next));
            effort -= std::min(effort, cost);
            next = effort == 0 ? bytes.size() : find_magic(bytes, next + 1);
        }
        report(
            at, next - at,
            next < bytes.size() ? say("a damaged part was skipped") : say("the last record is incomplete or damaged"));
        at = next;
    }
}

}  // namespace

SegmentScan scan_segment(const std::filesystem::path& file, std::uint64_t from) {
    SegmentScan scan;
    Sentence problem;
    const std::vector<std::byte> bytes = read_segment(file, from, scan.size, problem);
    const auto report = [&](std::uint64_t offset, std::uint64_t count, Sentence what) {
        scan.damage.push_back({file.string(), from + offset, count, std::move(what)});
    };
    if (from > 0) {
        scan.usable = problem.empty();
        scan.end = from;
        scan_records(bytes, from, 0, report, scan);
        return scan;
    }
    if (!problem.empty()) {
        report(bytes.size(), scan.size - bytes.size(), problem);
        if (bytes.size() < kSegmentHeaderBytes) {
            return scan;
        }
    }
    if (bytes.size() < kSegmentHeaderBytes) {
        scan.usable = true;
        scan.begun = bytes.empty() ||
                     std::memcmp(bytes.data(), kSegmentMagic, std::min(bytes.size(), sizeof kSegmentMagic)) == 0;
        if (!scan.begun) {
            report(0, bytes.size(), say("the file ends within its header"));
        }
        return scan;
    }
    if (std::memcmp(bytes.data(), kSegmentMagic, 7) == 0 && bytes[7] != std::byte{kSegmentMagic[7]}) {
        report(0, scan.size, say("the file was written by another version of the journal"));
        return scan;
    }
    scan.usable = problem.empty();
    scan.end = kSegmentHeaderBytes;
    if (std::memcmp(bytes.data(), kSegmentMagic, sizeof kSegmentMagic) == 0 &&
        (!base::kChecksumsCount || get<std::uint32_t>(bytes.data() + 12) == base::crc32c(std::span(bytes).first(12)))) {
        scan.epoch = get<std::uint32_t>(bytes.data() + 8);
    } else {
        report(0, kSegmentHeaderBytes, say("the header of the file is damaged; its records are read all the same"));
    }
    scan_records(bytes, 0, kSegmentHeaderBytes, report, scan);
    scan.begun = scan.usable && scan.epoch > 0 && !scan.link && bytes.size() < kSegmentBeginBytes;
    if (scan.size > bytes.size() && problem.empty()) {
        report(bytes.size(), scan.size - bytes.size(),
               say("the file is larger than a journal file can be; the rest was not read"));
    }
    return scan;
}

}  // namespace moescope::sessions
