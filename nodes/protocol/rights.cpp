#include "nodes/protocol/rights.hpp"

#include "base/little_endian.hpp"

namespace moescope::protocol {

namespace {

constexpr std::size_t kNameLimit = 100;

}  // namespace

const char* name_of(Right right) {
    switch (right) {
        case Right::viewer:
            return "viewer";
        case Right::operator_:
            return "operator";
        case Right::admin:
            return "admin";
    }
    return "viewer";
}

std::optional<Right> right_named(std::string_view name) {
    for (const Right right : {Right::viewer, Right::operator_, Right::admin}) {
        if (name == name_of(right)) {
            return right;
        }
    }
    return std::nullopt;
}

std::vector<std::byte> encode_auth(const Auth& auth) {
    std::vector<std::byte> body;
    base::Writer writer(body);
    writer.put_bytes(auth.proof.data(), auth.proof.size());
    const std::string_view name = std::string_view(auth.name).substr(0, kNameLimit);
    writer.put(static_cast<std::uint16_t>(name.size()));
    writer.put_bytes(name.data(), name.size());
    return body;
}

std::optional<Auth> decode_auth(std::span<const std::byte> body) {
    base::Reader reader(body);
    Auth auth;
    for (auto& byte : auth.proof) {
        byte = reader.get<std::uint8_t>();
    }
    const auto size = reader.get<std::uint16_t>();
    if (!reader.good() || size > kNameLimit || size > reader.left()) {
        return std::nullopt;
    }
    auth.name = reader.get_string(size);
    return auth;
}

}  // namespace moescope::protocol
