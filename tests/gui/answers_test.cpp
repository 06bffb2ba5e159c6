// Compare and Probe on sessions that have comparisons and probes already: what the pickers, the history and the line
// above the answers say, what typing leaves, and what is readable in a small window.
#include <algorithm>
#include <cmath>
#include <imgui_internal.h>
#include <set>

#include "tests/gui/harness.hpp"
#include "tests/gui/written_session.hpp"

namespace moescope::gui_test {
namespace {

namespace fs = std::filesystem;
using history::RunState;

constexpr const char* kQwen = "qwen2.5-coder-0.5b";
constexpr const char* kSmol = "smollm2-135m";
constexpr const char* kGemma = "gemma-3-270m";

std::string item(const char* panel, const char* id) {
    return std::string("//###panel.") + panel + "/**/###" + id;
}

std::string compare(const char* id) {
    return item("compare", id);
}

/// Opens a written session and waits until all of it is there.
bool open(Harness& h, ImGuiTestContext* ctx, const fs::path& folder, std::size_t answers, std::size_t probes = 0) {
    return h.open_session(ctx, folder, [&] {
        return h.snapshot().generations.size() >= answers && h.snapshot().probes.size() >= probes;
    });
}

/// The harness's own session and window again, for the tests that follow.
void go_back(Harness& h, ImGuiTestContext* ctx) {
    h.workbench().set_text_scale(1);
    h.platform().set_size(1280, 720);
    h.workbench().set_language("en");
    IM_CHECK(open(h, ctx, h.folder() / "session", 0));
}

fs::path asked(Harness& h, const char* name, const std::vector<std::string>& models,
               const std::vector<std::string>& prompts) {
    const fs::path folder = h.folder() / name;
    WrittenSession session(folder, "Zuva", 1);
    for (const std::string& prompt : prompts) {
        session.compare(models, prompt);
    }
    return folder;
}

/// All that stands in a window, without white space; `part` is in the name of the child that it stands in.
std::string words(Harness& h, ImGuiTestContext* ctx, const std::string& window, const std::string& part = "") {
    std::string text;
    for (const ScreenLine& line : h.screen(ctx)) {
        if (line.window == window && line.part.find(part) != std::string::npos) {
            text += squeezed(line.text);
        }
    }
    return text;
}

bool says(Harness& h, ImGuiTestContext* ctx, const char* window, const std::string& text) {
    const std::string all = words(h, ctx, window);
    const bool found = all.find(squeezed(text)) != std::string::npos;
    if (!found) {
        ctx->LogWarning("%s does not say \"%s\" but %s", window, text.c_str(), all.c_str());
    }
    return found;
}

/// The models picked are these two.
bool picked(Harness& h, ImGuiTestContext* ctx, const std::string& first, const std::string& second) {
    bool right = true;
    const std::vector<ScreenLine> lines = h.screen(ctx);
    for (const auto& [ref, wanted] : {std::pair{"//###panel.compare/$$0/###compare.model", first},
                                      std::pair{"//###panel.compare/$$1/###compare.model", second}}) {
        const ImRect field = ctx->ItemInfo(ref).RectFull;
        std::string text;
        for (const ScreenLine& line : lines) {
            text += line.window == "panel.compare" && field.Contains(line.middle()) ? line.text : "";
        }
        ctx->LogInfo("picked: %s", text.c_str());
        right = right && text.find(wanted) != std::string::npos;
    }
    return right;
}

bool enabled(ImGuiTestContext* ctx, const std::string& ref) {
    return ctx->ItemExists(ref.c_str()) && (ctx->ItemInfo(ref.c_str()).ItemFlags & ImGuiItemFlags_Disabled) == 0;
}

/// What the field for the prompt holds, as a person would take it out of there.
std::string prompt(ImGuiTestContext* ctx) {
    ImGui::SetClipboardText("");
    ctx->ItemClick(compare("compare.prompt").c_str());
    ctx->KeyPress(ImGuiMod_Ctrl | ImGuiKey_A);
    ctx->KeyPress(ImGuiMod_Ctrl | ImGuiKey_C);
    ctx->KeyPress(ImGuiKey_End);
    return ImGui::GetClipboardText();
}

/// In its layout and in front of the other tabs.
void show(Harness& h, ImGuiTestContext* ctx, const char* panel) {
    h.workbench().set_layout(panel);
    ctx->Yield(5);
    h.workbench().show_panel(panel);
    ctx->Yield(5);
}

void show_compare(Harness& h, ImGuiTestContext* ctx) {
    show(h, ctx, "compare");
}

void show_probe(Harness& h, ImGuiTestContext* ctx) {
    show(h, ctx, "probe");
}

void pickers_of_each_session(Harness& h, ImGuiTestContext* ctx) {
    const fs::path first = asked(h, "pair-1", {kSmol, kQwen}, {"One?"});
    const fs::path second = asked(h, "pair-2", {kGemma, kSmol}, {"Two?"});
    IM_CHECK(open(h, ctx, first, 2));
    show_compare(h, ctx);
    IM_CHECK(picked(h, ctx, "SmolLM2", "Qwen2.5"));
    IM_CHECK(open(h, ctx, second, 2));
    show_compare(h, ctx);
    IM_CHECK(picked(h, ctx, "Gemma", "SmolLM2"));
    // One without comparisons begins as the program does.
    WrittenSession(h.folder() / "pair-none", "Kemo", 1).write("");
    IM_CHECK(open(h, ctx, h.folder() / "pair-none", 0));
    show_compare(h, ctx);
    IM_CHECK(picked(h, ctx, "Qwen2.5", "SmolLM2"));
    IM_CHECK(open(h, ctx, first, 2));
    show_compare(h, ctx);
    IM_CHECK(picked(h, ctx, "SmolLM2", "Qwen2.5"));
    // What a person picks stays, though the session's comparisons have others.
    ctx->ItemClick(compare("compare.more").c_str());
    ctx->Yield(3);
    IM_CHECK(enabled(ctx, compare("compare.fewer")));
    // The third one is another model.
    const ImRect third = ctx->ItemInfo("//###panel.compare/$$2/###compare.model").RectFull;
    std::string added;
    for (const ScreenLine& line : h.screen(ctx)) {
        added += line.window == "panel.compare" && third.Contains(line.middle()) ? line.text : "";
    }
    IM_CHECK_NE(added.find("Gemma"), std::string::npos);
    ctx->ItemClick(compare("compare.fewer").c_str());
    go_back(h, ctx);
}

void earlier_prompts_of_a_session(Harness& h, ImGuiTestContext* ctx) {
    IM_CHECK(open(h, ctx, asked(h, "history", {kQwen, kSmol}, {"First?", "Second?", "Second?", "Third?"}), 8));
    show_compare(h, ctx);
    IM_CHECK_STR_EQ(prompt(ctx).c_str(), "Third?");
    IM_CHECK(enabled(ctx, compare("compare.older")));
    ctx->ItemClick(compare("compare.older").c_str());
    IM_CHECK_STR_EQ(prompt(ctx).c_str(), "Second?");
    ctx->KeyPress(ImGuiMod_Alt | ImGuiKey_UpArrow);
    ctx->Yield(2);
    IM_CHECK_STR_EQ(prompt(ctx).c_str(), "First?");
    IM_CHECK(!enabled(ctx, compare("compare.older")));
    ctx->KeyPress(ImGuiMod_Alt | ImGuiKey_DownArrow);
    ctx->Yield(2);
    IM_CHECK_STR_EQ(prompt(ctx).c_str(), "Second?");
    // What was typed and not run comes back behind the newest one.
    ctx->KeyPress(ImGuiMod_Ctrl | ImGuiKey_A);
    ctx->KeyChars("Mine, half writ");
    ctx->Yield(2);
    ctx->KeyPress(ImGuiMod_Alt | ImGuiKey_UpArrow);
    ctx->Yield(2);
    IM_CHECK_STR_EQ(prompt(ctx).c_str(), "Third?");
    ctx->ItemClick(compare("compare.newer").c_str());
    IM_CHECK_STR_EQ(prompt(ctx).c_str(), "Mine, half writ");
    // The newest prompt stands before another one already: it is the newest all the same.
    IM_CHECK(open(h, ctx, asked(h, "again", {kQwen, kSmol}, {"Again?", "Other?", "Again?"}), 6));
    show_compare(h, ctx);
    IM_CHECK_STR_EQ(prompt(ctx).c_str(), "Again?");
    IM_CHECK(!enabled(ctx, compare("compare.newer")));
    IM_CHECK(enabled(ctx, compare("compare.older")));
    ctx->ItemClick(compare("compare.older").c_str());
    IM_CHECK_STR_EQ(prompt(ctx).c_str(), "Other?");
    go_back(h, ctx);
}

/// What a field holds, as a person would take it out of there.
std::string held(ImGuiTestContext* ctx, const std::string& ref) {
    ImGui::SetClipboardText("");
    ctx->ItemInput(ref.c_str());
    ctx->KeyPress(ImGuiMod_Ctrl | ImGuiKey_A);
    ctx->KeyPress(ImGuiMod_Ctrl | ImGuiKey_C);
    ctx->KeyPress(ImGuiKey_Escape);
    ctx->Yield(2);
    return ImGui::GetClipboardText();
}

/// Choosing an earlier comparison brings back what it was asked with.
void an_earlier_comparison_with_its_settings(Harness& h, ImGuiTestContext* ctx) {
    const fs::path folder = h.folder() / "settings-of-old";
    {
        WrittenSession session(folder, "Zuva", 1);
        session.compare({kSmol, kQwen}, "First?", true,
                        {{"seed", 31}, {"temperature", 0.5}, {"max_tokens", 30}, {"system", "You are a pirate."}});
        session.compare({kQwen, kSmol}, "Second?", true, {{"seed", 1}, {"max_tokens", 200}});
    }
    IM_CHECK(open(h, ctx, folder, 4));
    show_compare(h, ctx);
    h.workbench().command("compare.max_tokens=200");
    h.workbench().selection().generation = h.snapshot().generations.begin()->first;
    ctx->Yield(4);
    IM_CHECK_STR_EQ(prompt(ctx).c_str(), "First?");
    IM_CHECK(picked(h, ctx, "SmolLM2", "Qwen2.5"));
    IM_CHECK_EQ(held(ctx, compare("compare.max_tokens")), "30");
    IM_CHECK_EQ(held(ctx, compare("compare.seed")), "31");
    IM_CHECK_EQ(held(ctx, compare("compare.temperature")), "0.5");
    IM_CHECK(says(h, ctx, "panel.compare", "System text: chosen"));
    h.workbench().selection().generation = h.snapshot().generations.rbegin()->first;
    ctx->Yield(4);
    IM_CHECK_EQ(held(ctx, compare("compare.max_tokens")), "200");
    IM_CHECK(!ctx->ItemExists(compare("compare.temperature").c_str()));
    IM_CHECK(says(h, ctx, "panel.compare", "System text: the model's own"));
    go_back(h, ctx);
}

/// What is no number in range is said, and the old one stays.
void numbers_out_of_range(Harness& h, ImGuiTestContext* ctx) {
    h.settle(ctx);
    show_compare(h, ctx);
    h.workbench().command("compare.max_tokens=200");
    ctx->ItemInput(compare("compare.max_tokens").c_str());
    ctx->KeyCharsReplaceEnter("99999");
    ctx->Yield(3);
    IM_CHECK(says(h, ctx, "panel.compare", "\"99999\" is not a number between 1 and 8,192; the old value stays."));
    IM_CHECK_EQ(held(ctx, compare("compare.max_tokens")), "200");
    ctx->ItemInput(compare("compare.max_tokens").c_str());
    ctx->KeyCharsReplaceEnter("64");
    ctx->Yield(3);
    IM_CHECK_EQ(words(h, ctx, "panel.compare").find("isnotanumber"), std::string::npos);
    IM_CHECK_EQ(held(ctx, compare("compare.max_tokens")), "64");
    h.workbench().command("compare.max_tokens=200");
    show_probe(h, ctx);
    ctx->ItemInput(item("probe", "probe.draws").c_str());
    ctx->KeyCharsReplaceEnter("21");
    ctx->Yield(3);
    IM_CHECK(says(h, ctx, "panel.probe", "\"21\" is not a number between 1 and 20; the old value stays."));
    IM_CHECK_EQ(held(ctx, item("probe", "probe.draws")), "1");
}

/// The legend says what is drawn: of two answers each has its own words underlined, of three one is the base.
void legends_of_differences(Harness& h, ImGuiTestContext* ctx) {
    const auto shown = [&](const char* name, const std::vector<std::string>& models) {
        if (!open(h, ctx, asked(h, name, models, {"Is water wet?"}), models.size())) {
            return std::string();
        }
        show_compare(h, ctx);
        ctx->ItemClick(compare("compare.difference").c_str());
        ctx->Yield(20);
        return words(h, ctx, "panel.compare");
    };
    const std::string two = shown("diff-2", {kQwen, kSmol});
    IM_CHECK_NE(two.find("onlyinthisanswer"), std::string::npos);
    IM_CHECK_EQ(two.find("struck"), std::string::npos);
    const std::string three = shown("diff-3", {kQwen, kSmol, kGemma});
    IM_CHECK_NE(three.find("struckthrough"), std::string::npos);
    // In a small window every column has its Copy, also those that can become the base.
    h.platform().set_size(900, 600);
    ctx->Yield(6);
    ImGuiWindow* panel = ctx->GetWindowByRef("//###panel.compare");
    ImGui::SetScrollY(panel, panel->ScrollMax.y);
    ctx->Yield(3);
    std::vector<float> copies;  // where they stand
    for (const ScreenLine& line : h.screen(ctx)) {
        if (line.window == "panel.compare" && squeezed(line.text).find("Copy") != std::string::npos) {
            copies.push_back(line.middle().y);
        }
    }
    IM_CHECK_EQ(copies.size(), std::size_t{3});
    IM_CHECK_LT(std::fabs(copies[0] - copies[1]) + std::fabs(copies[0] - copies[2]), 2.0f);
    go_back(h, ctx);
}

/// With several tasks in a small window each that is shown can be cancelled, and the others are behind a button.
void tasks_in_a_small_window(Harness& h, ImGuiTestContext* ctx) {
    h.settle(ctx);
    if (!h.has_models()) {
        ctx->LogWarning("skipped: the two models are not in the library");
        return;
    }
    h.platform().set_size(900, 600);
    for (int i = 0; i < 4; ++i) {
        h.workbench().client().send(
            "generate.start", {{"model", kSmol}, {"prompt", "Tell story " + std::to_string(i)}, {"max_tokens", 300}});
    }
    IM_CHECK(h.wait(ctx, 120, [&] { return h.snapshot().tasks.size() >= 4; }));
    const ImGuiWindow* status = ctx->GetWindowByRef("//###status");
    IM_CHECK(ctx->ItemExists("//###status/**/###cancel"));
    IM_CHECK(ctx->ItemExists("//###status/###task.more"));
    for (const char* button : {"//###status/**/###cancel", "//###status/###task.more"}) {
        const ImRect rect = ctx->ItemInfo(button).RectFull;
        IM_CHECK_LT(rect.Max.x, status->InnerRect.Max.x);
    }
    for (const auto& task : std::vector<client::Task>(h.snapshot().tasks)) {
        h.workbench().client().send("generate.cancel", {{"run", task.run}});
    }
    IM_CHECK(h.wait(ctx, 120, [&] { return h.snapshot().tasks.empty(); }));
    h.platform().set_size(1280, 720);
    ctx->Yield(4);
}

void escape_keeps_what_was_typed(Harness& h, ImGuiTestContext* ctx) {
    h.settle(ctx);
    show_compare(h, ctx);
    ctx->ItemClick(compare("compare.prompt").c_str());
    ctx->KeyPress(ImGuiMod_Ctrl | ImGuiKey_A);
    ctx->KeyChars("A long question");
    ctx->Yield(2);
    ctx->KeyPress(ImGuiKey_Escape);
    ctx->Yield(2);
    IM_CHECK_EQ(ImGui::GetCurrentContext()->ActiveId, 0u);
    IM_CHECK_STR_EQ(prompt(ctx).c_str(), "A long question");
    // The same in every field for text; a number goes back to its value.
    h.workbench().show_panel("log");
    ctx->Yield(4);
    ctx->ItemClick(item("log", "log.search").c_str());
    ctx->KeyChars("some");
    ctx->Yield(2);
    ctx->KeyPress(ImGuiKey_Escape);
    ctx->Yield(2);
    ImGui::SetClipboardText("");
    ctx->ItemClick(item("log", "log.search").c_str());
    ctx->KeyPress(ImGuiMod_Ctrl | ImGuiKey_A);
    ctx->KeyPress(ImGuiMod_Ctrl | ImGuiKey_X);
    IM_CHECK_STR_EQ(ImGui::GetClipboardText(), "some");
    show_compare(h, ctx);
    ctx->ItemInput(compare("compare.max_tokens").c_str());
    ctx->KeyPress(ImGuiMod_Ctrl | ImGuiKey_A);
    ctx->KeyChars("7");
    ctx->Yield(2);
    ctx->KeyPress(ImGuiKey_Escape);
    ctx->Yield(2);
    ctx->ItemInput(compare("compare.max_tokens").c_str());
    ctx->KeyPress(ImGuiMod_Ctrl | ImGuiKey_A);
    ctx->KeyPress(ImGuiMod_Ctrl | ImGuiKey_C);
    ctx->KeyPress(ImGuiKey_Escape);
    IM_CHECK_STR_EQ(ImGui::GetClipboardText(), "200");
}

/// Numbers that nobody knows are not there: of an answer without an end neither its speed nor its prompt's tokens.
void unknown_numbers(Harness& h, ImGuiTestContext* ctx) {
    const fs::path folder = h.folder() / "unended";
    WrittenSession(folder, "Zuva", 1).compare({kQwen, kSmol}, "Half?", false);
    IM_CHECK(open(h, ctx, folder, 2));
    show_compare(h, ctx);
    IM_CHECK(says(h, ctx, "panel.compare", "24 tokens"));
    const std::string all = words(h, ctx, "panel.compare");
    IM_CHECK_EQ(all.find("prompt0"), std::string::npos);
    IM_CHECK_EQ(all.find("-tok/s"), std::string::npos);
    go_back(h, ctx);
}

/// While an answer is written: how many tokens so far, and how fast.
void numbers_of_an_answer_on_the_way(Harness& h, ImGuiTestContext* ctx) {
    h.settle(ctx);
    if (!h.has_models()) {
        ctx->LogWarning("skipped: the two models are not in the library");
        return;
    }
    show_compare(h, ctx);
    ctx->ItemClick(compare("compare.prompt").c_str());
    ctx->KeyCharsReplace("Tell a very long story about the sea.");
    h.workbench().command("compare.max_tokens=200");
    const std::size_t before = h.snapshot().generations.size();
    ctx->ItemClick(compare("compare.run").c_str());
    IM_CHECK(h.wait(ctx, 180, [&] {
        const auto& all = h.snapshot().generations;
        return all.size() > before && std::any_of(all.begin(), all.end(), [](const auto& answer) {
                   return answer.second->state == RunState::running && answer.second->tokens.size() > 8;
               });
    }));
    const std::string all = words(h, ctx, "panel.compare");
    h.workbench().command("compare.cancel");
    ctx->LogInfo("%s", all.c_str());
    IM_CHECK_NE(all.find("tokenssofar"), std::string::npos);
    IM_CHECK_NE(all.find("tok/s"), std::string::npos);
    IM_CHECK_EQ(all.find("-tok/s"), std::string::npos);
    IM_CHECK_EQ(all.find("prompt0"), std::string::npos);
    IM_CHECK(h.wait(ctx, 60, [&] {
        const auto& answers = h.snapshot().generations;
        return std::all_of(answers.begin(), answers.end(),
                           [](const auto& answer) { return protocol::ended(answer.second->state); });
    }));
}

void answers_say_what_they_answer(Harness& h, ImGuiTestContext* ctx) {
    IM_CHECK(open(h, ctx, asked(h, "question", {kQwen, kSmol}, {"Is water wet?"}), 2));
    show_compare(h, ctx);
    IM_CHECK(says(h, ctx, "panel.compare", "Answers to: Is water wet?"));
    ctx->ItemClick(compare("compare.prompt").c_str());
    ctx->KeyPress(ImGuiMod_Ctrl | ImGuiKey_A);
    ctx->KeyChars("Is fire cold?");
    ctx->Yield(2);
    IM_CHECK(says(h, ctx, "panel.compare", "Is fire cold?"));
    IM_CHECK(says(h, ctx, "panel.compare", "Answers to an earlier prompt: Is water wet?"));
    go_back(h, ctx);
}

void equal_comparisons(Harness& h, ImGuiTestContext* ctx) {
    IM_CHECK(open(h, ctx, asked(h, "equal", {kQwen, kSmol}, {"Same?", "Same?", "Same?"}), 6));
    show_compare(h, ctx);
    ctx->ItemClick("//###panel.compare/###compare.earlier");
    ctx->Yield(2);
    std::set<std::string> titles;
    for (const ScreenLine& line : h.screen(ctx)) {
        if (line.text.find("Same?") != std::string::npos && line.window.find("Combo") != std::string::npos) {
            titles.insert(squeezed(line.text));
        }
    }
    IM_CHECK_EQ(titles.size(), std::size_t{3});
    for (const std::string& title : titles) {
        IM_CHECK_NE(title.find("2025-11-"), std::string::npos);  // when, and by whom
        IM_CHECK_NE(title.find("SmolLM2"), std::string::npos);
    }
    ctx->KeyPress(ImGuiKey_Escape);
    ctx->Yield(2);
    go_back(h, ctx);
}

void clear_the_system_text(Harness& h, ImGuiTestContext* ctx) {
    h.settle(ctx);
    show_compare(h, ctx);
    const auto field_holds = [&] {
        ImGui::SetClipboardText("");
        ctx->ItemClick("###question.text");
        ctx->KeyPress(ImGuiMod_Ctrl | ImGuiKey_A);
        ctx->KeyPress(ImGuiMod_Ctrl | ImGuiKey_C);
        return std::string(ImGui::GetClipboardText());
    };
    ctx->ItemClick(compare("question.system").c_str());
    ctx->Yield(2);
    ctx->SetRef("//$FOCUSED");
    ctx->KeyChars("Answer in rhymes.");
    ctx->Yield(2);
    ctx->KeyPress(ImGuiKey_Escape);
    ctx->Yield(3);
    ctx->SetRef("");
    ctx->ItemClick(compare("question.system").c_str());
    ctx->Yield(2);
    ctx->SetRef("//$FOCUSED");
    IM_CHECK_EQ(field_holds(), "Answer in rhymes.");
    IM_CHECK(ctx->ItemExists("###question.clear"));
    ctx->ItemClick("###question.clear");
    ctx->Yield(2);
    IM_CHECK_EQ(field_holds(), "");
    IM_CHECK(!enabled(ctx, "###question.clear"));
    ctx->PopupCloseAll();
    ctx->SetRef("");
    IM_CHECK(says(h, ctx, "panel.compare", "System text: the model's own"));
}

/// A run that was stopped says what is left and goes on; a run that has asked everything does not.
void a_stopped_probe_goes_on(Harness& h, ImGuiTestContext* ctx) {
    const fs::path folder = h.folder() / "stopped";
    WrittenSession(folder, "Zuva", 1).write("S");
    IM_CHECK(open(h, ctx, folder, 0, 1));
    show_probe(h, ctx);
    IM_CHECK(says(h, ctx, "panel.probe", "10 of 16 answers"));
    IM_CHECK(says(h, ctx, "panel.probe", "Continue: 6 of 16 left"));
    IM_CHECK(enabled(ctx, item("probe", "probe.go_on")));
    // Its models are of another machine: the node says so, and the run stays as it was.
    ctx->ItemClick(item("probe", "probe.go_on").c_str());
    IM_CHECK(h.wait(ctx, 20, [&] {
        const auto& results = h.snapshot().results;
        return std::any_of(results.begin(), results.end(), [](const auto& result) {
            return result.second.name == "probe.resume" && !result.second.error.empty();
        });
    }));
    IM_CHECK(enabled(ctx, item("probe", "probe.go_on")));
    const fs::path done = h.folder() / "asked-all";
    WrittenSession(done, "Kemo", 1).write("P");
    IM_CHECK(open(h, ctx, done, 0, 1));
    show_probe(h, ctx);
    IM_CHECK(says(h, ctx, "panel.probe", "16 of 16 answers"));
    IM_CHECK(!ctx->ItemExists(item("probe", "probe.go_on").c_str()));
    go_back(h, ctx);
}

void a_cancelled_probe_goes_on(Harness& h, ImGuiTestContext* ctx) {
    h.settle(ctx);
    if (!h.has_models()) {
        ctx->LogWarning("skipped: the two models are not in the library");
        return;
    }
    show_probe(h, ctx);
    const std::size_t runs = h.snapshot().probes.size();
    h.workbench().command("probes.max_tokens=8");
    ctx->ItemClick(item("probe", "probe.start").c_str());
    IM_CHECK(h.wait(ctx, 180, [&] {
        return h.snapshot().probes.size() > runs && h.snapshot().probes.rbegin()->second->draws.size() >= 2;
    }));
    const auto run = [&]() -> const history::ProbeRun& { return *h.snapshot().probes.rbegin()->second; };
    ctx->ItemClick(item("probe", "probe.cancel").c_str());
    IM_CHECK(h.wait(ctx, 60, [&] { return run().state == RunState::stopped; }));
    const std::size_t before = run().draws.size();
    IM_CHECK(says(h, ctx, "panel.probe",
                  "Continue: " + std::to_string(run().planned - before) + " of " + std::to_string(run().planned)));
    ctx->ItemClick(item("probe", "probe.go_on").c_str());
    IM_CHECK(h.wait(ctx, 180, [&] { return run().state == RunState::running && run().draws.size() > before; }));
    IM_CHECK_EQ(h.snapshot().probes.size(), runs + 1);
    h.workbench().command("probes.cancel");
    IM_CHECK(h.wait(ctx, 60, [&] { return run().state == RunState::stopped; }));
}

/// The keys that label stand on the buttons that do the same.
void keys_on_the_buttons(Harness& h, ImGuiTestContext* ctx) {
    const fs::path folder = h.folder() / "labels";
    WrittenSession(folder, "Zuva", 1).write("P");
    IM_CHECK(open(h, ctx, folder, 0, 1));
    show_probe(h, ctx);
    h.workbench().command("probes.coder=AB");
    const auto shown = [&]() -> const history::ProbeDraw* {
        for (const auto& draw : h.snapshot().probes.rbegin()->second->draws) {
            if (draw->labelled_by_person) {
                return draw.get();
            }
        }
        return nullptr;
    };
    for (const char* language : {"en", "zh"}) {
        h.workbench().set_language(language);
        ctx->Yield(4);
        for (const auto& [delivery, key] :
             {std::pair{"answered", ImGuiKey_A}, std::pair{"refused", ImGuiKey_R}, std::pair{"blocked", ImGuiKey_B},
              std::pair{"empty", ImGuiKey_E}, std::pair{"cut", ImGuiKey_C}, std::pair{"error", ImGuiKey_X},
              std::pair{"incoherent", ImGuiKey_I}}) {
            const std::string name = h.workbench().text()(std::string("probe.delivery.") + delivery);
            IM_CHECK(says(h, ctx, "panel.probe", name + ImGui::GetKeyName(key)));
            ctx->WindowFocus("//###panel.probe");
            ctx->KeyPress(key);
            IM_CHECK(h.wait(ctx, 20, [&] { return shown() != nullptr && shown()->delivery == delivery; }));
        }
        for (int level = 0; level < 5; ++level) {
            IM_CHECK(says(h, ctx, "panel.probe", h.workbench().text()("probe.engagement." + std::to_string(level))));
            ctx->WindowFocus("//###panel.probe");
            ctx->KeyPress(static_cast<ImGuiKey>(ImGuiKey_0 + level));
            IM_CHECK(h.wait(ctx, 20, [&] { return shown() != nullptr && shown()->engagement == level; }));
        }
        ctx->KeyPress(ImGuiKey_U);
        IM_CHECK(h.wait(ctx, 20, [&] { return shown() == nullptr; }));
    }
    go_back(h, ctx);
}

bool tooltip_is_shown() {
    for (const ImGuiWindow* window : ImGui::GetCurrentContext()->Windows) {
        if ((window->Flags & ImGuiWindowFlags_Tooltip) != 0 && window->Active && !window->Hidden) {
            return true;
        }
    }
    return false;
}

/// While the file dialog is open, what lies beside it keeps quiet; what stands in it does not.
void no_tooltips_behind_a_dialog(Harness& h, ImGuiTestContext* ctx) {
    const fs::path folder = h.folder() / "tips";
    WrittenSession(folder, "Zuva", 1).write("P");
    IM_CHECK(open(h, ctx, folder, 0, 1));
    show_probe(h, ctx);
    const auto hovers = [&](ImVec2 at) {
        ctx->MouseMoveToPos({at.x + 3, at.y + 2});
        ctx->MouseMoveToPos(at);
        ctx->SleepNoSkip(1.0f, 1.0f / 30);
        return tooltip_is_shown();
    };
    const ImVec2 button = ctx->ItemInfo(item("probe", "probe.start").c_str()).RectFull.GetCenter();
    const ImVec2 cell = ctx->ItemInfo(item("probe", "cell").c_str()).RectFull.GetCenter();
    IM_CHECK(hovers(button));
    IM_CHECK(hovers(cell));
    h.workbench().command("file.open_session");
    ctx->Yield(4);
    ImGuiWindow* dialog = ctx->GetWindowByRef("//###files");
    IM_CHECK(dialog != nullptr && dialog->Active);
    const float em = ImGui::GetFontSize();
    ImGui::SetWindowSize(dialog, {24 * em, 18 * em});
    ctx->Yield(2);
    ImGui::SetWindowPos(dialog, {1270 - dialog->Size.x, 710 - dialog->Size.y});
    ctx->Yield(2);
    IM_CHECK(!dialog->Rect().Contains(button) && !dialog->Rect().Contains(cell));
    IM_CHECK(!hovers(button));
    IM_CHECK(!hovers(cell));
    IM_CHECK(hovers(ctx->ItemInfo("//###files/###files.home").RectFull.GetCenter()));
    ctx->KeyPress(ImGuiKey_Escape);
    ctx->Yield(4);
    IM_CHECK(hovers(button));
    IM_CHECK(hovers(cell));
    ctx->MouseMoveToPos({4, 300});
    go_back(h, ctx);
}

/// Scrolls the panel through and gathers what can be read on the way.
std::string read_through(Harness& h, ImGuiTestContext* ctx, const char* panel) {
    std::string all;
    const std::string ref = std::string("//###") + panel;
    ImGuiWindow* window = ctx->GetWindowByRef(ref.c_str());
    const float step = std::max(20.0f, 0.5f * window->InnerRect.GetHeight());
    for (float y = 0;; y += step) {
        ImGui::SetScrollY(window, std::min(y, window->ScrollMax.y));
        ctx->Yield(2);
        all += words(h, ctx, panel);
        if (y >= window->ScrollMax.y) {
            return all;
        }
    }
}

/// With large letters in a small window everything can be reached and read.
void small_windows(Harness& h, ImGuiTestContext* ctx) {
    const fs::path folder = h.folder() / "small";
    {
        WrittenSession session(folder, "Zuva", 1);
        session.write("S");
        session.compare({kQwen, kSmol}, "Is water wet?");
    }
    IM_CHECK(open(h, ctx, folder, 2, 1));
    for (const char* language : {"en", "zh"}) {
        h.workbench().set_language(language);
        h.workbench().set_text_scale(2.5f);
        h.platform().set_size(800, 520);
        show_probe(h, ctx);
        ctx->Yield(6);
        const ui::Language& text = h.workbench().text();
        const std::string probe = read_through(h, ctx, "panel.probe");
        const auto has = [&](const std::string& all, const std::string& wanted) {
            const bool found = all.find(squeezed(wanted)) != std::string::npos;
            if (!found) {
                ctx->LogWarning("\"%s\" is not in %s", wanted.c_str(), all.c_str());
            }
            return found;
        };
        IM_CHECK(has(probe, text("probe.start")));
        IM_CHECK(has(probe, text.format("probe.go_on", {{"left", "6"}, {"planned", "16"}})));
        IM_CHECK(has(probe, text.format("probe.progress", {{"done", "10"}, {"planned", "16"}})));
        IM_CHECK(has(probe, text("probe.tests")));
        IM_CHECK(has(probe, text("probe.engagement.4")));
        IM_CHECK(has(probe, text("probe.delivery.incoherent")));
        // The table keeps its first column and scrolls sideways to the others.
        const ImGuiWindow* middle = ctx->WindowInfo("//###panel.probe/###probe.middle").Window;
        IM_CHECK(middle != nullptr && middle->Size.x > 0.7f * ctx->GetWindowByRef("//###panel.probe")->Size.x);
        show_compare(h, ctx);
        ctx->Yield(6);
        const std::string shown = read_through(h, ctx, "panel.compare");
        IM_CHECK(has(shown, text("compare.run")));
        IM_CHECK(has(shown, text("compare.copy")));
        IM_CHECK(has(shown, "24"));
        h.workbench().set_text_scale(1);
        h.platform().set_size(1280, 720);
        ctx->Yield(4);
    }
    go_back(h, ctx);
}

}  // namespace

void register_answers(Harness& harness) {
    const auto add = [&](const char* name, void (*body)(Harness&, ImGuiTestContext*)) {
        harness.add("answers", name, [&harness, body](ImGuiTestContext* ctx) { body(harness, ctx); });
    };
    add("each session has the models that it asked last", pickers_of_each_session);
    add("earlier prompts of a session that was opened again", earlier_prompts_of_a_session);
    add("an earlier comparison with its settings", an_earlier_comparison_with_its_settings);
    add("numbers out of range are said", numbers_out_of_range);
    add("legends of differences, and Copy in every column", legends_of_differences);
    add("tasks in a small window can be cancelled", tasks_in_a_small_window);
    add("Escape keeps what was typed", escape_keeps_what_was_typed);
    add("numbers that are not known are not shown", unknown_numbers);
    add("tokens and speed while an answer is written", numbers_of_an_answer_on_the_way);
    add("answers say which prompt they answer", answers_say_what_they_answer);
    add("equal comparisons can be told apart", equal_comparisons);
    add("the system text can be cleared", clear_the_system_text);
    add("a stopped probe says what is left", a_stopped_probe_goes_on);
    add("a cancelled probe goes on", a_cancelled_probe_goes_on);
    add("the keys that label stand on the buttons", keys_on_the_buttons);
    add("no tooltips behind a dialog", no_tooltips_behind_a_dialog);
    add("Compare and Probe in a small window with large letters", small_windows);
}

}  // namespace moescope::gui_test
