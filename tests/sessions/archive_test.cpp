// A session as one file and back; and what nobody may smuggle in with one.
#include "sessions/archive.hpp"

#include <algorithm>
#include <cstring>
#include <fstream>
#include <gtest/gtest.h>
#include <map>
#include <random>
#include <zstd.h>

#include "base/sha256.hpp"
#include "sessions/session.hpp"
#include "tests/files.hpp"

namespace moescope::sessions {
namespace {

namespace fs = std::filesystem;
using test::read_text;
using test::TemporaryFolder;
using test::write_text;

/// With records, a label, a checkpoint and one that was not finished.
void make_session(const fs::path& folder) {
    const auto session = Session::open(folder, Journal::Mode::read_write);
    const std::uint32_t run = session->new_run("train", "a");
    for (int i = 0; i < 50; ++i) {
        const std::string body = "record " + std::to_string(i);
        session->journal().append(3, 1, 5, std::as_bytes(std::span(body)));
    }
    session->journal().sync();
    const fs::path checkpoint = session->checkpoint_path(run, 10);
    write_text(checkpoint / "model.safetensors", std::string(100'000, 'w'));
    write_text(checkpoint / "DONE", "{}");
    write_text(session->checkpoint_path(run, 20) / "model.safetensors", "half");
    write_text(folder / "files" / "deep" / "report.html", "<p>");
    write_text(folder / "node.log", "noise");
}

std::size_t records_of(const fs::path& folder) {
    const auto session = Session::open(folder, Journal::Mode::read_only);
    return session->journal().read(1, {}, 1000, 1 << 20).size();
}

struct Part {
    std::string name, content;
    std::string sha256 = base::sha256(content);
    std::size_t size = content.size();
};

/// A tar block by block, as the program writes it unless it is changed.
std::string header(const std::string& name, std::size_t size, char type = '0') {
    std::string block(512, '\0');
    std::memcpy(&block[0], name.data(), std::min<std::size_t>(name.size(), 100));
    std::snprintf(&block[100], 8, "%07o", 0600);
    std::snprintf(&block[108], 8, "%07o", 0);
    std::snprintf(&block[116], 8, "%07o", 0);
    std::snprintf(&block[124], 12, "%011zo", size);
    std::snprintf(&block[136], 12, "%011o", 0);
    std::memset(&block[148], ' ', 8);
    block[156] = type;
    std::memcpy(&block[257],
                "ustar\0"
                "00",
                8);
    unsigned sum = 0;
    for (const char c : block) {
        sum += static_cast<unsigned char>(c);
    }
    std::snprintf(&block[148], 8, "%06o", sum);
    block[155] = ' ';
    return block;
}

std::string padded(std::string text) {
    text.resize((text.size() + 511) / 512 * 512);
    return text;
}

std::string list_of(const std::vector<Part>& parts) {
    std::string list = "{\"format\":1,\"program\":\"x\",\"files\":[";
    for (const Part& part : parts) {
        list += (list.back() == '[' ? "" : ",") + std::string("{\"path\":\"") + part.name +
                "\",\"size\":" + std::to_string(part.size) + ",\"sha256\":\"" + part.sha256 + "\"}";
    }
    return list + "]}";
}

std::string tar_of(const std::vector<Part>& parts, const std::string& list) {
    std::string tar = header(kArchiveList, list.size()) + padded(list);
    for (const Part& part : parts) {
        tar += header(part.name, part.size) + padded(part.content);
    }
    return tar + std::string(1024, '\0');
}

void pack(const fs::path& file, const std::string& tar) {
    std::string packed(ZSTD_compressBound(tar.size()), '\0');
    packed.resize(ZSTD_compress(packed.data(), packed.size(), tar.data(), tar.size(), 3));
    write_text(file, packed);
}

/// Empty, or why the archive was refused; then nothing may be left of it.
std::string refused(const TemporaryFolder& folder, const fs::path& file) {
    const fs::path to = folder / "to";
    try {
        unpack_archive(file, to);
    } catch (const base::Error& error) {
        EXPECT_FALSE(fs::exists(to)) << error.what();
        EXPECT_EQ(std::distance(fs::directory_iterator(folder.path()), fs::directory_iterator()), 1) << error.what();
        return error.what();
    }
    fs::remove_all(to);
    return {};
}

/// Every file below a folder by its name.
std::map<std::string, std::string> contents(const fs::path& folder) {
    std::map<std::string, std::string> files;
    for (const auto& entry : fs::recursive_directory_iterator(folder)) {
        if (entry.is_regular_file()) {
            files[entry.path().lexically_relative(folder).string()] = read_text(entry.path());
        }
    }
    return files;
}

const Part kManifest{"manifest.json", "{\"program\":\"moescope\",\"format\":1}"};

TEST(Archive, ASessionComesBackWhole) {
    const TemporaryFolder folder;
    make_session(folder / "s");
    const auto packed = write_archive(folder / "s", folder / "s.moescope");
    EXPECT_TRUE(looks_like_archive(folder / "s.moescope"));
    EXPECT_FALSE(looks_like_archive(folder / "s" / "manifest.json"));
    const auto unpacked = unpack_archive(folder / "s.moescope", folder / "deep" / "t");
    EXPECT_EQ(packed.files, unpacked.files);
    EXPECT_EQ(packed.bytes, unpacked.bytes);
    EXPECT_EQ(records_of(folder / "deep" / "t"), 50u);
    EXPECT_EQ(read_text(folder / "deep" / "t" / "files" / "deep" / "report.html"), "<p>");
    EXPECT_TRUE(fs::exists(folder / "deep" / "t" / "checkpoints" / "run-1" / "step-00000010" / "DONE"));
    EXPECT_FALSE(fs::exists(folder / "deep" / "t" / "checkpoints" / "run-1" / "step-00000020"));
    EXPECT_FALSE(fs::exists(folder / "deep" / "t" / "node.log"));
    EXPECT_EQ(Session::open(folder / "deep" / "t", Journal::Mode::read_write)->new_run("train", "b"), 2u)
        << "its database came along";
    EXPECT_THROW(unpack_archive(folder / "s.moescope", folder / "deep" / "t"), base::Error) << "it is there";
}

TEST(Archive, OneThatIsWrittenToIsPackedAsItIsNow) {
    const TemporaryFolder folder;
    make_session(folder / "s");
    const auto open = Session::open(folder / "s", Journal::Mode::read_write);
    const std::string body = "one more";
    open->journal().append(3, 1, 5, std::as_bytes(std::span(body)));
    const std::uint32_t run = open->new_run("train", "c");
    bool appended = false;
    write_archive(folder / "s", folder / "s.moescope", [&](std::uint64_t, std::uint64_t) {
        if (!std::exchange(appended, true)) {
            open->journal().append(3, 1, 5, std::as_bytes(std::span(body)));
        }
    });
    unpack_archive(folder / "s.moescope", folder / "t");
    EXPECT_EQ(records_of(folder / "t"), 51u);
    EXPECT_EQ(Session::open(folder / "t", Journal::Mode::read_write)->new_run("train", "d"), run + 1);
}

TEST(Archive, ProgressGrowsToAllBytes) {
    const TemporaryFolder folder;
    make_session(folder / "s");
    std::vector<std::uint64_t> told;
    std::uint64_t whole = 0;
    const auto progress = [&](std::uint64_t done, std::uint64_t total) {
        told.push_back(done);
        whole = total;
    };
    const auto packed = write_archive(folder / "s", folder / "s.moescope", progress);
    EXPECT_TRUE(std::is_sorted(told.begin(), told.end()));
    EXPECT_EQ(told.back(), packed.bytes);
    EXPECT_EQ(whole, packed.bytes);
    told.clear();
    unpack_archive(folder / "s.moescope", folder / "again", progress);
    EXPECT_TRUE(std::is_sorted(told.begin(), told.end()));
    EXPECT_EQ(told.back(), packed.bytes);
}

TEST(Archive, CheckpointsMayBeLeftOut) {
    const TemporaryFolder folder;
    make_session(folder / "s");
    const auto whole = write_archive(folder / "s", folder / "whole");
    const auto light = write_archive(folder / "s", folder / "light", {}, Checkpoints::left_out);
    EXPECT_LT(light.bytes + 100'000, whole.bytes + 1);
    EXPECT_FALSE(unpack_archive(folder / "whole", folder / "a").without_checkpoints);
    EXPECT_TRUE(unpack_archive(folder / "light", folder / "b").without_checkpoints);
    EXPECT_EQ(records_of(folder / "b"), records_of(folder / "a"));
    EXPECT_FALSE(fs::exists(folder / "b" / "checkpoints"));
}

TEST(Archive, CutsAndFlippedBitsAreRefused) {
    const TemporaryFolder source, folder;
    make_session(source / "s");
    write_archive(source / "s", source / "a");
    const std::string whole = read_text(source / "a");
    unpack_archive(source / "a", source / "right");
    const auto right = contents(source / "right");
    std::mt19937 random(4);
    for (int i = 0; i < 60; ++i) {
        std::string bad = whole;
        if (i % 2 == 0) {
            bad.resize(random() % whole.size());
        } else {
            bad[random() % whole.size()] ^= static_cast<char>(1 << random() % 8);
        }
        write_text(folder / "a", bad);
        try {
            unpack_archive(folder / "a", folder / "to");
        } catch (const base::Error&) {
            EXPECT_FALSE(fs::exists(folder / "to"));
            continue;
        }
        // A bit that nothing hangs on, as of how large a window unpacking needs.
        EXPECT_EQ(i % 2, 1) << "a cut";
        EXPECT_EQ(contents(folder / "to"), right) << i;
        fs::remove_all(folder / "to");
    }
    write_text(folder / "a", whole + "x");
    EXPECT_NE(refused(folder, folder / "a"), "") << "something behind it";
}

/// Other programs fill a tar up to 10,240 bytes.
TEST(Archive, ZerosBehindTheEndAreNoneOfTheContents) {
    const TemporaryFolder folder;
    const fs::path file = folder / "a";
    const std::string tar = tar_of({kManifest}, list_of({kManifest}));
    pack(file, tar + std::string(10'240 - tar.size(), '\0'));
    EXPECT_EQ(refused(folder, file), "");
    const std::string padded_tar = read_text(file);
    write_text(file, padded_tar + "x");
    EXPECT_NE(refused(folder, file).find("behind its end"), std::string::npos);
    pack(file, tar + std::string(512, '\0') + "x");
    EXPECT_NE(refused(folder, file).find("behind its end"), std::string::npos);
    pack(file, tar + std::string(2 << 20, '\0'));
    EXPECT_NE(refused(folder, file).find("behind its end"), std::string::npos) << "that fills up no record";
}

TEST(Archive, ACutIsCalledOneWhereverItIs) {
    const TemporaryFolder folder;
    const fs::path file = folder / "a";
    make_session(folder / "s");
    write_archive(folder / "s", file);
    const std::string whole = read_text(file);
    fs::remove_all(folder / "s");
    for (const std::size_t missing : {std::size_t{1}, std::size_t{3}, std::size_t{5}, whole.size() / 2}) {
        write_text(file, whole.substr(0, whole.size() - missing));
        EXPECT_NE(refused(folder, file).find("it is cut"), std::string::npos)
            << missing << ": " << refused(folder, file);
    }
}

TEST(Archive, WhatOthersMakeIsRefused) {
    const TemporaryFolder folder;
    const fs::path file = folder / "a";
    pack(file, tar_of({kManifest}, list_of({kManifest})));
    EXPECT_EQ(refused(folder, file), "") << "the helpers of this test write what the program reads";
    for (const char* name :
         {"/etc/x", "../x", "files/../../x", "./files/x", "files//x", "files/", "", "files/a\\\\b"}) {
        pack(file, tar_of({kManifest, {name, "x"}}, list_of({kManifest, {name, "x"}})));
        EXPECT_NE(refused(folder, file), "") << name;
    }
    pack(file, tar_of({kManifest, kManifest}, list_of({kManifest, kManifest})));
    EXPECT_NE(refused(folder, file), "") << "twice";
    pack(file, tar_of({kManifest, {"files/b", "x"}}, list_of({kManifest})));
    EXPECT_NE(refused(folder, file), "") << "more than the list says";
    pack(file, tar_of({kManifest}, list_of({kManifest, {"files/b", "x"}})));
    EXPECT_NE(refused(folder, file), "") << "less than the list says";
    Part other = kManifest;
    other.sha256 = base::sha256("other");
    pack(file, tar_of({kManifest}, list_of({other})));
    EXPECT_NE(refused(folder, file), "") << "another hash";
    for (const char type : {'1', '2', '3', '5', '6', 'x', 'g', 'L'}) {
        const std::string list = list_of({kManifest, {"files/b", ""}});
        pack(file, header(kArchiveList, list.size()) + padded(list) + header(kManifest.name, kManifest.size) +
                       padded(kManifest.content) + header("files/b", 0, type) + std::string(1024, '\0'));
        EXPECT_NE(refused(folder, file), "") << "a link, device, folder or another header: " << type;
    }
    pack(file, std::string(1024, '\0'));
    EXPECT_NE(refused(folder, file), "");
    write_text(file, "hello");
    EXPECT_NE(refused(folder, file), "");
    pack(file, tar_of({kManifest}, "{\"format\":2,\"files\":[]}"));
    EXPECT_NE(refused(folder, file).find("newer"), std::string::npos);
}

TEST(Archive, WhatNoSessionHasIsRefused) {
    const TemporaryFolder folder;
    const fs::path file = folder / "a";
    for (const char* name : {"journal.lock", "hello.txt", "node.log", "session.db-wal", "files", "Segments/x"}) {
        pack(file, tar_of({kManifest, {name, "x"}}, list_of({kManifest, {name, "x"}})));
        EXPECT_NE(refused(folder, file).find("no session has"), std::string::npos) << name;
    }
    // What would be no session when it is unpacked leaves no folder.
    const Part report{"files/report.html", "<p>"};
    for (const std::vector<Part>& parts : {std::vector<Part>{}, {report}, {{"manifest.json", "{}"}, report}}) {
        pack(file, tar_of(parts, list_of(parts)));
        EXPECT_NE(refused(folder, file).find("holds no session"), std::string::npos) << parts.size();
    }
    const Part stray{"segments/seg-999999999999.wbj", "evil"};
    pack(file, tar_of({kManifest, stray}, list_of({kManifest, stray})));
    unpack_archive(file, folder / "to");
    const auto problems = Session::open(folder / "to", Journal::Mode::read_only)->problems();
    ASSERT_EQ(problems.size(), 1u);
    EXPECT_NE(problems[0].english().find("seg-999999999999.wbj: it is no file of the journal"), std::string::npos)
        << problems[0].english();
}

TEST(Archive, ABombIsRefusedBeforeItFillsTheDisk) {
    const TemporaryFolder folder;
    Part bomb{"segments/x", std::string(80 << 20, '\0')};
    pack(folder / "a", tar_of({kManifest, bomb}, list_of({kManifest, bomb})));
    ASSERT_LT(fs::file_size(folder / "a"), 20'000u);
    EXPECT_NE(refused(folder, folder / "a").find("times its size"), std::string::npos);
    bomb.size = SIZE_MAX - 10;
    pack(folder / "a", tar_of({kManifest}, list_of({kManifest, bomb, {"files/b", "", "", 100}})));
    EXPECT_NE(refused(folder, folder / "a").find("counted"), std::string::npos);
}

}  // namespace
}  // namespace moescope::sessions
