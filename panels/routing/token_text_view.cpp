#include "panels/routing/token_text_view.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <imgui_internal.h>

#include "panels/ui/text_layout.hpp"
#include "panels/ui/widgets.hpp"

namespace moescope::panels {
namespace {

constexpr std::array<ImGuiKey, 8> kKeys = {ImGuiKey_LeftArrow, ImGuiKey_RightArrow, ImGuiKey_UpArrow,
                                           ImGuiKey_DownArrow, ImGuiKey_Home,       ImGuiKey_End,
                                           ImGuiKey_PageUp,    ImGuiKey_PageDown};

float advance_of(ImFontBaked* baked, char32_t code) {
    return code == '\t' ? 4 * baked->GetCharAdvance(' ') : baked->GetCharAdvance(static_cast<ImWchar>(code));
}

float width_of(ImFontBaked* baked, std::string_view text) {
    float width = 0;
    for (std::size_t at = 0; at < text.size();) {
        const Character c = read_character(text, at);
        width += advance_of(baked, c.code);
        at += c.length;
    }
    return width;
}

/// The keys of the text, as long as the item `id` has the keyboard. They are taken a frame ahead, or Dear ImGui would
/// go to the next button with them; with Ctrl or Shift they are commands.
ImGuiKey take_key(ImGuiID id) {
    if (ImGui::GetIO().KeyMods != ImGuiMod_None) {
        return ImGuiKey_None;
    }
    ImGuiKey pressed = ImGuiKey_None;
    for (const ImGuiKey key : kKeys) {
        if (ImGui::IsKeyPressed(key, ImGuiInputFlags_Repeat, id)) {
            pressed = key;
        }
        ImGui::SetKeyOwner(key, id);
    }
    return pressed;
}

}  // namespace

void TokenTextView::reset() {
    *this = TokenTextView();
}

void TokenTextView::sync(const Request& request, float width, float font_size) {
    const bool other_measure = width != width_ || font_size != font_size_;
    width_ = width;
    font_size_ = font_size;
    line_height_ = std::floor(ImGui::GetTextLineHeight() * 1.4f);
    const auto& pages = *request.pages;
    laid_.resize(pages.size());
    for (std::size_t i = 0; i < pages.size(); ++i) {
        Laid& laid = laid_[i];
        if (laid.page != pages[i]) {
            laid.page = pages[i];
            laid.ready = false;
        } else if (other_measure) {
            laid.ready = false;
        }
    }
    if (other_measure) {
        laid_bytes_ = laid_lines_ = 0;
    }
}

/// The page's lines; costs some tenths of a millisecond when they are not known.
void TokenTextView::lay_out(std::size_t page) {
    Laid& laid = laid_[page];
    if (laid.ready) {
        return;
    }
    ImFontBaked* baked = ImGui::GetFontBaked();
    // The same number stands for the same text, which may have grown.
    const std::vector<std::uint32_t>& ends = laid.page->ends;
    laid.lines.update(
        laid.page->first + 1, laid.page->text, width_, font_size_,
        [baked](std::uint32_t, char32_t code) { return advance_of(baked, code); },
        [&ends](std::uint32_t at) { return at == 0 || std::binary_search(ends.begin(), ends.end(), at); });
    laid.ready = true;
    laid_bytes_ += laid.page->text.size();
    laid_lines_ += laid.lines.lines().size();
}

std::size_t TokenTextView::lines_of(std::size_t page) const {
    const Laid& laid = laid_[page];
    const bool ends_line = laid.page->text.ends_with('\n');
    if (laid.ready) {
        return laid.lines.lines().size() - (ends_line && laid.lines.lines().size() > 1 ? 1 : 0);
    }
    const double per_byte = laid_bytes_ > 0 ? static_cast<double>(laid_lines_) / static_cast<double>(laid_bytes_)
                                            : 0.5 * static_cast<double>(font_size_ / std::max(width_, 1.0f));
    const auto wrapped = static_cast<std::size_t>(static_cast<double>(laid.page->text.size()) * per_byte);
    return std::max<std::size_t>({1, wrapped, laid.page->breaks});
}

std::string TokenTextView::heading(const ui::Context& ctx, const Request& request, const TokenPage& page) const {
    if (request.answer) {
        return page.first == *request.answer ? ctx.text("routing.answer")
               : page.begins_document        ? ctx.text("routing.prompt")
                                             : "";
    }
    if (!request.headings || !page.begins_document) {
        return "";
    }
    std::string text = ctx.text.format("routing.document", {{"n", ctx.text.number(std::uint64_t{page.document} + 1)}});
    for (const std::string& part :
         {page.language.empty() ? std::string() : ctx.text.named("routing.language.", page.language), page.group}) {
        text += part.empty() ? "" : " \u00b7 " + part;
    }
    return text;
}

float TokenTextView::heading_height(const Request& request, const TokenPage& page) const {
    const bool has = request.answer ? page.first == *request.answer || page.begins_document
                                    : request.headings && page.begins_document;
    return has ? line_height_ : 0;
}

float TokenTextView::page_height(const Request& request, std::size_t page) const {
    return heading_height(request, *laid_[page].page) + static_cast<float>(lines_of(page)) * line_height_;
}

std::size_t TokenTextView::line_of(std::size_t page, std::uint64_t token) {
    lay_out(page);
    const TokenPage& text = *laid_[page].page;
    const std::uint32_t begin = text.begin_of(static_cast<std::size_t>(token - text.first));
    const std::vector<ByteRange>& lines = laid_[page].lines.lines();
    const auto behind = std::upper_bound(lines.begin(), lines.end(), begin,
                                         [](std::uint32_t at, const ByteRange& line) { return at < line.begin; });
    return behind == lines.begin() ? 0 : static_cast<std::size_t>(behind - lines.begin()) - 1;
}

std::uint64_t TokenTextView::token_lines_away(const std::vector<std::shared_ptr<const TokenPage>>& pages,
                                              std::uint64_t token, int lines) {
    std::size_t page = page_holding(pages, token);
    if (page >= laid_.size() || laid_[page].page != pages[page]) {
        return token;
    }
    auto line = static_cast<std::ptrdiff_t>(line_of(page, token));
    const TokenPage& from = *pages[page];
    const std::uint32_t across = from.begin_of(static_cast<std::size_t>(token - from.first)) -
                                 std::min(from.begin_of(static_cast<std::size_t>(token - from.first)),
                                          laid_[page].lines.lines()[static_cast<std::size_t>(line)].begin);
    line += lines;
    while (line < 0 && page > 0) {
        lay_out(--page);
        line += static_cast<std::ptrdiff_t>(lines_of(page));
    }
    while (line >= static_cast<std::ptrdiff_t>(lines_of(page)) && page + 1 < laid_.size()) {
        line -= static_cast<std::ptrdiff_t>(lines_of(page));
        lay_out(++page);
    }
    line = std::clamp<std::ptrdiff_t>(line, 0, static_cast<std::ptrdiff_t>(lines_of(page)) - 1);
    const ByteRange& there = laid_[page].lines.lines()[static_cast<std::size_t>(line)];
    const std::uint32_t length = there.end > there.begin ? there.end - there.begin - 1 : 0;
    return pages[page]->first + pages[page]->token_at(there.begin + std::min(across, length));
}

void TokenTextView::scroll_to_selected(const Request& request, float in_sight) {
    if (request.selected < 0 || request.selected == shown_selected_) {
        shown_selected_ = request.selected;
        return;
    }
    const auto token = static_cast<std::uint64_t>(request.selected);
    const std::size_t page = page_holding(*request.pages, token);
    if (page >= laid_.size()) {
        return;  // not read yet
    }
    shown_selected_ = request.selected;
    const std::size_t line = line_of(page, token);
    float top = heading_height(request, *laid_[page].page) + static_cast<float>(line) * line_height_;
    for (std::size_t i = 0; i < page; ++i) {
        top += page_height(request, i);
    }
    const float scroll = ImGui::GetScrollY();
    if (top < scroll || top + line_height_ > scroll + in_sight) {
        ImGui::SetScrollY(std::max(0.0f, top - 0.4f * in_sight));
    }
}

void TokenTextView::draw_line(const ui::Context& ctx, const Request& request, const TokenPage& page, ByteRange line,
                              ImVec2 at, Result& result) const {
    ImDrawList& list = *ImGui::GetWindowDrawList();
    ImFontBaked* baked = ImGui::GetFontBaked();
    const ImVec2 mouse = ImGui::GetMousePos();
    const float text_y = at.y + (line_height_ - font_size_) / 2, weight = std::max(1.0f, font_size_ / 12);
    const bool mouse_in_line = mouse.y >= at.y && mouse.y < at.y + line_height_;
    const ImU32 ink = ImGui::GetColorU32(ImGuiCol_Text);
    float x = at.x;
    for (std::size_t token = page.token_at(line.begin); token < page.tokens() && page.begin_of(token) < line.end;
         ++token) {
        const std::uint32_t begin = std::max(page.begin_of(token), line.begin),
                            end = std::min(page.ends[token], line.end);
        const std::string_view text = std::string_view(page.text).substr(begin, end - begin);
        const float width = width_of(baked, text);
        const std::uint64_t number = page.first + token;
        const ImVec2 low{x, at.y + 1}, high{x + width, at.y + line_height_ - 1};
        const TokenLook look = request.look ? request.look(page, token) : TokenLook{};
        if (look.ground != 0) {
            list.AddRectFilled(low, {high.x - 1, high.y}, look.ground, 2);
        }
        list.AddText(ImGui::GetFont(), font_size_, {x, text_y}, ink, text.data(), text.data() + text.size());
        if (look.underline != 0) {
            list.AddRectFilled({x, high.y - weight}, {high.x - 1, high.y}, look.underline);
        }
        if (page.kinds[token] == TokenKind::control) {
            list.AddRect(low, {high.x - 1, high.y}, ImGui::GetColorU32(ctx.theme.text_dim), 2);
        }
        if (request.marked && request.marked(page, token)) {
            // Between the lines of the text: a frame would cover a token of one letter.
            list.AddRectFilled({x, low.y - 1}, {high.x - 1, low.y - 1 + 1.6f * weight}, ink);
        }
        if (request.noted && page.begin_of(token) >= line.begin && request.noted(number)) {
            const float side = 0.35f * font_size_;
            list.AddTriangleFilled({low.x - 1, low.y - 1}, {low.x - 1 + side, low.y - 1}, {low.x - 1, low.y - 1 + side},
                                   ImGui::GetColorU32(ctx.theme.accent));
        }
        if (request.selected == static_cast<std::int64_t>(number)) {
            list.AddRect({low.x - 1, low.y - 1}, {high.x, high.y + 1}, ImGui::GetColorU32(ctx.theme.accent), 2, 2.5f);
        }
        if (mouse_in_line && mouse.x >= x && mouse.x < x + width) {
            result.hovered = number;
        }
        x += width;
    }
}

void TokenTextView::draw_page(const ui::Context& ctx, const Request& request, std::size_t page, ImVec2 at,
                              Result& result) const {
    const TokenPage& text = *laid_[page].page;
    const ImDrawList& list = *ImGui::GetWindowDrawList();
    const float top = list.GetClipRectMin().y, bottom = list.GetClipRectMax().y;
    if (const std::string title = heading(ctx, request, text); !title.empty()) {
        const std::string shown = ui::elided(title, width_);
        ImGui::GetWindowDrawList()->AddText({at.x, at.y + (line_height_ - font_size_) / 2},
                                            ImGui::GetColorU32(ctx.theme.text_dim), shown.c_str());
        at.y += line_height_;
    }
    const std::vector<ByteRange>& lines = laid_[page].lines.lines();
    const std::size_t count = lines_of(page);
    const auto line_at = [&](float y) {
        return static_cast<std::size_t>(std::clamp(std::floor((y - at.y) / line_height_), 0.0f, 1e6f));
    };
    const std::size_t first = std::min(line_at(top), count), last = std::min(line_at(bottom) + 1, count);
    for (std::size_t i = first; i < last; ++i) {
        draw_line(ctx, request, text, lines[i], {at.x, at.y + static_cast<float>(i) * line_height_}, result);
    }
    if (first < last) {
        const std::uint64_t begin = text.first + text.token_at(lines[first].begin),
                            end = text.first + text.token_at(std::max(lines[last - 1].end, std::uint32_t{1}) - 1) + 1;
        result.first = result.last == 0 ? begin : result.first;
        result.last = std::max(result.last, end);
    }
}

/// Lays out what is in sight, draws it, and gives the height of all.
float TokenTextView::draw_pages(const ui::Context& ctx, const Request& request, float in_sight, Result& result) {
    const ImVec2 origin = ImGui::GetCursorScreenPos();
    float scroll = ImGui::GetScrollY(), y = 0, moved = 0;
    for (std::size_t page = 0; page < laid_.size(); ++page) {
        float height = page_height(request, page);
        if (y + height > scroll && y < scroll + in_sight) {
            const bool above = y < scroll && !laid_[page].ready && !fresh_;
            lay_out(page);
            const float exact = page_height(request, page);
            if (above) {
                // What stands below keeps its place: a person scrolls up into text that was not laid out yet.
                scroll += exact - height;
                moved += exact - height;
            }
            height = exact;
            draw_page(ctx, request, page, {origin.x, origin.y + y - moved}, result);
        }
        y += height;
    }
    if (moved != 0) {
        ImGui::SetScrollY(std::max(0.0f, scroll));
    }
    return y;
}

TokenTextView::Result TokenTextView::draw(ui::Context& ctx, const char* id, ImVec2 size, const Request& request) {
    Result result;
    if (!ui::begin_frame(ctx, id, size, ImGuiWindowFlags_AlwaysVerticalScrollbar)) {
        ui::end_frame();
        return result;
    }
    const ImVec2 origin = ImGui::GetCursorScreenPos(), room = ImGui::GetContentRegionAvail();
    const ImRect inner = ImGui::GetCurrentWindow()->InnerClipRect;
    const float in_sight = inner.GetHeight();
    sync(request, std::max(room.x, 4 * ctx.em), ImGui::GetFontSize());
    lines_in_sight_ = std::max<std::size_t>(1, static_cast<std::size_t>(in_sight / line_height_));
    if (fresh_ && !laid_.empty()) {
        ImGui::SetScrollY(0);
    }
    scroll_to_selected(request, in_sight);
    const float height = draw_pages(ctx, request, in_sight, result);
    fresh_ = fresh_ && laid_.empty();
    ImGui::SetCursorScreenPos(origin);
    ImGui::Dummy({1, height});
    // Stays at the end while the trace grows, unless a person has scrolled up.
    const float most = ImGui::GetScrollMaxY();
    if (request.follow && request.selected < 0 && ImGui::GetScrollY() >= last_scroll_max_ - 1) {
        ImGui::SetScrollHereY(1);
    }
    last_scroll_max_ = most;
    ImGui::SetCursorScreenPos(inner.Min);
    const ImVec2 button{std::max(1.0f, inner.GetWidth()), std::max(1.0f, std::min(in_sight, height))};
    ImGui::InvisibleButton(
        "###tokens", button,
        ImGuiButtonFlags_MouseButtonLeft | ImGuiButtonFlags_MouseButtonRight | ImGuiButtonFlags_EnableNav);
    const ImGuiID item = ImGui::GetItemID();
    if (!ImGui::IsItemHovered()) {
        result.hovered.reset();
    } else if (ImGui::IsMouseClicked(ImGuiMouseButton_Left)) {
        result.clicked = result.hovered;
    } else if (ImGui::IsMouseReleased(ImGuiMouseButton_Right)) {
        result.menu = result.hovered;
    }
    if (ImGui::IsWindowFocused()) {
        result.key = take_key(item);
    }
    ui::end_frame();
    return result;
}

void draw_colour_bar(const ui::Context& ctx, const std::string& low, const std::string& high,
                     const std::function<ImU32(double)>& colour) {
    const float bar = 5 * ctx.em, gap = 0.4f * ctx.em, line = ImGui::GetTextLineHeight();
    const float before = ImGui::CalcTextSize(low.c_str()).x + gap,
                width = before + bar + gap + ImGui::CalcTextSize(high.c_str()).x;
    ui::flow(width);
    const ImVec2 at = ImGui::GetCursorScreenPos();
    const float x = at.x + before, y = at.y + (ImGui::GetFrameHeight() - line) / 2;
    ImDrawList& draw = *ImGui::GetWindowDrawList();
    const ImU32 ink = ImGui::GetColorU32(ctx.theme.text_dim);
    draw.AddText({at.x, y}, ink, low.c_str());
    constexpr int kSlices = 20;
    for (int i = 0; i < kSlices; ++i) {
        draw.AddRectFilled({x + bar * static_cast<float>(i) / kSlices, y},
                           {x + bar * static_cast<float>(i + 1) / kSlices, y + line}, colour((i + 0.5) / kSlices));
    }
    draw.AddText({x + bar + gap, y}, ink, high.c_str());
    ImGui::Dummy({width, ImGui::GetFrameHeight()});
}

}  // namespace moescope::panels
