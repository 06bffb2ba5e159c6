// The form that writes a model for other programs: which one, in which form, how finely, and whether the library shall
// have the file too. Owned by the models panel.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "panels/ui/context.hpp"
#include "panels/ui/undo.hpp"

namespace moescope::panels {

/// There is a file or a folder of it here that could be written in another form.
bool can_export(const client::ModelEntry& model);

class ExportForm {
 public:
    /// With `model`, a name of the library; empty: with what stood in it last, else the run on show or the newest one
    /// of this session, else the first that can be written.
    void open(const ui::Context& ctx, const std::string& model);
    /// models.export.format=gguf or huggingface, models.export.precision=NAME, models.export.router=f32 or quantised,
    /// models.export.name=NAME (of a folder), models.export.add=yes or no, and models.export.start, which asks where.
    /// False when it is none of them.
    bool act(const std::string& action, ui::Context& ctx);
    /// Every frame, also while it is closed: takes the node's answers. The name of a model that was added to the
    /// library just now, else empty.
    std::string draw(ui::Context& ctx);

 private:
    bool is_gguf() const { return format_ == 0; }
    /// The language key of what stands in the way; null: nothing.
    const char* obstacle(const ui::Context& ctx) const;
    std::string proposed_name(const ui::Context& ctx) const;
    void start(ui::Context& ctx);
    void send(client::NodeClient& client, nlohmann::json order, const std::string& path, bool add);
    void take_exported(const ui::Context& ctx);
    void draw_fields(ui::Context& ctx);
    void watch(ui::Context& ctx);
    void draw_precision(ui::Context& ctx);
    void draw_progress(ui::Context& ctx);
    void draw_result(const ui::Context& ctx);
    void draw_buttons(ui::Context& ctx);

    ui::FieldWatch watch_;
    bool open_ = false;
    std::string model_, precision_, name_;
    int format_ = 0, router_ = 0;  ///< places in the rows of buttons
    bool add_ = true;              ///< a GGUF file to the library
    // Of what was sent last:
    client::CommandId exporting_ = 0, adding_ = 0;
    std::string file_;      ///< name of the file or folder
    bool add_it_ = false;   ///< once it is written
    std::string saved_as_;  ///< where it is; empty: nowhere yet
    std::vector<base::Sentence> notes_;
    base::Sentence problem_;
};

}  // namespace moescope::panels
