#include "tests/paths.hpp"

#include <cstdlib>

namespace moescope::test {
namespace {

/// A folder as it was when the tests were built, or in a pack of them that was carried to another machine.
std::string folder(const char* built, const char* packed) {
    const char* pack = std::getenv("MOESCOPE_TEST_PACK");
    return pack == nullptr ? built : std::string(pack) + "/" + packed;
}

}  // namespace

std::string test_data() {
    return folder(MOESCOPE_TEST_DATA, "tests");
}

std::string source_assets() {
    return folder(MOESCOPE_ASSETS_SOURCE, "assets");
}

std::string bench_folder() {
    return folder(MOESCOPE_BENCH, "bench");
}

std::string binary_folder() {
    return folder(MOESCOPE_BINARY_DIR, "bin");
}

}  // namespace moescope::test
