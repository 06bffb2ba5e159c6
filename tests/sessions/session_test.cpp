// Session folders: what survives, what is refused, what is rebuilt.
#include "sessions/session.hpp"

#include <csignal>
#include <cstdio>
#include <fstream>
#include <functional>
#include <gtest/gtest.h>
#include <linux/capability.h>
#include <set>
#include <sqlite3.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

#include "base/atomic_files.hpp"
#include "base/sha256.hpp"
#include "tests/files.hpp"

namespace moescope::sessions {
namespace {

namespace fs = std::filesystem;
using test::read_text;
using test::TemporaryFolder;
using test::write_text;
using Mode = Journal::Mode;

std::string message_of(const fs::path& folder, Mode mode) {
    try {
        Session::open(folder, mode);
    } catch (const std::runtime_error& error) {
        return error.what();
    }
    return {};
}

void append_json(Session& session, std::uint16_t type, const std::string& text) {
    session.journal().append(type, 1, 5, std::as_bytes(std::span(text)));
}

void save_checkpoint(const Session& session, std::uint32_t run, std::uint64_t step) {
    base::AtomicFolder folder(session.checkpoint_path(run, step));
    write_text(folder.path() / "model.safetensors", "weights of step " + std::to_string(step));
    write_text(folder.path() / "state" / "optimizer.bin", std::string(100'000, 'o'));
    folder.commit();
}

TEST(Sha256, KnownValue) {
    EXPECT_EQ(base::sha256("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST(Session, KeepsEverythingOverReopening) {
    const TemporaryFolder base;
    const fs::path folder = base / "session";
    {
        const auto session = Session::open(folder, Mode::read_write);
        EXPECT_TRUE(session->problems().empty());
        EXPECT_EQ(session->new_run("train", "tiny"), 1u);
        EXPECT_EQ(session->new_run("probe", "中文"), 2u);
        session->put_label({2, "item/model/en/0", "delivery", "refused", "A", 7});
        session->put_label({2, "item/model/en/0", "engagement", "3", "A", 8});
        session->put_label({2, "item/model/en/1", "delivery", "answered", "A", 9});
        session->put_label({2, "item/model/en/1", "delivery", "", "A", 10});  // taken back
        session->put_finished_command("00ff", R"({"state":"done"})");
        session->set_value("notes", "hello");
        session->set_value("notes", "hello again");
    }
    for (const Mode mode : {Mode::read_only, Mode::read_write}) {
        const auto session = Session::open(folder, mode);
        EXPECT_TRUE(session->problems().empty()) << session->problems().front();
        const auto labels = session->labels(2);
        ASSERT_EQ(labels.size(), 2u);
        EXPECT_EQ(labels[0].value, "refused");
        EXPECT_EQ(labels[1].field, "engagement");
        EXPECT_EQ(labels[1].time_ns, 8u);
        EXPECT_TRUE(session->labels(1).empty());
        EXPECT_EQ(session->finished_command("00ff"), R"({"state":"done"})");
        EXPECT_EQ(session->finished_command("00fe"), std::nullopt);
        EXPECT_EQ(session->value("notes"), "hello again");
        if (mode == Mode::read_write) {
            EXPECT_EQ(session->new_run("train", ""), 3u);
        } else {
            EXPECT_THROW(session->new_run("train", ""), std::runtime_error);
        }
    }
}

TEST(Session, RefusesWhatIsNoSession) {
    const TemporaryFolder base;
    write_text(base / "documents" / "letter.txt", "dear");
    EXPECT_NE(message_of(base / "documents", Mode::read_write).find("not a Moescope session"), std::string::npos);
    EXPECT_FALSE(fs::exists(base / "documents" / "segments"));
    EXPECT_FALSE(fs::exists(base / "documents" / "journal.lock"));
    EXPECT_NE(message_of(base / "nowhere", Mode::read_only).find("no session"), std::string::npos);
    EXPECT_FALSE(fs::exists(base / "nowhere"));
    EXPECT_NE(message_of(base / "documents" / "letter.txt", Mode::read_write).find("is a file"), std::string::npos);
    write_text(base / "other" / "manifest.json", R"({"name":"a web extension"})");
    EXPECT_NE(message_of(base / "other", Mode::read_write).find("not a Moescope session"), std::string::npos);
    { Session::open(base / "new", Mode::read_write); }
    write_text(base / "new" / "manifest.json", R"({"program":"moescope","format":2})");
    EXPECT_NE(message_of(base / "new", Mode::read_write).find("newer"), std::string::npos);
    for (const char* format : {"-1", "null", "\"x\"", "0", "1.5", "[1]"}) {
        write_text(base / "new" / "manifest.json", std::string(R"({"program":"moescope","format":)") + format + "}");
        EXPECT_EQ(message_of(base / "new", Mode::read_write), "") << format << " is damage, and the journal is there";
        const auto problems = Session::open(base / "new", Mode::read_only)->problems();
        ASSERT_EQ(problems.size(), 1u) << format;
        EXPECT_NE(problems[0].english().find("manifest.json is damaged"), std::string::npos) << problems[0];
    }
    write_text(base / "new" / "manifest.json", std::string(100'000, '['));
    EXPECT_NE(message_of(base / "new", Mode::read_write), "");
    write_text(base / "new" / "manifest.json", std::string(60'000, '['));
    EXPECT_EQ(message_of(base / "new", Mode::read_write), "");  // its journal proves it
}

TEST(Session, OneWriterAndAnyReaders) {
    const TemporaryFolder base;
    const auto writer = Session::open(base / "s", Mode::read_write);
    writer->new_run("train", "a");
    writer->set_value("k", "v");
    EXPECT_NE(message_of(base / "s", Mode::read_write).find("in use by process"), std::string::npos);
    const auto reader = Session::open(base / "s", Mode::read_only);
    EXPECT_EQ(reader->value("k"), "v");
    writer->set_value("k", "w");
    EXPECT_EQ(reader->value("k"), "w");
}

TEST(Session, EmptyFolderAndInterruptedFirstStartAreUsable) {
    const TemporaryFolder base;
    fs::create_directories(base / "a");
    write_text(base / "a" / "node.log", "starting");
    fs::create_directories(base / "a" / "segments");
    write_text(base / "a" / ".manifest.json.tmp-0123", "{");
    EXPECT_EQ(message_of(base / "a", Mode::read_write), "");
    EXPECT_FALSE(fs::exists(base / "a" / ".manifest.json.tmp-0123")) << "what an interrupted start leaves goes";
}

TEST(Session, LiesBelowLinksAndUnderLongPaths) {
    const TemporaryFolder base;
    fs::create_directories(base / "real");
    fs::create_directory_symlink("real", base / "link");
    fs::path deep = base.path();
    while (deep.string().size() < 3000) {
        deep /= std::string(200, 'e');
    }
    for (const fs::path& folder :
         {base / "link" / "s", deep / "s", base / "link2", base.path() / "real" / "long" / ""}) {
        if (folder.filename() == "link2") {
            fs::create_directories(base / "real" / "target");
            fs::create_directory_symlink(base / "real" / "target", folder);
        }
        // Killed, so that the database's log is left beside it.
        const pid_t child = ::fork();
        if (child == 0) {
            try {
                const auto session = Session::open(folder, Mode::read_write);
                session->put_label({1, "item/model/en/0", "delivery", "refused", "A", 7});
                ::_exit(0);
            } catch (const std::exception& error) {
                std::fprintf(stderr, "%s\n", error.what());
                ::_exit(1);
            }
        }
        int status = -1;
        ::waitpid(child, &status, 0);
        ASSERT_EQ(status, 0) << folder;
        EXPECT_GT(fs::file_size(folder / "session.db-wal"), 0u);
        for (const Mode mode : {Mode::read_only, Mode::read_write}) {
            const auto session = Session::open(folder, mode);
            EXPECT_EQ(session->labels(1).size(), 1u) << folder;
            EXPECT_TRUE(session->problems().empty()) << session->problems().front();
            EXPECT_FALSE(session->folder().filename().empty());
        }
    }
}

/// Runs `work` in a child without root's right to do as it likes; true when it gives true.
bool without_rights(const std::function<bool()>& work) {
    const pid_t child = ::fork();
    if (child == 0) {
        bool good = false;
        try {
            __user_cap_header_struct head{_LINUX_CAPABILITY_VERSION_3, 0};
            __user_cap_data_struct none[2]{};
            good = ::syscall(SYS_capset, &head, none) == 0 && work();
        } catch (const std::exception& error) {
            std::fprintf(stderr, "%s\n", error.what());
        }
        ::_exit(good ? 0 : 1);
    }
    int status = -1;
    ::waitpid(child, &status, 0);
    return status == 0;
}

/// Every file and folder of it.
void set_modes(const fs::path& folder, fs::perms file, fs::perms directory) {
    std::vector<fs::path> folders{folder};
    for (const auto& entry : fs::recursive_directory_iterator(folder)) {
        if (entry.is_directory()) {
            folders.push_back(entry.path());
        } else {
            fs::permissions(entry.path(), file);
        }
    }
    for (const fs::path& path : folders) {
        fs::permissions(path, directory);
    }
}

TEST(Session, WhatCanNotBeMadeLeavesNothing) {
    const TemporaryFolder base;
    const fs::path folder = base / "a" / "b" / "s";
    EXPECT_TRUE(without_rights([&] {
        // No file may hold a byte.
        ::signal(SIGXFSZ, SIG_IGN);
        const rlimit none{0, 0};
        return ::setrlimit(RLIMIT_FSIZE, &none) == 0 &&
               message_of(folder, Mode::read_write).find("File too large") != std::string::npos;
    }));
    EXPECT_TRUE(fs::is_empty(base.path())) << fs::directory_iterator(base.path())->path();
    // A folder that was there stays, with what was in it.
    fs::create_directories(folder);
    write_text(folder / "node.log", "starting");
    EXPECT_TRUE(without_rights([&] {
        ::signal(SIGXFSZ, SIG_IGN);
        const rlimit none{0, 0};
        return ::setrlimit(RLIMIT_FSIZE, &none) == 0 && !message_of(folder, Mode::read_write).empty();
    }));
    EXPECT_EQ(std::distance(fs::directory_iterator(folder), fs::directory_iterator()), 1);
}

/// As it was before when this ends.
class Umask {
 public:
    explicit Umask(mode_t mask) : before_(::umask(mask)) {}
    ~Umask() { ::umask(before_); }
    Umask(const Umask&) = delete;
    Umask& operator=(const Umask&) = delete;

 private:
    mode_t before_;
};

TEST(Session, IsForTheUserAlone) {
    const TemporaryFolder base;
    const Umask loose(022);
    const auto session = Session::open(base / "new" / "s", Mode::read_write);
    session->put_label({1, "item/model/en/0", "delivery", "refused", "A", 7});
    append_json(*session, 1, "{}");
    save_checkpoint(*session, 1, 10);
    const fs::perms others = fs::perms::group_all | fs::perms::others_all;
    EXPECT_EQ(fs::status(base / "new" / "s").permissions() & others, fs::perms::none);
    for (const auto& entry : fs::recursive_directory_iterator(base / "new" / "s")) {
        EXPECT_EQ(entry.status().permissions() & others, fs::perms::none) << entry.path();
    }
    EXPECT_TRUE(session->notes().empty());
    fs::create_directory(base / "old");
    fs::permissions(base / "old", fs::perms::owner_all | fs::perms::others_read | fs::perms::others_exec);
    const auto old = Session::open(base / "old", Mode::read_write);
    ASSERT_EQ(old->notes().size(), 1u);
    EXPECT_NE(old->notes()[0].english().find("chmod 700"), std::string::npos);
    EXPECT_TRUE(old->problems().empty());
}

TEST(Session, CanBeReadWithoutTheRightToWrite) {
    const TemporaryFolder base;
    // Copied without the shared memory of the log, SQLite can't read a database and its log in place.
    for (const std::string way : {"closed", "killed", "copied"}) {
        const bool killed = way != "closed";
        const fs::path folder = base / way;
        const pid_t child = ::fork();
        if (child == 0) {
            auto session = Session::open(folder, Mode::read_write);
            session->put_label({1, "item/model/en/0", "delivery", "refused", "A", 7});
            append_json(*session, 1, R"({"run":1,"kind":"probe"})");
            session->set_value("notes", "hello");
            if (killed) {
                ::_exit(0);
            }
            session.reset();
            ::_exit(0);
        }
        int status = -1;
        ::waitpid(child, &status, 0);
        ASSERT_EQ(status, 0);
        ASSERT_EQ(fs::exists(folder / "session.db-wal"), killed);
        if (way == "copied") {
            fs::remove(folder / "session.db-shm");
        }
        set_modes(folder, fs::perms::owner_read, fs::perms::owner_read | fs::perms::owner_exec);
        EXPECT_TRUE(without_rights([&] {
            const auto session = Session::open(folder, Mode::read_only);
            return session->labels(1).size() == 1 && session->value("notes") == "hello" &&
                   session->problems().empty() && session->journal().read(1, {}, 10, 1000).size() == 1;
        })) << way;
        EXPECT_TRUE(without_rights([&] {
            try {
                Session::open(folder, Mode::read_write);
            } catch (const OpenError& error) {
                return error.why() == OpenError::Why::not_writable &&
                       std::string(error.what()).find("open it for reading") != std::string::npos;
            }
            return false;
        })) << way;
        set_modes(folder, fs::perms::none, fs::perms::none);
        EXPECT_TRUE(without_rights([&] {
            return message_of(folder, Mode::read_only).find("can't be read: Permission denied") != std::string::npos;
        })) << way;
        set_modes(folder, fs::perms::owner_all, fs::perms::owner_all);
    }
}

TEST(Session, WhatIsMissingOrSomethingElseLeavesTheRestUsable) {
    for (const char* part : {"manifest.json", "session.db", "segments/seg-000001.wbj", "checkpoints"}) {
        for (const bool replaced : {false, true}) {
            const TemporaryFolder base;
            const fs::path folder = base / "s";
            for (int start = 0; start < 2; ++start) {
                const auto session = Session::open(folder, Mode::read_write);
                append_json(
                    *session, 31,
                    R"({"run":1,"item":"q1","model":"m","language":"en","draw":2,"field":"delivery","value":"refused","coder":"B"})");
                session->put_label({1, "q1/m/en/2", "delivery", "refused", "B", 5});
                save_checkpoint(*session, 1, 10);
            }
            fs::remove_all(folder / part);
            if (replaced) {
                fs::create_directory(folder / part);
                write_text(folder / part / "x", "x");
            }
            for (const Mode mode : {Mode::read_only, Mode::read_write, Mode::read_only}) {
                const auto session = Session::open(folder, mode);
                EXPECT_EQ(session->labels(1).size(), 1u) << part << replaced;
                EXPECT_GE(session->journal().read(1, {}, 10, 1000).size(), 1u) << part << replaced;
                EXPECT_EQ(session->checkpoints(1, true).size(), std::string(part) == "checkpoints" ? 0u : 1u);
            }
        }
    }
}

TEST(Session, NothingIsWrittenIntoAFolderThatWasMovedAway) {
    const TemporaryFolder base;
    const auto session = Session::open(base / "s", Mode::read_write);
    fs::rename(base / "s", base / "t");
    EXPECT_THROW(session->put_label({1, "a/b/en/0", "delivery", "refused", "A", 7}), std::runtime_error);
    EXPECT_THROW(session->new_run("train", ""), std::runtime_error);
    EXPECT_THROW(session->check_place(), std::runtime_error);
    fs::create_directory(base / "s");
    EXPECT_THROW(session->check_place(), std::runtime_error) << "another folder";
    fs::remove(base / "s");
    fs::rename(base / "t", base / "s");
    EXPECT_EQ(session->new_run("train", ""), 1u);
}

class DamagedDatabase : public ::testing::TestWithParam<int> {};

TEST_P(DamagedDatabase, IsMovedAsideAndRebuiltFromTheJournal) {
    const TemporaryFolder base;
    const fs::path folder = base / "s", file = folder / "session.db";
    {
        const auto session = Session::open(folder, Mode::read_write);
        const auto run = session->new_run("probe", "p");
        append_json(*session, 1, R"({"run":1,"kind":"probe"})");
        append_json(*session, 1, R"({"run":7,"kind":"train"})");
        append_json(
            *session, 31,
            R"({"run":1,"item":"q1","model":"m","language":"en","draw":2,"field":"delivery","value":"refused","coder":"B"})");
        append_json(
            *session, 31,
            R"({"run":1,"item":"q2","model":"m","language":"zh","draw":0,"field":"delivery","value":"blocked","coder":"B"})");
        append_json(
            *session, 31,
            R"({"run":1,"item":"q2","model":"m","language":"zh","draw":0,"field":"delivery","value":"","coder":"B"})");
        append_json(*session, 31, "not json");
        session->put_label({run, "q1/m/en/2", "delivery", "refused", "B", 5});
        save_checkpoint(*session, 9, 10);
    }
    fs::remove(file.string() + "-wal");
    switch (GetParam()) {
        case 0:
            write_text(file, "this is no database at all, but long enough to be looked at as one, is it not? " +
                                 std::string(1000, 'x'));
            break;
        case 1: {
            std::string bytes = read_text(file);
            for (std::size_t i = 4096; i < bytes.size(); i += 3) {
                bytes[i] = static_cast<char>(bytes[i] ^ 0x5A);
            }
            write_text(file, bytes);
            break;
        }
        case 2:
            fs::resize_file(file, fs::file_size(file) / 2);
            break;
        case 3: {  // a good database, but with a view where a table should be
            fs::remove(file);
            sqlite3* db = nullptr;
            ASSERT_EQ(sqlite3_open(file.c_str(), &db), SQLITE_OK);
            sqlite3_exec(db,
                         "PRAGMA application_id=1297040723; PRAGMA user_version=1; CREATE TABLE x(run);"
                         "CREATE VIEW runs AS SELECT run, run kind, run name, run time_ns FROM x;",
                         nullptr, nullptr, nullptr);
            sqlite3_close(db);
            break;
        }
        case 4:
            fs::remove(file);
            break;
        default:
            FAIL();
    }
    {
        const auto reader = Session::open(folder, Mode::read_only);
        EXPECT_EQ(reader->labels(1).size(), 1u);
        EXPECT_FALSE(reader->problems().empty());
    }
    const auto session = Session::open(folder, Mode::read_write);
    ASSERT_EQ(session->problems().size(), 1u);
    EXPECT_EQ(session->problems()[0].english().find("notes"), std::string::npos) << "the journal has them";
    EXPECT_EQ(fs::exists(file.string() + ".damaged-1"), GetParam() != 4);
    const auto labels = session->labels(1);
    ASSERT_EQ(labels.size(), 1u);
    EXPECT_EQ(labels[0].draw, "q1/m/en/2");
    EXPECT_EQ(labels[0].value, "refused");
    EXPECT_EQ(session->new_run("train", ""), 10u) << "must lie beyond every run that left a trace";
}
INSTANTIATE_TEST_SUITE_P(Kinds, DamagedDatabase, ::testing::Values(0, 1, 2, 3, 4));

/// SQLite adds a log that lies beside a database to it, whosever that was.
TEST(Session, TheLogOfALostDatabaseIsNotTakenForThatOfTheRebuiltOne) {
    const TemporaryFolder base;
    const fs::path folder = base / "s", file = folder / "session.db", log = file.string() + "-wal";
    {
        const auto session = Session::open(folder, Mode::read_write);
        append_json(*session, 1, R"({"run":4,"kind":"train"})");
    }
    std::string left;
    {
        const auto session = Session::open(folder, Mode::read_write);
        session->set_value("note", "of the lost one");
        left = read_text(log);
        ASSERT_FALSE(left.empty());
    }
    fs::remove(file);
    write_text(log, left);
    {
        const auto session = Session::open(folder, Mode::read_write);
        EXPECT_EQ(session->value("note"), std::nullopt) << "it says that notes are lost";
        EXPECT_EQ(session->new_run("train", ""), 5u);
    }
    const auto session = Session::open(folder, Mode::read_write);
    EXPECT_TRUE(session->problems().empty()) << session->problems().front();
}

TEST(Session, ReadingLeavesNothing) {
    const TemporaryFolder base;
    const fs::path folder = base / "s";
    const auto names = [&] {
        std::set<std::string> found;
        for (const auto& entry : fs::recursive_directory_iterator(folder)) {
            found.insert(entry.path().filename().string());
        }
        return found;
    };
    Session::open(folder, Mode::read_write)->put_label({1, "q/m/en/0", "delivery", "refused", "x", 1});
    const auto before = names();
    {
        const auto reader = Session::open(folder, Mode::read_only);
        EXPECT_EQ(reader->labels(1).size(), 1u);
        EXPECT_EQ(names(), before);
        const auto writer = Session::open(folder, Mode::read_write);  // is not kept from it
        writer->put_label({1, "q/m/en/1", "delivery", "refused", "x", 1});
        EXPECT_EQ(Session::open(folder, Mode::read_only)->labels(1).size(), 2u) << "while somebody writes";
    }
    const auto after = names();
    EXPECT_FALSE(after.contains("session.db-wal") || after.contains("session.db-shm")) << "the writer takes them away";
}

TEST(Session, AManifestOrDatabaseOfAnotherSessionIsTold) {
    const TemporaryFolder base;
    for (const char* name : {"a", "b"}) {
        const auto session = Session::open(base / name, Mode::read_write);
        append_json(*session, 1, R"({"run":1,"kind":"train"})");
    }
    for (const char* file : {"session.db", "manifest.json"}) {
        const fs::path copy = base / file;
        fs::copy(base / "a", copy, fs::copy_options::recursive);
        EXPECT_TRUE(Session::open(copy, Mode::read_only)->problems().empty()) << "a whole copy is the same session";
        fs::copy_file(base / "b" / file, copy / file, fs::copy_options::overwrite_existing);
        for (const auto mode : {Mode::read_only, Mode::read_write}) {
            const auto problems = Session::open(copy, mode)->problems();
            ASSERT_EQ(problems.size(), 1u) << file;
            EXPECT_NE(problems[0].english().find("are of two sessions"), std::string::npos) << problems[0].english();
        }
    }
    // A lost one is no foreign one.
    fs::remove(base / "a" / "manifest.json");
    EXPECT_EQ(Session::open(base / "a", Mode::read_write)->problems().size(), 1u) << "that it is missing";
    EXPECT_TRUE(Session::open(base / "a", Mode::read_write)->problems().empty());
}

TEST(Session, ARebuiltDatabaseKnowsTheRunsThatAnExperimentPlans) {
    const TemporaryFolder base;
    const fs::path folder = base / "s";
    {
        const auto session = Session::open(folder, Mode::read_write);
        append_json(*session, 34, R"({"experiment":1,"definition":{"runs":[{"run":4},{"run":6},{"run":"9"}]}})");
        append_json(*session, 34, R"({"experiment":1,"unfinished":4,"paused":false})");
        append_json(*session, 34, R"({"experiment":2,"definition":{"runs":7}})");
        append_json(*session, 1, R"({"run":4,"kind":"train"})");
    }
    fs::remove(folder / "session.db");
    const auto session = Session::open(folder, Mode::read_write);
    EXPECT_EQ(session->new_run("train", ""), 7u) << "run 6 waits for its turn";
}

TEST(Session, LabelsFromManyThreads) {
    const TemporaryFolder base;
    const auto session = Session::open(base / "s", Mode::read_write);
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) {
        threads.emplace_back([&, t] {
            for (int i = 0; i < 20; ++i) {
                session->put_label({1, std::to_string(t) + "/" + std::to_string(i), "delivery", "refused", "x", 1});
                session->new_run("train", "");
                (void)session->labels(1);
            }
        });
    }
    for (auto& thread : threads) {
        thread.join();
    }
    EXPECT_EQ(session->labels(1).size(), 80u);
    EXPECT_EQ(session->new_run("train", ""), 81u);
}

TEST(Session, KilledProcessKeepsEveryLabelItWasToldAbout) {
    for (int cycle = 0; cycle < 10; ++cycle) {
        const TemporaryFolder base;
        int ends[2];
        ASSERT_EQ(::pipe(ends), 0);
        const pid_t child = ::fork();
        if (child == 0) {
            const auto session = Session::open(base / "s", Mode::read_write);
            for (std::uint32_t n = 1;; ++n) {
                session->put_label({1, std::to_string(n), "delivery", "refused", "x", n});
                (void)!::write(ends[1], &n, sizeof n);
            }
        }
        ::close(ends[1]);
        std::uint32_t told = 0;
        while (told < static_cast<std::uint32_t>(5 + cycle) && ::read(ends[0], &told, sizeof told) == sizeof told) {
        }
        ::kill(child, SIGKILL);
        ::waitpid(child, nullptr, 0);
        ::close(ends[0]);
        const auto session = Session::open(base / "s", Mode::read_write);
        EXPECT_GE(session->labels(1).size(), told);
        EXPECT_TRUE(session->problems().empty());
    }
}

/// A look that is ended says nothing of what was looked at: damaged checkpoints are removed by some.
TEST(Checkpoints, ALookThatIsEndedFindsNoDamage) {
    const TemporaryFolder base;
    const auto session = Session::open(base / "s", Mode::read_write);
    save_checkpoint(*session, 3, 20);
    int calls = 0;
    const auto enough = [&] {
        if (++calls == 2) {
            throw base::Error(base::say("enough"));
        }
    };
    EXPECT_THROW(session->checkpoints(3, true, enough), base::Error);
    EXPECT_EQ(calls, 2);
    EXPECT_TRUE(session->checkpoints(3, true, enough).at(0).complete);
    EXPECT_GT(calls, 3);
    calls = 0;
    EXPECT_TRUE(session->checkpoints(3, false, enough).at(0).complete);
    EXPECT_EQ(calls, 0) << "nothing is read without hashes";
}

TEST(Checkpoints, AreListedCheckedAndRemoved) {
    const TemporaryFolder base;
    const auto session = Session::open(base / "s", Mode::read_write);
    for (const std::uint64_t step : {400u, 20u, 123456789u}) {
        save_checkpoint(*session, 3, step);
    }
    EXPECT_EQ(session->checkpoint_path(3, 400).filename(), "step-00000400");
    auto found = session->checkpoints(3, true);
    ASSERT_EQ(found.size(), 3u);
    EXPECT_EQ(found[0].step, 20u);
    EXPECT_EQ(found[2].step, 123456789u);
    for (const auto& checkpoint : found) {
        EXPECT_TRUE(checkpoint.complete) << checkpoint.problem;
        EXPECT_GT(checkpoint.bytes, 100'000u);
    }
    // Same size, other content: only the hashes see it.
    write_text(found[0].path / "state" / "optimizer.bin", std::string(100'000, 'p'));
    EXPECT_TRUE(session->checkpoints(3, false)[0].complete);
    EXPECT_FALSE(session->checkpoints(3, true)[0].complete);
    write_text(found[1].path / "model.safetensors", "short");
    EXPECT_FALSE(session->checkpoints(3, false)[1].complete);
    EXPECT_NE(session->checkpoints(3, false)[1].problem.english().find("model.safetensors"), std::string::npos);
    fs::remove(found[2].path / "DONE");
    EXPECT_FALSE(session->checkpoints(3, false)[2].complete);
    write_text(found[2].path / "DONE", R"({"files":[{"name":"../../../manifest.json","bytes":1,"sha256":""}]})");
    EXPECT_NE(session->checkpoints(3, false)[2].problem.english().find("can't be part"), std::string::npos);

    session->remove_checkpoint(found[1]);
    found = session->checkpoints(3, false);
    ASSERT_EQ(found.size(), 2u);
    EXPECT_EQ(std::distance(fs::directory_iterator(base / "s" / "checkpoints" / "run-3"), fs::directory_iterator()), 2);
    EXPECT_TRUE(session->checkpoints(99, false).empty());
}

TEST(AtomicFolder, ReplacesWholeOrNotAtAll) {
    const TemporaryFolder base;
    const fs::path target = base / "folder";
    for (const char* text : {"first", "second"}) {
        base::AtomicFolder folder(target);
        write_text(folder.path() / "file", text);
        EXPECT_NE(read_text(target / "file"), text);
        folder.commit();
        EXPECT_EQ(read_text(target / "file"), text);
    }
    {
        base::AtomicFolder folder(target);
        write_text(folder.path() / "file", "third");
    }
    EXPECT_EQ(read_text(target / "file"), "second");
    {
        base::AtomicFolder folder(target);
        fs::create_symlink("/etc/passwd", folder.path() / "link");
        EXPECT_THROW(folder.commit(), std::runtime_error);
    }
    EXPECT_EQ(read_text(target / "file"), "second");
    EXPECT_EQ(std::distance(fs::directory_iterator(base.path()), fs::directory_iterator()), 1) << "leftovers";
}

TEST(AtomicFolder, ACrashBeforeCommitLeavesNothingVisible) {
    const TemporaryFolder base;
    { Session::open(base / "s", Mode::read_write); }
    const fs::path target = base.path() / "s" / "checkpoints" / "run-1" / "step-00000010";
    const pid_t child = ::fork();
    if (child == 0) {
        base::AtomicFolder folder(target);
        write_text(folder.path() / "model.safetensors", "half");
        ::_exit(0);
    }
    ::waitpid(child, nullptr, 0);
    EXPECT_FALSE(fs::exists(target));
    EXPECT_TRUE(Session::open(base / "s", Mode::read_only)->checkpoints(1, true).empty());
    EXPECT_FALSE(fs::is_empty(target.parent_path()));
    Session::open(base / "s", Mode::read_write);
    EXPECT_TRUE(fs::is_empty(target.parent_path())) << "the next writer cleans up";
}

TEST(WriteFileAtomically, ReplacesAndReportsErrors) {
    const TemporaryFolder base;
    base::write_file_atomically(base / "f", "one");
    base::write_file_atomically(base / "f", std::string("t\0wo", 4));
    EXPECT_EQ(read_text(base / "f"), std::string("t\0wo", 4));
    EXPECT_THROW(base::write_file_atomically(base / "missing" / "f", "x"), std::runtime_error);
    EXPECT_EQ(std::distance(fs::directory_iterator(base.path()), fs::directory_iterator()), 1);
}

}  // namespace
}  // namespace moescope::sessions
