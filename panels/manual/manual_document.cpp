// Markdown to blocks, through md4c's callbacks.
#include <algorithm>
#include <md4c.h>

#include "base/utf8.hpp"
#include "panels/manual/manual.hpp"
#include "panels/ui/text_tools.hpp"

namespace moescope::panels {
namespace {

struct Reader {
    ManualDocument document;
    struct List {
        bool ordered = false;
        unsigned next = 1;
    };
    std::vector<List> lists;
    std::vector<ManualBlock::Style> styles{ManualBlock::plain};
    std::uint16_t link = 0;
    bool open = false;  ///< the last block takes text
    bool in_table = false;
    bool fresh_item = false;  ///< the last block is an item whose first paragraph has not begun

    ManualBlock& begin(ManualBlock::Kind kind) {
        document.blocks.emplace_back().kind = kind;
        open = true;
        fresh_item = false;
        return document.blocks.back();
    }
    ManualBlock::Cell* cell() {
        if (document.blocks.empty() || !open) {
            return nullptr;
        }
        ManualBlock& block = document.blocks.back();
        if (block.kind != ManualBlock::Kind::table) {
            return &block.content;
        }
        return block.cells.empty() ? nullptr : &block.cells.back();
    }
    void add(std::string_view text, ManualBlock::Style style) {
        ManualBlock::Cell* to = cell();
        if (!to) {
            begin(ManualBlock::Kind::paragraph);
            to = cell();
        }
        to->text += text;
        const auto end = static_cast<std::uint32_t>(to->text.size());
        if (!to->runs.empty() && to->runs.back().style == style && to->runs.back().link == link) {
            to->runs.back().end = end;
        } else {
            to->runs.push_back({end, style, link});
        }
    }
};

int enter_block(MD_BLOCKTYPE type, void* detail, void* user) {
    Reader& r = *static_cast<Reader*>(user);
    switch (type) {
        case MD_BLOCK_UL:
            r.lists.push_back({});
            break;
        case MD_BLOCK_OL:
            r.lists.push_back({true, static_cast<MD_BLOCK_OL_DETAIL*>(detail)->start});
            break;
        case MD_BLOCK_LI: {
            ManualBlock& block = r.begin(ManualBlock::Kind::item);
            r.fresh_item = true;
            block.level = static_cast<int>(r.lists.size());
            if (!r.lists.empty() && r.lists.back().ordered) {
                block.marker = std::to_string(r.lists.back().next++) + ".";
            } else {
                block.marker = "•";
            }
            break;
        }
        case MD_BLOCK_H:
            r.begin(ManualBlock::Kind::heading).level =
                static_cast<int>(static_cast<MD_BLOCK_H_DETAIL*>(detail)->level);
            break;
        case MD_BLOCK_P:
            if (r.fresh_item) {
                r.fresh_item = false;
            } else {
                r.begin(ManualBlock::Kind::paragraph).level = static_cast<int>(r.lists.size());
            }
            break;
        case MD_BLOCK_CODE:
            r.begin(ManualBlock::Kind::code);
            r.styles.push_back(ManualBlock::code);
            break;
        case MD_BLOCK_HR:
            r.begin(ManualBlock::Kind::rule);
            r.open = false;
            break;
        case MD_BLOCK_TABLE:
            r.begin(ManualBlock::Kind::table).columns =
                static_cast<int>(static_cast<MD_BLOCK_TABLE_DETAIL*>(detail)->col_count);
            break;
        case MD_BLOCK_TH:
        case MD_BLOCK_TD:
            if (!r.document.blocks.empty()) {
                r.document.blocks.back().cells.emplace_back().head = type == MD_BLOCK_TH;
            }
            break;
        default:
            break;
    }
    return 0;
}

int leave_block(MD_BLOCKTYPE type, void*, void* user) {
    Reader& r = *static_cast<Reader*>(user);
    switch (type) {
        case MD_BLOCK_UL:
        case MD_BLOCK_OL:
            if (!r.lists.empty()) {
                r.lists.pop_back();
            }
            r.open = false;
            break;
        case MD_BLOCK_H:
            if (!r.document.blocks.empty()) {
                r.document.blocks.back().anchor = anchor_of(r.document.blocks.back().content.text);
            }
            r.open = false;
            break;
        case MD_BLOCK_CODE: {
            if (r.styles.size() > 1) {
                r.styles.pop_back();
            }
            std::string& text = r.document.blocks.back().content.text;
            while (!text.empty() && text.back() == '\n') {
                text.pop_back();
            }
            r.open = false;
            break;
        }
        case MD_BLOCK_P:
        case MD_BLOCK_TABLE:
            r.open = false;
            break;
        default:
            break;
    }
    return 0;
}

int enter_span(MD_SPANTYPE type, void* detail, void* user) {
    Reader& r = *static_cast<Reader*>(user);
    ManualBlock::Style style = r.styles.back();
    if (type == MD_SPAN_STRONG || type == MD_SPAN_EM) {
        style = ManualBlock::bold;
    } else if (type == MD_SPAN_CODE) {
        style = ManualBlock::code;
    } else if (type == MD_SPAN_A) {
        const MD_ATTRIBUTE& href = static_cast<MD_SPAN_A_DETAIL*>(detail)->href;
        r.link = static_cast<std::uint16_t>(std::min<std::size_t>(r.document.links.size(), 65'535));
        r.document.links.emplace_back(href.text, href.size);
        style = ManualBlock::link;
    }
    r.styles.push_back(style);
    return 0;
}

int leave_span(MD_SPANTYPE, void*, void* user) {
    Reader& r = *static_cast<Reader*>(user);
    if (r.styles.size() > 1) {
        r.styles.pop_back();
    }
    return 0;
}

int add_text(MD_TEXTTYPE type, const MD_CHAR* text, MD_SIZE size, void* user) {
    Reader& r = *static_cast<Reader*>(user);
    const ManualBlock::Style style = r.styles.back();
    if (type == MD_TEXT_BR) {
        r.add("\n", style);
    } else if (type == MD_TEXT_SOFTBR) {
        // Chinese lines join without a space.
        const ManualBlock::Cell* cell = r.cell();
        char32_t last = 0;
        for (std::size_t i = 0; cell && i < cell->text.size();) {
            const Character c = read_character(cell->text, i);
            last = c.code;
            i += c.length;
        }
        if (!is_wide(last)) {
            r.add(" ", style);
        }
    } else {
        r.add(std::string_view(text, size), style);
    }
    return 0;
}

}  // namespace

std::string anchor_of(std::string_view heading) {
    std::string anchor;
    for (std::size_t at = 0; at < heading.size();) {
        const Character c = read_character(heading, at);
        if (c.code >= 'A' && c.code <= 'Z') {
            anchor.push_back(static_cast<char>(c.code - 'A' + 'a'));
        } else if ((c.code >= 'a' && c.code <= 'z') || (c.code >= '0' && c.code <= '9') || c.code == '-' ||
                   c.code == '_') {
            anchor.push_back(static_cast<char>(c.code));
        } else if (c.code == ' ') {
            anchor.push_back('-');
        } else if (c.valid && (base::is_han(c.code) || (c.code >= 0xC0 && c.code < 0x2000))) {
            base::append_utf8(anchor, c.code);
        }
        at += c.length;
    }
    return anchor;
}

ManualDocument parse_manual(std::string_view markdown) {
    Reader reader;
    MD_PARSER parser{};
    parser.abi_version = 0;
    parser.flags = MD_FLAG_TABLES | MD_FLAG_NOHTML;
    parser.enter_block = enter_block;
    parser.leave_block = leave_block;
    parser.enter_span = enter_span;
    parser.leave_span = leave_span;
    parser.text = add_text;
    md_parse(markdown.data(), static_cast<MD_SIZE>(std::min<std::size_t>(markdown.size(), 8u << 20)), &parser, &reader);
    return std::move(reader.document);
}

}  // namespace moescope::panels
