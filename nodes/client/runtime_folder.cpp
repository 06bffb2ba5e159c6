#include "nodes/client/runtime_folder.hpp"

#include <cstdlib>
#include <fcntl.h>
#include <string>
#include <string_view>
#include <sys/file.h>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>
#include <utility>
#include <vector>

namespace moescope::client {

namespace fs = std::filesystem;

namespace {

constexpr std::string_view kPrefix = "moescope-";
constexpr std::size_t kRandomLetters = 6;  // of mkdtemp
constexpr std::size_t kLongestBase = 60;   // a socket's path may have 107 bytes
constexpr const char* kLockName = "owner";

/// A lock that nobody else holds, or -1.
int take_lock(const fs::path& file, int flags) {
    const int lock = ::open(file.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW | flags, 0600);
    if (lock >= 0 && ::flock(lock, LOCK_EX | LOCK_NB) == 0) {
        return lock;
    }
    if (lock >= 0) {
        ::close(lock);
    }
    return -1;
}

bool is_ours(const fs::path& folder) {
    const std::string name = folder.filename().string();
    struct stat status {};
    return name.starts_with(kPrefix) && name.size() == kPrefix.size() + kRandomLetters &&
           ::lstat(folder.c_str(), &status) == 0 && S_ISDIR(status.st_mode) && status.st_uid == ::geteuid();
}

/// Folders whose owner's lock is free. One without a lock file is being made at this moment, and left alone.
void remove_abandoned(const fs::path& base) {
    std::vector<fs::path> candidates;
    std::error_code error;
    for (fs::directory_iterator it(base, error), end; !error && it != end; it.increment(error)) {
        if (is_ours(it->path())) {
            candidates.push_back(it->path());
        }
    }
    for (const fs::path& folder : candidates) {
        const int lock = take_lock(folder / kLockName, 0);
        if (lock < 0) {
            continue;
        }
        fs::remove_all(folder, error);
        ::close(lock);
    }
}

bool same_file(int descriptor, const fs::path& path) {
    struct stat open_one {
    }, named{};
    return ::fstat(descriptor, &open_one) == 0 && ::lstat(path.c_str(), &named) == 0 &&
           open_one.st_ino == named.st_ino && open_one.st_dev == named.st_dev;
}

}  // namespace

RuntimeFolder::RuntimeFolder() {
    const char* runtime = std::getenv("XDG_RUNTIME_DIR");
    for (const std::string& base : {std::string(runtime != nullptr ? runtime : ""), std::string("/tmp")}) {
        if (base.empty() || base.size() > kLongestBase) {
            continue;
        }
        remove_abandoned(base);
        if (make_in(base)) {
            return;
        }
    }
}

bool RuntimeFolder::make_in(const fs::path& base) {
    // Another program that cleans up can come between the making of the lock file and the taking of the lock.
    for (int attempt = 0; attempt < 3; ++attempt) {
        std::string name = (base / (std::string(kPrefix) + std::string(kRandomLetters, 'X'))).string();
        if (::mkdtemp(name.data()) == nullptr) {
            return false;
        }
        lock_ = take_lock(fs::path(name) / kLockName, O_CREAT | O_EXCL);
        if (lock_ >= 0 && same_file(lock_, fs::path(name) / kLockName)) {
            path_ = name;
            return true;
        }
        if (lock_ >= 0) {
            ::close(std::exchange(lock_, -1));
        }
        std::error_code ignored;
        fs::remove_all(name, ignored);
    }
    return false;
}

RuntimeFolder::~RuntimeFolder() {
    std::error_code ignored;
    if (!path_.empty()) {
        fs::remove_all(path_, ignored);
    }
    if (lock_ >= 0) {
        ::close(lock_);
    }
}

}  // namespace moescope::client
