// Every text of every panel and of what floats above them is whole: in three sizes of the window, with normal and with
// the largest letters, in both languages, no letter is cut at the side and no line lies over another one. What does not
// fit wraps, or ends with an ellipsis and has a tooltip. MOESCOPE_TEST_PICTURES=FOLDER keeps a picture of each place.
#include <algorithm>
#include <cstdlib>
#include <fmt/format.h>
#include <imgui_internal.h>
#include <string_view>

#include "panels/panels.hpp"
#include "tests/gui/harness.hpp"
#include "tests/gui/screen_text.hpp"
#include "tests/gui/written_session.hpp"

namespace moescope::gui_test {
namespace {

struct Look {
    int width, height;
    float scale;
    const char* language;
    std::string name() const { return fmt::format("{}x{}-{}-{}", width, height, scale, language); }
};

/// Beyond the edge is more to scroll to, or more tabs behind arrows.
bool scrolls_sideways(const ScreenLine& line) {
    const ImGuiWindow* window = ImGui::FindWindowByName(line.owner.c_str());
    return window == nullptr || window->ScrollMax.x > 0 || window->DockNodeAsHost != nullptr ||
           (window->Flags & ImGuiWindowFlags_DockNodeHost) != 0;
}

/// A field in which a person types scrolls, too.
bool is_in_field(ImGuiTestContext* ctx, const ScreenLine& line) {
    ImGuiTestItemList items;
    ctx->GatherItems(&items, ("//###" + line.window).c_str());
    for (const ImGuiTestItemInfo& item : items) {
        if ((item.ItemFlags & ImGuiItemFlags_Inputable) != 0 && item.RectFull.Contains(line.middle())) {
            return true;
        }
    }
    return false;
}

/// Two lines of one window that lie over each other by more than their blurred edges.
bool overlap(const ScreenLine& a, const ScreenLine& b) {
    constexpr float kTouch = 1.5f;
    return a.window == b.window && a.part == b.part &&
           std::min(a.max.x, b.max.x) - std::max(a.min.x, b.min.x) > kTouch &&
           std::min(a.max.y, b.max.y) - std::max(a.min.y, b.min.y) > kTouch;
}

/// Letters of the icon font (U+E000 on) stand on plots and cells where they mark something, and are higher than text.
bool is_sign(const ScreenLine& line) {
    const auto first = static_cast<unsigned char>(line.text.front());
    return first == 0xEE || first == 0xEF;
}

class Walk {
 public:
    Walk(Harness& h, ImGuiTestContext* ctx) : h_(h), ctx_(ctx) {
        if (const char* folder = std::getenv("MOESCOPE_TEST_PICTURES")) {
            pictures_ = folder;
            return;
        }
        // What is read are the triangles. Their pixels are drawn as a thumbnail: a software renderer needs its time.
        ImGuiContextHook hook;
        hook.Type = ImGuiContextHookType_RenderPost;
        hook.Callback = [](ImGuiContext*, ImGuiContextHook*) {
            ImGui::GetDrawData()->FramebufferScale = {0.02f, 0.02f};
        };
        hook_ = ImGui::AddContextHook(ImGui::GetCurrentContext(), &hook);
    }
    ~Walk() {
        if (hook_ != 0) {
            ImGui::RemoveContextHook(ImGui::GetCurrentContext(), hook_);
        }
    }
    Walk(const Walk&) = delete;
    Walk& operator=(const Walk&) = delete;

    void go(const Look& look) {
        look_ = look;
        h_.platform().set_size(look.width, look.height);
        h_.workbench().set_text_scale(look.scale);
        h_.workbench().set_language(look.language);
        h_.workbench().command("view.layout_reset");
        ctx_->Yield(8);
        for (const ui::PanelDescription& panel : panels::all_panels()) {
            h_.workbench().show_panel(panel.key);
            ctx_->Yield(6);
            read(panel.key);
        }
        for (const char* command :
             {"runs.new", "models.add_server", "models.export", "file.open_session", "file.open_recent",
              "file.connect_node", "help.messages", "help.diagnostics", "help.palette", "help.welcome"}) {
            h_.workbench().command(command);
            h_.wait(ctx_, 20, [&] { return !h_.workbench().dialogs().reading(); });
            ctx_->Yield(6);
            read(command);
            for (int i = 0; i < 4 && (!h_.workbench().floating().shown.empty() || h_.workbench().welcome_visible());
                 ++i) {
                ctx_->KeyPress(ImGuiKey_Escape);
                ctx_->Yield(3);
            }
        }
    }
    std::size_t wrong() const { return wrong_; }

