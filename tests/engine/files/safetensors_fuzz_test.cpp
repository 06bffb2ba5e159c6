// Damage of every kind to safetensors files and folders. Each buffer is exactly as long as its file, so that a
// sanitizer sees the first byte read past it.
#include <bit>
#include <cmath>
#include <cstring>
#include <gtest/gtest.h>
#include <memory>
#include <random>

#include "base/half_floats.hpp"
#include "engine/error.hpp"
#include "engine/files/safetensors.hpp"
#include "engine/files/safetensors_folder.hpp"
#include "tests/engine/text/temporary_folder.hpp"

namespace moescope::engine::test {
namespace {

std::string framed(const std::string& header, const std::string& data) {
    std::string bytes(8, '\0');
    const std::uint64_t n = header.size();
    std::memcpy(bytes.data(), &n, 8);
    return bytes + header + data;
}

std::string sound_file() {
    return framed(
        R"({"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2,1],"data_offsets":[0,8]},)"
        R"("b.c":{"dtype":"BF16","shape":[3],"data_offsets":[8,14]},"e":{"dtype":"U8","shape":[0],"data_offsets":[14,14]}}   )",
        "abcdefghijklmn");
}

void damage(std::string& bytes, std::mt19937& random) {
    constexpr std::string_view kMarks = "0123456789{}[],:\"e-.\\u\0\xff";
    const std::size_t at = random() % bytes.size();
    switch (random() % 6) {
        case 0:
            bytes[at] = static_cast<char>(random());
            return;
        case 1:
            bytes[at] = static_cast<char>(bytes[at] ^ (1 << random() % 8));
            return;
        case 2:
            bytes.erase(at, 1 + random() % 4);
            return;
        case 3:
            bytes.insert(at, 1 + random() % 3, kMarks[random() % kMarks.size()]);
            return;
        case 4:
            bytes.insert(at, bytes.substr(random() % bytes.size(), random() % 20));
            return;
        default:
            bytes.resize(at + 1);
    }
}

/// Everything that the header promises holds for the bytes of the file.
void expect_sound(const SafetensorsHeader& header, std::uint64_t size) {
    std::uint64_t bytes = 0;
    for (const auto& [name, tensor] : header.tensors) {
        ASSERT_LE(tensor.begin, tensor.end);
        ASSERT_LE(header.data_begin + tensor.end, size);
        bytes += tensor.end - tensor.begin;
    }
    ASSERT_EQ(header.data_begin + bytes, size);
}

