// A file or a folder that is sent, as it was when it was opened: a change meanwhile is noticed, never sent as if it
// were the same.
#pragma once

#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "nodes/transfer/description.hpp"

namespace moescope::transfer {

/// A file is no longer what it was when it was opened.
class SourceChanged : public base::Error {
 public:
    using base::Error::Error;
};

/// Its functions are const and may be called from several threads.
class Outgoing {
 public:
    /// A regular file, or a folder with the regular files in it. Throws base::Error: it can't be read, holds links,
    /// devices or too many files, or has names that another machine can't have.
    explicit Outgoing(std::filesystem::path path);
    /// These regular files as a folder of that name: a model in parts.
    Outgoing(const std::string& name, const std::vector<std::filesystem::path>& files);

    const Description& what() const { return what_; }
    const std::filesystem::path& path() const { return path_; }
    struct Piece {
        std::vector<std::byte> bytes;
        std::string sha256;
    };
    /// Throws base::Error: no such range, or it can't be read; SourceChanged.
    Piece read(const Range& range) const;
    /// Of a whole file; `check` as of base::sha256_of_file(). Throws as read().
    std::string sha256(std::uint32_t file, const std::function<void()>& check = {}) const;

 private:
    struct State {
        std::uint64_t inode = 0, bytes = 0;
        std::int64_t modified_ns = 0;
        bool operator==(const State&) const = default;
    };
    static State state_of(int file, const std::filesystem::path& path);
    void add(const std::filesystem::path& file, const std::string& name);
    void describe();  ///< once all are added
    void require_same(int descriptor, std::uint32_t file) const;

    std::filesystem::path path_;
    Description what_;
    std::vector<State> states_;                  ///< of the files
    std::vector<std::filesystem::path> places_;  ///< of the same
};

}  // namespace moescope::transfer
