#include "app/dialogs.hpp"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <imgui_internal.h>
#include <imgui_stdlib.h>
#include <portable_file_dialogs.h>
#include <utility>

#include "base/text.hpp"
#include "base/utf8.hpp"
#include "panels/ui/floating.hpp"
#include "panels/ui/text_layout.hpp"
#include "panels/ui/units.hpp"
#include "panels/ui/widgets.hpp"

namespace moescope::app {
namespace {

namespace fs = std::filesystem;
using ui::Context;
namespace icon = ui::icon;

fs::path home() {
    const char* value = std::getenv("HOME");
    return value != nullptr && *value == '/' ? value : "/";
}

/// "~/x" is in the home folder, a relative name in `folder`.
fs::path path_of(const std::string& typed, const fs::path& folder) {
    const bool at_home = typed == "~" || typed.rfind("~/", 0) == 0;
    const fs::path path =
        (at_home ? home() / fs::path(typed.substr(std::min<std::size_t>(2, typed.size()))) : folder / typed)
            .lexically_normal();
    return path.has_filename() ? path : path.parent_path();  // "a/" is called like "a"
}

/// A name of the file system as it can be drawn: any bytes may be in it.
std::string shown_name(const std::string& name) {
    std::string text = base::to_valid_utf8(name);
    std::replace_if(
        text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 32 || c == 127; }, '?');
    return text;
}

/// What is typed or pasted while the list has the keyboard.
std::string typed_characters() {
    std::string text;
    if (ImGui::IsKeyChordPressed(ImGuiMod_Ctrl | ImGuiKey_V) ||
        ImGui::IsKeyChordPressed(ImGuiMod_Shift | ImGuiKey_Insert)) {
        const char* pasted = ImGui::GetClipboardText();
        text = base::trimmed(pasted != nullptr ? pasted : "");
        text.erase(std::remove_if(text.begin(), text.end(), [](char c) { return c >= 0 && c < 32; }), text.end());
    }
    for (const ImWchar c : ImGui::GetIO().InputQueueCharacters) {
        if (c >= 32 && c != 127) {
            char utf8[5];
            ImTextCharToUtf8(utf8, c);  // ends with a zero
            text += utf8;
        }
    }
    return text;
}

void drop_last_character(std::string& text) {
    if (!text.empty()) {
        text.resize(base::character_boundary(text, text.size() - 1));
    }
}

/// "*.json, *.gguf"
std::string joined(const std::vector<std::string>& endings, const char* between) {
    std::string all;
    for (const std::string& ending : endings) {
        all += std::string(all.empty() ? "" : between) + "*" + ending;
    }
    return all;
}

}  // namespace

/// One running dialog of the desktop (a child process), asked once per frame.
class Dialogs::Native {
 public:
    explicit Native(const FileRequest& request, const fs::path& folder) {
        const std::string begin = (folder / request.name).string();
        std::vector<std::string> filters = {"*", "*"};
        if (!request.endings.empty()) {
            const std::string all = joined(request.endings, " ");
            filters = {all, all, "*", "*"};
        }
        switch (request.what) {
            case FileRequest::What::open_file:
                open_ = std::make_unique<pfd::open_file>(request.title, begin, filters);
                break;
            case FileRequest::What::open_folder:
                folder_ = std::make_unique<pfd::select_folder>(request.title, begin);
                break;
            case FileRequest::What::save_file:
                save_ = std::make_unique<pfd::save_file>(request.title, begin, filters);
                break;
        }
    }
    /// The library would wait here until the person has closed the dialog.
    ~Native() {
        if (open_) {
            open_->kill();
        }
        if (folder_) {
            folder_->kill();
        }
        if (save_) {
            save_->kill();
        }
    }
    Native(const Native&) = delete;
    Native& operator=(const Native&) = delete;
    bool ready() const { return open_ ? open_->ready(0) : folder_ ? folder_->ready(0) : save_->ready(0); }
    std::string result() const {
        if (open_) {
            const auto files = open_->result();
            return files.empty() ? "" : files.front();
        }
        return folder_ ? folder_->result() : save_->result();
    }

