// Asking for a path without stopping the window: the desktop's own dialog where there is one, else a field inside the
// window.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "panels/ui/context.hpp"

namespace moescope::app {

enum class PathKind { open_file, open_folder, save_file };

class Dialogs {
 public:
    /// native: false never starts a desktop dialog (tests, tour, no display).
    explicit Dialogs(bool native);
    ~Dialogs();
    /// A dialog that is still open is dropped.
    void ask(PathKind kind, std::string title, std::string proposal, std::function<void(const std::string&)> done);
    /// Once per frame: draws the field, or looks whether the desktop's dialog has an answer.
    void draw(const ui::Context& ctx);
    bool open() const { return open_; }
    /// Drops the question: nobody waits for its answer any more.
    void close();
    /// As if `path` had been typed into the field and confirmed. False when no field of the window is open.
    bool answer(const std::string& path);

 private:
    class Native;
    std::unique_ptr<Native> native_dialog_;
    bool native_ = false, open_ = false, appear_ = false;
    std::string title_, field_;
    std::function<void(const std::string&)> done_;
};

}  // namespace moescope::app
