// The one way in for files from outside. Only regular files are opened, without ever waiting: a named pipe, a device or
// a folder in the place of a file is refused with a sentence that says what it is. Sizes are compared with a limit
// before anything is allocated.
//
//   a small file whole         read_file(path, 64 << 10)
//   JSON                       read_json_file(path, 1 << 20); for text that is in memory already see
//   base/json_guard.hpp a large file in pieces     InputFile file(path); file.read(offset, bytes) a file that a library
//   require_regular_file(path) first opens by its name
//
// cmake/check-readers refuses other ways to open a file and wants a row in cmake/readers.txt for every use of these.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <iosfwd>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <span>
#include <string>

#include "base/file_io.hpp"

namespace moescope::base {

/// An open regular file, read at any place. All functions are const and may be called from several threads at once.
class InputFile {
 public:
    /// Throws Error, a sentence that begins with the path: it does not exist, may not be read, or is no regular file.
    explicit InputFile(std::filesystem::path path);

    const std::filesystem::path& path() const { return path_; }
    std::uint64_t size() const { return size_; }  ///< bytes when it was opened; 0 for the files of /proc
    /// Fills `out` with the bytes from `offset`. Throws Error, also when the file ends before.
    void read(std::uint64_t offset, std::span<std::byte> out) const;
    void read(std::uint64_t offset, std::span<char> out) const { read(offset, std::as_writable_bytes(out)); }
    /// As many bytes as there are, at most out.size(); 0 at the end. Throws Error.
    std::size_t read_some(std::uint64_t offset, std::span<std::byte> out) const;
    std::size_t read_some(std::uint64_t offset, std::span<char> out) const {
        return read_some(offset, std::as_writable_bytes(out));
    }
    /// Everything. Throws Error, also when it is longer than `limit` bytes.
    std::string text(std::uint64_t limit) const;

 private:
    std::filesystem::path path_;
    Descriptor file_;
    std::uint64_t size_ = 0;
};

/// The whole file, at most `limit` bytes. Throws Error, a sentence that begins with the path.
std::string read_file(const std::filesystem::path& path, std::uint64_t limit);
/// The same for files that are allowed to be missing or unreadable, such as caches: nothing then.
std::optional<std::string> try_read_file(const std::filesystem::path& path, std::uint64_t limit);
/// A file in which the system tells of itself (/proc, /sys), to be read word by word; empty when it is not there.
std::istringstream system_file(const std::filesystem::path& path);
/// A JSON file of at most `limit` bytes through the guard. Throws Error, a sentence that begins with the path and says
/// the cause.
nlohmann::json read_json_file(const std::filesystem::path& path, std::uint64_t limit);
/// Whether something has this name, also what can't be reached (a link in a circle or to nothing, a folder that may not
/// be entered), so that reading it says why.
bool is_there(const std::filesystem::path& path);
/// For libraries that open a file by its name: throws Error when `path` is anything but a regular file that may be
/// read.
void require_regular_file(const std::filesystem::path& path);

}  // namespace moescope::base
