// The tour: the program shows everything it can by itself, on the real node and the real models, and checks that it
// happened.
#pragma once

#include <filesystem>

namespace moescope::app {

class Platform;
class Workbench;

struct TourOptions {
    int steps = 150;  ///< training steps to wait for
};

/// Runs all steps; pictures, report.html and timing.json go into `folder`. Gives 0 when every step's condition was met,
/// else 1 after printing the name of the step that failed.
int run_tour(Workbench& workbench, Platform& platform, const TourOptions& options, const std::filesystem::path& folder);

}  // namespace moescope::app
