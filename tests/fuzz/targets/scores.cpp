// Everything that the choices for one token were made of, as a record carries it.
#include "routing/packed_trace.hpp"
#include "tests/fuzz/routing_of.hpp"

using namespace moescope;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const routing::RouterSpec spec = fuzz::small_router();
    const auto bytes = fuzz::bytes_of(data, size);
    if (auto layers = routing::unpack_decisions(bytes, spec)) {
        routing::TokenDecisions token;
        token.layers = *layers;
        const auto packed = routing::pack_decisions(token);
        fuzz::expect(std::equal(packed.begin(), packed.end(), bytes.begin(), bytes.end()), "scores survive");
        routing::PackedTrace trace(spec);
        (void)trace.append_scores(0, packed);
        (void)trace.scores(0);
        fuzz::accepted();
    }
    return 0;
}
