#include "base/sha256.hpp"

#include <array>
#include <cerrno>
#include <openssl/evp.h>
#include <unistd.h>
#include <vector>

#include "base/error.hpp"
#include "base/file_io.hpp"

namespace moescope::base {

struct Sha256::Impl {
    std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context{EVP_MD_CTX_new(), EVP_MD_CTX_free};
};

Sha256::Sha256() : impl_(std::make_unique<Impl>()) {
    if (!impl_->context || EVP_DigestInit_ex(impl_->context.get(), EVP_sha256(), nullptr) != 1) {
        throw Error(say("SHA-256 is not available in this system's OpenSSL"));
    }
}

Sha256::~Sha256() = default;

void Sha256::add(std::string_view bytes) {
    if (EVP_DigestUpdate(impl_->context.get(), bytes.data(), bytes.size()) != 1) {
        throw Error(say("SHA-256 failed"));
    }
}

std::string Sha256::finish() {
    std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
    unsigned length = 0;
    if (EVP_DigestFinal_ex(impl_->context.get(), digest.data(), &length) != 1) {
        throw Error(say("SHA-256 failed"));
    }
    constexpr std::string_view kDigits = "0123456789abcdef";
    std::string text;
    for (unsigned i = 0; i < length; ++i) {
        text += kDigits[digest[i] >> 4];
        text += kDigits[digest[i] & 15];
    }
    return text;
}

std::string sha256_of_file(const std::filesystem::path& path, const std::function<void()>& check) {
    const Descriptor file = open_for_reading(path);
    const auto fail = [&]() -> Error { return Error(say("{} can't be read: {}", path, system_sentence(errno))); };
    if (!file) {
        throw fail();
    }
    Sha256 hash;
    std::vector<char> buffer(1 << 20);
    for (;;) {
        if (check) {
            check();
        }
        const ssize_t count = ::read(file.get(), buffer.data(), buffer.size());
        if (count < 0 && errno == EINTR) {
            continue;
        }
        if (count < 0) {
            throw fail();
        }
        if (count == 0) {
            return hash.finish();
        }
        hash.add({buffer.data(), static_cast<std::size_t>(count)});
    }
}

std::string sha256(std::string_view bytes) {
    Sha256 hash;
    hash.add(bytes);
    return hash.finish();
}

}  // namespace moescope::base
