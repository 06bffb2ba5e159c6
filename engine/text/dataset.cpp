#include "engine/text/dataset.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <exception>
#include <future>
#include <span>
#include <thread>

#include "base/sha256.hpp"
#include "engine/error.hpp"
#include "engine/files/npy.hpp"
#include "engine/text/byte_source.hpp"
#include "engine/text/corpus.hpp"
#include "engine/text/dataset_check.hpp"
#include "engine/text/pieces.hpp"
#include "engine/text/token_cache.hpp"

namespace moescope::engine {
namespace {

namespace fs = std::filesystem;

// Enough to learn pieces from, small enough to train in seconds.
constexpr std::size_t kSampleBytesPerLanguage = 1'250'000;
constexpr const char* kTokenizerVersion =
    "1";  // raise when the sample or the training changes: old files are then not used
constexpr int kEncodeThreads = 2;

/// Reports progress, not too often, and ends the load when nobody wants it any more. One thread.
class Watch {
 public:
    explicit Watch(const Progress& progress) : progress_(progress) {}
    /// The stage that begins.
    void stage(double fraction, const Sentence& what) {
        what_ = what;
        report(fraction);
    }
    /// Called often: reports at most every kReportEvery.
    void check(double fraction) {
        if (cancelled_ || Clock::now() - last_ >= kReportEvery) {
            report(fraction);
        }
    }
    void check() { check(fraction_); }

 private:
    using Clock = std::chrono::steady_clock;
    static constexpr std::chrono::milliseconds kReportEvery{100};

    void report(double fraction) {
        fraction_ = fraction;
        cancelled_ = cancelled_ || (progress_ && !progress_(fraction, what_));
        last_ = Clock::now();
        if (cancelled_) {
            throw Error(say("cancelled"));
        }
    }

