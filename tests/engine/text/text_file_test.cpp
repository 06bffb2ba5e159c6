#include "engine/text/text_file.hpp"

#include <gtest/gtest.h>
#include <memory>
#include <set>
#include <zlib.h>
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

/// One member of a gzip file.
std::string gzipped(const std::string& text) {
    z_stream stream{};
    deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
    std::string bytes(deflateBound(&stream, text.size()), '\0');
    std::string from = text;
    stream.next_in = reinterpret_cast<Bytef*>(from.data());
    stream.avail_in = static_cast<uInt>(from.size());
    stream.next_out = reinterpret_cast<Bytef*>(bytes.data());
    stream.avail_out = static_cast<uInt>(bytes.size());
    deflate(&stream, Z_FINISH);
    bytes.resize(stream.total_out);
    deflateEnd(&stream);
    return bytes;
}

/// A frame that says how large a window its reader needs: 2^(10 + exponent) bytes.
std::string packed_with_window(const std::string& text, int exponent) {
    const std::unique_ptr<ZSTD_CCtx, decltype(&ZSTD_freeCCtx)> context(ZSTD_createCCtx(), ZSTD_freeCCtx);
    ZSTD_CCtx_setParameter(context.get(), ZSTD_c_contentSizeFlag, 0);
    std::string bytes(ZSTD_compressBound(text.size()), '\0');
    ZSTD_inBuffer in{text.data(), text.size(), 0};
    ZSTD_outBuffer out{bytes.data(), bytes.size(), 0};
    ZSTD_compressStream2(context.get(), &out, &in, ZSTD_e_flush);
    ZSTD_compressStream2(context.get(), &out, &in, ZSTD_e_end);
    bytes.resize(out.pos);
    bytes[5] = static_cast<char>(exponent << 3);
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
    const std::string text = some_text(20000);
    EXPECT_EQ(read(folder.write("a.txt.gz", gzipped(text)), 1 << 22), (Texts{{-1, text}}));
    EXPECT_EQ(read(folder.write("b.txt.GZ", gzipped("one ") + gzipped("two") + std::string(100, '\0'))),
              (Texts{{-1, "one two"}}));
    EXPECT_EQ(read(folder.write("no ending", gzipped("told from its first bytes"))),
              (Texts{{-1, "told from its first bytes"}}));
    EXPECT_EQ(read(folder.write("no ending", packed("so is this"))), (Texts{{-1, "so is this"}}));
    for (const char* name : {"x/a.txt", "a.jsonl", "a.jsonl.zst", "a.JSONL", "a.ndjson", "a.json.gz", "A.TXT.ZST"}) {
        EXPECT_TRUE(is_text_file(name)) << name;
    }
    for (const char* name : {"a.zst", "a.gz", "txt", "a.md", "a.txt.xz", "a.txt.bak"}) {
        EXPECT_FALSE(is_text_file(name)) << name;
    }
}

TEST(TextFile, LongWindowsOfZstdAreRead) {
    const TemporaryFolder folder;
    const std::string text = some_text(200);
    constexpr int kTwoGiB = 31 - 10;
    EXPECT_EQ(read(folder.write("a.txt.zst", packed_with_window(text, kTwoGiB))), (Texts{{-1, text}}));
    const std::string error = error_of([&] { read(folder.write("a.txt.zst", packed_with_window(text, kTwoGiB + 1))); });
    EXPECT_NE(error.find("a window of more than 2 GiB"), std::string::npos) << error;
}

