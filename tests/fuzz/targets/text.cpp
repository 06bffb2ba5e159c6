// Bytes that are to be shown: UTF-8 and its repair, base64, names made fit for one line.
#include "base/base64.hpp"
#include "base/foreign_text.hpp"
#include "base/utf8.hpp"
#include "tests/fuzz/input.hpp"

using namespace moescope;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view text = fuzz::text_of(data, size);
    const std::size_t invalid = base::first_invalid_utf8(text);
    const std::string valid = base::to_valid_utf8(text);
    fuzz::expect(base::first_invalid_utf8(valid) == valid.size(), "what was repaired is valid");
    fuzz::expect((invalid == size) == (valid == text), "what is valid stays");
    const auto code_points = base::decode_utf8(text);
    fuzz::expect(code_points.has_value() == (invalid == size), "both ways to look agree");
    if (code_points) {
        fuzz::expect(base::encode_utf8(*code_points) == text, "text survives");
        fuzz::accepted();
    }
    fuzz::expect(base::encode_utf8(base::decode_utf8_lossy(text)) == valid, "both ways to repair agree");
    fuzz::expect(base::complete_utf8_prefix(text) <= size, "a prefix is a prefix");
    const std::string line = base::one_line(text, 200);
    fuzz::expect(line.size() <= 220 && base::first_invalid_utf8(line) == line.size() &&
                     line.find('\n') == std::string::npos && line.find('\x1b') == std::string::npos,
                 "a line is one line");
    (void)base::with_byte_chips(text);
    if (const auto bytes = base::decode_base64(text)) {
        fuzz::expect(bytes->size() <= size, "base64 does not grow");
    }
    return 0;
}