 private:
    std::unique_ptr<pfd::open_file> open_;
    std::unique_ptr<pfd::select_folder> folder_;
    std::unique_ptr<pfd::save_file> save_;
};

Dialogs::Dialogs(bool native, FolderMemory& memory, std::function<void()> wake)
    : native_(native && pfd::settings::available()), memory_(memory), background_(std::move(wake)) {}
Dialogs::~Dialogs() = default;

void Dialogs::ask(FileRequest request, Done done) {
    native_dialog_.reset();
    request_ = std::move(request);
    done_ = std::move(done);
    name_ = request_.name;
    const auto last = memory_.last.find(request_.place);
    fs::path folder = last != memory_.last.end() ? fs::path(last->second) : request_.folder;
    if (folder.empty()) {
        folder = home();
    }
    open_ = appear_ = true;
    looking_ = all_types_ = overwrite_ = false;
    view_ = {.files = !for_folder()};
    if (native_) {
        native_dialog_ = std::make_unique<Native>(request_, folder);
        return;
    }
    focus_ = saving() ? Focus::name : Focus::list;
    go(folder);
}

/// A folder that has gone since it was remembered: the nearest one above that is there.
void Dialogs::go(fs::path folder) {
    question_.reset();
    new_folder_.reset();
    problem_ = {};
    typing_path_ = false;
    view_.filter.clear();
    if (!saving()) {
        name_.clear();  // it was one of the folder that is left
    }
    moved_ = false;
    reading_ = true;
    const int number = ++asked_;
    background_.post([this, folder = std::move(folder), number]() -> Background::Completion {
        fs::path there = fs::absolute(folder).lexically_normal();
        while (look_at(there) != PathState::folder && there.has_parent_path() && there != there.parent_path()) {
            there = there.parent_path();
        }
        auto listing = std::make_shared<FolderListing>(read_folder(there));
        return [this, listing, number] {
            if (number != asked_) {
                return;
            }
            reading_ = false;
            const fs::path left = std::exchange(folder_, listing->folder);
            listing_ = std::move(*listing);
            path_field_ = folder_.string();
            cursor_ = -1;
            rearrange();
            in_view_ = left.parent_path() == folder_ ? row_of(left.filename().string()) : -1;
        };
    });
}

/// -1: not in the list.
int Dialogs::row_of(const std::string& name) const {
    const auto found =
        std::find_if(shown_.begin(), shown_.end(), [&](std::size_t i) { return listing_.entries[i].name == name; });
    return found == shown_.end() ? -1 : static_cast<int>(found - shown_.begin());
}

void Dialogs::rearrange() {
    const std::string chosen =
        cursor_ >= 0 ? listing_.entries[shown_[static_cast<std::size_t>(cursor_)]].name : std::string();
    view_.endings = all_types_ ? std::vector<std::string>() : request_.endings;
    shown_ = arrange(listing_.entries, view_);
    cursor_ = row_of(chosen);
    in_view_ = -1;
    if (cursor_ < 0 && !view_.filter.empty() && !shown_.empty()) {
        move(0);  // Enter takes the first that fits
    } else if (cursor_ < 0 && moved_) {
        moved_ = false;  // what the name had followed is not in the list any more
        name_ = saving() ? request_.name : std::string();
    }
    scroll_ = true;
}

void Dialogs::confirm() {
    const std::string typed(base::trimmed(name_));
    if (typed.empty()) {
        if (for_folder()) {
            look(folder_);
        }
        return;
    }
    const bool complete = !saving() || all_types_ || has_ending(typed, request_.endings);
    look(path_of(typed, folder_), complete ? "" : request_.endings.front());
}

