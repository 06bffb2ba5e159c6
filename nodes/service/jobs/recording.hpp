// Recordings of other programs and traces of our own, by the name of their format.
#pragma once

#include <string>

#include "routing/imports/import.hpp"

namespace moescope::node {

/// The formats, for help and errors.
inline constexpr const char* kRecordingFormats = "trace, vllm, sglang, megatron or imatrix";

inline constexpr const char* kOwnTrace = "trace";  ///< what `route` and exports of Moescope write

struct RecordingOrder {
    std::string format = kOwnTrace, path;
    std::string config;                          ///< config.json of the model; empty: none
    std::string model;                           ///< its name, for people; empty: the path
    int layers = 0, experts = 0, per_token = 0;  ///< 0: as config or recording say
};

/// Throws CommandError.
void check_format(const std::string& format);
/// Takes as long as its size wants, at most some seconds. Throws base::Error.
routing::Import read_recording(const RecordingOrder& order);

}  // namespace moescope::node
