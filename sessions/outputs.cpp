#include "sessions/outputs.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <fcntl.h>
#include <memory>
#include <span>
#include <sys/stat.h>
#include <unistd.h>

#include "base/atomic_files.hpp"
#include "base/file_io.hpp"

namespace moescope::sessions {

namespace fs = std::filesystem;
using base::Error;
using base::say;
using base::Sentence;

namespace {

constexpr const char* kUnfinished = "output";  // in the folder of what is on the way

constexpr std::array<std::string_view, 5> kParts = {"manifest.json", "segments", "checkpoints", "journal.lock",
                                                    "session.db"};

/// Also one that is damaged or not finished.
bool looks_like_session(const fs::path& folder) {
    return std::count_if(kParts.begin(), kParts.end(), [&](std::string_view part) {
               std::error_code error;
               return fs::exists(fs::symlink_status(folder / part, error));
           }) >= 2;
}

/// `real`: absolute, without links.
void refuse_parts_of_sessions(const fs::path& real) {
    fs::path part = real;
    for (fs::path folder = real.parent_path(); folder != part; part = folder, folder = folder.parent_path()) {
        if (is_part_name(part.filename().string()) && looks_like_session(folder)) {
            throw Error(
                say("{} is a part of the session {}, which it would destroy; choose another place", real, folder));
        }
    }
}

Sentence kind_of(mode_t mode) {
    return S_ISCHR(mode) || S_ISBLK(mode) ? say("a device")
           : S_ISFIFO(mode)               ? say("a pipe")
           : S_ISSOCK(mode)               ? say("a socket")
                                          : say("something else");
}

fs::path real_path(const fs::path& path) {
    const std::unique_ptr<char, decltype(&std::free)> real(::realpath(path.c_str(), nullptr), &std::free);
    if (!real) {
        throw Error(say("{} can't be written: {}", path, base::system_sentence(errno)));
    }
    return real.get();
}

void check_text(const fs::path& path) {
    if (path.empty()) {
        throw Error(say("no file is named"));
    }
    refuse_standard_output(path);
    if (const auto zero = path.native().find('\0'); zero != std::string::npos) {
        throw Error(say("the path {} has a zero byte in it", path.native().substr(0, zero)));
    }
}

/// Where links end that lead to nothing yet.
fs::path end_of_links(fs::path path) {
    for (int links = 0; links < 40; ++links) {
        std::error_code error;
        if (!fs::is_symlink(fs::symlink_status(path, error))) {
            return path;
        }
        const fs::path target = fs::read_symlink(path, error);
        path = target.is_absolute() ? target : path.parent_path() / target;
    }
    throw Error(say("{} can't be written: {}", path, base::system_sentence(ELOOP)));
}

/// Of something that does not exist yet: the real path of its folder and its name.
fs::path new_place(const fs::path& given) {
    fs::path path = end_of_links(given);
    if (path.filename().empty()) {
        path = path.parent_path();  // "a/b/" means "a/b"
    }
    const std::string name = path.filename().string();
    if (name.empty() || name == "." || name == "..") {
        throw Error(say("{} names no file", given));
    }
    const fs::path folder = path.has_parent_path() ? path.parent_path() : fs::path(".");
    std::error_code error;
    if (!fs::is_directory(folder, error)) {
        throw Error(say("the folder {} is not there; make it first", folder));
    }
    return real_path(folder) / name;
}

bool status_of(const fs::path& path, struct stat& status) {
    if (::stat(path.c_str(), &status) == 0) {
        return true;
    }
    if (errno != ENOENT) {
        throw Error(say("{} can't be written: {}", path, base::system_sentence(errno)));
    }
    return false;
}

bool same_file(const struct stat& a, const struct stat& b) {
    return a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

/// `there`: the file or folder at `path`, which the output would replace.
void refuse_sources(const fs::path& path, const struct stat& there, const Sources& sources) {
    const auto check = [&](const fs::path& source) {
        struct stat status {};
        if (::stat(source.c_str(), &status) == 0 && same_file(status, there)) {
            throw Error(say("{} is what the output is made from ({}); choose another place", path, source));
        }
    };
    for (const fs::path& source : sources) {
        check(source);
        std::error_code error;
        for (fs::recursive_directory_iterator it(source, error), end; !error && it != end; it.increment(error)) {
            check(it->path());
        }
    }
}

Error already_there(const fs::path& path, Existing existing) {
    if (existing.option == kReplaceParameter) {
        return Error(say("{} is there already; choose another name, or say that it shall be replaced", path));
    }
    return Error(existing.option.empty()
                     ? say("{} is there already; choose another name", path)
                     : say("{} is there already; choose another name, or say that it shall be replaced ({})", path,
                           existing.option));
}

fs::path file_place(const fs::path& path, Existing existing, const Sources& sources) {
    check_text(path);
    struct stat status {};
    if (!status_of(path, status)) {
        if (path.filename().empty()) {
            throw Error(say("{} names no file", path));
        }
        const fs::path place = new_place(path);
        refuse_parts_of_sessions(place);
        return place;
    }
    if (S_ISDIR(status.st_mode)) {
        throw Error(say("{} is a folder; name a file in it", path));
    }
    if (!S_ISREG(status.st_mode)) {
        throw Error(say("{} is no ordinary file but {}; nothing is written over it", path, kind_of(status.st_mode)));
    }
    const fs::path place = real_path(path);
    struct stat there {};
    if (::lstat(place.c_str(), &there) != 0 || there.st_ino != status.st_ino || there.st_dev != status.st_dev) {
        throw Error(say("{} has no name any more under which it could be written", path));  // /proc/self/fd/9
    }
    refuse_parts_of_sessions(place);
    refuse_sources(path, status, sources);
    if (!existing.replaced) {
        throw already_there(path, existing);
    }
    if (::access(place.c_str(), W_OK) != 0) {
        throw Error(say("{} can't be written: {}", path, base::system_sentence(errno)));
    }
    return place;
}

fs::path folder_place(const fs::path& path, Existing existing, const FolderKind& kind, const Sources& sources) {
    check_text(path);
    struct stat status {};
    if (!status_of(path, status)) {
        const fs::path place = new_place(path);
        refuse_parts_of_sessions(place);
        return place;
    }
    if (!S_ISDIR(status.st_mode)) {
        throw Error(say("{} is no folder; name a new one", path));
    }
    const fs::path place = real_path(path);
    refuse_parts_of_sessions(place);
    if (looks_like_session(place)) {
        throw Error(say("{} is a session; choose another place", path));
    }
    refuse_sources(path, status, sources);
    std::error_code error;
    bool empty = true;
    for (fs::directory_iterator it(place, error), end; !error && it != end; it.increment(error)) {
        empty = false;
        if (!existing.replaced) {
            throw already_there(path, existing);
        }
        std::error_code ignored;
        const std::string name = it->path().filename().string();
        if (!fs::is_regular_file(it->symlink_status(ignored)) || !kind.has || !kind.has(name)) {
            throw Error(say("{} holds {}, which is not of an earlier output; choose another folder", path, name));
        }
        struct stat file {};
        if (::stat(it->path().c_str(), &file) == 0) {
            refuse_sources(it->path(), file, sources);
        }
    }
    if (error) {
        throw Error(say("{} can't be read: {}", path, error));
    }
    if (!empty && (!kind.is || !kind.is(place))) {
        throw Error(
            say("{} holds something, but no earlier output that could be replaced; choose another folder", path));
    }
    return place;
}

int sync_of(const fs::path& path) {
    const base::Descriptor file = base::open_for_reading(path);
    return file && ::fsync(file.get()) == 0 ? 0 : -errno;
}

/// rename(), with the last look at what is in the way: as root it would take the place of a device, too.
int put_in_place(const fs::path& from, const fs::path& to, Existing existing) {
    if (!existing.replaced) {
        if (::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_NOREPLACE) == 0) {
            return 0;
        }
        if (errno != EINVAL && errno != ENOSYS) {  // not of every file system
            return errno;
        }
    }
    struct stat there {};
    if (::lstat(to.c_str(), &there) == 0 && (!existing.replaced || !S_ISREG(there.st_mode))) {
        return EEXIST;
    }
    return ::rename(from.c_str(), to.c_str()) == 0 ? 0 : errno;
}

}  // namespace

bool is_part_name(const std::string& name) {
    return std::find(kParts.begin(), kParts.end(), name) != kParts.end() || name == "node.log" ||
           name.starts_with("session.db") || name.starts_with(".manifest.json.tmp-");
}

bool is_standard_output(const fs::path& path) {
    constexpr std::array<std::string_view, 5> kNames = {"-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1",
                                                        "/proc/thread-self/fd/1"};
    return std::find(kNames.begin(), kNames.end(), path.native()) != kNames.end();
}

void refuse_standard_output(const fs::path& path) {
    if (path == "-") {
        throw Error(
            say("- is the standard output, and this can't be written there; a file or folder of that name is "
                "./-"));
    }
}

void write_standard_output(std::string_view bytes) {
    std::fflush(stdout);
    if (const int error = base::write_all(STDOUT_FILENO, std::as_bytes(std::span(bytes))); error != 0) {
        throw Error(say("the standard output can't be written: {}", base::system_sentence(error)));
    }
}

OutputFile::OutputFile(const fs::path& path, Existing existing, const Sources& sources, Readers readers)
    : final_(file_place(path, existing, sources)),
      work_(final_),
      temporary_(work_.path() / kUnfinished),
      existing_(existing),
      readers_(readers) {
    const mode_t mode = readers == Readers::owner ? 0600 : 0666;  // less the umask
    const base::Descriptor file(::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode));
    if (!file) {
        throw Error(say("{} can't be written: {}", final_, base::system_sentence(errno)));
    }
}

