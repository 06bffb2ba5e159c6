#include "sessions/database.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <limits>
#include <mutex>
#include <sqlite3.h>
#include <string_view>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file_io.hpp"
#include "base/scratch_folder.hpp"

namespace moescope::sessions {

namespace fs = std::filesystem;

namespace {

constexpr int kApplicationId = 0x4D4F4553;  // "MOES"
constexpr int kSchemaVersion = 1;

constexpr const char* kSchema = R"(
CREATE TABLE runs(run INTEGER PRIMARY KEY, kind TEXT NOT NULL, name TEXT NOT NULL, time_ns INTEGER NOT NULL);
CREATE TABLE labels(run INTEGER NOT NULL, draw TEXT NOT NULL, field TEXT NOT NULL, value TEXT NOT NULL, coder TEXT NOT NULL,
    time_ns INTEGER NOT NULL, PRIMARY KEY(run, draw, field)) WITHOUT ROWID;
CREATE TABLE commands(id TEXT PRIMARY KEY, answer TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE settings(key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
)";

bool means_damage(int code) {
    switch (code & 0xFF) {
        case SQLITE_CORRUPT:
        case SQLITE_NOTADB:
        case SQLITE_ERROR:  // a schema that is not ours: missing tables, views in their place
        case SQLITE_FORMAT:
        case SQLITE_TOOBIG:
        case SQLITE_MISMATCH:
            return true;
        default:
            return false;
    }
}

bool means_out_of_reach(int code) {
    switch (code & 0xFF) {
        case SQLITE_CANTOPEN:
        case SQLITE_READONLY:
        case SQLITE_PERM:
        case SQLITE_AUTH:
        case SQLITE_IOERR:
        case SQLITE_PROTOCOL:
            return true;
        default:
            return false;
    }
}

/// Takes a name as it is.
int copy_name(sqlite3_vfs*, const char* name, int bytes, char* out) {
    const std::size_t length = std::strlen(name);
    if (length >= static_cast<std::size_t>(bytes)) {
        return SQLITE_CANTOPEN;
    }
    std::memcpy(out, name, length + 1);
    return SQLITE_OK;
}

/// SQLite's own file system, but for one thing: it resolves every link in a path and takes at most 512 bytes of what
/// comes out. Ours is given /proc/self/fd/N/session.db, where N is the open folder, and leaves it at that.
const char* our_file_system() {
    static sqlite3_vfs ours;
    static const bool made = [] {
        sqlite3_initialize();
        const sqlite3_vfs* system = sqlite3_vfs_find("unix");
        if (system == nullptr) {
            return false;
        }
        ours = *system;
        ours.pNext = nullptr;
        ours.zName = "moescope";
        ours.xFullPathname = copy_name;
        return sqlite3_vfs_register(&ours, 0) == SQLITE_OK;
    }();
    return made ? ours.zName : nullptr;
}

/// Copies a file of at most kMostCopied bytes for the user alone.
constexpr std::uint64_t kMostCopied = 256ull * 1024 * 1024;
void copy_private(const fs::path& from, const fs::path& to) {
    const base::Descriptor in = base::open_for_reading(from);
    struct stat status {};
    if (!in || ::fstat(in.get(), &status) != 0) {
        throw Error(say("{} can't be read: {}", from, base::system_sentence(errno)));
    }
    if (!S_ISREG(status.st_mode) || static_cast<std::uint64_t>(status.st_size) > kMostCopied) {
        throw Error(say("{} is no ordinary file, or too large", from));
    }
    const int opened = base::FileIo::system().open_for_writing(to);
    if (opened < 0) {
        throw Error(say("the file {} can't be opened: {}", to, base::system_sentence(opened)));
    }
    const base::Descriptor out(opened);
    std::vector<std::byte> piece(std::size_t{1} << 20);
    for (std::uint64_t at = 0, size = static_cast<std::uint64_t>(status.st_size); at < size;) {
        const auto part = std::span(piece).first(std::min<std::uint64_t>(piece.size(), size - at));
        if (!base::read_exactly(in.get(), part, at)) {
            throw Error(say("{} can't be read to its end", from));
        }
        if (const int error = base::write_fully(base::FileIo::system(), out.get(), part, at); error != 0) {
            throw Error(say("{} can't be written: {}", to, base::system_sentence(error)));
        }
        at += part.size();
    }
}

/// What reading alone would not need is not permitted, or does not work here.
class NotReached : public Error {
 public:
    using Error::Error;
};

}  // namespace

class Database::Impl {
 public:
    Impl(const fs::path& file, Access access, bool network_folder) : file_(file.string()) {
        if (access == Access::read_only) {
            open_for_reading();
            return;
        }
        if (access == Access::memory) {
            open_at(":memory:", SQLITE_OPEN_READWRITE | SQLITE_OPEN_MEMORY);
        } else {
            // SQLite gives the files beside it the mode of this one.
            base::Descriptor(::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600));
            open_at(short_name(file), SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE);
        }
        if (access == Access::memory || is_empty()) {
            create(access, network_folder);
        } else {
            check();
        }
        if (access == Access::read_write) {
            run(network_folder ? "PRAGMA journal_mode=DELETE" : "PRAGMA journal_mode=WAL");
            run("PRAGMA synchronous=FULL");
        }
    }

