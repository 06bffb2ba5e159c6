// A model that was trained here for a moment is exported through the form, by mouse, and stands in the library.
#include <algorithm>
#include <filesystem>
#include <imgui_internal.h>
#include <nlohmann/json.hpp>
#include <string>

#include "tests/gui/harness.hpp"
#include "tests/gui/trained_model.hpp"

namespace moescope::gui_test {
namespace {

namespace fs = std::filesystem;
constexpr const char* kForm = "//###models.export.form/";

/// The name of a model with rows of 64 weights, which fill the blocks of q8_0; empty when none came to be.
std::string small_model(Harness& h, ImGuiTestContext* ctx) {
    nlohmann::json config = preset_config(h, "workshop");
    config["model"].update({{"layers", 2},
                            {"width", 64},
                            {"heads", 2},
                            {"kv_heads", 1},
                            {"experts", 4},
                            {"expert_width", 64},
                            {"context", 64},
                            {"vocabulary", 1024}});
    config["train"].update({{"steps", 2}, {"batch", 2}, {"checkpoint_every", 2}});
    return trained_model(h, ctx, "to export", config);
}

const client::ModelEntry* model_at(Harness& h, const fs::path& path) {
    const auto& models = h.snapshot().models;
    const auto found = std::find_if(models.begin(), models.end(),
                                    [&](const client::ModelEntry& model) { return model.path == path.string(); });
    return found == models.end() ? nullptr : &*found;
}

bool form_is_open(ImGuiTestContext* ctx) {
    const ImGuiWindow* form = ctx->GetWindowByRef("//###models.export.form");
    return form != nullptr && form->Active;
}

void click(ImGuiTestContext* ctx, const std::string& item) {
    ctx->ItemClick((kForm + item).c_str());
    ctx->Yield(2);
}

void export_a_model(Harness& h, ImGuiTestContext* ctx) {
    h.settle(ctx);
    const std::string model = small_model(h, ctx);
    IM_CHECK(!model.empty());
    h.workbench().set_layout("compare");  // where the panel is high: other tests leave many models
    h.workbench().show_panel("models");
    ctx->Yield(4);
    // Its row, to which the list of all that other tests have left is scrolled, and the button above what is known of
    // it.
    const std::string row = "//###panel.models/**/" + model + "/###row";
    const ImGuiWindow* list = ctx->ItemInfo("//###panel.models/**/###row").Window;
    IM_CHECK(list != nullptr);
    for (float y = 0; !ctx->ItemExists(row.c_str()) && y <= list->ScrollMax.y; y += ImGui::GetFontSize()) {
        ctx->ScrollTo(list->ID, ImGuiAxis_Y, y);
        ctx->Yield(2);
    }
    ctx->ItemClick(row.c_str(), 0, ImGuiTestOpFlags_MoveToEdgeL);
    ctx->Yield(4);
    ctx->ItemClick("//###panel.models/**/###models.export.open");
    ctx->Yield(3);
    IM_CHECK(form_is_open(ctx));
    click(ctx, "###models.export.precision");
    ctx->ItemClick("//$FOCUSED/q8_0");
    ctx->Yield(2);
    const fs::path file = h.folder() / "small-q8_0.gguf";
    const std::uint64_t before = h.workbench().notices().count();
    click(ctx, "###models.export.start");
    IM_CHECK(h.wait(ctx, 20, [&] { return h.workbench().answer_path(file.string()); }));
    IM_CHECK(h.wait(ctx, 60, [&] { return model_at(h, file) != nullptr; }));
    IM_CHECK_EQ(model_at(h, file)->precision, std::string("Q8_0"));
    IM_CHECK(model_at(h, file)->available);
    IM_CHECK_GE(h.workbench().notices().count(), before + 3);  // a note, where it is, and that the library has it
    IM_CHECK(form_is_open(ctx));                               // it says the same
    // The other form: a folder of that name in the folder that a person chooses, and the library is left alone.
    const std::size_t models = h.snapshot().models.size();
    click(ctx, "format/###models.export.format.huggingface");
    ctx->ItemInput((std::string(kForm) + "###models.export.name").c_str());
    ctx->KeyCharsReplace("small-folder");
    click(ctx, "###models.export.start");
    IM_CHECK(h.wait(ctx, 20, [&] { return h.workbench().answer_path(h.folder().string()); }));
    IM_CHECK(h.wait(ctx, 60, [&] { return fs::exists(h.folder() / "small-folder" / "config.json"); }));
    IM_CHECK_EQ(h.snapshot().models.size(), models);
    click(ctx, "###models.export.close");
    IM_CHECK(!form_is_open(ctx));
    h.workbench().client().send("models.remove", {{"name", model_at(h, file)->name}});
    IM_CHECK(h.wait(ctx, 30, [&] { return model_at(h, file) == nullptr; }));
    h.workbench().set_layout("training");
}

/// What the tour and a person with a keyboard do: the same by commands.
void export_by_commands(Harness& h, ImGuiTestContext* ctx) {
    h.settle(ctx);
    const std::string model = small_model(h, ctx);
    IM_CHECK(!model.empty());
    for (const std::string& command :
         {"models.export=" + model, std::string("models.export.format=gguf"),
          std::string("models.export.precision=f16"), std::string("models.export.router=quantised"),
          std::string("models.export.add=no"), std::string("models.export.start")}) {
        IM_CHECK(h.workbench().command(command));
        ctx->Yield(2);
    }
    const fs::path file = h.folder() / "small-f16.gguf";
    IM_CHECK(h.wait(ctx, 20, [&] { return h.workbench().answer_path(file.string()); }));
    IM_CHECK(h.wait(ctx, 60, [&] { return fs::exists(file) && fs::file_size(file) > 1000; }));
    IM_CHECK(model_at(h, file) == nullptr);
    h.workbench().command("models.export.format=gguf");
    click(ctx, "###models.export.close");
}

}  // namespace

void register_export(Harness& harness) {
    harness.add("panels", "a model is exported through its form and stands in the library",
                [&harness](ImGuiTestContext* ctx) { export_a_model(harness, ctx); });
    harness.add("panels", "a model is exported by commands",
                [&harness](ImGuiTestContext* ctx) { export_by_commands(harness, ctx); });
}

}  // namespace moescope::gui_test
