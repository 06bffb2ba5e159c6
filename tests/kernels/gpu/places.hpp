// Where the plugin for GPUs lies that tests have, and the library in the place of the driver's.
#pragma once

#include <string>

#include "tests/paths.hpp"

namespace moescope::test {

inline std::string gpu_plugin() {
    return binary_folder() + "/test_gpu_plugin.so";
}
inline std::string gpu_driver() {
    return binary_folder() + "/test_gpu_driver.so";
}

}  // namespace moescope::test
