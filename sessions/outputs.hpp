// What the program writes where a person says: reports, tables, pictures, exported models. One place decides what may
// be written over: never a part of a session, never what is no ordinary file, never what the output is made from, and
// what is there only when that was told.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/atomic_files.hpp"
#include "base/error.hpp"

namespace moescope::sessions {

/// What to do with a file that is there.
struct Existing {
    bool replaced = false;
    std::string_view option = {};  ///< by which a person says that it shall be replaced; empty: there is none

    static const Existing refuse, replace;
};
inline constexpr Existing Existing::refuse{false, {}};
inline constexpr Existing Existing::replace{true, {}};
/// `option`: as a person writes it, "--force"; lives as long as the program.
constexpr Existing existing_files(bool replace, std::string_view option = {}) {
    return {replace, option};
}

/// As an `option`: that of a command over the protocol. The sentence leaves it to the program that shows it how that is
/// said there, see kMayBeReplaced.
inline constexpr std::string_view kReplaceParameter = "replace";
/// The id of that sentence, which has one value.
inline constexpr const char* kMayBeReplaced =
    "{} is there already; choose another name, or say that it shall be replaced";

/// What an output is made from: files, and folders with all that lies in them. They are known again under other names,
/// through links too.
using Sources = std::vector<std::filesystem::path>;

/// The name of something that a session's folder holds, or that an interrupted start left in it.
bool is_part_name(const std::string& name);

/// True for "-", /dev/stdout and its other names: who can, writes there instead of into a file.
bool is_standard_output(const std::filesystem::path& path);
/// Throws base::Error for "-" where nothing can be written to the standard output: a session, a folder, a file that is
/// not written from its beginning to its end. OutputFile and OutputFolder do so.
void refuse_standard_output(const std::filesystem::path& path);
/// Throws base::Error.
void write_standard_output(std::string_view bytes);

/// Who may read an output: as the system's settings have it for new files (and for a file that is replaced as it was),
/// or the user alone, as of a session.
enum class Readers { usual, owner };

/// A file that takes its name when it is whole. Checked before the work that fills it begins; a link stays, and the
/// file that it names is written.
class OutputFile {
 public:
    /// Throws base::Error: an empty path or one with a zero byte, a folder, a device, a pipe, a part of a session, a
    /// source, a folder that is not there, a file that is there (and not to be replaced) or may not be written.
    OutputFile(const std::filesystem::path& path, Existing existing, const Sources& sources = {},
               Readers readers = Readers::usual);
    OutputFile(const OutputFile&) = delete;
    OutputFile& operator=(const OutputFile&) = delete;
    /// An empty file on the same file system, to be filled or replaced before commit().
    const std::filesystem::path& temporary() const { return temporary_; }
    /// Where more can be put that is needed on the way; gone with the object.
    const std::filesystem::path& work() const { return work_.path(); }
    void fill(std::string_view bytes);  ///< throws base::Error
    /// Makes it durable and puts it in its place. Throws base::Error; what was there then stays.
    void commit();

 private:
    const std::filesystem::path final_;
    const base::WorkFolder work_;  ///< what is in it and not committed goes with it
    const std::filesystem::path temporary_;
    const Existing existing_;
    const Readers readers_;
};

/// The whole file at once, as OutputFile.
void write_output(const std::filesystem::path& path, std::string_view bytes, Existing existing);

/// By what a folder is known again as an earlier output. One whose functions are missing is none.
struct FolderKind {
    std::function<bool(const std::string& name)> has;  ///< whether such an output can have a file of this name
    /// By the content, asked when all names fit: a README.md alone, or another program's files of the same names, are
    /// nobody's output. May throw base::Error.
    std::function<bool(const std::filesystem::path& folder)> is;
};

/// The same for a folder of files. One that holds something is replaced only when it is an earlier output of this kind,
/// with nothing else in it and none of the sources.
class OutputFolder {
 public:
    OutputFolder(const std::filesystem::path& path, Existing existing, const FolderKind& kind,
                 const Sources& sources = {});
    OutputFolder(const OutputFolder&) = delete;
    OutputFolder& operator=(const OutputFolder&) = delete;
    /// Does not exist yet.
    const std::filesystem::path& temporary() const { return temporary_; }
    const std::filesystem::path& work() const { return work_.path(); }  ///< as of OutputFile
    void commit();

 private:
    const std::filesystem::path final_;
    const base::WorkFolder work_;
    const std::filesystem::path temporary_;
};

}  // namespace moescope::sessions
