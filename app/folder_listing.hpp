// What stands in a folder, and in which order and how much of it a list shows. Reading touches the disk and belongs on
// a background thread; the rest is pure.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/sentence.hpp"

namespace moescope::app {

struct FolderEntry {
    std::string name{};  ///< bytes of the file system
    bool folder = false;
    bool regular = false;       ///< or a link to a regular file; else a device, a pipe, a broken link
    std::uint64_t bytes = 0;    ///< of a regular file
    std::int64_t modified = 0;  ///< seconds since 1970; 0: not known
};

struct FolderListing {
    static constexpr std::size_t kMost = 20'000;
    std::filesystem::path folder;
    std::vector<FolderEntry> entries;
    bool cut = false;        ///< there are more than kMost
    base::Sentence problem;  ///< not empty: why it could not be read
};

/// What is at a path; only its name when that can't be told.
FolderEntry entry_at(const std::filesystem::path& path);
FolderListing read_folder(const std::filesystem::path& folder);

enum class ListOrder { name, size, modified };

struct ListView {
    std::string filter{};                ///< part of the name, in any case; empty: all
    std::vector<std::string> endings{};  ///< ".json" ...; a file has one of them; empty: all. Folders always stay.
    bool hidden = false;                 ///< shows names that begin with a dot
    bool files = true;                   ///< else folders alone
    ListOrder order = ListOrder::name;
    bool falling = false;
};

/// Indexes of the entries to show: folders first, then in the order wanted, names as people sort them ("run2" before
/// "run10").
std::vector<std::size_t> arrange(const std::vector<FolderEntry>& entries, const ListView& view);

/// Whether `name` ends with one of `endings`, in any case; true when there are none.
bool has_ending(std::string_view name, const std::vector<std::string>& endings);

/// "2026-11-29 20:08", local time; "" for 0.
std::string date_text(std::int64_t seconds);

/// What is at a path a person has named.
enum class PathState {
    nothing,    ///< and its folder exists
    no_folder,  ///< nor is there the folder that it would be in
    regular,    ///< a file
    folder,
    other,  ///< a device, a pipe, a socket: never opened nor overwritten
};
PathState look_at(const std::filesystem::path& path);

}  // namespace moescope::app
