// The choice of the session, and with it of the node, that does what a form puts together. GUI thread.
#pragma once

#include <cstdint>
#include <optional>

#include "panels/ui/context.hpp"

namespace moescope::ui {

/// Whether there is anything to choose: more than one session is open.
bool has_choice_of_session(const Context& ctx);
/// Its name, and the machine: "evening – this computer".
std::string session_title(const Context& ctx, const OpenedSession& session);
/// Label and list ("###where") at the beginning of a row, with the session in front as what is chosen; nothing is drawn
/// without a choice. The other session that was chosen: what the form holds is to be handed over to it.
std::optional<std::uint64_t> choose_session(const Context& ctx);

}  // namespace moescope::ui
