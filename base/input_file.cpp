#include "base/input_file.hpp"

#include <algorithm>
#include <cerrno>
#include <nlohmann/json.hpp>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.hpp"
#include "base/json_guard.hpp"

namespace moescope::base {

namespace fs = std::filesystem;

namespace {

constexpr std::size_t kPiece = std::size_t{1} << 20;
constexpr std::size_t kMostRead = std::size_t{1} << 30;  // the system moves at most 2 GiB at once

[[noreturn]] void refuse_kind(const fs::path& path, mode_t mode) {
    if (S_ISDIR(mode)) {
        throw Error(say("{} is a folder, not a file", path));
    }
    if (S_ISFIFO(mode)) {
        throw Error(say("{} is a pipe, not a file; write its content into a file first", path));
    }
    if (S_ISSOCK(mode)) {
        throw Error(say("{} is a socket, not a file", path));
    }
    throw Error(say("{} is a device, not a file", path));
}

[[noreturn]] void fail(const fs::path& path, int error) {
    if (error == ENOENT) {
        std::error_code ignored;
        throw Error(fs::is_symlink(fs::symlink_status(path, ignored))
                        ? say("{} is a link to something that does not exist", path)
                        : say("{} does not exist", path));
    }
    if (error == EAGAIN || error == EWOULDBLOCK || error == ESPIPE) {
        throw Error(
            say("{} has no content of its own, its bytes must be waited for; write them into a file first", path));
    }
    throw Error(say("{} can't be read: {}", path, system_sentence(error)));
}

/// Looked at before it is opened: the opening of a device can already do something.
void require_regular(const fs::path& path) {
    if (path.native().find('\0') != std::string::npos) {
        std::string shown = path.string();
        std::replace(shown.begin(), shown.end(), '\0', '?');
        throw Error(say("{} has a zero byte in its name, which no file has", shown));
    }
    struct stat status {};
    if (::stat(path.c_str(), &status) != 0) {
        fail(path, errno);
    }
    if (!S_ISREG(status.st_mode)) {
        refuse_kind(path, status.st_mode);
    }
}

}  // namespace

InputFile::InputFile(fs::path path) : path_(std::move(path)) {
    require_regular(path_);
    file_ = open_for_reading(path_);
    if (!file_) {
        fail(path_, errno);
    }
    struct stat status {};
    if (::fstat(file_.get(), &status) != 0) {
        fail(path_, errno);
    }
    size_ = static_cast<std::uint64_t>(status.st_size);
}

std::size_t InputFile::read_some(std::uint64_t offset, std::span<std::byte> out) const {
    for (;;) {
        const ssize_t count =
            ::pread(file_.get(), out.data(), std::min(out.size(), kMostRead), static_cast<off_t>(offset));
        if (count >= 0) {
            return static_cast<std::size_t>(count);
        }
        if (errno != EINTR) {
            fail(path_, errno);
        }
    }
}

void InputFile::read(std::uint64_t offset, std::span<std::byte> out) const {
    while (!out.empty()) {
        const std::size_t count = read_some(offset, out);
        if (count == 0) {
            throw Error(say("{} ends at byte {}, where {} more are needed", path_, offset, out.size()));
        }
        out = out.subspan(count);
        offset += count;
    }
}

std::string InputFile::text(std::uint64_t limit) const {
    const auto refuse = [&](std::uint64_t size) {
        throw Error(say("{} has {} bytes, more than the {} that such a file may have", path_, size, limit));
    };
    if (size_ > limit) {
        refuse(size_);
    }
    // One byte more than it has, so that the end is met without another piece; a file of /proc says that it has none.
    std::string text(static_cast<std::size_t>(size_ == 0 ? std::min<std::uint64_t>(limit, kPiece) : size_) + 1, '\0');
    std::size_t have = 0;
    for (;;) {
        if (have == text.size()) {  // it has grown meanwhile
            text.resize(have + static_cast<std::size_t>(std::min<std::uint64_t>(limit - have, kPiece)) + 1);
        }
        const std::size_t count = read_some(have, std::span(text).subspan(have));
        have += count;
        if (have > limit) {
            refuse(have);
        }
        if (count == 0) {
            text.resize(have);
            return text;
        }
    }
}

std::string read_file(const fs::path& path, std::uint64_t limit) {
    return InputFile(path).text(limit);
}

std::optional<std::string> try_read_file(const fs::path& path, std::uint64_t limit) {
    try {
        return read_file(path, limit);
    } catch (const Error&) {
        return std::nullopt;
    }
}

std::istringstream system_file(const fs::path& path) {
    constexpr std::uint64_t kMostBytes = std::uint64_t{8} << 20;  // /proc/cpuinfo of a machine with 1000 cores
    return std::istringstream(try_read_file(path, kMostBytes).value_or(""));
}

nlohmann::json read_json_file(const fs::path& path, std::uint64_t limit) {
    ParsedJson parsed = read_json(read_file(path, limit), limit);
    if (!parsed.value) {
        throw Error(say("{} {}", path, parsed.problem));
    }
    return std::move(*parsed.value);
}

bool is_there(const fs::path& path) {
    struct stat status {};
    return ::lstat(path.c_str(), &status) == 0 || (errno != ENOENT && errno != ENOTDIR);
}

void require_regular_file(const fs::path& path) {
    const InputFile file(path);
}

}  // namespace moescope::base
