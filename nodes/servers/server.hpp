// A server of models as the library keeps it: where it is, how it is spoken to, and what a person has allowed. The key
// is not in it, only the name of the variable of the environment that holds it.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "nodes/servers/address.hpp"
#include "routing/imports/model_shape.hpp"

namespace moescope::servers {

/// Which program answers: what goes beyond the interface that all have depends on it.
enum class Dialect : std::uint8_t {
    automatic,  ///< what the server's own list of models says (its "owned_by")
    vllm,
    sglang,
    llama,   ///< llama-server of llama.cpp
    openai,  ///< any other: nothing that OpenAI's own interface does not have
};
inline constexpr int kDialects = 5;
const char* dialect_name(Dialect dialect);  ///< "auto", "vllm", "sglang", "llama.cpp", "openai"
/// The reverse. Throws Error for any other name.
Dialect dialect_named(const std::string& name);

inline constexpr const char* kKeyVariable = "MOESCOPE_API_KEY";
inline constexpr int kSilence = 300, kLongestSilence = 3600;

struct Server {
    Address address;
    std::string key_variable = kKeyVariable;  ///< of the environment; one that is not set: no key is sent
    /// A person has said that prompts, and the key, may leave this machine. Without it only loopback addresses are
    /// connected to.
    bool remote = false;
    Dialect dialect = Dialect::automatic;
    int silence = kSilence;     ///< seconds without a byte after which the server counts as hanging
    routing::ModelShape shape;  ///< 0: not known. Without layers and experts per token SGLang's ids can't be read
};

/// Throws Error: a name that no variable has, a number that is out of range, a host that is not this machine without
/// `remote`.
void check(const Server& server);

/// Without the address, which stands beside it in the library.
nlohmann::json to_json(const Server& server);
/// From outside: what is missing has its default, what is of another kind or out of range throws Error.
Server server_from_json(const Address& address, const nlohmann::json& value);

/// The key, empty when the variable is not set. Throws Error, without showing it, when it has characters that no header
/// can hold.
std::string key_from_environment(const Server& server);

}  // namespace moescope::servers
