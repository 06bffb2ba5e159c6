// What ended an answer. One table for the engine, the records, the label rules, the window and the report.
#pragma once

#include <array>
#include <optional>
#include <string_view>

namespace moescope::base {

enum class StopReason {
    end,        ///< the model ended by itself
    length,     ///< the limit of tokens that was set ("max. tokens")
    context,    ///< prompt and answer filled the model's context
    time,       ///< a limit of time
    cancelled,  ///< a person
    error,      ///< something broke
    filtered,   ///< a service's filter: of a model on a server, and of answers made elsewhere
};
inline constexpr std::array kStopReasons{StopReason::end,     StopReason::length,    StopReason::context,
                                         StopReason::time,    StopReason::cancelled, StopReason::error,
                                         StopReason::filtered};

/// As records, JSON and keys of texts write it: the name of the enumerator.
std::string_view stop_name(StopReason reason);
/// Our own names and those of the larger interfaces ("stop", "MAX_TOKENS", "content_filter", ...), letter case aside.
std::optional<StopReason> stop_from_name(std::string_view name);
/// The answer may have had more to say: length, context, time, cancelled.
bool stopped_early(StopReason reason);

}  // namespace moescope::base
