// Counts of experts in an importance matrix of llama.cpp.
#include "engine/exchange/imatrix.hpp"

#include "tests/fuzz/routing_of.hpp"

using namespace moescope;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    try {
        const routing::Import made = engine::import_imatrix(fuzz::in_file(data, size), {});
        made.each([](const std::shared_ptr<const routing::Chunk>& chunk) { fuzz::expect_whole(*chunk); });
        fuzz::accepted();
    } catch (const base::Error&) {
    }
    return 0;
}
