#include "tests/faults/disk/recorder.hpp"

#include <atomic>
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <dlfcn.h>
#include <fcntl.h>
#include <map>
#include <mutex>
#include <optional>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>
#include <utility>

namespace moescope::faults {

namespace {

using Kind = Change::Kind;

struct Place {
    int folder = -1;  ///< number; -1: not watched
    std::string name;
};

int stat_at(int folder, const char* path, struct stat& status, int flags) {
    return static_cast<int>(::syscall(SYS_newfstatat, folder, path, &status, flags));
}

class Watcher {
 public:
    std::mutex mutex;
    std::atomic<bool> watching{false}, ignoring{false}, skipping{false};

    void begin(const std::string& root, const Fault& fault, const Numbers& there) {
        numbers_.clear();
        log_.clear();
        fault_ = fault;
        calls_ = 0;
        number(root, 0);
        for (const auto& [path, number_of_it] : there.by_path) {
            number(root + "/" + path, number_of_it);
        }
        next_ = there.next;
    }
    std::vector<Change> take() { return std::exchange(log_, {}); }
    std::size_t size() const { return log_.size(); }
    int calls() const { return calls_; }
    void heal() { fault_ = {}; }

    /// True when this call is to fail; errno is set.
    bool fails() {
        const int call = calls_++;
        if (fault_.call < 0 || call < fault_.call || (call > fault_.call && !fault_.for_ever)) {
            return false;
        }
        errno = fault_.error;
        return true;
    }
    void add(Change change) { log_.push_back(std::move(change)); }

    std::optional<int> number_of(int file) const {
        struct stat status {};
        if (stat_at(file, "", status, AT_EMPTY_PATH) != 0) {
            return std::nullopt;
        }
        return find(status);
    }
    /// The folder that a name stands in, when that is watched.
    Place place_of(int folder, const char* path) const {
        std::string whole = path;
        while (whole.size() > 1 && whole.back() == '/') {
            whole.pop_back();
        }
        const auto slash = whole.rfind('/');
        const std::string parent = slash == std::string::npos ? "." : whole.substr(0, slash + 1);
        struct stat status {};
        if (stat_at(folder, parent.c_str(), status, 0) != 0) {
            return {};
        }
        const auto number = find(status);
        return number ? Place{*number, slash == std::string::npos ? whole : whole.substr(slash + 1)} : Place{};
    }
    /// Numbers a new file or folder: its inode may have been another's before.
    int add_new(int folder, const char* path) {
        struct stat status {};
        stat_at(folder, path, status, AT_SYMLINK_NOFOLLOW);
        return numbers_[{status.st_dev, status.st_ino}] = next_++;
    }

 private:
    void number(const std::string& path, int number) {
        struct stat status {};
        if (stat_at(AT_FDCWD, path.c_str(), status, 0) == 0) {
            numbers_[{status.st_dev, status.st_ino}] = number;
        }
    }
    std::optional<int> find(const struct stat& status) const {
        const auto found = numbers_.find({status.st_dev, status.st_ino});
        return found == numbers_.end() ? std::nullopt : std::optional(found->second);
    }
    std::map<std::pair<dev_t, ino_t>, int> numbers_;
    std::vector<Change> log_;
    Fault fault_;
    int calls_ = 0, next_ = 1;
};

Watcher& watcher() {
    static Watcher& one = *new Watcher;  // never destroyed: files are closed after main() too
    return one;
}

/// Held during a call that is watched, so that changes are recorded in the order in which they are made.
class Watched {
 public:
    Watched() {
        if (watcher().watching) {
            lock_ = std::unique_lock(watcher().mutex);
        }
    }
    explicit operator bool() const { return lock_.owns_lock() && watcher().watching; }
    Watcher* operator->() const { return &watcher(); }

