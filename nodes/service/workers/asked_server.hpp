// Servers as commands and command line name them, and which models one has. Nothing here connects: that is the work of
// a model's process (worker_server.hpp).
#pragma once

#include <atomic>
#include <initializer_list>
#include <string>
#include <vector>

#include "nodes/servers/server.hpp"
#include "nodes/service/library/parameters.hpp"
#include "nodes/service/workers/worker_pool.hpp"

namespace moescope::node {

/// The parameters that say more of a server than its address.
inline constexpr auto kServerParameters = {"path", "key_variable", "config", "remote", "dialect", "silence"};

/// From "path" (an address, with or without the model's name), "key_variable", "config" (a config.json: layers and
/// experts of its model), "remote", "dialect" and "silence". Throws CommandError, or base::Error: a value that can't
/// be, a config that can't be read.
servers::Server server_in(const Parameters& parameters);

struct AskedServer {
    std::vector<std::string> models;  ///< names; empty: it has no list
    std::string dialect;
    std::vector<base::Sentence> notes;  ///< what of its list is left out, and why
};
/// What the server says. Throws WorkerError in one sentence.
AskedServer ask_for_models(WorkerPool& workers, const servers::Server& server, const std::atomic<bool>& cancel);

/// The server with the name of its model, which is asked for where the address has none. Throws CommandError: the
/// server has no list, none that could be asked for, or more than one model; and as ask_for_models.
servers::Server with_its_model(WorkerPool& workers, servers::Server server, const std::atomic<bool>& cancel);

}  // namespace moescope::node
