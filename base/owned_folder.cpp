#include "base/owned_folder.hpp"

#include <cerrno>
#include <cstdlib>
#include <dirent.h>
#include <fcntl.h>
#include <memory>
#include <string>
#include <string_view>
#include <sys/file.h>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>
#include <utility>
#include <vector>

#include "base/atomic_files.hpp"

namespace moescope::base {

namespace fs = std::filesystem;

namespace {

constexpr std::string_view kPrefix = "moescope-";
constexpr std::size_t kRandomLetters = 6;  // of mkdtemp
constexpr const char* kLockName = "owner";

/// A lock that nobody else holds.
Descriptor take_lock(const fs::path& file, int flags) {
    Descriptor lock(::open(file.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW | flags, 0600));
    if (lock && ::flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
        lock.close();
    }
    return lock;
}

bool has_our_form(std::string_view name) {
    return name.starts_with(kPrefix) && name.size() == kPrefix.size() + kRandomLetters;
}

bool is_ours(const fs::path& folder) {
    struct stat status {};
    return ::lstat(folder.c_str(), &status) == 0 && S_ISDIR(status.st_mode) && status.st_uid == ::geteuid();
}

struct CloseFolder {
    void operator()(DIR* folder) const { ::closedir(folder); }
};

bool same_file(int descriptor, const fs::path& path) {
    struct stat open_one {
    }, named{};
    return ::fstat(descriptor, &open_one) == 0 && ::lstat(path.c_str(), &named) == 0 &&
           open_one.st_ino == named.st_ino && open_one.st_dev == named.st_dev;
}

}  // namespace

void OwnedFolder::remove_abandoned(const fs::path& place) {
    std::vector<fs::path> candidates;
    // /tmp may hold many thousand names that are none of ours: none of them is worth a path.
    const std::unique_ptr<DIR, CloseFolder> folder(::opendir(place.c_str()));
    for (const dirent* entry = nullptr; folder && (entry = ::readdir(folder.get())) != nullptr;) {
        const std::string_view name(static_cast<const char*>(entry->d_name));
        if (has_our_form(name) && is_ours(place / name)) {
            candidates.push_back(place / name);
        }
    }
    for (const fs::path& one : candidates) {
        if (const Descriptor lock = take_lock(one / kLockName, 0)) {
            remove_quietly(one);
        }
    }
}

std::optional<OwnedFolder> OwnedFolder::make_in(const fs::path& place) {
    // Another program that cleans up can come between the making of the lock file and the taking of the lock.
    for (int attempt = 0; attempt < 3; ++attempt) {
        std::string name = (place / (std::string(kPrefix) + std::string(kRandomLetters, 'X'))).string();
        if (::mkdtemp(name.data()) == nullptr) {
            return std::nullopt;
        }
        Descriptor lock = take_lock(fs::path(name) / kLockName, O_CREAT | O_EXCL);
        if (lock && same_file(lock.get(), fs::path(name) / kLockName)) {
            return OwnedFolder(std::move(name), std::move(lock));
        }
        const int why = errno;
        remove_quietly(name);
        errno = why;
    }
    return std::nullopt;
}

OwnedFolder::OwnedFolder(OwnedFolder&& other) noexcept
    : path_(std::exchange(other.path_, {})), lock_(std::move(other.lock_)) {}

OwnedFolder::~OwnedFolder() {
    if (!path_.empty()) {
        remove_quietly(path_);
    }
}

}  // namespace moescope::base
