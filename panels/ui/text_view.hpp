// Long styled text in a window: wrapped once per width, drawn only where it is visible. Used for answers, differences,
// token tints and the manual.
#pragma once

#include <cstdint>
#include <imgui.h>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "panels/ui/context.hpp"
#include "panels/ui/text_tools.hpp"

namespace moescope::panels {

struct TextStyle {
    enum class Face : std::uint8_t { regular, bold, mono };
    ImU32 color = 0;       ///< 0: the window's text colour
    ImU32 background = 0;  ///< 0: none
    Face face = Face::regular;
    bool underline = false, strike = false;
};

/// Bytes up to `end` (from the end of the run before) have styles[style].
struct StyleRun {
    std::uint32_t end = 0;
    std::uint16_t style = 0;
};

class TextView {
 public:
    /// Replaces text and runs. Bytes behind the last run have style 0.
    void set(std::string text, std::vector<StyleRun> runs = {});
    /// Appends text in style 0 or in the given style; lines before the last are not laid out again.
    void append(std::string_view text, std::uint16_t style = 0);
    const std::string& text() const { return text_; }
    bool empty() const { return text_.empty(); }

    struct Result {
        float height = 0;                      ///< pixels
        std::optional<std::uint32_t> hovered;  ///< byte offset of the character under the mouse
    };
    /// Draws at the cursor, `width` pixels wide, in the current font size, and moves the cursor below. GUI thread.
    Result draw(const ui::Context& ctx, float width, std::span<const TextStyle> styles);

 private:
    struct Faces {
        ImFont* font[3];
        ImFontBaked* baked[3];
        float size;
    };
    std::uint16_t style_at(std::uint32_t offset) const;
    void draw_line(ByteRange line, ImVec2 at, float height, const Faces& faces, std::span<const TextStyle> styles,
                   Result& result) const;

    std::string text_;
    std::vector<StyleRun> runs_;
    std::uint64_t identity_ = 1;
    WrappedText layout_;
};

/// Styles of one view: a row of TextStyle made from the theme.
TextStyle chip_style(const ui::Theme& theme);

}  // namespace moescope::panels
