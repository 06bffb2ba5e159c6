// The manual inside the program: Markdown of docs/manual-{en,zh}.md as headings, paragraphs, lists, tables and code,
// with a table of contents.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "panels/ui/panel.hpp"

namespace moescope::panels {

/// One block of a Markdown document, in reading order. Pure data: parsing knows no window.
struct ManualBlock {
    enum class Kind : std::uint8_t { heading, paragraph, item, code, table, rule, quote };
    enum Style : std::uint16_t { plain, bold, code, link };
    struct Run {
        std::uint32_t end = 0;  ///< byte in text up to which the style goes
        std::uint16_t style = plain;
        std::uint16_t link = 0;  ///< index in links, for style link
    };
    struct Cell {
        std::string text;
        std::vector<Run> runs;
        bool head = false;
    };
    Kind kind = Kind::paragraph;
    int level = 0;            ///< of a heading 1 to 6; of an item its depth from 1
    std::string marker;       ///< of an item: "•" or "3."
    Cell content;             ///< everything but tables
    int columns = 0;          ///< of a table
    std::vector<Cell> cells;  ///< of a table, row by row
    std::string anchor;       ///< of a heading
};
struct ManualDocument {
    std::vector<ManualBlock> blocks;
    std::vector<std::string> links;  ///< targets: "#anchor" or an address
};
/// Reads Markdown (CommonMark with tables). Anything it does not know is shown as its plain text.
ManualDocument parse_manual(std::string_view markdown);
/// Anchor of a heading: lower case letters, digits and other alphabets kept, spaces as '-', the rest dropped.
std::string anchor_of(std::string_view heading);

/// Gives the panel "manual" its texts (Markdown, read by the app from docs/). Does nothing for other
/// panels. GUI thread.
void set_manual(ui::Panel& panel, std::string english, std::string chinese);

}  // namespace moescope::panels
