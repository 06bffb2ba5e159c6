#include "app/folder_listing.hpp"

#include <algorithm>
#include <ctime>
#include <sys/stat.h>

#include "base/text.hpp"

namespace moescope::app {
namespace {

namespace fs = std::filesystem;

bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

/// Length of the run of digits at `at`, after its leading zeros.
std::string_view number_at(std::string_view text, std::size_t at) {
    std::size_t end = at;
    while (end < text.size() && is_digit(text[end])) {
        ++end;
    }
    while (at + 1 < end && text[at] == '0') {
        ++at;
    }
    return text.substr(at, end - at);
}

/// Below 0, 0 or above 0: numbers in names by their value, letters in any case.
int compare_names(std::string_view a, std::string_view b) {
    std::size_t i = 0, j = 0;
    while (i < a.size() && j < b.size()) {
        if (is_digit(a[i]) && is_digit(b[j])) {
            const std::string_view x = number_at(a, i), y = number_at(b, j);
            if (x.size() != y.size()) {
                return x.size() < y.size() ? -1 : 1;
            }
            if (const int order = x.compare(y); order != 0) {
                return order;
            }
            i = static_cast<std::size_t>(x.data() - a.data()) + x.size();
            j = static_cast<std::size_t>(y.data() - b.data()) + y.size();
            continue;
        }
        const auto x = static_cast<unsigned char>(base::lower(a[i++])),
                   y = static_cast<unsigned char>(base::lower(b[j++]));
        if (x != y) {
            return x < y ? -1 : 1;
        }
    }
    if (i < a.size() || j < b.size()) {
        return i < a.size() ? 1 : -1;
    }
    return a.compare(b);
}

bool shown(const FolderEntry& entry, const ListView& view) {
    if (!view.hidden && entry.name.front() == '.') {
        return false;
    }
    if (!view.filter.empty() && !base::contains_any_case(entry.name, view.filter)) {
        return false;
    }
    return entry.folder || (view.files && has_ending(entry.name, view.endings));
}

}  // namespace

FolderEntry entry_at(const fs::path& path) {
    FolderEntry entry;
    entry.name = path.filename().string();
    struct stat status {};
    if (::stat(path.c_str(), &status) == 0) {
        entry.folder = S_ISDIR(status.st_mode);
        entry.regular = S_ISREG(status.st_mode);
        entry.bytes = entry.regular && status.st_size > 0 ? static_cast<std::uint64_t>(status.st_size) : 0;
        entry.modified = static_cast<std::int64_t>(status.st_mtime);
    }
    return entry;
}

FolderListing read_folder(const fs::path& folder) {
    FolderListing listing;
    listing.folder = folder;
    std::error_code error;
    fs::directory_iterator it(folder, error), end;
    for (; !error && it != end; it.increment(error)) {
        if (listing.entries.size() == FolderListing::kMost) {
            listing.cut = true;
            break;
        }
        listing.entries.push_back(entry_at(it->path()));
    }
    if (error) {
        listing.problem = base::system_sentence(error);
    }
    return listing;
}

std::vector<std::size_t> arrange(const std::vector<FolderEntry>& entries, const ListView& view) {
    std::vector<std::size_t> order;
    for (std::size_t i = 0; i < entries.size(); ++i) {
        if (!entries[i].name.empty() && shown(entries[i], view)) {
            order.push_back(i);
        }
    }
    const auto before = [&](std::size_t left, std::size_t right) {
        const FolderEntry &a = entries[left], &b = entries[right];
        if (a.folder != b.folder) {
            return a.folder;
        }
        const FolderEntry &first = view.falling ? b : a, &second = view.falling ? a : b;
        if (view.order == ListOrder::size && first.bytes != second.bytes) {
            return first.bytes < second.bytes;
        }
        if (view.order == ListOrder::modified && first.modified != second.modified) {
            return first.modified < second.modified;
        }
        const int names = compare_names(a.name, b.name);
        return view.order == ListOrder::name && view.falling ? names > 0 : names < 0;
    };
    std::sort(order.begin(), order.end(), before);
    return order;
}

bool has_ending(std::string_view name, const std::vector<std::string>& endings) {
    return endings.empty() || std::any_of(endings.begin(), endings.end(), [&](const std::string& ending) {
               return name.size() >= ending.size() &&
                      std::equal(ending.begin(), ending.end(), name.end() - static_cast<std::ptrdiff_t>(ending.size()),
                                 [](char x, char y) { return base::lower(x) == base::lower(y); });
           });
}

std::string date_text(std::int64_t seconds) {
    const auto time = static_cast<std::time_t>(seconds);
    std::tm parts{};
    char text[32];
    if (seconds == 0 || localtime_r(&time, &parts) == nullptr ||
        std::strftime(text, sizeof text, "%Y-%m-%d %H:%M", &parts) == 0) {
        return "";
    }
    return text;
}

PathState look_at(const fs::path& path) {
    std::error_code error;
    const fs::file_status status = fs::status(path, error);
    switch (status.type()) {
        case fs::file_type::regular:
            return PathState::regular;
        case fs::file_type::directory:
            return PathState::folder;
        case fs::file_type::not_found: {
            // A link to nowhere is something all the same: writing through it would surprise.
            if (fs::is_symlink(fs::symlink_status(path, error))) {
                return PathState::other;
            }
            return fs::is_directory(path.has_parent_path() ? path.parent_path() : fs::path("."), error)
                       ? PathState::nothing
                       : PathState::no_folder;
        }
        case fs::file_type::none:
            return PathState::no_folder;  // not to be looked into
        default:
            return PathState::other;
    }
}

}  // namespace moescope::app