/// `ending` is added to a path that is no folder.
void Dialogs::look(const fs::path& wanted, const std::string& ending) {
    looking_ = true;
    const int number = asked_;
    background_.post([this, path = wanted, ending, number, of = request_.fits]() mutable -> Background::Completion {
        PathState state = look_at(path);
        if (state != PathState::folder && !ending.empty()) {
            path += ending;
            state = look_at(path);
        }
        const bool fits = state != PathState::folder || !of || of(path);
        return [this, path, state, file = entry_at(path), number, fits] {
            looking_ = false;
            if (open_ && number == asked_) {
                looked(path, state, file, fits);
            }
        };
    });
}

void Dialogs::looked(const fs::path& path, PathState state, FolderEntry file, bool fits) {
    problem_ = {};
    typing_path_ = false;
    const std::string name = shown_name(path.filename().string());
    switch (state) {
        case PathState::folder:
            if (for_folder() && fits) {
                accept(path);
                return;
            }
            if (for_folder() && path == folder_) {
                complain(request_.misfit, shown_name(path.string()));
                return;
            }
            name_ = request_.name;
            go(path);
            return;
        case PathState::regular:
            if (for_folder()) {
                complain("files.is_file", name);
            } else if (saving() && !overwrite_) {
                question_ = {path, std::move(file)};
            } else {
                accept(path);
            }
            return;
        case PathState::nothing:
            if (saving()) {
                accept(path);
            } else {
                complain("files.not_there", shown_name(path.string()));
            }
            return;
        case PathState::no_folder:
            complain("files.no_folder", shown_name(path.parent_path().string()));
            return;
        case PathState::other:
            complain("files.neither", name);
            return;
    }
}

/// To be mended where it was typed: Enter there tries again.
void Dialogs::complain(std::string key, std::string value) {
    problem_ = {std::move(key), base::Sentence::verbatim(std::move(value))};
    if (saving()) {
        focus_ = Focus::name;
    }
}

void Dialogs::accept(const fs::path& path) {
    memory_.remember(request_.place, path.parent_path().string());  // of a folder too: there its neighbours are
    open_ = false;
    ++asked_;
    if (done_) {
        std::exchange(done_, nullptr)(path.string());
    }
}

void Dialogs::create_folder() {
    const std::string name(base::trimmed(*new_folder_));
    if (name.empty()) {
        return;
    }
    looking_ = true;
    const int number = asked_;
    background_.post([this, path = path_of(name, folder_), number]() -> Background::Completion {
        std::error_code error;
        const bool there = look_at(path) != PathState::nothing;
        const bool made = !there && fs::create_directory(path, error);
        return [this, path, number, there, made, problem = base::system_sentence(error)] {
            looking_ = false;
            if (!open_ || number != asked_) {
                return;
            }
            if (made) {
                focus_ = saving() ? Focus::name : Focus::list;
                go(path);
            } else {
                problem_ = there ? std::pair(std::string("files.exists_already"),
                                             base::Sentence::verbatim(shown_name(path.filename().string())))
                                 : std::pair(std::string("files.not_made"), problem);
            }
        };
    });
}

/// The name follows the cursor, except that a folder on the way does not replace the name of the file to be saved.
void Dialogs::move(int to) {
    if (shown_.empty()) {
        cursor_ = -1;
        return;
    }
    if (std::exchange(typing_path_, false)) {
        path_field_ = folder_.string();
    }
    cursor_ = std::clamp(to, 0, static_cast<int>(shown_.size()) - 1);
    moved_ = scroll_ = true;
    const FolderEntry& entry = listing_.entries[shown_[static_cast<std::size_t>(cursor_)]];
    if (!entry.folder || for_folder()) {
        name_ = entry.name;
    } else if (!saving()) {
        name_.clear();
    }
}

void Dialogs::activate(int row) {
    move(row);
    if (cursor_ < 0) {
        return;
    }
    const FolderEntry& entry = listing_.entries[shown_[static_cast<std::size_t>(cursor_)]];
    if (entry.folder) {
        if (for_folder()) {
            name_.clear();
        }
        go(folder_ / entry.name);
    } else {
        confirm();
    }
}

void Dialogs::close() {
    native_dialog_.reset();
    open_ = false;
    done_ = nullptr;
}

void Dialogs::cancel() {
    if (!folder_.empty() && !reading_) {
        memory_.last[request_.place] = folder_.string();
    }
    close();
}

