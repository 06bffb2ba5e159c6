#include "nodes/curves/read_curves.hpp"

#include <algorithm>
#include <map>
#include <system_error>
#include <utility>

#include "base/error.hpp"
#include "base/foreign_text.hpp"
#include "nodes/curves/curve_table.hpp"
#include "nodes/curves/event_file.hpp"

namespace moescope::curves {

namespace fs = std::filesystem;
using base::say;

namespace {

constexpr int kDeepest = 16;                   // folders below the one that is named
constexpr std::size_t kMostEntries = 100'000;  // files and folders that are looked at

class NoCurves : public base::Error {
 public:
    using base::Error::Error;
};

/// Event files by their folders.
using Folders = std::map<fs::path, std::vector<fs::path>>;

void add_folder(const fs::path& folder, Folders& folders, const std::function<void()>& check) {
    std::error_code error;
    std::size_t entries = 0;
    bool any = false;
    fs::recursive_directory_iterator entry(folder, error), end;
    for (; !error && entry != end; entry.increment(error)) {
        check();
        if (++entries > kMostEntries) {
            throw base::Error(say("{} holds more than {} files; name a folder further down", folder, kMostEntries));
        }
        if (entry.depth() >= kDeepest) {
            entry.disable_recursion_pending();
        }
        std::error_code ignored;
        if (has_event_name(entry->path()) && entry->is_regular_file(ignored)) {
            folders[entry->path().parent_path()].push_back(entry->path());
            any = true;
        }
    }
    if (error) {
        throw base::Error(say("{}: {}", folder, error));
    }
    if (!any) {
        throw base::Error(say("{} has no event files (their names hold 'tfevents'); name tables one by one", folder));
    }
}

std::string name_of(const fs::path& path) {
    const fs::path plain = path.lexically_normal();
    const fs::path last = plain.filename().empty() ? plain.parent_path().filename() : plain.filename();
    return base::shown_name(last.empty() || last == "."
                                ? fs::absolute(plain).lexically_normal().parent_path().filename().string()
                                : last.string());
}

/// "logs/train" of the folder logs/train below logs; its own name where it is the one that was named.
std::string name_below(const fs::path& folder, const fs::path& top) {
    const fs::path relative = folder.lexically_relative(top);
    return relative.empty() || relative == "." ? name_of(top)
                                               : base::shown_name(name_of(top) + "/" + relative.generic_string());
}

ReadRun finished(ReadRun run, Collector& curves) {
    run.curves = curves.take(run.notes);
    if (run.curves.empty()) {
        throw NoCurves(say("{} has no curves", run.source));
    }
    return run;
}

ReadRun read_events(const fs::path& folder, const std::string& name, std::vector<fs::path> files,
                    const std::function<void()>& check) {
    std::sort(files.begin(), files.end());
    files.erase(std::unique(files.begin(), files.end()), files.end());
    ReadRun run{name, folder, "tensorboard", std::move(files), {}, {}};
    Collector curves;
    for (const fs::path& file : run.files) {
        read_event_file(file, curves, run.notes, check);
    }
    return finished(std::move(run), curves);
}

ReadRun read_table(const fs::path& path, const std::function<void()>& check) {
    ReadRun run{base::shown_name(path.stem().string()), path, "csv", {path}, {}, {}};
    Collector curves;
    read_curve_table(path, curves, run.notes, check);
    return finished(std::move(run), curves);
}

}  // namespace

std::uint64_t ReadRun::points() const {
    std::uint64_t sum = 0;
    for (const Series& series : curves) {
        sum += series.steps.size();
    }
    return sum;
}

std::vector<ReadRun> read_curves(const std::vector<fs::path>& paths, const std::function<void()>& check) {
    std::vector<ReadRun> runs;
    const auto add = [&](ReadRun run) {
        if (runs.size() >= kMostRuns) {
            throw base::Error(say("these are more than {} runs; name some of them", kMostRuns));
        }
        runs.push_back(std::move(run));
    };
    std::vector<std::pair<fs::path, Folders>> event_files;  // below what was named
    Folders named;
    for (const fs::path& path : paths) {
        std::error_code error;
        if (fs::is_directory(path, error)) {
            Folders below;
            add_folder(path, below, check);
            event_files.emplace_back(path, std::move(below));
        } else if (has_event_name(path) || is_event_file(path)) {
            named[path.parent_path()].push_back(path);
        } else {
            add(read_table(path, check));
        }
    }
    for (auto& [top, folders] : event_files) {
        bool any = false;
        for (auto& [folder, files] : folders) {
            // Of many folders some may hold parameters or pictures alone.
            try {
                add(read_events(folder, name_below(folder, top), files, check));
                any = true;
            } catch (const NoCurves&) {
                if (folders.size() == 1) {
                    throw;
                }
            }
        }
        if (!any) {
            throw NoCurves(say("{} has no curves", top));
        }
    }
    for (auto& [folder, files] : named) {
        add(read_events(folder.empty() ? fs::path(".") : folder, name_of(folder.empty() ? fs::path(".") : folder),
                        files, check));
    }
    return runs;
}

std::vector<base::Sentence> notes_of(const std::vector<ReadRun>& runs) {
    std::vector<base::Sentence> notes;
    for (const ReadRun& run : runs) {
        notes.insert(notes.end(), run.notes.begin(), run.notes.end());
    }
    return notes;
}

}  // namespace moescope::curves