void OutputFile::commit() {
    struct stat old {};
    if (readers_ == Readers::usual && existing_.replaced && ::lstat(final_.c_str(), &old) == 0 &&
        S_ISREG(old.st_mode)) {
        (void)::chmod(temporary_.c_str(), old.st_mode & 0777);
    }
    int error = -sync_of(temporary_);
    if (error == 0) {
        error = put_in_place(temporary_, final_, existing_);
    }
    if (error != 0) {
        throw Error(say("{} can't be written: {}", final_, base::system_sentence(error)));
    }
    if (const int failure = base::FileIo::system().sync_folder(final_.parent_path()); failure != 0) {
        throw Error(say("{} {}: {}", final_, say("could not be made durable"), base::system_sentence(failure)));
    }
}

void OutputFile::fill(std::string_view bytes) {
    const base::Descriptor file(::open(temporary_.c_str(), O_WRONLY | O_NOFOLLOW | O_CLOEXEC));
    const int error =
        file ? base::write_fully(base::FileIo::system(), file.get(), std::as_bytes(std::span(bytes)), 0) : -errno;
    if (error != 0) {
        throw Error(say("{} can't be written: {}", final_, base::system_sentence(error)));
    }
}

void write_output(const fs::path& path, std::string_view bytes, Existing existing) {
    OutputFile output(path, existing);
    output.fill(bytes);
    output.commit();
}

