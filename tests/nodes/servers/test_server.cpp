#include "tests/nodes/servers/test_server.hpp"

#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <fcntl.h>
#include <fmt/format.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <stdexcept>
#include <sys/socket.h>
#include <unistd.h>

#include "base/text.hpp"

namespace moescope::test {

namespace asio = boost::asio;
namespace http = boost::beast::http;

void ServerExchange::reply(unsigned status, const std::string& type, const std::string& body,
                           const std::string& more) const {
    raw(fmt::format("HTTP/1.1 {} As asked\r\nContent-Type: {}\r\nContent-Length: {}\r\n{}\r\n{}", status, type,
                    body.size(), more, body));
}

void ServerExchange::begin_events() const {
    raw("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n");
}

void ServerExchange::event(const std::string& data) const {
    raw(fmt::format("{:x}\r\ndata: {}\n\n\r\n", data.size() + 8, data));
}

void ServerExchange::end_events() const {
    raw("0\r\n\r\n");
}

bool ServerExchange::wait_closed(std::chrono::milliseconds time) const {
    const auto until = std::chrono::steady_clock::now() + time;
    for (;;) {
        const auto left =
            std::chrono::duration_cast<std::chrono::milliseconds>(until - std::chrono::steady_clock::now());
        pollfd waiting{socket_, POLLIN, 0};
        if (left.count() <= 0 || ::poll(&waiting, 1, static_cast<int>(left.count())) <= 0) {
            return false;
        }
        std::array<char, 4096> rest{};
        if (::recv(socket_, rest.data(), rest.size(), 0) <= 0) {
            return true;
        }
    }
}

TestCertificate make_certificate() {
    EVP_PKEY* key = EVP_RSA_gen(2048);
    X509* certificate = X509_new();
    X509_set_version(certificate, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
    X509_gmtime_adj(X509_getm_notBefore(certificate), -3600);
    X509_gmtime_adj(X509_getm_notAfter(certificate), 24 * 3600);
    X509_set_pubkey(certificate, key);
    X509_NAME* name = X509_get_subject_name(certificate);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, reinterpret_cast<const unsigned char*>("a test"), -1, -1, 0);
    X509_set_issuer_name(certificate, name);
    X509V3_CTX context;
    X509V3_set_ctx(&context, certificate, certificate, nullptr, nullptr, 0);
    X509_EXTENSION* names = X509V3_EXT_conf_nid(nullptr, &context, NID_subject_alt_name, "IP:127.0.0.1");
    X509_add_ext(certificate, names, -1);
    X509_sign(certificate, key, EVP_sha256());
    const auto text_of = [](BIO* memory) {
        char* data = nullptr;
        const long size = BIO_get_mem_data(memory, &data);
        std::string text(data, static_cast<std::size_t>(size));
        BIO_free(memory);
        return text;
    };
    BIO* of_key = BIO_new(BIO_s_mem());
    PEM_write_bio_PrivateKey(of_key, key, nullptr, nullptr, 0, nullptr, nullptr);
    BIO* of_certificate = BIO_new(BIO_s_mem());
    PEM_write_bio_X509(of_certificate, certificate);
    TestCertificate made{text_of(of_key), text_of(of_certificate)};
    X509_EXTENSION_free(names);
    X509_free(certificate);
    EVP_PKEY_free(key);
    return made;
}

struct TestServer::Tls {
    asio::ssl::context context{asio::ssl::context::tls_server};
};

TestServer::TestServer(Handler handler, const TestCertificate* certificate) : handler_(std::move(handler)) {
    if (certificate != nullptr) {
        tls_ = std::make_unique<Tls>();
        tls_->context.use_private_key(asio::buffer(certificate->key), asio::ssl::context::pem);
        tls_->context.use_certificate(asio::buffer(certificate->certificate), asio::ssl::context::pem);
    }
    listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    if (listener_ < 0 || ::bind(listener_, reinterpret_cast<sockaddr*>(&address), size) != 0 ||
        ::listen(listener_, 16) != 0 || ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
        throw std::runtime_error("the test server can't listen");
    }
    port_ = ntohs(address.sin_port);
    acceptor_ = std::thread([this] { accept_loop(); });
}

TestServer::~TestServer() {
    stopping_ = true;
    ::shutdown(listener_, SHUT_RDWR);
    acceptor_.join();
    ::close(listener_);
    {
        const std::lock_guard lock(mutex_);
        for (const int socket : sockets_) {
            ::shutdown(socket, SHUT_RDWR);
        }
    }
    for (std::thread& thread : threads_) {
        thread.join();
    }
}

std::string TestServer::address(const std::string& model) const {
    return fmt::format("{}://127.0.0.1:{}/v1{}{}", tls_ ? "https" : "http", port_, model.empty() ? "" : "#", model);
}

std::vector<AskedRequest> TestServer::requests() const {
    const std::lock_guard lock(mutex_);
    return requests_;
}

std::vector<AskedRequest> TestServer::requests(std::string_view target) const {
    std::vector<AskedRequest> some = requests();
    std::erase_if(some, [&](const AskedRequest& request) { return !request.target.ends_with(target); });
    return some;
}

void TestServer::accept_loop() {
    while (!stopping_) {
        const int socket = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
        if (socket < 0) {
            return;
        }
        ++connections_;
        const std::lock_guard lock(mutex_);
        sockets_.push_back(socket);
        threads_.emplace_back([this, socket] { serve(socket); });
    }
}

namespace {

template <class Stream>
void answer(Stream& stream, int socket, const TestServer::Handler& handler,
            const std::function<void(const AskedRequest&)>& on_request) {
    boost::beast::flat_buffer buffer;
    http::request_parser<http::string_body> parser;
    parser.body_limit(std::uint64_t{64} << 20);
    http::read(stream, buffer, parser);
    AskedRequest asked;
    asked.method = std::string(parser.get().method_string());
    asked.target = std::string(parser.get().target());
    asked.body = parser.get().body();
    for (const auto& field : parser.get()) {
        asked.fields[base::lower(std::string(field.name_string()))] = std::string(field.value());
    }
    on_request(asked);
    handler(ServerExchange(
        std::move(asked),
        [&](std::string_view bytes) { asio::write(stream, asio::buffer(bytes.data(), bytes.size())); }, socket));
}

}  // namespace

void TestServer::serve(int socket) {
    try {
        asio::io_context io;
        asio::ip::tcp::socket plain(io, asio::ip::tcp::v4(), ::fcntl(socket, F_DUPFD_CLOEXEC, 0));
        const auto remember = [this](const AskedRequest& asked) {
            const std::lock_guard lock(mutex_);
            requests_.push_back(asked);
        };
        if (tls_) {
            asio::ssl::stream<asio::ip::tcp::socket&> stream(plain, tls_->context);
            stream.handshake(asio::ssl::stream_base::server);
            answer(stream, socket, handler_, remember);
            boost::system::error_code ignored;
            stream.shutdown(ignored);
        } else {
            answer(plain, socket, handler_, remember);
        }
    } catch (const std::exception&) {
        // The peer has left, as many tests want it to.
    }
    const std::lock_guard lock(mutex_);
    std::erase(sockets_, socket);
    ::shutdown(socket, SHUT_RDWR);
    ::close(socket);
}

}  // namespace moescope::test
