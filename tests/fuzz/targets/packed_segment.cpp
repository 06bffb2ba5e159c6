// A packed segment of a journal: its parts lie in the file, and what they hold is what the index says.
#include "sessions/packed_segment.hpp"

#include "base/file_io.hpp"
#include "tests/fuzz/input.hpp"

using namespace moescope;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto& path = fuzz::in_file(data, size);
    const sessions::PackedFile file = sessions::read_packed_file(path);
    fuzz::expect(file.index.has_value() == file.damage.empty(), "there is an index or a reason");
    if (!file.index) {
        return 0;
    }
    const base::Descriptor open = base::open_for_reading(path);
    const auto part_of = [&](const sessions::PartPlace& place) {
        fuzz::expect(place.offset <= size && place.size <= size - place.offset, "parts lie in the file");
        return sessions::read_part(open.get(), place);
    };
    for (const sessions::PackedBlock& block : file.index->blocks) {
        const auto heads_part = part_of(block.heads);
        const auto heads = heads_part ? sessions::unpack_heads(*heads_part) : std::nullopt;
        if (!heads) {
            continue;
        }
        std::size_t at = 0;
        for (const sessions::TailPart& tail : block.tails) {
            const auto part = part_of(tail.place);
            if (part && at <= heads->records.size() && tail.records <= heads->records.size() - at) {
                (void)sessions::unpack_tails(*part, std::span(heads->records).subspan(at, tail.records));
            }
            at += tail.records;
        }
        fuzz::accepted();
    }
    return 0;
}
