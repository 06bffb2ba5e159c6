// The tokens of a trace as flowing text in a window: of any length, laid out page by page where it is in sight, each
// token with a look of its own. GUI thread.
#pragma once

#include <cstdint>
#include <functional>
#include <imgui.h>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "panels/routing/token_colours.hpp"
#include "panels/routing/token_pages.hpp"
#include "panels/ui/context.hpp"
#include "panels/ui/text_tools.hpp"

namespace moescope::panels {

class TokenTextView {
 public:
    struct Request {
        const std::vector<std::shared_ptr<const TokenPage>>* pages = nullptr;
        /// How a token is drawn; called for those in sight, in their order, and for one that goes on in the next line
        /// twice.
        std::function<TokenLook(const TokenPage& page, std::size_t at)> look;
        /// Whether a token has a line above: those of the selected expert. May be empty.
        std::function<bool(const TokenPage& page, std::size_t at)> marked;
        /// Whether a token has a note: a mark at its upper corner. May be empty.
        std::function<bool(std::uint64_t token)> noted;
        std::int64_t selected = -1;           ///< number of a token, framed in the accent
        std::optional<std::uint64_t> answer;  ///< first token of the answer; begins a page
        bool follow = false;                  ///< the trace grows: stays at its end until a person scrolls
        bool headings = false;                ///< each document has a line that says which it is
    };
    struct Result {
        std::optional<std::uint64_t> hovered, clicked, menu;  ///< tokens; menu: by a right click
        std::uint64_t first = 0, last = 0;                    ///< tokens in sight, [first, last)
        /// An arrow key, Home, End, Page up or down, pressed without others while the text has the keyboard; these
        /// keys are not navigation then. ImGuiKey_None: none.
        ImGuiKey key = ImGuiKey_None;
    };
    /// A child window of this size. `id` is unique in the window. Scrolls to the selected token when it has changed.
    Result draw(ui::Context& ctx, const char* id, ImVec2 size, const Request& request);
    /// Another text: the next drawing begins at its beginning, or where its selected token is.
    void reset();
    /// Lines that fit into the window, for paging.
    std::size_t lines_in_sight() const { return lines_in_sight_; }
    /// The token so many lines above (below 0) or below one, at about the same place in its line; as far as there are.
    std::uint64_t token_lines_away(const std::vector<std::shared_ptr<const TokenPage>>& pages, std::uint64_t token,
                                   int lines);

 private:
    struct Laid {
        std::shared_ptr<const TokenPage> page;
        WrappedText lines;
        bool ready = false;  ///< for page, width and size of the letters as they are
    };
    void sync(const Request& request, float width, float font_size);
    void lay_out(std::size_t page);
    std::size_t lines_of(std::size_t page) const;
    std::string heading(const ui::Context& ctx, const Request& request, const TokenPage& page) const;
    float heading_height(const Request& request, const TokenPage& page) const;
    float page_height(const Request& request, std::size_t page) const;
    std::size_t line_of(std::size_t page, std::uint64_t token);
    void draw_page(const ui::Context& ctx, const Request& request, std::size_t page, ImVec2 at, Result& result) const;
    void draw_line(const ui::Context& ctx, const Request& request, const TokenPage& page, ByteRange line, ImVec2 at,
                   Result& result) const;
    void scroll_to_selected(const Request& request, float in_sight);
    float draw_pages(const ui::Context& ctx, const Request& request, float in_sight, Result& result);

    std::vector<Laid> laid_;  ///< [pages]
    float width_ = 0, font_size_ = 0, line_height_ = 0;
    double lines_per_byte_ = 0;  ///< of what was laid out, for what was not
    std::uint64_t laid_bytes_ = 0, laid_lines_ = 0;
    std::int64_t shown_selected_ = -1;
    float last_scroll_max_ = 0;
    std::size_t lines_in_sight_ = 1;
    bool fresh_ = true;
};

/// A bar of colours between what its two ends stand for, in the row where there is room. `colour`: of a place from 0 to
/// 1, 0 for none.
void draw_colour_bar(const ui::Context& ctx, const std::string& low, const std::string& high,
                     const std::function<ImU32(double)>& colour);

}  // namespace moescope::panels