    [[noreturn]] void fail(int code, const Sentence& what) const {
        const Sentence text =
            say("the database {} {}: {}", file_, what, db_ ? sqlite3_errmsg(db_.get()) : sqlite3_errstr(code));
        if (means_damage(code)) {
            throw DamagedDatabase(text);
        }
        if (means_out_of_reach(code)) {
            throw NotReached(text);
        }
        throw Error(text);
    }

    void run(const char* sql) const {
        if (const int code = sqlite3_exec(db_.get(), sql, nullptr, nullptr, nullptr); code != SQLITE_OK) {
            fail(code, say("can't be used"));
        }
    }

    /// A prepared statement with its values bound; throws like fail().
    class Statement {
     public:
        Statement(const Impl& impl, const char* sql) : impl_(impl) {
            sqlite3_stmt* statement = nullptr;
            const int code = sqlite3_prepare_v2(impl.db_.get(), sql, -1, &statement, nullptr);
            statement_.reset(statement);
            if (code != SQLITE_OK) {
                impl.fail(code, say("can't be used"));
            }
        }
        Statement& bind(std::string_view text) {
            return checked(sqlite3_bind_text(statement_.get(), ++bound_, text.data(), static_cast<int>(text.size()),
                                             SQLITE_TRANSIENT));
        }
        Statement& bind(std::uint64_t number) {
            return checked(sqlite3_bind_int64(statement_.get(), ++bound_, static_cast<sqlite3_int64>(number)));
        }
        bool step() {
            const int code = sqlite3_step(statement_.get());
            if (code != SQLITE_ROW && code != SQLITE_DONE) {
                impl_.fail(code, say("can't be read or written"));
            }
            return code == SQLITE_ROW;
        }
        std::string text(int column) const {
            const auto* data = reinterpret_cast<const char*>(sqlite3_column_text(statement_.get(), column));
            return data ? std::string(data, static_cast<std::size_t>(sqlite3_column_bytes(statement_.get(), column)))
                        : std::string();
        }
        std::uint64_t number(int column) const {
            return static_cast<std::uint64_t>(sqlite3_column_int64(statement_.get(), column));
        }

     private:
        Statement& checked(int code) {
            if (code != SQLITE_OK) {
                impl_.fail(code, say("does not take a value"));
            }
            return *this;
        }
        const Impl& impl_;
        std::unique_ptr<sqlite3_stmt, decltype(&sqlite3_finalize)> statement_{nullptr, &sqlite3_finalize};
        int bound_ = 0;
    };

    mutable std::mutex mutex;

