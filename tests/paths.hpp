// Where the tests find their data, the assets and the programs. Ends without a slash. MOESCOPE_TEST_PACK in the
// environment names the folder of a pack (bench/gpu/pack) that they were carried in.
#pragma once

#include <string>

namespace moescope::test {

std::string test_data();      ///< tests/ of the source tree
std::string source_assets();  ///< assets/ of the source tree
std::string bench_folder();   ///< bench/ of the source tree
std::string binary_folder();  ///< where programs are built

}  // namespace moescope::test
