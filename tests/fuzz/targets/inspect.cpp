// What `inspect` says of a file of any kind: it never fails, and what is not safe has a reason.
#include "engine/files/inspect.hpp"

#include "tests/fuzz/input.hpp"

using namespace moescope;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const engine::FileReport report = engine::inspect_file(fuzz::in_file(data, size));
    fuzz::expect(report.safe == report.problem.empty(), "what is not safe has a reason");
    (void)report.details.dump(-1, ' ', false, nlohmann::json::error_handler_t::strict);
    if (report.safe) {
        fuzz::accepted();
    }
    return 0;
}
