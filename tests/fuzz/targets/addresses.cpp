// Addresses of nodes and servers, invitations, and what stands beside an address in the library.
#include "base/json_guard.hpp"
#include "nodes/servers/server.hpp"
#include "nodes/transport/node_address.hpp"
#include "tests/fuzz/input.hpp"

using namespace moescope;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view text = fuzz::text_of(data, size);
    try {
        const servers::Address address = servers::parse_address(text);
        fuzz::expect(address.port != 0 && servers::parse_address(address.text()) == address, "an address survives");
        fuzz::accepted();
    } catch (const base::Error&) {
    }
    try {
        const transport::NodeAddress address = transport::parse_node_address(text);
        fuzz::expect(transport::parse_node_address(transport::to_text(address)) == address,
                     "a node's address survives");
        fuzz::accepted();
    } catch (const base::Error&) {
    }
    try {
        (void)transport::parse_listen_address(text);
    } catch (const base::Error&) {
    }
    if (const auto invitation = security::invitation_from(text)) {
        const auto again = security::invitation_from(security::to_text(*invitation));
        fuzz::expect(again && again->host == invitation->host && again->port == invitation->port &&
                         again->secret == invitation->secret && again->node == invitation->node,
                     "an invitation survives");
        fuzz::accepted();
    }
    if (const auto value = base::parse_json(fuzz::bytes_of(data, size), 64 << 10)) {
        try {
            const servers::Server server =
                servers::server_from_json(servers::parse_address("http://127.0.0.1:8000/v1#m"), *value);
            fuzz::expect(servers::to_json(servers::server_from_json(server.address, servers::to_json(server))) ==
                             servers::to_json(server),
                         "a server survives");
            fuzz::accepted();
        } catch (const base::Error&) {
        }
    }
    return 0;
}
