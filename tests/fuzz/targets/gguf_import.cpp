// A GGUF file as a model of ours: configuration, tokenizer, weights.
#include "engine/exchange/gguf_import.hpp"

#include "engine/error.hpp"
#include "tests/fuzz/input.hpp"

using namespace moescope;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    try {
        const engine::ImportedModel model = engine::import_gguf(fuzz::in_file(data, size));
        fuzz::expect(model.parameters != nullptr && !model.type.empty(), "a model is whole");
        fuzz::accepted();
    } catch (const engine::Error&) {
    }
    return 0;
}
