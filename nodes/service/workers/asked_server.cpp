#include "nodes/service/workers/asked_server.hpp"

#include <algorithm>
#include <utility>

#include "base/json_fields.hpp"
#include "base/text.hpp"
#include "nodes/service/library/command_error.hpp"
#include "routing/imports/model_shape.hpp"

namespace moescope::node {

using nlohmann::json;

servers::Server server_in(const Parameters& parameters) {
    servers::Server server;
    server.address = servers::parse_address(parameters.path("path"));
    server.key_variable = parameters.text("key_variable", servers::kKeyVariable);
    server.remote = parameters.flag("remote", false);
    server.dialect = servers::dialect_named(parameters.text("dialect", servers::dialect_name(server.dialect)));
    server.silence = static_cast<int>(parameters.integer("silence", servers::kSilence, 1, servers::kLongestSilence));
    if (parameters.has("config")) {
        server.shape = routing::read_model_shape(parameters.path("config"));
    }
    server.shape.model = server.address.model;
    servers::check(server);
    return server;
}

AskedServer ask_for_models(WorkerPool& workers, const servers::Server& server, const std::atomic<bool>& cancel) {
    const json answer =
        workers.ask_once({{"op", "served"}, {"path", server.address.text()}, {"server", servers::to_json(server)}},
                         say("asking {} for its models", server.address.server()), cancel);
    return {base::texts_of(answer, "models"), base::text_of(answer, "dialect"), sentences_in(answer, "notes")};
}

servers::Server with_its_model(WorkerPool& workers, servers::Server server, const std::atomic<bool>& cancel) {
    if (!server.address.model.empty()) {
        return server;
    }
    const std::string name = server.address.server();
    const AskedServer asked = ask_for_models(workers, server, cancel);
    if (asked.models.empty()) {
        throw CommandError(!asked.notes.empty()
                               ? asked.notes.front()
                               : say("{} has no list of models; write the name of one behind a #", name));
    }
    if (asked.models.size() > 1) {
        constexpr std::size_t kMostNames = 20;
        std::vector<std::string> names = asked.models;
        names.resize(std::min(names.size(), kMostNames));
        throw CommandError(say("{} has {} models; write the name of one behind a #: {}", name, asked.models.size(),
                               base::joined(names)));
    }
    // Checked as one that a person writes.
    server.address = servers::parse_address(name + "#" + asked.models.front());
    server.shape.model = server.address.model;
    return server;
}

}  // namespace moescope::node
