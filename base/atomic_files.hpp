// Files and folders that appear whole or not at all, whatever happens while they are written.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/file_io.hpp"

namespace moescope::base {

/// Makes durable that something has this name: an fsync of the folder that it stands in. 0 or a negative errno; 0 also
/// where that may not be asked: of a folder that can't be read, and of file systems that know no such thing.
int keep_name(const std::filesystem::path& path);

/// The folder and its missing parents, for the user alone (mode 0700), durable. Gives those that were made, outermost
/// first. Throws base::Error naming the one that can't be made; what was made before it is removed again.
std::vector<std::filesystem::path> make_private_folders(const std::filesystem::path& folder);

/// The file, or the folder with all that is in it, as far as that goes. For destructors: also without memory.
void remove_quietly(const std::filesystem::path& path) noexcept;

/// A name for a file or folder that is not finished, beside `path`: begins with a dot, holds ".tmp-", and is no longer
/// than a name may be.
std::filesystem::path temporary_beside(const std::filesystem::path& path);

/// A folder (0700) for what is not finished, beside the file or folder that it becomes, under a temporary_beside()
/// name. It is held with flock as long as this lives: the next WorkFolder for the same path removes what processes that
/// were killed have left, and nothing that a living one fills. Gone with the object, and what is in it too.
class WorkFolder {
 public:
    /// `target`: absolute. Throws Error naming it: no folder can be made there.
    explicit WorkFolder(const std::filesystem::path& target);
    ~WorkFolder();
    WorkFolder(const WorkFolder&) = delete;
    WorkFolder& operator=(const WorkFolder&) = delete;
    const std::filesystem::path& path() const { return path_; }

 private:
    std::filesystem::path path_;
    Descriptor lock_;
};

/// A name under which a damaged file is kept when a new one takes its place: FILE.damaged-1 or the first after it that
/// is free.
std::filesystem::path damaged_name(const std::filesystem::path& file);

/// A folder that appears whole or not at all: write into path(), then commit(): files and folder are fsynced, the
/// folder renamed to its final name, the parent fsynced. Without commit the destructor removes it. Folders and files
/// are for the user alone (0700, 0600).
class AtomicFolder {
 public:
    explicit AtomicFolder(std::filesystem::path final_path);  ///< throws std::runtime_error
    ~AtomicFolder();
    AtomicFolder(const AtomicFolder&) = delete;
    AtomicFolder& operator=(const AtomicFolder&) = delete;
    const std::filesystem::path& path() const { return temporary_; }
    void commit();  ///< writes DONE (hashes of all files) last; throws, and then the old state stays

 private:
    std::filesystem::path final_, temporary_;
    bool committed_ = false;
};

/// One of the program's own files that is replaced whole or not at all (temporary + fsync + rename + fsync of the
/// folder), mode 0600. What a person names goes through sessions/outputs.hpp. Throws std::runtime_error.
void write_file_atomically(const std::filesystem::path& path, std::string_view content);

}  // namespace moescope::base
