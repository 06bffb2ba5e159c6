// A segment of a journal: what is found lies in the file, one record behind the other, and is read as it was found.
#include "sessions/segment.hpp"

#include "tests/fuzz/input.hpp"

using namespace moescope;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto bytes = fuzz::bytes_of(data, size);
    const auto& file = fuzz::in_file(data, size);
    const sessions::SegmentScan scan = sessions::scan_segment(file);
    fuzz::expect(scan.size == size && scan.end <= size, "sizes are those of the file");
    std::uint64_t end = 0;
    for (const sessions::RecordPlace& place : scan.records) {
        fuzz::expect(place.offset >= end && place.offset <= size, "records follow one another");
        const auto record = sessions::decode_record(bytes.subspan(place.offset));
        fuzz::expect(record && record->body.size() == place.length && record->type == place.type &&
                         record->channel == place.channel && record->epoch == place.position.epoch &&
                         record->sequence == place.position.sequence,
                     "a record is what was found");
        const auto again = sessions::decode_record(
            sessions::encode_record(place.position, record->time_ns, record->type, record->channel, record->body));
        fuzz::expect(again && again->body == record->body && again->time_ns == record->time_ns, "a record survives");
        end = place.offset + sessions::kRecordOverhead + place.length;
    }
    for (const sessions::Damage& damage : scan.damage) {
        fuzz::expect(damage.offset <= size && damage.bytes <= size - damage.offset, "damage lies in the file");
    }
    if (!scan.records.empty()) {
        const sessions::SegmentScan rest = sessions::scan_segment(file, scan.records.front().offset);
        fuzz::expect(rest.records.size() == scan.records.size() && rest.end == scan.end,
                     "going on from a record finds the same");
        fuzz::accepted();
    }
    return 0;
}
