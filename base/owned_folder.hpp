// A folder of one process among those of all programs: a lock file in it, "owner", tells whether the process lives, so
// that the next one removes what a killed one has left.
#pragma once

#include <filesystem>
#include <optional>

#include "base/file_io.hpp"

namespace moescope::base {

/// "moescope-" and six letters, of the user alone (mode 0700); gone with the object, and all that is in it.
class OwnedFolder {
 public:
    /// Nothing where it can't be made: errno says why.
    static std::optional<OwnedFolder> make_in(const std::filesystem::path& place);
    /// Folders of that kind in `place` whose owner has gone. One without a lock file is being made at this moment, or
    /// of another program, and left alone; so is what belongs to another user.
    static void remove_abandoned(const std::filesystem::path& place);

    ~OwnedFolder();
    OwnedFolder(OwnedFolder&& other) noexcept;
    OwnedFolder(const OwnedFolder&) = delete;
    OwnedFolder& operator=(const OwnedFolder&) = delete;
    OwnedFolder& operator=(OwnedFolder&&) = delete;
    const std::filesystem::path& path() const { return path_; }

 private:
    OwnedFolder(std::filesystem::path path, Descriptor lock) : path_(std::move(path)), lock_(std::move(lock)) {}

    std::filesystem::path path_;  ///< empty: moved away
    Descriptor lock_;
};

}  // namespace moescope::base