TEST(TextFile, JsonIsReadUnderAllItsNames) {
    const TemporaryFolder folder;
    const Texts expected = {{-1, "one\f"}, {1, "二\f"}};
    const std::string one = R"({"text": "one", "more": ["]", {"}": "\"[{"}]})",
                      two = R"({"text": "二", "language": "zh"})";
    for (const char* name : {"a.jsonl", "a.JSONL", "a.ndjson", "a.NdJson", "a.json", "a.dat"}) {
        EXPECT_EQ(read(folder.write(name, one + "\n" + two + "\n")), expected) << name;
        EXPECT_EQ(read(folder.write(name, "\xEF\xBB\xBF" + one + "\r\n" + two)), expected) << name;
    }
    for (const char* name : {"a.json", "a.JSON", "a.json.gz", "a"}) {
        const bool pack = std::string(name).ends_with(".gz");
        for (const std::string& text :
             {"[" + one + "," + two + "]", "\n [\n" + one + " ,\n" + two + "\n]\n ", one + two, one + "\n\n" + two}) {
            EXPECT_EQ(read(folder.write(name, pack ? gzipped(text) : text)), expected) << name << text;
        }
    }
    EXPECT_EQ(read(folder.write("a.json", one)), (Texts{{-1, "one\f"}}));
    EXPECT_EQ(read(folder.write("a.json", "{\n \"text\":\n\"one\"\n}\n")), (Texts{{-1, "one\f"}}));
    EXPECT_EQ(read(folder.write("a.json", R"(["one", "two \" \\"])")), (Texts{{-1, "one\ftwo \" \\\f"}}));
    EXPECT_EQ(read(folder.write("a.json", "[]")), Texts());
    // What ends with .txt was meant to be text.
    EXPECT_EQ(read(folder.write("a.txt", one)), (Texts{{-1, one}}));
}

TEST(TextFile, WhatIsNoDocumentInJsonIsNamedWithItsLineAndCause) {
    const TemporaryFolder folder;
    const auto error = [&](const std::string& text) {
        const std::string whole = error_of([&] { read(folder.write("a.json", text)); });
        const std::size_t at = whole.find("a.json");
        return at == std::string::npos ? whole : whole.substr(at + 6);
    };
    const std::string good = "{\"text\": \"x\"}";
    EXPECT_EQ(error("[" + good + ",\n" + good), ", line 2 ends before its JSON does");
    EXPECT_EQ(error("[" + good + ",\n{\"text\": \"x"), ", line 2 ends before its JSON does");
    EXPECT_EQ(error("{\"text\": [\n"), ", line 2 ends before its JSON does");
    EXPECT_EQ(error("[" + good + "] x"), ", line 1 has something that does not belong to its list");
    EXPECT_EQ(error("[" + good + good + "]"), ", line 1 has something that does not belong to its list");
    EXPECT_EQ(error("[\n\n{\"text\": 1}]"), ", line 3 is no JSON object with \"text\", as every document must be");
    EXPECT_EQ(error("[[\"x\"]]"), ", line 1 is no JSON object with \"text\", as every document must be");
    EXPECT_EQ(error("\"x\""), ", line 1 is no JSON object with \"text\", as every document must be");
    EXPECT_EQ(error("{\"model_type\": \"llama\"}"),
              ", line 1 is no JSON object with \"text\", as every document must be");
    EXPECT_EQ(error("[\n{\"text\": \"x\", \"loss\": NaN}]"), ", line 2 has NaN at byte 22, which JSON does not know");
    EXPECT_EQ(error(std::string(200, '[')), ", line 1 is nested deeper than 128 levels");
}

TEST(TextFile, AByteOrderMarkIsNoTextAndOtherEncodingsAreNamed) {
    const TemporaryFolder folder;
    const std::string mark = "\xEF\xBB\xBF";
    EXPECT_EQ(read(folder.write("a.txt", mark + "text" + mark)), (Texts{{-1, "text" + mark}}));
    EXPECT_EQ(read(folder.write("a.txt.zst", packed(mark + "text"))), (Texts{{-1, "text"}}));
    EXPECT_EQ(read(folder.write("a.txt", mark)), (Texts{{-1, ""}}));
    const auto error = [&](const std::string& text) { return error_of([&] { read(folder.write("a.txt", text)); }); };
    EXPECT_NE(error(mark + "a\xff").find("is not UTF-8 at byte 4"), std::string::npos);
    for (const std::string& text :
         {std::string("\xff\xfe"
                      "a\0b\0",
                      6),
          std::string("\xfe\xff\0a\0b", 6), std::string("a\0b\0c\0", 6), std::string("\0a\0b\0c", 6)}) {
        EXPECT_NE(error(text).find("is UTF-16; convert it"), std::string::npos) << error(text);
    }
    EXPECT_NE(error(std::string("\xff\xfe\0\0a\0\0\0", 8)).find("is UTF-32"), std::string::npos);
    EXPECT_NE(error("PAR1 and so on").find("is a Parquet file, not text"), std::string::npos);
}

