// HELLO and REFUSE, the two frames whose layout never changes: they are how any version tells any other that they don't
// fit.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/error.hpp"

namespace moescope::protocol {

using base::say;
using base::Sentence;

inline constexpr std::uint16_t kMajor = 2;        ///< rises when an older peer can't understand us
inline constexpr std::uint16_t kMinor = 2;        ///< rises with every addition
inline constexpr std::uint16_t kOldestMajor = 2;  ///< the oldest major that we still speak

enum class Role : std::uint8_t { node = 0, viewer = 1 };

struct Hello {
    std::uint16_t major = kMajor, minor = kMinor, oldest_major = kOldestMajor;
    Role role = Role::viewer;
    std::array<std::uint8_t, 16> node_id{};
    std::uint64_t epoch = 0;
    std::string build;     ///< at most 200 bytes; cut when longer
    std::string features;  ///< comma separated, at most 1,000 bytes; cut when longer

    bool operator==(const Hello&) const = default;
};

std::vector<std::byte> encode_hello(const Hello& hello);
/// Bytes after the known fields are ignored (a later version may append some).
std::optional<Hello> decode_hello(std::span<const std::byte> body);

enum class RefuseCode : std::uint16_t { version = 1, not_allowed = 2, busy = 3, bad_greeting = 4 };

struct Refuse {
    RefuseCode code = RefuseCode::version;
    std::uint16_t major = kMajor, minor = kMinor;  ///< of the one that refuses
    std::string text;                              ///< at most 1,000 bytes
};
std::vector<std::byte> encode_refuse(const Refuse& refuse);
std::optional<Refuse> decode_refuse(std::span<const std::byte> body);

/// Do the two speak a common major version?
bool compatible(const Hello& ours, const Hello& theirs);
/// Says both versions and which side to update.
base::Sentence version_problem(const Hello& ours, const Hello& theirs);

}  // namespace moescope::protocol
