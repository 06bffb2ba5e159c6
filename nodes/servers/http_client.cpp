#include "nodes/servers/http_client.hpp"

#include <algorithm>
#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <limits>
#include <optional>
#include <utility>
#include <vector>

#include "base/error.hpp"
#include "base/foreign_text.hpp"
#include "base/text.hpp"

namespace moescope::servers {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using asio::ip::tcp;
using base::Error;
using base::say;
using base::Sentence;
using Clock = std::chrono::steady_clock;
using ErrorCode = boost::system::error_code;
using Milliseconds = std::chrono::milliseconds;

namespace {

constexpr Milliseconds kLook{50};  ///< between two looks at the time and at who cancels
constexpr Milliseconds kConnect{10'000};
constexpr std::chrono::hours kLongest{6};  ///< of one answer, however steadily it comes
constexpr std::uint32_t kHead = 64 * 1024;
constexpr std::size_t kPiece = 64 * 1024, kBuffer = 2 * kPiece;
constexpr std::size_t kLongestWords = 300;

bool is_this_machine(const asio::ip::address& address) {
    if (address.is_v6() && address.to_v6().is_v4_mapped()) {
        return asio::ip::make_address_v4(asio::ip::v4_mapped, address.to_v6()).is_loopback();
    }
    return address.is_loopback();
}

/// The system's own words, else those of the library.
Sentence words_of(const ErrorCode& code) {
    return code.category() == boost::system::system_category() || code.category() == boost::system::generic_category()
               ? base::system_sentence(code.value())
               : Sentence::verbatim(base::one_line(code.message(), kLongestWords));
}

/// One connection. Each step of it ends by itself, when its time is over, or when somebody cancels.
class Steps {
 public:
    enum class End { done, late, cancelled };

    explicit Steps(const std::atomic<bool>& cancel) : cancel_(cancel), until_(Clock::now() + kLongest) {}
    asio::io_context& context() { return io_; }
    tcp::socket& socket() { return socket_; }

    /// `begin` starts one operation with the handler that it is given.
    template <class Begin>
    End run(Milliseconds time, ErrorCode& error, const Begin& begin) {
        if (cancel_) {
            return End::cancelled;
        }
        const Clock::time_point until = std::min<Clock::time_point>(Clock::now() + time, until_);
        End end = End::done;
        bool over = false;
        begin([&over, &error](const ErrorCode& code, auto&&...) {
            over = true;
            error = code;
        });
        while (!over) {
            io_.restart();
            io_.run_one_for(kLook);
            if (over || end != End::done) {
                continue;  // an operation that was cut off still says so
            }
            end = cancel_ ? End::cancelled : Clock::now() >= until ? End::late : End::done;
            if (end != End::done) {
                ErrorCode ignored;
                socket_.close(ignored);
            }
        }
        return end;
    }

 private:
    const std::atomic<bool>& cancel_;
    const Clock::time_point until_;
    asio::io_context io_{1};
    tcp::socket socket_{io_};
};

}  // namespace

class HttpClient::Impl {
 public:
    Impl(Address address, bool remote, std::string key)
        : address_(std::move(address)),
          remote_(remote),
          key_(std::move(key)),
          name_(say("the server at {}", address_.server())) {}

    void resolve() {
        std::vector<tcp::endpoint> found;
        ErrorCode error;
        if (const auto given = asio::ip::make_address(address_.host, error); !error) {
            found.emplace_back(given, address_.port);
        } else {
            asio::io_context io;
            tcp::resolver resolver(io);
            for (const auto& entry : resolver.resolve(address_.host, std::to_string(address_.port),
                                                      tcp::resolver::numeric_service, error)) {
                found.push_back(entry.endpoint());
            }
            if (found.empty()) {
                throw Error(say("{} can't be found: {}", name_, words_of(error)));
            }
        }
        endpoints_.clear();
        std::copy_if(found.begin(), found.end(), std::back_inserter(endpoints_),
                     [&](const tcp::endpoint& one) { return remote_ || is_this_machine(one.address()); });
        if (endpoints_.empty()) {
            throw Error(say("{} is at {}, which is not this machine, and nobody has said that anything may leave it",
                            name_, found.front().address().to_string()));
        }
    }

