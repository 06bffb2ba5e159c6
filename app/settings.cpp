#include "app/settings.hpp"

#include <algorithm>
#include <cstdlib>
#include <ctime>
#include <nlohmann/json.hpp>

#include "base/atomic_files.hpp"
#include "base/input_file.hpp"
#include "base/json_fields.hpp"
#include "base/json_guard.hpp"

namespace moescope::app {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kMostBytes = std::uint64_t{4} << 20;  // of the settings

std::string environment(const char* name) {
    const char* value = std::getenv(name);
    return value != nullptr ? value : "";
}

fs::path home_folder(const char* variable, const char* below_home) {
    const std::string named = environment(variable);
    if (!named.empty() && fs::path(named).is_absolute()) {
        return named;
    }
    const std::string home = environment("HOME");
    return fs::path(home.empty() ? "/tmp" : home) / below_home;
}

/// Nothing was ever run in it: its journal is short and names no run. The record that begins a run is JSON with its
/// manifest, and segments hold records as they are.
bool unused_session(const fs::path& folder) {
    constexpr std::uintmax_t kMostUnused = 16'000;  // of starts alone
    std::error_code error;
    std::uintmax_t bytes = 0;
    for (fs::directory_iterator it(folder / "segments", error), end; !error && it != end; it.increment(error)) {
        const auto text = base::try_read_file(it->path(), kMostUnused);
        if (!text || text->find("\"manifest\"") != std::string::npos) {
            return false;
        }
        bytes += text->size();
    }
    // The folder of checkpoints comes with the first one.
    return bytes < kMostUnused &&
           (!fs::exists(folder / "checkpoints", error) || fs::is_empty(folder / "checkpoints", error));
}

template <typename T>
void take(const nlohmann::json& json, const char* key, T& value) {
    const auto found = json.find(key);
    if (found == json.end()) {
        return;
    }
    if constexpr (std::is_same_v<T, bool>) {
        if (found->is_boolean()) {
            value = found->get<bool>();
        }
    } else if constexpr (std::is_arithmetic_v<T>) {
        if (found->is_number()) {
            value = found->get<T>();
        }
    } else if (found->is_string()) {
        value = found->get<std::string>();
    }
}

void take_folders(const nlohmann::json& json, FolderMemory& folders) {
    if (const auto last = json.find("folders"); last != json.end() && last->is_object()) {
        for (const auto& [kind, folder] : last->items()) {
            if (folder.is_string()) {
                folders.last[kind] = folder.get<std::string>();
            }
        }
    }
    if (const auto recent = json.find("recent_folders"); recent != json.end() && recent->is_array()) {
        for (const auto& folder : *recent) {
            if (folder.is_string() && folders.recent.size() < 16) {
                folders.recent.push_back(folder.get<std::string>());
            }
        }
    }
}

void take_sessions(const nlohmann::json& json, std::vector<KnownSession>& sessions) {
    for (const nlohmann::json& entry : base::member(json, "sessions")) {
        KnownSession session;
        session.folder = base::text_of(entry, "folder");
        session.seen = base::as_integer(base::member(entry, "seen")).value_or(0);
        session.runs = base::count_of(entry, "runs");
        session.coder = base::text_of(entry, "coder");
        for (const nlohmann::json& point : base::member(entry, "curve")) {
            if (point.is_number() && session.curve.size() < KnownSession::kCurve) {
                session.curve.push_back(point.get<float>());
            }
        }
        if (fs::path(session.folder).is_absolute() && session.seen >= 0 && sessions.size() < Settings::kSessions) {
            sessions.push_back(std::move(session));
        }
    }
}

}  // namespace

void FolderMemory::remember(const std::string& kind, const std::string& folder) {
    constexpr std::size_t kRecent = 8;
    last[kind] = folder;
    recent.erase(std::remove(recent.begin(), recent.end(), folder), recent.end());
    recent.insert(recent.begin(), folder);
    recent.resize(std::min(recent.size(), kRecent));
}

fs::path settings_folder() {
    return home_folder("XDG_CONFIG_HOME", ".config") / "moescope";
}

fs::path sessions_folder() {
    return home_folder("XDG_DATA_HOME", ".local/share") / "moescope" / "sessions";
}