    const Progress& progress_;
    Sentence what_;
    double fraction_ = 0;
    Clock::time_point last_ = Clock::now();
    bool cancelled_ = false;
};

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

std::atomic<int>& trainings() {
    static std::atomic<int> count{0};
    return count;
}

/// Training takes seconds and cannot be interrupted. When nobody wants it any more it is left to end by itself.
std::shared_ptr<const Tokenizer> train_tokenizer(std::vector<std::string> sample, int vocabulary, Watch& watch) {
    struct Counted {
        Counted() { ++trainings(); }
        ~Counted() { --trainings(); }
    };
    std::packaged_task<std::shared_ptr<const Tokenizer>()> task(
        [sample = std::move(sample), vocabulary, counted = std::make_shared<const Counted>()] {
            return Tokenizer::train(sample, vocabulary);
        });
    auto tokenizer = task.get_future();
    std::thread thread(std::move(task));
    try {
        while (tokenizer.wait_for(std::chrono::milliseconds(50)) != std::future_status::ready) {
            watch.check();
        }
    } catch (...) {
        thread.detach();
        throw;
    }
    thread.join();
    return tokenizer.get();
}

std::shared_ptr<const Tokenizer> load_tokenizer(const Corpus& corpus, int vocabulary, const fs::path& cache,
                                                Watch& watch) {
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
    auto tokenizer = train_tokenizer(tokenizer_sample(corpus), vocabulary, watch);
    write_cached(path, tokenizer->model_bytes());
    return tokenizer;
}

// Encodes every document; threads take the next one that is left. The result does not depend on who took which.
std::vector<std::vector<std::int32_t>> encode_documents(const Corpus& corpus, const Tokenizer& tokenizer,
                                                        Watch& watch) {
    std::vector<std::vector<std::int32_t>> tokens(corpus.documents.size());
    std::atomic<std::size_t> next = 0;
    std::atomic<bool> stop = false;
    const auto work = [&](bool reports) {
        for (std::size_t i = next++; i < tokens.size() && !stop; i = next++) {
            const std::vector<std::int32_t> ids = tokenizer.encode(corpus.documents[i].text);
            tokens[i].assign(ids.begin(), ids.end());
            tokens[i].push_back(tokenizer.end_token());
            if (reports) {
                watch.check(0.6 + 0.35 * static_cast<double>(i) / static_cast<double>(tokens.size()));
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

void fill_tokens(const Corpus& corpus, Watch& watch, Dataset& dataset) {
    auto tokens = encode_documents(corpus, *dataset.tokenizer, watch);
    std::array<std::uint64_t, kLanguages> held_out_bytes{};
    std::size_t total = 0;
    for (std::size_t i = 0; i < tokens.size(); ++i) {
        total += corpus.documents[i].held_out ? 0 : tokens[i].size();
    }
    dataset.train_tokens.reserve(total);
    dataset.train_languages.reserve(total);
    for (std::size_t i = 0; i < tokens.size(); ++i) {
        watch.check();
        const TextDocument& document = corpus.documents[i];
        auto& target = document.held_out ? dataset.held_out[document.language] : dataset.train_tokens;
        target.insert(target.end(), tokens[i].begin(), tokens[i].end());
        if (document.held_out) {
            held_out_bytes[document.language] += document.text.size();
        } else {
            dataset.train_languages.insert(dataset.train_languages.end(), tokens[i].size(), document.language);
        }
        tokens[i] = {};  // not all of them twice
    }
    for (std::size_t language = 0; language < kLanguages; ++language) {
        const auto count = static_cast<double>(dataset.held_out[language].size());
        dataset.bytes_per_token[language] = count > 0 ? static_cast<double>(held_out_bytes[language]) / count : 0;
    }
}

/// Tokens as they are, taken in their order; there is no tokenizer, no held-out text, and all counts as English.
std::shared_ptr<const Dataset> load_tokens(const fs::path& path, int vocabulary, Watch& watch) {
    const StopCheck check = [&watch] { watch.check(); };
    auto dataset = std::make_shared<Dataset>();
    dataset->train_tokens = read_npy_tokens(path, check);
    base::Sha256 hash;
    in_pieces(std::span<const std::int32_t>(dataset->train_tokens), check, [&](std::span<const std::int32_t> piece) {
        for (const std::int32_t token : piece) {
            if (token < 0 || token >= vocabulary) {
                throw Error(
                    say("{} has the token {}, but the model's vocabulary is {}; the tokens belong to another model",
                        path, token, vocabulary));
            }
        }
        hash.add({reinterpret_cast<const char*>(piece.data()), piece.size_bytes()});
    });
    dataset->train_languages.assign(dataset->train_tokens.size(), 0);
    dataset->sha256 = hash.finish();
    dataset->name = path.string();
    dataset->in_order = true;
    return dataset;
}

}  // namespace

bool trains_tokenizer() {
    return trainings() > 0;
}

bool holds_tokens(const std::string& data) {
    return lower_extension(data) == ".npy";
}

void check_dataset(const std::string& data, int vocabulary, bool has_tokenizer) {
    check_exists(data);
    if (!has_tokenizer && !holds_tokens(data)) {
        check_vocabulary(vocabulary);
    }
}

std::shared_ptr<const Dataset> load_dataset(const std::string& data, int vocabulary, const fs::path& cache,
                                            const Progress& progress, std::shared_ptr<const Tokenizer> tokenizer) {
    Watch watch(progress);
    watch.stage(0.0, say("reading the text"));
    if (holds_tokens(data)) {
        return load_tokens(data, vocabulary, watch);
    }
    const StopCheck check = [&watch] { watch.check(); };
    const Corpus corpus = read_corpus(data, cache, check);
    auto dataset = std::make_shared<Dataset>();
    watch.stage(0.05, say("preparing the tokenizer"));
    dataset->tokenizer = tokenizer != nullptr ? std::move(tokenizer) : load_tokenizer(corpus, vocabulary, cache, watch);
    watch.stage(0.6, say("encoding the text"));
    const std::string key =
        corpus.sha256.substr(0, 32) + "-" + base::sha256(dataset->tokenizer->model_bytes()).substr(0, 32);
    const fs::path path = cache / "tokens" / (key + ".tokens");
    Dataset cached;
    if (read_cached_tokens(path, vocabulary, cached, check)) {
        cached.tokenizer = dataset->tokenizer;
        *dataset = std::move(cached);
    } else {
        fill_tokens(corpus, watch, *dataset);
        write_cached_tokens(path, *dataset, check);
    }
    dataset->name = corpus.name;
    dataset->sha256 = corpus.sha256;
    dataset->notes = corpus.notes;
    if (dataset->train_tokens.empty()) {
        throw Error(say("the text {} leaves nothing to train on; give more text", data));
    }
    watch.stage(1.0, say("the text is ready"));
    return dataset;
}

}  // namespace moescope::engine