bool Dialogs::answer(const std::string& path) {
    if (!open_ || native_dialog_ || !done_) {
        return false;
    }
    overwrite_ = true;
    look(path_of(path, folder_));
    return true;
}

void Dialogs::draw(const Context& ctx) {
    background_.finish();
    if (!open_) {
        return;
    }
    if (native_dialog_) {
        draw_native();
    } else {
        draw_window(ctx);
    }
}

void Dialogs::draw_native() {
    if (!native_dialog_->ready()) {
        return;
    }
    const std::string path = native_dialog_->result();
    native_dialog_.reset();
    open_ = false;
    if (!path.empty()) {
        accept(path);
    }
}

void Dialogs::draw_window(const Context& ctx) {
    if (appear_) {
        ImGui::SetNextWindowFocus();
    }
    bool keep = true;
    const std::string title = request_.title + "###files";
    if (ui::begin_floating(ctx, title.c_str(), keep, {.size = {48, 32}, .least = {24, 18}, .at_once = true})) {
        // In a low window the list needs the room more than what stands between it and the path.
        const float row = ImGui::GetFrameHeightWithSpacing();
        low_ = ImGui::GetContentRegionAvail().y - 4.5f * row - foot_height(ctx) < 5 * ctx.em;
        const float below = foot_height(ctx) + (low_ ? 0 : row);
        draw_top(ctx);
        if (!low_ || !view_.filter.empty()) {
            draw_filter(ctx);
        }
        if (!low_) {
            draw_headers(ctx);
        }
        draw_list(ctx, std::max((low_ ? 1.8f : 5.0f) * ctx.em, ImGui::GetContentRegionAvail().y - below));
        if (!low_ || !question_) {
            draw_name(ctx);
        }
        draw_foot(ctx);
    }
    ImGui::End();
    appear_ = false;
    if (keep) {
        return;
    }
    if (question_ || new_folder_) {  // these are on top of the dialog
        question_.reset();
        new_folder_.reset();
        return;
    }
    cancel();
}

void Dialogs::draw_top(const Context& ctx) {
    const auto tool = [&](const char* symbol, const char* key) {
        const bool clicked = ImGui::Button((std::string(symbol) + "###" + key).c_str());
        ui::tooltip(ctx.text(key));
        ImGui::SameLine();
        return clicked;
    };
    if (tool(icon::up, "files.up") || ImGui::Shortcut(ImGuiMod_Alt | ImGuiKey_UpArrow, ImGuiInputFlags_RouteFocused)) {
        go(folder_.parent_path());
    }
    if (tool(icon::home, "files.home")) {
        go(home());
    }
    if (tool(icon::clock, "files.places")) {
        ImGui::OpenPopup("places");
    }
    draw_places(ctx);
    if (tool(icon::new_folder, "files.new_folder")) {
        new_folder_ = "";
        focus_ = Focus::new_folder;
    }
    if (low_ && tool(icon::list, "files.view")) {
        ImGui::OpenPopup("view");
    }
    draw_view_menu(ctx);
    ImGui::SetNextItemWidth(-1);
    if (!new_folder_) {
        if (ImGui::InputText("###files.path", &path_field_,
                             ImGuiInputTextFlags_EnterReturnsTrue | ImGuiInputTextFlags_ElideLeft)) {
            look(path_of(std::string(base::trimmed(path_field_)), folder_));
        }
        return;
    }
    if (focus_ == Focus::new_folder) {
        ImGui::SetKeyboardFocusHere();
        focus_ = Focus::none;
    }
    if (ImGui::InputTextWithHint("###files.new_name", ctx.text("files.new_folder.hint"), &*new_folder_,
                                 ImGuiInputTextFlags_EnterReturnsTrue)) {
        create_folder();
    }
}

