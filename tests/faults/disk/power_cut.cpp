#include "tests/faults/disk/power_cut.hpp"

#include <algorithm>
#include <fstream>
#include <functional>
#include <set>
#include <utility>

namespace moescope::faults {

namespace {

using Kind = Change::Kind;
constexpr std::uint64_t kSector = 512;

void put(std::string& content, std::uint64_t at, std::string_view bytes) {
    content.resize(std::max<std::size_t>(content.size(), at + bytes.size()));
    std::copy(bytes.begin(), bytes.end(), content.begin() + static_cast<std::ptrdiff_t>(at));
}

void apply(std::string& content, const Change& change) {
    if (change.kind == Kind::write) {
        put(content, change.at, change.bytes);
    } else {
        content.resize(change.at);
    }
}

struct File {
    std::string synced, current;
    std::vector<const Change*> unsynced;
};

/// A change of names that no fsync of a folder has made certain.
struct NameChange {
    const Change* change;
    int node = -1, other = -1;  ///< what it moves, and what it is exchanged for
    bool certain = false;
};

class Disk {
 public:
    Disk(const std::vector<Change>& changes, std::size_t count) {
        folders_.insert(0);
        for (std::size_t i = 0; i < count; ++i) {
            take(changes[i]);
        }
    }

    Numbers numbers() const {
        Numbers numbers;
        std::map<int, std::map<std::string, int>> names;
        for (const NameChange& each : names_) {
            change_names(names, each);
        }
        const std::function<void(int, const std::string&)> add = [&](int folder, const std::string& path) {
            for (const auto& [name, node] : names[folder]) {
                numbers.by_path[path + name] = node;
                if (folders_.contains(node)) {
                    add(node, path + name + "/");
                }
            }
        };
        add(0, "");
        numbers.next =
            1 + std::max(folders_.empty() ? 0 : *folders_.rbegin(), files_.empty() ? 0 : files_.rbegin()->first);
        return numbers;
    }

    DiskState state(Loss loss, std::mt19937_64& random) const {
        std::uniform_int_distribution<int> percent(0, 99);
        const int keep = loss == Loss::some ? percent(random) : 0,
                  keep_names = loss == Loss::some ? percent(random) : 0;
        std::map<int, std::map<std::string, int>> names;
        std::set<std::pair<int, std::string>> lost;  // what came later under a name that was lost is lost, too
        for (const NameChange& each : names_) {
            const Change& change = *each.change;
            bool kept = each.certain || (loss != Loss::everything && loss != Loss::names);
            if (!each.certain && loss == Loss::some) {
                kept = percent(random) < keep_names;
            }
            const std::pair<int, std::string> old_name{change.folder, change.name},
                new_name{change.to, change.new_name};
            const bool moves = change.kind == Kind::rename || change.kind == Kind::exchange;
            if (!each.certain && (lost.contains(old_name) || (moves && lost.contains(new_name)))) {
                kept = false;
            }
            if (!kept) {
                lost.insert(old_name);
                if (moves) {
                    lost.insert(new_name);
                }
                continue;
            }
            change_names(names, each);
        }
        DiskState state;
        std::set<int> seen{0};
        const std::function<void(int, const std::string&)> add = [&](int folder, const std::string& path) {
            for (const auto& [name, node] : names[folder]) {
                const std::string whole = path + name;
                if (folders_.contains(node)) {
                    state[whole] = std::nullopt;
                    if (seen.insert(node).second) {
                        add(node, whole + "/");
                    }
                } else {
                    state[whole] = content(files_.at(node), loss, keep, random);
                }
            }
        };
        add(0, "");
        return state;
    }

 private:
    void take(const Change& change) {
        switch (change.kind) {
            case Kind::create:
                files_[change.node] = {};
                add_name(change);
                break;
            case Kind::make_folder:
                folders_.insert(change.node);
                add_name(change);
                break;
            case Kind::write:
            case Kind::resize:
                apply(files_[change.node].current, change);
                files_[change.node].unsynced.push_back(&change);
                break;
            case Kind::rename:
            case Kind::exchange:
            case Kind::remove:
                add_name(change);
                break;
            case Kind::sync:
                if (folders_.contains(change.node)) {
                    sync_folder(change.node);
                } else {
                    sync_file(files_[change.node]);
                }
                break;
            case Kind::failed_sync:  // what was to be written counts as clean from now on, and no later fsync writes it
                files_[change.node].unsynced.clear();
                break;
        }
    }
    static void sync_file(File& file) {
        for (const Change* change : file.unsynced) {
            apply(file.synced, *change);
        }
        file.unsynced.clear();
    }
    void sync_folder(int folder) {
        for (NameChange& each : names_) {
            const bool moves = each.change->kind == Kind::rename || each.change->kind == Kind::exchange;
            each.certain = each.certain || each.change->folder == folder || (moves && each.change->to == folder);
        }
    }

