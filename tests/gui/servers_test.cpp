// A model on a server through the form: nothing is asked of it, and another machine needs a tick.
#include <algorithm>
#include <string>

#include "tests/gui/harness.hpp"

namespace moescope::gui_test {
namespace {

const client::ModelEntry* model_at(Harness& h, const std::string& path) {
    for (const client::ModelEntry& model : h.snapshot().models) {
        if (model.path == path) {
            return &model;
        }
    }
    return nullptr;
}

void type(ImGuiTestContext* ctx, const char* field, const char* text) {
    ctx->ItemInput((std::string("//###servers.form/###servers.") + field).c_str());
    ctx->KeyCharsReplaceEnter(text);
    ctx->Yield(2);
}

bool form_is_open(ImGuiTestContext* ctx) {
    const ImGuiWindow* form = ctx->GetWindowByRef("//###servers.form");
    return form != nullptr && form->Active;
}

void add_a_server(Harness& h, ImGuiTestContext* ctx) {
    h.settle(ctx);
    h.workbench().command("models.add_server");
    ctx->Yield(3);
    IM_CHECK(form_is_open(ctx));
    type(ctx, "address", "http://127.0.0.1:9");
    type(ctx, "model", "of/tiny-moe");
    type(ctx, "key_variable", "MOESCOPE_TEST_NO_KEY");
    ctx->ItemClick("//###servers.form/###servers.add");
    const std::string here = "http://127.0.0.1:9/v1#of/tiny-moe", there = "http://192.0.2.1:80/v1#far";
    IM_CHECK(h.wait(ctx, 30, [&] { return model_at(h, here) != nullptr && !form_is_open(ctx); }));
    const client::ModelEntry model = *model_at(h, here);
    IM_CHECK(model.state == protocol::ModelState::server && model.available && model.server);
    IM_CHECK_EQ(model.server->key_variable, std::string("MOESCOPE_TEST_NO_KEY"));
    // Another machine: the node says why not, and the form stays.
    h.workbench().command("models.add_server");
    ctx->Yield(3);
    type(ctx, "address", "http://192.0.2.1");
    type(ctx, "model", "far");
    const std::uint64_t before = h.workbench().notices().count();
    ctx->ItemClick("//###servers.form/###servers.add");
    IM_CHECK(h.wait(ctx, 30, [&] { return h.workbench().notices().count() > before; }));
    IM_CHECK(form_is_open(ctx));
    IM_CHECK(model_at(h, there) == nullptr);
    ctx->ItemClick("//###servers.form/###servers.remote");
    ctx->ItemClick("//###servers.form/###servers.add");
    IM_CHECK(h.wait(ctx, 30, [&] { return model_at(h, there) != nullptr; }));
    IM_CHECK(model_at(h, there)->server->remote);
    for (const std::string& path : {here, there}) {
        h.workbench().client().send("models.remove", {{"name", model_at(h, path)->name}});
        IM_CHECK(h.wait(ctx, 30, [&] { return model_at(h, path) == nullptr; }));
    }
}

}  // namespace

void register_servers(Harness& harness) {
    harness.add("panels", "a model on a server is added through its form",
                [&harness](ImGuiTestContext* ctx) { add_a_server(harness, ctx); });
}

}  // namespace moescope::gui_test
