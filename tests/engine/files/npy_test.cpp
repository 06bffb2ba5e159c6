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
    EXPECT_NE(error_of([&] { read_npy_tokens(folder.path() / "l.npy"); }).find("l.npy holds values of the type <f4"),
              std::string::npos);
    EXPECT_NE(error_of([&] { read_npy_tokens(folder.path() / "no.npy"); }).find("no.npy"), std::string::npos);
    EXPECT_NE(error_of([&] { write_npy(folder.path() / "w.npy", std::span<const float>(logits), {7}); }).find("w.npy"),
              std::string::npos);
}

/// `count` whole numbers of `width` bytes: 0, 1, 2, ...
std::string numbers(std::size_t count, std::size_t width, bool big_endian) {
    std::string bytes;
    for (std::size_t i = 0; i < count; ++i) {
        std::string item(width, '\0');
        item[big_endian ? width - 1 : 0] = static_cast<char>(i);
        bytes += item;
    }
    return bytes;
}

TEST(Npy, EveryWidthAndByteOrderIsRead) {
    const TemporaryFolder folder;
    const auto path = folder.path() / "t.npy";
    for (const char* type :
         {"|i1", "|u1", "<i2", ">i2", "<u2", ">u2", "<i4", ">i4", "<u4", ">u4", "<i8", ">i8", "<u8", ">u8"}) {
        const auto width = static_cast<std::size_t>(type[2] - '0');
        write_bytes(path, npy("{'descr': '" + std::string(type) + "', 'fortran_order': False, 'shape': (5,), }\n",
                              numbers(5, width, type[0] == '>')));
        EXPECT_EQ(read_npy_tokens(path), (std::vector<std::int32_t>{0, 1, 2, 3, 4})) << type;
    }
    write_bytes(path, npy("{'descr': '<i2', 'fortran_order': False, 'shape': (1,), }", "\xff\xff"));
    EXPECT_EQ(read_npy_tokens(path), (std::vector<std::int32_t>{-1}));
    std::string third = npy("{'descr': '<i4', 'fortran_order': True, 'shape': (1,), }", std::string("\x07\0\0\0", 4));
    third[6] = 3;
    third.insert(10, 2, '\0');
    write_bytes(path, third);
    EXPECT_EQ(read_npy_tokens(path), (std::vector<std::int32_t>{7}));
}

TEST(Npy, WhatIsNoListOfTokensIsNamed) {
    const TemporaryFolder folder;
    const auto path = folder.path() / "t.npy";
    const auto error = [&](const std::string& type, const std::string& shape, std::size_t bytes) {
        write_bytes(path, npy("{'descr': '" + type + "', 'fortran_order': False, 'shape': (" + shape + "), }",
                              std::string(bytes, '\0')));
        const std::string whole = error_of([&] { read_npy_tokens(path); });
        return whole.substr(std::min(whole.size(), path.string().size()));
    };
    EXPECT_EQ(error("<f8", "2,", 16),
              " holds values of the type <f8, but tokens are whole numbers; save them with .astype('int32')");
    EXPECT_EQ(error("|b1", "2,", 2),
              " holds values of the type |b1, but tokens are whole numbers; save them with .astype('int32')");
    EXPECT_EQ(error("<U3", "2,", 24), " holds values of the type <U3, which are no numbers");
    EXPECT_EQ(error("|O", "2,", 16), " holds values of the type |O, which are no numbers");
    EXPECT_EQ(error("<i4", "2, 3", 24),
              " has 2 dimensions, but tokens are a one-dimensional list; save them with .reshape(-1)");
}

TEST(Npy, AGiantIsRefusedByItsHeader) {
    const TemporaryFolder folder;
    const auto path = folder.path() / "t.npy";
    const std::string header = npy("{'descr': '<i4', 'fortran_order': False, 'shape': (2147483616,), }", "");
    write_bytes(path, header);
    std::filesystem::resize_file(path, header.size() + std::uint64_t{4} * 2147483616);
    EXPECT_EQ(error_of([&] { read_npy_tokens(path); }),
              path.string() +
                  " has 2147483616 tokens, more than the 268435456 that can be used at once, so take a part of it");
}

TEST(Npy, ReadingCanBeStopped) {
    const TemporaryFolder folder;
    const auto path = folder.path() / "t.npy";
    const std::vector<std::int32_t> tokens(1 << 20, 1);
    write_npy(path, std::span<const std::int32_t>(tokens), {tokens.size()});
    int checks = 0;
    EXPECT_EQ(error_of([&] {
                  read_npy_tokens(path, [&] {
                      if (++checks == 3) {
                          throw Error(say("stop"));
                      }
                  });
              }),
              "stop");
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
        npy("{'descr': '<i4', 'fortran_order': Perhaps, 'shape': (1,), }", "1234"),
        npy("{'descr': [('a', '<i4')], 'fortran_order': False, 'shape': (1,), }", "1234"),
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
