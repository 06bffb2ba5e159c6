// A session folder: manifest.json, session.db, segments/, checkpoints/. Opening one is a hostile-input path: every file
// is checked, and what is damaged is named in a sentence; the rest stays usable.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "sessions/journal.hpp"

namespace moescope::sessions {

struct CheckpointInfo {
    std::uint32_t run = 0;
    std::uint64_t step = 0;
    std::filesystem::path path;
    std::uint64_t bytes = 0;
    bool complete = false;  ///< DONE is there and every file has the size and hash in it
    base::Sentence problem;
};

/// A person's label on a probe answer (a row in session.db, synchronous=FULL).
struct Label {
    std::uint32_t run = 0;
    std::string draw;   ///< "item/model/language/draw"
    std::string field;  ///< "delivery" or "engagement"
    std::string value, coder;
    std::uint64_t time_ns = 0;
};

/// Why a session can't be opened, for who has to offer what can be done.
class OpenError : public base::Error {
 public:
    enum class Why {
        in_use,        ///< another program writes to it; it can be opened for reading
        not_writable,  ///< no right to write, or a disk that takes nothing; it can be opened for reading
        no_session,    ///< another folder, a file, or nothing
        newer,         ///< of a later version
        other,
    };
    OpenError(Why why, base::Sentence sentence) : base::Error(std::move(sentence)), why_(why) {}
    Why why() const { return why_; }

 private:
    Why why_;
};
/// For who reads files of a session without opening it: throws OpenError when it is of a newer version.
void require_known_version(const std::filesystem::path& session);
/// "in_use", "not_writable", ...
const char* name_of(OpenError::Why why);

class Session {
 public:
    /// Opens or creates the folder; a new one is for the user alone (0700). For reading, nothing has to be writable.
    /// Throws base::Error with one sentence (OpenError where it is known what can be done) when it cannot be used at
    /// all, and then a new folder is taken away again; a damaged database is moved aside and rebuilt from the journal's
    /// records, and said in problems().
    static std::unique_ptr<Session> open(const std::filesystem::path& folder, Journal::Mode mode);
    virtual ~Session() = default;

    virtual const std::filesystem::path& folder() const = 0;
    virtual Journal& journal() = 0;
    /// What is damaged or lost, as far as it is known by now; at most some dozens of sentences. Not empty when records
    /// are lost.
    virtual std::vector<base::Sentence> problems() const = 0;
    /// What is worth saying but no damage: a network file system, a folder that other users may enter.
    virtual std::vector<base::Sentence> notes() const = 0;
    /// Throws base::Error when the folder is no longer where it was opened. The functions that write do so too.
    virtual void check_place() const = 0;
    /// Next run number; unique in the session, durable before it is given out.
    virtual std::uint32_t new_run(const std::string& kind, const std::string& name) = 0;
    virtual std::filesystem::path checkpoint_path(std::uint32_t run,
                                                  std::uint64_t step) const = 0;  ///< checkpoints/run-3/step-00000400
    /// Oldest first. `check` is called while hashes are compared, which takes about a second for each GB, and may
    /// throw.
    virtual std::vector<CheckpointInfo> checkpoints(std::uint32_t run, bool verify_hashes,
                                                    const std::function<void()>& check = {}) const = 0;
    virtual void remove_checkpoint(const CheckpointInfo& checkpoint) = 0;

    virtual void put_label(const Label& label) = 0;
    virtual std::vector<Label> labels(std::uint32_t run) const = 0;
    /// Commands already carried out, by their 128-bit id in hex: the stored answer, so that a resent command is not
    /// done twice.
    virtual std::optional<std::string> finished_command(const std::string& id) const = 0;
    virtual void put_finished_command(const std::string& id, const std::string& answer) = 0;
    virtual void set_value(const std::string& key, const std::string& value) = 0;  ///< notes, settings of the session
    virtual std::optional<std::string> value(const std::string& key) const = 0;
};

}  // namespace moescope::sessions
