// The library of models on the command line.
#pragma once

#include "nodes/service/cli/console.hpp"
#include "nodes/service/library/model_library.hpp"

namespace moescope::node {

/// What is wrong with its list is said on standard error.
class PrintedLibrary final : public ModelLibrary {
 public:
    explicit PrintedLibrary(const Paths& paths) : ModelLibrary(paths) { print_warnings(take_warnings()); }
};

}  // namespace moescope::node
