#include "base/atomic_files.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <fcntl.h>
#include <nlohmann/json.hpp>
#include <random>
#include <stdexcept>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.hpp"
#include "base/file_io.hpp"
#include "base/sha256.hpp"

namespace moescope::base {

namespace fs = std::filesystem;

namespace {

[[noreturn]] void fail(const fs::path& path, const Sentence& what, int error) {
    throw Error(say("{} {}: {}", path, what, system_sentence(error)));
}

std::string random_suffix() {
    std::random_device device;
    char text[24];
    std::snprintf(text, sizeof text, "%08x%08x", device(), device());
    return text;
}

void sync_file(const fs::path& path) {
    const Descriptor file = open_for_reading(path);
    if (!file || ::fsync(file.get()) != 0) {
        fail(path, say("could not be made durable"), errno);
    }
}

constexpr std::string_view kTemporary = ".tmp-";
constexpr std::size_t kSuffix = 16;  // hex digits

/// What all temporary names beside `path` begin with.
std::string temporary_front(const fs::path& path) {
    constexpr std::size_t kMost = 200;  // of the 255 bytes of a name
    return "." + path.filename().string().substr(0, kMost) + std::string(kTemporary);
}

/// Empty when it can't be opened or somebody holds it.
Descriptor lock_folder(const fs::path& folder) {
    Descriptor file(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (file && ::flock(file.get(), LOCK_EX | LOCK_NB) != 0) {
        file.close();
    }
    return file;
}

/// Of an earlier WorkFolder for the same target.
bool is_left_over(const fs::path& path, const std::string& front) {
    const std::string name = path.filename().string();
    struct stat status {};
    return name.size() == front.size() + kSuffix && name.starts_with(front) &&
           name.find_first_not_of("0123456789abcdef", front.size()) == std::string::npos &&
           ::lstat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode) && status.st_uid == ::geteuid() &&
           (status.st_mode & 077) == 0;
}

void remove_left_over(const fs::path& target) {
    const std::string front = temporary_front(target);
    std::vector<fs::path> found;
    std::error_code error;
    for (fs::directory_iterator it(target.parent_path(), error), end; !error && it != end; it.increment(error)) {
        if (is_left_over(it->path(), front)) {
            found.push_back(it->path());
        }
    }
    for (const fs::path& folder : found) {
        if (const Descriptor free = lock_folder(folder)) {
            fs::remove_all(folder, error);
        }
    }
}

/// As far as the file system knows modes.
void make_private(const fs::path& path, fs::perms mode) {
    std::error_code ignored;
    fs::permissions(path, mode, ignored);
}

void sync_folder(const fs::path& folder) {
    if (const int error = FileIo::system().sync_folder(folder.empty() ? "." : folder); error != 0) {
        fail(folder, say("could not be made durable"), error);
    }
}

}  // namespace

int keep_name(const fs::path& path) {
    const fs::path parent = path.parent_path();
    const int error = FileIo::system().sync_folder(parent.empty() ? "." : parent);
    return error == -EACCES || error == -EINVAL || error == -ENOSYS ? 0 : error;
}

std::vector<fs::path> make_private_folders(const fs::path& folder) {
    std::vector<fs::path> missing, made;
    std::error_code error;
    // "a/b/" means "a/b"
    for (fs::path at = folder.filename().empty() ? folder.parent_path() : folder;
         !at.empty() && !fs::exists(at, error) && !error; at = at.parent_path()) {
        missing.push_back(at);
    }
    for (auto at = missing.rbegin(); at != missing.rend(); ++at) {
        int why = ::mkdir(at->c_str(), 0700) == 0 ? 0 : errno;
        if (why == EEXIST) {
            continue;
        }
        if (why == 0) {
            made.push_back(*at);
            why = -keep_name(*at);
        }
        if (why != 0) {
            while (!made.empty()) {
                ::rmdir(made.back().c_str());
                made.pop_back();
            }
            throw Error(say("the folder {} can't be made: {}", *at, system_sentence(why)));
        }
    }
    if (error) {
        throw Error(say("the folder {} can't be made: {}", folder, error));
    }
    return made;
}

void remove_quietly(const fs::path& path) noexcept {
    try {
        std::error_code ignored;
        fs::remove_all(path, ignored);
    } catch (const std::exception&) {  // it stays, and is left over
    }
}

fs::path temporary_beside(const fs::path& path) {
    return path.parent_path() / (temporary_front(path) + random_suffix());
}

WorkFolder::WorkFolder(const fs::path& target) {
    constexpr int kMostTries = 10;  // one that is not locked yet can be taken for left over by another process
    remove_left_over(target);
    for (int i = 0; i < kMostTries && !lock_; ++i) {
        path_ = temporary_beside(target);
        if (::mkdir(path_.c_str(), 0700) != 0) {
            throw Error(say("{} can't be written: {}", target, system_sentence(errno)));
        }
        lock_ = lock_folder(path_);
        if (!lock_ && errno != EWOULDBLOCK && errno != ENOENT) {
            break;  // a file system without locks: nobody can hold it, so nobody takes it for left over
        }
        if (lock_ && FileIo::system().check_name(lock_.get(), path_) != 0) {
            lock_.close();
        }
    }
    std::error_code error;
    if (!fs::is_directory(path_, error)) {
        throw Error(say("{} can't be written: {}", target, system_sentence(ENOENT)));
    }
}

WorkFolder::~WorkFolder() {
    constexpr int kMostTries = 5;  // who fills it may not have ended yet
    std::error_code error;
    for (int i = 0; i < kMostTries && fs::exists(path_, error); ++i) {
        remove_quietly(path_);
    }
}

fs::path damaged_name(const fs::path& file) {
    std::error_code error;
    for (int number = 1;; ++number) {
        fs::path name = file;
        name += ".damaged-" + std::to_string(number);
        if (!fs::exists(fs::symlink_status(name, error))) {
            return name;
        }
    }
}

void write_file_atomically(const fs::path& path, std::string_view content) {
    const fs::path temporary = temporary_beside(path);
    FileIo& io = FileIo::system();
    {
        const int opened = io.open_for_writing(temporary);
        if (opened < 0) {
            fail(temporary, say("can't be made"), -opened);
        }
        const Descriptor file(opened);
        int error = write_fully(io, file.get(), std::as_bytes(std::span(content)), 0);
        if (error == 0 && ::fsync(file.get()) != 0) {
            error = errno;
        }
        if (error == 0 && ::rename(temporary.c_str(), path.c_str()) != 0) {
            error = errno;
        }
        if (error != 0) {
            ::unlink(temporary.c_str());
            fail(path, say("can't be written"), error);
        }
    }
    sync_folder(path.parent_path());
}

AtomicFolder::AtomicFolder(fs::path final_path) : final_(std::move(final_path)) {
    if (final_.filename().empty()) {
        final_ = final_.parent_path();  // "a/b/" means "a/b"
    }
    if (final_.has_parent_path()) {
        make_private_folders(final_.parent_path());
    }
    // A leading dot and ".tmp-": never taken for a finished folder, and cleaned up when the session is opened next.
    temporary_ = temporary_beside(final_);
    if (::mkdir(temporary_.c_str(), 0700) != 0) {
        throw Error(say("the folder {} can't be made: {}", temporary_, system_sentence(errno)));
    }
}

AtomicFolder::~AtomicFolder() {
    if (committed_) {
        return;
    }
    remove_quietly(temporary_);
}

void AtomicFolder::commit() {
    if (committed_) {
        throw Error(say("{} was committed before", final_));
    }
    nlohmann::json files = nlohmann::json::array();
    std::vector<fs::path> folders{temporary_}, paths;
    for (const auto& entry : fs::recursive_directory_iterator(temporary_)) {
        if (entry.is_symlink() || (!entry.is_directory() && !entry.is_regular_file())) {
            throw Error(say("{} is neither a file nor a folder and can't be saved", entry.path()));
        }
        (entry.is_directory() ? folders : paths).push_back(entry.path());
    }
    std::sort(paths.begin(), paths.end());
    for (const fs::path& path : paths) {
        if (path == temporary_ / "DONE") {
            throw Error(say("a file named DONE can't be saved in {}", final_));
        }
        make_private(path, fs::perms::owner_read | fs::perms::owner_write);
        sync_file(path);
        files.push_back({{"name", fs::relative(path, temporary_).generic_string()},
                         {"bytes", fs::file_size(path)},
                         {"sha256", sha256_of_file(path)}});
    }
    write_file_atomically(temporary_ / "DONE", nlohmann::json{{"format", 1}, {"files", files}}.dump(1) + "\n");
    for (const fs::path& folder : folders) {
        make_private(folder, fs::perms::owner_all);
        sync_folder(folder);
    }

    std::error_code error;
    const bool replaces = fs::exists(fs::symlink_status(final_, error));
    // Exchanging leaves no moment without a whole folder under the final name.
    if (::renameat2(AT_FDCWD, temporary_.c_str(), AT_FDCWD, final_.c_str(), replaces ? RENAME_EXCHANGE : 0) != 0) {
        fail(final_, say("can't be put in its place"), errno);
    }
    committed_ = true;
    sync_folder(final_.parent_path());
    if (replaces) {
        fs::remove_all(temporary_, error);
    }
}

}  // namespace moescope::base
