// The list of paired workbenches, and that of known nodes.
#include "nodes/security/known_nodes.hpp"
#include "nodes/security/pairing.hpp"
#include "tests/fuzz/input.hpp"

using namespace moescope;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static const fuzz::InFolder folder({"paired.json", "known_nodes.json"});
    const auto& path = folder.with(data, size);
    try {
        const security::PairingBook book(path);
        (void)book.invited(0);
        for (const security::PairedViewer& viewer : book.viewers()) {
            fuzz::expect(book.right_of(viewer.key).has_value(), "who is on the list has a right");
        }
        fuzz::accepted();
    } catch (const base::Error&) {
    }
    try {
        (void)security::KnownNodes(path / "known_nodes.json").key_of("tls://a:1");
        fuzz::accepted();
    } catch (const base::Error&) {
    }
    return 0;
}
