// What an output may be written over, and what never.
#include "sessions/outputs.hpp"

#include <array>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sessions/session.hpp"
#include "tests/files.hpp"

namespace moescope::sessions {
namespace {

namespace fs = std::filesystem;
using test::read_text;
using test::TemporaryFolder;
using test::write_text;

/// "" when it was written.
std::string refusal(const fs::path& path, Existing existing) {
    try {
        write_output(path, "new", existing);
        return {};
    } catch (const base::Error& error) {
        return error.what();
    }
}

/// Names in a folder, those that were left unfinished too.
std::size_t entries(const fs::path& folder) {
    return static_cast<std::size_t>(std::distance(fs::directory_iterator(folder), fs::directory_iterator()));
}

TEST(Outputs, AnExistingFileIsReplacedOnlyWhenThatWasSaid) {
    const TemporaryFolder base;
    EXPECT_EQ(refusal(base / "a.html", Existing::refuse), "");
    EXPECT_EQ(read_text(base / "a.html"), "new");
    write_text(base / "a.html", "old");
    ::chmod((base / "a.html").c_str(), 0640);
    EXPECT_NE(refusal(base / "a.html", Existing::refuse).find("is there already"), std::string::npos);
    EXPECT_EQ(read_text(base / "a.html"), "old");
    EXPECT_TRUE(refusal(base / "a.html", Existing::refuse).ends_with("choose another name")) << "there is no option";
    EXPECT_TRUE(
        refusal(base / "a.html", existing_files(false, "--over")).ends_with("that it shall be replaced (--over)"));
    EXPECT_EQ(refusal(base / "a.html", Existing::replace), "");
    EXPECT_EQ(read_text(base / "a.html"), "new");
    EXPECT_EQ(fs::status(base / "a.html").permissions(), fs::perms(0640)) << "its mode stays";
    const std::string longest = std::string(250, 'n') + ".html";
    EXPECT_EQ(refusal(base / longest, Existing::refuse), "");
    EXPECT_EQ(entries(base.path()), 2u) << "something unfinished was left";
    EXPECT_NE(refusal(base / "missing" / "a.html", Existing::refuse).find("is not there"), std::string::npos);
    EXPECT_NE(refusal("", Existing::refuse), "");
}

TEST(Outputs, ALinkStaysAndItsTargetIsWritten) {
    const TemporaryFolder base;
    fs::create_directories(base / "other");
    write_text(base / "other" / "target.html", "old");
    fs::create_symlink("other/target.html", base / "l.html");
    fs::create_symlink("l.html", base / "l2.html");
    EXPECT_NE(refusal(base / "l2.html", Existing::refuse).find("is there already"), std::string::npos);
    EXPECT_EQ(refusal(base / "l2.html", Existing::replace), "");
    EXPECT_TRUE(fs::is_symlink(base / "l.html") && fs::is_symlink(base / "l2.html"));
    EXPECT_EQ(read_text(base / "other" / "target.html"), "new");
    // To nothing yet.
    fs::create_symlink("other/made.html", base / "l3.html");
    EXPECT_EQ(refusal(base / "l3.html", Existing::refuse), "");
    EXPECT_TRUE(fs::is_symlink(base / "l3.html"));
    EXPECT_EQ(read_text(base / "other" / "made.html"), "new");
    fs::create_symlink("round", base / "round");
    EXPECT_NE(refusal(base / "round", Existing::replace), "");
    EXPECT_EQ(entries(base / "other"), 2u);
}

TEST(Outputs, WhatIsNoOrdinaryFileStays) {
    const TemporaryFolder base;
    ASSERT_EQ(::mkfifo((base / "pipe").c_str(), 0600), 0);
    fs::create_directory(base / "folder");
    const int socket = ::socket(AF_UNIX, SOCK_STREAM, 0);
    sockaddr_un address{AF_UNIX, {}};
    (base / "socket").string().copy(address.sun_path, sizeof address.sun_path - 1);
    ASSERT_EQ(::bind(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    ::close(socket);
    fs::create_symlink("/dev/null", base / "link");
    for (const fs::path& path : {base / "pipe", base / "folder", base / "socket", base / "link", fs::path("/dev/full"),
                                 fs::path("/dev/null"), fs::path("/dev/stdout")}) {
        if (fs::is_regular_file(path)) {
            continue;  // the test's own output goes to a file, which may be replaced as any other
        }
        EXPECT_NE(refusal(path, Existing::replace), "") << path;
    }
    EXPECT_TRUE(fs::is_fifo(base / "pipe"));
    EXPECT_TRUE(fs::is_socket(base / "socket"));
    EXPECT_TRUE(fs::is_symlink(base / "link"));
    EXPECT_TRUE(fs::is_character_file(fs::symlink_status("/dev/null")));
    EXPECT_TRUE(fs::is_character_file(fs::symlink_status("/dev/full")));
    // A path that would end at the zero byte.
    write_text(base / "a", "old");
    EXPECT_NE(refusal(fs::path((base / "a").string() + std::string("\0.html", 6)), Existing::replace).find("zero byte"),
              std::string::npos);
    EXPECT_EQ(read_text(base / "a"), "old");
    EXPECT_EQ(entries(base.path()), 5u);
}

TEST(Outputs, NoPartOfASessionIsWrittenOver) {
    const TemporaryFolder base;
    { Session::open(base / "s", Journal::Mode::read_write)->new_run("train", "x"); }
    fs::create_directory_symlink("s", base / "link");
    write_text(base / "s" / "node.log", "log");
    for (const char* part : {"session.db", "session.db-wal", "manifest.json", "segments/seg-000001.wbj", "journal.lock",
                             "node.log", "segments/new.html", "checkpoints"}) {
        for (const char* way : {"s", "link", "s/../s"}) {
            EXPECT_NE(refusal(base / way / part, Existing::replace).find("part of the session"), std::string::npos)
                << way << "/" << part;
        }
        EXPECT_NE(refusal(base / "s" / part, Existing::refuse), "") << part;
    }
    fs::create_symlink("s/session.db", base / "innocent.html");
    EXPECT_NE(refusal(base / "innocent.html", Existing::replace).find("part of the session"), std::string::npos);
    EXPECT_TRUE(Session::open(base / "s", Journal::Mode::read_only)->problems().empty());
    // Beside them there is room, and the same names mean nothing elsewhere.
    EXPECT_EQ(refusal(base / "s" / "report.html", Existing::refuse), "");
    EXPECT_EQ(refusal(base / "manifest.json", Existing::refuse), "");
}

TEST(Outputs, AFolderIsReplacedOnlyByItsKind) {
    const TemporaryFolder base;
    const FolderKind kind{[](const std::string& name) { return name == "config.json" || name == "README.md"; },
                          [](const fs::path& folder) { return fs::exists(folder / "config.json"); }};
    const auto write = [&](const fs::path& path, Existing existing) -> std::string {
        try {
            OutputFolder output(path, existing, kind);
            fs::create_directory(output.temporary());
            write_text(output.temporary() / "config.json", "new");
            output.commit();
            return {};
        } catch (const base::Error& error) {
            return error.what();
        }
    };
    EXPECT_EQ(write(base / "model", Existing::refuse), "");
    EXPECT_NE(write(base / "model", Existing::refuse).find("is there already"), std::string::npos);
    write_text(base / "model" / "config.json", "old");
    fs::create_directory_symlink("model", base / "link");
    EXPECT_EQ(write(base / "link", Existing::replace), "");
    EXPECT_TRUE(fs::is_symlink(base / "link"));
    EXPECT_EQ(read_text(base / "model" / "config.json"), "new");
    write_text(base / "model" / "letter.txt", "dear");
    EXPECT_NE(write(base / "model", Existing::replace).find("letter.txt"), std::string::npos);
    EXPECT_EQ(read_text(base / "model" / "letter.txt"), "dear");
    fs::create_directory(base / "empty");
    EXPECT_EQ(write(base / "empty", Existing::refuse), "");
    // Names alone make no output.
    fs::create_directory(base / "notes");
    write_text(base / "notes" / "README.md", "mine");
    EXPECT_NE(write(base / "notes", Existing::replace).find("no earlier output"), std::string::npos);
    EXPECT_EQ(read_text(base / "notes" / "README.md"), "mine");
    EXPECT_THROW(OutputFolder(base / "notes", Existing::replace, {}), base::Error);
    { Session::open(base / "s", Journal::Mode::read_write); }
    EXPECT_NE(write(base / "s", Existing::replace), "");
    EXPECT_NE(write(base / "s" / "checkpoints", Existing::replace), "");
    EXPECT_NE(write(base / "model" / "config.json", Existing::replace).find("no folder"), std::string::npos);
    EXPECT_EQ(entries(base.path()), 5u);
}

/// Of who was killed while it wrote; what a living process fills stays.
TEST(Outputs, WhatAKilledWriterLeftGoesWithTheNextOneOfThatName) {
    const TemporaryFolder base;
    std::array<int, 2> ready{};
    ASSERT_EQ(::pipe(ready.data()), 0);
    const pid_t writer = ::fork();
    if (writer == 0) {
        const OutputFile file(base / "m.gguf", Existing::refuse);
        write_text(file.work() / "whole", "gigabytes");
        (void)!::write(ready[1], "x", 1);
        for (;;) {
            ::pause();
        }
    }
    char byte = 0;
    ASSERT_EQ(::read(ready[0], &byte, 1), 1);
    EXPECT_EQ(entries(base.path()), 1u);
    {
        const OutputFile second(base / "m.gguf", Existing::refuse);
        EXPECT_EQ(entries(base.path()), 2u) << "somebody fills the first one";
    }
    EXPECT_EQ(entries(base.path()), 1u);
    ::kill(writer, SIGKILL);
    ::waitpid(writer, nullptr, 0);
    EXPECT_EQ(entries(base.path()), 1u) << "it stays until then";
    EXPECT_EQ(refusal(base / "other.gguf", Existing::refuse), "");
    EXPECT_EQ(entries(base.path()), 2u) << "of another name";
    // Folders that only look like it are somebody's.
    fs::create_directory(base / ".m.gguf.tmp-mine");
    write_text(base / ".m.gguf.tmp-0123456789abcdef", "a file");
    EXPECT_EQ(refusal(base / "m.gguf", Existing::refuse), "");
    EXPECT_EQ(entries(base.path()), 4u);
}

TEST(Outputs, AMinusIsTheStandardOutput) {
    EXPECT_NE(refusal("-", Existing::refuse).find("./-"), std::string::npos);
    EXPECT_THROW(OutputFolder("-", Existing::refuse, {}), base::Error);
    EXPECT_FALSE(fs::exists("-"));
    const TemporaryFolder base;
    EXPECT_EQ(refusal(base / "-", Existing::refuse), "") << "a file of that name";
}

/// Under whatever name, and whatever was told.
TEST(Outputs, WhatTheOutputIsMadeFromStays) {
    const TemporaryFolder base;
    fs::create_directories(base / "model" / "parts");
    write_text(base / "model" / "model.safetensors", "weights");
    write_text(base / "model" / "parts" / "a.bin", "part");
    write_text(base / "alone.gguf", "alone");
    fs::create_symlink("model/model.safetensors", base / "link");
    fs::create_hard_link(base / "model" / "model.safetensors", base / "hard");
    fs::create_directory_symlink("model", base / "linked");
    fs::create_hard_link(base / "alone.gguf", base / "model" / "same.gguf");
    fs::create_directories(base / "cache");
    fs::create_symlink("../hard", base / "cache" / "model.safetensors");  // as the Hugging Face cache has it
    const auto file = [&](const std::string& path, const Sources& sources) -> std::string {
        try {
            OutputFile(base / path, Existing::replace, sources);
            return {};
        } catch (const base::Error& error) {
            return error.what();
        }
    };
    const Sources folder{base / "model"}, alone{base / "alone.gguf"}, cache{base / "cache"};
    for (const char* path :
         {"model/model.safetensors", "model/parts/a.bin", "link", "hard", "linked/model.safetensors"}) {
        EXPECT_NE(file(path, folder).find("is what the output is made from"), std::string::npos) << path;
        EXPECT_EQ(file(path, alone), "") << path;
    }
    EXPECT_NE(file("alone.gguf", alone), "");
    EXPECT_NE(file("model/same.gguf", alone), "") << "the same file in another folder";
    EXPECT_NE(file("hard", cache), "");
    EXPECT_EQ(file("model/new.gguf", folder), "") << "a new file beside the source harms nobody";
    const FolderKind all{[](const std::string&) { return true; }, [](const fs::path&) { return true; }};
    const auto into = [&](const std::string& path, const Sources& sources) -> std::string {
        try {
            OutputFolder(base / path, Existing::replace, all, sources);
            return {};
        } catch (const base::Error& error) {
            return error.what();
        }
    };
    fs::create_directories(base / "out");
    write_text(base / "out" / "model.safetensors", "old");
    EXPECT_EQ(into("out", folder), "");
    EXPECT_NE(into("model/parts", folder).find("is what the output is made from"), std::string::npos);
    EXPECT_NE(into("out", {base / "out"}).find("is what the output is made from"), std::string::npos);
    EXPECT_NE(into("out", {base / "out" / "model.safetensors"}).find("is what the output is made from"),
              std::string::npos);
    EXPECT_EQ(read_text(base / "model" / "model.safetensors"), "weights");
    EXPECT_EQ(read_text(base / "out" / "model.safetensors"), "old");
}

}  // namespace
}  // namespace moescope::sessions
