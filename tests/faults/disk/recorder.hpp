// What a program does to the files below one folder, seen at the system calls: recorded with contents, so that every
// state can be made that a power cut may leave, and made to fail. A program that links recorder.cpp calls it instead of
// the C library, its shared libraries (SQLite, the C++ library) too.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace moescope::faults {

/// One change, in the order in which the changes were made. Files and folders are numbered; the watched folder is 0.
struct Change {
    enum class Kind { create, make_folder, write, resize, rename, exchange, remove, sync, failed_sync };
    Kind kind{};
    int node = 0;            ///< the file or folder that is made, written or synced
    int folder = 0, to = 0;  ///< where `name` stands; of rename and exchange also where it goes
    std::string name, new_name;
    std::uint64_t at = 0;  ///< offset of a write, size of a resize
    std::string bytes;     ///< of a write
};

/// What the calls answer.
struct Fault {
    int call = -1;          ///< the call that fails, counted from 0 over all calls that change or sync; -1: none
    int error = 0;          ///< its errno
    bool for_ever = false;  ///< all later ones fail as well
};

/// What is there already has these numbers, by path below the folder; the others are free from `next` on.
struct Numbers {
    std::map<std::string, int> by_path;
    int next = 1;
};

/// Begins to watch this folder, which is empty but for what is in `there`. From any thread; one at a time.
void watch(const std::filesystem::path& folder, const Fault& fault = {}, const Numbers& there = {});
/// Changes so far. Safe to call while others write.
std::size_t changes();
/// Calls so far that could have been made to fail.
int calls();
/// Stops failing, but goes on recording.
void no_more_faults();
/// Ends watching and gives what was recorded.
std::vector<Change> unwatch();

/// Where folders cost the least: in memory, where the system has such a place.
std::filesystem::path memory_disk();

/// The control: an fsync says that it is done, and is not. Everywhere in this program until it is switched back.
void ignore_syncs(bool ignored);
/// fsync does nothing where nothing is watched: for who only looks at files, and not at the disk.
void skip_syncs(bool skipped);

}  // namespace moescope::faults
