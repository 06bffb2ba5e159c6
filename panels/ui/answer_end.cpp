#include "panels/ui/answer_end.hpp"

#include "panels/ui/text_tools.hpp"

namespace moescope::ui {

const char* stop_text(const Language& text, const std::string& stop) {
    const std::string key = "compare.stop." + stop;
    return text(!stop.empty() && text.has(key) ? key : "compare.stop.unknown");
}

std::string wordless_text(const Language& text, std::string_view answer) {
    constexpr std::size_t kShown = 60;  // bytes
    if (answer.empty()) {
        return text("compare.empty_answer");
    }
    if (!base::trimmed(answer).empty()) {
        return {};
    }
    return text.format("compare.blank_answer",
                       {{"text", base::shortened(panels::visible_piece(answer.substr(0, 2 * kShown)), kShown)}});
}

}  // namespace moescope::ui
