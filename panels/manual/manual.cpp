#include "panels/manual/manual.hpp"

#include <algorithm>
#include <array>
#include <memory>
#include <utility>

#include "panels/panels.hpp"
#include "panels/ui/text_layout.hpp"
#include "panels/ui/text_view.hpp"
#include "panels/ui/widgets.hpp"

namespace moescope::panels {
namespace {

class ManualPanel : public ui::Panel {
 public:
    void draw(ui::Context& ctx) override;
    /// The texts are the same in every session; the panel before goes on with them.
    void take_over(ui::Panel& before) override { texts_ = dynamic_cast<ManualPanel&>(before).texts_; }
    void set_texts(std::string english, std::string chinese) {
        texts_ = std::make_shared<const Texts>(Texts{std::move(english), std::move(chinese)});
        language_.clear();
    }

 private:
    struct Drawn {
        TextView text;
        std::vector<TextView> cells;
    };
    using Styles = std::array<TextStyle, 4>;
    struct Texts {
        std::string english, chinese;
    };

    void parse(const std::string& language);
    void draw_contents(ui::Context& ctx);
    void draw_block(ui::Context& ctx, std::size_t index, const Styles& styles);
    void draw_table(ui::Context& ctx, std::size_t index, const Styles& styles);
    void draw_code(ui::Context& ctx, Drawn& drawn);
    void follow_link(ui::Context& ctx, const ManualBlock::Cell& cell, const TextView::Result& shown);

