#include "tests/gui/trained_model.hpp"

#include "nodes/history/checkpoint_name.hpp"

namespace moescope::gui_test {

using history::RunState;

nlohmann::json preset_config(const Harness& h, const std::string& preset) {
    for (const nlohmann::json& one : h.snapshot().catalogue->at("presets")) {
        if (one.at("name") == preset) {
            return one.at("config");
        }
    }
    return nullptr;
}

std::string trained_model(Harness& h, ImGuiTestContext* ctx, const std::string& name, const nlohmann::json& config) {
    const auto ready = [&]() -> std::string {
        for (const auto& [id, run] : h.snapshot().training) {
            for (const client::ModelEntry& model : h.snapshot().models) {
                // Not the model as it is now, which the library drops when it hears that the run has ended.
                const auto checkpoint = history::checkpoint_named(model.name);
                if (run->name == name && protocol::ended(run->state) && model.available && checkpoint &&
                    checkpoint->run == id && checkpoint->which == history::CheckpointName::Which::step) {
                    return model.name;
                }
            }
        }
        return "";
    };
    if (const std::string known = ready(); !known.empty()) {
        return known;
    }
    if (!h.snapshot().training.empty() && h.training().state == RunState::running) {
        h.workbench().command("run.stop");
    }
    h.workbench().client().send("train.start", {{"config", config}, {"name", name}});
    h.wait(ctx, 180, [&] { return !ready().empty(); });
    return ready();
}

}  // namespace moescope::gui_test
