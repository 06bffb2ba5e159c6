#include "nodes/security/pairing.hpp"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <nlohmann/json.hpp>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/atomic_files.hpp"
#include "base/file_io.hpp"
#include "base/foreign_text.hpp"
#include "base/input_file.hpp"
#include "base/json_fields.hpp"
#include "base/json_guard.hpp"
#include "base/text.hpp"
#include "nodes/security/host_port.hpp"

namespace moescope::security {

using base::Error;
using base::say;
using nlohmann::json;

namespace {

constexpr std::string_view kScheme = "tls://";
constexpr std::size_t kMostInvitations = 32, kMostViewers = 1000, kLongestName = 100;
constexpr std::uint64_t kLongestFile = 1 << 20;

}  // namespace

std::string to_text(const Invitation& invitation) {
    return std::string(kScheme) + bracketed(invitation.host) + ":" + std::to_string(invitation.port) + "#" +
           to_text(invitation.node) + "." + url_text(invitation.secret);
}

std::optional<Invitation> invitation_from(std::string_view text) {
    std::string_view rest = base::trimmed(text);
    if (!rest.starts_with(kScheme)) {
        return std::nullopt;
    }
    rest.remove_prefix(kScheme.size());
    const auto hash = rest.find('#');
    const auto dot = hash == std::string_view::npos ? hash : rest.find('.', hash);
    if (dot == std::string_view::npos) {
        return std::nullopt;
    }
    const auto place = host_port_from(rest.substr(0, hash));
    Invitation invitation;
    if (!place || !place->port || *place->port == 0 ||
        !from_url_text(rest.substr(hash + 1, dot - hash - 1), invitation.node) ||
        !from_url_text(rest.substr(dot + 1), invitation.secret)) {
        return std::nullopt;
    }
    invitation.host = place->host;
    invitation.port = *place->port;
    return invitation;
}

std::array<std::uint8_t, 32> proof_of(const Secret& secret, const ChannelBinding& binding) {
    std::string message = "moescope viewer";
    message.append(reinterpret_cast<const char*>(binding.data()), binding.size());
    std::array<std::uint8_t, 32> proof{};
    unsigned int size = 0;
    if (HMAC(EVP_sha256(), secret.data(), static_cast<int>(secret.size()),
             reinterpret_cast<const unsigned char*>(message.data()), message.size(), proof.data(), &size) == nullptr ||
        size != proof.size()) {
        throw Error(say("the crypto library refuses to make a proof"));
    }
    return proof;
}

/// Held while the file is changed.
class PairingBook::Lock {
 public:
    explicit Lock(const std::filesystem::path& folder)
        : file_(::open((folder / "paired.lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600)) {
        int locked = -1;
        do {
            locked = file_ ? ::flock(file_.get(), LOCK_EX) : -1;
        } while (locked != 0 && errno == EINTR);
        if (locked != 0) {
            throw Error(say("the file {} can't be locked: {}", folder / "paired.lock", base::system_sentence(errno)));
        }
    }

 private:
    base::Descriptor file_;  ///< closing it lets go
};

PairingBook::PairingBook(std::filesystem::path folder) : folder_(std::move(folder)), file_(folder_ / "paired.json") {
    base::make_private_folders(folder_);
}

PairingBook::Content PairingBook::read() const {
    std::error_code error;
    if (!std::filesystem::exists(std::filesystem::symlink_status(file_, error))) {
        return {};
    }
    struct stat status {};
    if (::stat(file_.c_str(), &status) == 0 && (status.st_mode & 077) != 0) {
        throw Error(
            say("the list of paired workbenches in {} may be read by others; take that right away (chmod 600)", file_));
    }
    const json text = base::read_json_file(file_, kLongestFile);
    const json &invitations = base::member(text, "invitations"), &viewers = base::member(text, "viewers");
    const Error damaged(say("the list of paired workbenches in {} is damaged; remove it and pair them again", file_));
    if (!invitations.is_array() || !viewers.is_array()) {
        throw damaged;
    }
    Content content;
    for (const json& entry : invitations) {
        Invited one;
        const auto right = protocol::right_named(base::text_of(entry, "right"));
        if (!right || !from_url_text(base::text_of(entry, "secret"), one.secret)) {
            throw damaged;
        }
        one.right = *right;
        one.until = base::integer_of(entry, "until", 0);
        content.invited.push_back(one);
    }
    for (const json& entry : viewers) {
        PairedViewer one;
        const auto right = protocol::right_named(base::text_of(entry, "right"));
        const auto key = key_hash_from(base::text_of(entry, "key"));
        if (!right || !key) {
            throw damaged;
        }
        one.key = *key;
        one.right = *right;
        one.name = base::text_of(entry, "name");
        one.since = base::integer_of(entry, "since", 0);
        content.viewers.push_back(std::move(one));
    }
    return content;
}

void PairingBook::write(const Content& content) const {
    json invitations = json::array(), viewers = json::array();
    for (const Invited& one : content.invited) {
        invitations.push_back(
            {{"secret", url_text(one.secret)}, {"right", protocol::name_of(one.right)}, {"until", one.until}});
    }
    for (const PairedViewer& one : content.viewers) {
        viewers.push_back({{"key", to_text(one.key)},
                           {"name", one.name},
                           {"right", protocol::name_of(one.right)},
                           {"since", one.since}});
    }
    base::write_file_atomically(file_, base::dump_json({{"invitations", invitations}, {"viewers", viewers}}) + "\n");
}

Secret PairingBook::invite(protocol::Right right, std::int64_t now, std::int64_t seconds) {
    const Lock lock(folder_);
    Content content = read();
    std::erase_if(content.invited, [&](const Invited& one) { return one.until <= now; });
    if (content.invited.size() >= kMostInvitations) {
        content.invited.erase(content.invited.begin());
    }
    Invited one;
    fill_random(one.secret);
    one.right = right;
    one.until = now + seconds;
    content.invited.push_back(one);
    write(content);
    return one.secret;
}

bool PairingBook::invited(std::int64_t now) const {
    const Content content = read();
    return std::any_of(content.invited.begin(), content.invited.end(),
                       [&](const Invited& one) { return one.until > now; });
}

bool PairingBook::anyone(std::int64_t now) const {
    return !read().viewers.empty() || invited(now);
}

std::optional<protocol::Right> PairingBook::right_of(const KeyHash& viewer) const {
    for (const PairedViewer& one : read().viewers) {
        if (same(one.key, viewer)) {
            return one.right;
        }
    }
    return std::nullopt;
}

std::optional<protocol::Right> PairingBook::accept(const std::array<std::uint8_t, 32>& proof,
                                                   const ChannelBinding& binding, const KeyHash& viewer,
                                                   const std::string& name, std::int64_t now) {
    const Lock lock(folder_);
    Content content = read();
    std::erase_if(content.invited, [&](const Invited& one) { return one.until <= now; });
    const auto found = std::find_if(content.invited.begin(), content.invited.end(),
                                    [&](const Invited& one) { return same(proof_of(one.secret, binding), proof); });
    if (found == content.invited.end() || content.viewers.size() >= kMostViewers) {
        return std::nullopt;
    }
    PairedViewer one{viewer, base::one_line(name, kLongestName), found->right, now};
    content.invited.erase(found);
    std::erase_if(content.viewers, [&](const PairedViewer& known) { return known.key == viewer; });
    const protocol::Right right = one.right;
    content.viewers.push_back(std::move(one));
    write(content);  // before anybody is let in: a secret that is used up stays so
    return right;
}

std::vector<PairedViewer> PairingBook::viewers() const {
    return read().viewers;
}

std::size_t PairingBook::forget(const std::string& name_or_key) {
    const Lock lock(folder_);
    Content content = read();
    const std::size_t before = content.viewers.size();
    if (!name_or_key.empty()) {
        std::erase_if(content.viewers, [&](const PairedViewer& one) {
            return one.name == name_or_key || (name_or_key.size() >= 6 && to_text(one.key).starts_with(name_or_key));
        });
    }
    if (content.viewers.size() != before) {
        write(content);
    }
    return before - content.viewers.size();
}

}  // namespace moescope::security
