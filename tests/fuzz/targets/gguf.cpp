// GGUF: the header that libllama is given only when this reader took it. Tensors and arrays lie in the file.
#include "engine/files/gguf.hpp"

#include "engine/error.hpp"
#include "engine/files/gguf_limits.hpp"
#include "tests/fuzz/input.hpp"

using namespace moescope;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto& file = fuzz::in_file(data, size);
    try {
        const engine::GgufHeader header = engine::read_gguf(file);
        for (const engine::GgufTensor& tensor : header.tensors) {
            fuzz::expect(
                tensor.offset >= header.data_offset && tensor.offset <= size && tensor.bytes <= size - tensor.offset,
                "tensors lie in the file");
        }
        for (const auto& [key, offset] : header.array_offsets) {
            fuzz::expect(offset + 12 <= size && header.arrays.at(key) <= size, "arrays lie in the file");
        }
        fuzz::accepted();
        (void)engine::gguf_parts("model-00001-of-00002.gguf", engine::part_of(header));
        engine::check_limits_of_libllama(file, header);
    } catch (const engine::Error&) {
    }
    return 0;
}
