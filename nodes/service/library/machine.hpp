// What the node says about the machine it runs on.
#pragma once

#include <cstdint>
#include <string>

namespace moescope::node {

std::uint64_t total_memory();  ///< bytes
std::string processor_name();  ///< "AMD EPYC ...", empty when unknown
std::string host_name();
int cores();  ///< that this process may use

}  // namespace moescope::node
