// NumPy's arrays: the header within its file, and token ids from any type of whole numbers.
#include "engine/files/npy.hpp"

#include "engine/error.hpp"
#include "tests/fuzz/input.hpp"

using namespace moescope;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    try {
        const base::NpyHeader header = base::parse_npy(fuzz::bytes_of(data, size), size, "f");
        std::uint64_t count = 1;
        for (const std::uint64_t length : header.shape) {
            fuzz::expect(!__builtin_mul_overflow(count, length, &count) || header.count == 0, "shapes do not overflow");
        }
        fuzz::expect(header.data_begin <= size && header.count * header.item_bytes <= size - header.data_begin,
                     "arrays lie in the file");
        fuzz::accepted();
        fuzz::expect(engine::read_npy_tokens(fuzz::in_file(data, size)).size() == header.count, "every token is read");
    } catch (const base::Error&) {
    }
    return 0;
}
