// Encoded tokens in the cache.
#include "engine/text/token_cache.hpp"

#include "tests/fuzz/input.hpp"

using namespace moescope;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    engine::Dataset dataset;
    constexpr int kVocabulary = 512;
    if (engine::read_cached_tokens(fuzz::in_file(data, size), kVocabulary, dataset, {})) {
        fuzz::expect(
            dataset.train_tokens.size() == dataset.train_languages.size() && dataset.train_tokens.size() * 5 <= size,
            "every token has its language");
        for (const std::int32_t token : dataset.train_tokens) {
            fuzz::expect(token >= 0 && token < kVocabulary, "tokens are within the vocabulary");
        }
        fuzz::accepted();
    }
    return 0;
}