    void add_name(const Change& change) {
        NameChange each{&change, change.node};
        if (change.kind != Kind::create && change.kind != Kind::make_folder) {
            each.node = node_of(change.folder, change.name);
            each.other = change.kind == Kind::exchange ? node_of(change.to, change.new_name) : -1;
        }
        change_names(current_, each);
        names_.push_back(each);
    }
    int node_of(int folder, const std::string& name) const {
        const auto names = current_.find(folder);
        const auto found =
            names == current_.end() ? std::map<std::string, int>::const_iterator() : names->second.find(name);
        return names == current_.end() || found == names->second.end() ? -1 : found->second;
    }

    /// What was moved is where it was moved to, even if its first name never reached the disk.
    static void change_names(std::map<int, std::map<std::string, int>>& names, const NameChange& each) {
        const Change& change = *each.change;
        switch (change.kind) {
            case Kind::create:
            case Kind::make_folder:
                names[change.folder][change.name] = each.node;
                break;
            case Kind::remove:
                names[change.folder].erase(change.name);
                break;
            case Kind::rename:
                names[change.folder].erase(change.name);
                names[change.to][change.new_name] = each.node;
                break;
            case Kind::exchange:
                names[change.folder][change.name] = each.other;
                names[change.to][change.new_name] = each.node;
                break;
            default:
                break;
        }
    }

    static std::string content(const File& file, Loss loss, int keep, std::mt19937_64& random) {
        std::string content = file.synced;
        if (loss == Loss::nothing || loss == Loss::names) {
            return file.current;
        }
        if (loss == Loss::everything || loss == Loss::contents || file.unsynced.empty()) {
            return content;
        }
        if (loss == Loss::zeroed) {
            content.resize(file.current.size());
            return content;
        }
        if (loss == Loss::some) {
            add_some(content, file, keep, random);
            return content;
        }
        for (std::size_t i = 0; i + 1 < file.unsynced.size(); ++i) {
            apply(content, *file.unsynced[i]);
        }
        const Change& last = *file.unsynced.back();
        if (last.kind == Kind::write) {
            std::uint64_t size = random() % (last.bytes.size() + 1);
            if (loss == Loss::torn_at_sector) {
                size = std::min<std::uint64_t>(last.bytes.size(), (last.at + size) / kSector * kSector < last.at
                                                                      ? 0
                                                                      : (last.at + size) / kSector * kSector - last.at);
            }
            put(content, last.at, std::string_view(last.bytes).substr(0, size));
        }
        return content;
    }
    static void add_some(std::string& content, const File& file, int keep, std::mt19937_64& random) {
        const auto kept = [&] { return static_cast<int>(random() % 100) < keep; };
        for (const Change* change : file.unsynced) {
            if (change->kind == Kind::resize) {
                if (kept()) {
                    content.resize(change->at);
                }
                continue;
            }
            for (std::uint64_t at = change->at, end = at + change->bytes.size(); at < end;) {
                const std::uint64_t next = std::min(end, (at / kSector + 1) * kSector);
                if (kept()) {
                    put(content, at, std::string_view(change->bytes).substr(at - change->at, next - at));
                }
                at = next;
            }
        }
    }

    std::map<int, File> files_;
    std::set<int> folders_;
    std::vector<NameChange> names_;
    std::map<int, std::map<std::string, int>> current_;
};

}  // namespace

const char* name_of(Loss loss) {
    constexpr const char* names[] = {"nothing", "everything",     "contents",     "names",
                                     "zeroed",  "torn_at_sector", "torn_at_byte", "some"};
    return names[static_cast<int>(loss)];
}

DiskState after_power_cut(const std::vector<Change>& changes, std::size_t count, Loss loss, std::mt19937_64& random) {
    return Disk(changes, count).state(loss, random);
}

Numbers numbers_after(const std::vector<Change>& changes, std::size_t count) {
    return Disk(changes, count).numbers();
}

void write_state(const DiskState& state, const std::filesystem::path& folder) {
    std::filesystem::create_directories(folder);
    std::filesystem::permissions(folder, std::filesystem::perms::owner_all);
    for (const auto& [path, content] : state) {  // sorted: a folder comes before what is in it
        if (content) {
            std::ofstream(folder / path, std::ios::binary) << *content;
        } else {
            std::filesystem::create_directory(folder / path);
            std::filesystem::permissions(folder / path, std::filesystem::perms::owner_all);
        }
    }
}

}  // namespace moescope::faults
