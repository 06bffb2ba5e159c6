// What a model's process does when the model is a server: it alone connects, and only while it is asked something.
#pragma once

#include <atomic>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "nodes/servers/server_model.hpp"
#include "nodes/service/workers/worker_wire.hpp"

namespace moescope::node {

/// {"op":"open", "path": the address with the model's name, "server": what the library knows of it}: asks the server
/// for its list of models. Throws Error.
std::unique_ptr<servers::ServerModel> open_server(const nlohmann::json& request, const std::atomic<bool>& cancel);
/// The answer to it, as of any model; what a server does not say is 0 or empty. "server": the dialect.
nlohmann::json opened_server(const servers::ServerModel& model);

/// {"op":"served", "path": an address, "server"}: {"op":"ended", "models": [names], "dialect", "notes": [sentences on
/// what is left out]}. Throws Error.
nlohmann::json served_models(const nlohmann::json& request, const std::atomic<bool>& cancel);

/// {"op":"generate"} as of any model, `count` answers one after the other: the tokens are sent as they come, and where
/// the request has a "routing" that of the answer behind its last token, in pieces as of a model of our own. The answer
/// has "notes" besides: sentences on what was otherwise than asked; and no "shown". With changes of the routing, and
/// for all else that models are asked: throws Error, as a server does none of it.
nlohmann::json ask_server(servers::ServerModel& model, const std::string& op, const nlohmann::json& request,
                          WorkerWriter& writer, const std::atomic<bool>& cancel);

}  // namespace moescope::node
