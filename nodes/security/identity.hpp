// Who a program is on a network: a P-256 key of its own with a certificate that nobody but itself has signed. Peers
// know each other by the hash of the key (pinning), not by names or authorities.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/error.hpp"

struct x509_st;  // OpenSSL's X509

namespace moescope::security {

/// SHA-256 of a public key (SubjectPublicKeyInfo, DER).
using KeyHash = std::array<std::uint8_t, 32>;

/// 43 characters of the URL alphabet of base64, without padding; and back, strictly.
std::string to_text(const KeyHash& hash);
std::optional<KeyHash> key_hash_from(std::string_view text);

struct Identity {
    std::string key_pem, certificate_pem;
    KeyHash hash{};
};

/// The identity in that file (one PEM text: key, certificate). Made when the file is not there: mode 0600, in a folder
/// for the user alone. Throws base::Error: the file can't be read or made, is damaged, or others may read it.
Identity load_or_make_identity(const std::filesystem::path& file);

/// Of a certificate; null gives nothing.
std::optional<KeyHash> hash_of(x509_st* certificate);

/// Equal, in a time that does not tell where they differ.
bool same(std::span<const std::uint8_t> a, std::span<const std::uint8_t> b);

/// From the system's generator. Throws base::Error.
void fill_random(std::span<std::uint8_t> out);

/// Base64 with '-' and '_' and without padding; back: nothing when a character or the length is wrong.
std::string url_text(std::span<const std::uint8_t> bytes);
bool from_url_text(std::string_view text, std::span<std::uint8_t> out);

}  // namespace moescope::security
