// How a question is put to models, for whoever asks: the chat template, a system text, and what came of both.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "panels/ui/context.hpp"

namespace moescope::panels {

/// A box for the chat template and a button that opens a field for a system text and says whether there is one. `key`
/// keeps two of them apart. The button is dim without the chat template, which a system text needs.
void question_fields(ui::Context& ctx, const char* key, bool& chat, std::string& system);
/// "chat" and "system" of a command, where they are not what the node takes anyway.
void put_question(nlohmann::json& parameters, bool chat, const std::string& system);
/// For answers and measurements that belong together; no two are the same.
std::string new_group_id();
/// Of the last item: what a model read before its answer, when that is known.
void shown_tooltip(const ui::Context& ctx, const std::string& shown);

}  // namespace moescope::panels
