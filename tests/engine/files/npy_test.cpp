#include "engine/files/npy.hpp"

#include <random>

#include "tests/engine/train/fixtures.hpp"

namespace moescope::engine::test {
namespace {

std::string npy(const std::string& header, const std::string& data) {
    std::string bytes = std::string("\x93NUMPY\x01", 7) + '\0';
    bytes += static_cast<char>(header.size() & 0xff);
    bytes += static_cast<char>(header.size() >> 8);
    return bytes + header + data;
}

TEST(Npy, TokensGoThereAndBack) {
    const TemporaryFolder folder;
    const std::vector<std::int32_t> tokens = {0, 5, -3, 70000};
    write_npy(folder.path() / "t.npy", std::span<const std::int32_t>(tokens), {4});
    EXPECT_EQ(read_npy_tokens(folder.path() / "t.npy"), tokens);
    const std::string bytes = file_bytes(folder.path() / "t.npy");
    EXPECT_EQ((bytes.size() - 16) % 64, 0u);
    const std::vector<float> logits(6, 1.5f);
    write_npy(folder.path() / "l.npy", std::span<const float>(logits), {2, 3});
    const std::string matrix = file_bytes(folder.path() / "l.npy");
    const NpyHeader header = parse_npy(std::as_bytes(std::span(matrix)), matrix.size(), "l.npy");
    EXPECT_EQ(header.dtype, "<f4");
    EXPECT_EQ(header.shape, (std::vector<std::uint64_t>{2, 3}));
    EXPECT_NE(error_of([&] { read_npy_tokens(folder.path() / "l.npy"); }).find("one-dimensional"), std::string::npos);
    EXPECT_NE(error_of([&] { read_npy_tokens(folder.path() / "no.npy"); }).find("no.npy"), std::string::npos);
    EXPECT_NE(error_of([&] { write_npy(folder.path() / "w.npy", std::span<const float>(logits), {7}); }).find("w.npy"),
              std::string::npos);
}

TEST(Npy, OtherWholeNumbersAreConverted) {
    const TemporaryFolder folder;
    const auto path = folder.path() / "t.npy";
    write_bytes(path,
                npy("{'descr': '<u2', 'fortran_order': False, 'shape': (2,), }\n", std::string("\x01\x00\xff\xff", 4)));
    EXPECT_EQ(read_npy_tokens(path), (std::vector<std::int32_t>{1, 65535}));
    write_bytes(path, npy("{'descr': '<i8', 'fortran_order': False, 'shape': (1,)}",
                          std::string("\x00\x00\x00\x00\x01\x00\x00\x00", 8)));
    EXPECT_NE(error_of([&] { read_npy_tokens(path); }).find("4294967296"), std::string::npos);
}

TEST(Npy, MalformedFilesAreRefused) {
    const std::string bad[] = {
        "",
        "PK\x03\x04 not this",
        npy("{'descr': '<i4', 'fortran_order': True, 'shape': (1,), }", "1234"),
        npy("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", "12345678"),
        npy("{'descr': '<i4', 'fortran_order': False, 'shape': (2,), }", "1234"),
        npy("{'descr': '<i4', 'fortran_order': False, 'shape': (1,), }", "12345"),
        npy("{'descr': '<i4', 'fortran_order': False, 'shape': (4611686018427387905,), }", "1234"),
        npy("{'descr': '<i4', 'fortran_order': False, 'shape': (99999999999999999999,), }", "1234"),
        npy("{'descr': '<i4', 'descr': '<i4', 'shape': (1,), }", "1234"),
        npy("{'descr': '<i4', 'fortran_order': False, 'shape': (-1,), }", "1234"),
        npy("{'descr': '<i4', 'fortran_order': False}", "1234"),
        npy("__import__('os')", "1234"),
        npy("{'descr': '<i4', 'fortran_order': False, 'shape': (1,), } x", "1234"),
    };
    for (const std::string& bytes : bad) {
        EXPECT_NE(error_of([&] { parse_npy(std::as_bytes(std::span(bytes)), bytes.size(), "x.npy"); }).find("x.npy"),
                  std::string::npos)
            << bytes;
    }
    const std::string sound = npy("{'descr': '<i4', 'fortran_order': False, 'shape': (1,), }", "1234");
    std::mt19937 random(5);
    for (int i = 0; i < 20000; ++i) {
        std::string bytes = sound.substr(0, sound.size() - random() % 3);
        bytes[random() % bytes.size()] = static_cast<char>(random());
        try {
            const NpyHeader header = parse_npy(std::as_bytes(std::span(bytes)), bytes.size(), "x.npy");
            EXPECT_EQ(header.data_begin + header.count * header.item_bytes, bytes.size());
        } catch (const Error&) {
        }
    }
}

}  // namespace
}  // namespace moescope::engine::test
