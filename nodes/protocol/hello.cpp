#include "nodes/protocol/hello.hpp"

#include <cstring>

#include "base/little_endian.hpp"

namespace moescope::protocol {

namespace {

constexpr char kMagic[8] = {'M', 'O', 'E', 'S', 'C', 'O', 'P', 'E'};
constexpr std::size_t kBuildLimit = 200, kFeatureLimit = 1000, kRefuseTextLimit = 1000;

void put_text(base::Writer& writer, std::string_view text, std::size_t limit) {
    text = text.substr(0, limit);
    writer.put(static_cast<std::uint16_t>(text.size()));
    writer.put_bytes(text.data(), text.size());
}

std::optional<std::string> get_text(base::Reader& reader, std::size_t limit) {
    const auto size = reader.get<std::uint16_t>();
    if (!reader.good() || size > limit || size > reader.left()) {
        return std::nullopt;
    }
    return reader.get_string(size);
}

std::string version_text(std::uint16_t major, std::uint16_t minor) {
    return std::to_string(major) + "." + std::to_string(minor);
}

}  // namespace

std::vector<std::byte> encode_hello(const Hello& hello) {
    std::vector<std::byte> body;
    base::Writer writer(body);
    writer.put_bytes(kMagic, sizeof kMagic);
    writer.put(hello.major);
    writer.put(hello.minor);
    writer.put(hello.oldest_major);
    writer.put(hello.role);
    const std::byte reserved[5]{};
    writer.put_bytes(reserved, sizeof reserved);
    writer.put_bytes(hello.node_id.data(), hello.node_id.size());
    writer.put(hello.epoch);
    put_text(writer, hello.build, kBuildLimit);
    put_text(writer, hello.features, kFeatureLimit);
    return body;
}

std::optional<Hello> decode_hello(std::span<const std::byte> body) {
    base::Reader reader(body);
    if (reader.get_string(sizeof kMagic) != std::string_view(kMagic, sizeof kMagic)) {
        return std::nullopt;
    }
    Hello hello;
    hello.major = reader.get<std::uint16_t>();
    hello.minor = reader.get<std::uint16_t>();
    hello.oldest_major = reader.get<std::uint16_t>();
    hello.role = static_cast<Role>(reader.get<std::uint8_t>());
    reader.skip(5);
    for (auto& byte : hello.node_id) {
        byte = reader.get<std::uint8_t>();
    }
    hello.epoch = reader.get<std::uint64_t>();
    const auto build = get_text(reader, kBuildLimit);
    const auto features = get_text(reader, kFeatureLimit);
    if (!build || !features || !reader.good()) {
        return std::nullopt;
    }
    hello.build = *build;
    hello.features = *features;
    return hello;
}

std::vector<std::byte> encode_refuse(const Refuse& refuse) {
    std::vector<std::byte> body;
    base::Writer writer(body);
    writer.put(refuse.code);
    writer.put(refuse.major);
    writer.put(refuse.minor);
    const std::string_view text = std::string_view(refuse.text).substr(0, kRefuseTextLimit);
    writer.put_bytes(text.data(), text.size());
    return body;
}

std::optional<Refuse> decode_refuse(std::span<const std::byte> body) {
    base::Reader reader(body);
    Refuse refuse;
    refuse.code = static_cast<RefuseCode>(reader.get<std::uint16_t>());
    refuse.major = reader.get<std::uint16_t>();
    refuse.minor = reader.get<std::uint16_t>();
    if (!reader.good() || reader.left() > kRefuseTextLimit) {
        return std::nullopt;
    }
    refuse.text = reader.get_string(reader.left());
    return refuse;
}

bool compatible(const Hello& ours, const Hello& theirs) {
    return theirs.major >= ours.oldest_major && ours.major >= theirs.oldest_major;
}

Sentence version_problem(const Hello& ours, const Hello& theirs) {
    const auto name = [](const Hello& side) {
        return side.role == Role::node ? base::marked("the node") : base::marked("the workbench");
    };
    const Hello& older = ours.major < theirs.major ? ours : theirs;
    return say("{} speaks protocol {} and {} speaks {}; update {} so that both have the same major version", name(ours),
               version_text(ours.major, ours.minor), name(theirs), version_text(theirs.major, theirs.minor),
               name(older));
}

}  // namespace moescope::protocol
