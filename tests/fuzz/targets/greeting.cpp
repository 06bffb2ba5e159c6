// HELLO, REFUSE, AUTH, and the small binary bodies: what is read is written and read again.
#include "nodes/protocol/hello.hpp"
#include "nodes/protocol/session.hpp"
#include "tests/fuzz/input.hpp"

using namespace moescope;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto bytes = fuzz::bytes_of(data, size);
    if (const auto hello = protocol::decode_hello(bytes)) {
        fuzz::expect(hello->build.size() <= 200 && hello->features.size() <= 1000, "texts of a HELLO are short");
        fuzz::expect(protocol::decode_hello(protocol::encode_hello(*hello)) == hello, "a HELLO survives");
        const protocol::Hello ours;
        if (!protocol::compatible(ours, *hello)) {
            fuzz::expect(!protocol::version_problem(ours, *hello).english().empty(), "who does not fit is told why");
        }
        fuzz::accepted();
    }
    if (const auto refuse = protocol::decode_refuse(bytes)) {
        const auto again = protocol::decode_refuse(protocol::encode_refuse(*refuse));
        fuzz::expect(again && again->code == refuse->code && again->text == refuse->text, "a REFUSE survives");
        fuzz::accepted();
    }
    if (const auto auth = protocol::decode_auth(bytes)) {
        fuzz::expect(auth->name.size() <= 100, "the name of an AUTH is short");
        fuzz::expect(protocol::decode_auth(protocol::encode_auth(*auth)) == auth, "an AUTH survives");
        fuzz::accepted();
    }
    if (const auto wanted = protocol::decode_subscribe(bytes)) {
        const auto again = protocol::decode_subscribe(protocol::encode_subscribe(*wanted));
        fuzz::expect(again && again->channel == wanted->channel && again->after == wanted->after,
                     "a subscription survives");
        fuzz::accepted();
    }
    if (const auto credit = protocol::decode_credit(bytes)) {
        const auto again = protocol::decode_credit(protocol::encode_credit(*credit));
        fuzz::expect(again && again->channel == credit->channel && again->bytes == credit->bytes, "a credit survives");
        fuzz::accepted();
    }
    return 0;
}
