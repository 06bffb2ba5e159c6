// The system calls that can fail on a full or broken disk, behind one small interface, so that tests can make any of
// them fail.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>

namespace moescope::base {

/// Each function returns 0 (or a count of bytes) or a negative errno, like the system call of its name. Thread safe.
class FileIo {
 public:
    virtual ~FileIo() = default;
    /// Creates, for the user alone (mode 0600); never through a link. The descriptor, or a negative errno.
    virtual int open_for_writing(const std::filesystem::path& path);
    virtual std::int64_t write_at(int file, std::span<const std::byte> data, std::uint64_t offset);  ///< may be short
    virtual int sync_data(int file);
    virtual int truncate(int file, std::uint64_t size);
    virtual int sync_folder(const std::filesystem::path& folder);
    /// 0 when `path` still names the open file; -ENOENT when that was removed, moved away or replaced by another.
    virtual int check_name(int file, const std::filesystem::path& path);

    /// The real one.
    static FileIo& system();
};

/// A file descriptor that closes itself.
class Descriptor {
 public:
    Descriptor() = default;
    explicit Descriptor(int file) : file_(file) {}
    Descriptor(Descriptor&& other) noexcept : file_(other.release()) {}
    Descriptor& operator=(Descriptor&& other) noexcept;
    ~Descriptor() { close(); }
    int get() const { return file_; }
    explicit operator bool() const { return file_ >= 0; }
    int release();
    void close();

 private:
    int file_ = -1;
};

/// One writer of a file that nobody else may write meanwhile (flock), found in the system's list of locks.
struct LockHolder {
    int process = 0;      ///< 0: not known
    std::string program;  ///< its name; may be empty
    bool ours = true;     ///< a process of this user
};
/// Who holds an exclusive flock on the file; nothing when nobody does, or the file is not there.
std::optional<LockHolder> lock_holder(const std::filesystem::path& path);

/// Opens a regular file for reading, close-on-exec and without waiting; an empty Descriptor when that fails (errno says
/// why: EISDIR for a folder, ENOTSUP for a pipe or a device). For sentences about the cause see base/input_file.hpp.
Descriptor open_for_reading(const std::filesystem::path& path);
/// Reads exactly `out.size()` bytes at `offset`; false when they are not there.
bool read_exactly(int file, std::span<std::byte> out, std::uint64_t offset);
/// Writes everything to what has no offsets (a pipe, standard output), however many calls it takes; 0 or a negative
/// errno.
int write_all(int file, std::span<const std::byte> data);
/// The same at an offset of a file.
int write_fully(FileIo& io, int file, std::span<const std::byte> data, std::uint64_t offset);

}  // namespace moescope::base
