#include "nodes/servers/server.hpp"

#include <algorithm>
#include <array>
#include <cstdlib>

#include "base/error.hpp"
#include "base/foreign_text.hpp"
#include "base/json_fields.hpp"
#include "routing/router_spec.hpp"

namespace moescope::servers {

using base::Error;
using base::say;
using nlohmann::json;

namespace {

constexpr std::array<const char*, kDialects> kNames = {"auto", "vllm", "sglang", "llama.cpp", "openai"};
constexpr std::size_t kLongestVariable = 100, kLongestKey = 4096;

bool is_variable(const std::string& name) {
    const auto letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; };
    return !name.empty() && name.size() <= kLongestVariable && letter(name.front()) &&
           std::all_of(name.begin(), name.end(), [&](char c) { return letter(c) || (c >= '0' && c <= '9'); });
}

int number_in(const json& value, const char* key, int otherwise, int most) {
    const json& given = base::member(value, key);
    if (given.is_null()) {
        return otherwise;
    }
    const auto whole = base::as_integer(given);
    if (!whole || *whole < 0 || *whole > most) {
        throw Error(say("\"{}\" of a server is no whole number from 0 to {}", key, most));
    }
    return static_cast<int>(*whole);
}

routing::ModelShape shape_from(const json& value) {
    routing::ModelShape shape;
    shape.layers = number_in(value, "layers", 0, routing::kMostLayers);
    shape.experts = number_in(value, "experts", 0, routing::kMostExperts);
    shape.per_token = number_in(value, "experts_per_token", 0, routing::kMostExperts);
    shape.shared_experts = number_in(value, "shared_experts", 0, routing::kMostExperts);
    const json& routed = base::member(value, "routed_layers");
    for (std::size_t i = 0; routed.is_array() && i < routed.size(); ++i) {
        const auto layer = base::as_integer(routed[i]);
        const int before = shape.routed_layers.empty() ? -1 : shape.routed_layers.back();
        if (!layer || *layer <= before || *layer >= shape.layers) {
            throw Error(say("\"routed_layers\" of a server are no layers of its model in ascending order"));
        }
        shape.routed_layers.push_back(static_cast<int>(*layer));
    }
    return shape;
}

}  // namespace

const char* dialect_name(Dialect dialect) {
    return kNames[static_cast<std::size_t>(dialect)];
}

Dialect dialect_named(const std::string& name) {
    const auto found = std::find(kNames.begin(), kNames.end(), name);
    if (found == kNames.end()) {
        throw Error(
            say("a server is spoken to as auto, vllm, sglang, llama.cpp or openai, not as '{}'", base::one_line(name)));
    }
    return static_cast<Dialect>(found - kNames.begin());
}

void check(const Server& server) {
    if (!is_variable(server.key_variable)) {
        throw Error(say("'{}' is no name of a variable of the environment; write its name, never the key itself",
                        base::one_line(server.key_variable)));
    }
    if (server.silence < 1 || server.silence > kLongestSilence) {
        throw Error(say("a server can be waited for from 1 to {} seconds, not {}", kLongestSilence, server.silence));
    }
    if (!server.remote && !names_this_machine(server.address)) {
        throw Error(server.address.tls
                        ? say("{} is not this machine: prompts, answers and the key would leave it; say that they may "
                              "(allow remote) if you want that",
                              server.address.server())
                        : say("{} is not this machine: prompts, answers and the key would leave it, and unencrypted; "
                              "say that they may (allow remote) if you want that, or use https",
                              server.address.server()));
    }
}

json to_json(const Server& server) {
    json value = {{"key_variable", server.key_variable},
                  {"remote", server.remote},
                  {"dialect", dialect_name(server.dialect)},
                  {"silence", server.silence}};
    const routing::ModelShape& shape = server.shape;
    if (shape.layers > 0 || shape.experts > 0 || shape.per_token > 0) {
        value["shape"] = {{"layers", shape.layers},
                          {"experts", shape.experts},
                          {"experts_per_token", shape.per_token},
                          {"shared_experts", shape.shared_experts},
                          {"routed_layers", shape.routed_layers}};
    }
    return value;
}

Server server_from_json(const Address& address, const json& value) {
    Server server;
    server.address = address;
    if (const json& variable = base::member(value, "key_variable"); !variable.is_null()) {
        server.key_variable = variable.is_string() ? variable.get<std::string>() : std::string();
    }
    const json& remote = base::member(value, "remote");
    server.remote = remote.is_boolean() && remote.get<bool>();
    if (const json& dialect = base::member(value, "dialect"); !dialect.is_null()) {
        server.dialect = dialect_named(base::text_of(value, "dialect"));
    }
    server.silence = number_in(value, "silence", kSilence, kLongestSilence);
    server.shape = shape_from(base::member(value, "shape"));
    server.shape.model = address.model;
    check(server);
    return server;
}

std::string key_from_environment(const Server& server) {
    const char* value = std::getenv(server.key_variable.c_str());
    std::string key = value == nullptr ? "" : value;
    const bool plain = std::all_of(key.begin(), key.end(), [](char c) { return c > ' ' && c < '\x7f'; });
    if (!plain || key.size() > kLongestKey) {
        throw Error(
            say("the variable {} holds something that can't be a key: blanks, line breaks, letters that are "
                "not ASCII, or more than {} bytes",
                server.key_variable, kLongestKey));
    }
    return key;
}

}  // namespace moescope::servers
