// Curves of another tool are imported, stand beside a training in its plots and in the list of runs, and are written
// again.
#include <filesystem>
#include <fstream>
#include <string>

#include "tests/gui/harness.hpp"

namespace moescope::gui_test {
namespace {

namespace fs = std::filesystem;

void curves_beside_a_training(Harness& h, ImGuiTestContext* ctx) {
    h.settle(ctx);
    h.ensure_training(ctx);
    const fs::path table = h.folder() / "theirs.csv";
    std::ofstream(table) << "step,loss,accuracy\n1,9,0.25\n2,8.5,0.5\n3,8.25,0.75\n90000,8,0.75\n";
    const std::uint64_t notices = h.workbench().notices().count();
    IM_CHECK(h.workbench().command("curves.import=" + table.string()));
    IM_CHECK(h.wait(ctx, 30, [&] {
        const auto& imports = h.snapshot().imports;
        return !imports.empty() && imports.rbegin()->second->curves.size() == 2 &&
               imports.rbegin()->second->curves[1].step.size() == 4 && h.workbench().notices().count() > notices;
    }));
    const history::ImportedRun& run = *h.snapshot().imports.rbegin()->second;
    IM_CHECK_EQ(run.name, std::string("theirs"));
    const std::string id = std::to_string(run.id);
    // What is a loss stands in the plot of the loss; the accuracy is a curve of its own.
    ctx->Yield(4);
    const std::string legend = "//###panel.training/**/training.imported." + id + ".";
    IM_CHECK(ctx->ItemExists((legend + "1/###legend").c_str()));
    // It goes on where the training has ended long ago: the axis has room for it.
    IM_CHECK(h.workbench().selection().follow);
    IM_CHECK_GE(h.workbench().selection().step_max, 90000.0);
    h.workbench().show_panel("runs");
    ctx->Yield(4);
    const std::string row = "//###panel.runs/**/###import" + id;
    IM_CHECK(ctx->ItemExists(row.c_str()));
    ctx->ItemClick(row.c_str());
    ctx->Yield(4);
    IM_CHECK(!ctx->ItemExists((legend + "1/###legend").c_str()));
    IM_CHECK_LT(h.workbench().selection().step_max, 90000.0);
    ctx->ItemClick(row.c_str());
    ctx->Yield(4);
    IM_CHECK(ctx->ItemExists((legend + "1/###legend").c_str()));
    // Written again through its menu.
    const fs::path out = h.folder() / "again.csv";
    ctx->ItemClick(row.c_str(), 1);
    ctx->ItemClick("//$FOCUSED/###curves.export.csv");
    IM_CHECK(h.wait(ctx, 20, [&] { return h.workbench().answer_path(out.string()); }));
    IM_CHECK(h.wait(ctx, 30, [&] { return fs::exists(out); }));
    std::ifstream file(out);
    std::string head;
    std::getline(file, head);
    IM_CHECK_EQ(head, std::string("step,wall_time [s],accuracy,loss [nats/token]\r"));
}

}  // namespace

void register_curves(Harness& harness) {
    harness.add("panels", "curves of another tool are imported beside a training and written again",
                [&harness](ImGuiTestContext* ctx) { curves_beside_a_training(harness, ctx); });
}

}  // namespace moescope::gui_test