void Dialogs::draw_places(const Context& ctx) {
    if (!ImGui::BeginPopup("places")) {
        return;
    }
    std::vector<std::string> places = memory_.recent;
    for (const fs::path& path : {sessions_folder(), home() / "Documents", home() / "Downloads", fs::path("/")}) {
        if (std::find(places.begin(), places.end(), path.string()) == places.end()) {
            places.push_back(path.string());
        }
    }
    ui::text_dim(ctx, ctx.text("files.places"));
    for (const std::string& place : places) {
        if (ImGui::MenuItem((shown_name(place) + "###place." + place).c_str())) {
            go(place);
        }
    }
    ImGui::EndPopup();
}

/// What has no room in a low window: order, kinds of files, hidden ones.
void Dialogs::draw_view_menu(const Context& ctx) {
    if (!ImGui::BeginPopup("view")) {
        return;
    }
    for (const auto& [order, key] : {std::pair{ListOrder::name, "files.name"}, std::pair{ListOrder::size, "files.size"},
                                     std::pair{ListOrder::modified, "files.modified"}}) {
        if (ImGui::MenuItem(ctx.text.label(key), nullptr, view_.order == order)) {
            view_.falling = view_.order == order ? !view_.falling : order != ListOrder::name;
            view_.order = order;
            rearrange();
        }
    }
    ImGui::Separator();
    if (!request_.endings.empty() && ImGui::MenuItem(ctx.text.label("files.all"), nullptr, all_types_)) {
        all_types_ = !all_types_;
        rearrange();
    }
    if (ImGui::MenuItem(ctx.text.label("files.hidden"), nullptr, view_.hidden)) {
        view_.hidden = !view_.hidden;
        rearrange();
    }
    ImGui::EndPopup();
}

void Dialogs::draw_filter(const Context& ctx) {
    const char* hidden = ctx.text.label("files.hidden");
    const float box = ImGui::CalcTextSize(hidden, nullptr, true).x + 2.5f * ctx.em;
    const std::string types = joined(request_.endings, ", ");
    const float list = types.empty() ? 0 : 9 * ctx.em;
    const float room = ImGui::GetContentRegionAvail().x - box - list - 3 * ImGui::GetStyle().ItemSpacing.x;
    ImGui::SetNextItemWidth(std::max(6 * ctx.em, room));
    if (ImGui::InputTextWithHint("###files.filter", ctx.text("files.filter.hint"), &view_.filter)) {
        rearrange();
    }
    if (!types.empty()) {
        ui::flow(list);
        ImGui::SetNextItemWidth(list);
        int chosen = all_types_ ? 1 : 0;
        const std::string choices = types + '\0' + ctx.text("files.all") + '\0';
        if (ImGui::Combo("###files.type", &chosen, choices.c_str())) {
            all_types_ = chosen == 1;
            rearrange();
        }
    }
    ui::flow(box);
    if (ImGui::Checkbox(hidden, &view_.hidden)) {
        rearrange();
    }
}

namespace {

/// Widths of the two right columns; 0 when there is no room for them.
struct Columns {
    float size, date;
};

Columns columns(const Context& ctx, float room) {
    return {room > 20 * ctx.em ? 6 * ctx.em : 0, room > 32 * ctx.em ? 9 * ctx.em : 0};
}

}  // namespace

void Dialogs::draw_headers(const Context& ctx) {
    const Columns widths = columns(ctx, ImGui::GetContentRegionAvail().x);
    const float left = ImGui::GetCursorPosX(), room = ImGui::GetContentRegionAvail().x,
                edge = ImGui::GetStyle().ScrollbarSize;
    const auto header = [&](ListOrder order, const char* key, float x, float width) {
        if (width <= 0) {
            return;
        }
        ImGui::SetCursorPosX(left + x);
        const bool chosen = view_.order == order;
        const std::string label =
            std::string(ctx.text(key)) + (chosen ? (view_.falling ? " \u2193" : " \u2191") : "") + "###" + key;
        if (ImGui::Selectable(label.c_str(), false, 0, {width, 0})) {
            view_.falling = chosen ? !view_.falling : order != ListOrder::name;
            view_.order = order;
            rearrange();
        }
    };
    const float names = room - edge - widths.size - widths.date;
    ImGui::PushStyleColor(ImGuiCol_Text, ctx.theme.text_dim);
    header(ListOrder::name, "files.name", 0, names);
    if (widths.size > 0) {
        ImGui::SameLine();
    }
    header(ListOrder::size, "files.size", names, widths.size);
    if (widths.date > 0) {
        ImGui::SameLine();
    }
    header(ListOrder::modified, "files.modified", names + widths.size, widths.date);
    ImGui::PopStyleColor();
}

