#include "app/dialogs.hpp"

#include <imgui.h>
#include <imgui_stdlib.h>
#include <portable_file_dialogs.h>
#include <utility>

#include "panels/ui/text_layout.hpp"
#include "panels/ui/widgets.hpp"

namespace moescope::app {

/// One running dialog of the desktop (a child process), asked once per frame.
class Dialogs::Native {
 public:
    Native(PathKind kind, const std::string& title, const std::string& proposal) {
        if (kind == PathKind::open_file) {
            open_ = std::make_unique<pfd::open_file>(title, proposal);
        } else if (kind == PathKind::open_folder) {
            folder_ = std::make_unique<pfd::select_folder>(title, proposal);
        } else {
            save_ = std::make_unique<pfd::save_file>(title, proposal);
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

Dialogs::Dialogs(bool native) : native_(native && pfd::settings::available()) {}
Dialogs::~Dialogs() = default;

void Dialogs::ask(PathKind kind, std::string title, std::string proposal,
                  std::function<void(const std::string&)> done) {
    title_ = std::move(title);
    field_ = std::move(proposal);
    done_ = std::move(done);
    open_ = appear_ = true;
    if (native_) {
        native_dialog_ = std::make_unique<Native>(kind, title_, field_);
    }
}

void Dialogs::close() {
    native_dialog_.reset();
    open_ = false;
    done_ = nullptr;
}

bool Dialogs::answer(const std::string& path) {
    if (!open_ || native_dialog_ || !done_) {
        return false;
    }
    open_ = false;
    std::exchange(done_, nullptr)(path);
    return true;
}

void Dialogs::draw(const ui::Context& ctx) {
    if (!open_) {
        return;
    }
    std::string path;
    if (native_dialog_) {
        if (!native_dialog_->ready()) {
            return;
        }
        path = native_dialog_->result();
        open_ = false;
        native_dialog_.reset();
    } else {
        const ImVec2 centre = ImGui::GetMainViewport()->GetCenter();
        ImGui::SetNextWindowPos(centre, ImGuiCond_Appearing, {0.5f, 0.5f});
        ImGui::SetNextWindowSize({ctx.em * 36, 0});
        const bool fresh = std::exchange(appear_, false);
        if (fresh) {
            ImGui::SetNextWindowFocus();
        }
        const std::string name = title_ + "###path";
        bool keep = true;
        if (ImGui::Begin(name.c_str(), &keep,
                         ImGuiWindowFlags_NoDocking | ImGuiWindowFlags_NoSavedSettings | ImGuiWindowFlags_NoCollapse)) {
            ui::text_dim(ctx, ctx.text("path.hint"));
            ImGui::SetNextItemWidth(-1);
            if (fresh) {
                ImGui::SetKeyboardFocusHere();
            }
            const bool entered = ImGui::InputText("###path.field", &field_, ImGuiInputTextFlags_EnterReturnsTrue);
            if (ui::primary_button(ctx, ctx.text.label("path.ok")) || entered) {
                path = field_;
                keep = false;
            }
            ImGui::SameLine();
            if (ImGui::Button(ctx.text.label("common.cancel")) || ImGui::IsKeyPressed(ImGuiKey_Escape)) {
                keep = false;
            }
        }
        ImGui::End();
        open_ = keep;
    }
    if (!open_ && !path.empty() && done_) {
        std::exchange(done_, nullptr)(path);
    }
}

}  // namespace moescope::app
