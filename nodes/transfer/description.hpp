// What is sent from one machine to another: one file, or a folder of files.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "nodes/protocol/ranges.hpp"

namespace moescope::transfer {

struct FileEntry {
    std::string path;  ///< below the folder, with '/' between its parts; of a single file its name
    std::uint64_t bytes = 0;

    bool operator==(const FileEntry&) const = default;
};

struct Description {
    std::string name;     ///< of the file or folder, without a folder before it
    std::string version;  ///< another one when any of the files is another
    bool folder = false;
    std::vector<FileEntry> files;

    std::uint64_t bytes() const;  ///< of all files
    bool operator==(const Description&) const = default;
};

inline constexpr std::size_t kMostFiles = 4096;
/// Name of the file in which Incoming keeps what it has; no file of an object may have it.
inline constexpr const char* kNotes = ".moescope-transfer";

/// {"name","version","folder","files":[{"path","bytes"}]}
nlohmann::json to_json(const Description& description);
/// From outside. Nothing when it is no such object, has names that are absolute, climb, stand twice or are a file and a
/// folder at once, more than kMostFiles files, or more bytes than can be counted.
std::optional<Description> description_from(const nlohmann::json& value);

/// A range as the wire has it, without the object: `file` is an index of Description::files.
struct Range {
    std::uint32_t file = 0;
    std::uint64_t offset = 0;
    std::uint32_t length = 0;

    auto operator<=>(const Range&) const = default;
};
/// Files are cut from their beginning into ranges of kRangeBytes, the last one shorter.
std::uint64_t ranges_of(std::uint64_t bytes);
Range range_at(const Description& description, std::uint32_t file, std::uint64_t index);
std::string sha256_of(std::span<const std::byte> bytes);  ///< as base::sha256()

}  // namespace moescope::transfer