Settings load_settings(const fs::path& file) {
    Settings s;
    const nlohmann::json json =
        base::parse_object(base::try_read_file(file, kMostBytes).value_or(""), kMostBytes).value_or(nlohmann::json());
    if (!json.is_object()) {
        return s;
    }
    take(json, "language", s.language);
    take(json, "dark", s.dark);
    take(json, "text_scale", s.text_scale);
    take(json, "width", s.width);
    take(json, "height", s.height);
    take(json, "welcome_done", s.welcome_done);
    take(json, "layout", s.layout);
    s.text_scale = std::clamp(s.text_scale, 0.6f, 2.5f);
    s.width = std::clamp(s.width, 800, 8000);
    s.height = std::clamp(s.height, 500, 8000);
    if (s.language != "zh" && s.language != "en") {
        s.language.clear();
    }
    take_folders(json, s.folders);
    if (const auto nodes = json.find("nodes"); nodes != json.end() && nodes->is_array()) {
        for (const auto& address : *nodes) {
            if (address.is_string() && s.nodes.size() < Settings::kNodes) {
                s.nodes.push_back(address.get<std::string>());
            }
        }
    }
    take_sessions(json, s.sessions);
    const auto layouts = json.find("layouts");
    if (layouts == json.end() || !layouts->is_object()) {
        return s;
    }
    for (const auto& [name, saved] : layouts->items()) {
        if (!saved.is_object() || !saved.contains("panels") || !saved["panels"].is_array()) {
            continue;
        }
        SavedLayout& layout = s.layouts[name];
        take(saved, "ini", layout.ini);
        for (const auto& panel : saved["panels"]) {
            if (panel.is_string()) {
                layout.panels.push_back(panel.get<std::string>());
            }
        }
    }
    return s;
}

std::string settings_text(const Settings& s) {
    nlohmann::json json = {{"language", s.language},
                           {"dark", s.dark},
                           {"text_scale", s.text_scale},
                           {"width", s.width},
                           {"height", s.height},
                           {"layout", s.layout},
                           {"welcome_done", s.welcome_done},
                           {"folders", s.folders.last},
                           {"recent_folders", s.folders.recent},
                           {"nodes", s.nodes},
                           {"layouts", nlohmann::json::object()}};
    json["sessions"] = nlohmann::json::array();
    for (const KnownSession& session : s.sessions) {
        json["sessions"].push_back({{"folder", session.folder},
                                    {"seen", session.seen},
                                    {"runs", session.runs},
                                    {"curve", session.curve},
                                    {"coder", session.coder}});
    }
    for (const auto& [name, layout] : s.layouts) {
        json["layouts"][name] = {{"ini", layout.ini}, {"panels", layout.panels}};
    }
    return json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

base::Sentence set_damaged_settings_aside(const fs::path& file) {
    const auto text = base::try_read_file(file, kMostBytes);
    if (!text || base::parse_object(*text, kMostBytes)) {
        return {};
    }
    const fs::path aside = base::damaged_name(file);
    std::error_code error;
    fs::rename(file, aside, error);
    return error ? base::Sentence() : base::say("the settings could not be read; they were kept as {}", aside);
}

std::string system_language() {
    for (const char* variable : {"LC_ALL", "LC_MESSAGES", "LANG"}) {
        const std::string value = environment(variable);
        if (!value.empty()) {
            return value.rfind("zh", 0) == 0 ? "zh" : "en";
        }
    }
    return "en";
}

bool holds_session(const fs::path& folder) {
    std::error_code error;
    // Folders of models may have a manifest.json of their own.
    return fs::is_regular_file(folder / "session.db", error) || fs::is_directory(folder / "segments", error) ||
           (fs::is_regular_file(folder / "manifest.json", error) && !fs::exists(folder / "config.json", error));
}

fs::path new_session_folder() {
    const fs::path all = sessions_folder();
    std::error_code error;
    std::vector<fs::path> old;
    for (fs::directory_iterator it(all, error), end; !error && it != end; it.increment(error)) {
        if (it->is_directory(error)) {
            old.push_back(it->path());
        }
    }
    std::sort(old.begin(), old.end());
    if (!old.empty() && unused_session(old.back())) {
        return old.back();
    }
    const std::time_t now = std::time(nullptr);
    std::tm parts{};
    localtime_r(&now, &parts);
    char name[32];
    std::strftime(name, sizeof name, "%Y-%m-%d-%H%M%S", &parts);
    fs::path folder = all / name;
    for (int i = 2; fs::exists(folder, error); ++i) {
        folder = all / (std::string(name) + "-" + std::to_string(i));
    }
    return folder;
}

}  // namespace moescope::app
