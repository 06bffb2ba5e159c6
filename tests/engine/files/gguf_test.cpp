#include "engine/files/gguf.hpp"

#include <chrono>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <gtest/gtest.h>
#include <random>

#include "engine/error.hpp"
#include "engine/files/inspect.hpp"
#include "tests/engine/files/gguf_bytes.hpp"
#include "tests/engine/text/temporary_folder.hpp"

namespace moescope::engine {
namespace {

namespace fs = std::filesystem;

TEST(Gguf, ReadsEveryKindOfValue) {
    const TemporaryFolder folder;
    const GgufHeader header = read_gguf(folder.write("m.gguf", small_moe().file(256)));
    EXPECT_EQ(header.version, 3u);
    EXPECT_EQ(header.values.at("general.name"), "small 小");
    EXPECT_EQ(header.values.at("a.bool"), true);
    EXPECT_EQ(header.values.at("a.f32"), 1.5);
    EXPECT_EQ(header.values.at("a.i64"), -5);
    EXPECT_EQ(header.arrays.at("a.numbers"), 3u);
    EXPECT_EQ(header.arrays.at("tokenizer.ggml.tokens"), 4u);
    ASSERT_EQ(header.tensors.size(), 2u);
    EXPECT_EQ(header.tensors[1].type, "Q4_0");
    EXPECT_EQ(header.tensors[1].bytes, 72u);
    EXPECT_EQ(header.tensors[1].offset, header.data_offset + 128);
    EXPECT_EQ(header.data_offset % 32, 0u);
}

TEST(Gguf, CutAnywhereIsAnErrorAndNeverACrash) {
    const TemporaryFolder folder;
    const std::string whole = small_moe().file(256);
    const std::size_t needed = whole.size() - 256 + 128 + 72;  // the end of the last tensor
    for (std::size_t cut = 0; cut < whole.size(); ++cut) {
        const FileReport report = inspect_file(folder.write("cut.gguf", whole.substr(0, cut)));
        ASSERT_EQ(report.safe, cut >= needed) << cut << " " << report.problem;
        if (!report.safe) {
            ASSERT_NE(report.problem.english().find("cut.gguf "), std::string::npos) << report.problem;
        }
    }
}

TEST(Gguf, RandomDamageNeverCrashesAndAReportCanAlwaysBeWritten) {
    const TemporaryFolder folder;
    const std::string whole = small_moe().file(256);
    const std::size_t header_bytes = small_moe().header().size();
    std::mt19937_64 random(3);
    int refused = 0;
    for (int round = 0; round < 20000; ++round) {
        std::string bytes = whole;
        for (auto n = 1 + random() % 4; n > 0; --n) {
            const std::size_t at = random() % header_bytes;
            switch (random() % 4) {
                case 0:
                    bytes[at] = static_cast<char>(random());
                    break;
                case 1:
                    bytes[at] = static_cast<char>(bytes[at] ^ (1 << random() % 8));
                    break;
                case 2: {  // an extreme 64-bit number
                    const std::uint64_t values[] = {
                        ~0ULL, 1ULL << 63, 1ULL << 62, 1ULL << 32, (1ULL << 32) - 1, 0, 0x7fffffffffffffe0ULL};
                    const std::string value = GgufBytes::raw(values[random() % 7]);
                    bytes.replace(at, std::min<std::size_t>(8, bytes.size() - at),
                                  value.substr(0, std::min<std::size_t>(8, bytes.size() - at)));
                    break;
                }
                default:
                    bytes.erase(at, 1 + random() % 8);
                    break;
            }
        }
        const FileReport report = inspect_file(folder.write("damaged.gguf", bytes));
        ASSERT_FALSE(report.details.dump().empty());
        ASSERT_EQ(report.safe, report.problem.empty());
        refused += !report.safe;
    }
    EXPECT_GT(refused, 10000);
    EXPECT_LT(refused, 20000) << "some damage only changes a value";
}

std::string problem(const std::function<void(GgufBytes&)>& change, std::size_t data = 256) {
    const TemporaryFolder folder;
    GgufBytes g = small_moe();
    change(g);
    return inspect_file(folder.write("m.gguf", g.file(data))).problem.english();
}

TEST(Gguf, EachLieIsNamed) {
    EXPECT_EQ(problem([](GgufBytes&) {}), "");
    const auto expect = [](const std::string& part, const std::function<void(GgufBytes&)>& change) {
        const std::string got = problem(change);
        EXPECT_NE(got.find(part), std::string::npos) << "wanted '" << part << "' got '" << got << "'";
    };
    expect("version 1", [](GgufBytes& g) { g.version = 1; });
    expect("version 4", [](GgufBytes& g) { g.version = 4; });
    expect("big-endian", [](GgufBytes& g) { g.version = 0x03000000; });
    expect("announces 18446744073709551615 values", [](GgufBytes& g) { g.value_count = ~0ULL; });
    expect("announces 999999 tensors", [](GgufBytes& g) { g.tensor_count = 999999; });
    expect("twice", [](GgufBytes& g) { g.u32("general.file_type", 1); });
    expect("twice", [](GgufBytes& g) { g.tensor({"token_embd.weight", {8}, 0, 0}); });
    expect("unknown type 13", [](GgufBytes& g) { g.add("x", 13, "abcd"); });
    expect("truth value of 7", [](GgufBytes& g) { g.add("x", 7, "\7"); });
    expect("power of two", [](GgufBytes& g) { g.u32("general.alignment", 33); });
    expect("power of two", [](GgufBytes& g) { g.u32("general.alignment", 0); });
    expect("power of two", [](GgufBytes& g) { g.string("general.alignment", "32"); });
    expect("0 dimensions", [](GgufBytes& g) { g.tensor({"x", {}, 0, 0}); });
    expect("5 dimensions", [](GgufBytes& g) { g.tensor({"x", {1, 1, 1, 1, 1}, 0, 0}); });
    expect("dimension of 0", [](GgufBytes& g) { g.tensor({"x", {1, 0}, 0, 0}); });
    expect("overflows", [](GgufBytes& g) { g.tensor({"x", {1ULL << 40, 1ULL << 40}, 0, 0}); });
    expect("overflows", [](GgufBytes& g) { g.tensor({"x", {1ULL << 61, 2}, 28, 0}); });
    expect("unknown type 4", [](GgufBytes& g) { g.tensor({"x", {32}, 4, 0}); });
    expect("rows of 33", [](GgufBytes& g) { g.tensor({"x", {33}, 2, 0}); });
    expect("not on a multiple of 32", [](GgufBytes& g) { g.tensor({"x", {1}, 0, 204}); });
    expect("before the end of the tensor 'x'", [](GgufBytes& g) { g.tensor({"x", {9}, 0, 224}); });
    expect("before the end of the tensor 'x'", [](GgufBytes& g) { g.tensor({"x", {9}, 0, ~31ULL}); });
    expect("over the tensor", [](GgufBytes& g) { g.tensor({"x", {8}, 0, 96}); });
    expect("nested", [](GgufBytes& g) {
        std::string body;
        for (int i = 0; i < 50; ++i) {
            body += GgufBytes::raw<std::uint32_t>(9) + GgufBytes::raw<std::uint64_t>(1);
        }
        g.add("x", 9, body);
    });
    expect("inside a string", [](GgufBytes& g) { g.add("x", 8, GgufBytes::raw<std::uint64_t>(1ULL << 40)); });
    expect("more than can be in it", [](GgufBytes& g) {
        g.add("x", 9, GgufBytes::raw<std::uint32_t>(8) + GgufBytes::raw<std::uint64_t>(1ULL << 60));
    });
    expect("overflows", [](GgufBytes& g) {
        g.add("x", 9, GgufBytes::raw<std::uint32_t>(12) + GgufBytes::raw<std::uint64_t>(1ULL << 61));
    });
}

TEST(Gguf, SparseGiantsAreRefusedByTheirNumbers) {
    const TemporaryFolder folder;
    const auto problem = [&](const std::string& bytes, std::uint64_t size) {
        const fs::path path = folder.write("giant.gguf", bytes);
        fs::resize_file(path, size);
        const auto start = std::chrono::steady_clock::now();
        const std::string text = inspect_file(path).problem.english();
        // Half a second at most; it was half a minute and 3 GB.
        EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(10));
        return text;
    };
    constexpr std::uint64_t kSize = 200ULL << 30;
    GgufBytes list;
    list.add("tokens", 9, GgufBytes::raw<std::uint32_t>(8) + GgufBytes::raw<std::uint64_t>(kSize / 8 - 100));
    EXPECT_NE(problem(list.header(), kSize).find("has more than 4000000 texts in its lists"), std::string::npos);
    GgufBytes lists;
    lists.add("lists", 9, GgufBytes::raw<std::uint32_t>(9) + GgufBytes::raw<std::uint64_t>(kSize / 12 - 100));
    EXPECT_NE(problem(lists.header(), kSize).find("has more than 4000000 texts in its lists"), std::string::npos);
    // Every text has the length of the last one kept; what they say is a hole.
    GgufBytes texts;
    texts.value_count = 699;
    const std::uint64_t each = 4ULL << 20;
    const std::string entry_end = GgufBytes::raw<std::uint32_t>(8) + GgufBytes::raw(each);
    const fs::path path = folder.write("giant.gguf", texts.header());
    std::fstream file(path, std::ios::binary | std::ios::in | std::ios::out);
    std::uint64_t at = texts.header().size();
    for (int i = 0; i < 699; ++i) {
        const std::string entry = GgufBytes::text("key" + std::to_string(i)) + entry_end;
        file.seekp(static_cast<std::streamoff>(at));
        file.write(entry.data(), static_cast<std::streamsize>(entry.size()));
        at += entry.size() + each;
    }
    file.close();
    fs::resize_file(path, at);
    EXPECT_NE(inspect_file(path).problem.english().find("has more than 134217728 bytes of keys"), std::string::npos)
        << inspect_file(path).problem;
}

TEST(Gguf, ReportsWhatAModelIs) {
    const TemporaryFolder folder;
    const FileReport report = inspect_file(folder.write("m.gguf", small_moe().file(256)));
    ASSERT_TRUE(report.safe) << report.problem;
    const nlohmann::json expected = {{"architecture", "qwen3moe"},
                                     {"name", "small 小"},
                                     {"licence", "apache-2.0"},
                                     {"quantisation", "Q4_K_M"},
                                     {"parameters", 160},
                                     {"tensors", 2},
                                     {"layers", 6},
                                     {"context", 128},
                                     {"experts", 16},
                                     {"experts_per_token", 2},
                                     {"vocabulary", 4},
                                     {"chat_template", true},
                                     {"version", 3}};
    for (const auto& [key, value] : expected.items()) {
        EXPECT_EQ(report.details[key], value) << key;
    }
    EXPECT_EQ(report.format(), "GGUF");
}

TEST(Gguf, RealModelsAreReadInAMoment) {
    const char* cache = std::getenv("MOESCOPE_CACHE");
    const fs::path models = fs::path(cache == nullptr ? "" : cache) / "models";
    struct Expected {
        const char *file, *architecture, *quantisation;
        int vocabulary;
        bool chat;
    };
    const Expected all[] = {{"qwen2.5-coder-0.5b-instruct-q4_k_m.gguf", "qwen2", "Q4_K_M", 151936, true},
                            {"smollm2-135m-instruct-q4_1.gguf", "llama", "Q4_1", 49152, true},
                            {"gemma-3-270m-q4_k_m.gguf", "gemma3", "Q4_K_M", 262144, false}};
    int found = 0;
    for (const Expected& e : all) {
        if (!fs::exists(models / e.file)) {
            continue;
        }
        ++found;
        double best = 1e9;
        FileReport report;
        for (int i = 0; i < 3; ++i) {
            const auto start = std::chrono::steady_clock::now();
            report = inspect_file(models / e.file);
            best = std::min(
                best, std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count());
        }
        EXPECT_TRUE(report.safe) << report.problem;
        EXPECT_EQ(report.details["architecture"], e.architecture);
        EXPECT_EQ(report.details["quantisation"], e.quantisation);
        EXPECT_EQ(report.details["vocabulary"], e.vocabulary);
        EXPECT_EQ(report.details["chat_template"], e.chat);
        std::printf("%s: %.1f ms %s\n", e.file, best, report.details.dump().c_str());
    }
    if (found == 0) {
        GTEST_SKIP() << "the three models are not in MOESCOPE_CACHE/models; start ./run without --no-models once";
    }
}

}  // namespace
}  // namespace moescope::engine
