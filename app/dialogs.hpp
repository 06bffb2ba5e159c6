// Asking for a file or a folder without stopping the window: one dialog for opening, choosing a folder and saving. The
// desktop's own where there is one, else the list of folders in this file. GUI thread; folders are read in the
// background.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "app/background.hpp"
#include "app/folder_listing.hpp"
#include "app/settings.hpp"
#include "panels/ui/context.hpp"

namespace moescope::app {

struct FileRequest {
    enum class What { open_file, open_folder, save_file };
    What what = What::open_file;
    std::string place{};                    ///< the folder is remembered under this word: "model", "save"
    std::string title{};                    ///< in the language of the window
    std::string name = {};                  ///< of the file to be saved, as proposed
    std::filesystem::path folder = {};      ///< where it begins the first time; empty: the home folder
    std::vector<std::string> endings = {};  ///< ".png": shown first, and added to a name without it; empty: any file
    /// Whether a folder is what is asked for; one that is not is entered, or said to be none. Empty: any folder.
    /// Called in the background.
    std::function<bool(const std::filesystem::path& folder)> fits = {};
    std::string misfit = {};  ///< language key of what is said then, with {what}
};

class Dialogs {
 public:
    using Done = std::function<void(const std::string& path)>;

    /// native: false never starts a desktop dialog (tests, tour, no display). `memory` outlives this; `wake` is called
    /// from the background thread when a folder has been read.
    Dialogs(bool native, FolderMemory& memory, std::function<void()> wake);
    ~Dialogs();
    /// A dialog that is still open is dropped. `done` comes with an absolute path, or not at all; a file to be saved
    /// that exists may be overwritten, the person was asked.
    void ask(FileRequest request, Done done);
    /// Once per frame: draws the dialog, or looks whether the desktop's has an answer.
    void draw(const ui::Context& ctx);
    bool open() const { return open_; }
    /// Drops the question: nobody waits for its answer any more.
    void close();
    /// The person has: the next question of its kind begins at the folder on show.
    void cancel();
    /// As if `path` had been typed and confirmed, overwriting included. False when no dialog of the window is open.
    bool answer(const std::string& path);
    /// Whether something is being read whose result will change what is seen.
    bool reading() const { return open_ && (reading_ || looking_); }

 private:
    class Native;
    enum class Focus { none, list, name, new_folder };
    struct Question {
        std::filesystem::path path;
        FolderEntry file;
    };

    bool saving() const { return request_.what == FileRequest::What::save_file; }
    bool for_folder() const { return request_.what == FileRequest::What::open_folder; }
    void go(std::filesystem::path folder);
    void confirm();
    void look(const std::filesystem::path& wanted, const std::string& ending = {});
    void looked(const std::filesystem::path& path, PathState state, FolderEntry file, bool fits);
    void accept(const std::filesystem::path& path);
    void create_folder();
    void move(int to);
    void activate(int row);
    int row_of(const std::string& name) const;
    void rearrange();
    void complain(std::string key, std::string value);
    bool type_path(const std::string& typed);

    void draw_native();
    void draw_window(const ui::Context& ctx);
    void draw_top(const ui::Context& ctx);
    void draw_places(const ui::Context& ctx);
    void draw_filter(const ui::Context& ctx);
    void draw_headers(const ui::Context& ctx);
    void draw_list(const ui::Context& ctx, float height);
    void draw_rows(const ui::Context& ctx);
    bool draw_row(const ui::Context& ctx, int row);
    void draw_name(const ui::Context& ctx);
    void draw_foot(const ui::Context& ctx);
    void draw_question(const ui::Context& ctx);
    void draw_buttons(const ui::Context& ctx);
    std::string ok_label(const ui::Context& ctx) const;
    float buttons_width(const ui::Context& ctx) const;
    float foot_height(const ui::Context& ctx) const;
    void draw_view_menu(const ui::Context& ctx);
    void handle_keys(bool in_list, bool in_name);
    std::string problem_text(const ui::Context& ctx) const;
    std::string question_text(const ui::Context& ctx) const;

    const bool native_;
    FolderMemory& memory_;
    std::unique_ptr<Native> native_dialog_;
    FileRequest request_;
    Done done_;
    bool open_ = false, appear_ = false;

    std::filesystem::path folder_;  ///< on show
    FolderListing listing_;
    ListView view_;
    std::vector<std::size_t> shown_;  ///< indexes into listing_.entries
    int cursor_ = -1;                 ///< index into shown_
    int in_view_ = -1;                ///< row that is scrolled to without being chosen: the folder that was left
    bool moved_ = false;              ///< the cursor was moved after the last change of the name
    bool scroll_ = false;
    std::string name_, path_field_;
    bool typing_path_ = false;  ///< what is typed in the list goes on in path_field_
    std::string in_field_;      ///< what the field of the name showed last
    bool low_ = false;          ///< the window is too low for everything: filter, kinds and headers are in a menu
    bool all_types_ = false, overwrite_ = false;
    std::optional<Question> question_;
    std::optional<std::string> new_folder_;
    std::pair<std::string, base::Sentence> problem_;  ///< language key and {what}
    Focus focus_ = Focus::none;
    int asked_ = 0;  ///< numbers what is read, so that late answers are known
    bool reading_ = false, looking_ = false;
    Background background_;  ///< last: its jobs speak to the others
};

}  // namespace moescope::app
