#include "nodes/security/identity.hpp"

#include <memory>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <openssl/x509.h>
#include <sys/stat.h>

#include "base/atomic_files.hpp"
#include "base/input_file.hpp"

namespace moescope::security {

using base::Error;
using base::say;

namespace {

constexpr std::uint64_t kLongestFile = 64 * 1024;
constexpr char kAlphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

struct Free {
    void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
    void operator()(X509* certificate) const { X509_free(certificate); }
    void operator()(BIO* bio) const { BIO_free(bio); }
};
using Key = std::unique_ptr<EVP_PKEY, Free>;
using Certificate = std::unique_ptr<X509, Free>;
using Bio = std::unique_ptr<BIO, Free>;

Error crypto_refused() {
    return Error(say("the crypto library refuses to make a key"));
}

std::string text_of(BIO* bio) {
    char* data = nullptr;
    const long size = BIO_get_mem_data(bio, &data);
    return size > 0 ? std::string(data, static_cast<std::size_t>(size)) : std::string();
}

/// Valid for ever: who it belongs to is known by its key, and taken away by hand.
Certificate self_signed(EVP_PKEY* key) {
    Certificate certificate(X509_new());
    std::array<std::uint8_t, 8> serial{};
    fill_random(serial);
    std::uint64_t number = 0;
    for (const std::uint8_t byte : serial) {
        number = number << 8 | byte;
    }
    X509_NAME* name = certificate ? X509_get_subject_name(certificate.get()) : nullptr;
    const bool made = name != nullptr && X509_set_version(certificate.get(), X509_VERSION_3) == 1 &&
                      ASN1_INTEGER_set_uint64(X509_get_serialNumber(certificate.get()), number >> 1) == 1 &&
                      ASN1_TIME_set_string_X509(X509_getm_notBefore(certificate.get()), "20200101000000Z") == 1 &&
                      ASN1_TIME_set_string_X509(X509_getm_notAfter(certificate.get()), "99991231235959Z") == 1 &&
                      X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                                                 reinterpret_cast<const unsigned char*>("moescope"), -1, -1, 0) == 1 &&
                      X509_set_issuer_name(certificate.get(), name) == 1 &&
                      X509_set_pubkey(certificate.get(), key) == 1 &&
                      X509_sign(certificate.get(), key, EVP_sha256()) > 0;
    if (!made) {
        throw crypto_refused();
    }
    return certificate;
}

std::string make_pem() {
    const Key key(EVP_EC_gen("P-256"));
    const Bio bio(BIO_new(BIO_s_mem()));
    if (!key || !bio) {
        throw crypto_refused();
    }
    const Certificate certificate = self_signed(key.get());
    if (PEM_write_bio_PrivateKey(bio.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr) != 1 ||
        PEM_write_bio_X509(bio.get(), certificate.get()) != 1) {
        throw crypto_refused();
    }
    return text_of(bio.get());
}

Identity identity_from(const std::string& pem, const std::filesystem::path& file) {
    const Bio in(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size()))), key_out(BIO_new(BIO_s_mem())),
        certificate_out(BIO_new(BIO_s_mem()));
    if (!in || !key_out || !certificate_out) {
        throw crypto_refused();
    }
    const Key key(PEM_read_bio_PrivateKey(in.get(), nullptr, nullptr, nullptr));
    const Certificate certificate(PEM_read_bio_X509(in.get(), nullptr, nullptr, nullptr));
    const auto hash = hash_of(certificate.get());
    if (!key || !hash || X509_check_private_key(certificate.get(), key.get()) != 1) {
        throw Error(
            say("the file {} holds no key with its certificate; remove it to get a new one, with which the "
                "other side must be paired again",
                file));
    }
    PEM_write_bio_PrivateKey(key_out.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr);
    PEM_write_bio_X509(certificate_out.get(), certificate.get());
    return {text_of(key_out.get()), text_of(certificate_out.get()), *hash};
}

}  // namespace

std::string url_text(std::span<const std::uint8_t> bytes) {
    std::string text;
    std::uint32_t bits = 0;
    int held = 0;
    for (const std::uint8_t byte : bytes) {
        bits = bits << 8 | byte;
        for (held += 8; held >= 6; held -= 6) {
            text += kAlphabet[bits >> (held - 6) & 63];
        }
        bits &= (1u << held) - 1;
    }
    if (held > 0) {
        text += kAlphabet[bits << (6 - held) & 63];
    }
    return text;
}

bool from_url_text(std::string_view text, std::span<std::uint8_t> out) {
    if (text.size() != (out.size() * 8 + 5) / 6) {
        return false;
    }
    const std::string_view alphabet(kAlphabet);
    std::uint32_t bits = 0;
    int held = 0;
    std::size_t at = 0;
    for (const char letter : text) {
        const auto value = alphabet.find(letter);
        if (value == std::string_view::npos) {
            return false;
        }
        bits = bits << 6 | static_cast<std::uint32_t>(value);
        held += 6;
        if (held >= 8) {
            held -= 8;
            out[at++] = static_cast<std::uint8_t>(bits >> held);
            bits &= (1u << held) - 1;
        }
    }
    return bits == 0;  // one spelling for one value
}

std::string to_text(const KeyHash& hash) {
    return url_text(hash);
}

std::optional<KeyHash> key_hash_from(std::string_view text) {
    KeyHash hash{};
    return from_url_text(text, hash) ? std::optional(hash) : std::nullopt;
}

std::optional<KeyHash> hash_of(x509_st* certificate) {
    if (certificate == nullptr) {
        return std::nullopt;
    }
    unsigned char* der = nullptr;
    const int size = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), &der);
    if (size <= 0) {
        return std::nullopt;
    }
    KeyHash hash{};
    SHA256(der, static_cast<std::size_t>(size), hash.data());
    OPENSSL_free(der);
    return hash;
}

bool same(std::span<const std::uint8_t> a, std::span<const std::uint8_t> b) {
    return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

void fill_random(std::span<std::uint8_t> out) {
    if (RAND_bytes(out.data(), static_cast<int>(out.size())) != 1) {
        throw Error(say("the crypto library has no random numbers"));
    }
}

Identity load_or_make_identity(const std::filesystem::path& file) {
    std::error_code error;
    if (!std::filesystem::exists(std::filesystem::symlink_status(file, error))) {
        base::make_private_folders(file.parent_path());
        base::write_file_atomically(file, make_pem());
    }
    struct stat status {};
    if (::stat(file.c_str(), &status) == 0 && (status.st_mode & 077) != 0) {
        throw Error(
            say("the secret key in {} may be read by others; take that right away (chmod 600), or remove the "
                "file to get a new key",
                file));
    }
    return identity_from(base::read_file(file, kLongestFile), file);
}

}  // namespace moescope::security
