#include "engine/text/dataset.hpp"

#include <algorithm>
#include <atomic>
#include <exception>
#include <future>

#include "base/sha256.hpp"
#include "engine/error.hpp"
#include "engine/files/npy.hpp"
#include "engine/text/corpus.hpp"
#include "engine/text/dataset_check.hpp"
#include "engine/text/token_cache.hpp"

namespace moescope::engine {
namespace {

namespace fs = std::filesystem;

// Enough to learn pieces from, small enough to train in seconds.
constexpr std::size_t kSampleBytesPerLanguage = 1'250'000;
constexpr const char* kTokenizerVersion =
    "1";  // raise when the sample or the training changes: old files are then not used
constexpr int kEncodeThreads = 2;

void report(const Progress& progress, double fraction, const Sentence& what) {
    if (progress && !progress(fraction, what)) {
        throw Error(say("cancelled"));
    }
}

// The first documents in training order, held-out ones left out, up to the same number of bytes of each language.
std::vector<std::string> tokenizer_sample(const Corpus& corpus) {
    std::array<std::size_t, kLanguages> bytes{};
    std::vector<std::string> sample;
    for (const TextDocument& document : corpus.documents) {
        if (!document.held_out && bytes[document.language] < kSampleBytesPerLanguage) {
            bytes[document.language] += document.text.size();
            sample.emplace_back(document.text);
        }
    }
    return sample;
}

std::shared_ptr<const Tokenizer> load_tokenizer(const Corpus& corpus, int vocabulary, const fs::path& cache) {
    const fs::path path =
        cache / "tokenizers" / (corpus.sha256 + "-" + std::to_string(vocabulary) + "-" + kTokenizerVersion + ".model");
    if (auto bytes = read_cached(path)) {
        try {
            auto tokenizer = Tokenizer::from_bytes(std::move(*bytes));
            if (tokenizer->size() == vocabulary) {
                return tokenizer;
            }
        } catch (const Error&) {
            // Damaged: trained again below, and written over.
        }
    }
    auto tokenizer = Tokenizer::train(tokenizer_sample(corpus), vocabulary);
    write_cached(path, tokenizer->model_bytes());
    return tokenizer;
}

// Encodes every document; threads take the next one that is left. The result does not depend on who took which.
std::vector<std::vector<std::int32_t>> encode_documents(const Corpus& corpus, const Tokenizer& tokenizer,
                                                        const Progress& progress) {
    std::vector<std::vector<std::int32_t>> tokens(corpus.documents.size());
    std::atomic<std::size_t> next = 0;
    std::atomic<bool> stop = false;
    const auto work = [&](bool reports) {
        for (std::size_t i = next++; i < tokens.size() && !stop; i = next++) {
            const std::vector<std::int32_t> ids = tokenizer.encode(corpus.documents[i].text);
            tokens[i].assign(ids.begin(), ids.end());
            tokens[i].push_back(tokenizer.end_token());
            if (reports && i % 64 == 0) {
                report(progress, 0.6 + 0.4 * static_cast<double>(i) / static_cast<double>(tokens.size()),
                       say("encoding the text"));
            }
        }
    };
    std::vector<std::future<void>> others;
    for (int i = 1; i < kEncodeThreads; ++i) {
        others.push_back(std::async(std::launch::async, work, false));
    }
    std::exception_ptr failure;
    try {
        work(true);
    } catch (...) {
        failure = std::current_exception();
        stop = true;
    }
    for (auto& other : others) {
        try {
            other.get();
        } catch (...) {
            failure = failure ? failure : std::current_exception();
        }
    }
    if (failure) {
        std::rethrow_exception(failure);
    }
    return tokens;
}

void fill_tokens(const Corpus& corpus, const Progress& progress, Dataset& dataset) {
    const auto tokens = encode_documents(corpus, *dataset.tokenizer, progress);
    std::array<std::uint64_t, kLanguages> held_out_bytes{};
    for (std::size_t i = 0; i < tokens.size(); ++i) {
        const TextDocument& document = corpus.documents[i];
        auto& target = document.held_out ? dataset.held_out[document.language] : dataset.train_tokens;
        target.insert(target.end(), tokens[i].begin(), tokens[i].end());
        if (document.held_out) {
            held_out_bytes[document.language] += document.text.size();
        } else {
            dataset.train_languages.insert(dataset.train_languages.end(), tokens[i].size(), document.language);
        }
    }
    for (std::size_t language = 0; language < kLanguages; ++language) {
        const auto count = static_cast<double>(dataset.held_out[language].size());
        dataset.bytes_per_token[language] = count > 0 ? static_cast<double>(held_out_bytes[language]) / count : 0;
    }
}

/// Tokens as they are, taken in their order; there is no tokenizer, no held-out text, and all counts as English.
std::shared_ptr<const Dataset> load_tokens(const fs::path& path, int vocabulary) {
    auto dataset = std::make_shared<Dataset>();
    base::Sha256 hash;
    for (const std::int32_t token : read_npy_tokens(path)) {
        if (token < 0 || token >= vocabulary) {
            throw Error(say("{} has the token {}, but the model's vocabulary is {}; the tokens belong to another model",
                            path, token, vocabulary));
        }
        dataset->train_tokens.push_back(token);
    }
    dataset->train_languages.assign(dataset->train_tokens.size(), 0);
    hash.add({reinterpret_cast<const char*>(dataset->train_tokens.data()),
              dataset->train_tokens.size() * sizeof(std::int32_t)});
    dataset->sha256 = hash.finish();
    dataset->name = path.string();
    dataset->in_order = true;
    return dataset;
}

}  // namespace

bool holds_tokens(const std::string& data) {
    return fs::path(data).extension() == ".npy";
}

void check_dataset(const std::string& data, int vocabulary, bool has_tokenizer) {
    check_exists(data);
    if (!has_tokenizer && !holds_tokens(data)) {
        check_vocabulary(vocabulary);
    }
}

std::shared_ptr<const Dataset> load_dataset(const std::string& data, int vocabulary, const fs::path& cache,
                                            const Progress& progress, std::shared_ptr<const Tokenizer> tokenizer) {
    if (holds_tokens(data)) {
        return load_tokens(data, vocabulary);
    }
    report(progress, 0.0, say("reading the text"));
    const Corpus corpus = read_corpus(data, cache);
    auto dataset = std::make_shared<Dataset>();
    dataset->name = corpus.name;
    dataset->sha256 = corpus.sha256;
    report(progress, 0.05, say("preparing the tokenizer"));
    dataset->tokenizer = tokenizer != nullptr ? std::move(tokenizer) : load_tokenizer(corpus, vocabulary, cache);
    report(progress, 0.6, say("encoding the text"));

    const std::string key =
        corpus.sha256.substr(0, 32) + "-" + base::sha256(dataset->tokenizer->model_bytes()).substr(0, 32);
    const fs::path path = cache / "tokens" / (key + ".tokens");
    const auto bytes = read_cached(path);
    Dataset cached;
    if (bytes && tokens_from_bytes(*bytes, vocabulary, cached)) {
        cached.tokenizer = dataset->tokenizer;
        cached.name = dataset->name;
        cached.sha256 = dataset->sha256;
        *dataset = std::move(cached);
    } else {
        fill_tokens(corpus, progress, *dataset);
        write_cached(path, tokens_to_bytes(*dataset));
    }
    if (dataset->train_tokens.empty()) {
        throw Error(say("the text {} leaves nothing to train on; give more text", data));
    }
    report(progress, 1.0, say("the text is ready"));
    return dataset;
}

}  // namespace moescope::engine
