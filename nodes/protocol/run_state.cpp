#include "nodes/protocol/run_state.hpp"

namespace moescope::protocol {

const char* run_state_name(RunState state) {
    switch (state) {
        case RunState::planned:
            return "planned";
        case RunState::running:
            return "running";
        case RunState::paused:
            return "paused";
        case RunState::done:
            return "done";
        case RunState::stopped:
            return "stopped";
        case RunState::failed:
            return "failed";
        case RunState::interrupted:
            return "interrupted";
    }
    return "";
}

std::optional<RunState> run_state_named(std::string_view name) {
    return name == "cancelled" ? std::optional(RunState::stopped) : named(name, kRunStates, run_state_name);
}

bool ended(RunState state) {
    switch (state) {
        case RunState::planned:
        case RunState::running:
        case RunState::paused:
            return false;
        case RunState::done:
        case RunState::stopped:
        case RunState::failed:
        case RunState::interrupted:
            return true;
    }
    return true;
}

const char* run_kind_name(RunKind kind) {
    switch (kind) {
        case RunKind::train:
            return "train";
        case RunKind::generate:
            return "generate";
        case RunKind::probe:
            return "probe";
        case RunKind::route:
            return "route";
        case RunKind::imported:
            return "imported";
    }
    return "";
}

std::optional<RunKind> run_kind_named(std::string_view name) {
    return named(name, kRunKinds, run_kind_name);
}

}  // namespace moescope::protocol
