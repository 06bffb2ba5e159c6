// kill -9 of the node while it trains: the window says so and goes on from the last checkpoint.
#include <signal.h>

#include "tests/gui/harness.hpp"

namespace moescope::gui_test {
namespace {

using client::Link;
using history::RunState;

void kill_and_go_on(Harness& h, ImGuiTestContext* ctx) {
    h.ensure_training(ctx);
    const std::uint64_t old_checkpoint = h.training().last_checkpoint;
    h.workbench().command("run.checkpoint");
    IM_CHECK(h.wait(ctx, 60, [&] { return h.training().last_checkpoint > old_checkpoint; }));
    const std::uint64_t checkpoint = h.training().last_checkpoint;
    const std::uint32_t run = h.training().id;
    const int process = h.workbench().client().node_process();
    IM_CHECK_GT(process, 0);
    IM_CHECK_EQ(kill(process, SIGKILL), 0);
    IM_CHECK(h.wait(ctx, 30, [&] { return h.snapshot().link.state == Link::State::crashed; }));
    IM_CHECK(h.training().step.back() >= static_cast<double>(checkpoint));  // what was shown is still shown
    ctx->SetRef("//###recovery");
    IM_CHECK(ctx->ItemExists("###recovery.restart"));
    ctx->ItemClick("###recovery.go_on");
    IM_CHECK(h.wait(ctx, 120, [&] {
        return h.snapshot().link.state == Link::State::connected && h.training().id == run &&
               h.training().state == RunState::running;
    }));
    IM_CHECK_NE(h.workbench().client().node_process(), process);
    const double step = h.training().step.back();
    IM_CHECK(h.wait(ctx, 120, [&] { return h.training().step.back() != step; }));
    h.workbench().command("run.stop");
    h.wait(ctx, 60, [&] { return h.training().state == RunState::stopped; });
}

}  // namespace

void register_crash(Harness& harness) {
    harness.add("crash", "kill the node, go on from the checkpoint",
                [&harness](ImGuiTestContext* ctx) { kill_and_go_on(harness, ctx); });
}

}  // namespace moescope::gui_test
