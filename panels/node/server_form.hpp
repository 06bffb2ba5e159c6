// The form that adds a model on a server to the library: its address, its name there, where the key is, and whether
// anything may leave this machine. Owned by the models panel.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "panels/ui/context.hpp"
#include "panels/ui/undo.hpp"

namespace moescope::panels {

class ServerForm {
 public:
    /// With what stood in it last, or with `address` where that is not empty.
    void open(const std::string& address);
    /// Every frame, also while it is closed: takes the node's answers. The name of a model that was added just now,
    /// else empty.
    std::string draw(ui::Context& ctx);

 private:
    nlohmann::json parameters() const;
    void add(ui::Context& ctx);
    void take_models(const ui::Context& ctx);
    void draw_fields(ui::Context& ctx);
    nlohmann::json fields() const;
    void watch(ui::Context& ctx);
    void draw_model(ui::Context& ctx);
    void draw_config(ui::Context& ctx);
    void draw_buttons(ui::Context& ctx);

    ui::FieldWatch watch_;
    bool open_ = false;
    std::string address_, model_, key_variable_, config_;
    int dialect_ = 0;
    bool remote_ = false;
    client::CommandId adding_ = 0, asking_ = 0;
    std::vector<std::string> models_;  ///< of the server, when it was asked
    std::string left_out_;             ///< of its list, see list_notes()
    base::Sentence problem_;
};

/// What the answer of models.ask says of models that its list leaves out; empty when it has them all.
std::string list_notes(const ui::Context& ctx, const nlohmann::json& answer);

/// How a server is spoken to, in words: "vLLM".
std::string dialect_text(const ui::Context& ctx, const std::string& dialect);

}  // namespace moescope::panels
