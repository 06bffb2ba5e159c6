// safetensors: what the header promises, the bytes of the file hold, without hole or overlap.
#include "engine/files/safetensors.hpp"

#include "engine/error.hpp"
#include "tests/fuzz/input.hpp"

using namespace moescope;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    try {
        const auto header = engine::parse_safetensors(fuzz::bytes_of(data, size), size, "f");
        std::uint64_t bytes = 0;
        for (const auto& [name, tensor] : header.tensors) {
            fuzz::expect(tensor.begin <= tensor.end && header.data_begin + tensor.end <= size,
                         "tensors lie in the file");
            bytes += tensor.end - tensor.begin;
        }
        fuzz::expect(header.data_begin + bytes == size, "tensors cover the file");
        const engine::SafetensorsFile file(fuzz::in_file(data, size));
        fuzz::expect(file.header().tensors.size() == header.tensors.size(), "a file is read as its bytes are");
        for (const auto& [name, tensor] : header.tensors) {
            if (engine::is_float_type(tensor.dtype)) {
                std::uint64_t count = 1;
                for (const std::uint64_t length : tensor.shape) {
                    count *= length;
                }
                fuzz::expect(count <= size, "no tensor has more values than the file has bytes");
                std::vector<float> values(count);
                file.read_floats(name, values);
            }
        }
        fuzz::accepted();
    } catch (const engine::Error&) {
    }
    return 0;
}
