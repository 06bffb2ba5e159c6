#include "sessions/packed_segment.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <sys/stat.h>
#include <utility>

#include "base/crc32c.hpp"
#include "base/file_io.hpp"
#include "base/little_endian.hpp"

namespace moescope::sessions {

namespace {

using Bytes = std::vector<std::byte>;
using View = std::span<const std::byte>;

constexpr char kMagic[8] = {'M', 'O', 'E', 'S', 'W', 'B', 'P', 1};
constexpr char kEndMagic[8] = {'M', 'O', 'E', 'S', 'W', 'B', 'P', 'E'};
constexpr std::size_t kFrontBytes = 16, kEndBytes = 16;
constexpr std::uint64_t kLargestIndex = 16 << 20;

// Small enough that a block of heads goes over the wire as one record.
constexpr std::size_t kHeadBytes = 384 << 10, kTailBytes = 4 << 20, kBlockRecords = 8192;
static_assert(kBlockRecords <= kMostPackedRecords && kHeadBytes + kRecordLimit < kMostUnpackedBytes &&
              kTailBytes + kRecordLimit < kMostUnpackedBytes);

void put_place(base::Writer& writer, const PartPlace& place) {
    writer.put(place.offset);
    writer.put(place.size);
    writer.put(place.crc);
}

Bytes encode_index(const PackedIndex& index) {
    Bytes bytes;
    base::Writer writer(bytes);
    writer.put(index.epoch);
    writer.put(index.link.last.epoch);
    writer.put(index.link.last.sequence);
    writer.put(index.link.records);
    writer.put(index.first.sequence);
    writer.put(index.last.sequence);
    writer.put(index.bytes);
    writer.put(static_cast<std::uint32_t>(index.blocks.size()));
    for (const PackedBlock& block : index.blocks) {
        writer.put(block.channel);
        const std::byte reserved[3]{};
        writer.put_bytes(reserved, sizeof reserved);
        writer.put(block.records);
        writer.put(block.first.sequence);
        writer.put(block.last.sequence);
        writer.put(block.bytes);
        put_place(writer, block.heads);
        writer.put(static_cast<std::uint32_t>(block.tails.size()));
        writer.put(static_cast<std::uint32_t>(block.groups.size()));
        for (const TailPart& part : block.tails) {
            writer.put(part.records);
            put_place(writer, part.place);
        }
        for (const GroupBytes& group : block.groups) {
            writer.put(group.group);
            writer.put(group.bytes);
        }
    }
    return bytes;
}

/// Reads an index, whose parts lie in the `room` bytes of the file from `begin` on.
class IndexReader {
 public:
    IndexReader(View bytes, std::uint64_t begin, std::uint64_t room) : reader_(bytes), begin_(begin), room_(room) {}

    std::optional<PackedIndex> read() {
        PackedIndex index;
        index.epoch = reader_.get<std::uint32_t>();
        index.link.last.epoch = reader_.get<std::uint32_t>();
        index.link.last.sequence = reader_.get<std::uint64_t>();
        index.link.records = reader_.get<std::uint64_t>();
        index.first = {index.epoch, reader_.get<std::uint64_t>()};
        index.last = {index.epoch, reader_.get<std::uint64_t>()};
        index.bytes = reader_.get<std::uint64_t>();
        const std::size_t count = reader_.get<std::uint32_t>();
        constexpr std::size_t kFewestBytes = 56;
        if (!reader_.good() || count == 0 || count > reader_.left() / kFewestBytes || index.first.sequence == 0 ||
            index.last < index.first) {
            return std::nullopt;
        }
        index.blocks.resize(count);
        std::uint64_t records = 0;
        for (std::size_t i = 0; i < count; ++i) {
            PackedBlock& block = index.blocks[i];
            if (!read_block(block, index)) {
                return std::nullopt;
            }
            if (i > 0 && (block.channel < index.blocks[i - 1].channel ||
                          (block.channel == index.blocks[i - 1].channel && block.first <= index.blocks[i - 1].last))) {
                return std::nullopt;
            }
            records += block.records;
        }
        const bool whole =
            reader_.good() && reader_.left() == 0 && records == index.last.sequence - index.first.sequence + 1;
        return whole ? std::optional(std::move(index)) : std::nullopt;
    }

 private:
    bool read_place(PartPlace& place) {
        place.offset = reader_.get<std::uint64_t>();
        place.size = reader_.get<std::uint32_t>();
        place.crc = reader_.get<std::uint32_t>();
        if (!reader_.good() || place.offset > room_ || place.size > room_ - place.offset ||
            place.size > kMostUnpackedBytes + 4096) {
            return false;
        }
        place.offset += begin_;
        return true;
    }