void Dialogs::draw_list(const Context& ctx, float height) {
    if (focus_ == Focus::list) {
        ImGui::SetNextWindowFocus();
        focus_ = Focus::none;
    }
    // The list reads the keyboard itself: letters filter it.
    const bool visible =
        ImGui::BeginChild("###files.list", {0, height}, ImGuiChildFlags_Borders, ImGuiWindowFlags_NoNavInputs);
    const bool focused = ImGui::IsWindowFocused();
    if (visible) {
        draw_rows(ctx);
    }
    ImGui::EndChild();
    handle_keys(focused, false);
}

void Dialogs::draw_rows(const Context& ctx) {
    if (reading_) {
        ui::text_dim(ctx, ctx.text("files.reading"));
        return;
    }
    if (!listing_.problem.empty()) {
        ui::text_wrapped(ctx.text.format("files.unreadable", {{"why", ctx.text.message(listing_.problem)}}),
                         ctx.theme.error);
        return;
    }
    if (shown_.empty()) {
        ui::text_dim(ctx, ctx.text(listing_.entries.empty() ? "files.empty" : "files.nothing_fits"));
        return;
    }
    const float step = ImGui::GetTextLineHeightWithSpacing();
    const int in_view = cursor_ >= 0 ? cursor_ : in_view_;
    if (std::exchange(scroll_, false) && in_view >= 0) {
        const float top = static_cast<float>(in_view) * step, seen = ImGui::GetWindowHeight() - 2 * step;
        if (top < ImGui::GetScrollY()) {
            ImGui::SetScrollY(top);
        } else if (top > ImGui::GetScrollY() + seen) {
            ImGui::SetScrollY(top - seen);
        }
    }
    ImGuiListClipper clipper;
    clipper.Begin(static_cast<int>(shown_.size()), step);
    int clicked = -1, twice = -1;
    while (clipper.Step()) {
        for (int row = clipper.DisplayStart; row < clipper.DisplayEnd; ++row) {
            if (draw_row(ctx, row)) {
                (ImGui::IsMouseDoubleClicked(ImGuiMouseButton_Left) ? twice : clicked) = row;
            }
        }
    }
    if (listing_.cut) {
        ui::text_dim(ctx, ctx.text.format("files.cut", {{"n", ctx.text.number(std::uint64_t{FolderListing::kMost})}}));
    }
    if (twice >= 0) {
        activate(twice);
    } else if (clicked >= 0) {
        move(clicked);
        scroll_ = false;
    }
}

/// Whether it was clicked.
bool Dialogs::draw_row(const Context& ctx, int row) {
    const FolderEntry& entry = listing_.entries[shown_[static_cast<std::size_t>(row)]];
    const float room = ImGui::GetContentRegionAvail().x;
    const Columns widths = columns(ctx, room + ImGui::GetStyle().ScrollbarSize);
    const float left = ImGui::GetCursorPosX();
    ImGui::Selectable(("###entry." + entry.name).c_str(), row == cursor_);
    const bool clicked = ImGui::IsItemClicked();  // what is written over it is an item of its own
    ImGui::SameLine(left);
    ui::text_colored(entry.folder ? ctx.theme.accent : ctx.theme.text_dim, entry.folder ? icon::folder : icon::file);
    ImGui::SameLine(left + 1.6f * ctx.em);
    ui::text_elided(shown_name(entry.name), room - widths.size - widths.date - 2 * ctx.em);
    const auto right = [&](const std::string& text, float end) {
        ImGui::SameLine(left + end - ImGui::CalcTextSize(text.c_str()).x);
        ui::text_dim(ctx, text);
    };
    if (widths.size > 0 && entry.regular) {
        right(ui::bytes_text(ctx.text, entry.bytes), room - widths.date - ctx.em);
    }
    if (widths.date > 0) {
        right(date_text(entry.modified), room);
    }
    return clicked;
}

