// The same as a file, which may be packed with gzip or zstd: its first bytes say so.
#include "engine/text/text_file.hpp"

#include "base/utf8.hpp"
#include "engine/error.hpp"
#include "tests/fuzz/input.hpp"

using namespace moescope;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    constexpr std::uintmax_t kMost = 256 << 10;
    try {
        std::size_t bytes = 0;
        for (const auto& text : engine::read_text_file(fuzz::in_file(data, size), kMost)) {
            bytes += text.text.size();
            fuzz::expect(base::first_invalid_utf8(text.text) == text.text.size(), "texts are UTF-8");
        }
        fuzz::expect(bytes <= kMost, "no more text than was allowed");
        if (bytes > 0) {
            fuzz::accepted();
        }
    } catch (const engine::Error&) {
    }
    return 0;
}
