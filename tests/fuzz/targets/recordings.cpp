// Recordings of other programs: vLLM, SGLang, Megatron, our own traces. Every reader gets every input.
#include "routing/imports/import.hpp"
#include "tests/fuzz/routing_of.hpp"

using namespace moescope;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto& file = fuzz::in_file(data, size);
    routing::ModelShape shape;
    shape.layers = 2;
    shape.per_token = 2;
    using Reader = routing::Import (*)(const std::filesystem::path&, const routing::ModelShape&);
    for (const Reader reader : {Reader{routing::import_vllm}, Reader{routing::import_sglang},
                                Reader{routing::import_megatron}, Reader{routing::import_trace}}) {
        try {
            const routing::Import made = reader(file, shape);
            made.each([](const std::shared_ptr<const routing::Chunk>& chunk) { fuzz::expect_whole(*chunk); });
            fuzz::accepted();
        } catch (const base::Error&) {
        }
    }
    return 0;
}
