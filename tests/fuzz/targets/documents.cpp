// Texts as people have them: JSON Lines and JSON of documents, in memory and as a file, which may be packed.
#include "base/utf8.hpp"
#include "engine/error.hpp"
#include "engine/text/json_documents.hpp"
#include "engine/text/text_file.hpp"
#include "tests/fuzz/input.hpp"

using namespace moescope;

namespace {

constexpr std::uintmax_t kMost = 256 << 10;

void expect_texts(const std::vector<engine::LabelledText>& texts) {
    std::size_t bytes = 0;
    for (const engine::LabelledText& text : texts) {
        bytes += text.text.size();
        fuzz::expect(base::first_invalid_utf8(text.text) == text.text.size(), "texts are UTF-8");
    }
    fuzz::expect(bytes <= kMost, "no more text than was allowed");
    if (bytes > 0) {
        fuzz::accepted();
    }
}

template <class Splitter>
void split(std::string_view text) {
    try {
        engine::DocumentCollector collector("f", kMost);
        Splitter splitter("f", collector);
        for (std::size_t at = 0; at < text.size(); at += 100) {
            splitter.piece(text.substr(at, 100));
        }
        splitter.end();
        expect_texts(collector.take());
    } catch (const engine::Error&) {
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view text = fuzz::text_of(data, size);
    split<engine::LineSplitter>(text);
    split<engine::ValueSplitter>(text);
    (void)engine::looks_like_documents(text, true);
    return 0;
}
