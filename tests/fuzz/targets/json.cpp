// The guard that all JSON from outside goes through: depth and number of values are bounded, what it takes is written
// and read again.
#include "base/json_guard.hpp"
#include "tests/fuzz/input.hpp"

using namespace moescope;

namespace {

constexpr std::size_t kMost = 64 << 10;

int depth_of(const nlohmann::json& value) {
    if (!value.is_structured()) {
        return 0;
    }
    int depth = 0;
    for (const nlohmann::json& part : value) {
        depth = std::max(depth, depth_of(part));
    }
    return depth + 1;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto read = base::read_json(fuzz::text_of(data, size), kMost);
    fuzz::expect(read.value.has_value() == read.problem.empty(), "there is a value or a cause");
    const auto quiet = base::parse_json(fuzz::bytes_of(data, size), kMost);
    fuzz::expect(read.value == quiet, "both ways in give the same");
    if (!read.value) {
        return 0;
    }
    fuzz::expect(depth_of(*read.value) <= base::kJsonDepth, "no value is deeper than allowed");
    fuzz::expect(base::parse_object(fuzz::bytes_of(data, size), kMost).has_value() == read.value->is_object(),
                 "an object is an object");
    const std::string text = base::dump_json(*read.value);
    fuzz::expect(base::read_json(text, 16 * kMost).value == read.value, "what was read is read again");
    fuzz::accepted();
    return 0;
}
