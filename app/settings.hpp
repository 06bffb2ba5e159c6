// What the window remembers between starts: language, theme, text size, window size, layouts, sessions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "base/sentence.hpp"

namespace moescope::app {

/// A named arrangement as the person left it.
struct SavedLayout {
    std::string ini;                  ///< Dear ImGui's own text: window places and dock nodes
    std::vector<std::string> panels;  ///< keys of the visible panels
};

/// Where files were opened and saved before.
struct FolderMemory {
    std::map<std::string, std::string> last;  ///< by kind of file ("model", "save"): the folder
    std::vector<std::string> recent;          ///< the latest first
    /// Something of that kind was opened or saved in the folder.
    void remember(const std::string& kind, const std::string& folder);
};

/// A session that was open, as the list of recent ones shows it.
struct KnownSession {
    static constexpr std::size_t kCurve = 48;
    std::string folder;
    std::int64_t seen = 0;     ///< wall clock at which it was last open, seconds since 1970
    std::uint64_t runs = 0;    ///< of all kinds
    std::vector<float> curve;  ///< loss of its newest training, at most kCurve points; empty: none
    std::string coder;         ///< the person's initials on labels; empty: nobody has entered any
};

struct Settings {
    std::string language;  ///< "en", "zh"; empty: that of the system
    bool dark = true;
    float text_scale = 1;  ///< 0.6 to 2.5
    int width = 1600, height = 900;
    bool welcome_done = false;
    std::string layout = "training";
    std::map<std::string, SavedLayout> layouts;
    FolderMemory folders;
    static constexpr std::size_t kNodes = 8;
    std::vector<std::string> nodes;  ///< addresses of nodes on other machines, newest first; no secrets
    static constexpr std::size_t kSessions = 12;
    std::vector<KnownSession> sessions;  ///< newest first
};

/// $XDG_CONFIG_HOME/moescope (or ~/.config/moescope).
std::filesystem::path settings_folder();
/// $XDG_DATA_HOME/moescope/sessions (or ~/.local/share/...).
std::filesystem::path sessions_folder();
/// A missing or damaged file gives the defaults; values out of range are ignored one by one.
Settings load_settings(const std::filesystem::path& file);
std::string settings_text(const Settings& settings);
/// A damaged file is kept under another name before a new one takes its place: what to tell the person, or "".
base::Sentence set_damaged_settings_aside(const std::filesystem::path& file);
/// "en" or "zh" by LC_ALL, LC_MESSAGES, LANG.
std::string system_language();
/// Whether a folder is opened as a session when a person chooses or drops it: it holds a part of one. What is damaged
/// is for the node to judge.
bool holds_session(const std::filesystem::path& folder);
/// A folder for a new session: sessions_folder()/<date-time>, or the newest one there when nothing happened in it yet.
std::filesystem::path new_session_folder();

}  // namespace moescope::app
