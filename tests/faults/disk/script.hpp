// A day of a session in a few milliseconds: two starts, records, labels, settings, answered commands, checkpoints,
// saved files, an archive. Everything with the code that the programs use. And the question that is asked after any
// fault: is there what was said to be there?
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace moescope::faults {

/// What the script was about to do, or was told that it is done.
struct Note {
    std::size_t at = 0;  ///< changes of the disk before it (recorder.hpp)
    enum class Kind { opened, record, refused, run, label, setting, command, checkpoint, file, archive, unpacked } kind;
    std::string key, value;
    bool done = false;
};

/// Turns a fault on and off around each call of the code under test.
using Around = std::function<void(bool begins)>;

struct Day {
    std::vector<Note> notes;
    std::vector<std::string> refusals;  ///< sentences of the calls that failed
};
/// Does what can be done, whatever fails. `now`: changes so far. `tell`: gets each note when it is made.
Day live_through(const std::filesystem::path& folder, const std::function<std::size_t()>& now,
                 const Around& around = {}, const std::function<void(const Note&)>& tell = {});

/// One more start in a folder that a process has left which was killed. `last_record`: that it was about to write.
Day live_on(const std::filesystem::path& folder, const std::function<std::size_t()>& now, std::uint64_t last_record);

/// What is wrong in the folder, as it was found after a fault when `count` changes were made: one line each. It is
/// opened for writing, written to and opened again. `killed`: nothing but the process was lost, so nothing may be
/// missing.
std::vector<std::string> what_is_wrong(const std::filesystem::path& folder, const std::vector<Note>& notes,
                                       std::size_t count, bool killed);

/// The body of the n-th record; tells its number.
std::vector<std::byte> record_body(std::uint64_t n);
/// 0 for what is no such body.
std::uint64_t record_number(const std::vector<std::byte>& body);

}  // namespace moescope::faults