OutputFolder::OutputFolder(const fs::path& path, Existing existing, const FolderKind& kind, const Sources& sources)
    : final_(folder_place(path, existing, kind, sources)), work_(final_), temporary_(work_.path() / kUnfinished) {}

void OutputFolder::commit() {
    std::error_code error;
    for (fs::directory_iterator it(temporary_, error), end; !error && it != end; it.increment(error)) {
        if (const int failure = sync_of(it->path()); failure != 0) {
            throw Error(say("{} {}: {}", it->path(), say("could not be made durable"), base::system_sentence(failure)));
        }
    }
    if (const int failure = base::FileIo::system().sync_folder(temporary_); failure != 0) {
        throw Error(say("{} {}: {}", temporary_, say("could not be made durable"), base::system_sentence(failure)));
    }
    const bool replaces = fs::exists(fs::symlink_status(final_, error));
    if (::renameat2(AT_FDCWD, temporary_.c_str(), AT_FDCWD, final_.c_str(),
                    replaces ? RENAME_EXCHANGE : RENAME_NOREPLACE) != 0) {
        // Not of every file system; an empty folder may be in the way of a plain one.
        if ((errno != EINVAL && errno != ENOSYS) || ::rename(temporary_.c_str(), final_.c_str()) != 0) {
            throw Error(say("{} can't be written: {}", final_, base::system_sentence(errno)));
        }
    }
    if (const int failure = base::FileIo::system().sync_folder(final_.parent_path()); failure != 0) {
        throw Error(say("{} {}: {}", final_, say("could not be made durable"), base::system_sentence(failure)));
    }
}

}  // namespace moescope::sessions