TEST(SafetensorsFuzz, AHundredThousandDamagedHeadersAreReadOrRefused) {
    const std::string sound = sound_file();
    std::mt19937 random(29);
    int refused = 0, accepted = 0;
    for (int i = 0; i < 100'000; ++i) {
        std::string bytes = sound;
        for (unsigned edits = 1 + random() % 3; edits > 0 && !bytes.empty(); --edits) {
            damage(bytes, random);
        }
        const std::unique_ptr<std::byte[]> exact(new std::byte[bytes.size()]);
        std::memcpy(exact.get(), bytes.data(), bytes.size());
        try {
            expect_sound(parse_safetensors({exact.get(), bytes.size()}, bytes.size(), "f"), bytes.size());
            ++accepted;
        } catch (const Error&) {
            ++refused;
        }
    }
    EXPECT_GT(refused, 50'000);
    EXPECT_GT(accepted, 100);
}

TEST(SafetensorsFuzz, EveryPrefixOfAFileIsRefused) {
    const std::string sound = sound_file();
    for (std::size_t length = 0; length < sound.size(); ++length) {
        const std::string part = sound.substr(0, length);
        EXPECT_THROW(parse_safetensors(std::as_bytes(std::span(part)), part.size(), "f"), Error) << length;
    }
    EXPECT_NO_THROW(parse_safetensors(std::as_bytes(std::span(sound)), sound.size(), "f"));
}

std::string raw(std::span<const std::uint16_t> values) {
    return {reinterpret_cast<const char*>(values.data()), values.size_bytes()};
}

TEST(Safetensors, NarrowAndWideFloatsAreRead) {
    const TemporaryFolder folder;
    const std::uint16_t f16[] = {0x3c00, 0xc000, 0x0001, 0x7bff, 0x7c00, 0x8000, 0x03ff};
    const std::uint16_t bf16[] = {0x3f80, 0xc000, 0x0001, 0x7f80};
    const double f64[] = {1.5, -1e300, 1e-3};
    const std::string data = std::string(reinterpret_cast<const char*>(f64), 24) + raw(f16) + raw(bf16);
    const auto path =
        folder.write("m.safetensors", framed(R"({"d":{"dtype":"F64","shape":[3],"data_offsets":[0,24]},)"
                                             R"("h":{"dtype":"F16","shape":[7],"data_offsets":[24,38]},)"
                                             R"("b":{"dtype":"BF16","shape":[4],"data_offsets":[38,46]}})",
                                             data));
    const SafetensorsFile file(path);
    std::vector<float> d(3), h(7), b(4);
    file.read_floats("d", d);
    file.read_floats("h", h);
    file.read_floats("b", b);
    EXPECT_EQ(d[0], 1.5f);
    EXPECT_TRUE(std::isinf(d[1]) && d[1] < 0);
    EXPECT_EQ(d[2], 1e-3f);
    EXPECT_EQ(h, (std::vector<float>{1.0f, -2.0f, 0x1p-24f, 65504.0f, INFINITY, -0.0f, 0x3ffp-24f}));
    EXPECT_EQ(b, (std::vector<float>{1.0f, -2.0f, std::bit_cast<float>(0x00010000), INFINITY}));
    EXPECT_THROW(file.read_f32("h", h), Error);
    EXPECT_THROW(file.read_floats("h", b), Error);
}

TEST(Halves, EveryHalfSurvivesTheWayThroughFloat) {
    for (std::uint32_t bits = 0; bits < 65536; ++bits) {
        const auto half = static_cast<std::uint16_t>(bits);
        const float f = base::f16_to_float(half), b = base::bf16_to_float(half);
        if (std::isnan(f)) {
            EXPECT_TRUE(std::isnan(base::f16_to_float(base::float_to_f16(f))));
        } else {
            ASSERT_EQ(base::float_to_f16(f), half);
        }
        if (std::isnan(b)) {
            EXPECT_TRUE(std::isnan(base::bf16_to_float(base::float_to_bf16(b))));
        } else {
            ASSERT_EQ(base::float_to_bf16(b), half);
        }
    }
}

TEST(Halves, RoundingIsToTheNearestAndTiesToEven) {
    std::mt19937 random(5);
    for (int i = 0; i < 200'000; ++i) {
        const float value = std::ldexp(std::uniform_real_distribution<float>(-2.0f, 2.0f)(random),
                                       static_cast<int>(random() % 43) - 28);
        const auto check = [value](std::uint16_t got, float (*widen)(std::uint16_t)) {
            const double error = std::abs(static_cast<double>(widen(got)) - static_cast<double>(value));
            for (const int step : {-1, 1}) {
                const auto next = static_cast<std::uint16_t>(got + step);
                const double other = std::abs(static_cast<double>(widen(next)) - static_cast<double>(value));
                if (std::isfinite(widen(next)) && (other < error || (other == error && got % 2 != 0))) {
                    return false;
                }
            }
            return true;
        };
        ASSERT_TRUE(check(base::float_to_f16(value), base::f16_to_float)) << value;
        ASSERT_TRUE(check(base::float_to_bf16(value), base::bf16_to_float)) << value;
    }
    EXPECT_EQ(base::float_to_f16(65519.99f), 0x7bff);
    EXPECT_EQ(base::float_to_f16(65520.0f), 0x7c00);
}

std::string message_of(const std::filesystem::path& folder) {
    try {
        const SafetensorsFolder files(folder);
    } catch (const Error& error) {
        return error.what();
    }
    return "no error";
}

TEST(SafetensorsFolder, ShardsAndTheirListMustAgree) {
    const std::string one = framed(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})", "x");
    const std::string two = framed(R"({"b":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})", "x");
    const std::string both = framed(
        R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"b":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})",
        "xy");
    const std::pair<const char*, const char*> cases[] = {
        {"no error", R"({"metadata":{},"weight_map":{"a":"1.safetensors.safetensors","b":"2-of-2.safetensors"}})"},
        {"does not list tensor \"b\"", R"({"weight_map":{"a":"both.safetensors"}})"},
        {"\"a\" in 2-of-2.safetensors, but no file of the list has it", R"({"weight_map":{"a":"2-of-2.safetensors"}})"},
        {"\"c\" in 2-of-2.safetensors, but no file of the list has it",
         R"({"weight_map":{"a":"1.safetensors.safetensors","b":"2-of-2.safetensors","c":"2-of-2.safetensors"}})"},
        {"\"a\" is not in 2-of-2.safetensors but in 1.safetensors.safetensors",
         R"({"weight_map":{"a":"2-of-2.safetensors","b":"1.safetensors.safetensors"}})"},
        {"not the name", R"({"weight_map":{"a":"../x.safetensors"}})"},
        {"not the name", R"({"weight_map":{"a":"/etc/x.safetensors"}})"},
        {"not the name", R"({"weight_map":{"a":7}})"},
        {"no weight_map", R"({"weight_map":[]})"},
        {"no weight_map", R"([])"},
        {"lists 0 files", R"({"weight_map":{}})"},
        {"model.safetensors.index.json", R"({"weight_map":)"},
        {"lists tensor \"a\" in the file none-there.safetensors, which is missing",
         R"({"weight_map":{"a":"none-there.safetensors"}})"},
    };
    for (const auto& [expected, index] : cases) {
        const TemporaryFolder folder;
        folder.write("1.safetensors.safetensors", one);
        folder.write("2-of-2.safetensors", two);
        folder.write("both.safetensors", both);
        folder.write("model.safetensors.index.json", index);
        const std::string message = message_of(folder.path());
        EXPECT_NE(message.find(expected), std::string::npos) << message << "\nfor " << index;
    }
    const TemporaryFolder same;
    same.write("x-of-2.safetensors", one);
    same.write("y-of-2.safetensors", one);
    same.write("model.safetensors.index.json", R"({"weight_map":{"a":"x-of-2.safetensors","b":"y-of-2.safetensors"}})");
    EXPECT_NE(message_of(same.path()).find("is also in"), std::string::npos);
}