 private:
    std::unique_lock<std::mutex> lock_;
};

int raw_open(int folder, const char* path, int flags, mode_t mode) {
    return static_cast<int>(::syscall(SYS_openat, folder, path, flags, mode));
}

int watched_open(int folder, const char* path, int flags, mode_t mode) {
    const bool changes = (flags & (O_CREAT | O_TRUNC)) != 0;
    const Watched watched;
    if (!changes || !watched) {
        return raw_open(folder, path, flags, mode);
    }
    const Place place = watched->place_of(folder, path);
    struct stat status {};
    const bool there = stat_at(folder, path, status, 0) == 0;
    if (place.folder < 0 || (there && ((flags & O_TRUNC) == 0 || status.st_size == 0))) {
        return raw_open(folder, path, flags, mode);
    }
    if (watched->fails()) {
        return -1;
    }
    const int file = raw_open(folder, path, flags, mode);
    if (file >= 0 && !there) {
        watched->add({Kind::create, watched->add_new(folder, path), place.folder, 0, place.name, {}, 0, {}});
    } else if (file >= 0) {
        watched->add({Kind::resize, watched->number_of(file).value_or(-1), 0, 0, {}, {}, 0, {}});
    }
    return file;
}

/// `at` < 0: where the file stands.
ssize_t watched_write(int file, const struct iovec* parts, int count, off_t at) {
    const Watched watched;
    const auto node = watched ? watched->number_of(file) : std::nullopt;
    const auto write = [&] {
        return at < 0 ? ::syscall(SYS_writev, file, parts, count) : ::syscall(SYS_pwritev, file, parts, count, at, 0L);
    };
    if (!node) {
        return write();
    }
    if (watched->fails()) {
        return -1;
    }
    const off_t before = at < 0 ? static_cast<off_t>(::syscall(SYS_lseek, file, 0L, SEEK_CUR)) : at;
    const ssize_t written = write();
    std::string bytes;
    for (int i = 0; i < count && static_cast<ssize_t>(bytes.size()) < written; ++i) {
        bytes.append(static_cast<const char*>(parts[i].iov_base), parts[i].iov_len);
    }
    if (written > 0) {
        bytes.resize(static_cast<std::size_t>(written));
        watched->add({Kind::write, *node, 0, 0, {}, {}, static_cast<std::uint64_t>(before), std::move(bytes)});
    }
    return written;
}

int watched_sync(int file, long call) {
    const Watched watched;
    if (watcher().ignoring) {
        return 0;
    }
    const auto node = watched ? watched->number_of(file) : std::nullopt;
    if (!node) {
        return watcher().skipping ? 0 : static_cast<int>(::syscall(call, file));
    }
    // The disk itself is not waited for: what would be on it is known from the record.
    const bool failed = watched->fails();
    watched->add({failed ? Kind::failed_sync : Kind::sync, *node, 0, 0, {}, {}, 0, {}});
    return failed ? -1 : 0;
}

int watched_resize(int file, off_t size) {
    const Watched watched;
    const auto node = watched ? watched->number_of(file) : std::nullopt;
    if (node && watched->fails()) {
        return -1;
    }
    const int result = static_cast<int>(::syscall(SYS_ftruncate, file, size));
    if (node && result == 0) {
        watched->add({Kind::resize, *node, 0, 0, {}, {}, static_cast<std::uint64_t>(size), {}});
    }
    return result;
}

int watched_rename(int from, const char* path, int to, const char* new_path, unsigned flags) {
    const Watched watched;
    const auto rename = [&] { return static_cast<int>(::syscall(SYS_renameat2, from, path, to, new_path, flags)); };
    if (!watched) {
        return rename();
    }
    const Place old_place = watched->place_of(from, path), place = watched->place_of(to, new_path);
    if (old_place.folder < 0 || place.folder < 0) {
        return rename();
    }
    if (watched->fails()) {
        return -1;
    }
    const int result = rename();
    if (result == 0) {
        const bool exchanged = (flags & 2u) != 0;  // RENAME_EXCHANGE
        watched->add({exchanged ? Kind::exchange : Kind::rename,
                      0,
                      old_place.folder,
                      place.folder,
                      old_place.name,
                      place.name,
                      0,
                      {}});
    }
    return result;
}

int watched_remove(int folder, const char* path, int flags) {
    const Watched watched;
    const Place place = watched ? watched->place_of(folder, path) : Place{};
    if (place.folder >= 0 && watched->fails()) {
        return -1;
    }
    const int result = static_cast<int>(::syscall(SYS_unlinkat, folder, path, flags));
    if (place.folder >= 0 && result == 0) {
        watched->add({Kind::remove, 0, place.folder, 0, place.name, {}, 0, {}});
    }
    return result;
}

int watched_mkdir(int folder, const char* path, mode_t mode) {
    const Watched watched;
    const Place place = watched ? watched->place_of(folder, path) : Place{};
    struct stat status {};
    const bool counted = place.folder >= 0 && stat_at(folder, path, status, AT_SYMLINK_NOFOLLOW) != 0;
    if (counted && watched->fails()) {
        return -1;
    }
    const int result = static_cast<int>(::syscall(SYS_mkdirat, folder, path, mode));
    if (place.folder >= 0 && result == 0) {
        watched->add({Kind::make_folder, watched->add_new(folder, path), place.folder, 0, place.name, {}, 0, {}});
    }
    return result;
}

}  // namespace

void watch(const std::filesystem::path& folder, const Fault& fault, const Numbers& there) {
    const std::lock_guard lock(watcher().mutex);
    watcher().begin(folder.string(), fault, there);
    watcher().watching = true;
}

std::size_t changes() {
    const std::lock_guard lock(watcher().mutex);
    return watcher().size();
}

int calls() {
    const std::lock_guard lock(watcher().mutex);
    return watcher().calls();
}

void no_more_faults() {
    const std::lock_guard lock(watcher().mutex);
    watcher().heal();
}

std::vector<Change> unwatch() {
    const std::lock_guard lock(watcher().mutex);
    watcher().watching = false;
    return watcher().take();
}

std::filesystem::path memory_disk() {
    const std::filesystem::path place = "/dev/shm";
    return ::access(place.c_str(), R_OK | W_OK | X_OK) == 0 ? place : std::filesystem::temp_directory_path();
}

void ignore_syncs(bool ignored) {
    watcher().ignoring = ignored;
}

void skip_syncs(bool skipped) {
    watcher().skipping = skipped;
}

}  // namespace moescope::faults

