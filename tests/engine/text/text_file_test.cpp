#include "engine/text/text_file.hpp"

#include <gtest/gtest.h>
#include <memory>
#include <set>
#include <zstd.h>

#include "engine/text/corpus.hpp"
#include "tests/engine/error_of.hpp"
#include "tests/engine/text/temporary_folder.hpp"

namespace moescope::engine {
namespace {

constexpr std::uintmax_t kPlenty = 1 << 20;

/// One frame with a checksum of its text.
std::string packed(const std::string& text) {
    const std::unique_ptr<ZSTD_CCtx, decltype(&ZSTD_freeCCtx)> context(ZSTD_createCCtx(), ZSTD_freeCCtx);
    ZSTD_CCtx_setParameter(context.get(), ZSTD_c_checksumFlag, 1);
    std::string bytes(ZSTD_compressBound(text.size()), '\0');
    bytes.resize(ZSTD_compress2(context.get(), bytes.data(), bytes.size(), text.data(), text.size()));
    return bytes;
}

std::string some_text(int lines) {
    std::string text;
    for (int i = 0; i < lines; ++i) {
        text += "Line " + std::to_string(i * 7919 % 1000) + " 写的是第" + std::to_string(i) + "行。\n";
    }
    return text;
}

using Texts = std::vector<std::pair<int, std::string>>;
Texts read(const std::filesystem::path& path, std::uintmax_t limit = kPlenty) {
    Texts texts;
    for (const LabelledText& text : read_text_file(path, limit)) {
        texts.emplace_back(text.language, text.text);
    }
    return texts;
}

TEST(TextFile, LinesOfJsonAreDocumentsWithTheirLanguage) {
    const TemporaryFolder folder;
    const std::string lines =
        "{\"text\":\"one\\nmore\",\"language\":\"en\"}\n"
        "\n  \t\r\n"
        "{\"language\":\"zh\",\"text\":\"\\u4e2d\\u6587\"}\r\n"
        "{\"text\":\"told from\\fits text\",\"language\":null,\"id\":[1,{\"x\":2}]}\n"
        "{\"text\":\"\"}\n"
        "{\"text\":\"last, without an end of line\",\"language\":\"en\"}";
    const Texts expected = {
        {-1, "told from\nits text\f\f"}, {0, "one\nmore\flast, without an end of line\f"}, {1, "中文\f"}};
    EXPECT_EQ(read(folder.write("a.jsonl", lines)), expected);
    EXPECT_EQ(read(folder.write("a.jsonl.zst", packed(lines))), expected);
    EXPECT_EQ(read(folder.write("empty.jsonl", "")), Texts());
    EXPECT_EQ(read(folder.write("a.txt", lines)), (Texts{{-1, lines}}));
}

TEST(TextFile, CompressedIsWhatItWas) {
    const TemporaryFolder folder;
    for (const int lines : {0, 1, 20000}) {
        const std::string text = some_text(lines);
        EXPECT_EQ(read(folder.write("a.txt.zst", packed(text)), 1 << 22), (Texts{{-1, text}}));
    }
    const std::string two_frames = packed(some_text(3)) + packed(some_text(5));
    EXPECT_EQ(read(folder.write("a.txt.zst", two_frames)), (Texts{{-1, some_text(3) + some_text(5)}}));
    EXPECT_TRUE(is_text_file("x/a.txt") && is_text_file("a.jsonl") && is_text_file("a.jsonl.zst"));
    EXPECT_FALSE(is_text_file("a.zst") || is_text_file("a.json") || is_text_file("txt") || is_text_file("a.txt.gz"));
}

TEST(TextFile, BadLinesAreNamed) {
    const TemporaryFolder folder;
    const auto error = [&](const std::string& line) {
        return error_of([&] { read(folder.write("a.jsonl", "{\"text\":\"fine\"}\n\n" + line + "\n")); });
    };
    for (const char* line : {"{\"text\":\"not ended", "[]", "\"text\"", "{\"text\":1}", "{\"texts\":\"x\"}", "{}{}",
                             "{\"text\":\"a\"} {\"text\":\"b\"}", "null"}) {
        EXPECT_NE(error(line).find("a.jsonl, line 3 is no JSON object"), std::string::npos) << line << error(line);
    }
    for (const char* language : {"\"de\"", "1", "[]", "\"EN\""}) {
        const std::string line = std::string("{\"text\":\"a\",\"language\":") + language + "}";
        EXPECT_NE(error(line).find("line 3: \"language\" must be en or zh"), std::string::npos) << error(line);
    }
    EXPECT_NE(error(std::string(200000, '[')).find("line 3"), std::string::npos);
    EXPECT_NE(error("{\"text\":\"\xff\"}").find("not UTF-8 at byte 26"), std::string::npos)
        << error("{\"text\":\"\xff\"}");
}

TEST(TextFile, DamagedCompressionIsRefused) {
    const TemporaryFolder folder;
    const std::string good = packed(some_text(300));
    const auto try_bytes = [&](const std::string& bytes) {
        return error_of([&] { read(folder.write("a.txt.zst", bytes)); });
    };
    ASSERT_EQ(try_bytes(good), "no error");
    for (std::size_t length = 1; length < good.size(); ++length) {
        EXPECT_NE(try_bytes(good.substr(0, length)), "no error") << "cut after " << length << " bytes";
    }
    for (std::size_t at = 0; at < good.size(); ++at) {
        std::string bytes = good;
        bytes[at] = static_cast<char>(bytes[at] ^ 0x10);
        // Bits of the header may say the same in another way; the text is what it was, or it is refused.
        try {
            EXPECT_EQ(read(folder.write("a.txt.zst", bytes)), (Texts{{-1, some_text(300)}})) << "byte " << at;
        } catch (const Error&) {
        }
    }
    EXPECT_NE(try_bytes("plain text").find("damaged or not compressed with zstd"), std::string::npos);
    EXPECT_NE(try_bytes(good + "x"), "no error");
}

TEST(TextFile, NoMoreThanTheLimitIsReadOrUnpacked) {
    const TemporaryFolder folder;
    const auto plain = folder.write("a.txt", some_text(100));
    const auto size = std::filesystem::file_size(plain);
    EXPECT_EQ(read(plain, size).size(), 1u);
    EXPECT_NE(error_of([&] { read(plain, size - 1); }).find("more than the " + std::to_string(size - 1)),
              std::string::npos);
    const auto small = folder.write("a.txt.zst", packed(some_text(100)));
    EXPECT_EQ(read(small, size).size(), 1u);
    EXPECT_NE(error_of([&] { read(small, size - 1); }).find("more than"), std::string::npos);
    // A quarter of a gigabyte of spaces in a few kilobytes: refused when the limit is reached, not after.
    const auto bomb = folder.write("bomb.txt.zst", packed(std::string(std::size_t{1} << 28, ' ')));
    EXPECT_LT(std::filesystem::file_size(bomb), 100000u);
    EXPECT_NE(error_of([&] { read(bomb, 1 << 20); }).find("more than"), std::string::npos);
    EXPECT_NE(error_of([&] { read(folder.path() / "missing.txt"); }).find("cannot be read"), std::string::npos);
}

TEST(TextFile, AFolderOfAllKindsIsOneCorpus) {
    const TemporaryFolder folder, plain;
    const std::string text = some_text(400);
    std::string lines;
    for (int i = 0; i < 60; ++i) {
        lines += "{\"text\":\"Document " + std::to_string(i) + "\",\"language\":\"zh\"}\n";
    }
    folder.write("a.txt.zst", packed(text));
    folder.write("b/b.jsonl.zst", packed(lines));
    plain.write("a.txt", text);
    plain.write("b/b.jsonl", lines);
    const auto documents = [](const TemporaryFolder& from) {
        std::multiset<std::pair<std::string, int>> all;
        const Corpus corpus = read_corpus(from.path().string(), {});
        for (const TextDocument& document : corpus.documents) {
            all.emplace(std::string(document.text), document.language);
        }
        return all;
    };
    const auto all = documents(folder);
    EXPECT_EQ(all, documents(plain));
    for (int i = 0; i < 60; ++i) {
        EXPECT_EQ(all.count({"Document " + std::to_string(i), 1}), 1u)
            << "the label goes before what the text looks like";
    }
    EXPECT_GT(all.size(), 60u);
}

}  // namespace
}  // namespace moescope::engine
