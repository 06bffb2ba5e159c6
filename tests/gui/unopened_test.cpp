// A session that another program uses, and a folder that is none: what the window says and offers.
#include "sessions/session.hpp"
#include "tests/gui/harness.hpp"

namespace moescope::gui_test {
namespace {

using client::Link;

void open_for_reading(Harness& h, ImGuiTestContext* ctx) {
    h.settle(ctx);
    const std::filesystem::path before = h.workbench().session(), busy = before.parent_path() / "busy";
    auto other = sessions::Session::open(busy, sessions::Journal::Mode::read_write);
    h.workbench().open_session(busy);
    IM_CHECK(h.wait(ctx, 30, [&] { return h.snapshot().link.state == Link::State::unopened; }));
    IM_CHECK(h.snapshot().link.message.english().find("is in use by process") != std::string::npos);
    ctx->SetRef("//###unopened");
    IM_CHECK(ctx->ItemExists("###unopened.other"));
    ctx->ItemClick("###unopened.read");
    IM_CHECK(h.wait(ctx, 30,
                    [&] { return h.snapshot().link.state == Link::State::connected && h.snapshot().node.read_only; }));
    // The other program ends, and the session is opened as usual, once its tab for reading is closed.
    other.reset();
    ctx->KeyPress(ImGuiMod_Ctrl | ImGuiKey_W);
    IM_CHECK(h.wait(ctx, 30, [&] {
        return h.snapshot().link.state == Link::State::connected && !h.snapshot().node.read_only &&
               h.snapshot().node.session == before.string();
    }));
    h.workbench().open_session(busy);
    IM_CHECK(h.wait(ctx, 30, [&] {
        return h.snapshot().link.state == Link::State::connected && h.snapshot().node.session == busy.string() &&
               !h.snapshot().node.read_only;
    }));
    IM_CHECK(h.open_session(ctx, before));
}

}  // namespace

void register_unopened(Harness& harness) {
    harness.add("unopened", "a session in use opens for reading",
                [&harness](ImGuiTestContext* ctx) { open_for_reading(harness, ctx); });
}

}  // namespace moescope::gui_test
