// A packed piece of a trace, given unpacked: u64 first, u32 tokens, u32 samples, then for each part u8 kind, u16 length
// and its bytes. They are packed here, so that the columns and not zstd are reached.
#include <zstd.h>

#include "base/crc32c.hpp"
#include "base/little_endian.hpp"
#include "routing/chunk_codec.hpp"
#include "routing/packed_trace.hpp"
#include "tests/fuzz/routing_of.hpp"

using namespace moescope;

namespace {

std::vector<std::byte> packed_from(std::span<const std::byte> input) {
    base::Reader in(input);
    std::vector<std::byte> head, parts;
    base::Writer writer(head);
    const auto first = in.get<std::uint64_t>();
    const auto tokens = in.get<std::uint32_t>(), samples = in.get<std::uint32_t>();
    writer.put(routing::kChunkMark);
    writer.put(std::uint32_t{0});
    writer.put(first);
    writer.put(tokens);
    writer.put(samples);
    std::uint32_t count = 0;
    for (; in.left() > 0 && count < routing::kMostParts + 1; ++count) {
        const auto kind = in.get<std::uint8_t>();
        const std::size_t length = std::min<std::size_t>(in.get<std::uint16_t>(), in.left());
        const std::string raw = in.get_string(length);
        const std::size_t begin = parts.size();
        parts.resize(begin + ZSTD_compressBound(raw.size()));
        const std::size_t size = ZSTD_compress(parts.data() + begin, parts.size() - begin, raw.data(), raw.size(), 1);
        fuzz::expect(ZSTD_isError(size) == 0, "it can be packed");
        parts.resize(begin + size);
        writer.put(std::uint32_t{kind});
        writer.put(static_cast<std::uint32_t>(raw.size()));
        writer.put(static_cast<std::uint32_t>(size));
        writer.put(base::crc32c(std::span<const std::byte>(parts).subspan(begin)));
    }
    std::memcpy(head.data() + 4, &count, sizeof count);
    writer.put(base::crc32c(head));
    head.insert(head.end(), parts.begin(), parts.end());
    return head;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    routing::PackedTrace trace(fuzz::small_router());
    if (!trace.append(packed_from(fuzz::bytes_of(data, size)))) {
        return 0;
    }
    fuzz::expect(trace.chunks() == 1, "a piece that was taken is there");
    for (const unsigned wanted :
         {unsigned{routing::kIds}, unsigned{routing::kTokens}, unsigned{routing::kAllColumns}}) {
        const auto chunk = trace.chunk(0, wanted);
        if (!chunk) {
            continue;
        }
        fuzz::expect_whole(*chunk);
        if (wanted == routing::kAllColumns) {
            const auto again = routing::pack(*chunk);
            routing::PackedTrace second(fuzz::small_router());
            fuzz::expect(second.append(again) && second.chunk(0, wanted) != nullptr, "a piece survives");
            fuzz::accepted();
        }
    }
    return 0;
}