    bool read_block(PackedBlock& block, const PackedIndex& index) {
        block.channel = reader_.get<std::uint8_t>();
        reader_.skip(3);
        block.records = reader_.get<std::uint32_t>();
        block.first = {index.epoch, reader_.get<std::uint64_t>()};
        block.last = {index.epoch, reader_.get<std::uint64_t>()};
        block.bytes = reader_.get<std::uint64_t>();
        if (!reader_.good() || block.records == 0 || block.records > kMostPackedRecords || block.first < index.first ||
            block.last > index.last || block.last < block.first ||
            block.last.sequence - block.first.sequence < block.records - 1 ||
            block.bytes > std::uint64_t{block.records} * (kRecordOverhead + kRecordLimit) || !read_place(block.heads)) {
            return false;
        }
        const std::size_t tails = reader_.get<std::uint32_t>(), groups = reader_.get<std::uint32_t>();
        constexpr std::size_t kTailEntry = 20, kGroupEntry = 12;
        if (!reader_.good() || tails > reader_.left() / kTailEntry ||
            groups > (reader_.left() - tails * kTailEntry) / kGroupEntry) {
            return false;
        }
        block.tails.resize(tails);
        std::uint64_t records = 0;
        for (TailPart& part : block.tails) {
            part.records = reader_.get<std::uint32_t>();
            records += part.records;
            if (!read_place(part.place) || part.records == 0) {
                return false;
            }
        }
        block.groups.resize(groups);
        for (GroupBytes& group : block.groups) {
            group.group = reader_.get<std::uint32_t>();
            group.bytes = reader_.get<std::uint64_t>();
        }
        return reader_.good() && (tails == 0 || records == block.records);
    }

