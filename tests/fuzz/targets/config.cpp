// The configuration of a run: what is taken is written and taken again as the same.
#include "engine/model/config.hpp"

#include "base/json_guard.hpp"
#include "engine/error.hpp"
#include "tests/fuzz/input.hpp"

using namespace moescope;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto value = base::parse_json(fuzz::bytes_of(data, size), 64 << 10);
    if (!value) {
        return 0;
    }
    try {
        const nlohmann::json written = engine::to_json(engine::parse_run_config(*value, std::string("f")));
        fuzz::expect(engine::to_json(engine::parse_run_config(written, std::string("f"))) == written,
                     "a configuration survives");
        fuzz::accepted();
    } catch (const engine::Error&) {
    }
    return 0;
}