// The C library's names. Its headers declare some of them as never throwing.
// NOLINTBEGIN
namespace f = moescope::faults;

extern "C" {

int open(const char* path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    const mode_t mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(rest, mode_t) : 0;
    va_end(rest);
    return f::watched_open(AT_FDCWD, path, flags, mode);
}
int open64(const char* path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    const mode_t mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(rest, mode_t) : 0;
    va_end(rest);
    return f::watched_open(AT_FDCWD, path, flags, mode);
}
int openat(int folder, const char* path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    const mode_t mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(rest, mode_t) : 0;
    va_end(rest);
    return f::watched_open(folder, path, flags, mode);
}
int openat64(int folder, const char* path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    const mode_t mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(rest, mode_t) : 0;
    va_end(rest);
    return f::watched_open(folder, path, flags, mode);
}

// The C library opens the file by itself: it is opened here first, as fopen() would.
static FILE* opened(const char* path, const char* mode) {
    const bool update = std::strchr(mode, '+') != nullptr;
    int flags = O_RDONLY;
    if (mode[0] != 'r') {
        flags = (update ? O_RDWR : O_WRONLY) | O_CREAT | (mode[0] == 'w' ? O_TRUNC : O_APPEND);
    } else if (update) {
        flags = O_RDWR;
    }
    const int file = f::watched_open(AT_FDCWD, path, flags | (std::strchr(mode, 'e') != nullptr ? O_CLOEXEC : 0), 0666);
    return file < 0 ? nullptr : ::fdopen(file, mode);
}
FILE* fopen(const char* path, const char* mode) {
    return opened(path, mode);
}
FILE* fopen64(const char* path, const char* mode) {
    return opened(path, mode);
}

ssize_t write(int file, const void* bytes, size_t size) {
    const struct iovec part { const_cast<void*>(bytes), size };
    return f::watched_write(file, &part, 1, -1);
}
ssize_t pwrite(int file, const void* bytes, size_t size, off_t at) {
    const struct iovec part { const_cast<void*>(bytes), size };
    return f::watched_write(file, &part, 1, at);
}
ssize_t pwrite64(int file, const void* bytes, size_t size, off64_t at) {
    return pwrite(file, bytes, size, at);
}
ssize_t writev(int file, const struct iovec* parts, int count) {
    return f::watched_write(file, parts, count, -1);
}

int fsync(int file) {
    return f::watched_sync(file, SYS_fsync);
}
int fdatasync(int file) {
    return f::watched_sync(file, SYS_fdatasync);
}
int ftruncate(int file, off_t size) noexcept {
    return f::watched_resize(file, size);
}
int ftruncate64(int file, off64_t size) noexcept {
    return f::watched_resize(file, size);
}
int rename(const char* path, const char* new_path) noexcept {
    return f::watched_rename(AT_FDCWD, path, AT_FDCWD, new_path, 0);
}
int renameat(int from, const char* path, int to, const char* new_path) noexcept {
    return f::watched_rename(from, path, to, new_path, 0);
}
int renameat2(int from, const char* path, int to, const char* new_path, unsigned flags) noexcept {
    return f::watched_rename(from, path, to, new_path, flags);
}
int unlink(const char* path) noexcept {
    return f::watched_remove(AT_FDCWD, path, 0);
}
int unlinkat(int folder, const char* path, int flags) noexcept {
    return f::watched_remove(folder, path, flags);
}
int rmdir(const char* path) noexcept {
    return f::watched_remove(AT_FDCWD, path, AT_REMOVEDIR);
}
int remove(const char* path) noexcept {
    const int result = f::watched_remove(AT_FDCWD, path, 0);
    return result != 0 && (errno == EISDIR || errno == EPERM) ? f::watched_remove(AT_FDCWD, path, AT_REMOVEDIR)
                                                              : result;
}
int mkdir(const char* path, mode_t mode) noexcept {
    return f::watched_mkdir(AT_FDCWD, path, mode);
}
int mkdirat(int folder, const char* path, mode_t mode) noexcept {
    return f::watched_mkdir(folder, path, mode);
}

}  // extern "C"
// NOLINTEND
