#include "engine/text/corpus.hpp"

#include <algorithm>
#include <chrono>
#include <fstream>
#include <gtest/gtest.h>
#include <map>
#include <set>

#include "base/utf8.hpp"
#include "engine/error.hpp"
#include "tests/engine/error_of.hpp"
#include "tests/engine/text/temporary_folder.hpp"

namespace moescope::engine {
namespace {

std::string english(int i) {
    return "Document " + std::to_string(i) + " says something in English.\nIt has two lines.";
}
std::string chinese(int i) {
    return "第" + std::to_string(i) + "篇文档是用中文写的。\n它也有两行文字。";
}

std::string joined(int count, const std::function<std::string(int)>& make) {
    std::string text;
    for (int i = 0; i < count; ++i) {
        text += make(i) + "\n\f\n";
    }
    return text;
}

TEST(Corpus, KeepsEveryDocumentOnceWithItsLanguage) {
    const TemporaryFolder folder;
    folder.write("en.txt", joined(300, english));
    folder.write("zh.txt", joined(200, chinese));
    folder.write("ignored.md", "not text");
    const Corpus corpus = read_corpus(folder.path().string(), {});
    std::multiset<std::string> got, expected;
    for (const TextDocument& document : corpus.documents) {
        got.insert(std::string(document.text) + std::to_string(document.language));
    }
    for (int i = 0; i < 300; ++i) {
        expected.insert(english(i) + "0");
    }
    for (int i = 0; i < 200; ++i) {
        expected.insert(chinese(i) + "1");
    }
    EXPECT_EQ(got, expected);
}

TEST(Corpus, SpreadsBothLanguagesAndHoldsOutAboutOneInTwenty) {
    const TemporaryFolder folder;
    folder.write("a.txt", joined(2000, english));
    folder.write("b.txt", joined(1000, chinese));
    const Corpus corpus = read_corpus(folder.path().string(), {});
    ASSERT_EQ(corpus.documents.size(), 3000u);
    for (std::size_t start = 0; start + 30 <= 3000; start += 30) {
        int count = 0;
        for (std::size_t i = start; i < start + 30; ++i) {
            count += corpus.documents[i].language;
        }
        EXPECT_NEAR(count, 10, 2) << "window at " << start;
    }
    int held[2] = {};
    for (const TextDocument& document : corpus.documents) {
        held[document.language] += document.held_out;
    }
    EXPECT_NEAR(held[0], 100, 40);
    EXPECT_NEAR(held[1], 50, 28);
}

TEST(Corpus, TheSplitOfADocumentDoesNotDependOnItsNeighbours) {
    const TemporaryFolder small, large;
    small.write("a.txt", joined(400, english));
    large.write("a.txt", joined(800, english));
    const auto held = [](const Corpus& corpus) {
        std::set<std::string> texts;
        for (const TextDocument& document : corpus.documents) {
            if (document.held_out) {
                texts.emplace(document.text);
            }
        }
        return texts;
    };
    const Corpus few = read_corpus(small.path().string(), {});
    const Corpus many = read_corpus(large.path().string(), {});
    const auto some = held(few), all = held(many);
    EXPECT_FALSE(some.empty());
    EXPECT_TRUE(std::includes(all.begin(), all.end(), some.begin(), some.end()));
}

TEST(Corpus, CopiesAreDroppedSoThatNothingHeldOutIsTrainedOn) {
    const TemporaryFolder folder;
    folder.write("a.txt", joined(100, english) + joined(100, english));
    EXPECT_EQ(read_corpus(folder.path().string(), {}).documents.size(), 100u);
}

TEST(Corpus, PlainTextIsCutIntoDocumentsWithoutLoss) {
    const TemporaryFolder folder;
    std::string text;
    for (int i = 0; text.size() < 100000; ++i) {
        text +=
            "Line number " + std::to_string(i) + " of a plain text without form feeds.\n" + (i % 7 == 0 ? "\n" : "");
    }
    for (int i = 0; i < 4000; ++i) {
        text += std::to_string(i) + "文";  // no line break to cut at, and no two parts alike
    }
    folder.write("plain.txt", text);
    const Corpus corpus = read_corpus((folder.path() / "plain.txt").string(), {});
    EXPECT_GT(corpus.documents.size(), 20u);
    std::size_t letters = 0;
    const auto count = [](std::string_view part) {
        return part.size() - static_cast<std::size_t>(std::count(part.begin(), part.end(), '\n'));
    };
    for (const TextDocument& document : corpus.documents) {
        letters += count(document.text);
        EXPECT_LE(document.text.size(), 8192u);
        EXPECT_EQ(base::first_invalid_utf8(document.text), document.text.size()) << "no character is cut in two";
    }
    EXPECT_EQ(letters, count(text));
    EXPECT_TRUE(
        std::any_of(corpus.documents.begin(), corpus.documents.end(), [](const auto& d) { return d.held_out; }));
}

TEST(Corpus, LongDocumentsComeInPartsOnTheSameSideOfTheSplit) {
    const TemporaryFolder folder;
    std::string text;
    for (int d = 0; d < 60; ++d) {
        for (int i = 0; i < 2000; ++i) {
            text += "document " + std::to_string(d) + " line " + std::to_string(i) + "\n" + (i % 9 == 0 ? "\n" : "");
        }
        text += "\f";
    }
    folder.write("long.txt", text);
    const Corpus corpus = read_corpus(folder.path().string(), {});
    std::map<std::string, std::set<bool>> sides;
    for (const TextDocument& document : corpus.documents) {
        EXPECT_LE(document.text.size(), 40000u);
        const std::string_view name = document.text.substr(0, document.text.find(" line"));
        sides[std::string(name)].insert(document.held_out);
    }
    EXPECT_EQ(sides.size(), 60u);
    EXPECT_GT(corpus.documents.size(), 100u);
    for (const auto& [name, both] : sides) {
        EXPECT_EQ(both.size(), 1u) << name;
    }
}

TEST(Corpus, ErrorsNameTheFileAndWhatToDo) {
    const TemporaryFolder folder;
    const auto read = [&](const std::string& name) {
        return error_of([&] { read_corpus((folder.path() / name).string(), {}); });
    };
    EXPECT_NE(read("missing.txt").find("missing.txt does not exist"), std::string::npos);
    folder.write("empty.txt", "");
    EXPECT_NE(read("empty.txt").find("is empty"), std::string::npos);
    folder.write("blank.txt", " \n\f\n \n");
    EXPECT_NE(read("blank.txt").find("is empty"), std::string::npos);
    folder.write("latin.txt", "good\nbad \xe9t\xe9\n");
    EXPECT_NE(read("latin.txt").find("latin.txt is not UTF-8 at byte 9"), std::string::npos) << read("latin.txt");
    const TemporaryFolder bare;
    const auto manpages = error_of([&] { read_corpus("manpages", bare.path()); });
    EXPECT_NE(manpages.find("./run"), std::string::npos) << manpages;
    EXPECT_NE(error_of([&] { read_corpus(bare.path().string(), {}); }).find("holds no .txt, .jsonl"),
              std::string::npos);
}

TEST(Corpus, HiddenFilesAndOtherJsonOfAFolderAreNoText) {
    const TemporaryFolder folder;
    folder.write("a.txt", joined(30, english));
    folder.write("._a.txt", "\x00\x05\x16\x07");
    folder.write(".git/b.txt", "hidden");
    folder.write("__MACOSX/._a.txt", "\xff");
    folder.write("dataset_infos.json", R"({"default": {"features": {}}})");
    folder.write("sub/more.json", R"([{"text": "One more document."}])");
    const Corpus corpus = read_corpus(folder.path().string(), {});
    EXPECT_EQ(corpus.documents.size(), 31u);
    ASSERT_EQ(corpus.notes.size(), 1u);
    EXPECT_NE(corpus.notes[0].english().find("dataset_infos.json was left out"), std::string::npos);
    EXPECT_NE(
        error_of([&] { read_corpus((folder.path() / "dataset_infos.json").string(), {}); }).find("line 1 is no JSON"),
        std::string::npos);
    folder.write("train.bin", "1234");
    EXPECT_NE(error_of([&] { read_corpus((folder.path() / "train.bin").string(), {}); }).find("how wide"),
              std::string::npos);
}

TEST(Corpus, EveryDocumentKnowsWhatItBelongsTo) {
    const TemporaryFolder folder;
    folder.write("a.txt", joined(5, english));
    folder.write("news/b.txt", joined(5, chinese));
    folder.write("news/old/c.jsonl", R"({"text": "One more document."})");
    const Corpus corpus = read_corpus(folder.path().string(), {});
    ASSERT_EQ(corpus.groups.size(), corpus.files.size());
    std::map<std::string, std::set<int>> languages;
    for (const TextDocument& document : corpus.documents) {
        ASSERT_LT(document.file, corpus.files.size());
        const std::string& file = corpus.files[document.file];
        EXPECT_TRUE(document.text.data() >= file.data() &&
                    document.text.data() + document.text.size() <= file.data() + file.size());
        languages[corpus.groups[document.file]].insert(document.language);
    }
    EXPECT_EQ(languages, (std::map<std::string, std::set<int>>{{"a", {0}}, {"news", {1}}, {"news/old", {0}}}));
    EXPECT_EQ(read_corpus((folder.path() / "a.txt").string(), {}).groups, std::vector<std::string>{"a"});
}

TEST(Corpus, ALongTextTakesTimeInProportionAndCanBeStopped) {
    const TemporaryFolder folder;
    std::string text;
    while (text.size() < (std::size_t{24} << 20)) {
        text += "Sentence " + std::to_string(text.size()) + " stands on a line of its own, without a blank one.\n";
    }
    const auto path = folder.write("a.txt", text).string();
    int checks = 0;
    const auto start = std::chrono::steady_clock::now();
    read_corpus(path, {}, [&] { ++checks; });
    // A tenth of a second here; it grew with the square: 14 s.
    EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(5));
    EXPECT_GT(checks, 60) << "for every megabyte read, hashed and cut";
    for (const int stop : {1, 5, 20, checks / 2, checks - 1}) {
        int count = 0;
        EXPECT_EQ(error_of([&] {
                      read_corpus(path, {}, [&] {
                          if (++count >= stop) {
                              throw Error(base::say("stop"));
                          }
                      });
                  }),
                  "stop");
        EXPECT_EQ(count, stop);
    }
}

TEST(Corpus, ADamagedBuiltInCorpusIsFound) {
    const TemporaryFolder cache;
    cache.write("corpus/en.txt", joined(50, english));
    cache.write("corpus/zh.txt", joined(50, chinese));
    cache.write("corpus/corpus.json", R"({"files": {"en.txt": {"sha256": "00"}}})");
    EXPECT_NE(error_of([&] { read_corpus("manpages", cache.path()); }).find("en.txt is not what"), std::string::npos);
    cache.write("corpus/corpus.json", "{{{");
    EXPECT_NE(error_of([&] { read_corpus("manpages", cache.path()); }).find("en.txt is not what"), std::string::npos);
}

TEST(Corpus, TheHashCoversNamesAndContents) {
    const TemporaryFolder a, b, c;
    a.write("a.txt", joined(30, english));
    b.write("b.txt", joined(30, english));
    c.write("a.txt", joined(31, english));
    std::set<std::string> hashes;
    for (const TemporaryFolder* folder : {&a, &b, &c}) {
        hashes.insert(read_corpus(folder->path().string(), {}).sha256);
    }
    EXPECT_EQ(hashes.size(), 3u);
}

}  // namespace
}  // namespace moescope::engine
