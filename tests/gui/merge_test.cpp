// Two people have coded the same answers in two copies of a session; one of them brings the other's codings in, settles
// what contradicts itself, looks at the agreement and codes a consensus.
#include <algorithm>
#include <cstdlib>
#include <imgui_internal.h>
#include <nlohmann/json.hpp>

#include "nodes/history/journal_reader.hpp"
#include "nodes/protocol/records.hpp"
#include "panels/ui/units.hpp"
#include "tests/gui/far_node.hpp"
#include "tests/gui/harness.hpp"
#include "tests/gui/written_session.hpp"

namespace moescope::gui_test {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

/// Labels the first answers of the probe run, as the node writes them.
void code(const fs::path& folder, const std::string& coder, const std::vector<std::string>& deliveries,
          std::uint64_t time) {
    const auto session = sessions::Session::open(folder, sessions::Journal::Mode::read_write);
    const history::Session history = history::read_session(session->journal());
    const history::ProbeRun& run = history.probes().begin()->second.value;
    for (std::size_t i = 0; i < deliveries.size(); ++i) {
        const history::ProbeDraw& draw = *run.draws.at(i);
        session->put_label({run.id, history::draw_key(draw), "delivery", deliveries[i], coder, time});
        const json record = {
            {"run", run.id},     {"item", draw.item},   {"model", draw.model},    {"language", draw.language},
            {"draw", draw.draw}, {"field", "delivery"}, {"value", deliveries[i]}, {"coder", coder}};
        const auto type = protocol::RecordType::probe_label;
        session->journal().append(static_cast<std::uint16_t>(type),
                                  static_cast<std::uint8_t>(protocol::channel_of(type)), time,
                                  protocol::encode_json(record));
    }
}

bool says(Harness& h, ImGuiTestContext* ctx, const std::string& text) {
    std::string all;
    for (const ScreenLine& line : h.screen(ctx)) {
        all += squeezed(line.text);
    }
    return all.find(squeezed(text)) != std::string::npos;
}

std::vector<std::shared_ptr<const history::ProbeDraw>> draws(Harness& h) {
    return h.snapshot().probes.rbegin()->second->draws;
}

void coders_meet(Harness& h, ImGuiTestContext* ctx) {
    const fs::path mine = h.folder() / "coder-a", theirs = h.folder() / "coder-b";
    WrittenSession(mine, "Medu", 3).write("P");
    fs::copy(mine, theirs, fs::copy_options::recursive);
    code(mine, "AA", {"refused", "answered", "answered"}, 1'764'000'100'000'000'000);
    code(theirs, "AA", {"blocked"}, 1'764'000'200'000'000'000);  // that coder changed their mind there
    code(theirs, "BB", {"refused", "answered", "cut"}, 1'764'000'300'000'000'000);
    IM_CHECK(h.open_session(ctx, mine, [&] { return h.snapshot().probes.size() == 1 && draws(h).size() == 16; }));
    h.workbench().set_layout("probe");
    ctx->Yield(5);
    h.workbench().show_panel("probe");
    ctx->Yield(5);
    IM_CHECK(ctx->ItemExists("//###panel.probe/###probe.merge"));
    IM_CHECK(h.workbench().command("probes.merge=" + theirs.string()));
    // The conflict is asked about, and nothing was written.
    const char* const window = "//###probe.merge.title";
    const std::string go = std::string(window) + "/###probe.merge.go";
    IM_CHECK(h.wait(ctx, 30, [&] { return ctx->ItemExists(go.c_str()); }));
    IM_CHECK(says(h, ctx, "conflicts: 1. Nothing has been merged yet"));
    IM_CHECK(says(h, ctx, "F1 refused"));
    IM_CHECK(says(h, ctx, "F1 blocked"));
    IM_CHECK(says(h, ctx, ui::moment_text(1'764'000'200'000'000'000)));  // whole, with the time of day
    const auto before = draws(h);
    IM_CHECK(std::all_of(before.begin(), before.end(), [](const auto& draw) { return draw->codings.size() < 2; }));
    ctx->ItemClick((std::string(window) + "/###probe.merge.all_mine").c_str());
    ctx->ItemClick(go.c_str());
    IM_CHECK(h.wait(ctx, 30, [&] { return says(h, ctx, "Of the conflicts, 1 stayed"); }));
    ctx->ItemClick((std::string(window) + "/###probe.merge.close").c_str());
    IM_CHECK(h.wait(ctx, 10, [&] { return draws(h)[2]->codings.size() == 2; }));
    IM_CHECK_EQ(draws(h)[0]->delivery, std::string("refused"));
    IM_CHECK(draws(h)[2]->disagreed && !draws(h)[1]->disagreed);

    // How far they agree; from there to the answer that they see differently, and to a consensus.
    IM_CHECK(h.wait(ctx, 20, [&] {
        ctx->ScrollToBottom(ctx->WindowInfo("//###panel.probe/###probe.middle").ID);  // it stands below the matrix
        return says(h, ctx, "AA and BB") && says(h, ctx, "\u03b1 ");
    }));
    ctx->ItemClick("//###panel.probe/**/###probe.agreement.show");
    ctx->Yield(3);
    IM_CHECK(says(h, ctx, "Coded differently"));
    IM_CHECK(says(h, ctx, "AA: answered"));
    IM_CHECK(says(h, ctx, "BB: cut off"));
    // The answer keeps lines to read, and the row that settles the matter is in sight, in the smallest usual window.
    IM_CHECK_EQ(ImGui::GetIO().DisplaySize.y, 720.0f);
    const ImGuiWindow* answer =
        ctx->WindowInfo("//###panel.probe/###probe.answers/###probe.body/###probe.answer").Window;
    IM_CHECK(answer != nullptr && answer->Size.y > 4 * ImGui::GetTextLineHeightWithSpacing());
    const ImGuiTestItemInfo consensus = ctx->ItemInfo("//###panel.probe/**/###probe.consensus");
    IM_CHECK(consensus.ID != 0 && consensus.RectClipped.GetHeight() >= consensus.RectFull.GetHeight());
    const ImGuiWindow* frame = ctx->WindowInfo("//###panel.probe/###probe.answers").Window;
    IM_CHECK(frame != nullptr && frame->ScrollMax.y == 0);
    h.workbench().command("probes.consensus");
    h.workbench().command("probes.coder=AA");
    h.workbench().command("probes.label.incoherent");
    IM_CHECK(h.wait(ctx, 20, [&] { return draws(h)[2]->consensus; }));
    IM_CHECK_EQ(draws(h)[2]->delivery, std::string("incoherent"));
    IM_CHECK_EQ(draws(h)[2]->codings.size(), 2u);
    h.workbench().command("probes.consensus");

    // Once more changes nothing.
    IM_CHECK(h.workbench().command("probes.merge=" + theirs.string()));
    IM_CHECK(h.wait(ctx, 30, [&] { return says(h, ctx, "answers with new codings: 0"); }));
    ctx->ItemClick((std::string(window) + "/###probe.merge.close").c_str());

    // Another session is refused by what differs.
    const fs::path other = h.folder() / "coder-c";
    WrittenSession(other, "Kolu", 4).write("P");
    code(other, "CC", {"refused"}, 1'764'000'100'000'000'000);
    IM_CHECK(h.workbench().command("probes.merge=" + other.string()));
    IM_CHECK(h.wait(ctx, 30, [&] { return says(h, ctx, "what differs is the set of questions"); }));
    ctx->ItemClick((std::string(window) + "/###probe.merge.close").c_str());
    h.workbench().set_layout("training");
    IM_CHECK(h.open_session(ctx, h.folder() / "session"));
}

/// The session lies on another machine and the copy here: it is sent before it is merged.
void far_coding(Harness& h, ImGuiTestContext* ctx) {
    const fs::path machine = h.folder() / "merge-machine", mine = machine / "far", theirs = h.folder() / "coder-far";
    WrittenSession(mine, "Medu", 3).write("P");
    fs::copy(mine, theirs, fs::copy_options::recursive);
    code(theirs, "BB", {"refused", "answered", "cut"}, 1'764'000'300'000'000'000);
    const char* was = std::getenv("XDG_DATA_HOME");
    const std::string before = was != nullptr ? was : "";
    setenv("XDG_DATA_HOME", (h.folder() / "keys").c_str(), 1);  // of the window: its key is not the person's
    FarNode far(machine);
    h.workbench().open_node(far.invitation());
    IM_CHECK(h.wait(ctx, 40, [&] {
        return h.workbench().place() == far.address() && h.snapshot().probes.size() == 1 && draws(h).size() == 16;
    }));
    h.workbench().set_layout("probe");
    ctx->Yield(5);
    h.workbench().show_panel("probe");
    ctx->Yield(5);
    IM_CHECK(h.workbench().command("probes.merge=" + theirs.string()));
    IM_CHECK(h.wait(ctx, 40, [&] { return says(h, ctx, "answers with new codings: 3"); }));
    ctx->ItemClick("//###probe.merge.title/###probe.merge.close");
    IM_CHECK(h.wait(ctx, 10, [&] { return draws(h)[2]->codings.size() == 1; }));
    IM_CHECK(fs::exists(mine / "files/merge/coder-far"));
    // A copy that is not there is said.
    IM_CHECK(h.workbench().command("probes.merge=" + (h.folder() / "no-copy").string()));
    IM_CHECK(h.wait(ctx, 30, [&] { return says(h, ctx, "no-copy"); }));
    ctx->ItemClick("//###probe.merge.title/###probe.merge.close");
    if (was != nullptr) {
        setenv("XDG_DATA_HOME", before.c_str(), 1);
    } else {
        unsetenv("XDG_DATA_HOME");
    }
    h.workbench().set_layout("training");
    IM_CHECK(h.open_session(ctx, h.folder() / "session"));
}

/// Nobody labels in a name that was not entered in this session; what a table was scrolled to is its session's, too.
void initials_of_each_session(Harness& h, ImGuiTestContext* ctx) {
    const fs::path one = h.folder() / "initials-a", two = h.folder() / "initials-b";
    WrittenSession(one, "Zuva", 5).write("P");
    WrittenSession(two, "Medu", 6).write("P");
    const auto there = [&] { return h.snapshot().probes.size() == 1 && draws(h).size() == 16; };
    const auto show = [&] {
        h.workbench().set_layout("probe");
        ctx->Yield(5);
        h.workbench().show_panel("probe");
        ctx->Yield(5);
    };
    const auto labelled = [&] {
        const auto all = draws(h);
        const auto found = std::find_if(all.begin(), all.end(), [](const auto& d) { return d->labelled_by_person; });
        return found == all.end() ? std::string("nobody") : (*found)->coder;
    };
    IM_CHECK(h.open_session(ctx, one, there));
    show();
    IM_CHECK(says(h, ctx, "coder initials"));
    ctx->WindowFocus("//###panel.probe");
    ctx->KeyPress(ImGuiKey_R);
    ctx->Yield(4);
    IM_CHECK(says(h, ctx, "Enter your initials first"));
    ctx->KeyChars("AB");  // the field has the keyboard
    ctx->KeyPress(ImGuiKey_Enter);
    ctx->Yield(2);
    IM_CHECK_EQ(labelled(), std::string("nobody"));
    IM_CHECK(!says(h, ctx, "Enter your initials first"));
    ctx->WindowFocus("//###panel.probe");
    ctx->KeyPress(ImGuiKey_R);
    IM_CHECK(h.wait(ctx, 20, [&] { return labelled() == "AB"; }));
    const auto table = [&] {
        constexpr const char* kTable = "//###panel.probe/###probe.middle";
        h.wait(ctx, 20, [&] { return ctx->WindowInfo(kTable, ImGuiTestOpFlags_NoError).Window != nullptr; });
        return ctx->WindowInfo(kTable, ImGuiTestOpFlags_NoError).Window;
    };
    IM_CHECK(table() != nullptr);
    ctx->ScrollToBottom(table()->ID);
    ctx->Yield(2);
    const float below = table()->Scroll.y;
    IM_CHECK(below > 0);

    h.workbench().open_session(two);
    IM_CHECK(h.wait(ctx, 60, [&] { return h.workbench().session() == two && there(); }));
    show();
    IM_CHECK(table() != nullptr);
    IM_CHECK_EQ(table()->Scroll.y, 0.0f);
    IM_CHECK(says(h, ctx, "coder initials"));
    h.workbench().command("probes.coder=CD");
    h.workbench().command("probes.label.refused");
    IM_CHECK(h.wait(ctx, 20, [&] { return labelled() == "CD"; }));
    h.workbench().open_session(one);  // its tab
    show();
    IM_CHECK_EQ(labelled(), std::string("AB"));
    IM_CHECK_EQ(table()->Scroll.y, below);
    IM_CHECK(says(h, ctx, "coder AB"));
    // Opened again, it knows them still.
    IM_CHECK(h.open_session(ctx, two, there));
    IM_CHECK(h.open_session(ctx, one, there));
    show();
    IM_CHECK(says(h, ctx, "coder AB"));
    h.workbench().set_layout("training");
    IM_CHECK(h.open_session(ctx, h.folder() / "session"));
}

}  // namespace

void register_merge(Harness& harness) {
    harness.add("answers", "codings of another coder are merged, and a consensus is coded",
                [&harness](ImGuiTestContext* ctx) { coders_meet(harness, ctx); });
    harness.add("answers", "codings from here are merged into a session on another machine",
                [&harness](ImGuiTestContext* ctx) { far_coding(harness, ctx); });
    harness.add("answers", "initials and scrolled tables are those of the session",
                [&harness](ImGuiTestContext* ctx) { initials_of_each_session(harness, ctx); });
}

}  // namespace moescope::gui_test
