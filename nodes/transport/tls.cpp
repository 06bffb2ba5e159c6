#include "nodes/transport/tls.hpp"

#include <openssl/ssl.h>

#include "base/error.hpp"
#include "nodes/protocol/rights.hpp"

namespace moescope::transport {

namespace ssl = asio::ssl;

namespace {

/// The key decides, see tls_context().
int accept_certificate(int, X509_STORE_CTX*) {
    return 1;
}

}  // namespace

std::shared_ptr<ssl::context> tls_context(const security::Identity& ours, bool server) {
    auto context = std::make_shared<ssl::context>(server ? ssl::context::tls_server : ssl::context::tls_client);
    SSL_CTX* native = context->native_handle();
    boost::system::error_code certificate, key;
    context->use_certificate(asio::buffer(ours.certificate_pem), ssl::context::pem, certificate);
    context->use_private_key(asio::buffer(ours.key_pem), ssl::context::pem, key);
    if (certificate || key || SSL_CTX_set_min_proto_version(native, TLS1_3_VERSION) != 1 ||
        SSL_CTX_set_max_proto_version(native, TLS1_3_VERSION) != 1 || SSL_CTX_set_num_tickets(native, 0) != 1) {
        throw base::Error(base::say("the crypto library refuses the key of this program"));
    }
    SSL_CTX_set_session_cache_mode(native, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_verify(native, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, accept_certificate);
    return context;
}

std::optional<security::KeyHash> TlsStream::peer() {
    X509* certificate = SSL_get1_peer_certificate(stream_->native_handle());
    const auto hash = security::hash_of(certificate);
    X509_free(certificate);
    return hash;
}

std::optional<security::ChannelBinding> TlsStream::binding() {
    security::ChannelBinding binding{};
    const std::string_view label = protocol::kExporterLabel;
    if (SSL_export_keying_material(stream_->native_handle(), binding.data(), binding.size(), label.data(), label.size(),
                                   nullptr, 0, 0) != 1) {
        return std::nullopt;
    }
    return binding;
}

}  // namespace moescope::transport
