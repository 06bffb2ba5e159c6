// The nodes that a workbench was paired with, by their addresses, and the keys that they must show.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>

#include "nodes/security/identity.hpp"

namespace moescope::security {

/// In one file of the user's own. Several programs may use it at the same time. Every function may throw base::Error
/// naming the file.
class KnownNodes {
 public:
    explicit KnownNodes(std::filesystem::path file) : file_(std::move(file)) {}

    /// Of the node at that address ("tls://HOST:PORT").
    std::optional<KeyHash> key_of(const std::string& address) const;
    void remember(const std::string& address, const KeyHash& key);
    void forget(const std::string& address);

 private:
    std::map<std::string, KeyHash> read() const;
    void write(const std::map<std::string, KeyHash>& nodes) const;

    std::filesystem::path file_;
};

}  // namespace moescope::security
