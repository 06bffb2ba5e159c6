#include "panels/ui/difference_text.hpp"

namespace moescope::panels {

DifferenceText difference_text(const WordDiff& diff, std::string_view base, std::string_view other, DifferenceSide side,
                               const DifferenceStyles& styles) {
    DifferenceText made;
    const auto add = [&](std::string_view from, ByteRange range, std::uint16_t style) {
        made.text += from.substr(range.begin, range.end - range.begin);
        made.runs.push_back({static_cast<std::uint32_t>(made.text.size()), style});
    };
    const bool is_base = side == DifferenceSide::base;
    for (const DiffPiece& piece : diff.pieces) {
        switch (piece.kind) {
            case DiffPiece::Kind::same:
                is_base ? add(base, piece.a, styles.plain) : add(other, piece.b, styles.plain);
                break;
            case DiffPiece::Kind::removed:
                if (side != DifferenceSide::other) {
                    add(base, piece.a, styles.removed);
                }
                break;
            case DiffPiece::Kind::added:
                if (!is_base) {
                    add(other, piece.b, styles.added);
                }
                break;
        }
    }
    return made;
}

TextStyle added_style(const ui::Theme& theme) {
    TextStyle style;
    style.color = ui::packed(theme.good, 1);
    style.background = ui::packed(theme.good, 0.14f);
    style.underline = true;
    return style;
}

TextStyle removed_style(const ui::Theme& theme) {
    TextStyle style;
    style.color = ui::packed(theme.error, 1);
    style.background = ui::packed(theme.error, 0.14f);
    style.strike = true;
    return style;
}

}  // namespace moescope::panels
