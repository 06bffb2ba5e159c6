// Models on the nodes of two open sessions are asked together, and their answers stand side by side: each under its own
// name and node, also after a change of tabs, when a node dies, and when its tab is closed.
#include <algorithm>
#include <fmt/format.h>
#include <imgui_internal.h>
#include <memory>
#include <nlohmann/json.hpp>
#include <signal.h>

#include "sessions/session.hpp"
#include "tests/gui/harness.hpp"
#include "tests/gui/trained_model.hpp"

namespace moescope::gui_test {
namespace {

namespace fs = std::filesystem;
using client::Link;
using nlohmann::json;

constexpr const char* kCompare = "panel.compare";

json small_config(Harness& h, int seed) {
    json config = preset_config(h, "workshop");
    config["model"].update({{"layers", 1}, {"width", 32}, {"experts", 4}, {"context", 64}, {"vocabulary", 1024}});
    config["train"].update({{"steps", 10}, {"batch", 1}, {"seed", seed}});
    return config;
}

/// All that the panel says left or right of its middle, without white space.
std::string half(Harness& h, ImGuiTestContext* ctx, bool right) {
    const ImGuiWindow* panel = ctx->GetWindowByRef("//###panel.compare");
    std::string text;
    if (panel != nullptr) {
        const float middle = panel->Pos.x + panel->Size.x / 2;
        for (const ScreenLine& line : h.screen(ctx)) {
            if (line.window == kCompare && (line.middle().x > middle) == right) {
                text += squeezed(line.text);
            }
        }
    }
    return text;
}

bool has(const std::string& all, const std::string& part) {
    return all.find(squeezed(part)) != std::string::npos;
}

/// The answers of the comparison that an open session has.
std::vector<std::shared_ptr<const history::Generation>> answers(const app::OpenSession& session,
                                                                const std::string& group) {
    std::vector<std::shared_ptr<const history::Generation>> found;
    for (const auto& [run, answer] : session.snapshot->generations) {
        if (answer->group == group) {
            found.push_back(answer);
        }
    }
    return found;
}

void pick(ImGuiTestContext* ctx, int column, std::uint64_t session, const std::string& model) {
    ctx->ItemClick(fmt::format("//###panel.compare/$${}/###compare.model", column).c_str());
    ctx->Yield(2);
    ctx->ItemClick(fmt::format("//$FOCUSED/$${}/###{}", session, model).c_str());
    ctx->Yield(2);
}

void show(Harness& h, ImGuiTestContext* ctx, std::uint64_t session) {
    h.workbench().show_session(session);
    ctx->Yield(3);
    h.workbench().set_layout("compare");
    ctx->Yield(4);
}

void two_nodes(Harness& h, ImGuiTestContext* ctx) {
    const fs::path first = h.folder() / "near-node", second = h.folder() / "other-node";
    for (const fs::path& folder : {first, second}) {
        sessions::Session::open(folder, sessions::Journal::Mode::read_write);  // only what is a session is opened
    }
    IM_CHECK(h.open_session(ctx, first));
    const std::uint64_t a = h.workbench().sessions().front()->id;
    const std::string of_a = trained_model(h, ctx, "near", small_config(h, 1));
    IM_CHECK(!of_a.empty());
    h.workbench().open_session(second);
    IM_CHECK(h.wait(ctx, 60, [&] {
        return h.workbench().session() == second && h.snapshot().link.state == Link::State::connected &&
               !h.snapshot().catalogue->is_null();
    }));
    const std::uint64_t b = h.workbench().sessions().back()->id;
    const std::string of_b = trained_model(h, ctx, "other", small_config(h, 2));
    IM_CHECK_EQ(of_a, of_b);  // the same name and, below, the same run number: only the session tells them apart

    show(h, ctx, a);
    pick(ctx, 0, 0, of_a);
    pick(ctx, 1, b, of_b);
    ctx->ItemClick("//###panel.compare/###compare.prompt");
    ctx->KeyPress(ImGuiMod_Ctrl | ImGuiKey_A);
    ctx->KeyChars("The file");
    ctx->Yield(2);
    ctx->ItemClick("//###panel.compare/**/###compare.run");
    const auto& near = *h.workbench().sessions().front();
    const auto& other = *h.workbench().sessions().back();
    IM_CHECK(h.wait(ctx, 60, [&] {
        return near.snapshot->generations.size() == 1 && other.snapshot->generations.size() == 1 &&
               protocol::ended(near.snapshot->generations.begin()->second->state) &&
               protocol::ended(other.snapshot->generations.begin()->second->state);
    }));
    // One comparison; each node has written its own answer, and no other.
    const std::string group = near.snapshot->generations.begin()->second->group;
    IM_CHECK(!group.empty());
    IM_CHECK_EQ(answers(near, group).size(), 1u);
    IM_CHECK_EQ(answers(other, group).size(), 1u);
    IM_CHECK_EQ(answers(near, group)[0]->id, answers(other, group)[0]->id);
    const std::string text_a = answers(near, group)[0]->text, text_b = answers(other, group)[0]->text;
    IM_CHECK_NE(text_a, text_b);
    ctx->Yield(5);
    const auto right_way_round = [&](const char* near_name, const char* other_name) {
        const std::string left = half(h, ctx, false), right = half(h, ctx, true);
        ctx->LogInfo("left %s\nright %s", left.c_str(), right.c_str());
        return has(left, near_name) && has(right, other_name);
    };
    IM_CHECK(right_way_round("near-node", "other-node"));

    // Words against each other: both columns are of this comparison.
    ctx->ItemClick("//###panel.compare/**/###compare.difference");
    IM_CHECK(h.wait(ctx, 20, [&] { return has(half(h, ctx, true), "same words") || has(half(h, ctx, true), "%"); }));
    ctx->ItemClick("//###panel.compare/**/###compare.probability");
    ctx->Yield(3);
    ctx->ItemClick("//###panel.compare/**/###compare.plain");

    // The other session has the same comparison, its own answer first; and here it is as it was.
    show(h, ctx, b);
    IM_CHECK(h.wait(ctx, 20, [&] { return right_way_round("other-node", "near-node"); }));
    show(h, ctx, a);
    IM_CHECK(right_way_round("near-node", "other-node"));

    // Its node dies: what is known stays, and says how old it is.
    IM_CHECK_EQ(::kill(other.client->node_process(), SIGKILL), 0);
    IM_CHECK(h.wait(ctx, 30, [&] { return other.snapshot->link.state != Link::State::connected; }));
    IM_CHECK(h.wait(ctx, 10, [&] { return has(half(h, ctx, true), "can't be reached"); }));
    IM_CHECK(!has(half(h, ctx, false), "can't be reached"));
    // Asked again it is refused at once, by its name; nothing is sent to the other one either.
    ctx->ItemClick("//###panel.compare/**/###compare.run");
    ctx->Yield(10);
    IM_CHECK_EQ(near.snapshot->generations.size(), 1u);

    // Its tab is closed: still the same answer under the same name.
    h.workbench().close_session(b);
    IM_CHECK(h.wait(ctx, 20, [&] { return h.workbench().sessions().size() == 1; }));
    IM_CHECK(h.wait(ctx, 10, [&] { return has(half(h, ctx, true), "its tab is closed"); }));
    IM_CHECK(right_way_round("near-node", "other-node"));
    h.workbench().set_layout("training");
    IM_CHECK(h.open_session(ctx, h.folder() / "session"));
}

}  // namespace

void register_across(Harness& harness) {
    harness.add("answers", "models on two nodes are compared side by side",
                [&harness](ImGuiTestContext* ctx) { two_nodes(harness, ctx); });
}

}  // namespace moescope::gui_test
