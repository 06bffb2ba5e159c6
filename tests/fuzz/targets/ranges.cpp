// Files in pieces: orders, chunks and ends are written and read again, and what is put together is what was ordered.
#include "nodes/protocol/ranges.hpp"

#include "base/little_endian.hpp"
#include "tests/fuzz/input.hpp"

using namespace moescope;
using namespace moescope::protocol;

namespace {

template <class Body>
void round_trip(std::optional<Body> (*decode)(std::span<const std::byte>),
                std::vector<std::byte> (*encode)(const Body&), std::span<const std::byte> bytes) {
    if (const auto body = decode(bytes)) {
        fuzz::expect(decode(encode(*body)) == body, "a body survives");
        fuzz::accepted();
    }
}

}  // namespace

/// Length u16 of a body, body, and so on: each is tried as everything.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    base::Reader reader(fuzz::bytes_of(data, size));
    RangeAssembly assembly;
    std::size_t kept = 0;
    while (reader.good() && reader.left() > 0) {
        const std::size_t length = std::min<std::size_t>(reader.get<std::uint16_t>(), reader.left());
        const std::string text = reader.get_string(length);
        const auto body = std::as_bytes(std::span(text));
        round_trip<RangeOrder>(decode_range_order, encode_range_order, body);
        round_trip<PushBody>(decode_push, encode_push, body);
        round_trip<RangeEnd>(decode_range_end, encode_range_end, body);
        if (const auto order = decode_range_order(body)) {
            fuzz::expect(order->length > 0 && order->length <= kRangeBytes, "no range is longer than allowed");
            (void)assembly.begin(*order);
        }
        if (const auto chunk = decode_chunk(body)) {
            const auto bytes = encode_chunk(*chunk);
            const auto again = decode_chunk(bytes);
            fuzz::expect(again && again->number == chunk->number && again->offset == chunk->offset &&
                             std::ranges::equal(again->bytes, chunk->bytes),
                         "a chunk survives");
            kept += assembly.add(*chunk) ? chunk->bytes.size() : 0;
            if (assembly.whole(chunk->number)) {
                const auto range = assembly.take(chunk->number);
                fuzz::expect(range && range->bytes.size() == range->order.length, "a whole range is whole");
            }
        }
    }
    fuzz::expect(kept <= size, "no more is kept than came");
    return 0;
}
