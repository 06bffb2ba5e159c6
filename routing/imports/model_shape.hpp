// What a person or a model's config.json says of the model that a recording is of. Recordings of other programs leave
// most of it out.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "routing/error.hpp"

namespace moescope::routing {

struct ModelShape {
    std::string model;                                               ///< its name, for people
    int layers = 0, experts = 0, per_token = 0, shared_experts = 0;  ///< 0: not known
    std::vector<int> routed_layers;                                  ///< ascending; empty: not known
};

/// Of a config.json of transformers, under any of the names that model families use. Keys that are missing stay not
/// known. Throws Error naming the file.
ModelShape read_model_shape(const std::filesystem::path& config);

}  // namespace moescope::routing
