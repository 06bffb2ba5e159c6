// What may stand in the place of a file, and a way to try a reader on each of it: in a process of its own, so that a
// reader that hangs, dies or takes all memory is found instead of being suffered.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace moescope::test {

namespace fs = std::filesystem;

enum class Hostile { pipe, device, full_device, folder, giant, long_giant, nested, cut };

/// A reader of the program. `READER("name")` in a table is what cmake/check-readers looks for.
#define READER(name) name
struct Reader {
    const char* name;
    std::string place;                                         ///< of the file, in a folder
    std::string good;                                          ///< content that it reads without a complaint
    std::function<void(const fs::path& folder)> read;          ///< throws what it has to say
    std::function<void(const fs::path& folder)> prepare = {};  ///< makes what has to lie beside the file
    bool tolerant = false;                                     ///< what cannot be read counts as absent
    bool endless = false;                                      ///< reads however much there is, as a hash must
};

/// Tries `good` and every kind of Hostile on each reader: it ends within 2 seconds of processor time and 400 MiB, says
/// no more than a sentence, and never takes what is no file for one.
void expect_guarded(const std::vector<Reader>& readers);

/// Puts a hostile thing at `path`. `good` is the content of a right file, which some of them begin with.
void make_hostile(Hostile kind, const fs::path& path, const std::string& good);
const char* name_of(Hostile kind);

}  // namespace moescope::test
