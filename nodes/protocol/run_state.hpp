// States and kinds of runs: the names that records, gauges and sentences have for them.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace moescope::protocol {

/// The value of an enumeration that is called `name`; nothing when there is none. Values are 0 to count - 1.
template <class Enum>
std::optional<Enum> named(std::string_view name, int count, const char* (*name_of)(Enum)) {
    for (int i = 0; i < count; ++i) {
        if (name == name_of(static_cast<Enum>(i))) {
            return static_cast<Enum>(i);
        }
    }
    return std::nullopt;
}

enum class RunState : std::uint8_t {
    planned,
    running,
    paused,
    done,
    stopped,
    failed,
    interrupted,  ///< its node stopped
};
inline constexpr int kRunStates = 7;
/// "planned", "running", ...
const char* run_state_name(RunState state);
/// "cancelled", which answers end with, is stopped.
std::optional<RunState> run_state_named(std::string_view name);
/// The run goes on no more by itself.
bool ended(RunState state);

enum class RunKind : std::uint8_t {
    train,
    generate,
    probe,
    route,     ///< texts are read, and what the routers decide is recorded
    imported,  ///< curves that another program recorded
};
inline constexpr int kRunKinds = 5;
const char* run_kind_name(RunKind kind);
std::optional<RunKind> run_kind_named(std::string_view name);

}  // namespace moescope::protocol
