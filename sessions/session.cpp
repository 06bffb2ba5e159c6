#include "sessions/session.hpp"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <fcntl.h>
#include <mutex>
#include <random>
#include <set>
#include <stdexcept>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/atomic_files.hpp"
#include "base/file_io.hpp"
#include "base/input_file.hpp"
#include "base/json_fields.hpp"
#include "base/json_guard.hpp"
#include "sessions/checkpoints.hpp"
#include "sessions/database.hpp"
#include "sessions/outputs.hpp"
#include "sessions/segment.hpp"

namespace moescope::sessions {

namespace fs = std::filesystem;

namespace {

constexpr int kFormat = 1;
constexpr std::size_t kManifestLimit = 64 * 1024;
constexpr const char* kSessionId = "session_id";  ///< among the settings of the database

// What the node writes to the journal, as far as the database can be made anew from it. Values of the file format.
constexpr std::uint8_t kEventsChannel = 1;
constexpr std::uint16_t kRunStarted = 1;
constexpr std::uint16_t kProbeLabel = 31;
constexpr std::uint16_t kExperiment = 34;

std::uint64_t wall_clock_ns() {
    return static_cast<std::uint64_t>(
        std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now().time_since_epoch())
            .count());
}

/// SQLite's write-ahead log needs shared memory, which these file systems don't have.
bool is_network_folder(const fs::path& folder) {
    struct statfs status {};
    if (::statfs(folder.c_str(), &status) != 0) {
        return false;
    }
    switch (static_cast<std::uint32_t>(status.f_type)) {
        case 0x6969:      // NFS
        case 0x0BD00BD0:  // Lustre
        case 0xFF534D42:  // CIFS
        case 0xFE534D42:  // SMB 2
            return true;
        default:
            return false;
    }
}

/// May a session be made here? Yes when there is nothing but what an interrupted first start leaves.
bool is_free(const fs::path& folder) {
    std::error_code error;
    for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
        const std::string name = it->path().filename().string();
        if (name == "manifest.json" || !is_part_name(name)) {
            return false;
        }
    }
    return !error;
}

std::string new_manifest() {
    std::random_device device;
    std::string id;
    for (int i = 0; i < 32; ++i) {
        id += "0123456789abcdef"[device() & 15];
    }
    return nlohmann::json{{"program", "moescope"}, {"format", kFormat}, {"id", id}, {"created_ns", wall_clock_ns()}}
               .dump(1) +
           "\n";
}

/// The format that a manifest of ours names; null when it is none.
nlohmann::json format_of(const std::string& manifest, const fs::path& folder) {
    const auto value = base::parse_object(manifest, kManifestLimit);
    if (!value || value->value("program", nlohmann::json()) != "moescope") {
        return {};
    }
    const auto format = value->value("format", nlohmann::json());
    if (format.is_number_unsigned() && format.get<std::uint64_t>() > kFormat) {
        throw OpenError(OpenError::Why::newer,
                        say("the session {} was written by a newer Moescope; update this one to open it", folder));
    }
    return format;
}

/// A label as it stands in a journal record.
std::optional<Label> label_of(const Record& record) {
    const auto body = base::parse_object(record.body, kRecordLimit);
    if (!body) {
        return std::nullopt;
    }
    const auto text = [&](const char* key) {
        const auto it = body->find(key);
        if (it == body->end()) {
            return std::string();
        }
        return it->is_string() ? it->get<std::string>() : it->is_number_integer() ? it->dump() : std::string();
    };
    const auto run = body->find("run");
    if (run == body->end() || !run->is_number_unsigned() || text("field").empty()) {
        return std::nullopt;
    }
    return Label{run->get<std::uint32_t>(),
                 text("item") + "/" + text("model") + "/" + text("language") + "/" + text("draw"),
                 text("field"),
                 text("value"),
                 text("coder"),
                 record.time_ns};
}

/// The highest number among the runs that a record announces: the one that begins, or those that an experiment plans.
/// 0 when there is none.
std::uint32_t highest_run_in(const Record& record) {
    const auto body = base::parse_object(record.body, kRecordLimit);
    if (!body) {
        return 0;
    }
    std::uint32_t highest = base::run_of(*body);
    for (const nlohmann::json& run : base::member(base::member(*body, "definition"), "runs")) {
        highest = std::max(highest, base::run_of(run));
    }
    return highest;
}