    std::shared_ptr<const Texts> texts_ = std::make_shared<const Texts>();
    std::string language_;
    ManualDocument document_;
    std::vector<Drawn> drawn_;
    std::string wanted_;   ///< anchor to scroll to
    std::string current_;  ///< heading at the top of the page
};

TextView view_of(const ManualBlock::Cell& cell) {
    std::vector<StyleRun> runs;
    for (const ManualBlock::Run& run : cell.runs) {
        runs.push_back({run.end, run.style});
    }
    TextView view;
    view.set(cell.text, std::move(runs));
    return view;
}

void ManualPanel::parse(const std::string& language) {
    language_ = language;
    document_ = parse_manual(language == "zh" ? texts_->chinese : texts_->english);
    drawn_.assign(document_.blocks.size(), {});
    for (std::size_t i = 0; i < document_.blocks.size(); ++i) {
        drawn_[i].text = view_of(document_.blocks[i].content);
        for (const ManualBlock::Cell& cell : document_.blocks[i].cells) {
            drawn_[i].cells.push_back(view_of(cell));
        }
    }
}

void ManualPanel::draw(ui::Context& ctx) {
    if (language_ != ctx.text.code()) {
        parse(ctx.text.code());
    }
    if (document_.blocks.empty()) {
        ui::empty_state(ctx, ui::icon::book, "manual.empty");
        return;
    }
    const float width = ImGui::GetContentRegionAvail().x;
    const bool wide = width > 44 * ctx.em;
    if (wide) {
        if (ImGui::BeginChild("###manual.contents", {15 * ctx.em, 0})) {
            draw_contents(ctx);
        }
        ImGui::EndChild();
        ImGui::SameLine(0, 1.5f * ctx.em);
    }
    if (ImGui::BeginChild("###manual.page", {0, 0})) {
        Styles styles{};
        styles[ManualBlock::bold].face = TextStyle::Face::bold;
        styles[ManualBlock::code].face = TextStyle::Face::mono;
        styles[ManualBlock::code].background = ui::packed(ctx.theme.text_dim, 0.16f);
        styles[ManualBlock::link].color = ui::packed(ctx.theme.accent);
        styles[ManualBlock::link].underline = true;
        current_.clear();
        for (std::size_t i = 0; i < document_.blocks.size(); ++i) {
            draw_block(ctx, i, styles);
        }
        wanted_.clear();
    }
    ImGui::EndChild();
}

void ManualPanel::draw_contents(ui::Context& ctx) {
    for (std::size_t i = 0; i < document_.blocks.size(); ++i) {
        const ManualBlock& block = document_.blocks[i];
        if (block.kind != ManualBlock::Kind::heading || block.level > 2) {
            continue;
        }
        ImGui::PushID(static_cast<int>(i));
        const float indent = block.level > 1 ? 0.8f * ctx.em : 0;
        if (indent > 0) {
            ImGui::Indent(indent);
        }
        ImGui::PushStyleColor(ImGuiCol_Text, block.anchor == current_ ? ctx.theme.accent
                                             : block.level == 1       ? ctx.theme.text
                                                                      : ctx.theme.text_dim);
        if (ImGui::Selectable("###heading", block.anchor == current_)) {
            wanted_ = block.anchor;
        }
        ImGui::SameLine(0, 0);
        ui::text_elided(block.content.text, ImGui::GetContentRegionAvail().x);
        ImGui::PopStyleColor();
        if (indent > 0) {
            ImGui::Unindent(indent);
        }
        ImGui::PopID();
    }
}

void ManualPanel::follow_link(ui::Context& ctx, const ManualBlock::Cell& cell, const TextView::Result& shown) {
    if (!shown.hovered) {
        return;
    }
    const auto run = std::upper_bound(cell.runs.begin(), cell.runs.end(), *shown.hovered,
                                      [](std::uint32_t at, const ManualBlock::Run& r) { return at < r.end; });
    if (run == cell.runs.end() || run->style != ManualBlock::link || run->link >= document_.links.size()) {
        return;
    }
    const std::string& target = document_.links[run->link];
    ImGui::SetMouseCursor(ImGuiMouseCursor_Hand);
    if (ui::begin_tooltip()) {
        ImGui::TextUnformatted(target.c_str());
        ImGui::EndTooltip();
    }
    if (!ImGui::IsMouseClicked(ImGuiMouseButton_Left)) {
        return;
    }
    if (target.starts_with("#")) {
        wanted_ = target.substr(1);
    } else {
        // The program opens nothing outside itself; the address goes to the clipboard.
        ImGui::SetClipboardText(target.c_str());
        ctx.notify(ctx.text.format("manual.address_copied", {{"address", target}}), false);
    }
}

void ManualPanel::draw_code(ui::Context& ctx, Drawn& drawn) {
    const float pad = 0.6f * ctx.em;
    const ImVec2 at = ImGui::GetCursorScreenPos();
    const float width = ImGui::GetContentRegionAvail().x - ctx.em;
    ImDrawList* list = ImGui::GetWindowDrawList();
    list->ChannelsSplit(2);
    list->ChannelsSetCurrent(1);
    ImGui::SetCursorScreenPos({at.x + pad, at.y + pad});
    TextStyle mono;
    mono.face = TextStyle::Face::mono;
    const std::array<TextStyle, 4> styles{mono, mono, mono, mono};
    const float height = drawn.text.draw(ctx, width - 2 * pad, styles).height;
    list->ChannelsSetCurrent(0);
    list->AddRectFilled(at, {at.x + width, at.y + height + 2 * pad}, ui::packed(ctx.theme.text_dim, 0.12f), 4);
    list->ChannelsMerge();
    ImGui::SetCursorScreenPos(at);
    ImGui::Dummy({width, height + 2 * pad});
}

void ManualPanel::draw_block(ui::Context& ctx, std::size_t index, const Styles& styles) {
    const ManualBlock& block = document_.blocks[index];
    Drawn& drawn = drawn_[index];
    // Lines longer than about 46 em are hard to read.
    const float width = std::min(ImGui::GetContentRegionAvail().x - ctx.em, 46 * ctx.em);
    ImGui::PushID(static_cast<int>(index));
    switch (block.kind) {
        case ManualBlock::Kind::heading: {
            if (index > 0) {
                ImGui::Dummy({1, (block.level <= 2 ? 0.8f : 0.4f) * ctx.em});
            }
            if (!wanted_.empty() && block.anchor == wanted_) {
                ImGui::SetScrollHereY(0);
            }
            if (block.level <= 2 && (current_.empty() || ImGui::GetCursorPosY() - ImGui::GetScrollY() < 4 * ctx.em)) {
                current_ = block.anchor;
            }
            const float scale = block.level == 1 ? 1.6f : block.level == 2 ? 1.3f : 1.1f;
            ImGui::PushFont(ctx.bold, ImGui::GetStyle().FontSizeBase * scale);
            drawn.text.draw(ctx, width, styles);
            ImGui::PopFont();
            if (block.level == 1) {
                ImGui::Separator();
            }
            break;
        }
        case ManualBlock::Kind::item: {
            const float indent = (static_cast<float>(block.level) - 0.2f) * 1.3f * ctx.em;
            const ImVec2 at = ImGui::GetCursorScreenPos();
            const float line_height = ImGui::GetTextLineHeight() * 1.25f;
            ImGui::GetWindowDrawList()->AddText(
                {at.x + indent - 1.0f * ctx.em, at.y + (line_height - ImGui::GetTextLineHeight()) / 2},
                ImGui::GetColorU32(ImGuiCol_Text), block.marker.c_str());
            ImGui::Indent(indent + 0.4f * ctx.em);
            follow_link(ctx, block.content, drawn.text.draw(ctx, width - indent, styles));
            ImGui::Unindent(indent + 0.4f * ctx.em);
            break;
        }
        case ManualBlock::Kind::code:
            draw_code(ctx, drawn);
            break;
        case ManualBlock::Kind::table:
            draw_table(ctx, index, styles);
            break;
        case ManualBlock::Kind::rule:
            ImGui::Separator();
            break;
        case ManualBlock::Kind::paragraph:
        case ManualBlock::Kind::quote: {
            const float indent = static_cast<float>(block.level) * 1.3f * ctx.em;
            if (indent > 0) {
                ImGui::Indent(indent);
            }
            follow_link(ctx, block.content, drawn.text.draw(ctx, width - indent, styles));
            if (indent > 0) {
                ImGui::Unindent(indent);
            }
        }
    }
    ImGui::PopID();
}

void ManualPanel::draw_table(ui::Context& ctx, std::size_t index, const Styles& styles) {
    const ManualBlock& block = document_.blocks[index];
    if (block.columns < 1 || block.columns > 16) {
        return;
    }
    // Columns share the width by their longest text, within limits.
    std::vector<float> weights(static_cast<std::size_t>(block.columns), 4.0f);
    for (std::size_t i = 0; i < block.cells.size(); ++i) {
        float& weight = weights[i % weights.size()];
        weight = std::min(30.0f, std::max(weight, ImGui::CalcTextSize(block.cells[i].text.c_str()).x / ctx.em));
    }
    const float width = std::min(ImGui::GetContentRegionAvail().x - ctx.em, 60 * ctx.em);
    if (!ImGui::BeginTable("###table", block.columns,
                           ImGuiTableFlags_Borders | ImGuiTableFlags_RowBg | ImGuiTableFlags_SizingStretchProp,
                           {width, 0})) {
        return;
    }
    for (int column = 0; column < block.columns; ++column) {
        ImGui::TableSetupColumn("", ImGuiTableColumnFlags_WidthStretch, weights[static_cast<std::size_t>(column)]);
    }
    for (std::size_t i = 0; i < block.cells.size(); ++i) {
        if (i % weights.size() == 0) {
            ImGui::TableNextRow(block.cells[i].head ? ImGuiTableRowFlags_Headers : 0);
        }
        ImGui::TableNextColumn();
        ImGui::PushID(static_cast<int>(i));
        if (block.cells[i].head) {
            ImGui::PushFont(ctx.bold, 0);
        }
        follow_link(ctx, block.cells[i], drawn_[index].cells[i].draw(ctx, ImGui::GetContentRegionAvail().x, styles));
        if (block.cells[i].head) {
            ImGui::PopFont();
        }
        ImGui::PopID();
    }
    ImGui::EndTable();
}

}  // namespace

void set_manual(ui::Panel& panel, std::string english, std::string chinese) {
    if (auto* manual = dynamic_cast<ManualPanel*>(&panel)) {
        manual->set_texts(std::move(english), std::move(chinese));
    }
}

ui::PanelDescription describe_manual() {
    using ui::Place;
    return {.key = "manual",
            .make = ui::make_panel<ManualPanel>,
            .stands = {{"training", Place::upper, 3}, {"compare", Place::whole, 10}, {"probe", Place::whole, 10}},
            .commands = {}};
}

}  // namespace moescope::panels
