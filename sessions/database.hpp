// session.db: what a person or a command changed, in SQLite. Any thread; one mutex inside. Internal to this folder;
// others use Session.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "sessions/session.hpp"

namespace moescope::sessions {

/// The file is no database of ours or is damaged; moving it aside helps. Anything else that goes wrong is a
/// std::runtime_error.
class DamagedDatabase : public base::Error {
 public:
    using base::Error::Error;
};

class Database {
 public:
    enum class Access { read_only, read_write, memory };
    /// Opens or creates the file as one that may come from an enemy: no triggers, views or extensions, low limits,
    /// checked whole. The path may be of any length and lead through links; the file itself must be none. For reading,
    /// nothing has to be writable.
    Database(const std::filesystem::path& file, Access access, bool network_folder);
    ~Database();
    Database(const Database&) = delete;
    Database& operator=(const Database&) = delete;

    std::uint32_t new_run(const std::string& kind, const std::string& name, std::uint64_t time_ns);
    void reserve_runs(std::uint32_t highest);  ///< new_run() gives higher numbers than this
    void put_label(const Label& label);        ///< an empty value takes the label back
    std::vector<Label> labels(std::uint32_t run) const;
    std::optional<std::string> finished_command(const std::string& id) const;
    void put_finished_command(const std::string& id, const std::string& answer);
    void set_value(const std::string& key, const std::string& value);
    std::optional<std::string> value(const std::string& key) const;
    /// Several put_label() calls in one transaction.
    void put_labels(const std::vector<Label>& labels);

 private:
    class Impl;
    std::unique_ptr<Impl> impl_;
};

/// The database as it is now, also while another program writes to it, as a new file. Throws base::Error.
void copy_database(const std::filesystem::path& from, const std::filesystem::path& to);

}  // namespace moescope::sessions
