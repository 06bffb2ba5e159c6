#include "base/file_io.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <fcntl.h>
#include <sstream>
#include <string>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <system_error>
#include <unistd.h>
#include <utility>

#include "base/input_file.hpp"

namespace moescope::base {

int FileIo::open_for_writing(const std::filesystem::path& path) {
    const int file = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    return file >= 0 ? file : -errno;
}

std::int64_t FileIo::write_at(int file, std::span<const std::byte> data, std::uint64_t offset) {
    const ssize_t written = ::pwrite(file, data.data(), data.size(), static_cast<off_t>(offset));
    return written >= 0 ? written : -errno;
}

int FileIo::sync_data(int file) {
    return ::fdatasync(file) == 0 ? 0 : -errno;
}

int FileIo::truncate(int file, std::uint64_t size) {
    return ::ftruncate(file, static_cast<off_t>(size)) == 0 ? 0 : -errno;
}

int FileIo::sync_folder(const std::filesystem::path& folder) {
    const Descriptor descriptor(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!descriptor) {
        return -errno;
    }
    return ::fsync(descriptor.get()) == 0 ? 0 : -errno;
}

int FileIo::check_name(int file, const std::filesystem::path& path) {
    struct stat open {
    }, named{};
    if (::fstat(file, &open) != 0) {
        return -errno;
    }
    if (::lstat(path.c_str(), &named) != 0) {
        return errno == ENOTDIR ? -ENOENT : -errno;
    }
    return open.st_dev == named.st_dev && open.st_ino == named.st_ino ? 0 : -ENOENT;
}

FileIo& FileIo::system() {
    static FileIo io;
    return io;
}

Descriptor& Descriptor::operator=(Descriptor&& other) noexcept {
    if (this != &other) {
        close();
        file_ = other.release();
    }
    return *this;
}

int Descriptor::release() {
    return std::exchange(file_, -1);
}

void Descriptor::close() {
    if (file_ >= 0) {
        ::close(file_);
    }
    file_ = -1;
}

std::optional<LockHolder> lock_holder(const std::filesystem::path& path) {
    // Asking with a shared lock would keep a writer out that starts at this moment: the kernel's list is read instead.
    struct stat status {};
    if (::stat(path.c_str(), &status) != 0) {
        return std::nullopt;
    }
    constexpr std::uint64_t kMost = std::uint64_t{8} << 20, kLongestName = 64;
    std::istringstream locks(try_read_file("/proc/locks", kMost).value_or(""));
    for (std::string line; std::getline(locks, line);) {
        // "7: FLOCK  ADVISORY  WRITE 1234 fd:01:5678 0 EOF"
        int process = 0;
        unsigned major = 0, minor = 0;
        unsigned long long inode = 0;
        if (std::sscanf(line.c_str(), "%*d: FLOCK %*s WRITE %d %x:%x:%llu", &process, &major, &minor, &inode) != 4 ||
            inode != status.st_ino) {
            continue;
        }
        // The numbers of a device are not the same here and in stat() on every file system (btrfs, overlays): they
        // decide only where another file with this number could be meant.
        const bool same_device = major == ::major(status.st_dev) && minor == ::minor(status.st_dev);
        LockHolder holder{std::max(process, 0), {}, true};
        const std::string folder = "/proc/" + std::to_string(holder.process);
        // Its "comm" is "exe" for a program that has started itself again.
        std::error_code error;
        holder.program = std::filesystem::read_symlink(folder + "/exe", error).filename().string();
        if (holder.program.starts_with("ld-")) {  // of a bundle, see take_own_name()
            std::istringstream(try_read_file(folder + "/comm", kLongestName).value_or("")) >> holder.program;
        }
        if (struct stat owner{}; ::stat(folder.c_str(), &owner) == 0) {
            holder.ours = owner.st_uid == ::geteuid();
        }
        if (same_device || holder.program.starts_with("moescope")) {
            return holder;
        }
    }
    return std::nullopt;
}

Descriptor open_for_reading(const std::filesystem::path& path) {
    // Not blocking: a named pipe in the place of a file must not hang the program; nor may a terminal become its own.
    Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
    struct stat status {};
    if (file && ::fstat(file.get(), &status) != 0) {
        file.close();
    } else if (file && !S_ISREG(status.st_mode)) {
        file.close();
        errno = S_ISDIR(status.st_mode) ? EISDIR : ENOTSUP;
    }
    return file;
}

bool read_exactly(int file, std::span<std::byte> out, std::uint64_t offset) {
    while (!out.empty()) {
        const ssize_t count = ::pread(file, out.data(), out.size(), static_cast<off_t>(offset));
        if (count < 0 && errno == EINTR) {
            continue;
        }
        if (count <= 0) {
            return false;
        }
        out = out.subspan(static_cast<std::size_t>(count));
        offset += static_cast<std::uint64_t>(count);
    }
    return true;
}

int write_all(int file, std::span<const std::byte> data) {
    while (!data.empty()) {
        const ssize_t count = ::write(file, data.data(), data.size());
        if (count < 0 && errno == EINTR) {
            continue;
        }
        if (count <= 0) {
            return count < 0 ? -errno : -EIO;
        }
        data = data.subspan(static_cast<std::size_t>(count));
    }
    return 0;
}

int write_fully(FileIo& io, int file, std::span<const std::byte> data, std::uint64_t offset) {
    while (!data.empty()) {
        const std::int64_t count = io.write_at(file, data, offset);
        if (count == -EINTR) {
            continue;
        }
        if (count <= 0) {
            return count < 0 ? static_cast<int>(count) : -EIO;
        }
        data = data.subspan(static_cast<std::size_t>(count));
        offset += static_cast<std::uint64_t>(count);
    }
    return 0;
}

}  // namespace moescope::base
