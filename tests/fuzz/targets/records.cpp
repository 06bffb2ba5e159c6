// Every type of record, first alone (what is read is written and read again), then one after the other into the one
// reader of a session. Input: type u8, length u16 of the body, body, and so on.
#include "nodes/protocol/records.hpp"

#include "base/little_endian.hpp"
#include "nodes/history/session.hpp"
#include "nodes/protocol/curve_record.hpp"
#include "nodes/protocol/record_heads.hpp"
#include "tests/fuzz/input.hpp"

using namespace moescope;
using namespace moescope::protocol;

namespace {

/// Compared as bytes: numbers may be NaN.
template <class Record>
void round_trip(std::optional<Record> (*decode)(std::span<const std::byte>),
                std::vector<std::byte> (*encode)(const Record&), std::span<const std::byte> body) {
    if (const auto record = decode(body)) {
        const auto bytes = encode(*record);
        const auto again = decode(bytes);
        fuzz::expect(again && encode(*again) == bytes, "a record survives");
        fuzz::accepted();
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    base::Reader reader(fuzz::bytes_of(data, size));
    history::Session session;
    for (std::uint64_t number = 1; reader.good() && reader.left() > 0; ++number) {
        const auto type = reader.get<std::uint8_t>();
        const std::size_t length = std::min<std::size_t>(reader.get<std::uint16_t>(), reader.left());
        const std::string text = reader.get_string(length);
        const auto body = std::as_bytes(std::span(text));
        round_trip<StepRecord>(decode_step, encode_step, body);
        round_trip<RankRecord>(decode_ranks, encode_ranks, body);
        round_trip<TokenBatch>(decode_tokens, encode_tokens, body);
        round_trip<CurveRecord>(decode_curve, encode_curve, body);
        fuzz::expect(head_of(static_cast<RecordType>(type), body).bytes <= body.size(),
                     "a head is a part of its record");
        if (const auto piece = decode_routing(body)) {
            const auto bytes = encode_routing(*piece);
            const auto again = decode_routing(bytes);
            fuzz::expect(
                again && again->run == piece->run && again->token == piece->token &&
                    std::equal(again->packed.begin(), again->packed.end(), piece->packed.begin(), piece->packed.end()),
                "a piece of routing survives");
        }
        if (const auto value = decode_json(body)) {
            fuzz::expect(value->is_object() && decode_json(encode_json(*value)) == value, "a JSON record survives");
            fuzz::accepted();
        }
        (void)session.apply({static_cast<RecordType>(type), {1, number}, number, body});
    }
    for (const auto& [run, header] : session.runs()) {
        fuzz::expect(run != 0 && header != nullptr, "runs have their number");
    }
    for (const auto& [number, note] : session.notes().all()) {
        fuzz::expect(number == note.number && history::note_text_problem(note.text).empty() &&
                         history::note_place_from_json(history::to_json(note.on)) == note.on,
                     "what is kept of a note can be written");
    }
    fuzz::expect(session.log().size() <= 10'000, "the log is bounded");
    return 0;
}
