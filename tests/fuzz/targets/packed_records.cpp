// Many records in few bytes. Input: length u32 of the part of heads, that part, the part of tails.
#include "sessions/packed_records.hpp"

#include "base/little_endian.hpp"
#include "nodes/history/session.hpp"
#include "tests/fuzz/input.hpp"

using namespace moescope;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    base::Reader reader(fuzz::bytes_of(data, size));
    const std::size_t length = std::min<std::size_t>(reader.get<std::uint32_t>(), reader.left());
    const std::string heads_part = reader.get_string(length), tails_part = reader.get_string(reader.left());
    const auto heads = sessions::unpack_heads(std::as_bytes(std::span(heads_part)));
    if (!heads) {
        return 0;
    }
    fuzz::expect(
        heads->records.size() <= sessions::kMostPackedRecords && heads->bytes.size() <= sessions::kMostUnpackedBytes,
        "a block is bounded");
    std::vector<sessions::Record> records;
    std::vector<std::uint32_t> lengths;
    for (const sessions::PackedRecord& one : heads->records) {
        fuzz::expect(one.head.size() <= one.length, "no head is longer than its record");
        sessions::Record record;
        record.epoch = one.at.epoch;
        record.sequence = one.at.sequence;
        record.time_ns = one.time_ns;
        record.type = one.type;
        record.body.assign(one.head.begin(), one.head.end());
        lengths.push_back(static_cast<std::uint32_t>(one.head.size()));
        records.push_back(std::move(record));
    }
    history::Session session;
    (void)session.apply_heads(std::as_bytes(std::span(heads_part)), 1);
    if (const auto tails = sessions::unpack_tails(std::as_bytes(std::span(tails_part)), heads->records)) {
        fuzz::expect(tails->of.size() == records.size(), "every record has its tail");
        for (std::size_t i = 0; i < records.size(); ++i) {
            fuzz::expect(lengths[i] + tails->of[i].size() == heads->records[i].length, "head and tail are the record");
            records[i].body.insert(records[i].body.end(), tails->of[i].begin(), tails->of[i].end());
        }
        if (!records.empty()) {
            const auto again = sessions::unpack_heads(sessions::pack_heads(records, lengths));
            fuzz::expect(again && again->records.size() == records.size(), "a block survives");
            fuzz::accepted();
        }
    }
    return 0;
}
