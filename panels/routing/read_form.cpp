#include "panels/routing/read_form.hpp"

#include <algorithm>
#include <array>
#include <imgui_stdlib.h>
#include <nlohmann/json.hpp>
#include <string_view>

#include "base/text.hpp"
#include "panels/node/library.hpp"
#include "panels/routing/routed_runs.hpp"
#include "panels/routing/shown_routing.hpp"
#include "panels/ui/field_label.hpp"
#include "panels/ui/text_layout.hpp"
#include "panels/ui/units.hpp"
#include "panels/ui/widgets.hpp"

namespace moescope::panels {
namespace {

constexpr int kFewestTokens = 100, kMostTokens = 1'000'000;
constexpr std::size_t kLongestText = 60'000;  ///< bytes that the node takes of a text
constexpr std::array<int, 7> kOffered = {1'000, 2'000, 5'000, 20'000, 50'000, 100'000, 300'000};

}  // namespace

std::string first_routed_model(const client::Snapshot& snapshot, std::uint32_t training_run) {
    const std::string here = model_of_session(snapshot, training_run);
    if (const auto checkpoint = history::checkpoint_named(here)) {
        const auto run = snapshot.training.find(checkpoint->run);
        const bool dense = run != snapshot.training.end() && run->second->layers > 0 && run->second->experts < 2;
        if (!dense) {
            return here;
        }
    }
    const auto found = std::find_if(
        snapshot.models.begin(), snapshot.models.end(),
        [](const client::ModelEntry& model) { return model.available && model.is_moe && !model.trained_here; });
    return found == snapshot.models.end() ? here : found->name;
}

bool ReadForm::draw(ui::Context& ctx) {
    const ui::Language& text = ctx.text;
    bool sent = false;
    if (model_.empty() || find_model(ctx.snapshot, model_) == nullptr) {
        model_ = first_routed_model(ctx.snapshot, ctx.selection.training_run);
    }
    ImGui::PushID("read");
    ui::field_label(ctx, "routing.read.model");
    ui::next_field(16 * ctx.em);
    model_combo(ctx, "###routing.read.model", model_,
                model_.empty() ? text("routing.read.no_model") : model_title(ctx, model_).c_str(), Offer::routed);
    ui::tooltip(text("routing.read.model.help"));
    ui::flow(ImGui::CalcTextSize(text("compare.chat")).x + 2 * ctx.em);
    ImGui::Checkbox(text.label("routing.read.chat"), &chat_);
    ui::tooltip(text("routing.read.chat.help"));
    ui::flow(ImGui::CalcTextSize(text("routing.read.scores")).x + 2 * ctx.em);
    ImGui::Checkbox(text.label("routing.read.scores"), &scores_);
    ui::tooltip(text("routing.read.scores.help"));
    const float height = ImGui::GetTextLineHeight() * 4 + ImGui::GetStyle().FramePadding.y * 2;
    ImGui::InputTextMultiline("###routing.read.text", &text_, {ImGui::GetContentRegionAvail().x, height},
                              ImGuiInputTextFlags_WordWrap);
    const bool typed = !base::trimmed(text_).empty();
    const char* why_not = !ctx.connected()              ? "runs.offline"
                          : model_.empty()              ? "routing.read.no_model"
                          : !typed                      ? "routing.read.no_text"
                          : text_.size() > kLongestText ? "routing.read.too_long"
                                                        : nullptr;
    if (ui::button(text.label("routing.read.start"), why_not == nullptr, why_not != nullptr ? text(why_not) : "")) {
        read(ctx, text_);
        sent = true;
    }
    const char* corpus = text.label("routing.read.corpus");
    ui::flow(ui::button_width(corpus) + 10 * ctx.em);
    ui::next_field(9 * ctx.em);
    if (ui::begin_combo(
            "###routing.read.tokens",
            text.format("routing.read.tokens", {{"n", text.number(static_cast<std::uint64_t>(tokens_))}}).c_str())) {
        for (const int offered : kOffered) {
            const std::string label =
                text.format("routing.read.tokens", {{"n", text.number(static_cast<std::uint64_t>(offered))}});
            if (ImGui::Selectable(label.c_str(), offered == tokens_)) {
                tokens_ = offered;
            }
        }
        ImGui::EndCombo();
    }
    ui::tooltip(text("routing.read.tokens.help"));
    ImGui::SameLine();
    const char* no_corpus = !ctx.connected() ? "runs.offline" : model_.empty() ? "routing.read.no_model" : nullptr;
    if (ui::button(corpus, no_corpus == nullptr, no_corpus != nullptr ? text(no_corpus) : "")) {
        read_corpus(ctx, tokens_);
        sent = true;
    }
    ui::tooltip(text("routing.read.corpus.help"));
    if (const auto [detail, sentence] = corpus_detail(ctx, tokens_); !sentence.empty()) {
        ui::text_wrapped(sentence, ctx.theme.text_dim);
    }
    ImGui::PopID();
    watch(ctx);
    return sent;
}

void ReadForm::watch(ui::Context& ctx) {
    nlohmann::json state = {
        {"model", model_}, {"text", text_}, {"chat", chat_}, {"scores", scores_}, {"tokens", tokens_}};
    watch_.follow(ctx, std::move(state), ui::form_field, [this](ui::Context&, const nlohmann::json& now) {
        model_ = now.at("model");
        text_ = now.at("text");
        chat_ = now.at("chat");
        scores_ = now.at("scores");
        tokens_ = now.at("tokens");
    });
}

std::string ReadForm::model(const ui::Context& ctx) const {
    return model_.empty() ? first_routed_model(ctx.snapshot, ctx.selection.training_run) : model_;
}

void ReadForm::read(ui::Context& ctx, const std::string& text) const {
    read_routing(ctx,
                 {{"model", model(ctx)}, {"text", text}, {"chat", chat_}, {"detail", scores_ ? "scores" : "weights"}});
}

std::pair<const char*, std::string> ReadForm::corpus_detail(const ui::Context& ctx, int tokens) const {
    const std::uint64_t experts = experts_of_model(ctx.snapshot, model(ctx)),
                        count = static_cast<std::uint64_t>(tokens);
    if (!scores_) {
        return {"weights", ""};
    }
    if (experts == 0) {
        return {"weights", ctx.text("routing.read.scores.unknown")};
    }
    const char* detail = reading_detail(experts, count);
    const bool recorded = std::string_view(detail) == "scores";
    return {detail, ctx.text.format(recorded ? "routing.read.scores.size" : "routing.read.scores.large",
                                    {{"n", ctx.text.number(count)},
                                     {"size", ui::bytes_text(ctx.text, score_bytes(experts, count))},
                                     {"most", ui::bytes_text(ctx.text, kMostScoreBytes)}})};
}

void ReadForm::read_corpus(ui::Context& ctx, int tokens) const {
    const int wanted = std::clamp(tokens, kFewestTokens, kMostTokens);
    read_routing(ctx, {{"model", model(ctx)},
                       {"data", "manpages"},
                       {"tokens", wanted},
                       {"detail", corpus_detail(ctx, wanted).first}});
}

void draw_empty_routing(ui::Context& ctx, const char* icon, const char* key, ReadForm& form) {
    const ImVec2 room = ImGui::GetContentRegionAvail();
    const float width = std::min(room.x, 44 * ctx.em), left = std::max(0.0f, (room.x - width) / 2);
    if (room.y > 22 * ctx.em) {
        ImGui::SetCursorPosY(ImGui::GetCursorPosY() + (room.y - 22 * ctx.em) * 0.42f);
    }
    ImGui::SetCursorPosX(ImGui::GetCursorPosX() + left);
    if (ImGui::BeginChild("###routing.empty", {width, 0}, ImGuiChildFlags_AutoResizeY)) {
        ImGui::PushFont(nullptr, ImGui::GetStyle().FontSizeBase * 1.7f);
        ui::text_colored(ui::faded(ctx.theme.text_dim, 0.55f), icon);
        ImGui::PopFont();
        ui::text_wrapped(ctx.text(key), ctx.theme.text_dim);
        ImGui::Spacing();
        if (first_routed_model(ctx.snapshot, ctx.selection.training_run).empty() && ctx.connected()) {
            if (ui::banner(ctx, ui::Tone::neutral, ctx.text("routing.no_model"),
                           ctx.available("run.start") ? ctx.text.label("routing.train") : nullptr)) {
                ctx.run("run.start");
            }
        }
        form.draw(ctx);
    }
    ImGui::EndChild();
}

}  // namespace moescope::panels
