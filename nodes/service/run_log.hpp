// What the log says when a run begins and ends, in words; the records of the run hold the same for programs.
#pragma once

#include <cstdint>
#include <string>

#include "nodes/service/record_sink.hpp"

namespace moescope::node {

enum class RunKind { train, generate, probe };

void log_start(RecordSink& sink, RunKind kind, const std::string& name);
/// `state`: done, stopped or failed; `message`: why it failed; `count`: steps, tokens or answers.
void log_end(RecordSink& sink, RunKind kind, const std::string& name, const std::string& state,
             const std::string& message, std::uint64_t count);

}  // namespace moescope::node