void Dialogs::draw_name(const Context& ctx) {
    if (low_) {  // the buttons stand in the same row
        ui::next_field(std::max(
            6 * ctx.em, ImGui::GetContentRegionAvail().x - buttons_width(ctx) - ImGui::GetStyle().ItemSpacing.x));
    } else {
        ImGui::AlignTextToFramePadding();
        ui::text_dim(ctx, ctx.text(for_folder() ? "files.folder_field" : "files.name_field"));
        ImGui::SameLine();
        ImGui::SetNextItemWidth(-1);
    }
    if (focus_ == Focus::name && !reading_) {
        ImGui::SetKeyboardFocusHere();
        focus_ = Focus::none;
    }
    if (name_ != in_field_) {  // changed while the field has the keyboard: it would put its own text back
        if (ImGuiInputTextState* state = ImGui::GetInputTextState(ImGui::GetID("###files.name_input"))) {
            state->ReloadUserBufAndSelectAll();
        }
    }
    const std::string before = name_;
    const bool entered = ImGui::InputTextWithHint(
        "###files.name_input", low_ ? ctx.text(for_folder() ? "files.folder_field" : "files.name_field") : "", &name_,
        ImGuiInputTextFlags_EnterReturnsTrue | ImGuiInputTextFlags_AutoSelectAll);
    in_field_ = name_;
    const bool active = ImGui::IsItemActive();
    if (name_ != before) {
        moved_ = false;
        question_.reset();
        problem_ = {};
    }
    if (active) {
        handle_keys(false, true);
    }
    if (entered && moved_ && cursor_ >= 0) {
        activate(cursor_);
    } else if (entered) {
        confirm();
    }
}

/// Arrows work from the field of the name as well; the rest belongs to the list.
void Dialogs::handle_keys(bool in_list, bool in_name) {
    if ((!in_list && !in_name) || reading_) {
        return;
    }
    const int page = 12, last = static_cast<int>(shown_.size()) - 1;
    const auto pressed = [](ImGuiKey key) { return ImGui::IsKeyPressed(key) && ImGui::GetIO().KeyMods == 0; };
    if (pressed(ImGuiKey_DownArrow)) {
        move(cursor_ + 1);
    } else if (pressed(ImGuiKey_UpArrow)) {
        move(cursor_ - 1);
    } else if (pressed(ImGuiKey_PageDown)) {
        move(cursor_ + page);
    } else if (pressed(ImGuiKey_PageUp)) {
        move(cursor_ - page);
    }
    if (!in_list) {
        return;
    }
    if (pressed(ImGuiKey_Home)) {
        move(0);
    } else if (pressed(ImGuiKey_End)) {
        move(last);
    } else if (pressed(ImGuiKey_Tab)) {
        focus_ = Focus::name;
    } else if (pressed(ImGuiKey_Enter) || pressed(ImGuiKey_KeypadEnter)) {
        if (question_) {
            return;  // overwriting wants a click, or Tab and Space
        }
        if (typing_path_) {
            look(path_of(std::string(base::trimmed(path_field_)), folder_));
        } else if (cursor_ >= 0) {
            activate(cursor_);
        } else if (view_.filter.empty()) {
            confirm();
        }  // else nothing fits what was typed: there is nothing to open
    } else if (pressed(ImGuiKey_Backspace)) {
        if (typing_path_) {
            drop_last_character(path_field_);
        } else if (view_.filter.empty()) {
            go(folder_.parent_path());
        } else {
            drop_last_character(view_.filter);
            rearrange();
        }
    } else if (const std::string typed = typed_characters(); !typed.empty() && !type_path(typed)) {
        view_.filter += typed;
        rearrange();
    }
}

