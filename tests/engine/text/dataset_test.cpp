#include "engine/text/dataset.hpp"

#include <chrono>
#include <cstdlib>
#include <fstream>
#include <gtest/gtest.h>
#include <thread>

#include "engine/error.hpp"
#include "engine/text/corpus.hpp"
#include "engine/text/token_cache.hpp"
#include "tests/engine/text/temporary_folder.hpp"

namespace moescope::engine {
namespace {

namespace fs = std::filesystem;

std::string sample(bool chinese) {
    std::string text;
    for (int i = 0; i < 200; ++i) {
        text += chinese ? "第" + std::to_string(i * 37 % 101) + "个程序读取文件，返回" + std::to_string(i) +
                              "。\n选项与目录。\f"
                        : "Program " + std::to_string(i * 37 % 101) + " reads the file, returns " + std::to_string(i) +
                              ".\nOptions.\f";
    }
    return text;
}

struct Fixture {
    TemporaryFolder data, cache;
    Fixture() {
        data.write("a.txt", sample(false));
        data.write("b.txt", sample(true));
    }
    std::shared_ptr<const Dataset> load(const Progress& progress = {}) const {
        return load_dataset(data.path().string(), 512, cache.path(), progress);
    }
};

void expect_same(const Dataset& a, const Dataset& b) {
    EXPECT_EQ(a.train_tokens, b.train_tokens);
    EXPECT_EQ(a.train_languages, b.train_languages);
    EXPECT_EQ(a.held_out, b.held_out);
    EXPECT_EQ(a.bytes_per_token, b.bytes_per_token);
    EXPECT_EQ(a.sha256, b.sha256);
    EXPECT_EQ(a.tokenizer->model_bytes(), b.tokenizer->model_bytes());
}

TEST(Dataset, TokensAreTheDocumentsInOrder) {
    const Fixture fixture;
    const auto dataset = fixture.load();
    const Corpus corpus = read_corpus(fixture.data.path().string(), {});
    std::string train;
    std::array<std::string, kLanguages> held;
    std::vector<std::uint8_t> ends;
    for (const TextDocument& document : corpus.documents) {
        (document.held_out ? held[document.language] : train) += std::string(document.text);
        if (!document.held_out) {
            ends.push_back(document.language);
        }
    }
    const auto text = [&](const std::vector<std::int32_t>& tokens) {
        return dataset->tokenizer->decode(std::vector<std::int32_t>(tokens.begin(), tokens.end()));
    };
    EXPECT_EQ(text(dataset->train_tokens), train);
    EXPECT_EQ(text(dataset->held_out[0]), held[0]);
    EXPECT_EQ(text(dataset->held_out[1]), held[1]);
    ASSERT_EQ(dataset->train_tokens.size(), dataset->train_languages.size());
    std::vector<std::uint8_t> got;
    for (std::size_t i = 0; i < dataset->train_tokens.size(); ++i) {
        if (dataset->train_tokens[i] == dataset->tokenizer->end_token()) {
            got.push_back(dataset->train_languages[i]);
        }
    }
    EXPECT_EQ(got, ends) << "each document ends with one end-of-text token of its language";
    for (std::size_t l = 0; l < kLanguages; ++l) {
        EXPECT_NEAR(dataset->bytes_per_token[l] * static_cast<double>(dataset->held_out[l].size()),
                    static_cast<double>(held[l].size()), 1e-6);
    }
}

constexpr auto bytes_of = moescope::test::read_text;

TEST(Dataset, SecondLoadComesFromTheCacheAndDamageIsRepaired) {
    const Fixture fixture;
    const auto first = fixture.load();
    expect_same(*first, *fixture.load());
    for (const char* kind : {"tokens", "tokenizers"}) {
        const auto begin = fs::directory_iterator(fixture.cache.path() / kind);
        ASSERT_NE(begin, fs::directory_iterator());
        const fs::path file = begin->path();
        EXPECT_EQ(std::distance(begin, fs::directory_iterator()), 1) << "no temporary files stay behind";
        const std::string good = bytes_of(file);
        std::string bad = good;
        bad[bad.size() / 2] = static_cast<char>(bad[bad.size() / 2] ^ 0x15);
        fixture.cache.write(std::string(kind) + "/" + file.filename().string(),
                            std::string(kind) == "tokens" ? bad : good.substr(0, 1000));
        expect_same(*first, *fixture.load());
        EXPECT_EQ(bytes_of(file), good) << "written again";
    }
}

TEST(Dataset, DamagedTokenFilesAreNeverBelieved) {
    const Fixture fixture;
    const auto dataset = fixture.load();
    const TemporaryFolder folder;
    const fs::path file = folder.path() / "a.tokens";
    write_cached_tokens(file, *dataset, {});
    const std::string bytes = bytes_of(file);
    const auto good = [&](int vocabulary = 512) {
        Dataset other;
        const bool read = read_cached_tokens(file, vocabulary, other, {});
        EXPECT_TRUE(!read || other.train_tokens == dataset->train_tokens);
        return read;
    };
    EXPECT_TRUE(good());
    EXPECT_FALSE(good(100)) << "tokens outside the vocabulary";
    for (std::size_t cut = 0; cut < bytes.size(); cut += 97) {
        folder.write("a.tokens", bytes.substr(0, cut));
        EXPECT_FALSE(good());
        std::string changed = bytes;
        changed[cut] = static_cast<char>(changed[cut] + 1);
        folder.write("a.tokens", changed);
        EXPECT_FALSE(good()) << cut;
    }
    // Counts that no file of this size can hold cost nothing.
    std::string huge = bytes;
    std::fill_n(huge.begin() + 8, 8, '\x7f');
    folder.write("a.tokens", huge);
    EXPECT_FALSE(good());
    fs::remove(file);
    EXPECT_FALSE(good());
}

TEST(Dataset, TokenFilesCanBeAbandonedOnTheWay) {
    const Fixture fixture;
    const auto dataset = fixture.load();
    const TemporaryFolder folder;
    const auto stop = [] { throw Error(base::say("stop")); };
    EXPECT_THROW(write_cached_tokens(folder.path() / "a.tokens", *dataset, stop), Error);
    EXPECT_TRUE(fs::is_empty(folder.path()));
    write_cached_tokens(folder.path() / "a.tokens", *dataset, {});
    Dataset other;
    EXPECT_THROW(read_cached_tokens(folder.path() / "a.tokens", 512, other, stop), Error);
}

TEST(Dataset, ByteOrderMarksChangeNothing) {
    const TemporaryFolder plain, marked, cache;
    plain.write("a.txt", sample(false));
    marked.write("a.txt", "\xEF\xBB\xBF" + sample(false));
    const auto a = load_dataset(plain.path().string(), 512, cache.path(), {});
    const auto b = load_dataset(marked.path().string(), 512, cache.path(), {});
    expect_same(*a, *b);
}

TEST(Dataset, CancelStopsTheLoad) {
    // The number of reports while encoding depends on the threads; the three before it and the last one always come.
    for (int stop = 1; stop <= 4; ++stop) {
        const Fixture fixture;
        int count = 0;
        const auto progress = [&](double fraction, const base::Sentence&) {
            return stop < 4 ? ++count < stop : fraction < 1.0;
        };
        try {
            fixture.load(progress);
            ADD_FAILURE() << "not cancelled at report " << stop;
        } catch (const Error& error) {
            EXPECT_STREQ(error.what(), "cancelled");
        }
        EXPECT_EQ(count, stop < 4 ? stop : 0) << "nothing is reported after a cancel";
    }
}

TEST(Dataset, TheTrainingOfATokenizerIsNotWaitedFor) {
    const TemporaryFolder data, cache;
    std::string text;
    for (int i = 0; text.size() < 1'500'000; ++i) {
        text += "Sentence " + std::to_string(i * 7919) + " of " + std::to_string(i % 977) + " says something else.\n\n";
    }
    data.write("a.txt", text);
    using Clock = std::chrono::steady_clock;
    Clock::time_point stopped;
    const auto progress = [&](double, const base::Sentence& what) {
        const bool training = what.english() == "preparing the tokenizer" && trains_tokenizer();
        stopped = training ? Clock::now() : stopped;
        return !training;
    };
    EXPECT_THROW(load_dataset(data.path().string(), 4096, cache.path(), progress), Error);
    EXPECT_NE(stopped, Clock::time_point());
    EXPECT_LT(Clock::now() - stopped, std::chrono::milliseconds(500));
    while (trains_tokenizer()) {
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
}

TEST(Dataset, WorksWithoutAWritableCache) {
    const Fixture fixture;
    const auto dataset = load_dataset(fixture.data.path().string(), 512, "/proc/no-such-folder", {});
    expect_same(*dataset, *fixture.load());
}

TEST(Dataset, TheBuiltInCorpusIsBilingualThroughout) {
    const char* cache = std::getenv("MOESCOPE_CACHE");
    if (cache == nullptr || !fs::exists(fs::path(cache) / "corpus" / "corpus.json")) {
        GTEST_SKIP() << "the built-in corpus is not in MOESCOPE_CACHE; start ./run once to build it";
    }
    const auto dataset = load_dataset("manpages", 4096, cache, {});
    const auto start = std::chrono::steady_clock::now();
    load_dataset("manpages", 4096, cache, {});
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    EXPECT_EQ(dataset->tokenizer->size(), 4096);
    EXPECT_GT(dataset->train_tokens.size(), 2'000'000u);
    const std::size_t part = dataset->train_tokens.size() / 50;
    for (std::size_t i = 0; i < 50; ++i) {
        const auto begin = dataset->train_languages.begin() + static_cast<std::ptrdiff_t>(i * part);
        const auto count = std::count(begin, begin + static_cast<std::ptrdiff_t>(part), 1);
        EXPECT_GT(count, static_cast<std::ptrdiff_t>(part / 20)) << "Chinese in part " << i;
        EXPECT_LT(count, static_cast<std::ptrdiff_t>(part - part / 20)) << "English in part " << i;
    }
    std::printf("%zu train tokens, held out %zu en %zu zh, bytes per token %.2f en %.2f zh, second load %.3f s\n",
                dataset->train_tokens.size(), dataset->held_out[0].size(), dataset->held_out[1].size(),
                dataset->bytes_per_token[0], dataset->bytes_per_token[1], seconds);
}

}  // namespace
}  // namespace moescope::engine
