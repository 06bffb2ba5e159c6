// The models this machine can run: the ones `./run` fetched, the ones a person added, and what a name on the command
// line means.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <functional>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "nodes/protocol/gauges.hpp"
#include "nodes/servers/server.hpp"
#include "nodes/service/library/model_source.hpp"
#include "nodes/service/library/paths.hpp"
#include "nodes/service/library/status_board.hpp"

namespace moescope::node {

/// One model file, or a model on a server.
struct LibraryModel : protocol::ModelEntry {
    bool built_in = false;  ///< of the library's own list
    /// Of a model that another program computes; its address, with the model's name, is `path`. ModelEntry::server is
    /// what viewers are told of it.
    std::optional<servers::Server> served_by;
    std::string seen;  ///< its state on disk when it was looked at (state_of_files); empty of a server
};

/// Thread safe. The list of added models is a file that several programs of a person share: it is read again before it
/// is changed, and when look_again() finds it changed. An added file is called by the name that stands in it; another
/// one in its place has another name. A list that is damaged is never written over: it is kept under another name when
/// the list changes next. A link in its place is followed and stays.
class ModelLibrary {
 public:
    /// With a board, files are hashed on a thread of its own, each shown there as a task that can be cancelled, and
    /// remembered by path, size and time. Without one only hashes that are known already are used.
    explicit ModelLibrary(const Paths& paths, StatusBoard* board = nullptr);
    ~ModelLibrary();
    ModelLibrary(const ModelLibrary&) = delete;
    ModelLibrary& operator=(const ModelLibrary&) = delete;

    std::vector<LibraryModel> models() const;
    std::optional<LibraryModel> find(const std::string& name) const;
    std::uint64_t version() const { return version_; }  ///< rises with every change
    /// Takes up what others have changed since: the list, and files that were put in the place of those that were
    /// looked at, as far as their size or time tells. What did not change is not read. With a name only that model's
    /// files.
    void look_again(const std::string& only = {});
    /// The title of a model of the library; where others have the same, with its server or the name of its file.
    std::string title_apart(const LibraryModel& model) const;

    /// Looks at the file and remembers it; gives its name. Throws CommandError with the reason when it is not a model
    /// that can be opened.
    std::string add(const std::filesystem::path& path);
    /// The same for a model on a server, which is named in the address. Nothing is sent there. One that is in the list
    /// already gets the new settings. Throws CommandError, or base::Error as servers::check does.
    std::string add_server(const servers::Server& server);
    /// Forgets a model that a person added; the file stays. Throws CommandError.
    void remove(const std::string& name);

    /// The file or folder behind a library name, a GGUF path, a checkpoint folder or a session folder (its latest
    /// checkpoint). Throws CommandError, also for a model on a server, which has no file.
    std::filesystem::path resolve(const std::string& model) const;
    /// The same where a server will do: also an address, with the settings that the library has for it. Throws
    /// CommandError, or base::Error for what is no address.
    ModelSource resolve_source(const std::string& model) const;
    /// What is wrong with the list of added models, as it was read last; empty when nothing is.
    base::Sentence problem() const;
    /// That, and what was done about it; each sentence once.
    std::vector<base::Sentence> take_warnings();
    /// The hash when it is known already, else empty.
    std::string known_sha256(const std::filesystem::path& path) const;

 private:
    void load_built_in();
    // With the lock held (or in the constructor).
    std::optional<std::vector<LibraryModel>> read_added();  ///< nothing: there is no file, or it can't be read
    void save_added(const std::vector<LibraryModel>& models);
    void set_damaged_list_aside(const std::filesystem::path& file);
    std::vector<LibraryModel> current();  ///< as the file lists them now
    void warn(const base::Sentence& sentence);
    std::string hash_file(const LibraryModel& model);
    void inspect(LibraryModel& model) const;
    /// Those of `models_` whose files are others than in `before` and whose hash is not known.
    void hash_new(const std::vector<LibraryModel>& before);
    void hash_loop();
    std::string hash_key(const std::filesystem::path& path) const;
    std::string cached_hash(const std::filesystem::path& path) const;  ///< with the lock held (or in the constructor)
    void load_hashes();
    void save_hashes() const;

    const Paths& paths_;
    StatusBoard* const board_;
    mutable std::mutex mutex_;
    std::vector<LibraryModel> models_;
    std::string list_seen_;  ///< state of the list of added models on disk when it was read or written
    base::Sentence problem_;
    std::vector<base::Sentence> warnings_, warned_;  ///< those not yet taken, and all
    std::map<std::string, std::string> hashes_;      ///< path|size|time -> sha256
    std::deque<std::string> to_hash_;
    std::condition_variable wake_;
    std::atomic<std::uint64_t> version_{1};
    std::atomic<bool> stopping_{false};
    std::thread hasher_;
};

/// Whether our own engine computes it: a checkpoint, or a folder in Hugging Face's layout.
bool is_of_own_engine(const ModelSource& model);

/// What is said where a file or a folder is needed and a model on a server was named.
base::Sentence needs_file(const std::string& model);

/// Bytes on disk: of the file, of all parts of a model in parts, or of the files in the folder.
std::uint64_t model_bytes(const std::filesystem::path& path);

/// Changes whenever a file of the model changes its size or its time; empty when it is not there.
std::string state_of_files(const std::filesystem::path& path);

/// The files that hold the model at `path`: all parts of one in parts, else the file or the folder itself.
std::vector<std::filesystem::path> files_of_model(const std::filesystem::path& path);

/// A model in Hugging Face's layout with its weights, by what its files say; the headers alone are read.
bool is_hugging_face_folder(const std::filesystem::path& folder);

/// The latest complete checkpoint in a session folder. Throws CommandError when there is none.
std::filesystem::path latest_checkpoint(const std::filesystem::path& session);

}  // namespace moescope::node