    bool ask(const HttpQuestion& question, const std::function<void(const HttpHead&)>& on_head,
             const std::function<bool(std::string_view)>& on_body, const std::atomic<bool>& cancel) {
        if (endpoints_.empty()) {
            resolve();
        }
        Steps steps(cancel);
        if (!connect(steps)) {
            return false;
        }
        if (!address_.tls) {
            return exchange(steps, steps.socket(), question, on_head, on_body);
        }
        asio::ssl::context tls(asio::ssl::context::tls_client);
        tls.set_options(asio::ssl::context::default_workarounds | asio::ssl::context::no_sslv2 |
                        asio::ssl::context::no_sslv3 | asio::ssl::context::no_tlsv1 | asio::ssl::context::no_tlsv1_1);
        ErrorCode error;
        tls.set_default_verify_paths(error);
        asio::ssl::stream<tcp::socket&> stream(steps.socket(), tls);
        stream.set_verify_mode(asio::ssl::verify_peer);
        stream.set_verify_callback(asio::ssl::host_name_verification(address_.host));
        asio::ip::make_address(address_.host, error);
        if (error) {  // a name: servers with several certificates choose by it
            SSL_set_tlsext_host_name(stream.native_handle(), address_.host.c_str());
        }
        error = {};
        const auto end = steps.run(kConnect, error, [&](auto done) {
            stream.async_handshake(asio::ssl::stream_base::client, std::move(done));
        });
        if (end == Steps::End::cancelled) {
            return false;
        }
        if (end == Steps::End::late) {
            throw Error(say("{} does not answer: nothing came for {} seconds", name_, seconds(kConnect)));
        }
        if (error) {
            throw Error(say("no safe connection to {}: {}", name_, words_of(error)));
        }
        return exchange(steps, stream, question, on_head, on_body);
    }

    const Sentence& name() const { return name_; }

 private:
    static long long seconds(Milliseconds time) {
        return std::max<long long>(1, std::chrono::duration_cast<std::chrono::seconds>(time).count());
    }

    /// To the first of the addresses that takes it; false when it was cancelled. Throws Error.
    bool connect(Steps& steps) const {
        Sentence why;
        for (const tcp::endpoint& endpoint : endpoints_) {
            ErrorCode error;
            steps.socket().close(error);
            error = {};
            const auto end =
                steps.run(kConnect, error, [&](auto done) { steps.socket().async_connect(endpoint, std::move(done)); });
            if (end == Steps::End::cancelled) {
                return false;
            }
            if (end == Steps::End::done && !error) {
                return true;
            }
            if (why.empty()) {
                why = end == Steps::End::late ? say("nothing came for {} seconds", seconds(kConnect)) : words_of(error);
            }
        }
        throw Error(say("{} can't be reached: {}", name_, why));
    }

    http::request<http::string_body> request_for(const HttpQuestion& question) const {
        http::request<http::string_body> request(question.body.empty() ? http::verb::get : http::verb::post,
                                                 address_.prefix + question.path, 11);
        request.set(http::field::host, address_.authority());
        request.set(http::field::user_agent, "moescope/" MOESCOPE_VERSION);
        request.set(http::field::accept, "text/event-stream, application/json");
        request.set(http::field::accept_encoding, "identity");
        request.set(http::field::connection, "close");
        if (!key_.empty()) {
            request.set(http::field::authorization, "Bearer " + key_);
        }
        if (!question.body.empty()) {
            request.set(http::field::content_type, "application/json");
            request.body() = question.body;
        }
        request.prepare_payload();
        return request;
    }

    /// What went wrong in a step that was neither late nor cancelled.
    [[noreturn]] void refuse(const ErrorCode& error, std::uint64_t most) const {
        if (error == http::error::header_limit || error == http::error::body_limit ||
            error == http::error::buffer_overflow) {
            const std::uint64_t limit = error == http::error::body_limit ? most : kHead;
            throw Error(say("{} sends more than {} bytes where fewer belong; the rest was not read", name_, limit));
        }
        if (error == http::error::end_of_stream || error == http::error::partial_message || error == asio::error::eof ||
            error == asio::error::connection_reset || error == asio::error::broken_pipe ||
            error == asio::ssl::error::stream_truncated) {
            throw Error(say("{} closed the connection before its answer had ended", name_));
        }
        if (error.category() == http::make_error_code(http::error::bad_version).category()) {
            throw Error(say("{} sends what is no HTTP: {}", name_, words_of(error)));
        }
        throw Error(say("the connection to {} broke: {}", name_, words_of(error)));
    }

