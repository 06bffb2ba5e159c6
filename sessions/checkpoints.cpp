#include "sessions/checkpoints.hpp"

#include <algorithm>
#include <charconv>
#include <cinttypes>
#include <cstdio>
#include <stdexcept>
#include <vector>

#include "base/atomic_files.hpp"
#include "base/file_io.hpp"
#include "base/saved_folder.hpp"

namespace moescope::sessions {

namespace fs = std::filesystem;

namespace {

/// Number after `prefix` in `name`, when there is nothing else.
template <class T>
std::optional<T> number_after(std::string_view name, std::string_view prefix) {
    if (!name.starts_with(prefix)) {
        return std::nullopt;
    }
    name.remove_prefix(prefix.size());
    T value = 0;
    const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), value);
    if (name.empty() || error != std::errc() || end != name.data() + name.size()) {
        return std::nullopt;
    }
    return value;
}

/// Empty when the folder is as it was saved.
Sentence check_saved(const fs::path& folder, bool verify_hashes, const std::function<void()>& check) {
    for (const base::SavedFile& file : base::read_saved_list(folder)) {
        std::error_code error;
        if (fs::is_symlink(fs::symlink_status(folder / file.name, error))) {
            return say("{} is no ordinary file", file.name);  // and may lead out of the session
        }
        if (Sentence problem = base::changed_since_saved(folder, file, verify_hashes, check); !problem.empty()) {
            return problem;
        }
    }
    return {};
}

std::uint64_t folder_bytes(const fs::path& folder) {
    std::uint64_t total = 0;
    std::error_code error;
    for (fs::recursive_directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
        std::error_code ignored;
        if (it->is_regular_file(ignored) && !it->is_symlink(ignored)) {
            total += it->file_size(ignored);
        }
    }
    return total;
}

}  // namespace

fs::path checkpoint_folder(const fs::path& session, std::uint32_t run, std::uint64_t step) {
    char name[40];
    std::snprintf(name, sizeof name, "step-%08" PRIu64, step);
    return session / "checkpoints" / ("run-" + std::to_string(run)) / name;
}

std::vector<CheckpointInfo> list_checkpoints(const fs::path& session, std::uint32_t run, bool verify_hashes,
                                             const std::function<void()>& check) {
    std::vector<CheckpointInfo> found;
    bool stopped = false;
    const auto asked = [&] {
        try {
            if (check) {
                check();
            }
        } catch (...) {
            stopped = true;
            throw;
        }
    };
    const fs::path folder = session / "checkpoints" / ("run-" + std::to_string(run));
    std::error_code error;
    for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
        std::error_code ignored;
        const auto step = number_after<std::uint64_t>(it->path().filename().string(), "step-");
        if (!step || it->is_symlink(ignored) || !it->is_directory(ignored)) {
            continue;
        }
        CheckpointInfo info{run, *step, it->path(), folder_bytes(it->path()), false, {}};
        try {
            info.problem = check_saved(info.path, verify_hashes, asked);
        } catch (const std::exception& failure) {
            if (stopped) {
                throw;  // which says nothing of the checkpoint
            }
            info.problem = base::sentence_of(failure);
        }
        info.complete = info.problem.empty();
        found.push_back(std::move(info));
    }
    std::sort(found.begin(), found.end(), [](const auto& a, const auto& b) { return a.step < b.step; });
    return found;
}

void remove_checkpoint_folder(const fs::path& session, const CheckpointInfo& checkpoint) {
    // The path is made anew from the numbers: what a caller holds in `path` may come from anywhere.
    const fs::path folder = checkpoint_folder(session, checkpoint.run, checkpoint.step);
    const fs::path trash = folder.parent_path() / ("." + folder.filename().string() + ".tmp-trash");
    std::error_code error;
    fs::remove_all(trash, error);
    fs::rename(folder, trash, error);
    if (error) {
        throw Error(say("the checkpoint {} can't be removed: {}", folder, error));
    }
    if (const int failure = base::FileIo::system().sync_folder(folder.parent_path()); failure != 0) {
        throw Error(say("the removal of {} could not be made durable: {}", folder, base::system_sentence(failure)));
    }
    fs::remove_all(trash, error);
    if (error) {
        throw Error(say("the removed checkpoint {} still takes space: {}", trash, error));
    }
}

void remove_leftovers(const fs::path& session) {
    std::vector<fs::path> leftovers;
    std::error_code error;
    for (fs::directory_iterator it(session, error), end; !error && it != end; it.increment(error)) {
        if (it->path().filename().string().starts_with(".manifest.json.tmp-")) {
            leftovers.push_back(it->path());
        }
    }
    error.clear();
    for (fs::directory_iterator run(session / "checkpoints", error), end; !error && run != end; run.increment(error)) {
        std::error_code inner;
        for (fs::directory_iterator it(run->path(), inner), last; !inner && it != last; it.increment(inner)) {
            const std::string name = it->path().filename().string();
            if (name.starts_with(".") && name.find(".tmp-") != std::string::npos) {
                leftovers.push_back(it->path());
            }
        }
    }
    for (const fs::path& path : leftovers) {
        // Who gave it that name may have been killed before the name was durable: after a power cut it could have its
        // old one again, and be half there.
        if (base::keep_name(path) == 0) {
            fs::remove_all(path, error);
        }
    }
}

std::uint32_t highest_run_folder(const fs::path& session) {
    std::uint32_t highest = 0;
    std::error_code error;
    for (fs::directory_iterator it(session / "checkpoints", error), end; !error && it != end; it.increment(error)) {
        if (const auto number = number_after<std::uint32_t>(it->path().filename().string(), "run-")) {
            highest = std::max(highest, *number);
        }
    }
    return highest;
}

}  // namespace moescope::sessions
