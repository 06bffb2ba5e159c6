// Who may view a node over a network: those whose keys were paired with it. A person makes an invitation at the node
// and pastes it into the workbench; it carries a secret that is good once, for some minutes.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "nodes/protocol/rights.hpp"
#include "nodes/security/identity.hpp"

namespace moescope::security {

using Secret = std::array<std::uint8_t, 16>;
/// What both ends of a TLS connection export, and nobody else knows.
using ChannelBinding = std::array<std::uint8_t, 32>;

/// "tls://HOST:PORT#KEY.SECRET" with both in url_text().
struct Invitation {
    std::string host;  ///< a name or an address; IPv6 without its brackets
    std::uint16_t port = 0;
    KeyHash node{};
    Secret secret{};
};
std::string to_text(const Invitation& invitation);
/// Nothing when it is none. Blanks around it do not count.
std::optional<Invitation> invitation_from(std::string_view text);

/// protocol::Auth::proof of a viewer that has the secret. Throws base::Error.
std::array<std::uint8_t, 32> proof_of(const Secret& secret, const ChannelBinding& binding);

struct PairedViewer {
    KeyHash key{};
    std::string name;  ///< as its machine calls itself
    protocol::Right right = protocol::Right::viewer;
    std::int64_t since = 0;  ///< seconds of the Unix epoch
};

/// The node's list of invitations and paired viewers, in files of one folder, for the user alone. `pair` on the command
/// line and a node that runs use it at the same time: each change is made under a lock on what the file holds then.
/// Every function may throw base::Error naming the file.
class PairingBook {
 public:
    static constexpr std::int64_t kInvitationSeconds = 600;

    explicit PairingBook(std::filesystem::path folder);

    /// `now`: seconds of the Unix epoch, also below. At most 32 are open at a time; the oldest goes.
    Secret invite(protocol::Right right, std::int64_t now, std::int64_t seconds = kInvitationSeconds);
    /// Is anybody paired, or invited still?
    bool anyone(std::int64_t now) const;
    bool invited(std::int64_t now) const;
    std::optional<protocol::Right> right_of(const KeyHash& viewer) const;
    /// Pairs the viewer when the proof is that of an invitation that is open, which then is used up.
    std::optional<protocol::Right> accept(const std::array<std::uint8_t, 32>& proof, const ChannelBinding& binding,
                                          const KeyHash& viewer, const std::string& name, std::int64_t now);
    std::vector<PairedViewer> viewers() const;
    /// Takes the right of those with that name, or whose key's text begins so, away. How many that were.
    std::size_t forget(const std::string& name_or_key);

 private:
    struct Invited {
        Secret secret{};
        protocol::Right right = protocol::Right::viewer;
        std::int64_t until = 0;
    };
    struct Content {
        std::vector<Invited> invited;
        std::vector<PairedViewer> viewers;
    };
    Content read() const;
    void write(const Content& content) const;
    class Lock;

    std::filesystem::path folder_, file_;
};

}  // namespace moescope::security
