// Records of TensorBoard's event files.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace moescope::curves {

/// The first record of a file.
std::string version_record(double wall_time);
/// Scalars of one step, each a tag and a value that is rounded to a float.
std::string scalars_record(double wall_time, std::uint64_t step,
                           const std::vector<std::pair<std::string_view, double>>& values);

}  // namespace moescope::curves