/// Some programs write shards without a list; their names say as much.
TEST(SafetensorsFolder, ShardsWithoutAListAreOneModelByTheirNames) {
    const auto shard = [](const std::string& tensor) {
        return framed(R"({")" + tensor + R"(":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})", "x");
    };
    const TemporaryFolder folder;
    folder.write("model-00001-of-00003.safetensors", shard("a"));
    folder.write("model-00003-of-00003.safetensors", shard("c"));
    EXPECT_NE(message_of(folder.path()).find("the shard model-00002-of-00003.safetensors is missing"),
              std::string::npos);
    folder.write("model-00002-of-00003.safetensors", shard("b"));
    folder.write("._model-00002-of-00003.safetensors", "AppleDouble");
    folder.write("adapter_model.safetensors", shard("lora"));
    EXPECT_EQ(message_of(folder.path()), "no error");
    const SafetensorsFolder files(folder.path());
    EXPECT_EQ(files.tensors().size(), 3u);
    EXPECT_TRUE(files.tensors().contains("b"));
    folder.write("model-00002-of-00003.safetensors", shard("a"));
    EXPECT_NE(message_of(folder.path()).find("is also in"), std::string::npos);
    folder.write("model-00002-of-00003.safetensors", shard("b"));
    folder.write("model-00004-of-00003.safetensors", shard("d"));
    EXPECT_NE(message_of(folder.path()).find("a wrong number, model-00004-of-00003.safetensors"), std::string::npos);
    std::filesystem::remove(folder.path() / "model-00004-of-00003.safetensors");
    folder.write("other-00001-of-00001.safetensors", shard("z"));
    const std::string two = message_of(folder.path());
    EXPECT_NE(two.find("the shards of two models, model-00001-of-00003.safetensors and other-00001-of-00001"),
              std::string::npos)
        << two;
    // A list or a single file decides; then shards are only what lies beside.
    folder.write("model.safetensors", shard("whole"));
    EXPECT_EQ(SafetensorsFolder(folder.path()).tensors().count("whole"), 1u);
}

}  // namespace
}  // namespace moescope::engine::test