    base::Reader reader_;
    std::uint64_t begin_, room_;
};

/// An index of that size and checksum at `offset`.
std::optional<Bytes> read_index(int file, std::uint64_t file_size, std::uint64_t offset, std::uint32_t size,
                                std::uint32_t crc) {
    if (size > kLargestIndex || offset > file_size || size > file_size - offset) {
        return std::nullopt;
    }
    Bytes bytes(size);
    return base::read_exactly(file, bytes, offset) && base::crc32c(bytes) == crc ? std::optional(std::move(bytes))
                                                                                 : std::nullopt;
}

std::array<std::uint32_t, 2> two_numbers(View bytes) {
    base::Reader reader(bytes);
    const auto first = reader.get<std::uint32_t>();
    return {first, reader.get<std::uint32_t>()};
}

}  // namespace

PartPlace SegmentPacker::put(const std::vector<std::byte>& part, std::vector<std::byte>& where) {
    const PartPlace place{where.size(), static_cast<std::uint32_t>(part.size()), base::crc32c(part)};
    where.insert(where.end(), part.begin(), part.end());
    return place;
}

bool SegmentPacker::add(Record record) {
    const RecordParts parts = parts_of_(record.type, record.body);
    const std::size_t head = std::min(parts.head, record.body.size());
    if (!records_.empty() &&
        (record.channel != block_.channel || head_bytes_ + head > kHeadBytes || records_.size() == kBlockRecords)) {
        if (!end_block()) {
            return false;
        }
    }
    if (records_.empty()) {
        block_ = {};
        block_.channel = record.channel;
        block_.first = {record.epoch, record.sequence};
    }
    const std::size_t tail = record.body.size() - head;
    if (tail_bytes_ > 0 && tail_bytes_ + tail > kTailBytes && !end_tails(records_.size())) {
        return false;
    }
    block_.last = {record.epoch, record.sequence};
    const std::uint64_t bytes = kRecordOverhead + record.body.size();
    block_.bytes += bytes;
    const auto group = std::find_if(block_.groups.begin(), block_.groups.end(),
                                    [&](const GroupBytes& known) { return known.group == parts.group; });
    if (tail == 0) {
        // Its head is all of it: whoever reads heads misses nothing of it.
    } else if (group != block_.groups.end()) {
        group->bytes += bytes;
    } else {
        block_.groups.push_back({parts.group, bytes});
    }
    head_bytes_ += head;
    tail_bytes_ += tail;
    heads_.push_back(static_cast<std::uint32_t>(head));
    records_.push_back(std::move(record));
    return true;
}

bool SegmentPacker::end_tails(std::size_t end) {
    const auto records = std::span(records_).subspan(tails_from_, end - tails_from_);
    const auto heads = std::span(heads_).subspan(tails_from_, end - tails_from_);
    const Bytes part = pack_tails(records, heads);
    // What was not read back equal is not packed.
    std::vector<PackedRecord> known(records.size());
    for (std::size_t i = 0; i < records.size(); ++i) {
        known[i] = {{},
                    0,
                    records[i].type,
                    static_cast<std::uint32_t>(records[i].body.size()),
                    View(records[i].body).first(heads[i])};
    }
    const auto back = unpack_tails(part, known);
    if (!back) {
        return false;
    }
    for (std::size_t i = 0; i < records.size(); ++i) {
        if (!std::ranges::equal(back->of[i], View(records[i].body).subspan(heads[i]))) {
            return false;
        }
    }
    block_.tails.push_back({static_cast<std::uint32_t>(records.size()), put(part, tail_parts_)});
    tails_from_ = end;
    tail_bytes_ = 0;
    return true;
}

bool SegmentPacker::end_block() {
    if (records_.empty()) {
        return true;
    }
    if ((tail_bytes_ > 0 || !block_.tails.empty()) && tails_from_ < records_.size() && !end_tails(records_.size())) {
        return false;
    }
    const Bytes part = pack_heads(records_, heads_);
    const auto back = unpack_heads(part);
    if (!back || back->records.size() != records_.size()) {
        return false;
    }
    for (std::size_t i = 0; i < records_.size(); ++i) {
        const PackedRecord& packed = back->records[i];
        const Record& record = records_[i];
        if (packed.at != Position{record.epoch, record.sequence} || packed.time_ns != record.time_ns ||
            packed.type != record.type || packed.length != record.body.size() ||
            !std::ranges::equal(packed.head, View(record.body).first(heads_[i]))) {
            return false;
        }
    }
    block_.records = static_cast<std::uint32_t>(records_.size());
    block_.heads = put(part, head_parts_);
    blocks_.push_back(std::move(block_));
    records_.clear();
    heads_.clear();
    head_bytes_ = tail_bytes_ = tails_from_ = 0;
    return true;
}

std::optional<std::vector<std::byte>> SegmentPacker::finish(PackedIndex& index) {
    if (!end_block()) {
        return std::nullopt;
    }
    for (PackedBlock& block : blocks_) {
        block.heads.offset += tail_parts_.size();
    }
    index.blocks = std::move(blocks_);
    const Bytes encoded = encode_index(index);
    const auto size = static_cast<std::uint32_t>(encoded.size());
    const std::uint32_t crc = base::crc32c(encoded);
    Bytes file;
    file.reserve(kFrontBytes + kEndBytes + 2 * encoded.size() + tail_parts_.size() + head_parts_.size());
    base::Writer writer(file);
    writer.put_bytes(kMagic, sizeof kMagic);
    writer.put(size);
    writer.put(crc);
    for (const Bytes* part : std::array<const Bytes*, 4>{&encoded, &tail_parts_, &head_parts_, &encoded}) {
        writer.put_bytes(part->data(), part->size());
    }
    writer.put(size);
    writer.put(crc);
    writer.put_bytes(kEndMagic, sizeof kEndMagic);
    const std::uint64_t begin = kFrontBytes + encoded.size();
    for (PackedBlock& block : index.blocks) {
        block.heads.offset += begin;
        for (TailPart& tail : block.tails) {
            tail.place.offset += begin;
        }
    }
    return file;
}

PackedFile read_packed_file(const std::filesystem::path& path) {
    PackedFile result;
    const base::Descriptor file = base::open_for_reading(path);
    struct stat status {};
    const auto report = [&](Sentence what) {
        result.damage.push_back({path.string(), 0, result.size, std::move(what)});
        return std::move(result);
    };
    if (!file || ::fstat(file.get(), &status) != 0) {
        return report(say("the file can't be read: {}", base::system_sentence(errno)));
    }
    result.size = static_cast<std::uint64_t>(status.st_size);
    std::array<std::byte, kFrontBytes> front{};
    std::array<std::byte, kEndBytes> end{};
    if (result.size < kFrontBytes + kEndBytes || !base::read_exactly(file.get(), front, 0) ||
        !base::read_exactly(file.get(), end, result.size - kEndBytes)) {
        return report(say("the file ends within its header"));
    }
    if (std::memcmp(front.data(), kMagic, 7) == 0 && front[7] != std::byte{kMagic[7]}) {
        return report(say("the file was written by another version of the journal"));
    }
    const auto [size, crc] = two_numbers(std::span(front).subspan(8));
    const auto [end_size, end_crc] = two_numbers(end);
    const std::uint64_t end_index =
        result.size - kEndBytes >= end_size ? result.size - kEndBytes - end_size : result.size;
    std::uint32_t length = size;
    auto bytes = read_index(file.get(), result.size, kFrontBytes, size, crc);
    if (!bytes) {
        bytes = read_index(file.get(), result.size, end_index, end_size, end_crc);
        length = end_size;
    }
    if (!bytes) {
        return report(say("the index of the file is damaged, and its records with it"));
    }
    const std::uint64_t begin = kFrontBytes + length;
    result.index = IndexReader(*bytes, begin, result.size - std::min(result.size, begin)).read();
    if (!result.index) {
        return report(say("the index of the file is damaged, and its records with it"));
    }
    return result;
}

std::optional<std::vector<std::byte>> read_part(int file, const PartPlace& place) {
    Bytes bytes(place.size);
    return base::read_exactly(file, bytes, place.offset) && base::crc32c(bytes) == place.crc
               ? std::optional(std::move(bytes))
               : std::nullopt;
}

}  // namespace moescope::sessions