TEST(TextFile, CharactersAndLinesMayLieAcrossPieces) {
    const TemporaryFolder folder;
    for (std::size_t shift = 0; shift < 4; ++shift) {
        std::string text(shift, 'x');
        while (text.size() < (std::size_t{5} << 19)) {
            text += "文字与文字；";
        }
        EXPECT_EQ(read(folder.write("a.txt", text), 1 << 22), (Texts{{-1, text}}));
        const std::string line = "{\"text\": \"" + text + "\\\\\"}";
        const Texts expected = {{-1, text + "\\\f" + text + "\\\f"}};
        EXPECT_EQ(read(folder.write("a.jsonl", line + "\n" + line), 1 << 23), expected);
        EXPECT_EQ(read(folder.write("a.json", "[" + line + "," + line + "]"), 1 << 23), expected);
    }
}

TEST(TextFile, BadLinesAreNamed) {
    const TemporaryFolder folder;
    const auto error = [&](const std::string& line) {
        return error_of([&] { read(folder.write("a.jsonl", "{\"text\":\"fine\"}\n\n" + line + "\n")); });
    };
    for (const char* line : {"[]", "\"text\"", "{\"text\":1}", "{\"texts\":\"x\"}", "{}", "null", "{\"text\":[\"a\"]}",
                             "{\"a\":{\"text\":\"x\"}}", "[\"text\",\"x\"]"}) {
        EXPECT_NE(error(line).find("a.jsonl, line 3 is no JSON object"), std::string::npos) << line << error(line);
    }
    const std::pair<const char*, const char*> causes[] = {
        {"{\"text\":\"not ended", "line 3 ends before its JSON does"},
        {"{\"text\":\"a\"} {\"text\":\"b\"}", "line 3 is no JSON from byte 13 on"},
        {"{\"text\":\"a\",\"score\":NaN}", "line 3 has NaN at byte 20, which JSON does not know"},
        {"{\"text\":\"a\",\"score\":1e999}", "line 3 has the number 1e999, which is too large"},
        {"{\"text\":\"a\",\"id\":\"\\ud83d\"}", "line 3 has half of a surrogate pair"},
        {"{\"text\":\"a\",\"text\":\"b\"}", "line 3 has the key \"text\" twice in one object"},
        {"{\"language\":\"en\",\"text\":\"a\",\"language\":null}", "line 3 has the key \"language\" twice"},
    };
    for (const auto& [line, cause] : causes) {
        EXPECT_NE(error(line).find(cause), std::string::npos) << error(line);
    }
    for (const char* language : {"\"de\"", "1", "[]", "\"EN\""}) {
        const std::string line = std::string("{\"text\":\"a\",\"language\":") + language + "}";
        EXPECT_NE(error(line).find("line 3: \"language\" must be en or zh"), std::string::npos) << error(line);
    }
    EXPECT_NE(error(std::string(200000, '[')).find("line 3 is nested deeper than 128 levels"), std::string::npos);
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
    EXPECT_NE(error_of([&] { read(folder.path() / "missing.txt"); }).find("does not exist"), std::string::npos);
    EXPECT_NE(error_of([&] { read(folder.write("a.gz", gzipped(std::string(1 << 21, ' ')))); }).find("more than"),
              std::string::npos);
    const std::string document = "{\"text\": \"" + std::string(1000, 'x') + "\"}\n";
    EXPECT_NE(error_of([&] { read(folder.write("a.jsonl", document + document), 1500); }).find("more than the 1500"),
              std::string::npos);
    // What stands beside the text is not kept, but not read for ever either.
    EXPECT_NE(error_of([&] {
                  read(folder.write("a.jsonl.zst", packed(std::string(1 << 20, '\n'))), 1 << 15);
              }).find("more than"),
              std::string::npos);
}

TEST(TextFile, DamagedGzipIsRefused) {
    const TemporaryFolder folder;
    const std::string good = gzipped(some_text(300));
    const auto try_bytes = [&](const std::string& bytes) {
        return error_of([&] { read(folder.write("a.txt.gz", bytes)); });
    };
    ASSERT_EQ(try_bytes(good), "no error");
    for (std::size_t length = 0; length < good.size(); length += 7) {
        EXPECT_NE(try_bytes(good.substr(0, length)).find("ends before its compressed data do"), std::string::npos)
            << length;
    }
    EXPECT_NE(try_bytes("plain text").find("damaged or not compressed with gzip"), std::string::npos);
    std::string bytes = good;
    bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 0x10);
    EXPECT_NE(try_bytes(bytes), "no error");
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