/// What is a path is none of the names in the list: from the first '/' on, or '~' at the beginning, it goes to the
/// field above. False for what filters the list.
bool Dialogs::type_path(const std::string& typed) {
    if (typing_path_) {
        path_field_ += typed;
        return true;
    }
    const std::string whole = view_.filter + typed;
    if (whole.find('/') == std::string::npos && whole.front() != '~') {
        return false;
    }
    typing_path_ = true;
    problem_ = {};
    path_field_ = whole;
    view_.filter.clear();
    rearrange();
    return true;
}

std::string Dialogs::problem_text(const Context& ctx) const {
    return problem_.first.empty() ? "" : ctx.text.format(problem_.first, {{"what", ctx.text.message(problem_.second)}});
}

std::string Dialogs::question_text(const Context& ctx) const {
    return ctx.text.format("files.exists", {{"name", shown_name(question_->file.name)},
                                            {"size", ui::bytes_text(ctx.text, question_->file.bytes)},
                                            {"date", date_text(question_->file.modified)}});
}

/// Of what stands below the name: the buttons, and a sentence above them.
float Dialogs::foot_height(const Context& ctx) const {
    const std::string sentence = question_ ? question_text(ctx) : problem_text(ctx);
    const auto lines =
        sentence.empty() ? std::size_t{0} : ui::wrap_lines(sentence, ImGui::GetContentRegionAvail().x).size();
    const float line = ImGui::GetTextLineHeight() + std::floor(ImGui::GetFontSize() * 0.2f);
    return static_cast<float>(lines) * line + (lines > 0 ? ImGui::GetStyle().ItemSpacing.y : 0) +
           ImGui::GetFrameHeightWithSpacing();
}

void Dialogs::draw_foot(const Context& ctx) {
    if (question_) {
        draw_question(ctx);
        return;
    }
    const std::string problem = problem_text(ctx);
    if (low_) {
        draw_buttons(ctx);
    }
    if (!problem.empty()) {
        ui::text_wrapped(problem, ctx.theme.error);
    }
    if (!low_) {
        draw_buttons(ctx);
    }
}

void Dialogs::draw_question(const Context& ctx) {
    ui::text_wrapped(question_text(ctx), ctx.theme.warning);
    const char *yes = ctx.text.label("files.overwrite"), *no = ctx.text.label("files.keep");
    ImGui::Dummy({0, 0});
    ui::align_right(ui::button_width(yes) + ui::button_width(no) + ImGui::GetStyle().ItemSpacing.x);
    const bool overwrite = ImGui::Button(yes);
    ui::flow(ui::button_width(no));
    const bool leave = ui::primary_button(ctx, no);
    if (overwrite) {
        accept(fs::path(question_->path));
        question_.reset();
    } else if (leave) {
        question_.reset();
        focus_ = Focus::name;
    }
}

std::string Dialogs::ok_label(const Context& ctx) const {
    const char* key = saving() ? "files.save" : for_folder() ? "files.open_folder" : "files.open";
    return ctx.text(low_ && for_folder() ? "files.open" : key) + (std::string("###") + key);
}

float Dialogs::buttons_width(const Context& ctx) const {
    return ui::button_width(ok_label(ctx).c_str()) + ui::button_width(ctx.text.label("common.cancel")) +
           ImGui::GetStyle().ItemSpacing.x;
}

void Dialogs::draw_buttons(const Context& ctx) {
    const std::string ok = ok_label(ctx);
    const char* cancel = ctx.text.label("common.cancel");
    if (low_) {
        ui::flow(buttons_width(ctx));
    } else {
        ImGui::Dummy({0, 0});
        ui::align_right(buttons_width(ctx));
    }
    ImGui::BeginDisabled(looking_ || (base::trimmed(name_).empty() && !for_folder()));
    if (ui::primary_button(ctx, ok.c_str())) {
        confirm();
    }
    ImGui::EndDisabled();
    ui::flow(ui::button_width(cancel));
    if (ImGui::Button(cancel)) {
        this->cancel();
    }
}

}  // namespace moescope::app
