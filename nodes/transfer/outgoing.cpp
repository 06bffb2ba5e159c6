#include "nodes/transfer/outgoing.hpp"

#include <algorithm>
#include <cerrno>
#include <fmt/format.h>
#include <sys/stat.h>

#include "base/file_io.hpp"
#include "base/sha256.hpp"

namespace moescope::transfer {

namespace fs = std::filesystem;
using base::Error;
using base::say;

namespace {

base::Descriptor opened(const fs::path& path) {
    base::Descriptor file = base::open_for_reading(path);
    if (!file) {
        throw Error(say("{} can't be read: {}", path, base::system_sentence(errno)));
    }
    return file;
}

/// Without a link or anything else that is no file or folder, in the order of their names.
std::vector<fs::path> files_in(const fs::path& folder) {
    std::vector<fs::path> files;
    std::error_code error;
    for (fs::recursive_directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
        const fs::file_status status = it->symlink_status(error);
        if (fs::is_directory(status)) {
            continue;
        }
        if (!fs::is_regular_file(status)) {
            throw Error(say("{} holds something else than plain files and folders: {}", folder, it->path()));
        }
        if (files.size() == kMostFiles) {
            throw Error(say("{} holds more than {} files", folder, kMostFiles));
        }
        files.push_back(it->path());
    }
    if (error) {
        throw Error(say("{} can't be read: {}", folder, base::system_sentence(error)));
    }
    std::sort(files.begin(), files.end());
    return files;
}

}  // namespace

Outgoing::State Outgoing::state_of(int file, const fs::path& path) {
    struct stat status {};
    if (::fstat(file, &status) != 0) {
        throw Error(say("{} can't be read: {}", path, base::system_sentence(errno)));
    }
    return {status.st_ino, static_cast<std::uint64_t>(status.st_size),
            std::int64_t{status.st_mtim.tv_sec} * 1'000'000'000 + status.st_mtim.tv_nsec};
}

void Outgoing::add(const fs::path& file, const std::string& name) {
    states_.push_back(state_of(opened(file).get(), file));
    what_.files.push_back({name, states_.back().bytes});
    places_.push_back(file);
}

Outgoing::Outgoing(fs::path path) : path_(std::move(path)) {
    std::error_code error;
    path_ = fs::absolute(path_, error).lexically_normal();
    if (path_.filename().empty()) {
        path_ = path_.parent_path();  // "a/b/" means "a/b"
    }
    what_.name = path_.filename().string();
    what_.folder = fs::is_directory(path_, error);
    if (what_.folder) {
        for (const fs::path& file : files_in(path_)) {
            add(file, file.lexically_relative(path_).generic_string());
        }
    } else {
        add(path_, what_.name);
    }
    describe();
}

Outgoing::Outgoing(const std::string& name, const std::vector<fs::path>& files) : path_(name) {
    what_.name = name;
    what_.folder = true;
    for (const fs::path& file : files) {
        add(file, file.filename().string());
    }
    describe();
}

void Outgoing::describe() {
    base::Sha256 hash;
    for (std::size_t i = 0; i < states_.size(); ++i) {
        hash.add(fmt::format("{}\n{} {} {}\n", what_.files[i].path, states_[i].inode, states_[i].bytes,
                             states_[i].modified_ns));
    }
    what_.version = hash.finish();
    if (!description_from(to_json(what_))) {
        throw Error(say("{} can't be sent: it has names that are too long or have control characters", path_));
    }
}

void Outgoing::require_same(int descriptor, std::uint32_t file) const {
    if (state_of(descriptor, places_[file]) != states_[file]) {
        throw SourceChanged(say("{} has changed while it was sent", places_[file]));
    }
}

Outgoing::Piece Outgoing::read(const Range& range) const {
    if (range.file >= states_.size() || range.length == 0 || range.length > protocol::kRangeBytes ||
        range.offset > states_[range.file].bytes || range.length > states_[range.file].bytes - range.offset) {
        throw Error(say("{} has no such range of bytes", path_));
    }
    const fs::path path = places_[range.file];
    const base::Descriptor file = opened(path);
    require_same(file.get(), range.file);
    Piece piece;
    piece.bytes.resize(range.length);
    if (!base::read_exactly(file.get(), piece.bytes, range.offset)) {
        throw Error(say("{} can't be read: {}", path, base::system_sentence(EIO)));
    }
    require_same(file.get(), range.file);  // a writer may have come in between
    piece.sha256 = sha256_of(piece.bytes);
    return piece;
}

std::string Outgoing::sha256(std::uint32_t file, const std::function<void()>& check) const {
    if (file >= states_.size()) {
        throw Error(say("{} has no such range of bytes", path_));
    }
    const fs::path path = places_[file];
    const base::Descriptor held = opened(path);
    require_same(held.get(), file);
    std::string hash = base::sha256_of_file(path, check);
    require_same(held.get(), file);
    require_same(opened(path).get(), file);  // under this name, too
    return hash;
}

}  // namespace moescope::transfer
