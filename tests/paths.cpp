#include "tests/paths.hpp"

namespace moescope::test {

std::string test_data() {
    return MOESCOPE_TEST_DATA;
}

std::string source_assets() {
    return MOESCOPE_ASSETS_SOURCE;
}

std::string binary_folder() {
    return MOESCOPE_BINARY_DIR;
}

}  // namespace moescope::test
