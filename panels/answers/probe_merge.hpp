// Where codings of another copy of the session are brought into this one: the file, what was found, and where the same
// coder says two things of one answer, which of them stays. GUI thread.
#pragma once

#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "panels/ui/context.hpp"
#include "panels/ui/undo.hpp"

namespace moescope::panels {

class MergeForm {
 public:
    /// Button and menu, as the next item of a row.
    void draw_button(ui::Context& ctx);
    /// Opens the dialog for a folder or an archive; what is chosen there is asked of the node.
    void choose(ui::Context& ctx, bool folder);
    /// What the node is asked at once, for commands and tests.
    void merge(ui::Context& ctx, const std::string& path);
    /// The window of the result and of the conflicts, when there is anything to say.
    void draw(ui::Context& ctx);

 private:
    void send(ui::Context& ctx, const char* conflicts);
    void take_answer(const ui::Context& ctx);
    void draw_waiting(ui::Context& ctx);
    void draw_result(ui::Context& ctx);
    void draw_conflicts(ui::Context& ctx);

    struct Chosen {
        std::string path;
    };
    /// The dialog may be answered when this form is gone.
    std::shared_ptr<Chosen> chosen_ = std::make_shared<Chosen>();
    std::string path_;
    client::CommandId sending_ = 0;
    nlohmann::json found_;  ///< the node's latest answer; null: none
    ui::FieldWatch watch_;
    std::map<std::string, bool> theirs_;  ///< by the conflict's id: what was decided here
    base::Sentence problem_;
    bool open_ = false;
};

}  // namespace moescope::panels
