// The codings of a probe run that another copy of the session has, brought into this one: two people code the same
// answers, each in a copy of their own, and neither sees what the other says before both are done.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/scratch_folder.hpp"
#include "nodes/history/session.hpp"
#include "nodes/service/jobs/record_sink.hpp"
#include "sessions/archive.hpp"
#include "sessions/session.hpp"

namespace moescope::node {

/// The other session, open for reading; of an archive an unpacked copy that is gone with this.
struct MergeSource {
    std::string name;  ///< as it may be shown
    std::unique_ptr<base::ScratchFolder> unpacked;
    std::unique_ptr<sessions::Session> session;
};
/// A session folder or an archive. Writes nothing to it. `progress` is of unpacking, and may throw to end it. Throws
/// base::Error: it is neither, or damaged (sessions::unpack_archive).
MergeSource open_merge_source(const std::filesystem::path& path, const sessions::ArchiveProgress& progress = {});

/// What tells one probe run from another, as text: when it began, what was asked, of which models, how. Two copies of a
/// run have the same.
nlohmann::json probe_identity(const history::RunHeader& run);
/// SHA-256 of that, in hexadecimal.
std::string probe_hash(const history::RunHeader& run);

/// What becomes of codings of the same coder that differ. ask: nothing is written while there are any.
enum class ConflictRule { ask, mine, theirs, newest };
/// Throws base::Error when it is none of the four names.
ConflictRule conflict_rule(const std::string& name);

struct MergeRequest {
    ConflictRule rule = ConflictRule::ask;
    std::map<std::string, bool> take;  ///< by MergeConflict::id: true takes theirs; before `rule`
    std::uint32_t run = 0;             ///< only this probe run of the other session; 0: all that somebody has coded
    std::string unnamed;               ///< the name for codings there that have none
};

struct MergeConflict {
    std::string id;
    std::uint32_t run = 0;  ///< here
    history::Coding mine, theirs;
    std::string item, model, language;
    int draw = 0;
    bool decided = false, taken = false;
};

/// What is to be written. Nothing in it, and the session stays as it is.
struct MergePlan {
    std::map<std::uint32_t, std::vector<nlohmann::json>> codings;  ///< by run here: entries of records probe_codings
    struct Label {
        sessions::Label stored;
        nlohmann::json record;
    };
    std::vector<Label> labels;  ///< in place of the session's own
    std::vector<MergeConflict> conflicts;
    std::size_t added = 0;                      ///< labels, F1 or F2, that are new here
    std::size_t answers = 0;                    ///< of this session that they are of
    std::size_t same = 0;                       ///< that are here already, or were met and not taken before
    std::size_t missing = 0;                    ///< of answers that this session does not have
    std::map<std::uint32_t, std::string> runs;  ///< here -> probe_hash()
    bool undecided() const;
    bool nothing() const { return codings.empty() && labels.empty(); }
};

/// `mine` and `theirs` need not be whole: their probe runs, each with its answers, labels and codings. Throws
/// base::Error with one sentence that names what differs when a run there is none of ours or an answer is another one,
/// when a label there is none, or when nobody has coded anything.
MergePlan plan_merge(const history::Session& mine, const history::Session& theirs, const std::string& their_name,
                     const MergeRequest& request);
/// The probe runs of a session with all that planning needs.
history::Session read_codings(sessions::Session& session);
/// Writes it, durably in this order: labels of the session's own, then the rest; cut off in the middle, the same merge
/// does what is left. Throws base::Error: the session can't be written.
void write_merge(sessions::Session& session, JournalWriter& journal, const MergePlan& plan);

/// {"merged","added","answers","same","missing","declined","replaced","conflicts":[{"id","run","item",...,"mine","theirs",
/// "taken"}],"conflicts_in_all","runs":[{"run","sha256"}]}; of very many conflicts the first are told.
nlohmann::json to_json(const MergePlan& plan);

}  // namespace moescope::node