 private:
    /// Throws like fail().
    void open_at(const std::string& name, int flags) {
        flags |= SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
        sqlite3* db = nullptr;
        const int code = sqlite3_open_v2(name.c_str(), &db, flags, our_file_system());
        db_.reset(db);
        if (code != SQLITE_OK) {
            fail(code, say("can't be opened"));
        }
        harden();
    }

    /// A name for SQLite that is short and free of links: through the open folder.
    std::string short_name(const fs::path& file) {
        const fs::path folder = file.has_parent_path() ? file.parent_path() : fs::path(".");
        folder_ = base::Descriptor(::open(folder.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
        if (!folder_) {
            throw Error(say("the folder {} can't be opened: {}", folder, base::system_sentence(errno)));
        }
        const std::string through = "/proc/self/fd/" + std::to_string(folder_.get());
        struct stat status {};
        if (our_file_system() != nullptr && ::stat(through.c_str(), &status) == 0) {
            return through + "/" + file.filename().string();
        }
        // Without /proc, the path itself, as far as it goes.
        std::error_code error;
        const fs::path whole = fs::canonical(folder, error) / file.filename();
        constexpr std::size_t kMost = 500;  // SQLite's 512, less "-journal" and a zero
        if (error || whole.string().size() > kMost) {
            throw Error(
                say("the path of {} is longer than the {} bytes that the database takes where /proc is missing; "
                    "use a shorter one",
                    file, kMost));
        }
        return whole.string();
    }

    /// A database that is written to by way of a log, and nobody has it open: a log would lie beside it. To read even
    /// this one, SQLite would make a log and a file of shared memory, and leave both behind.
    bool is_at_rest() const {
        constexpr std::size_t kVersions = 18;  // of the file format: 2 and 2 with a log
        std::error_code error;
        std::array<std::byte, 2> versions{};
        const base::Descriptor file = base::open_for_reading(file_);
        return file && base::read_exactly(file.get(), versions, kVersions) &&
               versions == std::array{std::byte{2}, std::byte{2}} &&
               !fs::exists(fs::symlink_status(file_ + "-wal", error));
    }
    /// False when there is no place for the copy, or it is too large.
    bool open_copy() {
        try {
            scratch_ = std::make_unique<base::ScratchFolder>();
            copy_private(file_, scratch_->path() / "session.db");
        } catch (const Error&) {
            scratch_.reset();
            return false;
        }
        open_at(short_name(scratch_->path() / "session.db"), SQLITE_OPEN_READWRITE);
        return true;
    }
    /// A copy when nobody writes to it; as it is, when that may be done without writing; else as a file that nobody
    /// changes; and when a log lies beside it that would have to be worked in first, a copy of both.
    void open_for_reading() {
        const std::string name = short_name(file_);
        if (is_at_rest() && open_copy()) {
            check_for_reading();
            return;
        }
        try {
            open_at(name, SQLITE_OPEN_READONLY);
            check_for_reading();
            return;
        } catch (const NotReached&) {
            db_.reset();
        }
        std::error_code error;
        if (const auto log = fs::file_size(file_ + "-wal", error); error || log == 0) {
            open_at("file:" + name + "?immutable=1", SQLITE_OPEN_READONLY | SQLITE_OPEN_URI);
        } else {
            scratch_ = std::make_unique<base::ScratchFolder>();
            copy_private(file_, scratch_->path() / "session.db");
            copy_private(file_ + "-wal", scratch_->path() / "session.db-wal");
            open_at(short_name(scratch_->path() / "session.db"), SQLITE_OPEN_READWRITE);
        }
        check_for_reading();
    }

    void check_for_reading() const {
        if (is_empty()) {
            throw DamagedDatabase(say("the database {} is empty", file_));
        }
        check();
    }

    void harden() const {
        sqlite3* db = db_.get();
        sqlite3_busy_timeout(db, 2000);
        sqlite3_limit(db, SQLITE_LIMIT_LENGTH, 8'000'000);
        sqlite3_limit(db, SQLITE_LIMIT_SQL_LENGTH, 100'000);
        sqlite3_limit(db, SQLITE_LIMIT_ATTACHED, 0);
        sqlite3_limit(db, SQLITE_LIMIT_VDBE_OP, 25'000);
        sqlite3_limit(db, SQLITE_LIMIT_TRIGGER_DEPTH, 1);
        sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
        sqlite3_db_config(db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, nullptr);
        sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, nullptr);
        sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_VIEW, 0, nullptr);
        run("PRAGMA cell_size_check=ON");
        run("PRAGMA mmap_size=0");
    }

    bool is_empty() const {
        Statement count(*this, "SELECT count(*) FROM sqlite_schema");
        return count.step() && count.number(0) == 0;
    }

    void create(Access access, bool network_folder) const {
        if (access == Access::read_write && !network_folder) {
            run("PRAGMA journal_mode=WAL");  // before the tables, so that they are never half there
        }
        run("BEGIN IMMEDIATE");
        run(kSchema);
        run(("PRAGMA application_id=" + std::to_string(kApplicationId)).c_str());
        run(("PRAGMA user_version=" + std::to_string(kSchemaVersion)).c_str());
        run("COMMIT");
    }

    std::uint64_t pragma(const char* sql) const {
        Statement statement(*this, sql);
        return statement.step() ? statement.number(0) : 0;
    }

    void check() const {
        if (pragma("PRAGMA application_id") != kApplicationId) {
            throw DamagedDatabase(say("the database {} does not belong to a Moescope session", file_));
        }
        if (pragma("PRAGMA user_version") > kSchemaVersion) {
            throw Error(say("the database {} was written by a newer Moescope; update this one", file_));
        }
        Statement quick_check(*this, "PRAGMA quick_check(1)");
        if (!quick_check.step() || quick_check.text(0) != "ok") {
            throw DamagedDatabase(say("the database {} is damaged", file_));
        }
        // Everything that is asked later must be askable: another schema counts as damage now, not in the middle of
        // work.
        for (const char* sql :
             {"SELECT run, kind, name, time_ns FROM runs", "SELECT run, draw, field, value, coder, time_ns FROM labels",
              "SELECT id, answer FROM commands", "SELECT key, value FROM settings"}) {
            Statement(*this, sql);
        }
    }

    std::string file_;
    base::Descriptor folder_;  ///< that of the file, as long as the database is open
    std::unique_ptr<base::ScratchFolder> scratch_;
    std::unique_ptr<sqlite3, decltype(&sqlite3_close)> db_{nullptr, &sqlite3_close};
};

Database::Database(const fs::path& file, Access access, bool network_folder)
    : impl_(std::make_unique<Impl>(file, access, network_folder)) {}
Database::~Database() = default;

std::uint32_t Database::new_run(const std::string& kind, const std::string& name, std::uint64_t time_ns) {
    const std::lock_guard lock(impl_->mutex);
    Impl::Statement insert(
        *impl_,
        "INSERT INTO runs(run, kind, name, time_ns) SELECT coalesce(max(run), 0) + 1, ?, ?, ? FROM runs RETURNING run");
    insert.bind(kind).bind(name).bind(time_ns).step();
    const std::uint64_t run = insert.number(0);
    insert.step();  // to its end: only then is it committed
    if (run == 0 || run > std::numeric_limits<std::uint32_t>::max()) {
        throw Error(say("the session has no run number left"));
    }
    return static_cast<std::uint32_t>(run);
}

void Database::reserve_runs(std::uint32_t highest) {
    const std::lock_guard lock(impl_->mutex);
    if (highest == 0) {
        return;
    }
    Impl::Statement insert(*impl_, "INSERT OR IGNORE INTO runs(run, kind, name, time_ns) VALUES(?, '', '', 0)");
    insert.bind(std::uint64_t{highest}).step();
}

void Database::put_label(const Label& label) {
    put_labels({label});
}

void Database::put_labels(const std::vector<Label>& labels) {
    const std::lock_guard lock(impl_->mutex);
    impl_->run("BEGIN IMMEDIATE");
    try {
        for (const Label& label : labels) {
            if (label.value.empty()) {
                Impl::Statement remove(*impl_, "DELETE FROM labels WHERE run=? AND draw=? AND field=?");
                remove.bind(std::uint64_t{label.run}).bind(label.draw).bind(label.field).step();
                continue;
            }
            Impl::Statement insert(
                *impl_,
                "INSERT OR REPLACE INTO labels(run, draw, field, value, coder, time_ns) VALUES(?, ?, ?, ?, ?, ?)");
            insert.bind(std::uint64_t{label.run})
                .bind(label.draw)
                .bind(label.field)
                .bind(label.value)
                .bind(label.coder);
            insert.bind(label.time_ns).step();
        }
        impl_->run("COMMIT");
    } catch (...) {
        try {
            impl_->run("ROLLBACK");
        } catch (const std::exception&) {  // the first error is the one to tell
        }
        throw;
    }
}

std::vector<Label> Database::labels(std::uint32_t run) const {
    const std::lock_guard lock(impl_->mutex);
    Impl::Statement select(*impl_,
                           "SELECT draw, field, value, coder, time_ns FROM labels WHERE run=? ORDER BY draw, field");
    select.bind(std::uint64_t{run});
    std::vector<Label> labels;
    while (select.step()) {
        labels.push_back({run, select.text(0), select.text(1), select.text(2), select.text(3), select.number(4)});
    }
    return labels;
}

std::optional<std::string> Database::finished_command(const std::string& id) const {
    const std::lock_guard lock(impl_->mutex);
    Impl::Statement select(*impl_, "SELECT answer FROM commands WHERE id=?");
    if (select.bind(id).step()) {
        return select.text(0);
    }
    return std::nullopt;
}

void Database::put_finished_command(const std::string& id, const std::string& answer) {
    const std::lock_guard lock(impl_->mutex);
    Impl::Statement insert(*impl_, "INSERT OR REPLACE INTO commands(id, answer) VALUES(?, ?)");
    insert.bind(id).bind(answer).step();
}

void Database::set_value(const std::string& key, const std::string& value) {
    const std::lock_guard lock(impl_->mutex);
    Impl::Statement insert(*impl_, "INSERT OR REPLACE INTO settings(key, value) VALUES(?, ?)");
    insert.bind(key).bind(value).step();
}

std::optional<std::string> Database::value(const std::string& key) const {
    const std::lock_guard lock(impl_->mutex);
    Impl::Statement select(*impl_, "SELECT value FROM settings WHERE key=?");
    if (select.bind(key).step()) {
        return select.text(0);
    }
    return std::nullopt;
}

void copy_database(const fs::path& from, const fs::path& to) {
    const auto open = [](const fs::path& file, int flags) {
        sqlite3* db = nullptr;
        const int code = sqlite3_open_v2(file.c_str(), &db, flags | SQLITE_OPEN_NOMUTEX, nullptr);
        std::unique_ptr<sqlite3, decltype(&sqlite3_close)> opened(db, &sqlite3_close);
        if (code != SQLITE_OK) {
            throw Error(say("the database {} can't be opened: {}", file, sqlite3_errstr(code)));
        }
        return opened;
    };
    const auto source = open(from, SQLITE_OPEN_READONLY), target = open(to, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE);
    sqlite3_busy_timeout(source.get(), 2000);
    sqlite3_backup* backup = sqlite3_backup_init(target.get(), "main", source.get(), "main");
    const int code = backup == nullptr ? sqlite3_errcode(target.get()) : sqlite3_backup_step(backup, -1);
    if (backup != nullptr) {
        sqlite3_backup_finish(backup);
    }
    if (code != SQLITE_DONE) {
        throw Error(say("the database {} can't be copied: {}", from, sqlite3_errstr(code)));
    }
}

}  // namespace moescope::sessions
