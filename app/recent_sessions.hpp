// Sessions that were open before: what the window remembers of each, what its folder says now, and the list that opens
// one again. GUI thread, but for look_at().
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "app/settings.hpp"
#include "nodes/client/snapshot.hpp"
#include "panels/ui/context.hpp"

namespace moescope::app {

/// What is worth remembering: how many runs it has, and a small picture of what its newest training did. Nothing of the
/// curve that was known before is lost while its journal is still being read.
KnownSession known_session(const std::filesystem::path& folder, const client::Snapshot& snapshot,
                           const KnownSession& before);
/// Puts it into the list, the newest first, in the place of what was known of it.
void remember_session(std::vector<KnownSession>& list, KnownSession session);

class RecentSessions {
 public:
    /// What a folder is now.
    struct Found {
        bool there = false;       ///< it holds a session
        std::uint64_t bytes = 0;  ///< of all its files
    };
    /// By folder. Reads folders: not on the GUI thread.
    static std::map<std::string, Found> look_at(const std::vector<std::string>& folders);

    struct Actions {
        std::function<void(const std::string&folder)> open, forget;
        /// Wants take_found() to be called with what look_at() says of them.
        std::function<void(std::vector<std::string> folders)> look;
    };

    /// Whether there is one that is not open now.
    static bool any(const ui::Context& ctx, const std::vector<KnownSession>& list);
    void open() { open_ = true; }
    void take_found(std::map<std::string, Found> found) { found_ = std::move(found); }
    /// What was found is looked for anew when the list is shown the next time.
    void forget_found() { asked_ = false; }
    /// The window "###recent", while it is open.
    void draw(const ui::Context& ctx, const std::vector<KnownSession>& list, const Actions& actions);
    /// At most `most` rows "###recent.0" of `width` pixels; those that are open now are left out. How many there are.
    std::size_t draw_rows(const ui::Context& ctx, const std::vector<KnownSession>& list, const Actions& actions,
                          float width, std::size_t most);

 private:
    bool open_ = false, asked_ = false;
    std::map<std::string, Found> found_;
};

}  // namespace moescope::app