    /// True when the step is done; false when it was cancelled. Throws Error.
    template <class Begin>
    bool step(Steps& steps, const HttpQuestion& question, ErrorCode& error, const Begin& begin) const {
        switch (steps.run(question.silence, error, begin)) {
            case Steps::End::cancelled:
                return false;
            case Steps::End::late:
                throw Error(say("{} does not answer: nothing came for {} seconds", name_, seconds(question.silence)));
            case Steps::End::done:
                break;
        }
        return true;
    }

    void check_head(const http::fields& fields, unsigned status) const {
        const auto field = [&](http::field which) {
            const auto found = fields.find(which);
            return found == fields.end() ? std::string() : std::string(found->value());
        };
        constexpr unsigned kRedirects = 300, kErrors = 400, kDone = 200;
        if (status >= kRedirects && status < kErrors) {
            throw Error(
                say("{} sends us on to '{}', and nothing was sent there; add that address if it is the right "
                    "one",
                    name_, said_by_server(field(http::field::location), key_)));
        }
        if (status < kDone) {
            throw Error(say("{} answers with the status {}, which is no answer", name_, status));
        }
        const std::string coding = base::lower(field(http::field::content_encoding));
        if (!coding.empty() && coding != "identity") {
            throw Error(
                say("{} packs its answer ({}), which it was asked not to do", name_, said_by_server(coding, key_)));
        }
    }

    static HttpHead head_of(const http::fields& fields, unsigned status) {
        HttpHead head{status, {}};
        if (const auto found = fields.find(http::field::content_type); found != fields.end()) {
            const std::string type(found->value());
            head.type = base::lower(std::string(base::trimmed(std::string_view(type).substr(0, type.find(';')))));
        }
        return head;
    }

    template <class Stream>
    bool exchange(Steps& steps, Stream& stream, const HttpQuestion& question,
                  const std::function<void(const HttpHead&)>& on_head,
                  const std::function<bool(std::string_view)>& on_body) const {
        ErrorCode error;
        const auto request = request_for(question);
        if (!step(steps, question, error, [&](auto done) { http::async_write(stream, request, std::move(done)); })) {
            return false;
        }
        // A server that refuses before it has read everything may close at once; what it says counts.
        boost::beast::flat_buffer buffer(kBuffer);
        http::response_parser<http::buffer_body> parser;
        parser.header_limit(kHead);
        parser.body_limit(question.most);
        error = {};
        if (!step(steps, question, error,
                  [&](auto done) { http::async_read_header(stream, buffer, parser, std::move(done)); })) {
            return false;
        }
        if (error) {
            refuse(error, question.most);
        }
        check_head(parser.get().base(), parser.get().result_int());
        on_head(head_of(parser.get().base(), parser.get().result_int()));
        std::vector<char> piece(kPiece);
        while (!parser.is_done()) {
            auto& body = parser.get().body();
            body.data = piece.data();
            body.size = piece.size();
            error = {};
            if (!step(steps, question, error,
                      [&](auto done) { http::async_read_some(stream, buffer, parser, std::move(done)); })) {
                return false;
            }
            const std::size_t got = piece.size() - body.size;
            if (got > 0 && !on_body({piece.data(), got})) {
                return true;
            }
            if (error && error != http::error::need_buffer) {
                refuse(error, question.most);
            }
        }
        return true;
    }

    const Address address_;
    const bool remote_;
    const std::string key_;
    const Sentence name_;
    std::vector<tcp::endpoint> endpoints_;
};

HttpClient::HttpClient(Address address, bool remote, std::string key)
    : impl_(std::make_unique<Impl>(std::move(address), remote, std::move(key))) {}
HttpClient::~HttpClient() = default;

void HttpClient::resolve() {
    impl_->resolve();
}

bool HttpClient::ask(const HttpQuestion& question, const std::function<void(const HttpHead&)>& on_head,
                     const std::function<bool(std::string_view)>& on_body, const std::atomic<bool>& cancel) {
    return impl_->ask(question, on_head, on_body, cancel);
}

const Sentence& HttpClient::name() const {
    return impl_->name();
}

std::string said_by_server(std::string_view text, const std::string& key) {
    std::string said(text);
    for (std::size_t at = 0; !key.empty() && (at = said.find(key, at)) != std::string::npos;) {
        said.replace(at, key.size(), "...");
        at += 3;
    }
    return base::one_line(said, kLongestWords);
}

}  // namespace moescope::servers