 private:
    void read(const std::string& place) {
        const std::vector<ScreenLine> lines = h_.screen(ctx_);
        const auto complain = [&](const std::string& what) {
            ++wrong_;
            ctx_->LogError("%s, %s: %s", look_.name().c_str(), place.c_str(), what.c_str());
        };
        for (std::size_t i = 0; i < lines.size(); ++i) {
            const bool edge = lines[i].cut && !scrolls_sideways(lines[i]);
            // Tabs that find no place are behind the arrows of their bar; one may be there in part.
            const bool tab = lines[i].window.starts_with("WindowOverViewport");
            if (edge || (lines[i].cut_in_frame && !tab && !is_in_field(ctx_, lines[i]))) {
                complain(fmt::format("{} cuts \"{}\"", lines[i].window, lines[i].text));
            }
            for (std::size_t k = i + 1; k < lines.size(); ++k) {
                if (overlap(lines[i], lines[k]) && !is_sign(lines[i]) && !is_sign(lines[k])) {
                    const auto described = [](const ScreenLine& line) {
                        return fmt::format("\"{}\" ({:.1f} to {:.1f}, the highest letter is {})", line.text, line.min.y,
                                           line.max.y, line.tallest);
                    };
                    complain(
                        fmt::format("{} has {} over {}", lines[i].window, described(lines[k]), described(lines[i])));
                }
            }
        }
        if (!pictures_.empty()) {
            h_.take_picture(ctx_, fmt::format("{}/{}-{}", pictures_, look_.name(), place));
        }
    }

    Harness& h_;
    ImGuiTestContext* ctx_;
    Look look_{};
    std::string pictures_;
    ImGuiID hook_ = 0;
    std::size_t wrong_ = 0;
};

void whole_text(Harness& h, ImGuiTestContext* ctx) {
    h.settle(ctx);
    const std::filesystem::path before = h.workbench().session(), folder = h.folder() / "written";
    WrittenSession(folder, "Zuva", 1).write("TATAPTBAPR");
    IM_CHECK(h.open_session(ctx, folder, [&] {
        const client::Snapshot& now = h.snapshot();
        return now.training.size() == 3 && now.probes.size() == 2 && now.generations.size() == 9 &&
               now.routing.size() == 1 && now.tasks.empty();
    }));
    h.workbench().selection().routing_token = 3;  // its whole decision is shown
    // A second tab, so that forms offer a choice of session, and the table of nodes is there.
    const std::filesystem::path beside = h.folder() / "another session whose name is rather long";
    WrittenSession(beside, "Kemo", 2).write("TT");
    h.workbench().open_session(beside);
    IM_CHECK(h.wait(ctx, 60, [&] { return h.workbench().session() == beside && h.snapshot().training.size() == 2; }));
    h.workbench().open_session(folder);
    IM_CHECK(h.wait(ctx, 20, [&] { return h.workbench().session() == folder; }));
    Walk walk(h, ctx);
    for (const char* language : {"en", "zh"}) {
        for (const float scale : {1.0f, 2.5f}) {
            for (const auto& [width, height] : {std::pair{800, 520}, std::pair{1280, 720}, std::pair{1920, 1080}}) {
                walk.go({width, height, scale, language});
            }
        }
    }
    h.platform().set_size(1280, 720);
    h.workbench().set_text_scale(1);
    h.workbench().set_language("en");
    h.workbench().command("view.layout_reset");
    IM_CHECK(h.open_session(ctx, before));
    IM_CHECK_EQ(walk.wrong(), std::size_t{0});
}

}  // namespace

void register_whole_text(Harness& harness) {
    harness.add("text", "nothing is cut or lies over something else",
                [&harness](ImGuiTestContext* ctx) { whole_text(harness, ctx); });
}

}  // namespace moescope::gui_test
