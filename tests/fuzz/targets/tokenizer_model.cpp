// The pieces of a SentencePiece model, a protocol buffer.
#include "engine/exchange/tokenizer_pieces.hpp"
#include "tests/fuzz/input.hpp"

using namespace moescope;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    try {
        const auto read = engine::read_tokenizer_pieces(std::string(fuzz::text_of(data, size)));
        std::size_t bytes = 0;
        for (const engine::TokenizerPiece& piece : read.pieces) {
            bytes += piece.text.size();
            (void)piece.plain_text();
        }
        fuzz::expect(bytes <= size && read.pieces.size() <= size, "no more text than the file has bytes");
        if (!read.pieces.empty()) {
            fuzz::accepted();
        }
    } catch (const engine::Error&) {
    }
    return 0;
}