/// A journal file that holds more than its beginning: the folder was used as a session.
bool has_journal(const fs::path& folder) {
    std::error_code error;
    for (fs::directory_iterator it(folder / "segments", error), end; !error && it != end; it.increment(error)) {
        std::error_code ignored;
        const std::string name = it->path().filename().string();
        if (name.starts_with("seg-") && (name.ends_with(".wbj") || name.ends_with(".wbp")) &&
            it->is_regular_file(ignored) && it->file_size(ignored) > kSegmentBeginBytes) {
            return true;
        }
    }
    return false;
}

/// What stands in a folder before a session is made there, so that a session that can't be made leaves nothing.
class Making {
 public:
    explicit Making(const fs::path& folder) : folder_(folder) {}
    /// The folder is there now; `made`: it and those of its parents that were missing.
    void begin(std::vector<fs::path> made) {
        made_ = std::move(made);
        before_ = names();
        begun_ = true;
    }
    void undo() const {
        if (!begun_) {
            return;
        }
        std::error_code ignored;
        for (const std::string& name : names()) {
            if (!before_.contains(name)) {
                fs::remove_all(folder_ / name, ignored);
            }
        }
        for (auto folder = made_.rbegin(); folder != made_.rend(); ++folder) {
            fs::remove(*folder, ignored);  // when it is empty
        }
    }

 private:
    std::set<std::string> names() const {
        std::set<std::string> names;
        std::error_code error;
        for (fs::directory_iterator it(folder_, error), end; !error && it != end; it.increment(error)) {
            names.insert(it->path().filename().string());
        }
        return names;
    }

    fs::path folder_;
    std::vector<fs::path> made_;
    std::set<std::string> before_;
    bool begun_ = false;
};

/// "a/b/" means "a/b".
fs::path folder_path(const fs::path& given) {
    const fs::path whole = fs::absolute(given);
    return whole.filename().empty() ? whole.parent_path() : whole;
}

class FolderSession final : public Session {
 public:
    FolderSession(const fs::path& folder, Journal::Mode mode)
        : folder_(folder_path(folder)), mode_(mode), making_(folder_) {
        try {
            open();
        } catch (const OpenError& error) {
            if (error.why() != OpenError::Why::in_use) {  // what stands there now is another program's
                undo();
            }
            throw;
        } catch (...) {
            undo();
            throw;
        }
    }

    const fs::path& folder() const override { return folder_; }
    Journal& journal() override { return *journal_; }
    std::vector<Sentence> problems() const override;
    std::vector<Sentence> notes() const override { return notes_; }
    void check_place() const override;

    std::uint32_t new_run(const std::string& kind, const std::string& name) override {
        writable();
        return database_->new_run(kind, name, wall_clock_ns());
    }
    fs::path checkpoint_path(std::uint32_t run, std::uint64_t step) const override {
        return checkpoint_folder(folder_, run, step);
    }
    std::vector<CheckpointInfo> checkpoints(std::uint32_t run, bool verify_hashes,
                                            const std::function<void()>& check) const override {
        return list_checkpoints(folder_, run, verify_hashes, check);
    }
    void remove_checkpoint(const CheckpointInfo& checkpoint) override {
        writable();
        remove_checkpoint_folder(folder_, checkpoint);
    }
    void put_label(const Label& label) override {
        writable();
        database_->put_label(label);
    }
    std::vector<Label> labels(std::uint32_t run) const override { return database_->labels(run); }
    std::optional<std::string> finished_command(const std::string& id) const override {
        return database_->finished_command(id);
    }
    void put_finished_command(const std::string& id, const std::string& answer) override {
        writable();
        database_->put_finished_command(id, answer);
    }
    void set_value(const std::string& key, const std::string& value) override {
        writable();
        database_->set_value(key, value);
    }
    std::optional<std::string> value(const std::string& key) const override { return database_->value(key); }

 private:
    void writable() const {
        if (mode_ == Journal::Mode::read_only) {
            throw Error(say("the session {} was opened for reading only", folder_));
        }
        check_place();
    }
    void undo() {
        database_.reset();
        journal_.reset();
        making_.undo();
    }
    void open();
    bool check_folder();
    void check_manifest(const std::string& text);
    void check_same_session();
    void check_writable() const;
    void keep_names() const;
    void add_notes();
    void open_database();
    std::unique_ptr<Database> rebuilt_database(Database::Access access, bool network_folder);
    void fill_from_journal(Database& database);
    void move_database_aside(const Sentence& why);

