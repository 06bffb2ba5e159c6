// A trace in either of its forms, read as a stream and as a whole.
#include "routing/trace_reader.hpp"
#include "tests/fuzz/routing_of.hpp"

using namespace moescope;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto& file = fuzz::in_file(data, size);
    try {
        const auto trace = routing::open_trace(file);
        std::size_t tokens = 0;
        while (const auto chunk = trace->next()) {
            fuzz::expect_whole(*chunk);
            tokens += chunk->tokens + chunk->loads.size();
        }
        (void)trace->problems();
        if (tokens > 0) {
            fuzz::accepted();
        }
    } catch (const base::Error&) {
    }
    try {
        const routing::LoadedTrace loaded = routing::load_trace(file);
        for (std::size_t number = 0; number < loaded.source->chunks(); ++number) {
            if (const auto chunk = loaded.source->chunk(number, routing::kAllColumns)) {
                fuzz::expect_whole(*chunk);
            }
        }
    } catch (const base::Error&) {
    }
    return 0;
}
