#include "nodes/service/run_log.hpp"

#include <fmt/format.h>

namespace moescope::node {
namespace {

const char* source(RunKind kind) {
    switch (kind) {
        case RunKind::train:
            return "train";
        case RunKind::generate:
            return "generate";
        case RunKind::probe:
            break;
    }
    return "probe";
}

std::string started(RunKind kind, const std::string& name) {
    switch (kind) {
        case RunKind::train:
            return fmt::format("training {} started", name);
        case RunKind::generate:
            return fmt::format("{} begins to answer", name);
        case RunKind::probe:
            break;
    }
    return fmt::format("probe {} started", name);
}

std::string failed(RunKind kind, const std::string& name, const std::string& message) {
    switch (kind) {
        case RunKind::train:
            return fmt::format("training {} failed: {}", name, message);
        case RunKind::generate:
            return fmt::format("{} could not answer: {}", name, message);
        case RunKind::probe:
            break;
    }
    return fmt::format("probe {} failed: {}", name, message);
}

std::string finished(RunKind kind, const std::string& name, std::uint64_t count) {
    switch (kind) {
        case RunKind::train:
            return fmt::format("training {} is done: {} steps", name, count);
        case RunKind::generate:
            return fmt::format("{} has answered: {} tokens", name, count);
        case RunKind::probe:
            break;
    }
    return fmt::format("probe {} is done: {} answers", name, count);
}

std::string stopped(RunKind kind, const std::string& name, std::uint64_t count) {
    switch (kind) {
        case RunKind::train:
            return fmt::format("training {} was stopped at step {}", name, count);
        case RunKind::generate:
            return fmt::format("{} was stopped after {} tokens", name, count);
        case RunKind::probe:
            break;
    }
    return fmt::format("probe {} was stopped after {} answers", name, count);
}

}  // namespace

void log_start(RecordSink& sink, RunKind kind, const std::string& name) {
    sink.log("info", source(kind), started(kind, name));
}

void log_end(RecordSink& sink, RunKind kind, const std::string& name, const std::string& state,
             const std::string& message, std::uint64_t count) {
    if (state == "failed")
        sink.log("error", source(kind), failed(kind, name, message));
    else
        sink.log("info", source(kind), state == "done" ? finished(kind, name, count) : stopped(kind, name, count));
}

}  // namespace moescope::node
