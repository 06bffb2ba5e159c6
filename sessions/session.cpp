#include "sessions/session.hpp"

#include <algorithm>
#include <chrono>
#include <mutex>
#include <random>
#include <stdexcept>
#include <sys/vfs.h>

#include "base/atomic_files.hpp"
#include "base/file_io.hpp"
#include "base/json_guard.hpp"
#include "sessions/checkpoints.hpp"
#include "sessions/database.hpp"

namespace moescope::sessions {

namespace fs = std::filesystem;

namespace {

constexpr int kFormat = 1;
constexpr std::size_t kManifestLimit = 64 * 1024;

// What the node writes to the journal, as far as the database can be made anew from it. Values of the file format.
constexpr std::uint8_t kEventsChannel = 1;
constexpr std::uint16_t kRunStarted = 1;
constexpr std::uint16_t kProbeLabel = 31;

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

std::optional<std::string> read_manifest(const fs::path& folder) {
    std::error_code error;
    const fs::path path = folder / "manifest.json";
    const auto size = fs::file_size(path, error);
    if (error || size > kManifestLimit) {
        return std::nullopt;
    }
    std::string text(size, '\0');
    const base::Descriptor file = base::open_for_reading(path);
    if (!file || !base::read_exactly(file.get(), std::as_writable_bytes(std::span(text)), 0)) {
        return std::nullopt;
    }
    return text;
}

/// May a session be made here? Yes when there is nothing but what an interrupted first start leaves.
bool is_free(const fs::path& folder) {
    constexpr std::string_view ours[] = {"node.log", "journal.lock", "segments", "checkpoints"};
    std::error_code error;
    for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
        const std::string name = it->path().filename().string();
        if (std::find(std::begin(ours), std::end(ours), name) == std::end(ours) && !name.starts_with("session.db") &&
            !name.starts_with(".manifest.json.tmp-")) {
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

std::optional<std::uint32_t> started_run(const Record& record) {
    const auto body = base::parse_object(record.body, kRecordLimit);
    if (!body || !body->contains("run") || !(*body)["run"].is_number_unsigned()) {
        return std::nullopt;
    }
    return (*body)["run"].get<std::uint32_t>();
}

class FolderSession final : public Session {
 public:
    FolderSession(const fs::path& folder, Journal::Mode mode) : folder_(fs::absolute(folder)), mode_(mode) {
        const bool is_new = check_folder();
        journal_ = Journal::open(folder_, mode_);
        for (const Damage& damage : journal_->damage()) {
            problems_.push_back(say("{}: {} ({} bytes at {})", damage.file, damage.what, damage.bytes, damage.offset));
        }
        if (is_new) {
            base::write_file_atomically(folder_ / "manifest.json", new_manifest());
        }
        open_database();
        if (mode_ == Journal::Mode::read_write) {
            remove_leftovers(folder_);
        }
    }

    const fs::path& folder() const override { return folder_; }
    Journal& journal() override { return *journal_; }
    std::vector<Sentence> problems() const override { return problems_; }

    std::uint32_t new_run(const std::string& kind, const std::string& name) override {
        writable();
        return database_->new_run(kind, name, wall_clock_ns());
    }
    fs::path checkpoint_path(std::uint32_t run, std::uint64_t step) const override {
        return checkpoint_folder(folder_, run, step);
    }
    std::vector<CheckpointInfo> checkpoints(std::uint32_t run, bool verify_hashes) const override {
        return list_checkpoints(folder_, run, verify_hashes);
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
    }
    bool check_folder();
    void check_manifest(const std::string& text);
    void open_database();
    std::unique_ptr<Database> rebuilt_database(Database::Access access, bool network_folder);
    void fill_from_journal(Database& database);
    void move_database_aside(const Sentence& why);

    fs::path folder_;
    Journal::Mode mode_;
    std::vector<Sentence> problems_;
    std::unique_ptr<Journal> journal_;
    std::unique_ptr<Database> database_;
};

/// True when a new session is to be made here.
bool FolderSession::check_folder() {
    std::error_code error;
    const bool exists = fs::exists(folder_, error);
    if (exists && !fs::is_directory(folder_, error)) {
        throw Error(say("{} is a file; a session is a folder", folder_));
    }
    if (!exists) {
        if (mode_ == Journal::Mode::read_only) {
            throw Error(say("there is no session at {}", folder_));
        }
        if (!fs::create_directories(folder_, error) || error) {
            throw Error(say("the folder {} can't be made: {}", folder_, error));
        }
        return true;
    }
    if (const auto text = read_manifest(folder_)) {
        check_manifest(*text);
        return false;
    }
    if (mode_ == Journal::Mode::read_write && !fs::exists(folder_ / "manifest.json", error) && is_free(folder_)) {
        return true;
    }
    throw Error(
        say("{} is not a Moescope session (it has no readable manifest.json); choose a session or an empty folder",
            folder_));
}

void FolderSession::check_manifest(const std::string& text) {
    const auto manifest = base::parse_object(text, kManifestLimit);
    std::error_code error;
    if (!manifest || manifest->value("program", nlohmann::json()) != "moescope") {
        if (!fs::is_directory(folder_ / "segments", error)) {
            throw Error(say("{} is not a Moescope session: its manifest.json can't be read", folder_));
        }
        problems_.push_back(say("{}/manifest.json is damaged; the session was opened by its journal", folder_));
        return;
    }
    const auto format = manifest->find("format");
    if (format == manifest->end() || !format->is_number_unsigned() || format->get<std::uint64_t>() > kFormat) {
        throw Error(say("the session {} was written by a newer Moescope; update this one to open it", folder_));
    }
}

void FolderSession::open_database() {
    const bool network = is_network_folder(folder_);
    if (network && mode_ == Journal::Mode::read_write) {
        problems_.push_back(
            say("the session {} lies on a network file system: changes are slower, and only one program may use it",
                folder_));
    }
    const fs::path file = folder_ / "session.db";
    std::error_code error;
    const bool missing = !fs::exists(file, error);
    const bool writes = mode_ == Journal::Mode::read_write;
    const auto access = writes ? Database::Access::read_write : Database::Access::read_only;
    if (missing) {
        const bool has_records = journal_->last() > Position{};
        database_ = rebuilt_database(writes ? access : Database::Access::memory, network);
        if (has_records) {
            problems_.push_back(say(
                "{} is missing; labels and run numbers were read from the journal, notes and settings are lost", file));
        }
        return;
    }
    try {
        database_ = std::make_unique<Database>(file, access, network);
    } catch (const DamagedDatabase& damage) {
        if (writes) {
            move_database_aside(damage.sentence());
        } else {
            problems_.push_back(say("{}; labels were read from the journal instead", damage));
        }
        database_ = rebuilt_database(writes ? access : Database::Access::memory, network);
    }
}

void FolderSession::move_database_aside(const Sentence& why) {
    const fs::path file = folder_ / "session.db";
    int number = 1;
    std::error_code error;
    while (fs::exists(fs::symlink_status(file.string() + ".damaged-" + std::to_string(number), error))) {
        ++number;
    }
    const std::string aside = file.string() + ".damaged-" + std::to_string(number);
    fs::rename(file, aside, error);
    if (error) {
        throw Error(say("{}; it can't be moved aside: {}", why, error));
    }
    for (const char* suffix : {"-wal", "-shm", "-journal"}) {
        if (fs::exists(fs::symlink_status(file.string() + suffix, error))) {
            fs::rename(file.string() + suffix, aside + suffix, error);
        }
    }
    problems_.push_back(
        say("{}; it was moved to {}, labels and run numbers were read from the journal, notes and settings are lost",
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
            if (record.type == kRunStarted) {
                highest = std::max(highest, started_run(record).value_or(0));
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

std::unique_ptr<Session> Session::open(const fs::path& folder, Journal::Mode mode) {
    return std::make_unique<FolderSession>(folder, mode);
}

}  // namespace moescope::sessions
