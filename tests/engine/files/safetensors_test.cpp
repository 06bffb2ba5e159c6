#include "engine/files/safetensors.hpp"

#include <cmath>
#include <cstring>
#include <random>

#include "tests/engine/train/fixtures.hpp"

namespace moescope::engine::test {
namespace {

std::string framed(const std::string& header, const std::string& data) {
    std::string bytes(8, '\0');
    const std::uint64_t n = header.size();
    std::memcpy(bytes.data(), &n, 8);
    return bytes + header + data;
}

SafetensorsHeader parse(const std::string& bytes) {
    return parse_safetensors(std::as_bytes(std::span(bytes)), bytes.size(), "file.safetensors");
}

TEST(Safetensors, WhatIsWrittenIsRead) {
    const TemporaryFolder folder;
    const auto path = folder.path() / "m.safetensors";
    const std::vector<float> a = {1, 2, 3, 4, 5, 6}, scalar = {std::nanf("")}, empty;
    write_safetensors(path, {{"z", {2, 3}, a.data()}, {"b", {}, scalar.data()}, {"a\"\\ü", {0, 7}, empty.data()}});
    const SafetensorsFile file(path);
    EXPECT_EQ(file.header().metadata.at("format"), "pt");
    EXPECT_EQ(file.header().data_begin % 8, 0u);
    EXPECT_EQ(file.header().tensors.size(), 3u);
    EXPECT_EQ(file.header().tensors.at("z").shape, (std::vector<std::uint64_t>{2, 3}));
    std::vector<float> back(6), one(1);
    file.read_f32("z", back);
    file.read_f32("b", one);
    EXPECT_EQ(back, a);
    EXPECT_TRUE(std::isnan(one[0]));
    EXPECT_NE(error_of([&] { file.read_f32("z", one); }).find("\"z\""), std::string::npos);
    EXPECT_NE(error_of([&] { file.read_f32("y", one); }).find("missing"), std::string::npos);
}

TEST(Safetensors, SoundFilesAreAccepted) {
    const std::string good[] = {
        framed("{}", ""),
        framed("{\"__metadata__\":{\"a\":\"b\"}}   ", ""),
        // Written by some programs, and opened by the safetensors library.
        framed(R"({"__metadata__":null,"t":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})", "1"),
        framed(R"({"t":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]}})", "12345678"),
        framed(
            R"({"t":{"dtype":"F4","shape":[2],"data_offsets":[0,1]},"e":{"dtype":"U8","shape":[0],"data_offsets":[1,1]}})",
            "1"),
        framed(
            R"({"s":{"dtype":"BF16","shape":[],"data_offsets":[2,4]},"r":{"dtype":"I16","shape":[1],"data_offsets":[0,2]}})",
            "1234"),
    };
    for (const std::string& bytes : good) {
        EXPECT_NO_THROW(parse(bytes)) << bytes.substr(8);
    }
}

TEST(Safetensors, EveryMalformedKindIsRefused) {
    const std::string huge = "18446744073709551615";
    const std::pair<const char*, std::string> bad[] = {
        {"fewer than 8", ""},
        {"fewer than 8", "1234567"},
        {"longer than the file", framed("{}", "").substr(0, 9)},
        {"header would be", std::string(16, '\xff')},
        {"begin with '{'", framed("", "")},
        {"begin with '{'", framed(" {}", "")},
        {"begin with '{'", framed("[]", "")},
        {"valid JSON", framed("{\"\xff\":{}}", "")},
        {"valid JSON", framed("{} x", "")},
        {"zero byte at byte 2", framed(std::string("{}\0\0", 4), "")},
        {"zero byte", framed(std::string("{\"__metadata__\":{\"a\0b\":\"c\"}}", 28), "")},
        {"null", framed(R"({"t":null})", "")},
        {"valid JSON", framed(R"({"t":)", "")},
        {"twice", framed(R"({"__metadata__":{},"__metadata__":{}})", "")},
        {"twice", framed(R"({"t":{"dtype":"U8","dtype":"U8","shape":[0],"data_offsets":[0,0]}})", "")},
        {"text where none", framed(R"({"t":"x"})", "")},
        {"list where none", framed(R"({"t":[1]})", "")},
        {"number where none", framed(R"({"__metadata__":{"a":1}})", "")},
        {"null", framed(R"({"__metadata__":{"a":null}})", "")},
        {"object inside", framed(R"({"__metadata__":{"a":{}}})", "")},
        {"true or false", framed(R"({"t":{"dtype":true,"shape":[0],"data_offsets":[0,0]}})", "")},
        {"negative", framed(R"({"t":{"dtype":"U8","shape":[-1],"data_offsets":[0,0]}})", "")},
        {"not a whole one", framed(R"({"t":{"dtype":"U8","shape":[1.0],"data_offsets":[0,1]}})", "1")},
        {"not a whole one", framed(R"({"t":{"dtype":"U8","shape":[99999999999999999999],"data_offsets":[0,1]}})", "1")},
        {"does not give", framed(R"({"t":{"dtype":"U8","shape":[0]}})", "")},
        {"does not give", framed(R"({"t":{"dtype":"U8","shape":[1],"data_offsets":[1]}})", "1")},
        {"more than two", framed(R"({"t":{"dtype":"U8","shape":[1],"data_offsets":[0,1,1]}})", "1")},
        {"unknown key", framed(R"({"t":{"dtype":"U8","shape":[0],"data_offsets":[0,0],"x":0}})", "")},
        {"list where none", framed(R"({"t":{"dtype":"U8","shape":[[0]],"data_offsets":[0,0]}})", "")},
        {"unknown type", framed(R"({"t":{"dtype":"F31","shape":[0],"data_offsets":[0,0]}})", "")},
        {"overflows", framed(R"({"t":{"dtype":"U8","shape":[4294967296,4294967296],"data_offsets":[0,0]}})", "")},
        {"overflows", framed(R"({"t":{"dtype":"F32","shape":[)" + huge + R"(],"data_offsets":[0,0]}})", "")},
        {"overflows", framed(R"({"t":{"dtype":"F4","shape":[3],"data_offsets":[0,2]}})", "12")},
        {"do not fit", framed(R"({"t":{"dtype":"U8","shape":[2],"data_offsets":[0,1]}})", "1")},
        {"do not fit", framed(R"({"t":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}})", "1")},
        {"do not fit", framed(R"({"t":{"dtype":"U8","shape":[1],"data_offsets":[1,0]}})", "1")},
        {"do not fit", framed(R"({"t":{"dtype":"U8","shape":[1],"data_offsets":[)" + huge + R"(,0]}})", "1")},
        {"hole", framed(R"({"t":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})", "12")},
        {"overlap",
         framed(
             R"({"t":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"u":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}})",
             "123")},
        {"end at byte 1 of 2", framed(R"({"t":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})", "12")},
        {"end at byte 0 of 1", framed("{}", "1")},
    };
    for (const auto& [expected, bytes] : bad) {
        const std::string message = error_of([&] { parse(bytes); });
        EXPECT_NE(message.find(expected), std::string::npos) << message << "\nfor " << bytes.substr(0, 200);
        EXPECT_NE(message.find("file.safetensors"), std::string::npos);
    }
}

TEST(Safetensors, DeepNestingIsRefusedWithoutRecursion) {
    const std::string message = error_of([] { parse(framed("{\"t\":" + std::string(1 << 20, '['), "")); });
    EXPECT_NE(message.find("list where none"), std::string::npos);
}

TEST(Safetensors, TwentyThousandMutatedFilesAreReadOrRefused) {
    const std::string sound = framed(
        R"({"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2,1],"data_offsets":[0,8]},"b":{"dtype":"U8","shape":[3],"data_offsets":[8,11]}} )",
        "abcdefghijk");
    std::mt19937 random(17);
    int refused = 0;
    for (int i = 0; i < 20000; ++i) {
        std::string bytes = sound;
        for (unsigned edits = 1 + random() % 3; edits > 0; --edits) {
            const std::size_t at = random() % bytes.size();
            switch (random() % 5) {
                case 0:
                    bytes[at] = static_cast<char>(random());
                    break;
                case 1:
                    bytes[at] = static_cast<char>(bytes[at] ^ (1 << random() % 8));
                    break;
                case 2:
                    bytes.erase(at, 1 + random() % 4);
                    break;
                case 3:
                    bytes.insert(at, 1 + random() % 3, "0129{}[],\"e-."[random() % 13]);
                    break;
                default:
                    bytes.resize(at + 1);
                    break;
            }
            if (bytes.empty()) {
                break;
            }
        }
        try {
            const SafetensorsHeader header = parse(bytes);
            std::uint64_t total = 0;
            for (const auto& [name, tensor] : header.tensors) {
                total += tensor.end - tensor.begin;
            }
            EXPECT_EQ(header.data_begin + total, bytes.size());
        } catch (const Error&) {
            ++refused;
        }
    }
    EXPECT_GT(refused, 15000);
}

}  // namespace
}  // namespace moescope::engine::test
