// A session that another program uses, and a folder that is none: what the window says and offers.
#include <cstdlib>

#include "sessions/session.hpp"
#include "tests/files.hpp"
#include "tests/gui/harness.hpp"
#include "tests/paths.hpp"

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

/// A machine that has no moescope-node gets it, and the window is connected. ssh is a script here, which runs what it
/// is told to in another home; what arrives there starts this build's node.
void copy_to_another_machine(Harness& h, ImGuiTestContext* ctx) {
    h.settle(ctx);
    const std::filesystem::path before = h.workbench().session(), there = before.parent_path() / "there",
                                folder = before.parent_path() / "copied";
    const std::string node = moescope::test::binary_folder() + "/moescope-node", home = there.string();
    std::filesystem::create_directories(there);
    const auto program = [](const std::filesystem::path& file, const std::string& text) {
        moescope::test::write_text(file, "#!/bin/sh\n" + text);
        std::filesystem::permissions(file, std::filesystem::perms::owner_all);
    };
    program(folder / "ssh", "for last; do :; done\nHOME='" + home + "' PATH=/usr/bin:/bin exec /bin/sh -c \"$last\"\n");
    program(folder / "tree/m/bin/moescope-node", "[ \"$1\" = --version ] && exec '" + node + "' --version\nexec '" +
                                                     node + "' serve --stdio --session '" + home + "/session'\n");
    const std::string archive = (folder / "m.tar.gz").string();
    IM_CHECK(std::system(("tar -czf '" + archive + "' -C '" + (folder / "tree").string() + "' m").c_str()) == 0);
    ::setenv("MOESCOPE_SSH", (folder / "ssh").c_str(), 1);
    ::setenv("MOESCOPE_BUNDLE", archive.c_str(), 1);
    h.workbench().open_node("ssh://there");
    IM_CHECK(h.wait(ctx, 30, [&] { return h.snapshot().link.state == Link::State::refused; }));
    IM_CHECK(h.snapshot().link.obstacle == Link::Obstacle::no_program);
    IM_CHECK(h.wait(ctx, 10, [&] { return ctx->ItemExists("//###unopened/###unopened.copy"); }));
    ctx->ItemClick("//###unopened/###unopened.copy");
    IM_CHECK(h.wait(ctx, 30, [&] {
        return h.snapshot().link.state == Link::State::connected &&
               h.snapshot().node.session == (there / "session").string();
    }));
    IM_CHECK(std::filesystem::exists(there / ".local/share/moescope" / MOESCOPE_VERSION / "bin/moescope-node"));
    ::unsetenv("MOESCOPE_SSH");
    ::unsetenv("MOESCOPE_BUNDLE");
    IM_CHECK(h.open_session(ctx, before));
}

}  // namespace

void register_unopened(Harness& harness) {
    harness.add("unopened", "a session in use opens for reading",
                [&harness](ImGuiTestContext* ctx) { open_for_reading(harness, ctx); });
    harness.add("unopened", "a machine without moescope-node gets it",
                [&harness](ImGuiTestContext* ctx) { copy_to_another_machine(harness, ctx); });
}

}  // namespace moescope::gui_test