    fs::path folder_;
    Journal::Mode mode_;
    Making making_;
    base::Descriptor place_;  ///< the folder itself, wherever its name leads later
    std::string id_;          ///< as manifest.json has it
    std::vector<Sentence> problems_, notes_;
    std::unique_ptr<Journal> journal_;
    std::unique_ptr<Database> database_;
};

void FolderSession::open() {
    const bool is_new = check_folder();
    place_ = base::Descriptor(::open(folder_.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (mode_ == Journal::Mode::read_write) {
        check_writable();
    }
    try {
        journal_ = Journal::open(folder_, mode_);
    } catch (const InUse& error) {
        throw OpenError(OpenError::Why::in_use, error.sentence());
    }
    std::error_code error;
    if (is_new ||
        (mode_ == Journal::Mode::read_write && !fs::exists(fs::symlink_status(folder_ / "manifest.json", error)))) {
        base::write_file_atomically(folder_ / "manifest.json", new_manifest());
    }
    open_database();
    check_same_session();
    if (mode_ == Journal::Mode::read_write) {
        keep_names();
        remove_leftovers(folder_);
        add_notes();
    }
}

/// True when a new session is to be made here.
bool FolderSession::check_folder() {
    std::error_code error;
    const fs::file_status status = fs::status(folder_, error);
    if (!fs::status_known(status)) {
        throw OpenError(OpenError::Why::other, say("the folder {} can't be reached: {}", folder_, error));
    }
    const bool exists = fs::exists(status);
    if (exists && !fs::is_directory(status)) {
        throw OpenError(OpenError::Why::no_session, say("{} is a file; a session is a folder", folder_));
    }
    if (!exists) {
        if (mode_ == Journal::Mode::read_only) {
            throw OpenError(OpenError::Why::no_session, say("there is no session at {}", folder_));
        }
        making_.begin(base::make_private_folders(folder_));
        return true;
    }
    if (::access(folder_.c_str(), R_OK | X_OK) != 0) {
        throw OpenError(OpenError::Why::other,
                        say("the session {} can't be read: {}; its owner can give you the right to", folder_,
                            base::system_sentence(errno)));
    }
    if (const auto text = base::try_read_file(folder_ / "manifest.json", kManifestLimit)) {
        check_manifest(*text);
        return false;
    }
    if (has_journal(folder_)) {
        problems_.push_back(
            say("{}/manifest.json is missing or can't be read; the session was opened by its journal", folder_));
        return false;
    }
    if (mode_ == Journal::Mode::read_write && !fs::exists(folder_ / "manifest.json", error) && is_free(folder_)) {
        making_.begin({});
        return true;
    }
    throw OpenError(
        OpenError::Why::no_session,
        say("{} is not a Moescope session (it has no readable manifest.json); choose a session or an empty folder",
            folder_));
}

/// Manifest and database know each other since December 2026. A manifest that was lost gets a new name, and then the
/// database is told.
void FolderSession::check_same_session() {
    const std::optional<std::string> known = database_->value(kSessionId);
    if (known && !id_.empty() && *known != id_) {
        problems_.push_back(say(
            "{}/manifest.json and session.db are of two sessions: one of them was copied here; labels, settings and "
            "run numbers may be those of the other session",
            folder_));
        return;
    }
    if (mode_ != Journal::Mode::read_write || (known && !id_.empty())) {
        return;
    }
    std::string id = id_;
    if (id.empty()) {
        const auto text = base::try_read_file(folder_ / "manifest.json", kManifestLimit);
        const auto manifest = text ? base::parse_object(*text, kManifestLimit) : std::nullopt;
        id = manifest ? base::text_of(*manifest, "id") : std::string();
    }
    if (!id.empty()) {
        database_->set_value(kSessionId, id);
    }
}

void FolderSession::check_manifest(const std::string& text) {
    std::error_code error;
    if (const auto manifest = base::parse_object(text, kManifestLimit)) {
        id_ = base::text_of(*manifest, "id");
    }
    if (format_of(text, folder_) != kFormat) {
        if (!fs::is_directory(folder_ / "segments", error)) {
            throw OpenError(OpenError::Why::no_session,
                            say("{} is not a Moescope session: its manifest.json can't be read", folder_));
        }
        problems_.push_back(say("{}/manifest.json is damaged; the session was opened by its journal", folder_));
    }
}

/// Said at once and as a whole, not by the part that happens to be written first.
void FolderSession::check_writable() const {
    for (const char* part : {"", "segments", "journal.lock", "session.db"}) {
        const fs::path path = *part == '\0' ? folder_ : folder_ / part;
        if (::access(path.c_str(), W_OK) != 0 && errno != ENOENT) {
            throw OpenError(OpenError::Why::not_writable,
                            say("the session {} can't be written: {}; open it for reading, or copy it to a folder of "
                                "your own",
                                folder_, base::system_sentence(errno)));
        }
    }
}

/// Folders that are there need not be durable: who made them may have been killed before that. What is written into
/// them from now on counts on them.
void FolderSession::keep_names() const {
    std::vector<fs::path> paths{folder_, folder_ / "segments"};
    const fs::path checkpoints = folder_ / "checkpoints";
    std::error_code error;
    fs::directory_iterator run(checkpoints, error);
    if (!error && run != fs::directory_iterator()) {
        paths.push_back(run->path());
    }
    for (const fs::path& path : paths) {
        if (const int failure = base::keep_name(path); failure != 0) {
            throw Error(say("{} {}: {}", path, say("could not be made durable"), base::system_sentence(failure)));
        }
    }
}

void FolderSession::add_notes() {
    struct stat status {};
    if (place_ && ::fstat(place_.get(), &status) == 0 && status.st_uid == ::geteuid() &&
        (status.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
        notes_.push_back(
            say("other users of this machine may enter the session {}, read it, and keep you out of it; chmod 700 "
                "prevents that",
                folder_));
    }
}

void FolderSession::check_place() const {
    struct stat here {
    }, named{};
    if (place_ && ::fstat(place_.get(), &here) == 0 &&
        (::stat(folder_.c_str(), &named) != 0 || here.st_dev != named.st_dev || here.st_ino != named.st_ino)) {
        throw Error(say("the session's folder {} was removed or moved away; put it back to go on", folder_));
    }
}

std::vector<Sentence> FolderSession::problems() const {
    constexpr std::size_t kMost = 20;
    std::vector<Sentence> all = problems_;
    if (const std::uint64_t lost = journal_->lost(); lost > 0) {
        all.push_back(say("{} records of this session are lost", lost));
    }
    const std::vector<Damage> damage = journal_->damage();
    for (std::size_t i = 0; i < std::min(kMost, damage.size()); ++i) {
        const Damage& part = damage[i];
        all.push_back(part.bytes > 0 ? say("{}: {} ({} bytes at {})", part.file, part.what, part.bytes, part.offset)
                                     : say("{}: {}", part.file, part.what));
    }
    if (damage.size() > kMost) {
        all.push_back(say("{} more places of the journal are damaged", damage.size() - kMost));
    }
    return all;
}

void FolderSession::open_database() {
    const bool network = is_network_folder(folder_);
    if (network && mode_ == Journal::Mode::read_write) {
        notes_.push_back(
            say("the session {} lies on a network file system: changes are slower, and only one program may use it",
                folder_));
    }
    const fs::path file = folder_ / "session.db";
    std::error_code error;
    const fs::file_status status = fs::symlink_status(file, error);
    const bool writes = mode_ == Journal::Mode::read_write;
    const auto access = writes ? Database::Access::read_write : Database::Access::read_only;
    const auto rebuilt_access = writes ? access : Database::Access::memory;
    if (!fs::exists(status)) {
        const bool has_records = journal_->last() > Position{};
        database_ = rebuilt_database(rebuilt_access, network);
        if (has_records) {
            problems_.push_back(
                say("{} is missing; labels and run numbers were read from the journal, the device for models and the "
                    "disk space to keep free have to be chosen again",
                    file));
        }
        return;
    }
    Sentence why;
    try {
        if (!fs::is_regular_file(status)) {
            throw DamagedDatabase(say("the database {} is no ordinary file", file));
        }
        for (const char* suffix : {"-wal", "-shm", "-journal"}) {  // SQLite would wait for a pipe in their place
            const fs::path beside = file.string() + suffix;
            const auto found = fs::status(beside, error);
            if (fs::exists(found) && !fs::is_regular_file(found)) {
                throw DamagedDatabase(say("the database {} is no ordinary file", beside));
            }
        }
        database_ = std::make_unique<Database>(file, access, network);
        return;
    } catch (const DamagedDatabase& damage) {
        why = damage.sentence();
    } catch (const Error& problem) {
        if (writes) {
            throw;
        }
        why = problem.sentence();
    }
    if (writes) {
        move_database_aside(why);
    } else {
        problems_.push_back(say("{}; labels were read from the journal instead", why));
    }
    database_ = rebuilt_database(rebuilt_access, network);
}

void FolderSession::move_database_aside(const Sentence& why) {
    const fs::path file = folder_ / "session.db";
    const std::string aside = base::damaged_name(file).string();
    std::error_code error;
    // What stays behind would be taken for that of the next database.
    for (const char* suffix : {"-wal", "-shm", "-journal", ""}) {
        error.clear();
        if (fs::exists(fs::symlink_status(file.string() + suffix))) {
            fs::rename(file.string() + suffix, aside + suffix, error);
        }
        if (error) {
            throw Error(say("{}; it can't be moved aside: {}", why, error));
        }
    }
    problems_.push_back(
        say("{}; it was moved to {}, labels and run numbers were read from the journal, the device for models and the "
            "disk space to keep free have to be chosen again",
            why, aside));
}

/// In the file's place only when it is complete: a crash on the way leaves the database missing, and the next opening
/// begins again.
std::unique_ptr<Database> FolderSession::rebuilt_database(Database::Access access, bool network_folder) {
    const fs::path file = folder_ / "session.db";
    const bool nothing_to_read = journal_->last() == Position{} && highest_run_folder(folder_) == 0;
    if (access == Database::Access::memory || nothing_to_read) {
        auto database = std::make_unique<Database>(file, access, network_folder);
        fill_from_journal(*database);
        return database;
    }
    const fs::path unfinished = folder_ / "session.db.unfinished";
    std::error_code error;
    for (const char* suffix : {"", "-wal", "-shm", "-journal"}) {
        fs::remove(unfinished.string() + suffix, error);
    }
    {
        Database database(unfinished, access, network_folder);
        fill_from_journal(database);
    }
    // Of a database that was removed, or moved aside by somebody who was killed: SQLite would add it to this one.
    for (const char* suffix : {"-wal", "-shm", "-journal"}) {
        fs::remove(file.string() + suffix, error);
    }
    fs::rename(unfinished, file, error);
    if (error) {
        throw Error(say("the database {} can't be made anew: {}", file, error));
    }
    (void)base::FileIo::system().sync_folder(folder_);
    return std::make_unique<Database>(file, access, network_folder);
}

void FolderSession::fill_from_journal(Database& database) {
    std::uint32_t highest = highest_run_folder(folder_);
    Position at;
    for (;;) {
        const auto records = journal_->read(kEventsChannel, at, 4096, 4 * 1024 * 1024);
        if (records.empty()) {
            break;
        }
        at = {records.back().epoch, records.back().sequence};
        std::vector<Label> labels;
        for (const Record& record : records) {
            if (record.type == kRunStarted || record.type == kExperiment) {
                highest = std::max(highest, highest_run_in(record));
            }
            if (record.type == kProbeLabel) {
                if (auto label = label_of(record)) {
                    labels.push_back(std::move(*label));
                }
            }
        }
        if (!labels.empty()) {
            database.put_labels(labels);
        }
    }
    database.reserve_runs(highest);
}

}  // namespace

void require_known_version(const fs::path& session) {
    if (const auto text = base::try_read_file(session / "manifest.json", kManifestLimit)) {
        (void)format_of(*text, session);
    }
}

const char* name_of(OpenError::Why why) {
    switch (why) {
        case OpenError::Why::in_use:
            return "in_use";
        case OpenError::Why::not_writable:
            return "not_writable";
        case OpenError::Why::no_session:
            return "no_session";
        case OpenError::Why::newer:
            return "newer";
        case OpenError::Why::other:
            break;
    }
    return "other";
}

std::unique_ptr<Session> Session::open(const fs::path& folder, Journal::Mode mode) {
    return std::make_unique<FolderSession>(folder, mode);
}

}  // namespace moescope::sessions
